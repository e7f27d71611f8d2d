//! `weighbridge loglikelihood`: how likely continuations are after their contexts.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use weighbridge_api::{Endpoint, Hosted, Session};
use weighbridge_catalog::Catalog;
use weighbridge_core::{LanguageModel, Loglikelihood, LoglikelihoodRequest};
use weighbridge_engine::score::{self, Detail, TokenScore};

use crate::Answer;
use crate::cli::LoglikelihoodArgs;
use crate::render::Screen;
use crate::render::progress::Bar;
use crate::target::{self, Target};

use super::open_weights;

/// One line of the answer.
#[derive(Serialize)]
struct Line {
    logprob: f64,
    greedy: bool,
    tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_token: Option<Vec<PerToken>>,
}

/// What the model says about one token.
#[derive(Serialize)]
struct PerToken {
    token: u32,
    logprob: f32,
    likeliest: u32,
    /// Mean of log p over the vocabulary, weighted by p.
    mean_logprob: Option<f32>,
    /// Its variance.
    var_logprob: Option<f32>,
}

impl PerToken {
    fn of(score: &TokenScore) -> Self {
        let (mean_logprob, var_logprob) = score.moments.unzip();
        let TokenScore { token, logprob, likeliest, .. } = *score;
        Self { token, logprob, likeliest, mean_logprob, var_logprob }
    }
}

/// Runs the command: one line a request, in the order of the requests.
///
/// # Errors
/// A line is no request, or the model does not load or cannot score it.
pub fn run(args: &LoglikelihoodArgs, screen: Screen) -> anyhow::Result<Answer> {
    let requests = read(&args.requests)?;
    if let Target::Hosted(endpoint) = target::find(&args.model, &args.hosted, &Catalog::embedded()?)? {
        return hosted(args, *endpoint, &requests, screen);
    }
    let model = open_weights::open(&args.model, args.running.options(), screen)?;
    let tokens = model.install(|| model.tokens_of(&requests))?;
    let work = score::work(&tokens, model.decoder().architecture().context);
    let bar = Bar::new("tokens", work.nodes as u64, screen);
    let scores = model.score(&tokens, if args.per_token { Detail::Moments } else { Detail::LogProbs }, &|done| {
        bar.set(done as u64);
    })?;
    drop(bar);
    let mut text = String::new();
    for scores in &scores {
        let Loglikelihood { logprob, greedy, tokens } = weighbridge_engine::model::summary(scores);
        let per_token = args.per_token.then(|| scores.iter().map(PerToken::of).collect());
        writeln!(text, "{}", serde_json::to_string(&Line { logprob, greedy, tokens, per_token })?)?;
    }
    if args.verbose {
        // The answer does not depend on whether anybody reads this.
        let _ = writeln!(
            io::stderr(),
            "{} requests, {} tokens, of which {} ran through the model",
            requests.len(),
            work.tokens,
            work.nodes
        );
    }
    Ok(Answer::plain(text))
}

/// The same from a host, which states less about each token.
fn hosted(
    args: &LoglikelihoodArgs,
    endpoint: Endpoint,
    requests: &[LoglikelihoodRequest],
    screen: Screen,
) -> anyhow::Result<Answer> {
    if args.per_token {
        bail!("--per-token needs open weights in this process; hosts do not state it");
    }
    let model = Hosted::new(endpoint, &Session::new(target::session_options(&args.hosted))?)?;
    let bar = Bar::new("requests", requests.len() as u64, screen);
    let scores = model.loglikelihood(requests, &|done| bar.set(done as u64))?;
    drop(bar);
    let mut text = String::new();
    for Loglikelihood { logprob, greedy, tokens } in scores {
        writeln!(text, "{}", serde_json::to_string(&Line { logprob, greedy, tokens, per_token: None })?)?;
    }
    Ok(Answer::plain(text))
}

fn read(path: &Path) -> anyhow::Result<Vec<LoglikelihoodRequest>> {
    let stdin = path == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let reader: Box<dyn BufRead> =
        if stdin { Box::new(BufReader::new(io::stdin())) } else { Box::new(BufReader::new(fs_err::File::open(path)?)) };
    let mut requests = Vec::new();
    for (i, line) in reader.lines().enumerate() {
        let line = line.with_context(|| format!("{name}, line {}: not readable as text", i + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let request = serde_json::from_str(&line).with_context(|| {
            format!("{name}, line {}: expected {{\"context\": TEXT, \"continuation\": TEXT}}", i + 1)
        })?;
        requests.push(request);
    }
    if requests.is_empty() {
        bail!("{name} holds no request; expected lines {{\"context\": TEXT, \"continuation\": TEXT}}");
    }
    Ok(requests)
}

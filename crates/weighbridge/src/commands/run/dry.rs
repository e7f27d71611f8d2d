//! What a run would ask: prompts as each model gets them, tokens, dollars. Nothing is asked.

use std::fmt::Write as _;

use weighbridge_core::{GenerationRequest, Prompt, Usage, Usd};
use weighbridge_engine::Model;
use weighbridge_run::{Ask, TaskSample};

use crate::Answer;
use crate::cli::RunArgs;
use crate::commands::open_weights;
use crate::render::reply::{dollars, safe};
use crate::render::{Screen, count};
use crate::target::Target;

use super::models::Contestant;
use super::tasks::{self, Prepared};

/// Bytes of English text that a token of today's tokenizers covers, about; only for models whose tokenizer is not here.
const BYTES_PER_TOKEN: f64 = 4.0;

/// Runs the command without asking.
///
/// # Errors
/// A model does not load, or a task does not fit it.
pub fn run(args: &RunArgs, contestants: &[Contestant], screen: Screen) -> anyhow::Result<Answer> {
    let mut text = String::new();
    for contestant in contestants {
        let local = match &contestant.target {
            Target::Local(path) => Some(open_weights::open(path, args.running.options(), screen)?),
            Target::Hosted(_) => None,
        };
        for prepared in tasks::of(contestant, contestant.style(local.as_ref()), args)? {
            let _ = writeln!(text, "{}", screen.bold(&format!("{} on {}", contestant.name, prepared.task.facts.name)));
            if let Some(first) = prepared.task.samples.first() {
                text.push_str(&shown(first, local.as_ref())?);
            }
            let _ = writeln!(text, "  {}\n", forecast(&prepared, contestant, local.as_ref(), args)?);
        }
    }
    Ok(Answer::plain(text))
}

/// The first sample as the model gets it.
fn shown(sample: &TaskSample, local: Option<&Model>) -> anyhow::Result<String> {
    let (prompt, after) = match &sample.ask {
        Ask::Generate(requests) => match requests.first() {
            Some(request) => (rendered(request, local)?, ends(request)),
            None => return Ok(String::new()),
        },
        Ask::Loglikelihood(requests) => {
            let context = requests.first().map(|r| r.context.clone()).unwrap_or_default();
            let choices: Vec<String> = requests.iter().map(|r| format!("{:?}", r.continuation)).collect();
            (context, format!("scored: {}", choices.join(", ")))
        }
        Ask::Rolling(text) => (text.clone(), "scored as a whole".to_owned()),
    };
    let quoted: String = safe(&prompt).lines().flat_map(|line| ["  | ", line, "\n"]).collect();
    Ok(format!(
        "  sample {}:\n{quoted}  {}\n  target: {}\n",
        safe(&sample.id),
        safe(&after),
        safe(&sample.target.join(" / "))
    ))
}

fn rendered(request: &GenerationRequest, local: Option<&Model>) -> anyhow::Result<String> {
    Ok(match (&request.prompt, local) {
        (prompt, Some(model)) => model.render(prompt)?,
        (Prompt::Text(text), None) => text.clone(),
        (Prompt::Messages(messages), None) => {
            messages.iter().flat_map(|m| ["[", &m.role, "] ", &m.content, "\n"]).collect()
        }
    })
}

fn ends(request: &GenerationRequest) -> String {
    let stops: Vec<String> = request.stop.iter().map(|stop| format!("{stop:?}")).collect();
    let stops = if stops.is_empty() { String::new() } else { format!(", or before {}", stops.join(", ")) };
    format!("ends after {} tokens{stops}", request.max_tokens)
}

/// Tokens and dollars of all samples.
fn forecast(
    prepared: &Prepared,
    contestant: &Contestant,
    local: Option<&Model>,
    args: &RunArgs,
) -> anyhow::Result<String> {
    let samples = prepared.task.samples.len() as u64 * u64::from(args.epochs);
    let (mut input, mut most) = (0_u64, 0_u64);
    for sample in &prepared.task.samples {
        match &sample.ask {
            Ask::Generate(requests) => {
                for request in requests {
                    input += tokens(&rendered(request, local)?, local)?;
                    most += request.max_tokens as u64;
                }
            }
            Ask::Loglikelihood(requests) => {
                for request in requests {
                    input += tokens(&format!("{}{}", request.context, request.continuation), local)?;
                }
            }
            Ask::Rolling(text) => input += tokens(text, local)?,
        }
    }
    let (input, most) = (input * u64::from(args.epochs), most * u64::from(args.epochs));
    let about = if local.is_some() { "" } else { "about " };
    let mut words = format!("{}, {about}{input} tokens in, at most {most} out", count(samples as usize, "sample"));
    match contestant.endpoint() {
        None => words.push_str("; own machine"),
        Some(endpoint) => {
            let usage = |output| Usage { input: Some(input), output: Some(output), ..Usage::default() };
            let today = time::OffsetDateTime::now_utc().date();
            let prices = endpoint.prices_on(today);
            let cost = |output| prices.as_ref().and_then(|prices| prices.cost(&usage(output), false));
            match (cost(0), cost(most)) {
                (Some(Usd(least)), Some(Usd(most))) => {
                    let _ = write!(words, "; between {} and {}", dollars(Usd(least)), dollars(Usd(most)));
                }
                _ => words.push_str("; its price is unknown"),
            }
        }
    }
    Ok(words)
}

fn tokens(text: &str, local: Option<&Model>) -> anyhow::Result<u64> {
    match local {
        Some(model) => {
            Ok(model.tokenizer().encode(text, weighbridge_engine::tokenizer::AddSpecial::Never)?.len() as u64)
        }
        None => Ok((text.len() as f64 / BYTES_PER_TOKEN).ceil() as u64),
    }
}

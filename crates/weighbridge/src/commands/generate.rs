//! `weighbridge generate`: a file of requests to one model; each answer is written as it comes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use weighbridge_api::batch::{BatchJob, BatchOptions};
use weighbridge_api::{Cache, Delivery, Hosted, NumberedRequest, Session, SessionOptions};
use weighbridge_catalog::Catalog;
use weighbridge_core::{CallLogHeader, CallRecord, CallState, CanaryReport, ErrorClass, LOCAL, LanguageModel, Usd};

use crate::Answer;
use crate::call_log::{self, CallLog, Done};
use crate::canaries;
use crate::cli::GenerateArgs;
use crate::render::progress::CallBar;
use crate::render::reply::dollars;
use crate::render::{Screen, count};
use crate::requests::{Defaults, RequestFile};
use crate::target::{self, Target};

use super::open_weights;

/// Runs the command.
///
/// # Errors
/// A line is no request, the model cannot be asked, or the answers cannot be written.
pub fn run(args: &GenerateArgs, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let target = target::find(&args.model, &args.hosted, &catalog)?;
    let (sampling, most) = match &target {
        Target::Local(_) => (args.sampling.local(), target::default_length(None)),
        Target::Hosted(endpoint) => (args.sampling.hosted(), target::default_length(Some(endpoint))),
    };
    let defaults = Defaults {
        max_tokens: args.sampling.max_tokens.map_or(most, |tokens| tokens as usize),
        stop: args.sampling.stop.clone(),
        sampling,
        reasoning: args.sampling.reasoning.unwrap_or_default(),
        top_logprobs: args.sampling.logprobs,
    };
    let file = RequestFile::open(&args.requests, defaults)?;
    match target {
        Target::Hosted(endpoint) => {
            file.check(|request| Ok(weighbridge_api::check(&endpoint, request)?))?;
            let cache =
                if args.no_cache { None } else { target::cache_folder("answers").map(Cache::open).transpose()? };
            let session = Session::new(SessionOptions { cache, ..target::session_options(&args.hosted) })?;
            let model = Hosted::new(*endpoint, &session)?;
            hosted(args, &model, &file, screen)
        }
        Target::Local(name) => local(args, &name, &file, screen),
    }
}

fn hosted(args: &GenerateArgs, model: &Hosted, file: &RequestFile, screen: Screen) -> anyhow::Result<Answer> {
    let endpoint = model.endpoint();
    if args.batch && !endpoint.provider.batch {
        bail!("{} takes no batches; leave out --batch", endpoint.provider.id);
    }
    let canary = if args.no_canary || !begins(args.output.as_deref()) { None } else { Some(canary(model, screen)?) };
    let mut notes: Vec<String> = canary.iter().flat_map(told).collect();
    let header = call_log::header(&endpoint.provider.id, &endpoint.model, Some(&endpoint.base_url), file);
    let header = CallLogHeader { canary, ..header };
    let delivery = if args.stream { Delivery::Streamed } else { Delivery::Whole };
    let answer = match &args.output {
        Some(output) if args.batch => {
            all(args, &header, file, screen, |requests, each, done| batch(model, output, requests, each, done))
        }
        _ => all(args, &header, file, screen, |requests, each, _| model.run(requests, delivery, each)),
    }?;
    notes.extend(may_be_billed(model));
    notes.extend(answer.note);
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Answer { note, ..answer })
}

/// What a canary saw that matters here, and what it cost, which is not in the records.
fn told(report: &CanaryReport) -> Vec<String> {
    let cost = match report.cost {
        Some(usd) if usd.0 == 0.0 => None,
        Some(usd) => Some(format!("the canary cost {} besides", dollars(usd))),
        None => Some("what the canary cost is unknown".to_owned()),
    };
    canaries::warning(report).into_iter().chain(cost).collect()
}

/// Attempts that broke off after they were sent: nobody says whether they are billed.
fn may_be_billed(model: &Hosted) -> Option<String> {
    let spent = model.spent();
    let broken = count(usize::try_from(spent.broken).unwrap_or(usize::MAX), "attempt");
    let most = if spent.possible > 0.0 { format!(", up to {}", dollars(Usd(spent.possible))) } else { String::new() };
    (spent.broken > 0).then(|| format!("{broken} broke off after being sent and may be billed{most}"))
}

/// True where a file of answers is begun; one that is gone on with has its canary.
fn begins(output: Option<&Path>) -> bool {
    output.is_some_and(|path| !path.metadata().is_ok_and(|file| file.len() > 0))
}

/// What the endpoint really does, before money is spent on more.
fn canary(model: &Hosted, screen: Screen) -> anyhow::Result<CanaryReport> {
    let report = canaries::take(model, screen);
    match &report.error {
        Some(error) => bail!("'{}' cannot be asked: {error}", model.name()),
        None => Ok(report),
    }
}

/// Requests as batches. What is needed to go on after a restart stands beside the answers.
fn batch(model: &Hosted, output: &Path, requests: Requests<'_>, each: Each<'_>, done: &Done) -> anyhow::Result<()> {
    let mut state = output.as_os_str().to_owned();
    state.push(".batch");
    let mut job = BatchJob::open(model, Path::new(&state), BatchOptions::default())?;
    for index in done.iter() {
        // A record may have been written and not been marked when an earlier run was killed.
        job.taken(index)?;
    }
    let mut failed = Ok(());
    let mut take = |record| {
        failed = each(record);
        if failed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = job.run(requests, &mut take, &mut |_| ControlFlow::Continue(()));
    failed?;
    // Whoever broke has said why.
    ended.map(|_| ()).map_err(Into::into)
}

fn local(args: &GenerateArgs, name: &str, file: &RequestFile, screen: Screen) -> anyhow::Result<Answer> {
    if args.batch {
        bail!("--batch is for hosted models; '{name}' runs in this process");
    }
    let model = open_weights::open(name, args.running.options(), screen)?;
    all(args, &call_log::header(LOCAL, name, None, file), file, screen, |requests, each, _| {
        // Positions among those still to be asked, with what they are in the file.
        let places = Mutex::new(BTreeMap::new());
        let held = || places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut texts = requests.enumerate().map(|(at, numbered)| {
            held().insert(at, (numbered.index, numbered.id));
            numbered.request
        });
        let mut failed = Ok(());
        model.generate_each(&mut texts, &mut |at, record| {
            let (index, id) = held().remove(&at).unwrap_or((at as u64, None));
            failed = each(CallRecord { index, id, ..record });
            if failed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed
    })
}

/// Takes records as they come.
type Each<'a> = &'a mut dyn FnMut(CallRecord) -> anyhow::Result<()>;
/// Requests as there is room for them.
type Requests<'a> = &'a mut (dyn Iterator<Item = NumberedRequest> + Send);

/// Asks what has no answer yet and writes down what comes.
fn all(
    args: &GenerateArgs,
    header: &CallLogHeader,
    file: &RequestFile,
    screen: Screen,
    ask: impl FnOnce(Requests<'_>, Each<'_>, &Done) -> anyhow::Result<()>,
) -> anyhow::Result<Answer> {
    let (mut log, done) = CallLog::open(args.output.as_deref(), header)?;
    let mut tally = Tally::new(file.count - done.count(), screen);
    let spent = AtomicBool::new(false);
    let mut broken = None;
    let mut lines = file.read()?;
    let mut requests = std::iter::from_fn(|| {
        if spent.load(Ordering::Relaxed) {
            return None;
        }
        match lines.find(|line| !line.as_ref().is_ok_and(|request| done.contains(request.index)))? {
            Ok(request) => Some(request),
            Err(error) => {
                broken = Some(error);
                None
            }
        }
    });
    ask(
        &mut requests,
        &mut |record| {
            if is_spent(&record) {
                // Nothing was asked, so nothing is written: the next run with more money asks it.
                spent.store(true, Ordering::Relaxed);
                return Ok(());
            }
            tally.add(&record);
            log.write(&record)
        },
        &done,
    )?;
    if let Some(error) = broken {
        return Err(error);
    }
    let more =
        spent.into_inner().then(|| "stopped at --max-cost; the same command with a higher one goes on".to_owned());
    Ok(tally.answer(args.output.is_some(), done.count(), more))
}

fn is_spent(record: &CallRecord) -> bool {
    record.state == CallState::NotSent
        && record.attempts.last().is_some_and(|last| last.error == Some(ErrorClass::SpendLimit))
}

/// What has become of the requests so far.
struct Tally {
    states: BTreeMap<CallState, u64>,
    cached: u64,
    input: u64,
    output: u64,
    usd: f64,
    unpriced: u64,
    /// Answers that state no tokens.
    uncounted: u64,
    /// The model runs in this process: calls have no price.
    local: bool,
    bar: CallBar,
    start: std::time::Instant,
}

impl Tally {
    fn new(requests: u64, screen: Screen) -> Self {
        Self {
            states: BTreeMap::new(),
            cached: 0,
            input: 0,
            output: 0,
            usd: 0.0,
            unpriced: 0,
            uncounted: 0,
            local: false,
            bar: CallBar::new(requests, screen),
            start: std::time::Instant::now(),
        }
    }

    fn add(&mut self, record: &CallRecord) {
        *self.states.entry(record.state).or_default() += 1;
        match (record.usage.input, record.usage.output) {
            (Some(input), Some(output)) => {
                self.input += input;
                self.output += output;
            }
            _ => self.uncounted += u64::from(record.state.has_answer()),
        }
        if record.cached {
            self.cached += 1;
        } else if let Some(usd) = record.cost.usd {
            self.usd += usd.0;
        } else if record.served_by.provider == LOCAL {
            self.local = true;
        } else {
            self.unpriced += u64::from(record.state.has_answer());
        }
        if self.bar.is_due() {
            self.bar.set(self.total(), format!("{}, {}", self.states(), self.money()));
        }
    }

    fn total(&self) -> u64 {
        self.states.values().sum()
    }

    fn answered(&self) -> u64 {
        self.states.iter().filter(|(state, _)| state.has_answer()).map(|(_, n)| n).sum()
    }

    /// Counts by state, those that occur.
    fn states(&self) -> String {
        self.states.iter().map(|(state, n)| format!("{n} {}", state.as_str())).collect::<Vec<_>>().join(", ")
    }

    fn tokens(&self) -> String {
        match self.uncounted {
            0 => format!("{} tokens in, {} out", self.input, self.output),
            n if n == self.answered() => "tokens unknown".to_owned(),
            n => format!("{} tokens in, {} out, {n} answers uncounted", self.input, self.output),
        }
    }

    fn money(&self) -> String {
        let known = dollars(Usd(self.usd));
        match self.unpriced {
            _ if self.local => "own machine".into(),
            0 => known,
            _ if self.usd == 0.0 => "dollars unknown".into(),
            n => format!("{known} and {} of unknown price", count(n as usize, "answer")),
        }
    }

    fn answer(&self, to_file: bool, before: u64, more: Option<String>) -> Answer {
        let total = self.total();
        let failed = self.answered() < total || more.is_some();
        let mut parts = Vec::new();
        match before {
            0 => {}
            1 => parts.push("1 request has an answer from before".to_owned()),
            n => parts.push(format!("{n} requests have answers from before")),
        }
        if total == 0 {
            parts.push(if more.is_some() { "nothing was asked" } else { "nothing is left to ask" }.to_owned());
        } else {
            let kept =
                if self.cached > 0 { format!(", {} of them kept from earlier", self.cached) } else { String::new() };
            parts.push(format!("{}: {}{kept}", count(total as usize, "request"), self.states()));
            parts.extend([self.tokens(), self.money(), format!("{:.1} s", self.start.elapsed().as_secs_f64())]);
        }
        let text = parts.join("; ");
        if to_file {
            Answer { failed, note: more, ..Answer::plain(text + "\n") }
        } else {
            let note = more.into_iter().chain([text]).collect::<Vec<_>>().join("; ");
            Answer { failed, note: Some(note), ..Answer::plain("") }
        }
    }
}

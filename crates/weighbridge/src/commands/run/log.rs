//! The log of a run: its name, its header, and what stands in it already.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use time::OffsetDateTime;
use weighbridge_core::{EventKind, LogLine, RUN_LOG_VERSION, RunEvent, RunHeader, SampleRecord, SampleState};
use weighbridge_logs::LogWriter;
use weighbridge_run::Task;

use crate::cli::RunArgs;

use super::models::Contestant;
use super::tasks::Tasks;

/// Seconds since 1970 UTC.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The header of a new log.
pub fn header(args: &RunArgs, contestants: &[Contestant], tasks: &Tasks) -> RunHeader {
    let started = now();
    let seed = format!("{started} {} {:?} {:?}", std::process::id(), args.tasks, args.model);
    RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id: blake3::hash(seed.as_bytes()).to_hex()[..16].to_owned(),
        program: format!("weighbridge {}", env!("CARGO_PKG_VERSION")),
        started: Some(started),
        tasks: tasks.facts(args),
        models: contestants.iter().map(Contestant::facts).collect(),
        settings: settings(args),
    }
}

/// What changes answers and is set on the command line.
fn settings(args: &RunArgs) -> BTreeMap<String, Value> {
    let sampling = &args.sampling;
    let all = [
        ("limit", args.limit.map(Value::from)),
        ("epochs", Some(Value::from(args.epochs))),
        ("few_shot", args.few_shot.map(Value::from)),
        ("system", args.system.clone().map(Value::from)),
        ("style", args.style.map(|style| Value::from(format!("{style:?}").to_lowercase()))),
        ("max_tokens", sampling.max_tokens.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("min_p", sampling.min_p.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("reasoning", sampling.reasoning.map(|reasoning| json!(reasoning))),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
        ("until", args.until.map(|until| Value::from(format!("{until:?}")))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Where the log goes.
///
/// # Errors
/// The clock cannot be told.
pub fn path(args: &RunArgs, tasks: &Tasks) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.output {
        return Ok(path.clone());
    }
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]-[minute]-[second]");
    let day = OffsetDateTime::now_utc().format(format)?;
    let name: String = tasks.all.iter().map(|p| p.task.facts.name.as_str()).take(3).collect::<Vec<_>>().join("+");
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || "-_+.".contains(c) { c } else { '_' }).collect();
    Ok(PathBuf::from("runs").join(format!("{day}-{name}.jsonl.zst")))
}

/// Samples that stand in the log with an answer, by task and model: id and epoch.
#[derive(Default)]
pub struct Done(HashMap<(String, String), HashSet<(String, u32)>>, Vec<SampleRecord>);

impl Done {
    /// Those of one model on one task, by their position.
    pub fn of(&self, task: &str, model: &str, samples: &Task) -> HashSet<(usize, u32)> {
        let Some(ids) = self.0.get(&(task.to_owned(), model.to_owned())) else { return HashSet::new() };
        let places: HashMap<&str, usize> =
            samples.samples.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
        ids.iter().filter_map(|(id, epoch)| Some((*places.get(id.as_str())?, *epoch))).collect()
    }

    /// Records of before, in the order in which they ended.
    pub fn records(&self) -> &[SampleRecord] {
        &self.1
    }

    fn add(&mut self, record: SampleRecord) {
        let key = (record.key.task.clone(), record.key.model.clone());
        let place = (record.key.sample.clone(), record.key.epoch);
        let asked_again = matches!(record.state, SampleState::ProviderError | SampleState::Missing);
        if asked_again && record.loglikelihoods.is_empty() {
            return;
        }
        self.0.entry(key).or_default().insert(place);
        // Only what the progress and the stopping rule look at is kept.
        self.1.push(SampleRecord { input: None, doc: None, choices: Vec::new(), ..record });
    }
}

/// Begins the log, or goes on with it.
///
/// # Errors
/// The file belongs to another run, is no log, or cannot be written.
pub fn open(path: &Path, header: &RunHeader) -> anyhow::Result<(LogWriter, Done)> {
    let mut done = Done::default();
    let mut goes_on = false;
    let mut writer = LogWriter::open(path, header, &mut |line| {
        goes_on = true;
        if let LogLine::Sample(record) = line {
            done.add(*record);
        }
        Ok(())
    })?;
    if goes_on {
        let event = RunEvent { kind: EventKind::Resumed, at: Some(now()), model: None, task: None, message: None };
        writer.write(&LogLine::Event(Box::new(event)))?;
    }
    Ok((writer, done))
}

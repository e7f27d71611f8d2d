//! What every export needs of a log: its samples as they stand at the end, and what they come to.
//!
//! A first pass finds which line of a sample counts, a second adds up, a third writes. Memory: models x tasks, the
//! largest sample, 24 bytes for each sample, and the new scores of samples that were re-scored.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use weighbridge_core::{
    EventKind, LogLine, ModelAnswer, ModelFacts, Rescore, ResultRecord, RunEvent, RunHeader, SampleKey, SampleRecord,
    SampleState, ScoreFacts, StateCounts, TaskFacts, Usage,
};

use super::ExportOptions;
use crate::read::{self, Sink};
use crate::{LogError, Source};

/// A log with what is known after the first two passes.
pub(super) struct Log<'a> {
    source: &'a Source,
    /// Its runs.
    pub(super) runs: Vec<Run>,
    /// What the reader says, and fields that it did not keep.
    pub(super) notes: Vec<String>,
    /// The line of each sample that counts.
    last: HashMap<u128, u64>,
    rescores: HashMap<u128, Rescore>,
}

/// A run of a log.
pub(super) struct Run {
    pub(super) header: RunHeader,
    /// Task and model, in the order of their first mention.
    pub(super) parts: Vec<Part>,
    places: HashMap<(String, String), usize>,
    pub(super) events: Vec<RunEvent>,
}

/// What one model did in one task.
pub(super) struct Part {
    pub(super) task: TaskFacts,
    pub(super) model: ModelFacts,
    pub(super) samples: u64,
    pub(super) states: StateCounts,
    pub(super) epochs: u32,
    pub(super) totals: Totals,
    /// When its first and last answers ended.
    pub(super) ended: Option<(f64, f64)>,
    pub(super) scores: Vec<ScoreTotal>,
}

/// What the samples come to under one score.
pub(super) struct ScoreTotal {
    pub(super) facts: ScoreFacts,
    pub(super) states: StateCounts,
    count: u64,
    mean: f64,
    squares: f64,
    /// All values so far are 0 or 1.
    pub(super) binary: bool,
    pub(super) stated: Option<ResultRecord>,
}

/// The number that stands for a score.
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) standard_error: Option<f64>,
    pub(super) samples: Option<u64>,
}

impl ScoreTotal {
    /// As stated, else the mean of the scored samples where that is how they become one number. The standard error is
    /// that of independent samples: not given where samples were repeated.
    pub(super) fn number(&self, epochs: u32) -> Option<Number> {
        if let Some(stated) = &self.stated {
            let samples = stated.samples.or(Some(self.count).filter(|count| *count > 0));
            return Some(Number { value: stated.value, standard_error: stated.standard_error, samples });
        }
        let is_mean = self.facts.aggregation.as_deref().is_none_or(|name| name == "mean");
        (is_mean && self.count > 0).then(|| {
            let n = self.count as f64;
            let standard_error = (self.count > 1 && epochs <= 1).then(|| (self.squares / (n - 1.0) / n).sqrt());
            Number { value: self.mean, standard_error, samples: Some(self.count) }
        })
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        self.binary &= value == 0.0 || value == 1.0;
    }
}

/// Tokens, dollars and seconds of several answers. A sum of which one part is not known is not known.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) usage: Usage,
    pub(super) usd: Option<f64>,
    pub(super) seconds: Option<f64>,
    any: bool,
}

impl Totals {
    pub(super) fn of(answers: &[ModelAnswer]) -> Self {
        let mut totals = Self::default();
        for answer in answers {
            totals.add(answer);
        }
        totals
    }

    fn add(&mut self, answer: &ModelAnswer) {
        let usd = answer.cost.usd.map(|usd| usd.0);
        let seconds = answer.timing.map(|timing| timing.latency);
        if self.any {
            let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
            let (a, b) = (self.usage, answer.usage);
            self.usage = Usage {
                input: both(a.input, b.input),
                cache_read: both(a.cache_read, b.cache_read),
                cache_write: both(a.cache_write, b.cache_write),
                cache_write_1h: both(a.cache_write_1h, b.cache_write_1h),
                output: both(a.output, b.output),
                reasoning: both(a.reasoning, b.reasoning),
            };
            self.usd = self.usd.zip(usd).map(|(a, b)| a + b);
            self.seconds = self.seconds.zip(seconds).map(|(a, b)| a + b);
        } else {
            *self = Self { usage: answer.usage, usd, seconds, any: true };
        }
    }
}

impl Run {
    /// The place of a part, made where it is new.
    fn place(&mut self, task: &str, model: &str) -> usize {
        let key = (task.to_owned(), model.to_owned());
        let Self { header, parts, places, .. } = self;
        *places.entry(key).or_insert_with(|| {
            let facts = header.tasks.iter().find(|facts| facts.name == task).cloned();
            let facts = facts.unwrap_or_else(|| TaskFacts { name: task.to_owned(), ..TaskFacts::default() });
            let who = header.models.iter().find(|facts| facts.name == model).cloned();
            let who = who.unwrap_or_else(|| ModelFacts { name: model.to_owned(), ..ModelFacts::default() });
            parts.push(Part {
                task: facts,
                model: who,
                samples: 0,
                states: StateCounts::default(),
                epochs: 1,
                totals: Totals::default(),
                ended: None,
                scores: Vec::new(),
            });
            parts.len() - 1
        })
    }

    /// The place of a part that the samples have been counted in.
    pub(super) fn part(&self, key: &SampleKey) -> usize {
        self.places.get(&(key.task.clone(), key.model.clone())).copied().unwrap_or(0)
    }

    /// How it ended for a model, in the words of Inspect, and why.
    pub(super) fn status(&self, model: &str) -> (&'static str, Option<String>) {
        let failed = self.events.iter().rfind(|event| {
            event.kind == EventKind::ModelFailed && event.model.as_deref().is_none_or(|name| name == model)
        });
        if let Some(event) = failed {
            return ("error", Some(event.message.clone().unwrap_or_else(|| "the model could not be asked".to_owned())));
        }
        match self.events.iter().rfind(|event| event.kind != EventKind::ModelFailed).map(|event| event.kind) {
            Some(EventKind::Interrupted | EventKind::SpendLimit) => ("cancelled", None),
            Some(EventKind::Resumed) => ("started", None),
            _ => ("success", None),
        }
    }
}

impl Part {
    fn score(&mut self, name: &str) -> &mut ScoreTotal {
        let place = self.scores.iter().position(|score| score.facts.name == name).unwrap_or_else(|| {
            let facts = self.task.scores.iter().find(|facts| facts.name == name).cloned();
            self.scores.push(ScoreTotal {
                facts: facts.unwrap_or_else(|| ScoreFacts { name: name.to_owned(), ..ScoreFacts::default() }),
                states: StateCounts::default(),
                count: 0,
                mean: 0.0,
                squares: 0.0,
                binary: true,
                stated: None,
            });
            self.scores.len() - 1
        });
        &mut self.scores[place]
    }

    fn add(&mut self, record: &SampleRecord) {
        self.samples += 1;
        self.states.add(record.state, 1);
        self.epochs = self.epochs.max(record.key.epoch);
        for answer in &record.answers {
            self.totals.add(answer);
            if let Some(at) = answer.ended {
                self.ended = Some(self.ended.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        }
        for score in &record.scores {
            let total = self.score(&score.name);
            total.states.add(score.state, 1);
            if let (SampleState::Scored, Some(value)) = (score.state, score.value) {
                total.add(value);
            }
            if total.facts.grader.is_none() {
                total.facts.grader.clone_from(&score.grader);
            }
        }
    }
}

fn hash(run: usize, key: &SampleKey) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(run as u64).to_le_bytes());
    for text in [&key.task, &key.model, &key.sample] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&key.epoch.to_le_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(first)
}

/// The first pass.
struct Index<'l, 'a> {
    log: &'l mut Log<'a>,
    line: u64,
}

impl Sink for Index<'_, '_> {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        self.log.runs.push(Run { header, parts: Vec::new(), places: HashMap::new(), events: Vec::new() });
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        let Some(place) = self.log.runs.len().checked_sub(1) else { return Ok(()) };
        let run = &mut self.log.runs[place];
        match line {
            LogLine::Sample(sample) => {
                run.place(&sample.key.task, &sample.key.model);
                let hash = hash(place, &sample.key);
                self.log.last.insert(hash, self.line);
                self.log.rescores.remove(&hash);
                self.line += 1;
            }
            LogLine::Rescore(rescore) => {
                self.log.rescores.insert(hash(place, &rescore.key), *rescore);
            }
            LogLine::Result(result) => {
                let part = run.place(&result.task, &result.model);
                run.parts[part].score(&result.score).stated = Some(*result.clone());
            }
            LogLine::Event(event) => run.events.push(*event),
            LogLine::Run(_) => {}
        }
        Ok(())
    }
}

/// Takes a sample with the number of its run.
type Take<'t> = dyn FnMut(usize, SampleRecord) -> Result<(), LogError> + 't;

/// A later pass.
struct Pass<'l, 'a, 't> {
    log: &'l Log<'a>,
    run: usize,
    line: u64,
    take: &'t mut Take<'t>,
}

impl Sink for Pass<'_, '_, '_> {
    fn begin(&mut self, _: RunHeader) -> Result<(), LogError> {
        self.run += 1;
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        let LogLine::Sample(mut sample) = line else { return Ok(()) };
        let run = self.run.saturating_sub(1);
        let hash = hash(run, &sample.key);
        let counts = self.log.last.get(&hash) == Some(&self.line);
        self.line += 1;
        if !counts {
            return Ok(());
        }
        if let Some(rescore) = self.log.rescores.get(&hash) {
            sample.state = rescore.state;
            sample.scores.clone_from(&rescore.scores);
        }
        (self.take)(run, *sample)
    }
}

impl<'a> Log<'a> {
    /// Reads a log twice.
    pub(super) fn read(source: &'a Source) -> Result<Self, LogError> {
        let mut log =
            Self { source, runs: Vec::new(), notes: Vec::new(), last: HashMap::new(), rescores: HashMap::new() };
        let report = read::read(source, &mut Index { log: &mut log, line: 0 })?;
        log.notes = report.notes;
        if !report.unknown_fields.is_empty() {
            let names: Vec<&str> = report.unknown_fields.keys().map(String::as_str).take(12).collect();
            let more = if report.unknown_fields.len() > names.len() { ", ..." } else { "" };
            log.notes.push(format!("fields of the source that are not kept: {}{more}", names.join(", ")));
        }
        let mut runs = std::mem::take(&mut log.runs);
        log.each(&mut |run, sample| {
            if let Some(run) = runs.get_mut(run) {
                let part = run.place(&sample.key.task, &sample.key.model);
                run.parts[part].add(&sample);
            }
            Ok(())
        })?;
        log.runs = runs;
        Ok(log)
    }

    /// Reads it once more; `take` is given each sample as it stands at the end.
    pub(super) fn each<'t>(&self, take: &'t mut Take<'t>) -> Result<(), LogError> {
        read::read(self.source, &mut Pass { log: self, run: 0, line: 0, take }).map(|_| ())
    }

    /// Samples that count.
    pub(super) fn samples(&self) -> u64 {
        self.last.len() as u64
    }
}

/// When the export is made.
pub(super) fn now(options: &ExportOptions) -> f64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    options.now.unwrap_or_else(clock)
}

/// A time as `2026-01-02T03:04:05.600000+00:00`.
pub(super) fn iso(seconds: f64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos((seconds * 1e6).round() as i128 * 1000);
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (y, mo, d) = (at.year(), u8::from(at.month()), at.day());
    let (h, mi, s, us) = (at.hour(), at.minute(), at.second(), at.microsecond());
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{us:06}+00:00")
}

/// A name as one part of a path.
pub(super) fn file_name(name: &str, slash: &str) -> String {
    let mut safe = String::new();
    for c in name.chars() {
        match c {
            '/' => safe.push_str(slash),
            '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => safe.push('-'),
            c if c.is_control() => safe.push('-'),
            c => safe.push(c),
        }
    }
    // Systems take 255 bytes of a name, and others are added to this one.
    while safe.len() > 120 {
        safe.pop();
    }
    if safe.trim_matches('.').is_empty() { format!("_{safe}") } else { safe }
}

/// Thirty-two hexadecimal digits that are the same for the same run, task and model.
pub(super) fn identity(run: &RunHeader, part: &Part) -> String {
    let text = format!("{}\n{}\n{}", run.id, part.task.name, part.model.name);
    blake3::hash(text.as_bytes()).to_hex().as_str()[..32].to_owned()
}

/// What a form has no place for of a sample, by the names that our readers look for. The texts of answers are left to
/// the form: an answer here has the key `text` only where it has no text, and then it is null.
pub(super) fn extras(sample: &SampleRecord) -> Map<String, Value> {
    let mut extras = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            extras.insert(format!("weighbridge_{name}"), value);
        }
    };
    put("state", json!(sample.state));
    let states: BTreeMap<&str, SampleState> =
        sample.scores.iter().map(|score| (score.name.as_str(), score.state)).collect();
    put("states", json!(states));
    put("scores", json!(sample.scores));
    put("index", json!(sample.index));
    put("group", json!(sample.group));
    put("doc", json!(sample.doc));
    put("error", json!(sample.error));
    if !sample.loglikelihoods.is_empty() {
        put("loglikelihoods", json!(sample.loglikelihoods));
    }
    if let Some(input) = &sample.input {
        put("input", json!(input));
    }
    if !sample.answers.is_empty() {
        let plain = |answer: &ModelAnswer| {
            let mut value = json!(answer);
            if let (Some(fields), true) = (value.as_object_mut(), answer.text.is_some()) {
                fields.remove("text");
            }
            if let Some(fields) = value.as_object_mut() {
                fields.remove("reasoning");
            }
            value
        };
        put("answers", sample.answers.iter().map(plain).collect());
    }
    extras
}

/// The counts of states as an object.
pub(super) fn counts(states: &StateCounts) -> BTreeMap<&'static str, u64> {
    SampleState::ALL.into_iter().map(|state| (state.as_str(), states.get(state))).collect()
}

/// The settings that forms know by name, among those of a run.
pub(super) fn number(header: &RunHeader, name: &str) -> Option<Value> {
    header.settings.get(name).filter(|value| value.is_number()).cloned()
}

//! Run logs, our own and those of other programs, as rows: what `weighbridge_logs` reads, told to the lake.
//!
//! The main score of a task stands under the name of the task, the others under `task:score`. Numbers that are no
//! fraction from 0 to 1 have no place in the tables; a note counts them.

use std::collections::{BTreeMap, BTreeSet};

use time::{Date, OffsetDateTime};
use weighbridge_core::{LogLine, ResultRecord, RunHeader, SampleRecord, SampleRow, SampleState, Score, TaskFacts};
use weighbridge_logs::{FORMATS, LogError, Sink, Source};

use super::{Imported, Input, Sniff, stem};
use crate::LakeError;
use crate::schema::{ModelRow, ResultRow};
use crate::writer::Staged;

pub(super) fn sniff(input: &Input) -> Sniff {
    let known = Source::open(input.path()).is_ok_and(|source| FORMATS.iter().any(|format| format.matches(&source)));
    if known { Sniff::Yes } else { Sniff::No }
}

pub(super) fn import(input: &Input, staged: &mut Staged) -> Result<Imported, LakeError> {
    let source = Source::open(input.path()).map_err(|e| refused(input, e))?;
    let dataset = stem(input.path());
    let mut rows = Rows {
        staged,
        dataset,
        header: None,
        results: Vec::new(),
        models: BTreeSet::new(),
        own: None,
        outside: BTreeMap::new(),
    };
    let report = weighbridge_logs::read(&source, &mut rows).map_err(|error| refused(input, error))?;
    let Rows { staged, dataset, results, models, own, outside, .. } = rows;
    if !results.is_empty() {
        staged.results(&results)?;
    }
    staged.models(&models.into_iter().map(|name| model_row(&dataset, name)).collect::<Vec<_>>())?;
    let mut notes = report.notes;
    notes.insert(0, format!("read as {}", report.format));
    notes.extend(outside.into_iter().map(|(score, n)| {
        format!("{score}: {n} values outside of 0 to 1 are not in the tables; they stay in the log")
    }));
    let unknown = report.unknown_fields.into_iter().map(|(field, n)| format!("{field} ({n})")).collect();
    Ok(Imported { dataset, columns_left_out: unknown, notes, run: own })
}

/// The error of the log, or of the lake where that is its cause.
fn refused(input: &Input, error: LogError) -> LakeError {
    match error {
        LogError::Sink(cause) => match cause.downcast::<LakeError>() {
            Ok(error) => *error,
            Err(cause) => LakeError::input(input.path(), cause.to_string()),
        },
        error => LakeError::Log(error),
    }
}

struct Rows<'a, 'l> {
    staged: &'a mut Staged<'l>,
    dataset: String,
    header: Option<RunHeader>,
    results: Vec<ResultRow>,
    models: BTreeSet<String>,
    /// Id of the run, where the log is one of ours and so may grow.
    own: Option<String>,
    /// Values that the tables cannot hold, by score.
    outside: BTreeMap<String, u64>,
}

impl Sink for Rows<'_, '_> {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        if header.program.starts_with("weighbridge ") {
            self.own = Some(header.id.clone());
        }
        self.header = Some(header);
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        match line {
            LogLine::Sample(sample) => self.sample(&sample).map_err(|error| LogError::Sink(Box::new(error))),
            LogLine::Result(result) => {
                self.result(*result);
                Ok(())
            }
            LogLine::Run(_) | LogLine::Rescore(_) | LogLine::Event(_) => Ok(()),
        }
    }
}

impl Rows<'_, '_> {
    fn sample(&mut self, sample: &SampleRecord) -> Result<(), LakeError> {
        if !self.models.contains(&sample.key.model) {
            self.models.insert(sample.key.model.clone());
        }
        let task = self.header.as_ref().and_then(|h| h.tasks.iter().find(|task| task.name == sample.key.task));
        let main = task.and_then(|task| task.main_score.as_deref());
        let mut row = common(sample, task, self.header.as_ref());
        let position = sample.scores.iter().position(|score| Some(score.name.as_str()) == main).unwrap_or(0);
        if sample.scores.is_empty() {
            let state = if sample.state == SampleState::Scored { SampleState::Missing } else { sample.state };
            return self.staged.sample(&SampleRow { state, ..row });
        }
        for (i, score) in sample.scores.iter().enumerate() {
            let Some((state, value)) = self.fits(&sample.key.task, score) else { continue };
            row.benchmark.clone_from(&sample.key.task);
            if i != position {
                row.benchmark.push(':');
                row.benchmark.push_str(&score.name);
            }
            (row.state, row.score, row.grader) = (state, value, score.grader.clone());
            self.staged.sample(&row)?;
        }
        Ok(())
    }

    /// State and value where the tables can hold them.
    fn fits(&mut self, task: &str, score: &Score) -> Option<(SampleState, Option<f64>)> {
        match (score.state, score.value) {
            (SampleState::Scored, Some(value)) if (0.0..=1.0).contains(&value) => Some((score.state, Some(value))),
            (SampleState::Scored, Some(_)) => {
                *self.outside.entry(format!("{task}:{}", score.name)).or_default() += 1;
                None
            }
            // The samples together have a number, not each of them.
            (SampleState::Scored, None) => None,
            (state, _) => Some((state, None)),
        }
    }

    fn result(&mut self, result: ResultRecord) {
        if !(0.0..=1.0).contains(&result.value) {
            *self.outside.entry(format!("{}:{}", result.task, result.score)).or_default() += 1;
            return;
        }
        let row = ResultRow {
            dataset: self.dataset.clone(),
            row: self.results.len() as u64,
            model: result.model.clone(),
            model_version: None,
            configuration: None,
            benchmark: format!("{}:{}", result.task, result.score),
            value: result.value,
            n: result.samples,
            date: result.date.and_then(day),
            source: result.source,
            harness: self.header.as_ref().map(|header| header.program.clone()),
            optimized: None,
            model_release_date: None,
            benchmark_release_date: None,
        };
        self.results.push(row);
        self.models.insert(result.model);
    }
}

/// What all rows of a sample share.
fn common(sample: &SampleRecord, task: Option<&TaskFacts>, header: Option<&RunHeader>) -> SampleRow {
    // A part that is unknown makes the sum unknown.
    let sum = |get: fn(&weighbridge_core::ModelAnswer) -> Option<f64>| -> Option<f64> {
        (!sample.answers.is_empty()).then(|| sample.answers.iter().map(get).sum::<Option<f64>>()).flatten()
    };
    let ended = sample.answers.iter().filter_map(|answer| answer.ended).next_back();
    SampleRow {
        benchmark: sample.key.task.clone(),
        model: sample.key.model.clone(),
        run: header.map(|header| header.id.clone()),
        sample: sample.key.sample.clone(),
        epoch: sample.key.epoch,
        group: sample.group.clone(),
        state: sample.state,
        score: None,
        grader: None,
        cost_usd: sum(|answer| answer.cost.usd.map(|usd| usd.0)),
        output_tokens: sum(|answer| answer.usage.output.map(|n| n as f64)).map(|n| n as u64),
        output_chars: sum(|answer| answer.text.as_ref().map(|text| text.chars().count() as f64)).map(|n| n as u64),
        seconds: sum(|answer| answer.timing.map(|timing| timing.latency)),
        date: ended.or_else(|| header.and_then(|header| header.started)).and_then(day),
        dataset_size: task.and_then(|task| task.dataset.as_ref()?.size).and_then(|n| u32::try_from(n).ok()),
    }
}

fn day(seconds: f64) -> Option<Date> {
    OffsetDateTime::from_unix_timestamp(seconds as i64).ok().map(OffsetDateTime::date)
}

fn model_row(dataset: &str, name: String) -> ModelRow {
    let dataset = dataset.to_owned();
    ModelRow { dataset, name, lab: None, country: None, access: None, accessibility: None, release_date: None }
}

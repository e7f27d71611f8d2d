//! A table: one row for each score of each sample.

use std::path::Path;

use csv::Writer;
use serde_json::json;
use weighbridge_core::SampleRecord;

use super::common::{Log, Totals};
use super::{Export, ExportOptions, ExportReport};
use crate::{LogError, Source};

pub(super) const EXPORT: Export =
    Export { name: "csv", writes: "one file: a row for each score of each sample", write };

const COLUMNS: [&str; 29] = [
    "run",
    "task",
    "model",
    "sample",
    "epoch",
    "index",
    "group",
    "state",
    "score",
    "score_state",
    "value",
    "parts",
    "extracted",
    "explanation",
    "grader",
    "grading_usd",
    "target",
    "answer",
    "finish",
    "cached",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "usd",
    "seconds",
    "ended",
    "error",
];

fn write(source: &Source, output: &Path, _: &ExportOptions) -> Result<ExportReport, LogError> {
    let log = Log::read(source)?;
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder).map_err(LogError::io("create", folder))?;
    }
    let failed = |error: csv::Error| LogError::malformed(output, None, format!("cannot be written: {error}"));
    let mut table = Writer::from_path(output).map_err(failed)?;
    table.write_record(COLUMNS).map_err(failed)?;
    log.each(&mut |run, sample| {
        for row in rows(&log.runs[run].header.id, &sample) {
            table.write_record(&row).map_err(failed)?;
        }
        Ok(())
    })?;
    table.flush().map_err(LogError::io("write", output))?;
    let mut notes = log.notes.clone();
    notes.push(
        "a table has no place for prompts, reasoning, log-likelihoods, attempts and stated aggregates".to_owned(),
    );
    notes.push("several targets or answers of one sample stand in one cell as a JSON list".to_owned());
    Ok(ExportReport { files: vec![output.to_owned()], samples: log.samples(), notes })
}

fn rows(run: &str, sample: &SampleRecord) -> Vec<[String; 29]> {
    let totals = Totals::of(&sample.answers);
    let usage = totals.usage;
    let answers: Vec<&str> = sample.answers.iter().filter_map(|answer| answer.text.as_deref()).collect();
    let targets: Vec<&str> = sample.target.iter().map(String::as_str).collect();
    let last = sample.answers.last();
    let scores: Vec<_> = if sample.scores.is_empty() { vec![None] } else { sample.scores.iter().map(Some).collect() };
    let row = |score: Option<&weighbridge_core::Score>| {
        [
            run.to_owned(),
            sample.key.task.clone(),
            sample.key.model.clone(),
            sample.key.sample.clone(),
            sample.key.epoch.to_string(),
            text(sample.index),
            text(sample.group.as_ref()),
            sample.state.to_string(),
            text(score.map(|score| &score.name)),
            text(score.map(|score| score.state)),
            text(score.and_then(|score| score.value)),
            text(score.and_then(|score| score.parts.as_ref())),
            text(score.and_then(|score| score.answer.as_ref())),
            text(score.and_then(|score| score.explanation.as_ref())),
            text(score.and_then(|score| score.grader.as_ref())),
            text(score.and_then(|score| score.cost?.usd).map(|usd| usd.0)),
            cell(&targets),
            cell(&answers),
            last.and_then(|answer| answer.finish)
                .map_or_else(String::new, |finish| json!(finish).as_str().unwrap_or_default().to_owned()),
            text(last.map(|answer| answer.cached)),
            text(usage.input),
            text(usage.cache_read),
            text(usage.cache_write),
            text(usage.output),
            text(usage.reasoning),
            text(totals.usd),
            text(totals.seconds),
            text(last.and_then(|answer| answer.ended)),
            text(sample.error.as_ref()),
        ]
    };
    scores.into_iter().map(row).collect()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn cell(texts: &[&str]) -> String {
    match texts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        several => json!(several).to_string(),
    }
}

//! AlpacaEval's `annotations.json`: for each instruction two outputs and which of them a judge prefers.
//!
//! A preference lies from 1 (the output of the baseline) to 2 (that of the model); the score is what it exceeds 1 by.
//! Old judges write 0 for a draw.

use std::collections::BTreeMap;

use serde_json::Value;
use weighbridge_core::{
    Cost, LogLine, ModelAnswer, ModelFacts, Prompt, Protocol, RUN_LOG_VERSION, RunHeader, SampleKey, SampleRecord,
    SampleState, Score, ScoreFacts, TaskFacts, Usd,
};

use super::fields::{self, Fields};
use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "alpaca-eval", version: 1, needs: "AlpacaEval annotations.json", sniff, read };

/// Name of the benchmark.
const TASK: &str = "alpaca_eval";
/// The score.
const PREFERENCE: &str = "preference";

fn sniff(source: &Source) -> bool {
    let paths = fields::head_paths(source.head());
    ["*.output_1", "*.output_2", "*.instruction"].iter().all(|path| paths.contains(*path))
        && (paths.contains("*.preference") || paths.contains("*.annotator") || paths.contains("*.generator_2"))
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let path = source.path();
    let mut report = ReadReport::default();
    let (mut models, mut baselines, mut graders): (Vec<String>, Vec<String>, Vec<String>) = Default::default();
    let note = |list: &mut Vec<String>, name: Option<&Value>| {
        if let Some(name) = name.and_then(Value::as_str)
            && !list.iter().any(|known| known == name)
        {
            list.push(name.to_owned());
        }
    };
    fields::scan(path, &[&[]], &mut |_, _, item| {
        note(&mut models, item.get("generator_2"));
        note(&mut baselines, item.get("generator_1"));
        note(&mut graders, item.get("annotator"));
        if item.get("generator_2").is_none_or(Value::is_null) {
            note(&mut models, Some(&Value::from("unknown")));
        }
        Ok(())
    })?;
    let grader = if let [one] = &graders[..] { Some(one.clone()) } else { None };
    let score = ScoreFacts { name: PREFERENCE.to_owned(), aggregation: None, higher_is_better: Some(true), grader };
    sink.begin(RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id: fields::content_id("alpaca_eval", &[source.head()]),
        program: "alpaca_eval".to_owned(),
        started: None,
        tasks: vec![TaskFacts {
            name: TASK.to_owned(),
            protocol: Some(Protocol::Generate),
            main_score: Some(PREFERENCE.to_owned()),
            scores: vec![score],
            ..TaskFacts::default()
        }],
        models: models.into_iter().map(|name| ModelFacts { name, ..ModelFacts::default() }).collect(),
        settings: BTreeMap::from([("baselines".to_owned(), Value::from(baselines))]),
    })?;
    let mut times: BTreeMap<(String, [u8; 32], String), (u64, u32)> = BTreeMap::new();
    let mut outside = 0_u64;
    fields::scan(path, &[&[]], &mut |_, position, item| {
        let at = format!("{position}");
        let mut item = Fields::object(item).map_err(|found| {
            LogError::malformed(path, at.clone(), format!("an annotation must be an object, not {found}"))
        })?;
        let Some(instruction) = item.text("instruction") else {
            return Err(LogError::malformed(path, at, "no instruction in this annotation"));
        };
        let model = item.text("generator_2").unwrap_or_else(|| "unknown".to_owned());
        let grader = item.text("annotator");
        // The same instruction again is another judge's or a repeat.
        let hash = *blake3::hash(instruction.as_bytes()).as_bytes();
        let input = item.text("input").unwrap_or_default();
        let known = times.entry((model.clone(), hash, input.clone())).or_insert((position, 0));
        known.1 += 1;
        let (first, epoch) = *known;
        let stated = item.take("preference");
        let value = stated.as_ref().and_then(Value::as_f64).and_then(|preference| match preference {
            0.0 => Some(0.5),
            1.0..=2.0 => Some(preference - 1.0),
            _ => None,
        });
        outside += u64::from(value.is_none() && stated.is_some());
        let state = if value.is_some() { SampleState::Scored } else { SampleState::HarnessError };
        let price = item.number("price_per_example");
        let answer = item
            .take("output_2")
            .map(|text| ModelAnswer { text: Some(fields::as_text(text)), ..ModelAnswer::default() });
        let mut metadata = BTreeMap::new();
        let group = item.text("dataset");
        let explanation = item.text("raw_completion");
        for key in ["generator_1", "output_1", "time_per_example", "datasplit", "annotator_index", "date"] {
            metadata.extend(item.take(key).map(|value| (key.to_owned(), value)));
        }
        if state == SampleState::HarnessError {
            metadata.extend(stated.map(|stated| ("preference".to_owned(), stated)));
        }
        let prompt = if input.is_empty() { instruction } else { format!("{instruction}\n\n{input}") };
        item.count_rest("*", &mut report.unknown_fields);
        sink.line(LogLine::Sample(Box::new(SampleRecord {
            index: Some(first),
            group,
            state,
            scores: vec![Score {
                value,
                explanation,
                grader,
                cost: price.map(|price| Cost { usd: Some(Usd(price)), ..Cost::default() }),
                ..Score::new(PREFERENCE.to_owned(), state)
            }],
            input: Some(Prompt::Text(prompt)),
            answers: answer.into_iter().collect(),
            error: (state == SampleState::HarnessError).then(|| "the judge gave no preference".to_owned()),
            metadata,
            ..SampleRecord::new(SampleKey { task: TASK.to_owned(), model, sample: first.to_string(), epoch })
        })))
    })?;
    if outside > 0 {
        report
            .notes
            .push(format!("{outside} preferences do not lie from 1 to 2 and are taken as failures of the judge"));
    }
    Ok(report)
}

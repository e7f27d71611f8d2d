//! One result of an export, or one cell of its table, made a record.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use weighbridge_core::{
    Cost, ModelAnswer, ResultRecord, SampleKey, SampleRecord, SampleState, Score, Timing, Usage, Usd,
};

use super::{Export, MAIN, provider};
use crate::read::fields::{self, Fields, Unknown};

/// Gives the same number to what is the same, from 0 in the order of first sight.
#[derive(Default)]
struct Numbers(HashMap<[u8; 16], u64>);

impl Numbers {
    fn of(&mut self, text: &str) -> u64 {
        let known = self.0.len() as u64;
        *self.0.entry(short_hash(text)).or_insert(known)
    }
}

fn short_hash(text: &str) -> [u8; 16] {
    let hash = blake3::hash(text.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash.as_bytes()[..16]);
    short
}

/// What tells tests and prompts apart: hashes only, whatever their length.
#[derive(Default)]
pub(super) struct Keys {
    tests: Numbers,
    /// The first position of each test that is run several times.
    first: HashMap<[u8; 16], u64>,
    prompts: Numbers,
    times: HashMap<[u8; 16], u32>,
}

fn empty(export: &Export, model: String, sample: String, index: Option<u64>) -> SampleRecord {
    SampleRecord { index, ..SampleRecord::new(SampleKey { task: export.task.clone(), model, sample, epoch: 1 }) }
}

const fn score(name: String, state: SampleState, value: Option<f64>) -> Score {
    Score { name, state, value, parts: None, answer: None, explanation: None, grader: None, cost: None, version: None }
}

/// The sample that a result is of. Prompts are told apart where there are several, as they are other questions.
fn sample_id(export: &Export, test: u64, prompt: Option<u64>) -> String {
    match prompt {
        Some(prompt) if distinct_prompts(export) != 1 => format!("{test}:{prompt}"),
        _ => test.to_string(),
    }
}

fn distinct_prompts(export: &Export) -> usize {
    let distinct: std::collections::BTreeSet<&str> =
        export.columns.iter().map(|column| column.prompt.as_str()).collect();
    distinct.len()
}

/// One record from a result.
pub(super) fn record(export: &Export, keys: &mut Keys, mut result: Fields, unknown: &mut Unknown) -> SampleRecord {
    let mut test = result.inner("testCase");
    let mut prompt = result.inner("prompt");
    let vars = result.take("vars");
    let from_test = test.take("vars");
    let vars = vars.or(from_test);
    let shown = vars.as_ref().map(Value::to_string).unwrap_or_default();
    let column = result.count("promptIdx");
    let model = provider(result.take("provider").as_ref()).map(|(name, _)| name);
    let of_column = || export.columns.get(usize::try_from(column?).ok()?)?.model.clone();
    let model = model.or_else(of_column).or_else(|| export.only.clone()).unwrap_or_else(|| "unknown".to_owned());

    // Old versions state no position: what has the same variables is the same test.
    let index = match result.count("testIdx") {
        Some(stated) if export.repeats > 1 => *keys.first.entry(short_hash(&shown)).or_insert(stated),
        Some(stated) => stated,
        None => keys.tests.of(&shown),
    };
    let label = prompt.text("label").or_else(|| prompt.text("display"));
    let raw = prompt.text("raw");
    // The prompts of the head are numbered first, in their order.
    if keys.prompts.0.is_empty() {
        for column in &export.columns {
            keys.prompts.of(&column.prompt);
        }
    }
    let number = label.as_ref().or(raw.as_ref()).map(|text| keys.prompts.of(text));
    let mut record = empty(export, model, sample_id(export, index, number), Some(index));
    let key = format!("{}\n{}", record.key.model, record.key.sample);
    let times = keys.times.entry(short_hash(&key)).or_default();
    *times += 1;
    record.key.epoch = *times;

    record.input = raw.map(fields::prompt);
    record.metadata.extend(label.map(|label| ("prompt_label".to_owned(), label.into())));
    prompt.count_rest("results.prompt", unknown);
    let mut doc = Map::new();
    doc.extend(vars.map(|vars| ("vars".to_owned(), vars)));
    let mut rest = BTreeMap::new();
    test.keep(&mut rest);
    doc.extend(rest);
    record.doc = (!doc.is_empty()).then_some(Value::Object(doc));

    let response_failed = answer(&mut record, &mut result, unknown);
    let grader_failed = scores(&mut record, &mut result, unknown);
    let error = result.text("error");
    let reason = result.count("failureReason");
    let success = result.flag("success");
    let value = result.number("score").or_else(|| success.map(|right| f64::from(u8::from(right))));
    let answered = record.answers.iter().any(|answer| answer.text.is_some());
    record.state = if grader_failed {
        SampleState::HarnessError
    } else if response_failed.is_some() {
        SampleState::ProviderError
    } else if reason == Some(2) {
        // An answer without a score: what failed came after it.
        if answered { SampleState::HarnessError } else { SampleState::ProviderError }
    } else if reason.is_none() && error.is_some() && !answered {
        SampleState::ProviderError
    } else if value.is_some() {
        SampleState::Scored
    } else {
        SampleState::Missing
    };
    record.error = if record.state == SampleState::Scored { None } else { error.clone().or(response_failed) };
    let mut main = score(MAIN.to_owned(), record.state, value.filter(|_| record.state == SampleState::Scored));
    main.explanation = record.metadata.remove("reason").map(fields::as_text);
    if record.state == SampleState::Scored && error.is_some() && error != main.explanation {
        record.metadata.extend(error.map(|error| ("error".to_owned(), error.into())));
    }
    record.scores.insert(0, main);
    record.metadata.extend(success.map(|right| ("success".to_owned(), right.into())));
    for key in ["id", "promptId", "description", "evalId", "metadata"] {
        record.metadata.extend(result.take(key).map(|value| (key.to_owned(), value)));
    }
    result.count_rest("results", unknown);
    record
}

/// Takes the answer; an error of the provider is given back.
fn answer(record: &mut SampleRecord, result: &mut Fields, unknown: &mut Unknown) -> Option<String> {
    let has_response = result.has("response");
    let mut response = result.inner("response");
    let text = response.take("output").map(fields::as_text);
    let error = response.take("error").map(fields::as_text).filter(|error| !error.is_empty());
    let tokens = response.inner("tokenUsage");
    let tokens = if tokens.keys().is_empty() { result.inner("tokenUsage") } else { tokens };
    result.take("tokenUsage");
    let (usage, besides) = usage(tokens);
    record.metadata.extend(besides.map(|besides| ("token_usage".to_owned(), besides)));
    // Where a provider states no cost promptfoo writes 0 for the result.
    let of_result = result.number("cost");
    let cost = response.number("cost").or(of_result.filter(|&cost| cost != 0.0));
    let latency = result.number("latencyMs");
    let latency = latency.or_else(|| response.number("latencyMs"));
    let stated = response.text("finishReason");
    let cached = response.flag("cached").unwrap_or(false);
    let reasoning = response.text("reasoning");
    let mut rest = BTreeMap::new();
    // The raw answer of the host says the same once more, at length.
    if response.take("raw").is_some() {
        fields::count_unknown(unknown, "results.response", "raw");
    }
    response.take("latencyMs");
    response.keep(&mut rest);
    if !rest.is_empty() {
        record.metadata.insert("response".to_owned(), Value::Object(rest.into_iter().collect()));
    }
    if has_response && (text.is_some() || error.is_none()) {
        record.answers.push(ModelAnswer {
            text,
            reasoning,
            finish: stated.as_deref().map(fields::finish),
            finish_stated: stated,
            usage,
            cost: Cost { usd: cost.map(Usd), ..Cost::default() },
            timing: latency.map(|ms| Timing { latency: ms / 1e3, ..Timing::default() }),
            cached,
            ..ModelAnswer::default()
        });
    }
    error
}

/// Tokens in our meaning, and what is stated besides. `cached` of promptfoo are tokens that were not asked for again.
fn usage(mut tokens: Fields) -> (Usage, Option<Value>) {
    let whole = Value::Object(tokens.rest_copy());
    let input = tokens.count("prompt");
    let output = tokens.count("completion");
    let reasoning = tokens.inner("completionDetails").count("reasoning");
    let total = tokens.count("total");
    let told = total.is_none_or(|total| input.zip(output).is_some_and(|(input, output)| input + output == total));
    let rest = tokens.into_rest().into_iter().any(|(_, value)| value != 0 && !value.is_null());
    (Usage { input, output, reasoning, ..Usage::default() }, (rest || !told).then_some(whole))
}

/// Takes the scores beside the main one; true where a grader failed.
fn scores(record: &mut SampleRecord, result: &mut Fields, unknown: &mut Unknown) -> bool {
    let mut grading = result.inner("gradingResult");
    let named = result.inner("namedScores");
    let in_grading = grading.inner("namedScores");
    let named = if named.keys().is_empty() { in_grading } else { named };
    for (name, value) in named.into_rest() {
        let state = if value.is_number() { SampleState::Scored } else { SampleState::Missing };
        record.scores.push(score(name, state, value.as_f64()));
    }
    let mut failed = grader_error(&grading.inner("metadata").into_rest());
    for (position, component) in grading.list("componentResults").into_iter().enumerate() {
        let mut component = Fields::of(Some(component));
        let mut assertion = component.inner("assertion");
        let kind = assertion.text("type").unwrap_or_else(|| "assertion".to_owned());
        let error = grader_error(&component.inner("metadata").into_rest());
        failed |= error;
        let value = component.number("score");
        let pass = component.flag("pass");
        let value = value.or_else(|| pass.map(|pass| f64::from(u8::from(pass))));
        let state = match value {
            _ if error => SampleState::HarnessError,
            Some(_) => SampleState::Scored,
            None => SampleState::Missing,
        };
        let mut one = score(format!("{position}:{kind}"), state, value.filter(|_| !error));
        one.explanation = component.text("reason");
        one.grader = provider(assertion.take("provider").as_ref()).map(|(name, _)| name);
        let mut parts = BTreeMap::new();
        parts.extend(pass.map(|pass| ("pass".to_owned(), pass.into())));
        for key in ["metric", "threshold", "weight", "value"] {
            parts.extend(assertion.take(key).map(|value| (key.to_owned(), value)));
        }
        one.parts = (!parts.is_empty()).then(|| Value::Object(parts.into_iter().collect()));
        component.count_rest("results.gradingResult.componentResults.*", unknown);
        assertion.count_rest("results.gradingResult.componentResults.*.assertion", unknown);
        record.scores.push(one);
    }
    record.metadata.extend(grading.take("reason").map(|reason| ("reason".to_owned(), reason)));
    // They say what the result says.
    for key in ["pass", "score"] {
        grading.take(key);
    }
    if let Some(tokens) = grading.take("tokensUsed")
        && tokens.as_object().is_some_and(|map| map.values().any(|value| value != 0))
    {
        record.metadata.insert("grading_tokens".to_owned(), tokens);
    }
    grading.count_rest("results.gradingResult", unknown);
    failed
}

fn grader_error(metadata: &Map<String, Value>) -> bool {
    metadata.get("graderError").is_some_and(|error| *error == Value::Bool(true))
}

/// The records of a row of a table: one for each column.
pub(super) fn row(
    export: &Export,
    position: u64,
    row: Value,
    unknown: &mut Unknown,
) -> Result<Vec<SampleRecord>, String> {
    let mut row = Fields::object(row).map_err(|kind| format!("a row must be an object, not {kind}"))?;
    let vars: Vec<Value> = row.list("vars");
    let vars: Map<String, Value> = export.vars.iter().cloned().zip(vars).collect();
    let mut prompts = Numbers::default();
    let index = row.count("testIdx").unwrap_or(position);
    let mut records = Vec::new();
    for (i, cell) in row.list("outputs").into_iter().enumerate() {
        let column = export.columns.get(i);
        let model = column.and_then(|column| column.model.clone()).or_else(|| export.only.clone());
        let prompt = column.map(|column| prompts.of(&column.prompt));
        let model = model.unwrap_or_else(|| "unknown".to_owned());
        let mut record = empty(export, model, sample_id(export, index, prompt), Some(index));
        record.doc =
            (!vars.is_empty()).then(|| Value::Object(Map::from_iter([("vars".to_owned(), vars.clone().into())])));
        match cell {
            // The first versions wrote the text alone, with the verdict before it.
            Value::String(text) => {
                let (value, text) = match (text.strip_prefix("[PASS] "), text.strip_prefix("[FAIL] ")) {
                    (Some(rest), _) => (Some(1.0), rest.to_owned()),
                    (_, Some(rest)) => (Some(0.0), rest.to_owned()),
                    _ => (None, text),
                };
                record.answers.push(ModelAnswer { text: Some(text), ..ModelAnswer::default() });
                record.state = if value.is_some() { SampleState::Scored } else { SampleState::Missing };
                record.scores.push(score(MAIN.to_owned(), record.state, value));
            }
            Value::Object(map) => record = cell_record(record, Fields::of(Some(Value::Object(map))), unknown),
            other => return Err(format!("an output must be a text or an object, not {}", fields::kind(&other))),
        }
        records.push(record);
    }
    row.take("test");
    row.count_rest("table.body", unknown);
    Ok(records)
}

/// A cell of the table has the fields of a result under other names.
fn cell_record(mut record: SampleRecord, mut cell: Fields, unknown: &mut Unknown) -> SampleRecord {
    let text = cell.text("text");
    let pass = cell.flag("pass");
    let value = cell.number("score").or_else(|| pass.map(|pass| f64::from(u8::from(pass))));
    if let Some((name, _)) = provider(cell.take("provider").as_ref()) {
        record.key.model = name;
    }
    record.input = cell.text("prompt").map(fields::prompt);
    let error = cell.text("error");
    let reason = cell.count("failureReason");
    let (usage, besides) = usage(cell.inner("tokenUsage"));
    record.metadata.extend(besides.map(|besides| ("token_usage".to_owned(), besides)));
    let cost = cell.number("cost").filter(|&cost| cost != 0.0);
    record.answers.push(ModelAnswer {
        text,
        usage,
        cost: Cost { usd: cost.map(Usd), ..Cost::default() },
        timing: cell.number("latencyMs").map(|ms| Timing { latency: ms / 1e3, ..Timing::default() }),
        ..ModelAnswer::default()
    });
    let failed = scores(&mut record, &mut cell, unknown);
    record.state = match value {
        _ if failed => SampleState::HarnessError,
        _ if reason == Some(2) => SampleState::ProviderError,
        Some(_) => SampleState::Scored,
        None => SampleState::Missing,
    };
    record.error = error.filter(|_| record.state != SampleState::Scored);
    let mut main = score(MAIN.to_owned(), record.state, value.filter(|_| record.state == SampleState::Scored));
    main.explanation = record.metadata.remove("reason").map(fields::as_text);
    record.scores.insert(0, main);
    cell.count_rest("table.body.outputs", unknown);
    record
}

/// The mean score of each column, as its sum and counts state it.
pub(super) fn aggregates(export: &Export) -> Vec<ResultRecord> {
    let one = |column: &super::Column| {
        let metrics = column.metrics.as_ref()?;
        let number = |key: &str| metrics.get(key).and_then(Value::as_f64);
        let counts = ["testPassCount", "testFailCount", "testErrorCount"];
        let tests: f64 = counts.iter().filter_map(|key| number(key)).sum();
        let mut metadata = BTreeMap::from([("prompt".to_owned(), Value::from(column.prompt.clone()))]);
        metadata.insert("metrics".to_owned(), metrics.clone());
        (tests > 0.0).then_some(ResultRecord {
            task: export.task.clone(),
            model: column.model.clone().or_else(|| export.only.clone())?,
            score: MAIN.to_owned(),
            value: number("score")? / tests,
            samples: Some(tests as u64),
            higher_is_better: Some(true),
            metadata,
            ..ResultRecord::default()
        })
    };
    export.columns.iter().filter_map(one).collect()
}

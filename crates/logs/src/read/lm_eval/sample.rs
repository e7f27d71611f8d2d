//! The rows of one sample, made one record.

use serde_json::{Map, Value};
use weighbridge_core::{ContinuationScore, ModelAnswer, Protocol, SampleKey, SampleRecord, SampleState, Score};

use super::rows::SampleRows;
use crate::LogError;
use crate::read::fields::{self, Fields, Unknown};

/// What the filters of the harness give where they find no answer.
const INVALID: &str = "[invalid]";

/// What is known of a task when its samples are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// The task.
    pub task: &'a str,
    /// The model.
    pub model: &'a str,
    /// Filters in order, for rows that do not say theirs.
    pub filters: &'a [String],
    /// How the model was asked.
    pub protocol: Option<Protocol>,
    /// The score that the state of a sample goes by.
    pub main: Option<&'a str>,
}

/// A request of a sample: a context, and what was asked of it.
struct Request {
    context: Option<Value>,
    asked: Option<Value>,
}

/// The requests of a row: newer versions write `{"gen_args_0": {"arg_0": …}}`, older ones a list of lists.
fn requests(arguments: Value) -> Option<Vec<Request>> {
    let request = |value: Value| -> Option<Request> {
        let mut parts = match value {
            Value::Array(list) => list.into_iter(),
            Value::Object(map) => map.into_iter().map(|(_, value)| value).collect::<Vec<_>>().into_iter(),
            _ => return None,
        };
        let (context, asked) = (parts.next(), parts.next());
        parts.next().is_none().then_some(Request { context, asked })
    };
    match arguments {
        Value::Array(list) => list.into_iter().map(request).collect(),
        Value::Object(map) => map.into_iter().map(|(_, value)| request(value)).collect(),
        _ => None,
    }
}

/// A number that may be written as a text.
fn number(value: &Value) -> Option<f64> {
    let text = || value.as_str()?.trim().parse::<f64>().ok();
    value.as_f64().or_else(text).filter(|number| !number.is_nan())
}

/// True or false as it is or as Python prints it.
fn flag(value: &Value) -> Option<bool> {
    match value.as_str() {
        Some("True") => Some(true),
        Some("False") => Some(false),
        _ => value.as_bool(),
    }
}

/// A likelihood: a pair of number and flag, or for rolling ones the number alone.
fn likelihood(response: &Value) -> Option<(f64, Option<bool>)> {
    match response.as_array().map(Vec::as_slice) {
        Some([value, greedy]) => Some((number(value)?, Some(flag(greedy)?))),
        Some(_) => None,
        None => Some((number(response)?, None)),
    }
}

/// How the model was asked, from the shape of a row: a text to go on with, or settings of a generation.
pub(super) fn protocol(row: &Fields) -> Option<Protocol> {
    let mut row = Fields::of(Some(Value::Object(row.rest_copy())));
    let first = requests(row.take("arguments")?)?.into_iter().next()?;
    match first.asked {
        Some(Value::Object(_)) => Some(Protocol::Generate),
        Some(Value::String(_)) | None => Some(Protocol::Loglikelihood),
        Some(_) => None,
    }
}

/// The first score of a row.
pub(super) fn first_score(row: &Fields, filters: &[String]) -> Option<String> {
    let mut row = Fields::of(Some(Value::Object(row.rest_copy())));
    let filter = row.text("filter").or_else(|| filters.first().cloned()).unwrap_or_else(|| "none".to_owned());
    let stated = row.list("metrics").into_iter().find_map(|metric| metric.as_str().map(str::to_owned));
    let metric = stated
        .or_else(|| row.into_rest().into_iter().map(|(key, _)| key).find(|key| !KNOWN.contains(&key.as_str())))?;
    Some(format!("{metric},{filter}"))
}

/// Keys of a row that are no metrics.
const KNOWN: [&str; 11] = [
    "doc_id",
    "doc",
    "target",
    "arguments",
    "resps",
    "filtered_resps",
    "filter",
    "metrics",
    "doc_hash",
    "prompt_hash",
    "target_hash",
];

/// True where each text in it says that no answer was found.
fn is_invalid(value: &Value) -> bool {
    match value {
        Value::String(text) => text == INVALID,
        Value::Array(list) => !list.is_empty() && list.iter().all(is_invalid),
        _ => false,
    }
}

/// The first text in it.
fn first_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => list.first().and_then(first_text),
        _ => None,
    }
}

/// One record from the rows of a sample.
pub(super) fn record(
    reading: &Reading<'_>,
    sample: SampleRows,
    unknown: &mut Unknown,
) -> Result<SampleRecord, LogError> {
    let mut record = SampleRecord {
        index: Some(sample.doc),
        ..SampleRecord::new(SampleKey {
            task: reading.task.to_owned(),
            model: reading.model.to_owned(),
            sample: sample.doc.to_string(),
            epoch: sample.epoch,
        })
    };
    for (position, (mut row, at)) in sample.rows.into_iter().enumerate() {
        let bad = |problem: String| LogError::malformed(&sample.path, at.clone(), problem);
        row.take("doc_id");
        // What the model was asked and said is the same in the row of every filter.
        let asked = (row.take("doc"), row.take("target"), row.take("arguments"), row.take("resps"));
        if position == 0 {
            common(&mut record, reading, asked).map_err(bad)?;
        }
        scores(&mut record, reading, position, row, unknown);
    }
    let main = record.scores.iter().find(|score| Some(score.name.as_str()) == reading.main);
    record.state = main.or(record.scores.first()).map_or(SampleState::Missing, |score| score.state);
    Ok(record)
}

type Asked = (Option<Value>, Option<Value>, Option<Value>, Option<Value>);

/// What the rows of all filters share.
fn common(record: &mut SampleRecord, reading: &Reading<'_>, asked: Asked) -> Result<(), String> {
    let (doc, target, arguments, responses) = asked;
    let requests = match arguments {
        Some(value) => requests(value).ok_or("arguments are neither a list of lists nor an object of objects")?,
        None => Vec::new(),
    };
    let responses = match responses {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(format!("resps must be a list, not {}", fields::kind(&other))),
    };
    let mut gold = None;
    if reading.protocol == Some(Protocol::Loglikelihood) {
        likelihoods(record, requests, &responses)?;
        gold = target.as_ref().and_then(gold_positions);
        if let Some(gold) = &gold {
            record.target = gold.iter().filter_map(|&i| record.choices.get(i as usize).cloned()).collect();
        }
    } else {
        generated(record, requests, responses);
    }
    if record.target.is_empty() {
        record.target = target.map(texts).unwrap_or_default();
    }
    let mut doc = match doc {
        Some(Value::Object(map)) => map,
        Some(other) => Map::from_iter([("doc".to_owned(), other)]),
        None => Map::new(),
    };
    if let Some(gold) = gold
        && !doc.contains_key("gold")
    {
        let value = if let [one] = gold[..] { one.into() } else { gold.into() };
        doc.insert("gold".to_owned(), value);
    }
    record.doc = (!doc.is_empty()).then_some(Value::Object(doc));
    Ok(())
}

/// Positions of right choices: a number or a list of numbers, mostly as text.
fn gold_positions(target: &Value) -> Option<Vec<u64>> {
    match target {
        Value::String(text) => match serde_json::from_str(text).ok()? {
            Value::String(_) => None,
            value => gold_positions(&value),
        },
        Value::Array(list) if !list.is_empty() => list.iter().map(fields::count).collect(),
        value => Some(vec![fields::count(value)?]),
    }
}

/// Right answers: a list is each of its items.
fn texts(target: Value) -> Vec<String> {
    match target {
        Value::Array(list) => list.into_iter().map(fields::as_text).collect(),
        other => vec![fields::as_text(other)],
    }
}

/// A context: a text, or the conversation that a chat model was sent as a text in a list.
fn context(value: Value) -> Option<weighbridge_core::Prompt> {
    match value {
        Value::String(text) => Some(fields::prompt(text)),
        Value::Array(mut list) => match list.as_mut_slice() {
            [Value::String(text)] => Some(fields::prompt(std::mem::take(text))),
            _ => fields::turns(&Value::Array(list)).map(weighbridge_core::Prompt::Messages),
        },
        _ => None,
    }
}

fn likelihoods(record: &mut SampleRecord, requests: Vec<Request>, responses: &[Value]) -> Result<(), String> {
    if requests.len() != responses.len() {
        return Err(format!("{} arguments and {} resps: they must be as many", requests.len(), responses.len()));
    }
    let mut contexts = Vec::with_capacity(requests.len());
    for (i, (request, response)) in requests.into_iter().zip(responses).enumerate() {
        // Each request has a list of responses, of which there is one.
        let inner = response.as_array().and_then(|list| list.first()).unwrap_or(response);
        let Some((logprob, greedy)) = likelihood(inner) else {
            return Err(format!("resps.{i} is no log-likelihood but {inner}"));
        };
        let (context, continuation) = match request.asked {
            Some(asked) => (request.context, fields::as_text(asked)),
            // Of a whole text there is no context.
            None => (None, request.context.map(fields::as_text).unwrap_or_default()),
        };
        contexts.push(context);
        record.loglikelihoods.push(ContinuationScore { continuation, logprob, greedy, tokens: None });
    }
    if contexts.windows(2).any(|pair| pair[0] != pair[1]) {
        let list = contexts.iter().map(|context| context.clone().unwrap_or(Value::Null)).collect();
        record.metadata.insert("contexts".to_owned(), Value::Array(list));
    } else if contexts.len() > 1 {
        let white = |score: &ContinuationScore| score.continuation.trim_start().to_owned();
        record.choices = record.loglikelihoods.iter().map(white).collect();
    }
    record.input = contexts.into_iter().next().flatten().and_then(context);
    Ok(())
}

fn generated(record: &mut SampleRecord, requests: Vec<Request>, responses: Vec<Value>) {
    let mut requests = requests.into_iter();
    if let Some(first) = requests.next() {
        record.input = first.context.and_then(context);
        record.metadata.extend(first.asked.map(|settings| ("generation_kwargs".to_owned(), settings)));
    }
    let more: Vec<Value> = requests.map(|request| request.context.unwrap_or(Value::Null)).collect();
    if !more.is_empty() {
        record.metadata.insert("further_contexts".to_owned(), Value::Array(more));
    }
    let mut add = |value: Value| {
        let text = if value.is_null() { None } else { Some(fields::as_text(value)) };
        record.answers.push(ModelAnswer { text, ..ModelAnswer::default() });
    };
    for response in responses {
        match response {
            Value::Array(list) => list.into_iter().for_each(&mut add),
            other => add(other),
        }
    }
}

/// The scores of one row.
fn scores(record: &mut SampleRecord, reading: &Reading<'_>, position: usize, mut row: Fields, unknown: &mut Unknown) {
    let filter = row.text("filter").or_else(|| reading.filters.get(position).cloned());
    let filter = filter.unwrap_or_else(|| if position == 0 { "none".to_owned() } else { format!("filter {position}") });
    let filtered = row.take("filtered_resps");
    let invalid = filtered.as_ref().is_some_and(is_invalid);
    let generate = reading.protocol != Some(Protocol::Loglikelihood);
    let answer = filtered.as_ref().filter(|_| generate && !invalid).and_then(first_text);
    for key in ["doc_hash", "prompt_hash", "target_hash"] {
        record.metadata.extend(row.take(key).map(|hash| (key.to_owned(), hash)));
    }
    let stated = row.has("metrics");
    let metrics = row.list("metrics").into_iter().filter_map(|metric| metric.as_str().map(str::to_owned));
    // Old rows do not list their metrics: they are all that is not something else.
    let metrics: Vec<String> = if stated { metrics.collect() } else { row.keys() };
    for metric in metrics {
        let value = row.take(&metric).unwrap_or(Value::Null);
        let number = value.as_f64().or_else(|| value.as_bool().map(|right| f64::from(u8::from(right))));
        let (state, number, parts) = match (invalid, number) {
            (true, _) => {
                let parts = Map::from_iter([("lm_eval".to_owned(), value)]);
                (SampleState::WrongFormat, None, Some(Value::Object(parts)))
            }
            (false, Some(number)) => (SampleState::Scored, Some(number), None),
            // NaN has become null.
            (false, None) if value.is_null() => (SampleState::Missing, None, None),
            (false, None) => (SampleState::Scored, None, Some(value)),
        };
        record.scores.push(Score {
            value: number,
            parts,
            answer: answer.clone(),
            ..Score::new(format!("{metric},{filter}"), state)
        });
    }
    super::count_row(row, unknown);
}

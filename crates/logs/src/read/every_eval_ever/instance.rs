//! A row of an instance file: one sample under one result.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use weighbridge_core::{Message, ModelAnswer, Prompt, SampleKey, SampleRecord, SampleState, Score, Timing, Usage};

use super::super::json::{Fields, Unknown, as_text, is_filled, texts};
use super::aggregate::Place;

/// Members of a row.
pub(super) const MEMBERS: &[&str] = &[
    "schema_version",
    "evaluation_id",
    "model_id",
    "evaluation_name",
    "evaluation_result_id",
    "sample_id",
    "sample_hash",
    "interaction_type",
    "input",
    "output",
    "messages",
    "answer_attribution",
    "evaluation",
    "token_usage",
    "performance",
    "error",
    "metadata",
];

/// Reads rows, and counts the repeats of each sample.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Results by id and by name.
    pub(super) places: BTreeMap<String, Place>,
    /// The model of the aggregate; without one each row names its own.
    pub(super) model: Option<String>,
    /// Rows of each task and sample so far.
    pub(super) seen: HashMap<(String, String), u32>,
    /// Rows that no result claims.
    pub(super) strays: u64,
    /// Rows that name another model than their aggregate.
    pub(super) other_models: u64,
}

impl Rows {
    pub(super) fn read(&mut self, members: Map<String, Value>, unknown: &mut Unknown) -> SampleRecord {
        let mut row = Fields::new(members, "rows.*");
        let name = row.text("evaluation_name").unwrap_or_default();
        let result = row.text("evaluation_result_id");
        let found = result.as_ref().and_then(|id| self.places.get(id)).or_else(|| self.places.get(&name)).cloned();
        if found.is_none() && !self.places.is_empty() {
            self.strays += 1;
        }
        let place = found.unwrap_or_else(|| Place { task: name, score: "score".to_owned(), grader: None });
        let stated_model = row.text("model_id");
        if self.model.is_some() && stated_model.is_some() && self.model != stated_model {
            self.other_models += 1;
        }
        let model = self.model.clone().or(stated_model).unwrap_or_default();
        let sample = row.text("sample_id").unwrap_or_default();
        row.take("evaluation_id");
        row.take("schema_version");

        let mut metadata = BTreeMap::new();
        let mut details = row.object("metadata", unknown);
        let epoch = details.text("epoch").and_then(|epoch| epoch.parse::<u32>().ok()).filter(|&epoch| epoch > 0);
        for (key, value) in details.into_rest() {
            keep(&mut metadata, &key, Some(value));
        }
        let count = self.seen.entry((place.task.clone(), sample.clone())).or_insert(0);
        *count += 1;
        let epoch = epoch.unwrap_or(*count);

        let mut input = row.object("input", unknown);
        let raw = input.text("raw");
        let formatted = input.text("formatted");
        let target = texts(input.take("reference"));
        let choices = texts(input.take("choices"));
        input.finish(unknown);
        let messages = match row.take("messages") {
            Some(Value::Array(messages)) => messages,
            _ => Vec::new(),
        };
        let mut output = row.object("output", unknown);
        let written = texts(output.take("raw"));
        let thought = texts(output.take("reasoning_trace"));
        output.finish(unknown);

        let mut evaluation = row.object("evaluation", unknown);
        let value = evaluation.f64("score");
        let correct = evaluation.bool("is_correct");
        for key in ["num_turns", "tool_calls_count"] {
            keep(&mut metadata, key, evaluation.take(key));
        }
        evaluation.finish(unknown);
        keep(&mut metadata, "is_correct", correct.map(Value::from));
        let attribution = row.take("answer_attribution");
        let answer = attribution.as_ref().and_then(Value::as_array).and_then(|all| {
            let last = |one: &&Value| one.get("is_terminal").and_then(Value::as_bool) == Some(true);
            all.iter().rev().find(last).or_else(|| all.last())?.get("extracted_value").map(as_text)
        });
        keep(&mut metadata, "answer_attribution", attribution);
        let error = row.text("error");
        let value = value.or_else(|| correct.map(|correct| f64::from(u8::from(correct))));
        let state = state(value, error.as_deref());
        let score = Score {
            value: value.filter(|_| state == SampleState::Scored),
            // The form asks for a score even where an error left none.
            parts: value.filter(|_| state != SampleState::Scored).map(|value| serde_json::json!({ "value": value })),
            answer,
            grader: place.grader,
            ..Score::new(place.score, state)
        };

        let usage = usage(&mut row, unknown);
        let timing = timing(&mut row, &mut metadata, unknown);
        let mut answers: Vec<ModelAnswer> = Vec::new();
        for (index, text) in written.into_iter().enumerate() {
            let reasoning = thought.get(index).cloned();
            answers.push(ModelAnswer { text: Some(text), reasoning, ..ModelAnswer::default() });
        }
        let last = messages.iter().rev().find(|turn| turn.get("role").and_then(Value::as_str) == Some("assistant"));
        if answers.is_empty()
            && let Some(turn) = last
        {
            let of = |name: &str| turn.get(name).filter(|value| is_filled(value)).map(as_text);
            answers.push(ModelAnswer {
                text: of("content"),
                reasoning: of("reasoning_trace"),
                ..ModelAnswer::default()
            });
        }
        if answers.is_empty() && (usage != Usage::default() || timing.is_some()) {
            answers.push(ModelAnswer::default());
        }
        if let Some(first) = answers.first_mut() {
            first.usage = usage;
            first.timing = timing;
        }
        let prompt = if let Some(formatted) = formatted.clone() {
            Some(Prompt::Text(formatted))
        } else if messages.is_empty() {
            raw.clone().map(Prompt::Text)
        } else {
            Some(Prompt::Messages(asked(&messages)))
        };
        let raw_too = formatted.is_some() || !messages.is_empty();
        let doc = raw.filter(|_| raw_too).map(|raw| serde_json::json!({ "input": raw }));
        keep(&mut metadata, "transcript", Some(Value::Array(messages)));
        keep(&mut metadata, "evaluation_result_id", result.map(Value::from));
        for key in ["sample_hash", "interaction_type"] {
            keep(&mut metadata, key, row.take(key));
        }
        row.finish(unknown);
        SampleRecord {
            state,
            scores: vec![score],
            input: prompt,
            choices,
            target,
            doc,
            answers,
            error,
            metadata,
            ..SampleRecord::new(SampleKey { task: place.task, model, sample, epoch })
        }
    }
}

/// The state of a row. An error is the provider's where its words say so, a refusal or a cut where they say that.
fn state(value: Option<f64>, error: Option<&str>) -> SampleState {
    let Some(error) = error.filter(|error| !error.trim().is_empty()) else {
        return if value.is_some() { SampleState::Scored } else { SampleState::Missing };
    };
    let error = error.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if says(&["refus", "content_filter", "content filter"]) {
        SampleState::Refused
    } else if says(&["max_tokens", "truncat", "context length"]) {
        SampleState::Truncated
    } else if says(&["api", "timed out", "timeout", "rate limit", "overloaded", "server error", "connection"]) {
        SampleState::ProviderError
    } else {
        SampleState::HarnessError
    }
}

/// The turns before the first of the model.
fn asked(messages: &[Value]) -> Vec<Message> {
    let text = |turn: &Value, name: &str| turn.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    messages
        .iter()
        .map(|turn| Message::new(text(turn, "role"), text(turn, "content")))
        .take_while(|turn| turn.role != "assistant")
        .collect()
}

fn usage(row: &mut Fields, unknown: &mut Unknown) -> Usage {
    let mut tokens = row.object("token_usage", unknown);
    let usage = Usage {
        input: tokens.u64("input_tokens"),
        cache_read: tokens.u64("input_tokens_cache_read"),
        cache_write: tokens.u64("input_tokens_cache_write"),
        cache_write_1h: None,
        output: tokens.u64("output_tokens"),
        reasoning: tokens.u64("reasoning_tokens"),
    };
    // The form calls them total; the sum says no more than its parts.
    tokens.u64("total_tokens");
    tokens.finish(unknown);
    usage
}

fn timing(row: &mut Fields, metadata: &mut BTreeMap<String, Value>, unknown: &mut Unknown) -> Option<Timing> {
    let mut performance = row.object("performance", unknown);
    let latency = performance.f64("latency_ms");
    let first = performance.f64("time_to_first_token_ms");
    let generation = performance.f64("generation_time_ms");
    keep(metadata, "generation_time_ms", generation.map(Value::from));
    keep(metadata, "performance", performance.take("additional_details"));
    performance.finish(unknown);
    let latency = latency.or(generation)?;
    Some(Timing { latency: latency / 1e3, first_token: first.map(|first| first / 1e3), queue: 0.0 })
}

fn keep(metadata: &mut BTreeMap<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value.filter(is_filled) {
        metadata.insert(name.to_owned(), value);
    }
}

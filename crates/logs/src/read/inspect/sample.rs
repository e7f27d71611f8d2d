//! One sample of an Inspect log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weighbridge_core::{
    Cost, Finish, Message, ModelAnswer, Prompt, SampleKey, SampleRecord, ServedBy, Timing, Usage, Usd,
};

use super::super::json::{Fields, Unknown, as_text, is_filled, texts};
use super::header::Context;
use super::score::{Outcome, scores};

/// Members of a sample that are kept; events and the store are passed over.
pub(super) const MEMBERS: &[&str] = &[
    "id",
    "epoch",
    "input",
    "choices",
    "target",
    "sandbox",
    "files",
    "setup",
    "messages",
    "output",
    "scores",
    "score",
    "metadata",
    "model_usage",
    "role_usage",
    "started_at",
    "completed_at",
    "total_time",
    "working_time",
    "uuid",
    "invalidation",
    "error",
    "error_retries",
    "retries",
    "completed",
    "message_count",
    "attachments",
    "limit",
];

/// Bytes of attachments that are put into one sample.
const ATTACHED: usize = 64 << 20;

/// A sample as a line of ours.
pub(super) fn read(members: Map<String, Value>, context: &Context, unknown: &mut Unknown) -> SampleRecord {
    let mut sample = Fields::new(members, "samples.*");
    let id = sample.text("id").unwrap_or_default();
    let epoch = sample.u64("epoch").map_or(1, |epoch| epoch as u32).max(1);
    let mut attachments = Attachments::new(sample.take("attachments"));
    let mut resolve = |value: Option<Value>| value.map(|value| attachments.resolve(value));

    let input = resolve(sample.take("input"));
    let messages = match resolve(sample.take("messages")) {
        Some(Value::Array(messages)) => messages,
        _ => Vec::new(),
    };
    let mut output = sample.object("output", unknown);
    let choices = match resolve(output.take("choices")) {
        Some(Value::Array(choices)) => choices,
        _ => Vec::new(),
    };
    let completion = resolve(output.take("completion"));
    let stated_scores = resolve(sample.take("scores")).or_else(|| {
        // The form of version 1: one score, of the only scorer.
        let score = resolve(sample.take("score"))?;
        let name = context.scorers.first().map_or("score", |scorer| scorer.name.as_str()).to_owned();
        Some(Value::Object([(name, score)].into_iter().collect()))
    });
    let metadata = resolve(sample.take("metadata"));
    let references = attachments.left_out;
    if references > 0 {
        super::super::json::count(unknown, "samples.*.attachments", references);
    }

    let mut beside = BTreeMap::new();
    let keep = |beside: &mut BTreeMap<String, Value>, name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(is_filled) {
            beside.insert(name.to_owned(), value);
        }
    };

    let (prompt, rest) = split(&messages);
    let single = rest.len() <= 1;
    let error = sample.take("error");
    let message = error.as_ref().map(|error| error.get("message").map_or_else(|| as_text(error), as_text));
    let traceback = error.as_ref().and_then(|error| error.get("traceback")?.as_str()).unwrap_or_default();
    let limit = sample.take("limit");
    let limit_kind = limit.as_ref().and_then(|limit| limit.as_str().or_else(|| limit.get("type")?.as_str()));
    let output_error = output.take("error").map(|error| as_text(&error));
    let stop_reason = choices.first().and_then(|choice| choice.get("stop_reason")?.as_str());
    let outcome = Outcome {
        error: message.as_deref().map(|message| (message, traceback)),
        output_error: output_error.as_deref(),
        stop_reason,
        limit: limit_kind,
    };
    let (scores, of_scores) = scores(stated_scores, outcome, context, unknown);
    let state = scores.first().map_or_else(|| outcome.state(), |score| score.state);
    for (name, value) in of_scores {
        let all = beside.entry("scores".to_owned()).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(all) = all {
            all.insert(name, value);
        }
    }

    let total_time = sample.f64("total_time");
    let working_time = sample.f64("working_time");
    let model_usage = sample.take("model_usage");
    let last_usage = output.take("usage");
    let graded_by_itself = scores.iter().any(|score| score.grader.as_deref() == Some(context.model.as_str()));
    let whole_usage = model_usage.as_ref().and_then(|usage| usage.get(&context.model)).cloned();
    let stated_usage = if single && graded_by_itself { last_usage.or(whole_usage) } else { whole_usage.or(last_usage) };
    let (usage, cost) = usage(stated_usage, "samples.*.output.usage", unknown);
    let others = model_usage
        .as_ref()
        .and_then(Value::as_object)
        .is_some_and(|usage| usage.keys().any(|model| *model != context.model) || (single && graded_by_itself));
    keep(&mut beside, "model_usage", model_usage.filter(|_| others));
    keep(&mut beside, "role_usage", sample.take("role_usage"));

    let call_time = output.f64("time").filter(|_| single);
    let ended = sample.time("completed_at");
    let timing = call_time.or(working_time).or(total_time).map(|latency| Timing {
        latency,
        first_token: None,
        queue: total_time.zip(working_time).map_or(0.0, |(total, working)| (total - working).max(0.0)),
    });
    let answered_by = output.text("model");
    let completion = completion.map(|completion| as_text(&completion));
    keep(&mut beside, "output_metadata", output.take("metadata"));
    output.finish(unknown);
    let mut answers: Vec<ModelAnswer> = choices.into_iter().map(|choice| answer(choice, unknown)).collect();
    if answers.is_empty() {
        let known = usage != Usage::default() || completion.is_some();
        answers.extend(known.then(|| ModelAnswer { text: completion.clone(), ..ModelAnswer::default() }));
    }
    if let Some(first) = answers.first_mut() {
        if first.text.is_none() {
            first.text = completion;
        }
        first.usage = usage;
        first.cost = cost;
        first.timing = timing;
        first.ended = ended;
        first.served_by = answered_by.filter(|name| differs(name, &context.model)).map(|name| ServedBy {
            provider: context.provider.clone().unwrap_or_default(),
            model: context.model.clone(),
            model_answered: Some(name),
            ..ServedBy::default()
        });
    }

    let asked = if prompt.is_empty() { input.as_ref().and_then(to_prompt) } else { Some(prompt_of(prompt)) };
    let mut doc = Map::new();
    if !prompt.is_empty()
        && let Some(input) = input
    {
        doc.insert("input".to_owned(), input);
    }
    let group = context.cluster.as_ref().and_then(|name| metadata.as_ref()?.get(name).map(as_text));
    doc.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
    for name in ["setup", "files", "sandbox"] {
        doc.extend(sample.take(name).map(|value| (name.to_owned(), value)));
    }

    if !single {
        keep(&mut beside, "transcript", Some(Value::Array(rest.to_vec())));
    }
    keep(&mut beside, "limit", limit);
    keep(&mut beside, "total_time", total_time.map(Value::from));
    keep(&mut beside, "working_time", working_time.map(Value::from));
    keep(&mut beside, "traceback", Some(traceback.into()));
    for name in ["uuid", "invalidation", "error_retries", "retries", "completed", "message_count", "started_at"] {
        keep(&mut beside, name, sample.take(name));
    }
    let record = SampleRecord {
        index: context.index.get(&id).copied(),
        key: SampleKey { task: context.task.clone(), model: context.model.clone(), sample: id, epoch },
        group,
        state,
        scores,
        input: asked,
        choices: texts(sample.take("choices")),
        target: texts(sample.take("target")),
        doc: (!doc.is_empty()).then_some(Value::Object(doc)),
        answers,
        loglikelihoods: Vec::new(),
        error: message.or(output_error),
        metadata: beside,
    };
    sample.finish(unknown);
    record
}

/// True where the host names another model than was asked for (`gpt-4o-2024-08-06` for `openai/gpt-4o`).
fn differs(answered: &str, asked: &str) -> bool {
    answered != asked && asked.split_once('/').is_none_or(|(_, model)| model != answered)
}

/// What the model was given, and what came after: the first message that it generated and all behind.
fn split(messages: &[Value]) -> (&[Value], &[Value]) {
    let is = |message: &Value, name: &str, text: &str| message.get(name).and_then(Value::as_str) == Some(text);
    let generated =
        messages.iter().position(|message| is(message, "role", "assistant") && is(message, "source", "generate"));
    let at = generated.unwrap_or_else(|| {
        let last =
            messages.last().is_some_and(|message| is(message, "role", "assistant") && !is(message, "source", "input"));
        messages.len() - usize::from(last)
    });
    messages.split_at(at)
}

fn to_prompt(input: &Value) -> Option<Prompt> {
    match input {
        Value::String(text) => Some(Prompt::Text(text.clone())),
        Value::Array(messages) => Some(prompt_of(messages)),
        _ => None,
    }
}

fn prompt_of(messages: &[Value]) -> Prompt {
    let turn = |message: &Value| {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
        Message::new(role, content(message).0)
    };
    Prompt::Messages(messages.iter().map(turn).collect())
}

/// The text of a message, and what was thought before.
fn content(message: &Value) -> (String, Option<String>) {
    let mut reasoning: Vec<Cow<'_, str>> = Vec::new();
    reasoning.extend(message.get("reasoning").and_then(Value::as_str).map(Cow::Borrowed));
    let text = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let mut texts: Vec<Cow<'_, str>> = Vec::new();
            for part in parts {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
                let of = |name: &str| part.get(name).and_then(Value::as_str);
                match kind {
                    "text" => texts.extend(of("text").map(Cow::Borrowed)),
                    "reasoning" => {
                        let hidden = part.get("redacted").and_then(Value::as_bool) == Some(true);
                        let words = if hidden { of("summary") } else { of("reasoning").or_else(|| of("summary")) };
                        reasoning.extend(words.map(Cow::Borrowed));
                    }
                    other => texts.push(Cow::Owned(format!("[{other}]"))),
                }
            }
            texts.join("\n")
        }
        _ => String::new(),
    };
    let reasoning = reasoning.join("\n");
    (text, Some(reasoning).filter(|reasoning| !reasoning.is_empty()))
}

fn answer(choice: Value, unknown: &mut Unknown) -> ModelAnswer {
    let mut choice = Fields::of(Some(choice), "samples.*.output.choices.*", unknown);
    let message = choice.take("message");
    let (text, reasoning) = message.as_ref().map_or((String::new(), None), content);
    let called = message.as_ref().and_then(|message| message.get("tool_calls")).is_some_and(is_filled);
    let stated = choice.text("stop_reason");
    choice.finish(unknown);
    let finish = stated.as_deref().map(|reason| match reason {
        "stop" => Finish::EndOfTextOrStop,
        "max_tokens" | "length" => Finish::MaxTokens,
        "model_length" => Finish::ContextFull,
        "content_filter" => Finish::Filtered,
        _ => Finish::Other,
    });
    let text = Some(text).filter(|text| !text.is_empty() || !called);
    ModelAnswer { text, reasoning, finish, finish_stated: stated, ..ModelAnswer::default() }
}

/// Tokens in our meaning, and dollars. Providers differ in whether cached tokens lie within the input and reasoning
/// within the output; the total decides.
pub(super) fn usage(stated: Option<Value>, path: &str, unknown: &mut Unknown) -> (Usage, Cost) {
    let mut fields = Fields::of(stated, path, unknown);
    let (input, output) = (fields.u64("input_tokens"), fields.u64("output_tokens"));
    let total = fields.u64("total_tokens");
    let cache_write = fields.u64("input_tokens_cache_write");
    let cache_read = fields.u64("input_tokens_cache_read");
    let reasoning = fields.u64("reasoning_tokens");
    let usd = fields.f64("total_cost").map(Usd);
    fields.finish(unknown);
    let mut usage = Usage { input, cache_read, cache_write, cache_write_1h: None, output, reasoning };
    if let (Some(input), Some(output), Some(total)) = (input, output, total) {
        let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        let thought = reasoning.unwrap_or(0);
        for (cached, thought) in [(0, 0), (cached, 0), (0, thought), (cached, thought)] {
            let (input, output) = (input.saturating_add(cached), output.saturating_add(thought));
            if input.saturating_add(output) == total {
                usage.input = Some(input);
                usage.output = Some(output);
                break;
            }
        }
    }
    (usage, Cost { usd, computed: None, stated: usd })
}

/// Texts that samples refer to as `attachment://<hash>`.
struct Attachments {
    texts: Map<String, Value>,
    room: usize,
    left_out: u64,
}

const REFERENCE: &str = "attachment://";

impl Attachments {
    fn new(stated: Option<Value>) -> Self {
        let texts = match stated {
            Some(Value::Object(texts)) => texts,
            _ => Map::new(),
        };
        Self { texts, room: ATTACHED, left_out: 0 }
    }

    fn resolve(&mut self, value: Value) -> Value {
        if self.texts.is_empty() {
            return value;
        }
        match value {
            Value::String(text) if text.contains(REFERENCE) => Value::String(self.fill(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.resolve(item)).collect(),
            Value::Object(members) => members.into_iter().map(|(name, value)| (name, self.resolve(value))).collect(),
            other => other,
        }
    }

    fn fill(&mut self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(REFERENCE) {
            let hash = &rest[at + REFERENCE.len()..];
            let hash = &hash[..hash.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hash.len())];
            let end = at + REFERENCE.len() + hash.len();
            filled.push_str(&rest[..at]);
            match self.texts.get(hash).and_then(Value::as_str) {
                // Images and sound have no place in our lines.
                Some(found) if !found.starts_with("data:") && found.len() <= self.room => {
                    self.room -= found.len();
                    filled.push_str(found);
                }
                _ => {
                    self.left_out += 1;
                    filled.push_str(&rest[at..end]);
                }
            }
            rest = &rest[end..];
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_total_tells_what_lies_within_what() {
        let of = |value: Value| usage(Some(value), "u", &mut Unknown::new()).0;
        // OpenAI: all within.
        let found = of(
            json!({"input_tokens": 100, "output_tokens": 50, "total_tokens": 150, "input_tokens_cache_read": 60, "reasoning_tokens": 40}),
        );
        assert_eq!((found.input, found.output, found.cache_read), (Some(100), Some(50), Some(60)));
        // Anthropic: cached tokens beside the input.
        let found = of(
            json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 115, "input_tokens_cache_read": 60, "input_tokens_cache_write": 40}),
        );
        assert_eq!((found.input, found.output), (Some(110), Some(5)));
        // Gemini: thoughts beside the output.
        let found = of(json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 45, "reasoning_tokens": 30}));
        assert_eq!((found.input, found.output, found.reasoning), (Some(10), Some(35), Some(30)));
        assert_eq!(of(json!({})), Usage::default());
    }

    #[test]
    fn attachments_are_put_in_and_images_are_not() {
        let mut attachments = Attachments::new(Some(json!({"0a": "text", "0b": "data:image/png;base64,AA"})));
        let value = json!([{"content": "see attachment://0a."}, "attachment://0b", "attachment://0c"]);
        let filled = attachments.resolve(value);
        assert_eq!(filled, json!([{"content": "see text."}, "attachment://0b", "attachment://0c"]));
        assert_eq!(attachments.left_out, 2);
    }
}

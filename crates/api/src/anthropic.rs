//! Anthropic's `/messages`.
//!
//! Requests follow the reference of Anthropic's API (<https://platform.claude.com/docs/en/api/messages>), which has no
//! seed, no min-p, no log-probabilities and no plain text to go on from. Cached tokens are stated outside of the input
//! there and are added to it here. Blocks and events that are not known are passed over.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weighbridge_core::{Effort, Finish, GenerationRequest, Message, Parameter, Reasoning, Usage};

use crate::dialect::{
    Delivery, HostError, StreamReader, Wire, WireError, WireReply, messages, outside, parse, read_error, split_system,
};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::openai_chat::to_json;

/// The form of the API that is spoken (<https://platform.claude.com/docs/en/api/versioning>).
const VERSION: &str = "2023-06-01";

/// Fewest tokens of a budget (<https://platform.claude.com/docs/en/build-with-claude/extended-thinking>).
const LEAST_BUDGET: u32 = 1024;

/// The dialect.
pub struct Anthropic;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    messages: Vec<&'a Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<usize>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

impl Wire for Anthropic {
    fn carries(&self, parameter: Parameter) -> bool {
        use Parameter::{Logprobs, MinP, Seed, Text};
        !matches!(parameter, Seed | MinP | Logprobs | Text)
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        "/messages".into()
    }

    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, delivery: Delivery) -> Result<Vec<u8>, ApiError> {
        let sampling = request.sampling;
        if let Some(t) = sampling.temperature.filter(|t| *t > 1.0) {
            return Err(outside(endpoint, "a temperature from 0 to 1", &t));
        }
        let (thinking, output_config) = reasoning(endpoint, request)?;
        let turns = messages(&request.prompt);
        let (system, turns) = split_system(&turns);
        Ok(to_json(&Body {
            model: &endpoint.model,
            max_tokens: request.max_tokens,
            system,
            messages: turns,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            stop_sequences: &request.stop,
            thinking,
            output_config,
            stream: (delivery == Delivery::Streamed).then_some(true),
        }))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(VERSION));
        if let Some(key) = &endpoint.key {
            headers.insert(HeaderName::from_static("x-api-key"), key.header("")?);
        }
        Ok(())
    }

    fn read(&self, body: &[u8], _: &GenerationRequest) -> Result<WireReply, WireError> {
        let answer: Answer = parse(body)?;
        if answer.kind.as_deref() == Some("error") || answer.error.is_some() {
            return Err(WireError::Host(error(body)));
        }
        let Some(blocks) = &answer.content else {
            return Err(WireError::Malformed("an answer without content".into()));
        };
        let mut collected = Collected::default();
        for (i, block) in blocks.iter().enumerate() {
            collected.take_block(block, &format!("content[{i}]"))?;
        }
        collected.take_facts(&answer);
        collected.take_ending(answer.stop_reason.as_deref());
        Ok(collected.whole())
    }

    fn stream(&self, _: &GenerationRequest) -> Box<dyn StreamReader> {
        Box::new(Stream::default())
    }

    fn error(&self, body: &[u8]) -> HostError {
        error(body)
    }
}

/// `thinking` and `output_config` of a request.
fn reasoning(endpoint: &Endpoint, request: &GenerationRequest) -> Result<(Option<Value>, Option<Value>), ApiError> {
    match request.reasoning {
        Reasoning::Unset => Ok((None, None)),
        Reasoning::Off => Ok((Some(json!({"type": "disabled"})), None)),
        Reasoning::Effort(Effort::Minimal) => {
            Err(outside(endpoint, "low, medium, high, xhigh or max as level of reasoning", &"minimal"))
        }
        Reasoning::Effort(level) => {
            // Without it most models that know levels do not think at all, whatever the level.
            let thinking = is_adaptive(&endpoint.model).then(|| json!({"type": "adaptive"}));
            Ok((thinking, Some(json!({"effort": level.as_str()}))))
        }
        Reasoning::Budget(tokens) => {
            check_budget(endpoint, request, tokens)?;
            Ok((Some(json!({"type": "enabled", "budget_tokens": tokens})), None))
        }
    }
}

/// A budget is part of `max_tokens`, and cannot go together with settings of sampling
/// (<https://platform.claude.com/docs/en/build-with-claude/extended-thinking>).
fn check_budget(endpoint: &Endpoint, request: &GenerationRequest, tokens: u32) -> Result<(), ApiError> {
    let most = request.max_tokens;
    if tokens < LEAST_BUDGET {
        return Err(outside(endpoint, format!("a budget of reasoning from {LEAST_BUDGET} tokens"), &tokens));
    }
    if tokens as usize >= most {
        let expected = format!("a budget of reasoning below the {most} tokens of the answer, which it is part of");
        return Err(outside(endpoint, expected, &tokens));
    }
    if let Some(t) = request.sampling.temperature.filter(|t| *t < 1.0) {
        return Err(outside(endpoint, "no temperature but 1 with a budget of reasoning", &t));
    }
    if let Some(k) = request.sampling.top_k {
        return Err(outside(endpoint, "no top-k with a budget of reasoning", &k));
    }
    Ok(())
}

/// True for models that decide themselves how long they think, which came with Claude 4.6; older ones answer the setting
/// with an error (<https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking>). New names are newer.
fn is_adaptive(model: &str) -> bool {
    // `4-2` begins the dates of Claude 4, such as 4-20250514.
    const WITHOUT: [&str; 10] = [
        "claude-2",
        "claude-3",
        "claude-v1",
        "claude-instant",
        "opus-4-0",
        "opus-4-1",
        "opus-4-2",
        "sonnet-4-0",
        "sonnet-4-2",
        "-4-5",
    ];
    let name = model.replace('.', "-");
    let first = name.ends_with("opus-4") || name.ends_with("sonnet-4");
    !first && !WITHOUT.iter().any(|part| name.contains(part))
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    model: Option<String>,
    content: Option<Vec<Block>>,
    stop_reason: Option<String>,
    usage: Option<Value>,
    error: Option<Value>,
}

/// A part of the content. Its fields have other types in kinds that are not known.
#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<Value>,
    thinking: Option<Value>,
}

#[derive(Deserialize)]
struct EventKind {
    #[serde(rename = "type")]
    kind: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct MessageStart {
    message: Answer,
}

#[derive(Deserialize)]
struct BlockStart {
    content_block: Block,
}

#[derive(Deserialize)]
struct BlockDelta {
    delta: Block,
}

#[derive(Deserialize)]
struct MessageDelta {
    delta: Option<Ending>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Ending {
    stop_reason: Option<String>,
}

/// What has been read of an answer.
#[derive(Default)]
struct Collected {
    reply: WireReply,
    /// All statements of usage so far, each number at its highest: they count up.
    usage: Map<String, Value>,
}

impl Collected {
    /// Takes a block or a piece of one, and returns the text that it adds.
    fn take_block(&mut self, block: &Block, place: &str) -> Result<String, WireError> {
        match block.kind.as_str() {
            "text" | "text_delta" => {
                let text = string(block.text.as_ref(), place, "text")?;
                self.reply.text.get_or_insert_default().push_str(text);
                Ok(text.to_owned())
            }
            "thinking" | "thinking_delta" => {
                let thought = string(block.thinking.as_ref(), place, "thinking")?;
                // Models that do not show their thoughts give empty ones.
                if !thought.is_empty() {
                    self.reply.reasoning.get_or_insert_default().push_str(thought);
                }
                Ok(String::new())
            }
            _ => Ok(String::new()),
        }
    }

    fn take_facts(&mut self, answer: &Answer) {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        self.reply.model = filled(&answer.model);
        self.reply.response_id = filled(&answer.id);
        self.take_usage(answer.usage.as_ref());
    }

    fn take_usage(&mut self, stated: Option<&Value>) {
        let Some(stated) = stated.and_then(Value::as_object) else { return };
        for (key, value) in stated {
            let before = self.usage.get(key);
            let number = before.and_then(Value::as_u64);
            if before.is_none() || (!value.is_null() && (number.is_none() || value.as_u64() > number)) {
                self.usage.insert(key.clone(), value.clone());
            }
        }
    }

    fn take_ending(&mut self, word: Option<&str>) {
        if let Some(word) = word {
            self.reply.finish = Some(finish(word));
            self.reply.finish_stated = Some(word.to_owned());
        }
    }

    fn whole(mut self) -> WireReply {
        if !self.usage.is_empty() {
            let stated = Value::Object(self.usage);
            self.reply.usage = usage(&stated);
            self.reply.usage_stated = Some(stated);
        }
        self.reply
    }
}

fn string<'a>(value: Option<&'a Value>, place: &str, key: &str) -> Result<&'a str, WireError> {
    value.and_then(Value::as_str).ok_or_else(|| WireError::Malformed(format!("{place}.{key} is no string")))
}

#[derive(Default)]
struct Stream {
    collected: Collected,
    done: bool,
}

impl StreamReader for Stream {
    fn piece(&mut self, data: &str) -> Result<String, WireError> {
        let data = data.as_bytes();
        let EventKind { kind, error: failed } = parse(data)?;
        match kind.as_deref() {
            Some("message_start") => {
                let start: MessageStart = parse(data)?;
                self.collected.take_facts(&start.message);
                self.collected.take_ending(start.message.stop_reason.as_deref());
                let mut text = String::new();
                for (i, block) in start.message.content.iter().flatten().enumerate() {
                    text.push_str(&self.collected.take_block(block, &format!("message.content[{i}]"))?);
                }
                return Ok(text);
            }
            Some("content_block_start") => {
                let start: BlockStart = parse(data)?;
                return self.collected.take_block(&start.content_block, "content_block");
            }
            Some("content_block_delta") => {
                let piece: BlockDelta = parse(data)?;
                return self.collected.take_block(&piece.delta, "delta");
            }
            Some("message_delta") => {
                let MessageDelta { delta, usage } = parse(data)?;
                self.collected.take_usage(usage.as_ref());
                self.collected.take_ending(delta.and_then(|delta| delta.stop_reason).as_deref());
            }
            Some("message_stop") => self.done = true,
            Some("error") => return Err(WireError::Host(error(data))),
            None if failed.is_some() => return Err(WireError::Host(error(data))),
            None => return Err(WireError::Malformed("an event without a type".into())),
            Some(_) => {}
        }
        Ok(String::new())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(self: Box<Self>) -> Result<WireReply, WireError> {
        if self.collected.reply.finish.is_none() {
            return Err(WireError::Malformed("the stream ended without a stop_reason".into()));
        }
        Ok(self.collected.whole())
    }
}

/// An error with the status that its type has over HTTP, which streams do not state
/// (<https://platform.claude.com/docs/en/api/errors>).
fn error(body: &[u8]) -> HostError {
    let mut error = read_error(body);
    error.status = error.status.or(match error.code.as_deref() {
        Some("invalid_request_error") => Some(400),
        Some("authentication_error") => Some(401),
        Some("billing_error") => Some(402),
        Some("permission_error") => Some(403),
        Some("not_found_error") => Some(404),
        Some("request_too_large") => Some(413),
        Some("rate_limit_error") => Some(429),
        Some("api_error") => Some(500),
        Some("timeout_error") => Some(504),
        Some("overloaded_error") => Some(529),
        _ => None,
    });
    error
}

/// Why the text ended, in our words.
fn finish(word: &str) -> Finish {
    match word {
        "end_turn" => Finish::EndOfText,
        "max_tokens" => Finish::MaxTokens,
        "stop_sequence" => Finish::Stop,
        "refusal" => Finish::Refused,
        "model_context_window_exceeded" => Finish::ContextFull,
        // Also pause_turn and tool_use, which a request without tools does not lead to.
        _ => Finish::Other,
    }
}

/// Tokens in our meaning: Anthropic's input is only what was neither read from a cache nor written to one.
fn usage(stated: &Value) -> Usage {
    let number = |key: &str| stated.get(key).and_then(Value::as_u64);
    let inside = |outer: &str, key: &str| stated.get(outer)?.get(key)?.as_u64();
    let (cache_write, cache_read) = (number("cache_creation_input_tokens"), number("cache_read_input_tokens"));
    let fresh = number("input_tokens");
    Usage {
        input: fresh
            .map(|fresh| fresh.saturating_add(cache_write.unwrap_or(0)).saturating_add(cache_read.unwrap_or(0))),
        cache_read,
        cache_write,
        cache_write_1h: inside("cache_creation", "ephemeral_1h_input_tokens"),
        output: number("output_tokens"),
        reasoning: inside("output_tokens_details", "thinking_tokens"),
    }
}

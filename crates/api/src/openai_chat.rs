//! OpenAI's `/chat/completions`, the form that most hosts speak.
//!
//! Requests follow the reference of OpenAI's API (<https://platform.openai.com/docs/api-reference/chat>); `top_k`, `min_p`
//! and the reasoning fields of other hosts are their extensions. Answers are read leniently: a field that is missing is
//! unknown.

use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weighbridge_core::{Finish, GenerationRequest, Message, Parameter, Quirk, Reasoning, TokenLogprob, Usage, Usd};

use crate::dialect::{
    Delivery, StreamReader, Wire, WireError, WireReply, messages, outside, parse, read_error, uncensored,
};
use crate::endpoint::Endpoint;
use crate::error::ApiError;

/// The dialect.
pub struct OpenaiChat;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
}

impl Wire for OpenaiChat {
    fn carries(&self, parameter: Parameter) -> bool {
        parameter != Parameter::Text
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        "/chat/completions".into()
    }

    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, delivery: Delivery) -> Result<Vec<u8>, ApiError> {
        let model = model_name(endpoint);
        let renamed = endpoint.has(Quirk::MaxCompletionTokens);
        let streamed = delivery == Delivery::Streamed;
        let mut body = Body {
            model: &model,
            messages: messages(&request.prompt),
            max_tokens: (!renamed).then_some(request.max_tokens),
            max_completion_tokens: renamed.then_some(request.max_tokens),
            temperature: request.sampling.temperature,
            top_p: request.sampling.top_p,
            top_k: request.sampling.top_k,
            min_p: request.sampling.min_p,
            seed: request.sampling.seed,
            stop: &request.stop,
            logprobs: request.top_logprobs.map(|_| true),
            top_logprobs: request.top_logprobs,
            reasoning_effort: None,
            reasoning: None,
            thinking: None,
            provider: pinned(endpoint),
            stream: streamed.then_some(true),
            stream_options: streamed.then(|| json!({"include_usage": true})),
        };
        set_reasoning(&mut body, endpoint, request.reasoning)?;
        Ok(to_json(&body))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], request: &GenerationRequest) -> Result<WireReply, WireError> {
        let mut answer = Answer::parsed(body)?;
        let Some(mut choice) = answer.choices.take().and_then(|choices| choices.into_iter().next()) else {
            return Err(WireError::Malformed("an answer without choices".into()));
        };
        let mut collected = Collected { stop_asked: !request.stop.is_empty(), ..Collected::default() };
        take_logprobs(&mut collected.reply, choice.logprobs.take());
        let turn = choice.message.take().unwrap_or_default();
        collected.take(&answer, &choice, turn)?;
        Ok(collected.whole())
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        Box::new(Stream {
            collected: Collected { stop_asked: !request.stop.is_empty(), ..Collected::default() },
            done: false,
        })
    }
}

/// The key as most hosts take it.
pub(crate) fn bearer(endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
    if let Some(key) = &endpoint.key {
        headers.insert(AUTHORIZATION, key.header("Bearer ")?);
    }
    Ok(())
}

/// The model with the pinned host where a router takes it as a suffix.
pub(crate) fn model_name(endpoint: &Endpoint) -> String {
    match &endpoint.pin {
        Some(pin) if endpoint.has(Quirk::HostSuffix) => format!("{}:{}", endpoint.model, pin.host),
        _ => endpoint.model.clone(),
    }
}

/// The object that pins host and quantization of a router, and forbids it to drop settings that the host does not take.
pub(crate) fn pinned(endpoint: &Endpoint) -> Option<Value> {
    let pin = endpoint.pin.as_ref().filter(|_| endpoint.has(Quirk::ProviderObject))?;
    let mut object = json!({"only": [pin.host], "allow_fallbacks": false, "require_parameters": true});
    if pin.quantization != "unknown" {
        object["quantizations"] = json!([pin.quantization]);
    }
    Some(object)
}

fn set_reasoning(body: &mut Body<'_>, endpoint: &Endpoint, reasoning: Reasoning) -> Result<(), ApiError> {
    if endpoint.has(Quirk::ReasoningObject) {
        body.reasoning = reasoning_object(reasoning);
    } else if reasoning == Reasoning::Off && endpoint.has(Quirk::ThinkingObject) {
        body.thinking = Some(json!({"type": "disabled"}));
    } else {
        body.reasoning_effort = effort(endpoint, reasoning)?;
    }
    Ok(())
}

/// The object by which OpenRouter sets reasoning.
pub(crate) fn reasoning_object(reasoning: Reasoning) -> Option<Value> {
    match reasoning {
        Reasoning::Unset => None,
        Reasoning::Off => Some(json!({"enabled": false})),
        Reasoning::Effort(level) => Some(json!({"effort": level.as_str()})),
        Reasoning::Budget(tokens) => Some(json!({"max_tokens": tokens})),
    }
}

/// The word by which OpenAI sets reasoning, which knows no budget.
pub(crate) fn effort(endpoint: &Endpoint, reasoning: Reasoning) -> Result<Option<&'static str>, ApiError> {
    match reasoning {
        Reasoning::Unset => Ok(None),
        Reasoning::Off => Ok(Some("none")),
        Reasoning::Effort(level) => Ok(Some(level.as_str())),
        Reasoning::Budget(_) => Err(outside(endpoint, "levels of reasoning", &"a budget")),
    }
}

/// JSON of a value that always has one.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Plain structs of text and finite numbers; serde_json writes numbers that are not finite as null.
    serde_json::to_vec(value).unwrap_or_default()
}

#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    model: Option<String>,
    system_fingerprint: Option<String>,
    provider: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Turn>,
    delta: Option<Turn>,
    finish_reason: Option<String>,
    /// vLLM: the stop string or token; present and null at the end of text.
    #[serde(default, deserialize_with = "present")]
    stop_reason: Option<Value>,
    logprobs: Option<Logprobs>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Turn {
    content: Option<Value>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<Value>,
}

#[derive(Deserialize)]
struct Logprobs {
    content: Option<Vec<TokenEntry>>,
    refusal: Option<Vec<TokenEntry>>,
}

/// A token with its log-probability, as chat answers write it.
#[derive(Deserialize)]
pub(crate) struct TokenEntry {
    token: String,
    logprob: Option<f64>,
    top_logprobs: Option<Vec<TopEntry>>,
}

#[derive(Deserialize)]
struct TopEntry {
    token: String,
    logprob: Option<f64>,
}

impl TokenEntry {
    pub(crate) fn into_core(self) -> TokenLogprob {
        let top = self.top_logprobs.unwrap_or_default();
        TokenLogprob {
            token: self.token,
            logprob: self.logprob.and_then(uncensored),
            top: top.into_iter().filter_map(|t| Some((t.token, uncensored(t.logprob?)?))).collect(),
        }
    }
}

/// Tells a field that is null from one that is missing.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Answer {
    /// Parses an answer or a piece; an error inside is one of the host.
    fn parsed(body: &[u8]) -> Result<Self, WireError> {
        let answer: Self = parse(body)?;
        let choice = answer.choices.as_ref().and_then(|choices| choices.first());
        checked(body, answer.error.as_ref(), choice.and_then(|choice| choice.finish_reason.as_deref()))?;
        Ok(answer)
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            model: self.model.as_ref(),
            fingerprint: self.system_fingerprint.as_ref(),
            host: self.provider.as_ref(),
            id: self.id.as_ref(),
            usage: self.usage.as_ref(),
        }
    }
}

/// An error of the host where one is inside of an answer, as routers put it there.
pub(crate) fn checked(body: &[u8], error: Option<&Value>, finish: Option<&str>) -> Result<(), WireError> {
    if finish == Some("error") || error.is_some_and(|error| !error.is_null()) {
        return Err(WireError::Host(read_error(body)));
    }
    Ok(())
}

/// What an answer says of itself.
pub(crate) struct Facts<'a> {
    pub(crate) model: Option<&'a String>,
    pub(crate) fingerprint: Option<&'a String>,
    pub(crate) host: Option<&'a String>,
    pub(crate) id: Option<&'a String>,
    pub(crate) usage: Option<&'a Value>,
}

/// Takes what an answer or a piece says of itself; what was said first stays, but for usage, which grows.
pub(crate) fn take_facts(reply: &mut WireReply, facts: &Facts<'_>) {
    for (place, value) in [
        (&mut reply.model, facts.model),
        (&mut reply.fingerprint, facts.fingerprint),
        (&mut reply.host, facts.host),
        (&mut reply.response_id, facts.id),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty() && place.is_none()) {
            *place = Some(value.clone());
        }
    }
    if let Some(stated) = facts.usage.filter(|usage| usage.is_object()) {
        reply.usage = usage(stated);
        reply.cost_stated = stated.get("cost").and_then(Value::as_f64).map(Usd);
        reply.usage_stated = Some(stated.clone());
    }
}

/// What has been read of an answer.
#[derive(Default)]
struct Collected {
    reply: WireReply,
    refusal: Option<String>,
    stop_asked: bool,
}

impl Collected {
    /// Takes a whole answer or a piece, and returns the text that it adds.
    fn take(&mut self, answer: &Answer, choice: &Choice, turn: Turn) -> Result<String, WireError> {
        take_facts(&mut self.reply, &answer.facts());
        let text = turn.content.as_ref().map(text_of).transpose()?.flatten();
        if let Some(text) = &text {
            self.reply.text.get_or_insert_default().push_str(text);
        }
        if let Some(refusal) = turn.refusal.filter(|text| !text.is_empty()) {
            self.refusal.get_or_insert_default().push_str(&refusal);
        }
        let reasoning = turn.reasoning_content.or_else(|| turn.reasoning.and_then(|r| r.as_str().map(str::to_owned)));
        if let Some(reasoning) = reasoning.filter(|text| !text.is_empty()) {
            self.reply.reasoning.get_or_insert_default().push_str(&reasoning);
        }
        if let Some(word) = choice.finish_reason.as_deref().filter(|word| !word.is_empty()) {
            self.reply.finish = Some(finish(word, choice.stop_reason.as_ref(), self.stop_asked));
            self.reply.finish_stated = Some(word.to_owned());
        }
        Ok(text.unwrap_or_default())
    }

    fn whole(mut self) -> WireReply {
        if let Some(refusal) = self.refusal {
            self.reply.finish = Some(Finish::Refused);
            self.reply.text = self.reply.text.filter(|text| !text.is_empty()).or(Some(refusal));
        }
        self.reply
    }
}

struct Stream {
    collected: Collected,
    done: bool,
}

impl StreamReader for Stream {
    fn piece(&mut self, data: &str) -> Result<String, WireError> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(String::new());
        }
        let mut answer = Answer::parsed(data.as_bytes())?;
        let Some(mut choice) = answer.choices.take().and_then(|choices| choices.into_iter().next()) else {
            take_facts(&mut self.collected.reply, &answer.facts());
            return Ok(String::new());
        };
        let turn = choice.delta.take().or(choice.message.take()).unwrap_or_default();
        take_logprobs(&mut self.collected.reply, choice.logprobs.take());
        self.collected.take(&answer, &choice, turn)
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(self: Box<Self>) -> Result<WireReply, WireError> {
        if self.collected.reply.finish.is_none() {
            return Err(WireError::Malformed("the stream ended without a finish_reason".into()));
        }
        Ok(self.collected.whole())
    }
}

fn take_logprobs(reply: &mut WireReply, logprobs: Option<Logprobs>) {
    if let Some(logprobs) = logprobs {
        let tokens = logprobs.content.into_iter().chain(logprobs.refusal).flatten();
        reply.logprobs.extend(tokens.map(TokenEntry::into_core));
    }
}

/// Text as a string, or as a list of parts of which those with text count.
fn text_of(content: &Value) -> Result<Option<String>, WireError> {
    match content {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Array(parts) => {
            let text: String = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            Ok(Some(text))
        }
        _ => Err(WireError::Malformed(format!("content is {}", kind(content)))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Why the text ended, in our words.
pub(crate) fn finish(word: &str, stop_reason: Option<&Value>, stop_asked: bool) -> Finish {
    match word {
        "stop" => match stop_reason {
            Some(Value::String(_)) => Finish::Stop,
            None if stop_asked => Finish::EndOfTextOrStop,
            Some(_) | None => Finish::EndOfText,
        },
        "eos" | "end_turn" | "eos_token" => Finish::EndOfText,
        "stop_sequence" => Finish::Stop,
        "length" | "max_tokens" => Finish::MaxTokens,
        "model_length" | "insufficient_system_resource" => Finish::ContextFull,
        "content_filter" => Finish::Filtered,
        "refusal" => Finish::Refused,
        _ => Finish::Other,
    }
}

/// Tokens as OpenAI states them: cached tokens inside the prompt, reasoning inside the completion.
pub(crate) fn usage(stated: &Value) -> Usage {
    let number = |value: &Value, keys: &[&str]| keys.iter().find_map(|key| value.get(*key)?.as_u64());
    let prompt = stated.get("prompt_tokens_details").or_else(|| stated.get("input_tokens_details"));
    let completion = stated.get("completion_tokens_details").or_else(|| stated.get("output_tokens_details"));
    let null = Value::Null;
    let (prompt, completion) = (prompt.unwrap_or(&null), completion.unwrap_or(&null));
    Usage {
        input: number(stated, &["prompt_tokens", "input_tokens"]),
        cache_read: number(prompt, &["cached_tokens"])
            .or_else(|| number(stated, &["prompt_cache_hit_tokens", "cached_tokens"])),
        cache_write: number(prompt, &["cache_write_tokens"]),
        cache_write_1h: None,
        output: number(stated, &["completion_tokens", "output_tokens"]),
        reasoning: number(completion, &["reasoning_tokens"]),
    }
}

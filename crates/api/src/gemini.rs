//! Gemini's `models/{model}:generateContent`.
//!
//! Requests follow the reference of the Gemini API (<https://ai.google.dev/api/generate-content>), which has no min-p and
//! no plain text to go on from. Thoughts are stated outside of the candidates there and are added to the output here. The
//! key goes into a header, never into the address, which is logged.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weighbridge_core::{Effort, Finish, GenerationRequest, Message, Parameter, Reasoning, TokenLogprob, Usage};

use crate::dialect::{
    Delivery, HostError, StreamReader, Wire, WireError, WireReply, messages, outside, parse, read_error, split_system,
};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::openai_chat::to_json;

/// The dialect.
pub struct Gemini;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Value>,
    generation_config: Config<'a>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'a str,
    parts: [TextPart<'a>; 1],
}

#[derive(Serialize)]
struct TextPart<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    max_output_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u8>,
    #[serde(rename = "thinkingConfig", skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
}

impl Wire for Gemini {
    fn carries(&self, parameter: Parameter) -> bool {
        !matches!(parameter, Parameter::MinP | Parameter::Text)
    }

    fn path(&self, endpoint: &Endpoint, delivery: Delivery) -> String {
        let model = resource(&endpoint.model);
        match delivery {
            Delivery::Whole => format!("/{model}:generateContent"),
            Delivery::Streamed => format!("/{model}:streamGenerateContent?alt=sse"),
        }
    }

    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, _: Delivery) -> Result<Vec<u8>, ApiError> {
        let turns = messages(&request.prompt);
        let (system, turns) = split_system(&turns);
        let sampling = request.sampling;
        let seed = sampling.seed.map(i32::try_from).transpose();
        let most = format!("a seed up to {}", i32::MAX);
        let seed = seed.map_err(|_| outside(endpoint, most, &sampling.seed.unwrap_or_default()))?;
        Ok(to_json(&Body {
            contents: turns.into_iter().map(turn).collect(),
            system_instruction: system.map(|text| json!({"parts": [{"text": text}]})),
            generation_config: Config {
                max_output_tokens: request.max_tokens,
                temperature: sampling.temperature,
                top_p: sampling.top_p,
                top_k: sampling.top_k,
                seed,
                stop_sequences: &request.stop,
                response_logprobs: request.top_logprobs.map(|_| true),
                // Without alternatives the token that was chosen still comes.
                logprobs: request.top_logprobs.filter(|&top| top > 0),
                thinking: thinking(endpoint, request.reasoning)?,
            },
        }))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        if let Some(key) = &endpoint.key {
            headers.insert(HeaderName::from_static("x-goog-api-key"), key.header("")?);
        }
        Ok(())
    }

    fn read(&self, body: &[u8], request: &GenerationRequest) -> Result<WireReply, WireError> {
        let mut collected = Collected::new(request);
        collected.take(body)?;
        collected.whole("an answer without candidates")
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        Box::new(Stream { collected: Collected::new(request), done: false })
    }

    fn error(&self, body: &[u8]) -> HostError {
        error(body)
    }
}

/// Path of a model: names come with the collection in front or without it.
fn resource(model: &str) -> String {
    let (collection, name) = match model.split_once('/') {
        Some((collection @ ("models" | "tunedModels"), name)) => (collection, name),
        _ => ("models", model),
    };
    let mut path = format!("{collection}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

fn turn(message: &Message) -> Turn<'_> {
    let role = if message.role == "assistant" { "model" } else { message.role.as_str() };
    Turn { role, parts: [TextPart { text: &message.content }] }
}

/// Levels are of Gemini 3 and newer, budgets of 2.5 (<https://ai.google.dev/gemini-api/docs/thinking>).
fn thinking(endpoint: &Endpoint, reasoning: Reasoning) -> Result<Option<Value>, ApiError> {
    Ok(match reasoning {
        Reasoning::Unset => None,
        Reasoning::Off => Some(json!({"thinkingBudget": 0})),
        Reasoning::Effort(Effort::Max) => {
            return Err(outside(endpoint, "minimal, low, medium, high or xhigh as level of reasoning", &"max"));
        }
        Reasoning::Effort(level) => Some(json!({"thinkingLevel": level.as_str()})),
        Reasoning::Budget(tokens) => Some(json!({"thinkingBudget": tokens})),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Value>,
    model_version: Option<String>,
    response_id: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    logprobs_result: Option<LogprobsResult>,
}

#[derive(Deserialize)]
struct Content {
    parts: Option<Vec<Part>>,
}

/// Parts of other kinds (calls of tools, code) have neither.
#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    thought: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsResult {
    chosen_candidates: Option<Vec<Token>>,
    top_candidates: Option<Vec<TopCandidates>>,
}

#[derive(Deserialize)]
struct TopCandidates {
    candidates: Option<Vec<Token>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    token: Option<String>,
    log_probability: Option<f64>,
}

/// What has been read of an answer.
struct Collected {
    reply: WireReply,
    stop_asked: bool,
}

impl Collected {
    fn new(request: &GenerationRequest) -> Self {
        Self { reply: WireReply::default(), stop_asked: !request.stop.is_empty() }
    }

    /// Takes a whole answer or a piece, which have the same form, and returns the text that it adds.
    fn take(&mut self, data: &[u8]) -> Result<String, WireError> {
        // Hosts put errors into lists, where no answer is.
        let begin = data.iter().find(|byte| !byte.is_ascii_whitespace());
        if begin == Some(&b'[') && parse::<Vec<Value>>(data)?.first().is_some_and(|first| first.get("error").is_some())
        {
            return Err(WireError::Host(error(data)));
        }
        let answer: Answer = parse(data)?;
        if answer.error.is_some() {
            return Err(WireError::Host(error(data)));
        }
        self.take_facts(&answer);
        let Some(candidate) = answer.candidates.and_then(|candidates| candidates.into_iter().next()) else {
            if let Some(word) = answer.prompt_feedback.and_then(|feedback| feedback.block_reason) {
                self.reply.text.get_or_insert_default();
                self.reply.finish = Some(Finish::Filtered);
                self.reply.finish_stated = Some(word);
            }
            return Ok(String::new());
        };
        Ok(self.take_candidate(candidate))
    }

    fn take_candidate(&mut self, candidate: Candidate) -> String {
        let mut added = String::new();
        for part in candidate.content.and_then(|content| content.parts).unwrap_or_default() {
            let Some(text) = part.text else { continue };
            if part.thought == Some(true) {
                self.reply.reasoning.get_or_insert_default().push_str(&text);
            } else {
                self.reply.text.get_or_insert_default().push_str(&text);
                added.push_str(&text);
            }
        }
        if let Some(result) = candidate.logprobs_result {
            self.reply.logprobs.extend(logprobs(result));
        }
        if let Some(word) = candidate.finish_reason.filter(|word| !word.is_empty()) {
            self.reply.finish = Some(finish(&word, self.stop_asked));
            self.reply.finish_stated = Some(word);
        }
        added
    }

    fn take_facts(&mut self, answer: &Answer) {
        let reply = &mut self.reply;
        for (place, value) in [(&mut reply.model, &answer.model_version), (&mut reply.response_id, &answer.response_id)]
        {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty() && place.is_none()) {
                *place = Some(value.clone());
            }
        }
        if let Some(stated) = answer.usage_metadata.as_ref().filter(|usage| usage.is_object()) {
            reply.usage = usage(stated);
            reply.usage_stated = Some(stated.clone());
        }
    }

    /// The answer; `missing` is what is wrong with one that has neither text nor a reason to end.
    fn whole(self, missing: &str) -> Result<WireReply, WireError> {
        if self.reply.finish.is_none() && self.reply.text.is_none() {
            return Err(WireError::Malformed(missing.to_owned()));
        }
        Ok(self.reply)
    }
}

struct Stream {
    collected: Collected,
    done: bool,
}

impl StreamReader for Stream {
    fn piece(&mut self, data: &str) -> Result<String, WireError> {
        // Google ends its streams without a word; proxies in its place do it as OpenAI does.
        if data == "[DONE]" {
            self.done = true;
            return Ok(String::new());
        }
        self.collected.take(data.as_bytes())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(self: Box<Self>) -> Result<WireReply, WireError> {
        if self.collected.reply.finish.is_none() {
            return Err(WireError::Malformed("the stream ended without a finishReason".into()));
        }
        Ok(self.collected.reply)
    }
}

fn logprobs(result: LogprobsResult) -> Vec<TokenLogprob> {
    let mut top = result.top_candidates.unwrap_or_default().into_iter();
    let chosen = result.chosen_candidates.unwrap_or_default().into_iter();
    chosen
        .map(|token| {
            let top = top.next().and_then(|top| top.candidates).unwrap_or_default();
            TokenLogprob {
                token: token.token.unwrap_or_default(),
                logprob: token.log_probability,
                top: top.into_iter().filter_map(|t| Some((t.token?, t.log_probability?))).collect(),
            }
        })
        .collect()
}

/// An error with the wait that it asks for (<https://cloud.google.com/apis/design/errors>, `google.rpc.RetryInfo`).
fn error(body: &[u8]) -> HostError {
    HostError { retry_after: retry_delay(body), ..read_error(body) }
}

fn retry_delay(body: &[u8]) -> Option<Duration> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let details = value.get(0).unwrap_or(&value).get("error")?.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay"))?;
    // Protobuf writes a duration as seconds with an "s".
    let seconds: f64 = delay.as_str()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Why the text ended, in our words. `STOP` is said for the end of text and for stop strings alike.
fn finish(word: &str, stop_asked: bool) -> Finish {
    match word {
        "STOP" if stop_asked => Finish::EndOfTextOrStop,
        "STOP" => Finish::EndOfText,
        "MAX_TOKENS" => Finish::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Finish::Filtered,
        _ => Finish::Other,
    }
}

/// Tokens in our meaning. A count that is left out where the total is stated is 0: Protobuf does not write zeros.
fn usage(stated: &Value) -> Usage {
    let number = |key: &str| stated.get(key).and_then(Value::as_u64);
    let sum = |a: Option<u64>, b: Option<u64>| a.or(b).map(|_| a.unwrap_or(0).saturating_add(b.unwrap_or(0)));
    let input = sum(number("promptTokenCount"), number("toolUsePromptTokenCount"));
    let reasoning = number("thoughtsTokenCount");
    let rest = || number("totalTokenCount")?.checked_sub(input?);
    Usage {
        input,
        cache_read: number("cachedContentTokenCount"),
        cache_write: None,
        cache_write_1h: None,
        output: sum(number("candidatesTokenCount"), reasoning).or_else(rest),
        reasoning,
    }
}

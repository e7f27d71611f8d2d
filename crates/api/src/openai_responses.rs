//! OpenAI's `/responses`, the form in which its newer models are asked.
//!
//! It follows the reference of OpenAI's API (<https://platform.openai.com/docs/api-reference/responses>), which has no
//! seed, no stop strings and no plain text to go on from. Nothing is stored at the host. Answers are read leniently: kinds
//! of items and events that are not known here are passed over.

use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};
use weighbridge_core::{Finish, GenerationRequest, Message, Parameter, Quirk, Reasoning, TokenLogprob, Usd};

use crate::dialect::{
    Delivery, HostError, StreamReader, Wire, WireError, WireReply, messages, parse, read_error, shortened,
};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::openai_chat::{TokenEntry, bearer, effort, model_name, pinned, reasoning_object, to_json, usage};

/// The dialect.
pub struct OpenaiResponses;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<Message>,
    max_output_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

impl Wire for OpenaiResponses {
    fn carries(&self, parameter: Parameter) -> bool {
        use Parameter::{MinP, Seed, Stop, Text, TopK};
        !matches!(parameter, Seed | Stop | TopK | MinP | Text)
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        "/responses".into()
    }

    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, delivery: Delivery) -> Result<Vec<u8>, ApiError> {
        let body = Body {
            model: &model_name(endpoint),
            // System turns stay where they are: joined into `instructions` they would lose their place.
            input: messages(&request.prompt),
            max_output_tokens: request.max_tokens,
            temperature: request.sampling.temperature,
            top_p: request.sampling.top_p,
            reasoning: reasoning(endpoint, request.reasoning)?,
            include: if request.top_logprobs.is_some() { &["message.output_text.logprobs"] } else { &[] },
            top_logprobs: request.top_logprobs,
            store: false,
            provider: pinned(endpoint),
            stream: (delivery == Delivery::Streamed).then_some(true),
        };
        Ok(to_json(&body))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], _: &GenerationRequest) -> Result<WireReply, WireError> {
        let answer: Value = parse(body)?;
        if answer.get("status").is_none() && given(&answer, "error").is_some() {
            return Err(WireError::Host(read_error(body)));
        }
        read_response(&answer)
    }

    fn stream(&self, _: &GenerationRequest) -> Box<dyn StreamReader> {
        Box::new(Stream::default())
    }

    fn error(&self, body: &[u8]) -> HostError {
        read_error(body)
    }
}

fn reasoning(endpoint: &Endpoint, asked: Reasoning) -> Result<Option<Value>, ApiError> {
    if endpoint.has(Quirk::ReasoningObject) {
        return Ok(reasoning_object(asked));
    }
    Ok(effort(endpoint, asked)?.map(|word| json!({"effort": word})))
}

/// A field that is there and not null.
fn given<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|field| !field.is_null())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// What has been read of an answer.
#[derive(Default)]
struct Parts {
    text: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    summary: Option<String>,
    logprobs: Vec<TokenLogprob>,
}

impl Parts {
    /// Takes the parts of one item of the output.
    fn take_item(&mut self, item: &Value) -> Result<(), WireError> {
        let parts = |key: &str| item.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match text(item, "type") {
            Some("message") => parts("content").iter().try_for_each(|part| self.take_part(part)),
            Some("reasoning") => {
                for (place, key) in [(&mut self.reasoning, "content"), (&mut self.summary, "summary")] {
                    for part in parts(key).iter().filter_map(|part| text(part, "text")) {
                        // Parts are paragraphs.
                        let place = place.get_or_insert_default();
                        if !place.is_empty() {
                            place.push_str("\n\n");
                        }
                        place.push_str(part);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_part(&mut self, part: &Value) -> Result<(), WireError> {
        match text(part, "type") {
            Some("output_text") => {
                let Some(said) = text(part, "text") else {
                    return Err(WireError::Malformed("an output_text without text".into()));
                };
                self.text.get_or_insert_default().push_str(said);
                self.logprobs.extend(logprobs(part)?);
            }
            Some("refusal") => {
                self.refusal.get_or_insert_default().push_str(text(part, "refusal").unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts the parts into the reply; those of `streamed` stand in where the final answer leaves its output out.
    fn finish(self, streamed: Self, reply: &mut WireReply) {
        let silent = self.text.is_none() && self.refusal.is_none();
        let (said, refusal, logprobs) = if silent {
            (streamed.text, streamed.refusal, streamed.logprobs)
        } else {
            (self.text, self.refusal, self.logprobs)
        };
        reply.text = said;
        reply.logprobs = logprobs;
        let thoughts = [self.reasoning, self.summary, streamed.reasoning, streamed.summary];
        reply.reasoning = thoughts.into_iter().flatten().find(|thought| !thought.is_empty());
        if let Some(refusal) = refusal {
            reply.finish = Some(Finish::Refused);
            reply.text = reply.text.take().filter(|said| !said.is_empty()).or(Some(refusal));
        }
    }
}

fn logprobs(part: &Value) -> Result<Vec<TokenLogprob>, WireError> {
    let Some(list) = given(part, "logprobs") else { return Ok(Vec::new()) };
    let entries: Vec<TokenEntry> = serde::Deserialize::deserialize(list)
        .map_err(|error| WireError::Malformed(format!("log-probabilities: {error}")))?;
    Ok(entries.into_iter().map(TokenEntry::into_core).collect())
}

fn read_response(answer: &Value) -> Result<WireReply, WireError> {
    read_with(answer, Parts::default())
}

/// Reads a whole answer; `streamed` is what came of it before.
fn read_with(answer: &Value, streamed: Parts) -> Result<WireReply, WireError> {
    let mut reply = WireReply::default();
    take_facts(answer, &mut reply);
    (reply.finish, reply.finish_stated) = ending(answer)?;
    let mut parts = Parts::default();
    match given(answer, "output") {
        Some(Value::Array(items)) => items.iter().try_for_each(|item| parts.take_item(item))?,
        _ => return Err(WireError::Malformed("an answer without output".into())),
    }
    parts.finish(streamed, &mut reply);
    Ok(reply)
}

fn take_facts(answer: &Value, reply: &mut WireReply) {
    let fact = |key: &str| text(answer, key).filter(|fact| !fact.is_empty()).map(str::to_owned);
    reply.model = fact("model");
    reply.response_id = fact("id");
    reply.fingerprint = fact("system_fingerprint");
    reply.host = fact("provider");
    if let Some(stated) = answer.get("usage").filter(|usage| usage.is_object()) {
        reply.usage = usage(stated);
        reply.cost_stated = stated.get("cost").and_then(Value::as_f64).map(Usd);
        reply.usage_stated = Some(stated.clone());
    }
}

/// Why the answer ended, with the host's word for it.
fn ending(answer: &Value) -> Result<(Option<Finish>, Option<String>), WireError> {
    let status = text(answer, "status");
    let finish = match status {
        // A compatible host that states none has still given an answer.
        None => return Ok((None, None)),
        Some("completed") => Finish::EndOfText,
        Some("incomplete") => {
            let reason = answer.get("incomplete_details").and_then(|details| text(details, "reason"));
            let finish = match reason {
                Some("max_output_tokens" | "max_tokens") => Finish::MaxTokens,
                Some("content_filter") => Finish::Filtered,
                _ => Finish::Other,
            };
            return Ok((Some(finish), Some(reason.unwrap_or("incomplete").to_owned())));
        }
        Some("failed") => return Err(WireError::Host(failure(answer.get("error").unwrap_or(&Value::Null)))),
        Some("cancelled") => {
            let message = "the host cancelled the answer".to_owned();
            return Err(WireError::Host(HostError {
                status: Some(500),
                code: Some("cancelled".into()),
                message,
                ..HostError::default()
            }));
        }
        Some(other) => {
            return Err(WireError::Malformed(format!("an answer whose status is {:?}", shortened(other))));
        }
    };
    Ok((Some(finish), status.map(str::to_owned)))
}

/// What kept an answer from being made, whose code stands in for a status of HTTP.
fn failure(error: &Value) -> HostError {
    let mut error = match error {
        Value::Null => HostError { message: "the answer failed without a reason".into(), ..HostError::default() },
        error => read_error(&to_json(error)),
    };
    error.status = error.status.or(match error.code.as_deref() {
        Some("rate_limit_exceeded" | "insufficient_quota") => Some(429),
        Some("server_is_overloaded" | "slow_down") => Some(503),
        Some("model_not_found") => Some(404),
        Some(code) if code.starts_with("invalid_") || code == "context_length_exceeded" => Some(400),
        _ => Some(500),
    });
    error
}

#[derive(Default)]
struct Stream {
    parts: Parts,
    reply: Option<WireReply>,
    done: bool,
}

impl StreamReader for Stream {
    fn piece(&mut self, data: &str) -> Result<String, WireError> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(String::new());
        }
        let event: Value = parse(data.as_bytes())?;
        let delta = || text(&event, "delta").unwrap_or_default();
        match text(&event, "type") {
            Some("response.output_text.delta") => {
                self.parts.text.get_or_insert_default().push_str(delta());
                self.parts.logprobs.extend(logprobs(&event)?);
                return Ok(delta().to_owned());
            }
            Some("response.refusal.delta") => self.parts.refusal.get_or_insert_default().push_str(delta()),
            Some("response.reasoning_text.delta") => {
                self.parts.reasoning.get_or_insert_default().push_str(delta());
            }
            Some("response.reasoning_summary_text.delta") => {
                self.parts.summary.get_or_insert_default().push_str(delta());
            }
            Some(
                "response.completed"
                | "response.incomplete"
                | "response.failed"
                | "response.cancelled"
                | "response.done",
            ) => {
                let answer = event.get("response").unwrap_or(&Value::Null);
                self.reply = Some(read_with(answer, std::mem::take(&mut self.parts))?);
                self.done = true;
            }
            Some("error") => return Err(WireError::Host(failure(given(&event, "error").unwrap_or(&event)))),
            Some(_) => {}
            None if given(&event, "error").is_some() => {
                return Err(WireError::Host(failure(event.get("error").unwrap_or(&Value::Null))));
            }
            None => return Err(WireError::Malformed("an event without a type".into())),
        }
        Ok(String::new())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(self: Box<Self>) -> Result<WireReply, WireError> {
        self.reply.ok_or_else(|| WireError::Malformed("the stream ended before the answer was complete".into()))
    }
}

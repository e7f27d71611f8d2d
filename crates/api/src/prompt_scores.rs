//! Forms of request that have a text scored which is given: by `echo`, by token ids, and what cuts a text into ids.
//!
//! `echo` is OpenAI's (<https://platform.openai.com/docs/api-reference/completions>), also taken by vLLM, Together and
//! llama-cpp-python; `prompt_logprobs`, `/tokenize` and `/detokenize` are vLLM's
//! (<https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>). One token is generated and dropped: none at
//! all is refused by some servers, and read as "no limit" by llama-cpp-python. An answer that does not give what was asked
//! for is no failure that another attempt mends: its record says what is missing.

use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weighbridge_core::{GenerationRequest, Parameter, TokenLogprob, Usage};

use crate::dialect::{Delivery, StreamReader, Wire, WireError, WireReply, uncensored};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::offsets;
use crate::openai_chat::{bearer, model_name, pinned, to_json};
use crate::openai_completions::{Logprobs, OpenaiCompletions, read_answer, take_facts};

/// What a record states where a host gave no log-probabilities of the prompt.
pub(crate) const NOT_GIVEN: &str = "no log-probabilities of the prompt";
/// What a record states where they cannot be told apart by token.
pub(crate) const NOT_ALIGNED: &str = "the tokens of the prompt do not line up with its text";
/// What a record states where no token begins in what is scored.
pub(crate) const NO_TOKEN: &str = "no token begins in the continuation";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: Value,
    max_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    echo: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Value>,
}

impl<'a> Body<'a> {
    fn new(endpoint: &Endpoint, model: &'a str, prompt: Value) -> Self {
        let cold = !endpoint.facts.refuses.contains(&Parameter::Temperature);
        Self {
            model,
            prompt,
            max_tokens: 1,
            temperature: cold.then_some(0.0),
            echo: None,
            logprobs: None,
            prompt_logprobs: None,
            provider: pinned(endpoint),
        }
    }
}

/// Scores what follows the first `context` bytes of a text: the tokens that begin there or later.
pub(crate) struct Echo {
    pub(crate) text: String,
    pub(crate) context: usize,
}

impl Wire for Echo {
    fn carries(&self, _: Parameter) -> bool {
        true
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        "/completions".into()
    }

    fn body(&self, endpoint: &Endpoint, _: &GenerationRequest, _: Delivery) -> Result<Vec<u8>, ApiError> {
        let model = model_name(endpoint);
        let body = Body::new(endpoint, &model, json!(self.text));
        Ok(to_json(&Body { echo: Some(true), logprobs: Some(1), ..body }))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], _: &GenerationRequest) -> Result<WireReply, WireError> {
        let mut answer = read_answer(body)?;
        let mut reply = WireReply::default();
        take_facts(&mut reply, &answer);
        let choice = answer.choices.take().unwrap_or_default().into_iter().next();
        // Together sets the prompt apart.
        let apart = answer.prompt.as_ref().and_then(|prompt| prompt.get(0)?.get("logprobs"));
        let apart = apart.and_then(|logprobs| Logprobs::deserialize(logprobs).ok());
        let text = choice.as_ref().and_then(|choice| choice.text.as_deref()).unwrap_or_default();
        let generated = text.len() > self.text.len() && text.starts_with(&self.text);
        let logprobs = apart.or_else(|| choice.and_then(|choice| choice.logprobs));
        let Some(logprobs) = logprobs.filter(|logprobs| logprobs.tokens.is_some()) else {
            return Ok(missing(reply, NOT_GIVEN));
        };
        Ok(self.scored(reply, logprobs, generated))
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        OpenaiCompletions.stream(request)
    }

    fn read_by(&self) -> Vec<u8> {
        format!("echo {}", self.context).into_bytes()
    }
}

impl Echo {
    fn scored(&self, mut reply: WireReply, mut logprobs: Logprobs, generated: bool) -> WireReply {
        let offsets = logprobs.text_offset.take();
        let tokens = logprobs.into_core();
        let names: Vec<&str> = tokens.iter().map(|token| token.token.as_str()).collect();
        let Some(places) = offsets::places(&names, offsets.as_deref(), &self.text, self.context, generated) else {
            // Without the prompt there is at most the one token that was generated.
            return missing(reply, if tokens.len() <= 1 { NOT_GIVEN } else { NOT_ALIGNED });
        };
        let scored = |place: Option<usize>| place.is_some_and(|at| at >= self.context && at < self.text.len());
        let kept = tokens.into_iter().zip(places).filter(|(_, place)| scored(*place));
        reply.logprobs = kept.map(|(token, _)| token).collect();
        if reply.logprobs.is_empty() { missing(reply, NO_TOKEN) } else { reply }
    }
}

/// A reply without what was asked for.
fn missing(reply: WireReply, what: &str) -> WireReply {
    WireReply { logprobs: Vec::new(), finish_stated: Some(what.to_owned()), ..reply }
}

/// Scores the token ids after the first `context` ones.
pub(crate) struct ByIds {
    pub(crate) ids: Vec<u32>,
    pub(crate) context: usize,
}

impl Wire for ByIds {
    fn carries(&self, _: Parameter) -> bool {
        true
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        "/completions".into()
    }

    fn body(&self, endpoint: &Endpoint, _: &GenerationRequest, _: Delivery) -> Result<Vec<u8>, ApiError> {
        let model = model_name(endpoint);
        let body = Body::new(endpoint, &model, json!(self.ids));
        Ok(to_json(&Body { prompt_logprobs: Some(1), ..body }))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], _: &GenerationRequest) -> Result<WireReply, WireError> {
        let mut answer = read_answer(body)?;
        let mut reply = WireReply::default();
        take_facts(&mut reply, &answer);
        let choice = answer.choices.take().unwrap_or_default().into_iter().next();
        let entries = choice.and_then(|choice| choice.prompt_logprobs).or(answer.prompt_logprobs);
        let Some(entries) = entries else { return Ok(missing(reply, NOT_GIVEN)) };
        if entries.len() != self.ids.len() {
            return Ok(missing(reply, NOT_ALIGNED));
        }
        let pairs = self.ids.iter().zip(&entries).skip(self.context);
        reply.logprobs = pairs.map(|(id, entry)| by_id(*id, entry.as_ref())).collect();
        Ok(if reply.logprobs.is_empty() { missing(reply, NO_TOKEN) } else { reply })
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        OpenaiCompletions.stream(request)
    }

    fn read_by(&self) -> Vec<u8> {
        format!("ids {}", self.context).into_bytes()
    }
}

/// One token of `prompt_logprobs`, with the likeliest of its place.
fn by_id(id: u32, entry: Option<&serde_json::Map<String, Value>>) -> TokenLogprob {
    let name = id.to_string();
    let logprob = |entry: &Value| entry.get("logprob").and_then(Value::as_f64).and_then(uncensored);
    let text = |key: &str, entry: &Value| {
        entry.get("decoded_token").and_then(Value::as_str).map_or_else(|| key.to_owned(), str::to_owned)
    };
    let own = entry.and_then(|entry| entry.get(&name));
    let all = entry.into_iter().flatten();
    let likeliest =
        all.filter_map(|(key, entry)| Some((text(key, entry), logprob(entry)?))).max_by(|a, b| a.1.total_cmp(&b.1));
    TokenLogprob {
        token: own.map_or_else(|| name.clone(), |own| text(&name, own)),
        logprob: own.and_then(logprob),
        top: likeliest.into_iter().collect(),
    }
}

/// What a server's own tokenizer is asked.
pub(crate) enum Tokenizer {
    /// The ids of a text.
    Encode {
        /// The text.
        text: String,
        /// Whether it puts special tokens around it as it does for a prompt.
        special: bool,
    },
    /// The text of an id.
    Decode(u32),
}

/// What a tokenizer answers.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Encoded {
    /// Token ids of a text.
    pub(crate) tokens: Vec<u32>,
    /// Most tokens of prompt and answer.
    pub(crate) max_model_len: Option<usize>,
    /// Text of ids.
    pub(crate) prompt: Option<String>,
}

impl Wire for Tokenizer {
    fn carries(&self, _: Parameter) -> bool {
        true
    }

    fn path(&self, endpoint: &Endpoint, _: Delivery) -> String {
        let name = match self {
            Self::Encode { .. } => "tokenize",
            Self::Decode(_) => "detokenize",
        };
        // These lie beside the version, not under it; dots are resolved before the request is sent.
        let up = if endpoint.base_url.ends_with("/v1") { "/.." } else { "" };
        format!("{up}/{name}")
    }

    fn body(&self, endpoint: &Endpoint, _: &GenerationRequest, _: Delivery) -> Result<Vec<u8>, ApiError> {
        let model = model_name(endpoint);
        Ok(to_json(&match self {
            Self::Encode { text, special } => json!({"model": model, "prompt": text, "add_special_tokens": special}),
            Self::Decode(id) => json!({"model": model, "tokens": [id]}),
        }))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], _: &GenerationRequest) -> Result<WireReply, WireError> {
        let encoded: Option<Encoded> = serde_json::from_slice(body).ok();
        Ok(WireReply {
            text: encoded.map(|encoded| String::from_utf8_lossy(&to_json(&encoded)).into_owned()),
            // No token goes through the model.
            usage: Usage { input: Some(0), output: Some(0), ..Usage::default() },
            ..WireReply::default()
        })
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        OpenaiCompletions.stream(request)
    }

    fn read_by(&self) -> Vec<u8> {
        b"tokenizer".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weighbridge_core::Prompt;

    /// What a host may put in a place.
    fn junk() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!(-9999.0)),
            Just(json!(-1)),
            Just(json!(1e300)),
            Just(json!("\u{0}\u{fffd}")),
            Just(json!([null, 3])),
            Just(json!({"5": {"logprob": "x"}})),
            Just(json!(u64::MAX)),
        ]
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(junk in junk(), at in 0_usize..8, cut in 0_usize..600) {
            let mut answer = json!({"model": "m", "usage": {"prompt_tokens": 2}, "choices": [{"text": "a b!", "logprobs": {
                "tokens": ["a", " b", "!"], "token_logprobs": [null, -0.5, -1.0], "top_logprobs": [null, {" b": -0.5}, null],
                "text_offset": [0, 1, 3]}, "prompt_logprobs": [null, {"5": {"logprob": -0.5, "rank": 1}}]}]});
            let path = [
                "/choices", "/choices/0", "/choices/0/logprobs", "/choices/0/logprobs/tokens/1",
                "/choices/0/logprobs/text_offset/1", "/choices/0/logprobs/top_logprobs/1",
                "/choices/0/prompt_logprobs/1", "/choices/0/prompt_logprobs/1/5",
            ][at];
            let request = GenerationRequest::new(Prompt::Text("a b".into()), 1);
            let forms: [Box<dyn Wire>; 4] = [
                Box::new(Echo { text: "a b".into(), context: 1 }),
                Box::new(ByIds { ids: vec![4, 5], context: 1 }),
                Box::new(Tokenizer::Encode { text: "a b".into(), special: true }),
                Box::new(Tokenizer::Decode(4)),
            ];
            let sound = answer.to_string();
            for form in &forms[..2] {
                let reply = form.read(sound.as_bytes(), &request).unwrap();
                prop_assert_eq!(reply.logprobs.iter().map(|token| token.logprob).collect::<Vec<_>>(), [Some(-0.5)]);
            }
            if let Some(place) = answer.pointer_mut(path) {
                *place = junk;
            }
            let text = answer.to_string();
            for form in &forms {
                let _ = form.read(text.as_bytes(), &request);
                let _ = form.read(&text.as_bytes()[..cut.min(text.len())], &request);
            }
        }
    }
}

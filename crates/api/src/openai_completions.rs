//! OpenAI's older `/completions`: plain text, continued as it stands.
//!
//! It follows the reference of OpenAI's API (<https://platform.openai.com/docs/api-reference/completions>); `top_k` and
//! `min_p` are extensions of vLLM, Together and llama.cpp. How the same endpoint scores a text that is given is in
//! `loglikelihood.rs`.

use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weighbridge_core::{GenerationRequest, Parameter, Prompt, TokenLogprob};

use crate::dialect::{Delivery, StreamReader, Wire, WireError, WireReply, parse, uncensored};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::openai_chat::{self, Facts, TokenEntry, bearer, checked, finish, model_name, pinned, present, to_json};

/// The dialect.
pub struct OpenaiCompletions;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a str,
    max_tokens: usize,
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
    logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
}

impl Wire for OpenaiCompletions {
    fn carries(&self, parameter: Parameter) -> bool {
        !matches!(parameter, Parameter::Messages | Parameter::System | Parameter::Reasoning)
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        "/completions".into()
    }

    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, delivery: Delivery) -> Result<Vec<u8>, ApiError> {
        let Prompt::Text(prompt) = &request.prompt else {
            return Err(ApiError::Unsupported {
                model: endpoint.model.clone(),
                provider: endpoint.provider.id.clone(),
                dialect: endpoint.dialect,
                parameter: Parameter::Messages,
                hint: ", only plain text",
            });
        };
        let streamed = delivery == Delivery::Streamed;
        let body = Body {
            model: &model_name(endpoint),
            prompt,
            max_tokens: request.max_tokens,
            temperature: request.sampling.temperature,
            top_p: request.sampling.top_p,
            top_k: request.sampling.top_k,
            min_p: request.sampling.min_p,
            seed: request.sampling.seed,
            stop: &request.stop,
            logprobs: request.top_logprobs,
            provider: pinned(endpoint),
            stream: streamed.then_some(true),
            stream_options: streamed.then(|| json!({"include_usage": true})),
        };
        Ok(to_json(&body))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], request: &GenerationRequest) -> Result<WireReply, WireError> {
        let mut answer = read_answer(body)?;
        let mut choices = answer.choices.take().unwrap_or_default();
        let Some(choice) = choices.first_mut() else {
            return Err(WireError::Malformed("an answer without choices".into()));
        };
        let mut reply = WireReply::default();
        take_facts(&mut reply, &answer);
        take_choice(&mut reply, choice, !request.stop.is_empty());
        Ok(reply)
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        Box::new(Stream { reply: WireReply::default(), stop_asked: !request.stop.is_empty(), done: false })
    }
}

/// An answer, or a piece of one.
#[derive(Deserialize)]
pub(crate) struct Answer {
    id: Option<String>,
    model: Option<String>,
    system_fingerprint: Option<String>,
    provider: Option<String>,
    pub(crate) choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
    /// Together: the prompt where it was asked back.
    pub(crate) prompt: Option<Value>,
    /// vLLM of some versions: outside of the choices.
    pub(crate) prompt_logprobs: Option<PromptLogprobs>,
}

/// One of the texts asked for; there is one.
#[derive(Deserialize)]
pub(crate) struct Choice {
    pub(crate) text: Option<String>,
    finish_reason: Option<String>,
    /// vLLM: the stop string or token; present and null at the end of text.
    #[serde(default, deserialize_with = "present")]
    stop_reason: Option<Value>,
    pub(crate) logprobs: Option<Logprobs>,
    /// vLLM: for each token of the prompt its log-probability and those of the likeliest, by id.
    pub(crate) prompt_logprobs: Option<PromptLogprobs>,
}

/// vLLM's log-probabilities of a prompt: null for its first token, else entries by id.
pub(crate) type PromptLogprobs = Vec<Option<Map<String, Value>>>;

/// Log-probabilities, of which hosts leave parts out.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Logprobs {
    pub(crate) tokens: Option<Vec<String>>,
    #[serde(rename = "token_logprobs")]
    numbers: Option<Vec<Option<f64>>>,
    #[serde(rename = "top_logprobs")]
    tops: Option<Vec<Option<Map<String, Value>>>>,
    pub(crate) text_offset: Option<Vec<u64>>,
    /// llama-server: the form of chats.
    content: Option<Vec<TokenEntry>>,
}

impl Logprobs {
    /// The tokens in our words.
    pub(crate) fn into_core(self) -> Vec<TokenLogprob> {
        if let Some(content) = self.content {
            return content.into_iter().map(TokenEntry::into_core).collect();
        }
        let mut numbers = self.numbers.unwrap_or_default().into_iter();
        let mut tops = self.tops.unwrap_or_default().into_iter();
        let token = |token| TokenLogprob {
            token,
            logprob: numbers.next().flatten().and_then(uncensored),
            top: tops.next().flatten().map(top).unwrap_or_default(),
        };
        self.tokens.unwrap_or_default().into_iter().map(token).collect()
    }
}

/// Alternatives, likeliest first.
fn top(entries: Map<String, Value>) -> Vec<(String, f64)> {
    let mut top: Vec<(String, f64)> =
        entries.into_iter().filter_map(|(token, logprob)| Some((token, uncensored(logprob.as_f64()?)?))).collect();
    top.sort_by(|a, b| b.1.total_cmp(&a.1));
    top
}

/// Parses an answer or a piece; an error inside is one of the host.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, WireError> {
    let answer: Answer = parse(body)?;
    let choice = answer.choices.as_ref().and_then(|choices| choices.first());
    checked(body, answer.error.as_ref(), choice.and_then(|choice| choice.finish_reason.as_deref()))?;
    Ok(answer)
}

/// Takes what an answer says of itself.
pub(crate) fn take_facts(reply: &mut WireReply, answer: &Answer) {
    let facts = Facts {
        model: answer.model.as_ref(),
        fingerprint: answer.system_fingerprint.as_ref(),
        host: answer.provider.as_ref(),
        id: answer.id.as_ref(),
        usage: answer.usage.as_ref(),
    };
    openai_chat::take_facts(reply, &facts);
}

fn take_choice(reply: &mut WireReply, choice: &mut Choice, stop_asked: bool) {
    if let Some(text) = &choice.text {
        reply.text.get_or_insert_default().push_str(text);
    }
    reply.logprobs.extend(choice.logprobs.take().map(Logprobs::into_core).unwrap_or_default());
    if let Some(word) = choice.finish_reason.as_deref().filter(|word| !word.is_empty()) {
        reply.finish = Some(finish(word, choice.stop_reason.as_ref(), stop_asked));
        reply.finish_stated = Some(word.to_owned());
    }
}

struct Stream {
    reply: WireReply,
    stop_asked: bool,
    done: bool,
}

impl StreamReader for Stream {
    fn piece(&mut self, data: &str) -> Result<String, WireError> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(String::new());
        }
        let mut answer = read_answer(data.as_bytes())?;
        take_facts(&mut self.reply, &answer);
        let Some(choice) = answer.choices.as_mut().and_then(|choices| choices.first_mut()) else {
            return Ok(String::new());
        };
        take_choice(&mut self.reply, choice, self.stop_asked);
        Ok(choice.text.take().unwrap_or_default())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(self: Box<Self>) -> Result<WireReply, WireError> {
        if self.reply.finish.is_none() {
            return Err(WireError::Malformed("the stream ended without a finish_reason".into()));
        }
        Ok(self.reply)
    }
}

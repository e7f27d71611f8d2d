//! Ollama's `/api/chat`, and `/api/generate` for plain text.
//!
//! Requests follow the reference of its API (<https://docs.ollama.com/api>). Ollama cuts a prompt that is longer than its
//! context without a word, so each request says how long the context must be, forbids the cut, and looks for its traces in
//! the answer ([`cut_at`]). Errors come as `{"error": "..."}`, also in the middle of a stream.

use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weighbridge_core::{Effort, Finish, GenerationRequest, Message, Parameter, Prompt, Reasoning, Usage};

use crate::dialect::{
    Delivery, Framing, HostError, StreamReader, Wire, WireError, WireReply, outside, parse, read_error,
};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::openai_chat::{TokenEntry, bearer, to_json};

/// Shortest context that is asked for. Another length loads the weights anew, so short requests share one, which is also
/// what Ollama takes by itself on small machines (<https://docs.ollama.com/context-length>).
const LEAST_CONTEXT: u64 = 4096;
/// Tokens that a template may add to a conversation, and to each of its turns.
const TEMPLATE: u64 = 256;
const TEMPLATE_TURN: u64 = 16;

/// The dialect.
pub struct Ollama {
    path: &'static str,
}

/// For conversations.
pub static CHAT: Ollama = Ollama { path: "/api/chat" };

/// For plain text.
pub static TEXT: Ollama = Ollama { path: "/api/generate" };

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    stream: bool,
    truncate: bool,
    shift: bool,
    options: Options<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
}

#[derive(Serialize)]
struct Options<'a> {
    num_ctx: u64,
    num_predict: usize,
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
}

impl Wire for Ollama {
    fn carries(&self, _: Parameter) -> bool {
        true
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        self.path.into()
    }

    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, delivery: Delivery) -> Result<Vec<u8>, ApiError> {
        let (messages, prompt) = match &request.prompt {
            Prompt::Messages(messages) => (Some(messages.as_slice()), None),
            Prompt::Text(text) => (None, Some(text.as_str())),
        };
        let sampling = request.sampling;
        Ok(to_json(&Body {
            model: &endpoint.model,
            messages,
            prompt,
            // As it stands, without the template of a conversation.
            raw: prompt.map(|_| true),
            stream: delivery == Delivery::Streamed,
            // An error, not an answer to the end of the prompt. Servers before 0.12.7 do not know these two.
            truncate: false,
            shift: false,
            options: Options {
                num_ctx: context(endpoint.facts.context, request),
                num_predict: request.max_tokens,
                temperature: sampling.temperature,
                top_p: sampling.top_p,
                top_k: sampling.top_k,
                min_p: sampling.min_p,
                seed: sampling.seed,
                stop: &request.stop,
            },
            think: think(endpoint, request.reasoning)?,
            logprobs: request.top_logprobs.map(|_| true),
            top_logprobs: request.top_logprobs.filter(|&top| top > 0),
        }))
    }

    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError> {
        bearer(endpoint, headers)
    }

    fn read(&self, body: &[u8], request: &GenerationRequest) -> Result<WireReply, WireError> {
        let mut collected = Collected::new(request);
        collected.take(body)?;
        collected.whole()
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        Box::new(Collected::new(request))
    }
}

/// Bytes of the prompt, which it never has more tokens than.
fn prompt_bytes(request: &GenerationRequest) -> u64 {
    match &request.prompt {
        Prompt::Text(text) => text.len() as u64,
        Prompt::Messages(messages) => messages.iter().map(|m| m.content.len() as u64).sum(),
    }
}

/// Tokens of the context that hold prompt and answer for certain, rounded up to a power of two so that few lengths are
/// asked for; at most what the model has, whose own limit the server keeps anyway.
fn context(known: Option<u64>, request: &GenerationRequest) -> u64 {
    let template = match &request.prompt {
        Prompt::Text(_) => TEMPLATE_TURN,
        Prompt::Messages(messages) => TEMPLATE + TEMPLATE_TURN * messages.len() as u64,
    };
    let most = prompt_bytes(request).saturating_add(template).saturating_add(request.max_tokens as u64);
    let rounded = most.checked_next_power_of_two().unwrap_or(most).max(LEAST_CONTEXT);
    known.filter(|&known| known > 0).map_or(rounded, |known| rounded.min(known))
}

/// The context at which a prompt was cut, told by what is left of it; `None` where nothing speaks for a cut.
///
/// Servers that do not know `truncate` keep the first 4 tokens (5 with a mark of the beginning) and the end: of a context
/// of `n` tokens `n - (n - keep) / 2`, older ones all `n` (`llm/llama_server.go`, `runner/ollamarunner/runner.go` of
/// <https://github.com/ollama/ollama>). That count alone would come up by chance once in 500 long prompts. So the prompt
/// must also have had more than 6 bytes for each token that is stated, where whole texts have 2 to 5.
fn cut_at(prompt_tokens: u64, bytes: u64) -> Option<u64> {
    const STEP: u64 = 1024;
    const BYTES_PER_TOKEN: u64 = 6;
    if prompt_tokens < STEP || bytes / prompt_tokens < BYTES_PER_TOKEN {
        return None;
    }
    let half = [2, 3].into_iter().map(|kept| prompt_tokens - kept).find(|half| half % STEP == 0);
    half.map(|half| half * 2).or_else(|| prompt_tokens.is_multiple_of(STEP).then_some(prompt_tokens))
}

/// Levels are those of gpt-oss; other models only know yes and no (<https://docs.ollama.com/capabilities/thinking>).
fn think(endpoint: &Endpoint, reasoning: Reasoning) -> Result<Option<Value>, ApiError> {
    const EXPECTED: &str = "low, medium or high as level of reasoning";
    match reasoning {
        Reasoning::Unset => Ok(None),
        Reasoning::Off => Ok(Some(Value::Bool(false))),
        Reasoning::Effort(level @ (Effort::Low | Effort::Medium | Effort::High)) => Ok(Some(level.as_str().into())),
        Reasoning::Effort(level) => Err(outside(endpoint, EXPECTED, &level.as_str())),
        Reasoning::Budget(_) => Err(outside(endpoint, EXPECTED, &"a budget")),
    }
}

#[derive(Deserialize)]
struct Answer {
    model: Option<String>,
    /// Behind a server that passes requests on: who answered.
    remote_host: Option<String>,
    message: Option<Said>,
    response: Option<String>,
    thinking: Option<String>,
    done: Option<bool>,
    done_reason: Option<String>,
    logprobs: Option<Vec<TokenEntry>>,
    error: Option<Value>,
    #[serde(flatten)]
    counts: Map<String, Value>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    thinking: Option<String>,
}

/// What has been read of an answer.
struct Collected {
    reply: WireReply,
    stop_asked: bool,
    bytes: u64,
    max_tokens: u64,
    done: bool,
}

impl Collected {
    fn new(request: &GenerationRequest) -> Self {
        Self {
            reply: WireReply::default(),
            stop_asked: !request.stop.is_empty(),
            bytes: prompt_bytes(request),
            max_tokens: request.max_tokens as u64,
            done: false,
        }
    }

    /// Takes a whole answer or a piece, which have the same form, and returns the text that it adds.
    fn take(&mut self, data: &[u8]) -> Result<String, WireError> {
        let answer: Answer = parse(data)?;
        if answer.error.is_some() {
            return Err(WireError::Host(read_error(data)));
        }
        let (content, thinking) = match answer.message {
            Some(said) => (said.content, said.thinking),
            None => (answer.response, answer.thinking),
        };
        let reply = &mut self.reply;
        if let Some(text) = &content {
            reply.text.get_or_insert_default().push_str(text);
        }
        if let Some(thought) = thinking.filter(|thought| !thought.is_empty()) {
            reply.reasoning.get_or_insert_default().push_str(&thought);
        }
        reply.logprobs.extend(answer.logprobs.into_iter().flatten().map(TokenEntry::into_core));
        reply.model = reply.model.take().or(answer.model.filter(|model| !model.is_empty()));
        reply.host = reply.host.take().or(answer.remote_host.filter(|host| !host.is_empty()));
        if answer.done == Some(true) {
            self.done = true;
            self.take_end(answer.done_reason, answer.counts);
        }
        Ok(content.unwrap_or_default())
    }

    /// Takes what only the last piece states.
    fn take_end(&mut self, word: Option<String>, mut counts: Map<String, Value>) {
        counts.retain(|key, _| key.ends_with("_count") || key.ends_with("_duration"));
        let number = |key: &str| counts.get(key).and_then(Value::as_u64);
        self.reply.usage =
            Usage { input: number("prompt_eval_count"), output: number("eval_count"), ..Usage::default() };
        if !counts.is_empty() {
            self.reply.usage_stated = Some(Value::Object(counts));
        }
        if let Some(word) = word.filter(|word| !word.is_empty()) {
            self.reply.finish = Some(self.finish(&word));
            self.reply.finish_stated = Some(word);
        }
    }

    /// Why the text ended, in our words. `stop` is said for the end of text and for stop strings alike, `length` for the
    /// length that was asked for and for the end of the context.
    fn finish(&self, word: &str) -> Finish {
        match word {
            "stop" if self.stop_asked => Finish::EndOfTextOrStop,
            "stop" => Finish::EndOfText,
            "length" if self.reply.usage.output.is_some_and(|made| made < self.max_tokens) => Finish::ContextFull,
            "length" => Finish::MaxTokens,
            _ => Finish::Other,
        }
    }

    fn whole(self) -> Result<WireReply, WireError> {
        if !self.done {
            return Err(WireError::Malformed("the answer ended before it said that it was done".into()));
        }
        if self.reply.text.is_none() {
            return Err(WireError::Malformed("an answer without message or response".into()));
        }
        let tokens = self.reply.usage.input;
        if let Some((tokens, context)) = tokens.and_then(|tokens| Some((tokens, cut_at(tokens, self.bytes)?))) {
            let message = format!(
                "the prompt of {} bytes was cut to {tokens} tokens, as a context of {context} does it; shorten it, or \
                 give the model a longer context",
                self.bytes
            );
            // As newer servers say it, so that nobody tries again.
            let (status, code) = (Some(400), Some("prompt_cut".to_owned()));
            return Err(WireError::Host(HostError { status, code, message, retry_after: None }));
        }
        Ok(self.reply)
    }
}

impl StreamReader for Collected {
    fn piece(&mut self, data: &str) -> Result<String, WireError> {
        self.take(data.as_bytes())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(self: Box<Self>) -> Result<WireReply, WireError> {
        self.whole()
    }
}

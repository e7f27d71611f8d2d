//! What a dialect must be able to do. Each has one file; all are checked by the same tests.

use reqwest::header::HeaderMap;
use serde_json::Value;
use weighbridge_core::{Dialect, Finish, GenerationRequest, Message, Parameter, Prompt, TokenLogprob, Usage, Usd};

use crate::endpoint::Endpoint;
use crate::error::ApiError;

/// Whether an answer comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In one body.
    Whole,
    /// As it is made.
    Streamed,
}

/// How the pieces of a stream are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// One JSON object a line.
    Lines,
}

/// An answer as the host gave it, in our words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireReply {
    /// The text; `None` where the host gave none.
    pub text: Option<String>,
    /// What the model thought before, where it is shown.
    pub reasoning: Option<String>,
    /// Why the text ended; `None` where the host does not say.
    pub finish: Option<Finish>,
    /// The host's own word for that.
    pub finish_stated: Option<String>,
    /// Log-probabilities of the generated tokens.
    pub logprobs: Vec<TokenLogprob>,
    /// Tokens, in one meaning.
    pub usage: Usage,
    /// The host's own statement.
    pub usage_stated: Option<Value>,
    /// Dollars, as the host states them.
    pub cost_stated: Option<Usd>,
    /// The model that the answer names.
    pub model: Option<String>,
    /// Fingerprint of the system, or digest of the weights.
    pub fingerprint: Option<String>,
    /// Behind a router: the host that answered.
    pub host: Option<String>,
    /// Id of the answer.
    pub response_id: Option<String>,
}

/// What a host says when it does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostError {
    /// A status that the body states, which may differ from that of HTTP (routers answer 200 with an error inside).
    pub status: Option<u16>,
    /// Short name, such as `insufficient_quota`.
    pub code: Option<String>,
    /// For people.
    pub message: String,
    /// How long the body asks to wait before the next attempt, as Google's does.
    pub retry_after: Option<std::time::Duration>,
}

/// Why a body is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// It is not what the dialect says; the text tells where.
    Malformed(String),
    /// It is an error of the host.
    Host(HostError),
}

/// Reads the pieces of a stream.
pub trait StreamReader: Send {
    /// Takes the data of one piece and returns the text that it adds, for those who watch.
    ///
    /// # Errors
    /// It is not what the dialect says, or an error of the host.
    fn piece(&mut self, data: &str) -> Result<String, WireError>;

    /// True when the host has said that nothing follows.
    fn is_done(&self) -> bool;

    /// The whole answer.
    ///
    /// # Errors
    /// The stream ended before the answer was complete.
    fn end(self: Box<Self>) -> Result<WireReply, WireError>;
}

/// A form of requests and answers.
pub trait Wire: Send + Sync {
    /// True where the dialect has a place for the setting at all.
    fn carries(&self, parameter: Parameter) -> bool;

    /// Path under the base URL.
    fn path(&self, endpoint: &Endpoint, delivery: Delivery) -> String;

    /// Body of the request, as JSON. The request has been checked: all that it asks is carried.
    ///
    /// # Errors
    /// A combination of settings cannot be said in this dialect.
    fn body(&self, endpoint: &Endpoint, request: &GenerationRequest, delivery: Delivery) -> Result<Vec<u8>, ApiError>;

    /// Adds key and version to the headers.
    ///
    /// # Errors
    /// The key cannot be put into a header.
    fn headers(&self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Result<(), ApiError>;

    /// Reads an answer in one body.
    ///
    /// # Errors
    /// It is no answer.
    fn read(&self, body: &[u8], request: &GenerationRequest) -> Result<WireReply, WireError>;

    /// How a stream is cut into pieces.
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// Reads an answer in pieces.
    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader>;

    /// What else than the body decides how an answer is read: part of what the cache knows a request by.
    fn read_by(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reads the body of an error.
    fn error(&self, body: &[u8]) -> HostError {
        read_error(body)
    }
}

/// The code of a dialect.
#[must_use]
pub fn wire(dialect: Dialect) -> &'static dyn Wire {
    match dialect {
        Dialect::OpenaiChat => &crate::openai_chat::OpenaiChat,
        Dialect::OpenaiResponses => &crate::openai_responses::OpenaiResponses,
        Dialect::OpenaiCompletions => &crate::openai_completions::OpenaiCompletions,
        Dialect::Anthropic => &crate::anthropic::Anthropic,
        Dialect::Gemini => &crate::gemini::Gemini,
        Dialect::Ollama => &crate::ollama::CHAT,
    }
}

/// The code of a dialect for one request: Ollama takes plain text at a path of its own.
#[must_use]
pub fn wire_for(dialect: Dialect, request: &GenerationRequest) -> &'static dyn Wire {
    match (dialect, &request.prompt) {
        (Dialect::Ollama, Prompt::Text(_)) => &crate::ollama::TEXT,
        _ => wire(dialect),
    }
}

/// The turns of a conversation; plain text is one turn of the user where a dialect knows nothing else.
pub(crate) fn messages(prompt: &Prompt) -> Vec<Message> {
    match prompt {
        Prompt::Messages(messages) => messages.clone(),
        Prompt::Text(text) => vec![Message::user(text.clone())],
    }
}

/// True for the roles that instruct, of which `developer` is the newer name.
pub(crate) fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

/// System messages joined by an empty line, and the other turns.
pub(crate) fn split_system(messages: &[Message]) -> (Option<String>, Vec<&Message>) {
    let (system, turns): (Vec<&Message>, Vec<&Message>) = messages.iter().partition(|m| is_system(m));
    let system = system.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n\n");
    ((!system.is_empty()).then_some(system), turns)
}

/// A setting that an endpoint or a dialect takes only otherwise.
pub(crate) fn outside(endpoint: &Endpoint, expected: impl Into<String>, given: &dyn std::fmt::Display) -> ApiError {
    ApiError::OutOfRange {
        model: endpoint.model.clone(),
        provider: endpoint.provider.id.clone(),
        expected: expected.into(),
        given: given.to_string(),
    }
}

/// Parses JSON of a host. Numbers that are no JSON (NaN) and anything after the value are errors.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, WireError> {
    serde_json::from_slice(body).map_err(|error| {
        let begin = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        WireError::Malformed(format!("{error}, in an answer of {} bytes that begins {begin:?}", body.len()))
    })
}

/// The natural log-probability, or `None` for the sentinel that OpenAI gives where the token is not among the likeliest.
pub(crate) fn uncensored(logprob: f64) -> Option<f64> {
    (logprob > -9999.0).then_some(logprob)
}

/// Errors as most hosts write them: `{"error": {"message", "code", "type"}}`, `{"error": "..."}`, `{"message": "..."}`,
/// `{"detail": ...}`, a list of one of these, or plain text.
pub(crate) fn read_error(body: &[u8]) -> HostError {
    let plain = || HostError { message: shortened(&String::from_utf8_lossy(body)), ..HostError::default() };
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return plain() };
    let value = value.get(0).unwrap_or(&value);
    let Some(inner) = value.get("error").filter(|e| !e.is_null()).or(Some(value)) else { return plain() };
    if let Some(text) = inner.as_str() {
        return HostError { message: shortened(text), ..HostError::default() };
    }
    let text = |key: &str| inner.get(key).and_then(Value::as_str).map(str::to_owned);
    let status = ["code", "status", "status_code"]
        .iter()
        .filter_map(|key| inner.get(*key))
        .find_map(|v| v.as_u64().or_else(|| v.as_str().and_then(|s| s.parse().ok())))
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..600).contains(status));
    let named = |key: &str| text(key).filter(|code| code.parse::<u16>().is_err());
    let message = text("message").or_else(|| text("detail")).unwrap_or_else(|| inner.to_string());
    HostError {
        status,
        code: named("code").or_else(|| named("type")).or_else(|| named("status")),
        message: shortened(&message),
        retry_after: None,
    }
}

/// At most 500 characters of what a host said, on one line, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 500;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut out: String = text.chars().take(MOST).map(clean).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('\u{2026}');
    }
    out.trim().to_owned()
}

//! The record of one call to a model: what was asked, every attempt, what came back, what it cost.
//!
//! One record is one line of a log. Keys never enter a record; what a host says is kept as it said it.

use serde::{Deserialize, Serialize};

use crate::{CanaryReport, Dialect, Finish, GenerationRequest, Prompt, Reasoning, SampleState, Sampling, Usage, Usd};

/// Version of [`CallRecord`] as written to logs and caches.
pub const CALL_VERSION: u32 = 1;

/// One call, from the request to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Version of this form: [`CALL_VERSION`].
    pub version: u32,
    /// Position of the request among those of its run, from 0.
    pub index: u64,
    /// Name of the request where its file gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What was asked.
    pub request: RequestSummary,
    /// Who answered.
    pub served_by: ServedBy,
    /// What became of it.
    pub state: CallState,
    /// The text; `None` where there is no answer.
    pub text: Option<String>,
    /// What the model thought before, where the host shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why the text ended; `None` where there is no answer.
    pub finish: Option<Finish>,
    /// The host's own word for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_stated: Option<String>,
    /// Log-probabilities of the generated tokens, where asked for and given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    /// Tokens, in one meaning.
    pub usage: Usage,
    /// The host's own statement of usage, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_stated: Option<serde_json::Value>,
    /// Dollars.
    pub cost: Cost,
    /// Seconds.
    pub timing: Timing,
    /// Every try, the last one included.
    pub attempts: Vec<Attempt>,
    /// True where the answer came from the cache: usage, cost and timing are then those of the call that filled it, and
    /// nothing was spent now.
    #[serde(default)]
    pub cached: bool,
    /// When the call ended, seconds since 1970 UTC.
    pub ended: f64,
}

/// What a file of records begins with: whose they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallLogHeader {
    /// What the file is, with the version of its form: [`CALL_VERSION`].
    pub weighbridge_calls: u32,
    /// Version of the program that began it.
    pub program: String,
    /// Provider of the catalog, or `local`.
    pub provider: String,
    /// Model as the provider names it.
    pub model: String,
    /// Where its endpoints begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Hash of the requests and of the settings that they leave open, hexadecimal.
    pub requests: String,
    /// Number of requests.
    pub count: u64,
    /// What the endpoint was seen to do before the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryReport>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// There is an answer.
    Answered,
    /// There is the beginning of an answer, cut off by a limit of length.
    Truncated,
    /// The model or a filter declined.
    Refused,
    /// The provider failed after all attempts.
    ProviderError,
    /// It was not sent: the endpoint does not take it, or the money was spent.
    NotSent,
}

impl CallState {
    /// Every state, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Truncated, Self::Refused, Self::ProviderError, Self::NotSent];

    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
            Self::ProviderError => "provider_error",
            Self::NotSent => "not_sent",
        }
    }

    /// The state of a call that ended so.
    #[must_use]
    pub const fn of_finish(finish: Finish) -> Self {
        match finish {
            Finish::MaxTokens | Finish::ContextFull => Self::Truncated,
            Finish::Refused | Finish::Filtered => Self::Refused,
            Finish::EndOfText | Finish::Stop | Finish::EndOfTextOrStop | Finish::Other => Self::Answered,
        }
    }

    /// True where there is a text, whole or in part, or the word that there shall be none.
    #[must_use]
    pub const fn has_answer(self) -> bool {
        match self {
            Self::Answered | Self::Truncated | Self::Refused => true,
            Self::ProviderError | Self::NotSent => false,
        }
    }

    /// The state of a sample that no scorer can do better with; `None` where a scorer decides.
    #[must_use]
    pub const fn sample_state(self) -> Option<SampleState> {
        match self {
            Self::Answered => None,
            Self::Truncated => Some(SampleState::Truncated),
            Self::Refused => Some(SampleState::Refused),
            Self::ProviderError => Some(SampleState::ProviderError),
            Self::NotSent => Some(SampleState::Missing),
        }
    }
}

/// What was asked, as far as it changes the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestSummary {
    /// Hash of the request as the cache knows it, hexadecimal; empty for a model in this process, which has none.
    pub hash: String,
    /// What the model goes on from.
    pub prompt: Prompt,
    /// Stop strings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Most tokens of the answer.
    pub max_tokens: usize,
    /// How tokens are chosen.
    #[serde(default)]
    pub sampling: Sampling,
    /// How much the model thinks first.
    #[serde(default, skip_serializing_if = "Reasoning::is_unset")]
    pub reasoning: Reasoning,
    /// Alternatives asked for with log-probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u8>,
    /// Which repeat, from 0.
    #[serde(default)]
    pub repeat: u32,
}

impl RequestSummary {
    /// The summary of a request.
    #[must_use]
    pub fn new(hash: String, request: GenerationRequest) -> Self {
        let GenerationRequest { prompt, stop, max_tokens, sampling, reasoning, top_logprobs, repeat } = request;
        Self { hash, prompt, stop, max_tokens, sampling, reasoning, top_logprobs, repeat }
    }
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServedBy {
    /// Provider of the catalog, or `local`.
    pub provider: String,
    /// Where its endpoints begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Form in which it was spoken to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The model that was asked for.
    pub model: String,
    /// The model that the answer names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_answered: Option<String>,
    /// Fingerprint of the system, or digest of the weights, as stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Behind a router: the host that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Quantization that was pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Id that the host gave to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// Id of the batch that brought it, at a batch's price; the time of such a call tells nothing of the model's speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
}

/// Natural log-probability of one generated token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token as text.
    pub token: String,
    /// Its log-probability; `None` where the host only says that it is not among its likeliest (OpenAI's -9999).
    pub logprob: Option<f64>,
    /// The likeliest alternatives, as asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f64)>,
}

/// Dollars of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// What counts: what the host stated, else what was computed; `None` is unknown.
    pub usd: Option<Usd>,
    /// From usage and the catalog's prices on the day of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub computed: Option<Usd>,
    /// As the host stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stated: Option<Usd>,
}

/// Seconds of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// From sending the last attempt to its last byte: what the model took.
    pub latency: f64,
    /// From sending the last attempt to the first piece of text; `None` where the answer was not streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<f64>,
    /// Waiting for a place among the requests in flight, for limits and between attempts.
    pub queue: f64,
}

/// One try.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// When it was sent, seconds since 1970 UTC.
    pub sent: f64,
    /// Seconds to its end.
    pub seconds: f64,
    /// Status of HTTP; `None` where none came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong; `None` where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorClass>,
    /// What the host or the network said, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Seconds that were waited afterwards before the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<f64>,
    /// Id of the request as the host gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What went wrong in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Too many requests or tokens for now (429).
    RateLimit,
    /// Nothing is left on the account; waiting does not help.
    Quota,
    /// The host is overloaded (529, 503).
    Overloaded,
    /// The host failed (other 5xx).
    Server,
    /// The host gave up waiting, or we did.
    Timeout,
    /// No connection, or it broke.
    Connection,
    /// Another request was in the way (409).
    Conflict,
    /// The key is missing or wrong (401, 403).
    Authentication,
    /// There is no such model or endpoint (404).
    NotFound,
    /// The host cannot take the request (400, 413, 422, ...).
    BadRequest,
    /// The answer is not what the dialect says.
    Malformed,
    /// The request asks for what the endpoint does not give; it was not sent.
    Unsupported,
    /// The limit of dollars was reached; it was not sent.
    SpendLimit,
}

impl ErrorClass {
    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Quota => "quota",
            Self::Overloaded => "overloaded",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Conflict => "conflict",
            Self::Authentication => "authentication",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::SpendLimit => "spend_limit",
        }
    }

    /// True where a later attempt may succeed.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(
            self,
            Self::RateLimit
                | Self::Overloaded
                | Self::Server
                | Self::Timeout
                | Self::Connection
                | Self::Conflict
                | Self::Malformed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn the_form_in_files_is_pinned() {
        let mut request =
            GenerationRequest::new(Prompt::Messages(vec![Message::new("system", "s"), Message::user("u")]), 8);
        request.stop = vec!["x".into()];
        request.sampling = Sampling { temperature: Some(0.5), seed: Some(7), ..Sampling::UNSET };
        request.reasoning = Reasoning::Budget(64);
        let record = CallRecord {
            version: CALL_VERSION,
            index: 3,
            id: Some("q".into()),
            request: RequestSummary::new("00".into(), request),
            served_by: ServedBy {
                provider: "p".into(),
                dialect: Some(Dialect::OpenaiChat),
                model: "m".into(),
                ..ServedBy::default()
            },
            state: CallState::Truncated,
            text: Some("t".into()),
            reasoning: None,
            finish: Some(Finish::MaxTokens),
            finish_stated: Some("length".into()),
            logprobs: vec![TokenLogprob { token: "t".into(), logprob: None, top: vec![("u".into(), -0.5)] }],
            usage: Usage { input: Some(5), output: Some(8), ..Usage::default() },
            usage_stated: None,
            cost: Cost { usd: Some(Usd(0.25)), computed: Some(Usd(0.25)), stated: None },
            timing: Timing { latency: 1.5, first_token: None, queue: 0.5 },
            attempts: vec![
                Attempt {
                    sent: 1.0,
                    seconds: 0.5,
                    status: Some(429),
                    error: Some(ErrorClass::RateLimit),
                    message: Some("slow".into()),
                    waited: Some(2.0),
                    request_id: None,
                },
                Attempt { sent: 3.5, seconds: 1.5, status: Some(200), ..Attempt::default() },
            ],
            cached: false,
            ended: 5.0,
        };
        let text = concat!(
            r#"{"version":1,"index":3,"id":"q","request":{"hash":"00","prompt":{"messages":[{"role":"system","#,
            r#""content":"s"},{"role":"user","content":"u"}]},"stop":["x"],"max_tokens":8,"sampling":{"temperature":0.5,"#,
            r#""seed":7},"reasoning":{"budget":64},"repeat":0},"served_by":{"provider":"p","dialect":"openai_chat","#,
            r#""model":"m"},"state":"truncated","text":"t","finish":"max_tokens","finish_stated":"length","logprobs":"#,
            r#"[{"token":"t","logprob":null,"top":[["u",-0.5]]}],"usage":{"input":5,"output":8},"cost":{"usd":0.25,"#,
            r#""computed":0.25},"timing":{"latency":1.5,"queue":0.5},"attempts":[{"sent":1.0,"seconds":0.5,"#,
            r#""status":429,"error":"rate_limit","message":"slow","waited":2.0},{"sent":3.5,"seconds":1.5,"#,
            r#""status":200}],"cached":false,"ended":5.0}"#,
        );
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        assert_eq!(serde_json::from_str::<CallRecord>(text).unwrap(), record);

        let header = CallLogHeader {
            weighbridge_calls: CALL_VERSION,
            program: "0.1.0".into(),
            provider: "p".into(),
            model: "m".into(),
            base_url: None,
            requests: "00".into(),
            count: 4,
            canary: None,
        };
        let text = r#"{"weighbridge_calls":1,"program":"0.1.0","provider":"p","model":"m","requests":"00","count":4}"#;
        assert_eq!(serde_json::to_string(&header).unwrap(), text);
        assert_eq!(serde_json::from_str::<CallLogHeader>(text).unwrap(), header);
    }
}

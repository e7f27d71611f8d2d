//! Who serves models over HTTP, and what their endpoints take: rows of the catalog.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Effort;

/// The form in which an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's `/chat/completions`.
    OpenaiChat,
    /// OpenAI's `/responses`.
    OpenaiResponses,
    /// OpenAI's older `/completions`, with what vLLM and Together add.
    OpenaiCompletions,
    /// Anthropic's `/v1/messages`.
    Anthropic,
    /// Gemini's `models/{model}:generateContent`.
    Gemini,
    /// Ollama's `/api/chat` and `/api/generate`.
    Ollama,
}

impl Dialect {
    /// Every dialect, in the order of tables.
    pub const ALL: [Self; 6] =
        [Self::OpenaiChat, Self::OpenaiResponses, Self::OpenaiCompletions, Self::Anthropic, Self::Gemini, Self::Ollama];

    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::OpenaiCompletions => "openai_completions",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    /// The dialect with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == name)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A service that answers over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Id, as in `openai:gpt-5.6`.
    pub id: String,
    /// Name.
    pub name: String,
    /// Where its endpoints begin, version part included; `None` where the user must say (a server of their own).
    pub base_url: Option<String>,
    /// Environment variables that may hold its key, the first that is set counts. Empty where it takes none.
    pub key_variables: Vec<String>,
    /// False where it also answers without a key.
    pub key_required: bool,
    /// The dialects that it speaks, preferred first.
    pub dialects: Vec<Dialect>,
    /// True where others answer in its name: the host and its quantization must then be pinned.
    pub router: bool,
    /// True where it takes batches.
    pub batch: bool,
    /// How it departs from its dialect.
    pub quirks: BTreeSet<Quirk>,
    /// Id of the source.
    pub source: String,
}

/// How a provider departs from what its dialect usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// The length of a chat answer is `max_completion_tokens`, not `max_tokens` (OpenAI).
    MaxCompletionTokens,
    /// Reasoning is set by an object `reasoning` with `effort` or `max_tokens` (OpenRouter).
    ReasoningObject,
    /// Reasoning is turned off and on by an object `thinking` with a `type` (DeepSeek, Z.ai, Moonshot).
    ThinkingObject,
    /// The host of a router is a suffix of the model, `model:host` (Hugging Face).
    HostSuffix,
    /// The host and quantization of a router are pinned by an object `provider` (OpenRouter).
    ProviderObject,
    /// Streams end without a statement of usage even where it is asked for.
    NoStreamUsage,
}

impl Quirk {
    /// Every quirk, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::MaxCompletionTokens,
        Self::ReasoningObject,
        Self::ThinkingObject,
        Self::HostSuffix,
        Self::ProviderObject,
        Self::NoStreamUsage,
    ];

    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::ReasoningObject => "reasoning_object",
            Self::ThinkingObject => "thinking_object",
            Self::HostSuffix => "host_suffix",
            Self::ProviderObject => "provider_object",
            Self::NoStreamUsage => "no_stream_usage",
        }
    }

    /// The quirk with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quirk| quirk.as_str() == name)
    }
}

/// A setting of a request that an endpoint may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameter {
    /// Messages of the role `system`.
    System,
    /// Temperature other than the default.
    Temperature,
    /// Nucleus sampling.
    TopP,
    /// The k likeliest tokens.
    TopK,
    /// Tokens above a share of the likeliest.
    MinP,
    /// Seed.
    Seed,
    /// Stop strings.
    Stop,
    /// Log-probabilities of the output.
    Logprobs,
    /// Plain text to go on from.
    Text,
    /// A conversation.
    Messages,
    /// Levels or budgets of reasoning.
    Reasoning,
}

impl Parameter {
    /// Every parameter, in the order of tables.
    pub const ALL: [Self; 11] = [
        Self::System,
        Self::Temperature,
        Self::TopP,
        Self::TopK,
        Self::MinP,
        Self::Seed,
        Self::Stop,
        Self::Logprobs,
        Self::Text,
        Self::Messages,
        Self::Reasoning,
    ];

    /// The name used in files and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Temperature => "temperature",
            Self::TopP => "top-p",
            Self::TopK => "top-k",
            Self::MinP => "min-p",
            Self::Seed => "seed",
            Self::Stop => "stop",
            Self::Logprobs => "logprobs",
            Self::Text => "text",
            Self::Messages => "messages",
            Self::Reasoning => "reasoning",
        }
    }

    /// The parameter with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|parameter| parameter.as_str() == name)
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How an endpoint lets reasoning be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningControl {
    /// Levels that it takes by name, least first.
    pub efforts: Vec<Effort>,
    /// Fewest and most tokens of a budget; `None` where it takes no budget.
    pub budget: Option<(u32, u32)>,
    /// True where reasoning can be turned off.
    pub off: bool,
}

/// What one model at one provider takes, beyond what its dialect says. The default refuses nothing and is checked by
/// nobody: the endpoint has the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFacts {
    /// Settings that it answers with an error, or ignores.
    pub refuses: BTreeSet<Parameter>,
    /// Reasoning; `None` is unknown: settings are then sent as asked.
    pub reasoning: Option<ReasoningControl>,
    /// Most tokens that one answer may have.
    pub max_output: Option<u64>,
    /// Most stop strings.
    pub max_stop: Option<usize>,
    /// Most alternatives of a log-probability.
    pub max_top_logprobs: Option<u8>,
    /// Tokens of the context.
    pub context: Option<u64>,
    /// Id of the source.
    pub source: Option<String>,
}

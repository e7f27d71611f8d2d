//! What every model can be asked, whether it runs in this process or behind somebody's API.

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::{CallRecord, local};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or another role that the model knows.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A turn of that role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }

    /// A turn of the user.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".into(), content: content.into() }
    }
}

/// What a model is given to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Plain text, continued as it stands.
    Text(String),
    /// A conversation, put into the form that the model was trained on.
    Messages(Vec<Message>),
}

/// How the next token is chosen. What is not set is left to the model: a host uses its own default, the engine draws from
/// the distribution as it is (temperature 1, nothing cut off, seed 0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Only the k likeliest tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together reach this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Only tokens at least this many times as likely as the likeliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Seed of the draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Sampling {
    /// Everything left to the model.
    pub const UNSET: Self = Self { temperature: None, top_k: None, top_p: None, min_p: None, seed: None };
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature: Some(0.0), ..Self::UNSET };
}

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// As much as it does by itself.
    #[default]
    Unset,
    /// Not at all.
    Off,
    /// By a level that hosts know by name.
    Effort(Effort),
    /// At most this many tokens.
    Budget(u32),
}

impl Reasoning {
    /// True where nothing is asked for.
    #[must_use]
    pub const fn is_unset(&self) -> bool {
        matches!(self, Self::Unset)
    }
}

/// Levels of reasoning, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// As little as can be.
    Minimal,
    /// A little.
    Low,
    /// The middle.
    Medium,
    /// Much.
    High,
    /// More than high.
    #[serde(rename = "xhigh")]
    ExtraHigh,
    /// As much as can be.
    Max,
}

impl Effort {
    /// Every level, least first.
    pub const ALL: [Self; 6] = [Self::Minimal, Self::Low, Self::Medium, Self::High, Self::ExtraHigh, Self::Max];

    /// The name that hosts use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::ExtraHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The level with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// A text to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationRequest {
    /// What it goes on from.
    pub prompt: Prompt,
    /// It ends before the first of these.
    pub stop: Vec<String>,
    /// It has at most this many tokens, reasoning included.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// How much the model thinks first.
    pub reasoning: Reasoning,
    /// Log-probabilities of the generated tokens, with so many alternatives each; `None` asks for none.
    pub top_logprobs: Option<u8>,
    /// Which repeat of the same request this is, from 0: repeats are never answered from each other's cache.
    pub repeat: u32,
}

impl GenerationRequest {
    /// A request that leaves all but the length to the model.
    pub const fn new(prompt: Prompt, max_tokens: usize) -> Self {
        Self {
            prompt,
            stop: Vec::new(),
            max_tokens,
            sampling: Sampling::UNSET,
            reasoning: Reasoning::Unset,
            top_logprobs: None,
            repeat: 0,
        }
    }
}

/// Why a generated text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said that it was done.
    EndOfText,
    /// A stop string came up.
    Stop,
    /// One of the two: the host does not say which.
    EndOfTextOrStop,
    /// `max_tokens` were reached.
    MaxTokens,
    /// The context of the model was full.
    ContextFull,
    /// The model declined to answer.
    Refused,
    /// A filter of the host held the prompt or the answer back.
    Filtered,
    /// Another reason, which the record of the call names.
    Other,
}

/// A generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The text, without the stop string.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt; `None` where the model does not say.
    pub prompt_tokens: Option<usize>,
    /// Tokens that were generated, with those of the stop string, the end and the reasoning; `None` where the model does
    /// not say.
    pub tokens: Option<usize>,
    /// Natural log-probability of each of them, before sampling was applied; empty where the model does not say.
    pub logprobs: Vec<f32>,
}

/// A continuation to score after a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoglikelihoodRequest {
    /// What comes before; it may be empty.
    pub context: String,
    /// What is scored.
    pub continuation: String,
}

/// How likely a continuation is.
#[derive(Clone, Debug, PartialEq)]
pub struct Loglikelihood {
    /// Natural logarithm of its probability: the sum over its tokens.
    pub logprob: f64,
    /// True where each of its tokens is the likeliest.
    pub greedy: bool,
    /// Its tokens as scored.
    pub tokens: usize,
}

/// Why a model gives no answer.
#[derive(Debug)]
pub enum ModelError {
    /// The model cannot do this at all.
    Unsupported(&'static str),
    /// It tried and failed.
    Failed(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "this model does not give {what}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for ModelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsupported(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}

/// Called with the number of requests that are done, from any thread.
pub type Progress<'a> = dyn Fn(usize) + Sync + 'a;

/// A model that can be asked. All requests of a call are worked on together; answers come in their order.
pub trait LanguageModel: Send + Sync {
    /// What it is called in results.
    fn name(&self) -> &str;

    /// Scores continuations after their contexts.
    ///
    /// # Errors
    /// The model gives no log-probabilities, or a request cannot be answered.
    fn loglikelihood(
        &self,
        requests: &[LoglikelihoodRequest],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError>;

    /// Scores whole texts, window by window where they are longer than the context.
    ///
    /// # Errors
    /// As for [`LanguageModel::loglikelihood`].
    fn loglikelihood_rolling(
        &self,
        texts: &[String],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError>;

    /// Generates texts.
    ///
    /// # Errors
    /// A request cannot be answered.
    fn generate(&self, requests: &[GenerationRequest], progress: &Progress<'_>) -> Result<Vec<Generation>, ModelError>;

    /// Generates texts and hands over the record of each with its position, from 0, as it ends. What fails fails alone:
    /// its record says so. Requests are taken as there is room for them, so memory does not grow with their number; a
    /// break gives up what is under way. Records of models in this process state no cost, no log-probabilities and no
    /// hash, and the time of the group in which a request was worked on.
    ///
    /// # Errors
    /// The model generates nothing at all.
    fn generate_each(
        &self,
        requests: &mut (dyn Iterator<Item = GenerationRequest> + Send),
        each: &mut dyn FnMut(usize, CallRecord) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        local::generate_each(self, requests, each)
    }
}

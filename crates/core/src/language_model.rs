//! What every model can be asked, whether it runs in this process or behind somebody's API.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Plain text, continued as it stands.
    Text(String),
    /// A conversation, put into the form that the model was trained on.
    Messages(Vec<Message>),
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only the k likeliest tokens; `None` takes all.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together reach this probability; 1 takes all.
    pub top_p: f64,
    /// Only tokens at least this many times as likely as the likeliest; 0 takes all.
    pub min_p: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: None, top_p: 1.0, min_p: 0.0, seed: 0 };
}

/// A text to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationRequest {
    /// What it goes on from.
    pub prompt: Prompt,
    /// It ends before the first of these.
    pub stop: Vec<String>,
    /// It has at most this many tokens.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// Why a generated text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said that it was done.
    EndOfText,
    /// A stop string came up.
    Stop,
    /// `max_tokens` were reached.
    MaxTokens,
    /// The context of the model was full.
    ContextFull,
}

/// A generated text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The text, without the stop string.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated, with those of the stop string and the end.
    pub tokens: usize,
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
}

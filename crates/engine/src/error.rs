//! What can go wrong while a model runs.

use thiserror::Error;

use crate::cache::CacheFull;
use crate::chat::ChatError;
use crate::device::Device;
use crate::files::FileError;
use crate::load::LoadError;
use crate::tokenizer::TokenizerError;

/// Why the engine gives no answer.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The checkpoint does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tokenizer is missing or fails.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template fails.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A request does not fit into the cache.
    #[error(transparent)]
    Cache(#[from] CacheFull),
    /// A request has no context or no continuation.
    #[error("request {request} has no token to score or none before it; give both a context and a continuation")]
    EmptyRequest {
        /// Its number, from 1.
        request: usize,
    },
    /// A token id that the model does not have.
    #[error("token {token} is not in the vocabulary, whose ids end at {}", vocabulary.saturating_sub(1))]
    TokenOutside {
        /// The id.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A text that the model cannot take.
    #[error("{tokens} tokens are more than the context of the model, {context}; shorten the text")]
    TooLong {
        /// Tokens of the text.
        tokens: usize,
        /// The longest that fits.
        context: usize,
    },
    /// More keys and values than the system gives memory for.
    #[error("the system gives no memory for the keys and values of {tokens} tokens; ask for shorter answers")]
    Memory {
        /// Tokens that would be held at once.
        tokens: usize,
    },
    /// The model computes NaN or infinity.
    #[error("the model gives NaN or infinite logits; its weights are damaged or do not belong together")]
    NotFinite,
    /// This build does not have the device.
    #[error(
        "this build does not run on {device}; build it with the feature for that, `cargo build --features {feature}`, or run on cpu"
    )]
    NotBuilt {
        /// The device that was asked for.
        device: Device,
        /// The feature of the crate that has it.
        feature: &'static str,
    },
    /// The device does not do what it is asked for.
    #[error("the device fails: {0}")]
    Device(String),
    /// The model has no chat template and was given messages.
    #[error("the model has no chat template, so it takes text and no messages; ask with --raw")]
    NoTemplate,
    /// A setting that makes no sense.
    #[error("{name} is {value}; expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        value: String,
        /// What can be asked for.
        expected: &'static str,
    },
}

//! Tokens of a call, in one meaning whoever answered.

use serde::{Deserialize, Serialize};

/// Tokens of one call. `None` is what the host did not state.
///
/// The meaning is that of OpenAI: parts lie inside their whole. Anthropic counts cached tokens outside its input and
/// Gemini counts thoughts outside its candidates; their dialects add them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All tokens of the prompt: fresh, read from a cache and written to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Of `input`: read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<u64>,
    /// Of `input`: written to a cache, for whatever time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// Of `cache_write`: to be kept for an hour, which costs more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<u64>,
    /// All tokens generated and paid for: reasoning and answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Of `output`: reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
}

//! Model families: each file turns a checkpoint of its family into an [`Architecture`] for the one decoder.

mod gemma;
mod gpt2;
mod gpt_neo;
mod gpt_neox;
mod llama;
mod settings;

use thiserror::Error;

use crate::architecture::Architecture;
use crate::files::Checkpoint;

pub(crate) use settings::{Config, Metadata};

/// Why no decoder can be made of a description.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FamilyError {
    /// No family of that name.
    #[error("architecture '{name}' does not load; those that do are {}", NAMES.join(", "))]
    Unknown {
        /// The name in the checkpoint.
        name: String,
    },
    /// The checkpoint does not say what it is.
    #[error("{place} has no '{key}', which tells the architecture")]
    Unnamed {
        /// config.json or the metadata.
        place: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A setting is missing or of another kind.
    #[error("{place} has no usable '{key}': expected {expected}")]
    Setting {
        /// config.json or the metadata.
        place: &'static str,
        /// The key.
        key: String,
        /// What was expected.
        expected: String,
    },
    /// A setting that would change the numbers and is not built.
    #[error("'{key}' is {value}, which does not load: {advice}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What does load.
        advice: &'static str,
    },
}

/// The architectures that load, as `model_type` of config.json or `general.architecture` of GGUF names them.
pub const NAMES: &[&str] =
    &["gpt_neo", "gpt2", "gpt_neox", "gptneox", "llama", "mistral", "qwen2", "qwen3", "gemma3_text", "gemma3"];

/// The architecture of a checkpoint.
///
/// # Errors
/// The family does not load, or a setting of it is missing.
pub fn architecture(checkpoint: &Checkpoint) -> Result<Architecture, FamilyError> {
    if let Some(header) = checkpoint.gguf() {
        return of_metadata(&Metadata(header));
    }
    let Some(config) = checkpoint.config() else {
        return Err(FamilyError::Unnamed { place: "config.json", key: "model_type" });
    };
    of_config(&Config(config), checkpoint.tensors().count())
}

fn of_config(config: &Config<'_>, tensors: usize) -> Result<Architecture, FamilyError> {
    let name = config.name("model_type").ok_or(FamilyError::Unnamed { place: "config.json", key: "model_type" })?;
    match name {
        "gpt_neo" => gpt_neo::of_config(config, tensors),
        "gpt2" => gpt2::of_config(config, tensors),
        "gpt_neox" => gpt_neox::of_config(config, tensors),
        "llama" | "mistral" | "qwen2" | "qwen3" => llama::of_config(name, config, tensors),
        "gemma3_text" => gemma::of_config(config, tensors),
        _ => Err(FamilyError::Unknown { name: name.to_owned() }),
    }
}

fn of_metadata(metadata: &Metadata<'_>) -> Result<Architecture, FamilyError> {
    let key = "general.architecture";
    let name = metadata.0.string(key).ok_or(FamilyError::Unnamed { place: "the GGUF metadata", key })?;
    match name {
        "gpt2" => gpt2::of_metadata(metadata),
        "gptneox" => gpt_neox::of_metadata(metadata),
        "llama" | "qwen2" | "qwen3" => llama::of_metadata(name, metadata),
        "gemma3" => gemma::of_metadata(metadata),
        _ => Err(FamilyError::Unknown { name: name.to_owned() }),
    }
}

//! What keeps a request from being sent, told before money is spent.

use std::path::PathBuf;

use thiserror::Error;
use weighbridge_core::{Dialect, Parameter};

/// Why a hosted model cannot be asked.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No key was found.
    #[error("no key for {provider}; set {variables}, or name a file with --key-file")]
    NoKey {
        /// Provider.
        provider: String,
        /// Variables that may hold it.
        variables: String,
    },
    /// What should be a key is none.
    #[error("{place} holds no key: expected printable ASCII without spaces")]
    BadKey {
        /// Where it was looked for.
        place: String,
    },
    /// The file of a key cannot be read.
    #[error("cannot read the key")]
    KeyFile(#[source] std::io::Error),
    /// The provider has no fixed address.
    #[error("{provider} has no address of its own; give one with --base-url")]
    NoBaseUrl {
        /// Provider.
        provider: String,
    },
    /// The address cannot be used.
    #[error("base URL '{url}' {why}")]
    BadBaseUrl {
        /// As given, without credentials.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The provider does not speak the dialect.
    #[error("{provider} does not speak {dialect}; it speaks {spoken}")]
    NotSpoken {
        /// Provider.
        provider: String,
        /// Dialect asked for.
        dialect: Dialect,
        /// Its dialects.
        spoken: String,
    },
    /// A router without a pin.
    #[error(
        "{provider} hands requests to hosts that differ in quantization; pin both, as in \
         '{provider}:{model},host=HOST,quantization=fp8' (quantization=unknown where the host does not state it)"
    )]
    Unpinned {
        /// Router.
        provider: String,
        /// Model.
        model: String,
    },
    /// A pin where none is possible.
    #[error("{provider} cannot pin {what}: it answers itself")]
    NoRouter {
        /// Provider.
        provider: String,
        /// Host or quantization.
        what: &'static str,
    },
    /// The endpoint does not take a setting.
    #[error("{model} at {provider} ({dialect}) takes no {parameter}{hint}; leave it out")]
    Unsupported {
        /// Model.
        model: String,
        /// Provider.
        provider: String,
        /// Dialect.
        dialect: Dialect,
        /// The setting.
        parameter: Parameter,
        /// What to do instead, beginning with a space, or empty.
        hint: &'static str,
    },
    /// A setting is outside of what the endpoint takes.
    #[error("{model} at {provider} takes {expected}, not {given}")]
    OutOfRange {
        /// Model.
        model: String,
        /// Provider.
        provider: String,
        /// What it takes.
        expected: String,
        /// What was asked.
        given: String,
    },
    /// A price is unknown where a limit of dollars must hold.
    #[error(
        "the price of {model} at {provider} is unknown, so --max-cost cannot be kept; leave it out or choose another model"
    )]
    UnknownPrice {
        /// Model.
        model: String,
        /// Provider.
        provider: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The cache cannot be used.
    #[error("cannot use the cache {path}")]
    Cache {
        /// Folder or file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Input and output of a run.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A batch cannot go on.
    #[error(transparent)]
    Batch(#[from] crate::batch::BatchError),
    /// The provider said no to something that is not a call of a model.
    #[error("{0}")]
    Host(String),
}

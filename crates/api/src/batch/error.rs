//! What keeps a batch from going on.

use std::path::PathBuf;

use thiserror::Error;
use weighbridge_core::{Dialect, ErrorClass};

/// Why a batch cannot be begun or gone on with. What has been submitted stays submitted: its state file tells where.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The provider takes no batches.
    #[error("{provider} takes no batches; ask it without")]
    NoBatches {
        /// Provider.
        provider: String,
    },
    /// Batches do not carry requests of this form.
    #[error("batches of {provider} carry no requests in the dialect {dialect}")]
    NotCarried {
        /// Provider.
        provider: String,
        /// Dialect.
        dialect: Dialect,
    },
    /// The state file cannot be read or written.
    #[error("cannot use the state file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// What stands at the path is no state file.
    #[error("{path} is no state file of a batch ({why}); name another path")]
    NoState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The state file belongs to another run.
    #[error("the state file {path} is of a batch with {was}, not {is}; name another path, or delete it to begin anew")]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// What it says.
        was: String,
        /// What is asked.
        is: String,
    },
    /// The requests are not those that the state file knows.
    #[error(
        "request {index} {how} since the state file {path} was begun; give the same requests, or another path for new ones"
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Position of the request.
        index: u64,
        /// `is new`, `is missing` or `has changed`.
        how: &'static str,
    },
    /// Two requests with one position.
    #[error("two requests have the position {index}; number them from 0")]
    Twice {
        /// The position.
        index: u64,
    },
    /// Another process works on the same state file.
    #[error("another process works on the batch of {path}; wait for it or end it")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Results were asked for before the requests were given.
    #[error(
        "results of a batch are made with its requests; submit them first, those that are known are not sent again"
    )]
    NoRequests,
    /// The provider did not do what it was asked.
    #[error("cannot {doing}: {message} ({})", .class.as_str())]
    Host {
        /// What was asked.
        doing: &'static str,
        /// What went wrong.
        class: ErrorClass,
        /// What the provider or the network said.
        message: String,
    },
}

impl BatchError {
    /// True where the same thing may succeed later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Host { class, .. } if class.may_pass())
    }
}

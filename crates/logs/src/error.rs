//! Why a log cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a log cannot be read or written. Messages name the file and, where there is one, the place in it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read or written.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The content is not what its format says.
    #[error("{}{}: {problem}", path.display(), at.as_deref().map(|at| format!(", {at}")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, member of an archive, or path of a JSON value.
        at: Option<String>,
        /// What is wrong, what was expected, and what to do.
        problem: String,
    },
    /// Nothing that is known has this form.
    #[error("{}: no known kind of log; known are\n{known}", path.display())]
    UnknownFormat {
        /// The file or folder.
        path: PathBuf,
        /// The formats, one a line.
        known: String,
    },
    /// Whoever takes the lines does not go on.
    #[error(transparent)]
    Sink(Box<dyn std::error::Error + Send + Sync>),
}

impl LogError {
    /// For `map_err` on operations of the system.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::Io { action, path: path.to_owned(), error }
    }

    /// A malformed file.
    pub(crate) fn malformed(path: &Path, at: impl Into<Option<String>>, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), at: at.into(), problem: problem.into() }
    }
}

//! Why a task cannot be run.

use std::path::{Path, PathBuf};

/// Why a task cannot be run. Messages name the file and the place in it, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}{}: {problem}", path.display(), at.as_deref().map(|at| format!(", {at}")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, key or row.
        at: Option<String>,
        /// What is wrong, what was expected, and what to do.
        problem: String,
    },
    /// The task asks for something that is not done here.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file of the task.
        path: PathBuf,
        /// What it asks for, with the line where there is one, and what to do instead.
        what: String,
    },
}

impl TaskError {
    /// For `map_err` on operations of the system.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_owned(), error }
    }

    /// A malformed file.
    pub(crate) fn malformed(path: &Path, at: impl Into<Option<String>>, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), at: at.into(), problem: problem.into() }
    }

    /// Something that is not done here.
    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), what: what.into() }
    }
}

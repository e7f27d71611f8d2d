//! What can go wrong in a lake, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use datafusion::error::DataFusionError;
use thiserror::Error;
use weighbridge_core::SampleState;

use crate::import::{Problems, known_formats};
use crate::schema::SCHEMA_VERSION;

/// Why an operation on a lake failed. Nothing is half done: an import that fails leaves the lake as it was.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The operating system refused.
    #[error("{}", describe_io(doing, path, cause))]
    Io {
        /// What was tried, for example `read`.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said; part of the message, so not a source of its own.
        cause: io::Error,
    },
    /// The folder has no `lake.json`.
    #[error("{} is not a lake: it has no lake.json; give the folder of a lake, or import a file to make one", .0.display())]
    NotALake(PathBuf),
    /// A lake was to be made in a folder that holds something else.
    #[error("{} is not a lake and not empty; give an empty or new folder", .0.display())]
    Occupied(PathBuf),
    /// The lake was written by a newer program.
    #[error(
        "{} has schema version {found}, this program knows up to {SCHEMA_VERSION}; update the program",
        path.display()
    )]
    NewerSchema {
        /// The file that states the version.
        path: PathBuf,
        /// The version that it states.
        found: u64,
    },
    /// `lake.json` or a commit record cannot be understood.
    #[error("{} is damaged: {reason}; move it away and import its source again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A Parquet part is missing, truncated or corrupt.
    #[error(
        "part {} of the lake is damaged ({reason}); nothing else is affected, import '{from}' again to restore it",
        path.display()
    )]
    DamagedPart {
        /// The Parquet file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The source that it was imported from.
        from: String,
    },
    /// No importer recognises the input.
    #[error("{}: the format is not recognised; known formats:\n{}", .0.display(), known_formats())]
    UnknownFormat(PathBuf),
    /// The input is nearly a known format.
    #[error("{}: {reason}", path.display())]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// What was expected there and what to do.
        reason: String,
    },
    /// The input is a log of a run, and damaged.
    #[error(transparent)]
    Log(weighbridge_logs::LogError),
    /// Rows of the input cannot be imported, and so none was.
    #[error("{}: {problems}", path.display())]
    BadRows {
        /// The file.
        path: PathBuf,
        /// The first bad rows and how many there are.
        problems: Problems,
    },
    /// No import holds the named dataset.
    #[error("the lake has no {table} of dataset '{dataset}'; it has {}", list(known))]
    NoDataset {
        /// Table that was asked for.
        table: &'static str,
        /// Name that was asked for.
        dataset: String,
        /// Names that the table has.
        known: Vec<String>,
    },
    /// Several imports have the same dataset name.
    #[error("dataset '{dataset}' was imported from {} different inputs; name one of {}", choices.len(), list(choices))]
    AmbiguousDataset {
        /// Name that was asked for.
        dataset: String,
        /// Names that tell them apart.
        choices: Vec<String>,
    },
    /// No import holds samples of that run.
    #[error(
        "the lake has no samples of model '{model}' on benchmark '{benchmark}'{}",
        run.as_ref().map(|run| format!(" in run '{run}'")).unwrap_or_default()
    )]
    NoSamples {
        /// Benchmark that was asked for.
        benchmark: String,
        /// Model that was asked for.
        model: String,
        /// Run that was asked for.
        run: Option<String>,
    },
    /// The SQL text is not understood.
    #[error("{0}")]
    Sql(String),
    /// The SQL text would change something.
    #[error("the lake is read-only in SQL ({0}); write a SELECT, and change the lake with imports")]
    ReadOnly(String),
    /// The result of a query does not fit.
    #[error("the result is larger than {} MiB; add a LIMIT or aggregate it", limit >> 20)]
    ResultTooLarge {
        /// Bytes that a result may have.
        limit: usize,
    },
    /// A query failed.
    #[error("query failed: {0}")]
    Query(Box<DataFusionError>),
    /// A row that came from no file contradicts itself.
    #[error(
        "sample '{sample}' of model '{model}' is {state} with score {score:?}; a score from 0 to 1 belongs to scored samples only"
    )]
    Row {
        /// Sample id.
        sample: String,
        /// Model.
        model: String,
        /// What became of the sample.
        state: SampleState,
        /// The score.
        score: Option<f64>,
    },
    /// Parquet or Arrow refused to encode rows.
    #[error("cannot write {table}: {reason}")]
    Encode {
        /// Table that was written.
        table: &'static str,
        /// What the encoder said.
        reason: String,
    },
}

impl LakeError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io { doing, path: path.to_owned(), cause }
    }

    pub(crate) fn input(path: &Path, reason: impl Into<String>) -> Self {
        Self::Input { path: path.to_owned(), reason: reason.into() }
    }
}

impl From<DataFusionError> for LakeError {
    fn from(error: DataFusionError) -> Self {
        Self::Query(Box::new(error))
    }
}

fn describe_io(doing: &str, path: &Path, source: &io::Error) -> String {
    let path = path.display();
    match source.kind() {
        io::ErrorKind::NotFound => format!("cannot {doing} {path}: it does not exist"),
        io::ErrorKind::PermissionDenied => {
            format!("cannot {doing} {path}: permission denied; check who owns it, or choose another folder")
        }
        io::ErrorKind::StorageFull => format!("cannot {doing} {path}: the disk is full"),
        _ => format!("cannot {doing} {path}: {source}"),
    }
}

fn list(names: &[String]) -> impl fmt::Display {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

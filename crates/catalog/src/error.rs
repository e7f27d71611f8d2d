//! Why a catalog cannot be read. Every message names the file and, where there is one, the line and the column.

use std::path::PathBuf;

use thiserror::Error;

/// Why a catalog cannot be read.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// A file of the catalog is absent or unreadable.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The first line is not the header that the schema asks for.
    #[error("{file}, line 1: columns are '{found}', expected '{expected}'")]
    Header {
        /// The file, relative to the catalog folder.
        file: String,
        /// The columns found.
        found: String,
        /// The columns of the schema.
        expected: String,
    },
    /// A line does not split into the fields of the header.
    #[error("{file}, line {line}: {problem}, expected {expected} fields")]
    Shape {
        /// The file, relative to the catalog folder.
        file: String,
        /// Line, from 1.
        line: u32,
        /// What is wrong with it.
        problem: String,
        /// Fields of the schema.
        expected: usize,
    },
    /// A field does not hold what its column asks for.
    #[error("{file}, line {line}, column '{column}': '{value}' is not {expected}")]
    Value {
        /// The file, relative to the catalog folder.
        file: String,
        /// Line, from 1.
        line: u32,
        /// Column by name.
        column: String,
        /// The text found.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// `sources.csv` lacks the row that dates the index snapshot.
    #[error("sources.csv has no row 'epoch-eci' with a date in 'retrieved', which dates the index snapshot")]
    NoSnapshot,
    /// No per-sample result of that benchmark and run.
    #[error("the catalog has no samples of run '{run}' on '{benchmark}'")]
    NoRun {
        /// The benchmark asked for.
        benchmark: String,
        /// The run asked for.
        run: String,
    },
}

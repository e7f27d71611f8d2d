//! Exports of logs into the forms of other programs, one form a file.

use std::path::Path;

use crate::{LogError, Source};

/// What an export wrote, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Files written.
    pub files: Vec<std::path::PathBuf>,
    /// Samples in them.
    pub samples: u64,
    /// What the form has no place for, one sentence each.
    pub notes: Vec<String>,
}

/// A form that logs can be exported to.
#[derive(Debug)]
pub struct Export {
    /// Name on the command line.
    pub name: &'static str,
    /// What is written, for help.
    pub writes: &'static str,
    write: fn(&Source, &Path) -> Result<ExportReport, LogError>,
}

/// Every form.
pub const EXPORTS: &[Export] = &[];

/// Exports a log of any readable format to `output`, a file or a folder as the form needs.
///
/// # Errors
/// The log cannot be read, or the files cannot be written.
pub fn export(source: &Source, form: &Export, output: &Path) -> Result<ExportReport, LogError> {
    (form.write)(source, output)
}

//! Exports of logs into the forms of other programs, one form a file.
//!
//! [`EXPORTS`] is the list that the command line goes by. What a form has no place for is carried under names that begin
//! with `weighbridge_`, so that our readers get it back, or is named in the report.

mod common;
mod csv;
mod every_eval_ever;
mod files;
mod inspect;
mod lm_eval;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{LogError, Source};

/// What an export wrote, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Files written.
    pub files: Vec<PathBuf>,
    /// Samples in them.
    pub samples: u64,
    /// What the form has no place for, one sentence each.
    pub notes: Vec<String>,
}

/// Whether anybody can have the weights of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// They can be downloaded.
    OpenWeights,
    /// They cannot.
    ClosedWeights,
}

/// What a log does not say and some forms ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportOptions {
    /// By the name of the model in the log. A model that is not in it is written as unknown.
    pub availability: BTreeMap<String, Availability>,
    /// Who ran the evaluation; `unknown` where not given.
    pub organization: Option<String>,
    /// Name under which Every Eval Ever collects the files; `weighbridge` where not given.
    pub collection: Option<String>,
    /// When the export is made, seconds since 1970 UTC; the clock's where not given.
    pub now: Option<f64>,
}

/// A form that logs can be exported to.
#[derive(Debug)]
pub struct Export {
    /// Name on the command line.
    pub name: &'static str,
    /// What is written, for help.
    pub writes: &'static str,
    write: fn(&Source, &Path, &ExportOptions) -> Result<ExportReport, LogError>,
}

/// Every form.
pub const EXPORTS: &[Export] = &[csv::EXPORT, inspect::EXPORT, every_eval_ever::EXPORT, lm_eval::EXPORT];

/// Exports a log of any readable format to `output`, a file or a folder as the form needs.
///
/// # Errors
/// The log cannot be read, or the files cannot be written.
pub fn export(
    source: &Source,
    form: &Export,
    output: &Path,
    options: &ExportOptions,
) -> Result<ExportReport, LogError> {
    (form.write)(source, output, options)
}

//! Logs of other programs, one format a file, read into the lines of our own; and how the right one is found.
//!
//! The format is found from content, never from the name. [`FORMATS`] is the list that detection and help go by.

mod alpaca_eval;
mod every_eval_ever;
mod fields;
mod helm;
mod inspect;
mod json;
mod lm_eval;
mod promptfoo;
mod swe_bench;
mod weighbridge;

use std::collections::BTreeMap;

use weighbridge_core::{LogLine, RunHeader};

use crate::{LogError, Source};

/// Takes what is read, in order. A source may hold several runs: each begins with its header.
pub trait Sink {
    /// A run begins.
    ///
    /// # Errors
    /// Whoever takes it does not go on.
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError>;

    /// A line of the run that began last; never [`LogLine::Run`].
    ///
    /// # Errors
    /// Whoever takes it does not go on.
    fn line(&mut self, line: LogLine) -> Result<(), LogError>;
}

/// What reading found besides the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Name of the format.
    pub format: &'static str,
    /// Fields that have no place in our lines and were not kept, as paths such as `eval.config.epochs_reducer`
    /// (positions and ids in a path become `*`), with how often each occurred.
    pub unknown_fields: BTreeMap<String, u64>,
    /// What a reader of the numbers should know, one sentence each.
    pub notes: Vec<String>,
}

/// A kind of log that can be read.
#[derive(Debug)]
pub struct Format {
    /// Name in reports.
    pub name: &'static str,
    /// Raised when the same input would give other lines.
    pub version: u32,
    /// What the input must hold, for help and for the error on an unknown format.
    pub needs: &'static str,
    sniff: fn(&Source) -> bool,
    read: fn(&Source, &mut dyn Sink) -> Result<ReadReport, LogError>,
}

/// Every format, in the order in which they are asked.
pub const FORMATS: &[Format] = &[
    weighbridge::FORMAT,
    inspect::FORMAT,
    every_eval_ever::FORMAT,
    lm_eval::FORMAT,
    helm::FORMAT,
    promptfoo::FORMAT,
    swe_bench::FORMAT,
    alpaca_eval::FORMAT,
];

impl Format {
    /// True where the source looks like this format.
    #[must_use]
    pub fn matches(&self, source: &Source) -> bool {
        (self.sniff)(source)
    }
}

/// Reads a source in whatever format it is.
///
/// # Errors
/// No format fits, the content is malformed, or the sink does not go on.
pub fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let Some(format) = FORMATS.iter().find(|format| format.matches(source)) else {
        let known: Vec<String> = FORMATS.iter().map(|f| format!("  {:<16} {}", f.name, f.needs)).collect();
        return Err(LogError::UnknownFormat { path: source.path().to_owned(), known: known.join("\n") });
    };
    let report = (format.read)(source, sink)?;
    Ok(ReadReport { format: format.name, ..report })
}

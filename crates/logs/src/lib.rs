//! Run logs: our own file form, and those of other programs, in and out.
//!
//! Every source is read into the lines of [`weighbridge_core::LogLine`] as a stream, in memory that does not grow with
//! the log; every export is written from the same lines.

mod error;
mod file;
mod read;
mod source;
mod write;

pub use error::LogError;
pub use file::{Entry, LogReader, LogWriter};
pub use read::{FORMATS, Format, ReadReport, Sink, read};
pub use source::Source;
pub use write::{Availability, EXPORTS, Export, ExportOptions, ExportReport, export};

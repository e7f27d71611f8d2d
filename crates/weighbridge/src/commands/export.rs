//! `weighbridge export`: a log in the form of another program.

use std::fmt::Write as _;

use anyhow::bail;
use weighbridge_logs::{EXPORTS, Source};

use crate::Answer;
use crate::cli::ExportArgs;
use crate::render::count;

/// Runs the command.
///
/// # Errors
/// There is no such form, the log cannot be read, or the files cannot be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<Answer> {
    let Some(form) = EXPORTS.iter().find(|form| form.name == args.to) else {
        let known: Vec<&str> = EXPORTS.iter().map(|form| form.name).collect();
        bail!("there is no form '{}'; expected one of {}", args.to, known.join(", "));
    };
    let report = weighbridge_logs::export(&Source::open(&args.log)?, form, &args.output)?;
    let mut text = String::new();
    for file in &report.files {
        let _ = writeln!(text, "{}", file.display());
    }
    let notes: Vec<String> = [count(report.samples as usize, "sample")].into_iter().chain(report.notes).collect();
    Ok(Answer { note: Some(notes.join("; ")), ..Answer::plain(text) })
}

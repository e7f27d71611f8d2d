//! `weighbridge import`: files and folders into the lake.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use weighbridge_lake::schema::Table;
use weighbridge_lake::{ImportReport, Lake};

use crate::Answer;
use crate::cli::{Format, ImportArgs};
use crate::facts;
use crate::render::progress::Spinner;
use crate::render::table::Rows;
use crate::render::{Screen, json};

/// What was done with one input.
#[derive(Serialize)]
struct Done {
    source: String,
    format: String,
    dataset: String,
    rows: std::collections::BTreeMap<&'static str, u64>,
    already_imported: bool,
    columns_left_out: Vec<String>,
    notes: Vec<String>,
}

/// Runs the command. An input that cannot be imported stops the run; the ones before it stay imported.
///
/// # Errors
/// The lake cannot be written, or an input is malformed.
pub fn run(args: &ImportArgs, lake: Option<&Path>, screen: Screen) -> anyhow::Result<Answer> {
    let folder = facts::lake_folder(lake)?;
    let mut lake = Lake::open_or_create(&folder)?;
    let mut done = Vec::new();
    for file in &args.files {
        let spinner = Spinner::new(format!("importing {}", file.display()), screen);
        let imported = lake.import(file);
        drop(spinner);
        let report = match imported {
            Err(error) if done.is_empty() => return Err(error.into()),
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("{} were imported before this", done.len())));
            }
            Ok(report) => report,
        };
        done.push(summary(report));
    }
    match args.format {
        Format::Json => Ok(Answer::plain(json(&done)?)),
        format => {
            let mut text = table(&done).render(format, &screen)?;
            if format == Format::Text {
                text.push_str(&notes(&done, &screen));
                let _ = writeln!(text, "lake: {}", folder.display());
            }
            Ok(Answer::plain(text))
        }
    }
}

fn summary(report: ImportReport) -> Done {
    let record = report.record;
    let rows = Table::ALL.into_iter().map(|t| (t.name(), record.rows(t))).filter(|(_, n)| *n > 0).collect();
    Done {
        rows,
        source: record.source,
        format: record.format,
        dataset: record.dataset,
        already_imported: report.already_imported,
        columns_left_out: record.columns_left_out,
        notes: record.notes,
    }
}

fn table(done: &[Done]) -> Rows {
    let mut rows = Rows::new(&["dataset", "format", "rows", "result"], &[]);
    for d in done {
        let counts: Vec<_> = d.rows.iter().map(|(table, n)| format!("{n} {table}")).collect();
        let result = if d.already_imported { "already there, nothing changed" } else { "imported" };
        rows.cells.push(vec![d.dataset.clone(), d.format.clone(), counts.join(", "), result.into()]);
    }
    rows
}

fn notes(done: &[Done], screen: &Screen) -> String {
    let mut text = String::new();
    for d in done {
        if !d.columns_left_out.is_empty() {
            let line = format!(
                "{}: columns without a place in the lake, left out: {}",
                d.source,
                d.columns_left_out.join(", ")
            );
            text.push_str(&screen.wrap(&line, 0));
        }
        for note in &d.notes {
            text.push_str(&screen.wrap(&format!("{}: {note}", d.source), 0));
        }
    }
    text
}

//! `weighbridge catalog check`: looks for facts that cannot be right.

use std::fmt::Write;

use weighbridge_catalog::{Catalog, Level, check};

use crate::Answer;
use crate::cli::{CatalogCommand, Format};
use crate::render::table::Rows;
use crate::render::{Screen, json};

/// Runs the command; the answer is "no" when there are errors.
///
/// # Errors
/// The catalog cannot be read at all.
pub fn run(command: &CatalogCommand, screen: Screen) -> anyhow::Result<Answer> {
    let CatalogCommand::Check { folder, format } = command;
    let catalog = match folder {
        Some(folder) => Catalog::from_dir(folder)?,
        None => Catalog::embedded()?,
    };
    let findings = check(&catalog);
    let errors = findings.iter().filter(|f| f.level == Level::Error).count();
    let level = |l: Level| if l == Level::Error { "error" } else { "warning" };
    let text = match format {
        Format::Text => {
            let mut text = String::new();
            for finding in &findings {
                let _ = writeln!(text, "{finding}");
            }
            let _ = writeln!(
                text,
                "{} models, {} benchmarks, {} scores: {errors} errors, {} warnings",
                catalog.models().len(),
                catalog.benchmarks().len(),
                catalog.all_scores().len(),
                findings.len() - errors
            );
            text
        }
        Format::Json => {
            let rows: Vec<_> = findings
                .iter()
                .map(|f| {
                    serde_json::json!({"level": level(f.level), "file": f.place.file, "line": f.place.line, "message": f.message})
                })
                .collect();
            json(&rows)?
        }
        Format::Csv | Format::Markdown => {
            let mut rows = Rows::new(&["level", "file", "line", "message"], &[2]);
            for f in &findings {
                let line = f.place.line.to_string();
                rows.cells.push(vec![level(f.level).into(), f.place.file.into(), line, f.message.clone()]);
            }
            rows.render(*format, &screen)?
        }
    };
    Ok(Answer { yes: errors == 0, ..Answer::plain(text) })
}

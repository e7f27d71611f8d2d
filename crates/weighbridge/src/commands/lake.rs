//! `weighbridge lake`: what the lake holds, its schema, and SQL over its tables.

use std::fmt::Write;
use std::path::Path;

use anyhow::{anyhow, bail};
use weighbridge_catalog::Catalog;
use weighbridge_lake::schema::{self, Table};
use weighbridge_lake::{Lake, LakeError, SqlResult, write_facts};

use crate::Answer;
use crate::cli::{Format, LakeCommand};
use crate::facts;
use crate::render::progress::Spinner;
use crate::render::table::Rows;
use crate::render::{Screen, count, json};

/// Runs the command.
///
/// # Errors
/// There is no lake, or the query is wrong.
pub fn run(command: Option<LakeCommand>, lake: Option<&Path>, screen: Screen) -> anyhow::Result<Answer> {
    match command.unwrap_or(LakeCommand::Info { format: Format::Text }) {
        LakeCommand::Schema => Ok(Answer::plain(schema::reference_page())),
        LakeCommand::Snapshot => snapshot(lake),
        LakeCommand::Info { format } => info(&open(lake)?, format, screen),
        LakeCommand::Sql { query, format } => {
            let spinner = Spinner::new("running the query".into(), screen);
            let result = open(lake)?.sql(&query).map_err(explain)?;
            drop(spinner);
            Ok(Answer::plain(render(&result, format, screen)?))
        }
    }
}

/// An error of a query; where it names a table that is none, with the tables that there are.
fn explain(error: LakeError) -> anyhow::Error {
    let text = error.to_string();
    if matches!(error, LakeError::Sql(_)) && text.contains("table '") && text.contains("' not found") {
        let tables: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        let columns = "'weighbridge lake schema' lists their columns";
        return anyhow!("{text}; the tables are {}, and {columns}", tables.join(", "));
    }
    error.into()
}

fn open(lake: Option<&Path>) -> anyhow::Result<Lake> {
    match facts::existing_lake(lake)? {
        Some(lake) => Ok(lake),
        None => bail!(
            "there is no lake yet in {}; 'weighbridge import FILE' makes one",
            facts::lake_folder(lake)?.display()
        ),
    }
}

/// Writes the embedded facts into the lake under the dataset name that `gap` knows to leave alone.
fn snapshot(lake: Option<&Path>) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let folder = facts::lake_folder(lake)?;
    let mut lake = Lake::open_or_create(&folder)?;
    let report = write_facts(&mut lake, &facts::as_rows(&catalog), facts::SNAPSHOT)?;
    let rows = |table| report.record.rows(table);
    let verb = if report.already_imported { "already holds" } else { "now holds" };
    Ok(Answer::plain(format!(
        "{} {verb} {} models, {} prices and {} results of the snapshot\n",
        folder.display(),
        rows(Table::Models),
        rows(Table::Prices),
        rows(Table::Results),
    )))
}

fn info(lake: &Lake, format: Format, screen: Screen) -> anyhow::Result<Answer> {
    let info = lake.info();
    if format == Format::Json {
        let tables: serde_json::Map<_, _> = info
            .tables
            .iter()
            .map(|(t, i)| {
                let sizes = serde_json::json!({"rows": i.rows, "parts": i.parts, "bytes": i.bytes});
                (t.name().to_owned(), sizes)
            })
            .collect();
        let imports: Vec<_> = lake
            .imports()
            .iter()
            .map(|r| serde_json::json!({"dataset": r.dataset, "format": r.format, "source": r.source, "id": r.id}))
            .collect();
        let folder = lake.location().root().display().to_string();
        let all = serde_json::json!({
            "folder": folder, "schema_version": info.schema_version, "tables": tables, "imports": imports
        });
        return Ok(Answer::plain(json(&all)?));
    }
    let mut tables = Rows::new(&["table", "rows", "parts", "bytes"], &[1, 2, 3]);
    for table in Table::ALL {
        let size = info.tables.get(&table).copied().unwrap_or_default();
        tables.cells.push(vec![
            table.name().into(),
            size.rows.to_string(),
            size.parts.to_string(),
            size.bytes.to_string(),
        ]);
    }
    let mut text = tables.render(format, &screen)?;
    if format == Format::Text {
        let mut imports = Rows::new(&["dataset", "format", "source", "content"], &[]);
        for record in lake.imports() {
            let id = record.id.get(..12).unwrap_or(&record.id);
            imports.cells.push(vec![record.dataset.clone(), record.format.clone(), record.source.clone(), id.into()]);
        }
        let root = lake.location().root().display();
        text =
            format!("{root}, schema version {}\n\n{text}\n{}", info.schema_version, imports.render(format, &screen)?);
    }
    Ok(Answer::plain(text))
}

fn render(result: &SqlResult, format: Format, screen: Screen) -> anyhow::Result<String> {
    let names: Vec<&str> = result.schema.fields().iter().map(|f| f.name().as_str()).collect();
    let cells = result.cells()?;
    if format == Format::Json {
        let rows: Vec<serde_json::Value> = cells
            .into_iter()
            .map(|row| serde_json::Value::Object(names.iter().map(|n| (*n).to_owned()).zip(row).collect()))
            .collect();
        return json(&rows);
    }
    let numeric: Vec<usize> = (0..names.len()).filter(|&i| result.schema.field(i).data_type().is_numeric()).collect();
    let mut rows = Rows::new(&names, &numeric);
    rows.cells = cells
        .into_iter()
        .map(|row| {
            let text = |value: serde_json::Value| match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            row.into_iter().map(text).collect()
        })
        .collect();
    let mut text = rows.render(format, &screen)?;
    if format == Format::Text {
        let _ = writeln!(text, "{}", count(rows.cells.len(), "row"));
    }
    Ok(text)
}

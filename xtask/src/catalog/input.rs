//! Reads the files of the reference folder.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

/// A row of a CSV file by column name.
pub(crate) struct Record {
    columns: std::rc::Rc<HashMap<String, usize>>,
    fields: csv::StringRecord,
    /// The file and line, for messages.
    pub(crate) place: String,
}

impl Record {
    /// The trimmed text of a column.
    pub(crate) fn get(&self, column: &str) -> Result<&str> {
        let at = self.columns.get(column).with_context(|| format!("{}: no column '{column}'", self.place))?;
        Ok(self.fields.get(*at).unwrap_or_default().trim())
    }

    /// The number in a column, `None` where empty.
    pub(crate) fn number(&self, column: &str) -> Result<Option<f64>> {
        let text = self.get(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).with_context(|| format!("{}: column '{column}': '{text}' is not a number", self.place))
    }
}

/// Every row of a CSV file, plain or `.gz`.
pub(crate) fn csv(path: &Path) -> Result<Vec<Record>> {
    let text = text(path)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers()?.clone();
    let columns = std::rc::Rc::new(header.iter().enumerate().map(|(at, name)| (name.to_owned(), at)).collect());
    let name = path.display().to_string();
    reader
        .records()
        .map(|fields| {
            let fields = fields.with_context(|| format!("{name} is not the CSV expected"))?;
            let line = fields.position().map_or(0, csv::Position::line);
            Ok(Record { columns: std::rc::Rc::clone(&columns), fields, place: format!("{name}, line {line}") })
        })
        .collect()
}

/// The text of a file, plain or `.gz`.
pub(crate) fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        GzDecoder::new(fs_err::File::open(path)?).read_to_string(&mut text)?;
    } else {
        fs_err::File::open(path)?.read_to_string(&mut text)?;
    }
    Ok(text)
}

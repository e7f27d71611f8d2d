//! Reads one CSV file of the catalog row by row and says exactly where a field is wrong.

use std::cell::Cell;
use std::str::FromStr;

use csv::{ReaderBuilder, StringRecord, Trim};
use time::Date;
use weighbridge_core::{ReleaseDate, Usd, parse_date};

use crate::error::CatalogError;

/// Where a row stands: its file and its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// File, relative to the catalog folder.
    pub file: &'static str,
    /// Line, from 1.
    pub line: u32,
}

/// One row of a file, with the names of its columns.
pub(crate) struct Row<'r> {
    pub(crate) place: Place,
    columns: &'static [&'static str],
    record: &'r StringRecord,
    /// The column after the one that was asked for last: rows are mostly read from left to right.
    next: Cell<usize>,
}

/// Reads every row of `text` with `parse`.
pub(crate) fn read<T>(
    file: &'static str,
    text: &str,
    columns: &'static [&'static str],
    mut parse: impl FnMut(&Row<'_>) -> Result<T, CatalogError>,
) -> Result<Vec<T>, CatalogError> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).trim(Trim::None).flexible(true).from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut rows = Vec::new();
    let mut first = true;
    loop {
        let line = reader.position().line() as u32;
        let shape =
            |problem: String| CatalogError::Shape { file: file.to_owned(), line, problem, expected: columns.len() };
        if !reader.read_record(&mut record).map_err(|e| shape(e.to_string()))? {
            return Ok(rows);
        }
        if first {
            first = false;
            if record.iter().ne(columns.iter().copied()) {
                let found = record.iter().collect::<Vec<_>>().join(",");
                return Err(CatalogError::Header { file: file.to_owned(), found, expected: columns.join(",") });
            }
        } else if record.len() == columns.len() {
            rows.push(parse(&Row { place: Place { file, line }, columns, record: &record, next: Cell::new(0) })?);
        } else {
            return Err(shape(format!("{} fields", record.len())));
        }
    }
}

impl Row<'_> {
    /// The text of a column; empty where unknown.
    pub(crate) fn text(&self, column: &str) -> &str {
        let next = self.next.get();
        let position = match self.columns.get(next) {
            Some(name) if *name == column => Some(next),
            _ => self.columns.iter().position(|name| *name == column),
        };
        self.next.set(position.map_or(0, |at| at + 1));
        debug_assert!(position.is_some(), "no column '{column}' in {}", self.place.file);
        position.and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    /// The text of a column that must not be empty.
    pub(crate) fn required(&self, column: &str) -> Result<&str, CatalogError> {
        let text = self.text(column);
        if text.is_empty() { Err(self.wrong(column, "a value; this column may not be empty")) } else { Ok(text) }
    }

    /// The text of a column, `None` where unknown.
    pub(crate) fn optional(&self, column: &str) -> Option<&str> {
        Some(self.text(column)).filter(|text| !text.is_empty())
    }

    /// A list separated by '|'.
    pub(crate) fn list(&self, column: &str) -> Vec<String> {
        self.optional(column).map(|text| text.split('|').map(str::to_owned).collect()).unwrap_or_default()
    }

    /// A number or name that parses, `None` where unknown.
    pub(crate) fn parsed<T: FromStr>(&self, column: &str, expected: &str) -> Result<Option<T>, CatalogError> {
        self.optional(column).map(|text| text.parse().map_err(|_| self.wrong(column, expected))).transpose()
    }

    /// A finite number, `None` where unknown.
    pub(crate) fn number(&self, column: &str) -> Result<Option<f64>, CatalogError> {
        let value = self.parsed::<f64>(column, "a number")?;
        if value.is_some_and(|v| !v.is_finite()) { Err(self.wrong(column, "a finite number")) } else { Ok(value) }
    }

    /// Dollars, `None` where unknown.
    pub(crate) fn usd(&self, column: &str) -> Result<Option<Usd>, CatalogError> {
        Ok(self.number(column)?.map(Usd))
    }

    /// A full date, `None` where unknown.
    pub(crate) fn date(&self, column: &str) -> Result<Option<Date>, CatalogError> {
        self.optional(column)
            .map(|text| parse_date(text).map_err(|_| self.wrong(column, "a date YYYY-MM-DD")))
            .transpose()
    }

    /// A date with its precision, `None` where unknown.
    pub(crate) fn release_date(&self, column: &str) -> Result<Option<ReleaseDate>, CatalogError> {
        self.optional(column)
            .map(|text| ReleaseDate::parse(text).map_err(|_| self.wrong(column, "a date YYYY-MM-DD, YYYY-MM or YYYY")))
            .transpose()
    }

    /// The error of a field that is not what its column asks for.
    pub(crate) fn wrong(&self, column: &str, expected: &str) -> CatalogError {
        CatalogError::Value {
            file: self.place.file.to_owned(),
            line: self.place.line,
            column: column.to_owned(),
            value: self.text(column).to_owned(),
            expected: expected.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["name", "size"];

    fn sizes(text: &str) -> Result<Vec<f64>, String> {
        read("t.csv", text, COLUMNS, |row| row.number("size")?.ok_or_else(|| row.wrong("size", "a number")))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_wrong_field_is_named_by_file_line_and_column() {
        assert_eq!(sizes("name,size\na,1\n\"b, c\",2.5\n"), Ok(vec![1.0, 2.5]));
        let check = |text: &str, expected: &str| assert_eq!(sizes(text).unwrap_err(), expected);
        check("name,size\na,1\nb,two\n", "t.csv, line 3, column 'size': 'two' is not a number");
        check("name,size\na,NaN\n", "t.csv, line 2, column 'size': 'NaN' is not a finite number");
        check("name,size\na\n", "t.csv, line 2: 1 fields, expected 2 fields");
        check("name,weight\n", "t.csv, line 1: columns are 'name,weight', expected 'name,size'");
    }
}

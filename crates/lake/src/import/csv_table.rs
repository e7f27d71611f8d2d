//! CSV with a header, read row by row, in which every bad value is found and told with its line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use time::Date;
use weighbridge_core::parse_date;

use super::input::read_error;
use crate::LakeError;

/// Bad values that a message lists; the rest is counted.
const LISTED: usize = 10;
/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// The rows of an input that cannot be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Rows with at least one bad value.
    pub bad_rows: u64,
    /// Rows of the input.
    pub rows: u64,
    /// The first bad values.
    pub first: Vec<BadValue>,
}

/// A value that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// Line of the file on which the row begins, from 1.
    pub line: u64,
    /// Name of the column.
    pub column: String,
    /// The value, shortened.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows cannot be imported, so nothing was:", self.bad_rows, self.rows)?;
        for bad in &self.first {
            write!(f, "\n  line {}, column {}: '{}', expected {}", bad.line, bad.column, bad.value, bad.expected)?;
        }
        if self.bad_rows > LISTED as u64 {
            write!(f, "\n  (the first {LISTED} are listed)")?;
        }
        write!(f, "\ncorrect or remove these rows and import the file again")
    }
}

/// A CSV file that is being read.
pub(crate) struct CsvTable<R> {
    path: PathBuf,
    columns: Vec<String>,
    used: Vec<bool>,
    reader: Reader<R>,
    record: ByteRecord,
    problems: Problems,
    row_is_good: bool,
    /// For each column the values that were taken as unknown: how many, and the first with its line.
    dropped: BTreeMap<usize, (u64, u64, String)>,
}

/// Position of a column.
#[derive(Clone, Copy)]
pub(crate) struct Col(usize);

impl<R: Read> CsvTable<R> {
    /// Reads the header.
    pub(crate) fn open(path: &Path, reader: R) -> Result<Self, LakeError> {
        // Rows of another length are found here, so that they are told like every other bad row.
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(reader);
        let header = reader.byte_headers().map_err(|e| csv_error(path, e))?;
        let mut columns = Vec::with_capacity(header.len());
        for (i, name) in header.iter().enumerate() {
            let name = std::str::from_utf8(name).map_err(|_| {
                LakeError::input(
                    path,
                    format!("line 1, column {}: the name is not UTF-8; save the file as UTF-8", i + 1),
                )
            })?;
            let name = name.trim_start_matches('\u{feff}').trim();
            if !name.is_empty() && columns.iter().any(|known| known == name) {
                return Err(LakeError::input(
                    path,
                    format!("line 1: column '{name}' stands twice; rename or remove one"),
                ));
            }
            columns.push(name.to_owned());
        }
        let used = vec![false; columns.len()];
        let problems = Problems::default();
        Ok(Self {
            path: path.to_owned(),
            columns,
            used,
            reader,
            record: ByteRecord::new(),
            problems,
            row_is_good: true,
            dropped: BTreeMap::new(),
        })
    }

    /// The positions of columns that must be there.
    pub(crate) fn require<const N: usize>(&mut self, names: [&str; N]) -> Result<[Col; N], LakeError> {
        let missing: Vec<&str> = names.into_iter().filter(|name| !self.columns.iter().any(|c| c == name)).collect();
        if !missing.is_empty() {
            return Err(LakeError::input(
                &self.path,
                format!(
                    "line 1: {} missing: {}; found {}; add or rename {}",
                    if missing.len() == 1 { "a column is" } else { "columns are" },
                    missing.join(", "),
                    self.columns.join(", "),
                    if missing.len() == 1 { "it" } else { "them" },
                ),
            ));
        }
        // Every name was found above.
        Ok(names.map(|name| self.optional(name).unwrap_or(Col(0))))
    }

    /// The position of a column that may be there.
    pub(crate) fn optional(&mut self, name: &str) -> Option<Col> {
        let position = self.columns.iter().position(|column| column == name)?;
        self.used[position] = true;
        Some(Col(position))
    }

    /// Columns that nobody asked for.
    pub(crate) fn left_out(&self) -> Vec<String> {
        let unused = self.columns.iter().zip(&self.used).filter(|(_, used)| !**used);
        unused.map(|(name, _)| if name.is_empty() { "(no name)".to_owned() } else { name.clone() }).collect()
    }

    /// Goes to the next row that has as many fields as the header.
    pub(crate) fn next_row(&mut self) -> Result<bool, LakeError> {
        while self.reader.read_byte_record(&mut self.record).map_err(|e| csv_error(&self.path, e))? {
            self.problems.rows += 1;
            self.row_is_good = true;
            if self.record.len() == self.columns.len() {
                return Ok(true);
            }
            let (found, wanted) = (self.record.len(), self.columns.len());
            let expected = format!("{wanted} fields as in line 1, found {found} (look for a comma or an open quote)");
            let column = self.columns.get(found.min(wanted - 1)).cloned().unwrap_or_default();
            self.problem(column, &[], expected);
        }
        Ok(false)
    }

    /// True while every value of the row that was asked for is good.
    pub(crate) fn row_is_good(&self) -> bool {
        self.row_is_good
    }

    /// The text of a field; blank is unknown.
    pub(crate) fn text(&mut self, col: impl Into<Option<Col>>) -> Option<String> {
        self.parse(col, "UTF-8 text", |text| Some(text.to_owned()))
    }

    /// The text of a field that must not be blank.
    pub(crate) fn required_text(&mut self, col: Col) -> String {
        self.required(col, "text", |text| Some(text.to_owned())).unwrap_or_default()
    }

    /// A measurement beside the score, such as seconds or tokens. Blank is unknown; so is a value that cannot be, which
    /// is told in [`Self::notes`] and is no reason to refuse the scores.
    pub(crate) fn measurement<T>(&mut self, col: Option<Col>, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let Col(col) = col?;
        let field = self.record.get(col).unwrap_or_default().trim_ascii();
        if field.is_empty() {
            return None;
        }
        let value = std::str::from_utf8(field).ok().and_then(read);
        if value.is_none() {
            let line = self.record.position().map_or(0, csv::Position::line);
            self.dropped.entry(col).or_insert_with(|| (0, line, shown(field))).0 += 1;
        }
        value
    }

    /// What was taken as unknown, one sentence a column.
    pub(crate) fn notes(&self) -> Vec<String> {
        let sentence = |(col, (n, line, value)): (&usize, &(u64, u64, String))| {
            let column = &self.columns[*col];
            format!("{column}: impossible values were taken as unknown, {n} in all, the first '{value}' on line {line}")
        };
        self.dropped.iter().map(sentence).collect()
    }

    /// A day; blank is unknown.
    pub(crate) fn day(&mut self, col: impl Into<Option<Col>>) -> Option<Date> {
        self.parse(col, "a date YYYY-MM-DD", |text| parse_date(text.trim()).ok())
    }

    /// A field in any form; a value that `read` does not take is a bad value, blank is unknown.
    pub(crate) fn parse<T>(
        &mut self,
        col: impl Into<Option<Col>>,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let col = col.into()?;
        let field = self.record.get(col.0).unwrap_or_default();
        if field.trim_ascii().is_empty() {
            return None;
        }
        let value = std::str::from_utf8(field).ok().and_then(read);
        if value.is_none() {
            self.bad(col, expected);
        }
        value
    }

    /// As [`Self::parse`], but blank is a bad value.
    pub(crate) fn required<T>(&mut self, col: Col, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        if self.record.get(col.0).unwrap_or_default().trim_ascii().is_empty() {
            self.bad(col, expected);
            return None;
        }
        self.parse(col, expected, read)
    }

    /// Marks the value of a column in this row as bad.
    pub(crate) fn bad(&mut self, col: Col, expected: &str) {
        let value = self.record.get(col.0).unwrap_or_default().to_vec();
        let not_text = std::str::from_utf8(&value).is_err();
        let expected = if not_text { "UTF-8 text; save the file as UTF-8".to_owned() } else { expected.to_owned() };
        self.problem(self.columns[col.0].clone(), &value, expected);
    }

    fn problem(&mut self, column: String, value: &[u8], expected: String) {
        self.problems.bad_rows += u64::from(self.row_is_good);
        self.row_is_good = false;
        if self.problems.first.len() < LISTED {
            let line = self.record.position().map_or(0, csv::Position::line);
            self.problems.first.push(BadValue { line, column, value: shown(value), expected });
        }
    }

    /// The reader, once every row is read and good.
    pub(crate) fn finish(self) -> Result<R, LakeError> {
        if self.problems.bad_rows > 0 {
            return Err(LakeError::BadRows { path: self.path, problems: self.problems });
        }
        if self.problems.rows == 0 {
            return Err(LakeError::input(&self.path, "it has a header but no rows"));
        }
        Ok(self.reader.into_inner())
    }
}

/// A value as a message shows it: on one line, and not too long.
fn shown(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    let mut shown: String = value.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if value.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

fn csv_error(path: &Path, error: csv::Error) -> LakeError {
    let shown = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => read_error(path, error),
        _ => LakeError::input(path, shown),
    }
}

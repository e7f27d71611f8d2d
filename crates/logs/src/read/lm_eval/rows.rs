//! Rows of a file of samples, those of one sample together.
//!
//! The harness writes all documents of one filter, then all of the next, and with several processes so for each of them.
//! To bring the rows of a document together without holding texts, the file is read once for the places of its rows
//! (some 40 bytes each), and once more with one reader for each filter; compressed files and lists are unfolded into a
//! temporary file first.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use weighbridge_core::Protocol;

use crate::LogError;
use crate::read::fields::{self, Fields};
use crate::source;

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    line: u64,
}

/// A sample as the file has it.
#[derive(Debug)]
struct Group {
    doc: u64,
    epoch: u32,
    places: Vec<Place>,
}

/// The rows of one sample.
#[derive(Debug)]
pub(super) struct SampleRows {
    /// Position of the document.
    pub doc: u64,
    /// The k-th time that the document stands there with the same filters, from 1.
    pub epoch: u32,
    /// Its rows, each with its place for messages.
    pub rows: Vec<(Fields, String)>,
    /// The file.
    pub path: PathBuf,
}

/// What tells rows apart.
#[derive(Deserialize)]
struct RowKey {
    doc_id: Option<Value>,
    #[serde(default)]
    filter: Option<String>,
}

/// A file of samples.
pub(super) struct Rows {
    path: PathBuf,
    /// The file itself, or its rows unfolded.
    plain: Plain,
    groups: std::vec::IntoIter<Group>,
    readers: Vec<(BufReader<File>, u64)>,
    first: Option<Fields>,
}

enum Plain {
    Itself,
    Unfolded(tempfile::NamedTempFile),
}

impl Rows {
    /// Finds the rows of a file.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let source = crate::Source::open(path)?;
        let mut bytes = [0; 4];
        let n = std::io::Read::read(&mut File::open(path).map_err(LogError::io("read", path))?, &mut bytes)
            .map_err(LogError::io("read", path))?;
        let compressed = !source.head().starts_with(&bytes[..n]);
        let list = source.head().iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let plain = if compressed || list { Plain::Unfolded(unfold(path, list)?) } else { Plain::Itself };
        let mut rows =
            Self { path: path.to_owned(), plain, groups: Vec::new().into_iter(), readers: Vec::new(), first: None };
        rows.find()?;
        Ok(rows)
    }

    fn plain(&self) -> &Path {
        match &self.plain {
            Plain::Itself => &self.path,
            Plain::Unfolded(file) => file.path(),
        }
    }

    /// Finds where the rows of each sample stand.
    fn find(&mut self) -> Result<(), LogError> {
        let file = File::open(self.plain()).map_err(LogError::io("read", &self.path))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut groups: Vec<Group> = Vec::new();
        // For a document and filter: how often the pair stood there.
        let mut seen: HashMap<(u64, u32), u32> = HashMap::new();
        let mut filters: HashMap<String, u32> = HashMap::new();
        let mut at: HashMap<(u64, u32), usize> = HashMap::new();
        let (mut text, mut offset, mut line) = (Vec::new(), 0, 0);
        loop {
            text.clear();
            let n = reader.read_until(b'\n', &mut text).map_err(LogError::io("read", &self.path))?;
            if n == 0 {
                break;
            }
            line += 1;
            let place = Place { offset, line };
            offset += n as u64;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let key = serde_json::from_slice::<RowKey>(&text).or_else(|error| {
                let again = fields::parse(&text).and_then(serde_json::from_value);
                again.map_err(|_| error)
            });
            let key = key.map_err(|error| malformed(&self.path, line, &error))?;
            let Some(value) = &key.doc_id else {
                return Err(LogError::malformed(&self.path, format!("line {line}"), "no doc_id in this row"));
            };
            let Some(doc) = fields::count(value).or_else(|| value.as_str()?.parse().ok()) else {
                let problem = format!("doc_id is not a position from 0 but {value}");
                return Err(LogError::malformed(&self.path, format!("line {line}"), problem));
            };
            let epoch = match key.filter {
                // Rows of old versions do not say their filter: those of one document are taken in order.
                None => 1,
                Some(name) => {
                    let known = filters.len() as u32;
                    let filter = *filters.entry(name).or_insert(known);
                    let times = seen.entry((doc, filter)).or_default();
                    *times += 1;
                    *times
                }
            };
            let group = *at.entry((doc, epoch)).or_insert_with(|| {
                groups.push(Group { doc, epoch, places: Vec::new() });
                groups.len() - 1
            });
            groups[group].places.push(place);
            if self.first.is_none() {
                self.first = Some(Fields::of(fields::parse(&text).ok()));
            }
        }
        self.groups = groups.into_iter();
        Ok(())
    }

    /// How the model was asked, as the first row shows.
    pub fn protocol(&self) -> Option<Protocol> {
        let row = self.first.as_ref()?;
        super::sample::protocol(row)
    }

    /// The first score of the first row.
    pub fn first_score(&self, filters: &[String]) -> Option<String> {
        let row = self.first.as_ref()?;
        super::sample::first_score(row, filters)
    }

    /// The rows of the next sample.
    pub fn next_sample(&mut self) -> Result<Option<SampleRows>, LogError> {
        let Some(group) = self.groups.next() else { return Ok(None) };
        let mut rows = Vec::with_capacity(group.places.len());
        for (i, place) in group.places.iter().enumerate() {
            let at = format!("line {}", place.line);
            let text = self.row(i, place.offset)?;
            let value = fields::parse(&text).map_err(|error| malformed(&self.path, place.line, &error))?;
            let row = Fields::object(value).map_err(|found| {
                LogError::malformed(&self.path, at.clone(), format!("a row must be an object, not {found}"))
            })?;
            rows.push((row, at));
        }
        Ok(Some(SampleRows { doc: group.doc, epoch: group.epoch, rows, path: self.path.clone() }))
    }

    /// The row at a place, by the reader that goes through the rows of the i-th filter.
    fn row(&mut self, i: usize, offset: u64) -> Result<Vec<u8>, LogError> {
        while self.readers.len() <= i {
            let file = File::open(self.plain()).map_err(LogError::io("read", &self.path))?;
            self.readers.push((BufReader::with_capacity(1 << 16, file), 0));
        }
        let (reader, at) = &mut self.readers[i];
        let io = || LogError::io("read", &self.path);
        reader.seek_relative(offset.cast_signed() - (*at).cast_signed()).map_err(io())?;
        let mut text = Vec::new();
        let n = reader.read_until(b'\n', &mut text).map_err(io())?;
        *at = offset + n as u64;
        Ok(text)
    }
}

fn malformed(path: &Path, line: u64, error: &serde_json::Error) -> LogError {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
    LogError::malformed(path, format!("line {line} column {}", error.column()), problem)
}

/// The rows of a file, one a line, in a temporary file.
fn unfold(path: &Path, list: bool) -> Result<tempfile::NamedTempFile, LogError> {
    let file = tempfile::NamedTempFile::new().map_err(LogError::io("unfold", path))?;
    let mut out = std::io::BufWriter::new(file);
    if list {
        fields::scan(path, &[&[]], &mut |_, _, row| writeln!(out, "{row}").map_err(LogError::io("unfold", path)))?;
    } else {
        std::io::copy(&mut source::reader(path)?, &mut out).map_err(LogError::io("unfold", path))?;
    }
    let file = out.into_inner().map_err(|error| LogError::io("unfold", path)(error.into_error()))?;
    Ok(file)
}

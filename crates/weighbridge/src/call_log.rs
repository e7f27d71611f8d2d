//! The file of answers: a header, then one record a line, only ever added to.
//!
//! A run that was cut off at any byte goes on: a last line without its end is dropped, requests with an answer are not
//! asked again, those that failed are. Of several records of one request the last one counts.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use weighbridge_core::{CALL_VERSION, CallLogHeader, CallState};

use crate::requests::RequestFile;

/// The header of a run.
pub fn header(provider: &str, model: &str, base_url: Option<&str>, file: &RequestFile) -> CallLogHeader {
    CallLogHeader {
        weighbridge_calls: CALL_VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        provider: provider.to_owned(),
        model: model.to_owned(),
        base_url: base_url.map(str::to_owned),
        requests: file.hash.clone(),
        count: file.count,
        canary: None,
    }
}

/// True where records of one may follow those of the other, whatever program and canary began the file.
fn same_run(a: &CallLogHeader, b: &CallLogHeader) -> bool {
    (a.weighbridge_calls, &a.provider, &a.model, &a.base_url, &a.requests)
        == (b.weighbridge_calls, &b.provider, &b.model, &b.base_url, &b.requests)
}

/// Positions of requests that have an answer.
#[derive(Debug, Default)]
pub struct Done {
    bits: Vec<u64>,
    count: u64,
}

impl Done {
    /// True where the request has an answer.
    pub fn contains(&self, index: u64) -> bool {
        self.bits.get((index / 64) as usize).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// The positions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.bits.len() as u64 * 64).filter(|index| self.contains(*index))
    }

    /// How many.
    pub const fn count(&self) -> u64 {
        self.count
    }

    fn insert(&mut self, index: u64) {
        let word = (index / 64) as usize;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if !self.contains(index) {
            self.bits[word] |= 1 << (index % 64);
            self.count += 1;
        }
    }
}

/// What is read of a record to go on.
#[derive(Deserialize)]
struct Beginning {
    index: u64,
    state: CallState,
}

/// Where records go.
#[derive(Debug)]
pub struct CallLog {
    /// `None` is standard output.
    file: Option<(PathBuf, File)>,
    line: Vec<u8>,
}

impl CallLog {
    /// Begins a file, or goes on with one, and tells which requests have an answer in it. Without a path records go to
    /// standard output, without a header.
    ///
    /// # Errors
    /// The file belongs to another run, is no such file, or cannot be written.
    pub fn open(path: Option<&Path>, header: &CallLogHeader) -> anyhow::Result<(Self, Done)> {
        let Some(path) = path else {
            return Ok((Self { file: None, line: Vec::new() }, Done::default()));
        };
        let cannot = || format!("cannot write {}", path.display());
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.with_context(cannot)?;
        // Where there are no locks, two runs at once are the user's to avoid.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!("another run writes {}; name another file with --output", path.display());
        }
        let done = resume(&mut file, path, header)?;
        let mut log = Self { file: Some((path.to_owned(), file)), line: Vec::new() };
        if done.is_none() {
            log.write(header)?;
        }
        Ok((log, done.unwrap_or_default()))
    }

    /// Adds a line, in one write: a program that is killed leaves at most one without its end.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        match &mut self.file {
            Some((path, file)) => {
                file.write_all(&self.line).with_context(|| format!("cannot write {}", path.display()))
            }
            None => io::stdout().lock().write_all(&self.line).context("cannot write to standard output"),
        }
    }
}

/// Reads what is there and stands at its end, behind the last whole line; `None` where there is nothing.
fn resume(file: &mut File, path: &Path, header: &CallLogHeader) -> anyhow::Result<Option<Done>> {
    let name = path.display();
    let mut reader = BufReader::new(&mut *file);
    let mut line = Vec::new();
    let mut whole = 0;
    let mut done = Done::default();
    let mut number = 0;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).with_context(|| format!("cannot read {name}"))?;
        if !line.ends_with(b"\n") {
            break;
        }
        number += 1;
        if number == 1 {
            let found: CallLogHeader = serde_json::from_slice(&line)
                .with_context(|| format!("{name} is no file of answers; name another with --output"))?;
            if !same_run(&found, header) {
                bail!("{name} holds answers of another model or to other requests; name another file with --output");
            }
        } else {
            let record: Beginning =
                serde_json::from_slice(&line).with_context(|| format!("{name}, line {number}: no record of a call"))?;
            if record.state.has_answer() {
                done.insert(record.index);
            }
        }
        whole += length as u64;
    }
    drop(reader);
    // A file that is not ours is left as it is.
    let ours = b"{\"weighbridge_calls\"";
    let beginning = line.len().min(ours.len());
    if number == 0 && line[..beginning] != ours[..beginning] {
        bail!("{name} is no file of answers; name another with --output");
    }
    file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0))).with_context(|| format!("cannot write {name}"))?;
    Ok((number > 0).then_some(done))
}

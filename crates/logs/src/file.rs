//! The file of a run: JSON lines in zstd frames, only ever added to.
//!
//! Every line is flushed as it is written, so that a killed run loses no line that was written whole, and `zstd -dc`
//! shows it. A frame is ended after [`FRAME_LINES`] lines. To go on with a file that was cut off, the whole lines of its
//! last frame are written anew beside it and the file is replaced in one step: at no moment are there fewer lines.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use weighbridge_core::{LogLine, RUN_LOG_VERSION};

use crate::LogError;
use crate::source;

/// Lines of a frame: what a reader must decode again to go on after a break.
const FRAME_LINES: usize = 512;
/// Level of compression: the usual one.
const LEVEL: i32 = 3;

/// What a reader finds next.
#[derive(Debug)]
pub enum Entry {
    /// A line.
    Line(Box<LogLine>),
    /// The end of a whole file.
    End,
    /// The end of a file whose last line or frame is not whole: its run goes on or was killed.
    CutOff,
}

/// Reads a log from its beginning, also while it is being written.
pub struct LogReader {
    path: PathBuf,
    lines: Box<dyn BufRead>,
    buffer: Vec<u8>,
    number: u64,
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").field("path", &self.path).field("number", &self.number).finish_non_exhaustive()
    }
}

impl LogReader {
    /// Opens a log, compressed or not.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        Ok(Self { path: path.to_owned(), lines: source::reader(path)?, buffer: Vec::new(), number: 0 })
    }

    /// The next line as it stands, without its end; `None` where nothing whole is left, with whether the file is whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_text(&mut self) -> Result<Result<&[u8], bool>, LogError> {
        self.buffer.clear();
        match self.lines.read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(Err(true)),
            Ok(_) if self.buffer.ends_with(b"\n") => {}
            Ok(_) => return Ok(Err(false)),
            // The decoder calls a frame without its end an error; what it held came before.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Err(false)),
            Err(error) => return Err(LogError::io("read", &self.path)(error)),
        }
        self.number += 1;
        self.buffer.pop();
        Ok(Ok(&self.buffer))
    }

    /// The next line.
    ///
    /// # Errors
    /// The file cannot be read, or the line is none of a log.
    pub fn next_entry(&mut self) -> Result<Entry, LogError> {
        match self.next_text()? {
            Err(true) => Ok(Entry::End),
            Err(false) => Ok(Entry::CutOff),
            Ok(text) => {
                let line = serde_json::from_slice(text);
                line.map(|line| Entry::Line(Box::new(line))).map_err(|error| self.bad_line(&error))
            }
        }
    }

    /// Lines read so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.number
    }

    fn bad_line(&self, error: &serde_json::Error) -> LogError {
        let problem = format!("no line of a run log of version {RUN_LOG_VERSION}: {error}");
        LogError::malformed(&self.path, format!("line {}", self.number), problem)
    }
}

/// Writes a log.
pub struct LogWriter {
    path: PathBuf,
    /// Taken while a frame is ended.
    encoder: Option<zstd::Encoder<'static, File>>,
    lines: usize,
    text: Vec<u8>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogWriter").field("path", &self.path).field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl LogWriter {
    /// Begins a new file with its header.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(path: &Path, header: &LogLine) -> Result<Self, LogError> {
        let io = || LogError::io("write", path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io())?;
        }
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(io())?;
        lock(&file, path)?;
        let mut writer = Self::on(file, path)?;
        writer.write(header)?;
        Ok(writer)
    }

    /// Goes on with a file behind its last whole line; `each` is shown every whole line that it holds.
    ///
    /// # Errors
    /// The file is no log, another run writes it, or it cannot be written.
    pub fn resume(path: &Path, each: &mut dyn FnMut(LogLine) -> Result<(), LogError>) -> Result<Self, LogError> {
        let io = || LogError::io("write", path);
        let open = || OpenOptions::new().read(true).write(true).open(path).map_err(io());
        let file = open()?;
        lock(&file, path)?;
        let mut reader = LogReader::open(path)?;
        let whole = loop {
            match reader.next_entry()? {
                Entry::Line(line) => each(*line)?,
                Entry::End => break true,
                Entry::CutOff => break false,
            }
        };
        let mut file = if whole { file } else { mend(path, file)? };
        file.seek(SeekFrom::End(0)).map_err(io())?;
        Self::on(file, path)
    }

    /// Adds a line. When this returns, a kill of the program does not lose it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, line: &LogLine) -> Result<(), LogError> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, line)
            .map_err(|error| LogError::malformed(&self.path, None, format!("a line cannot be written: {error}")))?;
        self.text.push(b'\n');
        let path = &self.path;
        let Some(encoder) = &mut self.encoder else {
            return Err(LogError::malformed(path, None, "an earlier write failed"));
        };
        encoder.write_all(&self.text).and_then(|()| encoder.flush()).map_err(LogError::io("write", path))?;
        self.lines += 1;
        if self.lines == FRAME_LINES {
            self.next_frame()?;
        }
        Ok(())
    }

    /// Ends the last frame.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(), LogError> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let file = encoder.finish().map_err(LogError::io("write", &self.path))?;
        file.sync_data().map_err(LogError::io("write", &self.path))
    }

    fn on(file: File, path: &Path) -> Result<Self, LogError> {
        let encoder = zstd::Encoder::new(file, LEVEL).map_err(LogError::io("write", path))?;
        Ok(Self { path: path.to_owned(), encoder: Some(encoder), lines: 0, text: Vec::new() })
    }

    fn next_frame(&mut self) -> Result<(), LogError> {
        let io = || LogError::io("write", &self.path);
        if let Some(encoder) = self.encoder.take() {
            let file = encoder.finish().map_err(io())?;
            self.encoder = Some(zstd::Encoder::new(file, LEVEL).map_err(io())?);
        }
        self.lines = 0;
        Ok(())
    }
}

/// Two runs must not write one file. Where there are no locks, that is the user's to avoid.
fn lock(file: &File, path: &Path) -> Result<(), LogError> {
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(LogError::malformed(path, None, "another run writes this file; name another one"));
    }
    Ok(())
}

/// Replaces a file that was cut off by one that ends behind its last whole line. The old one stays until the new one is
/// whole on the disk.
fn mend(path: &Path, old: File) -> Result<File, LogError> {
    let io = || LogError::io("mend", path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temp = tempfile::NamedTempFile::new_in(folder).map_err(io())?;
    let mut encoder = zstd::Encoder::new(BufWriter::new(temp.as_file()), LEVEL).map_err(io())?;
    let mut reader = LogReader::open(path)?;
    while let Ok(text) = reader.next_text()? {
        encoder.write_all(text).and_then(|()| encoder.write_all(b"\n")).map_err(io())?;
    }
    let mut buffered = encoder.finish().map_err(io())?;
    buffered.flush().map_err(io())?;
    drop(buffered);
    temp.as_file().sync_data().map_err(io())?;
    let new = temp.persist(path).map_err(|error| io()(error.error))?;
    drop(old);
    lock(&new, path)?;
    Ok(new)
}

/// Reads the first line of a log.
///
/// # Errors
/// The file is no log.
#[cfg(test)]
fn first(path: &Path) -> Result<LogLine, LogError> {
    match LogReader::open(path)?.next_entry()? {
        Entry::Line(line) => Ok(*line),
        _ => Err(LogError::malformed(path, None, "empty")),
    }
}

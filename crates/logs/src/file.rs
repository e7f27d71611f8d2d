//! The file of a run: JSON lines in zstd frames, only ever added to.
//!
//! Every line is flushed as it is written, so that a killed run loses no line that was written whole, and `zstd -dc`
//! shows it. A frame is ended after [`FRAME_LINES`] lines. To go on with a file that was cut off, its whole lines are
//! written anew beside it and the file is replaced in one step: at no moment are there fewer lines.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use weighbridge_core::{LogLine, RUN_LOG_VERSION, RunHeader};

use crate::LogError;
use crate::source;

/// Lines of a frame.
const FRAME_LINES: usize = 512;
/// Level of compression: the usual one.
const LEVEL: i32 = 3;
/// What every frame begins with.
const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What every log begins with.
const BEGINNING: &[u8] = b"{\"run\":{\"weighbridge_run\":";

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
    /// Set once the end was not whole: a decoder that is asked again says nothing more of it.
    cut_off: bool,
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
        Ok(Self { path: path.to_owned(), lines: source::reader(path)?, buffer: Vec::new(), number: 0, cut_off: false })
    }

    /// The next line as it stands, without its end; `None` where nothing whole is left, with whether the file is whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_text(&mut self) -> Result<Result<&[u8], bool>, LogError> {
        if self.cut_off {
            return Ok(Err(false));
        }
        self.buffer.clear();
        match self.lines.read_until(b'\n', &mut self.buffer) {
            Ok(0) => return Ok(Err(true)),
            Ok(_) if self.buffer.ends_with(b"\n") => {}
            Ok(_) => {
                self.cut_off = true;
                return Ok(Err(false));
            }
            // The decoder calls a frame without its end an error; what it held came before.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.cut_off = true;
                return Ok(Err(false));
            }
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

    /// Whether the file begins as a log does, as far as it goes. Only to be asked before the first line.
    fn begins_as_log(&mut self, length: u64) -> Result<bool, LogError> {
        let head = match self.lines.fill_buf() {
            Ok(head) => head,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.cut_off = true;
                return Ok(true);
            }
            Err(error) => return Err(LogError::io("read", &self.path)(error)),
        };
        let shared = head.len().min(BEGINNING.len());
        Ok(head[..shared] == BEGINNING[..shared] || (length < MAGIC.len() as u64 && MAGIC.starts_with(head)))
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
    pub fn create(path: &Path, header: &RunHeader) -> Result<Self, LogError> {
        make_folder(path)?;
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(LogError::io("create", path))?;
        lock(&file, path)?;
        Self::begin(file, path, header)
    }

    /// Goes on with a file behind its last whole line; `each` is shown every whole line that it holds, the header first.
    ///
    /// # Errors
    /// The file is no log or holds no whole header, another run writes it, or it cannot be written. It is then left as it
    /// was.
    pub fn resume(path: &Path, each: &mut dyn FnMut(LogLine) -> Result<(), LogError>) -> Result<Self, LogError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(LogError::io("write", path))?;
        lock(&file, path)?;
        match Self::go_on(file, path, None, each)? {
            Held::Lines(writer) => Ok(writer),
            Held::Nothing(_) => Err(LogError::malformed(path, None, "it was cut off before its first line was whole")),
        }
    }

    /// Begins a new file with its header, or goes on with the file that is there: one that is empty or was cut off within
    /// its header is begun anew, another is gone on with behind its last whole line. `each` is shown every whole line that
    /// the file held, the header first, and nothing where it is begun.
    ///
    /// # Errors
    /// The file is no log, or that of a run with other tasks, models or settings; another run writes it; or it cannot be
    /// written. A file that was there is then left as it was. What was seen of an endpoint (`canary`) may differ.
    pub fn open(
        path: &Path,
        header: &RunHeader,
        each: &mut dyn FnMut(LogLine) -> Result<(), LogError>,
    ) -> Result<Self, LogError> {
        make_folder(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(LogError::io("write", path))?;
        lock(&file, path)?;
        match Self::go_on(file, path, Some(header), each)? {
            Held::Lines(writer) => Ok(writer),
            Held::Nothing(mut file) => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(LogError::io("write", path))?;
                Self::begin(file, path, header)
            }
        }
    }

    fn begin(file: File, path: &Path, header: &RunHeader) -> Result<Self, LogError> {
        let mut writer = Self::on(file, path)?;
        writer.write(&LogLine::Run(Box::new(header.clone())))?;
        Ok(writer)
    }

    fn go_on(
        file: File,
        path: &Path,
        header: Option<&RunHeader>,
        each: &mut dyn FnMut(LogLine) -> Result<(), LogError>,
    ) -> Result<Held, LogError> {
        let io = || LogError::io("write", path);
        let refuse = |problem: String| LogError::malformed(path, None, problem);
        let mut reader = LogReader::open(path)?;
        if !reader.begins_as_log(file.metadata().map_err(io())?.len())? {
            return Err(refuse("this is no run log; name another file".to_owned()));
        }
        let whole = loop {
            match reader.next_entry()? {
                Entry::Line(line) => {
                    if let (1, LogLine::Run(old)) = (reader.lines(), &*line) {
                        if old.weighbridge_run != RUN_LOG_VERSION {
                            return Err(refuse(format!(
                                "the log is of version {}, and this program writes version {RUN_LOG_VERSION}; name another \
                                 file",
                                old.weighbridge_run
                            )));
                        }
                        if let Some(difference) = header.and_then(|new| difference(old, new)) {
                            return Err(refuse(format!(
                                "the file holds another run: {difference}; name another file, or ask for the same"
                            )));
                        }
                    }
                    each(*line)?;
                }
                Entry::End => break true,
                Entry::CutOff => break false,
            }
        };
        if reader.lines() == 0 {
            return Ok(Held::Nothing(file));
        }
        let compressed = head_of(path)?.starts_with(MAGIC);
        let mut file = if whole && compressed { file } else { mend(path, file)? };
        file.seek(SeekFrom::End(0)).map_err(io())?;
        Self::on(file, path).map(Held::Lines)
    }

    /// Adds a line. When this returns, a kill of the program does not lose it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, line: &LogLine) -> Result<(), LogError> {
        if let Some(what) = not_a_number(line) {
            return Err(LogError::malformed(
                &self.path,
                None,
                format!("a line cannot be written: {what} is no number"),
            ));
        }
        self.text.clear();
        serde_json::to_writer(&mut self.text, line)
            .map_err(|error| LogError::malformed(&self.path, None, format!("a line cannot be written: {error}")))?;
        self.text.push(b'\n');
        let path = &self.path;
        let Some(encoder) = &mut self.encoder else { return Err(failed_before(path)) };
        if let Err(error) = encoder.write_all(&self.text).and_then(|()| encoder.flush()) {
            // What the encoder still holds must not follow a line that was cut off.
            self.encoder = None;
            return Err(LogError::io("write", path)(error));
        }
        self.lines += 1;
        if self.lines == FRAME_LINES {
            self.next_frame()?;
        }
        Ok(())
    }

    /// Ends the last frame.
    ///
    /// # Errors
    /// It cannot be written, now or before.
    pub fn finish(mut self) -> Result<(), LogError> {
        let Some(encoder) = self.encoder.take() else { return Err(failed_before(&self.path)) };
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

/// What a file held that is to be gone on with.
enum Held {
    /// Lines; the writer stands behind them.
    Lines(LogWriter),
    /// No whole line.
    Nothing(File),
}

fn failed_before(path: &Path) -> LogError {
    LogError::malformed(path, None, "an earlier write failed")
}

fn make_folder(path: &Path) -> Result<(), LogError> {
    path.parent().map_or(Ok(()), |folder| std::fs::create_dir_all(folder).map_err(LogError::io("create", folder)))
}

/// The first bytes of a file as they stand.
fn head_of(path: &Path) -> Result<Vec<u8>, LogError> {
    use std::io::Read;
    let mut head = Vec::new();
    let file = File::open(path).map_err(LogError::io("read", path))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut head).map_err(LogError::io("read", path))?;
    Ok(head)
}

/// Two runs must not write one file. Where there are no locks, that is the user's to avoid.
fn lock(file: &File, path: &Path) -> Result<(), LogError> {
    let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    // Another run may have replaced the file between the opening and the lock.
    if taken || !is_at(file, path).map_err(LogError::io("read", path))? {
        return Err(LogError::malformed(path, None, "another run writes this file; name another one"));
    }
    Ok(())
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (ours, theirs) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> std::io::Result<bool> {
    Ok(true)
}

/// Replaces a file that was cut off, or is not compressed, by one that ends behind its last whole line. The old one stays
/// until the new one is whole on the disk, and the new one is locked before it takes the old one's place.
fn mend(path: &Path, old: File) -> Result<File, LogError> {
    let io = || LogError::io("mend", path);
    let real = std::fs::canonicalize(path).map_err(io())?;
    let folder = real.parent().unwrap_or(Path::new("."));
    let temp = tempfile::NamedTempFile::new_in(folder).map_err(io())?;
    lock(temp.as_file(), temp.path())?;
    temp.as_file().set_permissions(old.metadata().map_err(io())?.permissions()).map_err(io())?;
    let mut encoder = zstd::Encoder::new(BufWriter::new(temp.as_file()), LEVEL).map_err(io())?;
    let mut reader = LogReader::open(path)?;
    while let Ok(text) = reader.next_text()? {
        encoder.write_all(text).and_then(|()| encoder.write_all(b"\n")).map_err(io())?;
    }
    let mut buffered = encoder.finish().map_err(io())?;
    buffered.flush().map_err(io())?;
    drop(buffered);
    temp.as_file().sync_data().map_err(io())?;
    let new = temp.persist(&real).map_err(|error| io()(error.error))?;
    drop(old);
    Ok(new)
}

/// A number of a line that JSON has no word for, and that could not be read again.
fn not_a_number(line: &LogLine) -> Option<String> {
    match line {
        LogLine::Sample(sample) => {
            let logprob = sample.loglikelihoods.iter().find(|given| !given.logprob.is_finite());
            logprob
                .map(|given| format!("the log-probability of `{}`", given.continuation))
                .or_else(|| bad_score(&sample.scores))
        }
        LogLine::Rescore(rescore) => bad_score(&rescore.scores),
        LogLine::Result(result) => {
            (!result.value.is_finite()).then(|| format!("`{}` of the task `{}`", result.score, result.task))
        }
        LogLine::Run(_) | LogLine::Event(_) => None,
    }
}

fn bad_score(scores: &[weighbridge_core::Score]) -> Option<String> {
    let bad = scores.iter().find(|score| score.value.is_some_and(|value| !value.is_finite()));
    bad.map(|score| format!("the score `{}`", score.name))
}

/// The first thing in which two runs differ so that one log cannot hold both.
fn difference(old: &RunHeader, new: &RunHeader) -> Option<String> {
    let tasks = |header: &RunHeader| header.tasks.iter().map(|task| (task.name.clone(), fields(task))).collect();
    let models = |header: &RunHeader| {
        let model = |model: &weighbridge_core::ModelFacts| {
            let mut fields = fields(model);
            // It says when it was looked at.
            fields.remove("canary");
            (model.name.clone(), fields)
        };
        header.models.iter().map(model).collect()
    };
    named("task", tasks(old), &tasks(new))
        .or_else(|| named("model", models(old), &models(new)))
        .or_else(|| differing(&fields(&old.settings), &fields(&new.settings), ""))
}

type Fields = serde_json::Map<String, Value>;

fn fields(of: &impl Serialize) -> Fields {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => Fields::new(),
    }
}

fn named(what: &str, old: Vec<(String, Fields)>, new: &[(String, Fields)]) -> Option<String> {
    if let Some((name, _)) = new.iter().find(|(name, _)| old.iter().all(|(other, _)| other != name)) {
        return Some(format!("it does not have the {what} `{name}`"));
    }
    for (name, old) in old {
        let Some((_, new)) = new.iter().find(|(other, _)| *other == name) else {
            return Some(format!("it has the {what} `{name}` besides"));
        };
        if let Some(difference) = differing(&old, new, &format!(" of the {what} `{name}`")) {
            return Some(difference);
        }
    }
    None
}

fn differing(old: &Fields, new: &Fields, of: &str) -> Option<String> {
    let key = old.iter().chain(new).map(|(key, _)| key).find(|key| old.get(*key) != new.get(*key))?;
    let show = |fields: &Fields| {
        let text = fields.get(key).map_or_else(|| "nothing".to_owned(), ToString::to_string);
        if text.chars().count() > 80 { format!("{}...", text.chars().take(77).collect::<String>()) } else { text }
    };
    Some(format!("`{key}`{of} is {} there and {} here", show(old), show(new)))
}

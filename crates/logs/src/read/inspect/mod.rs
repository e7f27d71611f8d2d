//! Logs of Inspect: `.eval` archives, `.json` logs, folders of either, and what is left of a log without its samples.
//!
//! Samples are taken one at a time, so that memory is bounded by the largest of them. Events and stores of samples are
//! passed over and counted.

mod archive;
mod header;
mod results;
mod sample;
mod score;
mod stream;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use weighbridge_core::LogLine;

use self::archive::{Archive, MAGIC};
use self::header::Context;
use self::results::Results;
use self::stream::{List, Log, Samples, parse};
use super::json::{Meter, Pick, Unknown, count, top_keys};
use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format = Format {
    name: "inspect",
    version: 1,
    needs: "a log of Inspect (.eval or .json), a folder of such logs, or a folder with header.json and summaries.json",
    sniff,
    read,
};

/// The parts that a viewer of logs keeps of one.
const PARTS: [&str; 2] = ["header.json", "summaries.json"];

/// Files of a folder that are looked at to find out what it is.
const LOOKED_AT: usize = 200;

fn sniff(source: &Source) -> bool {
    if !source.is_folder() {
        return is_log(source);
    }
    has_parts(source.path())
        || files(source.path())
            .is_ok_and(|files| files.iter().take(LOOKED_AT).any(|file| file.is_dir() || is_log_at(file)))
}

fn has_parts(folder: &Path) -> bool {
    PARTS.iter().all(|name| folder.join(name).is_file())
        && Source::open(&folder.join(PARTS[0])).is_ok_and(|header| is_json_log(header.head()))
}

fn is_log_at(path: &Path) -> bool {
    Source::open(path).is_ok_and(|source| is_log(&source))
}

fn is_log(source: &Source) -> bool {
    let head = source.head();
    if !head.starts_with(MAGIC) {
        return is_json_log(head);
    }
    // Inspect writes this member first; in an archive that was packed anew it may stand anywhere.
    let length = head.get(26..28).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let first = head.get(30..30 + length).unwrap_or_default();
    [&b"_journal/start.json"[..], b"header.json"].contains(&first)
        || Archive::open(source.path()).is_ok_and(|archive| archive.names().iter().any(|name| is_header(name)))
}

fn is_header(name: &str) -> bool {
    name == "header.json" || name == "_journal/start.json"
}

fn is_json_log(head: &[u8]) -> bool {
    let keys = top_keys(head);
    let has = |name: &str| keys.iter().any(|key| key == name);
    if has("eval") {
        return has("status") || has("plan") || has("version");
    }
    // Samples that stand first may fill all that is seen.
    let known = keys.iter().all(|key| ["version", "status", "samples"].contains(&key.as_str()));
    has("samples") && known && ["\"epoch\"", "\"target\""].iter().all(|word| contains(head, word.as_bytes()))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// The files of a folder and of the folders directly in it, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LogError> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>, LogError> {
        let entries = std::fs::read_dir(folder).map_err(LogError::io("read", folder))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(LogError::io("read", folder))?.path());
        }
        paths.sort();
        Ok(paths)
    };
    let mut files = Vec::new();
    for path in list(folder)? {
        if path.is_dir() {
            // Another log in its parts is one entry.
            if has_parts(&path) {
                files.push(path);
            } else {
                files.extend(list(&path)?.into_iter().filter(|path| path.is_file()));
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut report = ReadReport::default();
    let path = source.path();
    if !source.is_folder() {
        one(path, source, sink, &mut report)?;
    } else if has_parts(path) {
        parts(path, sink, &mut report)?;
    } else {
        let mut others = 0_u64;
        for file in files(path)? {
            if file.is_dir() {
                parts(&file, sink, &mut report)?;
                continue;
            }
            let source = Source::open(&file)?;
            if is_log(&source) {
                one(&file, &source, sink, &mut report)?;
            } else {
                others += 1;
            }
        }
        if others > 0 {
            report
                .notes
                .push(format!("{}: {others} files are no logs of Inspect and were passed over", path.display()));
        }
    }
    Ok(report)
}

fn one(path: &Path, source: &Source, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    if source.head().starts_with(MAGIC) { archive(path, sink, report) } else { json(path, source, sink, report) }
}

/// A log as it is read: what it began with, and what came of its samples.
struct Reading<'a> {
    path: &'a Path,
    sink: &'a mut dyn Sink,
    report: &'a mut ReadReport,
    context: Context,
    results: Results,
    begun: bool,
    seen: BTreeSet<String>,
    samples: u64,
    invalid: u64,
}

impl<'a> Reading<'a> {
    fn new(path: &'a Path, sink: &'a mut dyn Sink, report: &'a mut ReadReport) -> Self {
        let (context, results) = (Context::default(), Results::default());
        Self { path, sink, report, context, results, begun: false, seen: BTreeSet::new(), samples: 0, invalid: 0 }
    }

    /// Ends the log: aggregates, and notes on what is missing.
    fn end(self, meter: &Meter) -> Result<(), LogError> {
        let Self { path, sink, report, context, results, seen, samples, invalid, .. } = self;
        results.send(&context, &seen, report, sink)?;
        let file = path.display();
        if let Some(expected) = context.expected.filter(|&expected| expected > samples) {
            report.notes.push(format!("{file}: {} of {expected} samples are not in the log", expected - samples));
        }
        if invalid > 0 {
            report.notes.push(format!("{file}: {invalid} samples are marked as invalid"));
        }
        if meter.not_numbers() > 0 {
            report.notes.push(format!("{file}: {} values NaN or infinite were read as absent", meter.not_numbers()));
        }
        Ok(())
    }

    fn add(&mut self, unknown: Unknown) {
        for (path, n) in unknown {
            count(&mut self.report.unknown_fields, &path, n);
        }
    }
}

impl Samples for Reading<'_> {
    fn begin(&mut self, members: Map<String, Value>) -> Result<(), LogError> {
        let head = header::read(self.path, members, self.report)?;
        self.context = head.context;
        self.results = head.results;
        self.begun = true;
        self.sink.begin(head.header)
    }

    fn sample(&mut self, members: Map<String, Value>, unknown: Unknown) -> Result<(), LogError> {
        self.add(unknown);
        let record = sample::read(members, &self.context, &mut self.report.unknown_fields);
        self.samples += 1;
        self.invalid += u64::from(record.metadata.contains_key("invalidation"));
        for score in &record.scores {
            if !self.seen.contains(&score.name) {
                self.seen.insert(score.name.clone());
            }
        }
        self.sink.line(LogLine::Sample(Box::new(record)))
    }
}

/// What went wrong: the word of the sink where it stopped, else the parser's.
fn failed(path: &Path, at: Option<&str>, failure: Option<LogError>, error: &serde_json::Error) -> LogError {
    failure.unwrap_or_else(|| {
        let problem = if error.is_eof() {
            format!("the text ends too early ({error}); the file was cut off or is still being written: copy it anew")
        } else if error.is_io() {
            format!("cannot be read: {error}")
        } else {
            format!("is not what a log of Inspect holds: {error}")
        };
        LogError::malformed(path, at.map(str::to_owned), problem)
    })
}

fn json(path: &Path, source: &Source, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    let meter = Meter::default();
    let mut reading = Reading::new(path, sink, report);
    let mut failure = None;
    let log = Log { meter: &meter, samples: &mut reading, failure: &mut failure, samples_only: false };
    let passed = parse(source.reader()?, &meter, log).map_err(|error| failed(path, None, failure, &error))?;
    reading.add(passed.unknown);
    if reading.begun {
        for (name, value) in passed.members {
            if super::json::is_filled(&value) {
                count(&mut reading.report.unknown_fields, &name, 1);
            }
        }
    } else {
        reading.begin(passed.members)?;
    }
    if passed.samples_left {
        let again = Meter::default();
        let mut failure = None;
        let log = Log { meter: &again, samples: &mut reading, failure: &mut failure, samples_only: true };
        parse(source.reader()?, &again, log).map_err(|error| failed(path, None, failure, &error))?;
    }
    reading.end(&meter)
}

/// An object of members, all of it in memory but what is unknown.
fn object(
    path: &Path,
    at: &str,
    reader: impl Read,
    meter: &Meter,
    unknown: &mut Unknown,
) -> Result<Map<String, Value>, LogError> {
    parse(reader, meter, Pick { wanted: header::MEMBERS, path: "", unknown, meter })
        .map_err(|error| failed(path, Some(at), None, &error))
}

fn list(path: &Path, at: &str, reader: impl Read, meter: &Meter, reading: &mut Reading<'_>) -> Result<(), LogError> {
    let mut failure = None;
    let list = List { meter, samples: reading, failure: &mut failure, members: sample::MEMBERS };
    parse(reader, meter, list).map_err(|error| failed(path, Some(at), failure, &error))
}

fn archive(path: &Path, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    let mut archive = Archive::open(path)?;
    let meter = Meter::default();
    let names = archive.names();
    let finished = names.iter().any(|name| name == "header.json");
    let head = if finished { "header.json" } else { "_journal/start.json" };
    let mut unknown = Unknown::new();
    let members =
        archive.member(head, |member| object(path, head, member, &meter, &mut unknown))?.ok_or_else(|| {
            let problem = "neither header.json nor _journal/start.json is in the archive; it is no log of Inspect";
            LogError::malformed(path, None, problem)
        })?;
    let mut reading = Reading::new(path, sink, report);
    reading.add(unknown);
    if !finished {
        let note = "the log has no header.json: its run did not end; what was written until then is read";
        reading.report.notes.push(format!("{}: {note}", path.display()));
    }
    reading.begin(members)?;
    let is_json = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "json");
    let in_folder = |name: &str, folder: &str| {
        name.strip_prefix(folder).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) && is_json(name)
    };
    for name in names.iter().filter(|name| in_folder(name, "samples/")) {
        archive.member(name, |member| {
            let mut unknown = Unknown::new();
            let pick = Pick { wanted: sample::MEMBERS, path: "samples.*", unknown: &mut unknown, meter: &meter };
            let members = parse(member, &meter, pick).map_err(|error| failed(path, Some(name), None, &error))?;
            reading.sample(members, unknown)
        })?;
    }
    if reading.samples == 0 {
        let summaries: Vec<&String> = if names.iter().any(|name| name == "summaries.json") {
            names.iter().filter(|name| *name == "summaries.json").collect()
        } else {
            names.iter().filter(|name| in_folder(name, "_journal/summaries/")).collect()
        };
        for name in summaries {
            archive.member(name, |member| list(path, name, member, &meter, &mut reading))?;
        }
        if reading.samples > 0 {
            let note = "the log holds summaries of its samples, without their texts";
            reading.report.notes.push(format!("{}: {note}", path.display()));
        }
    }
    for name in &names {
        let known = is_header(name)
            || name == "summaries.json"
            || ["samples/", "_journal/summaries/"].iter().any(|folder| in_folder(name, folder))
            || name.ends_with('/');
        if !known {
            count(&mut reading.report.unknown_fields, &general(name), 1);
        }
    }
    reading.end(&meter)
}

/// The name of a member with its ids as `*`.
fn general(name: &str) -> String {
    let stem = name.strip_suffix(".json").unwrap_or(name);
    let parts = stem.split('/').map(|part| if part.contains(|c: char| c.is_ascii_digit()) { "*" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

/// A folder with `header.json` and `summaries.json`.
fn parts(folder: &Path, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    let meter = Meter::default();
    let [header, summaries] = PARTS.map(|name| folder.join(name));
    let mut unknown = Unknown::new();
    let members = object(&header, "the header", crate::source::reader(&header)?, &meter, &mut unknown)?;
    let mut reading = Reading::new(folder, sink, report);
    reading.add(unknown);
    reading.begin(members)?;
    list(&summaries, "the summaries", crate::source::reader(&summaries)?, &meter, &mut reading)?;
    let note = "the log is read from header.json and summaries.json, without the texts of its samples";
    reading.report.notes.push(format!("{}: {note}", folder.display()));
    reading.end(&meter)
}

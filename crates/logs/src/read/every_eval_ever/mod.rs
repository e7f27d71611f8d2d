//! Every Eval Ever: aggregate records, instance files, folders with both, and lists of either.
//!
//! A record is a run. Its instance file is looked for beside it, and its check sum is compared.

mod aggregate;
mod instance;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};
use weighbridge_core::{LogLine, ModelFacts, RUN_LOG_VERSION, RunHeader, TaskFacts};

use self::aggregate::{Instances, is_aggregate, is_instance};
use self::instance::Rows;
use super::json::{Meter, Pick, Tolerant, Unknown, count, top_keys};
use super::{Format, ReadReport, Sink};
use crate::source::reader;
use crate::{LogError, Source};

pub(super) const FORMAT: Format = Format {
    name: "every-eval-ever",
    version: 1,
    needs: "an aggregate record (.json, or several as .jsonl), an instance file (_samples.jsonl), or a folder of them",
    sniff,
    read,
};

/// Members of an aggregate record, and of a line that points to one.
const RECORD: &[&str] = &[
    "schema_version",
    "evaluation_id",
    "evaluation_timestamp",
    "retrieved_timestamp",
    "source_metadata",
    "eval_library",
    "model_info",
    "evaluation_results",
    "detailed_evaluation_results",
];

/// Members of a line that points to a record.
const POINTER: &[&str] = &["record_type", "object_path", "sha256"];

/// Folders below a folder that are looked through, and files that are looked at to find out what it is.
const DEPTH: usize = 8;
const LOOKED_AT: usize = 200;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Aggregates,
    Instances,
    Pointers,
}

fn kind(source: &Source) -> Option<Kind> {
    let keys = top_keys(source.head());
    let has = |name: &str| keys.iter().any(|key| key == name);
    if is_instance(&keys) {
        Some(Kind::Instances)
    } else if is_aggregate(&keys) {
        Some(Kind::Aggregates)
    } else if has("record_type") && has("object_path") && has("eval_schema_version") {
        Some(Kind::Pointers)
    } else {
        None
    }
}

fn sniff(source: &Source) -> bool {
    if !source.is_folder() {
        return kind(source).is_some();
    }
    let mut paths = Vec::new();
    // What cannot be listed cannot be recognised; reading it says why.
    let listed = files(source.path(), DEPTH, LOOKED_AT, &mut paths).is_ok();
    listed && paths.iter().any(|path| Source::open(path).is_ok_and(|source| kind(&source).is_some()))
}

/// Files that may be records, in the order of their names, at most so many.
fn files(folder: &Path, depth: usize, most: usize, found: &mut Vec<PathBuf>) -> Result<(), LogError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(LogError::io("read", folder))? {
        paths.push(entry.map_err(LogError::io("read", folder))?.path());
    }
    paths.sort();
    for path in paths {
        if found.len() >= most {
            return Ok(());
        }
        if path.is_dir() {
            if depth > 0 {
                files(&path, depth - 1, most, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "json" || extension == "jsonl") {
            found.push(path);
        }
    }
    Ok(())
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut reading = Reading { sink, report: ReadReport::default(), done: BTreeSet::new() };
    if source.is_folder() {
        let mut paths = Vec::new();
        files(source.path(), DEPTH, usize::MAX, &mut paths)?;
        let mut rest = Vec::new();
        let mut others = 0_u64;
        for path in paths {
            match kind(&Source::open(&path)?) {
                Some(Kind::Aggregates) => reading.aggregates(&path)?,
                Some(kind) => rest.push((path, kind)),
                None => others += 1,
            }
        }
        for (path, kind) in rest {
            match kind {
                Kind::Instances if !reading.done.contains(&canonical(&path)) => {
                    let note = "no record of the folder names this instance file; it is read on its own";
                    reading.report.notes.push(format!("{}: {note}", path.display()));
                    reading.rows_alone(&path)?;
                }
                Kind::Pointers => reading.pointers(&path)?,
                Kind::Instances | Kind::Aggregates => {}
            }
        }
        if others > 0 {
            let folder = source.path().display();
            reading.report.notes.push(format!("{folder}: {others} JSON files are no records and were passed over"));
        }
    } else {
        match kind(source) {
            Some(Kind::Aggregates) => reading.aggregates(source.path())?,
            Some(Kind::Instances) => reading.rows_alone(source.path())?,
            Some(Kind::Pointers) => reading.pointers(source.path())?,
            None => {}
        }
    }
    Ok(reading.report)
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What is read, and which files already were.
struct Reading<'a> {
    sink: &'a mut dyn Sink,
    report: ReadReport,
    done: BTreeSet<PathBuf>,
}

impl Reading<'_> {
    /// A file of aggregate records, one or several.
    fn aggregates(&mut self, path: &Path) -> Result<(), LogError> {
        if !self.done.insert(canonical(path)) {
            return Ok(());
        }
        values(path, RECORD, "", |members, unknown| {
            self.add(unknown);
            let record = aggregate::read(path, members, &mut self.report)?;
            let model = record.header.models.first().map(|model| model.name.clone());
            self.sink.begin(record.header)?;
            for result in record.results {
                self.sink.line(LogLine::Result(Box::new(result)))?;
            }
            match record.instances {
                Some(instances) => {
                    self.instances(path, &instances, Rows { places: record.places, model, ..Rows::default() })
                }
                None => Ok(()),
            }
        })
    }

    /// The instance file of a record.
    fn instances(&mut self, record: &Path, instances: &Instances, mut rows: Rows) -> Result<(), LogError> {
        let Some(path) = beside(record, &instances.path) else {
            let note = format!("{}: its instance file {} is not there", record.display(), instances.path);
            self.report.notes.push(note);
            return Ok(());
        };
        self.done.insert(canonical(&path));
        match (instances.checksum.as_deref(), instances.algorithm.as_deref()) {
            (Some(expect), Some("sha256")) => self.check(&path, expect)?,
            (Some(_), algorithm) => {
                let algorithm = algorithm.unwrap_or("an unnamed kind");
                self.report.notes.push(format!("{}: its check sum ({algorithm}) was not compared", path.display()));
            }
            (None, _) => {}
        }
        let read = self.rows(&path, &mut rows)?;
        let file = path.display();
        if let Some(expect) = instances.rows.filter(|&expect| expect != read) {
            self.report.notes.push(format!("{file}: {read} rows, although the record states {expect}"));
        }
        if rows.strays > 0 {
            self.report.notes.push(format!("{file}: {} rows belong to no result of the record", rows.strays));
        }
        if rows.other_models > 0 {
            let note = format!("{file}: {} rows name another model than the record; its is taken", rows.other_models);
            self.report.notes.push(note);
        }
        Ok(())
    }

    fn check(&mut self, path: &Path, expect: &str) -> Result<(), LogError> {
        let file = File::open(path).map_err(LogError::io("read", path))?;
        let found = crate::source::sha256_of(file).map_err(LogError::io("read", path))?;
        if !found.eq_ignore_ascii_case(expect) {
            let note = "the check sum is not that of the record: one of the two was changed";
            self.report.notes.push(format!("{}: {note}", path.display()));
        }
        Ok(())
    }

    fn rows(&mut self, path: &Path, rows: &mut Rows) -> Result<u64, LogError> {
        let mut read = 0;
        values(path, instance::MEMBERS, "rows.*", |members, unknown| {
            self.add(unknown);
            let sample = rows.read(members, &mut self.report.unknown_fields);
            read += 1;
            self.sink.line(LogLine::Sample(Box::new(sample)))
        })?;
        Ok(read)
    }

    /// An instance file without its record: a run begins where the evaluation or the model changes.
    fn rows_alone(&mut self, path: &Path) -> Result<(), LogError> {
        let mut current: Option<(String, String)> = None;
        let mut rows = Rows::default();
        values(path, instance::MEMBERS, "rows.*", |members, unknown| {
            self.add(unknown);
            let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let of = (text("evaluation_id"), text("model_id"));
            if current.as_ref() != Some(&of) {
                rows = Rows::default();
                self.sink.begin(RunHeader {
                    weighbridge_run: RUN_LOG_VERSION,
                    id: of.0.clone(),
                    program: "unknown".to_owned(),
                    started: None,
                    tasks: vec![TaskFacts { name: text("evaluation_name"), ..TaskFacts::default() }],
                    models: vec![ModelFacts { name: of.1.clone(), model: Some(of.1.clone()), ..ModelFacts::default() }],
                    settings: std::collections::BTreeMap::new(),
                })?;
                current = Some(of);
            }
            let sample = rows.read(members, &mut self.report.unknown_fields);
            self.sink.line(LogLine::Sample(Box::new(sample)))
        })
    }

    /// A list of lines that point to records in a store beside it.
    fn pointers(&mut self, path: &Path) -> Result<(), LogError> {
        let mut targets = Vec::new();
        values(path, POINTER, "", |members, _| {
            let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
            targets.push((text("record_type"), text("object_path"), text("sha256")));
            Ok(())
        })?;
        for (kind, target, sum) in targets {
            let Some(target) = target else { continue };
            if kind.as_deref() != Some("aggregate") {
                let kind = kind.unwrap_or_default();
                self.report.notes.push(format!("{}: {target} is of kind '{kind}' and was passed over", path.display()));
                continue;
            }
            let Some(found) = beside(path, &target).or_else(|| beside(&path.with_file_name("datastore/x"), &target))
            else {
                self.report.notes.push(format!("{}: the record {target} is not there", path.display()));
                continue;
            };
            if let Some(sum) = sum {
                self.check(&found, &sum)?;
            }
            self.aggregates(&found)?;
        }
        Ok(())
    }

    fn add(&mut self, unknown: Unknown) {
        for (path, n) in unknown {
            count(&mut self.report.unknown_fields, &path, n);
        }
    }
}

/// A file that a record names by its path in the collection: beside the record, or below one of the folders above it.
/// Paths that lead out of these folders are not followed.
fn beside(record: &Path, named: &str) -> Option<PathBuf> {
    let named = Path::new(named);
    let plain = named.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain {
        return None;
    }
    let near = record.with_file_name(named.file_name()?);
    if near.is_file() {
        return Some(near);
    }
    record.ancestors().skip(1).take(DEPTH).map(|folder| folder.join(named)).find(|path| path.is_file())
}

/// Reads JSON objects that follow each other, with or without line breaks between them.
fn values(
    path: &Path,
    wanted: &[&str],
    place: &str,
    mut take: impl FnMut(Map<String, Value>, Unknown) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let meter = Meter::default();
    let mut reader = BufReader::with_capacity(1 << 14, Tolerant::new(reader(path)?, &meter));
    let mut record = 0_u64;
    while !at_end(&mut reader).map_err(LogError::io("read", path))? {
        record += 1;
        let mut unknown = Unknown::new();
        let pick = Pick { wanted, path: place, unknown: &mut unknown, meter: &meter };
        let mut deserializer = serde_json::Deserializer::from_reader(reader.by_ref());
        let members = pick.deserialize(&mut deserializer).map_err(|error| {
            let problem = if error.is_eof() {
                format!("the text ends too early ({error}); the file was cut off: copy it anew")
            } else {
                format!("is not what Every Eval Ever holds: {error}")
            };
            LogError::malformed(path, format!("record {record}"), problem)
        })?;
        take(members, unknown)?;
    }
    Ok(())
}

/// Passes over white space; true where nothing follows.
fn at_end(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(true);
        }
        let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let end = blank < buffer.len();
        reader.consume(blank);
        if end {
            return Ok(false);
        }
    }
}

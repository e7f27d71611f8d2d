//! lm-evaluation-harness: a file of results, a file of samples, or a folder with both.
//!
//! Samples are matched with results by the time in their names, which is the only thing that ties them together.

mod results;
mod rows;
mod sample;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weighbridge_core::{LogLine, ModelFacts, Protocol, RUN_LOG_VERSION, RunHeader, TaskFacts};

use self::results::Results;
use self::rows::Rows;
use super::fields::{self, Unknown};
use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "lm-eval", version: 1, needs: "lm-evaluation-harness results and samples", sniff, read };

/// How deep a folder is looked through: an output folder holds a folder for each model.
const DEPTH: usize = 3;
/// Files of a folder that are looked at to find out what it is.
const LOOKS: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Results,
    Samples,
}

fn kind(head: &[u8]) -> Option<Kind> {
    let paths = fields::head_paths(head);
    let has = |path: &str| paths.contains(path);
    for list in ["", "*."] {
        if has(&format!("{list}doc_id")) && (has(&format!("{list}resps")) || has(&format!("{list}filtered_resps"))) {
            return Some(Kind::Samples);
        }
    }
    let metric = |path: &String| {
        let mut parts = path.strip_prefix("results.").unwrap_or_default().splitn(2, '.').skip(1);
        parts.next().is_some_and(|key| key == "alias" || key.contains(',') || key.ends_with("_stderr"))
    };
    let about =
        ["versions", "configs", "config", "n-shot", "group_subtasks", "config.model"].iter().any(|key| has(key));
    let ours = has("results.results") || has("results.prompts") || has("results.version");
    (has("results") && !ours && (about || paths.len() > 1000) && paths.iter().any(metric)).then_some(Kind::Results)
}

/// Files of a folder and of those in it, in the order of names.
fn walk(
    folder: &Path,
    depth: usize,
    take: &mut dyn FnMut(PathBuf) -> Result<bool, LogError>,
) -> Result<bool, LogError> {
    for path in fields::listing(folder)? {
        let go_on = if path.is_dir() { depth == 0 || walk(&path, depth - 1, take)? } else { take(path)? };
        if !go_on {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_json(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let name = [".gz", ".zst"].iter().fold(&*name, |name, end| name.strip_suffix(end).unwrap_or(name));
    [".json", ".jsonl"].iter().any(|end| name.ends_with(end))
}

fn sniff(source: &Source) -> bool {
    if !source.is_folder() {
        return kind(source.head()).is_some();
    }
    let (mut found, mut looks) = (false, 0);
    let looked = walk(source.path(), DEPTH, &mut |path| {
        if is_json(&path) {
            looks += 1;
            found = Source::open(&path).is_ok_and(|file| kind(file.head()).is_some());
        }
        Ok(!found && looks < LOOKS)
    });
    looked.is_ok() && found
}

/// The files of one run.
#[derive(Debug, Default)]
struct RunFiles {
    results: Option<PathBuf>,
    samples: Vec<PathBuf>,
}

/// The time at the end of a name such as `samples_gsm8k_2024-05-01T10-20-30.123456`, and the name before it.
fn split_time(stem: &str) -> (&str, Option<&str>) {
    for (at, _) in stem.rmatch_indices('_') {
        let time = &stem[at + 1..];
        let shape = |(i, c): (usize, char)| match i {
            4 | 7 | 13 | 16 => c == '-',
            10 => c == 'T',
            19 => c == '.',
            _ => c.is_ascii_digit(),
        };
        if time.len() >= 19 && time.chars().enumerate().all(shape) {
            return (&stem[..at], Some(time));
        }
    }
    (stem, None)
}

/// Every run of the source: by folder and time.
fn runs(source: &Source, notes: &mut Vec<String>) -> Result<Vec<RunFiles>, LogError> {
    if !source.is_folder() {
        let path = source.path().to_owned();
        let samples = kind(source.head()) == Some(Kind::Samples);
        return Ok(vec![if samples {
            RunFiles { results: None, samples: vec![path] }
        } else {
            RunFiles { results: Some(path), samples: Vec::new() }
        }]);
    }
    let mut found: BTreeMap<(PathBuf, String), RunFiles> = BTreeMap::new();
    walk(source.path(), DEPTH, &mut |path| {
        let kind = if is_json(&path) { kind(Source::open(&path)?.head()) } else { None };
        let folder = path.parent().unwrap_or(source.path()).to_owned();
        let time = split_time(&fields::stem(&path)).1.unwrap_or_default().to_owned();
        match kind {
            Some(Kind::Samples) => found.entry((folder, time)).or_default().samples.push(path),
            Some(Kind::Results) => {
                let run = found.entry((folder, time)).or_default();
                if let Some(first) = &run.results {
                    let problem = "two files of results without a time in their names: which samples belong to which \
                                   cannot be told; read them one by one";
                    return Err(LogError::malformed(
                        &path,
                        None,
                        format!("{problem} (the other is {})", first.display()),
                    ));
                }
                run.results = Some(path);
            }
            None => {}
        }
        Ok(true)
    })?;
    if found.values().any(|run| run.results.is_none()) {
        notes.push(
            "some samples have no file of results beside them: their model is known by the folder only".to_owned(),
        );
    }
    Ok(found.into_values().collect())
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut report = ReadReport::default();
    for files in runs(source, &mut report.notes)? {
        read_run(&files, sink, &mut report)?;
    }
    Ok(report)
}

fn read_run(files: &RunFiles, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    let stated = match &files.results {
        Some(path) => Some(Results::read(path, report)?),
        None => {
            files.samples.first().and_then(|path| beside(path)).map(|path| Results::read(&path, report)).transpose()?
        }
    };
    let mut header =
        stated.as_ref().map_or_else(|| bare_header(&files.samples), |results| Ok(results.header.clone()))?;
    let mut tasks = Vec::new();
    for path in &files.samples {
        let name = task_of(path, &header.tasks);
        if !header.tasks.iter().any(|task| task.name == name) {
            header.tasks.push(TaskFacts { name: name.clone(), ..TaskFacts::default() });
        }
        let rows = Rows::open(path)?;
        let filters = stated.as_ref().map(|results| results.filters(&name)).unwrap_or_default();
        let facts = header.tasks.iter_mut().find(|task| task.name == name);
        let (protocol, main) = complete(facts, &rows, &filters);
        tasks.push((name, rows, filters, protocol, main));
    }
    if files.results.is_none() {
        // Only what the samples are of: the file beside them was not asked for.
        header.tasks.retain(|task| tasks.iter().any(|(name, ..)| *name == task.name));
    }
    let model = header.models.first().map(|model| model.name.clone()).unwrap_or_default();
    sink.begin(header)?;
    for (task, mut rows, filters, protocol, main) in tasks {
        let reading =
            sample::Reading { task: &task, model: &model, filters: &filters, protocol, main: main.as_deref() };
        let mut repeated = 0_u64;
        while let Some(rows) = rows.next_sample()? {
            repeated += u64::from(rows.epoch > 1);
            let record = sample::record(&reading, rows, &mut report.unknown_fields)?;
            sink.line(LogLine::Sample(Box::new(record)))?;
        }
        if repeated > 0 {
            report.notes.push(format!(
                "{task}: {repeated} samples stand there again with the same filter; they are taken as repeats"
            ));
        }
    }
    if let (Some(results), Some(_)) = (stated, &files.results) {
        for result in results.results {
            sink.line(LogLine::Result(Box::new(result)))?;
        }
    }
    Ok(())
}

/// What the rows say of their task where the results do not: the protocol and the main score.
fn complete(facts: Option<&mut TaskFacts>, rows: &Rows, filters: &[String]) -> (Option<Protocol>, Option<String>) {
    let protocol = facts.as_ref().and_then(|task| task.protocol).or_else(|| rows.protocol());
    let main = facts.as_ref().and_then(|task| task.main_score.clone()).or_else(|| rows.first_score(filters));
    if let Some(task) = facts {
        task.protocol = protocol;
        task.main_score.clone_from(&main);
    }
    (protocol, main)
}

/// The file of results that lies beside samples and has their time.
fn beside(samples: &Path) -> Option<PathBuf> {
    let stem = fields::stem(samples);
    let time = split_time(&stem).1?;
    let fits = |path: &PathBuf| {
        is_json(path)
            && split_time(&fields::stem(path)).1 == Some(time)
            && Source::open(path).is_ok_and(|file| kind(file.head()) == Some(Kind::Results))
    };
    fields::listing(samples.parent()?).ok()?.into_iter().find(fits)
}

/// The task that a file of samples is of: what its name says, as the results spell it.
fn task_of(path: &Path, tasks: &[TaskFacts]) -> String {
    let stem = fields::stem(path);
    let (name, _) = split_time(&stem);
    let bare = name.strip_prefix("samples_").unwrap_or(name);
    // Names of files take no slash; old versions put the name of the output before that of the task.
    let spelled = |task: &str| task.replace('/', "__");
    let exact = tasks.iter().find(|task| task.name == bare || spelled(&task.name) == bare);
    let longest = || {
        let ends = tasks.iter().filter(|task| bare.ends_with(&format!("_{}", spelled(&task.name))));
        ends.max_by_key(|task| task.name.len())
    };
    exact.or_else(longest).map_or_else(|| bare.to_owned(), |task| task.name.clone())
}

/// A header for samples without results: the model is what their folder is called.
fn bare_header(samples: &[PathBuf]) -> Result<RunHeader, LogError> {
    let first = samples.first().map_or(Path::new(""), PathBuf::as_path);
    let full = std::path::absolute(first).unwrap_or_else(|_| first.to_owned());
    let folder = full.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().replace("__", "/"));
    let name = folder.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    let source = Source::open(first)?;
    Ok(RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id: fields::content_id("lm_eval", &[fields::stem(first).as_bytes(), source.head()]),
        program: "lm_eval".to_owned(),
        started: None,
        tasks: Vec::new(),
        models: vec![ModelFacts { name, ..ModelFacts::default() }],
        settings: BTreeMap::new(),
    })
}

/// Where unknown fields of rows are counted.
fn count_row(rest: fields::Fields, unknown: &mut Unknown) {
    rest.count_rest("samples", unknown);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_split_off_a_name() {
        let time = "2024-05-01T10-20-30.123456";
        assert_eq!(split_time(&format!("samples_a_b_{time}")), ("samples_a_b", Some(time)));
        assert_eq!(split_time("results_2024-05-01T10-20-30"), ("results", Some("2024-05-01T10-20-30")));
        assert_eq!(split_time("samples_a_2024"), ("samples_a_2024", None));
    }
}

//! Submissions in the layout of SWE-bench/experiments: a folder of one, or a folder of many.
//!
//! Results list ids by what became of them. An instance that is resolved counts 1, one that was tried and is not counts
//! 0; where no patch came or the tests could not be run it has no score.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weighbridge_core::{
    DatasetFacts, LogLine, ModelAnswer, ModelFacts, Protocol, RUN_LOG_VERSION, ResultRecord, RunHeader, SampleKey,
    SampleRecord, SampleState, Score, ScoreFacts, TaskFacts,
};

use super::fields::{self, Fields};
use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format =
    Format { name: "swe-bench", version: 1, needs: "SWE-bench experiments folder", sniff, read };

/// The score.
const RESOLVED: &str = "resolved";
/// Lists of ids, the telling ones first; the score, where one follows, and what is said of those without.
const LISTS: [(&str, SampleState, Option<f64>, &str); 18] = [
    ("resolved", SampleState::Scored, Some(1.0), ""),
    ("resolved_ids", SampleState::Scored, Some(1.0), ""),
    ("error_ids", SampleState::HarnessError, None, "the evaluation failed"),
    ("install_fail", SampleState::HarnessError, None, "the environment could not be set up"),
    ("reset_failed", SampleState::HarnessError, None, "the repository could not be reset"),
    ("test_errored", SampleState::HarnessError, None, "the tests could not be run"),
    ("test_timeout", SampleState::HarnessError, None, "the tests did not end in time"),
    ("no_logs", SampleState::HarnessError, None, "there is no log of the evaluation"),
    ("no_generation", SampleState::WrongFormat, None, "no patch was written"),
    ("empty_patch_ids", SampleState::WrongFormat, None, "the patch is empty"),
    ("no_apply", SampleState::WrongFormat, None, "the patch does not apply"),
    ("incomplete_ids", SampleState::Missing, None, "nothing was submitted"),
    ("unresolved_ids", SampleState::Scored, Some(0.0), ""),
    ("completed_ids", SampleState::Scored, Some(0.0), ""),
    ("applied", SampleState::Scored, Some(0.0), ""),
    ("with_logs", SampleState::Scored, Some(0.0), ""),
    ("generated", SampleState::Scored, Some(0.0), ""),
    ("submitted_ids", SampleState::Scored, Some(0.0), ""),
];
/// Splits whose folder is named after them, with their sizes.
const SPLITS: [(&str, u64, &str); 4] = [
    ("verified", 500, "SWE-bench/SWE-bench_Verified"),
    ("lite", 300, "SWE-bench/SWE-bench_Lite"),
    ("test", 2294, "SWE-bench/SWE-bench"),
    ("multimodal", 517, "SWE-bench/SWE-bench_Multimodal"),
];

fn results_of(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("results/results.json");
    let head = Source::open(&path).ok()?;
    let paths = fields::head_paths(head.head());
    LISTS.iter().any(|(list, ..)| paths.contains(*list)).then_some(path)
}

fn submissions(source: &Source) -> Vec<PathBuf> {
    if results_of(source.path()).is_some() {
        return vec![source.path().to_owned()];
    }
    let inside = fields::listing(source.path()).unwrap_or_default();
    inside.into_iter().filter(|path| path.is_dir() && results_of(path).is_some()).collect()
}

fn sniff(source: &Source) -> bool {
    source.is_folder() && !submissions(source).is_empty()
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut report = ReadReport::default();
    for folder in submissions(source) {
        submission(&folder, sink, &mut report)?;
    }
    Ok(report)
}

fn name_of(path: Option<&Path>) -> String {
    path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The split that the folders say: `evaluation/<split>/<submission>`.
fn split(folder: &Path) -> Option<&'static (&'static str, u64, &'static str)> {
    let parent = folder.parent();
    let outside = name_of(parent.and_then(Path::parent));
    let name = name_of(parent);
    SPLITS.iter().find(|(split, ..)| outside == "evaluation" && *split == name)
}

/// Midnight of the day that a name such as `20240825_agent` begins with.
fn day(name: &str) -> Option<f64> {
    let digits = name.get(..8).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    fields::seconds(&format!("{}-{}-{}T00:00:00Z", &digits[..4], &digits[4..6], &digits[6..]))
}

fn metadata(folder: &Path) -> Result<Fields, LogError> {
    let path = folder.join("metadata.yaml");
    if !path.exists() {
        return Ok(Fields::default());
    }
    let text = std::fs::read_to_string(&path).map_err(LogError::io("read", &path))?;
    let value: Value =
        serde_saphyr::from_str(&text).map_err(|error| LogError::malformed(&path, None, error.to_string()))?;
    Fields::object(value)
        .map_err(|found| LogError::malformed(&path, None, format!("metadata must be a mapping, not {found}")))
}

/// What became of each instance.
type Outcomes = BTreeMap<String, (SampleState, Option<f64>, &'static str)>;

fn outcomes(path: &Path, results: &mut Fields) -> Result<Outcomes, LogError> {
    let mut found = Outcomes::new();
    for (list, state, score, why) in LISTS {
        let Some(ids) = results.take(list) else { continue };
        let bad = |problem: String| LogError::malformed(path, list.to_owned(), problem);
        let Value::Array(ids) = ids else {
            return Err(bad(format!("must be a list of ids, not {}", fields::kind(&ids))));
        };
        for id in ids {
            let Value::String(id) = id else {
                return Err(bad(format!("an id must be a text, not {}", fields::kind(&id))));
            };
            found.entry(id).or_insert((state, score, why));
        }
    }
    Ok(found)
}

fn submission(folder: &Path, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    let full = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some(path) = results_of(folder) else { return Ok(()) };
    let value = fields::parse_file(&path)?;
    let id = fields::content_id("swe-bench", &[name_of(Some(&full)).as_bytes(), value.to_string().as_bytes()]);
    let mut results = Fields::object(value)
        .map_err(|found| LogError::malformed(&path, None, format!("results must be an object, not {found}")))?;
    let mut outcomes = outcomes(&path, &mut results)?;
    let mut about = metadata(folder)?;
    let mut info = about.inner("info");
    let name = about.text("name").or_else(|| info.text("name")).unwrap_or_else(|| name_of(Some(&full)));
    let split = split(&full);
    let total = results.count("total_instances");
    let size = total.or(split.map(|(_, size, _)| *size));
    let task = split.map_or_else(|| "swe-bench".to_owned(), |(split, ..)| format!("swe-bench-{split}"));
    let mut details = BTreeMap::from([("folder".to_owned(), Value::from(name_of(Some(&full))))]);
    info.keep(&mut details);
    about.keep(&mut details);
    let mut settings = BTreeMap::new();
    let resolved = results.count("resolved_instances");
    results.keep(&mut settings);
    let dataset = split.map(|(_, _, source)| DatasetFacts {
        source: (*source).to_owned(),
        split: Some("test".to_owned()),
        size,
        ..DatasetFacts::default()
    });
    let unnamed = || DatasetFacts { source: "swe-bench".to_owned(), size, ..DatasetFacts::default() };
    let facts = TaskFacts {
        name: task.clone(),
        protocol: Some(Protocol::Generate),
        dataset: dataset.or_else(|| size.is_some().then(unnamed)),
        samples: size,
        main_score: Some(RESOLVED.to_owned()),
        scores: vec![ScoreFacts { name: RESOLVED.to_owned(), higher_is_better: Some(true), ..ScoreFacts::default() }],
        ..TaskFacts::default()
    };
    let started = day(&name_of(Some(&full)));
    sink.begin(RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id,
        program: "swe-bench".to_owned(),
        started,
        tasks: vec![facts],
        models: vec![ModelFacts { name: name.clone(), details, ..ModelFacts::default() }],
        settings,
    })?;

    let record = |id: String, outcome: (SampleState, Option<f64>, &str), patch: Option<String>| {
        let (state, value, why) = outcome;
        // Without any patch there is no answer, with an empty one there is one that says nothing.
        let answers = patch.map(|text| ModelAnswer { text: Some(text), ..ModelAnswer::default() });
        LogLine::Sample(Box::new(SampleRecord {
            group: repository(&id),
            state,
            scores: vec![Score { value, ..Score::new(RESOLVED.to_owned(), state) }],
            answers: answers.into_iter().collect(),
            error: (!why.is_empty()).then(|| why.to_owned()),
            ..SampleRecord::new(SampleKey { task: task.clone(), model: name.clone(), sample: id, epoch: 1 })
        }))
    };
    let mut samples = 0_u64;
    let mut written = std::collections::BTreeSet::new();
    let predictions = folder.join("all_preds.jsonl");
    if predictions.exists() {
        let mut reader = crate::source::reader(&predictions)?;
        let (mut text, mut line) = (Vec::new(), 0_u64);
        loop {
            text.clear();
            let n = std::io::BufRead::read_until(&mut reader, b'\n', &mut text);
            if n.map_err(LogError::io("read", &predictions))? == 0 {
                break;
            }
            line += 1;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let bad = |problem: String| LogError::malformed(&predictions, format!("line {line}"), problem);
            let value = fields::parse(&text).map_err(|error| bad(error.to_string()))?;
            let mut row = Fields::object(value).map_err(|found| bad(format!("must be an object, not {found}")))?;
            let Some(id) = row.text("instance_id") else { return Err(bad("no instance_id".to_owned())) };
            let patch = row.take("model_patch").or_else(|| row.take("prediction")).map(fields::as_text);
            row.take("model_name_or_path");
            row.count_rest("all_preds", &mut report.unknown_fields);
            if !written.insert(id.clone()) {
                report.notes.push(format!("{name}: {id} is predicted again; the first counts"));
                continue;
            }
            let empty = patch.as_ref().is_none_or(|patch| patch.trim().is_empty());
            let tried = if empty {
                (SampleState::WrongFormat, None, "the patch is empty")
            } else {
                (SampleState::Scored, Some(0.0), "")
            };
            sink.line(record(id.clone(), outcomes.remove(&id).unwrap_or(tried), patch))?;
            samples += 1;
        }
    }
    for (id, outcome) in outcomes {
        sink.line(record(id, outcome, None))?;
        samples += 1;
    }
    if let Some(size) = size
        && samples < size
    {
        let told = "whether the others were not tried or not resolved is not told";
        report.notes.push(format!("{name}: {samples} of {size} instances are listed; {told}"));
    }
    if let (Some(resolved), Some(total)) = (resolved, total.filter(|&total| total > 0)) {
        let result = ResultRecord {
            task,
            model: name,
            score: RESOLVED.to_owned(),
            value: resolved as f64 / total as f64,
            samples: Some(total),
            higher_is_better: Some(true),
            date: started,
            ..ResultRecord::default()
        };
        sink.line(LogLine::Result(Box::new(result)))?;
    }
    Ok(())
}

/// `apache/dubbo` of `apache__dubbo-10638`.
fn repository(id: &str) -> Option<String> {
    let (owner, rest) = id.split_once("__")?;
    let (name, _) = rest.rsplit_once('-')?;
    Some(format!("{owner}/{name}"))
}

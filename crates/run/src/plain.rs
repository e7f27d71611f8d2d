//! A plain table of questions as a task: JSONL, JSON or CSV with `input` and `target`, and `choices` where there are any.
//!
//! The usual other names of these columns are known too. A file in which every row lacks one of them is refused, with the
//! names that it has.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};
use weighbridge_core::{
    DatasetFacts, GenerationRequest, LoglikelihoodRequest, Message, Prompt, Protocol, Sampling, ScoreFacts, TaskFacts,
};

use crate::scorer::ScorerSpec;
use crate::{Ask, Scoring, Style, Task, TaskError, TaskOptions, TaskSample, lm_eval};

/// Names of the question, most telling first.
const INPUT: &[&str] = &["input", "question", "prompt"];
/// Names of what counts as right.
const TARGET: &[&str] = &["target", "answer", "answers", "label", "gold"];
/// Names of the choices, in one column.
const CHOICES: &[&str] = &["choices", "options"];
/// Names of an id.
const ID: &[&str] = &["id", "sample_id", "question_id", "task_id", "key"];
/// Names of a cluster of related rows.
const GROUP: &[&str] = &["group", "subject", "category"];
/// Most tokens of an answer where nobody says.
const MAX_TOKENS: usize = 1024;

/// Reads a table of questions.
///
/// # Errors
/// The file cannot be read, has no question or no target, or a row is malformed.
pub fn load(path: &Path, scorers: &[ScorerSpec], options: &TaskOptions) -> Result<Task, TaskError> {
    let (rows, hash) = rows(path)?;
    let size = rows.len() as u64;
    let limit = options.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let questions: Vec<Question> =
        rows.iter().enumerate().take(limit).map(|(i, row)| Question::read(path, i, row)).collect::<Result<_, _>>()?;
    let Some(first) = questions.first() else {
        return Err(TaskError::malformed(path, None, "it holds no question"));
    };
    let scorers = if scorers.is_empty() { vec![default_scorer(path, first)?] } else { scorers.to_vec() };
    let protocol = options.protocol.unwrap_or(Protocol::Generate);
    if protocol == Protocol::Loglikelihood && questions.iter().any(|q| q.choices.is_empty()) {
        let what = "log-likelihoods compare choices, and a row has none; use --protocol generate";
        return Err(TaskError::unsupported(path, what));
    }
    let scoring = match protocol {
        Protocol::Generate => Scoring::Scorers(scorers),
        Protocol::Loglikelihood => Scoring::LmEval(likeliest()),
    };
    let samples = questions.into_iter().map(|q| q.sample(path, protocol, options)).collect::<Result<Vec<_>, _>>()?;
    check_ids(path, &samples)?;
    let name = task_name(path);
    let facts = TaskFacts {
        name: if protocol == Protocol::Generate { name } else { format!("{name}@loglikelihood") },
        source: Some(path.display().to_string()),
        protocol: Some(protocol),
        dataset: Some(DatasetFacts {
            source: path.display().to_string(),
            hash: Some(hash),
            size: Some(size),
            ..DatasetFacts::default()
        }),
        few_shot: Some(0),
        samples: Some(samples.len() as u64),
        ..TaskFacts::default()
    };
    Ok(Task { facts: with_scores(facts, &scoring, path)?, scoring, samples })
}

/// Adds what the header says of the scores.
fn with_scores(facts: TaskFacts, scoring: &Scoring, path: &Path) -> Result<TaskFacts, TaskError> {
    let names: Vec<String> = match scoring {
        Scoring::Scorers(specs) => specs.iter().map(|spec| spec.name().to_owned()).collect(),
        Scoring::LmEval(scoring) => scoring.score_names(),
    };
    let facts_of = |name| ScoreFacts { name, higher_is_better: Some(true), ..ScoreFacts::default() };
    let scores: Vec<ScoreFacts> = names.into_iter().map(facts_of).collect();
    let json = serde_json::to_value(scoring).map_err(|e| TaskError::malformed(path, None, e.to_string()))?;
    Ok(TaskFacts { main_score: scores.first().map(|s| s.name.clone()), scores, scoring: Some(json), ..facts })
}

/// The scorer that the form of a question calls for.
fn default_scorer(path: &Path, question: &Question) -> Result<ScorerSpec, TaskError> {
    // Worked solutions of GSM8K end with the number behind this mark.
    let number = |target: &String| target.contains("#### ") || target.trim().parse::<f64>().is_ok();
    let name = if question.row.contains_key("instruction_id_list") {
        "ifeval"
    } else if question.choices.is_empty() && !question.target.is_empty() && question.target.iter().all(number) {
        "numeric"
    } else if question.choices.is_empty() {
        "match"
    } else {
        "choice"
    };
    ScorerSpec::parse(name).map_err(|problem| TaskError::unsupported(path, problem))
}

/// The likeliest choice, by the sum of log-probabilities and by that a character: acc and acc_norm of lm-evaluation-harness.
fn likeliest() -> lm_eval::Scoring {
    let metric = |name: &str| lm_eval::MetricConfig {
        metric: name.to_owned(),
        aggregation: Some("mean".to_owned()),
        higher_is_better: Some(true),
        options: BTreeMap::new(),
    };
    lm_eval::Scoring {
        output_type: lm_eval::OutputType::MultipleChoice,
        filters: vec![lm_eval::FilterPipeline::none()],
        metrics: vec![metric("acc"), metric("acc_norm")],
        native: None,
        target_delimiter: " ".to_owned(),
    }
}

/// File name without its endings; with that of its folder where it is only the name of a split.
fn task_name(path: &Path) -> String {
    let name = bare(path);
    let folder = path.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy().into_owned());
    match folder {
        Some(folder)
            if ["test", "train", "dev", "val", "valid", "validation", "data", "input_data"]
                .contains(&name.as_str()) =>
        {
            folder
        }
        _ => name,
    }
}

fn bare(path: &Path) -> String {
    let mut name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    for ending in [".gz", ".jsonl", ".json", ".csv", ".tsv"] {
        if let Some(rest) = name.strip_suffix(ending).filter(|rest| !rest.is_empty()) {
            name = rest.to_owned();
        }
    }
    name
}

/// A row that was understood.
struct Question {
    id: String,
    index: u64,
    group: Option<String>,
    input: String,
    choices: Vec<String>,
    target: Vec<String>,
    row: Map<String, Value>,
}

impl Question {
    fn read(path: &Path, index: usize, row: &Map<String, Value>) -> Result<Self, TaskError> {
        let bad = |problem: String| TaskError::malformed(path, format!("row {}", index + 1), problem);
        let find = |names: &[&str]| names.iter().find_map(|name| row.get(*name)).filter(|value| !value.is_null());
        let Some(input) = find(INPUT) else {
            let has = row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(bad(format!("no question; expected a column named {} (it has {has})", INPUT.join(", "))));
        };
        let choices = match find(CHOICES) {
            Some(value) => choices_of(value).ok_or_else(|| bad("choices are no list of texts".to_owned()))?,
            None => lettered(row),
        };
        let target = match find(TARGET) {
            Some(Value::Array(all)) => all.iter().map(plain).collect(),
            Some(value) => vec![plain(value)],
            None if row.contains_key("instruction_id_list") => Vec::new(),
            None => return Err(bad(format!("no target; expected a column named {}", TARGET.join(", ")))),
        };
        Ok(Self {
            id: find(ID).map_or_else(|| index.to_string(), plain),
            index: index as u64,
            group: find(GROUP).map(plain),
            input: plain(input),
            choices,
            target,
            row: row.clone(),
        })
    }

    fn sample(self, path: &Path, protocol: Protocol, options: &TaskOptions) -> Result<TaskSample, TaskError> {
        let ask = match protocol {
            Protocol::Generate => Ask::Generate(vec![self.request(options)]),
            Protocol::Loglikelihood => Ask::Loglikelihood(self.continuations()),
        };
        let Self { id, index, group, choices, target, row, .. } = self;
        // What stands elsewhere in the record is not kept twice.
        let mut rest: Map<String, Value> = row
            .into_iter()
            .filter(|(name, _)| ![INPUT, TARGET, CHOICES, ID, GROUP].concat().contains(&name.as_str()))
            .collect();
        if protocol == Protocol::Loglikelihood {
            let gold: Vec<usize> = target.iter().filter_map(|target| position(&choices, target)).collect();
            if gold.is_empty() {
                let problem = format!("the target '{}' is no letter, text or index of a choice", target.join(", "));
                return Err(TaskError::malformed(path, format!("row {}", index + 1), problem));
            }
            rest.insert("gold".to_owned(), Value::from(gold));
        }
        let doc = (!rest.is_empty()).then_some(Value::Object(rest));
        Ok(TaskSample { id, index, group, ask, choices, target, doc })
    }

    fn request(&self, options: &TaskOptions) -> GenerationRequest {
        let mut text = self.input.clone();
        if !self.choices.is_empty() {
            text.push('\n');
            for (letter, choice) in ('A'..).zip(&self.choices) {
                text.extend(["\n", letter.encode_utf8(&mut [0; 4]), ". ", choice]);
            }
            text.push_str("\n\nAnswer with the letter of the right choice: \"Answer: X\".");
        }
        let prompt = match options.style {
            Style::Text => {
                let system = options.system.as_ref().map(|system| format!("{system}\n\n")).unwrap_or_default();
                Prompt::Text(format!("{system}{text}\n"))
            }
            Style::Chat | Style::ChatMultiturn => {
                let system = options.system.iter().map(|system| Message::new("system", system.as_str()));
                Prompt::Messages(system.chain([Message::user(text)]).collect())
            }
        };
        let request = GenerationRequest::new(prompt, options.max_tokens.unwrap_or(MAX_TOKENS));
        GenerationRequest { sampling: Sampling::GREEDY, ..request }
    }

    fn continuations(&self) -> Vec<LoglikelihoodRequest> {
        let context = format!("Question: {}\nAnswer:", self.input);
        let request =
            |choice: &String| LoglikelihoodRequest { context: context.clone(), continuation: format!(" {choice}") };
        self.choices.iter().map(request).collect()
    }
}

/// The choice that a target means: by its letter, else by its text, else by its index from 0.
fn position(choices: &[String], target: &str) -> Option<usize> {
    let target = target.trim();
    let letter = ('A'..='Z').take(choices.len()).position(|letter| target.eq_ignore_ascii_case(&letter.to_string()));
    let text = || choices.iter().position(|choice| choice.trim() == target);
    letter.or_else(text).or_else(|| target.parse().ok().filter(|at| *at < choices.len()))
}

/// A list of texts: as such, as JSON within a text, or divided by bars.
fn choices_of(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(all) => Some(all.iter().map(plain).collect()),
        // The form of ARC on the hub.
        Value::Object(map) => map.get("text").and_then(choices_of),
        Value::String(text) => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(all) => Some(all.iter().map(plain).collect()),
            Err(_) if text.contains('|') => Some(text.split('|').map(|part| part.trim().to_owned()).collect()),
            Err(_) => None,
        },
        _ => None,
    }
}

/// Choices in columns A, B, C and so on.
fn lettered(row: &Map<String, Value>) -> Vec<String> {
    let column = |letter: char| row.get(&letter.to_string()).filter(|v| !v.is_null()).map(plain);
    ('A'..='Z').map_while(column).filter(|text| !text.is_empty()).collect()
}

/// A value as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_ids(path: &Path, samples: &[TaskSample]) -> Result<(), TaskError> {
    let mut seen = std::collections::BTreeMap::new();
    for sample in samples {
        if let Some(first) = seen.insert(&sample.id, sample.index) {
            let problem = format!("the id '{}' stands in row {} already", sample.id, first + 1);
            return Err(TaskError::malformed(path, format!("row {}", sample.index + 1), problem));
        }
    }
    Ok(())
}

type Rows = Vec<Map<String, Value>>;

/// The rows of a file, and the BLAKE3 of its content.
fn rows(path: &Path) -> Result<(Rows, String), TaskError> {
    let mut bytes = fs_err::read(path).map_err(TaskError::io(path))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).map_err(TaskError::io(path))?;
        bytes = plain;
    }
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let text = std::str::from_utf8(&bytes)
        .map_err(|e| TaskError::malformed(path, format!("byte {}", e.valid_up_to()), "not UTF-8; save it as UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let rows = match text.trim_start().as_bytes().first() {
        None => return Err(TaskError::malformed(path, None, "the file is empty")),
        Some(b'[') => serde_json::from_str(text)
            .map_err(|e| TaskError::malformed(path, None, format!("expected a list of objects: {e}")))?,
        Some(b'{') => json_lines(path, text)?,
        Some(_) => table(path, text)?,
    };
    Ok((rows, hash))
}

fn json_lines(path: &Path, text: &str) -> Result<Rows, TaskError> {
    // Not `lines`: the separators that it knows may stand within a text.
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(i, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|e| TaskError::malformed(path, format!("line {}", i + 1), format!("expected an object: {e}")))
    };
    lines.map(read).collect()
}

fn table(path: &Path, text: &str) -> Result<Rows, TaskError> {
    let head = text.lines().next().unwrap_or_default();
    let delimiter = if head.contains('\t') && !head.contains(',') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let bad = |e: csv::Error| TaskError::malformed(path, None, e.to_string());
    let names = reader.headers().map_err(bad)?.clone();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(bad)?;
        let cell = |(name, cell): (&str, &str)| (name.trim().to_owned(), Value::from(cell));
        Ok(names.iter().zip(&record).filter(|(_, cell)| !cell.is_empty()).map(cell).collect())
    };
    reader.records().map(row).collect()
}

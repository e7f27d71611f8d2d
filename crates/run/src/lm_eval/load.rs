//! Task files and groups of them become tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use weighbridge_core::{DatasetFacts, Protocol, ScoreFacts, TaskFacts};

use super::PythonRandom;
use super::config::{self, Function, TaskConfig, refusal};
use super::dataset::{self, Dataset};
use super::ported::{self, Native};
use super::prompt::{self, Builder, Needs};
use super::sampler::Sampler;
use super::scoring::{FilterPipeline, MetricConfig, OutputType, Scoring};
use crate::{Style, Task, TaskError, TaskOptions};

/// Keys that belong to a group itself; others are handed to its tasks.
const GROUP_KEYS: &[&str] = &["group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"];
/// Deepest nesting of groups and folders.
const DEPTH: usize = 12;

/// Loads a task file: one task, or all those of a group. A path that is no file is taken as the name of a task, group or tag
/// in that folder.
///
/// # Errors
/// A file is missing or wrong, or asks for something that is not done here.
pub fn load(path: &Path, options: &TaskOptions) -> Result<Vec<Task>, TaskError> {
    load_with(path, options, None)
}

/// As [`load`], with a folder of copies of hub datasets: `<id with / as __>/<configuration or default>/<split>.jsonl`.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, options: &TaskOptions, datasets: Option<&Path>) -> Result<Vec<Task>, TaskError> {
    let mut loader =
        Loader { options, datasets, folder: path.parent().unwrap_or(Path::new("")).to_owned(), index: None };
    let mut tasks = Vec::new();
    if path.is_file() {
        let entries = config::read(path)?;
        loader.entries(path, entries, &Map::new(), &[], &mut tasks)?;
    } else {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !loader.folder_or_here().is_dir() || !loader.named(&name, &Map::new(), &[], &mut tasks)? {
            let problem =
                format!("there is no such file, and no task, group or tag {name} in its folder; correct the name");
            return Err(TaskError::malformed(path, None, problem));
        }
    }
    Ok(tasks)
}

/// The files of a folder by what they define.
#[derive(Default)]
struct Index {
    files: BTreeMap<String, (PathBuf, Map<String, Value>)>,
    tags: BTreeMap<String, BTreeSet<String>>,
}

struct Loader<'a> {
    options: &'a TaskOptions,
    datasets: Option<&'a Path>,
    folder: PathBuf,
    index: Option<Index>,
}

impl Loader<'_> {
    fn folder_or_here(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }

    /// Adds what a file or an inline definition holds: a task or a group.
    fn entries(
        &mut self,
        path: &Path,
        entries: Map<String, Value>,
        overrides: &Map<String, Value>,
        groups: &[String],
        tasks: &mut Vec<Task>,
    ) -> Result<(), TaskError> {
        if groups.len() > DEPTH {
            return Err(TaskError::malformed(path, "task".to_owned(), "groups hold each other; end the circle"));
        }
        let name = entries.get("group").and_then(Value::as_str);
        let Some(name) =
            name.filter(|_| !entries.contains_key("class") && !entries.get("task").is_some_and(Value::is_string))
        else {
            let mut merged = entries;
            merged.extend(overrides.clone());
            tasks.push(task(path, merged, self.options, self.datasets, groups)?);
            return Ok(());
        };
        let mut groups = groups.to_vec();
        groups.push(name.to_owned());
        let mut merged: Map<String, Value> = entries
            .iter()
            .filter(|(key, _)| !GROUP_KEYS.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        merged.extend(overrides.clone());
        match entries.get("task") {
            Some(Value::Array(members)) => {
                members.iter().try_for_each(|member| self.member(path, member, &merged, &groups, tasks))
            }
            _ => Err(TaskError::malformed(path, format!("task of the group {name}"), "a list of tasks was expected")),
        }
    }

    fn member(
        &mut self,
        path: &Path,
        member: &Value,
        overrides: &Map<String, Value>,
        groups: &[String],
        tasks: &mut Vec<Task>,
    ) -> Result<(), TaskError> {
        let group = groups.last().map(String::as_str).unwrap_or_default();
        let at = || format!("task of the group {group}");
        match member {
            Value::String(name) => {
                if self.named(name, overrides, groups, tasks)? {
                    return Ok(());
                }
                let folder = self.folder_or_here().display().to_string();
                let problem = format!(
                    "{name} is neither a task, a group nor a tag of a file in {folder}; correct it or add its file"
                );
                Err(TaskError::malformed(path, at(), problem))
            }
            Value::Object(entries) => {
                let mut merged = overrides.clone();
                if let Some(name) = entries.get("group").and_then(Value::as_str) {
                    merged
                        .extend(entries.iter().filter(|(key, _)| *key != "group").map(|(k, v)| (k.clone(), v.clone())));
                    if self.index()?.files.contains_key(name) {
                        merged.remove("task");
                        self.named(name, &merged, groups, tasks)?;
                        return Ok(());
                    }
                    let mut inline = entries.clone();
                    inline.insert("group".into(), format!("{group}::{name}").into());
                    return self.entries(path, inline, overrides, groups, tasks);
                }
                let Some(name) = entries.get("task").and_then(Value::as_str) else {
                    return Err(TaskError::malformed(path, at(), "an entry needs the key task or group"));
                };
                merged.extend(entries.clone());
                if self.named(name, &merged, groups, tasks)? {
                    return Ok(());
                }
                merged.insert("task".into(), format!("{group}::{name}").into());
                tasks.push(task(path, merged, self.options, self.datasets, groups)?);
                Ok(())
            }
            _ => Err(TaskError::malformed(path, at(), "names of tasks or mappings were expected")),
        }
    }

    /// Adds a task, group or tag by name; false where the folder has none of that name.
    fn named(
        &mut self,
        name: &str,
        overrides: &Map<String, Value>,
        groups: &[String],
        tasks: &mut Vec<Task>,
    ) -> Result<bool, TaskError> {
        let index = self.index()?;
        if let Some((file, entries)) = index.files.get(name).cloned() {
            self.entries(&file, entries, overrides, groups, tasks)?;
            return Ok(true);
        }
        let Some(tagged) = index.tags.get(name).cloned() else { return Ok(false) };
        let mut overrides = overrides.clone();
        overrides.remove("task");
        for task in tagged {
            self.named(&task, &overrides, groups, tasks)?;
        }
        Ok(true)
    }

    fn index(&mut self) -> Result<&Index, TaskError> {
        if self.index.is_none() {
            let mut files = Vec::new();
            yaml_files(self.folder_or_here(), 0, &mut files)?;
            files.sort();
            let mut index = Index::default();
            // Files that cannot be read hold no task that could be meant; a name that is then missing is told.
            for (path, entries) in
                files.into_iter().filter_map(|path| config::read(&path).ok().map(|entries| (path, entries)))
            {
                let task = entries.get("task").and_then(Value::as_str);
                let Some(name) = task.or_else(|| entries.get("group").and_then(Value::as_str)).map(str::to_owned)
                else {
                    continue;
                };
                if task.is_some() {
                    let tags = match entries.get("tag") {
                        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).collect(),
                        tag => Vec::from_iter(tag.and_then(Value::as_str)),
                    };
                    for tag in tags {
                        index.tags.entry(tag.to_owned()).or_default().insert(name.clone());
                    }
                }
                index.files.entry(name).or_insert((path, entries));
            }
            self.index = Some(index);
        }
        Ok(self.index.get_or_insert_default())
    }
}

fn yaml_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), TaskError> {
    if depth > DEPTH {
        return Ok(());
    }
    for entry in fs_err::read_dir(folder).map_err(TaskError::io(folder))? {
        let entry = entry.map_err(TaskError::io(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(TaskError::io(folder))?);
        if kind.is_dir() {
            let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
            if !hidden {
                yaml_files(&path, depth + 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn task(
    path: &Path,
    entries: Map<String, Value>,
    options: &TaskOptions,
    datasets: Option<&Path>,
    groups: &[String],
) -> Result<Task, TaskError> {
    let config = TaskConfig::new(path, entries)?;
    let protocol = protocol(&config, options)?;
    let (scoring, needs) = scoring(&config)?;
    scoring.check().map_err(|problem| TaskError::unsupported(path, problem))?;
    // Functions are refused before anybody looks for rows.
    prompt::functions(&config)?;
    for function in [&config.process_docs, &config.fewshot.process_docs].into_iter().flatten() {
        ported::row(&config, function, "process_docs")?;
    }
    let dataset = Dataset::find(&config, datasets)?;
    let Some(split) = config.test_split.as_deref().or(config.validation_split.as_deref()) else {
        let problem = "the split to ask about was expected: test_split or validation_split";
        return Err(TaskError::malformed(path, "test_split".to_owned(), problem));
    };
    let rows = dataset.rows(split)?;
    let facts = DatasetFacts {
        source: dataset.source(split),
        config: config.dataset_name.clone(),
        split: Some(split.to_owned()),
        revision: config.dataset_kwargs.get("revision").and_then(Value::as_str).map(str::to_owned),
        hash: Some(dataset::hash(&rows)),
        size: Some(rows.len() as u64),
    };
    let rows = process(&config, config.process_docs.as_ref(), rows)?;
    let Some(first) = rows.first() else {
        return Err(TaskError::malformed(path, format!("split {split}"), "it has no rows; add some"));
    };
    // Where a task sets 0 itself, lm-evaluation-harness keeps that whatever a user says.
    let shots = if config.num_fewshot == Some(0) { 0 } else { options.few_shot.or(config.num_fewshot).unwrap_or(0) };
    let pool = if shots == 0 { Vec::new() } else { pool(&config, &dataset)? };
    let sampler =
        if config.fewshot.first { Sampler::First } else { Sampler::Drawn(PythonRandom::new(options.few_shot_seed)) };
    let mut builder = Builder::new(&config, options, first, shots, pool, sampler, needs)?;
    let limit = options.limit.map_or(rows.len(), |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let samples = rows
        .iter()
        .enumerate()
        .take(limit)
        .map(|(index, row)| builder.sample(index, row))
        .collect::<Result<Vec<_>, _>>()?;
    let scores = scores(&scoring);
    let scoring = crate::Scoring::LmEval(scoring);
    let facts = TaskFacts {
        name: config.task.clone(),
        version: config.raw("metadata").and_then(|metadata| metadata.get("version")).map(super::python::str),
        source: Some(path.display().to_string()),
        hash: Some(
            blake3::hash(config::portable(&Value::Object(config.raw.clone())).to_string().as_bytes())
                .to_hex()
                .to_string(),
        ),
        protocol: Some(protocol),
        dataset: Some(facts),
        few_shot: Some(shots),
        samples: Some(samples.len() as u64),
        epochs: None,
        main_score: scores.first().map(|score| score.name.clone()),
        scores,
        scoring: serde_json::to_value(&scoring).ok(),
        groups: groups.to_vec(),
    };
    Ok(Task { facts, scoring, samples })
}

fn protocol(config: &TaskConfig, options: &TaskOptions) -> Result<Protocol, TaskError> {
    let own = match config.output_type {
        OutputType::GenerateUntil => Protocol::Generate,
        _ => Protocol::Loglikelihood,
    };
    if options.protocol.is_some_and(|wanted| wanted != own) {
        let what =
            format!("output_type: the task compares answers by {} only; take a task of the other kind", own.as_str());
        return Err(TaskError::unsupported(&config.path, what));
    }
    if own == Protocol::Loglikelihood && options.style != Style::Text {
        let what = "output_type: log-likelihoods are taken of plain text, not within a conversation; ask with prompts as plain text";
        return Err(TaskError::unsupported(&config.path, what));
    }
    Ok(own)
}

fn process(config: &TaskConfig, function: Option<&Function>, rows: Vec<Value>) -> Result<Vec<Value>, TaskError> {
    let Some(function) = function else { return Ok(rows) };
    let native = ported::row(config, function, "process_docs")?;
    let processed = rows.iter().enumerate().map(|(index, row)| {
        native(row)
            .map_err(|error| TaskError::malformed(&config.path, format!("row {}, process_docs", index + 1), error))
    });
    processed.collect()
}

fn pool(config: &TaskConfig, dataset: &Dataset<'_>) -> Result<Vec<Value>, TaskError> {
    if let Some(split) = &config.fewshot.split {
        return process(config, config.fewshot.process_docs.as_ref(), dataset.rows(split)?);
    }
    if let Some(samples) = &config.fewshot.samples {
        return Ok(samples.clone());
    }
    let split = config.training_split.as_ref().or(config.validation_split.as_ref()).or(config.test_split.as_ref());
    let rows = split.map_or(Ok(Vec::new()), |split| dataset.rows(split))?;
    process(config, config.process_docs.as_ref(), rows)
}

/// What the scores of a task mean, in the order of [`Scoring::score_names`].
fn scores(scoring: &Scoring) -> Vec<ScoreFacts> {
    let facts = |name: String| {
        let metric =
            scoring.metrics.iter().find(|metric| name.rsplit_once(',').is_some_and(|(own, _)| own == metric.metric));
        ScoreFacts {
            aggregation: metric.and_then(|metric| scoring.aggregation(metric)),
            higher_is_better: metric.and_then(|metric| metric.higher_is_better),
            grader: None,
            name,
        }
    };
    scoring.score_names().into_iter().map(facts).collect()
}

fn scoring(config: &TaskConfig) -> Result<(Scoring, Needs), TaskError> {
    let name = match &config.process_results {
        None => None,
        Some(function) => match ported::find(config, function, "process_results")? {
            Native::Results(name) => Some(name.to_owned()),
            Native::Row(_) => return Err(TaskError::unsupported(&config.path, refusal(function, "process_results"))),
        },
    };
    let wrong = |key: &str, expected: &str| {
        TaskError::malformed(&config.path, key.to_owned(), format!("{expected} was expected"))
    };
    let filters = match config.raw("filter_list") {
        None => {
            vec![FilterPipeline::none()]
        }
        Some(Value::Array(filters)) => filters
            .iter()
            .map(|filter| {
                let name = filter
                    .get("name")
                    .and_then(Value::as_str)
                    .ok_or_else(|| wrong("filter_list", "a name for each filter"))?;
                let steps = filter
                    .get("filter")
                    .and_then(Value::as_array)
                    .ok_or_else(|| wrong("filter_list", "the steps of each filter"))?;
                match steps.iter().find_map(any_function) {
                    Some(function) => Err(TaskError::unsupported(&config.path, refusal(&function, "filter_list"))),
                    None => Ok(FilterPipeline { name: name.to_owned(), steps: steps.clone() }),
                }
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong("filter_list", "a list of filters")),
    };
    let metrics = match config.raw("metric_list") {
        None => default_metrics(config.output_type),
        Some(Value::Array(metrics)) => {
            metrics.iter().map(|metric| self::metric(config, metric, name.is_some())).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong("metric_list", "a list of metrics")),
    };
    let needs = Needs {
        mutual_information: metrics.iter().any(|metric| metric.metric == "acc_mutual_info"),
        row: name.is_some(),
    };
    let target_delimiter = config.target_delimiter.clone();
    Ok((Scoring { output_type: config.output_type, filters, metrics, native: name, target_delimiter }, needs))
}

fn metric(config: &TaskConfig, entry: &Value, native: bool) -> Result<MetricConfig, TaskError> {
    let expected = || {
        TaskError::malformed(&config.path, "metric_list".to_owned(), "the name of a metric was expected in each entry")
    };
    let entries = entry.as_object().ok_or_else(expected)?;
    let mut metric = MetricConfig::default();
    for (key, value) in entries {
        match (key.as_str(), value, any_function(value)) {
            // The aggregation belongs to the scores of the counterpart, which knows it by its name.
            ("aggregation", _, Some(function)) if native => {
                metric.aggregation = function.name.rsplit('.').next().map(str::to_owned);
            }
            (_, _, Some(function)) => {
                return Err(TaskError::unsupported(&config.path, refusal(&function, &format!("metric_list.{key}"))));
            }
            ("metric", Value::String(name), _) => metric.metric.clone_from(name),
            ("aggregation", Value::String(name), _) => metric.aggregation = Some(name.clone()),
            ("higher_is_better", Value::Bool(higher), _) => metric.higher_is_better = Some(*higher),
            ("hf_evaluate", Value::Bool(false), _) | ("aggregation" | "higher_is_better", Value::Null, _) => {}
            ("metric" | "aggregation" | "higher_is_better", _, _) => {
                let problem = "a name (or true or false for higher_is_better) was expected";
                return Err(TaskError::malformed(&config.path, format!("metric_list.{key}"), problem));
            }
            _ => {
                metric.options.insert(key.clone(), value.clone());
            }
        }
    }
    if metric.metric.is_empty() { Err(expected()) } else { Ok(metric) }
}

fn default_metrics(output_type: OutputType) -> Vec<MetricConfig> {
    let names: &[&str] = match output_type {
        OutputType::MultipleChoice => &["acc", "acc_norm"],
        OutputType::Loglikelihood => &["perplexity", "acc"],
        OutputType::LoglikelihoodRolling => &["word_perplexity", "byte_perplexity", "bits_per_byte"],
        OutputType::GenerateUntil => &["exact_match"],
    };
    names.iter().map(|name| MetricConfig { metric: (*name).to_owned(), ..MetricConfig::default() }).collect()
}

/// The first function within a value.
fn any_function(value: &Value) -> Option<Function> {
    Function::of(value).or_else(|| match value {
        Value::Array(items) => items.iter().find_map(any_function),
        Value::Object(entries) => entries.values().find_map(any_function),
        _ => None,
    })
}

//! A file of results: the header of the run and its aggregates.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use weighbridge_core::{
    DatasetFacts, ModelFacts, Protocol, RUN_LOG_VERSION, ResultRecord, RunHeader, ScoreFacts, TaskFacts,
};

use crate::LogError;
use crate::read::ReadReport;
use crate::read::fields::{self, Fields};

/// What a file of results says.
#[derive(Debug)]
pub(super) struct Results {
    /// The run.
    pub header: RunHeader,
    /// Its aggregates, those of groups included.
    pub results: Vec<ResultRecord>,
}

/// Parts of the file that are by task.
struct ByTask {
    results: Map<String, Value>,
    configs: Map<String, Value>,
    versions: Map<String, Value>,
    shots: Map<String, Value>,
    better: Map<String, Value>,
    samples: Map<String, Value>,
}

impl Results {
    /// Reads a file of results.
    pub fn read(path: &Path, report: &mut ReadReport) -> Result<Self, LogError> {
        let value = fields::parse_file(path)?;
        let id = fields::content_id("lm_eval", &[value.to_string().as_bytes()]);
        let mut all = Fields::object(value)
            .map_err(|found| LogError::malformed(path, None, format!("results must be an object, not {found}")))?;
        let mut map = |key: &str| all.inner(key).into_rest();
        let mut by_task = ByTask {
            results: map("results"),
            configs: map("configs"),
            versions: map("versions"),
            shots: map("n-shot"),
            better: map("higher_is_better"),
            samples: map("n-samples"),
        };
        let (groups, subtasks) = (map("groups"), map("group_subtasks"));
        for (group, result) in groups {
            by_task.results.entry(group).or_insert(result);
        }
        let date = all.number("date");
        let version = all.text("lm_eval_version");
        let mut config = all.inner("config");
        let model = model(&mut all, &mut config);
        let settings = settings(&mut all, config);
        // The machine is described at length and changes no answer.
        all.count_rest("", &mut report.unknown_fields);

        let mut tasks = Vec::new();
        let mut results = Vec::new();
        for name in names(&by_task) {
            let facts = by_task.task(&name, &subtasks);
            by_task.aggregates(path, &facts, &model.name, date, &mut results, report)?;
            tasks.push(facts);
        }
        let header = RunHeader {
            weighbridge_run: RUN_LOG_VERSION,
            id,
            program: version.map_or_else(|| "lm_eval".to_owned(), |version| format!("lm_eval {version}")),
            started: date,
            tasks,
            models: vec![model],
            settings,
        };
        Ok(Self { header, results })
    }

    /// Names of the filters of a task, in the order in which rows of samples come.
    pub fn filters(&self, task: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for result in self.results.iter().filter(|result| result.task == task) {
            if let Some((_, filter)) = result.score.split_once(',')
                && !found.iter().any(|known| known == filter)
            {
                found.push(filter.to_owned());
            }
        }
        found
    }
}

/// Tasks and groups, in the order of their results.
fn names(by_task: &ByTask) -> Vec<String> {
    let mut names: Vec<String> = by_task.results.keys().cloned().collect();
    for name in by_task.configs.keys() {
        if !by_task.results.contains_key(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Keys of a result that are no scores.
const NOT_SCORES: [&str; 5] = ["name", "alias", "sample_len", "sample_count", "group_name"];

/// A name of a metric that stands for the standard error of another one.
fn without_error(key: &str) -> Option<String> {
    match key.split_once(',') {
        Some((metric, filter)) => Some(format!("{},{filter}", metric.strip_suffix("_stderr")?)),
        None => Some(key.strip_suffix("_stderr")?.to_owned()),
    }
}

impl ByTask {
    fn task(&self, name: &str, subtasks: &Map<String, Value>) -> TaskFacts {
        let mut config = Fields::of(self.configs.get(name).cloned());
        let output_type = config.text("output_type");
        let protocol = output_type.as_deref().and_then(|kind| match kind {
            "generate_until" => Some(Protocol::Generate),
            "multiple_choice" | "loglikelihood" | "loglikelihood_rolling" => Some(Protocol::Loglikelihood),
            _ => None,
        });
        let count = |key: &str| self.samples.get(name)?.get(key).and_then(fields::count);
        let split = ["test_split", "validation_split"].iter().find_map(|key| config.text(key));
        let dataset = config.text("dataset_path").map(|source| DatasetFacts {
            source,
            config: config.text("dataset_name"),
            split,
            revision: config.inner("dataset_kwargs").text("revision"),
            hash: None,
            size: count("original"),
        });
        let in_group = |members: &Value| members.as_array().is_some_and(|list| list.iter().any(|one| one == name));
        let groups = subtasks.iter().filter(|(_, members)| in_group(members)).map(|(group, _)| group.clone()).collect();
        let scores = self.scores(name, &config.list("metric_list"));
        let shots = |value: Option<&Value>| value.and_then(fields::count).map(|shots| shots as u32);
        TaskFacts {
            name: name.to_owned(),
            version: self.versions.get(name).filter(|version| !version.is_null()).cloned().map(fields::as_text),
            protocol,
            dataset,
            few_shot: shots(self.shots.get(name)).or_else(|| shots(config.take("num_fewshot").as_ref())),
            samples: count("effective").or_else(|| self.sample_len(name)),
            main_score: scores.first().map(|score| score.name.clone()),
            scores,
            scoring: self.configs.get(name).cloned(),
            groups,
            ..TaskFacts::default()
        }
    }

    fn sample_len(&self, name: &str) -> Option<u64> {
        let result = self.results.get(name)?;
        result.get("sample_len").and_then(fields::count)
    }

    fn scores(&self, name: &str, metrics: &[Value]) -> Vec<ScoreFacts> {
        let stated = self.results.get(name).and_then(Value::as_object);
        let keys = stated.into_iter().flatten().filter(|(key, value)| {
            !NOT_SCORES.contains(&key.as_str()) && without_error(key).is_none() && !value.is_string()
        });
        let facts = |(key, _): (&String, &Value)| {
            let metric = key.split_once(',').map_or(key.as_str(), |(metric, _)| metric);
            let configured = metrics.iter().find(|one| one.get("metric").is_some_and(|name| name == metric));
            let aggregation = configured.and_then(|one| one.get("aggregation")?.as_str()).map(str::to_owned);
            let stated = configured.and_then(|one| one.get("higher_is_better")?.as_bool());
            ScoreFacts {
                name: key.clone(),
                aggregation,
                higher_is_better: self.better(name, metric).or(stated),
                grader: None,
            }
        };
        keys.map(facts).collect()
    }

    fn better(&self, task: &str, metric: &str) -> Option<bool> {
        self.better.get(task)?.get(metric)?.as_bool()
    }

    fn aggregates(
        &self,
        path: &Path,
        facts: &TaskFacts,
        model: &str,
        date: Option<f64>,
        into: &mut Vec<ResultRecord>,
        report: &mut ReadReport,
    ) -> Result<(), LogError> {
        let Some(result) = self.results.get(&facts.name) else { return Ok(()) };
        let Some(result) = result.as_object() else {
            let problem = format!("a result must be an object, not {}", fields::kind(result));
            return Err(LogError::malformed(path, format!("results.{}", facts.name), problem));
        };
        let groups_samples = result.get("sample_count").and_then(Value::as_object);
        for (key, value) in result {
            if NOT_SCORES.contains(&key.as_str()) {
                continue;
            }
            if let Some(of) = without_error(key)
                && result.contains_key(&of)
            {
                continue;
            }
            let Some(number) = value.as_f64() else {
                // Groups without an aggregate hold a space, old versions "N/A"; NaN has become null.
                match value {
                    Value::String(text) if text.trim().is_empty() || text == "N/A" => {}
                    Value::Null => {
                        report.notes.push(format!("{}: {key} is stated as no number and left out", facts.name));
                    }
                    _ => fields::count_unknown(&mut report.unknown_fields, "results.*", key),
                }
                continue;
            };
            let error_key = match key.split_once(',') {
                Some((metric, filter)) => format!("{metric}_stderr,{filter}"),
                None => format!("{key}_stderr"),
            };
            let score = facts.scores.iter().find(|score| score.name == *key);
            into.push(ResultRecord {
                task: facts.name.clone(),
                model: model.to_owned(),
                score: key.clone(),
                value: number,
                standard_error: result.get(&error_key).and_then(Value::as_f64),
                samples: facts.samples.or_else(|| groups_samples?.get(key).and_then(fields::count)),
                higher_is_better: score.and_then(|score| score.higher_is_better),
                date,
                ..ResultRecord::default()
            });
        }
        Ok(())
    }
}

/// A value of `pretrained=x,dtype=y`, or of the object that newer versions write.
fn argument(arguments: Option<&Value>, keys: &[&str]) -> Option<String> {
    match arguments? {
        Value::Object(map) => keys.iter().find_map(|key| map.get(*key)?.as_str()).map(str::to_owned),
        Value::String(text) => keys.iter().find_map(|key| {
            let mut pairs = text.split(',').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| name.trim() == *key).map(|(_, value)| value.trim().to_owned())
        }),
        _ => None,
    }
}

/// The model; its name is stated by newer versions only, and lies in its arguments before.
fn model(all: &mut Fields, config: &mut Fields) -> ModelFacts {
    let arguments = config.take("model_args");
    let of = |keys: &[&str]| argument(arguments.as_ref(), keys);
    let backend = config.text("model");
    let checkpoint = of(&["pretrained", "model", "engine", "path"]);
    let name = all.text("model_name").or_else(|| checkpoint.clone()).or_else(|| backend.clone());
    let sha = config.text("model_sha");
    let revision = config.text("model_revision");
    let base_url = of(&["base_url"]);
    let mut details = BTreeMap::new();
    let mut keep = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            details.insert(key.to_owned(), value);
        }
    };
    if sha.is_some() {
        keep("revision_asked", revision.clone().map(Value::from));
    }
    keep("backend", backend.map(Value::from));
    keep("arguments", arguments);
    for key in ["model_num_parameters", "model_dtype"] {
        keep(key.trim_start_matches("model_"), config.take(key));
    }
    for key in [
        "tokenizer_pad_token",
        "tokenizer_eos_token",
        "tokenizer_bos_token",
        "eot_token_id",
        "max_length",
        "model_source",
        "model_name_sanitized",
        "transformers_version",
    ] {
        keep(key, all.take(key));
    }
    ModelFacts {
        name: name.unwrap_or_else(|| "unknown".to_owned()),
        provider: None,
        model: checkpoint,
        base_url,
        revision: sha.or(revision),
        canary: None,
        details,
    }
}

/// What else changes answers or tells how they came about.
fn settings(all: &mut Fields, config: Fields) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    // Versions before chat templates do not have the key.
    if all.has("chat_template") {
        let template = all.take("chat_template");
        settings.insert("apply_chat_template".to_owned(), template.is_some().into());
        settings.extend(template.map(|template| ("chat_template".to_owned(), template)));
    }
    for key in [
        "chat_template_sha",
        "system_instruction",
        "system_instruction_sha",
        "fewshot_as_multiturn",
        "task_hashes",
        "git_hash",
        "upper_git_hash",
        "start_time",
        "end_time",
        "total_evaluation_time_seconds",
    ] {
        settings.extend(all.take(key).map(|value| (key.to_owned(), value)));
    }
    config.keep(&mut settings);
    settings
}

//! An aggregate record: a model, what it was evaluated on, and each result with its uncertainty.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};
use weighbridge_core::{DatasetFacts, ModelFacts, RUN_LOG_VERSION, ResultRecord, RunHeader, ScoreFacts, TaskFacts};

use super::super::json::{Fields, as_text, is_filled, seconds};
use crate::{LogError, ReadReport};

/// The version of the form that this was written for.
pub(super) const VERSION: &str = "0.3.0";

/// The instance file of an aggregate.
#[derive(Debug, Default)]
pub(super) struct Instances {
    pub(super) path: String,
    pub(super) algorithm: Option<String>,
    pub(super) checksum: Option<String>,
    pub(super) rows: Option<u64>,
}

/// Which task and score a result is, for the rows that belong to it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) task: String,
    pub(super) score: String,
    pub(super) grader: Option<String>,
}

/// A record as read.
pub(super) struct Aggregate {
    pub(super) header: RunHeader,
    pub(super) results: Vec<ResultRecord>,
    /// By `evaluation_result_id`, and by `evaluation_name` where one result alone has it.
    pub(super) places: BTreeMap<String, Place>,
    pub(super) instances: Option<Instances>,
}

/// A result with what it needs to stand on its own.
struct Stated {
    id: Option<String>,
    name: String,
    score: String,
    fields: Fields,
}

pub(super) fn read(path: &Path, members: Map<String, Value>, report: &mut ReadReport) -> Result<Aggregate, LogError> {
    let missing = |what: &str| {
        LogError::malformed(
            path,
            what.to_owned(),
            "the member is missing; see eval.schema.json of Every Eval Ever for what a record must hold",
        )
    };
    let unknown = &mut report.unknown_fields;
    let mut record = Fields::new(members, "");
    let version = record.text("schema_version");
    if version.as_deref() != Some(VERSION) {
        let version = version.as_deref().unwrap_or("(none)");
        let note = format!("records of version {version} were read by the rules of {VERSION}; what fits was kept");
        if !report.notes.contains(&note) {
            report.notes.push(note);
        }
    }
    let id = record.text("evaluation_id").ok_or_else(|| missing("evaluation_id"))?;
    let retrieved = record.text("retrieved_timestamp").and_then(|text| timestamp(&text));
    let evaluated = record.text("evaluation_timestamp").and_then(|text| timestamp(&text));

    let mut settings = BTreeMap::new();
    let mut library = record.object("eval_library", unknown);
    let program = match (library.text("name"), library.text("version")) {
        (Some(name), Some(version)) if version != "unknown" => format!("{name} {version}"),
        (Some(name), _) => name,
        _ => "unknown".to_owned(),
    };
    keep(&mut settings, "eval_library", library.take("additional_details"));
    library.finish(unknown);
    let source = record.take("source_metadata");
    let publisher = source.as_ref().and_then(|source| {
        ["source_organization_name", "source_name"].iter().find_map(|name| source.get(*name)?.as_str())
    });
    let publisher = publisher.map(str::to_owned);
    keep(&mut settings, "source_metadata", source);
    keep(&mut settings, "retrieved_timestamp", retrieved.map(Value::from));

    let mut model = record.object("model_info", unknown);
    let name = model.text("id").or_else(|| model.text("name")).ok_or_else(|| missing("model_info.id"))?;
    let mut details = BTreeMap::new();
    let platform = model.text("inference_platform").filter(|platform| platform != "unknown");
    for key in ["name", "developer", "inference_engine"] {
        keep(&mut details, key, model.take(key));
    }
    for (key, value) in model.object("additional_details", unknown).into_rest() {
        keep(&mut details, &key, Some(value));
    }
    model.finish(unknown);
    let facts = ModelFacts {
        name: name.clone(),
        provider: platform,
        model: Some(name.clone()),
        details,
        ..ModelFacts::default()
    };

    let Some(Value::Array(items)) = record.take("evaluation_results") else {
        return Err(missing("evaluation_results"));
    };
    let mut stated = Vec::with_capacity(items.len());
    for item in items {
        let mut fields = Fields::of(Some(item), "evaluation_results.*", unknown);
        let name = fields.text("evaluation_name").ok_or_else(|| missing("evaluation_results.*.evaluation_name"))?;
        let id = fields.text("evaluation_result_id");
        let mut metric = fields.object("metric_config", unknown);
        let names = ["metric_id", "metric_kind", "metric_name"].map(|key| {
            let found = metric.text(key);
            let again = found.clone();
            if let Some(found) = found {
                metric.put(key, found.into());
            }
            again
        });
        // Some sources repeat the name of the result where that of the metric belongs.
        let of_result = |found: &String| *found == name || Some(found) == id.as_ref();
        let score = names.iter().flatten().find(|found| !of_result(found)).or(names.iter().flatten().next()).cloned();
        fields.put("metric_config", Value::Object(metric.into_rest()));
        stated.push(Stated { id, name, score: score.unwrap_or_else(|| "score".to_owned()), fields });
    }
    // Where several results share a name, rows of one sample would be taken for each other: the id tells them apart.
    let names: Vec<String> = stated.iter().map(|one| one.name.clone()).collect();
    let shared: BTreeSet<&String> =
        names.iter().enumerate().filter(|(i, name)| names[..*i].contains(name)).map(|(_, name)| name).collect();

    let mut tasks: Vec<TaskFacts> = Vec::new();
    let mut results = Vec::new();
    let mut places = BTreeMap::new();
    for Stated { id, name: evaluation, score, mut fields } in stated {
        let alone = !shared.contains(&evaluation);
        let task = if alone { evaluation.clone() } else { id.clone().unwrap_or_else(|| evaluation.clone()) };
        let mut metadata = BTreeMap::new();
        if task != evaluation {
            keep(&mut metadata, "evaluation_name", Some(evaluation.clone().into()));
        }
        keep(&mut metadata, "evaluation_result_id", id.clone().map(Value::from));
        let mut metric = fields.object("metric_config", unknown);
        let lower = metric.bool("lower_is_better");
        let range = bound(metric.take("min_score")).zip(bound(metric.take("max_score")));
        let grader = metric.take("llm_scoring").and_then(|scoring| {
            let grader = judges(&scoring);
            keep(&mut metadata, "llm_scoring", Some(scoring));
            grader
        });
        for key in [
            "metric_id",
            "metric_name",
            "metric_kind",
            "metric_unit",
            "metric_parameters",
            "evaluation_description",
            "score_type",
            "level_names",
            "level_metadata",
            "has_unknown_level",
        ] {
            keep(&mut metadata, key, metric.take(key));
        }
        keep(&mut metadata, "metric_details", metric.take("additional_details"));
        metric.finish(unknown);

        let mut details = fields.object("score_details", unknown);
        let value = details.f64("score");
        keep(&mut metadata, "score_details", details.take("details"));
        let mut uncertainty = details.object("uncertainty", unknown);
        let mut error = uncertainty.object("standard_error", unknown);
        let standard_error = error.f64("value");
        keep(&mut metadata, "standard_error_method", error.take("method"));
        error.finish(unknown);
        let samples = uncertainty.u64("num_samples");
        for key in ["confidence_interval", "standard_deviation", "num_bootstrap_samples"] {
            keep(&mut metadata, key, uncertainty.take(key));
        }
        uncertainty.finish(unknown);
        details.finish(unknown);

        let data = fields.take("source_data");
        keep(&mut metadata, "generation_config", fields.take("generation_config"));
        let date = fields.text("evaluation_timestamp").and_then(|text| timestamp(&text)).or(evaluated);
        fields.finish(unknown);

        let facts = ScoreFacts {
            name: score.clone(),
            higher_is_better: lower.map(|lower| !lower),
            grader: grader.clone(),
            ..ScoreFacts::default()
        };
        if let Some(known) = tasks.iter_mut().find(|known| known.name == task) {
            known.scores.push(facts);
        } else {
            tasks.push(TaskFacts {
                name: task.clone(),
                dataset: data.as_ref().and_then(dataset),
                samples,
                main_score: Some(score.clone()),
                scores: vec![facts],
                ..TaskFacts::default()
            });
        }
        keep(&mut metadata, "source_data", data);
        let place = Place { task: task.clone(), score: score.clone(), grader };
        if alone {
            places.insert(evaluation, place.clone());
        }
        if let Some(id) = id {
            places.insert(id, place);
        }
        let Some(value) = value else {
            report.notes.push(format!("{}: the result of {task} has no number and was left out", path.display()));
            continue;
        };
        results.push(ResultRecord {
            task,
            model: name.clone(),
            score,
            value,
            standard_error,
            samples,
            range,
            higher_is_better: lower.map(|lower| !lower),
            source: publisher.clone(),
            date: date.or(retrieved),
            metadata,
        });
    }

    let mut detailed = record.object("detailed_evaluation_results", unknown);
    let instances = detailed.text("file_path").map(|path| Instances {
        path,
        algorithm: detailed.text("hash_algorithm"),
        checksum: detailed.text("checksum"),
        rows: detailed.u64("total_rows"),
    });
    detailed.take("format");
    keep(&mut settings, "detailed_evaluation_results", detailed.take("additional_details"));
    detailed.finish(unknown);
    record.finish(unknown);

    let header = RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id,
        program,
        started: evaluated,
        tasks,
        models: vec![facts],
        settings,
    };
    Ok(Aggregate { header, results, places, instances })
}

fn keep(settings: &mut BTreeMap<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value.filter(is_filled) {
        settings.insert(name.to_owned(), value);
    }
}

/// Seconds since 1970: written as such, or a time in ISO 8601.
fn timestamp(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite()).or_else(|| seconds(text))
}

/// A bound of a score; `Infinity` is none.
fn bound(value: Option<Value>) -> Option<f64> {
    value?.as_f64()
}

/// The models that judge.
fn judges(scoring: &Value) -> Option<String> {
    let names = scoring.get("judges")?.as_array()?.iter().filter_map(|judge| {
        let model = judge.get("model_info")?;
        model.get("id").or_else(|| model.get("name")).map(as_text)
    });
    let names: Vec<String> = names.collect();
    Some(names.join(", ")).filter(|names| !names.is_empty())
}

fn dataset(data: &Value) -> Option<DatasetFacts> {
    let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(DatasetFacts {
        source: text("hf_repo").or_else(|| text("dataset_name"))?,
        split: text("hf_split"),
        size: data.get("samples_number").and_then(Value::as_u64),
        ..DatasetFacts::default()
    })
}

/// True for the members of an aggregate record.
pub(super) fn is_aggregate(keys: &[String]) -> bool {
    let has = |name: &str| keys.iter().any(|key| key == name);
    has("evaluation_id") && (has("evaluation_results") || has("model_info") || has("source_metadata"))
}

/// True for a row of an instance file.
pub(super) fn is_instance(keys: &[String]) -> bool {
    let has = |name: &str| keys.iter().any(|key| key == name);
    has("evaluation_id") && has("model_id") && has("sample_id")
}

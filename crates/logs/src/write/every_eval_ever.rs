//! Every Eval Ever 0.3.0: for each task of each model a file of aggregates and one of samples.
//!
//! Every sample has a row for each score. A row must have a number there: a sample without one is written with 0 and the
//! state under `weighbridge_states`. What is the same in all rows of a sample is in the metadata of its first one.

use std::path::Path;

use serde_json::{Map, Value, json};
use weighbridge_core::{DatasetFacts, LOCAL, ModelFacts, Prompt, RunHeader, SampleRecord, SampleState, Score};

use super::common::{Log, Part, Run, ScoreTotal, Totals, counts, extras, file_name, identity, now, number};
use super::files::{Files, json};
use super::{Availability, Export, ExportOptions, ExportReport};
use crate::{LogError, Source};

pub(super) const EXPORT: Export = Export {
    name: "every-eval-ever",
    writes: "a folder `data/` of Every Eval Ever 0.3.0: aggregates and samples of each task of each model",
    write,
};

const VERSION: &str = "0.3.0";

/// What the rows of a part share.
struct Names {
    evaluation: String,
    model: String,
    /// Scores that stand among the aggregates.
    results: Vec<String>,
    samples: Option<usize>,
    rows: u64,
    aggregate: usize,
    relative: String,
}

fn write(source: &Source, output: &Path, options: &ExportOptions) -> Result<ExportReport, LogError> {
    let log = Log::read(source)?;
    let mut files = Files::default();
    let mut notes = log.notes.clone();
    let collection = file_name(options.collection.as_deref().unwrap_or("weighbridge"), "_");
    let retrieved = now(options);
    let mut parts: Vec<Vec<Names>> = Vec::new();
    for run in &log.runs {
        let mut of_run = Vec::new();
        for part in &run.parts {
            let (developer, model) = model_id(&part.model);
            let folder = format!("data/{collection}/{}/{}", file_name(&developer, "_"), file_name(&model, "_"));
            let uuid = uuid(&identity(&run.header, part));
            let aggregate = files.add(output.join(&folder).join(format!("{uuid}.json")))?;
            let relative = format!("{folder}/{uuid}_samples.jsonl");
            let samples = if part.samples > 0 { Some(files.add(output.join(&relative))?) } else { None };
            let at = run.header.started.unwrap_or(retrieved);
            let results: Vec<&ScoreTotal> =
                part.scores.iter().filter(|score| score.number(part.epochs).is_some()).collect();
            for score in part.scores.iter().filter(|score| score.number(part.epochs).is_none()) {
                notes.push(format!(
                    "{} of {} by {} has no number over its samples and is not among the aggregates",
                    score.facts.name, part.task.name, part.model.name
                ));
            }
            of_run.push(Names {
                evaluation: format!("{}/{developer}_{model}/{at}", part.task.name),
                model: format!("{developer}/{model}"),
                results: results.iter().map(|score| score.facts.name.clone()).collect(),
                samples,
                rows: 0,
                aggregate,
                relative,
            });
        }
        parts.push(of_run);
    }
    let mut unscored = 0_u64;
    log.each(&mut |run, record| {
        let names = &mut parts[run][log.runs[run].part(&record.key)];
        let Some(file) = names.samples else { return Ok(()) };
        let scores: Vec<Option<&Score>> =
            if record.scores.is_empty() { vec![None] } else { record.scores.iter().map(Some).collect() };
        for (place, score) in scores.into_iter().enumerate() {
            unscored += u64::from(value_of(score).is_none());
            files.line(file, &row(&record, score, place == 0, names))?;
            names.rows += 1;
        }
        Ok(())
    })?;
    for (run, of_run) in log.runs.iter().zip(&parts) {
        for (part, names) in run.parts.iter().zip(of_run) {
            let mut value = aggregate(run, part, names, options, retrieved);
            if let Some(samples) = names.samples {
                value["detailed_evaluation_results"] = json!({
                    "format": "jsonl", "file_path": names.relative, "hash_algorithm": "sha256",
                    "checksum": files.sha256(samples), "total_rows": names.rows,
                });
            }
            let mut text = json(&value, output)?;
            text.push(b'\n');
            files.write(names.aggregate, &text)?;
        }
    }
    if unscored > 0 {
        notes.push(format!(
            "the form asks for a number in every row: {unscored} rows without one say 0, with their state in \
             `weighbridge_states`; the aggregates leave them out"
        ));
    }
    notes.push(
        "dollars and states have no field: they stand in metadata as texts; events of the run are left out".into(),
    );
    Ok(ExportReport { files: files.finish()?, samples: log.samples(), notes })
}

/// Developer and model, as on Hugging Face where the name is of that form.
fn model_id(model: &ModelFacts) -> (String, String) {
    let name = model.model.as_deref().unwrap_or(&model.name);
    match name.split_once('/') {
        Some((developer, rest)) if !developer.is_empty() && developer != "." && !rest.contains('/') => {
            (developer.to_owned(), rest.to_owned())
        }
        _ => {
            let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
            (model.provider.clone().unwrap_or_else(|| "unknown".to_owned()), last.to_owned())
        }
    }
}

/// The digits as a UUID that says of itself that it is random (version 4): the form asks for that.
fn uuid(digits: &str) -> String {
    let variant = match digits.as_bytes()[16] & 3 {
        0 => '8',
        1 => '9',
        2 => 'a',
        _ => 'b',
    };
    format!("{}-{}-4{}-{variant}{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..])
}

/// All values as texts.
fn texts<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Map<String, Value> {
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(Value::String(text)),
        other => Some(Value::String(other.to_string())),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value)?))).collect()
}

fn aggregate(run: &Run, part: &Part, names: &Names, options: &ExportOptions, retrieved: f64) -> Value {
    let header = &run.header;
    let (program, version) = header.program.split_once(' ').unwrap_or((&header.program, "unknown"));
    let deployment = match part.model.provider.as_deref() {
        Some(LOCAL) => "self_deployed",
        Some(_) => "externally_managed",
        None => "unknown",
    };
    let availability = match options.availability.get(&part.model.name) {
        Some(Availability::OpenWeights) => "open_weights",
        Some(Availability::ClosedWeights) => "closed_weights",
        None => "unknown",
    };
    let mut details = texts([("weighbridge_model", json!(part.model)), ("revision", json!(part.model.revision))]);
    details.insert("deployment_type".into(), deployment.into());
    details.insert("model_availability".into(), availability.into());
    let (developer, model) = model_id(&part.model);
    let mut info = json!({
        "name": part.model.name, "id": format!("{developer}/{model}"), "developer": developer,
        "additional_details": details,
    });
    if let Some(provider) = part.model.provider.as_deref().filter(|name| *name != LOCAL) {
        info["inference_platform"] = json!(provider);
    }
    let results: Vec<Value> =
        part.scores.iter().filter_map(|score| result(header, part, score, &names.evaluation)).collect();
    let mut value = json!({
        "schema_version": VERSION,
        "evaluation_id": names.evaluation,
        "retrieved_timestamp": retrieved.to_string(),
        "source_metadata": {
            "source_name": header.program,
            "source_type": "evaluation_run",
            "source_organization_name": options.organization.as_deref().unwrap_or("unknown"),
            "evaluator_relationship": "other",
        },
        "eval_library": {
            "name": program,
            "version": version,
            "additional_details": texts([
                ("weighbridge_run", json!(header.id)),
                ("weighbridge_program", json!(header.program)),
                ("weighbridge_settings", json!(header.settings)),
                ("weighbridge_task", json!(part.task)),
                ("weighbridge_status", json!(run.status(&part.model.name).0)),
            ]),
        },
        "model_info": info,
        "evaluation_results": results,
    });
    if let Some(started) = header.started {
        value["evaluation_timestamp"] = json!(started.to_string());
    }
    value
}

fn result(header: &RunHeader, part: &Part, score: &ScoreTotal, evaluation: &str) -> Option<Value> {
    let total = score.number(part.epochs)?;
    let stated = score.stated.as_ref();
    let better = score.facts.higher_is_better.or(stated.and_then(|stated| stated.higher_is_better));
    let range = stated.and_then(|stated| stated.range);
    let mut metric = json!({
        "metric_id": score.facts.name,
        "metric_name": score.facts.name,
        "lower_is_better": better == Some(false),
        "additional_details": texts([
            ("aggregation", json!(score.facts.aggregation)),
            ("grader", json!(score.facts.grader)),
            ("weighbridge_higher_is_better", better.map_or(json!("unknown"), |better| json!(better))),
        ]),
    });
    if score.binary && score.states.scored > 0 && range.is_none() {
        metric["score_type"] = json!("binary");
    } else {
        metric["score_type"] = json!("continuous");
        metric["min_score"] = json!(range.map(|range| range.0));
        metric["max_score"] = json!(range.map(|range| range.1));
    }
    let mut details = json!({
        "score": total.value,
        "details": texts([
            ("weighbridge_states", json!(counts(&score.states))),
            ("weighbridge_usd", json!(part.totals.usd)),
            ("weighbridge_result", json!(stated)),
        ]),
    });
    let mut uncertainty = Map::new();
    if let Some(error) = total.standard_error {
        let mut standard_error = json!({"value": error});
        if stated.is_none() {
            standard_error["method"] = json!("analytic");
        }
        uncertainty.insert("standard_error".into(), standard_error);
    }
    if let Some(samples) = total.samples {
        uncertainty.insert("num_samples".into(), json!(samples));
    }
    details["uncertainty"] = Value::Object(uncertainty);
    let mut arguments = Map::new();
    for name in ["temperature", "top_p", "top_k"] {
        arguments.extend(number(header, name).map(|value| (name.to_owned(), value)));
    }
    let most = number(header, "max_tokens").filter(|value| value.as_u64().is_some_and(|most| most > 0));
    arguments.extend(most.map(|value| ("max_tokens".to_owned(), value)));
    Some(json!({
        "evaluation_result_id": result_id(evaluation, &score.facts.name),
        "evaluation_name": part.task.name,
        "source_data": source_data(&part.task.name, part.task.dataset.as_ref()),
        "metric_config": metric,
        "score_details": details,
        "generation_config": {
            "generation_args": arguments,
            "additional_details": texts(header.settings.iter().map(|(name, value)| (name.as_str(), value.clone()))),
        },
    }))
}

fn result_id(evaluation: &str, score: &str) -> String {
    format!("{evaluation}#{score}")
}

fn source_data(task: &str, dataset: Option<&DatasetFacts>) -> Value {
    let Some(dataset) = dataset else { return json!({"dataset_name": task, "source_type": "other"}) };
    let source = dataset.source.as_str();
    let details = texts([
        ("config", json!(dataset.config)),
        ("revision", json!(dataset.revision)),
        ("hash", json!(dataset.hash)),
        ("source", json!(source)),
    ]);
    if source.starts_with("https://") || source.starts_with("http://") {
        return json!({"dataset_name": task, "source_type": "url", "url": [source], "additional_details": details});
    }
    let hub = source.split('/').count() == 2
        && !source.starts_with(['.', '/', '~'])
        && Path::new(source).extension().is_none_or(|ending| {
            !["json", "jsonl", "csv", "tsv", "parquet", "yaml", "yml", "zst", "gz"].iter().any(|known| ending == *known)
        });
    if !hub {
        return json!({"dataset_name": source, "source_type": "other", "additional_details": details});
    }
    let mut value = json!({
        "dataset_name": source, "source_type": "hf_dataset", "hf_repo": source, "additional_details": details,
    });
    if let Some(split) = &dataset.split {
        value["hf_split"] = json!(split);
    }
    if let Some(size) = dataset.size {
        value["samples_number"] = json!(size);
    }
    value
}

fn value_of(score: Option<&Score>) -> Option<f64> {
    score.filter(|score| score.state == SampleState::Scored).and_then(|score| score.value)
}

fn row(record: &SampleRecord, score: Option<&Score>, first: bool, names: &Names) -> Value {
    let value = value_of(score);
    let totals = Totals::of(&record.answers);
    let mut all = extras(record);
    if matches!(record.input, Some(Prompt::Text(_))) {
        all.remove("weighbridge_input");
    }
    let mut metadata = texts([
        ("weighbridge_state", json!(record.state)),
        ("weighbridge_states", all.get("weighbridge_states").cloned().unwrap_or_default()),
        ("weighbridge_score", json!(score.map(|score| &score.name))),
        ("weighbridge_epoch", json!(record.key.epoch)),
        ("weighbridge_usd", json!(totals.usd)),
        ("weighbridge_group", json!(record.group)),
    ]);
    if first {
        let others = all.iter().filter(|(name, _)| !metadata.contains_key(*name));
        let others = texts(others.map(|(name, value)| (name.as_str(), value.clone())).collect::<Vec<_>>());
        metadata.extend(others);
        if record.answers.len() > 1 {
            // The traces do not say whose they are.
            let reasoning: Vec<_> = record.answers.iter().map(|answer| &answer.reasoning).collect();
            metadata.extend(texts([("weighbridge_reasoning", json!(reasoning))]));
        }
        if !record.metadata.is_empty() {
            metadata.extend(texts([("weighbridge_metadata", json!(record.metadata))]));
        }
    }
    let raw = match &record.input {
        Some(Prompt::Text(text)) => text.as_str(),
        Some(Prompt::Messages(messages)) => messages.last().map_or("", |message| message.content.as_str()),
        None => "",
    };
    let answers: Vec<&str> = record.answers.iter().filter_map(|answer| answer.text.as_deref()).collect();
    let reasoning: Vec<&str> = record.answers.iter().filter_map(|answer| answer.reasoning.as_deref()).collect();
    let attribution = score.and_then(|score| Some((score, score.answer.as_ref()?))).map(|(score, answer)| {
        json!({
            "turn_idx": 0, "source": "output.raw", "extracted_value": answer, "extraction_method": score.name,
            "is_terminal": true,
        })
    });
    let mut row = json!({
        "schema_version": VERSION,
        "evaluation_id": names.evaluation,
        "model_id": names.model,
        "evaluation_name": record.key.task,
        "sample_id": record.key.sample,
        "sample_hash": super::files::sha256(&format!("{raw}{}", record.target.concat())),
        "interaction_type": "single_turn",
        "input": {
            "raw": raw,
            "reference": record.target,
            "choices": if record.choices.is_empty() { Value::Null } else { json!(record.choices) },
        },
        "output": {
            "raw": answers,
            "reasoning_trace": if reasoning.is_empty() { Value::Null } else { json!(reasoning) },
        },
        "answer_attribution": attribution.into_iter().collect::<Vec<_>>(),
        "evaluation": {"score": value.unwrap_or(0.0), "is_correct": value.is_some_and(|value| value >= 1.0)},
        "metadata": metadata,
    });
    if let Some(score) = score.filter(|score| names.results.contains(&score.name)) {
        row["evaluation_result_id"] = json!(result_id(&names.evaluation, &score.name));
    }
    let usage = totals.usage;
    if let (Some(input), Some(output)) = (usage.input, usage.output) {
        row["token_usage"] = json!({
            "input_tokens": input, "output_tokens": output, "total_tokens": input + output,
            "input_tokens_cache_write": usage.cache_write, "input_tokens_cache_read": usage.cache_read,
            "reasoning_tokens": usage.reasoning,
        });
    }
    if let Some(seconds) = totals.seconds.filter(|seconds| *seconds >= 0.0) {
        let first_token = match record.answers.as_slice() {
            [one] => one.timing.and_then(|timing| timing.first_token),
            _ => None,
        };
        row["performance"] = json!({
            "latency_ms": seconds * 1000.0, "time_to_first_token_ms": first_token.map(|seconds| seconds * 1000.0),
        });
    }
    let failed = !matches!(record.state, SampleState::Scored | SampleState::WrongFormat);
    let error = record.error.clone().or_else(|| failed.then(|| record.state.to_string()));
    if let Some(error) = error {
        row["error"] = json!(error);
    }
    row
}

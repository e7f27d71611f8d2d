//! The folder of lm-evaluation-harness: for each model a file of results, and one of samples for each task.
//!
//! A sample has a row for each filter, as the harness writes it. The keys `weighbridge_*` of its first row, and of the
//! file of results, keep what the harness does not know.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use weighbridge_core::{Prompt, Protocol, SampleRecord, SampleState, Score};

use super::common::{Log, Part, Run, counts, extras, file_name, iso, now, number};
use super::files::{Files, json, sha256};
use super::{Export, ExportOptions, ExportReport};
use crate::{LogError, Source};

pub(super) const EXPORT: Export = Export {
    name: "lm-eval",
    writes: "a folder as lm-evaluation-harness writes it: results and samples of each model",
    write,
};

/// Where the samples of a part go, and how many have come.
struct Place {
    file: Option<usize>,
    rows: u64,
}

fn write(source: &Source, output: &Path, options: &ExportOptions) -> Result<ExportReport, LogError> {
    let log = Log::read(source)?;
    let mut files = Files::default();
    let mut notes = log.notes.clone();
    let mut places: Vec<Vec<Place>> = Vec::new();
    for run in &log.runs {
        let at = run.header.started.unwrap_or_else(|| now(options));
        // As Python's `isoformat` without a zone, with colons replaced.
        let time = iso(at).trim_end_matches("+00:00").replace(':', "-");
        let mut of_run: Vec<Place> = run.parts.iter().map(|_| Place { file: None, rows: 0 }).collect();
        let mut models: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, part) in run.parts.iter().enumerate() {
            models.entry(&part.model.name).or_default().push(place);
        }
        for (model, parts) in models {
            let folder = output.join(file_name(model, "__"));
            for place in &parts {
                let part = &run.parts[*place];
                if part.samples > 0 {
                    let name = format!("samples_{}_{time}.jsonl", file_name(&part.task.name, "__"));
                    of_run[*place].file = Some(files.add(folder.join(name))?);
                }
            }
            let parts: Vec<&Part> = parts.iter().map(|place| &run.parts[*place]).collect();
            let path = folder.join(format!("results_{time}.json"));
            let text = json(&results(run, &parts, at), &path)?;
            let file = files.add(path)?;
            files.write(file, &text)?;
            files.write(file, b"\n")?;
        }
        places.push(of_run);
    }
    let mut documents_unknown = false;
    log.each(&mut |run, record| {
        let of_run = &log.runs[run];
        let part = of_run.part(&record.key);
        let place = &mut places[run][part];
        let Some(file) = place.file else { return Ok(()) };
        documents_unknown |= record.doc.is_none();
        for row in rows(of_run, &of_run.parts[part], &record, place.rows) {
            files.line(file, &row)?;
        }
        place.rows += 1;
        Ok(())
    })?;
    if documents_unknown {
        notes.push("where a sample has no row of its dataset, `doc` is empty and `doc_hash` is left out".into());
    }
    notes.push("a score without a number is left out of a row: its state is in `weighbridge_states`".into());
    notes.push("events, task hashes and facts of the machine have no source and are left out".into());
    Ok(ExportReport { files: files.finish()?, samples: log.samples(), notes })
}

/// Metric and filter of a score.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once(',').unwrap_or((name, "none"))
}

fn results(run: &Run, parts: &[&Part], at: f64) -> Value {
    let header = &run.header;
    let mut tables: [Map<String, Value>; 8] = Default::default();
    let [results, groups, subtasks, configs, versions, shots, better, samples] = &mut tables;
    let mut states = Map::new();
    let grouped: BTreeMap<&str, Vec<&str>> = parts.iter().fold(BTreeMap::new(), |mut groups, part| {
        for group in &part.task.groups {
            groups.entry(group.as_str()).or_insert_with(Vec::new).push(part.task.name.as_str());
        }
        groups
    });
    for part in parts {
        let (task, name) = (&part.task, part.task.name.as_str());
        let mut numbers = Map::new();
        numbers.insert("alias".into(), json!(name));
        let (mut ways, mut metrics, mut of_scores) = (Map::new(), Vec::new(), Map::new());
        for score in &part.scores {
            let (metric, filter) = split(&score.facts.name);
            if let Some(total) = score.number(part.epochs) {
                numbers.insert(format!("{metric},{filter}"), json!(total.value));
                let error = total.standard_error.map_or(json!("N/A"), |error| json!(error));
                numbers.insert(format!("{metric}_stderr,{filter}"), error);
            }
            if let Some(better) = score.facts.higher_is_better {
                ways.insert(metric.into(), json!(better));
            }
            let aggregation = score.facts.aggregation.as_deref().unwrap_or("mean");
            metrics.push(json!({
                "metric": metric, "aggregation": aggregation, "higher_is_better": score.facts.higher_is_better,
            }));
            of_scores.insert(score.facts.name.clone(), json!(counts(&score.states)));
        }
        metrics.dedup();
        if grouped.contains_key(name) && part.samples == 0 {
            groups.insert(name.into(), Value::Object(numbers.clone()));
        }
        results.insert(name.into(), Value::Object(numbers));
        subtasks.insert(name.into(), json!(grouped.get(name).cloned().unwrap_or_default()));
        let dataset = task.dataset.as_ref();
        configs.insert(
            name.into(),
            json!({
                "task": name,
                "dataset_path": dataset.map(|dataset| &dataset.source),
                "dataset_name": dataset.and_then(|dataset| dataset.config.as_ref()),
                "test_split": dataset.and_then(|dataset| dataset.split.as_ref()),
                "num_fewshot": task.few_shot,
                "output_type": match task.protocol {
                    Some(Protocol::Loglikelihood) => Some("multiple_choice"),
                    Some(Protocol::Generate) => Some("generate_until"),
                    None => None,
                },
                "metric_list": metrics,
                "metadata": {"version": task.version},
                "weighbridge_task": task,
            }),
        );
        versions.insert(name.into(), json!(task.version));
        shots.insert(name.into(), json!(task.few_shot));
        better.insert(name.into(), Value::Object(ways));
        if part.samples > 0 {
            let original = dataset.and_then(|dataset| dataset.size).or(task.samples);
            let effective = task.samples.unwrap_or(part.samples / u64::from(part.epochs.max(1)));
            let original = original.unwrap_or(effective);
            samples.insert(name.into(), json!({"original": original, "effective": effective}));
        }
        states.insert(name.into(), Value::Object(of_scores));
    }
    let model = parts.first().map(|part| &part.model);
    let name = model.map(|model| model.name.as_str()).unwrap_or_default();
    let end = parts.iter().filter_map(|part| part.ended).map(|(_, last)| last).reduce(f64::max);
    let setting = |name: &str| header.settings.get(name);
    let [results, groups, subtasks, configs, versions, shots, better, samples] = tables;
    let mut value = json!({
        "results": results,
        "group_subtasks": subtasks,
        "configs": configs,
        "versions": versions,
        "n-shot": shots,
        "higher_is_better": better,
        "n-samples": samples,
        "config": {
            "model": model.and_then(|model| model.provider.as_ref()),
            "model_args": model.and_then(|model| model.model.as_ref()).map(|model| format!("pretrained={model}")),
            "model_revision": model.and_then(|model| model.revision.as_ref()),
            "limit": setting("limit"),
            "gen_kwargs": number(header, "temperature").map(|value| json!({"temperature": value})),
            "random_seed": setting("seed"),
        },
        "git_hash": null,
        "date": at,
        "model_source": model.and_then(|model| model.provider.as_ref()),
        "model_name": name,
        "model_name_sanitized": name.replace('/', "__"),
        "start_time": header.started,
        "end_time": end,
        "total_evaluation_time_seconds": header.started.zip(end).map(|(start, end)| (end - start).to_string()),
        "weighbridge_run": header.id,
        "weighbridge_program": header.program,
        "weighbridge_model": model,
        "weighbridge_settings": header.settings,
        "weighbridge_states": states,
        "weighbridge_status": run.status(name).0,
    });
    if !groups.is_empty() {
        value["groups"] = Value::Object(groups);
    }
    value
}

fn rows(run: &Run, part: &Part, record: &SampleRecord, number: u64) -> Vec<Value> {
    let mut filters: Vec<(&str, Vec<&Score>)> = Vec::new();
    for score in &record.scores {
        let (_, filter) = split(&score.name);
        match filters.iter_mut().find(|(name, _)| *name == filter) {
            Some((_, scores)) => scores.push(score),
            None => filters.push((filter, vec![score])),
        }
    }
    if filters.is_empty() {
        filters.push(("none", Vec::new()));
    }
    let context = match &record.input {
        Some(Prompt::Text(text)) => text.clone(),
        // What the harness hands to models behind an API.
        Some(Prompt::Messages(messages)) => json!(messages).to_string(),
        None => String::new(),
    };
    let (arguments, resps) = asked(run, record, &context);
    let target = if let [one] = record.target.as_slice() { json!(one) } else { json!(record.target) };
    let target_text = target.as_str().map_or_else(|| target.to_string(), ToOwned::to_owned);
    let base = json!({
        "doc_id": record.index.unwrap_or(number),
        "doc": record.doc.clone().unwrap_or_else(|| json!({})),
        "target": target,
        "arguments": arguments,
        "resps": resps,
    });
    let mut more = extras(record);
    more.remove("weighbridge_doc");
    if matches!(record.input, Some(Prompt::Text(_))) {
        more.remove("weighbridge_input");
    }
    more.insert("weighbridge_sample".into(), json!(record.key.sample));
    more.insert("weighbridge_epoch".into(), json!(record.key.epoch));
    more.insert("weighbridge_task".into(), json!(part.task.name));
    if !record.choices.is_empty() {
        more.insert("weighbridge_choices".into(), json!(record.choices));
    }
    more.insert("weighbridge_target".into(), json!(record.target));
    let reasoning: Vec<&Option<String>> = record.answers.iter().map(|answer| &answer.reasoning).collect();
    if reasoning.iter().any(|reasoning| reasoning.is_some()) {
        more.insert("weighbridge_reasoning".into(), json!(reasoning));
    }
    if !record.metadata.is_empty() {
        more.insert("weighbridge_metadata".into(), json!(record.metadata));
    }
    let mut rows = Vec::new();
    for (place, (filter, scores)) in filters.into_iter().enumerate() {
        let mut row = base.clone();
        row["filtered_resps"] = if record.loglikelihoods.is_empty() {
            let read = scores.iter().find_map(|score| score.answer.as_deref());
            let whole = record.answers.first().and_then(|answer| answer.text.as_deref());
            read.filter(|_| filter != "none").or(whole).map_or_else(|| json!([]), |text| json!([text]))
        } else {
            record.loglikelihoods.iter().map(|given| pair(given.logprob, given.greedy)).collect()
        };
        row["filter"] = json!(filter);
        row["metrics"] = scores.iter().map(|score| json!(split(&score.name).0)).collect();
        if let Some(doc) = &record.doc
            && let Ok(text) = serde_json::to_string_pretty(doc)
        {
            row["doc_hash"] = json!(sha256(&text));
        }
        row["prompt_hash"] = json!(sha256(&context));
        row["target_hash"] = json!(sha256(&target_text));
        for score in scores {
            if let (SampleState::Scored, Some(value)) = (score.state, score.value) {
                row[split(&score.name).0] = json!(value);
            }
        }
        if place == 0 {
            if let Some(fields) = row.as_object_mut() {
                fields.append(&mut more);
            }
        } else {
            row["weighbridge_sample"] = json!(record.key.sample);
            row["weighbridge_epoch"] = json!(record.key.epoch);
            row["weighbridge_state"] = json!(record.state);
        }
        rows.push(row);
    }
    rows
}

/// What was asked, and what came back, in the nesting of the harness.
fn asked(run: &Run, record: &SampleRecord, context: &str) -> (Map<String, Value>, Value) {
    let mut arguments = Map::new();
    if record.loglikelihoods.is_empty() {
        let mut settings = Map::new();
        for (ours, theirs) in [("temperature", "temperature"), ("max_tokens", "max_gen_toks")] {
            settings.extend(number(&run.header, ours).map(|value| (theirs.to_owned(), value)));
        }
        arguments.insert("gen_args_0".into(), json!({"arg_0": context, "arg_1": settings}));
        let texts: Vec<&str> = record.answers.iter().filter_map(|answer| answer.text.as_deref()).collect();
        return (arguments, json!([texts]));
    }
    for (place, given) in record.loglikelihoods.iter().enumerate() {
        arguments.insert(format!("gen_args_{place}"), json!({"arg_0": context, "arg_1": given.continuation}));
    }
    let resps: Vec<Value> =
        record.loglikelihoods.iter().map(|given| json!([pair(given.logprob, given.greedy)])).collect();
    (arguments, json!(resps))
}

/// A likelihood as Python shows it: `["-1.5", "False"]`.
fn pair(logprob: f64, greedy: Option<bool>) -> Value {
    let greedy = match greedy {
        Some(true) => "True",
        Some(false) => "False",
        None => "None",
    };
    json!([format!("{logprob:?}"), greedy])
}

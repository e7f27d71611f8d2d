//! Logs of Inspect: JSON of version 2, one file for each task of each model.
//!
//! Scores that are no number of one sample have no place in `scores` and are only in the metadata of the sample, whose
//! keys `weighbridge_*` keep what else Inspect does not know. A cut-off or refused answer is seen in its `stop_reason`, a
//! failure in `error`.

use std::path::Path;

use serde_json::{Map, Value, json};
use weighbridge_core::{Finish, Message, ModelAnswer, Prompt, SampleRecord, SampleState};

use super::common::{Log, Part, Run, Totals, counts, extras, file_name, identity, iso, now, number};
use super::files::{Files, json};
use super::{Export, ExportOptions, ExportReport};
use crate::{LogError, Source};

pub(super) const EXPORT: Export =
    Export { name: "inspect", writes: "a folder of Inspect logs (JSON), one for each task of each model", write };

fn write(source: &Source, output: &Path, options: &ExportOptions) -> Result<ExportReport, LogError> {
    let log = Log::read(source)?;
    let mut files = Files::default();
    let mut notes = log.notes.clone();
    let mut numbers = Vec::new();
    for run in &log.runs {
        let mut of_run = Vec::new();
        for part in &run.parts {
            let id = identity(&run.header, part);
            let created = run.header.started.or(part.ended.map(|(first, _)| first));
            if created.is_none() {
                notes.push(format!("{}: the log states no time; the files say that of the export", run.header.id));
            }
            let created = iso(created.unwrap_or_else(|| now(options)));
            let name = format!("{}_{}_{}.json", created.replace(':', "-"), file_name(&part.task.name, "-"), &id[..22]);
            let path = output.join(name);
            let mut head = json(&header(run, part, &id, &created), &path)?;
            head.pop();
            head.extend(b",\"samples\":[");
            let file = files.add(path)?;
            files.write(file, &head)?;
            of_run.push((file, true));
        }
        numbers.push(of_run);
    }
    log.each(&mut |run, record| {
        let part = log.runs[run].part(&record.key);
        let (file, first) = &mut numbers[run][part];
        files.write(*file, if std::mem::take(first) { b"\n" } else { b",\n" })?;
        files.write(*file, &json(&sample(&record), output)?)
    })?;
    for (file, _) in numbers.into_iter().flatten() {
        files.write(file, b"\n]}\n")?;
    }
    notes
        .push("scores without a number for the sample are not in `scores`: they stand in the sample's metadata".into());
    notes.push("choices are written as texts; the events of a run are only in the status of the log".into());
    notes.dedup();
    Ok(ExportReport { files: files.finish()?, samples: log.samples(), notes })
}

fn header(run: &Run, part: &Part, id: &str, created: &str) -> Value {
    let header = &run.header;
    let (status, error) = run.status(&part.model.name);
    let mut config = Map::new();
    for (ours, theirs) in [
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("top_k", "top_k"),
        ("max_tokens", "max_tokens"),
        ("seed", "seed"),
    ] {
        if let Some(value) = number(header, ours) {
            config.insert(theirs.into(), value);
        }
    }
    let version = part.task.version.as_deref();
    let version = version.map_or(json!(0), |text| text.parse::<i64>().map_or(json!(text), |number| json!(number)));
    let dataset = part.task.dataset.as_ref();
    let scores: Vec<Value> = part
        .scores
        .iter()
        .map(|score| {
            let mut metrics = Map::new();
            if let Some(total) = score.number(part.epochs) {
                let name = score.facts.aggregation.as_deref().unwrap_or("mean");
                metrics.insert(name.into(), json!({"name": name, "value": total.value}));
                if let Some(error) = total.standard_error {
                    metrics.insert("stderr".into(), json!({"name": "stderr", "value": error}));
                }
            }
            json!({
                "name": score.facts.name, "scorer": score.facts.name, "scored_samples": score.states.scored,
                "unscored_samples": score.states.unscored(), "params": {}, "metrics": metrics,
                "metadata": {"weighbridge_states": counts(&score.states), "weighbridge_result": score.stated},
            })
        })
        .collect();
    let mut model_usage = Map::new();
    if let Some(usage) = usage(&part.totals) {
        model_usage.insert(part.model.name.clone(), usage);
    }
    let (started, completed) =
        part.ended.map_or((created.to_owned(), String::new()), |(_, last)| (created.to_owned(), iso(last)));
    stated(json!({
        "version": 2,
        "status": status,
        "eval": {
            "eval_id": id,
            "run_id": header.id,
            "created": created,
            "task": part.task.name,
            "task_id": id,
            "task_version": version,
            "task_file": part.task.source,
            "task_attribs": {},
            "task_args": {},
            "dataset": {
                "name": dataset.map(|dataset| &dataset.source),
                "location": dataset.map(|dataset| &dataset.source),
                "samples": part.task.samples,
            },
            "model": part.model.name,
            "model_generate_config": config,
            "model_base_url": part.model.base_url,
            "model_args": {},
            "config": {
                "limit": header.settings.get("limit").and_then(Value::as_u64),
                "epochs": part.task.epochs.unwrap_or(part.epochs),
            },
            "packages": {},
            "scorers": part.scores.iter().map(|score| json!({"name": score.facts.name})).collect::<Vec<_>>(),
            "metadata": {
                "weighbridge_program": header.program,
                "weighbridge_started": header.started,
                "weighbridge_task": part.task,
                "weighbridge_model": part.model,
                "weighbridge_settings": header.settings,
            },
        },
        "plan": {"name": "plan", "steps": [], "config": config},
        "results": {
            "total_samples": part.task.samples.unwrap_or(part.samples).max(part.samples),
            "completed_samples": part.samples - part.states.provider_error - part.states.harness_error,
            "scores": scores,
        },
        "stats": {"started_at": started, "completed_at": completed, "model_usage": model_usage},
        "error": error.map(|message| failure(&message)),
    }))
}

/// Without fields that are null: Inspect leaves them out, and reads no `error` that is null.
fn stated(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

fn failure(message: &str) -> Value {
    json!({"message": message, "traceback": "", "traceback_ansi": ""})
}

/// Tokens in the meaning of Inspect, whose input leaves out what was read from a cache or written to one; `None` where
/// they are not known.
fn usage(totals: &Totals) -> Option<Value> {
    let usage = totals.usage;
    let (input, output) = (usage.input?, usage.output?);
    let cached = usage.cache_read.unwrap_or(0) + usage.cache_write.unwrap_or(0);
    Some(json!({
        "input_tokens": input.saturating_sub(cached),
        "output_tokens": output,
        "total_tokens": input + output,
        "input_tokens_cache_write": usage.cache_write,
        "input_tokens_cache_read": usage.cache_read,
        "reasoning_tokens": usage.reasoning,
        "total_cost": totals.usd,
    }))
}

fn sample(record: &SampleRecord) -> Value {
    let totals = Totals::of(&record.answers);
    let usage = usage(&totals);
    let choices: Vec<Value> = record.answers.iter().map(|answer| choice(answer, record.state)).collect();
    let mut messages: Vec<Value> = match &record.input {
        Some(Prompt::Text(text)) => vec![json!({"role": "user", "content": text})],
        Some(Prompt::Messages(messages)) => messages.iter().map(message).collect(),
        None => Vec::new(),
    };
    messages.extend(choices.first().map(|choice| choice["message"].clone()));
    let input = match &record.input {
        Some(Prompt::Text(text)) => json!(text),
        Some(Prompt::Messages(messages)) => messages.iter().map(message).collect(),
        None => json!(""),
    };
    let scores: Map<String, Value> = record
        .scores
        .iter()
        .filter_map(|score| {
            let value = score.value.filter(|_| score.state == SampleState::Scored)?;
            let metadata = json!({"weighbridge_state": score.state, "grader": score.grader});
            let score_as_inspect = json!({
                "value": value, "answer": score.answer, "explanation": score.explanation, "metadata": metadata,
                "history": [],
            });
            Some((score.name.clone(), score_as_inspect))
        })
        .collect();
    let mut metadata: Map<String, Value> = record.metadata.clone().into_iter().collect();
    let mut more = extras(record);
    let plain = match &record.input {
        Some(Prompt::Messages(messages)) => messages.iter().all(|turn| role(&turn.role) == turn.role),
        _ => true,
    };
    if plain {
        more.remove("weighbridge_input");
    }
    metadata.extend(more);
    let failed = matches!(record.state, SampleState::ProviderError | SampleState::HarnessError);
    let error = record.error.clone().or_else(|| failed.then(|| record.state.to_string()));
    let model = &record.key.model;
    let mut model_usage = Map::new();
    if let Some(usage) = &usage {
        model_usage.insert(model.clone(), usage.clone());
    }
    let ended = record.answers.last().and_then(|answer| answer.ended);
    let started = record.answers.first().and_then(|answer| Some(answer.ended? - answer.timing?.latency));
    let target = if let [one] = record.target.as_slice() { json!(one) } else { json!(record.target) };
    stated(json!({
        "id": record.key.sample,
        "epoch": record.key.epoch,
        "input": input,
        "choices": if record.choices.is_empty() { Value::Null } else { json!(record.choices) },
        "target": target,
        "messages": messages,
        "output": {
            "model": model,
            "choices": choices,
            "completion": record.answers.first().and_then(|answer| answer.text.as_deref()).unwrap_or_default(),
            "usage": usage,
            "time": totals.seconds,
        },
        "scores": scores,
        "metadata": metadata,
        "store": {},
        "events": [],
        "model_usage": model_usage,
        "started_at": started.map(iso),
        "completed_at": ended.map(iso),
        "total_time": totals.seconds,
        "working_time": totals.seconds,
        "error": error.map(|message| failure(&message)),
        "attachments": {},
    }))
}

/// A turn. `weighbridge_input` keeps roles that Inspect does not know.
fn message(message: &Message) -> Value {
    json!({"role": role(&message.role), "content": message.content})
}

fn role(role: &str) -> &str {
    match role {
        "system" | "user" | "assistant" | "tool" => role,
        "developer" => "system",
        _ => "user",
    }
}

fn choice(answer: &ModelAnswer, state: SampleState) -> Value {
    let text = answer.text.as_deref().unwrap_or_default();
    let content = match &answer.reasoning {
        Some(reasoning) => {
            json!([{"type": "reasoning", "reasoning": reasoning}, {"type": "text", "text": text}])
        }
        None => json!(text),
    };
    let stop = match (answer.finish, state) {
        (Some(Finish::EndOfText | Finish::Stop | Finish::EndOfTextOrStop), _) => "stop",
        (Some(Finish::MaxTokens), _) | (None, SampleState::Truncated) => "max_tokens",
        (Some(Finish::ContextFull), _) => "model_length",
        (Some(Finish::Refused | Finish::Filtered), _) | (None, SampleState::Refused) => "content_filter",
        (Some(Finish::Other) | None, _) => "unknown",
    };
    json!({
        "message": {"role": "assistant", "content": content, "source": "generate"},
        "stop_reason": stop,
    })
}

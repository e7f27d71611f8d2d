//! promptfoo exports: files of all versions, the export of an evaluation out of its database, and tables without results.
//!
//! A file is read twice: the models and the description that the header needs stand after the results.

mod result;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weighbridge_core::{LogLine, ModelFacts, Protocol, RUN_LOG_VERSION, RunHeader, ScoreFacts, TaskFacts};

use super::fields::{self, Fields};
use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format = Format { name: "promptfoo", version: 1, needs: "promptfoo export", sniff, read };

/// The score that stands for a result.
const MAIN: &str = "score";
/// Where results stand: version 2 and up, version 1, and tables of both.
const LISTS: [&[&str]; 4] = [&["results", "results"], &["results"], &["results", "table", "body"], &["table", "body"]];

fn sniff(source: &Source) -> bool {
    let paths = fields::head_paths(source.head());
    let has = |path: &str| paths.contains(path);
    let nested = has("results.results") && (has("results.version") || has("results.stats") || has("results.prompts"));
    let started = has("results.version") && (has("results.prompts") || has("results.timestamp"));
    let first = has("version") && has("results.*.vars") && (has("results.*.success") || has("results.*.prompt"));
    let table = has("table.head") || has("results.table");
    nested || started || first || table
}

/// The model of a result: the label where one is set, else the id.
fn provider(value: Option<&Value>) -> Option<(String, String)> {
    match value? {
        Value::String(id) if !id.is_empty() => Some((id.clone(), id.clone())),
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            let id = text("id").or_else(|| text("label"))?;
            Some((text("label").unwrap_or(id).to_owned(), id.to_owned()))
        }
        _ => None,
    }
}

/// A column of the table: a prompt for a provider.
#[derive(Clone, Debug)]
struct Column {
    model: Option<String>,
    prompt: String,
    metrics: Option<Value>,
}

/// What the first pass finds.
struct Export {
    /// Whether the results or the table are read.
    list: usize,
    columns: Vec<Column>,
    /// Names of the variables of a table.
    vars: Vec<String>,
    /// The one model, where only one was asked.
    only: Option<String>,
    task: String,
    /// Tests run several times each.
    repeats: u64,
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let path = source.path();
    let mut report = ReadReport::default();
    let mut models: Vec<(String, String)> = Vec::new();
    let mut lengths = [0_u64; LISTS.len()];
    let value = fields::scan(path, &LISTS, &mut |list, _, item| {
        lengths[list] += 1;
        let found = provider(item.get("provider"));
        if let Some(found) = found
            && !models.iter().any(|(name, _)| *name == found.0)
        {
            models.push(found);
        }
        Ok(())
    })?;
    let list = if lengths[0] > 0 {
        0
    } else if lengths[1] > 0 {
        1
    } else if lengths[2] > 0 {
        2
    } else {
        3
    };
    let mut all = Fields::object(value)
        .map_err(|found| LogError::malformed(path, None, format!("an export must be an object, not {found}")))?;
    let (export, header) = head(source, &mut all, list, models, &mut report);
    let stated = result::aggregates(&export);
    all.count_rest("", &mut report.unknown_fields);
    let models: Vec<String> = header.models.iter().map(|model| model.name.clone()).collect();
    sink.begin(header)?;

    let mut keys = result::Keys::default();
    let ReadReport { unknown_fields: unknown, notes, .. } = &mut report;
    fields::scan(path, &LISTS, &mut |found, position, item| {
        if found != export.list {
            return Ok(());
        }
        let bad =
            |problem: String| LogError::malformed(path, format!("{}.{position}", LISTS[found].join(".")), problem);
        let records = if found >= 2 {
            result::row(&export, position, item, unknown).map_err(bad)?
        } else {
            let result = Fields::object(item).map_err(|kind| bad(format!("a result must be an object, not {kind}")))?;
            vec![result::record(&export, &mut keys, result, unknown)]
        };
        for record in records {
            sink.line(LogLine::Sample(Box::new(record)))?;
        }
        Ok(())
    })?;
    if models.iter().any(|model| model == "unknown") {
        notes.push("the export does not say which model gave each answer".to_owned());
    }
    for result in stated {
        sink.line(LogLine::Result(Box::new(result)))?;
    }
    Ok(report)
}

fn columns(prompts: &[Value]) -> Vec<Column> {
    let column = |prompt: &Value| {
        let text = |key: &str| prompt.get(key).and_then(Value::as_str);
        let own = text("label").or_else(|| text("display")).or_else(|| text("raw")).or_else(|| prompt.as_str());
        Column {
            model: provider(prompt.get("provider")).map(|(name, _)| name),
            prompt: own.unwrap_or_default().to_owned(),
            metrics: prompt.get("metrics").filter(|metrics| metrics.is_object()).cloned(),
        }
    };
    prompts.iter().map(column).collect()
}

/// What stands beside the results.
fn head(
    source: &Source,
    all: &mut Fields,
    list: usize,
    mut models: Vec<(String, String)>,
    report: &mut ReadReport,
) -> (Export, RunHeader) {
    let mut results = all.inner("results");
    let mut config = all.inner("config");
    let mut metadata = all.inner("metadata");
    let mut settings = BTreeMap::new();
    let version = results.take("version").or_else(|| all.take("version"));
    settings.extend(version.map(|version| ("version".to_owned(), version)));
    settings.extend(all.take("shareableUrl").map(|url| ("shareableUrl".to_owned(), url)));
    let mut table = if results.has("table") { results.inner("table") } else { all.inner("table") };
    let mut head = table.inner("head");
    let prompts = results.list("prompts");
    let in_table = head.list("prompts");
    let columns = columns(if prompts.is_empty() { &in_table } else { &prompts });
    let vars = head.list("vars").into_iter().map(fields::as_text).collect();

    // Models that no result names: columns, else what the configuration asks for where that is one.
    let configured: Vec<Value> = match config.take("providers").or_else(|| config.take("targets")) {
        Some(Value::Array(list)) => list,
        Some(other) => vec![other],
        None => Vec::new(),
    };
    if models.is_empty() {
        for column in &columns {
            if let Some(name) = &column.model
                && !models.iter().any(|(known, _)| known == name)
            {
                models.push((name.clone(), name.clone()));
            }
        }
    }
    if let (true, [one]) = (models.is_empty(), &configured[..]) {
        models.extend(provider(Some(one)));
    }
    if models.is_empty() {
        models.push(("unknown".to_owned(), String::new()));
    }
    let model_facts = |(name, id): &(String, String)| {
        let own = configured.iter().find(|one| provider(Some(one)).is_some_and(|(label, _)| label == *name));
        let mut details = BTreeMap::new();
        details
            .extend(own.and_then(|one| one.get("config")).map(|config| ("config".to_owned(), without_secrets(config))));
        // Ids are `provider:model` with more parts between for some.
        let known = id.split_once(':').filter(|(provider, rest)| !rest.starts_with("//") && *provider != "file");
        ModelFacts {
            name: name.clone(),
            provider: known.map(|(provider, _)| provider.to_owned()),
            model: (!id.is_empty()).then(|| id.clone()),
            details,
            ..ModelFacts::default()
        }
    };

    let evaluate = config.inner("evaluateOptions");
    let options = if evaluate.keys().is_empty() { all.inner("runtimeOptions") } else { evaluate };
    let repeats = options.rest_copy().get("repeat").and_then(fields::count).unwrap_or(1).max(1);
    options.keep(&mut settings);
    let description = config.text("description");
    let task = description.unwrap_or_else(|| fields::stem(source.path()));
    let stats = results.take("stats").or_else(|| all.take("stats"));
    settings.extend(stats.map(|stats| ("stats".to_owned(), stats)));
    let began = results.text("timestamp").or_else(|| metadata.text("evaluationCreatedAt"));
    let version = metadata.text("promptfooVersion");
    metadata.keep(&mut settings);
    results.count_rest("results", &mut report.unknown_fields);
    table.count_rest("table", &mut report.unknown_fields);
    head.count_rest("table.head", &mut report.unknown_fields);
    // Tests stand with their results; the environment may hold keys.
    for key in ["tests", "env"] {
        let held = config.take(key).is_some_and(|value| value != Value::Object(Map::new()));
        if held {
            fields::count_unknown(&mut report.unknown_fields, "config", key);
        }
    }
    let scoring = without_secrets(&Value::Object(config.into_rest()));

    let id = all.text("evalId");
    let facts = TaskFacts {
        name: task.clone(),
        source: Some(source.path().display().to_string()),
        protocol: Some(Protocol::Generate),
        main_score: Some(MAIN.to_owned()),
        scores: vec![ScoreFacts { name: MAIN.to_owned(), higher_is_better: Some(true), ..ScoreFacts::default() }],
        scoring: scoring.as_object().is_some_and(|map| !map.is_empty()).then_some(scoring),
        ..TaskFacts::default()
    };
    let models: Vec<ModelFacts> = models.iter().map(model_facts).collect();
    let only = if let [one] = &models[..] { Some(one.name.clone()) } else { None };
    let header = RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id: id.unwrap_or_else(|| fields::content_id("promptfoo", &[source.head()])),
        program: version.map_or_else(|| "promptfoo".to_owned(), |version| format!("promptfoo {version}")),
        started: began.as_deref().and_then(fields::seconds),
        tasks: vec![facts],
        models,
        settings,
    };
    (Export { list, columns, vars, only, task, repeats }, header)
}

/// A configuration without what may be a key or a password.
fn without_secrets(value: &Value) -> Value {
    const SECRET: [&str; 7] = ["apikey", "api_key", "token", "secret", "password", "authorization", "credential"];
    match value {
        Value::Object(map) => {
            let secret = |key: &str| {
                let key = key.to_ascii_lowercase().replace('-', "_");
                SECRET.iter().any(|word| key.ends_with(word))
            };
            let kept = map.iter().filter(|(key, value)| !(secret(key) && value.is_string()));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_secrets(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_secrets).collect()),
        other => other.clone(),
    }
}

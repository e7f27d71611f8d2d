//! A run folder of HELM, or a folder of them.
//!
//! Requests are read one by one; the numbers of each instance, which stand in a file of their own, are held until its
//! request comes (some hundred bytes an instance, no texts).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use weighbridge_core::{
    DatasetFacts, LogLine, ModelAnswer, ModelFacts, Protocol, RUN_LOG_VERSION, ResultRecord, RunHeader, SampleKey,
    SampleRecord, SampleState, Score, ScoreFacts, TaskFacts, Timing, Usage,
};

use super::fields::{self, Fields, Unknown};
use super::{Format, ReadReport, Sink};
use crate::{LogError, Source};

pub(super) const FORMAT: Format = Format { name: "helm", version: 1, needs: "HELM run folder", sniff, read };

/// How deep a folder is looked through: `runs/<suite>/<run>`.
const DEPTH: usize = 3;
/// Beginnings of the names of numbers that are no scores.
const NO_SCORES: [&str; 9] = [
    "num_",
    "training_",
    "finish_reason_",
    "inference_",
    "batch_size",
    "prompt_truncated",
    "max_prob",
    "logprob",
    "predicted_index",
];

/// What tells an instance from the others: its id with its perturbation, and the trial.
type Instance = (String, u32);
/// Numbers by name.
type Numbers = Vec<(String, f64)>;

fn is_run(folder: &Path) -> bool {
    let has = |file: &str, keys: &[&str]| {
        let head = Source::open(&folder.join(file));
        head.is_ok_and(|head| {
            let paths = fields::head_paths(head.head());
            keys.iter().all(|key| paths.contains(*key))
        })
    };
    has("run_spec.json", &["adapter_spec", "scenario_spec"])
}

fn runs(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_run(folder) {
        found.push(folder.to_owned());
    } else if depth > 0 {
        for path in fields::listing(folder).unwrap_or_default().into_iter().filter(|path| path.is_dir()) {
            runs(&path, depth - 1, found);
        }
    }
}

fn run_folders(source: &Source) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if source.is_folder() {
        runs(source.path(), DEPTH, &mut found);
    }
    found
}

fn sniff(source: &Source) -> bool {
    !run_folders(source).is_empty()
}

fn read(source: &Source, sink: &mut dyn Sink) -> Result<ReadReport, LogError> {
    let mut report = ReadReport::default();
    for folder in run_folders(source) {
        run(&folder, sink, &mut report)?;
    }
    Ok(report)
}

/// A perturbation in few words: its name, and what else tells it from others of that name.
fn perturbation(value: &Value) -> Option<String> {
    let map = value.as_object()?;
    let name = map.get("name")?.as_str()?;
    let known = ["name", "robustness", "fairness", "computed_on"];
    let mut more: Vec<String> = map
        .iter()
        .filter(|(key, value)| !known.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| format!("{key}={}", fields::as_text(value.clone())))
        .collect();
    more.sort();
    Some(if more.is_empty() { name.to_owned() } else { format!("{name}({})", more.join(",")) })
}

/// The id of a sample: a perturbed instance is not the same one.
fn sample_id(id: &str, perturbed: Option<&Value>) -> String {
    perturbed.and_then(perturbation).map_or_else(|| id.to_owned(), |how| format!("{id}/{how}"))
}

fn object(path: &Path, at: &str, value: Value) -> Result<Fields, LogError> {
    Fields::object(value)
        .map_err(|found| LogError::malformed(path, at.to_owned(), format!("must be an object, not {found}")))
}

/// The numbers of each instance.
fn numbers(folder: &Path, report: &mut ReadReport) -> Result<BTreeMap<Instance, Numbers>, LogError> {
    let path = folder.join("per_instance_stats.json");
    let mut found: BTreeMap<Instance, Numbers> = BTreeMap::new();
    if !path.exists() {
        report.notes.push(format!("{}: no per_instance_stats.json, so no scores of samples", folder.display()));
        return Ok(found);
    }
    fields::scan(&path, &[&[]], &mut |_, position, item| {
        let at = position.to_string();
        let mut item = object(&path, &at, item)?;
        let Some(id) = item.text("instance_id") else {
            return Err(LogError::malformed(&path, at, "no instance_id"));
        };
        let id = sample_id(&id, item.take("perturbation").as_ref());
        let trial = item.count("train_trial_index").unwrap_or(0) as u32;
        let list = found.entry((id, trial)).or_default();
        for stat in item.list("stats") {
            let mut stat = Fields::of(Some(stat));
            let name = stat.inner("name").text("name");
            if let (Some(name), Some(mean)) = (name, stat.number("mean")) {
                list.push((name, mean));
            }
        }
        item.count_rest("per_instance_stats", &mut report.unknown_fields);
        Ok(())
    })?;
    Ok(found)
}

/// The score that stands for the run: exact match where it is computed, else the first that the metrics name.
fn main_score(spec: &Value, numbers: &BTreeMap<Instance, Numbers>) -> Option<String> {
    let specs = spec.get("metric_specs").and_then(Value::as_array);
    let named = specs.into_iter().flatten().filter_map(|one| one.get("args")?.get("names")?.as_array()).flatten();
    let named: Vec<&str> = named.filter_map(Value::as_str).collect();
    let any = numbers.values().next()?;
    let there = |name: &str| numbers.values().any(|list| list.iter().any(|(known, _)| known == name));
    let first = std::iter::once("exact_match").chain(named).find(|name| there(name)).map(str::to_owned);
    first.or_else(|| any.iter().map(|(name, _)| name).find(|name| is_score(name)).cloned())
}

fn is_score(name: &str) -> bool {
    !NO_SCORES.iter().any(|begin| name.starts_with(begin))
}

fn run(folder: &Path, sink: &mut dyn Sink, report: &mut ReadReport) -> Result<(), LogError> {
    let path = folder.join("run_spec.json");
    let spec = fields::parse_file(&path)?;
    let numbers = numbers(folder, report)?;
    let main = main_score(&spec, &numbers);
    let id = fields::content_id("helm", &[spec.to_string().as_bytes(), folder.to_string_lossy().as_bytes()]);
    let mut rest = object(&path, "the whole", spec.clone())?;
    let name = rest.text("name").unwrap_or_else(|| fields::stem(folder));
    let mut adapter = rest.inner("adapter_spec");
    let method = adapter.text("method");
    let model = adapter.text("model").unwrap_or_else(|| "unknown".to_owned());
    let deployment = adapter.text("model_deployment");
    let shots = adapter.count("max_train_instances");
    let trials = adapter.count("num_train_trials");
    let mut scenario = rest.inner("scenario_spec");
    let dataset = scenario.text("class_name").map(|source| DatasetFacts {
        source,
        config: scenario
            .take("args")
            .filter(|args| args.as_object().is_some_and(|map| !map.is_empty()))
            .map(fields::as_text),
        ..DatasetFacts::default()
    });
    let groups = rest.list("groups").into_iter().map(fields::as_text).collect();
    let mut settings = BTreeMap::from([("run_spec".to_owned(), Value::from(name.clone()))]);
    settings.extend(method.clone().map(|method| ("method".to_owned(), method.into())));
    adapter.keep(&mut settings);
    for key in ["data_augmenter_spec", "annotators"] {
        settings.extend(rest.take(key).map(|value| (key.to_owned(), value)));
    }
    let scoring = rest.take("metric_specs");
    scenario.count_rest("run_spec.scenario_spec", &mut report.unknown_fields);
    rest.count_rest("run_spec", &mut report.unknown_fields);

    // `mmlu:subject=philosophy,model=openai_gpt2` without the model.
    let (scenario, arguments) = name.split_once(':').unwrap_or((&name, ""));
    let kept = arguments.split(',').filter(|part| !part.is_empty() && !part.starts_with("model="));
    let kept: Vec<&str> = kept.filter(|part| !part.starts_with("model_deployment=")).collect();
    let task = if kept.is_empty() { scenario.to_owned() } else { format!("{scenario}:{}", kept.join(",")) };
    let mut scores: Vec<ScoreFacts> = Vec::new();
    for (name, _) in numbers.values().flatten().filter(|(name, _)| is_score(name)) {
        if !scores.iter().any(|known| known.name == *name) {
            scores.push(ScoreFacts { name: name.clone(), ..ScoreFacts::default() });
        }
    }
    let facts = TaskFacts {
        name: task.clone(),
        protocol: Some(match method.as_deref() {
            Some(method) if method.starts_with("multiple_choice_separate") || method == "language_modeling" => {
                Protocol::Loglikelihood
            }
            _ => Protocol::Generate,
        }),
        dataset,
        few_shot: shots.map(|shots| shots as u32),
        epochs: trials.map(|trials| trials as u32),
        main_score: main.clone(),
        scores,
        scoring,
        groups,
        ..TaskFacts::default()
    };
    let mut details = BTreeMap::new();
    details.extend(deployment.map(|deployment| ("deployment".to_owned(), deployment.into())));
    let model_facts = ModelFacts { name: model.clone(), details, ..ModelFacts::default() };
    sink.begin(RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id,
        program: "helm".to_owned(),
        started: None,
        tasks: vec![facts],
        models: vec![model_facts],
        settings,
    })?;
    let known =
        Known { task: &task, model: &model, main: main.as_deref(), method: method.as_deref().unwrap_or_default() };
    samples(folder, &known, numbers, sink, report)?;
    results(folder, &known, sink)
}

/// What is known of a run when its samples are read.
struct Known<'a> {
    task: &'a str,
    model: &'a str,
    main: Option<&'a str>,
    method: &'a str,
}

fn samples(
    folder: &Path,
    known: &Known<'_>,
    mut numbers: BTreeMap<Instance, Numbers>,
    sink: &mut dyn Sink,
    report: &mut ReadReport,
) -> Result<(), LogError> {
    let path = folder.join("scenario_state.json");
    if !path.exists() {
        report.notes.push(format!("{}: no scenario_state.json, so no samples", folder.display()));
        return Ok(());
    }
    let mut open: Option<(Instance, SampleRecord)> = None;
    let mut again = 0_u64;
    let unknown = &mut report.unknown_fields;
    fields::scan(&path, &[&["request_states"]], &mut |_, position, item| {
        let at = format!("request_states.{position}");
        let mut state = object(&path, &at, item)?;
        let mut instance = state.inner("instance");
        let Some(id) = instance.text("id") else {
            return Err(LogError::malformed(&path, at, "no instance.id"));
        };
        let perturbed = instance.take("perturbation");
        let trial = state.count("train_trial_index").unwrap_or(0) as u32;
        let key = (sample_id(&id, perturbed.as_ref()), trial);
        // Requests for the references of one instance follow each other.
        let same = open.as_ref().is_some_and(|(last, _)| *last == key);
        if !same {
            if let Some((_, record)) = open.take() {
                sink.line(LogLine::Sample(Box::new(record)))?;
            }
            let stats = numbers.remove(&key);
            again += u64::from(stats.is_none());
            let mut record = begin(known, &key, position, stats.unwrap_or_default());
            record.metadata.extend(perturbed.map(|value| ("perturbation".to_owned(), value)));
            describe(&mut record, known, instance, unknown);
            open = Some((key, record));
        }
        if let Some((_, record)) = &mut open {
            request(record, known, state, same, unknown);
        }
        Ok(())
    })?;
    if let Some((_, record)) = open {
        sink.line(LogLine::Sample(Box::new(record)))?;
    }
    if again > 0 {
        report.notes.push(format!("{}: {again} samples have no numbers in per_instance_stats.json", known.task));
    }
    if !numbers.is_empty() {
        let without = numbers.len();
        report.notes.push(format!("{}: numbers of {without} instances belong to no request", known.task));
    }
    Ok(())
}

fn begin(known: &Known<'_>, key: &Instance, position: u64, stats: Numbers) -> SampleRecord {
    let mut scores: Vec<Score> = Vec::new();
    let mut others = Map::new();
    for (name, value) in stats {
        if !is_score(&name) {
            others.insert(name, value.into());
        } else if !scores.iter().any(|score| score.name == name) {
            scores.push(Score {
                name,
                state: SampleState::Scored,
                value: Some(value),
                parts: None,
                answer: None,
                explanation: None,
                grader: None,
                cost: None,
                version: None,
            });
        }
    }
    let scored = scores.iter().any(|score| Some(score.name.as_str()) == known.main);
    SampleRecord {
        index: Some(position),
        state: if scored { SampleState::Scored } else { SampleState::Missing },
        scores,
        metadata: if others.is_empty() {
            BTreeMap::new()
        } else {
            BTreeMap::from([("stats".to_owned(), others.into())])
        },
        ..SampleRecord::new(SampleKey {
            task: known.task.to_owned(),
            model: known.model.to_owned(),
            sample: key.0.clone(),
            epoch: key.1 + 1,
        })
    }
}

/// The instance: its references are the choices, or the right answers.
fn describe(record: &mut SampleRecord, known: &Known<'_>, mut instance: Fields, unknown: &mut Unknown) {
    let mut doc = Map::new();
    let mut input = instance.inner("input");
    doc.extend(input.text("text").map(|text| ("input".to_owned(), text.into())));
    input.count_rest("request_states.instance.input", unknown);
    let choice = known.method.starts_with("multiple_choice");
    for reference in instance.list("references") {
        let mut reference = Fields::of(Some(reference));
        let Some(text) = reference.inner("output").text("text") else { continue };
        if reference.list("tags").iter().any(|tag| tag == "correct") {
            record.target.push(text.clone());
        }
        if choice {
            record.choices.push(text);
        }
        reference.count_rest("request_states.instance.references", unknown);
    }
    for key in ["split", "sub_split", "contrast_inputs", "contrast_references", "extra_data"] {
        record.metadata.extend(instance.take(key).map(|value| (key.to_owned(), value)));
    }
    instance.count_rest("request_states.instance", unknown);
    record.doc = (!doc.is_empty()).then_some(Value::Object(doc));
}

/// A request: its prompt and its answer.
fn request(record: &mut SampleRecord, known: &Known<'_>, mut state: Fields, further: bool, unknown: &mut Unknown) {
    let mut request = state.inner("request");
    let has_result = state.has("result");
    let mut result = state.inner("result");
    if !further {
        record.input = request.text("prompt").map(fields::prompt);
        record.metadata.extend(request.take("messages").map(|value| ("messages".to_owned(), value)));
    }
    let echo = request.flag("echo_prompt").unwrap_or(false);
    let mapping = state.inner("output_mapping").into_rest();
    let success = result.flag("success");
    if success == Some(false) {
        record.state = SampleState::ProviderError;
        record.error = result.text("error").or_else(|| record.error.take());
        for score in &mut record.scores {
            score.state = SampleState::ProviderError;
            score.parts = score.value.take().map(|value| serde_json::json!({ "helm": value }));
        }
    } else if success.is_none() && !has_result {
        record.state = SampleState::Missing;
    }
    let stat = |name: &str| record.metadata.get("stats")?.get(name).and_then(fields::count);
    let usage = if further {
        Usage::default()
    } else {
        Usage { input: stat("num_prompt_tokens"), output: stat("num_output_tokens"), ..Usage::default() }
    };
    let timing = result.number("request_time").map(|latency| Timing { latency, ..Timing::default() });
    let ended = result.number("request_datetime");
    let cached = result.flag("cached").unwrap_or(false);
    for (i, completion) in result.list("completions").into_iter().enumerate() {
        let mut completion = Fields::of(Some(completion));
        let text = completion.take("text").map(fields::as_text);
        // References that are scored are echoed: no model wrote them.
        if echo {
            fields::count_unknown(unknown, "request_states.result", "completions");
            continue;
        }
        let reason = completion.inner("finish_reason").text("reason");
        if !further && i == 0 {
            let mapped = text.as_ref().and_then(|text| mapping.get(text.trim())).and_then(Value::as_str);
            let main = record.scores.iter_mut().find(|score| Some(score.name.as_str()) == known.main);
            if let (Some(main), Some(mapped)) = (main, mapped) {
                main.answer = Some(mapped.to_owned());
            }
        }
        let thinking = completion.inner("thinking").text("text");
        completion.take("logprob");
        if completion.take("tokens").is_some() {
            fields::count_unknown(unknown, "request_states.result.completions", "tokens");
        }
        completion.count_rest("request_states.result.completions", unknown);
        record.answers.push(ModelAnswer {
            text,
            reasoning: thinking,
            finish: reason.as_deref().filter(|reason| *reason != "unknown").map(fields::finish),
            finish_stated: reason,
            usage: if i == 0 { usage } else { Usage::default() },
            timing,
            cached,
            ended,
            ..ModelAnswer::default()
        });
    }
    for key in ["num_train_instances", "prompt_truncated", "num_conditioning_tokens", "annotations"] {
        if let Some(value) = state.take(key) {
            record.metadata.entry(key.to_owned()).or_insert(value);
        }
    }
    if !mapping.is_empty() {
        record.metadata.entry("output_mapping".to_owned()).or_insert(mapping.into());
    }
    result.take("embedding");
    // The settings of requests are those of the run.
    for key in ["model", "model_deployment", "embedding", "random"] {
        request.take(key);
    }
    let mut rest = BTreeMap::new();
    request.keep(&mut rest);
    if !further && !rest.is_empty() {
        record.metadata.insert("request".to_owned(), Value::Object(rest.into_iter().collect()));
    }
    result.count_rest("request_states.result", unknown);
    state.count_rest("request_states", unknown);
}

/// The means that the run states.
fn results(folder: &Path, known: &Known<'_>, sink: &mut dyn Sink) -> Result<(), LogError> {
    let path = folder.join("stats.json");
    if !path.exists() {
        return Ok(());
    }
    fields::scan(&path, &[&[]], &mut |_, position, item| {
        let mut stat = object(&path, &position.to_string(), item)?;
        let mut name = stat.inner("name");
        let score = name.text("name");
        let mean = stat.number("mean");
        let mut metadata = BTreeMap::new();
        name.keep(&mut metadata);
        // Counts are of trials, not of instances.
        stat.keep(&mut metadata);
        let (Some(score), Some(value)) = (score, mean) else { return Ok(()) };
        let result = ResultRecord {
            task: known.task.to_owned(),
            model: known.model.to_owned(),
            score,
            value,
            metadata,
            ..ResultRecord::default()
        };
        sink.line(LogLine::Result(Box::new(result)))
    })?;
    Ok(())
}

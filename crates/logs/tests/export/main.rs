//! Exports of one log with everything in it: nothing is lost, and the forms are what others read.
//!
//! `WEIGHBRIDGE_EXPORT_DIR=DIR cargo test -p weighbridge-logs --test export` leaves the files in `DIR` for the programs
//! whose forms they are; what those said stands at the tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use weighbridge_core::{
    ContinuationScore, Cost, DatasetFacts, EventKind, Finish, LogLine, Message, ModelAnswer, ModelFacts, Prompt,
    Protocol, RUN_LOG_VERSION, Rescore, ResultRecord, RunEvent, RunHeader, SampleKey, SampleRecord, SampleState, Score,
    ScoreFacts, TaskFacts, Timing, Usage, Usd,
};
use weighbridge_logs::{Availability, EXPORTS, ExportOptions, ExportReport, LogWriter, Source, export};

const STARTED: f64 = 1_760_000_000.25;

fn header() -> RunHeader {
    let score = |name: &str| ScoreFacts { name: name.into(), higher_is_better: Some(true), ..ScoreFacts::default() };
    let generate = TaskFacts {
        name: "größe".into(),
        version: Some("3".into()),
        protocol: Some(Protocol::Generate),
        dataset: Some(DatasetFacts {
            source: "openai/gsm8k".into(),
            split: Some("test".into()),
            size: Some(1319),
            ..DatasetFacts::default()
        }),
        epochs: Some(2),
        samples: Some(7),
        scores: vec![score("exact_match,strict-match"), score("exact_match,flexible-extract")],
        ..TaskFacts::default()
    };
    let choose = TaskFacts {
        name: "arc".into(),
        protocol: Some(Protocol::Loglikelihood),
        dataset: Some(DatasetFacts { source: "./arc.jsonl".into(), ..DatasetFacts::default() }),
        few_shot: Some(5),
        scores: vec![
            score("acc,none"),
            ScoreFacts { name: "perplexity,none".into(), aggregation: Some("perplexity".into()), ..score("") },
        ],
        ..TaskFacts::default()
    };
    RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id: "run-1".into(),
        program: "weighbridge 0.1.0".into(),
        started: Some(STARTED),
        tasks: vec![generate, choose],
        models: vec![
            ModelFacts {
                name: "openai/gpt-5".into(),
                provider: Some("openai".into()),
                model: Some("gpt-5".into()),
                base_url: Some("https://api.openai.com/v1".into()),
                ..ModelFacts::default()
            },
            ModelFacts {
                name: "local/pythia".into(),
                provider: Some("local".into()),
                model: Some("EleutherAI/pythia-14m".into()),
                ..ModelFacts::default()
            },
        ],
        settings: BTreeMap::from([("seed".into(), json!(7)), ("temperature".into(), json!(0.5))]),
    }
}

fn score(name: &str, state: SampleState, value: Option<f64>) -> Score {
    Score {
        value,
        parts: value.is_none().then(|| json!({"n": 3})),
        answer: (state == SampleState::Scored).then(|| "42 €".into()),
        explanation: Some("because \"x\"\n".into()),
        version: Some(2),
        ..Score::new(name.into(), state)
    }
}

/// A sample of the first task in each state, in two epochs.
fn written(model: &str, i: usize, state: SampleState, epoch: u32) -> SampleRecord {
    let scored = state == SampleState::Scored;
    let failed = matches!(state, SampleState::ProviderError | SampleState::HarnessError | SampleState::Missing);
    let prompt = match i % 3 {
        0 => Prompt::Text(format!("Frage {i}, 🐘?\n\"")),
        1 => Prompt::Messages(vec![Message::new("system", "s"), Message::user("How many — «»?")]),
        _ => Prompt::Messages(vec![Message::new("developer", "d"), Message::user("x")]),
    };
    SampleRecord {
        key: SampleKey { task: "größe".into(), model: model.into(), sample: format!("s,{i}\"é"), epoch },
        index: Some(i as u64),
        group: i.is_multiple_of(2).then(|| "algebra".into()),
        state,
        scores: match state {
            SampleState::Missing => vec![],
            _ => vec![
                score("exact_match,strict-match", state, scored.then_some(1.0)),
                score("exact_match,flexible-extract", SampleState::Scored, Some(0.0)),
            ],
        },
        input: Some(prompt),
        choices: vec![],
        target: if i == 1 { vec!["a".into(), "b".into()] } else { vec!["42".into()] },
        doc: (i != 2).then(|| json!({"question": "é", "n": [1, 2.5]})),
        answers: if failed {
            vec![]
        } else {
            vec![ModelAnswer {
                text: (state != SampleState::Refused).then(|| "It is 42 €.\u{2028}".into()),
                reasoning: (i == 0).then(|| "I think".into()),
                finish: Some(match state {
                    SampleState::Truncated => Finish::MaxTokens,
                    SampleState::Refused => Finish::Refused,
                    _ => Finish::EndOfText,
                }),
                finish_stated: Some("x".into()),
                usage: Usage {
                    input: Some(100 + i as u64),
                    cache_read: Some(40),
                    output: Some(7),
                    reasoning: Some(3),
                    ..Usage::default()
                },
                cost: Cost { usd: Some(Usd(0.001_25)), computed: Some(Usd(0.001_25)), stated: None },
                timing: Some(Timing { latency: 1.5, first_token: Some(0.25), queue: 0.5 }),
                ended: Some(STARTED + 10.0 + i as f64),
                ..ModelAnswer::default()
            }]
        },
        loglikelihoods: vec![],
        error: failed.then(|| format!("it broke: {state}")),
        metadata: BTreeMap::from([("level".into(), json!(3))]),
    }
}

fn chosen(model: &str, i: usize) -> SampleRecord {
    SampleRecord {
        index: Some(i as u64),
        state: SampleState::Scored,
        scores: vec![
            score("acc,none", SampleState::Scored, Some(f64::from(u8::from(i == 0)))),
            score("perplexity,none", SampleState::Scored, None),
        ],
        input: Some(Prompt::Text("Q: ?\nA:".into())),
        choices: vec!["eins".into(), "zwei".into()],
        target: vec!["eins".into()],
        doc: Some(json!({"q": "?", "empty": [], "none": {}})),
        answers: vec![],
        loglikelihoods: [" eins", " zwei"]
            .into_iter()
            .enumerate()
            .map(|(j, text)| ContinuationScore {
                continuation: text.into(),
                logprob: -1.5 - j as f64,
                greedy: Some(j == 0),
                tokens: Some(1),
            })
            .collect(),
        ..SampleRecord::new(SampleKey { task: "arc".into(), model: model.into(), sample: i.to_string(), epoch: 1 })
    }
}

/// The lines of the log, and the samples as they stand at the end.
fn log() -> (Vec<LogLine>, Vec<SampleRecord>) {
    let mut samples = Vec::new();
    let mut lines = Vec::new();
    for model in ["openai/gpt-5", "local/pythia"] {
        for epoch in [1, 2] {
            for (i, state) in SampleState::ALL.into_iter().enumerate() {
                samples.push(written(model, i, state, epoch));
            }
        }
        samples.extend([chosen(model, 0), chosen(model, 1)]);
    }
    // One was asked twice: the second line counts.
    let mut before = samples[0].clone();
    before.state = SampleState::ProviderError;
    before.scores.clear();
    lines.push(LogLine::Sample(Box::new(before)));
    lines.extend(samples.iter().cloned().map(|sample| LogLine::Sample(Box::new(sample))));
    // One was scored anew.
    let again = &mut samples[1];
    again.state = SampleState::Scored;
    again.scores = vec![score("exact_match,strict-match", SampleState::Scored, Some(0.0))];
    let rescore = Rescore { key: again.key.clone(), state: again.state, scores: again.scores.clone() };
    lines.push(LogLine::Rescore(Box::new(rescore)));
    lines.push(LogLine::Result(Box::new(ResultRecord {
        task: "arc".into(),
        model: "local/pythia".into(),
        score: "perplexity,none".into(),
        value: 12.5,
        standard_error: Some(0.5),
        samples: Some(2),
        range: Some((0.0, 100.0)),
        ..ResultRecord::default()
    })));
    let event = RunEvent { kind: EventKind::Finished, at: None, model: None, task: None, message: None };
    lines.push(LogLine::Event(Box::new(event)));
    (lines, samples)
}

struct Written {
    folder: PathBuf,
    report: ExportReport,
    samples: Vec<SampleRecord>,
    _temp: TempDir,
}

fn write(form: &str) -> Written {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("run");
    let (lines, samples) = log();
    let mut writer = LogWriter::create(&path, &header()).unwrap();
    for line in &lines {
        writer.write(line).unwrap();
    }
    writer.finish().unwrap();
    let base = std::env::var_os("WEIGHBRIDGE_EXPORT_DIR").map_or(temp.path().to_owned(), PathBuf::from);
    let folder = base.join(form);
    let options = ExportOptions {
        availability: BTreeMap::from([("local/pythia".into(), Availability::OpenWeights)]),
        now: Some(STARTED + 1000.0),
        ..ExportOptions::default()
    };
    let form = EXPORTS.iter().find(|export| export.name == form).unwrap();
    let report = export(&Source::open(&path).unwrap(), form, &folder, &options).unwrap();
    assert_eq!(report.samples, samples.len() as u64);
    assert!(report.files.iter().all(|file| file.is_file()));
    Written { folder, report, samples, _temp: temp }
}

fn value(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A sample out of the names that our readers look for; `text` gives the k-th text and reasoning that the form holds.
fn restore(
    fields: &Map<String, Value>,
    key: SampleKey,
    text: impl Fn(usize) -> (Option<String>, Option<String>),
) -> SampleRecord {
    let get = |name: &str| fields.get(&format!("weighbridge_{name}")).cloned().unwrap_or_default();
    let mut answers: Vec<Value> = serde_json::from_value(get("answers")).unwrap_or_default();
    let mut texts = 0;
    for (place, answer) in answers.iter_mut().enumerate() {
        if answer.get("text").is_none() {
            answer["text"] = json!(text(texts).0.unwrap());
            texts += 1;
        }
        answer["reasoning"] = json!(text(place).1);
    }
    SampleRecord {
        key,
        index: serde_json::from_value(get("index")).unwrap(),
        group: serde_json::from_value(get("group")).unwrap(),
        state: serde_json::from_value(get("state")).unwrap(),
        scores: serde_json::from_value(get("scores")).unwrap(),
        input: serde_json::from_value(get("input")).unwrap(),
        choices: vec![],
        target: vec![],
        doc: serde_json::from_value(get("doc")).unwrap(),
        answers: answers.into_iter().map(|answer| serde_json::from_value(answer).unwrap()).collect(),
        loglikelihoods: serde_json::from_value(get("loglikelihoods")).unwrap_or_default(),
        error: serde_json::from_value(get("error")).unwrap(),
        metadata: BTreeMap::new(),
    }
}

fn same(mut restored: Vec<SampleRecord>, mut samples: Vec<SampleRecord>) {
    restored.sort_by(|a, b| a.key.cmp(&b.key));
    samples.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(restored.len(), samples.len());
    for (restored, sample) in restored.iter().zip(&samples) {
        assert_eq!(restored, sample);
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        other => serde_json::from_value(other.clone()).unwrap(),
    }
}

#[test]
fn csv_has_a_row_for_each_score() {
    let written = write("csv");
    let mut table = csv::Reader::from_path(&written.report.files[0]).unwrap();
    let rows: Vec<BTreeMap<String, String>> = table.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), written.samples.iter().map(|sample| sample.scores.len().max(1)).sum::<usize>());
    let mut rows = rows.into_iter();
    for sample in &written.samples {
        for place in 0..sample.scores.len().max(1) {
            let row = rows.next().unwrap();
            let is = |name: &str, value: String| assert_eq!(row[name], value, "{name}");
            is("sample", sample.key.sample.clone());
            is("epoch", sample.key.epoch.to_string());
            is("state", sample.state.to_string());
            if let Some(score) = sample.scores.get(place) {
                is("score", score.name.clone());
                is("score_state", score.state.to_string());
                is("value", score.value.map(|value| value.to_string()).unwrap_or_default());
                is("explanation", score.explanation.clone().unwrap());
            }
            if let Some(answer) = sample.answers.first() {
                is("input_tokens", answer.usage.input.unwrap().to_string());
                is("usd", "0.00125".into());
                is("seconds", "1.5".into());
                is("answer", answer.text.clone().unwrap_or_default());
            }
        }
    }
}

// The real one, inspect_ai 0.3.285, on 2026-11-24:
//   for p in glob.glob("DIR/inspect/*.json"):
//       h = read_eval_log(p, header_only=True); l = read_eval_log(p)
// reads all four, with their metrics, stop reasons (stop, max_tokens, content_filter) and 6 samples with errors of 14.
#[test]
fn inspect_logs_lose_nothing() {
    let written = write("inspect");
    assert_eq!(written.report.files.len(), 4);
    let mut restored = Vec::new();
    for path in &written.report.files {
        let log = value(path);
        assert_eq!((&log["version"], &log["status"]), (&json!(2), &json!("success")));
        let eval = &log["eval"];
        let task: TaskFacts = serde_json::from_value(eval["metadata"]["weighbridge_task"].clone()).unwrap();
        assert!(header().tasks.contains(&task));
        let text = |name: &str| eval[name].as_str().unwrap().to_owned();
        for sample in log["samples"].as_array().unwrap() {
            let key = SampleKey {
                task: text("task"),
                model: text("model"),
                sample: sample["id"].as_str().unwrap().into(),
                epoch: sample["epoch"].as_u64().unwrap() as u32,
            };
            let content = |place: usize| {
                let content = &sample["output"]["choices"][place]["message"]["content"];
                match content.as_array() {
                    Some(parts) => {
                        (parts[1]["text"].as_str().map(Into::into), parts[0]["reasoning"].as_str().map(Into::into))
                    }
                    None => (content.as_str().map(Into::into), None),
                }
            };
            let fields = sample["metadata"].as_object().unwrap();
            let mut record = restore(fields, key, content);
            record.input = record.input.or_else(|| match &sample["input"] {
                Value::String(text) => Some(Prompt::Text(text.clone())),
                turns => Some(Prompt::Messages(serde_json::from_value(turns.clone()).unwrap())),
            });
            record.target = strings(&sample["target"]);
            record.choices = serde_json::from_value(sample["choices"].clone()).unwrap_or_default();
            let ours = |(name, _): &(&String, &Value)| !name.starts_with("weighbridge_");
            record.metadata = fields.iter().filter(ours).map(|(name, value)| (name.clone(), value.clone())).collect();
            for score in record.scores.iter().filter(|score| score.value.is_some()) {
                assert_eq!(sample["scores"][&score.name]["value"], json!(score.value));
            }
            let failed = matches!(record.state, SampleState::ProviderError | SampleState::HarnessError);
            assert_eq!(sample["error"].is_object(), failed || record.error.is_some());
            if record.state == SampleState::Truncated {
                assert_eq!(sample["output"]["choices"][0]["stop_reason"], "max_tokens");
            }
            restored.push(record);
        }
    }
    same(restored, written.samples);
}

#[test]
fn inspect_counts_tokens_its_own_way() {
    let written = write("inspect");
    let log = value(&written.report.files[0]);
    let usage = &log["samples"][0]["model_usage"]["openai/gpt-5"];
    assert_eq!((&usage["input_tokens"], &usage["input_tokens_cache_read"]), (&json!(60), &json!(40)));
    assert_eq!((&usage["output_tokens"], &usage["total_tokens"]), (&json!(7), &json!(107)));
    let strict = &log["results"]["scores"][0];
    assert_eq!(strict["name"], "exact_match,strict-match");
    // Three of twelve have a number: 1 in each epoch, and the 0 of the new score.
    assert_eq!((&strict["scored_samples"], &strict["unscored_samples"]), (&json!(3), &json!(9)));
    assert!((strict["metrics"]["mean"]["value"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);
}

// Python's jsonschema 4.26.0 on 2026-11-24, `Draft7Validator(schema).iter_errors(value)` over every file and row in
// DIR/every-eval-ever with eval.schema.json and instance_level_eval.schema.json:
//   4 aggregates, 59 rows, 0 errors
#[test]
fn every_eval_ever_fits_its_schema_and_loses_nothing() {
    let written = write("every-eval-ever");
    let again = write("every-eval-ever");
    let names = |written: &Written| -> Vec<PathBuf> {
        written.report.files.iter().map(|file| file.strip_prefix(&written.folder).unwrap().to_owned()).collect()
    };
    assert_eq!(names(&written), names(&again), "names do not change");
    let (eval, instance) = (schema::read("eval"), schema::read("instance_level_eval"));
    let mut restored = Vec::new();
    for path in written.report.files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let aggregate = value(path);
        if let Some(schema) = &eval {
            schema::check(schema, schema, &aggregate, "").unwrap();
        }
        let details = &aggregate["model_info"]["additional_details"];
        let model: ModelFacts = serde_json::from_str(details["weighbridge_model"].as_str().unwrap()).unwrap();
        let local = model.name == "local/pythia";
        assert_eq!(details["deployment_type"], if local { "self_deployed" } else { "externally_managed" });
        assert_eq!(details["model_availability"], if local { "open_weights" } else { "unknown" });
        let detailed = &aggregate["detailed_evaluation_results"];
        let relative = detailed["file_path"].as_str().unwrap();
        let uuid = relative.rsplit('/').next().unwrap().strip_suffix("_samples.jsonl").unwrap();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(uuid.as_bytes()[14] == b'4' && b"89ab".contains(&uuid.as_bytes()[19]));
        let rows = rows(&written.folder.join(relative));
        assert_eq!(detailed["total_rows"], json!(rows.len()));
        let ids: Vec<&Value> = aggregate["evaluation_results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| &result["evaluation_result_id"])
            .collect();
        for row in &rows {
            if let Some(schema) = &instance {
                schema::check(schema, schema, row, "").unwrap();
            }
            assert_eq!(row["evaluation_id"], aggregate["evaluation_id"]);
            assert!(row.get("evaluation_result_id").is_none_or(|id| ids.contains(&id)));
            let metadata = row["metadata"].as_object().unwrap();
            if !metadata.contains_key("weighbridge_scores") {
                continue;
            }
            // All values are texts: those that are JSON again are read as it.
            let plain = ["weighbridge_state", "weighbridge_group", "weighbridge_error", "weighbridge_score"];
            let fields = metadata.iter().map(|(name, value)| {
                let text = value.as_str().unwrap();
                let value =
                    if plain.contains(&name.as_str()) { json!(text) } else { serde_json::from_str(text).unwrap() };
                (name.clone(), value)
            });
            let fields: Map<String, Value> = fields.collect();
            let key = SampleKey {
                task: row["evaluation_name"].as_str().unwrap().into(),
                model: model.name.clone(),
                sample: row["sample_id"].as_str().unwrap().into(),
                epoch: fields["weighbridge_epoch"].as_u64().unwrap() as u32,
            };
            let output = |place: usize| {
                let text = |name: &str| row["output"][name][place].as_str().map(Into::into);
                (text("raw"), text("reasoning_trace"))
            };
            let mut record = restore(&fields, key, output);
            let raw = row["input"]["raw"].as_str().unwrap();
            record.input = record.input.or_else(|| Some(Prompt::Text(raw.into())));
            record.target = strings(&row["input"]["reference"]);
            record.choices = serde_json::from_value(row["input"]["choices"].clone()).unwrap_or_default();
            let metadata = fields.get("weighbridge_metadata").cloned().unwrap_or_else(|| json!({}));
            record.metadata = serde_json::from_value(metadata).unwrap();
            restored.push(record);
        }
    }
    same(restored, written.samples);
    assert!(written.report.notes.iter().any(|note| note.contains("rows without one say 0")));
}

// lm_eval 0.4.13 has no reader of samples. Its `get_results_filenames`, `get_sample_results_filenames` and
// `get_latest_filename` find the files, `make_table` shows the results (sorted rows with stderr), and of 55 rows none
// has a `doc_hash`, `prompt_hash` or `target_hash` other than its `hash_string` gives (2026-11-24).
#[test]
fn lm_eval_has_a_row_for_each_filter_and_loses_nothing() {
    let written = write("lm-eval");
    let mut restored = Vec::new();
    for path in &written.report.files {
        let model = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|ending| ending == "json") {
            let results = value(path);
            assert!(path.ends_with("results_2025-10-09T08-53-20.250000.json"), "{}", path.display());
            assert_eq!(results["model_name_sanitized"], model);
            let arc = &results["results"]["arc"];
            assert_eq!(arc["acc,none"], 0.5);
            assert_eq!(arc["acc_stderr,none"], 0.5);
            assert_eq!(arc.get("perplexity,none").is_some(), model == "local__pythia");
            assert_eq!(results["n-samples"]["größe"], json!({"original": 1319, "effective": 7}));
            assert_eq!(results["n-shot"]["arc"], 5);
            continue;
        }
        for row in rows(path) {
            let Some(fields) = row.as_object().filter(|row| row.contains_key("weighbridge_scores")) else { continue };
            let text = |name: &str| fields[name].as_str().unwrap().to_owned();
            let key = SampleKey {
                task: text("weighbridge_task"),
                model: model.replace("__", "/"),
                sample: text("weighbridge_sample"),
                epoch: fields["weighbridge_epoch"].as_u64().unwrap() as u32,
            };
            let output = |place: usize| {
                let reasoning = fields.get("weighbridge_reasoning").and_then(|all| all[place].as_str());
                (row["resps"][0][place].as_str().map(Into::into), reasoning.map(Into::into))
            };
            let mut record = restore(fields, key, output);
            let context = row["arguments"]["gen_args_0"]["arg_0"].as_str().unwrap();
            record.input = record.input.or_else(|| Some(Prompt::Text(context.into())));
            record.target = strings(&row["weighbridge_target"]);
            let of = |name: &str| fields.get(name).cloned();
            record.choices = serde_json::from_value(of("weighbridge_choices").unwrap_or(json!([]))).unwrap();
            record.metadata = serde_json::from_value(of("weighbridge_metadata").unwrap_or(json!({}))).unwrap();
            record.doc = Some(row["doc"].clone()).filter(|doc| *doc != json!({}));
            restored.push(record);
        }
    }
    same(restored, written.samples);
    let arc = written.folder.join("local__pythia/samples_arc_2025-10-09T08-53-20.250000.jsonl");
    let row = &rows(&arc)[0];
    assert_eq!(row["resps"], json!([[["-1.5", "True"]], [["-2.5", "False"]]]));
    assert_eq!(row["filtered_resps"], json!([["-1.5", "True"], ["-2.5", "False"]]));
    assert_eq!(row["arguments"]["gen_args_1"], json!({"arg_0": "Q: ?\nA:", "arg_1": " zwei"}));
    assert_eq!((&row["acc"], &row["metrics"]), (&json!(1.0), &json!(["acc", "perplexity"])));
    // python3 -c 'import json, hashlib
    // print(hashlib.sha256(json.dumps({"q": "?", "empty": [], "none": {}}, indent=2).encode()).hexdigest())'
    assert_eq!(row["doc_hash"], "4803442c86bce3b6522d0e8bb0f7c31a1e0e2068e993ddf615750ec4f2c93f57");
}

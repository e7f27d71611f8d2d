//! Records of Every Eval Ever against the numbers that stand in them.

mod common;

use common::{FORMATS, file, read_all, try_read};
use weighbridge_core::SampleState;
use weighbridge_reference::path;

#[test]
fn an_aggregate_of_an_older_version() {
    let Some(root) = path(&format!("{FORMATS}/every_eval_ever/tests/data")) else { return };
    let (runs, report) = read_all(&root.join("98ea850e-7019-4728-a558-8b1819ec47c2.json"));
    assert_eq!(report.format, "every-eval-ever");
    assert!(report.notes[0].contains("0.2.0"), "{report:?}");
    assert!(report.unknown_fields.is_empty(), "{report:?}");
    // python3 -c "import json; d=json.load(open(f)); r=d['evaluation_results']; print(len(r),
    //  sum(x['score_details']['score'] for x in r), d['model_info']['id'])"
    let results = &runs[0].results;
    assert_eq!(results.len(), 6);
    let sum: f64 = results.iter().map(|result| result.value).sum();
    assert!((sum - 1.7838).abs() < 1e-9, "{sum}");
    assert_eq!(runs[0].header.models[0].name, "TencentARC/LLaMA-Pro-8B-Instruct");
    assert_eq!((results[0].range, results[0].higher_is_better), (Some((0.0, 1.0)), Some(true)));
}

#[test]
fn a_list_points_to_its_records() {
    let Some(root) = path(&format!("{FORMATS}/every_eval_ever/tests/data/community_evals_converter")) else { return };
    let (runs, report) = read_all(&root.join("aggregate.jsonl"));
    // The check sum of the list fits: sha256sum datastore/flat/objects/67/6f/*.json
    assert_eq!(report.notes.len(), 1, "{report:?}");
    // python3 -c "import json; r=json.load(open(f))['evaluation_results']; print(len(r),
    //  sum(x['score_details']['score'] for x in r))"
    let results = &runs[0].results;
    let sum: f64 = results.iter().map(|result| result.value).sum();
    assert_eq!((results.len(), (sum * 1e4).round()), (15, 79_597.0));
    let (again, _) = read_all(&root);
    assert_eq!(again.len(), 1, "the record is read once, although a list names it too");
}

#[test]
fn a_record_with_its_rows() {
    let Some(root) = path(&format!("{FORMATS}/every_eval_ever/tests/data/skill_reference_conversion")) else { return };
    let folder = root.join("data/demo-source/demo-org/demo-model");
    let name = "f3a1c0de-4b2e-4c1a-9f6d-1b7e5a2c8d40";
    for place in [root.clone(), folder.join(format!("{name}.json"))] {
        let (runs, report) = read_all(&place);
        // No note: version, check sum and number of rows are as stated.
        assert!(report.notes.is_empty() && report.unknown_fields.is_empty(), "{report:?}");
        assert_eq!((runs.len(), runs[0].samples.len(), runs[0].results.len()), (1, 1, 1));
        assert_eq!(runs[0].results[0].value, 0.75);
        let sample = &runs[0].samples[0];
        assert_eq!((sample.scores[0].name.as_str(), sample.scores[0].value), ("accuracy", Some(1.0)));
        let usage = sample.answers[0].usage;
        assert_eq!((usage.input, usage.output), (Some(12), Some(5)));
        assert_eq!(sample.key.task, runs[0].header.tasks[0].name);
    }
    let (runs, _) = read_all(&folder.join(format!("{name}_samples.jsonl")));
    assert_eq!((runs.len(), runs[0].samples.len(), runs[0].results.len()), (1, 1, 0));
    // A changed row is a note, not an error.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join(format!("{name}.json")), copy.path().join(format!("{name}.json"))).unwrap();
    let rows = std::fs::read_to_string(folder.join(format!("{name}_samples.jsonl"))).unwrap();
    let two = format!("{}\n{}\n", rows.trim().replace("1.0", "0.0"), rows.trim());
    std::fs::write(copy.path().join(format!("{name}_samples.jsonl")), two).unwrap();
    let (runs, report) = read_all(copy.path());
    assert_eq!(report.notes.len(), 2, "{report:?}");
    assert!(report.notes[0].contains("check sum") && report.notes[1].contains("2 rows"), "{report:?}");
    assert_eq!(runs[0].samples.iter().map(|sample| sample.key.epoch).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_whole_folder() {
    let Some(root) = path(&format!("{FORMATS}/every_eval_ever")) else { return };
    let (runs, report) = read_all(&root);
    assert_eq!(runs.len(), 3);
    // The two schemas.
    assert!(report.notes.iter().any(|note| note.contains("2 JSON files are no records")), "{report:?}");
}

const RESULT: &str = r#"{"evaluation_name":"E","evaluation_result_id":"ID","metric_config":{"metric_id":"ID/m","metric_kind":"KIND","lower_is_better":true,"min_score":0,"max_score":"Infinity","llm_scoring":{"judges":[{"model_info":{"name":"j","id":"o/j"}}]}},"score_details":{"score":2.5,"uncertainty":{"standard_error":{"value":0.5,"method":"analytic"},"num_samples":7,"odd":1}},"generation_config":{"generation_args":{"temperature":0}}}"#;

fn record(id: &str) -> String {
    let one = RESULT.replace("ID", "r1").replace("KIND", "loss");
    let two = RESULT.replace("ID", "r2").replace("KIND", "time");
    format!(
        r#"{{"schema_version":"0.3.0","evaluation_id":"{id}","retrieved_timestamp":"1750000000","source_metadata":{{"source_name":"s","source_type":"evaluation_run","source_organization_name":"o","evaluator_relationship":"first_party"}},"eval_library":{{"name":"lm_eval","version":"0.4.9"}},"model_info":{{"name":"m","id":"o/m","inference_engine":{{"name":"vllm","version":"0.6"}}}},"evaluation_results":[{one},{two}],"extra":[1]}}"#
    )
}

#[test]
fn several_records_and_all_that_they_state() {
    let (_folder, path) = file("all.jsonl", format!("{}\n{}\n", record("a"), record("b")));
    let (runs, report) = read_all(&path);
    assert_eq!(runs.len(), 2);
    let unknown: Vec<_> = report.unknown_fields.iter().map(|(path, n)| (path.as_str(), *n)).collect();
    assert_eq!(unknown, [("evaluation_results.*.score_details.uncertainty.odd", 4), ("extra", 2)]);
    let result = &runs[1].results[1];
    // Two results of one name are two tasks, by their ids.
    assert_eq!((result.task.as_str(), result.score.as_str()), ("r2", "r2/m"));
    assert_eq!((result.value, result.standard_error, result.samples), (2.5, Some(0.5), Some(7)));
    assert_eq!((result.range, result.higher_is_better), (None, Some(false)));
    assert_eq!(result.metadata["generation_config"]["generation_args"]["temperature"], 0);
    let header = &runs[1].header;
    assert_eq!((header.program.as_str(), header.tasks[0].scores[0].grader.as_deref()), ("lm_eval 0.4.9", Some("o/j")));
    assert_eq!(header.models[0].details["inference_engine"]["name"], "vllm");
}

#[test]
fn rows_with_turns_and_errors() {
    let row = |id: &str, more: &str| {
        format!(
            r#"{{"schema_version":"0.3.0","evaluation_id":"e","model_id":"o/m","evaluation_name":"n","sample_id":"{id}","interaction_type":"agentic","input":{{"raw":"q","reference":["a"]}},"messages":[{{"turn_idx":0,"role":"user","content":"q"}},{{"turn_idx":1,"role":"assistant","content":"a","reasoning_trace":"hm"}}],"answer_attribution":[],"evaluation":{{"score":0.0,"is_correct":false,"num_turns":2}}{more}}}"#
        )
    };
    let rows = [
        row("a", r#","performance":{"latency_ms":1500,"time_to_first_token_ms":250}"#),
        row("b", r#","error":"API error: overloaded""#),
        row("c", r#","error":"sandbox died""#),
    ];
    let (_folder, path) = file("x_samples.jsonl", rows.join("\n"));
    let (runs, _) = read_all(&path);
    let states: Vec<_> = runs[0].samples.iter().map(|sample| sample.state).collect();
    assert_eq!(states, [SampleState::Scored, SampleState::ProviderError, SampleState::HarnessError]);
    let answer = &runs[0].samples[0].answers[0];
    assert_eq!((answer.text.as_deref(), answer.reasoning.as_deref()), (Some("a"), Some("hm")));
    let timing = answer.timing.unwrap();
    assert_eq!((timing.latency, timing.first_token), (1.5, Some(0.25)));
    assert_eq!(runs[0].samples[1].scores[0].value, None);
}

#[test]
fn broken_records_say_where() {
    let whole = record("a");
    let (_folder, path) = file("all.jsonl", format!("{whole}\n{}", &whole[..whole.len() - 20]));
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains("all.jsonl, record 2") && error.contains("ends too early"), "{error}");
    let (_folder, path) = file("x.json", whole.replace("model_info", "model_facts"));
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains("model_info.id"), "{error}");
    // A path that leads out of the folder is not followed.
    let out = whole.replace(
        r#""extra":[1]"#,
        r#""detailed_evaluation_results":{"format":"jsonl","file_path":"../../etc/passwd"}"#,
    );
    let (_folder, path) = file("x.json", out);
    assert!(read_all(&path).1.notes.iter().any(|note| note.contains("is not there")));
}

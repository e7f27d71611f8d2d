//! HELM, SWE-bench submissions and AlpacaEval: real files, with numbers counted apart from this code.

mod common;

use common::{runs, try_runs};
use weighbridge_core::SampleState;

#[test]
fn helm_of_the_field() {
    let Some(folder) = weighbridge_reference::path("data/formats/helm") else { return };
    // In each folder: python3 -c "import json; p=json.load(open('per_instance_stats.json'));
    //   st=json.load(open('stats.json')); f=lambda n: sum(x.get('mean',0) for r in p for x in r['stats']
    //   if x['name']['name']==n); print(len(p), f('exact_match'), f('num_prompt_tokens'), f('num_output_tokens'),
    //   sum('mean' in x for x in st))"
    let (runs, report) = runs(&folder);
    assert_eq!(report.format, "helm");
    let expect = [
        ("commonsense:dataset=hellaswag,method=multiple_choice_joint", "eleutherai/pythia-1b-v0", 3.0, 6314, 79),
        ("mmlu:subject=philosophy,method=multiple_choice_joint", "openai/gpt2", 1.0, 3574, 158),
    ];
    assert_eq!(runs.len(), expect.len());
    for (run, (task, model, exact, prompt, means)) in runs.iter().zip(expect) {
        assert_eq!((run.header.tasks[0].name.as_str(), run.header.models[0].name.as_str()), (task, model));
        assert_eq!(run.header.tasks[0].main_score.as_deref(), Some("exact_match"));
        assert_eq!((run.samples.len(), run.count(SampleState::Scored), run.sum("exact_match")), (10, 10, exact));
        let tokens: u64 = run.samples.iter().filter_map(|s| s.answers[0].usage.input).sum();
        let output: u64 = run.samples.iter().filter_map(|s| s.answers[0].usage.output).sum();
        assert_eq!((tokens, output, run.results.len()), (prompt, 10, means));
    }
    let sample = &runs[1].samples[0];
    assert_eq!((sample.key.sample.as_str(), sample.target[0].as_str()), ("id147", "internalmeaning"));
    assert_eq!(sample.choices.len(), 4);
    let main = sample.scores.iter().find(|s| s.name == "exact_match").unwrap();
    assert_eq!(main.answer.as_deref(), Some("meaning in an afterlife"));
    // Tokens of answers are not kept, and nothing else is left.
    assert_eq!(report.unknown_fields.keys().collect::<Vec<_>>(), ["request_states.result.completions.tokens"]);
}

#[test]
fn helm_failures_and_perturbations() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "run_spec.json",
        r#"{"name": "q:model=a_b", "adapter_spec": {"model": "a/b"}, "scenario_spec": {"class_name": "C"},
            "metric_specs": [{"args": {"names": ["f1"]}}]}"#,
    );
    write(
        "per_instance_stats.json",
        r#"[{"instance_id": "i", "stats": [{"name": {"name": "f1"}, "mean": 0.5}]},
            {"instance_id": "i", "perturbation": {"name": "typos", "prob": 0.1}, "stats": [{"name": {"name": "f1"}, "mean": NaN}]},
            {"instance_id": "k", "stats": [{"name": {"name": "f1"}, "mean": 0}]}]"#,
    );
    let state = |instance: &str, result: &str| format!(r#"{{"instance": {{{instance}}}, "result": {{{result}}}}}"#);
    let ok = r#""success": true, "completions": [{"text": "x"}]"#;
    let states = [
        state(r#""id": "i""#, ok),
        state(r#""id": "i", "perturbation": {"name": "typos", "prob": 0.1}"#, ok),
        state(r#""id": "k""#, r#""success": false, "error": "500", "completions": []"#),
    ];
    write("scenario_state.json", &format!(r#"{{"request_states": [{}]}}"#, states.join(",")));
    let (read, _) = runs(folder.path());
    let found: Vec<_> = read[0].samples.iter().map(|s| (s.key.sample.as_str(), s.state.as_str())).collect();
    assert_eq!(found, [("i", "scored"), ("i/typos(prob=0.1)", "missing"), ("k", "provider_error")]);
    assert_eq!(read[0].sum("f1"), 0.5);

    write("scenario_state.json", r#"{"request_states": [{"instance": {}}]}"#);
    let error = try_runs(folder.path()).err().unwrap().to_string();
    assert!(error.contains("scenario_state.json, request_states.0: no instance.id"), "{error}");
}

#[test]
fn swe_bench_of_the_field() {
    let Some(folder) = weighbridge_reference::path("data/formats/swe_bench_experiments_layout") else { return };
    let (runs, report) = runs(&folder);
    assert_eq!(report.format, "swe-bench");
    // for d in 2024*; do python3 -c "import json; d=json.load(open('$d/results/results.json')); print(
    //   len(d['resolved']), len(d['unresolved_ids']), len(d['empty_patch_ids']), len(d['error_ids']),
    //   len(d['incomplete_ids']))"; done
    let expect = [
        ("deepseek-chat-v2", 9, 74, 7, 1, 0),
        ("deepseek-coder-v2", 7, 78, 6, 0, 0),
        ("doubao-pro-128k", 1, 68, 22, 0, 0),
        ("gpt-4o-2024-05-13", 6, 76, 3, 0, 6),
        ("gpt-4o-mini-2024-07-18", 1, 0, 0, 0, 90),
    ];
    assert_eq!(runs.len(), expect.len());
    for (run, (name, resolved, unresolved, empty, errors, missing)) in runs.iter().zip(expect) {
        assert_eq!(run.header.models[0].name, format!("SWE-agent + {name}"));
        assert_eq!(run.sum("resolved"), f64::from(resolved));
        let states = [SampleState::Scored, SampleState::WrongFormat, SampleState::HarnessError, SampleState::Missing];
        assert_eq!(
            states.map(|state| run.count(state)),
            [resolved as usize + unresolved, empty, errors, missing],
            "{name}"
        );
        assert_eq!(run.header.tasks[0].samples, Some(91));
        assert_eq!(run.results[0].value, f64::from(resolved) / 91.0);
    }
    // 25 August 2024, and the repository of the first prediction.
    assert_eq!(runs[1].header.started, Some(1_724_544_000.0));
    assert_eq!(runs[1].samples[0].group.as_deref(), Some("apache/dubbo"));
    // python3 -c "import json; print(sum(len(json.loads(l)['model_patch'] or '') for l in open('…/all_preds.jsonl')))"
    let texts = runs[1].samples.iter().flat_map(|s| &s.answers).filter_map(|answer| answer.text.as_ref());
    let patches: usize = texts.map(|text| text.chars().count()).sum();
    assert_eq!(patches, PATCHES);
}

/// Characters of all patches.
const PATCHES: usize = 292_974;

#[test]
fn swe_bench_splits_and_errors() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("evaluation/verified/20250101_agent");
    std::fs::create_dir_all(folder.join("results")).unwrap();
    let results = folder.join("results/results.json");
    let text = r#"{"no_generation": ["a__b-1"], "no_logs": ["a__b-2"], "resolved": ["a__b-3"]}"#;
    std::fs::write(&results, text).unwrap();
    let (read, report) = runs(&folder);
    let run = &read[0];
    assert_eq!((run.header.tasks[0].name.as_str(), run.header.tasks[0].samples), ("swe-bench-verified", Some(500)));
    let states: Vec<_> = run.samples.iter().map(|s| s.state.as_str()).collect();
    assert_eq!(states, ["wrong_format", "harness_error", "scored"]);
    assert!(report.notes[0].contains("3 of 500 instances are listed"), "{:?}", report.notes);
    std::fs::write(&results, r#"{"resolved": [3]}"#).unwrap();
    let error = try_runs(&folder).err().unwrap().to_string();
    assert!(error.contains("results.json, resolved: an id must be a text, not a number"), "{error}");
}

/// Written by hand: there is no real file at hand. Names of fields are those of the program's documentation.
#[test]
fn alpaca_eval() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("annotations.json");
    let one = |i: u32, preference: &str| {
        format!(
            r#"{{"instruction": "q{i}", "output_1": "a", "generator_1": "base", "output_2": "b", "generator_2": "m",
                "dataset": "koala", "annotator": "judge", "preference": {preference}, "price_per_example": 0.01}}"#
        )
    };
    let rows = [one(0, "1.75"), one(1, "null"), one(2, "1"), one(3, "NaN"), one(4, "0"), one(5, "7"), one(0, "2.0")];
    std::fs::write(&path, format!("[{}]", rows.join(","))).unwrap();
    let (read, report) = runs(&path);
    let run = &read[0];
    assert_eq!(report.format, "alpaca-eval");
    let values: Vec<_> = run.samples.iter().map(|s| s.scores[0].value).collect();
    assert_eq!(values, [Some(0.75), None, Some(0.0), None, Some(0.5), None, Some(1.0)]);
    assert_eq!(run.count(SampleState::HarnessError), 3);
    assert_eq!((run.samples[6].key.sample.as_str(), run.samples[6].key.epoch), ("0", 2));
    assert_eq!(run.samples[0].scores[0].grader.as_deref(), Some("judge"));
    assert!(report.unknown_fields.is_empty(), "{:?}", report.unknown_fields);
    std::fs::write(&path, format!("[{}, 3]", one(0, "1"))).unwrap();
    let error = try_runs(&path).err().unwrap().to_string();
    assert!(error.contains("annotations.json, 1: an annotation must be an object, not a number"), "{error}");
}

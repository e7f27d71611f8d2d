//! Logs of lm-evaluation-harness and promptfoo: every real file, with numbers counted apart from this code.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

mod common;

use std::path::Path;

use common::{runs, try_runs};
use weighbridge_core::{Prompt, Protocol, SampleState};

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn lm_eval_of_the_field() {
    let Some(folder) = weighbridge_reference::path("data/formats/lm_evaluation_harness") else { return };
    let (runs, report) = runs(&folder);
    assert_eq!(report.format, "lm-eval");
    // python3 -c "import json,glob; d=json.load(open(glob.glob('results*')[0])); print(d['results'], d['n-samples'])"
    let [run] = &runs[..] else { panic!() };
    assert_eq!(run.header.program, "lm_eval 0.4.9.2");
    assert_eq!(run.header.models[0].name, "RylanSchaeffer/mem_Qwen3-93M_minerva_math_rep_0_sbst_1.0000_epch_1_ot_1");
    assert_eq!(run.header.models[0].revision.as_deref(), Some("82047f5e5d5245c1b3a4cd75ad98aa441d6487cd"));
    assert_eq!(run.header.settings["apply_chat_template"], false);
    let results: Vec<_> = run.results.iter().map(|r| (r.task.as_str(), r.value, r.standard_error, r.samples)).collect();
    assert_eq!(
        results,
        [
            ("math_perturbed_full", 0.0, Some(0.0), Some(5000)),
            ("math_rephrased_full", 0.0004, Some(0.000_282_814_421_130_447_1), Some(5000)),
        ]
    );
    // python3 -c "import json,glob; r=[json.loads(l) for l in open(glob.glob('samples*')[0])];
    //             print(len(r), sum(x['exact_match'] for x in r), sum(len(x['resps'][0][0]) for x in r))"
    assert_eq!((run.samples.len(), run.sum("exact_match,none")), (10, 0.0));
    let chars: usize = run.samples.iter().map(|s| s.answers[0].text.as_ref().unwrap().chars().count()).sum();
    assert_eq!(chars, CHARS);
    assert_eq!(run.samples[0].target, ["3"]);
    // What describes the machine is counted, all else has a place.
    assert_eq!(report.unknown_fields.keys().collect::<Vec<_>>(), ["pretty_env_info"]);
}

/// Characters of all answers.
const CHARS: usize = 12087;

/// The golden folder was made in a folder with `data/` of `data/lm_eval_ref` and two tasks, `wb_mc_0shot` of there and
/// `wb_two`, which is `wb_gen` with one shot, version 2 and the filters `digits` (regex `(-?[0-9]+)`, then take_first)
/// and `whole` (take_first), by: `lm_eval run --model hf --model_args pretrained=smollm2-f32,dtype=float32 --tasks
/// wb_two,wb_mc_0shot --include_path tasks --limit 6 --device cpu --output_path out --log_samples` (0.4.13).
#[test]
fn lm_eval_filters_are_joined() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lm_eval");
    let (runs, report) = runs(&folder);
    let [run] = &runs[..] else { panic!() };
    assert_eq!((run.header.program.as_str(), run.header.tasks.len()), ("lm_eval 0.4.13", 2));
    // python3 -c "import json; r=[json.loads(l) for l in open('samples_wb_two_….jsonl')]; print(len(r),
    //   sum(x['exact_match'] for x in r if x['filter']=='whole'), sum(x['filtered_resps']==['[invalid]'] for x in r))"
    // prints 12 2.0 4; for samples_wb_mc_0shot: 6 rows, acc 5.0, acc_norm 4.0.
    assert_eq!(run.samples.len(), 6 + 6);
    assert_eq!((run.sum("exact_match,whole"), run.sum("acc,none"), run.sum("acc_norm,none")), (2.0, 5.0, 4.0));
    let two: Vec<_> = run.samples.iter().filter(|s| s.key.task == "wb_two").collect();
    assert_eq!(two.iter().filter(|s| s.state == SampleState::WrongFormat).count(), 4);
    let first = two[0];
    let names: Vec<_> = first.scores.iter().map(|s| (s.name.as_str(), s.state, s.value)).collect();
    assert_eq!(
        names,
        [("exact_match,digits", SampleState::WrongFormat, None), ("exact_match,whole", SampleState::Scored, Some(1.0))]
    );
    assert_eq!(first.scores[0].parts, Some(serde_json::json!({"lm_eval": 0.0})));
    assert_eq!(two[1].scores[0].answer.as_deref(), Some("67"));
    let choice = run.samples.iter().find(|s| s.key.task == "wb_mc_0shot").unwrap();
    assert_eq!(choice.loglikelihoods.len(), 4);
    assert_eq!(choice.loglikelihoods[2].continuation, " Na");
    assert_eq!(
        (choice.loglikelihoods[2].logprob, choice.loglikelihoods[2].greedy),
        (-2.232_330_322_265_625, Some(false))
    );
    assert_eq!(
        (&choice.choices[..], &choice.target[..]),
        (&["W", "As", "Na", "Cu"].map(String::from)[..], &["Na".to_owned()][..])
    );
    assert_eq!(choice.doc.as_ref().unwrap()["gold"], 2);
    let facts = run.header.tasks.iter().find(|t| t.name == "wb_mc_0shot").unwrap();
    assert_eq!((facts.protocol, facts.samples, facts.few_shot), (Some(Protocol::Loglikelihood), Some(6), Some(0)));
    assert_eq!(facts.dataset.as_ref().unwrap().size, Some(500));
    assert_eq!(run.results.len(), 4);
    assert_eq!(report.unknown_fields.keys().collect::<Vec<_>>(), ["pretty_env_info"]);
}

#[test]
fn lm_eval_old_rows_read_too() {
    let folder = tempfile::tempdir().unwrap();
    // A list with indents, arguments as lists, likelihoods as numbers, and neither filter nor metrics named.
    let rows = r#"[
  {"doc_id": 0, "doc": {"q": "a"}, "target": 1, "arguments": [["c", " x"], ["c", " y"]],
   "resps": [[[-1.5, false]], [[-0.5, true]]], "filtered_resps": [[-1.5, false], [-0.5, true]], "acc": 1.0},
  {"doc_id": 1, "doc": {"q": "b"}, "target": 0, "arguments": [["c", " x"], ["d", " x"]],
   "resps": [[[NaN, false]], [[-0.5, true]]], "filtered_resps": [], "acc": NaN}
]"#;
    let path = write(folder.path(), "out_task.jsonl", &rows.replace("[[NaN, false]]", "[[-3, false]]"));
    let (read, _) = runs(&path);
    let samples = &read[0].samples;
    assert_eq!((samples[0].scores[0].name.as_str(), samples[0].scores[0].value), ("acc,none", Some(1.0)));
    assert_eq!(samples[0].target, ["y"]);
    assert_eq!(samples[1].state, SampleState::Missing);
    assert_eq!(samples[1].metadata["contexts"], serde_json::json!(["c", "d"]));
    let error = try_runs(&write(folder.path(), "nan.jsonl", rows)).err().unwrap().to_string();
    assert!(error.contains("nan.jsonl, line 2: resps.0 is no log-likelihood"), "{error}");
}

#[test]
fn lm_eval_errors_name_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = r#"{"doc_id": 0, "target": "a", "resps": [["a"]], "filter": "none", "metrics": ["m"], "m": 1}"#;
    for (text, expect) in [
        ("{\"doc_id\": 1, \"resps\"", "line 2 column"),
        ("{\"resps\": []}", "line 2: no doc_id"),
        ("{\"doc_id\": -1, \"resps\": []}", "line 2: doc_id is not a position from 0 but -1"),
        ("[1]", "line 2"),
        ("{\"doc_id\": 1, \"resps\": 3}", "line 2: resps must be a list, not a number"),
    ] {
        let path = write(folder.path(), "samples.jsonl", &format!("{good}\n{text}\n"));
        let error = try_runs(&path).err().unwrap().to_string();
        assert!(error.contains("samples.jsonl") && error.contains(expect), "{error}");
    }
}

#[test]
fn promptfoo_of_the_field() {
    let Some(folder) = weighbridge_reference::path("data/formats/promptfoo") else { return };
    // python3 -c "import json,sys; d=json.load(open(sys.argv[1])); r=d['results']; r=r if isinstance(r,list) else
    //   r['results']; print(len(r), sum(x.get('score',float(x['success'])) for x in r),
    //   sum((x['response'].get('tokenUsage')or{}).get('completion',0) for x in r),
    //   sum(len((x.get('gradingResult') or {}).get('componentResults') or []) for x in r))"
    for (file, models, samples, score, output, components) in [
        ("examples/config-js/output.json", 1, 8, 8.0, 0, 0),
        ("examples/provider-replicate/llama4-scout/output.json", 1, 10, 10.0, 0, 0),
        ("examples/redteam-tracing-example/redteam_tracing_results.json", 1, 10, 10.0, 3420, 10),
        ("examples/simple-cli/output.json", 1, 8, 8.0, 0, 0),
        ("test/__fixtures__/sample-export.json", 2, 4, 2.583_333, 708, 14),
    ] {
        let (runs, report) = runs(&folder.join(file));
        assert_eq!(report.format, "promptfoo");
        let [run] = &runs[..] else { panic!() };
        assert_eq!((run.header.models.len(), run.samples.len()), (models, samples), "{file}");
        assert!((run.sum("score") - score).abs() < 1e-5, "{file}: {}", run.sum("score"));
        assert_eq!(run.count(SampleState::Scored), samples, "{file}");
        let tokens: u64 = run.samples.iter().filter_map(|s| s.answers[0].usage.output).sum();
        assert_eq!(tokens, output, "{file}");
        let found = run.samples.iter().flat_map(|s| &s.scores).filter(|s| s.name.contains(':')).count();
        assert_eq!(found, components, "{file}");
        let keys: std::collections::BTreeSet<_> = run.samples.iter().map(|s| s.key.clone()).collect();
        assert_eq!(keys.len(), samples, "{file}");
    }
    let (runs, _) = runs(&folder.join("test/__fixtures__/sample-export.json"));
    let run = &runs[0];
    assert_eq!(run.header.id, "eval-WJi-2025-10-01T20:08:11");
    assert_eq!(run.header.program, "promptfoo 0.118.10");
    let cost: f64 = run.samples.iter().filter_map(|s| s.answers[0].cost.usd).map(|usd| usd.0).sum();
    assert!((cost - 0.003_981).abs() < 1e-6, "{cost}");
    // One prompt for two models: the same sample for both.
    let ids: std::collections::BTreeSet<_> = run.samples.iter().map(|s| s.key.sample.as_str()).collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["0", "1"]);
}

#[test]
fn promptfoo_failures_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let head = r#"{"evalId": "e", "results": {"version": 3, "prompts": [], "results": ["#;
    let one = |i: u32, rest: &str| {
        format!(r#"{{"testIdx": {i}, "provider": {{"id": "p:m"}}, "vars": {{"a": {i}}}, {rest}}}"#)
    };
    let results = [
        one(0, r#""success": false, "score": 0, "failureReason": 2, "error": "API error: 500""#),
        one(1, r#""success": false, "score": 0, "failureReason": 2, "response": {"output": "x"}, "error": "no judge""#),
        one(
            2,
            r#""success": false, "score": 0, "failureReason": 1, "response": {"output": "x"}, "gradingResult":
               {"componentResults": [{"pass": false, "score": 0, "metadata": {"graderError": true}}]}"#,
        ),
        one(3, r#""success": false, "score": 0.25, "failureReason": 1, "response": {"output": {"k": 1}}"#),
        one(4, r#""odd": 1"#),
    ];
    let text = format!("{head}{}]}}, \"config\": {{\"env\": {{\"K\": \"v\"}}}}}}", results.join(","));
    let (runs, report) = runs(&write(folder.path(), "out.json", &text));
    let states: Vec<_> = runs[0].samples.iter().map(|s| s.state.as_str()).collect();
    assert_eq!(states, ["provider_error", "harness_error", "harness_error", "scored", "missing"]);
    assert_eq!(runs[0].samples[3].answers[0].text.as_deref(), Some(r#"{"k":1}"#));
    assert_eq!(runs[0].header.tasks[0].name, "out");
    assert_eq!(report.unknown_fields.keys().collect::<Vec<_>>(), ["config.env", "results.odd"]);

    let error = try_runs(&write(folder.path(), "bad.json", &format!("{head}3]}}}}"))).err().unwrap().to_string();
    assert!(error.contains("bad.json, results.results.0: a result must be an object, not a number"), "{error}");
    let error = try_runs(&write(folder.path(), "cut.json", &text[..200])).err().unwrap().to_string();
    assert!(error.contains("cut.json, line 1 column 200"), "{error}");
}

#[test]
fn promptfoo_tables_without_results() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"table": {"head": {"prompts": [{"raw": "Hi {{n}}", "provider": "p:a"}, {"raw": "Hi {{n}}", "provider": "p:b"}],
        "vars": ["n"]}, "body": [{"outputs": [{"text": "x", "pass": true, "score": 1, "prompt": "Hi 1"}, "[FAIL] y"], "vars": ["1"]}]}}"#;
    let (runs, _) = runs(&write(folder.path(), "t.json", text));
    let samples = &runs[0].samples;
    assert_eq!(
        samples.iter().map(|s| (s.key.model.as_str(), s.key.sample.as_str())).collect::<Vec<_>>(),
        [("p:a", "0"), ("p:b", "0")]
    );
    assert_eq!((runs[0].sum("score"), samples[1].answers[0].text.as_deref()), (1.0, Some("y")));
    assert_eq!(samples[0].input, Some(Prompt::Text("Hi 1".to_owned())));
}

#[test]
fn files_of_other_programs_are_left_alone() {
    let Some(root) = weighbridge_reference::path("data/formats") else { return };
    let mut folders = vec![root.join("inspect_ai"), root.join("every_eval_ever")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let source = weighbridge_logs::Source::open(&path).unwrap();
            for format in weighbridge_logs::FORMATS {
                let ours = ["lm-eval", "helm", "promptfoo", "swe-bench", "alpaca-eval"].contains(&format.name);
                assert!(!(ours && format.matches(&source)), "{} is taken for {}", path.display(), format.name);
            }
        }
    }
    assert!(files > 20, "{files}");
}

#[test]
fn lm_eval_compressed_files_read_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lm_eval");
    let name = "samples_wb_two_2026-11-24T20-04-13.840796.jsonl";
    let packed = tempfile::tempdir().unwrap();
    let path = packed.path().join(format!("{name}.zst"));
    let text = std::fs::read(folder.join(name)).unwrap();
    std::fs::write(&path, zstd::encode_all(&text[..], 3).unwrap()).unwrap();
    let (plain, _) = runs(&folder.join(name));
    let (unpacked, _) = runs(&path);
    assert_eq!(plain[0].samples.len(), 6);
    // The results beside the file tell the model; without them it is the name of the folder.
    assert!(plain[0].header.models[0].name.ends_with("smollm2-f32"));
    let answers =
        |run: &common::Run| run.samples.iter().map(|s| (s.scores.clone(), s.answers.clone())).collect::<Vec<_>>();
    assert_eq!(answers(&plain[0]), answers(&unpacked[0]));
}

//! Tasks loaded here ask what lm-evaluation-harness 0.4.13 asks, word for word (goldens: `lm_eval/prompts.py`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its data are wrong")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use weighbridge_core::{Prompt, Protocol, Sampling};
use weighbridge_run::lm_eval::{load, load_with};
use weighbridge_run::{Ask, Style, Task, TaskError, TaskOptions, TaskSample};

const LIMIT: u64 = 4;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lm_eval").join(path)
}

/// What a sample asks, in the form of the goldens.
fn asked(sample: &TaskSample, sampled: bool) -> Vec<Value> {
    match &sample.ask {
        Ask::Rolling(text) => vec![json!([text])],
        Ask::Loglikelihood(requests) => requests.iter().map(|one| json!([one.context, one.continuation])).collect(),
        Ask::Generate(requests) => {
            let request = &requests[0];
            let context = match &request.prompt {
                Prompt::Text(text) => json!(text),
                Prompt::Messages(messages) => json!(messages),
            };
            assert_eq!(request.sampling == Sampling::GREEDY, !sampled);
            for (repeat, other) in requests.iter().enumerate() {
                assert_eq!((&other.prompt, other.repeat as usize), (&request.prompt, repeat));
            }
            vec![json!([context, request.stop, request.max_tokens])]
        }
    }
}

/// A request of a golden, in the same form.
fn expected(arguments: &Value) -> (Value, bool) {
    match arguments.get(1) {
        Some(Value::Object(settings)) => {
            let until = match &settings["until"] {
                Value::String(one) => json!([one]),
                several => several.clone(),
            };
            let most = settings.get("max_gen_toks").cloned().unwrap_or(json!(256));
            (json!([arguments[0], until, most]), settings.get("do_sample") == Some(&json!(true)))
        }
        _ => (arguments.clone(), false),
    }
}

fn one(path: &Path, options: &TaskOptions) -> Task {
    let mut tasks = load(path, options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tasks.len(), 1);
    tasks.remove(0)
}

/// Lengths and checksums in the place of texts, as `prompts.py` writes them.
fn digest(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let mut checksum = flate2::Crc::new();
            checksum.update(text.as_bytes());
            json!(format!("{}:{:08x}", text.chars().count(), checksum.sum()))
        }
        Value::Array(items) => items.into_iter().map(digest).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, digest(value))).collect(),
        other => other,
    }
}

/// Compares every case of a golden file, which holds texts in a form; gives how many requests were the same.
fn check(golden: &str, folder: &Path, form: fn(Value) -> Value) -> usize {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(here(golden)).unwrap()).unwrap();
    let mut compared = 0;
    for case in &cases {
        let name = case["task"].as_str().unwrap();
        for run in case["runs"].as_array().unwrap() {
            let options = TaskOptions {
                style: match run["style"].as_str().unwrap() {
                    "text" => Style::Text,
                    "chat" => Style::Chat,
                    _ => Style::ChatMultiturn,
                },
                limit: Some(LIMIT),
                few_shot: case["few_shot"].as_u64().map(|shots| shots as u32),
                system: run["system"].as_str().map(str::to_owned),
                ..TaskOptions::default()
            };
            let task = one(&folder.join(format!("{name}.yaml")), &options);
            let mut rows: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
            for request in run["requests"].as_array().unwrap() {
                rows.entry(request[0].as_u64().unwrap()).or_default().push(&request[1]);
            }
            assert_eq!(task.samples.len(), rows.len(), "{name}");
            for (sample, (row, requests)) in task.samples.iter().zip(rows) {
                let (wanted, sampled): (Vec<Value>, Vec<bool>) = requests.into_iter().map(expected).unzip();
                assert_eq!(sample.index, row);
                let found = form(Value::Array(asked(sample, sampled[0])));
                assert_eq!(found, json!(wanted), "{name}, row {row}, {} {}", run["style"], run["system"]);
                compared += wanted.len();
                gold(sample, &case["targets"][row as usize], &case["choices"][row as usize], form);
            }
        }
    }
    compared
}

/// Compares what counts as right.
fn gold(sample: &TaskSample, target: &Value, choices: &Value, form: fn(Value) -> Value) {
    let targets = form(json!(sample.target));
    match (&sample.ask, target) {
        (Ask::Rolling(text), _) => assert_eq!(form(json!(text)), *target),
        (Ask::Generate(_), Value::Array(_)) => assert_eq!(targets, *target),
        (_, Value::String(_)) if choices.is_null() => assert_eq!(targets, json!([target])),
        (_, target) if choices.is_array() => {
            assert_eq!(form(json!(sample.choices)), *choices);
            // Several inputs have the place of the choice as their question.
            if let Some(place) = target.as_u64() {
                let within = choices.get(place as usize);
                let doc = sample.doc.as_ref().unwrap();
                assert_eq!(doc["gold"], within.map_or(json!([-100]), |_| json!([place])));
                assert_eq!(targets, within.map_or(json!([]), |text| json!([text])));
            }
        }
        (_, other) => assert_eq!(targets, json!([form(json!(other.to_string()))])),
    }
}

#[test]
fn reference_tasks_ask_the_same() {
    let Some(folder) = weighbridge_reference::path("data/lm_eval_ref") else { return };
    // Its files name data below the folder above them.
    let copy = tempfile::tempdir().unwrap();
    for name in ["wb_mc_0shot", "wb_mc_5shot", "wb_gen"] {
        let text = std::fs::read_to_string(folder.join(format!("tasks/{name}.yaml"))).unwrap();
        let text = text.replace(": data/", &format!(": {}/data/", folder.display()));
        std::fs::write(copy.path().join(format!("{name}.yaml")), text).unwrap();
    }
    assert!(check("reference.json", copy.path(), |text| text) > 50);

    let task = one(&copy.path().join("wb_gen.yaml"), &TaskOptions::default());
    let facts = &task.facts;
    assert_eq!((facts.name.as_str(), facts.version.as_deref(), facts.few_shot), ("wb_gen", Some("1.0"), Some(5)));
    assert_eq!(
        (facts.samples, facts.protocol, facts.main_score.as_deref()),
        (Some(200), Some(Protocol::Generate), Some("exact_match,none"))
    );
    let dataset = facts.dataset.as_ref().unwrap();
    assert_eq!(
        (dataset.size, dataset.split.as_deref(), dataset.hash.as_ref().unwrap().len()),
        (Some(200), Some("test"), 64)
    );
    let metric = &facts.scoring.as_ref().unwrap()["lm_eval"]["metrics"][0];
    assert_eq!(
        (&metric["metric"], &metric["options"]["regexes_to_ignore"]),
        (&json!("exact_match"), &json!(["^\\s+"]))
    );
}

#[test]
fn own_tasks_ask_the_same() {
    let Some(folder) = weighbridge_reference::path("data/tasks") else { return };
    let shared = folder.parent().and_then(Path::parent).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(here("tasks")).unwrap() {
        let entry = entry.unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let text = text.replace(": data/", &format!(": {}/data/", shared.display()));
        std::fs::write(copy.path().join(entry.file_name()), text).unwrap();
    }
    assert!(check("own.json", copy.path(), digest) > 200);
}

#[test]
fn tasks_with_functions_ask_the_same() {
    assert!(check("native.json", &here("native"), |text| text) > 30);
    let task = one(&here("native/truthfulqa_mc2.yaml"), &TaskOptions::default());
    assert_eq!(task.facts.scoring.as_ref().unwrap()["lm_eval"]["native"], "truthfulqa_mc2");
    assert_eq!(task.samples[0].doc.as_ref().unwrap()["mc2_targets"]["labels"], json!([1, 1, 0, 0]));
    let task = one(&here("native/wikitext.yaml"), &TaskOptions::default());
    assert_eq!(task.facts.scoring.as_ref().unwrap()["lm_eval"]["native"], "wikitext");
    let doc = task.samples[1].doc.clone().unwrap();
    assert_eq!((&doc["words"], &doc["bytes"], &doc["page"]), (&json!(4), &json!(11), &json!(" One line . \n")));
}

/// Writes a file into a folder.
fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

const TASK: &str = "dataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\ntest_split: test\n\
                    output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_target: a\ndoc_to_choice: ['x', 'y']\n";

#[test]
fn a_group_gives_its_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    file(folder, "rows.jsonl", "{\"q\": \"Which?\", \"a\": 1}\n");
    file(folder, "base", TASK);
    file(folder, "one.yaml", "include: base\ntask: one\ntag: [pair]\n");
    file(folder, "two.yaml", "include: base\ntask: two\ntag: pair\ndescription: 'Two. '\n");
    file(folder, "inner.yaml", "group: inner\ntask: [pair]\n");
    let all = "group: all\ntask:\n- inner\n- {task: one, description: 'Again. '}\n- group: more\n  task: [two]\n- \
               {task: new, dataset_path: json, dataset_kwargs: {data_files: {test: rows.jsonl}}, test_split: test, \
               output_type: loglikelihood, doc_to_text: q, doc_to_target: '{{a}}'}\n";
    let path = file(folder, "all.yaml", all);
    let tasks = load(&path, &TaskOptions::default()).unwrap();
    let found: Vec<(&str, Vec<&str>, String)> = tasks
        .iter()
        .map(|task| {
            let Ask::Loglikelihood(requests) = &task.samples[0].ask else { panic!() };
            let groups = task.facts.groups.iter().map(String::as_str).collect();
            (task.facts.name.as_str(), groups, requests[0].context.clone())
        })
        .collect();
    let expected = [
        ("one", vec!["all", "inner"], "Which?"),
        ("two", vec!["all", "inner"], "Two. Which?"),
        ("one", vec!["all"], "Again. Which?"),
        ("two", vec!["all", "all::more"], "Two. Which?"),
        ("all::new", vec!["all"], "Which?"),
    ];
    assert_eq!(found, expected.map(|(name, groups, context)| (name, groups, context.to_owned())));
    assert_eq!(load(&folder.join("pair"), &TaskOptions::default()).unwrap().len(), 2);
    let hashes: Vec<_> = tasks.iter().map(|task| task.facts.hash.clone().unwrap()).collect();
    assert!(hashes[1] == hashes[3] && hashes[0] != hashes[2]);
}

#[test]
fn copies_of_hub_datasets_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = TASK.replace(
        "dataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}",
        "dataset_path: some/set\ndataset_name: c",
    );
    let path = file(folder, "task.yaml", &format!("task: t\n{text}"));
    let refused = load_with(&path, &TaskOptions::default(), Some(folder)).unwrap_err();
    assert!(matches!(refused, TaskError::Unsupported { .. }));
    assert!(refused.to_string().contains("some__set/c/test.jsonl"), "{refused}");
    file(folder, "some__set/c/test.jsonl", "{\"q\": \"Which?\", \"a\": 2}\n");
    let tasks = load_with(&path, &TaskOptions::default(), Some(folder)).unwrap();
    let dataset = tasks[0].facts.dataset.as_ref().unwrap();
    assert_eq!((dataset.source.as_str(), dataset.config.as_deref()), ("some/set", Some("c")));
    assert_eq!(tasks[0].samples[0].doc, Some(json!({"gold": [-100]})));
}

#[test]
fn what_cannot_be_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    file(folder, "rows.jsonl", "{\"q\": \"Which?\", \"a\": 1}\n");
    for (more, said) in [
        ("process_docs: !function utils.clean\n", "process_docs is the Python function utils.clean in line 9 of"),
        ("fewshot_config: {sampler: !function s.Own}\n", "fewshot_config.sampler is the Python function s.Own"),
        (
            "filter_list: [{name: n, filter: [{function: !function f.Own}]}]\n",
            "filter_list is the Python function f.Own",
        ),
        ("metric_list: [{metric: !function m.own}]\n", "metric_list.metric is the Python function m.own"),
        ("class: !function t.Own\n", "class is the Python function t.Own"),
        ("unsafe_code: true\n", "code that a model wrote is not run here"),
        ("doc_to_image: picture\n", "doc_to_image is not done here"),
        ("num_fewshots: 3\n", "num_fewshots: a task has no such key"),
        ("num_fewshot: many\n", "num_fewshot: a whole number was expected"),
        ("num_fewshot: 3\n", "row 1: 3 documents are needed for worked examples, and there are 1"),
        ("description: '{{nothing}}'\n", "row 1: undefined value"),
        ("test_split: dev\n", "split dev: there are no rows for this split; there are test"),
        ("dataset_path: parquet\n", "write the rows as JSON lines"),
        ("dataset_kwargs: {data_files: gone.jsonl}\n", "gone.jsonl is neither below the current folder nor at"),
        ("include: task.yaml\n", "files include each other"),
        ("doc_to_choice: '{{q}}'\n", "row 1: doc_to_choice: neither a text, a number nor a list"),
        ("a: [\n", "no YAML"),
    ] {
        let path = file(folder, "task.yaml", &format!("task: t\n{TASK}{more}"));
        let error = load(&path, &TaskOptions::default()).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("task.yaml"), "{more}: {error}");
    }
    let path = file(folder, "task.yaml", &format!("task: t\n{TASK}"));
    let chat = TaskOptions { style: Style::Chat, ..TaskOptions::default() };
    assert!(load(&path, &chat).unwrap_err().to_string().contains("within a conversation"));
    let written = TaskOptions { protocol: Some(Protocol::Generate), ..TaskOptions::default() };
    assert!(load(&path, &written).unwrap_err().to_string().contains("by loglikelihood only"));
    assert!(load(&folder.join("absent"), &TaskOptions::default()).unwrap_err().to_string().contains("no such file"));
    // A changed function is not replaced.
    file(folder, "hellaswag/utils.py", "def preprocess(text):\n    return text\n");
    let path = file(
        folder,
        "hellaswag/h.yaml",
        &format!("task: h\n{}process_docs: !function utils.process_docs\n", TASK.replace("rows", "../rows")),
    );
    assert!(load(&path, &TaskOptions::default()).unwrap_err().to_string().contains("is not the one of"));
}

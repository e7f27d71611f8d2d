//! The same weights on the same tasks as lm-evaluation-harness: every log-likelihood, every decision, every aggregate.

use std::path::Path;

use serde_json::Value;

use crate::home::{Home, argument};

#[test]
fn numbers_are_those_of_lm_evaluation_harness() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let Some(tasks) = weighbridge_reference::path("data/lm_eval_ref/tasks") else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden/lm_eval_smollm2.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).expect("the golden")).expect("JSON");
    let home = Home::fresh();
    let task = |name: &str| argument(&tasks.join(name));
    let (choice, written) = (task("wb_mc_0shot.yaml"), task("wb_gen.yaml"));
    let args = ["run", &choice, &written, "-m", &argument(&weights), "--style", "text", "--limit", "100"];
    // The files of the tasks name their data from the folder above.
    let mut command = home.command(&[&args[..], &["--no-lake", "--format", "json"]].concat());
    command.current_dir(tasks.parent().expect("a folder"));
    let log = home.path("log.zst");
    let run = command.args(["-o", &argument(&log)]).output().expect("the program");
    let lines: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    for line in lines.as_array().expect("a list") {
        let (task, score) = (line["task"].as_str().expect("a task"), line["score"].as_str().expect("a score"));
        let stated = &golden["results"][task];
        let (metric, filter) = score.split_once(',').expect("metric and filter");
        let error = format!("{metric}_stderr,{filter}");
        for (ours, theirs) in
            [(&line["lm_eval_value"], &stated[score]), (&line["lm_eval_standard_error"], &stated[&error])]
        {
            let (ours, theirs) = (ours.as_f64().expect("a number"), theirs.as_f64().expect("a number"));
            assert!((ours - theirs).abs() < 1e-9, "{task} {score}: {ours}, not {theirs}");
        }
    }
    let records = records(&log);
    let mut largest: f64 = 0.0;
    for (task, index, record) in &records {
        let expected = &golden[task.as_str()][*index];
        for score in record["scores"].as_array().expect("scores") {
            let name = score["name"].as_str().expect("a name").split(',').next().unwrap_or_default();
            let value = score["value"].as_f64().or_else(|| score["parts"]["lm_eval"].as_f64());
            assert_eq!(value, expected[name].as_f64(), "{task} {index} {name}");
        }
        for (ours, theirs) in record["loglikelihoods"]
            .as_array()
            .into_iter()
            .flatten()
            .zip(expected["ll"].as_array().into_iter().flatten())
        {
            let apart = (ours["logprob"].as_f64().expect("a number") - theirs.as_f64().expect("a number")).abs();
            largest = largest.max(apart);
        }
    }
    assert_eq!(records.len(), 200);
    assert!(largest > 0.0 && largest < 1e-3, "log-likelihoods are {largest} apart");
}

/// Task, position and record of every sample.
fn records(log: &Path) -> Vec<(String, usize, Value)> {
    let text = zstd_text(log);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line"));
    lines
        .filter_map(|line| {
            let sample = line.get("sample")?.clone();
            let task = sample["task"].as_str()?.to_owned();
            Some((task, usize::try_from(sample["index"].as_u64()?).ok()?, sample))
        })
        .collect()
}

fn zstd_text(log: &Path) -> String {
    let mut reader = weighbridge_logs::LogReader::open(log).expect("the log");
    let mut text = String::new();
    while let Ok(line) = reader.next_text().expect("a line") {
        text.push_str(std::str::from_utf8(line).expect("text"));
        text.push('\n');
    }
    text
}

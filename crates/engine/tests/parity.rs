//! Logits and log-probabilities against `transformers` in double precision.

#![expect(clippy::expect_used, reason = "a test stops where its input cannot be read")]

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use weighbridge_engine::decoder::Decoder;
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::score::{Detail, TokenRequest, TokenScore, score};
use weighbridge_engine::{load, run};

fn open(folder: &Path) -> Decoder {
    let checkpoint = Checkpoint::open(folder).expect("the checkpoint opens");
    load::decoder(Arc::new(checkpoint)).expect("the checkpoint loads")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|x| x as u32).collect()
}

/// Every case of `expected.json`: last logits, the likeliest token, and the log-probability of each token.
fn check(folder: &Path, tolerance: f64) {
    let decoder = open(folder);
    let expected = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let cases = expected.as_array().or_else(|| expected["cases"].as_array()).expect("a list of cases");
    assert!(cases.len() >= 4, "{}: few cases", folder.display());
    for case in cases {
        let ids = ids(&case["ids"]);
        let logits = run::last_logits(&decoder, &ids).expect("the model runs");
        let wanted = numbers(&case["last_logits_f64"]);
        for (i, (found, expect)) in logits.iter().zip(&wanted).enumerate() {
            let off = (f64::from(*found) - expect).abs();
            assert!(
                off < tolerance,
                "{}, {} tokens: logit {i} is {found}, expected {expect}",
                folder.display(),
                ids.len()
            );
        }
        let top = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("logits");
        assert_eq!(Some(top as u64), case["argmax"].as_u64(), "{}, {} tokens", folder.display(), ids.len());
        if ids.len() > 1 {
            let request = TokenRequest { context: vec![ids[0]], continuation: ids[1..].to_vec() };
            let scores = score(&decoder, &[request], Detail::Moments, &|_| {}).expect("scores");
            let expected = numbers(&case["token_logprobs_f64"]);
            assert_eq!(scores[0].len(), expected.len());
            for (i, (found, expect)) in scores[0].iter().zip(&expected).enumerate() {
                let off = (f64::from(found.logprob) - expect).abs();
                assert!(
                    off < tolerance,
                    "{}: token {i} of {}: {} for {expect}",
                    folder.display(),
                    ids.len(),
                    found.logprob
                );
            }
            check_moments(case, &scores[0], tolerance);
        }
        if let Some(expected) = case.get("hidden_last_f64").and_then(Value::as_array) {
            check_hidden(&decoder, &ids, expected, tolerance);
        }
    }
}

/// Mean and variance of log p at each position, where the reference has them.
fn check_moments(case: &Value, scores: &[TokenScore], tolerance: f64) {
    if case.get("mean_logprob_f64").is_none() {
        return;
    }
    let (means, variances) = (numbers(&case["mean_logprob_f64"]), numbers(&case["var_logprob_f64"]));
    for (i, score) in scores.iter().enumerate() {
        let (mean, variance) = score.moments.expect("moments were asked for");
        assert!((f64::from(mean) - means[i]).abs() < tolerance, "mean {i}: {mean} for {}", means[i]);
        assert!(
            (f64::from(variance) - variances[i]).abs() < 10.0 * tolerance,
            "variance {i}: {variance} for {}",
            variances[i]
        );
    }
}

/// States at the last position: the embedding and each layer but the last, which the reference gives after a norm.
fn check_hidden(decoder: &Decoder, ids: &[u32], expected: &[Value], tolerance: f64) {
    let layers = run::hidden_states(decoder, ids).expect("hidden states");
    assert_eq!(layers.len(), decoder.layers.len() + 1, "the embedding and one a layer");
    assert_eq!(layers.len(), expected.len());
    let width = decoder.architecture.hidden;
    for (i, (states, expected)) in layers.iter().zip(&expected[..expected.len() - 1]).enumerate() {
        assert_eq!(states.len(), ids.len() * width);
        for (found, expect) in states[(ids.len() - 1) * width..].iter().zip(numbers(expected)) {
            assert!((f64::from(*found) - expect).abs() < tolerance, "layer {i}: {found} for {expect}");
        }
    }
}

/// Greedy continuation, one token at a time.
fn greedy(decoder: &Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let logits = run::last_logits(decoder, &ids).expect("the model runs");
        let top = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).expect("logits");
        ids.push(top as u32);
    }
    ids.split_off(prompt.len())
}

/// A trained model: the story that `transformers` tells, its last logits and log-probabilities.
#[test]
fn a_trained_model_tells_the_same_story() {
    let Some(folder) = weighbridge_reference::path("data/models/stories260k-f32") else { return };
    let decoder = open(&folder);
    let expected = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let story = ids(&expected["greedy_ids"]);
    assert_eq!(greedy(&decoder, &story[..1], story.len() - 1), story[1..]);
    let logits = run::last_logits(&decoder, &story).expect("the model runs");
    for (i, (found, expect)) in logits.iter().zip(numbers(&expected["last_logits"])).enumerate() {
        assert!((f64::from(*found) - expect).abs() < 1e-4, "logit {i}: {found} for {expect}");
    }
    let request = TokenRequest { context: story[..1].to_vec(), continuation: story[1..].to_vec() };
    let scores = score(&decoder, &[request], Detail::LogProbs, &|_| {}).expect("scores");
    for (i, (found, expect)) in scores[0].iter().zip(numbers(&expected["logprobs"])).enumerate() {
        assert!((f64::from(found.logprob) - expect).abs() < 1e-4, "token {i}: {} for {expect}", found.logprob);
    }
}

/// The same checks with the kernels of every weaker instruction set, each in a process of its own.
#[test]
fn weaker_processors_compute_the_same() {
    if std::env::var_os("WEIGHBRIDGE_ISA").is_some() {
        return;
    }
    for isa in ["portable", "avx2", "avx512"] {
        let run = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["every_family", "a_trained_model", "gpt_neo_past"])
            .env("WEIGHBRIDGE_ISA", isa)
            .output()
            .expect("the test starts");
        assert!(run.status.success(), "{isa}:\n{}", String::from_utf8_lossy(&run.stdout));
    }
}

/// `config.v4.json` has the names that most published checkpoints carry, and means the same model.
#[test]
fn older_settings_mean_the_same_model() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut checked = 0;
    for entry in std::fs::read_dir(&goldens).expect("the goldens") {
        let folder = entry.expect("an entry").path();
        if !folder.join("config.v4.json").exists() {
            continue;
        }
        let older = tempfile::tempdir().expect("a folder");
        std::fs::copy(folder.join("config.v4.json"), older.path().join("config.json")).expect("copied");
        for file in std::fs::read_dir(&folder).expect("the golden") {
            let file = file.expect("a file").path();
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            if name.contains("safetensors") {
                std::fs::copy(&file, older.path().join(name)).expect("copied");
            }
        }
        let architecture = |folder: &Path| {
            let checkpoint = Checkpoint::open(folder).expect("the checkpoint opens");
            weighbridge_engine::family::architecture(&checkpoint).expect("the family loads")
        };
        assert_eq!(architecture(older.path()), architecture(&folder), "{}", folder.display());
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} older settings");
}

#[test]
fn gpt_neo_past_its_local_window() {
    for name in ["gptneo-tiny-random", "gptneo-ts1m-shape-random"] {
        let Some(folder) = weighbridge_reference::path(&format!("data/models/{name}")) else { return };
        check(&folder, 1e-4);
    }
}

fn check_greedy(folder: &Path) {
    let Ok(golden) = std::fs::read_to_string(folder.join("greedy.json")) else { return };
    let golden: Value = serde_json::from_str(&golden).expect("JSON");
    let (prompt, expected) = (ids(&golden["prompt"]), ids(&golden["ids"]));
    assert_eq!(greedy(&open(folder), &prompt, expected.len()), expected, "{}", folder.display());
}

/// Small random checkpoints, made and run by `transformers`: see `goldens/README.md`.
#[test]
fn every_family_equals_transformers() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut checked = Vec::new();
    for entry in std::fs::read_dir(&goldens).expect("the goldens") {
        let folder = entry.expect("an entry").path();
        if folder.join("config.json").exists() {
            check(&folder, 1e-4);
            check_greedy(&folder);
            checked.push(folder.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert!(checked.len() >= 11, "only {checked:?}");
}

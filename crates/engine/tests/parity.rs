//! Logits and log-probabilities against `transformers` in double precision.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use weighbridge_engine::decoder::Decoder;
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::score::{Detail, TokenRequest, score};
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
            assert!(off < tolerance, "{}, {} tokens: logit {i} is {found}, expected {expect}", folder.display(), ids.len());
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
                assert!(off < tolerance, "{}: token {i} of {}: {} for {expect}", folder.display(), ids.len(), found.logprob);
            }
        }
    }
}

#[test]
fn gpt_neo_past_its_local_window() {
    for name in ["gptneo-tiny-random", "gptneo-ts1m-shape-random"] {
        let Some(folder) = weighbridge_reference::path(&format!("data/models/{name}")) else { return };
        check(&folder, 1e-4);
    }
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
            checked.push(folder.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert!(checked.len() >= 11, "only {checked:?}");
}

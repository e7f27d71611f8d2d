//! A model over tensors against `transformers` in double precision, and against the decoder.

#![cfg(feature = "tensors")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops where its input cannot be read")]

mod trees;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use weighbridge_core::{Generation, GenerationRequest, Prompt, Sampling};
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::forward::Forward;
use weighbridge_engine::score::{Detail, TokenRequest, score};
use weighbridge_engine::{Device, EngineError, Model, Options, run};

use trees::requests;

const TOLERANCE: f64 = 1e-4;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn load(folder: &Path, device: Device) -> Box<dyn Forward> {
    device.load(Arc::new(Checkpoint::open(folder).unwrap())).expect("the checkpoint loads")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|x| x as u32).collect()
}

/// The first numbers, of which some goldens have only a part.
fn close(what: &str, found: &[f32], expected: &[f64]) {
    assert!(!expected.is_empty() && expected.len() <= found.len(), "{what}: {} numbers", found.len());
    for (i, (found, expect)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expect).abs() < TOLERANCE, "{what}, number {i}: {found}, expected {expect}");
    }
}

/// Every case of `expected.json`: last logits, log-probabilities and hidden states.
fn check(folder: &Path) {
    let model = load(folder, Device::Tensors);
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let cases = expected.as_array().or_else(|| expected["cases"].as_array()).expect("a list of cases");
    assert!(cases.len() >= 4, "{}: few cases", folder.display());
    for case in cases {
        let ids = ids(&case["ids"]);
        let what = format!("{}, {} tokens", folder.display(), ids.len());
        let logits = run::last_logits(model.as_ref(), &ids).unwrap();
        close(&what, &logits, &numbers(&case["last_logits_f64"]));
        let top = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert_eq!(Some(top as u64), case["argmax"].as_u64(), "{what}");
        if ids.len() > 1 {
            let request = TokenRequest { context: vec![ids[0]], continuation: ids[1..].to_vec() };
            let scores = score(model.as_ref(), &[request], Detail::LogProbs, &|_| {}).unwrap().remove(0);
            let scores: Vec<f32> = scores.iter().map(|score| score.logprob).collect();
            close(&what, &scores, &numbers(&case["token_logprobs_f64"]));
        }
        if let Some(expected) = case.get("hidden_last_f64").and_then(Value::as_array) {
            let layers = run::hidden_states(model.as_ref(), &ids).unwrap();
            assert_eq!(layers.len(), expected.len(), "{what}");
            let last = (ids.len() - 1) * model.architecture().hidden;
            // The reference gives the last layer after a norm.
            for (states, expected) in layers.iter().zip(&expected[..expected.len() - 1]) {
                close(&what, &states[last..], &numbers(expected));
            }
        }
    }
}

#[test]
fn every_family_equals_transformers() {
    let mut checked = 0;
    for entry in std::fs::read_dir(golden("")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("config.json").exists() {
            check(&folder);
            checked += 1;
        }
    }
    assert!(checked >= 11, "only {checked} checkpoints");
}

#[test]
fn gpt_neo_past_its_local_window() {
    for name in ["gptneo-tiny-random", "gptneo-ts1m-shape-random"] {
        let Some(folder) = weighbridge_reference::path(&format!("data/models/{name}")) else { return };
        check(&folder);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn trees_are_scored_as_by_the_decoder(requests in requests()) {
        for name in ["gpt_neo", "gpt_neox", "qwen3", "gemma3_text"] {
            let scores = |device| {
                score(load(&golden(name), device).as_ref(), &requests, Detail::Moments, &|_| {}).expect("scores")
            };
            for (here, there) in scores(Device::Cpu).iter().flatten().zip(scores(Device::Tensors).iter().flatten()) {
                prop_assert!((f64::from(here.logprob) - f64::from(there.logprob)).abs() < TOLERANCE);
                prop_assert_eq!(here.likeliest, there.likeliest);
            }
        }
    }
}

/// A golden with a tokenizer, each token of which is one character.
fn with_tokenizer(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(golden(name).join(file), folder.path().join(file)).unwrap();
    }
    let characters = |count: u32| (0..count).filter_map(|i| char::from_u32(0x4e00 + i));
    let vocab: serde_json::Map<_, _> = characters(256).zip(0..).map(|(c, id)| (c.to_string(), json!(id))).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

fn generated(folder: &Path, device: Device, requests: &[GenerationRequest]) -> Vec<Generation> {
    let model = Model::open(folder, "test", Options { device, ..Options::default() }).expect("the model opens");
    model.generate_with(requests, &mut |_, _| {}).expect("texts")
}

/// Several texts in one batch, with a common beginning, some of which end before others.
#[test]
fn greedy_texts_are_those_of_the_decoder() {
    let folder = with_tokenizer("mistral");
    let request = |(prompt, max_tokens): (&str, usize)| GenerationRequest {
        prompt: Prompt::Text(prompt.to_owned()),
        stop: Vec::new(),
        max_tokens,
        sampling: Sampling::GREEDY,
        ..GenerationRequest::new(Prompt::Text(String::new()), 0)
    };
    let beginning = "一丁丂七丄丅丆万丈三上下丌不与丏丐丑丒专";
    let prompts = [
        (beginning.to_owned(), 40),
        (format!("{beginning}且"), 3),
        (format!("{beginning}丕世丗"), 24),
        ("丘丙".into(), 12),
    ];
    let requests: Vec<GenerationRequest> = prompts.iter().map(|(p, n)| request((p, *n))).collect();
    let (here, there) =
        (generated(folder.path(), Device::Cpu, &requests), generated(folder.path(), Device::Tensors, &requests));
    assert_eq!(here.len(), 4);
    for (here, there) in here.iter().zip(&there) {
        assert!(!here.text.is_empty());
        assert_eq!((&here.text, here.tokens, here.finish), (&there.text, there.tokens, there.finish));
        for (a, b) in here.logprobs.iter().zip(&there.logprobs) {
            assert!((f64::from(*a) - f64::from(*b)).abs() < TOLERANCE, "{a} and {b}");
        }
    }
}

/// Quantised weights, a head that is the embedding, and a real tokenizer.
#[test]
fn a_real_model_answers_as_by_the_decoder() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let request = GenerationRequest {
        prompt: Prompt::Text("The capital of France is".to_owned()),
        stop: Vec::new(),
        max_tokens: 8,
        sampling: Sampling::GREEDY,
        ..GenerationRequest::new(Prompt::Text(String::new()), 0)
    };
    let texts =
        [Device::Cpu, Device::Tensors].map(|d| generated(&weights, d, std::slice::from_ref(&request)).remove(0).text);
    assert!(texts[0].contains("Paris"), "{}", texts[0]);
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn a_device_that_is_not_built_in_is_refused_with_its_feature() {
    let device = if cfg!(feature = "cuda") { Device::Metal } else { Device::Cuda(1) };
    let error = device.load(Arc::new(Checkpoint::open(&golden("llama")).unwrap())).expect_err("no such device");
    assert!(matches!(error, EngineError::NotBuilt { .. }), "{error}");
    assert!(error.to_string().contains("--features"), "{error}");
}

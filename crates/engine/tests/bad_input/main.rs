//! Models that are damaged, lie or do not fit together, and requests that make no sense: each gets an error that names
//! it, in bounded time and memory, and nothing panics.

#![expect(
    clippy::expect_used,
    reason = "the lints leave tests alone, but not the functions that tests share; a test ends where one of these fails"
)]

#[path = "../files/build.rs"]
mod build;
mod fuzz;
#[path = "../files/memory.rs"]
mod memory;
mod model;
mod requests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weighbridge_engine::decoder::Decoder;
use weighbridge_engine::files::{Checkpoint, safetensors};
use weighbridge_engine::load;
use weighbridge_engine::score::{Detail, TokenRequest, score};

use build::small_safetensors;
use memory::{limit, peak};

/// No bad file may take longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// From here on this thread does the work of all others, so that its counter sees all memory.
fn alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    std::mem::forget(pool.expect("a pool of this thread"));
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// A copy of a golden checkpoint, to be damaged.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(golden(name)).expect("the golden") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name").to_str().expect("text");
        if file == "config.json" || file.contains("safetensors") {
            std::fs::copy(&path, folder.path().join(file)).expect("copied");
        }
    }
    folder
}

fn config(name: &str) -> Value {
    let text = std::fs::read(golden(name).join("config.json")).expect("config.json");
    serde_json::from_slice(&text).expect("JSON")
}

/// The same checkpoint with other settings.
fn with_config(folder: &Path, config: &Value) {
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
}

fn decoder(path: &Path) -> Result<Decoder, String> {
    let checkpoint = Checkpoint::open(path).map_err(chain)?;
    load::decoder(Arc::new(checkpoint)).map_err(chain)
}

/// An error with its causes, as the program prints it.
fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The error that a checkpoint gives, within the time and the memory that its size permits.
fn refused(path: &Path) -> String {
    let size = size_of(path);
    let start = Instant::now();
    let (answer, held) = peak(|| decoder(path).map(|_| ()));
    assert!(start.elapsed() < PATIENCE, "{}: {:?}", path.display(), start.elapsed());
    assert!(held <= limit(size), "{}: {held} bytes held for {size}", path.display());
    answer.expect_err("a bad checkpoint")
}

fn size_of(path: &Path) -> usize {
    let bytes = |path: &Path| path.metadata().map_or(0, |facts| facts.len() as usize);
    if path.is_file() {
        return bytes(path);
    }
    std::fs::read_dir(path).expect("a folder").flatten().map(|entry| bytes(&entry.path())).sum()
}

/// Where the data of each tensor begin.
fn starts(file: &Path) -> BTreeMap<String, usize> {
    let bytes = std::fs::read(file).expect("weights");
    let header = safetensors::Header::parse(&bytes).expect("a header");
    header.tensors.into_iter().map(|tensor| (tensor.name, tensor.start)).collect()
}

fn overwrite(file: &Path, at: usize, new: &[u8]) {
    let mut bytes = std::fs::read(file).expect("weights");
    bytes[at..at + new.len()].copy_from_slice(new);
    std::fs::write(file, bytes).expect("written");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    alone();
    for (name, tensor) in [
        ("llama", "lm_head.weight"),
        // Not the head as well: its rows are read from the file while the model runs.
        ("llama", "model.embed_tokens.weight"),
        ("llama", "model.norm.weight"),
        ("llama", "model.layers.1.mlp.up_proj.weight"),
        ("qwen2", "model.layers.0.self_attn.q_proj.bias"),
        ("gpt2", "transformer.h.0.attn.c_attn.weight"),
        ("gpt2", "transformer.wpe.weight"),
        ("gpt_neo", "transformer.wte.weight"),
    ] {
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let folder = copy(name);
            let file = folder.path().join("model.safetensors");
            overwrite(&file, starts(&file)[tensor] + 4 * 5, &number.to_le_bytes());
            let message = refused(folder.path());
            assert!(message.starts_with(&format!("tensor '{tensor}' holds NaN or infinite numbers")), "{message}");
        }
    }
}

/// Finite weights whose products are not: a log-probability of minus infinity is no answer.
#[test]
fn logits_beyond_all_numbers_are_refused() {
    let folder = copy("llama");
    let file = folder.path().join("model.safetensors");
    let row: Vec<u8> = (0..32).flat_map(|_| f32::MAX.to_le_bytes()).collect();
    overwrite(&file, starts(&file)["lm_head.weight"] + 4 * 32 * 9, &row);
    let decoder = decoder(folder.path()).expect("it loads");
    for token in 0..20 {
        let request = TokenRequest { context: vec![token], continuation: vec![9] };
        match score(&decoder, &[request], Detail::LogProbs, &|_| {}) {
            Ok(scores) => assert!(scores[0][0].logprob.is_finite(), "token {token}"),
            Err(error) => assert!(error.to_string().contains("NaN or infinite logits"), "{error}"),
        }
    }
}

#[test]
fn what_is_missing_or_of_another_shape_is_named() {
    alone();
    // Another name of the same length: the header stays valid.
    let folder = copy("llama");
    let file = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&file).expect("weights");
    let name = b"model.layers.1.mlp.up_proj.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).expect("the name");
    overwrite(&file, at + 19, b"xx");
    let message = refused(folder.path());
    let expect = "tensor 'model.layers.1.mlp.up_proj.weight' is missing; the architecture 'llama' needs it";
    assert_eq!(message, expect);

    for (key, value, says) in [
        ("hidden_size", 64, "'model.embed_tokens.weight' has shape [256, 32], expected [256, 64]"),
        ("vocab_size", 255, "'model.embed_tokens.weight' has shape [256, 32], expected [255, 32]"),
        ("intermediate_size", 63, "'model.layers.0.mlp.gate_proj.weight' has shape [64, 32], expected [63, 32]"),
        ("head_dim", 16, "'model.layers.0.self_attn.q_proj.weight' has shape [32, 32], expected [64, 32]"),
        ("num_key_value_heads", 4, "'model.layers.0.self_attn.k_proj.weight' has shape [16, 32], expected [32, 32]"),
        ("num_hidden_layers", 3, "'model.layers.2.input_layernorm.weight' is missing"),
    ] {
        let folder = copy("llama");
        let mut config = config("llama");
        config[key] = json!(value);
        with_config(folder.path(), &config);
        let message = refused(folder.path());
        assert!(message.contains(says), "{key}: {message}");
    }

    let folder = copy("llama_sharded");
    let shard = "model-00002-of-00002.safetensors";
    std::fs::remove_file(folder.path().join(shard)).expect("removed");
    let message = refused(folder.path());
    assert!(message.ends_with(&format!("names the shard '{shard}', which is not there; fetch it")), "{message}");

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("model.safetensors"), small_safetensors(&["a", "b"])).expect("written");
    assert!(refused(folder.path()).contains("has no config.json"));
    with_config(folder.path(), &config("gpt2"));
    assert!(refused(folder.path()).contains("'n_layer'") || refused(folder.path()).contains("is missing"));
}

/// Each setting of each family with values that no model has.
#[test]
fn absurd_settings_are_refused_by_name() {
    alone();
    let absurd = [
        json!(0),
        json!(-1),
        json!(1_u64 << 24),
        json!((1_u64 << 24) + 1),
        json!(1_u64 << 40),
        json!(u64::MAX),
        json!(1.5),
        json!(1e300),
        json!("many"),
        json!([1]),
        json!({"a": 1}),
        json!(true),
    ];
    for name in ["llama", "mistral", "qwen3", "gemma3_text", "gpt2", "gpt_neo", "gpt_neox"] {
        let plain = config(name);
        let folder = copy(name);
        for key in [
            "vocab_size",
            "hidden_size",
            "n_embd",
            "num_attention_heads",
            "n_head",
            "num_heads",
            "num_key_value_heads",
            "num_hidden_layers",
            "n_layer",
            "num_layers",
            "head_dim",
            "intermediate_size",
            "n_inner",
        ] {
            if plain.get(key).is_none_or(Value::is_null) {
                continue;
            }
            for value in &absurd {
                let mut config = plain.clone();
                config[key] = value.clone();
                with_config(folder.path(), &config);
                let message = refused(folder.path());
                // A size that could be one is measured against the tensors.
                let measured = value == &json!(1_u64 << 24) && (message.contains("shape") || message.contains("heads"));
                assert!(message.contains(&format!("'{key}'")) || measured, "{name}, {key} {value}: {message}");
            }
        }
    }
}

/// Settings that fit each other and no tensor: heads beyond all memory, and lists repeated without end.
#[test]
fn settings_that_only_claim_take_no_memory() {
    alone();
    let large = json!(1_u64 << 24);
    let many: Vec<&str> = vec!["global"; 2000];
    for (name, changes) in [
        ("llama", json!({"num_attention_heads": large, "num_key_value_heads": 1, "head_dim": 65536})),
        ("llama", json!({"num_attention_heads": large, "num_key_value_heads": large, "head_dim": 65536})),
        ("qwen3", json!({"intermediate_size": large})),
        ("gpt_neox", json!({"hidden_size": large, "num_attention_heads": 1})),
        ("gpt2", json!({"n_embd": large, "n_head": 1, "n_inner": large})),
        ("gpt_neo", json!({"attention_layers": null, "attention_types": [[many, u64::MAX], [many, u64::MAX]]})),
        ("gemma3_text", json!({"head_dim": 65536, "num_attention_heads": large, "num_key_value_heads": large})),
    ] {
        let folder = copy(name);
        let mut config = config(name);
        for (key, value) in changes.as_object().expect("changes") {
            config[key] = value.clone();
        }
        with_config(folder.path(), &config);
        let message = refused(folder.path());
        assert!(["shape", "heads", "attention_types"].iter().any(|word| message.contains(word)), "{name}: {message}");
    }
}

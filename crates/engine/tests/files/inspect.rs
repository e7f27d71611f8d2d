//! What `inspect` finds, against counts made by other means: sizes of files, sums by hand, and gguf-py.

use std::path::Path;
use std::time::Instant;

use weighbridge_engine::files::FileError;
use weighbridge_engine::inspect::{Inspection, Options, Part, WindowFacts, inspect};
use weighbridge_reference::{optional_weights, path, weights};

use crate::build::{Gguf, small_gguf, small_safetensors};
use crate::memory::peak;

const HEADERS: Options = Options { context: None, batch: 1, hash: false };

fn look(path: &Path) -> Inspection {
    inspect(path, &HEADERS).expect("a checkpoint")
}

fn parts(found: &Inspection) -> Vec<u64> {
    let counts = found.parameters.iter().filter(|c| c.part != Part::Buffers);
    counts.map(|c| c.parameters).collect()
}

#[test]
fn small_models_have_the_parameters_that_their_shapes_give() {
    let Some(models) = path("data/models") else { return };
    // By hand, in the order embedding, attention, MLP, norms, head, other.
    for (name, expect, architecture) in [
        (
            "gptneo-tiny-random",
            [(512 + 128) * 32, 4 * (4 * 32 * 32 + 32), 4 * (2 * 32 * 128 + 160), 18 * 32, 0, 0],
            "gpt_neo",
        ),
        (
            "gptneo-ts1m-shape-random",
            [(50_257 + 2_048) * 64, 8 * (4 * 64 * 64 + 64), 8 * (2 * 64 * 256 + 320), 34 * 64, 0, 0],
            "gpt_neo",
        ),
        ("stories260k-f32", [512 * 64, 5 * (2 * 64 * 64 + 2 * 32 * 64), 5 * 3 * 172 * 64, 11 * 64, 0, 0], "llama"),
    ] {
        let folder = models.join(name);
        let found = look(&folder);
        assert_eq!(parts(&found), expect, "{name}");
        assert_eq!(found.parameters_total, expect.iter().sum::<u64>(), "{name}");
        // The file without its header is the numbers, four bytes each.
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(found.memory.weights, bytes.len() as u64 - 8 - header, "{name}");
        assert_eq!(found.memory.weights_f32, found.memory.weights, "{name}");
        assert_eq!((found.architecture.as_deref(), found.tied_head), (Some(architecture), Some(true)));
        assert_eq!((found.family.as_deref(), found.does_not_load.as_deref()), (Some(architecture), None));
        assert_eq!((found.stored.len(), found.bits_per_weight), (1, Some(32.0)));
        assert_eq!((found.tokenizer.kind.as_deref(), found.license.as_ref()), (None, None));
        assert_eq!(found.files[0].header_blake3, blake3::hash(&bytes[..8 + header as usize]).to_string());
        assert!(found.warnings.is_empty() && found.files[0].content_blake3.is_none());
    }
}

#[test]
fn memory_follows_context_batch_and_window() {
    let Some(models) = path("data/models") else { return };
    let neo = models.join("gptneo-tiny-random");
    let cache = |context, batch| inspect(&neo, &Options { context, batch, hash: false }).unwrap().memory.cache;
    // Two layers see all, two see 8 tokens; keys and values of 4 heads of 8 numbers, four bytes each.
    let bytes = |slots: u64| Some(slots * 2 * 4 * 8 * 4);
    assert_eq!(cache(None, 1), bytes(2 * 128 + 2 * 8));
    assert_eq!(cache(Some(5), 3), bytes(3 * 4 * 5));
    assert_eq!(cache(Some(u64::MAX), 1), None, "larger than any memory");
    let long = inspect(&neo, &Options { context: Some(129), batch: 1, hash: true }).unwrap();
    assert!(long.warnings[0].contains("129 tokens are more than the 128"), "{:?}", long.warnings);
    let bytes = std::fs::read(neo.join("model.safetensors")).unwrap();
    assert_eq!(long.files[0].content_blake3, Some(blake3::hash(&bytes).to_string()));
    assert_eq!(long.sliding_window, Some(WindowFacts { tokens: 8, layers: Some(2) }));
    let llama = look(&models.join("stories260k-f32"));
    assert_eq!(llama.memory.cache, Some(2 * 5 * 4 * 8 * 4 * 512));
    assert_eq!((llama.kv_heads, llama.heads, llama.head_dim), (Some(4), Some(8), Some(8)));
    assert_eq!(llama.rope.unwrap().base, Some(1e4));
}

/// Totals from `gguf.GGUFReader` 0.19.0; the rest is what `gguf-dump` shows.
#[test]
fn real_models() {
    let Some(smol) = weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let started = Instant::now();
    let found = look(&smol);
    assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
    assert_eq!(found.parameters_total, 134_515_008);
    assert_eq!(parts(&found), [28_311_552, 26_542_080, 79_626_240, 35_136, 0, 0]);
    assert_eq!((found.layers, found.hidden, found.heads, found.kv_heads), (Some(30), Some(576), Some(9), Some(3)));
    assert_eq!((found.head_dim, found.vocabulary, found.context), (Some(64), Some(49_152), Some(8_192)));
    assert_eq!(found.license.as_ref().map(|l| l.name.as_str()), Some("apache-2.0"));
    assert_eq!(found.memory.cache, Some(2 * 30 * 3 * 64 * 4 * 8_192));
    let tokenizer = &found.tokenizer;
    assert_eq!((tokenizer.kind.as_deref(), tokenizer.pre.as_deref()), (Some("gpt2"), Some("smollm")));
    assert_eq!((tokenizer.tokens, tokenizer.merges, tokenizer.adds_bos), (Some(49_152), Some(48_900), Some(false)));
    assert_eq!((tokenizer.bos, tokenizer.eos.as_slice(), tokenizer.pad), (Some(1), &[2][..], Some(2)));
    assert_eq!((found.templates.len(), found.stored[0].dtype.as_str()), (1, "Q4_1"));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);

    let Some(gemma) = weights("gemma-3-270m.Q4_K_M.gguf") else { return };
    let found = look(&gemma);
    assert_eq!(found.parameters_total, 268_098_176);
    assert_eq!(found.sliding_window, Some(WindowFacts { tokens: 512, layers: Some(15) }));
    assert_eq!(found.memory.cache, Some((3 * 32_768 + 15 * 512) * 2 * 256 * 4));
    assert_eq!((found.tokenizer.adds_bos, found.vocabulary), (Some(true), Some(262_144)));
    assert!(found.templates.is_empty() && found.warnings.is_empty(), "{:?}", found.warnings);

    let Some(qwen) = optional_weights("Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf") else { return };
    let found = look(&qwen);
    assert_eq!((found.parameters_total, found.tied_head), (630_167_424, Some(false)));
    assert_eq!(found.license, None);
    assert_eq!(found.tokenizer.eos, [151_645]);
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

/// The vocabularies of llama.cpp's tests: metadata of twenty architectures, no tensors, and no reason for a warning.
#[test]
fn vocabularies_without_weights() {
    let Some(folder) = weights("llama-vocabs") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "gguf") {
            continue;
        }
        let found = look(&path);
        assert_eq!((found.parameters_total, found.tied_head, found.bits_per_weight), (0, None, None));
        assert!(found.tokenizer.tokens.is_some_and(|n| n > 10_000) && found.layers.is_some(), "{}", path.display());
        assert!(found.warnings.is_empty(), "{}: {:?}", path.display(), found.warnings);
        seen += 1;
    }
    assert!(seen > 10, "{seen} vocabularies");
}

#[test]
fn an_unknown_architecture_is_described_and_said_not_to_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.gguf");
    let gguf = Gguf::default()
        .string("general.architecture", "novel")
        .u32("novel.block_count", 1)
        .u32("novel.attention.head_count", 4)
        .u32("novel.attention.head_count_kv", 2)
        .u32("novel.embedding_length", 32)
        .u32("novel.context_length", 100)
        .u32("novel.attention.sliding_window", 10)
        .tensor("blk.0.attn_q.weight", &[32, 2], 8, 68);
    std::fs::write(&file, gguf.bytes()).unwrap();
    let found = look(&file);
    assert_eq!((found.architecture.as_deref(), found.family.as_deref()), (Some("novel"), None));
    assert!(found.does_not_load.as_ref().unwrap().contains("'novel'"), "{:?}", found.does_not_load);
    assert_eq!((found.layers, found.head_dim, found.vocabulary), (Some(1), Some(8), None));
    assert_eq!(found.sliding_window, Some(WindowFacts { tokens: 10, layers: None }));
    assert_eq!(found.memory.cache, Some(2 * 2 * 8 * 4 * 100), "every layer holds the whole context");
    assert_eq!((found.stored[0].dtype.as_str(), found.stored[0].bits_per_weight), ("Q8_0", 8.5));
}

#[test]
fn claims_cost_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.gguf");
    for (key, claim, words) in [
        ("llama.block_count", 1 << 24, "claims 16777216 layers and has 1 tensors"),
        ("llama.block_count", u32::MAX, "claims 4294967295 layers"),
        ("llama.attention.key_length", 1 << 24, "claims heads of 16777216 numbers"),
        ("llama.context_length", u32::MAX, ""),
        ("llama.vocab_size", u32::MAX, ""),
    ] {
        let mut gguf = Gguf::default().string("general.architecture", "llama").tensor("w", &[1], 0, 4);
        for (other, value) in [
            ("llama.block_count", 1),
            ("llama.embedding_length", 32),
            ("llama.feed_forward_length", 32),
            ("llama.attention.head_count", 4),
            ("llama.context_length", 64),
        ] {
            gguf = if other == key { gguf } else { gguf.u32(other, value) };
        }
        std::fs::write(&file, gguf.u32(key, claim).bytes()).unwrap();
        let (found, held) = peak(|| look(&file));
        assert!(held < 1 << 20, "{key}: {held} bytes held");
        assert!(found.does_not_load.unwrap_or_default().contains(words), "{key}");
    }
}

#[test]
fn a_folder_tells_of_its_tokenizer_template_and_license() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), small_safetensors(&["lm_head.weight"])).unwrap();
    write(
        "config.json",
        r#"{"model_type":"nothing_known","bos_token_id":1,"eos_token_id":[2,3],"text_config":{"num_hidden_layers":7}}"#,
    );
    write(
        "tokenizer.json",
        r#"{"added_tokens":[{"id":1,"content":"b"},{"id":3,"content":"x"}],"pre_tokenizer":{"type":"ByteLevel"},
            "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}"#,
    );
    write(
        "tokenizer_config.json",
        r#"{"add_bos_token":true,"chat_template":[{"name":"tool_use","template":"TT"},{"name":"default","template":"é"}]}"#,
    );
    write("README.md", "---\nlicense: mit\n---\n# A model\n");
    let found = look(folder.path());
    let tokenizer = &found.tokenizer;
    assert_eq!((tokenizer.kind.as_deref(), tokenizer.pre.as_deref()), (Some("BPE"), Some("ByteLevel")));
    assert_eq!((tokenizer.tokens, tokenizer.merges), (Some(4), Some(1)));
    assert_eq!((tokenizer.bos, tokenizer.eos.as_slice(), tokenizer.adds_bos), (Some(1), &[2, 3][..], Some(true)));
    let names: Vec<(Option<&str>, usize)> = found.templates.iter().map(|t| (t.name.as_deref(), t.characters)).collect();
    assert_eq!(names, [(None, 1), (Some("tool_use"), 2)]);
    let license = found.license.unwrap();
    assert_eq!((license.name.as_str(), license.declared_in.as_str()), ("mit", "README.md"));
    assert_eq!((found.layers, found.tied_head), (Some(7), Some(false)));
    assert_eq!(found.metadata["safetensors.format"], "pt");

    write("tokenizer.json", "{");
    assert!(look(folder.path()).warnings[0].contains("tokenizer.json cannot be read"));
}

#[test]
fn bad_files_are_errors_and_not_descriptions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.gguf");
    let bytes = small_gguf().bytes();
    std::fs::write(&file, &bytes[..bytes.len() - 20]).unwrap();
    assert!(matches!(inspect(&file, &HEADERS), Err(FileError::Gguf { .. })));
    assert!(matches!(inspect(folder.path().join("absent").as_path(), &HEADERS), Err(FileError::Unreadable { .. })));
}

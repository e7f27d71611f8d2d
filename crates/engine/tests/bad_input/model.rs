//! A small sound model in one GGUF file, made by hand, to be damaged or asked.

use std::path::PathBuf;

use tempfile::TempDir;
use weighbridge_engine::files::gguf;
use weighbridge_engine::{Model, Options};

use crate::build::Gguf;
use crate::chain;

/// Bytes of a GGUF array.
fn array<const N: usize>(kind: u32, values: &[[u8; N]]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &values.concat()].concat()
}

/// Tokens of the small model: three special ones, every byte, and a few letters.
fn tokens() -> Vec<String> {
    let special = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    special.into_iter().chain(bytes).chain(["▁", "a", "b", "▁a", "ab"].map(str::to_owned)).collect()
}

/// A llama of one layer in Q4_0 and F32 with a SentencePiece tokenizer, with so many rows in its embedding.
pub fn model(rows: u64, change: impl Fn(Gguf) -> Gguf) -> Vec<u8> {
    let tokens = tokens();
    let names: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let kinds: Vec<[u8; 4]> = (0..tokens.len())
        .map(|id| match id {
            0 => 2_i32,
            1 | 2 => 3,
            3..259 => 6,
            _ => 1,
        })
        .map(i32::to_le_bytes)
        .collect();
    let scores: Vec<[u8; 4]> = (0..tokens.len()).map(|id| (-(id as f32)).to_le_bytes()).collect();
    let linear = |file: Gguf, name: &str, cols: u64, rows: u64| {
        file.tensor(name, &[cols, rows], 2, (cols / 32 * rows * 18) as usize)
    };
    let norm = |file: Gguf, name: &str| file.tensor(name, &[32], 0, 128);
    let file = Gguf::default()
        .string("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.embedding_length", 32)
        .u32("llama.attention.head_count", 4)
        .u32("llama.attention.head_count_kv", 2)
        .u32("llama.feed_forward_length", 64)
        .u32("llama.context_length", 64)
        .f32("llama.rope.freq_base", 1e4)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .string("tokenizer.ggml.model", "llama")
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .strings("tokenizer.ggml.tokens", &names)
        .raw("tokenizer.ggml.token_type", 9, &array(5, &kinds))
        .raw("tokenizer.ggml.scores", 9, &array(6, &scores));
    let mut file = linear(change(file), "token_embd.weight", 32, rows);
    for (name, cols, rows) in [
        ("attn_q", 32, 32),
        ("attn_k", 32, 16),
        ("attn_v", 32, 16),
        ("attn_output", 32, 32),
        ("ffn_gate", 32, 64),
        ("ffn_up", 32, 64),
        ("ffn_down", 64, 32),
    ] {
        file = linear(file, &format!("blk.0.{name}.weight"), cols, rows);
    }
    for name in ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"] {
        file = norm(file, name);
    }
    let mut bytes = file.bytes();
    for tensor in gguf::Header::parse(&bytes).expect("a valid file").tensors {
        let data = &mut bytes[tensor.start..tensor.start + tensor.bytes];
        if tensor.shape.len() == 1 {
            data.copy_from_slice(&1_f32.to_le_bytes().repeat(32));
        } else {
            for (i, block) in data.chunks_exact_mut(18).enumerate() {
                // A scale of about 0.02, and quants that differ from block to block.
                block[..2].copy_from_slice(&0x2500_u16.to_le_bytes());
                for (j, byte) in block[2..].iter_mut().enumerate() {
                    *byte = (i * 31 + j * 17 + i * j) as u8;
                }
            }
        }
    }
    bytes
}

/// Rows that the tokens need.
pub const ROWS: u64 = 264;

/// The bytes as a file.
pub fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

/// The model, or the error as the program prints it.
pub fn open(bytes: &[u8]) -> Result<Model, String> {
    let (_folder, path) = written(bytes);
    Model::open(&path, "m", Options { threads: Some(1), ..Options::default() }).map_err(chain)
}

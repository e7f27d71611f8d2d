//! A model that a test makes: a GGUF file that says one thing over and over.

use std::ffi::OsStr;

/// Its sizes: hidden numbers, query heads, numbers of the MLP.
const WIDTH: u64 = 8;

/// A llama of one layer in F32 whose likeliest token is always the same byte.
pub struct Speaker<'a> {
    /// What the file says that it is.
    pub architecture: &'a str,
    /// The byte that it says.
    pub says: u8,
}

impl Default for Speaker<'_> {
    fn default() -> Self {
        Self { architecture: "llama", says: 0x1b }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Speaker<'_> {
    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let special = ["<unk>", "<s>", "</s>"].map(str::to_owned);
        let tokens: Vec<String> = special.into_iter().chain((0..=255).map(|byte| format!("<0x{byte:02X}>"))).collect();
        let kinds = (0..tokens.len()).map(|id| [2_i32, 3, 3].get(id).copied().unwrap_or(6));
        let count = (tokens.len() as u64).to_le_bytes();
        let array = |kind: u32, items: Vec<u8>| [&kind.to_le_bytes()[..], &count, &items].concat();
        let number = |n: u64| (n as u32).to_le_bytes().to_vec();
        let mut keys = vec![
            (text("general.architecture"), 8, text(self.architecture)),
            (text("tokenizer.ggml.model"), 8, text("llama")),
            (text("tokenizer.ggml.add_space_prefix"), 7, vec![0]),
            (text("tokenizer.ggml.tokens"), 9, array(8, tokens.iter().flat_map(|token| text(token)).collect())),
            (text("tokenizer.ggml.token_type"), 9, array(5, kinds.flat_map(i32::to_le_bytes).collect())),
            (text("tokenizer.ggml.scores"), 9, array(6, vec![0; 4 * tokens.len()])),
            (text("tokenizer.ggml.bos_token_id"), 4, number(1)),
            (text("tokenizer.ggml.eos_token_id"), 4, number(2)),
        ];
        for (name, value) in [
            ("block_count", 1),
            ("embedding_length", WIDTH),
            ("attention.head_count", 1),
            ("feed_forward_length", WIDTH),
            ("context_length", 64),
        ] {
            keys.push((text(&format!("llama.{name}")), 4, number(value)));
        }

        let rows = tokens.len() as u64;
        let said = WIDTH as usize * (3 + usize::from(self.says));
        let square = |name: &'static str| (name, vec![WIDTH, WIDTH], 0.0);
        let norm = |name: &'static str| (name, vec![WIDTH], 1.0);
        let tensors = [
            ("token_embd.weight", vec![WIDTH, rows], 1.0),
            ("output.weight", vec![WIDTH, rows], 0.0),
            norm("output_norm.weight"),
            norm("blk.0.attn_norm.weight"),
            norm("blk.0.ffn_norm.weight"),
            square("blk.0.attn_q.weight"),
            square("blk.0.attn_k.weight"),
            square("blk.0.attn_v.weight"),
            square("blk.0.attn_output.weight"),
            square("blk.0.ffn_gate.weight"),
            square("blk.0.ffn_up.weight"),
            square("blk.0.ffn_down.weight"),
        ];
        let counts = [tensors.len() as u64, keys.len() as u64].map(u64::to_le_bytes).concat();
        let mut file = [&b"GGUF\x03\0\0\0"[..], &counts].concat();
        for (key, kind, value) in keys {
            file.extend([&key[..], &u32::to_le_bytes(kind), &value].concat());
        }
        let mut data: Vec<u8> = Vec::new();
        for (name, sizes, value) in tensors {
            file.extend([&text(name)[..], &(sizes.len() as u32).to_le_bytes()].concat());
            file.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            file.extend([&0_u32.to_le_bytes()[..], &(data.len() as u64).to_le_bytes()].concat());
            let mut numbers = vec![value; sizes.iter().product::<u64>() as usize];
            if name == "output.weight" {
                numbers[said..said + WIDTH as usize].fill(1.0);
            }
            data.extend(numbers.into_iter().flat_map(f32::to_le_bytes));
            data.resize(data.len().next_multiple_of(32), 0);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(data);
        file
    }
}

/// A word as a shell reads it.
pub fn escape(word: &OsStr) -> String {
    format!("'{}'", word.to_str().expect("text").replace('\'', r"'\''"))
}

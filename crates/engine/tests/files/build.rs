//! Small valid files, made by hand, to be read or damaged.

/// A GGUF file in the making.
#[derive(Clone, Default)]
pub struct Gguf {
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Gguf {
    /// Adds a key with the bytes of its value.
    pub fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.push([&text(key)[..], &kind.to_le_bytes(), value].concat());
        self
    }

    pub fn string(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &text(value))
    }

    pub fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[u8::from(value)])
    }

    pub fn strings(self, key: &str, values: &[&str]) -> Self {
        let head = [&8_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        self.raw(key, 9, &[head, values.iter().flat_map(|v| text(v)).collect()].concat())
    }

    /// Adds a tensor of so many bytes; sizes innermost first, as the file has them.
    pub fn tensor(mut self, name: &str, sizes: &[u64], kind: u32, bytes: usize) -> Self {
        let sizes_bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let head = [&text(name)[..], &(sizes.len() as u32).to_le_bytes(), &sizes_bytes, &kind.to_le_bytes()].concat();
        self.tensors.push([&head[..], &(self.data.len() as u64).to_le_bytes()].concat());
        self.data.extend((0..bytes).map(|i| i as u8));
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let counts = [self.tensors.len() as u64, self.keys.len() as u64].map(u64::to_le_bytes).concat();
        let mut file = [&b"GGUF"[..], &3_u32.to_le_bytes(), &counts].concat();
        file.extend(self.keys.concat());
        file.extend(self.tensors.concat());
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(&self.data);
        file
    }
}

/// A small model with a tokenizer, of the kinds of values that real files have.
pub fn small_gguf() -> Gguf {
    Gguf::default()
        .string("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.embedding_length", 32)
        .f32("llama.rope.freq_base", 1e4)
        .bool("tokenizer.ggml.add_bos_token", true)
        .strings("tokenizer.ggml.tokens", &["<s>", "a", "b"])
        .tensor("token_embd.weight", &[32, 3], 2, 54)
        .tensor("output_norm.weight", &[32], 0, 128)
}

/// A safetensors file from its header and data.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// A small valid safetensors file with these tensors of four F32 each.
pub fn small_safetensors(names: &[&str]) -> Vec<u8> {
    let tensor = |(at, name): (usize, &&str)| {
        format!(r#","{name}":{{"dtype":"F32","shape":[2,2],"data_offsets":[{},{}]}}"#, 16 * at, 16 * at + 16)
    };
    let tensors: String = names.iter().enumerate().map(tensor).collect();
    let header = format!(r#"{{"__metadata__":{{"format":"pt"}}{tensors}}}"#);
    safetensors(&header, &vec![0; 16 * names.len()])
}

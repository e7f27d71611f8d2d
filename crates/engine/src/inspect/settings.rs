//! What a checkpoint states about its shape, under the names of GGUF and of config.json, for any architecture.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::files::gguf::{self, Header};
use crate::files::{Checkpoint, Layout};

/// Longest text of the metadata that is kept whole, in characters.
const LONGEST_TEXT: usize = 400;
/// Longest list of the metadata that is kept whole.
const LONGEST_LIST: usize = 32;

/// Rotary positions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RopeFacts {
    /// Base of the frequencies.
    pub base: Option<f64>,
    /// Base in the layers with a sliding window, where it differs.
    pub local_base: Option<f64>,
    /// Numbers of a head that are rotated.
    pub dimensions: Option<u64>,
    /// How positions are stretched beyond the context of pretraining, such as linear, llama3 or yarn.
    pub scaling: Option<String>,
    /// By which factor.
    pub factor: Option<f64>,
    /// Context of pretraining, in tokens.
    pub original_context: Option<u64>,
}

/// The shape as stated; what is not stated is `None`.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub name: Option<String>,
    pub architecture: Option<String>,
    pub layers: Option<u64>,
    pub hidden: Option<u64>,
    pub heads: Option<u64>,
    pub kv_heads: Option<u64>,
    pub head_dim: Option<u64>,
    pub intermediate: Option<u64>,
    pub vocabulary: Option<u64>,
    pub context: Option<u64>,
    pub window: Option<u64>,
    pub rope: Option<RopeFacts>,
}

impl Settings {
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let mut settings = match checkpoint.layout() {
            Layout::Gguf(header) => Self::of_gguf(header),
            Layout::Safetensors { config, .. } => Self::of_config(config),
        };
        settings.rope = settings.rope.filter(|rope| *rope != RopeFacts::default());
        if settings.head_dim.is_none()
            && let (Some(hidden), Some(heads)) = (settings.hidden, settings.heads)
        {
            settings.head_dim = hidden.checked_div(heads);
        }
        settings
    }

    fn of_gguf(header: &Header) -> Self {
        let architecture = header.string("general.architecture").unwrap_or_default();
        let key = |end: &str| format!("{architecture}.{end}");
        let number = |end: &str| header.u64(&key(end));
        let real = |end: &str| header.f64(&key(end));
        Self {
            name: header.string("general.name").map(str::to_owned),
            architecture: header.string("general.architecture").map(str::to_owned),
            layers: number("block_count"),
            hidden: number("embedding_length"),
            heads: number("attention.head_count"),
            kv_heads: number("attention.head_count_kv"),
            head_dim: number("attention.key_length"),
            intermediate: number("feed_forward_length"),
            vocabulary: number("vocab_size"),
            context: number("context_length"),
            window: number("attention.sliding_window"),
            rope: Some(RopeFacts {
                base: real("rope.freq_base"),
                local_base: real("rope.freq_base_swa"),
                dimensions: number("rope.dimension_count"),
                scaling: header.string(&key("rope.scaling.type")).filter(|kind| *kind != "none").map(str::to_owned),
                factor: real("rope.scaling.factor"),
                original_context: number("rope.scaling.original_context_length"),
            }),
        }
    }

    fn of_config(config: &Value) -> Self {
        // A model of text and images keeps the settings of its decoder one level down.
        let inner = config.get("text_config").filter(|inner| inner.is_object());
        let get = |key: &str| inner.and_then(|inner| inner.get(key)).or_else(|| config.get(key));
        let number = |keys: &[&str]| keys.iter().find_map(|key| get(key)?.as_u64());
        let text = |key: &str| config.get(key)?.as_str().map(str::to_owned);
        let class = config.get("architectures").and_then(|list| list.get(0)?.as_str());
        let sliding = get("use_sliding_window").and_then(Value::as_bool).unwrap_or(true);
        Self {
            name: text("_name_or_path").filter(|name| !name.is_empty()),
            architecture: text("model_type").or_else(|| class.map(str::to_owned)),
            layers: number(&["num_hidden_layers", "num_layers", "n_layer"]),
            hidden: number(&["hidden_size", "n_embd", "d_model"]),
            heads: number(&["num_attention_heads", "num_heads", "n_head"]),
            kv_heads: number(&["num_key_value_heads"]),
            head_dim: number(&["head_dim"]),
            intermediate: number(&["intermediate_size", "n_inner", "ffn_dim"]),
            vocabulary: number(&["vocab_size"]),
            context: number(&["max_position_embeddings", "n_positions", "n_ctx"]),
            window: number(&["sliding_window", "window_size"]).filter(|_| sliding),
            rope: Some(rope_of_config(&get)),
        }
    }
}

fn rope_of_config<'a>(get: &dyn Fn(&str) -> Option<&'a Value>) -> RopeFacts {
    let object = |key: &str| get(key).and_then(Value::as_object);
    let parameters = object("rope_parameters");
    // Where layers differ, there is one object for each kind of layer.
    let of_kind = |kind: &str| parameters.and_then(|p| p.get(kind)?.as_object());
    let full = of_kind("full_attention").or(parameters);
    let scaling = full.or_else(|| object("rope_scaling"));
    let real = |from: Option<&Map<String, Value>>, key: &str| from.and_then(|from| from.get(key)?.as_f64());
    let kind = scaling.and_then(|s| s.get("rope_type").or_else(|| s.get("type"))?.as_str());
    RopeFacts {
        base: real(full, "rope_theta").or_else(|| get("rope_theta")?.as_f64()),
        local_base: real(of_kind("sliding_attention"), "rope_theta").or_else(|| get("rope_local_base_freq")?.as_f64()),
        dimensions: None,
        scaling: kind.filter(|kind| *kind != "default").map(str::to_owned),
        factor: real(scaling, "factor"),
        original_context: scaling.and_then(|s| s.get("original_max_position_embeddings")?.as_u64()),
    }
}

/// What the checkpoint says of itself, without what is shown elsewhere; long values are shortened.
pub(super) fn metadata(checkpoint: &Checkpoint) -> BTreeMap<String, Value> {
    let mut metadata = BTreeMap::new();
    match checkpoint.layout() {
        Layout::Gguf(header) => {
            for (key, value) in &header.metadata {
                if !key.starts_with("tokenizer.chat_template") {
                    metadata.insert(key.clone(), of_gguf_value(value));
                }
            }
        }
        Layout::Safetensors { config, headers } => {
            for (key, value) in config.as_object().into_iter().flatten() {
                metadata.insert(key.clone(), shortened(value));
            }
            for (key, text) in headers.iter().flat_map(|header| &header.metadata) {
                metadata.insert(format!("safetensors.{key}"), shortened_text(text));
            }
        }
    }
    metadata
}

fn of_gguf_value(value: &gguf::Value) -> Value {
    match value {
        gguf::Value::U8(n) => json!(n),
        gguf::Value::I8(n) => json!(n),
        gguf::Value::U16(n) => json!(n),
        gguf::Value::I16(n) => json!(n),
        gguf::Value::U32(n) => json!(n),
        gguf::Value::I32(n) => json!(n),
        // As it was written, and not as its nearest F64.
        gguf::Value::F32(x) => x.to_string().parse::<f64>().map_or(Value::Null, |x| json!(x)),
        gguf::Value::Bool(b) => json!(b),
        gguf::Value::String(text) => shortened_text(text),
        gguf::Value::U64(n) => json!(n),
        gguf::Value::I64(n) => json!(n),
        gguf::Value::F64(x) => json!(x),
        gguf::Value::Array(gguf::Array::Strings(texts)) if texts.len() <= LONGEST_LIST => {
            texts.iter().map(|text| shortened_text(text)).collect()
        }
        gguf::Value::Array(gguf::Array::I32(numbers)) if numbers.len() <= LONGEST_LIST => json!(numbers),
        gguf::Value::Array(gguf::Array::U32(numbers)) if numbers.len() <= LONGEST_LIST => json!(numbers),
        gguf::Value::Array(gguf::Array::Bool(truths)) if truths.len() <= LONGEST_LIST => json!(truths),
        gguf::Value::Array(array) => json!(format!("{} values of {}", array.len(), array.element_type())),
    }
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => shortened_text(text),
        Value::Array(list) if list.len() > LONGEST_LIST => json!(format!("{} values", list.len())),
        Value::Object(object) if object.len() > LONGEST_LIST => json!(format!("{} values", object.len())),
        other => other.clone(),
    }
}

fn shortened_text(text: &str) -> Value {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => json!(format!("{}...", &text[..end])),
        None => json!(text),
    }
}

//! Reading settings: each is there with the right kind, or the error names it and what was expected.

use serde_json::Value;

use super::FamilyError;
use crate::architecture::{LayerPlaces, Place, Places, RopeScaling};
use crate::files::gguf;

/// The largest size that any setting may state; the tensors are checked against all of them later.
const LARGEST: u64 = 1 << 24;

/// The widest head that a setting may state; real ones have up to 512 numbers.
const WIDEST_HEAD: usize = 1 << 16;

/// config.json.
pub(crate) struct Config<'a>(pub &'a Value);

impl Config<'_> {
    /// A text.
    pub fn name(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn wrong(key: &str, expected: &str) -> FamilyError {
        FamilyError::Setting { place: "config.json", key: key.to_owned(), expected: expected.to_owned() }
    }

    /// A size from 1.
    pub fn size(&self, key: &str) -> Result<usize, FamilyError> {
        self.size_or(key, None)?.ok_or_else(|| Self::wrong(key, "a whole number from 1"))
    }

    /// A size from 1, or `other` where the key is absent or null.
    pub fn size_or(&self, key: &str, other: Option<usize>) -> Result<Option<usize>, FamilyError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(other),
            Some(value) => match value.as_u64() {
                Some(n) if (1..=LARGEST).contains(&n) => Ok(usize::try_from(n).ok()),
                _ => Err(Self::wrong(key, "a whole number from 1 to 16777216")),
            },
        }
    }

    /// The number of layers, each of which has tensors: a file of `tensors` of them cannot have more.
    pub fn layers(&self, key: &str, tensors: usize) -> Result<usize, FamilyError> {
        let layers = self.size(key)?;
        if layers <= tensors { Ok(layers) } else { Err(Self::wrong(key, &at_most(tensors, layers))) }
    }

    /// Numbers in a head, where they are stated.
    pub fn head_dim(&self, key: &str) -> Result<Option<usize>, FamilyError> {
        match self.size_or(key, None)? {
            Some(n) if n > WIDEST_HEAD => Err(Self::wrong(key, "a whole number up to 65536")),
            other => Ok(other),
        }
    }

    /// A number above 0, or `other` where the key is absent or null.
    pub fn number_or(&self, key: &str, other: f64) -> Result<f64, FamilyError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(other),
            Some(value) => {
                let number = value.as_f64().filter(|x| x.is_finite() && *x > 0.0);
                number.ok_or_else(|| Self::wrong(key, "a number above 0"))
            }
        }
    }

    /// True or false, or `other` where the key is absent or null.
    pub fn flag_or(&self, key: &str, other: bool) -> Result<bool, FamilyError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(other),
            Some(value) => value.as_bool().ok_or_else(|| Self::wrong(key, "true or false")),
        }
    }

    /// A list of texts, where there is one.
    pub fn names(&self, key: &str) -> Result<Option<Vec<&str>>, FamilyError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let names = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
                names.map(Some).ok_or_else(|| Self::wrong(key, "a list of texts"))
            }
        }
    }

    /// Refuses a setting that is neither absent, null nor `only`.
    pub fn only(&self, key: &str, only: &Value, advice: &'static str) -> Result<(), FamilyError> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if value == only => Ok(()),
            Some(value) => Err(FamilyError::Unsupported { key: key.to_owned(), value: value.to_string(), advice }),
        }
    }

    /// Base and scaling of rotary positions: `rope_parameters` of newer files, or `rope_theta` and `rope_scaling`.
    pub fn rope(&self, default_base: f64) -> Result<(f64, RopeScaling), FamilyError> {
        let parameters = self.0.get("rope_parameters").filter(|p| p.is_object());
        let scaling = parameters.or_else(|| self.0.get("rope_scaling")).filter(|p| p.is_object());
        let base = match parameters {
            Some(p) if p.get("rope_theta").is_some() => Config(p).number_or("rope_theta", default_base)?,
            _ => self.number_or("rope_theta", default_base)?,
        };
        Ok((base, scaling.map_or(Ok(RopeScaling::None), |s| rope_scaling(&Config(s)))?))
    }
}

/// The scaling that `rope_scaling` describes.
pub(crate) fn rope_scaling(scaling: &Config<'_>) -> Result<RopeScaling, FamilyError> {
    let kind = scaling.name("rope_type").or_else(|| scaling.name("type")).unwrap_or("default");
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear(scaling.number_or("factor", 1.0)?)),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: scaling.number_or("factor", 8.0)?,
            low: scaling.number_or("low_freq_factor", 1.0)?,
            high: scaling.number_or("high_freq_factor", 4.0)?,
            context: scaling.number_or("original_max_position_embeddings", 8192.0)?,
        }),
        _ => Err(FamilyError::Unsupported {
            key: "rope_scaling".to_owned(),
            value: kind.to_owned(),
            advice: "default, linear and llama3 load",
        }),
    }
}

/// Metadata of a GGUF file.
pub(crate) struct Metadata<'a>(pub &'a gguf::Header);

impl Metadata<'_> {
    /// The key under the architecture's own name.
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.0.string("general.architecture").unwrap_or_default())
    }

    fn wrong(&self, name: &str, expected: &str) -> FamilyError {
        FamilyError::Setting { place: "the GGUF metadata", key: self.key(name), expected: expected.to_owned() }
    }

    /// A size from 1.
    pub fn size(&self, name: &str) -> Result<usize, FamilyError> {
        self.size_or(name, None)?.ok_or_else(|| self.wrong(name, "a whole number from 1"))
    }

    /// A size from 1, or `other` where the key is absent.
    pub fn size_or(&self, name: &str, other: Option<usize>) -> Result<Option<usize>, FamilyError> {
        let key = self.key(name);
        if !self.0.metadata.contains_key(&key) {
            return Ok(other);
        }
        let size = self.0.u64(&key).filter(|n| (1..=LARGEST).contains(n)).and_then(|n| usize::try_from(n).ok());
        size.map(Some).ok_or_else(|| self.wrong(name, "a whole number from 1 to 16777216"))
    }

    /// The number of layers, each of which has tensors: a file cannot have more of them than of these.
    pub fn layers(&self) -> Result<usize, FamilyError> {
        let (layers, tensors) = (self.size("block_count")?, self.0.tensors.len());
        if layers <= tensors { Ok(layers) } else { Err(self.wrong("block_count", &at_most(tensors, layers))) }
    }

    /// Numbers in a head, where they are stated.
    pub fn head_dim(&self, name: &str) -> Result<Option<usize>, FamilyError> {
        match self.size_or(name, None)? {
            Some(n) if n > WIDEST_HEAD => Err(self.wrong(name, "a whole number up to 65536")),
            other => Ok(other),
        }
    }

    /// A number above 0, or `other` where the key is absent.
    pub fn number_or(&self, name: &str, other: f64) -> Result<f64, FamilyError> {
        let key = self.key(name);
        if !self.0.metadata.contains_key(&key) {
            return Ok(other);
        }
        let number = self.0.f64(&key).filter(|x| x.is_finite() && *x > 0.0);
        number.ok_or_else(|| self.wrong(name, "a number above 0"))
    }

    /// True or false, or `other` where the key is absent.
    pub fn flag_or(&self, name: &str, other: bool) -> Result<bool, FamilyError> {
        let key = self.key(name);
        if !self.0.metadata.contains_key(&key) {
            return Ok(other);
        }
        self.0.bool(&key).ok_or_else(|| self.wrong(name, "true or false"))
    }

    /// Scaling of rotary positions.
    pub fn rope_scaling(&self) -> Result<RopeScaling, FamilyError> {
        match self.0.string(&self.key("rope.scaling.type")) {
            None | Some("none") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear(self.number_or("rope.scaling.factor", 1.0)?)),
            Some(other) => Err(FamilyError::Unsupported {
                key: self.key("rope.scaling.type"),
                value: other.to_owned(),
                advice: "none and linear load",
            }),
        }
    }
}

/// What Llama and Gemma state alike.
pub(crate) struct Sizes {
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub intermediate: usize,
    pub context: usize,
    /// Added to the variance in norms.
    pub epsilon: f64,
}

impl Sizes {
    /// Those of a config.json.
    pub fn of_config(config: &Config<'_>) -> Result<Self, FamilyError> {
        let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
        Ok(Self {
            hidden,
            heads,
            kv_heads: config.size_or("num_key_value_heads", Some(heads))?.unwrap_or(heads),
            intermediate: config.size("intermediate_size")?,
            context: config.size("max_position_embeddings")?,
            epsilon: config.number_or("rms_norm_eps", 1e-6)?,
        })
    }

    /// Those of the metadata of a GGUF file.
    pub fn of_metadata(metadata: &Metadata<'_>) -> Result<Self, FamilyError> {
        let (hidden, heads) = (metadata.size("embedding_length")?, metadata.size("attention.head_count")?);
        Ok(Self {
            hidden,
            heads,
            kv_heads: metadata.size_or("attention.head_count_kv", Some(heads))?.unwrap_or(heads),
            intermediate: metadata.size("feed_forward_length")?,
            context: metadata.size("context_length")?,
            epsilon: metadata.number_or("attention.layer_norm_rms_epsilon", 1e-6)?,
        })
    }
}

fn at_most(tensors: usize, layers: usize) -> String {
    format!("no more layers than there are tensors, {tensors}, and it says {layers}")
}

/// Numbers in a head where the hidden ones are shared out among the heads.
pub(crate) fn share_of_head(hidden: usize, heads: usize) -> Result<usize, FamilyError> {
    check_heads(hidden, heads)?;
    let head_dim = hidden / heads;
    if head_dim <= WIDEST_HEAD {
        return Ok(head_dim);
    }
    Err(FamilyError::Unsupported {
        key: "number of heads".to_owned(),
        value: format!("{heads} for {hidden} hidden numbers"),
        advice: "a head has at most 65536 of them",
    })
}

/// Refuses heads that do not divide.
pub(crate) fn check_heads(heads: usize, kv_heads: usize) -> Result<(), FamilyError> {
    if heads.is_multiple_of(kv_heads) {
        return Ok(());
    }
    Err(FamilyError::Unsupported {
        key: "number of key-value heads".to_owned(),
        value: format!("{kv_heads} for {heads} query heads"),
        advice: "each must serve the same number of query heads",
    })
}

/// The tensors outside the layers of a GGUF file.
pub(crate) fn gguf_places() -> Places {
    Places {
        embedding: "token_embd".to_owned(),
        positions: None,
        final_norm: "output_norm".to_owned(),
        head: "output".to_owned(),
        transposed: false,
        rope_factors: None,
    }
}

/// The tensors outside the layers of the newer families as their authors store them.
pub(crate) fn original_places() -> Places {
    Places {
        embedding: "model.embed_tokens".to_owned(),
        positions: None,
        final_norm: "model.norm".to_owned(),
        head: "lm_head".to_owned(),
        transposed: false,
        rope_factors: None,
    }
}

/// The tensors of layer `i` in a GGUF file with separate queries, keys and values.
pub(crate) fn gguf_layer(i: usize) -> LayerPlaces {
    let place = |name: &str| Place::whole(format!("blk.{i}.{name}"));
    LayerPlaces {
        attention_norm: place("attn_norm"),
        qkv: ["attn_q", "attn_k", "attn_v"].map(place),
        qk_norms: [Place::None, Place::None],
        output: place("attn_output"),
        after_attention: Place::None,
        mlp_norm: place("ffn_norm"),
        gate: place("ffn_gate"),
        up: place("ffn_up"),
        down: place("ffn_down"),
        after_mlp: Place::None,
    }
}

/// The tensors of layer `i` in a GGUF file with queries, keys and values in one tensor and no gate.
pub(crate) fn gguf_fused_layer(i: usize) -> LayerPlaces {
    let third = |part| Place::Third { name: format!("blk.{i}.attn_qkv"), part };
    LayerPlaces { qkv: [third(0), third(1), third(2)], gate: Place::None, ..gguf_layer(i) }
}

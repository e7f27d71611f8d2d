//! Llama and its near kin: SmolLM2 and Mistral (a window), Qwen2 and Qwen2.5 (biases), Qwen3 (norms of queries and
//! keys). Biases are found in the checkpoint.

use serde_json::json;

use super::settings::{Config, Metadata, Sizes, gguf_layer};
use super::{FamilyError, settings};
use crate::architecture::{
    Activation, Architecture, LayerPlaces, LayerShape, NormKind, Place, Places, Rope, RopeStyle,
};

pub(super) fn of_config(name: &str, config: &Config<'_>, tensors: usize) -> Result<Architecture, FamilyError> {
    config.only("hidden_act", &json!("silu"), "silu loads")?;
    let sizes = Sizes::of_config(config)?;
    let head_dim =
        config.head_dim("head_dim")?.map_or_else(|| settings::share_of_head(sizes.hidden, sizes.heads), Ok)?;
    let layers = config.layers("num_hidden_layers", tensors)?;
    let (base, scaling) = config.rope(10_000.0)?;
    let window = if name == "mistral" {
        config.size_or("sliding_window", None)?
    } else {
        config.only("use_sliding_window", &json!(false), "false loads")?;
        None
    };
    let shape = Shape {
        family: name,
        vocabulary: config.size("vocab_size")?,
        sizes,
        head_dim,
        rope: Rope::new(head_dim, base, scaling, RopeStyle::Halves),
        window,
    };
    let places = settings::original_places();
    shape.architecture((0..layers).map(|i| original_layer(i, name == "qwen3")).collect(), places)
}

pub(super) fn of_metadata(name: &str, metadata: &Metadata<'_>) -> Result<Architecture, FamilyError> {
    let sizes = Sizes::of_metadata(metadata)?;
    let stated = metadata.head_dim("attention.key_length")?;
    let head_dim = stated.map_or_else(|| settings::share_of_head(sizes.hidden, sizes.heads), Ok)?;
    if metadata.size_or("expert_count", None)?.is_some() {
        return Err(FamilyError::Unsupported {
            key: format!("{name}.expert_count"),
            value: "set".to_owned(),
            advice: "models with experts do not load",
        });
    }
    // The converter reorders the rows of queries and keys of this one architecture.
    let style = if name == "llama" { RopeStyle::Neighbours } else { RopeStyle::Halves };
    let dims = metadata.head_dim("rope.dimension_count")?.unwrap_or(head_dim).min(head_dim);
    let base = metadata.number_or("rope.freq_base", 10_000.0)?;
    let shape = Shape {
        family: name,
        vocabulary: 0,
        sizes,
        head_dim,
        rope: Rope::new(dims, base, metadata.rope_scaling()?, style),
        window: None,
    };
    let places = Places { rope_factors: Some("rope_freqs".to_owned()), ..settings::gguf_places() };
    let layer = |i| {
        let place = |part: &str| Place::whole(format!("blk.{i}.{part}"));
        let qk_norms =
            if name == "qwen3" { ["attn_q_norm", "attn_k_norm"].map(place) } else { [Place::None, Place::None] };
        LayerPlaces { qk_norms, ..gguf_layer(i) }
    };
    shape.architecture((0..metadata.layers()?).map(layer).collect(), places)
}

struct Shape<'a> {
    family: &'a str,
    vocabulary: usize,
    sizes: Sizes,
    head_dim: usize,
    rope: Rope,
    window: Option<usize>,
}

impl Shape<'_> {
    fn architecture(self, layers: Vec<LayerPlaces>, places: Places) -> Result<Architecture, FamilyError> {
        settings::check_heads(self.sizes.heads, self.sizes.kv_heads)?;
        let layer = |places| LayerShape { window: self.window, rope: Some(0), places };
        Ok(Architecture {
            family: self.family.to_owned(),
            vocabulary: self.vocabulary,
            hidden: self.sizes.hidden,
            heads: self.sizes.heads,
            kv_heads: self.sizes.kv_heads,
            head_dim: self.head_dim,
            intermediate: self.sizes.intermediate,
            context: self.sizes.context,
            norm: NormKind::Rms,
            norm_epsilon: self.sizes.epsilon,
            activation: Activation::Silu,
            attention_scale: (self.head_dim as f64).powf(-0.5),
            embedding_scale: 1.0,
            parallel: false,
            ropes: vec![self.rope],
            layers: layers.into_iter().map(layer).collect(),
            places,
        })
    }
}

fn original_layer(i: usize, qk_norms: bool) -> LayerPlaces {
    let place = |name: &str| Place::whole(format!("model.layers.{i}.{name}"));
    LayerPlaces {
        attention_norm: place("input_layernorm"),
        qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(place),
        qk_norms: if qk_norms {
            ["self_attn.q_norm", "self_attn.k_norm"].map(place)
        } else {
            [Place::None, Place::None]
        },
        output: place("self_attn.o_proj"),
        after_attention: Place::None,
        mlp_norm: place("post_attention_layernorm"),
        gate: place("mlp.gate_proj"),
        up: place("mlp.up_proj"),
        down: place("mlp.down_proj"),
        after_mlp: Place::None,
    }
}

//! Gemma 3 (Google, 2025): five layers with a window for one that sees all, each kind with rotary positions of its own;
//! norms before and after each part; scaled embeddings.

use serde_json::json;

use super::settings::{Config, Metadata, Sizes, gguf_layer, rope_scaling};
use super::{FamilyError, settings};
use crate::architecture::{
    Activation, Architecture, LayerPlaces, LayerShape, NormKind, Place, Places, Rope, RopeScaling, RopeStyle,
};

/// Every sixth layer sees all.
const PATTERN: usize = 6;

pub(super) fn of_config(config: &Config<'_>, tensors: usize) -> Result<Architecture, FamilyError> {
    config.only("hidden_activation", &json!("gelu_pytorch_tanh"), "gelu_pytorch_tanh loads")?;
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        config.only(key, &json!(null), "no soft cap loads")?;
    }
    let head_dim = config.head_dim("head_dim")?.unwrap_or(256);
    let layers = config.layers("num_hidden_layers", tensors)?;
    let window = config.size_or("sliding_window", Some(4096))?;
    let pattern = config.size_or("sliding_window_pattern", Some(PATTERN))?.unwrap_or(PATTERN);
    let sliding: Vec<bool> = match config.names("layer_types")? {
        Some(types) if types.len() == layers => types.iter().map(|kind| *kind == "sliding_attention").collect(),
        Some(types) => {
            return Err(FamilyError::Setting {
                place: "config.json",
                key: "layer_types".to_owned(),
                expected: format!("a kind for each of {layers} layers, found {}", types.len()),
            });
        }
        None => (0..layers).map(|i| (i + 1) % pattern != 0).collect(),
    };
    let (full, local) = ropes(config, head_dim)?;
    let scale = config.number_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    let shape = Shape {
        vocabulary: config.size("vocab_size")?,
        sizes: Sizes::of_config(config)?,
        head_dim,
        norm: NormKind::RmsPlusOne,
        ropes: vec![full, local],
        scale,
    };
    let places = settings::original_places();
    let layers = sliding.into_iter().enumerate().map(|(i, sliding)| (sliding, original_layer(i)));
    shape.architecture(layers, window, places)
}

/// Rotary positions of the layers that see all and of those with a window.
fn ropes(config: &Config<'_>, head_dim: usize) -> Result<(Rope, Rope), FamilyError> {
    let rope = |base, scaling| Rope::new(head_dim, base, scaling, RopeStyle::Halves);
    if let Some(parameters) = config.0.get("rope_parameters").filter(|p| p.get("full_attention").is_some()) {
        let of = |kind: &str, base: f64| {
            let settings = Config(&parameters[kind]);
            Ok(rope(settings.number_or("rope_theta", base)?, rope_scaling(&settings)?))
        };
        return Ok((of("full_attention", 1e6)?, of("sliding_attention", 1e4)?));
    }
    let (base, scaling) = config.rope(1e6)?;
    Ok((rope(base, scaling), rope(config.number_or("rope_local_base_freq", 1e4)?, RopeScaling::None)))
}

pub(super) fn of_metadata(metadata: &Metadata<'_>) -> Result<Architecture, FamilyError> {
    let sizes = Sizes::of_metadata(metadata)?;
    let head_dim = metadata.head_dim("attention.key_length")?.unwrap_or(256);
    let layers = metadata.layers()?;
    let window = metadata.size_or("attention.sliding_window", None)?;
    let full =
        Rope::new(head_dim, metadata.number_or("rope.freq_base", 1e6)?, metadata.rope_scaling()?, RopeStyle::Halves);
    let local_base = metadata.number_or("rope.freq_base_swa", 1e4)?;
    // The 27B model alone scales by its hidden size a head.
    let scaled_by = if layers == 62 { sizes.hidden / sizes.heads } else { head_dim };
    let shape = Shape {
        vocabulary: 0,
        sizes,
        head_dim,
        // The converter adds the 1.
        norm: NormKind::Rms,
        ropes: vec![full, Rope::new(head_dim, local_base, RopeScaling::None, RopeStyle::Halves)],
        scale: (scaled_by as f64).powf(-0.5),
    };
    let places = settings::gguf_places();
    let layer = |i| {
        let place = |name: &str| Place::whole(format!("blk.{i}.{name}"));
        LayerPlaces {
            qk_norms: ["attn_q_norm", "attn_k_norm"].map(place),
            after_attention: place("post_attention_norm"),
            after_mlp: place("post_ffw_norm"),
            ..gguf_layer(i)
        }
    };
    shape.architecture((0..layers).map(|i| ((i + 1) % PATTERN != 0, layer(i))), window, places)
}

struct Shape {
    vocabulary: usize,
    sizes: Sizes,
    head_dim: usize,
    norm: NormKind,
    ropes: Vec<Rope>,
    scale: f64,
}

impl Shape {
    fn architecture(
        self,
        layers: impl Iterator<Item = (bool, LayerPlaces)>,
        window: Option<usize>,
        places: Places,
    ) -> Result<Architecture, FamilyError> {
        settings::check_heads(self.sizes.heads, self.sizes.kv_heads)?;
        let layer = |(sliding, places)| LayerShape {
            window: window.filter(|_| sliding),
            rope: Some(usize::from(sliding)),
            places,
        };
        Ok(Architecture {
            family: "gemma3".to_owned(),
            vocabulary: self.vocabulary,
            hidden: self.sizes.hidden,
            heads: self.sizes.heads,
            kv_heads: self.sizes.kv_heads,
            head_dim: self.head_dim,
            intermediate: self.sizes.intermediate,
            context: self.sizes.context,
            norm: self.norm,
            norm_epsilon: self.sizes.epsilon,
            activation: Activation::GeluTanh,
            attention_scale: self.scale,
            embedding_scale: (self.sizes.hidden as f64).sqrt(),
            parallel: false,
            ropes: self.ropes,
            layers: layers.map(layer).collect(),
            places,
        })
    }
}

fn original_layer(i: usize) -> LayerPlaces {
    let place = |name: &str| Place::whole(format!("model.layers.{i}.{name}"));
    LayerPlaces {
        attention_norm: place("input_layernorm"),
        qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].map(place),
        qk_norms: ["self_attn.q_norm", "self_attn.k_norm"].map(place),
        output: place("self_attn.o_proj"),
        after_attention: place("post_attention_layernorm"),
        mlp_norm: place("pre_feedforward_layernorm"),
        gate: place("mlp.gate_proj"),
        up: place("mlp.up_proj"),
        down: place("mlp.down_proj"),
        after_mlp: place("post_feedforward_layernorm"),
    }
}

//! GPT-2 (OpenAI, 2019): learned positions, and linear weights that lie as `[in, out]` in the original checkpoints.

use serde_json::json;

use super::settings::{Config, Metadata, gguf_fused_layer};
use super::{FamilyError, settings};
use crate::architecture::{Activation, Architecture, LayerPlaces, LayerShape, NormKind, Place, Places};

pub(super) fn of_config(config: &Config<'_>, tensors: usize) -> Result<Architecture, FamilyError> {
    config.only("activation_function", &json!("gelu_new"), "gelu_new loads")?;
    config.only("scale_attn_by_inverse_layer_idx", &json!(false), "false loads")?;
    config.only("scale_attn_weights", &json!(true), "true loads")?;
    let (hidden, heads, layers) = (config.size("n_embd")?, config.size("n_head")?, config.layers("n_layer", tensors)?);
    let context = config.size_or("n_positions", None)?.map_or_else(|| config.size("n_ctx"), Ok)?;
    let intermediate = config.size_or("n_inner", None)?.unwrap_or(4 * hidden);
    let epsilon = config.number_or("layer_norm_epsilon", 1e-5)?;
    let places = Places {
        embedding: "transformer.wte".to_owned(),
        positions: Some("transformer.wpe".to_owned()),
        final_norm: "transformer.ln_f".to_owned(),
        head: "lm_head".to_owned(),
        transposed: true,
        rope_factors: None,
    };
    let shape = Shape { vocabulary: config.size("vocab_size")?, hidden, heads, intermediate, context, epsilon };
    shape.architecture((0..layers).map(original_layer).collect(), places)
}

pub(super) fn of_metadata(metadata: &Metadata<'_>) -> Result<Architecture, FamilyError> {
    let hidden = metadata.size("embedding_length")?;
    let shape = Shape {
        vocabulary: 0,
        hidden,
        heads: metadata.size("attention.head_count")?,
        intermediate: metadata.size("feed_forward_length")?,
        context: metadata.size("context_length")?,
        epsilon: metadata.number_or("attention.layer_norm_epsilon", 1e-5)?,
    };
    let places = Places { positions: Some("position_embd".to_owned()), ..settings::gguf_places() };
    shape.architecture((0..metadata.layers()?).map(gguf_fused_layer).collect(), places)
}

struct Shape {
    vocabulary: usize,
    hidden: usize,
    heads: usize,
    intermediate: usize,
    context: usize,
    epsilon: f64,
}

impl Shape {
    fn architecture(self, layers: Vec<LayerPlaces>, places: Places) -> Result<Architecture, FamilyError> {
        let head_dim = settings::share_of_head(self.hidden, self.heads)?;
        Ok(Architecture {
            family: "gpt2".to_owned(),
            vocabulary: self.vocabulary,
            hidden: self.hidden,
            heads: self.heads,
            kv_heads: self.heads,
            head_dim,
            intermediate: self.intermediate,
            context: self.context,
            norm: NormKind::Layer,
            norm_epsilon: self.epsilon,
            activation: Activation::GeluTanh,
            attention_scale: (head_dim as f64).powf(-0.5),
            embedding_scale: 1.0,
            parallel: false,
            ropes: Vec::new(),
            layers: layers.into_iter().map(|places| LayerShape { window: None, rope: None, places }).collect(),
            places,
        })
    }
}

fn original_layer(i: usize) -> LayerPlaces {
    let name = |name: &str| format!("transformer.h.{i}.{name}");
    let third = |part| Place::Third { name: name("attn.c_attn"), part };
    LayerPlaces {
        attention_norm: Place::Whole(name("ln_1")),
        qkv: [third(0), third(1), third(2)],
        qk_norms: [Place::None, Place::None],
        output: Place::Whole(name("attn.c_proj")),
        after_attention: Place::None,
        mlp_norm: Place::Whole(name("ln_2")),
        gate: Place::None,
        up: Place::Whole(name("mlp.c_fc")),
        down: Place::Whole(name("mlp.c_proj")),
        after_mlp: Place::None,
    }
}

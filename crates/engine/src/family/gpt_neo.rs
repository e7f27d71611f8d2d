//! GPT-Neo (EleutherAI, 2021): learned positions, layers that see all and layers that see a window in turn, and products
//! of queries and keys that are not scaled.

use serde_json::json;

use super::settings::Config;
use super::{FamilyError, settings};
use crate::architecture::{Activation, Architecture, LayerPlaces, LayerShape, NormKind, Place, Places};

pub(super) fn of_config(config: &Config<'_>, tensors: usize) -> Result<Architecture, FamilyError> {
    config.only("activation_function", &json!("gelu_new"), "gelu_new loads")?;
    let (hidden, heads, layers) =
        (config.size("hidden_size")?, config.size("num_heads")?, config.layers("num_layers", tensors)?);
    let head_dim = settings::share_of_head(hidden, heads)?;
    let window = config.size_or("window_size", Some(256))?;
    let local = local_layers(config, layers)?;
    let layer = |(i, local): (usize, bool)| LayerShape {
        window: window.filter(|_| local),
        rope: None,
        places: layer_places(i),
    };
    Ok(Architecture {
        family: "gpt_neo".to_owned(),
        vocabulary: config.size("vocab_size")?,
        hidden,
        heads,
        kv_heads: heads,
        head_dim,
        intermediate: config.size_or("intermediate_size", None)?.unwrap_or(4 * hidden),
        context: config.size("max_position_embeddings")?,
        norm: NormKind::Layer,
        norm_epsilon: config.number_or("layer_norm_epsilon", 1e-5)?,
        activation: Activation::GeluTanh,
        attention_scale: 1.0,
        embedding_scale: 1.0,
        parallel: false,
        ropes: Vec::new(),
        layers: local.into_iter().enumerate().map(layer).collect(),
        places: Places {
            embedding: "transformer.wte".to_owned(),
            positions: Some("transformer.wpe".to_owned()),
            final_norm: "transformer.ln_f".to_owned(),
            head: "lm_head".to_owned(),
            transposed: false,
            rope_factors: None,
        },
    })
}

/// Which layers see a window only: `attention_layers`, or `attention_types` as `[[kinds, repeats], ...]`.
fn local_layers(config: &Config<'_>, layers: usize) -> Result<Vec<bool>, FamilyError> {
    let mut kinds: Vec<&str> = config.names("attention_layers")?.unwrap_or_default();
    if kinds.is_empty() {
        for group in config.0.get("attention_types").and_then(|v| v.as_array()).into_iter().flatten() {
            let names: Vec<&str> = group[0].as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
            for _ in 0..group[1].as_u64().unwrap_or(0).min(layers as u64) {
                kinds.extend(&names);
                // One too many is enough to refuse them; a file could claim any number.
                if kinds.len() > layers {
                    break;
                }
            }
        }
    }
    if kinds.len() != layers || kinds.iter().any(|kind| !["global", "local"].contains(kind)) {
        return Err(FamilyError::Setting {
            place: "config.json",
            key: "attention_types".to_owned(),
            expected: format!("'global' or 'local' for each of {layers} layers, found {}", kinds.len()),
        });
    }
    Ok(kinds.into_iter().map(|kind| kind == "local").collect())
}

fn layer_places(i: usize) -> LayerPlaces {
    let place = |name: &str| Place::whole(format!("transformer.h.{i}.{name}"));
    LayerPlaces {
        attention_norm: place("ln_1"),
        qkv: ["attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"].map(place),
        qk_norms: [Place::None, Place::None],
        output: place("attn.attention.out_proj"),
        after_attention: Place::None,
        mlp_norm: place("ln_2"),
        gate: Place::None,
        up: place("mlp.c_fc"),
        down: place("mlp.c_proj"),
        after_mlp: Place::None,
    }
}

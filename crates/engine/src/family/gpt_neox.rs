//! GPT-NeoX and Pythia (EleutherAI): rotary positions on a part of each head, attention and MLP side by side.

use super::settings::{Config, Metadata, gguf_fused_layer};
use super::{FamilyError, settings};
use crate::architecture::{
    Activation, Architecture, LayerPlaces, LayerShape, NormKind, Place, Places, Rope, RopeStyle,
};

pub(super) fn of_config(config: &Config<'_>, tensors: usize) -> Result<Architecture, FamilyError> {
    let activation = match config.name("hidden_act") {
        None | Some("gelu") => Activation::Gelu,
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Activation::GeluTanh,
        Some(other) => {
            return Err(FamilyError::Unsupported {
                key: "hidden_act".to_owned(),
                value: other.to_owned(),
                advice: "gelu and gelu_new load",
            });
        }
    };
    let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let head_dim = settings::share_of_head(hidden, heads)?;
    let (base, scaling) = config.rope(config.number_or("rotary_emb_base", 10_000.0)?)?;
    let share = match config.0.get("rope_parameters").and_then(|p| p.get("partial_rotary_factor")) {
        Some(_) => Config(&config.0["rope_parameters"]).number_or("partial_rotary_factor", 0.25)?,
        None => config.number_or("rotary_pct", 0.25)?,
    };
    let dims = (head_dim as f64 * share.min(1.0)) as usize;
    let layers = config.layers("num_hidden_layers", tensors)?;
    Ok(Architecture {
        vocabulary: config.size("vocab_size")?,
        intermediate: config.size("intermediate_size")?,
        context: config.size("max_position_embeddings")?,
        norm_epsilon: config.number_or("layer_norm_eps", 1e-5)?,
        activation,
        parallel: config.flag_or("use_parallel_residual", true)?,
        places: Places {
            embedding: "gpt_neox.embed_in".to_owned(),
            positions: None,
            final_norm: "gpt_neox.final_layer_norm".to_owned(),
            head: "embed_out".to_owned(),
            transposed: false,
            rope_factors: None,
        },
        ..shape(hidden, heads, Rope::new(dims, base, scaling, RopeStyle::Halves), (0..layers).map(original_layer))
    })
}

pub(super) fn of_metadata(metadata: &Metadata<'_>) -> Result<Architecture, FamilyError> {
    let (hidden, heads) = (metadata.size("embedding_length")?, metadata.size("attention.head_count")?);
    let head_dim = settings::share_of_head(hidden, heads)?;
    let dims = metadata.head_dim("rope.dimension_count")?.unwrap_or(head_dim).min(head_dim);
    let base = metadata.number_or("rope.freq_base", 10_000.0)?;
    let rope = Rope::new(dims, base, metadata.rope_scaling()?, RopeStyle::Halves);
    Ok(Architecture {
        vocabulary: 0,
        intermediate: metadata.size("feed_forward_length")?,
        context: metadata.size("context_length")?,
        norm_epsilon: metadata.number_or("attention.layer_norm_epsilon", 1e-5)?,
        parallel: metadata.flag_or("use_parallel_residual", true)?,
        places: settings::gguf_places(),
        ..shape(hidden, heads, rope, (0..metadata.layers()?).map(gguf_fused_layer))
    })
}

fn shape(hidden: usize, heads: usize, rope: Rope, layers: impl Iterator<Item = LayerPlaces>) -> Architecture {
    Architecture {
        family: "gpt_neox".to_owned(),
        vocabulary: 0,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        intermediate: 0,
        context: 0,
        norm: NormKind::Layer,
        norm_epsilon: 1e-5,
        activation: Activation::Gelu,
        attention_scale: ((hidden / heads) as f64).powf(-0.5),
        embedding_scale: 1.0,
        parallel: true,
        ropes: vec![rope],
        layers: layers.map(|places| LayerShape { window: None, rope: Some(0), places }).collect(),
        places: Places {
            embedding: String::new(),
            positions: None,
            final_norm: String::new(),
            head: String::new(),
            transposed: false,
            rope_factors: None,
        },
    }
}

fn original_layer(i: usize) -> LayerPlaces {
    let name = |name: &str| format!("gpt_neox.layers.{i}.{name}");
    let third = |part| Place::ThirdOfEachHead { name: name("attention.query_key_value"), part };
    LayerPlaces {
        attention_norm: Place::Whole(name("input_layernorm")),
        qkv: [third(0), third(1), third(2)],
        qk_norms: [Place::None, Place::None],
        output: Place::Whole(name("attention.dense")),
        after_attention: Place::None,
        mlp_norm: Place::Whole(name("post_attention_layernorm")),
        gate: Place::None,
        up: Place::Whole(name("mlp.dense_h_to_4h")),
        down: Place::Whole(name("mlp.dense_4h_to_h")),
        after_mlp: Place::None,
    }
}

//! What a decoder needs to know about a model: sizes, positions, norms, and where each tensor lies in the checkpoint.
//!
//! A family (`family/*.rs`) fills this in from `config.json` or from the metadata of a GGUF file; the decoder knows no
//! family by name.

use std::f64::consts::PI;

/// How a row is brought to scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps) * weight`.
    Rms,
    /// The same with `1 + weight`: Gemma as its authors store it.
    RmsPlusOne,
    /// `(x - mean) / sqrt(variance + eps) * weight + bias`.
    Layer,
}

/// The function between the two layers of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + exp(-x))`.
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// GELU by erf.
    Gelu,
}

/// Which numbers of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// `i` with `i + dims / 2`.
    Halves,
    /// `2 i` with `2 i + 1`: llama-family GGUF files, whose rows were reordered for it.
    Neighbours,
}

/// Rotary positions: one frequency a pair of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Radians a position, one a rotated pair; the rest of a head is left as it is.
    pub frequencies: Vec<f64>,
    /// Which numbers make a pair.
    pub style: RopeStyle,
}

/// Stretching of rotary positions beyond the context of pretraining.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// All divided by this factor.
    Linear(f64),
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Contexts a wavelength, below which the frequency is divided in full.
        low: f64,
        /// Contexts a wavelength, above which it is kept.
        high: f64,
        /// Context of pretraining.
        context: f64,
    },
}

impl Rope {
    /// Frequencies `base^(-2 i / dims)` (arXiv 2104.09864), scaled.
    #[must_use]
    pub fn new(dims: usize, base: f64, scaling: RopeScaling, style: RopeStyle) -> Self {
        let frequency = |i: usize| {
            let plain = base.powf(-2.0 * i as f64 / dims as f64);
            match scaling {
                RopeScaling::None => plain,
                RopeScaling::Linear(factor) => plain / factor,
                RopeScaling::Llama3 { factor, low, high, context } => {
                    let turns = context * plain / (2.0 * PI);
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    plain * (kept + (1.0 - kept) / factor)
                }
            }
        };
        Self { frequencies: (0..dims / 2).map(frequency).collect(), style }
    }
}

/// Where the weight of one linear layer or norm lies: `NAME.weight`, and `NAME.bias` where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The model has none.
    None,
    /// The whole tensor.
    Whole(String),
    /// Third `part` of a tensor that holds queries, keys and values one after another.
    Third {
        /// Name without suffix.
        name: String,
        /// 0 queries, 1 keys, 2 values.
        part: usize,
    },
    /// The same, head by head: queries, keys and values of the first head, then of the second.
    ThirdOfEachHead {
        /// Name without suffix.
        name: String,
        /// 0 queries, 1 keys, 2 values.
        part: usize,
    },
}

impl Place {
    /// The whole tensor `name`.
    pub fn whole(name: impl Into<String>) -> Self {
        Self::Whole(name.into())
    }
}

/// The tensors of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlaces {
    /// Norm before attention.
    pub attention_norm: Place,
    /// Queries, keys, values.
    pub qkv: [Place; 3],
    /// Norms of each query and each key head.
    pub qk_norms: [Place; 2],
    /// Output of attention.
    pub output: Place,
    /// Norm of what attention gives, before it is added.
    pub after_attention: Place,
    /// Norm before the MLP.
    pub mlp_norm: Place,
    /// Gate of the MLP, where it has one.
    pub gate: Place,
    /// First layer of the MLP.
    pub up: Place,
    /// Second layer of the MLP.
    pub down: Place,
    /// Norm of what the MLP gives, before it is added.
    pub after_mlp: Place,
}

/// The tensors outside the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Token embedding.
    pub embedding: String,
    /// Embedding of positions, where they are learned.
    pub positions: Option<String>,
    /// Norm after the last layer.
    pub final_norm: String,
    /// Output head; the token embedding where the checkpoint has no tensor of this name.
    pub head: String,
    /// Linear weights lie as `[in, out]` (GPT-2 as its authors store it).
    pub transposed: bool,
    /// A factor for each rotary frequency, by which it is divided, where the checkpoint has one.
    pub rope_factors: Option<String>,
}

/// One layer: what it sees and how it knows positions.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerShape {
    /// Tokens that it sees, itself included; `None` sees all.
    pub window: Option<usize>,
    /// Index into [`Architecture::ropes`]; `None` where positions are learned.
    pub rope: Option<usize>,
    /// Its tensors.
    pub places: LayerPlaces,
}

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The family by the name that the checkpoint gives it, such as `gpt_neo` or `llama`.
    pub family: String,
    /// Tokens in the vocabulary, as rows of the embedding; 0 where only the tensor tells.
    pub vocabulary: usize,
    /// Numbers that stand for a token between layers.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads.
    pub kv_heads: usize,
    /// Numbers in a head.
    pub head_dim: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Longest text in tokens.
    pub context: usize,
    /// The norms.
    pub norm: NormKind,
    /// Their epsilon.
    pub norm_epsilon: f64,
    /// The activation.
    pub activation: Activation,
    /// What products of queries and keys are multiplied with.
    pub attention_scale: f64,
    /// What embeddings are multiplied with.
    pub embedding_scale: f64,
    /// Attention and MLP both read the input of the layer.
    pub parallel: bool,
    /// Rotary positions in use.
    pub ropes: Vec<Rope>,
    /// The layers.
    pub layers: Vec<LayerShape>,
    /// The tensors outside them.
    pub places: Places,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_scaling_keeps_short_and_stretches_long_wavelengths() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, context: 8192.0 };
        let plain = Rope::new(128, 500_000.0, RopeScaling::None, RopeStyle::Halves);
        let scaled = Rope::new(128, 500_000.0, scaling, RopeStyle::Halves);
        assert_eq!(scaled.frequencies[0], plain.frequencies[0]);
        assert!((scaled.frequencies[63] * 8.0 / plain.frequencies[63] - 1.0).abs() < 1e-12);
    }
}

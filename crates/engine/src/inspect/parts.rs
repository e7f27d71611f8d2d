//! Which part of a model each tensor belongs to, by the names that GGUF and the authors of checkpoints use.

use serde::Serialize;

use crate::files::{Checkpoint, TensorInfo};

/// A part of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Embeddings of tokens and of positions.
    Embedding,
    /// Queries, keys, values and the output of attention.
    Attention,
    /// The MLP, experts and their router among it.
    Mlp,
    /// Norms, wherever they stand.
    Norms,
    /// From the last layer to the vocabulary; none where the token embedding is used again.
    OutputHead,
    /// Anything else.
    Other,
    /// Constants that some files keep beside the parameters: masks and rotary frequencies. They are not parameters.
    Buffers,
}

impl Part {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 7] =
        [Self::Embedding, Self::Attention, Self::Mlp, Self::Norms, Self::OutputHead, Self::Other, Self::Buffers];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Attention => "attention",
            Self::Mlp => "MLP",
            Self::Norms => "norms",
            Self::OutputHead => "output head",
            Self::Other => "other",
            Self::Buffers => "buffers",
        }
    }

    /// The part that a tensor belongs to.
    pub fn of(tensor: &TensorInfo) -> Self {
        let name = tensor.name.as_str();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let mask = ends(&["attn.bias", "attention.bias"]) && tensor.shape.len() == 4;
        if mask
            || ends(&[
                "masked_bias",
                "inv_freq",
                "rope_freqs.weight",
                "rope_factors_long.weight",
                "rope_factors_short.weight",
            ])
        {
            return Self::Buffers;
        }
        let any = |found: &dyn Fn(&str) -> bool| name.split('.').any(found);
        if any(&|s| s.contains("norm") || s.starts_with("ln_")) {
            Self::Norms
        } else if any(&|s| ["output", "lm_head", "embed_out"].contains(&s))
            && !name.contains("blk.")
            && !name.contains("layer")
        {
            Self::OutputHead
        } else if any(&|s| s.contains("embd") || s.contains("embed") || ["wte", "wpe"].contains(&s)) {
            Self::Embedding
        } else if any(&|s| s.contains("attn") || s.contains("attention")) {
            Self::Attention
        } else if any(&|s| s.contains("ffn") || s.contains("mlp") || s.contains("expert") || s.contains("feed_forward"))
        {
            Self::Mlp
        } else {
            Self::Other
        }
    }
}

/// The parameters of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartCount {
    /// The part.
    pub part: Part,
    /// Numbers in its tensors.
    pub parameters: u64,
}

/// All parts, and what the tensors say beyond.
pub(super) struct Parts {
    pub counts: Vec<PartCount>,
    pub has_head: bool,
    /// Rows of the token embedding.
    pub vocabulary: Option<u64>,
}

impl Parts {
    /// Parameters of all parts but buffers.
    pub fn total(&self) -> u64 {
        self.counts.iter().filter(|c| c.part != Part::Buffers).map(|c| c.parameters).sum()
    }
}

/// Names that token embeddings have; each is the end of a tensor's name.
const TOKEN_EMBEDDINGS: [&str; 6] = [
    "token_embd.weight",
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
];

pub(super) fn count(checkpoint: &Checkpoint) -> Parts {
    let mut counts = [0_u64; Part::ALL.len()];
    let mut vocabulary = None;
    for tensor in checkpoint.tensors() {
        let part = Part::of(tensor);
        // Empty tensors can state any sizes, so the product is what counts.
        counts[part as usize] = counts[part as usize].saturating_add(tensor.elements() as u64);
        if TOKEN_EMBEDDINGS.iter().any(|end| tensor.name.ends_with(end))
            && tensor.shape.len() == 2
            && vocabulary.is_none()
        {
            vocabulary = tensor.shape.first().map(|rows| *rows as u64);
        }
    }
    let listed = |part: Part| PartCount { part, parameters: counts[part as usize] };
    let counts: Vec<PartCount> = Part::ALL.into_iter().map(listed).collect();
    Parts { has_head: counts[Part::OutputHead as usize].parameters > 0, vocabulary, counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Dtype;

    #[test]
    fn names_of_every_family_are_told_apart() {
        for (name, part) in [
            ("token_embd.weight", Part::Embedding),
            ("model.embed_tokens.weight", Part::Embedding),
            ("transformer.wpe.weight", Part::Embedding),
            ("gpt_neox.embed_in.weight", Part::Embedding),
            ("position_embd.weight", Part::Embedding),
            ("blk.0.attn_q.weight", Part::Attention),
            ("blk.0.attn_output.weight", Part::Attention),
            ("transformer.h.0.attn.attention.out_proj.bias", Part::Attention),
            ("gpt_neox.layers.0.attention.query_key_value.weight", Part::Attention),
            ("model.layers.0.self_attn.k_proj.weight", Part::Attention),
            ("blk.0.ffn_gate_inp.weight", Part::Mlp),
            ("transformer.h.3.mlp.c_fc.weight", Part::Mlp),
            ("model.layers.0.block_sparse_moe.experts.1.w1.weight", Part::Mlp),
            ("blk.0.attn_q_norm.weight", Part::Norms),
            ("model.layers.0.post_attention_layernorm.weight", Part::Norms),
            ("transformer.h.0.ln_1.bias", Part::Norms),
            ("output_norm.weight", Part::Norms),
            ("transformer.ln_f.weight", Part::Norms),
            ("output.weight", Part::OutputHead),
            ("lm_head.weight", Part::OutputHead),
            ("embed_out.weight", Part::OutputHead),
            ("rope_freqs.weight", Part::Buffers),
            ("transformer.h.0.attn.masked_bias", Part::Buffers),
            ("gpt_neox.layers.0.attention.rotary_emb.inv_freq", Part::Buffers),
            ("blk.0.ssm_a", Part::Other),
        ] {
            let tensor = |shape: &[usize]| TensorInfo {
                name: name.to_owned(),
                shape: shape.to_vec(),
                dtype: Dtype::F32,
                start: 0,
                bytes: 0,
            };
            assert_eq!(Part::of(&tensor(&[4, 4])), part, "{name}");
        }
        let bias = |shape: &[usize]| TensorInfo {
            name: "h.0.attn.bias".to_owned(),
            shape: shape.to_vec(),
            dtype: Dtype::F32,
            start: 0,
            bytes: 0,
        };
        assert_eq!((Part::of(&bias(&[1, 1, 8, 8])), Part::of(&bias(&[8]))), (Part::Buffers, Part::Attention));
    }

    #[test]
    fn parts_are_numbered_in_the_order_of_the_list() {
        assert!(Part::ALL.iter().enumerate().all(|(at, part)| *part as usize == at));
    }
}

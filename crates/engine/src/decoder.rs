//! The one decoder of every family: embeddings, layers of attention and MLP, and the output head.
//!
//! A batch is any number of stretches of tokens, each of its own text in the cache; the linear layers see all of them as
//! one matrix. Rows of a batch do not influence each other except through the texts.

use std::sync::Arc;

use rayon::prelude::*;

use crate::architecture::{Activation, Architecture, Rope, RopeStyle};
use crate::cache::Cache;
use crate::files::{Checkpoint, FileError, dequantise};
use crate::kernel::{self, Packed, Segment, Shape, math};

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    /// The weights.
    pub weights: Packed,
    /// The bias, where there is one.
    pub bias: Option<Vec<f32>>,
}

/// A norm.
#[derive(Debug)]
pub struct Norm {
    /// What the scaled row is multiplied with.
    pub weight: Vec<f32>,
    /// What is added: `None` for an RMS norm.
    pub bias: Option<Vec<f32>>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// One layer.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are those of LayerPlaces, which explains them")]
pub struct Layer {
    pub attention_norm: Norm,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub q_norm: Option<Norm>,
    pub k_norm: Option<Norm>,
    pub output: Linear,
    pub after_attention: Option<Norm>,
    pub mlp_norm: Norm,
    pub gate: Option<Linear>,
    pub up: Linear,
    pub down: Linear,
    pub after_mlp: Option<Norm>,
    pub window: Option<usize>,
    pub rope: Option<usize>,
}

/// A loaded model.
#[derive(Debug)]
pub struct Decoder {
    /// What it is.
    pub architecture: Architecture,
    /// Its layers.
    pub layers: Vec<Layer>,
    /// Embeddings of positions, where they are learned.
    pub positions: Option<Vec<f32>>,
    /// Norm before the head.
    pub final_norm: Norm,
    /// Output head.
    pub head: Linear,
    /// The token embedding, which is read row by row from the file.
    pub embedding_name: String,
    /// The file.
    pub checkpoint: Arc<Checkpoint>,
}

/// What a layer left behind is handed to, layer after layer: 0 is the embedding, the last is the output of the last
/// layer before the final norm.
pub type HiddenTap<'a> = dyn FnMut(usize, &[f32]) + 'a;

/// Rows that one task of an elementwise function gets.
const ROWS_A_TASK: usize = 32;

impl Decoder {
    /// A cache for this model.
    #[must_use]
    pub fn cache(&self, tokens: usize) -> Cache {
        let a = &self.architecture;
        Cache::new(a.layers.len(), a.kv_heads, a.head_dim, tokens)
    }

    /// Bytes of packed weights.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let mut linears = vec![&self.head];
        for layer in &self.layers {
            linears.extend([&layer.q, &layer.k, &layer.v, &layer.output, &layer.up, &layer.down]);
            linears.extend(&layer.gate);
        }
        linears.iter().map(|l| l.weights.bytes()).sum::<usize>() + self.positions.as_ref().map_or(0, |p| p.len() * 4)
    }

    /// Runs a batch: `tokens` in the order of the rows of `segments`. Keys and values go into the cache; the hidden
    /// states after the last layer come back, `hidden` numbers a row, before the final norm.
    ///
    /// # Errors
    /// An embedding cannot be read from the file.
    pub fn forward(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        segments: &[Segment<'_>],
        tap: Option<&mut HiddenTap<'_>>,
    ) -> Result<Vec<f32>, FileError> {
        let a = &self.architecture;
        let m = tokens.len();
        let positions: Vec<usize> = segments.iter().flat_map(|s| s.position..s.position + s.len).collect();
        let mut x = self.embed(tokens, &positions)?;
        let tables: Vec<RopeTable> = a.ropes.iter().map(|rope| RopeTable::new(rope, &positions)).collect();
        let mut w = Work::new(a, m);
        let mut tap = tap;
        if let Some(tap) = tap.as_mut() {
            tap(0, &x);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            norm(&layer.attention_norm, &x, &mut w.normed);
            linear(&layer.q, &w.normed, m, &mut w.q);
            linear(&layer.k, &w.normed, m, &mut w.k);
            linear(&layer.v, &w.normed, m, &mut w.v);
            norm_heads(layer.q_norm.as_ref(), &mut w.q);
            norm_heads(layer.k_norm.as_ref(), &mut w.k);
            if let Some(table) = layer.rope.map(|rope| &tables[rope]) {
                table.rotate(&mut w.q, a.heads * a.head_dim, a.head_dim);
                table.rotate(&mut w.k, a.kv_heads * a.head_dim, a.head_dim);
            }
            let shape = Shape {
                heads: a.heads,
                kv_heads: a.kv_heads,
                head_dim: a.head_dim,
                slots: cache.slots(),
                window: layer.window,
                scale: a.attention_scale as f32,
            };
            kernel::store(&mut cache.layers[i], &shape, segments, &w.k, &w.v);
            kernel::attention(&cache.layers[i], &shape, segments, &w.q, &mut w.attended);
            linear(&layer.output, &w.attended, m, &mut w.part);
            norm_in_place(layer.after_attention.as_ref(), &mut w.part, &mut w.normed);
            if a.parallel {
                norm(&layer.mlp_norm, &x, &mut w.normed);
                add(&mut x, &w.part);
            } else {
                add(&mut x, &w.part);
                norm(&layer.mlp_norm, &x, &mut w.normed);
            }
            self.mlp(layer, m, &mut w);
            norm_in_place(layer.after_mlp.as_ref(), &mut w.part, &mut w.normed);
            add(&mut x, &w.part);
            if let Some(tap) = tap.as_mut() {
                tap(i + 1, &x);
            }
        }
        Ok(x)
    }

    /// Logits of `m` rows of hidden states, `vocabulary` numbers a row.
    #[must_use]
    pub fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let m = hidden.len() / self.architecture.hidden;
        let mut normed = vec![0.0; hidden.len()];
        norm(&self.final_norm, hidden, &mut normed);
        let mut logits = vec![0.0; m * self.architecture.vocabulary];
        linear(&self.head, &normed, m, &mut logits);
        logits
    }

    fn embed(&self, tokens: &[u32], positions: &[usize]) -> Result<Vec<f32>, FileError> {
        let a = &self.architecture;
        let mut x = vec![0.0; tokens.len() * a.hidden];
        let Some(table) = self.checkpoint.tensor(&self.embedding_name) else { return Ok(x) };
        let stride = table.data.len() / a.vocabulary.max(1);
        for ((row, &token), &position) in x.chunks_exact_mut(a.hidden).zip(tokens).zip(positions) {
            dequantise(&table.info.dtype, &table.data[token as usize * stride..][..stride], row)?;
            if a.embedding_scale != 1.0 {
                math::scale(row, a.embedding_scale as f32);
            }
            if let Some(learned) = &self.positions {
                math::add(row, &learned[position * a.hidden..][..a.hidden]);
            }
        }
        Ok(x)
    }

    fn mlp(&self, layer: &Layer, m: usize, w: &mut Work) {
        linear(&layer.up, &w.normed, m, &mut w.up);
        let activation = self.architecture.activation;
        if let Some(gate) = &layer.gate {
            linear(gate, &w.normed, m, &mut w.gate);
            let width = gate.weights.rows;
            in_chunks(&mut w.gate, &w.up, width, width, |gate, up| match activation {
                Activation::Silu => math::silu_times(gate, up),
                Activation::GeluTanh => math::gelu_tanh_times(gate, up),
                Activation::Gelu => {
                    math::gelu_erf_of(gate);
                    gate.iter_mut().zip(up).for_each(|(g, u)| *g *= u);
                }
            });
            linear(&layer.down, &w.gate, m, &mut w.part);
        } else {
            let width = layer.up.weights.rows;
            in_chunks(&mut w.up, &[], width, 0, |up, _| match activation {
                Activation::Silu => up.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp()),
                Activation::GeluTanh => math::gelu_tanh_of(up),
                Activation::Gelu => math::gelu_erf_of(up),
            });
            linear(&layer.down, &w.up, m, &mut w.part);
        }
    }
}

/// Buffers that every layer uses anew.
struct Work {
    normed: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    part: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl Work {
    fn new(a: &Architecture, m: usize) -> Self {
        let gated = a.layers.iter().any(|layer| layer.places.gate != crate::architecture::Place::None);
        let rows = |width: usize| vec![0.0; m * width];
        Self {
            normed: rows(a.hidden),
            q: rows(a.heads * a.head_dim),
            k: rows(a.kv_heads * a.head_dim),
            v: rows(a.kv_heads * a.head_dim),
            attended: rows(a.heads * a.head_dim),
            part: rows(a.hidden),
            gate: rows(if gated { a.intermediate } else { 0 }),
            up: rows(a.intermediate),
        }
    }
}

/// Runs `f` on chunks of rows of both matrices, on every core where there are many.
fn in_chunks(to: &mut [f32], from: &[f32], to_width: usize, from_width: usize, f: impl Fn(&mut [f32], &[f32]) + Sync) {
    if to.len() <= ROWS_A_TASK * to_width || rayon::current_num_threads() == 1 {
        f(to, from);
    } else if from_width == 0 {
        to.par_chunks_mut(ROWS_A_TASK * to_width).for_each(|to| f(to, &[]));
    } else {
        let from = from.par_chunks(ROWS_A_TASK * from_width);
        to.par_chunks_mut(ROWS_A_TASK * to_width).zip(from).for_each(|(to, from)| f(to, from));
    }
}

fn linear(layer: &Linear, x: &[f32], m: usize, out: &mut [f32]) {
    kernel::linear(x, m, &layer.weights, layer.bias.as_deref(), out);
}

fn add(to: &mut [f32], by: &[f32]) {
    math::add(to, by);
}

fn norm(norm: &Norm, x: &[f32], out: &mut [f32]) {
    let width = norm.weight.len();
    in_chunks(out, x, width, width, |out, x| match &norm.bias {
        None => math::rms_norm(x, &norm.weight, norm.epsilon, out),
        Some(bias) => math::layer_norm(x, &norm.weight, bias, norm.epsilon, out),
    });
}

fn norm_in_place(layer: Option<&Norm>, x: &mut [f32], spare: &mut [f32]) {
    if let Some(layer) = layer {
        norm(layer, x, spare);
        x.copy_from_slice(spare);
    }
}

fn norm_heads(layer: Option<&Norm>, x: &mut [f32]) {
    if let Some(layer) = layer {
        let mut out = vec![0.0; x.len()];
        norm(layer, x, &mut out);
        x.copy_from_slice(&out);
    }
}

/// Cosines and sines of the positions of a batch.
struct RopeTable {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    pairs: usize,
    style: RopeStyle,
}

impl RopeTable {
    fn new(rope: &Rope, positions: &[usize]) -> Self {
        let pairs = rope.frequencies.len();
        let mut table = Self {
            cosines: Vec::with_capacity(positions.len() * pairs),
            sines: Vec::with_capacity(positions.len() * pairs),
            pairs,
            style: rope.style,
        };
        for &position in positions {
            for frequency in &rope.frequencies {
                let (sine, cosine) = (position as f64 * frequency).sin_cos();
                table.cosines.push(cosine as f32);
                table.sines.push(sine as f32);
            }
        }
        table
    }

    /// Rotates the pairs of each head of each row.
    fn rotate(&self, x: &mut [f32], width: usize, head_dim: usize) {
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            let cosines = &self.cosines[row * self.pairs..][..self.pairs];
            let sines = &self.sines[row * self.pairs..][..self.pairs];
            for head in x.chunks_exact_mut(head_dim) {
                match self.style {
                    RopeStyle::Halves => {
                        let (low, high) = head[..2 * self.pairs].split_at_mut(self.pairs);
                        for i in 0..self.pairs {
                            let (a, b) = (low[i], high[i]);
                            low[i] = a * cosines[i] - b * sines[i];
                            high[i] = b * cosines[i] + a * sines[i];
                        }
                    }
                    RopeStyle::Neighbours => {
                        for (i, pair) in head[..2 * self.pairs].chunks_exact_mut(2).enumerate() {
                            let (a, b) = (pair[0], pair[1]);
                            pair[0] = a * cosines[i] - b * sines[i];
                            pair[1] = b * cosines[i] + a * sines[i];
                        }
                    }
                }
            }
        }
    }
}

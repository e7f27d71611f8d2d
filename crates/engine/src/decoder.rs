//! The one decoder of every family: embeddings, layers of attention and MLP, and the output head.
//!
//! A batch is any number of stretches of tokens, each of its own text in the cache; the linear layers see all of them as
//! one matrix. Rows of a batch do not influence each other except through the texts.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::architecture::{Activation, Architecture, Rope, RopeStyle};
use crate::cache::Cache;
use crate::files::{FileError, Table};
use crate::kernel::{self, Packed, Precision, Segment, Shape, math};

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    /// The weights.
    pub weights: Packed,
    /// The bias, where there is one.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    fn product<'a>(&'a self, out: &'a mut [f32]) -> kernel::Product<'a> {
        kernel::Product { weights: &self.weights, bias: self.bias.as_deref(), out }
    }
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
    pub embedding: Table,
}

/// What a layer left behind is handed to, layer after layer: 0 is the embedding, the last is the output of the last
/// layer before the final norm.
pub type HiddenTap<'a> = dyn FnMut(usize, &[f32]) + 'a;

/// Rows that one task of an elementwise function gets.
const ROWS_A_TASK: usize = 32;
/// From so many rows a thread on, the rows of a batch are split between threads.
const ROWS_A_THREAD: usize = 48;

impl Decoder {
    /// A cache for this model.
    #[must_use]
    pub fn cache(&self, tokens: usize) -> Cache {
        let a = &self.architecture;
        Cache::new(a.layers.len(), a.kv_heads, a.head_dim, tokens)
    }

    /// Sets how products of many rows are computed. The output head stays exact: its rows are few, and decisions fall
    /// there.
    pub fn set_precision(&mut self, precision: Precision) {
        for layer in &mut self.layers {
            let linears = [&mut layer.q, &mut layer.k, &mut layer.v, &mut layer.output, &mut layer.up, &mut layer.down];
            for linear in linears.into_iter().chain(&mut layer.gate) {
                linear.weights.precision = precision;
            }
        }
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
    /// Many rows are split between the threads, which then meet twice a layer: when all keys are there, and when all
    /// rows are through. Few rows stay together, and the threads split the weights.
    ///
    /// # Errors
    /// An embedding cannot be read from the file.
    pub fn forward(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        segments: &[Segment<'_>],
        mut tap: Option<&mut HiddenTap<'_>>,
    ) -> Result<Vec<f32>, FileError> {
        let threads = rayon::current_num_threads();
        let parts = if tokens.len() >= ROWS_A_THREAD * threads { threads } else { 1 };
        let rows = tokens.len().div_ceil(parts).max(1);
        let starts = (0..tokens.len()).step_by(rows);
        let part = |start: usize| Part::new(self, tokens, segments, start..(start + rows).min(tokens.len()));
        let mut parts: Vec<Part<'_>> = starts.map(part).collect::<Result<_, _>>()?;
        show(&mut tap, 0, &parts);
        for (i, layer) in self.layers.iter().enumerate() {
            each(&mut parts, |part| part.before_attention(self, layer));
            let shape = self.attention_shape(layer, cache.slots());
            for part in &parts {
                kernel::store(&mut cache.layers[i], &shape, &part.segments, &part.work.k, &part.work.v);
            }
            let cache = &cache.layers[i];
            each(&mut parts, |part| {
                kernel::attention(cache, &shape, &part.segments, &part.work.q, &mut part.work.attended);
                part.after_attention(self, layer);
            });
            show(&mut tap, i + 1, &parts);
        }
        let mut rows = Vec::new();
        for part in parts {
            WORKS.with_borrow_mut(|works| works.push(part.work));
            if rows.is_empty() {
                rows = part.x;
            } else {
                rows.extend_from_slice(&part.x);
            }
        }
        Ok(rows)
    }

    fn attention_shape(&self, layer: &Layer, slots: usize) -> Shape {
        let a = &self.architecture;
        Shape {
            heads: a.heads,
            kv_heads: a.kv_heads,
            head_dim: a.head_dim,
            slots,
            window: layer.window,
            scale: a.attention_scale as f32,
        }
    }

    /// Logits of `m` rows of hidden states, `vocabulary` numbers a row.
    #[must_use]
    pub fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let m = hidden.len() / self.architecture.hidden;
        let mut normed = vec![0.0; hidden.len()];
        norm(&self.final_norm, hidden, &mut normed);
        let mut logits = vec![0.0; m * self.architecture.vocabulary];
        kernel::linear(&normed, m, &mut [self.head.product(&mut logits)]);
        logits
    }

    fn embed(&self, tokens: &[u32], positions: &[usize]) -> Result<Vec<f32>, FileError> {
        let a = &self.architecture;
        let mut x = vec![0.0; tokens.len() * a.hidden];
        for ((row, &token), &position) in x.chunks_exact_mut(a.hidden).zip(tokens).zip(positions) {
            self.embedding.row(token as usize, row)?;
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
        let Work { normed, gate, up, part, .. } = w;
        let activation = self.architecture.activation;
        let width = layer.up.weights.rows;
        let inner = if let Some(gated) = &layer.gate {
            kernel::linear(normed, m, &mut [gated.product(gate), layer.up.product(up)]);
            in_chunks(gate, up, width, width, |gate, up| match activation {
                Activation::Silu => math::silu_times(gate, up),
                Activation::GeluTanh => math::gelu_tanh_times(gate, up),
                Activation::Gelu => {
                    math::gelu_erf_of(gate);
                    gate.iter_mut().zip(up).for_each(|(g, u)| *g *= u);
                }
            });
            gate
        } else {
            kernel::linear(normed, m, &mut [layer.up.product(up)]);
            in_chunks(up, &[], width, 0, |up, _| match activation {
                Activation::Silu => up.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp()),
                Activation::GeluTanh => math::gelu_tanh_of(up),
                Activation::Gelu => math::gelu_erf_of(up),
            });
            up
        };
        kernel::linear(inner, m, &mut [layer.down.product(part)]);
    }
}

/// Some rows of a batch on their way through the layers.
struct Part<'a> {
    /// One row a token.
    x: Vec<f32>,
    /// Rows count from the start of the part.
    segments: Vec<Segment<'a>>,
    tables: Vec<RopeTable>,
    work: Work,
    m: usize,
}

impl<'a> Part<'a> {
    fn new(decoder: &Decoder, tokens: &[u32], segments: &[Segment<'a>], rows: Range<usize>) -> Result<Self, FileError> {
        let clip = |s: &Segment<'a>| {
            let (from, to) = (s.row.max(rows.start), (s.row + s.len).min(rows.end));
            let clipped = Segment { row: from.saturating_sub(rows.start), position: s.position + from - s.row, ..*s };
            (from < to).then(|| Segment { len: to - from, ..clipped })
        };
        let segments: Vec<Segment<'a>> = segments.iter().filter_map(clip).collect();
        let positions: Vec<usize> = segments.iter().flat_map(|s| s.position..s.position + s.len).collect();
        let a = &decoder.architecture;
        Ok(Self {
            x: decoder.embed(&tokens[rows.clone()], &positions)?,
            tables: a.ropes.iter().map(|rope| RopeTable::new(rope, &positions)).collect(),
            work: Work::new(a, rows.len()),
            segments,
            m: rows.len(),
        })
    }

    /// Queries, keys and values.
    fn before_attention(&mut self, decoder: &Decoder, layer: &Layer) {
        let a = &decoder.architecture;
        let Work { normed, q, k, v, .. } = &mut self.work;
        norm(&layer.attention_norm, &self.x, normed);
        kernel::linear(normed, self.m, &mut [layer.q.product(q), layer.k.product(k), layer.v.product(v)]);
        norm_heads(layer.q_norm.as_ref(), q);
        norm_heads(layer.k_norm.as_ref(), k);
        if let Some(table) = layer.rope.map(|rope| &self.tables[rope]) {
            table.rotate(q, a.heads * a.head_dim, a.head_dim);
            table.rotate(k, a.kv_heads * a.head_dim, a.head_dim);
        }
    }

    /// What attention gives is added, and then the MLP.
    fn after_attention(&mut self, decoder: &Decoder, layer: &Layer) {
        let Work { normed, attended, part, .. } = &mut self.work;
        kernel::linear(attended, self.m, &mut [layer.output.product(part)]);
        norm_in_place(layer.after_attention.as_ref(), part, normed);
        if decoder.architecture.parallel {
            norm(&layer.mlp_norm, &self.x, normed);
            math::add(&mut self.x, part);
        } else {
            math::add(&mut self.x, part);
            norm(&layer.mlp_norm, &self.x, normed);
        }
        decoder.mlp(layer, self.m, &mut self.work);
        let Work { normed, part, .. } = &mut self.work;
        norm_in_place(layer.after_mlp.as_ref(), part, normed);
        math::add(&mut self.x, part);
    }
}

/// Runs `f` on every part, each on a thread of its own.
fn each(parts: &mut [Part<'_>], f: impl Fn(&mut Part<'_>) + Sync) {
    if let [part] = parts {
        f(part);
    } else {
        parts.par_iter_mut().with_max_len(1).for_each(|part| kernel::alone(|| f(part)));
    }
}

fn show(tap: &mut Option<&mut HiddenTap<'_>>, layer: usize, parts: &[Part<'_>]) {
    if let Some(tap) = tap {
        tap(layer, &parts.iter().flat_map(|part| &part.x).copied().collect::<Vec<f32>>());
    }
}

/// Buffers that every layer uses anew.
#[derive(Default)]
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
    /// Buffers for `m` rows, with what is in them left as it is.
    fn new(a: &Architecture, m: usize) -> Self {
        let gated = a.layers.iter().any(|layer| layer.places.gate != crate::architecture::Place::None);
        let mut work = WORKS.with_borrow_mut(Vec::pop).unwrap_or_default();
        let (q_width, kv_width) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
        for (buffer, width) in [
            (&mut work.normed, a.hidden),
            (&mut work.q, q_width),
            (&mut work.k, kv_width),
            (&mut work.v, kv_width),
            (&mut work.attended, q_width),
            (&mut work.part, a.hidden),
            (&mut work.gate, if gated { a.intermediate } else { 0 }),
            (&mut work.up, a.intermediate),
        ] {
            buffer.resize(m * width, 0.0);
        }
        work
    }
}

thread_local! {
    /// Buffers of batches that are through: making them anew for each costs as much as a norm.
    static WORKS: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` on chunks of rows of both matrices, on every core where there are many.
fn in_chunks(to: &mut [f32], from: &[f32], to_width: usize, from_width: usize, f: impl Fn(&mut [f32], &[f32]) + Sync) {
    if to.len() <= ROWS_A_TASK * to_width || kernel::threads() == 1 {
        f(to, from);
    } else if from_width == 0 {
        to.par_chunks_mut(ROWS_A_TASK * to_width).for_each(|to| f(to, &[]));
    } else {
        let from = from.par_chunks(ROWS_A_TASK * from_width);
        to.par_chunks_mut(ROWS_A_TASK * to_width).zip(from).for_each(|(to, from)| f(to, from));
    }
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
        let rotate = |(row, x): (usize, &mut [f32])| {
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
        };
        if x.len() <= ROWS_A_TASK * width || kernel::threads() == 1 {
            x.chunks_exact_mut(width).enumerate().for_each(rotate);
        } else {
            x.par_chunks_exact_mut(width).with_min_len(ROWS_A_TASK).enumerate().for_each(rotate);
        }
    }
}

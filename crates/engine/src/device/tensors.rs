//! A model over tensors of candle: the same layers as the decoder computes, for graphics processors.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::{DType, Device as Place, Tensor};

use super::Device;
use super::parts::{Held, Linear, Norm, Turn, activate, attention};
use super::plan::Plan;
use crate::architecture::{Architecture, LayerShape};
use crate::cache::Cache;
use crate::decoder::HiddenTap;
use crate::error::EngineError;
use crate::files::{Checkpoint, Dtype, Table};
use crate::forward::Forward;
use crate::kernel::Segment;
use crate::load::{self, Source, Stored};

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self::Device(error.to_string())
    }
}

/// The place of candle that a device is, where this build has it.
pub(super) fn open(device: Device) -> Result<Option<Place>, EngineError> {
    Ok(match device {
        Device::Cuda(number) if cfg!(feature = "cuda") => Some(Place::new_cuda(number)?),
        Device::Metal if cfg!(feature = "metal") => Some(Place::new_metal(0)?),
        Device::Tensors => Some(Place::Cpu),
        Device::Cpu | Device::Cuda(_) | Device::Metal => None,
    })
}

/// True where products of bf16 are computed, as an older graphics processor does not. The CPU does, slowly.
fn computes_bf16(place: &Place) -> bool {
    let product = || {
        Tensor::zeros((16, 16), DType::F32, place)?.to_dtype(DType::BF16)?.matmul(&Tensor::zeros(
            (16, 16),
            DType::BF16,
            place,
        )?)
    };
    !place.is_cpu() && product().and_then(|t| t.to_dtype(DType::F32)?.to_vec2::<f32>()).is_ok()
}

#[derive(Debug)]
struct Layer {
    attention_norm: Norm,
    qkv: [Linear; 3],
    qk_norms: [Option<Norm>; 2],
    output: Linear,
    after_attention: Option<Norm>,
    mlp_norm: Norm,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    after_mlp: Option<Norm>,
}

/// A loaded model.
#[derive(Debug)]
pub(super) struct Tensors {
    architecture: Architecture,
    place: Place,
    layers: Vec<Layer>,
    /// Embeddings of positions, where they are learned. Like the token embedding they are looked up on the CPU.
    positions: Option<Vec<f32>>,
    final_norm: Norm,
    head: Linear,
    embedding: Table,
}

struct Loader<'a> {
    source: Source<'a>,
    place: &'a Place,
    keeps_bf16: bool,
}

impl Loader<'_> {
    /// Weights that are stored as bf16 stay so where the device computes in it. All others become f32: f16 too, whose
    /// range is too small for what some models compute.
    fn linear(&self, stored: &Stored<'_>) -> Result<Linear, EngineError> {
        let keeps = self.keeps_bf16 && stored.tensor.info.dtype == Dtype::Bf16;
        let dtype = if keeps { DType::BF16 } else { DType::F32 };
        Ok(Linear::new(stored, stored.numbers()?, dtype, self.place)?)
    }

    fn norm(&self, norm: &crate::decoder::Norm) -> Result<Norm, EngineError> {
        Ok(Norm::new(norm, self.place)?)
    }

    fn layer(&self, shape: &LayerShape) -> Result<Layer, EngineError> {
        let (a, places) = (self.source.architecture, &shape.places);
        let (q_width, kv_width) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
        let linear = |place, rows, cols| self.linear(&self.source.needed_stored(place, rows, cols)?);
        let needed = |place| self.norm(&self.source.needed_norm(place, a.hidden)?);
        let norm = |place, len| self.source.norm(place, len)?.map(|norm| self.norm(&norm)).transpose();
        let gate = self.source.stored(&places.gate, a.intermediate, a.hidden)?;
        Ok(Layer {
            attention_norm: needed(&places.attention_norm)?,
            qkv: [
                linear(&places.qkv[0], q_width, a.hidden)?,
                linear(&places.qkv[1], kv_width, a.hidden)?,
                linear(&places.qkv[2], kv_width, a.hidden)?,
            ],
            qk_norms: [norm(&places.qk_norms[0], a.head_dim)?, norm(&places.qk_norms[1], a.head_dim)?],
            output: linear(&places.output, a.hidden, q_width)?,
            after_attention: norm(&places.after_attention, a.hidden)?,
            mlp_norm: needed(&places.mlp_norm)?,
            gate: gate.map(|stored| self.linear(&stored)).transpose()?,
            up: linear(&places.up, a.intermediate, a.hidden)?,
            down: linear(&places.down, a.hidden, a.intermediate)?,
            after_mlp: norm(&places.after_mlp, a.hidden)?,
        })
    }
}

impl Tensors {
    /// Loads a checkpoint to a place.
    ///
    /// # Errors
    /// As for [`load::decoder`], or the place has not the memory.
    pub fn load(checkpoint: Arc<Checkpoint>, place: Place) -> Result<Self, EngineError> {
        let keeps_bf16 = computes_bf16(&place);
        Self::load_as(checkpoint, place, keeps_bf16)
    }

    fn load_as(checkpoint: Arc<Checkpoint>, place: Place, keeps_bf16: bool) -> Result<Self, EngineError> {
        let (architecture, embedding) = load::described(&checkpoint)?;
        let source = Source { checkpoint: &checkpoint, architecture: &architecture };
        let loader = Loader { source, place: &place, keeps_bf16 };
        let embedding_name = embedding.info.name.clone();
        let head = loader.linear(&loader.source.head(embedding)?)?;
        let positions = loader.source.positions()?;
        let final_norm = loader.norm(&loader.source.final_norm()?)?;
        let layers: Result<Vec<Layer>, EngineError> = architecture.layers.iter().map(|l| loader.layer(l)).collect();
        let layers = layers?;
        let embedding = load::table(checkpoint, embedding_name)?;
        Ok(Self { architecture, place, layers, positions, final_norm, head, embedding })
    }

    fn embed(&self, tokens: &[u32], positions: &[usize]) -> Result<Tensor, EngineError> {
        let a = &self.architecture;
        let mut x = vec![0.0; tokens.len() * a.hidden];
        for ((row, &token), &position) in x.chunks_exact_mut(a.hidden).zip(tokens).zip(positions) {
            self.embedding.row(token as usize, row)?;
            for x in row.iter_mut() {
                *x *= a.embedding_scale as f32;
            }
            if let Some(learned) = &self.positions {
                row.iter_mut().zip(&learned[position * a.hidden..]).for_each(|(x, learned)| *x += learned);
            }
        }
        Ok(Tensor::from_vec(x, (tokens.len(), a.hidden), &self.place)?)
    }

    fn layer(&self, i: usize, x: &Tensor, held: &Held, plan: &Plan, turns: &[Turn]) -> candle_core::Result<Tensor> {
        let (a, layer, shape) = (&self.architecture, &self.layers[i], &self.architecture.layers[i]);
        let rows = x.dim(0)?;
        let turn = shape.rope.map(|rope| &turns[rope]);
        let normed = layer.attention_norm.apply(x)?;
        let heads = |which: usize, heads: usize| {
            let mut y = layer.qkv[which].apply(&normed)?.reshape((rows, heads, a.head_dim))?;
            if let Some(norm) = layer.qk_norms.get(which).and_then(Option::as_ref) {
                y = norm.apply(&y)?;
            }
            if let Some(turn) = turn.filter(|_| which < 2) {
                y = turn.apply(&y)?;
            }
            y.reshape((rows, heads * a.head_dim))
        };
        let (q, k, v) = (heads(0, a.heads)?, heads(1, a.kv_heads)?, heads(2, a.kv_heads)?);
        let found = layer.output.apply(&attention(a, shape.window, held, plan, [&q, &k, &v])?)?;
        let after = (x + with(layer.after_attention.as_ref(), found)?)?;
        let normed = layer.mlp_norm.apply(if a.parallel { x } else { &after })?;
        let up = layer.up.apply(&normed)?;
        let inner = match &layer.gate {
            Some(gate) => (activate(a.activation, &gate.apply(&normed)?)? * up)?,
            None => activate(a.activation, &up)?,
        };
        after + with(layer.after_mlp.as_ref(), layer.down.apply(&inner)?)?
    }
}

fn with(norm: Option<&Norm>, x: Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.apply(&x),
        None => Ok(x),
    }
}

fn numbers(x: &Tensor) -> candle_core::Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}

impl Forward for Tensors {
    fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    fn weight_bytes(&self) -> usize {
        let layer = |l: &Layer| {
            let linears = l.qkv.iter().chain([&l.output, &l.up, &l.down]).chain(&l.gate);
            linears.map(Linear::bytes).sum::<usize>()
        };
        let positions = self.positions.as_ref().map_or(0, |p| p.len() * 4);
        self.layers.iter().map(layer).sum::<usize>() + self.head.bytes() + positions
    }

    fn cache(&self, tokens: usize) -> Result<Cache, EngineError> {
        let a = &self.architecture;
        // Asked of the system, which refuses sizes that make no sense; the device refuses by itself what it has not.
        if !Cache::can_hold(a.layers.len(), a.kv_heads, a.head_dim, tokens) {
            return Err(EngineError::Memory { tokens });
        }
        let mut cache = Cache::new(0, a.kv_heads, a.head_dim, tokens);
        let shape = (cache.slots(), a.kv_heads * a.head_dim);
        let zeros = || Tensor::zeros(shape, DType::F32, &self.place);
        let held = |_| Ok(Held { keys: zeros()?, values: zeros()? });
        cache.tensors = a.layers.iter().map(held).collect::<Result<_, EngineError>>()?;
        Ok(cache)
    }

    fn forward(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        segments: &[Segment<'_>],
        mut tap: Option<&mut HiddenTap<'_>>,
    ) -> Result<Vec<f32>, EngineError> {
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let a = &self.architecture;
        let positions: Vec<usize> = segments.iter().flat_map(|s| s.position..s.position + s.len).collect();
        let windows: BTreeSet<Option<usize>> = a.layers.iter().map(|layer| layer.window).collect();
        let plan = Plan::new(segments, tokens.len(), &windows.into_iter().collect::<Vec<_>>(), &self.place)?;
        let turns: candle_core::Result<Vec<Turn>> =
            a.ropes.iter().map(|rope| Turn::new(rope, &positions, &self.place)).collect();
        let turns = turns?;
        let mut x = self.embed(tokens, &positions)?;
        let mut show = |layer: usize, x: &Tensor| -> candle_core::Result<()> {
            if let Some(tap) = &mut tap {
                tap(layer, &numbers(x)?);
            }
            Ok(())
        };
        show(0, &x)?;
        for (i, held) in cache.tensors.iter().enumerate() {
            x = self.layer(i, &x, held, &plan, &turns)?;
            show(i + 1, &x)?;
        }
        Ok(numbers(&x)?)
    }

    fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>, EngineError> {
        let width = self.architecture.hidden;
        if hidden.is_empty() {
            return Ok(Vec::new());
        }
        let x = Tensor::from_slice(hidden, (hidden.len() / width, width), &self.place)?;
        Ok(numbers(&self.head.apply(&self.final_norm.apply(&x)?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::run;

    /// As on a graphics processor: weights of bf16 stay so, and rows are rounded to it before each product.
    #[test]
    fn weights_of_bf16_compute_as_they_are() -> Result<(), EngineError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama_bf16");
        let checkpoint = Arc::new(Checkpoint::open(&folder)?);
        let wide = Tensors::load_as(Arc::clone(&checkpoint), Place::Cpu, false)?;
        let narrow = Tensors::load_as(checkpoint, Place::Cpu, true)?;
        assert_eq!(2 * narrow.weight_bytes(), wide.weight_bytes());
        let ids: Vec<u32> = (1..40).collect();
        let (wide, narrow) = (run::last_logits(&wide, &ids)?, run::last_logits(&narrow, &ids)?);
        let most = wide.iter().fold(0_f32, |most, x| most.max(x.abs()));
        let off = wide.iter().zip(&narrow).fold(0_f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(off > 0.0 && off < 0.03 * most, "off by {off} of {most}");
        Ok(())
    }
}

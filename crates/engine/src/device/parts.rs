//! The parts of a model over tensors: linear layers, norms, rotary positions, attention. Sums of rows, norms and
//! attention are in single precision; a linear layer computes in the type of its weights.

use candle_core::{D, DType, Device, Result, Tensor};

use super::plan::{Group, Plan};
use crate::architecture::{Activation, Architecture, Rope, RopeStyle};
use crate::{decoder, load};

/// Keys and values of one layer, `[slot, kv heads * head dim]` each.
#[derive(Debug)]
pub(crate) struct Held {
    pub keys: Tensor,
    pub values: Tensor,
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[out, in]`.
    weights: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// On the device, in `dtype`.
    pub fn new(stored: &load::Stored<'_>, numbers: Vec<f32>, dtype: DType, device: &Device) -> Result<Self> {
        // Narrowed first, so that the device never holds the wide form.
        let wide = Tensor::from_vec(numbers, (stored.order.len(), stored.cols), &Device::Cpu)?;
        Ok(Self {
            weights: wide.to_dtype(dtype)?.to_device(device)?,
            bias: stored.bias.as_ref().map(|bias| Tensor::new(bias.as_slice(), device)).transpose()?,
        })
    }

    pub fn bytes(&self) -> usize {
        self.weights.elem_count() * self.weights.dtype().size_in_bytes()
    }

    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.to_dtype(self.weights.dtype())?.matmul(&self.weights.t()?)?.to_dtype(DType::F32)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A norm of the last dimension.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    epsilon: f64,
}

impl Norm {
    pub fn new(norm: &decoder::Norm, device: &Device) -> Result<Self> {
        Ok(Self {
            weight: Tensor::new(norm.weight.as_slice(), device)?,
            bias: norm.bias.as_ref().map(|bias| Tensor::new(bias.as_slice(), device)).transpose()?,
            epsilon: f64::from(norm.epsilon),
        })
    }

    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = match self.bias {
            Some(_) => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            None => x.clone(),
        };
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        let y = x.broadcast_div(&scale)?.broadcast_mul(&self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

pub(super) fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::GeluTanh => x.gelu(),
        Activation::Gelu => x.gelu_erf(),
    }
}

/// Cosines and sines of the positions of a batch, `[row, 1, pair]`.
pub(super) struct Turn {
    cosines: Tensor,
    sines: Tensor,
    pairs: usize,
    style: RopeStyle,
}

impl Turn {
    pub fn new(rope: &Rope, positions: &[usize], device: &Device) -> Result<Self> {
        let pairs = rope.frequencies.len();
        let angles = || positions.iter().flat_map(|&p| rope.frequencies.iter().map(move |f| p as f64 * f));
        let table = |of: fn(f64) -> f64| {
            let numbers: Vec<f32> = angles().map(|angle| of(angle) as f32).collect();
            Tensor::from_vec(numbers, (positions.len(), 1, pairs), device)
        };
        Ok(Self { cosines: table(f64::cos)?, sines: table(f64::sin)?, pairs, style: rope.style })
    }

    /// Rotates the heads of `x`, `[row, head, number]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, heads, d) = x.dims3()?;
        let (a, b) = match self.style {
            RopeStyle::Halves => (x.narrow(2, 0, self.pairs)?, x.narrow(2, self.pairs, self.pairs)?),
            RopeStyle::Neighbours => {
                let pairs = x.narrow(2, 0, 2 * self.pairs)?.contiguous()?.reshape((rows, heads, self.pairs, 2))?;
                (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?)
            }
        };
        let (a, b) = (a.contiguous()?, b.contiguous()?);
        let first = (a.broadcast_mul(&self.cosines)? - b.broadcast_mul(&self.sines)?)?;
        let second = (b.broadcast_mul(&self.cosines)? + a.broadcast_mul(&self.sines)?)?;
        let turned = match self.style {
            RopeStyle::Halves => Tensor::cat(&[&first, &second], 2)?,
            RopeStyle::Neighbours => Tensor::stack(&[&first, &second], 3)?.reshape((rows, heads, 2 * self.pairs))?,
        };
        let rest = d - 2 * self.pairs;
        if rest == 0 { Ok(turned) } else { Tensor::cat(&[&turned, &x.narrow(2, 2 * self.pairs, rest)?], 2) }
    }
}

/// Writes keys and values of the rows of a batch into their slots, and gives what the queries find, `[row, heads *
/// head dim]`.
pub(super) fn attention(
    a: &Architecture,
    window: Option<usize>,
    held: &Held,
    plan: &Plan,
    [q, k, v]: [&Tensor; 3],
) -> Result<Tensor> {
    let (rows, width) = (plan.slots.dim(0)?, a.kv_heads * a.head_dim);
    let slots = plan.slots.reshape((rows, 1))?.broadcast_as((rows, width))?.contiguous()?;
    held.keys.scatter_set(&slots, &k.contiguous()?, 0)?;
    held.values.scatter_set(&slots, &v.contiguous()?, 0)?;
    let found: Result<Vec<Tensor>> = plan.groups.iter().map(|group| attend(a, window, held, group, q)).collect();
    Tensor::cat(&found?, 0)?.index_select(&plan.places, 0)
}

fn attend(a: &Architecture, window: Option<usize>, held: &Held, group: &Group, q: &Tensor) -> Result<Tensor> {
    let (d, shared) = (a.head_dim, a.heads / a.kv_heads);
    let (texts, queries, keys) = (group.texts, group.queries, group.keys);
    let batch = texts * a.kv_heads;
    // The query heads that share keys are rows of one product.
    let q = q.index_select(&group.rows, 0)?.reshape(&[texts, queries, a.kv_heads, shared, d][..])?;
    let q = q.permute([0, 2, 3, 1, 4])?.contiguous()?.reshape((batch, shared * queries, d))?;
    let of_slots = |tensor: &Tensor| {
        let tensor = tensor.index_select(&group.slots, 0)?.reshape((texts, keys, a.kv_heads, d))?;
        tensor.transpose(1, 2)?.contiguous()?.reshape((batch, keys, d))
    };
    let scores = (q.matmul(&of_slots(&held.keys)?.t()?)? * a.attention_scale)?;
    let scores = scores.reshape((texts, a.heads, queries, keys))?;
    let scores = match group.masks.get(&window) {
        Some(mask) => scores.broadcast_add(mask)?,
        None => candle_core::bail!("no mask was made for the window {window:?}"),
    };
    let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
    let found = weights.reshape((batch, shared * queries, keys))?.matmul(&of_slots(&held.values)?)?;
    let found = found.reshape(&[texts, a.kv_heads, shared, queries, d][..])?;
    found.permute([0, 3, 1, 2, 4])?.contiguous()?.reshape((texts * queries, a.heads * d))
}

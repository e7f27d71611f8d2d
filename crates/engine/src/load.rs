//! From a checkpoint to a decoder: finds each tensor, checks its shape against the architecture, and packs it.

use std::sync::Arc;

use rayon::prelude::*;
use thiserror::Error;

use crate::architecture::{Architecture, LayerPlaces, NormKind, Place, Rope};
use crate::decoder::{Decoder, Layer, Linear, Norm};
use crate::family::{self, FamilyError};
use crate::files::{Checkpoint, FileError, RawTensor, Table, dequantise};
use crate::kernel::Packed;

/// Why a checkpoint does not load.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The files cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The architecture does not load.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// A tensor is not there.
    #[error("tensor '{name}' is missing; the architecture '{family}' needs it")]
    Missing {
        /// Its name.
        name: String,
        /// The architecture.
        family: String,
    },
    /// A tensor has another shape than the settings say.
    #[error("tensor '{name}' has shape {found:?}, expected {expected:?} by the settings of the model")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the settings ask for.
        expected: Vec<usize>,
    },
    /// The numbers of a tensor cannot be read.
    #[error("tensor '{name}': {reason}")]
    Numbers {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor '{name}' holds NaN or infinite numbers; the file is damaged or the training had diverged")]
    NotFinite {
        /// Its name.
        name: String,
    },
}

/// Loads the decoder of a checkpoint.
///
/// # Errors
/// The family does not load, a tensor is missing, has another shape, or holds no usable numbers.
pub fn decoder(checkpoint: Arc<Checkpoint>) -> Result<Decoder, LoadError> {
    let (architecture, embedding) = described(&checkpoint)?;
    let embedding_name = embedding.info.name.clone();
    let source = Source { checkpoint: &checkpoint, architecture: &architecture };
    let head = source.head(embedding)?.packed()?;
    let positions = source.positions()?;
    let final_norm = source.final_norm()?;
    let layers: Result<Vec<Layer>, LoadError> =
        architecture.layers.iter().map(|shape| source.layer(&shape.places, shape.window, shape.rope)).collect();
    let layers = layers?;
    Ok(Decoder { architecture, layers, positions, final_norm, head, embedding: table(checkpoint, embedding_name)? })
}

/// What the checkpoint is, as its settings and its tensors tell, and its token embedding.
pub(crate) fn described(checkpoint: &Checkpoint) -> Result<(Architecture, RawTensor<'_>), LoadError> {
    let mut architecture = family::architecture(checkpoint)?;
    let embedding = with_suffix(checkpoint, &architecture.places.embedding, "weight")
        .ok_or_else(|| missing(&architecture, &architecture.places.embedding))?;
    if architecture.vocabulary == 0 {
        architecture.vocabulary = embedding.info.shape.first().copied().unwrap_or(0);
    }
    // An embedding without rows is one row short.
    check_shape(&embedding, &[architecture.vocabulary.max(1), architecture.hidden])?;
    apply_rope_factors(checkpoint, &mut architecture)?;
    Ok((architecture, embedding))
}

/// The token embedding as it is looked up while the model runs.
pub(crate) fn table(checkpoint: Arc<Checkpoint>, name: String) -> Result<Table, LoadError> {
    let table = checkpoint.table(&name);
    table.ok_or_else(|| LoadError::Numbers { name, reason: "its bytes are not in the file".to_owned() })
}

fn missing(architecture: &Architecture, name: &str) -> LoadError {
    LoadError::Missing { name: format!("{name}.weight"), family: architecture.family.clone() }
}

/// The tensor `NAME.SUFFIX`, also where the checkpoint leaves out the first part of the name (`transformer.`).
fn with_suffix<'a>(checkpoint: &'a Checkpoint, name: &str, suffix: &str) -> Option<RawTensor<'a>> {
    let full = format!("{name}.{suffix}");
    checkpoint.tensor(&full).or_else(|| checkpoint.tensor(full.split_once('.')?.1))
}

fn check_shape(tensor: &RawTensor<'_>, expected: &[usize]) -> Result<(), LoadError> {
    if tensor.info.shape == expected {
        return Ok(());
    }
    let (name, found) = (tensor.info.name.clone(), tensor.info.shape.clone());
    Err(LoadError::Shape { name, found, expected: expected.to_vec() })
}

/// Divides rotary frequencies by the factors that a GGUF file carries for them.
fn apply_rope_factors(checkpoint: &Checkpoint, architecture: &mut Architecture) -> Result<(), LoadError> {
    let Some(name) = &architecture.places.rope_factors else { return Ok(()) };
    let Some(tensor) = with_suffix(checkpoint, name, "weight") else { return Ok(()) };
    let factors = numbers(&tensor)?;
    for Rope { frequencies, .. } in &mut architecture.ropes {
        check_shape(&tensor, &[frequencies.len()])?;
        for (frequency, &factor) in frequencies.iter_mut().zip(&factors) {
            *frequency /= f64::from(factor);
        }
    }
    Ok(())
}

/// All numbers of a tensor, which must be finite.
fn numbers(tensor: &RawTensor<'_>) -> Result<Vec<f32>, LoadError> {
    let numbers = tensor.to_f32()?;
    if numbers.iter().all(|x| x.is_finite()) {
        return Ok(numbers);
    }
    Err(LoadError::NotFinite { name: tensor.info.name.clone() })
}

/// Refuses a tensor of rows of `cols` numbers that are not all finite, without holding them.
fn check_finite(tensor: &RawTensor<'_>, cols: usize) -> Result<(), LoadError> {
    let stride = tensor.data.len() / tensor.info.shape.first().copied().unwrap_or(1).max(1);
    tensor.data.par_chunks(stride.max(1)).try_for_each_init(
        || vec![0.0_f32; cols],
        |row, data| {
            dequantise(&tensor.info.dtype, data, row)?;
            let finite = row.iter().all(|x| x.is_finite());
            if finite { Ok(()) } else { Err(LoadError::NotFinite { name: tensor.info.name.clone() }) }
        },
    )
}

/// The rows `rows` of a tensor, which must be finite.
fn pack(tensor: &RawTensor<'_>, cols: usize, rows: &[usize]) -> Result<Packed, LoadError> {
    let name = || tensor.info.name.clone();
    let packed = Packed::from_raw(&tensor.info.dtype, tensor.data, cols, rows)
        .map_err(|reason| LoadError::Numbers { name: name(), reason })?;
    if packed.is_finite() { Ok(packed) } else { Err(LoadError::NotFinite { name: name() }) }
}

/// A linear layer as the checkpoint has it.
pub(crate) struct Stored<'a> {
    /// Its numbers, and perhaps those of others.
    pub tensor: RawTensor<'a>,
    /// Where each of its rows lies in the tensor.
    pub order: Vec<usize>,
    /// Its inputs.
    pub cols: usize,
    /// The tensor is `[in, out]`.
    pub transposed: bool,
    /// The bias, where there is one.
    pub bias: Option<Vec<f32>>,
}

impl Stored<'_> {
    /// Its weights, row by row.
    pub fn numbers(&self) -> Result<Vec<f32>, LoadError> {
        let (all, cols) = (numbers(&self.tensor)?, self.cols);
        if self.transposed {
            let width = all.len() / cols.max(1);
            return Ok(self
                .order
                .iter()
                .flat_map(|&r| (0..cols).map(move |c| c * width + r))
                .map(|i| all[i])
                .collect());
        }
        if self.order.len() * cols == all.len() && self.order.is_sorted() {
            return Ok(all);
        }
        Ok(self.order.iter().flat_map(|&r| &all[r * cols..][..cols]).copied().collect())
    }

    fn packed(self) -> Result<Linear, LoadError> {
        let weights = if self.transposed {
            Packed::from_f32(self.order.len(), self.cols, &self.numbers()?)
        } else {
            pack(&self.tensor, self.cols, &self.order)?
        };
        Ok(Linear { weights, bias: self.bias })
    }
}

/// Finds the parts of a model in its checkpoint.
pub(crate) struct Source<'a> {
    /// The files.
    pub checkpoint: &'a Checkpoint,
    /// What they hold.
    pub architecture: &'a Architecture,
}

impl<'a> Source<'a> {
    fn tensor(&self, name: &str, suffix: &str) -> Option<RawTensor<'a>> {
        with_suffix(self.checkpoint, name, suffix)
    }

    fn needed(&self, name: &str) -> Result<RawTensor<'a>, LoadError> {
        self.tensor(name, "weight").ok_or_else(|| missing(self.architecture, name))
    }

    /// A vector of `len` numbers, where there is one.
    fn vector(&self, name: &str, suffix: &str, len: usize) -> Result<Option<Vec<f32>>, LoadError> {
        let Some(tensor) = self.tensor(name, suffix) else { return Ok(None) };
        check_shape(&tensor, &[len])?;
        numbers(&tensor).map(Some)
    }

    /// Embeddings of positions, row after row, where they are learned.
    pub fn positions(&self) -> Result<Option<Vec<f32>>, LoadError> {
        let Some(name) = &self.architecture.places.positions else { return Ok(None) };
        let tensor = self.needed(name)?;
        check_shape(&tensor, &[self.architecture.context, self.architecture.hidden])?;
        numbers(&tensor).map(Some)
    }

    /// The output head; it is the token embedding where there is no other.
    pub fn head(&self, embedding: RawTensor<'a>) -> Result<Stored<'a>, LoadError> {
        let (rows, cols, name) =
            (self.architecture.vocabulary, self.architecture.hidden, &self.architecture.places.head);
        let (tensor, bias) = match self.tensor(name, "weight") {
            Some(head) => {
                check_shape(&head, &[rows, cols])?;
                // As the head it would be looked at where it is packed.
                check_finite(&embedding, cols)?;
                (head, self.vector(name, "bias", rows)?)
            }
            None => (embedding, None),
        };
        Ok(Stored { tensor, order: (0..rows).collect(), cols, transposed: false, bias })
    }

    /// The norm after the last layer.
    pub fn final_norm(&self) -> Result<Norm, LoadError> {
        self.needed_norm(&Place::whole(&self.architecture.places.final_norm), self.architecture.hidden)
    }

    /// A norm of `len` numbers, where the model has it.
    pub fn norm(&self, place: &Place, len: usize) -> Result<Option<Norm>, LoadError> {
        let Place::Whole(name) = place else { return Ok(None) };
        let tensor = self.needed(name)?;
        check_shape(&tensor, &[len])?;
        let mut weight = numbers(&tensor)?;
        let epsilon = self.architecture.norm_epsilon as f32;
        let bias = match self.architecture.norm {
            NormKind::Rms => None,
            NormKind::RmsPlusOne => {
                for w in &mut weight {
                    *w += 1.0;
                }
                None
            }
            NormKind::Layer => Some(self.vector(name, "bias", len)?.unwrap_or_else(|| vec![0.0; len])),
        };
        Ok(Some(Norm { weight, bias, epsilon }))
    }

    /// A norm that the model must have.
    pub fn needed_norm(&self, place: &Place, len: usize) -> Result<Norm, LoadError> {
        self.norm(place, len)?.ok_or_else(|| missing(self.architecture, "norm"))
    }

    /// A linear layer of `rows` outputs and `cols` inputs, where the model has it.
    pub fn stored(&self, place: &Place, rows: usize, cols: usize) -> Result<Option<Stored<'a>>, LoadError> {
        let (name, thirds) = match place {
            Place::None => return Ok(None),
            Place::Whole(name) => (name, 1),
            Place::Third { name, .. } | Place::ThirdOfEachHead { name, .. } => (name, 3),
        };
        let tensor = self.needed(name)?;
        let transposed = self.architecture.places.transposed;
        // Before anything is made whose size the settings claim.
        check_shape(&tensor, &if transposed { [cols, thirds * rows] } else { [thirds * rows, cols] })?;
        let head_dim = self.architecture.head_dim;
        let order: Vec<usize> = match place {
            Place::Third { part, .. } => (part * rows..(part + 1) * rows).collect(),
            Place::ThirdOfEachHead { part, .. } => {
                (0..rows).map(|r| (r / head_dim * 3 + part) * head_dim + r % head_dim).collect()
            }
            _ => (0..rows).collect(),
        };
        let bias = self.vector(name, "bias", thirds * rows)?.map(|all| order.iter().map(|&r| all[r]).collect());
        Ok(Some(Stored { tensor, order, cols, transposed, bias }))
    }

    /// A linear layer that the model must have.
    pub fn needed_stored(&self, place: &Place, rows: usize, cols: usize) -> Result<Stored<'a>, LoadError> {
        self.stored(place, rows, cols)?.ok_or_else(|| missing(self.architecture, "linear"))
    }

    fn needed_linear(&self, place: &Place, rows: usize, cols: usize) -> Result<Linear, LoadError> {
        self.needed_stored(place, rows, cols)?.packed()
    }

    fn layer(&self, places: &LayerPlaces, window: Option<usize>, rope: Option<usize>) -> Result<Layer, LoadError> {
        let a = self.architecture;
        let (q_width, kv_width) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
        Ok(Layer {
            attention_norm: self.needed_norm(&places.attention_norm, a.hidden)?,
            q: self.needed_linear(&places.qkv[0], q_width, a.hidden)?,
            k: self.needed_linear(&places.qkv[1], kv_width, a.hidden)?,
            v: self.needed_linear(&places.qkv[2], kv_width, a.hidden)?,
            q_norm: self.norm(&places.qk_norms[0], a.head_dim)?,
            k_norm: self.norm(&places.qk_norms[1], a.head_dim)?,
            output: self.needed_linear(&places.output, a.hidden, q_width)?,
            after_attention: self.norm(&places.after_attention, a.hidden)?,
            mlp_norm: self.needed_norm(&places.mlp_norm, a.hidden)?,
            gate: self.stored(&places.gate, a.intermediate, a.hidden)?.map(Stored::packed).transpose()?,
            up: self.needed_linear(&places.up, a.intermediate, a.hidden)?,
            down: self.needed_linear(&places.down, a.hidden, a.intermediate)?,
            after_mlp: self.norm(&places.after_mlp, a.hidden)?,
            window,
            rope,
        })
    }
}

//! Reading checkpoints: GGUF and safetensors, memory-mapped, with every claim of a header checked before it is used.
//!
//! A weight file is hostile input. The readers take time and memory in proportion to the bytes that are there, never to a
//! number that a header claims, and they are stricter than the reference readers: what two programs could read in two ways
//! is refused.

mod checkpoint;
mod cursor;
pub mod dequant;
mod dtype;
mod error;
pub mod gguf;
mod gguf_value;
mod map;
pub mod safetensors;
mod suspicion;

pub(crate) use checkpoint::read_bounded;
pub use checkpoint::{Checkpoint, Layout, Table};
pub use dequant::dequantise;
pub use dtype::{Dtype, ForeignDtype};
pub use error::FileError;

/// A tensor as its header describes it; the reader has checked every number against the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name, unique in the checkpoint.
    pub name: String,
    /// Sizes, outermost first: `[out, in]` for the weight of a linear layer. Empty for a single number.
    pub shape: Vec<usize>,
    /// How the numbers are stored.
    pub dtype: Dtype,
    /// Where its bytes start in the file.
    pub start: usize,
    /// How many bytes it has.
    pub bytes: usize,
}

impl TensorInfo {
    /// How many numbers it holds; a number without sizes counts as one.
    pub fn elements(&self) -> usize {
        // The readers have refused any shape whose product does not fit.
        self.shape.iter().fold(1, |product, size| product.wrapping_mul(*size))
    }
}

/// A tensor with its bytes, which may start at any address.
#[derive(Clone, Copy, Debug)]
pub struct RawTensor<'a> {
    /// Its description.
    pub info: &'a TensorInfo,
    /// Its bytes, exactly `info.bytes` of them.
    pub data: &'a [u8],
}

impl RawTensor<'_> {
    /// All its numbers in single precision, row by row.
    ///
    /// # Errors
    /// The dtype is none that is decoded here.
    pub fn to_f32(&self) -> Result<Vec<f32>, FileError> {
        let mut out = vec![0.0; self.info.elements()];
        dequantise(&self.info.dtype, self.data, &mut out)?;
        Ok(out)
    }
}

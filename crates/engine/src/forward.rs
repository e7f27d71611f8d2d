//! What scoring and generating ask of a model, however it is computed: by the decoder of this crate, or on a device.

use std::fmt::Debug;

use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::decoder::{Decoder, HiddenTap};
use crate::error::EngineError;
use crate::kernel::{Precision, Segment};

/// A model that runs.
pub trait Forward: Debug + Send + Sync {
    /// What it is.
    fn architecture(&self) -> &Architecture;

    /// Bytes of its weights in memory.
    fn weight_bytes(&self) -> usize;

    /// A cache for this model, of at least `tokens` slots.
    ///
    /// # Errors
    /// The device has no memory for it.
    fn cache(&self, tokens: usize) -> Result<Cache, EngineError>;

    /// Runs a batch: `tokens` in the order of the rows of `segments`. Keys and values go into the cache, which this
    /// model must have made; the hidden states after the last layer come back, `hidden` numbers a row, before the final
    /// norm.
    ///
    /// # Errors
    /// An embedding cannot be read from the file, or the device fails.
    fn forward(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        segments: &[Segment<'_>],
        tap: Option<&mut HiddenTap<'_>>,
    ) -> Result<Vec<f32>, EngineError>;

    /// Sets how products of many rows are computed. A device decides that by itself.
    ///
    /// # Errors
    /// This processor cannot compute so.
    fn set_precision(&mut self, _: Precision) -> Result<(), EngineError> {
        Ok(())
    }

    /// Logits of rows of hidden states, `vocabulary` numbers a row.
    ///
    /// # Errors
    /// The device fails.
    fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>, EngineError>;
}

impl Forward for Decoder {
    fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    fn weight_bytes(&self) -> usize {
        Self::weight_bytes(self)
    }

    fn cache(&self, tokens: usize) -> Result<Cache, EngineError> {
        let a = &self.architecture;
        if !Cache::can_hold(a.layers.len(), a.kv_heads, a.head_dim, tokens) {
            return Err(EngineError::Memory { tokens });
        }
        Ok(Self::cache(self, tokens))
    }

    fn forward(
        &self,
        cache: &mut Cache,
        tokens: &[u32],
        segments: &[Segment<'_>],
        tap: Option<&mut HiddenTap<'_>>,
    ) -> Result<Vec<f32>, EngineError> {
        Ok(Self::forward(self, cache, tokens, segments, tap)?)
    }

    fn set_precision(&mut self, precision: Precision) -> Result<(), EngineError> {
        if !precision.is_available() {
            let expected = "f32: this processor has no instructions for bf16";
            return Err(EngineError::Setting { name: "precision", value: "bf16".to_owned(), expected });
        }
        Self::set_precision(self, precision);
        Ok(())
    }

    fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>, EngineError> {
        Ok(Self::logits(self, hidden))
    }
}

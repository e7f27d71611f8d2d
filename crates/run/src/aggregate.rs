//! One number out of the scores of all samples.

use weighbridge_core::StateCounts;

/// A score over all samples of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Name of the score.
    pub score: String,
    /// The number; `None` where no sample has the score.
    pub value: Option<f64>,
    /// Its standard error; `None` where the aggregation has none, or too few samples.
    pub standard_error: Option<f64>,
    /// Samples by what became of them under this score.
    pub states: StateCounts,
}

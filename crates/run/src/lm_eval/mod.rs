//! Tasks of lm-evaluation-harness.

mod scoring;

pub use scoring::{Scoring, score};

//! Tasks of lm-evaluation-harness.

mod config;
mod dataset;
mod filter;
mod load;
mod math;
mod metric;
mod native;
mod pattern;
mod ported;
mod prompt;
mod python;
mod python_random;
mod sampler;
mod scoring;
mod template;
mod translation;

pub use load::{load, load_with};
pub(crate) use python_random::PythonRandom;
pub(crate) use scoring::Prepared;
pub use scoring::{FilterPipeline, MetricConfig, OutputType, Scoring, natives, score};
pub(crate) use translation::{bleu, chrf};

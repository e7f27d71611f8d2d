//! The statistics behind every number: intervals, paired and clustered contrasts, resampling, ratings, censoring.
//!
//! Pure `f64`: no files, no clock, no randomness but from a seed that is passed in. A function returns a value or says
//! what was missing ([`StatError`]); it never returns 0 or NaN in the place of "unknown".

pub mod bootstrap;
pub mod bradley_terry;
pub mod cluster;
mod comparison_graph;
pub mod concentration;
pub mod confidence_sequence;
pub mod distribution;
mod error;
pub mod interval;
pub mod linear;
pub mod mcnemar;
pub mod mean;
pub mod paired;
pub mod power;
pub mod proportion;
pub mod quantile;
pub mod repeats;
mod sum;
pub mod survival;

pub use error::StatError;
pub use interval::Interval;

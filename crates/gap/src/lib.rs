//! The gap between open-weights and closed models: index, frontiers, lag, prices and paired contrasts.
//!
//! Pure functions of facts and seeds: no file, no clock, no network. Numbers leave as `Estimate`s with their caveats.

pub mod board;
pub mod caveat;
pub mod concentration;
pub mod contrast;
pub mod frontier;
pub mod index;
pub mod lag;
pub mod price;
pub mod report;
pub mod summary;
pub mod weigh;

//! The same task on both sides: task files, prompts, scorers and the runner.

mod aggregate;
mod error;
pub mod lm_eval;
pub mod plain;
mod runner;
pub mod scorer;
mod scoring;
mod task;

pub use aggregate::{Aggregate, Aggregator, Bootstrap, GroupPart, group};
pub use error::TaskError;
pub use runner::{Ended, Job};
pub use scoring::{Scorer, Scoring};
pub use task::{Ask, Style, Task, TaskOptions, TaskSample};

//! Open weights, run in this process: loads checkpoints, scores text with them and generates from them.

pub mod architecture;
pub mod cache;
pub mod chat;
pub mod decoder;
pub mod device;
mod error;
pub mod family;
pub mod files;
pub mod forward;
pub mod generate;
pub mod hub;
pub mod inspect;
mod kernel;
pub mod load;
pub mod model;
pub mod run;
pub mod sampler;
pub mod score;
pub mod tokenizer;

pub use device::Device;
pub use error::EngineError;
pub use kernel::Precision;
pub use model::{Model, Options};

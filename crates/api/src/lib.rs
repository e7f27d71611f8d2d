//! Hosted models over HTTP, closed ones and open ones, behind the same words as local weights.
//!
//! A [`Session`] holds connections, limits and money; an [`Endpoint`] is a model at a provider; [`Hosted`] asks it. Every
//! call ends in a [`weighbridge_core::CallRecord`], whatever went wrong. Dialects are files of their own
//! (`openai_chat.rs`, `anthropic.rs`, ...) behind the trait [`dialect::Wire`]; providers are rows of the catalog. Keys never leave this
//! crate: their type prints `***`, and answers that send one back are masked before they are read.

pub mod anthropic;
mod attempts;
pub mod batch;
mod cache;
mod canary;
mod check;
pub mod dialect;
mod endpoint;
mod error;
mod gate;
pub mod gemini;
mod hosted;
mod language_model;
mod limits;
mod loglikelihood;
mod offsets;
pub mod ollama;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_responses;
mod prompt_scores;
mod retry;
mod secret;
mod spend;
mod sse;
mod text;
mod transport;

pub use cache::Cache;
pub use check::check;
pub use dialect::Delivery;
pub use endpoint::{Endpoint, EndpointOptions, Pin};
pub use error::ApiError;
pub use hosted::{Hosted, NumberedRequest, Session, SessionOptions};
pub use language_model::CallFailed;
pub use loglikelihood::EachScore;
pub use retry::RetryPolicy;
pub use secret::Key;
pub use spend::{Spend, Spent};

//! Open weights, run in this process: loads checkpoints, scores text with them and generates from them.

pub mod chat;
pub mod files;
pub mod tokenizer;

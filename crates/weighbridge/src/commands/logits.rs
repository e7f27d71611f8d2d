//! `weighbridge logits`: what a model computes for token ids, so that it can be checked from outside.

use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::{model, run};

use crate::Answer;
use crate::cli::LogitsArgs;
use crate::render::json;

use super::open_weights;

/// Runs the command. It needs no tokenizer.
///
/// # Errors
/// The model does not load, or does not take the ids.
pub fn run(args: &LogitsArgs) -> anyhow::Result<Answer> {
    let path = open_weights::locate(&args.model)?;
    let options = args.running.options();
    let pool = model::pool(options)?;
    let logits = pool.install(|| -> anyhow::Result<Vec<f32>> {
        let checkpoint = Checkpoint::open(&path)?;
        let decoder = options.device.load(Arc::new(checkpoint));
        let decoder = decoder.with_context(|| format!("cannot load '{}'", args.model))?;
        Ok(run::last_logits(decoder.as_ref(), &args.ids)?)
    })?;
    let top = logits.iter().enumerate().fold(0, |top, (i, x)| if *x > logits[top] { i } else { top });
    Ok(Answer::plain(json(&json!({ "ids": args.ids, "argmax": top, "logits": logits }))?))
}

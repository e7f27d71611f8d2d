//! Opening the model that a command names.

use std::path::PathBuf;

use anyhow::Context;
use weighbridge_engine::hub::{self, HubOptions};
use weighbridge_engine::{Model, Options};

use crate::render::Screen;
use crate::render::progress::Spinner;

/// The folder or file that a name stands for.
///
/// # Errors
/// A hub id cannot be resolved.
pub fn locate(name: &str) -> anyhow::Result<PathBuf> {
    if name.starts_with("hf:") {
        return Ok(hub::resolve(name, &HubOptions::from_environment())?);
    }
    Ok(PathBuf::from(name))
}

/// Loads the model.
///
/// # Errors
/// There is no such model, or it does not load.
pub fn open(name: &str, options: Options, screen: Screen) -> anyhow::Result<Model> {
    let path = locate(name)?;
    let spinner = Spinner::new(format!("loading {name}"), screen);
    let model = Model::open(&path, name, options);
    drop(spinner);
    model.with_context(|| format!("cannot load '{name}'"))
}

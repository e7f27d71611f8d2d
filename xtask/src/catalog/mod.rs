//! Makes the catalog: reads the curated files under `catalog/` and the facts under the reference folder, joins them by
//! identity, and writes what differs. Running it twice changes nothing.

mod boards;
mod build;
mod curated;
mod documentation;
mod eci;
mod epoch_items;
mod every_eval_ever;
mod genai;
mod hardware;
mod helm;
mod input;
mod licenses;
mod litellm;
mod models_dev;
mod offering;
mod output;
mod prices;
mod sources;
mod sources_md;
mod vllm;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

use build::Builder;
use output::Output;

use crate::report;

/// What to do with files that differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write them.
    Write,
    /// Name them and fail.
    Check,
}

/// Makes every generated file of `catalog` from the facts under `shared`; fails where `mode` is to check and one differs.
pub(crate) fn run(catalog: &Path, shared: &Path, mode: Mode) -> Result<ExitCode> {
    let differing = make(catalog, shared, mode)?;
    for file in &differing {
        report(&format!("{}: {}", if mode == Mode::Check { "differs" } else { "written" }, file.display()));
    }
    if mode == Mode::Check && !differing.is_empty() {
        report("the catalog differs from what its sources give; run 'cargo run -p xtask -- catalog'");
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the files and returns those that differed.
fn make(catalog: &Path, shared: &Path, mode: Mode) -> Result<Vec<PathBuf>> {
    let data = shared.join("data");
    let mut build = Builder::new();
    sources::add(&mut build);
    documentation::add(&mut build);
    curated::read(catalog, &mut build)?;

    // The order decides whose statement stands where several sources know a model: the first one.
    eci::add(&data, &mut build)?;
    models_dev::add_models(&data, &mut build)?;
    helm::add(&data, &mut build)?;
    vllm::add(&data, &mut build)?;
    licenses::add(&data, &mut build)?;
    curated::apply_overrides(&mut build)?;

    let mut output = Output::new(catalog);
    epoch_items::add(&data, &mut build, &mut output)?;
    boards::add(&data, &mut build)?;
    every_eval_ever::add(&data, &mut build)?;
    models_dev::add_prices(&data, &mut build)?;
    genai::add(&data, &mut build)?;
    litellm::add(&data, &mut build)?;
    hardware::add(&data, &mut output)?;
    prices::write(&mut build, &mut output)?;
    wire::write(&mut build, &mut output)?;
    build.write(&mut output)?;
    output.text("SOURCES.md", sources_md::text(&build));

    for line in build.summary() {
        report(&line);
    }
    output.finish(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_what_its_sources_give() {
        let Some(data) = weighbridge_reference::path("data") else { return };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let differing = make(&root.join("catalog"), data.parent().unwrap(), Mode::Check).unwrap();
        assert!(differing.is_empty(), "{differing:?} differ; run 'cargo run -p xtask -- catalog'");
    }
}

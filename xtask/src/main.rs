//! Steps of the project that are not part of the product.
//!
//! `cargo run -p xtask -- catalog [--check] [--shared FOLDER]` makes the files under `catalog/` from the reference data;
//! `cargo run -p xtask -- tidy` checks the invariants of the tree.

mod catalog;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: xtask catalog [--check] [--shared FOLDER] | xtask tidy";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(error) => {
            report(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    match args.next().as_deref() {
        Some("catalog") => {
            let mut shared = root.join("../shared");
            let mut mode = catalog::Mode::Write;
            while let Some(arg) = args.next() {
                match arg.as_str() {
                    "--check" => mode = catalog::Mode::Check,
                    "--shared" => shared = PathBuf::from(args.next().context("--shared needs a folder")?),
                    other => bail!("unknown argument '{other}'; {USAGE}"),
                }
            }
            catalog::run(&root.join("catalog"), &shared, mode)
        }
        Some("tidy") => {
            let findings = tidy::run(root)?;
            for finding in &findings {
                report(finding);
            }
            report(&format!("tidy: {} findings", findings.len()));
            Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => bail!("{USAGE}"),
    }
}

#[expect(clippy::print_stderr, reason = "a developer's tool reports on standard error")]
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
}

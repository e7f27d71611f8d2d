//! `weighbridge canary`: what a hosted model really does.

use anyhow::bail;
use weighbridge_api::Hosted;
use weighbridge_catalog::Catalog;

use crate::Answer;
use crate::canaries;
use crate::cli::{AskFormat, CanaryArgs};
use crate::render::{Screen, json};
use crate::target::{self, Target};

/// Runs the command.
///
/// # Errors
/// The model runs in this process, or cannot be asked at all.
pub fn run(args: &CanaryArgs, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let Target::Hosted(endpoint) = target::find(&args.model, &args.hosted, &catalog)? else {
        bail!("'{}' runs in this process: `weighbridge inspect` shows what it is", args.model);
    };
    let model = Hosted::new(*endpoint, &target::session(&args.hosted)?)?;
    let report = canaries::take(&model, screen);
    let text = match args.format {
        AskFormat::Json => json(&report)?,
        AskFormat::Text => canaries::as_text(&report, screen),
    };
    Ok(Answer { failed: report.error.is_some(), note: canaries::warning(&report), ..Answer::plain(text) })
}

//! `weighbridge inspect`: what a weight file or a model's folder is, from its headers alone.

use std::io::IsTerminal;

use anyhow::bail;
use weighbridge_engine::inspect::{Inspection, Options, Template, inspect};

use crate::Answer;
use crate::cli::{Format, InspectArgs};
use crate::render::{Screen, inspect as render, json};

/// Runs the command.
///
/// # Errors
/// The path is no checkpoint that can be read, or its chat template is asked for and there is none.
pub fn run(args: &InspectArgs, screen: Screen) -> anyhow::Result<Answer> {
    let options = Options { context: args.context, batch: args.batch, hash: args.hash };
    let found = inspect(&args.path, &options)?;
    if args.template {
        return template(&found, args.format);
    }
    Ok(Answer::plain(match args.format {
        Format::Json => json(&found)?,
        format => render::text(&found, format, &screen)?,
    }))
}

/// The chat template that is used by default, as it stands in the file.
fn template(found: &Inspection, format: Format) -> anyhow::Result<Answer> {
    let Some(Template { text, .. }) = found.templates.first() else {
        bail!("{} has no chat template; without --template everything else is shown", found.path.display())
    };
    if format == Format::Json {
        return Ok(Answer::plain(json(&found.templates)?));
    }
    // In a file or a pipe every byte counts; a terminal would obey what a hostile template holds.
    let text = if std::io::stdout().is_terminal() { render::harmless(text) } else { text.clone() };
    Ok(Answer::plain(text))
}

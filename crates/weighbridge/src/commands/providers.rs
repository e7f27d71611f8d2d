//! `weighbridge providers`: who serves models, how they are spoken to, whether there is a key, and what was last seen.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::{Value, json};
use weighbridge_api::Key;
use weighbridge_catalog::Catalog;
use weighbridge_core::{CanaryReport, Provider};

use crate::Answer;
use crate::canaries;
use crate::cli::{Format, ProvidersArgs};
use crate::render::table::Rows;
use crate::render::{Screen, json};

/// Runs the command.
///
/// # Errors
/// There is no such provider.
pub fn run(args: &ProvidersArgs, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let kept = canaries::all();
    let Some(name) = &args.provider else {
        let providers: Vec<&Provider> = catalog.providers().collect();
        return match args.format {
            Format::Json => {
                let list: Vec<Value> = providers.iter().map(|p| as_json(p, &kept)).collect();
                Ok(Answer::plain(json(&list)?))
            }
            _ => Ok(Answer::plain(table(&providers, &kept).render(args.format, &screen)?)),
        };
    };
    let provider =
        catalog.provider(name).with_context(|| format!("no provider '{name}'; `weighbridge providers` lists them"))?;
    match args.format {
        Format::Json => Ok(Answer::plain(json(&as_json(provider, &kept))?)),
        Format::Text => Ok(Answer::plain(details(provider, &catalog, &kept, screen))),
        _ => Ok(Answer::plain(table(&[provider], &kept).render(args.format, &screen)?)),
    }
}

/// Whether a key is there: `found`, `missing`, `not needed`, or what is wrong with it. Never the key.
fn key(provider: &Provider) -> String {
    match Key::from_environment(provider) {
        Ok(Some((_, variable))) => format!("found in {variable}"),
        Ok(None) if provider.key_required => "missing".into(),
        Ok(None) => "not needed".into(),
        Err(error) => error.to_string(),
    }
}

fn dialects(provider: &Provider) -> String {
    provider.dialects.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ")
}

/// The reports of a provider's models.
fn of<'a>(provider: &'a Provider, kept: &'a [CanaryReport]) -> impl Iterator<Item = &'a CanaryReport> {
    kept.iter().filter(|report| report.served_by.provider == provider.id)
}

fn seen(provider: &Provider, kept: &[CanaryReport]) -> String {
    let newest = of(provider, kept).max_by(|a, b| a.ended.total_cmp(&b.ended));
    newest.map_or_else(|| "-".into(), canaries::summary)
}

fn table(providers: &[&Provider], kept: &[CanaryReport]) -> Rows {
    let mut rows = Rows::new(&["provider", "dialects", "key variable", "key", "last canary"], &[]);
    for provider in providers {
        rows.cells.push(vec![
            provider.id.clone(),
            dialects(provider),
            provider.key_variables.join(" or "),
            key(provider),
            seen(provider, kept),
        ]);
    }
    rows
}

fn details(provider: &Provider, catalog: &Catalog, kept: &[CanaryReport], screen: Screen) -> String {
    let mut out = String::new();
    let address = provider.base_url.as_deref().unwrap_or("none of its own; --base-url gives one");
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{name:<14}{value}");
    };
    line("provider", &format!("{}, {}", provider.id, provider.name));
    line("address", address);
    line("dialects", &dialects(provider));
    line("key variable", &provider.key_variables.join(" or "));
    line("key", &key(provider));
    if provider.router {
        line("router", "host and quantization must be pinned");
    }
    line("batches", if provider.batch { "yes" } else { "no" });
    let quirks: Vec<&str> = provider.quirks.iter().map(|quirk| quirk.as_str()).collect();
    if !quirks.is_empty() {
        line("quirks", &quirks.join(", "));
    }
    if let Some(source) = catalog.source(&provider.source) {
        let place = source.url.as_deref().map(|url| format!(", {url}")).unwrap_or_default();
        line("source", &format!("{}{place}", source.title));
    }
    for report in of(provider, kept) {
        out.push('\n');
        out.push_str(&canaries::as_text(report, screen));
    }
    out
}

fn as_json(provider: &Provider, kept: &[CanaryReport]) -> Value {
    json!({
        "id": provider.id,
        "name": provider.name,
        "base_url": provider.base_url,
        "dialects": provider.dialects,
        "key_variables": provider.key_variables,
        "key_required": provider.key_required,
        "key": key(provider),
        "router": provider.router,
        "batch": provider.batch,
        "quirks": provider.quirks,
        "source": provider.source,
        "canaries": of(provider, kept).collect::<Vec<_>>(),
    })
}

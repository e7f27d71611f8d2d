//! models.dev: base models with their facts, and the prices of providers.
//!
//! Provider rows contradict each other about openness and dates, so only the base rows state facts about a model; provider
//! rows give prices, and the modalities where a lab serves its own model.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use weighbridge_core::parse_date;

use super::build::{Builder, slug};
use super::input::{self, Record};
use super::offering;
use super::prices::PriceRow;
use super::sources::MODELS_DEV_DAY;
use super::wire::{self, Tier, WireRow};

const SOURCE: &str = "models-dev";
/// Parts of an id that mark what is not a text model.
const NOT_TEXT: [&str; 13] = [
    "-image",
    "-tts",
    "embed",
    "rerank",
    "whisper",
    "safety",
    "voicechat",
    "safeguard",
    "-asr",
    "-ocr",
    "-omni",
    "-vl-",
    "livetranslate",
];
/// Ends of an id that mark another way to serve the same model.
const SERVED_FASTER: [&str; 4] = ["-highspeed", "-thinking-turbo", "-flashx", "-ultraspeed"];

pub(crate) fn add_models(data: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(&data.join("facts/models_dev_base.csv"))? {
        let (id, name) = (row.get("id")?, row.get("name")?);
        let Some((lab, tail)) = id.split_once('/') else { continue };
        if NOT_TEXT.iter().any(|part| tail.contains(part)) {
            build.leave_out(SOURCE, id, "not a text model");
        } else if SERVED_FASTER.iter().any(|end| tail.to_lowercase().ends_with(end)) {
            build.leave_out(SOURCE, id, "another way to serve a model that is listed");
        } else if let Some(lab) = build.names.lab(lab).map(str::to_owned) {
            add_model(&row, &lab, tail, name, build)?;
        } else {
            build.leave_out(SOURCE, id, "lab is not in labs.csv");
        }
    }
    add_modalities(data, build)
}

fn add_model(row: &Record, lab: &str, tail: &str, name: &str, build: &mut Builder) -> Result<()> {
    let id = match build.known(SOURCE, tail, name) {
        Ok(Some(id)) => id,
        Ok(None) => {
            let id = format!("{lab}/{}", slug(tail));
            build.add_model(&id, name);
            id
        }
        Err(why) => {
            build.leave_out(SOURCE, row.get("id")?, why);
            return Ok(());
        }
    };
    build.alias(tail, &id, SOURCE);
    build.released(&id, row.get("release_date")?, SOURCE);
    let (access, reason) = match row.get("open_weights")? {
        "True" => ("open-weights", "listed with open weights"),
        "False" => ("closed", "listed without open weights"),
        _ => ("", ""),
    };
    let known = build.field(&id, "access").to_owned();
    if known.is_empty() {
        build.fact(&id, "access_reason", reason, "access_source", SOURCE);
    } else if known != "unknown" && !access.is_empty() && known != access {
        build.leave_out(SOURCE, row.get("id")?, &format!("says {access}, an earlier source says {known}"));
    }
    build.fact(&id, "access", access, "access_source", SOURCE);
    build.fact(&id, "context", row.get("context")?, "context_source", SOURCE);
    build.fact(&id, "license", row.get("license")?, "license_source", SOURCE);
    let closed = build.field(&id, "access") == "closed";
    let weights = row.get("hf_weights")?.split('|').next().unwrap_or_default();
    let hub = weights.trim_start_matches("https://huggingface.co/");
    if !closed && !hub.is_empty() {
        build.fact(&id, "weights", hub, "weights_source", SOURCE);
        build.alias(hub, &id, SOURCE);
    }
    Ok(())
}

/// What goes in and comes out, from the rows in which a lab serves its own models.
fn add_modalities(data: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(&data.join("facts/models_dev.csv"))? {
        let lab = build.names.lab(row.get("provider")?).map(str::to_owned);
        let Some(id) = build.names.lookup(row.get("model_id")?).and_then(|r| r.model().map(ToString::to_string)) else {
            continue;
        };
        if lab.is_some_and(|lab| id.split('/').next() == Some(&lab)) && build.field(&id, "modalities_in").is_empty() {
            let sorted = |text: &str| {
                let mut parts: Vec<_> = text.split('|').filter(|p| !p.is_empty()).collect();
                parts.sort_unstable();
                parts.join("|")
            };
            build.fact(&id, "modalities_in", &sorted(row.get("modal_in")?), "modalities_source", SOURCE);
            build.fact(&id, "modalities_out", &sorted(row.get("modal_out")?), "modalities_source", SOURCE);
        }
    }
    Ok(())
}

pub(crate) fn add_prices(data: &Path, build: &mut Builder) -> Result<()> {
    let day = parse_date(MODELS_DEV_DAY)?;
    for row in input::csv(&data.join("facts/models_dev.csv"))? {
        let provider = offering::provider(row.get("provider")?);
        if let Some(provider) = provider.filter(|_| row.get("modal_out").is_ok_and(|out| out.contains("text"))) {
            add_offering(&row, provider, build)?;
        }
        let Some(provider) = provider else {
            build.count(SOURCE, "prices of plans, routers and regional sites left out");
            continue;
        };
        let (Some(input), Some(output)) = (row.number("cost_input")?, row.number("cost_output")?) else {
            build.count(SOURCE, "offerings without a price left out");
            continue;
        };
        if input == 0.0 && output == 0.0 {
            build.count(SOURCE, "free offerings (0/0) left out");
            continue;
        }
        let Some(model) = offering::find(build, SOURCE, row.get("model_id")?, Some(day)) else { continue };
        let mut price = PriceRow::new(model, provider, SOURCE, input, output);
        price.cached_input = row.number("cache_read")?.filter(|usd| *usd > 0.0);
        price.cache_write = row.number("cache_write")?.filter(|usd| *usd > 0.0);
        price.starts = Some(MODELS_DEV_DAY.to_owned());
        if !row.get("tiers")?.is_empty() {
            "base tier; longer contexts cost more".clone_into(&mut price.note);
        }
        build.prices.push(price);
    }
    Ok(())
}

/// The price under the provider's own name.
fn add_offering(row: &Record, provider: &str, build: &mut Builder) -> Result<()> {
    let (Some(input), Some(output)) = (row.number("cost_input")?, row.number("cost_output")?) else { return Ok(()) };
    let positive = |column| Ok::<_, anyhow::Error>(row.number(column)?.filter(|usd| *usd > 0.0));
    let wire = WireRow {
        input,
        cached_input: positive("cache_read")?,
        cache_write: positive("cache_write")?,
        output,
        reasoning: positive("cost_reasoning")?,
        tiers: tiers(row.get("tiers")?, input, output)?,
        starts: Some(MODELS_DEV_DAY.to_owned()),
        ..WireRow::default()
    };
    wire::add(build, SOURCE, provider, row.get("model_id")?, wire);
    Ok(())
}

/// `[{"tier": {"size": 272000}, "input": 10, "output": 45, "cache_read": 1}]` as tiers, shortest first.
fn tiers(text: &str, input: f64, output: f64) -> Result<Vec<Tier>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<Value> = serde_json::from_str(text).with_context(|| format!("'{text}' is not a list of tiers"))?;
    let mut tiers = Vec::new();
    for tier in &list {
        let above = tier["tier"]["size"].as_u64().with_context(|| format!("a tier of '{text}' has no size"))?;
        tiers.push(Tier {
            above,
            input: tier["input"].as_f64().unwrap_or(input),
            cached_input: tier["cache_read"].as_f64(),
            cache_write: tier["cache_write"].as_f64(),
            output: tier["output"].as_f64().unwrap_or(output),
        });
    }
    tiers.sort_by_key(|tier| tier.above);
    Ok(tiers)
}

//! litellm's price map: prices of many providers, with batch prices.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use weighbridge_core::parse_date;

use super::build::Builder;
use super::input;
use super::offering;
use super::prices::PriceRow;
use super::sources::LITELLM_DAY;
use super::wire::{self, Tier, WireRow};

const SOURCE: &str = "litellm";

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    let text = input::text(&data.join("facts/litellm_prices.json"))?;
    let map: BTreeMap<String, Value> = serde_json::from_str(&text).context("litellm_prices.json is not an object")?;
    let day = parse_date(LITELLM_DAY)?;
    for (id, entry) in &map {
        if !["chat", "completion", "responses"].contains(&entry["mode"].as_str().unwrap_or_default()) {
            continue;
        }
        let Some(provider) = offering::provider(entry["litellm_provider"].as_str().unwrap_or_default()) else {
            build.count(SOURCE, "prices of plans, routers and regional sites left out");
            continue;
        };
        let usd = |key: &str| entry[key].as_f64().map(|per_token| per_token * 1e6);
        let (Some(input), Some(output)) = (usd("input_cost_per_token"), usd("output_cost_per_token")) else {
            build.count(SOURCE, "offerings without a price left out");
            continue;
        };
        wire::add(build, SOURCE, provider, wire_name(id, entry), offer(entry, input, output));
        if input == 0.0 && output == 0.0 {
            build.count(SOURCE, "free offerings (0/0) left out");
            continue;
        }
        let Some(model) = offering::find(build, SOURCE, id, Some(day)) else { continue };
        let mut row = PriceRow::new(model, provider, SOURCE, input, output);
        row.cached_input = usd("cache_read_input_token_cost").filter(|usd| *usd > 0.0);
        row.cache_write = usd("cache_creation_input_token_cost").filter(|usd| *usd > 0.0);
        row.batch_input = usd("input_cost_per_token_batches");
        row.batch_output = usd("output_cost_per_token_batches");
        row.starts = Some(LITELLM_DAY.to_owned());
        let tiered =
            entry.as_object().into_iter().flatten().any(|(key, _)| key.starts_with("input_cost_per_token_above"));
        if tiered {
            "base tier; longer contexts cost more".clone_into(&mut row.note);
        }
        build.prices.push(row);
    }
    Ok(())
}

/// The name that the provider itself knows: a key is that name, in most cases behind litellm's name of the provider.
fn wire_name<'a>(key: &'a str, entry: &Value) -> &'a str {
    let route = entry["litellm_provider"].as_str().unwrap_or_default();
    // `text-completion-openai` and `cohere_chat` are routes of litellm within one provider.
    let routes = [route, route.trim_start_matches("text-completion-"), route.trim_end_matches("_chat")];
    routes.iter().find_map(|route| key.strip_prefix(route)?.strip_prefix('/')).unwrap_or(key)
}

/// All prices of an entry. Prices of the classes flex and priority stand under other keys and are not taken.
fn offer(entry: &Value, input: f64, output: f64) -> WireRow {
    let usd = |key: &str| entry[key].as_f64().map(|per_token| per_token * 1e6).filter(|usd| *usd > 0.0);
    WireRow {
        input,
        cached_input: usd("cache_read_input_token_cost"),
        cache_write: usd("cache_creation_input_token_cost"),
        cache_write_1h: usd("cache_creation_input_token_cost_above_1hr"),
        output,
        reasoning: usd("output_cost_per_reasoning_token"),
        batch_input: usd("input_cost_per_token_batches"),
        batch_output: usd("output_cost_per_token_batches"),
        tiers: tiers(entry, input, output),
        starts: Some(LITELLM_DAY.to_owned()),
    }
}

/// `input_cost_per_token_above_200k_tokens` and its like as tiers, shortest first.
fn tiers(entry: &Value, input: f64, output: f64) -> Vec<Tier> {
    let thousands = |key: &str| {
        let rest = key.strip_prefix("input_cost_per_token_above_").or(key.strip_prefix("output_cost_per_token_above_"));
        rest?.strip_suffix("k_tokens")?.parse::<u64>().ok()
    };
    let sizes: BTreeSet<u64> = entry.as_object().into_iter().flatten().filter_map(|(key, _)| thousands(key)).collect();
    let tier = |size: u64| {
        let usd = |what: &str| entry[format!("{what}_above_{size}k_tokens")].as_f64().map(|per_token| per_token * 1e6);
        Tier {
            above: size * 1000,
            input: usd("input_cost_per_token").unwrap_or(input),
            cached_input: usd("cache_read_input_token_cost").filter(|usd| *usd > 0.0),
            cache_write: usd("cache_creation_input_token_cost").filter(|usd| *usd > 0.0),
            output: usd("output_cost_per_token").unwrap_or(output),
        }
    };
    sizes.into_iter().map(tier).collect()
}

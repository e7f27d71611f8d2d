//! genai-prices: prices with their history by start date.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use weighbridge_core::parse_date;

use super::build::Builder;
use super::input;
use super::offering;
use super::prices::PriceRow;
use super::wire::{self, Tier, WireRow};

const SOURCE: &str = "genai-prices";
const DAY: &str = "2026-08-21";

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    let text = input::text(&data.join("facts/genai_prices_v2.json"))?;
    let providers: Vec<Value> = serde_json::from_str(&text).context("genai_prices_v2.json is not a list")?;
    let day = parse_date(DAY)?;
    for entry in &providers {
        add_offerings(entry, build);
        let Some(provider) = offering::provider(entry["id"].as_str().unwrap_or_default()) else {
            build.count(SOURCE, "providers left out (plans, routers, regional sites)");
            continue;
        };
        for model in entry["models"].as_array().into_iter().flatten() {
            let id = model["id"].as_str().context("a model of genai_prices_v2.json has no id")?;
            let Some(found) = offering::find(build, SOURCE, id, Some(day)) else { continue };
            // Google serves other labs' models on Vertex AI.
            let provider =
                if provider == "google" && !found.starts_with("google/") { "google-vertex" } else { provider };
            add_history(&model["prices"], &found, provider, build);
        }
    }
    Ok(())
}

/// One price, or a list of prices with the day from which each holds.
fn add_history(prices: &Value, model: &str, provider: &'static str, build: &mut Builder) {
    let Some(list) = prices.as_array() else {
        add_price(prices, None, model, provider, build);
        return;
    };
    if list.iter().any(|p| !p["constraint"]["start_time"].is_null()) {
        build.count(SOURCE, "prices by time of day left out");
        return;
    }
    for entry in list {
        let starts = entry["constraint"]["start_date"].as_str().map(str::to_owned);
        add_price(&entry["prices"], starts, model, provider, build);
    }
}

fn add_price(prices: &Value, starts: Option<String>, model: &str, provider: &'static str, build: &mut Builder) {
    // A price is a number, or a base with tiers for longer contexts.
    let usd = |key: &str| prices[key].as_f64().or_else(|| prices[key]["base"].as_f64());
    let (Some(input), Some(output)) = (usd("input_mtok"), usd("output_mtok")) else {
        build.count(SOURCE, "offerings without a price left out");
        return;
    };
    if input == 0.0 && output == 0.0 {
        build.count(SOURCE, "free offerings (0/0) left out");
        return;
    }
    let mut row = PriceRow::new(model.to_owned(), provider, SOURCE, input, output);
    row.cached_input = usd("cache_read_mtok");
    row.cache_write = usd("cache_write_mtok");
    row.starts = starts;
    if let Some(tier) = prices["input_mtok"]["tiers"][0]["start"].as_u64() {
        row.note = format!("base tier; above {tier} tokens of context it costs more");
    }
    build.prices.push(row);
}

/// What a provider asks under its own names: the id of a model, and the names that mean it exactly.
fn add_offerings(entry: &Value, build: &mut Builder) {
    let id = entry["id"].as_str().unwrap_or_default();
    let (provider, host) = match id.strip_prefix("huggingface_") {
        Some(host) => ("huggingface", Some(host)),
        None => (offering::provider(id).unwrap_or_default(), None),
    };
    let mut taken = BTreeSet::new();
    for model in entry["models"].as_array().into_iter().flatten() {
        let mut names = BTreeSet::new();
        names.extend(model["id"].as_str());
        exact_names(&model["match"], &mut names);
        let list = model["prices"].as_array();
        if list.is_some_and(|list| list.iter().any(|p| !p["constraint"]["start_time"].is_null())) {
            continue;
        }
        for name in names {
            // Of two models that claim a name the first one counts, as it does at the source. What Google serves on
            // Vertex AI stands under the same provider.
            if !taken.insert(name) || provider == "google" && !name.starts_with("gem") {
                continue;
            }
            let name = host.map_or_else(|| name.to_owned(), |host| format!("{name}:{host}"));
            let dated = list.into_iter().flatten().map(|p| (&p["prices"], p["constraint"]["start_date"].as_str()));
            let single = list.is_none().then_some((&model["prices"], None));
            for (prices, starts) in dated.chain(single) {
                if let Some(row) = offer(prices, starts) {
                    wire::add(build, SOURCE, provider, &name, row);
                }
            }
        }
    }
}

/// The names that a rule matches exactly, alone or as alternatives.
fn exact_names<'a>(rule: &'a Value, names: &mut BTreeSet<&'a str>) {
    names.extend(rule["equals"].as_str());
    for alternative in rule["or"].as_array().into_iter().flatten() {
        exact_names(alternative, names);
    }
}

fn offer(prices: &Value, starts: Option<&str>) -> Option<WireRow> {
    let usd = |key: &str| prices[key].as_f64().or_else(|| prices[key]["base"].as_f64());
    let (input, output) = (usd("input_mtok")?, usd("output_mtok")?);
    // The price of a kind of token above a size: of the longest tier that starts no later, else its base.
    let above = |key: &str, size: u64| {
        let tiers = prices[key]["tiers"].as_array().into_iter().flatten();
        let fits = tiers.filter(|tier| tier["start"].as_u64().is_some_and(|start| start <= size));
        fits.max_by_key(|tier| tier["start"].as_u64()).and_then(|tier| tier["price"].as_f64()).or_else(|| usd(key))
    };
    let sizes: BTreeSet<u64> = ["input_mtok", "output_mtok"]
        .iter()
        .flat_map(|key| prices[*key]["tiers"].as_array().into_iter().flatten())
        .filter_map(|tier| tier["start"].as_u64())
        .collect();
    let tier = |size: u64| Tier {
        above: size,
        input: above("input_mtok", size).unwrap_or(input),
        cached_input: above("cache_read_mtok", size),
        cache_write: above("cache_write_mtok", size),
        output: above("output_mtok", size).unwrap_or(output),
    };
    Some(WireRow {
        input,
        cached_input: usd("cache_read_mtok"),
        cache_write: usd("cache_write_mtok"),
        cache_write_1h: usd("cache_write_1h_mtok"),
        output,
        reasoning: usd("output_reasoning_mtok"),
        tiers: sizes.into_iter().map(tier).collect(),
        starts: starts.map(str::to_owned),
        ..WireRow::default()
    })
}

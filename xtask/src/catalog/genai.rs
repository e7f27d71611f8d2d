//! genai-prices: prices with their history by start date.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use weighbridge_core::parse_date;

use super::build::Builder;
use super::input;
use super::offering;
use super::prices::PriceRow;

const SOURCE: &str = "genai-prices";
const DAY: &str = "2026-08-21";

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    let text = input::text(&data.join("facts/genai_prices_v2.json"))?;
    let providers: Vec<Value> = serde_json::from_str(&text).context("genai_prices_v2.json is not a list")?;
    let day = parse_date(DAY)?;
    for entry in &providers {
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

//! litellm's price map: prices of many providers, with batch prices.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use weighbridge_core::parse_date;

use super::build::Builder;
use super::input;
use super::offering;
use super::prices::PriceRow;
use super::sources::LITELLM_DAY;

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

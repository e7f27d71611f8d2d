//! vLLM recipes: sizes and contexts of open weights, by hub id.

use std::path::Path;

use anyhow::Result;

use super::build::Builder;
use super::input;

const SOURCE: &str = "vllm-recipes";

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(&data.join("facts/hardware/vllm_recipes_models.csv"))? {
        if row.get("variant")? != "default" {
            continue;
        }
        let hub = row.get("model_id")?;
        let plain = ["-NVFP4", "-BF16"].iter().fold(hub, |name, end| name.trim_end_matches(end));
        let plain = plain.replace("NVIDIA-Nemotron", "Nemotron");
        let Some(id) = build.find(SOURCE, &plain, None) else { continue };
        if build.field(&id, "access") == "closed" {
            build.leave_out(SOURCE, hub, "has weights, an earlier source says closed");
            continue;
        }
        let (total, active) = (count(row.get("params")?), count(row.get("active_params")?));
        if !total.is_empty() {
            // HELM takes some sizes from the files of the hub, where packed 4-bit weights count half.
            build.force(&id, "parameters_total", &total);
            build.force(&id, "parameters_active", &active);
            build.force(&id, "parameters_source", SOURCE);
        }
        let context = row.get("context")?;
        if context != "0" {
            build.fact(&id, "context", context, "context_source", SOURCE);
        }
        build.fact(&id, "weights", hub, "weights_source", SOURCE);
        build.alias(hub, &id, SOURCE);
    }
    Ok(())
}

/// `2.8T` or `35B` as a whole number; empty where the cell holds anything else.
fn count(text: &str) -> String {
    let unit = match text.chars().last() {
        Some('T') => 1e12,
        Some('B') => 1e9,
        Some('M') => 1e6,
        _ => return String::new(),
    };
    text[..text.len() - 1].parse::<f64>().map_or_else(|_| String::new(), |n| format!("{:.0}", n * unit))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn sizes_are_whole_numbers() {
        assert_eq!(count("2.8T"), "2800000000000");
        assert_eq!(count("30.5B"), "30500000000");
        assert_eq!(count("16 experts/token + shared (of 896 routed)"), "");
        assert_eq!(count("Undisclosed"), "");
    }
}

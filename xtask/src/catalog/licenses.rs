//! Licenses of open weights, as the function-calling board and the two openness indices state them.

use std::path::Path;

use anyhow::Result;
use weighbridge_catalog::split_configuration;

use super::build::Builder;
use super::input;

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(&data.join("facts/leaderboards/bfcl/data_overall.csv"))? {
        let name = split_configuration(row.get("Model")?).0.to_owned();
        state(build, &name, row.get("License")?, "bfcl");
    }
    for row in input::csv(&data.join("openness/osai_index.csv"))? {
        let hub = row.get("link")?.trim_start_matches("https://huggingface.co/").to_owned();
        for name in [row.get("end")?, &hub] {
            state(build, name, row.get("license")?, "osai");
        }
    }
    for row in input::csv(&data.join("openness/mot_models.csv"))? {
        let hub = row.get("huggingface")?.trim_start_matches("https://huggingface.co/").to_owned();
        let (parts, licenses) = (row.get("components")?.to_owned(), row.get("component_licenses")?);
        let of_weights = parts
            .split('|')
            .zip(licenses.split('|'))
            .find(|(part, _)| *part == "Model parameters (Final)")
            .map(|(_, l)| l);
        let license = of_weights.filter(|l| !l.is_empty()).unwrap_or(row.get("dist_license")?);
        state(build, &hub, license, "mot");
    }
    Ok(())
}

/// States a license of a model with open weights, unless the cell is not one.
fn state(build: &mut Builder, name: &str, license: &str, source: &'static str) {
    // "Meta Llama 3 Community" stands there for 3, 3.1, 3.2 and 3.3, which are four licenses.
    let not_a_license = ["", "proprietary", "unlicensed", "unknown", "none", "n/a", "meta llama 3 community"];
    if not_a_license.contains(&license.to_lowercase().as_str()) {
        return;
    }
    let Some(id) = build.names.lookup(name).and_then(|found| found.model().map(ToString::to_string)) else { return };
    if build.field(&id, "access") == "open-weights" {
        build.fact(&id, "license", &spdx(license), "license_source", source);
    }
}

/// The SPDX id or the common tag of a license, where the cell names one of those that are spelled in many ways.
fn spdx(license: &str) -> String {
    let lower = license.to_lowercase();
    let known = match lower.as_str() {
        "apache-2.0" | "apache 2.0" | "apache license 2.0" => "apache-2.0",
        "mit" | "mit license" => "mit",
        "gemma-terms-of-use" | "gemma" | "gemma license" | "gemma terms of use" => "gemma",
        "meta llama 3 community license" | "meta llama 3 community license agreement" => "llama3",
        "llama 3.1 community license" => "llama3.1",
        "deepseek license agreement" => "deepseek",
        "modified mit" | "modified mit license" => "modified-mit",
        "qwen license agreement" => "qwen",
        "meta llama 4 community" => "llama4",
        _ if lower.starts_with("cc-by-nc-4.0") || lower.starts_with("cc-by-nc 4.0") => "cc-by-nc-4.0",
        _ => license,
    };
    known.to_owned()
}

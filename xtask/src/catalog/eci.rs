//! The Epoch Capabilities Index: its models with release date and access, and the scores that it is fitted to.

use std::path::Path;

use anyhow::{Context, Result, bail};
use weighbridge_catalog::split_configuration;

use super::build::{Builder, slug};
use super::input;
use super::sources::INDEX_DAY;

const SOURCE: &str = "epoch-eci";

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    let folder = data.join("reference/eci_2026-08-11");
    for row in input::csv(&folder.join("eci_scores.csv"))? {
        add_model(&row, build)?;
    }
    let rows = input::csv(&folder.join("eci_benchmarks.csv"))?;
    for row in &rows {
        add_labels(row, build)?;
    }
    for row in &rows {
        add_score(row, build)?;
    }
    Ok(())
}

fn add_model(row: &input::Record, build: &mut Builder) -> Result<()> {
    let (name, organization) = (row.get("Model")?, row.get("Organization")?);
    let id = if let Some((id, _)) = build.curated_aliases.get(name) {
        id.clone()
    } else {
        let first = organization.split(',').next().unwrap_or_default();
        let lab = build.names.lab(organization).or_else(|| build.names.lab(first));
        let lab = lab.with_context(|| format!("{}: organization '{organization}' is not in labs.csv", row.place))?;
        let country = row.get("Country (of organization)")?;
        if build.labs.get(lab).is_some_and(|ours| ours != country) {
            bail!("{}: '{organization}' is in '{country}', labs.csv has another country", row.place);
        }
        format!("{lab}/{}", slug(name))
    };
    if build.has(&id) {
        bail!("{}: '{name}' would be a second '{id}'", row.place);
    }
    build.add_model(&id, name);
    build.released(&id, row.get("date")?, SOURCE);
    let accessibility = row.get("Model accessibility")?;
    let (access, terms) = match accessibility {
        "API access" | "Hosted access (no API)" | "Unreleased" => ("closed", ""),
        "Open weights (unrestricted)" => ("open-weights", "unrestricted"),
        "Open weights (restricted use)" => ("open-weights", "restricted"),
        "Open weights (non-commercial)" => ("open-weights", "non-commercial"),
        "Unknown" => ("unknown", ""),
        other => bail!("{}: unknown accessibility '{other}'", row.place),
    };
    build.fact(&id, "access", access, "access_source", SOURCE);
    build.fact(&id, "terms", terms, "access_source", SOURCE);
    build.force(&id, "access_reason", &format!("accessibility recorded as: {accessibility}"));
    Ok(())
}

/// The ids that runs of a model carry are other names of it.
fn add_labels(row: &input::Record, build: &mut Builder) -> Result<()> {
    let id = build.names.resolve(row.get("model")?).model().map(ToString::to_string);
    let id = id.with_context(|| format!("{}: a model of the scores is not among the models", row.place))?;
    build.alias(split_configuration(row.get("model_version")?).0, &id, SOURCE);
    Ok(())
}

fn add_score(row: &input::Record, build: &mut Builder) -> Result<()> {
    let id = build.names.resolve(row.get("model")?).model().map(ToString::to_string);
    let id = id.with_context(|| format!("{}: a model of the scores is not among the models", row.place))?;
    let name = row.get("benchmark")?;
    let benchmark = build.benchmarks.get(name).cloned();
    let benchmark = benchmark.with_context(|| format!("{}: '{name}' is not in benchmarks.csv", row.place))?;
    let label = row.get("model_version")?;
    let source = source_of(row.get("source")?, build);
    let cell = str::to_owned;
    let row = [
        id,
        cell(split_configuration(label).1.unwrap_or_default()),
        cell(label),
        benchmark,
        cell(row.get("performance")?),
        String::new(),
        source,
        String::new(),
        String::new(),
        format!("{SOURCE}-{INDEX_DAY}"),
    ];
    build.score("scores.csv", row);
    Ok(())
}

/// The id of the source that a score names; a score without one is from the index itself.
fn source_of(named: &str, build: &mut Builder) -> String {
    let half = named.len() / 2;
    // Two cells of the input hold their title twice without a separator.
    let named = if named.is_char_boundary(half) && named[..half] == named[half..] { &named[..half] } else { named };
    match named {
        "" => SOURCE.to_owned(),
        "Epoch evaluations" => "epoch-evaluations".to_owned(),
        _ => {
            let url = if named.starts_with("https://") { named } else { "" };
            let short = named.trim_start_matches("https://").trim_start_matches("www.");
            let id: String = slug(short).chars().take(60).collect();
            let id = id.trim_end_matches('-').to_owned();
            build.source([&id, named, "", url, "bare scores, through Epoch AI", INDEX_DAY]);
            id
        }
    }
}

//! Reads what people maintain by hand under `catalog/`: labs, benchmarks, providers, aliases, moving names,
//! overrides.

use std::path::Path;

use anyhow::{Context, Result, bail};
use weighbridge_catalog::{Pointing, schema};
use weighbridge_core::{ModelId, parse_date};

use super::build::{Builder, Override};
use super::input;

pub(crate) fn read(catalog: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(&catalog.join("labs.csv"))? {
        let id = row.get("id")?;
        build.names.add_lab(id, row.get("aliases")?.split('|').chain([row.get("name")?]).filter(|n| !n.is_empty()));
        build.labs.insert(id.to_owned(), row.get("country")?.to_owned());
    }
    for row in input::csv(&catalog.join("benchmarks.csv"))? {
        let id = row.get("id")?;
        for name in row.get("aliases")?.split('|').chain([row.get("name")?, id]).filter(|n| !n.is_empty()) {
            build.benchmarks.insert(name.to_owned(), id.to_owned());
        }
    }
    for row in input::csv(&catalog.join("providers.csv"))? {
        build.callable.insert(row.get("id")?.to_owned());
    }
    for row in input::csv(&catalog.join("aliases_curated.csv"))? {
        let target = (row.get("model")?.to_owned(), row.get("source")?.to_owned());
        build.curated_aliases.insert(row.get("alias")?.to_owned(), target);
    }
    for row in input::csv(&catalog.join("moving.csv"))? {
        let (model, starts) = (row.get("model")?, row.get("starts")?);
        let starts = if starts.is_empty() { None } else { Some(parse_date(starts)?) };
        let model = (!model.is_empty()).then(|| ModelId::new(model));
        build.names.add_moving(row.get("alias")?, Pointing { starts, model });
    }
    for row in input::csv(&catalog.join("overrides.csv"))? {
        let cell = |column| row.get(column).map(str::to_owned);
        build.overrides.push(Override {
            model: cell("model")?,
            field: cell("field")?,
            value: cell("value")?,
            reason: cell("reason")?,
            source: cell("source")?,
        });
    }
    Ok(())
}

/// Puts the rulings over what the sources state. A ruling on `name` makes a model that no source lists.
pub(crate) fn apply_overrides(build: &mut Builder) -> Result<()> {
    let overrides = std::mem::take(&mut build.overrides);
    for o in overrides.iter().filter(|o| o.field == "name" && !build.has(&o.model)).collect::<Vec<_>>() {
        build.add_model(&o.model, &o.value);
    }
    for o in &overrides {
        let Override { model, field, value, reason, source } = o;
        if !build.has(model) {
            bail!("overrides.csv: model '{model}' is not in the catalog");
        }
        if reason.is_empty() || source.is_empty() {
            bail!("overrides.csv: '{field}' of '{model}' has no reason or no source");
        }
        if field == "not_released" || field == "not_alias" {
            continue;
        }
        let column = schema::MODELS.iter().copied().find(|c| c == field);
        let column =
            column.with_context(|| format!("overrides.csv: '{field}' of '{model}' is no column of models.csv"))?;
        build.force(model, column, value);
        if let Some(source_column) = source_column(column) {
            build.force(model, source_column, source);
        }
        if column == "access" {
            build.force(model, "access_reason", reason);
        }
    }
    build.overrides = overrides;
    for (alias, (model, _)) in &build.curated_aliases {
        if !build.has(model) {
            bail!("aliases_curated.csv: alias '{alias}' names '{model}', which is not in the catalog");
        }
    }
    Ok(())
}

/// The column that holds the source of another one.
fn source_column(column: &str) -> Option<&'static str> {
    Some(match column {
        "access" => "access_source",
        "license" => "license_source",
        "released" => "released_source",
        "parameters_total" | "parameters_active" => "parameters_source",
        "context" => "context_source",
        "modalities_in" | "modalities_out" => "modalities_source",
        "weights" => "weights_source",
        _ => return None,
    })
}

//! `weighbridge models`: the list of models, or one with every fact, its source and its date.

use std::fmt::Write;

use anyhow::bail;
use serde::Serialize;
use weighbridge_catalog::{Catalog, Model};
use weighbridge_core::{Access, ModelId, WeightsTerms, format_date};
use weighbridge_gap::price::price_on;

use crate::Answer;
use crate::cli::{Format, ModelsArgs};
use crate::facts;
use crate::render::table::Rows;
use crate::render::{Screen, count, json};

/// Runs the command.
///
/// # Errors
/// No model has the name, or none passes the filters.
pub fn run(args: &ModelsArgs, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    match &args.model {
        Some(name) => {
            let id = facts::resolve(&catalog, name)?;
            show(&catalog, &id, args.format, screen)
        }
        None => list(&catalog, args, screen),
    }
}

/// A row of the list.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    name: &'a str,
    lab: &'a str,
    access: &'static str,
    license: Option<&'a str>,
    terms: Option<&'static str>,
    released: Option<String>,
    parameters_total: Option<u64>,
    context: Option<u64>,
    scores: usize,
}

fn list(catalog: &Catalog, args: &ModelsArgs, screen: Screen) -> anyhow::Result<Answer> {
    let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
    let mut counts = std::collections::BTreeMap::new();
    for score in catalog.all_scores() {
        *counts.entry(&score.model).or_insert(0) += 1;
    }
    let lab_name = |m: &Model| catalog.lab_of(m).map_or(m.lab.as_str(), |lab| lab.name.as_str()).to_owned();
    let wanted = |m: &&Model| {
        args.access.is_none_or(|access| m.access == access)
            && args.lab.as_ref().is_none_or(|lab| has(&lab_name(m), lab) || m.lab.eq_ignore_ascii_case(lab))
            && args.license.as_ref().is_none_or(|text| {
                m.license.as_ref().is_some_and(|l| has(&l.value, text))
                    || m.terms.is_some_and(|t| has(t.as_str(), text))
            })
    };
    let listed: Vec<Listed<'_>> = catalog
        .models()
        .filter(wanted)
        .map(|m| Listed {
            id: m.id.as_str(),
            name: &m.name,
            lab: &m.lab,
            access: m.access.as_str(),
            license: m.license.as_ref().map(|l| l.value.as_str()),
            terms: m.terms.map(WeightsTerms::as_str),
            released: m.released.as_ref().map(|r| r.value.to_string()),
            parameters_total: m.parameters_total.as_ref().map(|p| p.value),
            context: m.context.as_ref().map(|c| c.value),
            scores: counts.get(&m.id).copied().unwrap_or(0),
        })
        .collect();
    if listed.is_empty() {
        bail!(
            "no model passes these filters; {} are known, list them with 'weighbridge models'",
            catalog.models().len()
        );
    }
    if args.format == Format::Json {
        return Ok(Answer::plain(json(&listed)?));
    }
    // A spreadsheet has room for both; on a screen the terms stand in for a license that is not known, and say so.
    let both = args.format == Format::Csv;
    let license: &[&str] = if both { &["license", "terms"] } else { &["license"] };
    let header = [&["id", "name", "access"], license, &["released", "parameters", "scores"]].concat();
    let mut rows = Rows::new(&header, &[header.len() - 2, header.len() - 1]);
    for m in &listed {
        // A model that is not given out has neither.
        let unknown = if m.access == Access::Closed.as_str() { "" } else { "unknown" };
        let named = |what: Option<&str>| what.unwrap_or(unknown).to_owned();
        let license = match (m.license, m.terms) {
            _ if both => vec![named(m.license), named(m.terms)],
            (None, Some(terms)) => vec![format!("terms: {terms}")],
            (license, _) => vec![named(license)],
        };
        let released = m.released.clone().unwrap_or_else(|| "unknown".into());
        let parameters = m.parameters_total.map_or_else(|| "unknown".into(), billions);
        let head = [m.id, m.name, m.access].map(str::to_owned).to_vec();
        rows.cells.push([head, license, vec![released, parameters, m.scores.to_string()]].concat());
    }
    let mut text = rows.render(args.format, &screen)?;
    if args.format == Format::Text {
        let _ = writeln!(text, "{}", count(listed.len(), "model"));
    }
    Ok(Answer::plain(text))
}

fn billions(parameters: u64) -> String {
    format!("{:.1}B", parameters as f64 / 1e9)
}

/// One fact with where it comes from.
#[derive(Serialize)]
struct Fact {
    what: String,
    value: String,
    note: String,
    source: String,
    source_title: String,
    source_date: Option<String>,
}

fn show(catalog: &Catalog, id: &ModelId, format: Format, screen: Screen) -> anyhow::Result<Answer> {
    let Some(model) = catalog.model(id) else { bail!("'{id}' is not in the catalog") };
    let facts = facts_of(catalog, model);
    if format == Format::Json {
        let all = serde_json::json!({"id": id, "name": model.name, "facts": facts});
        return Ok(Answer::plain(json(&all)?));
    }
    let mut rows = Rows::new(&["", "value", "note", "source", "taken"], &[]);
    for f in &facts {
        let taken = f.source_date.clone().unwrap_or_default();
        rows.cells.push(vec![f.what.clone(), f.value.clone(), f.note.clone(), f.source_title.clone(), taken]);
    }
    let table = rows.render(format, &screen)?;
    let title = screen.bold(&format!("{} ({id})\n", model.name));
    Ok(Answer::plain(if format == Format::Text { title + &table } else { table }))
}

fn facts_of(catalog: &Catalog, model: &Model) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut push = |what: &str, value: String, note: String, source: &str| {
        let known = catalog.source(source);
        facts.push(Fact {
            what: what.into(),
            value,
            note,
            source: source.into(),
            source_title: known.map_or_else(|| source.to_owned(), |s| s.title.clone()),
            source_date: known.and_then(|s| s.retrieved).map(format_date),
        });
    };
    let none = String::new;
    if let Some(lab) = catalog.lab_of(model) {
        push("lab", lab.name.clone(), lab.country.clone(), "catalog");
    }
    push("access", model.access.to_string(), model.access_reason.clone(), &model.access_source);
    if let Some(terms) = model.terms {
        push("terms", terms.to_string(), none(), &model.access_source);
    }
    if let Some(f) = &model.license {
        push("license", f.value.clone(), none(), &f.source);
    }
    if let Some(f) = &model.released {
        push("released", f.value.to_string(), format!("known to the {}", f.value.precision.as_str()), &f.source);
    }
    for f in catalog.other_release_dates(&model.id) {
        push("released", f.value.to_string(), "another source".into(), &f.source);
    }
    if let Some(f) = &model.parameters_total {
        push("parameters", billions(f.value), f.value.to_string(), &f.source);
    }
    if let Some(f) = &model.parameters_active {
        push("parameters, active", billions(f.value), f.value.to_string(), &f.source);
    }
    if let Some(f) = &model.context {
        push("context", f.value.to_string(), "tokens".into(), &f.source);
    }
    if let Some(source) = &model.modalities_source {
        push(
            "modalities",
            format!("{} to {}", model.modalities_in.join(", "), model.modalities_out.join(", ")),
            none(),
            source,
        );
    }
    if let Some(f) = &model.weights {
        push("weights", f.value.clone(), none(), &f.source);
    }
    if let Some((price, _)) = price_on(catalog, &model.id, catalog.index_snapshot_date()) {
        let note = format!("{}, USD per million tokens, 3 in : 1 out", price.provider);
        push("price", price.blended.to_string(), note, "catalog");
    }
    for p in catalog.prices_of(&model.id) {
        let since = p.starts.map_or_else(|| "from the start".to_owned(), |d| format!("from {}", format_date(d)));
        let note = [Some(since), p.note.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        push(&format!("price at {}", p.provider), format!("{} in, {} out", p.input, p.output), note, &p.source);
    }
    for s in catalog.all_scores().iter().filter(|s| s.model == model.id) {
        let name = catalog.benchmark(&s.benchmark).map_or(s.benchmark.as_str(), |b| b.name.as_str());
        let n = s.n.map(|n| format!("n = {n}"));
        let note = [s.configuration.clone(), n, s.harness.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        push(name, format!("{:.1} %", 100.0 * s.value), note, &s.source);
    }
    facts
}

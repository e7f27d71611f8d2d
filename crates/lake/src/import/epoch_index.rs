//! A folder with the inputs and scores of the Epoch AI capabilities index, as epoch.ai publishes them.
//!
//! `eci_benchmarks.csv` becomes results, `eci_scores.csv` becomes models. The index values themselves are not taken: they
//! are what this program computes. The dataset is named by the date in `FETCHED.txt`, or else by its content.

use std::collections::BTreeSet;

use super::csv_table::CsvTable;
use super::{Imported, Input, Sniff};
use crate::LakeError;
use crate::schema::{ModelRow, ResultRow};
use crate::writer::Staged;

const SCORES: &str = "eci_scores.csv";
const BENCHMARKS: &str = "eci_benchmarks.csv";
const FETCHED: &str = "FETCHED.txt";

/// The files of the folder that are read; the first must be there for the folder to be recognised.
pub(super) const FILES: [&str; 3] = [BENCHMARKS, SCORES, FETCHED];

pub(super) fn sniff(input: &Input) -> Sniff {
    if input.head().is_none() {
        let found = [BENCHMARKS, SCORES].map(|name| input.file_of_folder(name).is_some());
        return match found {
            [true, true] => Sniff::Yes,
            [true, false] => Sniff::Near("the folder of an Epoch AI index lacks eci_scores.csv; add it"),
            [false, true] => Sniff::Near("the folder of an Epoch AI index lacks eci_benchmarks.csv; add it"),
            [false, false] => Sniff::No,
        };
    }
    let header = input.csv_header();
    let has = |name: &str| header.iter().any(|column| column == name);
    if (has("performance") && has("benchmark_id")) || (has("eci") && has("Model accessibility")) {
        return Sniff::Near("this is one file of an Epoch AI index; give the folder that holds it");
    }
    Sniff::No
}

pub(super) fn import(input: &Input, staged: &mut Staged) -> Result<Imported, LakeError> {
    let dataset = dataset(input);
    let mut left_out = Vec::new();
    let results = results(input, &dataset, &mut left_out)?;
    let models = models(input, &dataset, &mut left_out)?;
    let known: BTreeSet<&str> = models.iter().map(|m| m.name.as_str()).collect();
    let unknown: BTreeSet<&str> = results.iter().map(|r| r.model.as_str()).filter(|m| !known.contains(m)).collect();
    let mut notes = Vec::new();
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.into_iter().collect();
        notes.push(format!("{SCORES} does not describe {}", names.join(", ")));
    }
    staged.results(&results)?;
    staged.models(&models)?;
    Ok(Imported { dataset, columns_left_out: left_out, notes, run: None })
}

fn results(input: &Input, dataset: &str, left_out: &mut Vec<String>) -> Result<Vec<ResultRow>, LakeError> {
    let mut table = open(input, BENCHMARKS)?;
    let [model, benchmark, performance] = table.require(["model", "benchmark", "performance"])?;
    let version = table.optional("model_version");
    let optimized = table.optional("optimized");
    let benchmark_date = table.optional("benchmark_release_date");
    let model_date = table.optional("date");
    let source = table.optional("source");
    left_out.extend(table.left_out().into_iter().map(|name| format!("{BENCHMARKS}: {name}")));
    let mut rows = Vec::new();
    while table.next_row()? {
        let value = |text: &str| text.trim().parse().ok().filter(|x| (0.0..=1.0).contains(x));
        rows.push(ResultRow {
            dataset: dataset.to_owned(),
            row: rows.len() as u64,
            model: table.required_text(model),
            model_version: table.text(version),
            configuration: None,
            benchmark: table.required_text(benchmark),
            value: table.required(performance, "a score from 0 to 1", value).unwrap_or_default(),
            n: None,
            date: None,
            source: table.text(source),
            harness: None,
            optimized: table.parse(optimized, "True or False", flag),
            model_release_date: table.day(model_date),
            benchmark_release_date: table.day(benchmark_date),
        });
    }
    table.finish()?;
    Ok(rows)
}

fn models(input: &Input, dataset: &str, left_out: &mut Vec<String>) -> Result<Vec<ModelRow>, LakeError> {
    let mut table = open(input, SCORES)?;
    let [name, accessibility, access, date] =
        table.require(["Model", "Model accessibility", "Accessibility group", "date"])?;
    let lab = table.optional("Organization");
    let country = table.optional("Country (of organization)");
    left_out.extend(table.left_out().into_iter().map(|name| format!("{SCORES}: {name}")));
    let mut rows = Vec::new();
    let mut names = BTreeSet::new();
    while table.next_row()? {
        let row = ModelRow {
            dataset: dataset.to_owned(),
            name: table.required_text(name),
            lab: table.text(lab),
            country: table.text(country),
            access: table.text(access),
            accessibility: table.text(accessibility),
            release_date: table.day(date),
        };
        if table.row_is_good() && !names.insert(row.name.clone()) {
            table.bad(name, "a model that no other row describes");
        }
        rows.push(row);
    }
    table.finish()?;
    Ok(rows)
}

fn open<'a>(input: &'a Input, name: &str) -> Result<CsvTable<&'a [u8]>, LakeError> {
    CsvTable::open(&input.path().join(name), input.file_of_folder(name).unwrap_or_default())
}

fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// `epoch-index-2026-08-11` from a line such as `fetched: 2026-08-11 21:33:05Z`, else the start of the content hash.
fn dataset(input: &Input) -> String {
    let fetched = input.file_of_folder(FETCHED).map(String::from_utf8_lossy).unwrap_or_default();
    let date = fetched
        .lines()
        .find_map(|line| line.strip_prefix("fetched:"))
        .and_then(|rest| rest.trim().get(..10))
        .filter(|date| weighbridge_core::parse_date(date).is_ok());
    format!("epoch-index-{}", date.unwrap_or(&input.id()[..12]))
}

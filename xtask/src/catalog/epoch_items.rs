//! Epoch AI's per-sample results, packed as one letter a sample (see `weighbridge_catalog`'s `samples.rs`).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use weighbridge_catalog::{schema, split_configuration};
use weighbridge_core::parse_date;

use super::build::Builder;
use super::input::{self, Record};
use super::output::Output;

const SOURCE: &str = "epoch-evaluations";
const SETS: [&str; 5] = [
    "epoch_chess_puzzles",
    "epoch_frontiermath_public",
    "epoch_gpqa_diamond",
    "epoch_simpleqa_verified",
    "epoch_swebench_verified",
];

/// One run: what all its records state, and its letters by epoch and sample.
struct Run {
    cells: [String; 6],
    output_tokens: Option<u64>,
    letters: BTreeMap<u32, BTreeMap<String, char>>,
}

pub(crate) fn add(data: &Path, build: &mut Builder, output: &mut Output) -> Result<()> {
    let mut totals = BTreeMap::new();
    for row in input::csv(&data.join("reference/epoch_inspect_items/runs.csv"))? {
        let tokens = |column| row.get(column).map(str::to_owned);
        let cells = [tokens("input_tokens")?, tokens("output_tokens")?, tokens("reasoning_tokens")?];
        totals.insert(row.get("run_id")?.to_owned(), cells);
    }
    for set in SETS {
        add_set(set, &data.join(format!("items/{set}.csv.gz")), &totals, build, output)?;
    }
    Ok(())
}

fn add_set(
    set: &str,
    path: &Path,
    totals: &BTreeMap<String, [String; 3]>,
    build: &mut Builder,
    output: &mut Output,
) -> Result<()> {
    let mut samples: BTreeMap<String, String> = BTreeMap::new();
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    for row in input::csv(path)? {
        samples.insert(row.get("item_id")?.to_owned(), row.get("group")?.to_owned());
        read_record(&row, &mut runs)?;
    }
    let positions = samples.iter().enumerate().map(|(at, (id, group))| [at.to_string(), id.clone(), group.clone()]);
    output.csv(&format!("samples/{set}.samples.csv"), schema::SAMPLES, positions)?;

    let mut rows = Vec::new();
    let mut outcomes = Vec::new();
    for (id, run) in &runs {
        let [label, route, date, grader, dataset_size, _] = &run.cells;
        let day = (!date.is_empty()).then(|| parse_date(date)).transpose()?;
        let model = build.find(SOURCE, split_configuration(label).0, day).unwrap_or_default();
        let counted = run.output_tokens.map(|n| n.to_string()).unwrap_or_default();
        let [input, output, reasoning] =
            totals.get(id).cloned().unwrap_or_else(|| [String::new(), counted, String::new()]);
        let epochs = run.letters.len().to_string();
        let cells = [id, label, &model, route, date, grader, dataset_size, &epochs, &input, &output, &reasoning];
        rows.push(cells.map(Clone::clone));
        for (epoch, letters) in &run.letters {
            let text: String = samples.keys().map(|sample| letters.get(sample).copied().unwrap_or('.')).collect();
            outcomes.push([id.clone(), epoch.to_string(), text]);
        }
    }
    output.csv(&format!("samples/{set}.runs.csv"), schema::RUNS, rows)?;
    output.csv(&format!("samples/{set}.outcomes.csv"), schema::OUTCOMES, outcomes)
}

fn read_record(row: &Record, runs: &mut BTreeMap<String, Run>) -> Result<()> {
    let columns = ["model", "model_route", "date", "grader", "dataset_size", "benchmark"];
    let mut cells: [String; 6] = Default::default();
    for (cell, column) in cells.iter_mut().zip(columns) {
        row.get(column)?.clone_into(cell);
    }
    let empty = || Run { cells: cells.clone(), output_tokens: None, letters: BTreeMap::new() };
    let run = runs.entry(row.get("run_id")?.to_owned()).or_insert_with(empty);
    if run.cells != cells {
        bail!("{}: the records of a run differ: {cells:?} and {:?}", row.place, run.cells);
    }
    let letter = match (row.get("score")?, row.get("label")?) {
        ("1", "C") => '1',
        ("0", "I") => '0',
        ("0", "N") => 'n',
        ("", "") => 'm',
        (score, label) => bail!("{}: score '{score}' with label '{label}' is new", row.place),
    };
    let epoch = row.get("epoch")?.parse().with_context(|| format!("{}: epoch", row.place))?;
    if run.letters.entry(epoch).or_default().insert(row.get("item_id")?.to_owned(), letter).is_some() {
        bail!("{}: the sample stands twice in its run and epoch", row.place);
    }
    if let Some(tokens) = row.number("output_tokens")? {
        *run.output_tokens.get_or_insert(0) += tokens as u64;
    }
    Ok(())
}

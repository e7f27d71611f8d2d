//! Per-sample scores as CSV: one row a sample, with the columns that `import --help` and the reference page list.
//!
//! A blank score is a sample without a score, never a zero; what became of it is taken from `label` where that says so.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_core::{SampleRow, SampleState};

use super::csv_table::CsvTable;
use super::{Imported, Input, Sniff, stem};
use crate::LakeError;
use crate::schema::ModelRow;
use crate::writer::Staged;

const REQUIRED: [&str; 6] = ["benchmark", "item_id", "model", "open_or_closed", "score", "group"];
const SCORE: &str = "a score from 0 to 1, or blank where the sample has none";
/// Different labels that a note counts one by one.
const LABELS: usize = 12;

pub(super) fn sniff(input: &Input) -> Sniff {
    let header = input.csv_header();
    let has = |name: &str| header.iter().any(|column| column == name);
    if header.len() == 1 && header[0].contains("item_id") {
        return Sniff::Near("the columns of a CSV file must be separated by commas");
    }
    let known = REQUIRED.iter().filter(|name| has(name)).count();
    if known >= 4 || (has("item_id") && has("score")) { Sniff::Yes } else { Sniff::No }
}

pub(super) fn import(input: &Input, staged: &mut Staged) -> Result<Imported, LakeError> {
    let mut table = CsvTable::open(input.path(), input.reader()?)?;
    let [benchmark, sample, model, access, score, group] = table.require(REQUIRED)?;
    let label = table.optional("label");
    let run = table.optional("run_id");
    let epoch = table.optional("epoch");
    let grader = table.optional("grader");
    let cost = table.optional("cost_usd");
    let tokens = table.optional("output_tokens");
    let chars = ["output_chars", "model_chars"].into_iter().find_map(|name| table.optional(name));
    let seconds = table.optional("seconds");
    let date = table.optional("date");
    let size = table.optional("dataset_size");
    let left_out = table.left_out();

    let mut models: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    let mut last_model = None;
    let mut labels: BTreeMap<String, u64> = BTreeMap::new();
    while table.next_row()? {
        let label = table.text(label);
        // NaN is outside of every range.
        let score = table.parse(score, SCORE, |text| number(text).filter(|score| *score <= 1.0));
        let row = SampleRow {
            benchmark: table.required_text(benchmark),
            model: table.required_text(model),
            run: table.text(run),
            sample: table.required_text(sample),
            epoch: table.parse(epoch, "a whole number from 1", positive).unwrap_or(1),
            group: table.text(group),
            state: if score.is_some() { SampleState::Scored } else { state_of_label(label.as_deref()) },
            score,
            grader: table.text(grader),
            cost_usd: table.measurement(cost, number),
            output_tokens: table.measurement(tokens, count),
            output_chars: table.measurement(chars, count),
            seconds: table.measurement(seconds, number),
            date: table.day(date),
            dataset_size: table.parse(size, "a whole number from 1", positive),
        };
        let access = table.text(access);
        if !table.row_is_good() {
            continue;
        }
        staged.sample(&row)?;
        if let (Some(label), Some(_)) = (label, row.score) {
            let known = labels.len() < LABELS || labels.contains_key(&label);
            *labels.entry(if known { label } else { "other".to_owned() }).or_default() += 1;
        }
        let stated = Some((row.model, access));
        if stated != last_model {
            models.extend(stated.clone());
            last_model = stated;
        }
    }
    let mut notes = table.notes();
    input.check_unchanged(&table.finish()?)?;

    let dataset = stem(input.path());
    notes.extend(model_and_label_notes(&models, &labels));
    let rows: Vec<ModelRow> = models.into_iter().map(|(name, access)| model_row(&dataset, name, access)).collect();
    staged.models(&rows)?;
    Ok(Imported { dataset, columns_left_out: left_out, notes, run: None })
}

/// What a label says of a sample that has no score; what is not known to mean more is missing.
fn state_of_label(label: Option<&str>) -> SampleState {
    let Some(label) = label else { return SampleState::Missing };
    let label = label.trim().to_ascii_lowercase();
    match label.as_str() {
        "no_answer" | "unparsed" => SampleState::WrongFormat,
        "length" | "max_tokens" => SampleState::Truncated,
        "refusal" | "content_filter" => SampleState::Refused,
        _ => match SampleState::from_name(&label) {
            Some(SampleState::Scored) | None => SampleState::Missing,
            Some(state) => state,
        },
    }
}

/// A finite number from 0.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0)
}

fn count(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn positive(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|n| *n >= 1)
}

fn model_and_label_notes(models: &BTreeSet<(String, Option<String>)>, labels: &BTreeMap<String, u64>) -> Vec<String> {
    let mut notes = Vec::new();
    if !labels.is_empty() {
        let counts: Vec<String> = labels.iter().map(|(label, n)| format!("{label} {n}")).collect();
        notes.push(format!("label: not kept where there is a score ({})", counts.join(", ")));
    }
    let unstated = models.iter().filter(|(_, access)| access.is_none()).map(|(name, _)| name.as_str());
    let unstated: Vec<&str> = unstated.collect();
    if !unstated.is_empty() {
        notes.push(format!("open_or_closed is blank for {}; their access stays unknown", unstated.join(", ")));
    }
    let mut stated: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in models {
        *stated.entry(name).or_default() += 1;
    }
    let both: Vec<&str> = stated.into_iter().filter(|(_, n)| *n > 1).map(|(name, _)| name).collect();
    if !both.is_empty() {
        notes.push(format!("open_or_closed has more than one value for {}", both.join(", ")));
    }
    notes
}

fn model_row(dataset: &str, name: String, access: Option<String>) -> ModelRow {
    ModelRow {
        dataset: dataset.to_owned(),
        name,
        lab: None,
        country: None,
        access,
        accessibility: None,
        release_date: None,
    }
}

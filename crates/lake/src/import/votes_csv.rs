//! Aggregated pairwise votes as CSV: `model_a,model_b,wins_a,wins_b,ties`, one row a pair.

use super::csv_table::CsvTable;
use super::{Imported, Input, Sniff, stem};
use crate::LakeError;
use crate::schema::VoteRow;
use crate::writer::Staged;

const REQUIRED: [&str; 5] = ["model_a", "model_b", "wins_a", "wins_b", "ties"];
const COUNT: &str = "a whole number of votes from 0";

pub(super) fn sniff(input: &Input) -> Sniff {
    let header = input.csv_header();
    let known = REQUIRED.iter().filter(|name| header.iter().any(|column| column == *name)).count();
    if known >= 3 { Sniff::Yes } else { Sniff::No }
}

pub(super) fn import(input: &Input, staged: &mut Staged) -> Result<Imported, LakeError> {
    let mut table = CsvTable::open(input.path(), input.reader()?)?;
    let [model_a, model_b, wins_a, wins_b, ties] = table.require(REQUIRED)?;
    let both_bad = table.optional("both_bad");
    let columns_left_out = table.left_out();
    let dataset = stem(input.path());
    let count = |text: &str| text.trim().parse::<u64>().ok();
    let mut rows = Vec::new();
    while table.next_row()? {
        let row = VoteRow {
            dataset: dataset.clone(),
            model_a: table.required_text(model_a),
            model_b: table.required_text(model_b),
            wins_a: table.required(wins_a, COUNT, count).unwrap_or_default(),
            wins_b: table.required(wins_b, COUNT, count).unwrap_or_default(),
            ties: table.required(ties, COUNT, count).unwrap_or_default(),
            both_bad: table.parse(both_bad, COUNT, count),
        };
        if table.row_is_good() && row.model_a == row.model_b {
            table.bad(model_b, "another model than model_a");
        }
        if table.row_is_good() && row.both_bad.is_some_and(|n| n > row.ties) {
            table.bad(ties, "at least as many as both_bad, which is a part of ties");
        }
        rows.push(row);
    }
    input.check_unchanged(&table.finish()?)?;
    staged.votes(&rows)?;
    Ok(Imported { dataset, columns_left_out, notes: Vec::new(), run: None })
}

//! Aggregated pairwise votes as JSON: `models` (names), `X` (pairs of positions in `models`) and `Y` (for each pair the
//! wins of the first, the wins of the second, the ties, and the ties that called both bad).

use std::io::Read;

use serde::Deserialize;

use super::input::read_error;
use super::{Imported, Input, Sniff, stem};
use crate::LakeError;
use crate::schema::VoteRow;
use crate::writer::Staged;

#[derive(Deserialize)]
struct Votes {
    models: Vec<String>,
    #[serde(rename = "X")]
    pairs: Vec<[usize; 2]>,
    #[serde(rename = "Y")]
    counts: Vec<[u64; 4]>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn sniff(input: &Input) -> Sniff {
    let text = input.head().map(String::from_utf8_lossy).unwrap_or_default();
    let object = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    if object && ["\"models\"", "\"X\"", "\"Y\""].iter().any(|key| text.contains(key)) { Sniff::Yes } else { Sniff::No }
}

pub(super) fn import(input: &Input, staged: &mut Staged) -> Result<Imported, LakeError> {
    let path = input.path();
    let mut reader = input.reader()?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|e| read_error(path, e))?;
    input.check_unchanged(&reader)?;
    let json = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let votes: Votes = serde_json::from_slice(json).map_err(|e| {
        LakeError::input(
            path,
            format!("{e}; expected models (names), X (pairs of positions) and Y (four counts a pair)"),
        )
    })?;
    let dataset = stem(path);
    let rows = rows(&votes, &dataset).map_err(|reason| LakeError::input(path, reason))?;
    staged.votes(&rows)?;
    Ok(Imported { dataset, columns_left_out: votes.others.keys().cloned().collect(), notes: Vec::new(), run: None })
}

fn rows(votes: &Votes, dataset: &str) -> Result<Vec<VoteRow>, String> {
    let Votes { models, pairs, counts, .. } = votes;
    if pairs.len() != counts.len() {
        return Err(format!("X has {} pairs and Y {} rows; they must be as many", pairs.len(), counts.len()));
    }
    if pairs.is_empty() {
        return Err("X has no pairs, so there are no votes".into());
    }
    let mut rows = Vec::with_capacity(pairs.len());
    for (i, (&[a, b], &[wins_a, wins_b, ties, both_bad])) in pairs.iter().zip(counts).enumerate() {
        let (Some(model_a), Some(model_b)) = (models.get(a), models.get(b)) else {
            return Err(format!("X[{i}] is [{a}, {b}], but models has positions 0 to {}", models.len().max(1) - 1));
        };
        if model_a == model_b {
            return Err(format!("X[{i}] pairs '{model_a}' with itself"));
        }
        let ties = ties.checked_add(both_bad).ok_or_else(|| format!("Y[{i}] is larger than any count of votes"))?;
        rows.push(VoteRow {
            dataset: dataset.to_owned(),
            model_a: model_a.clone(),
            model_b: model_b.clone(),
            wins_a,
            wins_b,
            ties,
            both_bad: Some(both_bad),
        });
    }
    Ok(rows)
}

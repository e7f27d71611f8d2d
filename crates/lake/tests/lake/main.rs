//! The lake as a whole, from the outside: one binary, because linking DataFusion is what takes long.

#![expect(clippy::unwrap_used, reason = "a test stops where it meets what it did not expect")]
#![expect(clippy::format_push_string, reason = "test inputs are small")]

mod bad_input;
mod fuzz;
mod reading;
mod reference;
mod safety;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weighbridge_core::{SampleRow, SampleState, SampleStream};
use weighbridge_lake::{Lake, Samples};

/// A new lake in a folder of its own.
fn new_lake() -> (TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open_or_create(&folder.path().join("lake")).unwrap();
    (folder, lake)
}

/// Writes an input file beside the lake.
fn input(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Every file under a folder with its bytes, temporary and lock files left out.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.contains(".weighbridge-lock") {
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A scored row of a small made-up benchmark.
fn row(model: &str, sample: &str, epoch: u32, score: f64) -> SampleRow {
    SampleRow {
        benchmark: "b".into(),
        model: model.into(),
        run: None,
        sample: sample.into(),
        epoch,
        group: None,
        state: SampleState::Scored,
        score: Some(score),
        grader: None,
        cost_usd: None,
        output_tokens: None,
        output_chars: None,
        seconds: None,
        date: None,
        dataset_size: None,
    }
}

/// Sample, epoch and score of every row of a stream, checked to be in strictly ascending order.
fn drain(stream: &mut Samples) -> Vec<(String, u32, Option<f64>)> {
    let mut rows: Vec<(String, u32, Option<f64>)> = Vec::new();
    while let Some(view) = stream.next_sample().unwrap() {
        assert_eq!(view.score.is_some(), view.state == SampleState::Scored);
        let next = (view.sample.to_owned(), view.epoch, view.score);
        if let Some(last) = rows.last() {
            assert!((&last.0, last.1) < (&next.0, next.1), "{last:?} before {next:?}");
        }
        rows.push(next);
    }
    rows
}

/// One number out of a query.
fn number(lake: &Lake, sql: &str) -> f64 {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    let result = lake.sql(&format!("SELECT CAST(({sql}) AS DOUBLE)")).unwrap();
    result.batches[0].column(0).as_primitive::<Float64Type>().value(0)
}

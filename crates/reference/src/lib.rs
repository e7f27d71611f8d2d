//! Finds the reference data that tests compare with, in `../shared` beside the checkout (or where
//! `WEIGHBRIDGE_SHARED` points). For tests only: no crate of the product depends on it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// The path of a file or folder of the reference data, for example `data/reference/se_reference.csv`.
///
/// Returns `None`, after saying so on standard error, where the reference data are absent: the calling test then ends
/// early.
///
/// # Panics
/// The data are absent and the variable `CI` is set: in CI a test that needs them must not pass without them.
#[must_use]
pub fn path(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("WEIGHBRIDGE_SHARED").map_or_else(beside_the_checkout, PathBuf::from);
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    let message = format!("reference data absent: {} does not exist", path.display());
    assert!(std::env::var_os("CI").is_none(), "{message}; CI must have it");
    report_skip(&message);
    None
}

/// The path of open weights that `benches/fetch_models.py` fetches, for example `SmolLM2-135M-Instruct.Q4_1.gguf`: in
/// the folder that `WEIGHBRIDGE_MODELS` names, or in the user's cache.
///
/// Returns `None`, after saying so on standard error, where they are absent: the calling test then ends early.
///
/// # Panics
/// They are absent and the variable `CI` is set.
#[must_use]
pub fn weights(name: &str) -> Option<PathBuf> {
    let found = optional_weights(name);
    let absent = found.is_none() && std::env::var_os("CI").is_some();
    assert!(!absent, "weights absent: {name}; CI must have them, from benches/fetch_models.py");
    found
}

/// Like [`weights`], for those that the gate does not fetch: absent in CI too is no failure.
#[must_use]
pub fn optional_weights(name: &str) -> Option<PathBuf> {
    let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let folder = set("WEIGHBRIDGE_MODELS").or_else(|| Some(cache()?.join("weighbridge/models")));
    let path = folder.map(|folder| folder.join(name)).filter(|path| path.exists());
    if path.is_none() {
        report_skip(&format!("weights absent: {name}; 'python3 benches/fetch_models.py' fetches them"));
    }
    path
}

#[expect(clippy::print_stderr, reason = "a skipped check must be seen, and this crate serves tests only")]
fn report_skip(message: &str) {
    eprintln!("SKIPPED: {message}");
}

fn beside_the_checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared")
}

/// The rows of a CSV file (plain or `.gz`), each as (column, value) pairs in column order.
///
/// # Panics
/// The file cannot be read or is not CSV: a test cannot go on without it.
#[must_use]
#[expect(clippy::expect_used, reason = "a test stops where its reference cannot be read")]
pub fn read_csv(path: &Path) -> Vec<Vec<(String, String)>> {
    let file = File::open(path).expect("reference file opens");
    let reader: Box<dyn Read> =
        if path.extension().is_some_and(|e| e == "gz") { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(reader);
    let header = csv.headers().expect("reference file has a header").clone();
    csv.records()
        .map(|record| {
            let record = record.expect("reference row parses");
            header
                .iter()
                .map(|h| h.trim_start_matches('\u{feff}').to_owned())
                .zip(record.iter().map(str::to_owned))
                .collect()
        })
        .collect()
}

/// The value of `column` in a row of [`read_csv`].
///
/// # Panics
/// The row has no such column.
#[must_use]
#[expect(clippy::panic, reason = "a test stops where its reference has another shape")]
pub fn field<'a>(row: &'a [(String, String)], column: &str) -> &'a str {
    row.iter()
        .find(|(name, _)| name == column)
        .map_or_else(|| panic!("reference row has no column '{column}'"), |(_, value)| value.as_str())
}

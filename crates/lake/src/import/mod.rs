//! Importers, one format a file, and how the right one is found.
//!
//! The format is found from content, never from the name: each importer looks at the first bytes of a file or at the files
//! of a folder. [`IMPORTERS`] is the list that detection and the reference page go by.

mod csv_table;
mod epoch_index;
mod input;
mod run_log;
mod samples_csv;
mod votes_csv;
mod votes_json;

use std::path::Path;

use crate::LakeError;
use crate::writer::Staged;

pub use csv_table::{BadValue, Problems};
pub(crate) use input::Input;

/// A format that can be imported.
pub struct Importer {
    /// Name in commit records and reports.
    pub name: &'static str,
    /// Raised when the same input would give other rows.
    pub version: u32,
    /// What the input must hold, for the reference page and for the error on an unknown format.
    pub needs: &'static str,
    sniff: fn(&Input) -> Sniff,
    import: fn(&Input, &mut Staged) -> Result<Imported, LakeError>,
}

/// Every importer, in the order in which they are asked.
pub const IMPORTERS: &[Importer] = &[
    Importer {
        name: "run-log",
        version: 1,
        needs: "log of a run: of weighbridge, lm-evaluation-harness, Inspect, Every Eval Ever, HELM, promptfoo, SWE-bench \
                or AlpacaEval",
        sniff: run_log::sniff,
        import: run_log::import,
    },
    Importer {
        name: "samples-csv",
        version: 1,
        needs: "CSV with the columns benchmark, item_id, model, open_or_closed, score, group; one row a sample",
        sniff: samples_csv::sniff,
        import: samples_csv::import,
    },
    Importer {
        name: "votes-csv",
        version: 1,
        needs: "CSV with the columns model_a, model_b, wins_a, wins_b, ties; one row a pair",
        sniff: votes_csv::sniff,
        import: votes_csv::import,
    },
    Importer {
        name: "votes-json",
        version: 1,
        needs: "JSON object with models (names), X (pairs of positions), Y (counts: wins a, wins b, ties, both bad)",
        sniff: votes_json::sniff,
        import: votes_json::import,
    },
    Importer {
        name: "epoch-index",
        version: 1,
        needs: "folder with eci_benchmarks.csv and eci_scores.csv of the Epoch AI capabilities index",
        sniff: epoch_index::sniff,
        import: epoch_index::import,
    },
];

/// What an importer thinks of an input.
pub(crate) enum Sniff {
    /// Another format.
    No,
    /// This format, to judge by its beginning.
    Yes,
    /// Not importable like this; what to do instead.
    Near(&'static str),
}

/// What an importer says beside the rows that it staged.
pub(crate) struct Imported {
    pub(crate) dataset: String,
    pub(crate) columns_left_out: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Id of the run, where the input is a log that may still grow: a later import of it takes the place of this one.
    pub(crate) run: Option<String>,
}

impl Importer {
    pub(crate) fn run(&self, input: &Input, staged: &mut Staged) -> Result<Imported, LakeError> {
        let imported = (self.import)(input, staged)?;
        staged.finish()?;
        Ok(imported)
    }
}

/// The importer for an input.
pub(crate) fn importer_for(input: &Input) -> Result<&'static Importer, LakeError> {
    for importer in IMPORTERS {
        match (importer.sniff)(input) {
            Sniff::No => {}
            Sniff::Yes => return Ok(importer),
            Sniff::Near(advice) => return Err(LakeError::input(input.path(), advice)),
        }
    }
    Err(LakeError::UnknownFormat(input.path().to_owned()))
}

/// The list of formats as text, one a line.
pub(crate) fn known_formats() -> String {
    let lines: Vec<String> = IMPORTERS.iter().map(|i| format!("  {:<12} {}", i.name, i.needs)).collect();
    lines.join("\n")
}

/// File name without its folder and endings: `x/epoch_gpqa.csv.gz` gives `epoch_gpqa`.
fn stem(path: &Path) -> String {
    let mut name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    for ending in [".gz", ".zst", ".csv", ".jsonl", ".json", ".eval", ".txt"] {
        if let Some(rest) = name.strip_suffix(ending)
            && !rest.is_empty()
        {
            name = rest.to_owned();
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_named_by_its_file() {
        for (path, name) in
            [("x/epoch_gpqa.csv.gz", "epoch_gpqa"), ("votes.json", "votes"), ("plain", "plain"), (".csv", ".csv")]
        {
            assert_eq!(stem(Path::new(path)), name);
        }
    }
}

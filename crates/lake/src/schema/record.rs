//! The two JSON files of a lake: `lake.json`, and the commit record of one import.
//!
//! A part that no commit record names does not exist for a reader. Neither file holds a time of writing: the same input
//! gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::Date;
use weighbridge_core::{SampleRow, StateCounts};

use super::Table;

/// The content of `lake.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeFile {
    /// Version of the tables and commit records in this lake.
    pub schema_version: u32,
}

/// The commit record of one import, `imports/<id>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// Version of this record and of the parts that it names.
    pub schema_version: u32,
    /// BLAKE3 of the decompressed input, 64 hexadecimal digits.
    pub id: String,
    /// Name of the importer.
    pub format: String,
    /// Version of the importer.
    pub format_version: u32,
    /// Name of the file or folder that was imported, without its path.
    pub source: String,
    /// What the rows are listed under: the date of an index folder, or the file name without its endings.
    pub dataset: String,
    /// The parts that the import added to each table.
    pub tables: BTreeMap<Table, Vec<PartRecord>>,
    /// What the samples table gained, so that listing it needs no scan.
    pub sample_sets: Vec<SampleSet>,
    /// Columns of the source that have no place in the tables, and were left out.
    pub columns_left_out: Vec<String>,
    /// What a reader of the numbers should know, one sentence each.
    pub notes: Vec<String>,
}

impl ImportRecord {
    /// Rows that the import added to a table.
    #[must_use]
    pub fn rows(&self, table: Table) -> u64 {
        self.parts(table).iter().map(|part| part.rows).sum()
    }

    /// Parts that the import added to a table.
    #[must_use]
    pub fn parts(&self, table: Table) -> &[PartRecord] {
        self.tables.get(&table).map_or(&[], Vec::as_slice)
    }
}

/// One Parquet file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// File name within the folder of the table: the start of the BLAKE3 of its bytes.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Sort key of the first and of the last row; samples only.
    pub range: Option<(PartKey, PartKey)>,
}

/// The sort key of a row of the samples table; its order is the order of the parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartKey {
    /// Benchmark.
    pub benchmark: String,
    /// Model.
    pub model: String,
    /// Run; unknown sorts first.
    pub run: Option<String>,
    /// Sample id.
    pub sample: String,
    /// Repeat, from 1.
    pub epoch: u32,
}

impl PartKey {
    /// What the key says of the run: benchmark, model and run.
    #[must_use]
    pub fn run_key(&self) -> (&str, &str, Option<&str>) {
        (&self.benchmark, &self.model, self.run.as_deref())
    }
}

/// The samples of one model on one benchmark in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSet {
    /// Benchmark as the source names it.
    pub benchmark: String,
    /// Model as the source names it.
    pub model: String,
    /// Run; `None` where the source has one run a model.
    pub run: Option<String>,
    /// Rows by what became of the sample, duplicates included.
    pub states: StateCounts,
    /// The highest repeat.
    pub epochs: u32,
    /// First day of the run, where known.
    pub first_date: Option<Date>,
    /// Last day of the run, where known.
    pub last_date: Option<Date>,
    /// Every grader that is named.
    pub graders: BTreeSet<String>,
    /// Every size that the run states for its dataset; more than one means that versions are mixed.
    pub dataset_sizes: BTreeSet<u32>,
}

impl SampleSet {
    /// A set without rows, for the run that `row` belongs to.
    #[must_use]
    pub fn empty(row: &SampleRow) -> Self {
        Self {
            benchmark: row.benchmark.clone(),
            model: row.model.clone(),
            run: row.run.clone(),
            states: StateCounts::default(),
            epochs: 0,
            first_date: None,
            last_date: None,
            graders: BTreeSet::new(),
            dataset_sizes: BTreeSet::new(),
        }
    }

    /// Rows in all states together, duplicates included.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.states.total()
    }

    /// Rows that carry a score, duplicates included.
    #[must_use]
    pub const fn scored(&self) -> u64 {
        self.states.scored
    }

    /// What tells the set from others: benchmark, model and run.
    #[must_use]
    pub fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.benchmark, &self.model, self.run.as_deref())
    }

    /// True when the row belongs to this set.
    #[must_use]
    pub fn holds(&self, row: &SampleRow) -> bool {
        self.model == row.model && self.run == row.run && self.benchmark == row.benchmark
    }

    /// Counts a row that belongs to this set.
    pub fn add(&mut self, row: &SampleRow) {
        self.states.add(row.state, 1);
        self.epochs = self.epochs.max(row.epoch);
        if let Some(date) = row.date {
            self.first_date = Some(self.first_date.map_or(date, |first| first.min(date)));
            self.last_date = Some(self.last_date.map_or(date, |last| last.max(date)));
        }
        if let Some(grader) = &row.grader
            && !self.graders.contains(grader)
        {
            self.graders.insert(grader.clone());
        }
        self.dataset_sizes.extend(row.dataset_size);
    }

    /// Adds what another import knows of the same set.
    pub fn merge(&mut self, other: &Self) {
        for state in weighbridge_core::SampleState::ALL {
            self.states.add(state, other.states.get(state));
        }
        self.epochs = self.epochs.max(other.epochs);
        self.first_date = earliest(self.first_date, other.first_date);
        self.last_date = self.last_date.max(other.last_date);
        self.graders.extend(other.graders.iter().cloned());
        self.dataset_sizes.extend(&other.dataset_sizes);
    }
}

fn earliest(a: Option<Date>, b: Option<Date>) -> Option<Date> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, None) | (None, known) => known,
    }
}

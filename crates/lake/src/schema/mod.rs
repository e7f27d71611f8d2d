//! The tables of a lake: their columns, units and sort order, in one version.
//!
//! [`COLUMNS`](Table::columns) is the one list: the Arrow schema, the reference page and the golden test come from it.
//! A change here that an older program could misread raises [`SCHEMA_VERSION`].

mod record;
mod rows;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

pub use record::{ImportRecord, LakeFile, PartKey, PartRecord, SampleSet};
pub(crate) use rows::days_of;
pub use rows::{ModelRow, PriceRow, ResultRow, VoteRow};

/// Version of the tables and of the commit records. A lake with a higher one is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// A table of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Aggregate scores: one model on one benchmark.
    Results,
    /// Per-sample scores.
    Samples,
    /// Counts of pairwise votes.
    Votes,
    /// Models as a source describes them.
    Models,
    /// Prices per provider and day.
    Prices,
}

/// What a column holds, and how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// UTF-8 text that repeats from row to row, stored as a dictionary.
    Label,
    /// 64-bit float, always finite.
    Float,
    /// Unsigned 64-bit count.
    Count,
    /// Unsigned 32-bit count.
    Small,
    /// Calendar day.
    Day,
    /// True or false.
    Flag,
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in SQL.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null. Null always means unknown.
    pub nullable: bool,
    /// Meaning and unit.
    pub meaning: &'static str,
}

const fn must(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, nullable: false, meaning }
}

const fn may(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, nullable: true, meaning }
}

const DATASET: Column = must("dataset", Kind::Text, "import that the row came with, as `lake` lists it");

const RESULTS: &[Column] = &[
    DATASET,
    must("row", Kind::Count, "position of the row in its source, from 0"),
    must("model", Kind::Text, "model as the source names it"),
    may("model_version", Kind::Text, "the snapshot or settings that were run, as the source names them"),
    may("configuration", Kind::Text, "effort, thinking budget, quantisation or scaffold"),
    must("benchmark", Kind::Text, "benchmark as the source names it"),
    must("value", Kind::Float, "score as a fraction, 0 to 1"),
    may("n", Kind::Count, "samples behind the score"),
    may("date", Kind::Day, "day of the result"),
    may("source", Kind::Text, "who published the score"),
    may("harness", Kind::Text, "program that ran the benchmark"),
    may("optimized", Kind::Flag, "whether the source marks the benchmark as one that labs optimise for"),
    may("model_release_date", Kind::Day, "release day of the model, as the source of the score gives it"),
    may("benchmark_release_date", Kind::Day, "release day of the benchmark"),
];

const SAMPLES: &[Column] = &[
    must("benchmark", Kind::Label, "benchmark as the source names it"),
    must("model", Kind::Label, "model as the source names it, configuration suffix included"),
    may("run", Kind::Label, "run of the model; null where the source has one run a model"),
    must("sample", Kind::Text, "sample id within the benchmark"),
    must("epoch", Kind::Small, "the k-th repeat of the sample, from 1"),
    may("group", Kind::Label, "cluster of related samples (subject, repository); in SQL write it in double quotes"),
    must("state", Kind::Label, "scored, wrong_format, truncated, refused, provider_error, harness_error or missing"),
    may("score", Kind::Float, "score, 0 to 1; present exactly when state is scored"),
    may("grader", Kind::Label, "model that graded the answer"),
    may("cost_usd", Kind::Float, "US dollars that the answer cost"),
    may("output_tokens", Kind::Count, "output tokens of the answer"),
    may("output_chars", Kind::Count, "characters of the answer"),
    may("seconds", Kind::Float, "wall seconds of the answer"),
    may("date", Kind::Day, "day of the run"),
    may("dataset_size", Kind::Small, "samples in the dataset as the run states it, not as many as were scored"),
];

const VOTES: &[Column] = &[
    DATASET,
    must("model_a", Kind::Text, "first model of the pair"),
    must("model_b", Kind::Text, "second model of the pair"),
    must("wins_a", Kind::Count, "votes for model_a"),
    must("wins_b", Kind::Count, "votes for model_b"),
    must("ties", Kind::Count, "votes for neither, those for both bad included"),
    may("both_bad", Kind::Count, "of the ties, those that called both answers bad"),
];

const MODELS: &[Column] = &[
    DATASET,
    must("name", Kind::Text, "model as the source names it"),
    may("lab", Kind::Text, "organisation that made it"),
    may("country", Kind::Text, "country of the lab"),
    may("access", Kind::Text, "who may hold the weights, in the words of the source"),
    may("accessibility", Kind::Text, "terms of access in detail, in the words of the source"),
    may("release_date", Kind::Day, "day of release"),
];

const PRICES: &[Column] = &[
    DATASET,
    must("model", Kind::Text, "model as the source names it"),
    must("provider", Kind::Text, "who sells it"),
    may("input", Kind::Float, "US dollars per million input tokens"),
    may("cached_input", Kind::Float, "US dollars per million input tokens read from a cache"),
    may("output", Kind::Float, "US dollars per million output tokens"),
    may("batch_input", Kind::Float, "US dollars per million input tokens in batch mode"),
    may("batch_output", Kind::Float, "US dollars per million output tokens in batch mode"),
    may("date", Kind::Day, "day on which the price held"),
    may("source", Kind::Text, "who published the price"),
];

impl Table {
    /// Every table, in the order of listings.
    pub const ALL: [Self; 5] = [Self::Results, Self::Samples, Self::Votes, Self::Models, Self::Prices];

    /// Name in SQL and in the folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Samples => "samples",
            Self::Votes => "votes",
            Self::Models => "models",
            Self::Prices => "prices",
        }
    }

    /// The columns, in order.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Results => RESULTS,
            Self::Samples => SAMPLES,
            Self::Votes => VOTES,
            Self::Models => MODELS,
            Self::Prices => PRICES,
        }
    }

    /// The columns by which the rows of every part are sorted: ascending, byte order, null first.
    #[must_use]
    pub const fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Samples => &["benchmark", "model", "run", "sample", "epoch"],
            _ => &[],
        }
    }

    /// The Arrow schema of the columns.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns().iter().map(|c| Field::new(c.name, c.kind.data_type(), c.nullable)).collect();
        Arc::new(Schema::new(fields))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Kind {
    /// The Arrow type that stores it.
    #[must_use]
    pub fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Label => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Float => DataType::Float64,
            Self::Count => DataType::UInt64,
            Self::Small => DataType::UInt32,
            Self::Day => DataType::Date32,
            Self::Flag => DataType::Boolean,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Label => "text (dictionary)",
            Self::Float => "f64",
            Self::Count => "u64",
            Self::Small => "u32",
            Self::Day => "date",
            Self::Flag => "bool",
        }
    }
}

/// The schema as a Markdown page: one table of columns a table.
#[must_use]
pub fn reference_page() -> String {
    let mut lines = vec![format!("# Tables of the lake, schema version {SCHEMA_VERSION}")];
    for table in Table::ALL {
        lines.push(format!("\n## {table}\n"));
        if !table.sort_columns().is_empty() {
            lines.push(format!("Every part is sorted by {}.\n", table.sort_columns().join(", ")));
        }
        lines.push("| column | type | null | meaning |\n|---|---|---|---|".to_owned());
        lines.extend(table.columns().iter().map(|column| {
            let null = if column.nullable { "unknown" } else { "never" };
            format!("| {} | {} | {null} | {} |", column.name, column.kind.name(), column.meaning)
        }));
    }
    lines.join("\n") + "\n"
}

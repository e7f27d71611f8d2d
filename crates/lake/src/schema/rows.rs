//! Rows of the small tables as Rust values, and their Arrow form in both directions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Date32Array, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::error::ArrowError;
use time::Date;

use super::Table;

/// One row of the results table: one model on one benchmark, as a source published it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultRow {
    /// Import that the row came with.
    pub dataset: String,
    /// Position in the source, from 0.
    pub row: u64,
    /// Model as the source names it.
    pub model: String,
    /// Snapshot or settings that were run.
    pub model_version: Option<String>,
    /// Effort, thinking budget, quantisation or scaffold.
    pub configuration: Option<String>,
    /// Benchmark as the source names it.
    pub benchmark: String,
    /// Score as a fraction, 0 to 1.
    pub value: f64,
    /// Samples behind the score.
    pub n: Option<u64>,
    /// Day of the result.
    pub date: Option<Date>,
    /// Who published the score.
    pub source: Option<String>,
    /// Program that ran the benchmark.
    pub harness: Option<String>,
    /// Whether labs optimise for the benchmark, as the source judges.
    pub optimized: Option<bool>,
    /// Release day of the model.
    pub model_release_date: Option<Date>,
    /// Release day of the benchmark.
    pub benchmark_release_date: Option<Date>,
}

/// One row of the models table: a model as a source describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelRow {
    /// Import that the row came with.
    pub dataset: String,
    /// Model as the source names it.
    pub name: String,
    /// Organisation that made it.
    pub lab: Option<String>,
    /// Country of the lab.
    pub country: Option<String>,
    /// Who may hold the weights, in the words of the source.
    pub access: Option<String>,
    /// Terms of access in detail, in the words of the source.
    pub accessibility: Option<String>,
    /// Day of release.
    pub release_date: Option<Date>,
}

/// One row of the votes table: how often each of two models won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRow {
    /// Import that the row came with.
    pub dataset: String,
    /// First model of the pair.
    pub model_a: String,
    /// Second model of the pair.
    pub model_b: String,
    /// Votes for the first.
    pub wins_a: u64,
    /// Votes for the second.
    pub wins_b: u64,
    /// Votes for neither, those for both bad included.
    pub ties: u64,
    /// Of the ties, those that called both answers bad.
    pub both_bad: Option<u64>,
}

/// One row of the prices table: what a provider asks for a model, in US dollars per million tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct PriceRow {
    /// Import that the row came with.
    pub dataset: String,
    /// Model as the source names it.
    pub model: String,
    /// Who sells it.
    pub provider: String,
    /// Input tokens.
    pub input: Option<f64>,
    /// Input tokens read from a cache.
    pub cached_input: Option<f64>,
    /// Output tokens.
    pub output: Option<f64>,
    /// Input tokens in batch mode.
    pub batch_input: Option<f64>,
    /// Output tokens in batch mode.
    pub batch_output: Option<f64>,
    /// Day on which the price held.
    pub date: Option<Date>,
    /// Who published the price.
    pub source: Option<String>,
}

impl PriceRow {
    pub(crate) fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        batch(
            Table::Prices,
            vec![
                text(rows, |r| Some(r.dataset.as_str())),
                text(rows, |r| Some(r.model.as_str())),
                text(rows, |r| Some(r.provider.as_str())),
                float(rows, |r| r.input),
                float(rows, |r| r.cached_input),
                float(rows, |r| r.output),
                float(rows, |r| r.batch_input),
                float(rows, |r| r.batch_output),
                day(rows, |r| r.date),
                text(rows, |r| r.source.as_deref()),
            ],
        )
    }
}

impl ResultRow {
    pub(crate) fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        batch(
            Table::Results,
            vec![
                text(rows, |r| Some(r.dataset.as_str())),
                count(rows, |r| Some(r.row)),
                text(rows, |r| Some(r.model.as_str())),
                text(rows, |r| r.model_version.as_deref()),
                text(rows, |r| r.configuration.as_deref()),
                text(rows, |r| Some(r.benchmark.as_str())),
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.value))),
                count(rows, |r| r.n),
                day(rows, |r| r.date),
                text(rows, |r| r.source.as_deref()),
                text(rows, |r| r.harness.as_deref()),
                Arc::new(rows.iter().map(|r| r.optimized).collect::<BooleanArray>()),
                day(rows, |r| r.model_release_date),
                day(rows, |r| r.benchmark_release_date),
            ],
        )
    }

    pub(crate) fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let columns = Columns(batch);
        let values: &Float64Array = columns.get("value")?;
        let optimized: &BooleanArray = columns.get("optimized")?;
        (0..batch.num_rows())
            .map(|i| {
                Ok(Self {
                    dataset: columns.text("dataset", i)?.unwrap_or_default(),
                    row: columns.count("row", i)?.unwrap_or_default(),
                    model: columns.text("model", i)?.unwrap_or_default(),
                    model_version: columns.text("model_version", i)?,
                    configuration: columns.text("configuration", i)?,
                    benchmark: columns.text("benchmark", i)?.unwrap_or_default(),
                    value: values.value(i),
                    n: columns.count("n", i)?,
                    date: columns.day("date", i)?,
                    source: columns.text("source", i)?,
                    harness: columns.text("harness", i)?,
                    optimized: optimized.is_valid(i).then(|| optimized.value(i)),
                    model_release_date: columns.day("model_release_date", i)?,
                    benchmark_release_date: columns.day("benchmark_release_date", i)?,
                })
            })
            .collect()
    }
}

impl ModelRow {
    pub(crate) fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        batch(
            Table::Models,
            vec![
                text(rows, |r| Some(r.dataset.as_str())),
                text(rows, |r| Some(r.name.as_str())),
                text(rows, |r| r.lab.as_deref()),
                text(rows, |r| r.country.as_deref()),
                text(rows, |r| r.access.as_deref()),
                text(rows, |r| r.accessibility.as_deref()),
                day(rows, |r| r.release_date),
            ],
        )
    }

    pub(crate) fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let columns = Columns(batch);
        (0..batch.num_rows())
            .map(|i| {
                Ok(Self {
                    dataset: columns.text("dataset", i)?.unwrap_or_default(),
                    name: columns.text("name", i)?.unwrap_or_default(),
                    lab: columns.text("lab", i)?,
                    country: columns.text("country", i)?,
                    access: columns.text("access", i)?,
                    accessibility: columns.text("accessibility", i)?,
                    release_date: columns.day("release_date", i)?,
                })
            })
            .collect()
    }
}

impl VoteRow {
    pub(crate) fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        batch(
            Table::Votes,
            vec![
                text(rows, |r| Some(r.dataset.as_str())),
                text(rows, |r| Some(r.model_a.as_str())),
                text(rows, |r| Some(r.model_b.as_str())),
                count(rows, |r| Some(r.wins_a)),
                count(rows, |r| Some(r.wins_b)),
                count(rows, |r| Some(r.ties)),
                count(rows, |r| r.both_bad),
            ],
        )
    }

    pub(crate) fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError> {
        let columns = Columns(batch);
        (0..batch.num_rows())
            .map(|i| {
                Ok(Self {
                    dataset: columns.text("dataset", i)?.unwrap_or_default(),
                    model_a: columns.text("model_a", i)?.unwrap_or_default(),
                    model_b: columns.text("model_b", i)?.unwrap_or_default(),
                    wins_a: columns.count("wins_a", i)?.unwrap_or_default(),
                    wins_b: columns.count("wins_b", i)?.unwrap_or_default(),
                    ties: columns.count("ties", i)?.unwrap_or_default(),
                    both_bad: columns.count("both_bad", i)?,
                })
            })
            .collect()
    }
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(table.schema(), columns)
}

fn text<'a, R>(rows: &'a [R], get: impl Fn(&'a R) -> Option<&'a str>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<StringArray>())
}

fn count<R>(rows: &[R], get: impl Fn(&R) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<UInt64Array>())
}

fn float<R>(rows: &[R], get: impl Fn(&R) -> Option<f64>) -> ArrayRef {
    Arc::new(rows.iter().map(get).collect::<Float64Array>())
}

fn day<R>(rows: &[R], get: impl Fn(&R) -> Option<Date>) -> ArrayRef {
    Arc::new(rows.iter().map(|row| get(row).map(days_of)).collect::<Date32Array>())
}

/// Days since 1970-01-01, the form in which Arrow and Parquet store a date.
pub(crate) fn days_of(date: Date) -> i32 {
    date.to_julian_day() - EPOCH_JULIAN_DAY
}

fn date_of(days: i32) -> Option<Date> {
    Date::from_julian_day(days.checked_add(EPOCH_JULIAN_DAY)?).ok()
}

/// Julian day number of 1970-01-01.
const EPOCH_JULIAN_DAY: i32 = 2_440_588;

/// Columns of a batch by name; a missing or differently typed one is an error, not a panic.
struct Columns<'a>(&'a RecordBatch);

impl<'a> Columns<'a> {
    fn get<A: Array + 'static>(&self, name: &str) -> Result<&'a A, ArrowError> {
        self.0
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref::<A>())
            .ok_or_else(|| ArrowError::SchemaError(format!("column '{name}' is absent or of another type")))
    }

    fn text(&self, name: &str, i: usize) -> Result<Option<String>, ArrowError> {
        let array: &StringArray = self.get(name)?;
        Ok(array.is_valid(i).then(|| array.value(i).to_owned()))
    }

    fn count(&self, name: &str, i: usize) -> Result<Option<u64>, ArrowError> {
        let array: &UInt64Array = self.get(name)?;
        Ok(array.is_valid(i).then(|| array.value(i)))
    }

    fn day(&self, name: &str, i: usize) -> Result<Option<Date>, ArrowError> {
        let array: &Date32Array = self.get(name)?;
        Ok(if array.is_valid(i) { date_of(array.value(i)) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_core::parse_date;

    use super::*;

    #[test]
    fn a_day_survives_both_directions() {
        for text in ["1970-01-01", "2026-08-11", "1969-12-31", "2024-02-29"] {
            let date = parse_date(text).unwrap();
            assert_eq!(date_of(days_of(date)), Some(date));
        }
        assert_eq!(days_of(parse_date("1970-01-02").unwrap()), 1);
        assert_eq!(date_of(i32::MAX), None);
    }

    #[test]
    fn rows_survive_both_directions() {
        let model = ModelRow {
            dataset: "d".into(),
            name: "m".into(),
            lab: None,
            country: Some("France".into()),
            access: Some("open".into()),
            accessibility: None,
            release_date: parse_date("2025-01-31").ok(),
        };
        let rows = [model];
        assert_eq!(ModelRow::from_batch(&ModelRow::to_batch(&rows).unwrap()).unwrap(), rows);
        let rows = [VoteRow {
            dataset: "d".into(),
            model_a: "a".into(),
            model_b: "b".into(),
            wins_a: 1,
            wins_b: 2,
            ties: 3,
            both_bad: Some(1),
        }];
        assert_eq!(VoteRow::from_batch(&VoteRow::to_batch(&rows).unwrap()).unwrap(), rows);
    }
}

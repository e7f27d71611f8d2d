//! Gathers sample rows in compact form and gives them back sorted, as Arrow batches.
//!
//! Text that repeats is kept once; a row then takes about 150 bytes, which bounds the memory of an import to
//! [`PART_ROWS`] of them, whatever the length of the input.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::array::{UInt32Array, UInt64Array};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use weighbridge_core::{SampleRow, SampleState};

use crate::schema::{PartKey, Table, days_of};

/// Rows of one part of the samples table.
pub(crate) const PART_ROWS: usize = 1 << 20;
/// Bytes of sample ids in one part: offsets are 32 bits wide.
const PART_ID_BYTES: usize = 1 << 28;
/// Rows of one batch that goes to the Parquet writer.
const BATCH_ROWS: usize = 1 << 14;

/// Rows of one part to be.
#[derive(Default)]
pub(crate) struct SampleSorter {
    benchmarks: Labels,
    models: Labels,
    runs: Labels,
    groups: Labels,
    graders: Labels,
    ids: String,
    rows: Vec<Row>,
}

/// A row with its text replaced by positions in the tables of the sorter.
struct Row {
    benchmark: u32,
    model: u32,
    run: Option<u32>,
    sample: (u32, u32),
    epoch: u32,
    group: Option<u32>,
    state: SampleState,
    score: Option<f64>,
    grader: Option<u32>,
    cost_usd: Option<f64>,
    output_tokens: Option<u64>,
    output_chars: Option<u64>,
    seconds: Option<f64>,
    date: Option<i32>,
    dataset_size: Option<u32>,
}

impl SampleSorter {
    pub(crate) fn push(&mut self, row: &SampleRow) {
        let start = self.ids.len() as u32;
        self.ids.push_str(&row.sample);
        self.rows.push(Row {
            benchmark: self.benchmarks.position(&row.benchmark),
            model: self.models.position(&row.model),
            run: row.run.as_deref().map(|run| self.runs.position(run)),
            sample: (start, self.ids.len() as u32),
            epoch: row.epoch,
            group: row.group.as_deref().map(|group| self.groups.position(group)),
            state: row.state,
            score: row.score,
            grader: row.grader.as_deref().map(|grader| self.graders.position(grader)),
            cost_usd: row.cost_usd,
            output_tokens: row.output_tokens,
            output_chars: row.output_chars,
            seconds: row.seconds,
            date: row.date.map(days_of),
            dataset_size: row.dataset_size,
        });
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= PART_ROWS || self.ids.len() >= PART_ID_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows in the order of the samples table; equal keys keep the order in which they came.
    pub(crate) fn sorted(&self) -> SortedSamples<'_> {
        let benchmarks = self.benchmarks.ranks();
        let models = self.models.ranks();
        let runs = self.runs.ranks();
        let key = |i: u32| {
            let row = &self.rows[i as usize];
            let run = row.run.map(|run| runs[run as usize]);
            let labels = (benchmarks[row.benchmark as usize], models[row.model as usize], run);
            (labels, self.id(row), row.epoch)
        };
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        if !order.is_sorted_by_key(|&i| key(i)) {
            order.sort_by(|&a, &b| key(a).cmp(&key(b)));
        }
        let labels = [&self.benchmarks, &self.models, &self.runs, &self.groups, &self.graders].map(Labels::values);
        SortedSamples { sorter: self, order, labels }
    }

    fn id(&self, row: &Row) -> &str {
        &self.ids[row.sample.0 as usize..row.sample.1 as usize]
    }
}

/// The rows of a [`SampleSorter`] in order.
pub(crate) struct SortedSamples<'a> {
    sorter: &'a SampleSorter,
    order: Vec<u32>,
    labels: [ArrayRef; 5],
}

impl SortedSamples<'_> {
    /// Sort keys of the first and the last row.
    pub(crate) fn range(&self) -> Option<(PartKey, PartKey)> {
        Some((self.key(*self.order.first()?), self.key(*self.order.last()?)))
    }

    fn key(&self, i: u32) -> PartKey {
        let row = &self.sorter.rows[i as usize];
        PartKey {
            benchmark: self.sorter.benchmarks.text(row.benchmark).to_owned(),
            model: self.sorter.models.text(row.model).to_owned(),
            run: row.run.map(|run| self.sorter.runs.text(run).to_owned()),
            sample: self.sorter.id(row).to_owned(),
            epoch: row.epoch,
        }
    }

    /// The rows as batches of the samples schema.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        self.order.chunks(BATCH_ROWS).map(|chunk| self.batch(chunk))
    }

    fn batch(&self, chunk: &[u32]) -> Result<RecordBatch, ArrowError> {
        let rows = || chunk.iter().map(|&i| &self.sorter.rows[i as usize]);
        let [benchmarks, models, runs, groups, graders] = &self.labels;
        let states: ArrayRef = Arc::new(StringArray::from_iter_values(SampleState::ALL.map(SampleState::as_str)));
        RecordBatch::try_new(
            Table::Samples.schema(),
            vec![
                labels(rows().map(|r| Some(r.benchmark)), benchmarks)?,
                labels(rows().map(|r| Some(r.model)), models)?,
                labels(rows().map(|r| r.run), runs)?,
                Arc::new(StringArray::from_iter_values(rows().map(|r| self.sorter.id(r)))),
                Arc::new(UInt32Array::from_iter_values(rows().map(|r| r.epoch))),
                labels(rows().map(|r| r.group), groups)?,
                labels(rows().map(|r| Some(r.state as u32)), &states)?,
                Arc::new(rows().map(|r| r.score).collect::<Float64Array>()),
                labels(rows().map(|r| r.grader), graders)?,
                Arc::new(rows().map(|r| r.cost_usd).collect::<Float64Array>()),
                Arc::new(rows().map(|r| r.output_tokens).collect::<UInt64Array>()),
                Arc::new(rows().map(|r| r.output_chars).collect::<UInt64Array>()),
                Arc::new(rows().map(|r| r.seconds).collect::<Float64Array>()),
                Arc::new(rows().map(|r| r.date).collect::<Date32Array>()),
                Arc::new(rows().map(|r| r.dataset_size).collect::<UInt32Array>()),
            ],
        )
    }
}

fn labels(keys: impl Iterator<Item = Option<u32>>, values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let keys: Int32Array = keys.map(|key| key.map(u32::cast_signed)).collect();
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(values))?))
}

/// Texts, each kept once and known by its position.
#[derive(Default)]
struct Labels {
    positions: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
    /// Most rows repeat the label of the row before.
    last: u32,
}

impl Labels {
    fn position(&mut self, text: &str) -> u32 {
        if self.texts.get(self.last as usize).is_some_and(|last| **last == *text) {
            return self.last;
        }
        self.last = if let Some(&known) = self.positions.get(text) {
            known
        } else {
            let position = self.texts.len() as u32;
            self.positions.insert(text.into(), position);
            self.texts.push(text.into());
            position
        };
        self.last
    }

    fn text(&self, position: u32) -> &str {
        &self.texts[position as usize]
    }

    /// Rank of every position in the byte order of the texts.
    fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_unstable_by_key(|&i| &self.texts[i as usize]);
        let mut ranks = vec![0; order.len()];
        for (rank, &position) in order.iter().enumerate() {
            ranks[position as usize] = rank as u32;
        }
        ranks
    }

    fn values(&self) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(&self.texts))
    }
}

//! Samples of one run as a stream, in bounded memory and without copying text.
//!
//! Parts are sorted when they are written. Parts whose key ranges do not overlap are read one after another, parts that
//! do overlap are merged by DataFusion; nothing is sorted again.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::array::{DictionaryArray, PrimitiveArray};
use arrow::datatypes::{Float64Type, Int32Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, ident, lit};
use futures::StreamExt;
use tokio::runtime::Runtime;
use weighbridge_core::{SampleState, SampleStream, SampleView, StreamError};

use crate::LakeError;
use crate::damage::{check_present, name_damaged};
use crate::schema::{PartKey, PartRecord, Table};
use crate::session::{provider, session, sort_order};
use crate::store::LakeLocation;

/// Columns that a stream reads, beside the ones that it filters and orders by.
const COLUMNS: [&str; 7] = ["sample", "epoch", "group", "state", "score", "cost_usd", "output_chars"];

/// One run to be read: benchmark, model, run.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) benchmark: String,
    pub(crate) model: String,
    pub(crate) run: Option<String>,
}

/// A part with the source that it was imported from, for error messages.
pub(crate) type NamedPart = (PartRecord, String);

/// The samples of one run in ascending order of (sample, epoch), byte order of the id.
///
/// Where imports overlap, one row of each (sample, epoch) is given: a scored row before one without a score, then the
/// lower score, so that the choice depends on the rows alone. [`Self::duplicates`] counts the others.
pub struct Samples {
    runtime: Arc<Runtime>,
    location: LakeLocation,
    wanted: Wanted,
    /// Groups of overlapping parts that are still to be read, last first.
    waiting: Vec<Vec<NamedPart>>,
    reading: Vec<NamedPart>,
    stream: Option<SendableRecordBatchStream>,
    batch: Option<Arc<Batch>>,
    row: usize,
    /// The row that the last call gave out.
    kept: Option<Position>,
    duplicates: u64,
    conflicts: u64,
}

/// One row of a batch that is kept alive by it.
#[derive(Clone)]
struct Position {
    batch: Arc<Batch>,
    row: usize,
}

impl Samples {
    pub(crate) fn new(runtime: Arc<Runtime>, location: LakeLocation, wanted: Wanted, parts: Vec<NamedPart>) -> Self {
        let mut waiting = overlapping_groups(parts, &wanted);
        waiting.reverse();
        Self {
            runtime,
            location,
            wanted,
            waiting,
            reading: Vec::new(),
            stream: None,
            batch: None,
            row: 0,
            kept: None,
            duplicates: 0,
            conflicts: 0,
        }
    }

    /// Rows left out so far because another row had the same sample and epoch.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Of the duplicates so far, those that disagreed in state or score with the row that was given.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// The physical plan of each group of parts that is still to be read, as text.
    ///
    /// # Errors
    /// A plan cannot be made, for example because a part is damaged.
    pub fn explain(&self) -> Result<Vec<String>, LakeError> {
        self.waiting
            .iter()
            .rev()
            .map(|parts| {
                let plan = self.runtime.block_on(async { self.query(parts)?.create_physical_plan().await });
                let plan = plan.map_err(|e| name_damaged(&self.location, Table::Samples, parts, e))?;
                Ok(datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string())
            })
            .collect()
    }

    fn query(&self, parts: &[NamedPart]) -> datafusion::error::Result<DataFrame> {
        let context = session(&self.location, Some(parts.len()))?;
        let files = parts.iter().map(|(part, _)| part.file.as_str());
        let table = context.read_table(provider(&self.location, Table::Samples, files)?)?;
        let run = match &self.wanted.run {
            Some(run) => ident("run").eq(lit(run.as_str())),
            None => ident("run").is_null(),
        };
        table
            .filter(
                ident("benchmark")
                    .eq(lit(self.wanted.benchmark.as_str()))
                    .and(ident("model").eq(lit(self.wanted.model.as_str())))
                    .and(run),
            )?
            .sort(sort_order(Table::Samples))?
            .select_columns(&COLUMNS)
    }

    /// The next row, duplicates included.
    fn advance(&mut self) -> Result<Option<Position>, LakeError> {
        loop {
            if let Some(batch) = &self.batch
                && self.row < batch.rows
            {
                self.row += 1;
                return Ok(Some(Position { batch: Arc::clone(batch), row: self.row - 1 }));
            }
            self.batch = None;
            let Some(batch) = self.next_batch()? else { return Ok(None) };
            self.batch = Some(Arc::new(Batch::new(&batch).map_err(|e| self.named(e.into()))?));
            self.row = 0;
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        loop {
            if let Some(stream) = &mut self.stream {
                match self.runtime.block_on(stream.next()) {
                    Some(Ok(batch)) => return Ok(Some(batch)),
                    Some(Err(error)) => return Err(self.named(error)),
                    None => self.stream = None,
                }
            }
            let Some(parts) = self.waiting.pop() else { return Ok(None) };
            self.reading = parts;
            self.runtime.block_on(check_present(&self.location, Table::Samples, &self.reading))?;
            let opened = self.runtime.block_on(async { self.query(&self.reading)?.execute_stream().await });
            self.stream = Some(opened.map_err(|e| self.named(e))?);
        }
    }

    fn named(&self, error: datafusion::error::DataFusionError) -> LakeError {
        name_damaged(&self.location, Table::Samples, &self.reading, error)
    }

    fn next_kept(&mut self) -> Result<bool, LakeError> {
        let Some(mut kept) = self.advance()? else {
            self.kept = None;
            return Ok(false);
        };
        while let Some(next) = self.advance()? {
            if !next.same_sample(&kept) {
                self.row -= 1;
                break;
            }
            self.duplicates += 1;
            self.conflicts += u64::from(!next.agrees(&kept));
            if next.precedes(&kept) {
                kept = next;
            }
        }
        self.kept = Some(kept);
        Ok(true)
    }
}

impl SampleStream for Samples {
    fn next_sample(&mut self) -> Result<Option<SampleView<'_>>, StreamError> {
        self.next_kept()?;
        Ok(self.kept.as_ref().map(Position::view))
    }
}

/// Sorts the parts by where they begin and puts those that overlap together, within the run that is wanted.
fn overlapping_groups(mut parts: Vec<NamedPart>, wanted: &Wanted) -> Vec<Vec<NamedPart>> {
    parts.retain(|(part, _)| match &part.range {
        Some((first, last)) => first.run_key() <= wanted.key() && wanted.key() <= last.run_key(),
        None => true,
    });
    parts.sort_by(|(a, _), (b, _)| a.range.cmp(&b.range));
    let mut groups: Vec<Vec<NamedPart>> = Vec::new();
    let mut end: Option<PartKey> = None;
    for (part, from) in parts {
        let range = part.range.clone();
        let apart = matches!((&range, &end), (Some((first, _)), Some(end)) if first > end);
        let last = range.map(|(_, last)| last);
        match groups.last_mut() {
            Some(group) if !apart => group.push((part, from)),
            _ => groups.push(vec![(part, from)]),
        }
        end = end.max(last);
    }
    groups
}

impl Wanted {
    pub(crate) fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.benchmark, &self.model, self.run.as_deref())
    }
}

impl Position {
    fn same_sample(&self, other: &Self) -> bool {
        self.batch.epoch.value(self.row) == other.batch.epoch.value(other.row)
            && self.batch.sample.value(self.row) == other.batch.sample.value(other.row)
    }

    fn agrees(&self, other: &Self) -> bool {
        let (a, b) = (self.view(), other.view());
        a.state == b.state && a.score == b.score
    }

    /// A total order of rows with the same key that depends on nothing but their content.
    fn precedes(&self, other: &Self) -> bool {
        let (a, b) = (self.view(), other.view());
        let number = |x: Option<f64>| x.unwrap_or(f64::INFINITY);
        a.state
            .cmp(&b.state)
            .then(number(a.score).total_cmp(&number(b.score)))
            .then(number(a.cost_usd).total_cmp(&number(b.cost_usd)))
            .then(a.output_chars.is_none().cmp(&b.output_chars.is_none()))
            .then(a.output_chars.cmp(&b.output_chars))
            .then(a.group.is_none().cmp(&b.group.is_none()))
            .then(a.group.cmp(&b.group))
            .is_lt()
    }

    fn view(&self) -> SampleView<'_> {
        let (batch, row) = (&*self.batch, self.row);
        SampleView {
            sample: batch.sample.value(row),
            epoch: batch.epoch.value(row),
            group: batch.group.text(row),
            state: batch.states[batch.state[row] as usize],
            score: optional(&batch.score, row),
            cost_usd: optional(&batch.cost_usd, row),
            output_chars: optional(&batch.output_chars, row),
        }
    }
}

fn optional<T: arrow::datatypes::ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

/// A record batch with its columns typed.
struct Batch {
    rows: usize,
    sample: StringArray,
    epoch: UInt32Array,
    group: LabelColumn,
    /// For each row the position of its state in `states`.
    state: Vec<u32>,
    states: Vec<SampleState>,
    score: Float64Array,
    cost_usd: Float64Array,
    output_chars: UInt64Array,
}

/// A dictionary column with its values at hand.
struct LabelColumn {
    keys: PrimitiveArray<Int32Type>,
    values: StringArray,
}

impl Batch {
    fn new(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let [sample, epoch, group, state, score, cost_usd, output_chars] = batch.columns() else {
            return Err(ArrowError::SchemaError(format!(
                "{} columns instead of {}",
                batch.num_columns(),
                COLUMNS.len()
            )));
        };
        let state = LabelColumn::new(state)?;
        let states = state
            .values
            .iter()
            .map(|name| {
                let name = name.unwrap_or_default();
                SampleState::from_name(name)
                    .ok_or_else(|| ArrowError::SchemaError(format!("unknown sample state '{name}'")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            rows: batch.num_rows(),
            sample: sample.as_string_opt::<i32>().ok_or_else(|| wrong_type("sample"))?.clone(),
            epoch: epoch.as_primitive_opt::<UInt32Type>().ok_or_else(|| wrong_type("epoch"))?.clone(),
            group: LabelColumn::new(group)?,
            state: state.keys.values().iter().map(|key| key.cast_unsigned()).collect(),
            states,
            score: score.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong_type("score"))?.clone(),
            cost_usd: cost_usd.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong_type("cost_usd"))?.clone(),
            output_chars: output_chars
                .as_primitive_opt::<UInt64Type>()
                .ok_or_else(|| wrong_type("output_chars"))?
                .clone(),
        })
    }
}

impl LabelColumn {
    fn new(column: &dyn Array) -> Result<Self, ArrowError> {
        let labels: &DictionaryArray<Int32Type> =
            column.as_dictionary_opt::<Int32Type>().ok_or_else(|| wrong_type("a label"))?;
        let values = labels.values().as_string_opt::<i32>().ok_or_else(|| wrong_type("a label"))?;
        Ok(Self { keys: labels.keys().clone(), values: values.clone() })
    }

    fn text(&self, row: usize) -> Option<&str> {
        self.keys.is_valid(row).then(|| self.values.value(self.keys.value(row) as usize))
    }
}

fn wrong_type(column: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column '{column}' is absent or of another type"))
}

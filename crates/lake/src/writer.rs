//! One import in the making: parts under temporary names until the commit record makes them visible.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::NamedTempFile;
use weighbridge_core::{SampleRow, SampleState};

use crate::LakeError;
use crate::schema::{ImportRecord, ModelRow, PartKey, PartRecord, PriceRow, ResultRow, SampleSet, Table, VoteRow};
use crate::sorter::SampleSorter;
use crate::store::{LakeLocation, commit, hash_file, part_path, publish, temporary};

/// Rows of a row group: small enough that one run of a large benchmark is read without its neighbours.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Parts and sample sets of an import that is not committed yet. Dropping it leaves the lake as it was.
pub(crate) struct Staged<'a> {
    location: &'a LakeLocation,
    parts: BTreeMap<Table, Vec<(NamedTempFile, PartRecord)>>,
    sorter: SampleSorter,
    sets: BTreeMap<(String, String, Option<String>), SampleSet>,
    /// The set of the row before: rows of one run stand together in most files.
    open_set: Option<SampleSet>,
}

impl<'a> Staged<'a> {
    pub(crate) fn new(location: &'a LakeLocation) -> Self {
        Self {
            location,
            parts: BTreeMap::new(),
            sorter: SampleSorter::default(),
            sets: BTreeMap::new(),
            open_set: None,
        }
    }

    /// Takes one sample row; a full part is written out.
    pub(crate) fn sample(&mut self, row: &SampleRow) -> Result<(), LakeError> {
        if row.score.map(|score| (0.0..=1.0).contains(&score)) != (row.state == SampleState::Scored).then_some(true) {
            let (sample, model) = (row.sample.clone(), row.model.clone());
            return Err(LakeError::Row { sample, model, state: row.state, score: row.score });
        }
        if !self.open_set.as_ref().is_some_and(|set| set.holds(row)) {
            self.close_set();
            let key = (row.benchmark.clone(), row.model.clone(), row.run.clone());
            self.open_set = Some(self.sets.remove(&key).unwrap_or_else(|| SampleSet::empty(row)));
        }
        if let Some(set) = &mut self.open_set {
            set.add(row);
        }
        self.sorter.push(row);
        if self.sorter.is_full() { self.flush_samples() } else { Ok(()) }
    }

    pub(crate) fn results(&mut self, rows: &[ResultRow]) -> Result<(), LakeError> {
        self.small(Table::Results, ResultRow::to_batch(rows))
    }

    pub(crate) fn models(&mut self, rows: &[ModelRow]) -> Result<(), LakeError> {
        self.small(Table::Models, ModelRow::to_batch(rows))
    }

    pub(crate) fn votes(&mut self, rows: &[VoteRow]) -> Result<(), LakeError> {
        self.small(Table::Votes, VoteRow::to_batch(rows))
    }

    pub(crate) fn prices(&mut self, rows: &[PriceRow]) -> Result<(), LakeError> {
        self.small(Table::Prices, PriceRow::to_batch(rows))
    }

    /// Writes out what is gathered; the last call before [`Self::commit`].
    pub(crate) fn finish(&mut self) -> Result<(), LakeError> {
        self.close_set();
        if self.sorter.is_empty() { Ok(()) } else { self.flush_samples() }
    }

    /// BLAKE3 over the names of the parts, for rows that came from no file.
    pub(crate) fn content_id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (table, parts) in &self.parts {
            for (_, part) in parts {
                hasher.update(part_path(*table, &part.file).as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Gives the parts their names, and then writes the record that makes them visible.
    pub(crate) fn commit(self, mut record: ImportRecord) -> Result<ImportRecord, LakeError> {
        record.sample_sets = self.sets.into_values().collect();
        for (table, parts) in self.parts {
            let mut named = Vec::with_capacity(parts.len());
            for (temp, part) in parts {
                publish(temp, &self.location.on_disk(&part_path(table, &part.file)))?;
                named.push(part);
            }
            record.tables.insert(table, named);
        }
        commit(self.location, &record)?;
        Ok(record)
    }

    fn close_set(&mut self) {
        if let Some(set) = self.open_set.take() {
            self.sets.insert((set.benchmark.clone(), set.model.clone(), set.run.clone()), set);
        }
    }

    fn flush_samples(&mut self) -> Result<(), LakeError> {
        let sorter = std::mem::take(&mut self.sorter);
        let sorted = sorter.sorted();
        self.part(Table::Samples, sorted.range(), sorted.batches())
    }

    fn small(&mut self, table: Table, batch: Result<RecordBatch, ArrowError>) -> Result<(), LakeError> {
        self.part(table, None, std::iter::once(batch))
    }

    fn part(
        &mut self,
        table: Table,
        range: Option<(PartKey, PartKey)>,
        batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<(), LakeError> {
        let folder = self.location.on_disk(&format!("tables/{table}"));
        let mut temp = temporary(&folder)?;
        let rows = write_parquet(table, temp.as_file_mut(), batches)
            .map_err(|e| LakeError::Encode { table: table.name(), reason: e.to_string() })?;
        let hash = hash_file(temp.as_file_mut()).map_err(LakeError::io("read", temp.path()))?;
        let bytes = temp.as_file().metadata().map_err(LakeError::io("read", temp.path()))?.len();
        let part = PartRecord { file: format!("{}.parquet", &hash[..32]), rows, bytes, range };
        self.parts.entry(table).or_default().push((temp, part));
        Ok(())
    }
}

fn write_parquet(
    table: Table,
    file: &mut std::fs::File,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<u64, ParquetError> {
    let mut rows = 0;
    let buffered = BufWriter::new(file);
    let mut writer = ArrowWriter::try_new(buffered, table.schema(), Some(properties(table)?))?;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.into_inner()?.flush()?;
    Ok(rows)
}

fn properties(table: Table) -> Result<WriterProperties, ParquetError> {
    let schema = table.schema();
    let sorting = table
        .sort_columns()
        .iter()
        .map(|name| {
            let column_idx = i32::try_from(schema.index_of(name)?).map_err(|e| ParquetError::External(Box::new(e)))?;
            Ok(SortingColumn { column_idx, descending: false, nulls_first: true })
        })
        .collect::<Result<Vec<_>, ParquetError>>()?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting))
        .build())
}

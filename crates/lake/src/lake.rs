//! A lake as its users see it: import, look, query, stream.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::runtime::Runtime;
use weighbridge_core::SampleRow;

use crate::LakeError;
use crate::damage::{check_present, damage, name_damaged};
use crate::import::{IMPORTERS, Input, importer_for};
use crate::samples::{NamedPart, Samples, Wanted};
use crate::schema::{ImportRecord, ModelRow, PriceRow, ResultRow, SCHEMA_VERSION, SampleSet, Table, VoteRow};
use crate::session::{provider, session};
use crate::store::{self, ImportLock, LakeLocation};
use crate::writer::Staged;

/// Bytes that the result of a query may have in memory.
const MAX_RESULT_BYTES: usize = 256 << 20;

/// An open lake: the imports that were committed when it was opened, and those made through it since.
///
/// Its methods block and have a runtime of their own: call them from a thread that may block, not from async code.
pub struct Lake {
    location: LakeLocation,
    runtime: Arc<Runtime>,
    records: Vec<ImportRecord>,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportReport {
    /// The commit record: what was added under which name, what was left out, what to know.
    pub record: ImportRecord,
    /// True when the lake had the same content before, so that nothing changed.
    pub already_imported: bool,
}

/// What a lake holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeInfo {
    /// Version of the tables.
    pub schema_version: u32,
    /// Commit records.
    pub imports: usize,
    /// For each table: parts, rows and bytes.
    pub tables: BTreeMap<Table, TableInfo>,
}

/// The size of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableInfo {
    /// Parquet files.
    pub parts: usize,
    /// Rows, duplicates included.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The result of a query.
#[derive(Clone, Debug)]
pub struct SqlResult {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
}

impl Lake {
    /// Opens the lake in a folder.
    ///
    /// # Errors
    /// The folder is not a lake, is not readable, or has a newer schema; a commit record is damaged.
    pub fn open(folder: &Path) -> Result<Self, LakeError> {
        let location = LakeLocation::folder(folder)?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().build().map_err(LakeError::io("start threads for", folder))?;
        runtime.block_on(location.check_version())?;
        let records = runtime.block_on(location.records())?;
        Ok(Self { location, runtime: Arc::new(runtime), records })
    }

    /// Opens the lake in a folder, after making one where the folder is new or empty.
    ///
    /// # Errors
    /// As [`Self::open`]; or the folder holds something else, or cannot be written.
    pub fn open_or_create(folder: &Path) -> Result<Self, LakeError> {
        store::create(folder)?;
        Self::open(folder)
    }

    /// Where the lake lies.
    #[must_use]
    pub fn location(&self) -> &LakeLocation {
        &self.location
    }

    /// The commit records, in the order of their ids.
    #[must_use]
    pub fn imports(&self) -> &[ImportRecord] {
        &self.records
    }

    /// Imports a file or folder; the format is found from its content.
    ///
    /// The same content twice changes nothing, unless a part of the first import was damaged or the importer has changed
    /// since: it is then written again.
    ///
    /// # Errors
    /// The format is unknown, or the input is malformed in any row: the lake is then as it was. The lake or the input
    /// cannot be read or written.
    pub fn import(&mut self, input: &Path) -> Result<ImportReport, LakeError> {
        let input = Input::load(input)?;
        let _lock = self.lock()?;
        if let Some(record) = self.intact_import(input.id()) {
            return Ok(ImportReport { record, already_imported: true });
        }
        let importer = importer_for(&input)?;
        let mut staged = Staged::new(&self.location);
        let imported = importer.run(&input, &mut staged)?;
        let id = match &imported.run {
            // The log may have grown since it was last imported: one record a run, and the newest counts.
            Some(run) => blake3::hash(format!("run {run}").as_bytes()).to_hex().to_string(),
            None => input.id().to_owned(),
        };
        let record = staged.commit(ImportRecord {
            schema_version: SCHEMA_VERSION,
            id,
            format: importer.name.to_owned(),
            format_version: importer.version,
            source: input.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            dataset: imported.dataset,
            tables: BTreeMap::new(),
            sample_sets: Vec::new(),
            columns_left_out: imported.columns_left_out,
            notes: imported.notes,
        })?;
        self.reload()?;
        Ok(ImportReport { record, already_imported: false })
    }

    /// Takes a share of the import lock and brings `self.records` up to date.
    fn lock(&mut self) -> Result<ImportLock, LakeError> {
        let read = || self.runtime.block_on(self.location.records());
        let lock = ImportLock::sweep_and_share(&self.location, read)?;
        self.reload()?;
        Ok(lock)
    }

    fn reload(&mut self) -> Result<(), LakeError> {
        self.records = self.runtime.block_on(self.location.records())?;
        Ok(())
    }

    /// The import of that content, where the lake has it by the importer of today, with every part as it was written.
    fn intact_import(&self, id: &str) -> Option<ImportRecord> {
        let record = self.records.iter().find(|record| record.id == id)?;
        if IMPORTERS.iter().any(|importer| importer.name == record.format && importer.version > record.format_version) {
            return None;
        }
        let parts = record.tables.iter().flat_map(|(table, parts)| parts.iter().map(|part| (*table, part)));
        let intact = parts.into_iter().all(|(table, part)| damage(&self.location, table, part).is_none());
        intact.then(|| record.clone())
    }

    /// Tables, rows, bytes and imports, from the commit records alone.
    #[must_use]
    pub fn info(&self) -> LakeInfo {
        let mut tables = BTreeMap::new();
        for table in Table::ALL {
            let mut info = TableInfo::default();
            for (part, _) in self.parts(table) {
                info.parts += 1;
                info.rows += part.rows;
                info.bytes += part.bytes;
            }
            tables.insert(table, info);
        }
        LakeInfo { schema_version: SCHEMA_VERSION, imports: self.records.len(), tables }
    }

    /// Every part of a table once (two imports may share a part), with the source that it came from.
    fn parts(&self, table: Table) -> Vec<NamedPart> {
        let mut seen = BTreeSet::new();
        let parts =
            self.records.iter().flat_map(|r| r.parts(table).iter().map(|part| (part.clone(), r.source.clone())));
        parts.filter(|(part, _)| seen.insert(part.file.clone())).collect()
    }

    /// Every run that the samples table holds, by benchmark, model and run. Counts include duplicates between imports,
    /// which a stream finds.
    #[must_use]
    pub fn sample_sets(&self) -> Vec<SampleSet> {
        let mut sets: BTreeMap<(&str, &str, Option<&str>), SampleSet> = BTreeMap::new();
        for set in self.records.iter().flat_map(|record| &record.sample_sets) {
            sets.entry(set.key()).and_modify(|known| known.merge(set)).or_insert_with(|| set.clone());
        }
        sets.into_values().collect()
    }

    /// The samples of one run as a stream; `run` is `None` where the source has one run a model.
    ///
    /// # Errors
    /// The lake has no such run.
    pub fn open_samples(&self, benchmark: &str, model: &str, run: Option<&str>) -> Result<Samples, LakeError> {
        let wanted = Wanted { benchmark: benchmark.to_owned(), model: model.to_owned(), run: run.map(str::to_owned) };
        let mut sets = self.records.iter().flat_map(|record| &record.sample_sets);
        if !sets.any(|set| set.key() == wanted.key()) {
            let Wanted { benchmark, model, run } = wanted;
            return Err(LakeError::NoSamples { benchmark, model, run });
        }
        Ok(Samples::new(Arc::clone(&self.runtime), self.location.clone(), wanted, self.parts(Table::Samples)))
    }

    /// The rows of the results table that came with a dataset, in the order of their source.
    ///
    /// # Errors
    /// No import, or more than one, has that dataset; a part is damaged.
    pub fn results(&self, dataset: &str) -> Result<Vec<ResultRow>, LakeError> {
        let mut rows = self.rows(Table::Results, dataset, ResultRow::from_batch)?;
        rows.sort_by_key(|row| row.row);
        Ok(rows)
    }

    /// The rows of the models table that came with a dataset, by name.
    ///
    /// # Errors
    /// As [`Self::results`].
    pub fn models(&self, dataset: &str) -> Result<Vec<ModelRow>, LakeError> {
        let mut rows = self.rows(Table::Models, dataset, ModelRow::from_batch)?;
        rows.sort();
        Ok(rows)
    }

    /// The rows of the votes table that came with a dataset, by pair.
    ///
    /// # Errors
    /// As [`Self::results`].
    pub fn votes(&self, dataset: &str) -> Result<Vec<VoteRow>, LakeError> {
        let mut rows = self.rows(Table::Votes, dataset, VoteRow::from_batch)?;
        rows.sort_by(|a, b| (&a.model_a, &a.model_b).cmp(&(&b.model_a, &b.model_b)));
        Ok(rows)
    }

    fn rows<R>(
        &self,
        table: Table,
        dataset: &str,
        decode: fn(&RecordBatch) -> Result<Vec<R>, ArrowError>,
    ) -> Result<Vec<R>, LakeError> {
        let record = self.import_of(table, dataset)?;
        let parts: Vec<NamedPart> =
            record.parts(table).iter().map(|part| (part.clone(), record.source.clone())).collect();
        self.runtime.block_on(check_present(&self.location, table, &parts))?;
        let read = async {
            let context = session(&self.location, None)?;
            let files = record.parts(table).iter().map(|part| part.file.as_str());
            let batches = context.read_table(provider(&self.location, table, files)?)?.collect().await?;
            let rows: Result<Vec<Vec<R>>, ArrowError> = batches.iter().map(decode).collect();
            Ok(rows?.into_iter().flatten().collect())
        };
        self.runtime.block_on(read).map_err(|e| name_damaged(&self.location, table, &parts, e))
    }

    /// The one import of a dataset that has rows in the table. `name@hash` tells imports of one name apart.
    fn import_of(&self, table: Table, dataset: &str) -> Result<&ImportRecord, LakeError> {
        let with_rows = || self.records.iter().filter(|record| record.rows(table) > 0);
        let found: Vec<&ImportRecord> =
            with_rows().filter(|r| r.dataset == dataset || distinct_name(r) == dataset).collect();
        match found[..] {
            [record] => Ok(record),
            [] => {
                let known: BTreeSet<String> = with_rows().map(|record| record.dataset.clone()).collect();
                let known = known.into_iter().collect();
                Err(LakeError::NoDataset { table: table.name(), dataset: dataset.to_owned(), known })
            }
            _ => Err(LakeError::AmbiguousDataset {
                dataset: dataset.to_owned(),
                choices: found.into_iter().map(distinct_name).collect(),
            }),
        }
    }

    /// Runs a query over the tables. Only queries: nothing that would change data, files or settings. Samples that two
    /// imports share stand in the samples table twice.
    ///
    /// # Errors
    /// The text is not SQL that DataFusion understands, or not a query; the result is too large to hold; a part that the
    /// query needs is damaged.
    pub fn sql(&self, text: &str) -> Result<SqlResult, LakeError> {
        self.runtime.block_on(self.run_sql(text))
    }

    async fn run_sql(&self, text: &str) -> Result<SqlResult, LakeError> {
        let context = session(&self.location, None)?;
        self.register_tables(&context)?;
        let plan = context.state().create_logical_plan(text).await.map_err(|e| LakeError::Sql(e.strip_backtrace()))?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|e| LakeError::ReadOnly(e.strip_backtrace()))?;
        for table in scanned_tables(&plan)? {
            check_present(&self.location, table, &self.parts(table)).await?;
        }
        let frame = context.execute_logical_plan(plan).await.map_err(|e| self.query_error(e))?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let mut stream = frame.execute_stream().await.map_err(|e| self.query_error(e))?;
        let mut batches = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|e| self.query_error(e))?;
            bytes += batch.get_array_memory_size();
            if bytes > MAX_RESULT_BYTES {
                return Err(LakeError::ResultTooLarge { limit: MAX_RESULT_BYTES });
            }
            batches.push(batch);
        }
        Ok(SqlResult { schema, batches })
    }

    fn register_tables(&self, context: &SessionContext) -> Result<(), LakeError> {
        for table in Table::ALL {
            let parts = self.parts(table);
            let files = parts.iter().map(|(part, _)| part.file.as_str());
            context.register_table(table.name(), provider(&self.location, table, files)?)?;
        }
        Ok(())
    }

    fn query_error(&self, error: DataFusionError) -> LakeError {
        let mut error = LakeError::from(error);
        for table in Table::ALL {
            if let LakeError::Query(inner) = error {
                error = name_damaged(&self.location, table, &self.parts(table), *inner);
            }
        }
        error
    }
}

/// The tables of the lake that a plan reads, in subqueries too.
fn scanned_tables(plan: &LogicalPlan) -> Result<BTreeSet<Table>, DataFusionError> {
    let mut tables = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.extend(Table::ALL.into_iter().filter(|table| table.name() == scan.table_name.table()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables)
}

fn distinct_name(record: &ImportRecord) -> String {
    format!("{}@{}", record.dataset, &record.id[..8.min(record.id.len())])
}

/// Writes sample rows that come from no file, for example from a generator, in memory that does not grow with them.
///
/// The dataset and the source are both named `label`. The same rows twice change nothing.
///
/// # Errors
/// The lake cannot be written.
pub fn write_samples(
    lake: &mut Lake,
    rows: impl Iterator<Item = SampleRow>,
    label: &str,
) -> Result<ImportReport, LakeError> {
    write_rows(lake, label, |staged| {
        for row in rows {
            staged.sample(&row)?;
        }
        Ok(())
    })
}

/// Rows of the small tables that come from no file, for example from an embedded catalog.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Aggregate scores.
    pub results: Vec<ResultRow>,
    /// Models.
    pub models: Vec<ModelRow>,
    /// Prices.
    pub prices: Vec<PriceRow>,
}

/// Writes facts that come from no file. The dataset and the source are both named `label`; the same facts twice change
/// nothing.
///
/// # Errors
/// The lake cannot be written.
pub fn write_facts(lake: &mut Lake, facts: &Facts, label: &str) -> Result<ImportReport, LakeError> {
    write_rows(lake, label, |staged| {
        staged.results(&facts.results)?;
        staged.models(&facts.models)?;
        staged.prices(&facts.prices)
    })
}

fn write_rows(
    lake: &mut Lake,
    label: &str,
    fill: impl FnOnce(&mut Staged) -> Result<(), LakeError>,
) -> Result<ImportReport, LakeError> {
    let _lock = lake.lock()?;
    let mut staged = Staged::new(&lake.location);
    fill(&mut staged)?;
    staged.finish()?;
    let id = staged.content_id();
    if let Some(record) = lake.intact_import(&id) {
        return Ok(ImportReport { record, already_imported: true });
    }
    let record = staged.commit(ImportRecord {
        schema_version: SCHEMA_VERSION,
        id,
        format: "rows".to_owned(),
        format_version: 1,
        source: label.to_owned(),
        dataset: label.to_owned(),
        tables: BTreeMap::new(),
        sample_sets: Vec::new(),
        columns_left_out: Vec::new(),
        notes: Vec::new(),
    })?;
    lake.reload()?;
    Ok(ImportReport { record, already_imported: false })
}

//! The DataFusion session over a lake.
//!
//! [`session`] is the only place that makes one, so that a Ballista cluster is another body of this function: the plans
//! that the rest of the crate builds are logical plans and do not know where they run.

use std::sync::Arc;

use datafusion::datasource::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::Result;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::SortExpr;
use datafusion::prelude::{SessionConfig, SessionContext, ident};

use crate::schema::Table;
use crate::store::LakeLocation;

/// Memory of one session for sorting, grouping and joining, in bytes. Beyond it DataFusion spills to disk.
pub const MEMORY_LIMIT: usize = 256 << 20;

/// Rows of a batch, where not too many parts are read side by side.
const BATCH_ROWS: usize = 8192;
/// Rows that all batches of a merge together hold at most, so that a merge of many parts stays within the limit.
const MERGE_ROWS: usize = 64 * BATCH_ROWS;

/// A session that reads the parts of a lake. `partitions` bounds how many of them one scan reads side by side; `None`
/// takes the number of cores.
///
/// # Errors
/// The runtime cannot be set up, for example because there is no folder for temporary files.
pub fn session(location: &LakeLocation, partitions: Option<usize>) -> Result<SessionContext> {
    let mut config = SessionConfig::new().with_batch_size(BATCH_ROWS).with_information_schema(true);
    if let Some(partitions) = partitions {
        config = config
            .with_target_partitions(partitions.max(1))
            .with_batch_size((MERGE_ROWS / partitions.max(1)).clamp(256, BATCH_ROWS))
            // A split file would be two partitions out of one sorted run of rows.
            .with_repartition_file_scans(false);
    }
    config.options_mut().execution.parquet.schema_force_view_types = false;
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_LIMIT))).build_arc()?;
    runtime.register_object_store(location.url().as_ref(), Arc::clone(location.store()));
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// The named parts of a table, as one table that queries can read.
pub(crate) fn provider<'a>(
    location: &LakeLocation,
    table: Table,
    files: impl Iterator<Item = &'a str>,
) -> Result<Arc<dyn TableProvider>> {
    let urls = files.map(|file| ListingTableUrl::parse(location.part_url(table, file))).collect::<Result<Vec<_>>>()?;
    if urls.is_empty() {
        return Ok(Arc::new(EmptyTable::new(table.schema())));
    }
    let mut options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let order = sort_order(table);
    if !order.is_empty() {
        options = options.with_file_sort_order(vec![order]);
    }
    let config =
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(table.schema());
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The order in which every part of the table is written.
pub(crate) fn sort_order(table: Table) -> Vec<SortExpr> {
    table.sort_columns().iter().map(|name| ident(*name).sort(true, true)).collect()
}

//! Parquet tables in one folder, queried with DataFusion.
//!
//! A lake is `lake.json` (its schema version), `tables/<table>/<part>.parquet` and `imports/<content hash>.json`, the
//! commit record of one import. Only parts that a commit record names exist for a reader, and the record is written last:
//! an import happens whole or not at all, twice is once, and a lake can be deleted and built again from its sources.

mod cells;
mod damage;
mod error;
mod import;
mod lake;
mod samples;
pub mod schema;
mod session;
mod sorter;
mod store;
mod synthetic;
mod writer;

pub use error::LakeError;
pub use import::{BadValue, IMPORTERS, Importer, Problems};
pub use lake::{Facts, ImportReport, Lake, LakeInfo, SqlResult, TableInfo, write_facts, write_samples};
pub use samples::Samples;
pub use session::{MEMORY_LIMIT, session};
pub use store::LakeLocation;
pub use synthetic::synthetic_samples;

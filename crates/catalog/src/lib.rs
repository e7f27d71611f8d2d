//! Facts with source and date: models, labs, prices, benchmarks, published scores, per-sample results and hardware, and
//! which release a name means.
//!
//! The facts are text files under `catalog/` at the root of the workspace, embedded in the binary; `xtask catalog` makes
//! them. [`Catalog::embedded`] parses all but the per-sample results, which are read run by run.
//!
//! ```
//! let catalog = weighbridge_catalog::Catalog::embedded()?;
//! let found = catalog.resolve("Kimi K3");
//! let model = found.model().and_then(|id| catalog.model(id)).ok_or("unknown model")?;
//! assert_eq!(catalog.lab_of(model).map(|lab| lab.country.as_str()), Some("China"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalog;
mod check;
mod check_hosted;
mod error;
mod files;
mod glob;
mod hosted;
mod identity;
mod offerings;
mod rows;
mod samples;
pub mod schema;
mod table;
mod token_prices;

pub use catalog::Catalog;
pub use check::{Finding, Level, check};
pub use error::CatalogError;
pub use identity::{Names, Pointing, Resolution, normalise, split_configuration};
pub use rows::{Benchmark, Fact, Hardware, Lab, Model, Price, Score, Source};
pub use samples::{PackedSamples, SampleSet, decode_outcome};
pub use table::Place;

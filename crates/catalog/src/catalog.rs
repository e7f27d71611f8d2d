//! The catalog in memory: all rows, and the ways to ask for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use time::Date;
use weighbridge_core::{BenchmarkId, ModelId, ReleaseDate};

use crate::check::Finding;
use crate::error::CatalogError;
use crate::files::{self, Files};
use crate::hosted::{EndpointRow, HostedRow, ProviderRow};
use crate::identity::{Names, Pointing, Resolution};
use crate::offerings::{OfferingRow, Offerings};
use crate::rows::{Benchmark, Fact, Hardware, Lab, Model, Price, Score, Source};
use crate::schema;
use crate::table::{self, Place, Row};

/// Id of the source whose `retrieved` date is the date of the index snapshot.
const INDEX_SOURCE: &str = "epoch-eci";

/// An alias as its row states it.
#[derive(Clone, Debug)]
pub(crate) struct AliasRow {
    pub place: Place,
    pub alias: String,
    pub model: ModelId,
    pub source: String,
}

/// A name that moves, as its row states it. No model: it is not known to what it pointed.
#[derive(Clone, Debug)]
pub(crate) struct MovingRow {
    pub place: Place,
    pub alias: String,
    pub model: Option<ModelId>,
    pub starts: Option<Date>,
    pub source: String,
}

/// A release date that a source states beside the one in `models.csv`.
#[derive(Clone, Debug)]
pub(crate) struct DateRow {
    pub place: Place,
    pub model: ModelId,
    pub released: Fact<ReleaseDate>,
}

/// Facts about models, prices, benchmarks and scores, each with its source.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) files: Files,
    pub(crate) sources: BTreeMap<String, Source>,
    pub(crate) labs: BTreeMap<String, Lab>,
    pub(crate) models: BTreeMap<ModelId, Model>,
    pub(crate) benchmarks: BTreeMap<BenchmarkId, Benchmark>,
    pub(crate) scores: Vec<Score>,
    pub(crate) prices: BTreeMap<ModelId, Vec<Price>>,
    pub(crate) hardware: Vec<Hardware>,
    pub(crate) aliases: Vec<AliasRow>,
    pub(crate) moving: Vec<MovingRow>,
    pub(crate) dates: Vec<DateRow>,
    pub(crate) providers: BTreeMap<String, ProviderRow>,
    /// In the order of the file: the first match counts.
    pub(crate) endpoints: Vec<EndpointRow>,
    pub(crate) hosted: Vec<HostedRow>,
    pub(crate) offerings: Offerings,
    /// Rows whose id another row has already taken; the first one stays.
    pub(crate) duplicates: Vec<Finding>,
    snapshot: Date,
    names: OnceLock<Names>,
}

impl Catalog {
    /// The catalog that is part of this program.
    ///
    /// # Errors
    /// A file does not follow its schema.
    pub fn embedded() -> Result<Self, CatalogError> {
        Self::load(Files::embedded())
    }

    /// The catalog in a folder, for review.
    ///
    /// # Errors
    /// A file is absent or does not follow its schema.
    pub fn from_dir(folder: &Path) -> Result<Self, CatalogError> {
        Self::load(Files::from_dir(folder)?)
    }

    /// The files that make up a catalog, by their names relative to its folder.
    pub fn file_names() -> impl Iterator<Item = &'static str> {
        files::EMBEDDED.iter().map(|(name, _)| *name)
    }

    fn load(files: Files) -> Result<Self, CatalogError> {
        let mut duplicates = Vec::new();
        let sources = keyed(
            read(&files, "sources.csv", schema::SOURCES, Source::read)?,
            |r| (r.place, r.id.clone()),
            &mut duplicates,
        );
        let labs =
            keyed(read(&files, "labs.csv", schema::LABS, Lab::read)?, |r| (r.place, r.id.clone()), &mut duplicates);
        let models = keyed(
            read(&files, "models.csv", schema::MODELS, Model::read)?,
            |r| (r.place, r.id.clone()),
            &mut duplicates,
        );
        let benchmarks = keyed(
            read(&files, "benchmarks.csv", schema::BENCHMARKS, Benchmark::read)?,
            |r| (r.place, r.id.clone()),
            &mut duplicates,
        );
        let providers = keyed(
            read(&files, "providers.csv", schema::PROVIDERS, ProviderRow::read)?,
            |r| (r.place, r.provider.id.clone()),
            &mut duplicates,
        );
        let mut prices: BTreeMap<ModelId, Vec<Price>> = BTreeMap::new();
        for price in read(&files, "prices_", schema::PRICES, Price::read)? {
            prices.entry(price.model.clone()).or_default().push(price);
        }
        for list in prices.values_mut() {
            list.sort_by(|a, b| (&a.provider, a.starts).cmp(&(&b.provider, b.starts)));
        }
        let snapshot = sources.get(INDEX_SOURCE).and_then(|source| source.retrieved).ok_or(CatalogError::NoSnapshot)?;
        Ok(Self {
            scores: read(&files, "scores", schema::SCORES, Score::read)?,
            hardware: read(&files, "hardware.csv", schema::HARDWARE, Hardware::read)?,
            aliases: read(&files, "aliases.csv", schema::ALIASES, AliasRow::read)?,
            moving: read(&files, "moving.csv", schema::MOVING, MovingRow::read)?,
            endpoints: read(&files, "endpoints.csv", schema::ENDPOINTS, EndpointRow::read)?,
            hosted: read(&files, "hosted.csv", schema::HOSTED, HostedRow::read)?,
            offerings: Offerings::new(read(&files, "offerings_", schema::OFFERINGS, OfferingRow::read)?),
            dates: read(&files, "release_dates.csv", schema::RELEASE_DATES, DateRow::read)?,
            sources,
            labs,
            models,
            benchmarks,
            prices,
            providers,
            duplicates,
            snapshot,
            files,
            names: OnceLock::new(),
        })
    }

    /// The day on which the index facts were taken.
    #[must_use]
    pub const fn index_snapshot_date(&self) -> Date {
        self.snapshot
    }

    /// The data set of scores that the index is fitted to.
    #[must_use]
    pub fn index_dataset(&self) -> String {
        format!("{INDEX_SOURCE}-{}", weighbridge_core::format_date(self.snapshot))
    }

    /// Every model, ascending by id.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Model> {
        self.models.values()
    }

    /// The model with that id.
    #[must_use]
    pub fn model(&self, id: &ModelId) -> Option<&Model> {
        self.models.get(id)
    }

    /// Every lab, ascending by id.
    pub fn labs(&self) -> impl ExactSizeIterator<Item = &Lab> {
        self.labs.values()
    }

    /// The lab with that id.
    #[must_use]
    pub fn lab(&self, id: &str) -> Option<&Lab> {
        self.labs.get(id)
    }

    /// The lab of a model.
    #[must_use]
    pub fn lab_of(&self, model: &Model) -> Option<&Lab> {
        self.labs.get(&model.lab)
    }

    /// The source with that id.
    #[must_use]
    pub fn source(&self, id: &str) -> Option<&Source> {
        self.sources.get(id)
    }

    /// Every source, ascending by id.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.sources.values()
    }

    /// Every benchmark, ascending by id.
    pub fn benchmarks(&self) -> impl ExactSizeIterator<Item = &Benchmark> {
        self.benchmarks.values()
    }

    /// The benchmark with that id.
    #[must_use]
    pub fn benchmark(&self, id: &BenchmarkId) -> Option<&Benchmark> {
        self.benchmarks.get(id)
    }

    /// The benchmark with that id, name or alias, whatever the case.
    #[must_use]
    pub fn benchmark_named(&self, name: &str) -> Option<&Benchmark> {
        let same = |text: &str| text.eq_ignore_ascii_case(name);
        self.benchmarks.get(name).or_else(|| {
            self.benchmarks.values().find(|b| same(b.id.as_str()) || same(&b.name) || b.aliases.iter().any(|a| same(a)))
        })
    }

    /// The scores of one data set, in the order of its source.
    pub fn scores<'a>(&'a self, dataset: &'a str) -> impl Iterator<Item = &'a Score> {
        self.scores.iter().filter(move |score| score.dataset == dataset)
    }

    /// The scores of all data sets, in the order of their files.
    pub fn all_scores(&self) -> &[Score] {
        &self.scores
    }

    /// The scores on one benchmark, of every data set.
    pub fn scores_of<'a>(&'a self, benchmark: &'a BenchmarkId) -> impl Iterator<Item = &'a Score> {
        self.scores.iter().filter(move |score| score.benchmark == *benchmark)
    }

    /// What providers ask for a model, by provider and then by the day from which the price holds.
    #[must_use]
    pub fn prices_of(&self, model: &ModelId) -> &[Price] {
        self.prices.get(model).map(Vec::as_slice).unwrap_or_default()
    }

    /// The price of each provider of a model that held on a day, as far as is known; a provider whose first price is known
    /// from a later day only is left out.
    pub fn prices_at<'a>(&'a self, model: &ModelId, day: Date) -> impl Iterator<Item = &'a Price> {
        self.prices_of(model)
            .chunk_by(|a, b| a.provider == b.provider)
            .filter_map(move |history| history.iter().rfind(|price| price.starts.is_none_or(|starts| starts <= day)))
    }

    /// Release dates that other sources state for a model, where they differ from the one of [`Model::released`].
    pub fn other_release_dates<'a>(&'a self, model: &'a ModelId) -> impl Iterator<Item = &'a Fact<ReleaseDate>> {
        self.dates.iter().filter(move |row| row.model == *model).map(|row| &row.released)
    }

    /// Accelerators with their cost.
    #[must_use]
    pub fn hardware(&self) -> &[Hardware] {
        &self.hardware
    }

    /// What a name means; never by similarity.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Resolution {
        self.names().resolve(name)
    }

    /// What a name meant on a day; it matters for names that move from release to release.
    #[must_use]
    pub fn resolve_at(&self, name: &str, day: Date) -> Resolution {
        self.names().resolve_at(name, day)
    }

    /// All names, built at the first use.
    pub fn names(&self) -> &Names {
        self.names.get_or_init(|| {
            let mut names = Names::new();
            for lab in self.labs.values() {
                names.add_lab(&lab.id, lab.aliases.iter().chain([&lab.name]).map(String::as_str));
            }
            for model in self.models.values() {
                names.add_model(&model.id, &model.name);
            }
            for row in &self.aliases {
                names.add_alias(&row.alias, &row.model);
            }
            for row in &self.moving {
                names.add_moving(&row.alias, Pointing { starts: row.starts, model: row.model.clone() });
            }
            names
        })
    }
}

impl AliasRow {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            alias: row.required("alias")?.to_owned(),
            model: ModelId::new(row.required("model")?),
            source: row.required("source")?.to_owned(),
        })
    }
}

impl MovingRow {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            alias: row.required("alias")?.to_owned(),
            model: row.optional("model").map(ModelId::new),
            starts: row.date("starts")?,
            source: row.required("source")?.to_owned(),
        })
    }
}

impl DateRow {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let value = row.release_date("released")?.ok_or_else(|| row.wrong("released", "a date"))?;
        let released = Fact { value, source: row.required("source")?.to_owned() };
        Ok(Self { place: row.place, model: ModelId::new(row.required("model")?), released })
    }
}

/// Reads every file whose name starts with `prefix`.
fn read<T>(
    files: &Files,
    prefix: &str,
    columns: &'static [&'static str],
    mut parse: impl FnMut(&Row<'_>) -> Result<T, CatalogError>,
) -> Result<Vec<T>, CatalogError> {
    let mut rows = Vec::new();
    for (file, text) in files.matching(prefix, ".csv") {
        rows.append(&mut table::read(file, text, columns, &mut parse)?);
    }
    Ok(rows)
}

fn keyed<K: Ord + Clone + std::fmt::Display, T>(
    rows: Vec<T>,
    key: impl Fn(&T) -> (Place, K),
    duplicates: &mut Vec<Finding>,
) -> BTreeMap<K, T> {
    let mut map: BTreeMap<K, T> = BTreeMap::new();
    for row in rows {
        let (place, id) = key(&row);
        if let Some(first) = map.get(&id) {
            let line = key(first).0.line;
            duplicates.push(Finding::error(
                place,
                format!("id '{id}' stands already in line {line}, expected one row an id"),
            ));
        } else {
            map.insert(id, row);
        }
    }
    map
}

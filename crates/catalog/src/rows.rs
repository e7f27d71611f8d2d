//! The rows of the catalog, typed. Whatever may be unknown is an `Option`, and a fact carries the id of its source.

use time::Date;
use weighbridge_core::{Access, BenchmarkId, ModelId, ReleaseDate, Usd, WeightsTerms};

use crate::error::CatalogError;
use crate::table::{Place, Row};

/// A value and the id of the source that states it (a row of `sources.csv`).
#[derive(Clone, Debug, PartialEq)]
pub struct Fact<T> {
    /// What is stated.
    pub value: T,
    /// Who states it.
    pub source: String,
}

/// Where facts come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Where the row stands.
    pub place: Place,
    /// Id that other rows name.
    pub id: String,
    /// Title.
    pub title: String,
    /// Who publishes it.
    pub publisher: Option<String>,
    /// Where to find it.
    pub url: Option<String>,
    /// The license of the data taken.
    pub license: Option<String>,
    /// Day on which it was taken; `None` for what is public knowledge and was not fetched.
    pub retrieved: Option<Date>,
}

/// Who trains models.
#[derive(Clone, Debug, PartialEq)]
pub struct Lab {
    /// Where the row stands.
    pub place: Place,
    /// Id, the first part of a model id.
    pub id: String,
    /// Name to show.
    pub name: String,
    /// Country of the lab, ISO 3166 name.
    pub country: String,
    /// Other names, as sources and hubs write them.
    pub aliases: Vec<String>,
}

/// A release: weights or a dated snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Where the row stands.
    pub place: Place,
    /// Id, `lab/model`.
    pub id: ModelId,
    /// Name to show.
    pub name: String,
    /// Id of the lab.
    pub lab: String,
    /// Whether the weights can be downloaded.
    pub access: Access,
    /// Why `access` is what it is, in a few words.
    pub access_reason: String,
    /// Id of the source of `access` and `terms`.
    pub access_source: String,
    /// What the license of open weights allows.
    pub terms: Option<WeightsTerms>,
    /// License id or name.
    pub license: Option<Fact<String>>,
    /// Release date.
    pub released: Option<Fact<ReleaseDate>>,
    /// Parameters in total.
    pub parameters_total: Option<Fact<u64>>,
    /// Parameters used for each token, of a mixture of experts.
    pub parameters_active: Option<Fact<u64>>,
    /// Longest context, in tokens.
    pub context: Option<Fact<u64>>,
    /// What goes in: text, image, audio, video, pdf. Empty where unknown.
    pub modalities_in: Vec<String>,
    /// What comes out. Empty where unknown.
    pub modalities_out: Vec<String>,
    /// Id of the source of the modalities.
    pub modalities_source: Option<String>,
    /// Where the weights lie: hub id or URL.
    pub weights: Option<Fact<String>>,
}

/// A benchmark in one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    /// Where the row stands.
    pub place: Place,
    /// Id.
    pub id: BenchmarkId,
    /// Name to show.
    pub name: String,
    /// Version, split or year, where there are several.
    pub version: Option<String>,
    /// Release date.
    pub released: Option<Fact<ReleaseDate>>,
    /// What a score counts.
    pub metric: String,
    /// Field that it tests.
    pub domain: String,
    /// Whether the capability index uses it.
    pub in_index: bool,
    /// Other names.
    pub aliases: Vec<String>,
    /// Id of the source of the row.
    pub source: String,
}

/// A published score.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Where the row stands.
    pub place: Place,
    /// The model.
    pub model: ModelId,
    /// Effort, thinking budget or scaffold, as the source writes it.
    pub configuration: Option<String>,
    /// The model as the source names it.
    pub label: String,
    /// The benchmark.
    pub benchmark: BenchmarkId,
    /// Score as a fraction, 0 to 1.
    pub value: f64,
    /// Samples behind it.
    pub n: Option<u32>,
    /// Id of the source that measured it.
    pub source: String,
    /// Day of the measurement.
    pub date: Option<Date>,
    /// Program that measured it.
    pub harness: Option<String>,
    /// Data set that it belongs to, for example `epoch-eci-2026-08-11`.
    pub dataset: String,
}

/// What a provider asks for a model, in US dollars per million tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Where the row stands.
    pub place: Place,
    /// The model.
    pub model: ModelId,
    /// Who serves it.
    pub provider: String,
    /// Input tokens.
    pub input: Usd,
    /// Input tokens read from the cache.
    pub cached_input: Option<Usd>,
    /// Input tokens written to the cache.
    pub cache_write: Option<Usd>,
    /// Output tokens.
    pub output: Usd,
    /// Input tokens of a batch.
    pub batch_input: Option<Usd>,
    /// Output tokens of a batch.
    pub batch_output: Option<Usd>,
    /// Day from which the price is known to hold; `None` where the source keeps a history and gives no earlier price.
    pub starts: Option<Date>,
    /// Id of the source.
    pub source: String,
    /// Tier and other conditions.
    pub note: Option<String>,
}

/// An accelerator and what an hour of it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardware {
    /// Where the row stands.
    pub place: Place,
    /// Name.
    pub name: String,
    /// Maker.
    pub vendor: String,
    /// Memory in gigabytes.
    pub memory_gb: f64,
    /// Memory bandwidth in terabytes a second.
    pub bandwidth_tb_s: Option<f64>,
    /// Dense bf16 rate in TFLOPS.
    pub bf16_tflops: Option<f64>,
    /// Dense fp8 rate in TFLOPS.
    pub fp8_tflops: Option<f64>,
    /// Dense fp4 rate in TFLOPS.
    pub fp4_tflops: Option<f64>,
    /// Power in kilowatts, server and cooling included.
    pub power_kw: Option<f64>,
    /// An hour at a large cloud.
    pub usd_hour_hyperscaler: Option<Usd>,
    /// An hour at a specialised cloud.
    pub usd_hour_neocloud: Option<Usd>,
    /// An hour on a three-year rental.
    pub usd_hour_rental_3y: Option<Usd>,
    /// Conditions, for example that the source marks the figures temporary.
    pub note: Option<String>,
    /// Id of the source.
    pub source: String,
}

impl Source {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            id: row.required("id")?.to_owned(),
            title: row.required("title")?.to_owned(),
            publisher: row.optional("publisher").map(str::to_owned),
            url: row.optional("url").map(str::to_owned),
            license: row.optional("license").map(str::to_owned),
            retrieved: row.date("retrieved")?,
        })
    }
}

impl Lab {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            id: row.required("id")?.to_owned(),
            name: row.required("name")?.to_owned(),
            country: row.required("country")?.to_owned(),
            aliases: row.list("aliases"),
        })
    }
}

impl Model {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let access: Access =
            row.required("access")?.parse().map_err(|_| row.wrong("access", "open-weights, closed or unknown"))?;
        let terms = row.optional("terms").map(|text| {
            [WeightsTerms::Unrestricted, WeightsTerms::Restricted, WeightsTerms::NonCommercial]
                .into_iter()
                .find(|terms| terms.as_str() == text)
                .ok_or_else(|| row.wrong("terms", "unrestricted, restricted or non-commercial"))
        });
        let count = |column| row.parsed::<u64>(column, "a whole number");
        Ok(Self {
            place: row.place,
            id: ModelId::new(row.required("id")?),
            name: row.required("name")?.to_owned(),
            lab: row.required("lab")?.to_owned(),
            access,
            access_reason: row.text("access_reason").to_owned(),
            access_source: row.text("access_source").to_owned(),
            terms: terms.transpose()?,
            license: fact(row, row.optional("license").map(str::to_owned), "license_source")?,
            released: fact(row, row.release_date("released")?, "released_source")?,
            parameters_total: fact(row, count("parameters_total")?, "parameters_source")?,
            parameters_active: fact(row, count("parameters_active")?, "parameters_source")?,
            context: fact(row, count("context")?, "context_source")?,
            modalities_in: row.list("modalities_in"),
            modalities_out: row.list("modalities_out"),
            modalities_source: row.optional("modalities_source").map(str::to_owned),
            weights: fact(row, row.optional("weights").map(str::to_owned), "weights_source")?,
        })
    }
}

impl Benchmark {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            id: BenchmarkId::new(row.required("id")?),
            name: row.required("name")?.to_owned(),
            version: row.optional("version").map(str::to_owned),
            released: fact(row, row.release_date("released")?, "released_source")?,
            metric: row.required("metric")?.to_owned(),
            domain: row.required("domain")?.to_owned(),
            in_index: row.parsed("index", "true or false")?.ok_or_else(|| row.wrong("index", "true or false"))?,
            aliases: row.list("aliases"),
            source: row.required("source")?.to_owned(),
        })
    }
}

impl Score {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            model: ModelId::new(row.required("model")?),
            configuration: row.optional("configuration").map(str::to_owned),
            label: row.text("label").to_owned(),
            benchmark: BenchmarkId::new(row.required("benchmark")?),
            value: row.number("value")?.ok_or_else(|| row.wrong("value", "a number"))?,
            n: row.parsed("n", "a whole number")?,
            source: row.required("source")?.to_owned(),
            date: row.date("date")?,
            harness: row.optional("harness").map(str::to_owned),
            dataset: row.required("dataset")?.to_owned(),
        })
    }
}

impl Price {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let usd = |column| row.usd(column);
        Ok(Self {
            place: row.place,
            model: ModelId::new(row.required("model")?),
            provider: row.required("provider")?.to_owned(),
            input: usd("input")?.ok_or_else(|| row.wrong("input", "a price"))?,
            cached_input: usd("cached_input")?,
            cache_write: usd("cache_write")?,
            output: usd("output")?.ok_or_else(|| row.wrong("output", "a price"))?,
            batch_input: usd("batch_input")?,
            batch_output: usd("batch_output")?,
            starts: row.date("starts")?,
            source: row.required("source")?.to_owned(),
            note: row.optional("note").map(str::to_owned),
        })
    }
}

impl Hardware {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            name: row.required("name")?.to_owned(),
            vendor: row.required("vendor")?.to_owned(),
            memory_gb: row.number("memory_gb")?.ok_or_else(|| row.wrong("memory_gb", "a number"))?,
            bandwidth_tb_s: row.number("bandwidth_tb_s")?,
            bf16_tflops: row.number("bf16_tflops")?,
            fp8_tflops: row.number("fp8_tflops")?,
            fp4_tflops: row.number("fp4_tflops")?,
            power_kw: row.number("power_kw")?,
            usd_hour_hyperscaler: row.usd("usd_hour_hyperscaler")?,
            usd_hour_neocloud: row.usd("usd_hour_neocloud")?,
            usd_hour_rental_3y: row.usd("usd_hour_rental_3y")?,
            note: row.optional("note").map(str::to_owned),
            source: row.required("source")?.to_owned(),
        })
    }
}

/// A known value must name its source.
fn fact<T>(row: &Row<'_>, value: Option<T>, source: &str) -> Result<Option<Fact<T>>, CatalogError> {
    value.map(|value| Ok(Fact { value, source: row.required(source)?.to_owned() })).transpose()
}

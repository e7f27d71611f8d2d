//! The per-sample results of the catalog, packed as one letter a sample.
//!
//! A letter stands for one sample of one run and epoch: `1` scored right, `0` scored wrong, `n` scored 0 where the source
//! says that no answer was attempted, `m` a record without a score (missing), `.` no record at all. The position of a
//! letter is the position of its sample in `<benchmark>.samples.csv`, which is sorted by the bytes of the sample id.

use std::collections::BTreeMap;

use time::Date;
use weighbridge_core::{BenchmarkId, ModelId, SampleState, SampleStream, SampleView, StreamError};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::table::Place;
use crate::{schema, table};

/// One run of one model over one benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSet {
    /// Where the row stands.
    pub place: Place,
    /// The benchmark of `benchmarks.csv`, where one carries the name of the set.
    pub benchmark_id: Option<BenchmarkId>,
    /// The benchmark as the source names it.
    pub benchmark: String,
    /// Id of the run at the source.
    pub run: String,
    /// The model as the source names it, with its configuration.
    pub label: String,
    /// The model of the catalog that the label means.
    pub model: Option<ModelId>,
    /// Provider and model id that served the run.
    pub route: Option<String>,
    /// Day of the run.
    pub date: Option<Date>,
    /// Model that graded the answers.
    pub grader: Option<String>,
    /// Samples of the dataset as the run states it.
    pub dataset_size: Option<u32>,
    /// Repeats of each sample.
    pub epochs: u32,
    /// Records that carry a score, over all repeats.
    pub scored: u64,
    /// Input tokens of the whole run.
    pub input_tokens: Option<u64>,
    /// Output tokens of the whole run.
    pub output_tokens: Option<u64>,
    /// Reasoning tokens of the whole run.
    pub reasoning_tokens: Option<u64>,
}

/// What a letter of an outcome string says: the state and, when scored, the score. `None` for a sample without a record.
#[must_use]
pub const fn decode_outcome(letter: u8) -> Option<(SampleState, Option<f64>)> {
    match letter {
        b'1' => Some((SampleState::Scored, Some(1.0))),
        b'0' | b'n' => Some((SampleState::Scored, Some(0.0))),
        b'm' => Some((SampleState::Missing, None)),
        _ => None,
    }
}

impl Catalog {
    /// Every run with per-sample results, by benchmark.
    ///
    /// # Errors
    /// A file of runs does not follow the schema.
    pub fn sample_sets(&self) -> Result<Vec<SampleSet>, CatalogError> {
        let mut sets = Vec::new();
        for (file, text) in self.files.matching("samples/", ".runs.csv") {
            let benchmark = file.trim_start_matches("samples/").trim_end_matches(".runs.csv");
            let benchmark_id = self.benchmark_named(benchmark).map(|b| b.id.clone());
            let scored = self.scored_records(benchmark)?;
            sets.extend(table::read(file, text, schema::RUNS, |row| {
                Ok(SampleSet {
                    place: row.place,
                    benchmark_id: benchmark_id.clone(),
                    benchmark: benchmark.to_owned(),
                    run: row.required("run")?.to_owned(),
                    label: row.required("label")?.to_owned(),
                    model: row.optional("model").map(ModelId::new),
                    route: row.optional("route").map(str::to_owned),
                    date: row.date("date")?,
                    grader: row.optional("grader").map(str::to_owned),
                    dataset_size: row.parsed("dataset_size", "a whole number")?,
                    epochs: row
                        .parsed("epochs", "a whole number")?
                        .ok_or_else(|| row.wrong("epochs", "a whole number"))?,
                    scored: scored.get(row.text("run")).copied().unwrap_or(0),
                    input_tokens: row.parsed("input_tokens", "a whole number")?,
                    output_tokens: row.parsed("output_tokens", "a whole number")?,
                    reasoning_tokens: row.parsed("reasoning_tokens", "a whole number")?,
                })
            })?);
        }
        Ok(sets)
    }

    /// How many records of each run carry a score, by run.
    fn scored_records(&self, benchmark: &str) -> Result<BTreeMap<String, u64>, CatalogError> {
        let mut scored = BTreeMap::new();
        if let Some((file, text)) = self.files.get(&format!("samples/{benchmark}.outcomes.csv")) {
            table::read(file, text, schema::OUTCOMES, |row| {
                let has_score = |letter: &u8| matches!(decode_outcome(*letter), Some((_, Some(_))));
                let letters = row.text("outcomes").as_bytes();
                *scored.entry(row.text("run").to_owned()).or_insert(0) +=
                    letters.iter().filter(|l| has_score(l)).count() as u64;
                Ok(())
            })?;
        }
        Ok(scored)
    }

    /// The samples of one run, ascending by sample id and epoch. `benchmark` is named as in [`SampleSet::benchmark`].
    ///
    /// # Errors
    /// The catalog has no such run, or its files do not follow the schema.
    pub fn open_samples(&self, benchmark: &str, run: &str) -> Result<PackedSamples, CatalogError> {
        let absent = || CatalogError::NoRun { benchmark: benchmark.to_owned(), run: run.to_owned() };
        let file = |kind: &str| self.files.get(&format!("samples/{benchmark}.{kind}.csv")).ok_or_else(absent);
        let (file_name, text) = file("samples")?;
        let samples = table::read(file_name, text, schema::SAMPLES, |row| {
            Ok((row.required("sample")?.to_owned(), row.optional("group").map(str::to_owned)))
        })?;
        let (file_name, text) = file("outcomes")?;
        let mut epochs: Vec<(u32, String)> = table::read(file_name, text, schema::OUTCOMES, |row| {
            if row.text("run") != run {
                return Ok(None);
            }
            let letters = row.required("outcomes")?;
            if letters.len() != samples.len() || !letters.bytes().all(|b| b"10nm.".contains(&b)) {
                return Err(row.wrong("outcomes", &format!("{} letters of 1, 0, n, m and .", samples.len())));
            }
            let epoch = row.parsed("epoch", "a whole number")?.ok_or_else(|| row.wrong("epoch", "a whole number"))?;
            Ok(Some((epoch, letters.to_owned())))
        })?
        .into_iter()
        .flatten()
        .collect();
        if epochs.is_empty() {
            return Err(absent());
        }
        epochs.sort();
        Ok(PackedSamples { samples, epochs, next: 0 })
    }
}

/// The samples of one run; made by [`Catalog::open_samples`].
#[derive(Clone, Debug)]
pub struct PackedSamples {
    samples: Vec<(String, Option<String>)>,
    epochs: Vec<(u32, String)>,
    next: usize,
}

impl SampleStream for PackedSamples {
    fn next_sample(&mut self) -> Result<Option<SampleView<'_>>, StreamError> {
        let per_sample = self.epochs.len();
        while self.next < self.samples.len() * per_sample {
            let (position, k) = (self.next / per_sample, self.next % per_sample);
            self.next += 1;
            let (epoch, letters) = &self.epochs[k];
            if let Some((state, score)) = decode_outcome(letters.as_bytes()[position]) {
                let (sample, group) = &self.samples[position];
                let group = group.as_deref();
                return Ok(Some(SampleView {
                    sample,
                    epoch: *epoch,
                    group,
                    state,
                    score,
                    cost_usd: None,
                    output_chars: None,
                }));
            }
        }
        Ok(None)
    }
}

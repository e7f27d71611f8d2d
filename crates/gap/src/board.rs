//! Models with scores on one common scale, ready to be weighed: the capability index, or a single benchmark.

use std::collections::BTreeMap;

use thiserror::Error;
use time::Date;
use weighbridge_catalog::{Catalog, Model};
use weighbridge_core::{Access, ModelId, ReleaseDate, WeightsTerms};
use weighbridge_stats::bootstrap::Resampler;

use crate::frontier::{Entrant, Side};
use crate::index::{Anchors, Draws, Index, IndexError};

/// The anchors of Epoch AI's ECI by the ids of the catalog.
pub const CATALOG_ANCHORS: Anchors<'static> =
    Anchors { low: "anthropic/claude-3.5-sonnet", high: "openai/gpt-5", slope: "winogrande" };

/// Why there is nothing to weigh.
#[derive(Debug, Error)]
pub enum BoardError {
    /// The index cannot be fitted.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// No scores for the benchmark.
    #[error("no score on benchmark '{0}'")]
    NoScores(String),
}

/// Sets the generator of release dates apart from that of scores.
const DATE_STREAM: u64 = 0x5bd1_e995_9d1b_58a7;

/// What the scores count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Points of the capability index.
    IndexPoints,
    /// Percent of a benchmark.
    PercentagePoints,
}

impl Unit {
    /// The unit in a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IndexPoints => "index points",
            Self::PercentagePoints => "percentage points",
        }
    }
}

/// A model that may stand on a frontier.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Catalog id.
    pub id: ModelId,
    /// Name to show.
    pub name: String,
    /// Name of the lab.
    pub lab: String,
    /// Country of the lab.
    pub country: String,
    /// Open, closed or unsettled.
    pub access: Access,
    /// Terms of open weights.
    pub terms: Option<WeightsTerms>,
    /// License.
    pub license: Option<String>,
    /// Release date; a model without one stands on no frontier.
    pub released: Option<ReleaseDate>,
    /// Release dates that other sources state, where they differ.
    pub other_dates: Vec<Date>,
    /// Scores behind its place.
    pub scores: usize,
}

/// A score to be weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRow<'a> {
    /// Catalog id of the model, or its name where it has none.
    pub model: &'a str,
    /// Benchmark.
    pub benchmark: &'a str,
    /// Score as a fraction.
    pub value: f64,
    /// Samples behind it, where known.
    pub n: Option<u32>,
    /// Id of the source.
    pub source: &'a str,
}

/// Tells who stands behind the `model` of a [`ScoreRow`].
pub type Roster<'a> = dyn Fn(&str) -> Contestant + 'a;

/// Gives so many draws of an index under a seed: what [`Index::draw`] makes, or the same from where it was kept.
pub type DrawSource<'a> = dyn Fn(&Index, usize, u64) -> Draws + 'a;

impl Contestant {
    /// A model of the catalog, with the number of scores still to be counted.
    #[must_use]
    pub fn of(catalog: &Catalog, model: &Model) -> Self {
        let lab = catalog.lab_of(model);
        Self {
            id: model.id.clone(),
            name: model.name.clone(),
            lab: lab.map_or_else(|| model.lab.clone(), |lab| lab.name.clone()),
            country: lab.map_or_else(|| "unknown".into(), |lab| lab.country.clone()),
            access: model.access,
            terms: model.terms,
            license: model.license.as_ref().map(|fact| fact.value.clone()),
            released: model.released.as_ref().map(|fact| fact.value),
            other_dates: catalog.other_release_dates(&model.id).map(|fact| fact.value.date).collect(),
            scores: 0,
        }
    }

    /// A model of which only the name is known: it stands on no frontier.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self {
            id: ModelId::new(name),
            name: name.to_owned(),
            lab: "unknown".into(),
            country: "unknown".into(),
            access: Access::Unknown,
            terms: None,
            license: None,
            released: None,
            other_dates: Vec::new(),
            scores: 0,
        }
    }
}

/// Scores of many models on one scale, with draws that carry their uncertainty.
#[derive(Clone, Debug)]
pub struct Board {
    /// What is scored: `capability index` or the name of a benchmark.
    pub title: String,
    /// What the scores count.
    pub unit: Unit,
    /// The models; position = column of the score vectors.
    pub contestants: Vec<Contestant>,
    /// Fitted or published scores.
    pub scores: Vec<f64>,
    /// Draws of the scores.
    pub draws: Draws,
    /// Seed that the draws were made with.
    pub seed: u64,
    /// How the draws were made.
    pub method: String,
    /// Ids of the sources of the scores, with how many scores each gives.
    pub sources: BTreeMap<String, usize>,
    /// Names of models whose sample counts are not known.
    pub without_n: Vec<String>,
    /// The sample count that most scores of the benchmark state; it stands in for those that state none.
    pub usual_n: Option<u32>,
}

impl Board {
    /// The capability index over `rows`, with as many draws as asked for, under a seed, from `source`.
    ///
    /// # Errors
    /// The scores make no index.
    pub fn of_index(
        rows: &[ScoreRow<'_>],
        anchors: &Anchors<'_>,
        roster: &Roster<'_>,
        (draws, seed): (usize, u64),
        source: &DrawSource<'_>,
    ) -> Result<Self, BoardError> {
        let index = Index::fit(rows.iter().map(|r| (r.model, r.benchmark, r.value)), anchors)?;
        let scores_of = |m: usize| index.problem.starts[m + 1] - index.problem.starts[m];
        let contestants = (0..index.problem.models.len())
            .map(|m| Contestant { scores: scores_of(m), ..roster(&index.problem.models[m]) })
            .collect();
        let draws = source(&index, draws, seed);
        let method = format!("bootstrap of the index, {} draws, scores resampled within each model", draws.len());
        Ok(Self {
            title: "capability index".into(),
            unit: Unit::IndexPoints,
            contestants,
            scores: index.scores,
            draws,
            seed,
            method,
            sources: count_sources(rows),
            without_n: Vec::new(),
            usual_n: None,
        })
    }

    /// One benchmark: the best score of each model, in percent.
    ///
    /// Draws add binomial noise; where a score does not state its number of samples, the usual number of the benchmark
    /// stands in, and where none states one there is no noise and no interval.
    ///
    /// # Errors
    /// There is no row.
    pub fn of_benchmark(
        title: &str,
        rows: &[ScoreRow<'_>],
        roster: &Roster<'_>,
        draws: usize,
        seed: u64,
    ) -> Result<Self, BoardError> {
        let mut best: BTreeMap<&str, (f64, Option<u32>, usize)> = BTreeMap::new();
        for row in rows {
            let entry = best.entry(row.model).or_insert((row.value, row.n, 0));
            if row.value > entry.0 {
                (entry.0, entry.1) = (row.value, row.n);
            }
            entry.2 += 1;
        }
        if best.is_empty() {
            return Err(BoardError::NoScores(title.to_owned()));
        }
        let contestants: Vec<_> =
            best.iter().map(|(model, &(_, _, scores))| Contestant { scores, ..roster(model) }).collect();
        let scores: Vec<f64> = best.values().map(|&(value, _, _)| 100.0 * value).collect();
        let usual = usual_n(best.values().filter_map(|v| v.1));
        let error = |&(p, n, _): &(f64, Option<u32>, usize)| {
            n.or(usual).map_or(0.0, |n| 100.0 * (p * (1.0 - p) / f64::from(n)).sqrt())
        };
        let errors: Vec<f64> = best.values().map(error).collect();
        let without_n =
            contestants.iter().zip(best.values()).filter(|(_, v)| v.1.is_none()).map(|(c, _)| c.name.clone()).collect();
        let mut noisy = Vec::with_capacity(draws * scores.len());
        for k in 0..draws {
            let mut random = Resampler::new(seed, k as u64);
            noisy.extend(scores.iter().zip(&errors).map(|(s, e)| s + e * random.normal()));
        }
        let draws = Draws::from_rows(scores.len(), noisy, 0);
        let method = format!("{} draws of binomial noise on each published score", draws.len());
        Ok(Self {
            title: title.to_owned(),
            unit: Unit::PercentagePoints,
            contestants,
            scores,
            draws,
            seed,
            method,
            sources: count_sources(rows),
            without_n,
            usual_n: usual,
        })
    }

    /// The models of one access released by `as_of`, earliest first; `also` may narrow them.
    #[must_use]
    pub fn side(&self, access: Access, as_of: Date, also: impl Fn(&Contestant) -> bool) -> Side {
        let entrants = self.contestants.iter().enumerate().filter(|(_, c)| c.access == access && also(c));
        let dated = entrants.filter_map(|(column, c)| c.released.map(|r| Entrant::new(r.date, column)));
        Side::new(dated.collect()).until(as_of.to_julian_day())
    }

    /// `side` as draw `k` sees it: of a model whose sources disagree about its release, one of the dates, each equally
    /// likely.
    #[must_use]
    pub fn redated(&self, side: &Side, k: u64) -> Side {
        // Another stream than that of the scores, so that more dates leave the scores of a draw as they are.
        let mut random = Resampler::new(self.seed ^ DATE_STREAM, k);
        let entrants = side.entrants().iter().map(|e| {
            let others = &self.contestants[e.column].other_dates;
            let choice = random.row(others.len() + 1);
            choice.checked_sub(1).map_or(*e, |i| Entrant::new(others[i], e.column))
        });
        Side::new(entrants.collect())
    }

    /// True where the scores carry uncertainty.
    #[must_use]
    pub fn has_uncertainty(&self) -> bool {
        (self.unit == Unit::IndexPoints || self.usual_n.is_some()) && !self.draws.is_empty()
    }
}

/// The most frequent sample count, the larger of two that are equally frequent.
fn usual_n(counts: impl Iterator<Item = u32>) -> Option<u32> {
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    for n in counts {
        *times.entry(n).or_insert(0) += 1;
    }
    times.into_iter().max_by_key(|&(n, times)| (times, n)).map(|(n, _)| n)
}

fn count_sources(rows: &[ScoreRow<'_>]) -> BTreeMap<String, usize> {
    let mut sources = BTreeMap::new();
    for row in rows {
        *sources.entry(row.source.to_owned()).or_insert(0) += 1;
    }
    sources
}

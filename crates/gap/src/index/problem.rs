//! What the index is fitted to: scores of models on benchmarks, and the constants of the model.
//!
//! The model is Epoch AI's Capabilities Index (ECI, "A Rosetta Stone for AI benchmarks", arXiv 2512.00193):
//! `score = sigmoid(slope_b * (capability_m - difficulty_b))`, fitted by least squares with a small ridge penalty.

use std::collections::BTreeMap;

use thiserror::Error;

/// Scores are clipped into `[CLIP, 1 - CLIP]` before the fit of the ECI.
pub const CLIP: f64 = 1e-3;
/// Weight of the ridge penalty: `RIDGE * sum(theta^2) / n_parameters` is added to the sum of squares.
pub const RIDGE: f64 = 0.1;
/// Bounds of capabilities and difficulties on the raw scale.
pub const LOCATION_BOUNDS: (f64, f64) = (-10.0, 10.0);
/// Bounds of slopes on the raw scale.
pub const SLOPE_BOUNDS: (f64, f64) = (0.1, 10.0);

/// One score that enters the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Position of the model in [`Problem::models`].
    pub model: usize,
    /// Position of the benchmark in [`Problem::benchmarks`].
    pub benchmark: usize,
    /// Score between 0 and 1, already clipped.
    pub score: f64,
}

/// Why scores cannot be made into an index problem.
#[derive(Debug, Error, PartialEq)]
pub enum ProblemError {
    /// There is nothing to fit.
    #[error("no scores to fit an index to")]
    Empty,
    /// A score is no share.
    #[error("score {value} of {model} on {benchmark} is not between 0 and 1")]
    OutOfRange {
        /// Model of the score.
        model: String,
        /// Benchmark of the score.
        benchmark: String,
        /// The score as given.
        value: f64,
    },
    /// An anchor that fixes the scale is missing.
    #[error("the {role} '{name}' has no score, so the scale of the index cannot be fixed")]
    NoAnchor {
        /// What the anchor fixes.
        role: &'static str,
        /// Its name.
        name: String,
    },
}

/// Scores of models on benchmarks, grouped by model.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Model names, in order of first appearance.
    pub models: Vec<String>,
    /// Benchmark names, in order of first appearance.
    pub benchmarks: Vec<String>,
    /// The scores, by model and then by benchmark.
    pub observations: Vec<Observation>,
    /// `observations[starts[m]..starts[m + 1]]` are the scores of model `m`.
    pub starts: Vec<usize>,
    /// The benchmark whose slope is fixed at 1 and takes no part in the penalty.
    pub slope_anchor: usize,
}

impl Problem {
    /// Gathers `(model, benchmark, score)` rows; `slope_anchor` names the benchmark whose slope is 1, and scores are
    /// clipped into `[clip, 1 - clip]`.
    ///
    /// # Errors
    /// There are no rows, a score is not a share, or the anchor has no score.
    pub fn new<'a>(
        rows: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
        slope_anchor: &str,
        clip: f64,
    ) -> Result<Self, ProblemError> {
        let (mut models, mut benchmarks) = (Names::default(), Names::default());
        let mut observations = Vec::new();
        for (model, benchmark, value) in rows {
            if !(0.0..=1.0).contains(&value) {
                return Err(ProblemError::OutOfRange { model: model.into(), benchmark: benchmark.into(), value });
            }
            observations.push(Observation {
                model: models.position(model),
                benchmark: benchmarks.position(benchmark),
                score: value.clamp(clip, 1.0 - clip),
            });
        }
        if observations.is_empty() {
            return Err(ProblemError::Empty);
        }
        let anchor = benchmarks.positions.get(slope_anchor).copied();
        let slope_anchor =
            anchor.ok_or_else(|| ProblemError::NoAnchor { role: "slope anchor", name: slope_anchor.into() })?;
        observations.sort_by_key(|o| (o.model, o.benchmark));
        let starts = (0..=models.list.len()).map(|m| observations.partition_point(|o| o.model < m)).collect();
        Ok(Self { models: models.list, benchmarks: benchmarks.list, observations, starts, slope_anchor })
    }

    /// Position of a model by name.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|m| m == name)
    }

    /// Number of free parameters: a capability a model, a difficulty a benchmark, a slope a benchmark but the anchor.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.models.len() + 2 * self.benchmarks.len() - 1
    }
}

#[derive(Default)]
struct Names<'a> {
    list: Vec<String>,
    positions: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn position(&mut self, name: &'a str) -> usize {
        *self.positions.entry(name).or_insert_with(|| {
            self.list.push(name.to_owned());
            self.list.len() - 1
        })
    }
}

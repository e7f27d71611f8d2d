//! The capability index: one score a model, from its scores on many benchmarks.

mod draws;
mod problem;
mod scale;
mod solve;

pub use draws::{Draws, draw};
pub use problem::{CLIP, LOCATION_BOUNDS, Observation, Problem, ProblemError, RIDGE, SLOPE_BOUNDS};
pub use scale::{Anchors, ECI_ANCHORS, HIGH_SCORE, LOW_SCORE, Scale};
pub use solve::{Fit, Parameters, solve};

use thiserror::Error;

/// Why an index cannot be given.
#[derive(Debug, Error, PartialEq)]
pub enum IndexError {
    /// The scores make no problem.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// The solver did not settle.
    #[error("the index fit did not converge in {0} steps")]
    NotConverged(usize),
    /// The scale anchors came out in the wrong order.
    #[error("'{high}' does not score above '{low}', so they cannot fix the scale of the index")]
    Upended {
        /// Low anchor.
        low: String,
        /// High anchor.
        high: String,
    },
}

/// A fitted index with its scale.
#[derive(Clone, Debug)]
pub struct Index {
    /// What it was fitted to.
    pub problem: Problem,
    /// Raw parameters.
    pub fit: Fit,
    /// Raw scale to index points.
    pub scale: Scale,
    /// Score of each model of the problem, in index points.
    pub scores: Vec<f64>,
    anchors: [usize; 2],
}

impl Index {
    /// Fits the index to `(model, benchmark, score)` rows.
    ///
    /// # Errors
    /// The rows make no problem, an anchor has no score, or the fit fails.
    pub fn fit<'a>(
        rows: impl IntoIterator<Item = (&'a str, &'a str, f64)>,
        anchors: &Anchors,
    ) -> Result<Self, IndexError> {
        let problem = Problem::new(rows, anchors.slope, CLIP)?;
        let place = |role, name: &str| {
            problem.model(name).ok_or_else(|| ProblemError::NoAnchor { role, name: name.to_owned() })
        };
        let (low, high) = (place("low scale anchor", anchors.low)?, place("high scale anchor", anchors.high)?);
        let ones = vec![1.0; problem.observations.len()];
        let fit = solve(&problem, &ones, &Parameters::start(&problem));
        if !fit.converged {
            return Err(IndexError::NotConverged(fit.steps));
        }
        let capability = &fit.parameters.capability;
        let scale = Scale::through(capability[low], capability[high])
            .ok_or_else(|| IndexError::Upended { low: anchors.low.into(), high: anchors.high.into() })?;
        let scores = capability.iter().map(|&c| scale.score(c)).collect();
        Ok(Self { problem, fit, scale, scores, anchors: [low, high] })
    }

    /// Makes `count` bootstrap draws; `tick` is called after each, from any thread.
    #[must_use]
    pub fn draw(&self, count: usize, seed: u64, tick: &(dyn Fn() + Sync)) -> Draws {
        draw(&self.problem, &self.fit, self.anchors, count, seed, tick)
    }

    /// Positions of the two models that fix the scale, the low one first.
    #[must_use]
    pub fn anchors(&self) -> [usize; 2] {
        self.anchors
    }

    /// Difficulty of each benchmark, in index points (Epoch AI's EDI).
    #[must_use]
    pub fn difficulties(&self) -> Vec<f64> {
        self.fit.parameters.difficulty.iter().map(|&d| self.scale.score(d)).collect()
    }

    /// Slope of each benchmark per index point.
    #[must_use]
    pub fn slopes(&self) -> Vec<f64> {
        self.fit.parameters.slope.iter().map(|&a| self.scale.slope(a)).collect()
    }
}

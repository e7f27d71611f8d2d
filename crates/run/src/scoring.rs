//! How the answers of a task become scores. It is written into the header of the log, so that a log can be scored again
//! from itself alone.

use serde::{Deserialize, Serialize};
use weighbridge_core::{SampleRecord, SampleState, Score};

use crate::lm_eval;
use crate::scorer::{self, ScorerSpec};

/// How answers become scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// The filters and metrics of a task of lm-evaluation-harness.
    LmEval(lm_eval::Scoring),
    /// Scorers of our own, by name; the first is the main one.
    Scorers(Vec<ScorerSpec>),
}

/// Scores a sample from what its record holds, without a model. Gives the state of the sample and all its scores, the main
/// one first.
#[must_use]
pub fn score(scoring: &Scoring, record: &SampleRecord) -> (SampleState, Vec<Score>) {
    let scores = match scoring {
        Scoring::LmEval(scoring) => lm_eval::score(scoring, record),
        Scoring::Scorers(specs) => specs.iter().map(|spec| scorer::score(spec, record)).collect(),
    };
    (scores.first().map_or(SampleState::Missing, |main| main.state), scores)
}

/// Scoring made ready.
#[derive(Clone, Debug)]
pub struct Scorer(Scoring);

impl Scorer {
    /// Makes scoring ready.
    ///
    /// # Errors
    /// A setting cannot be understood.
    pub fn new(scoring: &Scoring) -> Result<Self, String> {
        Ok(Self(scoring.clone()))
    }

    /// The state of the sample and all its scores, the main one first.
    #[must_use]
    pub fn score(&self, record: &SampleRecord) -> (SampleState, Vec<Score>) {
        score(&self.0, record)
    }
}

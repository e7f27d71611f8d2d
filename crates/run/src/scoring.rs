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

/// A [`Scoring`] made ready: what it compiles is compiled once.
#[derive(Debug)]
pub struct Scorer {
    ready: Ready,
}

#[derive(Debug)]
enum Ready {
    LmEval(lm_eval::Prepared),
    Scorers(Vec<scorer::Prepared>),
}

impl Scorer {
    /// Makes a scoring ready.
    ///
    /// # Errors
    /// A part of it is not done here; the message says which, and what there is.
    pub fn new(scoring: &Scoring) -> Result<Self, String> {
        let ready = match scoring {
            Scoring::LmEval(scoring) => Ready::LmEval(lm_eval::Prepared::new(scoring)?),
            Scoring::Scorers(specs) => {
                Ready::Scorers(specs.iter().map(scorer::Prepared::new).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self { ready })
    }

    /// Scores a sample from what its record holds, without a model. Gives the state of the sample and all its scores, the
    /// main one first.
    #[must_use]
    pub fn score(&self, record: &SampleRecord) -> (SampleState, Vec<Score>) {
        let scores = match &self.ready {
            Ready::LmEval(prepared) => prepared.score(record),
            Ready::Scorers(scorers) => scorers.iter().map(|scorer| scorer.score(record)).collect(),
        };
        (scores.first().map_or(SampleState::Missing, |main| main.state), scores)
    }
}

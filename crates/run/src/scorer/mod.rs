//! Scorers of our own, one a file.

use serde::{Deserialize, Serialize};
use weighbridge_core::{SampleRecord, SampleState, Score};

/// A scorer with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScorerSpec {
    /// The answer is the target, character by character.
    Exact,
    /// Normalised.
    Match,
    /// A letter.
    Choice,
    /// The likeliest continuation.
    Likeliest,
    /// Verifiable instructions.
    Ifeval,
}

impl ScorerSpec {
    /// By name.
    ///
    /// # Errors
    /// Unknown.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self::Exact),
            _ => Err("unknown".to_owned()),
        }
    }
}

/// The name of its score.
#[must_use]
pub fn name(_spec: &ScorerSpec) -> String {
    "exact".to_owned()
}

/// The score of one sample.
#[must_use]
pub fn score(_spec: &ScorerSpec, _record: &SampleRecord) -> Score {
    Score {
        name: "exact".into(),
        state: SampleState::Missing,
        value: None,
        parts: None,
        answer: None,
        explanation: None,
        grader: None,
        cost: None,
        version: Some(1),
    }
}

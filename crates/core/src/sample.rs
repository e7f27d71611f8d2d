//! One model's answer to one sample, and what became of it.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};
use time::Date;

/// What became of a sample. Only [`SampleState::Scored`] carries a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleState {
    /// Answered and scored.
    Scored,
    /// Answered, but the scorer could not read an answer out of the text.
    WrongFormat,
    /// Cut off by the output limit before an answer.
    Truncated,
    /// The model or a filter declined to answer.
    Refused,
    /// The provider failed after all retries.
    ProviderError,
    /// The harness failed: sandbox, scorer or judge.
    HarnessError,
    /// The record has no score and does not say why.
    Missing,
}

impl SampleState {
    /// Every state, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Scored,
        Self::WrongFormat,
        Self::Truncated,
        Self::Refused,
        Self::ProviderError,
        Self::HarnessError,
        Self::Missing,
    ];

    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scored => "scored",
            Self::WrongFormat => "wrong_format",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
            Self::ProviderError => "provider_error",
            Self::HarnessError => "harness_error",
            Self::Missing => "missing",
        }
    }

    /// The state with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for SampleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many samples ended in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts {
    /// Answered and scored.
    pub scored: u64,
    /// No answer could be read out of the text.
    pub wrong_format: u64,
    /// Cut off by the output limit.
    pub truncated: u64,
    /// Declined.
    pub refused: u64,
    /// The provider failed.
    pub provider_error: u64,
    /// The harness failed.
    pub harness_error: u64,
    /// No score and no reason, or absent from the record although the dataset has the sample.
    pub missing: u64,
}

impl StateCounts {
    /// The count of one state.
    #[must_use]
    pub const fn get(&self, state: SampleState) -> u64 {
        match state {
            SampleState::Scored => self.scored,
            SampleState::WrongFormat => self.wrong_format,
            SampleState::Truncated => self.truncated,
            SampleState::Refused => self.refused,
            SampleState::ProviderError => self.provider_error,
            SampleState::HarnessError => self.harness_error,
            SampleState::Missing => self.missing,
        }
    }

    /// Counts `n` more samples in `state`.
    pub const fn add(&mut self, state: SampleState, n: u64) {
        match state {
            SampleState::Scored => self.scored += n,
            SampleState::WrongFormat => self.wrong_format += n,
            SampleState::Truncated => self.truncated += n,
            SampleState::Refused => self.refused += n,
            SampleState::ProviderError => self.provider_error += n,
            SampleState::HarnessError => self.harness_error += n,
            SampleState::Missing => self.missing += n,
        }
    }

    /// Samples in all states together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.scored
            + self.wrong_format
            + self.truncated
            + self.refused
            + self.provider_error
            + self.harness_error
            + self.missing
    }

    /// Samples that carry no score.
    #[must_use]
    pub const fn unscored(&self) -> u64 {
        self.total() - self.scored
    }
}

/// One row of the samples table: one model, one sample, one epoch, one scorer.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRow {
    /// Benchmark as the source names it, for example `epoch_gpqa_diamond`.
    pub benchmark: String,
    /// Model as the source names it, configuration suffix included, for example `kimi-k3_max`.
    pub model: String,
    /// Run that the row belongs to; `None` where the source has one run a model.
    pub run: Option<String>,
    /// Sample id within the benchmark.
    pub sample: String,
    /// The k-th repeat of the sample, from 1.
    pub epoch: u32,
    /// Cluster of related samples (subject, repository); `None` where the source gives none.
    pub group: Option<String>,
    /// What became of the sample.
    pub state: SampleState,
    /// Score between 0 and 1, present exactly when `state` is [`SampleState::Scored`].
    pub score: Option<f64>,
    /// Model that graded the answer, where one did.
    pub grader: Option<String>,
    /// Dollars that the sample cost, where the source says.
    pub cost_usd: Option<f64>,
    /// Output tokens, where the source says.
    pub output_tokens: Option<u64>,
    /// Characters of the answer, where the source says (columns `output_chars`, `model_chars`).
    pub output_chars: Option<u64>,
    /// Wall seconds, where the source says.
    pub seconds: Option<f64>,
    /// Day of the run.
    pub date: Option<Date>,
    /// Number of samples in the dataset as the run states it (not as many as were scored).
    pub dataset_size: Option<u32>,
}

/// A view of one sample of a stream, without copying its text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleView<'a> {
    /// Sample id within the benchmark.
    pub sample: &'a str,
    /// The k-th repeat, from 1.
    pub epoch: u32,
    /// Cluster of related samples.
    pub group: Option<&'a str>,
    /// What became of it.
    pub state: SampleState,
    /// Score between 0 and 1 when scored.
    pub score: Option<f64>,
    /// Dollars that it cost, where known.
    pub cost_usd: Option<f64>,
    /// Characters of the answer, where known.
    pub output_chars: Option<u64>,
}

/// Why a stream of samples broke off.
pub type StreamError = Box<dyn Error + Send + Sync + 'static>;

/// Samples of one run in ascending order of (sample, epoch), byte order of the id.
///
/// The order lets two runs be joined in bounded memory, however long they are.
pub trait SampleStream {
    /// The next sample, or `None` at the end.
    ///
    /// # Errors
    /// The source cannot be read further.
    fn next_sample(&mut self) -> Result<Option<SampleView<'_>>, StreamError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_name_and_a_count() {
        let mut counts = StateCounts::default();
        for (i, state) in SampleState::ALL.into_iter().enumerate() {
            assert_eq!(SampleState::from_name(state.as_str()), Some(state));
            counts.add(state, i as u64 + 1);
            assert_eq!(counts.get(state), i as u64 + 1);
        }
        assert_eq!(counts.total(), 28);
        assert_eq!(counts.unscored(), 27);
        assert_eq!(SampleState::from_name("ok"), None);
    }
}

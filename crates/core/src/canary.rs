//! What an endpoint was seen to do, by a few cheap requests at the start of a run.
//!
//! A capability that a list promises is not one until an answer has shown it. The report is written into the log before
//! the first result, so that readers can tell what the results rest on.

use serde::{Deserialize, Serialize};

use crate::{ServedBy, Usd};

/// Version of [`CanaryReport`] as written to logs.
pub const CANARY_VERSION: u32 = 1;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryCheck {
    /// The model that answers is the one that was asked.
    Model,
    /// Answers state their tokens.
    Usage,
    /// Answers state how many of them were reasoning.
    ReasoningTokens,
    /// A text ends before a stop string.
    Stop,
    /// The same seed gives the same text.
    Seed,
    /// Log-probabilities of the output are given.
    OutputLogprobs,
    /// Log-probabilities of a prompt are given, and belong to its tokens.
    PromptLogprobs,
    /// A prompt of some thousand tokens is read whole.
    Context,
    /// Answers come in pieces.
    Streaming,
    /// An answer is no longer than allowed.
    MaxTokens,
}

impl CanaryCheck {
    /// Every check, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::Model,
        Self::Usage,
        Self::ReasoningTokens,
        Self::Stop,
        Self::Seed,
        Self::OutputLogprobs,
        Self::PromptLogprobs,
        Self::Context,
        Self::Streaming,
        Self::MaxTokens,
    ];

    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Usage => "usage",
            Self::ReasoningTokens => "reasoning_tokens",
            Self::Stop => "stop",
            Self::Seed => "seed",
            Self::OutputLogprobs => "output_logprobs",
            Self::PromptLogprobs => "prompt_logprobs",
            Self::Context => "context",
            Self::Streaming => "streaming",
            Self::MaxTokens => "max_tokens",
        }
    }
}

/// Whether an endpoint was seen to do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It was not tried, or what came tells nothing; the reason.
    Unknown(String),
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryFinding {
    /// What was tried.
    pub check: CanaryCheck,
    /// What was seen.
    pub observed: Observed,
    /// What it was seen by, where that says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// What an endpoint was seen to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CanaryReport {
    /// Version of this form: [`CANARY_VERSION`].
    pub version: u32,
    /// Who answered, with model and fingerprint as the first answer stated them.
    pub served_by: ServedBy,
    /// When it ended, seconds since 1970 UTC.
    pub ended: f64,
    /// One for each check, in the order of [`CanaryCheck::ALL`].
    pub findings: Vec<CanaryFinding>,
    /// Dollars of the calls, but for those that look for log-probabilities of a prompt; `None` is unknown.
    pub cost: Option<Usd>,
    /// Why nothing could be tried; `None` where the endpoint answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl CanaryReport {
    /// What was seen of one thing.
    #[must_use]
    pub fn observed(&self, check: CanaryCheck) -> Option<&Observed> {
        self.findings.iter().find(|finding| finding.check == check).map(|finding| &finding.observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_in_files_is_pinned() {
        let report = CanaryReport {
            version: CANARY_VERSION,
            served_by: ServedBy { provider: "p".into(), model: "m".into(), ..ServedBy::default() },
            ended: 1.5,
            findings: vec![
                CanaryFinding { check: CanaryCheck::Stop, observed: Observed::Yes, seen: None },
                CanaryFinding { check: CanaryCheck::Seed, observed: Observed::No, seen: Some("a, b".into()) },
                CanaryFinding {
                    check: CanaryCheck::MaxTokens,
                    observed: Observed::Unknown("not asked".into()),
                    seen: None,
                },
            ],
            cost: Some(Usd(0.25)),
            error: None,
        };
        let text = r#"{"version":1,"served_by":{"provider":"p","model":"m"},"ended":1.5,"findings":[{"check":"stop","observed":"yes"},{"check":"seed","observed":"no","seen":"a, b"},{"check":"max_tokens","observed":{"unknown":"not asked"}}],"cost":0.25}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
        assert_eq!(serde_json::from_str::<CanaryReport>(text).unwrap(), report);
        for check in CanaryCheck::ALL {
            assert_eq!(serde_json::to_string(&check).unwrap(), format!("\"{}\"", check.as_str()));
        }
    }
}

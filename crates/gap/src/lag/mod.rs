//! The lag of open behind closed weights, in months, under four named rules.
//!
//! There is no single definition of the lag, so none is printed without its rule. Formulas and the publications that
//! they come from stand in the module of each rule.

pub mod horizontal;
pub mod measure;
pub mod since;
pub mod thresholds;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use weighbridge_core::Estimate;

/// How the lag is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LagRule {
    /// The daily `since` lag averaged over a window inside every bootstrap draw (the default).
    Propagated,
    /// Days since the closed frontier was last not significantly better than the best open model, averaged over a window.
    Since,
    /// For each of 100 score levels: the first day open is not significantly worse, minus the first day closed got there.
    Horizontal,
    /// For each score threshold: the first open day minus the first closed day.
    Thresholds,
}

impl LagRule {
    /// All rules, the default first.
    pub const ALL: [Self; 4] = [Self::Propagated, Self::Since, Self::Horizontal, Self::Thresholds];

    /// The name used on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Propagated => "propagated",
            Self::Since => "since",
            Self::Horizontal => "horizontal",
            Self::Thresholds => "thresholds",
        }
    }
}

impl LagRule {
    /// What the interval of the lag is the 5 to 95 % range of: only over draws does it carry the uncertainty of scores.
    #[must_use]
    pub const fn spread_over(self) -> &'static str {
        match self {
            Self::Propagated => "draws",
            Self::Since => "days",
            Self::Horizontal => "levels",
            Self::Thresholds => "thresholds",
        }
    }

    /// The rule in a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Propagated => "age of the closed lead, averaged over the window in every draw of the scores",
            Self::Since => "time since a closed model was first significantly better, averaged over the window",
            Self::Horizontal => "time until open is not significantly worse, averaged over score levels",
            Self::Thresholds => "time until open reaches the same score, averaged over score thresholds",
        }
    }
}

impl fmt::Display for LagRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LagRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|rule| rule.as_str() == text);
        found.ok_or_else(|| format!("unknown lag rule '{text}', expected propagated, since, horizontal or thresholds"))
    }
}

/// A lag with the rule that defines it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lag {
    /// The rule.
    pub rule: LagRule,
    /// The lag in months of 30.4375 days.
    pub months: Estimate,
    /// True where part of it has no end (or no beginning) in the data, so that the lag is a lower bound.
    pub censored: bool,
    /// Share of days, levels or thresholds that are censored.
    pub censored_share: f64,
}

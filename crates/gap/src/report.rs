//! What the gap report says: the serialized form that scripts read and every renderer starts from.

use serde::Serialize;
use weighbridge_core::{Access, Estimate, WeightsTerms};

use crate::caveat::Caveat;
use crate::concentration::Concentration;
use crate::lag::{Lag, LagRule};
use crate::price::PriceMatch;

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct GapReport {
    /// Day of the question.
    pub as_of: String,
    /// Day on which the facts end.
    pub facts_end: String,
    /// The answer in plain language.
    pub sentence: String,
    /// What is scored.
    pub board: String,
    /// Unit of scores and gaps.
    pub unit: &'static str,
    /// Best closed minus best open score on the day.
    pub gap: Estimate,
    /// The gap averaged over the days of the window.
    pub gap_over_window: Estimate,
    /// Share of draws in which the best open model is level with the best closed one or ahead; `None` where the draws
    /// carry no uncertainty.
    pub open_leads: Option<Estimate>,
    /// The window, first and last day.
    pub window: [String; 2],
    /// The lag by the first rule asked for.
    pub lag: Lag,
    /// The lag by every rule asked for.
    pub lags: Vec<Lag>,
    /// The frontiers.
    pub frontiers: Frontiers,
    /// Price of the best open model near a closed one, over the price of the closed one.
    pub price_ratio: Option<Estimate>,
    /// The pairs behind `price_ratio`.
    pub price_matches: Vec<PriceMatch>,
    /// What limits the answer.
    pub caveats: Vec<Caveat>,
    /// Where the numbers come from.
    pub sources: Vec<SourceNote>,
}

/// The frontiers of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Frontiers {
    /// Open weights under any license.
    pub open: FrontierReport,
    /// Closed models.
    pub closed: FrontierReport,
    /// Open weights whose terms restrict nothing but attribution; `None` where no model is known to be so.
    pub unrestricted: Option<FrontierReport>,
}

/// One frontier.
#[derive(Clone, Debug, Serialize)]
pub struct FrontierReport {
    /// The model that stands on it.
    pub leader: Leader,
    /// How much it rose in the 365 days before the day of the question.
    pub per_year: Option<Estimate>,
    /// Labs by the share of days of the window on which they held it.
    pub labs: Concentration,
    /// The same by country.
    pub countries: Concentration,
    /// Every record, earliest first.
    pub records: Vec<Record>,
}

/// The model at the top.
#[derive(Clone, Debug, Serialize)]
pub struct Leader {
    /// Catalog id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Lab.
    pub lab: String,
    /// Country of the lab.
    pub country: String,
    /// Release date, with the precision known.
    pub released: String,
    /// Access.
    pub access: Access,
    /// Terms of open weights, where known.
    pub terms: Option<WeightsTerms>,
    /// License, where known.
    pub license: Option<String>,
    /// Its score.
    pub score: Estimate,
    /// Share of draws in which it stands at the top of its side; `None` where the draws carry no uncertainty.
    pub stands: Option<Estimate>,
}

/// A score that was the best of its side when it came.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Day from which it stands.
    pub date: String,
    /// Catalog id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Lab.
    pub lab: String,
    /// Its score.
    pub score: Estimate,
}

/// A source and how much of the answer rests on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceNote {
    /// Id in the catalog.
    pub id: String,
    /// Title.
    pub title: String,
    /// Where to find it, where known.
    pub url: Option<String>,
    /// License of the data, where known.
    pub license: Option<String>,
    /// Day on which it was taken, where known.
    pub retrieved: Option<String>,
    /// Scores or prices taken from it.
    pub used: usize,
}

/// The same difference seen from the other side.
fn mirrored(estimate: &Estimate) -> Estimate {
    let (lower, upper) = (estimate.upper.map(|v| -v), estimate.lower.map(|v| -v));
    Estimate { value: -estimate.value, lower, upper, ..estimate.clone() }
}

/// Rounded to `digits` decimals, without the sign of a zero.
#[must_use]
pub fn rounded(value: f64, digits: usize) -> f64 {
    let unit = 10f64.powi(i32::try_from(digits).unwrap_or(i32::MAX));
    (value * unit).round() / unit + 0.0
}

impl GapReport {
    /// The answer in one or two sentences.
    #[must_use]
    pub fn in_words(&self) -> String {
        let report = self;
        let (open, closed) = (&report.frontiers.open.leader, &report.frontiers.closed.leader);
        let range = |e: &Estimate, digits: usize| match (e.lower, e.upper) {
            (Some(low), Some(high)) => {
                let (low, high) = (rounded(low, digits), rounded(high, digits));
                format!(" (90 % interval {low:.digits$} to {high:.digits$})")
            }
            (Some(low), None) => format!(" (at least {low:.digits$})"),
            _ => String::new(),
        };
        let (position, gap) = if report.gap.value > 0.0 {
            ("trail closed models", report.gap.clone())
        } else {
            ("are level with closed models or ahead,", mirrored(&report.gap))
        };
        let first = format!(
            "Open weights {position} by {:.1} {}{} as of {}: {} stands at {:.1}, {} at {:.1}.",
            gap.value,
            report.unit,
            range(&gap, 1),
            report.as_of,
            open.name,
            open.score.value,
            closed.name,
            closed.score.value,
        );
        let least = if report.lag.censored { "at least " } else { "" };
        let spread = match (report.lag.rule, report.lag.months.lower, report.lag.months.upper) {
            (LagRule::Propagated, ..) => range(&report.lag.months, 1),
            (rule, Some(low), Some(high)) => format!(" (5 to 95 % of {}: {low:.1} to {high:.1})", rule.spread_over()),
            _ => String::new(),
        };
        let end = if report.facts_end < report.as_of {
            format!(" The facts end on {}.", report.facts_end)
        } else {
            String::new()
        };
        format!(
            "{first} Averaged over {} to {} they trailed by {:.1} points; by lag rule '{}' they are {least}{:.1} months behind{spread}.{end}",
            report.window[0], report.window[1], report.gap_over_window.value, report.lag.rule, report.lag.months.value,
        )
    }
}

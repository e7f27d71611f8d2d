//! The threshold lag (Epoch AI, November 2024): for each score threshold, first open date minus first closed date.
//!
//! Thresholds that closed models have reached and open ones have not are censored: the lag is at least the time since
//! the closed model. They are kept apart, because leaving them out biases the mean down.

use crate::frontier::Entrant;

/// Scores are compared with this slack, so that 60 % reaches the threshold 60.
const SLACK: f64 = 1e-9;

/// The lag at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdLag {
    /// The threshold, in the unit of the scores.
    pub threshold: f64,
    /// Days from the first closed to the first open model, or from the first closed model to the day of the question.
    pub days: i32,
    /// True where no open model has reached the threshold: `days` is a lower bound.
    pub censored: bool,
}

/// The thresholds of the 2024 publication: 35 to 95 % in steps of 5.
pub fn percent_thresholds() -> impl Iterator<Item = f64> {
    (35..100).step_by(5).map(f64::from)
}

/// The lag at each threshold that a closed model has reached by `as_of`; `scores` by column.
#[must_use]
pub fn thresholds(
    open: &[Entrant],
    closed: &[Entrant],
    scores: &[f64],
    levels: impl Iterator<Item = f64>,
    as_of: i32,
) -> Vec<ThresholdLag> {
    let first = |side: &[Entrant], level: f64| {
        side.iter().filter(|e| e.day <= as_of && scores[e.column] >= level - SLACK).map(|e| e.day).min()
    };
    levels
        .filter_map(|threshold| {
            let closed_day = first(closed, threshold)?;
            let open_day = first(open, threshold);
            let days = open_day.unwrap_or(as_of) - closed_day;
            Some(ThresholdLag { threshold, days, censored: open_day.is_none() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_that_is_met_exactly_counts() {
        let scores = [60.0, 61.0, 80.0];
        let open = [Entrant { day: 90, column: 1 }];
        let closed = [Entrant { day: 30, column: 0 }, Entrant { day: 50, column: 2 }];
        let lags = thresholds(&open, &closed, &scores, [55.0, 60.0, 65.0, 85.0].into_iter(), 100);
        let expect = [(55.0, 60, false), (60.0, 60, false), (65.0, 50, true)];
        assert_eq!(lags.iter().map(|l| (l.threshold, l.days, l.censored)).collect::<Vec<_>>(), expect);
    }
}

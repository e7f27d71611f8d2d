//! The horizontal lag (Epoch AI, October 2025): how much later the open side reaches the same score.
//!
//! A grid of 100 levels runs from the first level that both sides have reached to the best open score. At each level the
//! lag is the first day of the open side minus the first day of the closed side; it may be negative. The published 5 to
//! 95 % range is the spread across the levels, not an interval of the mean. The grid goes on, at the same spacing, to
//! the best closed score: those levels are censored and must not be dropped.

use crate::frontier::Frontier;

/// Number of levels of the grid.
pub const LEVELS: usize = 100;
/// Significance of "worse": two-sided 5 %.
const Z: f64 = 1.96;
/// Levels are compared with this slack, so that the ends of the grid belong to it.
const SLACK: f64 = 1e-9;

/// When the open side counts as having reached a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaughtUp {
    /// Its score is at the level.
    Reached,
    /// Its score is at the level, or not significantly below the closed model that reached it first.
    NotSignificantlyWorse,
}

/// The lag at every level.
#[derive(Clone, Debug, PartialEq)]
pub struct Horizontal {
    /// Lag in days at each of the [`LEVELS`] levels up to the best open score, lowest first.
    pub lags: Vec<i32>,
    /// Levels above the best open score that it nevertheless is not significantly below.
    pub above: Vec<i32>,
    /// Days since the closed side reached each level that no open model has caught up with: lower bounds.
    pub censored: Vec<i32>,
}

/// The lag level by level on day `as_of`; `errors` are standard errors by column (0 where a score is fixed).
///
/// A record of the open frontier has caught up with a level when it reaches it or, by
/// [`CaughtUp::NotSignificantlyWorse`], when it is at most 1.96 standard errors below the closed model that reached it
/// first, the two taken as independent. `None` where the sides share no level.
#[must_use]
pub fn horizontal(
    open: &Frontier,
    closed: &Frontier,
    errors: &[f64],
    rule: CaughtUp,
    as_of: i32,
) -> Option<Horizontal> {
    let low = open.steps().first()?.score.max(closed.steps().first()?.score);
    let high = open.steps().last()?.score;
    let top = closed.steps().last()?.score;
    if high <= low {
        return None;
    }
    let step = (high - low) / (LEVELS - 1) as f64;
    let mut found = Horizontal { lags: Vec::with_capacity(LEVELS), above: Vec::new(), censored: Vec::new() };
    let mut open_day = i32::MIN;
    for k in 0.. {
        let level = low + step * f64::from(k);
        if level > high.max(top) + SLACK {
            break;
        }
        let Some(c) = closed.steps().iter().find(|s| s.score >= level - SLACK) else { break };
        let caught = open.steps().iter().find(|o| {
            let error = errors[c.column].hypot(errors[o.column]);
            o.score >= level - SLACK || (rule == CaughtUp::NotSignificantlyWorse && c.score - o.score <= Z * error)
        });
        let Some(o) = caught else {
            found.censored.push(as_of - c.day);
            continue;
        };
        // A level that was caught up with late keeps the levels above it late.
        open_day = open_day.max(o.day);
        if found.lags.len() < LEVELS { &mut found.lags } else { &mut found.above }.push(open_day - c.day);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontier::{Entrant, Side};

    fn frontier(entrants: &[(i32, usize)], scores: &[f64]) -> Frontier {
        Side::new(entrants.iter().map(|&(day, column)| Entrant { day, column }).collect()).frontier(scores)
    }

    #[test]
    fn a_constant_delay_is_the_lag_at_every_level() {
        let scores = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0];
        let closed = frontier(&[(0, 0), (100, 1), (200, 2)], &scores);
        let open = frontier(&[(30, 3), (130, 4), (230, 5)], &scores);
        let found = horizontal(&open, &closed, &[0.0; 6], CaughtUp::Reached, 300).unwrap();
        assert_eq!(found.lags, vec![30; LEVELS]);
        assert!(found.censored.is_empty());
    }

    #[test]
    fn what_open_has_not_reached_is_censored() {
        let scores = [1.0, 2.0, 5.0, 1.0, 2.0];
        let closed = frontier(&[(0, 0), (100, 1), (200, 2)], &scores);
        let open = frontier(&[(30, 3), (130, 4)], &scores);
        let strict = horizontal(&open, &closed, &[0.0; 5], CaughtUp::Reached, 300).unwrap();
        assert_eq!(strict.censored.len(), 297, "level 5 is three grid widths above the grid");
        assert!(strict.censored.iter().all(|&days| days == 100));
        let wide = [2.0; 5];
        let lenient = horizontal(&open, &closed, &wide, CaughtUp::NotSignificantlyWorse, 300).unwrap();
        assert!(lenient.censored.is_empty(), "a gap of 3 is within 1.96 standard errors of 2.83");
        assert!(horizontal(&frontier(&[(0, 3)], &scores), &closed, &wide, CaughtUp::Reached, 9).is_none());
    }
}

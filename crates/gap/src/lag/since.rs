//! The lag on a day: how long ago the closed side first had something better than the best open model of that day.
//!
//! Rule `since` (Epoch AI, May 2026) takes a closed model as better once a given share of the bootstrap draws says so;
//! rule `propagated` applies the plain comparison inside every draw and so carries the uncertainty of the scores through.
//! While the best open model is level or ahead the lag is 0.

use crate::frontier::{Frontier, Side};
use crate::index::Draws;

/// The lag and the gap on one day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Day {
    /// Days since the closed side first had something better; 0 while open leads or is level.
    pub lag_days: i32,
    /// Best closed score minus best open score, negative while open leads.
    pub gap: f64,
    /// True when the first better closed model is the first closed model of all: the true lag may be longer.
    pub at_start: bool,
}

/// Lag and gap on each day of `[from, to]` under one score vector.
///
/// Days before the first release of either side are left out: there is nothing to compare.
pub fn daily<'a>(open: &'a Frontier, closed: &'a Frontier, from: i32, to: i32) -> impl Iterator<Item = Day> + use<'a> {
    (from..=to).filter_map(move |day| {
        let (best_open, best_closed) = (open.on(day)?, closed.on(day)?);
        let first = closed.first_above(best_open.score).filter(|step| step.day <= day);
        Some(Day {
            lag_days: first.map_or(0, |step| day - step.day),
            gap: best_closed.score - best_open.score,
            at_start: first.is_some_and(|step| Some(step.day) == closed.steps().first().map(|s| s.day)),
        })
    })
}

/// The lag on each day of `[from, to]`, in days, when a closed frontier model counts as better only where more than
/// `confidence` of the draws put it above the best open model of the day.
#[must_use]
pub fn daily_confident(
    open: &Side,
    closed: &Side,
    scores: &[f64],
    draws: &Draws,
    confidence: f64,
    from: i32,
    to: i32,
) -> Vec<i32> {
    let (open, closed) = (open.frontier(scores), closed.frontier(scores));
    let better = |c: usize, o: usize| {
        let above = draws.rows().filter(|row| row[c] > row[o]).count();
        above as f64 / draws.len() as f64 > confidence
    };
    let mut lags = Vec::new();
    // The first better model for each open record, found once: there are few records and many days.
    let first: Vec<_> = open
        .steps()
        .iter()
        .map(|o| closed.steps().iter().find(|c| better(c.column, o.column)).map(|c| c.day))
        .collect();
    for day in from..=to {
        let Some(at) = open.steps().partition_point(|s| s.day <= day).checked_sub(1) else { continue };
        if closed.on(day).is_some() {
            lags.push(first[at].filter(|&c| c <= day).map_or(0, |c| day - c));
        }
    }
    lags
}

/// What one draw says about a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowMean {
    /// Mean lag in days.
    pub lag_days: f64,
    /// Mean gap in points.
    pub gap: f64,
    /// Share of days on which the lag reaches back to the first closed model.
    pub at_start: f64,
}

/// The daily lag and gap averaged over `[from, to]`; `None` where no day of it has models on both sides.
#[must_use]
pub fn window_mean(open: &Frontier, closed: &Frontier, from: i32, to: i32) -> Option<WindowMean> {
    let (mut n, mut lag, mut gap, mut at_start) = (0.0, 0.0, 0.0, 0.0);
    for day in daily(open, closed, from, to) {
        n += 1.0;
        lag += f64::from(day.lag_days);
        gap += day.gap;
        at_start += f64::from(u8::from(day.at_start));
    }
    (n > 0.0).then(|| WindowMean { lag_days: lag / n, gap: gap / n, at_start: at_start / n })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontier::Entrant;

    fn side(entrants: &[(i32, usize)]) -> Side {
        Side::new(entrants.iter().map(|&(day, column)| Entrant { day, column }).collect())
    }

    #[test]
    fn the_lag_runs_from_the_first_better_closed_model() {
        let scores = [1.0, 2.0, 3.0, 2.5];
        let (open, closed) = (side(&[(0, 0), (50, 3)]).frontier(&scores), side(&[(10, 1), (40, 2)]).frontier(&scores));
        let days: Vec<_> = daily(&open, &closed, 5, 60).collect();
        assert_eq!(days.len(), 51, "day 10 is the first with both sides");
        assert_eq!((days[0].lag_days, days[0].at_start), (0, true));
        assert_eq!(days[39].lag_days, 39);
        // On day 50 open passes the closed model of day 10, but not that of day 40.
        assert_eq!((days[40].lag_days, days[40].gap, days[40].at_start), (10, 0.5, false));
    }

    #[test]
    fn no_lag_while_open_leads() {
        let scores = [5.0, 2.0];
        let (open, closed) = (side(&[(0, 0)]).frontier(&scores), side(&[(0, 1)]).frontier(&scores));
        let mean = window_mean(&open, &closed, 0, 9).unwrap();
        assert_eq!((mean.lag_days, mean.gap), (0.0, -3.0));
        assert_eq!(window_mean(&open, &closed, -9, -1), None);
    }

    #[test]
    fn doubt_shortens_the_confident_lag() {
        let scores = [1.0, 1.1, 2.0];
        let (open, closed) = (side(&[(0, 0)]), side(&[(10, 1), (40, 2)]));
        // The first closed model is ahead in half of the draws only.
        let draws = Draws::from_rows(3, vec![1.0, 1.1, 2.0, 1.0, 0.9, 2.0], 0);
        assert_eq!(daily_confident(&open, &closed, &scores, &draws, 0.4, 50, 50), [40]);
        assert_eq!(daily_confident(&open, &closed, &scores, &draws, 0.5, 50, 50), [10]);
        assert_eq!(daily_confident(&open, &closed, &scores, &draws, 0.9, 30, 30), [0]);
    }
}

//! Each lag rule applied to a board: from daily, level or threshold lags to one estimate in months.

use weighbridge_core::{DAYS_PER_MONTH, Estimate};
use weighbridge_stats::StatError;
use weighbridge_stats::quantile::quantiles;

use super::horizontal::{CaughtUp, horizontal};
use super::since::{daily_confident, window_mean};
use super::thresholds::{percent_thresholds, thresholds};
use super::{Lag, LagRule};
use crate::board::{Board, Unit};
use crate::frontier::{Frontier, Side};
use crate::summary::{LEVEL, NO_INTERVAL, holding_value, median, widen, without_interval};

/// A closed model counts as better by rule `since` when more than this share of the draws puts it above.
pub const CONFIDENCE: f64 = 0.95;
/// Index points between two thresholds of rule `thresholds` on the index.
const INDEX_STEP: f64 = 1.0;
/// Width of a 90 % normal interval in standard errors, as Epoch AI rounds it.
const INTERVAL_WIDTH: f64 = 3.29;

/// Both sides of a board and their frontiers, fitted and draw by draw.
pub struct Sides<'a> {
    /// Open models.
    pub open: &'a Side,
    /// Closed models.
    pub closed: &'a Side,
    /// Open frontier under the fitted scores.
    pub open_frontier: &'a Frontier,
    /// Closed frontier under the fitted scores.
    pub closed_frontier: &'a Frontier,
    /// Open frontier of each draw.
    pub open_draws: &'a [Frontier],
    /// Closed frontier of each draw, in the same order.
    pub closed_draws: &'a [Frontier],
    /// Open and closed frontier of each draw with disputed release dates drawn too; may be empty.
    pub dated_draws: &'a [(Frontier, Frontier)],
}

/// The lag by `rule`; `None` where the window (or the grid of levels) has nothing to compare.
///
/// # Errors
/// The board has no draws.
pub fn lag(
    rule: LagRule,
    board: &Board,
    sides: &Sides<'_>,
    window: (i32, i32),
    today: i32,
) -> Result<Option<Lag>, StatError> {
    match rule {
        LagRule::Propagated => propagated(board, sides, window),
        LagRule::Since => since(board, sides, window),
        LagRule::Horizontal => by_level(board, sides, today),
        LagRule::Thresholds => by_threshold(board, sides, today),
    }
}

fn propagated(board: &Board, sides: &Sides<'_>, (from, to): (i32, i32)) -> Result<Option<Lag>, StatError> {
    let pairs = sides.open_draws.iter().zip(sides.closed_draws);
    let means: Vec<_> = pairs.filter_map(|(o, c)| window_mean(o, c, from, to)).collect();
    let Some(fitted) = window_mean(sides.open_frontier, sides.closed_frontier, from, to) else { return Ok(None) };
    let months: Vec<f64> = means.iter().map(|m| m.lag_days / DAYS_PER_MONTH).collect();
    let method = format!("daily lag averaged over the window in each draw, median over draws; {}", board.method);
    let months = if board.has_uncertainty() {
        let dated = sides.dated_draws.iter().filter_map(|(o, c)| window_mean(o, c, from, to));
        let dated: Vec<f64> = dated.map(|m| m.lag_days / DAYS_PER_MONTH).collect();
        widen(median(&months, &method)?, &dated)?
    } else {
        let value = fitted.lag_days / DAYS_PER_MONTH;
        without_interval(value, (to - from + 1) as usize, NO_INTERVAL)
    };
    let censored_share = means.iter().map(|m| m.at_start).sum::<f64>() / means.len().max(1) as f64;
    Ok(Some(Lag { rule: LagRule::Propagated, months, censored: censored_share >= NOTABLE, censored_share }))
}

/// A share of censored days that is worth a word: below it rounding to whole percent gives none.
const NOTABLE: f64 = 0.005;

fn since(board: &Board, sides: &Sides<'_>, (from, to): (i32, i32)) -> Result<Option<Lag>, StatError> {
    let days = daily_confident(sides.open, sides.closed, &board.scores, &board.draws, CONFIDENCE, from, to);
    let months: Vec<f64> = days.iter().map(|&d| f64::from(d) / DAYS_PER_MONTH).collect();
    let method = format!(
        "days since the closed frontier first was better in more than {:.0} % of draws, mean over the days of the window; the interval is the spread over the days",
        100.0 * CONFIDENCE
    );
    let first = sides.closed_frontier.steps().first().map(|s| s.day);
    let at_start = (from..=to).zip(&days).filter(|&(day, &lag)| Some(day - lag) == first).count();
    spread(LagRule::Since, &months, at_start, &method)
}

fn by_level(board: &Board, sides: &Sides<'_>, today: i32) -> Result<Option<Lag>, StatError> {
    let errors = standard_errors(board)?;
    let (open, closed) = (sides.open_frontier, sides.closed_frontier);
    let Some(found) = horizontal(open, closed, &errors, CaughtUp::NotSignificantlyWorse, today) else {
        return Ok(None);
    };
    let days = found.lags.iter().chain(&found.above).chain(&found.censored);
    let months: Vec<f64> = days.map(|&d| f64::from(d) / DAYS_PER_MONTH).collect();
    let method = "score levels between the frontiers, open not significantly worse (z <= 1.96), mean over the levels with unmatched levels at their lower bound; the interval is the spread over the levels";
    spread(LagRule::Horizontal, &months, found.censored.len(), method)
}

fn by_threshold(board: &Board, sides: &Sides<'_>, today: i32) -> Result<Option<Lag>, StatError> {
    let levels: Vec<f64> = match board.unit {
        Unit::PercentagePoints => percent_thresholds().collect(),
        Unit::IndexPoints => index_levels(sides),
    };
    let found = thresholds(sides.open.entrants(), sides.closed.entrants(), &board.scores, levels.into_iter(), today);
    let months: Vec<f64> = found.iter().map(|l| f64::from(l.days) / DAYS_PER_MONTH).collect();
    let censored = found.iter().filter(|l| l.censored).count();
    let method = "score thresholds, first open minus first closed date, mean over the thresholds with unmatched ones at their lower bound; the interval is the spread over the thresholds";
    spread(LagRule::Thresholds, &months, censored, method)
}

/// Whole index points from the first level that both sides reached to the best closed score.
fn index_levels(sides: &Sides<'_>) -> Vec<f64> {
    let steps = |f: &Frontier| Some((f.steps().first()?.score, f.steps().last()?.score));
    let (Some(open), Some(closed)) = (steps(sides.open_frontier), steps(sides.closed_frontier)) else {
        return Vec::new();
    };
    let mut levels = Vec::new();
    let mut level = open.0.max(closed.0).ceil();
    while level <= closed.1 {
        levels.push(level);
        level += INDEX_STEP;
    }
    levels
}

/// Standard error of each score from the width of its 90 % interval.
fn standard_errors(board: &Board) -> Result<Vec<f64>, StatError> {
    (0..board.scores.len())
        .map(|column| {
            let ends = quantiles(&board.draws.of(column), &[0.05, 0.95])?;
            Ok((ends[1] - ends[0]) / INTERVAL_WIDTH)
        })
        .collect()
}

/// Mean of lags with their 5 to 95 % spread; `None` of no lags.
fn spread(rule: LagRule, months: &[f64], censored: usize, method: &str) -> Result<Option<Lag>, StatError> {
    if months.is_empty() {
        return Ok(None);
    }
    let tail = (1.0 - LEVEL) / 2.0;
    let ends = quantiles(months, &[tail, 1.0 - tail])?;
    let months = Estimate {
        value: months.iter().sum::<f64>() / months.len() as f64,
        lower: Some(ends[0]),
        upper: Some(ends[1]),
        level: LEVEL,
        method: method.to_owned(),
        n: months.len() as u64,
    };
    let censored_share = censored as f64 / months.n as f64;
    Ok(Some(Lag { rule, months: holding_value(months), censored: censored > 0, censored_share }))
}

//! From draws to estimates: the one place where a list of draws becomes a value with an interval.

use weighbridge_core::Estimate;
use weighbridge_stats::StatError;
use weighbridge_stats::quantile::quantiles;

/// Coverage of the intervals of the gap: 90 %, as Epoch AI publishes its index.
pub const LEVEL: f64 = 0.9;
/// Method of a number on a board that carries no uncertainty.
pub const NO_INTERVAL: &str = "no sample counts are known, so no interval";

/// `value` with the central [`LEVEL`] interval of `draws`.
///
/// # Errors
/// There are no draws or one is not finite.
pub fn with_interval(value: f64, draws: &[f64], method: &str) -> Result<Estimate, StatError> {
    let tail = (1.0 - LEVEL) / 2.0;
    let ends = quantiles(draws, &[tail, 1.0 - tail])?;
    Ok(Estimate {
        value,
        lower: Some(ends[0]),
        upper: Some(ends[1]),
        level: LEVEL,
        method: method.to_owned(),
        n: draws.len() as u64,
    })
}

/// `value` of which no interval is known, and why.
#[must_use]
pub fn without_interval(value: f64, n: usize, method: &str) -> Estimate {
    Estimate { value, lower: None, upper: None, level: LEVEL, method: method.to_owned(), n: n as u64 }
}

/// The median of `draws` with their interval.
///
/// # Errors
/// As [`with_interval`].
pub fn median(draws: &[f64], method: &str) -> Result<Estimate, StatError> {
    with_interval(weighbridge_stats::quantile::median(draws)?, draws, method)
}

/// The mean of `draws` with their interval, which is stretched to the mean where skewed draws leave it outside.
///
/// # Errors
/// As [`with_interval`].
pub fn mean(draws: &[f64], method: &str) -> Result<Estimate, StatError> {
    Ok(holding_value(with_interval(draws.iter().sum::<f64>() / draws.len() as f64, draws, method)?))
}

/// The estimate with its interval stretched to hold its value.
#[must_use]
pub fn holding_value(mut estimate: Estimate) -> Estimate {
    estimate.lower = estimate.lower.map(|v| v.min(estimate.value));
    estimate.upper = estimate.upper.map(|v| v.max(estimate.value));
    estimate
}

/// `estimate` with its interval stretched over that of `draws`, which carry one more uncertainty; as it is without draws.
///
/// # Errors
/// A draw is not finite.
pub fn widen(mut estimate: Estimate, draws: &[f64]) -> Result<Estimate, StatError> {
    if draws.is_empty() {
        return Ok(estimate);
    }
    let wider = with_interval(estimate.value, draws, "")?;
    let hull = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| a.zip(b).map(|(a, b)| pick(a, b));
    estimate.lower = hull(estimate.lower, wider.lower, f64::min);
    estimate.upper = hull(estimate.upper, wider.upper, f64::max);
    estimate.method.push_str("; widened by release dates that sources dispute");
    Ok(estimate)
}

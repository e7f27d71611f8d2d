//! Wilson's score interval for a proportion of `s` successes in `n` trials.
//!
//! `(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`. It stays inside [0, 1] and keeps a width at
//! 0 and at `n` successes, where the normal interval collapses.
//! Reference: Wilson (1927); Brown, Cai and DasGupta, "Interval estimation for a binomial proportion" (2001).

use crate::distribution::z_for_level;
use crate::{Interval, StatError};

/// The Wilson interval at `level`.
///
/// # Errors
/// `trials` is 0, `successes` exceeds it, or `level` is not strictly between 0 and 1.
pub fn wilson(successes: u64, trials: u64, level: f64) -> Result<Interval, StatError> {
    StatError::unless_enough("trials", 1, trials)?;
    if successes > trials {
        let range = "no more than the trials";
        return Err(StatError::OutOfRange { what: "the successes", range, value: successes as f64 });
    }
    let z = z_for_level(level)?;
    let n = trials as f64;
    let p = successes as f64 / n;
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    // At 0 and n successes the formula gives exactly 0 and 1; rounding must not step outside.
    let lower = if successes == 0 { 0.0 } else { centre - half };
    let upper = if successes == trials { 1.0 } else { centre + half };
    Ok(Interval { lower, upper, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy 1.17.1: `binomtest(s, n).proportion_ci(level, method="wilson")`.
    #[test]
    fn wilson_agrees_with_scipy() {
        for (successes, trials, level, lower, upper) in [
            (0, 10, 0.95, 0.0, 0.277_532_799_862_889_26),
            (10, 10, 0.95, 0.722_467_200_137_110_9, 1.0),
            (7, 10, 0.9, 0.441_699_795_869_835_1, 0.873_123_416_096_802_1),
            (372, 500, 0.95, 0.703_987_030_046_481_3, 0.780_292_291_808_281_2),
            (1, 1_000_000, 0.99, 1.174_054_749_996_328e-7, 8.517_433_834_755_595e-6),
        ] {
            let found = wilson(successes, trials, level).unwrap();
            assert!((found.lower - lower).abs() < 1e-14 && (found.upper - upper).abs() < 1e-14, "{found:?}");
        }
    }

    #[test]
    fn no_trials_no_interval() {
        assert!(wilson(0, 0, 0.95).is_err());
        assert!(wilson(2, 1, 0.95).is_err());
    }
}

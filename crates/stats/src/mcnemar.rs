//! McNemar's test of two models on the same 0/1-scored samples.
//!
//! With `b` and `c` discordant pairs, exact: twice the lower tail of `Binomial(b + c, 1/2)` at `min(b, c)`, at most 1;
//! chi-square `(b - c)^2 / (b + c)`, corrected `max(|b - c| - 1, 0)^2 / (b + c)`, one degree of freedom.
//! References: McNemar (1947); Edwards (1948) for the correction; Loader, "Fast and accurate computation of binomial
//! probabilities" (2000) for the point probability from which the tail is summed.

use std::f64::consts::{LN_2, PI};

use crate::StatError;
use crate::distribution::chi2_p;

/// The three forms of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// Exact two-sided p value. One that is too small for an `f64` is given as the smallest positive one.
    pub exact_p: f64,
    /// Chi-square without correction.
    pub chi2: f64,
    /// p value of `chi2`.
    pub chi2_p: f64,
    /// Chi-square with Edwards' continuity correction.
    pub chi2_corrected: f64,
    /// p value of `chi2_corrected`.
    pub chi2_corrected_p: f64,
}

/// Tests whether the two kinds of discordant pairs are equally likely.
///
/// # Errors
/// There is no discordant pair.
pub fn mcnemar(only_a: u64, only_b: u64) -> Result<McNemar, StatError> {
    let n = only_a + only_b;
    StatError::unless_enough("discordant pairs", 1, n)?;
    let apart = only_a.abs_diff(only_b) as f64;
    let corrected = (apart - 1.0).max(0.0);
    let chi2 = apart * apart / n as f64;
    let chi2_corrected = corrected * corrected / n as f64;
    Ok(McNemar {
        exact_p: (2.0 * lower_tail(only_a.min(only_b), n)).clamp(f64::MIN_POSITIVE, 1.0),
        chi2,
        chi2_p: chi2_p(chi2)?,
        chi2_corrected,
        chi2_corrected_p: chi2_p(chi2_corrected)?,
    })
}

/// `P(X <= k)` for `X ~ Binomial(n, 1/2)` and `k <= n / 2`, summed downwards from `k` until terms no longer count.
fn lower_tail(k: u64, n: u64) -> f64 {
    let (mut term, mut tail) = (1.0, 1.0);
    for j in (1..=k).rev() {
        term *= j as f64 / (n - j + 1) as f64;
        tail += term;
        if term < tail * f64::EPSILON * 1e-2 {
            break;
        }
    }
    tail * point(k as f64, n as f64)
}

/// `P(X = k)` for `X ~ Binomial(n, 1/2)`, in Loader's saddle-point form, which loses no digits for large `n`.
fn point(k: f64, n: f64) -> f64 {
    if k == 0.0 {
        return (-n * LN_2).exp();
    }
    let rest = n - k;
    let stirling = stirling_error(n) - stirling_error(k) - stirling_error(rest);
    let deviance = deviance(k, 0.5 * n) + deviance(rest, 0.5 * n);
    (stirling - deviance).exp() * (n / (2.0 * PI * k * rest)).sqrt()
}

/// `ln n! - ln(sqrt(2 pi n) (n / e)^n)`.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        let factorial: f64 = (1..=n as u64).map(|i| i as f64).product();
        return factorial.ln() - ((n + 0.5) * n.ln() - n + 0.5 * (2.0 * PI).ln());
    }
    let s = n * n;
    let series = 1.0 / 1260.0 - (1.0 / 1680.0 - (1.0 / 1188.0 - 691.0 / 360_360.0 / s) / s) / s;
    (1.0 / 12.0 - (1.0 / 360.0 - series / s) / s) / n
}

/// `x ln(x / m) + m - x`, by its series in `v = (x - m) / (x + m)` where the terms would cancel.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let mut sum = (x - m) * v;
    let mut power = 2.0 * x * v;
    for odd in (3..1000).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next.to_bits() == sum.to_bits() {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(only_a: u64, only_b: u64, exact_p: f64, chi2: f64, chi2_corrected: f64) {
        let close = |found: f64, expect: f64, tolerance: f64| {
            assert!((found - expect).abs() <= tolerance * expect, "{only_a} {only_b}: {found:e} {expect:e}");
        };
        for found in [mcnemar(only_a, only_b).unwrap(), mcnemar(only_b, only_a).unwrap()] {
            close(found.exact_p, exact_p, 1e-11);
            close(found.chi2, chi2, 1e-14);
            close(found.chi2_corrected, chi2_corrected, 1e-14);
        }
    }

    // Exact p in rational arithmetic (Python: `Fraction(2 * sum(comb(n, j) for j in range(k + 1)), 2 ** n)`); where the
    // sum is too long, scipy 1.17.1 `2 * binom.cdf(k, n, 0.5)`.
    #[test]
    fn agrees_with_exact_arithmetic() {
        check(85, 18, 1.363_405_146_338_155_6e-11, 43.582_524_271_844_66, 42.291_262_135_922_33);
        check(1944, 1053, 2.648_647_368_390_498e-60, 264.891_891_891_891_9, 264.297_630_964_297_64);
        check(0, 1, 1.0, 1.0, 0.0);
        check(5, 5, 1.0, 0.0, 0.0);
        check(0, 10, 0.001_953_125, 10.0, 8.1);
        check(1, 9, 0.021_484_375, 6.4, 4.9);
        check(10, 13, 0.677_639_484_405_517_6, 9.0 / 23.0, 4.0 / 23.0);
        check(400, 300, 0.000_178_476_314_485_624_4, 100.0 / 7.0, 9801.0 / 700.0);
        check(50_000, 51_000, 0.001_669_630_455_991_558_6, 1e6 / 101_000.0, 998_001.0 / 101_000.0);
        check(50_000_000, 50_010_000, 0.317_383_100_289_897_86, 1e8 / 100_010_000.0, 99_980_001.0 / 100_010_000.0);
    }

    #[test]
    fn a_p_value_is_never_0() {
        let found = mcnemar(0, 2000).unwrap();
        assert!(found.exact_p > 0.0 && found.chi2_p > 0.0);
    }

    #[test]
    fn no_discordant_pair_no_test() {
        assert_eq!(mcnemar(0, 0), Err(StatError::NotEnough { what: "discordant pairs", needed: 1, found: 0 }));
    }
}

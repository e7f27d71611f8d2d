//! An interval of a mean that holds at all times at once, so that one may look after every sample and stop at will.
//!
//! The predictable plug-in empirical-Bernstein confidence sequence of values in [0, 1]:
//! centre `sum(l_i x_i) / sum(l_i)`, half width `(ln(2/a) + sum(v_i psi(l_i))) / sum(l_i)`, with
//! `v_i = 4 (x_i - m_(i-1))^2`, `psi(l) = (-ln(1 - l) - l) / 4`,
//! `l_i = min(sqrt(2 ln(2/a) / (s_(i-1)^2 i ln(1 + i))), 1/2)`, where m and s^2 are running means that begin with 1/2 and 1/4.
//! Reference: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 2024, theorem 2).

use crate::Interval;

/// Largest bet on one value.
const LARGEST_BET: f64 = 0.5;

/// Takes values in, in an order that does not depend on them.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfidenceSequence {
    low: f64,
    width: f64,
    level: f64,
    log_term: f64,
    n: u64,
    /// Sum of values, begun with one half.
    sum: f64,
    /// Sum of squared distances from the running mean, begun with one quarter.
    squares: f64,
    bets: f64,
    weighted: f64,
    penalty: f64,
    lower: f64,
    upper: f64,
}

impl ConfidenceSequence {
    /// For values from `low` to `high`, at the level `level` (0.95). `None` where the range is empty or the level is not
    /// between 0 and 1.
    #[must_use]
    pub fn new(low: f64, high: f64, level: f64) -> Option<Self> {
        let alpha = 1.0 - level;
        let sound = low.is_finite() && high.is_finite() && high > low && alpha > 0.0 && alpha < 1.0;
        sound.then(|| Self {
            low,
            width: high - low,
            level,
            log_term: (2.0 / alpha).ln(),
            n: 0,
            sum: 0.5,
            squares: 0.25,
            bets: 0.0,
            weighted: 0.0,
            penalty: 0.0,
            lower: 0.0,
            upper: 1.0,
        })
    }

    /// Takes the next value; one outside of the range counts as its end.
    pub fn add(&mut self, value: f64) {
        let x = ((value - self.low) / self.width).clamp(0.0, 1.0);
        // Mean and variance before this value.
        let before = self.sum / (self.n as f64 + 1.0);
        let variance = self.squares / (self.n as f64 + 1.0);
        self.n += 1;
        let i = self.n as f64;
        let bet = (2.0 * self.log_term / (variance * i * (1.0 + i).ln())).sqrt().min(LARGEST_BET);
        let v = 4.0 * (x - before).powi(2);
        self.bets += bet;
        self.weighted += bet * x;
        self.penalty += v * (-(1.0 - bet).ln() - bet) / 4.0;
        self.sum += x;
        self.squares += (x - self.sum / (i + 1.0)).powi(2);
        let centre = self.weighted / self.bets;
        let half = (self.log_term + self.penalty) / self.bets;
        // The sequence holds at all times, hence so does what its intervals share.
        self.lower = self.lower.max(centre - half);
        self.upper = self.upper.min(centre + half);
    }

    /// Values taken.
    #[must_use]
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// The interval of the mean; `None` before the first value, and where the intervals share nothing, which happens with
    /// a probability below 1 - level.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        let scaled = |x: f64| self.low + self.width * x;
        (self.n > 0 && self.lower <= self.upper).then(|| Interval {
            lower: scaled(self.lower),
            upper: scaled(self.upper),
            level: self.level,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of a linear congruential generator (Numerical Recipes), enough for coin flips.
    fn coins(seed: u64, p: f64, n: usize) -> impl Iterator<Item = f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        (0..n).map(move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from((((state >> 33) as f64) / (1_u64 << 31) as f64) < p)
        })
    }

    #[test]
    fn the_mean_is_inside_at_all_times() {
        for p in [0.02, 0.3, 0.5, 0.9] {
            let missed = (0..400).filter(|seed| {
                let Some(mut sequence) = ConfidenceSequence::new(0.0, 1.0, 0.95) else { return true };
                coins(*seed, p, 1000).any(|x| {
                    sequence.add(x);
                    sequence.interval().is_none_or(|i| p < i.lower || p > i.upper)
                })
            });
            // At most 20 of 400 are to be expected; 40 is beyond four standard deviations.
            let missed = missed.count();
            assert!(missed < 40, "p = {p}: missed {missed} of 400");
        }
    }

    #[test]
    fn it_narrows_and_scales() {
        let mut unit = ConfidenceSequence::new(0.0, 1.0, 0.95).unwrap();
        let mut wide = ConfidenceSequence::new(-1.0, 1.0, 0.95).unwrap();
        assert_eq!(unit.interval(), None);
        for x in coins(7, 0.5, 2000) {
            unit.add(x);
            wide.add(2.0 * x - 1.0);
        }
        let (a, b) = (unit.interval().unwrap(), wide.interval().unwrap());
        assert!((b.upper - b.lower - 2.0 * (a.upper - a.lower)).abs() < 1e-12);
        // A fixed-time interval of 2,000 coins is 0.044 wide; what holds at all times is about twice that.
        assert!((0.05..0.13).contains(&(a.upper - a.lower)), "{a:?}");
        assert!(ConfidenceSequence::new(0.0, 0.0, 0.95).is_none() && ConfidenceSequence::new(0.0, 1.0, 1.0).is_none());
    }
}

//! Compensated summation: a running sum that carries its own rounding error.
//!
//! Knuth's TwoSum: with `s = fl(a + b)` and `t = fl(s - a)`, the error of `s` is exactly `(a - (s - t)) + (b - t)`.
//! The errors are summed beside the sum, so 10^8 terms cost no more accuracy than one.
//! Reference: Ogita, Rump, Oishi, "Accurate sum and dot product" (2005), algorithm 4.1 (Sum2).

/// A sum and the rounding error that it has left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    /// Adds one term.
    #[inline]
    pub(crate) fn add(&mut self, term: f64) {
        let sum = self.high + term;
        let rest = sum - self.high;
        self.low += (self.high - (sum - rest)) + (term - rest);
        self.high = sum;
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.high);
        self.low += other.low;
    }

    /// The sum, rounded once.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }

    /// `x` minus the sum; the large parts cancel before the small ones are taken off.
    #[inline]
    pub(crate) fn distance_to(self, x: f64) -> f64 {
        (x - self.high) - self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plain_addition_loses_is_kept() {
        let mut sum = Sum::default();
        for term in [1.0, 1e100, 1.0, -1e100] {
            sum.add(term);
        }
        assert_eq!(sum.value().to_bits(), 2.0_f64.to_bits());
    }

    #[test]
    fn ten_million_tenths_are_a_million() {
        let mut sum = Sum::default();
        for _ in 0..10_000_000 {
            sum.add(0.1);
        }
        assert!((sum.value() - 1e6).abs() < 1e-9, "{}", sum.value());
    }
}

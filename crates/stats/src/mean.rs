//! The mean and its standard error, `SE = sqrt(sum (s - mean)^2 / (n - 1) / n)`, from a stream.
//!
//! Welford's update (`d = x - mean; mean += d / n; m2 += d (x - mean)`) with both running values in compensated form,
//! and Chan's formula to merge two streams: exact to a few units in the last place over 10^8 values.
//! References: Miller, "Adding error bars to evals" (arXiv 2411.00640), section 2.1; Welford (1962); Chan, Golub and
//! LeVeque (1983).

use crate::StatError;
use crate::sum::Sum;

/// Count, mean and sum of squared deviations of the values pushed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanAccumulator {
    count: u64,
    mean: Sum,
    squares: Sum,
}

impl MeanAccumulator {
    /// Takes one value in. A NaN or an infinity makes every later result an error.
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let before = self.mean.distance_to(value);
        self.mean.add(before / self.count as f64);
        self.squares.add(before * self.mean.distance_to(value));
    }

    /// Takes in all that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (here, there) = (self.count as f64, other.count as f64);
        let all = here + there;
        let mut apart = other.mean;
        apart.add(-self.mean.value());
        let apart = apart.value();
        self.mean.add(apart * (there / all));
        self.squares.merge(other.squares);
        self.squares.add(apart * apart * (here * (there / all)));
        self.count += other.count;
    }

    /// How many values were pushed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean.
    ///
    /// # Errors
    /// No value was pushed, or one was not finite.
    pub fn mean(&self) -> Result<f64, StatError> {
        StatError::unless_enough("values", 1, self.count)?;
        StatError::unless_finite("mean", self.mean.value())
    }

    /// The variance with `n - 1`.
    ///
    /// # Errors
    /// Fewer than two values were pushed, or one was not finite.
    pub fn variance(&self) -> Result<f64, StatError> {
        StatError::unless_enough("values", 2, self.count)?;
        let squares = StatError::unless_finite("variance", self.squares.value())?;
        Ok(squares.max(0.0) / (self.count - 1) as f64)
    }

    /// The standard error of the mean.
    ///
    /// # Errors
    /// As [`MeanAccumulator::variance`].
    pub fn standard_error(&self) -> Result<f64, StatError> {
        Ok((self.variance()? / self.count as f64).sqrt())
    }
}

impl FromIterator<f64> for MeanAccumulator {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut all = Self::default();
        for value in values {
            all.push(value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let all: MeanAccumulator = [1.0, 2.0, 4.0, 5.0].into_iter().collect();
        assert_eq!((all.count(), all.mean()), (4, Ok(3.0)));
        assert!((all.variance().unwrap() - 10.0 / 3.0).abs() < 1e-15);
        assert!((all.standard_error().unwrap() - (10.0_f64 / 12.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn ten_million_values_far_from_zero_keep_twelve_digits() {
        // 1e6 + 0, 1, ..., 9 over and over: mean 1e6 + 4.5, sum of squares 8.25 a value.
        let (half, n) = (5_000_000, 10_000_000_u64);
        let stream = |range: std::ops::Range<u64>| range.map(|i| 1e6 + (i % 10) as f64);
        let mut all: MeanAccumulator = stream(0..half).collect();
        all.merge(&stream(half..n).collect());
        assert!((all.mean().unwrap() / 1_000_004.5 - 1.0).abs() < 1e-15);
        let variance = 8.25 * n as f64 / (n - 1) as f64;
        assert!((all.variance().unwrap() / variance - 1.0).abs() < 1e-12, "{}", all.variance().unwrap());
    }

    #[test]
    fn too_few_or_not_finite() {
        let mut all = MeanAccumulator::default();
        assert_eq!(all.mean(), Err(StatError::NotEnough { what: "values", needed: 1, found: 0 }));
        all.push(1.0);
        assert_eq!(all.mean(), Ok(1.0));
        assert_eq!(all.standard_error(), Err(StatError::NotEnough { what: "values", needed: 2, found: 1 }));
        all.push(f64::NAN);
        assert_eq!(all.mean(), Err(StatError::NotFinite { what: "mean" }));
        assert_eq!(all.variance(), Err(StatError::NotFinite { what: "variance" }));
    }
}

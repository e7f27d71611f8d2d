//! Two-sided intervals from a value and its standard error: `value -+ q * se`.
//!
//! `q` is the normal quantile where the standard error is as good as known, the Student t quantile where it was itself
//! estimated from few observations. Reference: any text; Student, "The probable error of a mean" (1908).

use crate::StatError;
use crate::distribution::{t_for_level, z_for_level};

/// A two-sided interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Coverage that it is made for, between 0 and 1.
    pub level: f64,
}

impl Interval {
    /// The normal interval.
    ///
    /// # Errors
    /// `value` or `se` is not finite, `se` is negative, or `level` is not strictly between 0 and 1.
    pub fn normal(value: f64, se: f64, level: f64) -> Result<Self, StatError> {
        Self::around(value, se, z_for_level(level)?, level)
    }

    /// The Student t interval; `freedom` is the degrees of freedom of `se`.
    ///
    /// # Errors
    /// As [`Interval::normal`], or `freedom` is less than 1.
    pub fn student(value: f64, se: f64, freedom: f64, level: f64) -> Result<Self, StatError> {
        Self::around(value, se, t_for_level(level, freedom)?, level)
    }

    fn around(value: f64, se: f64, quantile: f64, level: f64) -> Result<Self, StatError> {
        StatError::unless_finite("value", value)?;
        StatError::unless_non_negative("the standard error", se)?;
        Ok(Self { lower: value - quantile * se, upper: value + quantile * se, level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_is_wider_than_normal() {
        let (z, t) = (Interval::normal(1.0, 2.0, 0.95).unwrap(), Interval::student(1.0, 2.0, 11.0, 0.95).unwrap());
        assert!((z.upper - (1.0 + 2.0 * 1.959_963_984_540_054)).abs() < 1e-12);
        assert!((t.lower - (1.0 - 2.0 * 2.200_985_160_091_639)).abs() < 1e-9);
        assert!(Interval::normal(f64::NAN, 1.0, 0.9).is_err() && Interval::normal(0.0, -1.0, 0.9).is_err());
    }
}

//! How many samples a paired contrast needs, and what difference a given number can show.
//!
//! `n = (z_{alpha/2} + z_beta)^2 (omega^2 + sigma_A^2 / K_A + sigma_B^2 / K_B) / delta^2`, and the minimum detectable
//! effect is the same equation solved for delta. `omega^2` is the variance, over samples, of the difference of expected
//! scores; `sigma^2` is the variance of one model's score on one sample and `K` the number of epochs that average it.
//! Reference: Miller, "Adding error bars to evals" (arXiv 2411.00640), section 5, equations 9 and 10.

use crate::StatError;
use crate::distribution::normal_quantile;

/// Variance of one model's score within a sample, and the epochs that average it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WithinSample {
    /// Variance within a sample (sigma^2).
    pub variance: f64,
    /// Epochs a sample (K), at least 1; infinity stands for "averaged out".
    pub epochs: f64,
}

/// The variances of a paired contrast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContrastVariance {
    /// Variance between samples of the expected difference (omega^2).
    pub between: f64,
    /// The first model.
    pub a: WithinSample,
    /// The second model.
    pub b: WithinSample,
}

/// The two error rates that a contrast is planned for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRates {
    /// Chance to find a difference where there is none, two-sided (alpha).
    pub alpha: f64,
    /// Chance to find the difference where there is one (1 - beta).
    pub power: f64,
}

impl ErrorRates {
    /// The usual 5 % and 80 %.
    pub const USUAL: Self = Self { alpha: 0.05, power: 0.8 };

    fn z_sum(self) -> Result<f64, StatError> {
        StatError::unless_inside_unit("the error rate alpha", self.alpha)?;
        StatError::unless_inside_unit("the power", self.power)?;
        let sum = normal_quantile(self.power)? - normal_quantile(0.5 * self.alpha)?;
        // A power below alpha / 2 is reached without any sample; the formula would square a negative number.
        if sum <= 0.0 {
            let range = "greater than half of alpha";
            return Err(StatError::OutOfRange { what: "the power", range, value: self.power });
        }
        Ok(sum)
    }
}

impl ContrastVariance {
    /// Takes the noise within samples off the observed variance of per-sample differences. What is left can fall below
    /// 0 by chance and is then 0.
    #[must_use]
    pub fn from_observed(difference: f64, a: WithinSample, b: WithinSample) -> Self {
        let between = (difference - a.variance / a.epochs - b.variance / b.epochs).max(0.0);
        Self { between, a, b }
    }

    /// The same contrast with other numbers of epochs.
    #[must_use]
    pub fn with_epochs(self, a: f64, b: f64) -> Self {
        Self { a: WithinSample { epochs: a, ..self.a }, b: WithinSample { epochs: b, ..self.b }, ..self }
    }

    fn of_difference(&self) -> Result<f64, StatError> {
        StatError::unless_non_negative("the variance between samples", self.between)?;
        let mut total = self.between;
        for side in [self.a, self.b] {
            StatError::unless_non_negative("the variance within a sample", side.variance)?;
            if side.epochs < 1.0 || side.epochs.is_nan() {
                let (what, value) = ("the number of epochs", side.epochs);
                return Err(StatError::OutOfRange { what, range: "at least 1", value });
            }
            total += side.variance / side.epochs;
        }
        StatError::unless_finite("variance of the difference", total)
    }
}

/// Samples needed to find a difference of `delta`, not rounded: round up to plan with it.
///
/// # Errors
/// `delta` is not a finite number other than 0, or a rate, variance or number of epochs is outside its range.
pub fn samples_needed(variance: &ContrastVariance, delta: f64, rates: ErrorRates) -> Result<f64, StatError> {
    if delta == 0.0 || !delta.is_finite() {
        let range = "finite and not 0";
        return Err(StatError::OutOfRange { what: "the difference to find", range, value: delta });
    }
    let ratio = rates.z_sum()? / delta;
    StatError::unless_finite("number of samples", ratio * ratio * variance.of_difference()?)
}

/// The smallest difference that `n` samples find at these rates.
///
/// # Errors
/// `n` is 0, or a rate, variance or number of epochs is outside its range.
pub fn minimum_detectable_effect(variance: &ContrastVariance, n: u64, rates: ErrorRates) -> Result<f64, StatError> {
    StatError::unless_enough("samples", 1, n)?;
    Ok(rates.z_sum()? * (variance.of_difference()? / n as f64).sqrt())
}

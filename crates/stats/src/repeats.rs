//! Repeats (epochs): how much of the spread lies between samples and how much within them.
//!
//! Scores are averaged within the sample first; the standard error is that of the sample means. Its square splits as
//! `Var = (omega^2 + sigma^2 / K) / n`: `sigma^2` is the mean variance within a sample (`K - 1`), `K` the mean number of
//! epochs, and `omega^2 = Var(sample means) - sigma^2 / K` the variance that more epochs cannot remove.
//! Reference: Miller, "Adding error bars to evals" (arXiv 2411.00640), sections 2.1 and 3.1.

use crate::StatError;
use crate::mean::MeanAccumulator;

/// Takes samples in, each with the scores of all its epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RepeatsAccumulator {
    sample_means: MeanAccumulator,
    within: MeanAccumulator,
    scores: u64,
}

/// Mean over samples with its standard error and, where samples were repeated, its two variances.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeats {
    /// Number of samples.
    pub samples: u64,
    /// Mean number of epochs a sample (K).
    pub epochs: f64,
    /// Mean of the sample means.
    pub mean: f64,
    /// Standard error of `mean`.
    pub se: f64,
    /// The two variances, or why they cannot be told apart (no sample was run twice).
    pub split: Result<VarianceSplit, StatError>,
}

/// The spread of scores, between samples and within them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VarianceSplit {
    /// Variance between samples (omega^2). The estimate can fall below 0 by chance and is then given as 0.
    pub between: f64,
    /// Mean variance within a sample (sigma^2).
    pub within: f64,
}

impl RepeatsAccumulator {
    /// Takes one sample in, with its scores.
    ///
    /// # Errors
    /// `scores` is empty: a sample that was not scored must not enter a mean as if it had been.
    pub fn push(&mut self, scores: &[f64]) -> Result<(), StatError> {
        let sample: MeanAccumulator = scores.iter().copied().collect();
        StatError::unless_enough("scores of a sample", 1, sample.count())?;
        self.sample_means.push(sample.mean()?);
        if let Ok(variance) = sample.variance() {
            self.within.push(variance);
        }
        self.scores += sample.count();
        Ok(())
    }

    /// The mean, its standard error and the split of the variance.
    ///
    /// # Errors
    /// There are fewer than two samples.
    pub fn finish(&self) -> Result<Repeats, StatError> {
        StatError::unless_enough("samples", 2, self.sample_means.count())?;
        let epochs = self.scores as f64 / self.sample_means.count() as f64;
        Ok(Repeats {
            samples: self.sample_means.count(),
            epochs,
            mean: self.sample_means.mean()?,
            se: self.sample_means.standard_error()?,
            split: self.split(epochs),
        })
    }

    fn split(&self, epochs: f64) -> Result<VarianceSplit, StatError> {
        StatError::unless_enough("samples with two epochs", 1, self.within.count())?;
        let within = self.within.mean()?;
        let between = (self.sample_means.variance()? - within / epochs).max(0.0);
        Ok(VarianceSplit { between, within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut all = RepeatsAccumulator::default();
        for scores in [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]] {
            all.push(&scores).unwrap();
        }
        let found = all.finish().unwrap();
        assert_eq!((found.samples, found.epochs, found.mean), (4, 2.0, 0.5));
        // Means 1/2, 1, 0, 1/2: variance 1/6. Within: 1/2, 0, 0, 1/2, mean 1/4.
        let split = found.split.unwrap();
        assert!((found.se - (1.0_f64 / 24.0).sqrt()).abs() < 1e-15);
        assert!((split.within - 0.25).abs() < 1e-15 && (split.between - (1.0 / 6.0 - 0.125)).abs() < 1e-15);
        let whole = (split.between + split.within / found.epochs) / 4.0;
        assert!((whole.sqrt() - found.se).abs() < 1e-15);
    }

    #[test]
    fn one_epoch_tells_nothing_of_the_spread_within() {
        let mut all = RepeatsAccumulator::default();
        assert!(all.push(&[]).is_err());
        all.push(&[1.0]).unwrap();
        assert!(all.finish().is_err());
        all.push(&[0.0]).unwrap();
        let what = "samples with two epochs";
        assert_eq!(all.finish().unwrap().split, Err(StatError::NotEnough { what, needed: 1, found: 0 }));
    }
}

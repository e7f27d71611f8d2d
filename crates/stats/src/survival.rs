//! Kaplan-Meier: durations of which some are still running (right-censored), such as a lag that is not yet closed.
//!
//! `S(t) = prod_{t_i <= t} (1 - d_i / n_i)` with `d_i` ends among `n_i` at risk, and Greenwood's variance. A censored
//! duration stays at risk up to its time; dropping it would bias every average down. The restricted mean up to `tau` is
//! the area under S, with variance `sum_i (area after t_i)^2 d_i / (n_i (n_i - d_i))`.
//! References: Kaplan and Meier (1958); Greenwood (1926); Klein and Moeschberger, "Survival analysis" (2003), 4.2, 4.5.

use crate::StatError;

/// A duration, in any one unit; it may be negative (an open model that came first).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Duration {
    /// It ended after this long.
    Ended(f64),
    /// It has lasted this long and is still running.
    Censored(f64),
}

/// The survival curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Survival {
    steps: Vec<Step>,
    n: u64,
    censored: u64,
    shortest: f64,
    longest: f64,
}

/// One time at which durations ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The time.
    pub time: f64,
    /// Durations that had lasted up to this time.
    pub at_risk: u64,
    /// Durations that ended at this time.
    pub ended: u64,
    /// Share that lasts longer than this time.
    pub survival: f64,
    /// Greenwood standard error of `survival`.
    pub se: f64,
}

/// A quantile of the durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SurvivalQuantile {
    /// The first time at which no more than the asked share lasts on.
    Reached(f64),
    /// Too many are censored: the quantile is at least the longest duration seen.
    AtLeast(f64),
}

/// The mean duration, cut at a horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestrictedMean {
    /// Mean of `min(duration, horizon)`.
    pub mean: f64,
    /// Its standard error.
    pub se: f64,
    /// Where durations are cut.
    pub horizon: f64,
}

impl Survival {
    /// The Kaplan-Meier curve. At equal times ends come before censoring, by convention.
    ///
    /// # Errors
    /// There is no duration, or one is not finite.
    pub fn of(durations: &[Duration]) -> Result<Self, StatError> {
        StatError::unless_enough("durations", 1, durations.len() as u64)?;
        let mut sorted: Vec<(f64, bool)> = durations.iter().map(|d| (d.time(), d.is_censored())).collect();
        sorted.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
        let (shortest, longest) = (sorted[0].0, sorted[sorted.len() - 1].0);
        StatError::unless_finite("survival curve", shortest)?;
        StatError::unless_finite("survival curve", longest)?;
        let mut steps: Vec<Step> = Vec::new();
        let (mut survival, mut hazard_variance) = (1.0, 0.0);
        let mut at_risk = sorted.len();
        #[expect(clippy::float_cmp, reason = "ties are times that are exactly equal")]
        for tied in sorted.chunk_by(|x, y| x.0 == y.0) {
            let ended = tied.iter().filter(|(_, censored)| !censored).count();
            if ended > 0 {
                let (d, n) = (ended as f64, at_risk as f64);
                survival *= (n - d) / n;
                hazard_variance += d / (n * (n - d));
                // All the rest ended: the curve is 0 from here, and Greenwood's formula has no more to add.
                let se = if survival > 0.0 { survival * f64::sqrt(hazard_variance) } else { 0.0 };
                steps.push(Step { time: tied[0].0, at_risk: at_risk as u64, ended: ended as u64, survival, se });
            }
            at_risk -= tied.len();
        }
        let censored = durations.iter().filter(|d| d.is_censored()).count() as u64;
        Ok(Self { steps, n: durations.len() as u64, censored, shortest, longest })
    }

    /// The steps of the curve, in order of time.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Number of durations, and how many of them are censored.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.n, self.censored)
    }

    /// The median duration.
    #[must_use]
    pub fn median(&self) -> SurvivalQuantile {
        self.first_below(0.5)
    }

    /// The time by which the share `q` has ended.
    ///
    /// # Errors
    /// `q` is not strictly between 0 and 1.
    pub fn quantile(&self, q: f64) -> Result<SurvivalQuantile, StatError> {
        StatError::unless_inside_unit("the quantile", q)?;
        Ok(self.first_below(1.0 - q))
    }

    /// The mean duration cut at `horizon`.
    ///
    /// # Errors
    /// `horizon` is not finite, or lies beyond the longest duration while that one is censored: the curve is unknown
    /// there.
    pub fn restricted_mean(&self, horizon: f64) -> Result<RestrictedMean, StatError> {
        let last = self.steps.last().map_or(1.0, |step| step.survival);
        if !horizon.is_finite() || (horizon > self.longest && last > 0.0) {
            let range = "finite and within the longest duration seen";
            return Err(StatError::OutOfRange { what: "the horizon", range, value: horizon });
        }
        // Backwards, so that the area after each step is known when its variance term is added.
        let (mut area, mut variance, mut end) = (0.0, 0.0, horizon);
        for step in self.steps.iter().rev().filter(|step| step.time < horizon) {
            area += step.survival * (end - step.time);
            end = step.time;
            let (d, n) = (step.ended as f64, step.at_risk as f64);
            if step.ended < step.at_risk {
                variance += area * area * d / (n * (n - d));
            }
        }
        let start = self.shortest.min(horizon);
        Ok(RestrictedMean { mean: start + area + (end - start), se: f64::sqrt(variance), horizon })
    }

    fn first_below(&self, share: f64) -> SurvivalQuantile {
        // A product of fractions that is 1/2 on paper can come out a few units above it.
        let reached = self.steps.iter().find(|step| step.survival <= share + 1e-12);
        reached.map_or(SurvivalQuantile::AtLeast(self.longest), |step| SurvivalQuantile::Reached(step.time))
    }
}

impl Duration {
    fn time(self) -> f64 {
        let (Self::Ended(time) | Self::Censored(time)) = self;
        time
    }

    fn is_censored(self) -> bool {
        matches!(self, Self::Censored(_))
    }
}

#[cfg(test)]
mod tests {
    use super::Duration::{Censored, Ended};
    use super::*;

    fn freireich() -> Survival {
        let ended = [6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0].map(Ended);
        let censored = [6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0].map(Censored);
        Survival::of(&[&ended[..], &censored[..]].concat()).unwrap()
    }

    // Freireich et al. (1963), the 6-MP arm. Curve: scipy 1.17.1 `ecdf(CensoredData(ended, right=censored)).sf`; mean:
    // `sum(diff(times) * curve)` over it up to 35; its error: the formula above, written out over the same curve.
    #[test]
    fn agrees_with_scipy() {
        let curve = freireich();
        let expect = [
            (6.0, 0.857_142_86),
            (7.0, 0.806_722_69),
            (10.0, 0.752_941_18),
            (13.0, 0.690_196_08),
            (16.0, 0.627_450_98),
            (22.0, 0.537_815_13),
            (23.0, 0.448_179_27),
        ];
        assert_eq!(curve.steps().len(), expect.len());
        for (step, (time, survival)) in curve.steps().iter().zip(expect) {
            assert!((step.time - time).abs() < 1e-12 && (step.survival - survival).abs() < 1e-8, "{step:?}");
        }
        assert!((curve.steps()[6].se - 0.134_591_46).abs() < 1e-8);
        assert_eq!(curve.median(), SurvivalQuantile::Reached(23.0));
        assert_eq!(curve.quantile(0.9), Ok(SurvivalQuantile::AtLeast(35.0)));
        let mean = curve.restricted_mean(35.0).unwrap();
        assert!((mean.mean - 23.287_394_958).abs() < 1e-8 && (mean.se - 2.827_467_623).abs() < 1e-8, "{mean:?}");
        assert!(curve.restricted_mean(35.1).is_err());
    }

    #[test]
    fn without_censoring_it_is_the_plain_mean_even_below_zero() {
        let curve = Survival::of(&[Ended(-3.0), Ended(1.0), Ended(8.0)]).unwrap();
        assert!((curve.restricted_mean(8.0).unwrap().mean - 2.0).abs() < 1e-12);
        assert!((curve.restricted_mean(100.0).unwrap().mean - 2.0).abs() < 1e-12);
        assert!((curve.restricted_mean(4.0).unwrap().mean - 2.0 / 3.0).abs() < 1e-12);
        assert!((curve.restricted_mean(-5.0).unwrap().mean + 5.0).abs() < 1e-12);
        assert_eq!(curve.median(), SurvivalQuantile::Reached(1.0));
    }

    #[test]
    fn a_censored_duration_is_never_dropped() {
        let with = Survival::of(&[Ended(1.0), Ended(2.0), Censored(9.0), Censored(9.0), Censored(9.0)]).unwrap();
        assert_eq!(with.median(), SurvivalQuantile::AtLeast(9.0));
        assert_eq!(with.counts(), (5, 3));
        assert!((with.restricted_mean(9.0).unwrap().mean - 6.0).abs() < 1e-12);
        assert_eq!(Survival::of(&[Censored(4.0)]).unwrap().median(), SurvivalQuantile::AtLeast(4.0));
    }

    #[test]
    fn no_durations_no_curve() {
        assert!(Survival::of(&[]).is_err());
        assert!(Survival::of(&[Ended(1.0), Censored(f64::NAN)]).is_err());
    }
}

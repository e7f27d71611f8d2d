//! The contrast of two models on the same samples, from a stream of score pairs.
//!
//! The standard error is that of the per-sample differences `d = a - b`, `sqrt(sum (d - mean)^2 / (n - 1) / n)`; the
//! unpaired one, `sqrt(SE_a^2 + SE_b^2)`, is given only to show what pairing gained. The correlation follows from
//! `Var(d) = Var(a) + Var(b) - 2 r sd(a) sd(b)`.
//! Intervals are Student t: `n - 1` degrees of freedom for the paired error, `G - 1` for the clustered one (with CR1),
//! because with a dozen clusters the normal interval is far too narrow; for `n` in the hundreds t and normal agree.
//! Reference: Miller, "Adding error bars to evals" (arXiv 2411.00640), section 4.

use crate::cluster::{ClusterAccumulator, ClusterSe};
use crate::mean::MeanAccumulator;
use crate::{Interval, StatError};

/// Takes pairs of scores in; memory grows with the number of clusters only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairedAccumulator {
    a: MeanAccumulator,
    b: MeanAccumulator,
    difference: MeanAccumulator,
    discordant: Discordant,
    clusters: ClusterAccumulator,
    unclustered: u64,
}

/// Pairs of 0/1 scores, counted by who scored 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discordant {
    /// Only the first model scored 1.
    pub only_a: u64,
    /// Only the second model scored 1.
    pub only_b: u64,
    /// Both scored 1.
    pub both: u64,
    /// Neither scored 1.
    pub neither: u64,
    /// Pairs with a score other than 0 and 1; where there are any, McNemar's test does not apply.
    pub not_binary: u64,
}

/// The contrast of all pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// Number of pairs.
    pub n: u64,
    /// Mean of the first model.
    pub mean_a: f64,
    /// Mean of the second model.
    pub mean_b: f64,
    /// Mean of `a - b`.
    pub difference: f64,
    /// Standard error of `mean_a` on its own.
    pub se_a: f64,
    /// Standard error of `mean_b` on its own.
    pub se_b: f64,
    /// Standard error of `difference`.
    pub paired_se: f64,
    /// What the standard error would be for two different sets of samples.
    pub unpaired_se: f64,
    /// Correlation of the two scores over samples; `None` where one of them does not vary.
    pub correlation: Option<f64>,
    /// Counts of 0/1 pairs.
    pub discordant: Discordant,
    /// Clustered standard errors of `difference`, or why there are none.
    pub cluster_se: Result<ClusterSe, StatError>,
}

impl PairedAccumulator {
    /// Takes in the scores of both models on one sample, and the cluster of the sample where it is known.
    #[inline]
    pub fn push(&mut self, a: f64, b: f64, cluster: Option<&str>) {
        self.a.push(a);
        self.b.push(b);
        self.difference.push(a - b);
        self.discordant.push(a, b);
        match cluster {
            Some(cluster) => self.clusters.push(cluster, a - b),
            None => self.unclustered += 1,
        }
    }

    /// Takes in all that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.a.merge(&other.a);
        self.b.merge(&other.b);
        self.difference.merge(&other.difference);
        self.discordant.merge(other.discordant);
        self.clusters.merge(&other.clusters);
        self.unclustered += other.unclustered;
    }

    /// The contrast.
    ///
    /// # Errors
    /// There are fewer than two pairs, or a score was not finite.
    pub fn finish(&self) -> Result<Paired, StatError> {
        StatError::unless_enough("pairs", 2, self.difference.count())?;
        let (se_a, se_b) = (self.a.standard_error()?, self.b.standard_error()?);
        Ok(Paired {
            n: self.difference.count(),
            mean_a: self.a.mean()?,
            mean_b: self.b.mean()?,
            difference: self.difference.mean()?,
            se_a,
            se_b,
            paired_se: self.difference.standard_error()?,
            unpaired_se: se_a.hypot(se_b),
            correlation: self.correlation()?,
            discordant: self.discordant,
            cluster_se: self.cluster_se(),
        })
    }

    fn correlation(&self) -> Result<Option<f64>, StatError> {
        let (a, b, d) = (self.a.variance()?, self.b.variance()?, self.difference.variance()?);
        let product = (a * b).sqrt();
        Ok((product > 0.0).then(|| ((a + b - d) / (2.0 * product)).clamp(-1.0, 1.0)))
    }

    fn cluster_se(&self) -> Result<ClusterSe, StatError> {
        if self.unclustered > 0 {
            return Err(StatError::Unclustered { without: self.unclustered, n: self.difference.count() });
        }
        self.clusters.standard_error()
    }
}

impl Paired {
    /// The paired interval of the difference: Student t with `n - 1` degrees of freedom.
    ///
    /// # Errors
    /// `level` is not strictly between 0 and 1.
    pub fn interval(&self, level: f64) -> Result<Interval, StatError> {
        Interval::student(self.difference, self.paired_se, (self.n - 1) as f64, level)
    }

    /// The clustered interval of the difference: Student t with `G - 1` degrees of freedom on CR1.
    ///
    /// # Errors
    /// There is no clustered standard error, or `level` is not strictly between 0 and 1.
    pub fn cluster_interval(&self, level: f64) -> Result<Interval, StatError> {
        let se = self.cluster_se.clone()?;
        Interval::student(self.difference, se.cr1, (se.clusters - 1) as f64, level)
    }
}

impl Discordant {
    #[expect(clippy::float_cmp, reason = "a score is binary only when it is exactly 0 or 1")]
    #[inline]
    fn push(&mut self, a: f64, b: f64) {
        let count = match (a == 1.0, b == 1.0) {
            (true, true) => &mut self.both,
            (true, false) if b == 0.0 => &mut self.only_a,
            (false, true) if a == 0.0 => &mut self.only_b,
            (false, false) if a == 0.0 && b == 0.0 => &mut self.neither,
            _ => &mut self.not_binary,
        };
        *count += 1;
    }

    fn merge(&mut self, other: Self) {
        self.only_a += other.only_a;
        self.only_b += other.only_b;
        self.both += other.both;
        self.neither += other.neither;
        self.not_binary += other.not_binary;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(f64, f64, Option<&str>)]) -> PairedAccumulator {
        let mut all = PairedAccumulator::default();
        for &(a, b, cluster) in pairs {
            all.push(a, b, cluster);
        }
        all
    }

    #[test]
    fn counts_by_who_scored() {
        let all = of(&[(1.0, 0.0, None), (0.0, 1.0, None), (1.0, 1.0, None), (0.0, 0.0, None), (0.5, 1.0, None)]);
        let expect = Discordant { only_a: 1, only_b: 1, both: 1, neither: 1, not_binary: 1 };
        assert_eq!(all.finish().unwrap().discordant, expect);
    }

    #[test]
    fn a_sample_without_a_cluster_leaves_the_clustered_error_unknown() {
        let found = of(&[(1.0, 0.0, Some("x")), (0.0, 0.0, Some("y")), (1.0, 1.0, None)]).finish().unwrap();
        assert_eq!(found.cluster_se, Err(StatError::Unclustered { without: 1, n: 3 }));
        assert_eq!(found.cluster_interval(0.9).unwrap_err().to_string(), "1 of 3 samples have no cluster");
        assert!(found.interval(0.9).is_ok());
    }

    #[test]
    fn no_spread_no_correlation() {
        let found = of(&[(1.0, 0.0, None), (1.0, 1.0, None)]).finish().unwrap();
        assert_eq!(found.correlation, None);
        assert_eq!((found.difference, found.paired_se, found.unpaired_se), (0.5, 0.5, 0.5));
    }

    #[test]
    fn one_pair_is_not_enough() {
        let expect = StatError::NotEnough { what: "pairs", needed: 2, found: 1 };
        assert_eq!(of(&[(1.0, 0.0, None)]).finish(), Err(expect));
        assert!(of(&[(1.0, f64::NAN, None), (0.0, 0.0, None)]).finish().is_err());
    }
}

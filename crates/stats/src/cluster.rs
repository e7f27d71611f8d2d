//! Standard error of a mean whose samples come in clusters (questions of one passage, issues of one repository).
//!
//! `CR0 = sum_g (S_g - n_g mean)^2 / n^2` with cluster sums `S_g` and sizes `n_g`, and `CR1 = CR0 * G / (G - 1)`, both
//! variances; their roots are the standard errors. CR0 equals Miller's form `SE^2 + n^-2 sum_g sum_{i != j} d_i d_j`
//! with `SE^2 = sum d_i^2 / n^2`. Only a sum and a count a cluster are kept, so samples can be streamed.
//! References: Miller, "Adding error bars to evals" (arXiv 2411.00640), section 2.2; Cameron and Miller, "A
//! practitioner's guide to cluster-robust inference" (2015).

use std::collections::HashMap;

use crate::StatError;
use crate::sum::Sum;

/// Sum and count of each cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterAccumulator {
    clusters: HashMap<String, Cluster>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cluster {
    count: u64,
    sum: Sum,
}

/// Clustered standard errors of a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterSe {
    /// Standard error without a correction for few clusters.
    pub cr0: f64,
    /// Standard error with the variance scaled by `G / (G - 1)`.
    pub cr1: f64,
    /// Number of clusters (G).
    pub clusters: u64,
}

impl ClusterAccumulator {
    /// Takes one value of `cluster` in.
    pub fn push(&mut self, cluster: &str, value: f64) {
        self.entry(cluster, 1, |sum| sum.add(value));
    }

    /// Takes in all that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for (name, cluster) in &other.clusters {
            self.entry(name, cluster.count, |sum| sum.merge(cluster.sum));
        }
    }

    /// Number of clusters.
    #[must_use]
    pub fn clusters(&self) -> u64 {
        self.clusters.len() as u64
    }

    /// The clustered standard errors of the mean of all values.
    ///
    /// # Errors
    /// There are fewer than two clusters, or a value was not finite.
    pub fn standard_error(&self) -> Result<ClusterSe, StatError> {
        StatError::unless_enough("clusters", 2, self.clusters())?;
        // In the order of names, so that the same values give the same bits.
        let mut names: Vec<&String> = self.clusters.keys().collect();
        names.sort_unstable();
        let (mut count, mut total) = (0, Sum::default());
        for name in &names {
            let cluster = &self.clusters[*name];
            count += cluster.count;
            total.merge(cluster.sum);
        }
        let mean = total.value() / count as f64;
        let mut squares = Sum::default();
        for name in &names {
            let cluster = &self.clusters[*name];
            let mut residual = cluster.sum;
            residual.add(-(cluster.count as f64) * mean);
            squares.add(residual.value() * residual.value());
        }
        let squares = StatError::unless_finite("clustered standard error", squares.value())?;
        let cr0 = squares.sqrt() / count as f64;
        let groups = names.len() as f64;
        Ok(ClusterSe { cr0, cr1: cr0 * (groups / (groups - 1.0)).sqrt(), clusters: self.clusters() })
    }

    fn entry(&mut self, name: &str, count: u64, add: impl FnOnce(&mut Sum)) {
        // Looked up by reference first: a stream of millions has few new clusters and must not allocate for the rest.
        if let Some(cluster) = self.clusters.get_mut(name) {
            cluster.count += count;
            add(&mut cluster.sum);
            return;
        }
        let mut cluster = Cluster { count, sum: Sum::default() };
        add(&mut cluster.sum);
        self.clusters.insert(name.to_owned(), cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut all = ClusterAccumulator::default();
        for (cluster, value) in [("x", 1.0), ("x", 1.0), ("y", 0.0), ("y", 1.0), ("z", 0.0)] {
            all.push(cluster, value);
        }
        // Mean 3/5; cluster sums of deviations 4/5, -1/5, -3/5.
        let found = all.standard_error().unwrap();
        assert_eq!(found.clusters, 3);
        assert!((found.cr0 - (26.0_f64 / 625.0).sqrt()).abs() < 1e-15);
        assert!((found.cr1 - (39.0_f64 / 625.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn one_cluster_says_nothing() {
        let mut all = ClusterAccumulator::default();
        all.push("x", 1.0);
        all.push("x", 0.0);
        let expect = StatError::NotEnough { what: "clusters", needed: 2, found: 1 };
        assert_eq!(all.standard_error(), Err(expect));
    }
}

//! Bootstrap: how often each row is drawn when `n` rows are drawn from `n` with replacement.
//!
//! Draw `k` of a seed has its own xoshiro256++ generator, seeded from `splitmix64(seed) + k`, so it is the same whatever
//! the order or the number of threads. A row is chosen by multiplication with rejection, which has no modulo bias.
//! References: Efron (1979); Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021); Lemire,
//! "Fast random integer generation in an interval" (2019).

use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

use crate::distribution::inverse_normal;
use crate::quantile::quantiles;
use crate::{Interval, StatError};

/// The random choices of one bootstrap draw.
#[derive(Clone, Debug)]
pub struct Resampler {
    random: Xoshiro256PlusPlus,
}

impl Resampler {
    /// The generator of draw `draw` under `seed`.
    #[must_use]
    pub fn new(seed: u64, draw: u64) -> Self {
        let key = SplitMix64::seed_from_u64(seed).next_u64();
        Self { random: Xoshiro256PlusPlus::seed_from_u64(key.wrapping_add(draw)) }
    }

    /// A row below `rows`, each equally likely; 0 where `rows` is 0 or 1.
    #[inline]
    pub fn row(&mut self, rows: usize) -> usize {
        let rows = rows as u64;
        let mut product = u128::from(self.random.next_u64()) * u128::from(rows);
        if (product as u64) < rows {
            // The low part of an unbiased product is at least 2^64 mod rows.
            let least = rows.wrapping_neg() % rows.max(1);
            while (product as u64) < least {
                product = u128::from(self.random.next_u64()) * u128::from(rows);
            }
        }
        (product >> 64) as usize
    }

    /// A standard normal number, by inversion of a uniform one on 2^53 equal cells.
    pub fn normal(&mut self) -> f64 {
        const CELLS: usize = 1 << 53;
        /// The largest number below 1, which the middle of the last cell would be rounded up to.
        const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;
        // The middle of the first cell is above 0, so that the inverse is finite on all of them.
        inverse_normal(((self.row(CELLS) as f64 + 0.5) / CELLS as f64).min(BELOW_ONE))
    }

    /// Writes into `counts` how often each of its rows is drawn in as many draws as it has rows.
    pub fn counts(&mut self, counts: &mut [f64]) {
        counts.fill(0.0);
        for _ in 0..counts.len() {
            let row = self.row(counts.len());
            counts[row] += 1.0;
        }
    }

    /// As [`Resampler::counts`], within each group of rows: `groups` holds the group sizes in the order of the rows.
    /// Rows beyond the last group are not drawn and count 0.
    ///
    /// # Panics
    /// The groups have more rows than `counts`.
    pub fn counts_by_group(&mut self, groups: &[usize], counts: &mut [f64]) {
        let mut rest = counts;
        for &size in groups {
            let (group, after) = rest.split_at_mut(size);
            self.counts(group);
            rest = after;
        }
        rest.fill(0.0);
    }
}

/// The percentile interval of a statistic from its bootstrap draws: the quantiles (type 7) that leave `(1 - level) / 2`
/// on each side.
///
/// # Errors
/// There is no draw, a draw is not finite, or `level` is not strictly between 0 and 1.
pub fn percentile_interval(draws: &[f64], level: f64) -> Result<Interval, StatError> {
    StatError::unless_inside_unit("the level", level)?;
    let tail = 0.5 * (1.0 - level);
    let ends = quantiles(draws, &[tail, 1.0 - tail])?;
    Ok(Interval { lower: ends[0], upper: ends[1], level })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seed: u64, draw: u64, rows: usize) -> Vec<f64> {
        let mut counts = vec![f64::NAN; rows];
        Resampler::new(seed, draw).counts(&mut counts);
        counts
    }

    #[test]
    fn a_draw_depends_on_seed_and_number_alone() {
        assert_eq!(counts(7, 3, 50), counts(7, 3, 50));
        assert_ne!(counts(7, 3, 50), counts(7, 4, 50));
        assert_ne!(counts(7, 3, 50), counts(8, 3, 50));
        // From the published C code of splitmix64 and xoshiro256++, written out in Python: another generator would
        // move every interval.
        assert_eq!(counts(1, 0, 8), [0.0, 2.0, 1.0, 2.0, 0.0, 0.0, 2.0, 1.0]);
    }

    #[test]
    fn each_group_keeps_its_size() {
        let mut counts = vec![f64::NAN; 12];
        Resampler::new(1, 2).counts_by_group(&[1, 0, 7, 3], &mut counts);
        assert_eq!(counts[0], 1.0);
        assert_eq!(counts[1..8].iter().sum::<f64>(), 7.0);
        assert_eq!(counts[8..11].iter().sum::<f64>(), 3.0);
        assert_eq!(counts[11], 0.0);
    }

    #[test]
    fn normal_numbers_have_the_moments_and_the_tails_of_the_normal_distribution() {
        let mut random = Resampler::new(3, 0);
        let drawn: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let moment = |power: i32| drawn.iter().map(|x| x.powi(power)).sum::<f64>() / 1e5;
        // Standard errors of the four: 0.0032, 0.0045, 0.012 and 0.031.
        for (power, expect, within) in [(1, 0.0, 0.013), (2, 1.0, 0.018), (3, 0.0, 0.05), (4, 3.0, 0.13)] {
            assert!((moment(power) - expect).abs() < within, "moment {power}: {}", moment(power));
        }
        for end in [0.5 / 2f64.powi(53), 1.0 - f64::EPSILON / 2.0] {
            assert!((8.0..9.0).contains(&inverse_normal(end).abs()), "the ends of the cells are finite");
        }
    }

    #[test]
    fn rows_are_equally_likely() {
        let (rows, mut total) = (10, vec![0.0; 10]);
        for draw in 0..10_000 {
            for (sum, count) in total.iter_mut().zip(counts(5, draw, rows)) {
                *sum += count;
            }
        }
        let chi2: f64 = total.iter().map(|sum| (sum - 1e4) * (sum - 1e4) / 1e4).sum();
        assert!(chi2 < 27.88, "{chi2}: above the 99.9 % point of 9 degrees of freedom");
    }

    #[test]
    fn the_standard_error_of_a_mean_comes_back() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let means: Vec<f64> = (0..4000)
            .map(|draw| counts(11, draw, 100).iter().zip(&values).map(|(c, v)| c * v).sum::<f64>() / 100.0)
            .collect();
        // Plug-in standard error sqrt((100^2 - 1) / 12 / 100) = 2.8866; 4000 draws know it to about 1.1 %.
        let interval = percentile_interval(&means, 0.9).unwrap();
        let expect = 2.0 * 1.644_854 * 2.8866;
        assert!(((interval.upper - interval.lower) / expect - 1.0).abs() < 0.05, "{interval:?}");
    }

    #[test]
    fn no_draws_no_interval() {
        assert!(percentile_interval(&[], 0.9).is_err());
        assert!(percentile_interval(&[1.0, f64::NAN], 0.9).is_err());
    }
}

//! What must hold for any input.

use proptest::collection::vec;
use proptest::prelude::*;
use weighbridge_stats::bootstrap::Resampler;
use weighbridge_stats::bradley_terry::{BradleyTerry, Pairing};
use weighbridge_stats::concentration::Concentration;
use weighbridge_stats::linear::Cholesky;
use weighbridge_stats::mcnemar::mcnemar;
use weighbridge_stats::mean::MeanAccumulator;
use weighbridge_stats::paired::PairedAccumulator;
use weighbridge_stats::quantile::quantiles;
use weighbridge_stats::survival::{Duration, Survival};

fn close(x: f64, y: f64, relative: f64) -> bool {
    (x - y).abs() <= relative * x.abs().max(y.abs())
}

fn paired(pairs: &[(f64, f64, u8)]) -> PairedAccumulator {
    let mut all = PairedAccumulator::default();
    for &(a, b, cluster) in pairs {
        all.push(a, b, Some(&cluster.to_string()));
    }
    all
}

/// Every pair of models has wins both ways, so ratings exist.
fn tournament(models: usize, counts: &[u8]) -> Vec<Pairing> {
    let mut counts = counts.iter().map(|&count| f64::from(count));
    let mut next = || counts.next().unwrap_or(0.0);
    let mut pairings = Vec::new();
    for b in 1..models {
        for a in 0..b {
            pairings.push(Pairing { a, b, wins_a: 1.0 + next(), wins_b: 1.0 + next(), ties: next() });
        }
    }
    pairings
}

proptest! {
    #[test]
    fn merged_means_are_the_mean_of_all(values in vec(-1e6..1e6_f64, 2..200), cut in 0..200_usize) {
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged: MeanAccumulator = left.iter().copied().collect();
        merged.merge(&right.iter().copied().collect());
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        prop_assert!((merged.mean().unwrap() - mean).abs() < 1e-8);
        prop_assert!(close(merged.variance().unwrap(), variance, 1e-10));
    }

    #[test]
    fn merged_pairs_are_all_pairs(
        pairs in vec((0.0..1.0_f64, prop_oneof![Just(0.0), Just(1.0)], 0..4_u8), 3..100),
        cut in 0..100_usize,
    ) {
        let (left, right) = pairs.split_at(cut.min(pairs.len()));
        let mut merged = paired(left);
        merged.merge(&paired(right));
        let (merged, whole) = (merged.finish().unwrap(), paired(&pairs).finish().unwrap());
        prop_assert!(close(merged.paired_se, whole.paired_se, 1e-12));
        prop_assert!((merged.difference - whole.difference).abs() < 1e-14);
        prop_assert_eq!(merged.discordant, whole.discordant);
        match (merged.cluster_se, whole.cluster_se) {
            (Ok(merged), Ok(whole)) => prop_assert!((merged.cr1 - whole.cr1).abs() < 1e-12),
            (merged, whole) => prop_assert_eq!(merged, whole),
        }
    }

    #[test]
    fn swapping_the_models_turns_the_sign(pairs in vec((0.0..1.0_f64, 0.0..1.0_f64, 0..5_u8), 3..50)) {
        let swapped: Vec<_> = pairs.iter().map(|&(a, b, cluster)| (b, a, cluster)).collect();
        let (found, other) = (paired(&pairs).finish().unwrap(), paired(&swapped).finish().unwrap());
        prop_assert!((found.difference + other.difference).abs() < 1e-15);
        prop_assert!(close(found.paired_se, other.paired_se, 1e-12));
    }

    #[test]
    fn clusters_of_one_are_no_clusters(values in vec(0.0..1.0_f64, 3..60)) {
        let mut pairs = PairedAccumulator::default();
        for (i, &value) in values.iter().enumerate() {
            pairs.push(value, 0.0, Some(&i.to_string()));
        }
        let found = pairs.finish().unwrap();
        // CR1 of single-sample clusters is the plain standard error.
        prop_assert!(close(found.cluster_se.unwrap().cr1, found.paired_se, 1e-9));
    }

    #[test]
    fn quantiles_rise(values in vec(-1e9..1e9_f64, 1..60), mut qs in vec(0.0..=1.0_f64, 2..20)) {
        qs.sort_by(f64::total_cmp);
        let found = quantiles(&values, &qs).unwrap();
        prop_assert!(found.windows(2).all(|pair| pair[0] <= pair[1]));
        let ends = quantiles(&values, &[0.0, 1.0]).unwrap();
        prop_assert!(found.iter().all(|x| (ends[0]..=ends[1]).contains(x)));
    }

    #[test]
    fn cholesky_gives_the_matrix_back(order in 1..40_usize, entries in vec(-1.0..1.0_f64, 1600)) {
        // A = B B' + I.
        let row = |i: usize| &entries[i * order..][..order];
        let entry = |i: usize, j: usize| {
            row(i).iter().zip(row(j)).map(|(x, y)| x * y).sum::<f64>() + f64::from(u8::from(i == j))
        };
        let mut system = Cholesky::new(order);
        for i in 0..order {
            for j in 0..=i {
                system.matrix_mut()[i * order + j] = entry(i, j);
            }
        }
        system.factor().unwrap();
        let inverse = system.inverse();
        for i in 0..order {
            for j in 0..order {
                let product: f64 = (0..order).map(|k| entry(i, k) * inverse[k * order + j]).sum();
                prop_assert!((product - f64::from(u8::from(i == j))).abs() < 1e-9);
                prop_assert!((inverse[i * order + j] - inverse[j * order + i]).abs() < 1e-10);
            }
        }
        let factor = system.matrix_mut().to_vec();
        for i in 0..order {
            for j in 0..=i {
                let product: f64 = (0..=j).map(|k| factor[i * order + k] * factor[j * order + k]).sum();
                prop_assert!((product - entry(i, j)).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn ratings_do_not_depend_on_labels_or_order(models in 2..12_usize, counts in vec(0..50_u8, 200), turn in 1..12_usize) {
        let pairings = tournament(models, &counts);
        let label = |model: usize| (model + turn) % models;
        let relabelled: Vec<Pairing> = pairings
            .iter()
            .rev()
            .map(|p| Pairing { a: label(p.b), b: label(p.a), wins_a: p.wins_b, wins_b: p.wins_a, ties: p.ties })
            .collect();
        let (x, y) = (BradleyTerry::fit(models, &pairings).unwrap(), BradleyTerry::fit(models, &relabelled).unwrap());
        let (x, y) = (x.ratings(), y.ratings());
        for model in 0..models {
            let (x, y) = (x[model], y[label(model)]);
            prop_assert!((x.rating - y.rating).abs() < 1e-8, "{x:?} {y:?}");
            prop_assert!(close(x.se, y.se, 1e-8) && close(x.se_hessian, y.se_hessian, 1e-8));
        }
        let mean = x.iter().map(|rating| rating.rating).sum::<f64>() / models as f64;
        prop_assert!((mean - 1000.0).abs() < 1e-8);
    }

    #[test]
    fn any_votes_give_finite_ratings_or_say_why(votes in vec((0..6_usize, 0..6_usize, 0..4_u8, 0..4_u8, 0..2_u8), 0..12)) {
        let pairings: Vec<Pairing> = votes
            .iter()
            .filter(|vote| vote.0 != vote.1)
            .map(|&(a, b, x, y, t)| Pairing { a, b, wins_a: x.into(), wins_b: y.into(), ties: t.into() })
            .collect();
        if let Ok(fit) = BradleyTerry::fit(6, &pairings) {
            prop_assert!(fit.gradient() < 1e-9);
            for rating in fit.ratings() {
                prop_assert!(rating.rating.is_finite() && rating.se.is_finite() && rating.se_hessian > 0.0);
            }
        }
    }

    #[test]
    fn every_draw_takes_as_many_rows_as_there_are(seed: u64, draw: u64, groups in vec(0..20_usize, 1..8)) {
        let mut counts = vec![f64::NAN; groups.iter().sum()];
        Resampler::new(seed, draw).counts_by_group(&groups, &mut counts);
        let mut rest = &counts[..];
        for size in groups {
            let (group, after) = rest.split_at(size);
            prop_assert_eq!(group.iter().sum::<f64>(), size as f64);
            rest = after;
        }
    }

    #[test]
    fn mcnemar_is_a_probability_and_symmetric(only_a in 0..5000_u64, only_b in 0..5000_u64) {
        prop_assume!(only_a + only_b > 0);
        let found = mcnemar(only_a, only_b).unwrap();
        prop_assert_eq!(found, mcnemar(only_b, only_a).unwrap());
        prop_assert!(found.exact_p > 0.0 && found.exact_p <= 1.0 && found.chi2_p <= found.chi2_corrected_p);
    }

    #[test]
    fn survival_falls_and_censoring_later_cannot_shorten(times in vec((0.0..100.0_f64, any::<bool>()), 1..40)) {
        let durations = |keep: fn(bool) -> bool| -> Vec<Duration> {
            let made = |&(time, censored): &(f64, bool)| {
                if keep(censored) { Duration::Censored(time) } else { Duration::Ended(time) }
            };
            times.iter().map(made).collect()
        };
        let (with, all_ended) = (durations(|censored| censored), durations(|_| false));
        let (with, all_ended) = (Survival::of(&with).unwrap(), Survival::of(&all_ended).unwrap());
        prop_assert!(with.steps().windows(2).all(|pair| pair[0].survival > pair[1].survival));
        let horizon = times.iter().map(|(time, _)| *time).fold(0.0, f64::max);
        let mean = |curve: &Survival| curve.restricted_mean(horizon).unwrap().mean;
        prop_assert!(mean(&with) >= mean(&all_ended) - 1e-9);
    }

    #[test]
    fn concentration_lies_between_equal_and_one(amounts in vec(0.001..1e6_f64, 1..40)) {
        let found = Concentration::of(&amounts).unwrap();
        let n = amounts.len() as f64;
        prop_assert!(found.herfindahl >= 1.0 / n - 1e-12 && found.herfindahl <= 1.0 + 1e-12);
        prop_assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}

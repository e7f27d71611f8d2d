//! Ratings that can be worked out by hand, and votes that determine none.

use weighbridge_stats::bradley_terry::{BradleyTerry, BradleyTerryError, POINTS, Pairing};

fn votes(a: usize, b: usize, wins_a: f64, wins_b: f64, ties: f64) -> Pairing {
    Pairing { a, b, wins_a, wins_b, ties }
}

#[test]
fn ten_to_one_is_400_points() {
    let fit = BradleyTerry::fit(2, &[votes(1, 0, 10.0, 1.0, 0.0)]).unwrap();
    let ratings = fit.ratings();
    assert!((ratings[1].rating - 1200.0).abs() < 1e-9 && (ratings[0].rating - 800.0).abs() < 1e-9);
    // The difference is a logit: variance 1/10 + 1/1. With no ties the sandwich is the same; each side has half.
    let difference = fit.difference(1, 0);
    assert!((difference.rating - 400.0).abs() < 1e-9);
    assert!((difference.se - POINTS * 1.1_f64.sqrt()).abs() < 1e-8);
    assert!((difference.se_hessian - difference.se).abs() < 1e-8);
    assert!((ratings[0].se - 0.5 * difference.se).abs() < 1e-8);
}

#[test]
fn a_tie_is_half_a_win_each_but_one_vote_of_evidence() {
    let fit = BradleyTerry::fit(2, &[votes(0, 1, 0.0, 0.0, 10.0)]).unwrap();
    let difference = fit.difference(0, 1);
    assert!(difference.rating.abs() < 1e-9);
    // All ties: every score is 1/2 - 1/2 = 0. The Hessian alone sees 10 fair coins.
    assert!(difference.se.abs() < 1e-9 && (difference.se_hessian - POINTS * 0.4_f64.sqrt()).abs() < 1e-8);
}

#[test]
fn raw_votes_and_their_sums_fit_alike() {
    let raw: Vec<Pairing> = [(0, 1), (1, 0), (0, 1), (1, 2), (2, 1), (2, 0), (0, 2)]
        .map(|(winner, loser)| votes(winner, loser, 1.0, 0.0, 0.0))
        .into();
    let sums = [votes(0, 1, 2.0, 1.0, 0.0), votes(2, 1, 1.0, 1.0, 0.0), votes(0, 2, 1.0, 1.0, 0.0)];
    for (x, y) in
        BradleyTerry::fit(3, &raw).unwrap().ratings().iter().zip(BradleyTerry::fit(3, &sums).unwrap().ratings())
    {
        assert!((x.rating - y.rating).abs() < 1e-9 && (x.se - y.se).abs() < 1e-9);
    }
}

#[test]
fn a_lopsided_chain_still_settles() {
    let fit = BradleyTerry::fit(3, &[votes(0, 1, 1e9, 1.0, 0.0), votes(1, 2, 1e9, 1.0, 0.0)]).unwrap();
    assert!((fit.difference(0, 2).rating - POINTS * 2.0 * 1e9_f64.ln()).abs() < 1e-6);
}

#[test]
fn small_weights_are_fitted_like_large_ones() {
    let fit = BradleyTerry::fit(2, &[votes(0, 1, 1e-12, 1e-13, 0.0)]).unwrap();
    assert!((fit.difference(0, 1).rating - 400.0).abs() < 1e-8);
}

#[test]
fn groups_that_never_met_are_named() {
    let pairings = [votes(0, 2, 1.0, 1.0, 0.0), votes(1, 3, 1.0, 1.0, 0.0), votes(0, 1, 0.0, 0.0, 0.0)];
    let error = BradleyTerry::fit(5, &pairings).unwrap_err();
    assert_eq!(error, BradleyTerryError::Disconnected { groups: vec![vec![0, 2], vec![1, 3], vec![4]] });
    assert_eq!(error.to_string(), "the models fall into 3 groups that were never compared with each other");
}

#[test]
fn who_only_won_or_only_lost_is_named() {
    let even = |a, b| votes(a, b, 2.0, 1.0, 0.0);
    let pairings = [even(0, 1), even(1, 2), votes(3, 0, 5.0, 0.0, 0.0), votes(2, 4, 1.0, 0.0, 0.0)];
    let error = BradleyTerry::fit(5, &pairings).unwrap_err();
    assert_eq!(error, BradleyTerryError::Separated { groups: vec![vec![3], vec![0, 1, 2], vec![4]] });
    // One tie each is enough to bound them.
    let bounded = [even(0, 1), even(1, 2), votes(3, 0, 5.0, 0.0, 1.0), votes(2, 4, 1.0, 0.0, 1.0)];
    assert!(BradleyTerry::fit(5, &bounded).is_ok());
}

#[test]
fn malformed_votes_name_their_row() {
    let good = votes(0, 1, 1.0, 1.0, 0.0);
    let check = |bad, expect: &str| {
        assert_eq!(BradleyTerry::fit(2, &[good, bad]).unwrap_err().to_string(), expect);
    };
    check(votes(1, 1, 1.0, 0.0, 0.0), "pairing 1 is between models 1 and 1; it must name two different ones of 2");
    check(votes(0, 2, 1.0, 0.0, 0.0), "pairing 1 is between models 0 and 2; it must name two different ones of 2");
    check(votes(0, 1, -1.0, 0.0, 0.0), "pairing 1 has a count of -1; a count must be finite and not negative");
    check(votes(0, 1, 0.0, f64::NAN, 0.0), "pairing 1 has a count of NaN; a count must be finite and not negative");
    assert_eq!(BradleyTerry::fit(1, &[]).unwrap_err(), BradleyTerryError::TooFewModels(1));
}

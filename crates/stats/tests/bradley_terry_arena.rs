//! Ratings of 129 models from 1 670 250 arena votes (`notes/methods.md` 4 of the reference data): ratings, both standard errors, intervals.

use std::collections::BTreeMap;

use weighbridge_reference::{field, path, read_csv};
use weighbridge_stats::bradley_terry::{BradleyTerry, Pairing};

#[test]
fn ratings_and_errors_of_129_models() {
    let (Some(votes), Some(expected)) =
        (path("data/reference/chatbotarena_20240814.json"), path("data/reference/bt_reference_20240814.csv"))
    else {
        return;
    };
    let votes: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(votes).unwrap()).unwrap();
    let models: Vec<&str> = votes["models"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    let whole = |value: &serde_json::Value| value.as_u64().unwrap();
    let pairings: Vec<Pairing> = votes["X"]
        .as_array()
        .unwrap()
        .iter()
        .zip(votes["Y"].as_array().unwrap())
        .map(|(pair, counts)| Pairing {
            a: whole(&pair[0]) as usize,
            b: whole(&pair[1]) as usize,
            wins_a: whole(&counts[0]) as f64,
            wins_b: whole(&counts[1]) as f64,
            // A tie, and a tie with both answers bad.
            ties: (whole(&counts[2]) + whole(&counts[3])) as f64,
        })
        .collect();
    let total: f64 = pairings.iter().map(|p| p.wins_a + p.wins_b + p.ties).sum();
    assert_eq!((models.len(), pairings.len(), total), (129, 3460, 1_670_250.0));

    let fit = BradleyTerry::fit(models.len(), &pairings).unwrap();
    assert!(fit.gradient() < 1e-8, "{}", fit.gradient());
    let found: BTreeMap<&str, _> = models.into_iter().zip(fit.ratings()).collect();
    let expected = read_csv(&expected);
    assert_eq!(expected.len(), 129);
    for row in &expected {
        let rating = found[field(row, "model")];
        let interval = rating.interval(0.95).unwrap();
        for (column, found) in [
            ("rating_meancentred_1000", rating.rating),
            ("se_sandwich", rating.se),
            ("se_hessian", rating.se_hessian),
            ("ci95_lo", interval.lower),
            ("ci95_hi", interval.upper),
        ] {
            let expect: f64 = field(row, column).parse().unwrap();
            assert!((found - expect).abs() < 1e-5, "{} {column}: {found}, {expect}", field(row, "model"));
        }
    }
}

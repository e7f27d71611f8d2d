//! Means and standard errors of 441 scorers of published runs, from 223 965 sample scores (`notes/methods.md` 3 of the reference data).

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

use std::collections::BTreeMap;

use weighbridge_reference::{field, path, read_csv};
use weighbridge_stats::cluster::ClusterAccumulator;
use weighbridge_stats::mean::MeanAccumulator;
use weighbridge_stats::repeats::RepeatsAccumulator;

fn close(found: f64, row: &[(String, String)], column: &str) {
    let expect: f64 = field(row, column).parse().unwrap();
    assert!((found - expect).abs() < 1e-9, "{column} of {row:?}: found {found}");
}

#[test]
fn means_and_standard_errors_of_441_scorers() {
    let (Some(items), Some(expected)) =
        (path("data/reference/epoch_inspect_items/items.csv.gz"), path("data/reference/se_reference.csv"))
    else {
        return;
    };
    let mut scorers: BTreeMap<_, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    for row in read_csv(&items) {
        let key = (field(&row, "run_id").to_owned(), field(&row, "scorer").to_owned());
        let sample = scorers.entry(key).or_default().entry(field(&row, "item").to_owned()).or_default();
        sample.push(field(&row, "value").parse().unwrap());
    }
    let expected = read_csv(&expected);
    assert_eq!(expected.len(), 441);
    for row in &expected {
        let samples = &scorers[&(field(row, "run").to_owned(), field(row, "scorer").to_owned())];
        let mut by_sample = RepeatsAccumulator::default();
        let (mut all, mut clustered) = (MeanAccumulator::default(), ClusterAccumulator::default());
        for (item, scores) in samples {
            by_sample.push(scores).unwrap();
            for &score in scores {
                all.push(score);
                clustered.push(item, score);
            }
        }
        let found = by_sample.finish().unwrap();
        assert_eq!(found.samples.to_string(), field(row, "n"));
        close(found.mean, row, "mean");
        close(found.se, row, "se_epochmean");
        // What the log itself reported, and two other ways to count the same scores.
        close(found.mean, row, "acc_rep");
        close(found.se, row, "se_rep");
        close(all.standard_error().unwrap(), row, "se_naive_allrows");
        close(clustered.standard_error().unwrap().cr0, row, "se_cluster");
    }
}

//! Six paired contrasts on GPQA Diamond with repeats (`notes/methods.md` 3 of the reference data): every column of the reference.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

use std::collections::BTreeMap;

use weighbridge_reference::{field, path, read_csv};
use weighbridge_stats::Interval;
use weighbridge_stats::mean::MeanAccumulator;
use weighbridge_stats::paired::PairedAccumulator;
use weighbridge_stats::power::{ContrastVariance, ErrorRates, WithinSample, minimum_detectable_effect, samples_needed};
use weighbridge_stats::repeats::{Repeats, RepeatsAccumulator};

type Samples = BTreeMap<String, Vec<f64>>;

fn repeats(samples: &Samples) -> Repeats {
    let mut all = RepeatsAccumulator::default();
    for scores in samples.values() {
        all.push(scores).unwrap();
    }
    all.finish().unwrap()
}

fn sample_mean(scores: &[f64]) -> f64 {
    scores.iter().copied().collect::<MeanAccumulator>().mean().unwrap()
}

fn within(repeats: &Repeats) -> WithinSample {
    WithinSample { variance: repeats.split.as_ref().unwrap().within, epochs: repeats.epochs }
}

#[test]
fn six_contrasts_in_every_column() {
    let (Some(items), Some(expected)) =
        (path("data/reference/epoch_inspect_items/items.csv.gz"), path("data/reference/paired_reference_gpqa.csv"))
    else {
        return;
    };
    let mut runs: BTreeMap<String, Samples> = BTreeMap::new();
    for row in read_csv(&items).iter().filter(|row| field(row, "scorer") == "choice") {
        let samples = runs.entry(field(row, "run_id").to_owned()).or_default();
        samples.entry(field(row, "item").to_owned()).or_default().push(field(row, "value").parse().unwrap());
    }
    let expected = read_csv(&expected);
    assert_eq!(expected.len(), 6);
    for row in &expected {
        let close = |column: &str, found: f64| {
            let expect: f64 = field(row, column).parse().unwrap();
            let tolerance = 1e-6 * expect.abs().max(1.0);
            assert!((found - expect).abs() < tolerance, "{}, {column}: {found}, {expect}", field(row, "pair"));
        };
        let (a, b) = (&runs[field(row, "run_a")], &runs[field(row, "run_b")]);
        let mut pairs = PairedAccumulator::default();
        for (item, scores) in a {
            if let Some(others) = b.get(item) {
                pairs.push(sample_mean(scores), sample_mean(others), None);
            }
        }
        let found = pairs.finish().unwrap();
        assert_eq!(found.n.to_string(), field(row, "n"));
        close("mean_a", found.mean_a);
        close("mean_b", found.mean_b);
        close("diff", found.difference);
        close("se_a", found.se_a);
        close("se_b", found.se_b);
        close("se_unpaired", found.unpaired_se);
        close("se_paired", found.paired_se);
        close("corr", found.correlation.unwrap());
        close("z_paired", found.difference / found.paired_se);
        // The reference is the normal interval; ours is Student t and a little wider.
        let normal = Interval::normal(found.difference, found.paired_se, 0.95).unwrap();
        close("ci95_lo", normal.lower);
        close("ci95_hi", normal.upper);
        let student = found.interval(0.95).unwrap();
        assert!(student.lower < normal.lower && student.upper > normal.upper);

        let (a, b) = (repeats(a), repeats(b));
        close("K_a", a.epochs);
        close("K_b", b.epochs);
        let variance = found.paired_se * found.paired_se * found.n as f64;
        let contrast = ContrastVariance::from_observed(variance, within(&a), within(&b));
        close("omega2", contrast.between);
        close("sigma2_a", contrast.a.variance);
        close("sigma2_b", contrast.b.variance);
        close("mde80", minimum_detectable_effect(&contrast, found.n, ErrorRates::USUAL).unwrap());
        for (column, epochs) in [("n_for_3pp_K1", 1.0), ("n_for_3pp_K8", 8.0)] {
            close(column, samples_needed(&contrast.with_epochs(epochs, epochs), 0.03, ErrorRates::USUAL).unwrap());
        }
    }
}

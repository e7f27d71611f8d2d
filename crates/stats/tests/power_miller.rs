//! The worked example of power analysis in Miller, arXiv 2411.00640, section 5 (`notes/methods.md` 3 of the reference data).

use weighbridge_stats::power::{ContrastVariance, ErrorRates, WithinSample, minimum_detectable_effect, samples_needed};

const AVERAGED_OUT: WithinSample = WithinSample { variance: 1.0 / 6.0, epochs: f64::INFINITY };
const EXAMPLE: ContrastVariance = ContrastVariance { between: 1.0 / 9.0, a: AVERAGED_OUT, b: AVERAGED_OUT };

#[test]
fn a_difference_of_3_points_needs_969_samples() {
    let n = samples_needed(&EXAMPLE, 0.03, ErrorRates::USUAL).unwrap();
    assert_eq!(n.ceil(), 969.0);
    let effect = minimum_detectable_effect(&EXAMPLE, 969, ErrorRates::USUAL).unwrap();
    assert!((effect - 0.03).abs() < 1e-6, "{effect}");
}

#[test]
fn one_epoch_needs_more() {
    // 969 * (1/9 + 1/3) / (1/9) = 4 * 969, to rounding.
    let n = samples_needed(&EXAMPLE.with_epochs(1.0, 1.0), 0.03, ErrorRates::USUAL).unwrap();
    assert!((n / samples_needed(&EXAMPLE, 0.03, ErrorRates::USUAL).unwrap() - 4.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_planned_says_so() {
    assert!(samples_needed(&EXAMPLE, 0.0, ErrorRates::USUAL).is_err());
    assert!(samples_needed(&EXAMPLE, f64::NAN, ErrorRates::USUAL).is_err());
    assert!(samples_needed(&EXAMPLE.with_epochs(0.0, 1.0), 0.03, ErrorRates::USUAL).is_err());
    assert!(samples_needed(&EXAMPLE, 0.03, ErrorRates { alpha: 0.05, power: 0.01 }).is_err());
    assert!(minimum_detectable_effect(&EXAMPLE, 0, ErrorRates::USUAL).is_err());
}

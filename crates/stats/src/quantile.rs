//! Quantiles of type 7 of Hyndman and Fan: linear interpolation at position `(n - 1) q` of the sorted values.
//!
//! The default of numpy (`method="linear"`), R (`type = 7`) and Julia.
//! Reference: Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996).

use crate::StatError;

/// The `q` quantile of `values`, in any order.
///
/// # Errors
/// `values` is empty or has a NaN or an infinity, or `q` is not between 0 and 1.
pub fn quantile(values: &[f64], q: f64) -> Result<f64, StatError> {
    quantile_sorted(&sorted(values), q)
}

/// The quantiles `qs` of `values`, which is sorted once.
///
/// # Errors
/// As [`quantile`].
pub fn quantiles(values: &[f64], qs: &[f64]) -> Result<Vec<f64>, StatError> {
    let sorted = sorted(values);
    qs.iter().map(|&q| quantile_sorted(&sorted, q)).collect()
}

/// The median of `values`.
///
/// # Errors
/// As [`quantile`].
pub fn median(values: &[f64]) -> Result<f64, StatError> {
    quantile(values, 0.5)
}

/// The `q` quantile of values that were sorted by `f64::total_cmp`.
///
/// # Errors
/// As [`quantile`].
pub fn quantile_sorted(sorted: &[f64], q: f64) -> Result<f64, StatError> {
    if !(0.0..=1.0).contains(&q) {
        return Err(StatError::OutOfRange { what: "the quantile", range: "between 0 and 1", value: q });
    }
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return Err(StatError::NotEnough { what: "values", needed: 1, found: 0 });
    };
    // In total order NaN and the infinities stand at the ends, so the ends tell for all.
    StatError::unless_finite("quantile", *first)?;
    StatError::unless_finite("quantile", *last)?;
    let position = (sorted.len() - 1) as f64 * q;
    let below = position.floor() as usize;
    let share = position - position.floor();
    let low = sorted[below];
    let high = sorted[(below + 1).min(sorted.len() - 1)];
    // From the nearer end, as numpy does: keeps the result between its neighbours and the quantiles monotone.
    Ok(if share < 0.5 { low + (high - low) * share } else { high - (high - low) * (1.0 - share) })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy 2.4.6: `np.quantile([3.1, -2, 7.5, 0.25, 11, 4], q)`.
    #[test]
    fn quantiles_agree_with_numpy() {
        let values = [3.1, -2.0, 7.5, 0.25, 11.0, 4.0];
        for (q, expect) in
            [(0.0, -2.0), (0.05, -1.4375), (0.25, 0.9625), (0.333, 2.14525), (0.5, 3.55), (0.9, 9.25), (1.0, 11.0)]
        {
            assert!((quantile(&values, q).unwrap() - expect).abs() < 1e-14, "{q}");
        }
        assert_eq!(median(&[2.0]), Ok(2.0));
    }

    #[test]
    fn no_values_no_quantile() {
        assert_eq!(quantile(&[], 0.5).unwrap_err().to_string(), "not enough data: at least 1 values needed, 0 found");
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(quantile(&[1.0, bad, 2.0], 0.5), Err(StatError::NotFinite { what: "quantile" }));
        }
        assert!(quantile(&[1.0], 1.1).is_err() && quantile(&[1.0], f64::NAN).is_err());
    }
}

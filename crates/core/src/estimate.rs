//! A number with its uncertainty: the only form in which a number leaves `gap`.

use serde::{Deserialize, Serialize};

/// A value with an interval, the method that made it and the count that it rests on.
///
/// `lower` or `upper` is `None` where the data give no bound on that side (a censored lag has no upper bound). Both are
/// `None` where no interval can be given; `method` then says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate, in the unit that the field holding it names.
    pub value: f64,
    /// Lower end of the interval.
    pub lower: Option<f64>,
    /// Upper end of the interval.
    pub upper: Option<f64>,
    /// Coverage that the interval is made for, between 0 and 1 (0.9 = 90 %).
    pub level: f64,
    /// How value and interval were made, in a few words.
    pub method: String,
    /// The number of independent observations behind it (samples, scores, models or draws: the method says which).
    pub n: u64,
}

impl Estimate {
    /// True when the interval contains `value`; `None` where a side is unbounded and the answer depends on it.
    #[must_use]
    pub fn contains(&self, value: f64) -> Option<bool> {
        match (self.lower, self.upper) {
            (Some(lower), Some(upper)) => Some(lower <= value && value <= upper),
            (Some(lower), None) if value < lower => Some(false),
            (None, Some(upper)) if value > upper => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(lower: Option<f64>, upper: Option<f64>) -> Estimate {
        Estimate { value: 1.0, lower, upper, level: 0.9, method: "test".into(), n: 3 }
    }

    #[test]
    fn an_open_side_is_not_guessed() {
        assert_eq!(estimate(Some(0.5), Some(2.0)).contains(0.0), Some(false));
        assert_eq!(estimate(Some(0.5), Some(2.0)).contains(2.0), Some(true));
        assert_eq!(estimate(Some(0.5), None).contains(0.0), Some(false));
        assert_eq!(estimate(Some(0.5), None).contains(9.0), None);
        assert_eq!(estimate(None, None).contains(9.0), None);
    }
}

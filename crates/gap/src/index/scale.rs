//! The affine scale of the index: two named models are given two named scores.

/// Score given to the low anchor.
pub const LOW_SCORE: f64 = 130.0;
/// Score given to the high anchor.
pub const HIGH_SCORE: f64 = 150.0;

/// What fixes the scale of the index: two models and one benchmark, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchors<'a> {
    /// The model that stands at [`LOW_SCORE`].
    pub low: &'a str,
    /// The model that stands at [`HIGH_SCORE`].
    pub high: &'a str,
    /// The benchmark whose slope is 1.
    pub slope: &'a str,
}

/// The anchors of Epoch AI's ECI, by the names of its data files.
pub const ECI_ANCHORS: Anchors<'static> = Anchors { low: "Claude 3.5 Sonnet", high: "GPT-5", slope: "Winogrande" };

/// `score = offset + factor * capability`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Score of capability 0.
    pub offset: f64,
    /// Index points for one unit of raw capability.
    pub factor: f64,
}

impl Scale {
    /// The scale on which the raw capabilities of the two anchor models get [`LOW_SCORE`] and [`HIGH_SCORE`].
    ///
    /// `None` where the high anchor is not above the low one: the scale would be undefined or upside down.
    #[must_use]
    pub fn through(low: f64, high: f64) -> Option<Self> {
        let factor = (HIGH_SCORE - LOW_SCORE) / (high - low);
        (factor.is_finite() && factor > 0.0).then_some(Self { offset: LOW_SCORE - factor * low, factor })
    }

    /// Raw capability or difficulty to index points.
    #[must_use]
    pub fn score(&self, raw: f64) -> f64 {
        self.offset + self.factor * raw
    }

    /// Raw slope to slope per index point.
    #[must_use]
    pub fn slope(&self, raw: f64) -> f64 {
        raw / self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anchors_get_their_scores() {
        let scale = Scale::through(0.5, 1.5).unwrap();
        assert!((scale.score(0.5) - 130.0).abs() < 1e-12);
        assert!((scale.score(1.5) - 150.0).abs() < 1e-12);
        assert!((scale.slope(2.0) - 0.1).abs() < 1e-12);
        assert_eq!(Scale::through(1.0, 1.0), None);
        assert_eq!(Scale::through(2.0, 1.0), None);
    }
}

//! Reads one pair of models from the per-sample scores.

use std::collections::BTreeMap;
use std::path::Path;

use weighbridge_reference::{field, read_csv};
use weighbridge_stats::paired::{Paired, PairedAccumulator};

/// The contrast of two models over the samples that both have, clustered by `group`. A blank score is missing.
#[expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]
pub fn contrast(file: &Path, model_a: &str, model_b: &str) -> Paired {
    let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
    for row in read_csv(file) {
        let model = field(&row, "model");
        let side = if model == model_a {
            &mut a
        } else if model == model_b {
            &mut b
        } else {
            continue;
        };
        if let Ok(score) = field(&row, "score").parse::<f64>() {
            side.insert(field(&row, "item_id").to_owned(), (score, field(&row, "group").to_owned()));
        }
    }
    let mut pairs = PairedAccumulator::default();
    for (item, (score, group)) in &a {
        if let Some((other, _)) = b.get(item) {
            pairs.push(*score, *other, Some(group));
        }
    }
    pairs.finish().unwrap()
}

/// Fails unless `found` rounds to `printed`, digit for digit.
pub fn prints(found: f64, printed: &str) {
    let digits = printed.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    assert_eq!(format!("{found:.digits$}"), printed);
}

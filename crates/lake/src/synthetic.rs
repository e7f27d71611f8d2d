//! Made-up sample rows for benches: any number of them, the same every time, without holding them.

use weighbridge_core::{SampleRow, SampleState};

/// `rows` sample rows of one benchmark, half of them of `model-a` and half of `model-b`, on the same samples, already in
/// the order of the samples table. Scores are 0 or 1, `model-a` a little better; 1 in 1,000 samples has no score.
pub fn synthetic_samples(rows: u64) -> impl Iterator<Item = SampleRow> {
    let each = rows / 2;
    ["model-a", "model-b"]
        .into_iter()
        .zip([0.62, 0.60])
        .flat_map(move |(model, skill)| (0..each).map(move |i| row(model, skill, i)))
}

fn row(model: &str, skill: f64, i: u64) -> SampleRow {
    let draw = unit(mix(i ^ (model.len() as u64) << 40 ^ u64::from(model.as_bytes()[model.len() - 1]) << 48));
    // The same sample is hard or easy for both models.
    let ease = unit(mix(i)) - 0.5;
    let missing = mix(i.wrapping_mul(3)).is_multiple_of(1000);
    SampleRow {
        benchmark: "synthetic".into(),
        model: model.into(),
        run: None,
        sample: format!("sample-{i:012}"),
        epoch: 1,
        group: Some(format!("group-{:03}", i % 250)),
        state: if missing { SampleState::Missing } else { SampleState::Scored },
        score: (!missing).then(|| f64::from(u8::from(draw < skill + 0.5 * ease))),
        grader: None,
        cost_usd: Some(0.001 + 0.001 * draw),
        output_tokens: Some(200 + mix(i) % 800),
        output_chars: None,
        seconds: None,
        date: None,
        dataset_size: None,
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring inputs give unrelated outputs.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number from 0 up to but not including 1.
fn unit(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

//! The `thresholds` lag against Epoch AI's publication of November 2024: 39 lags on four benchmarks.
//!
//! Reference: `data/reference/lag_2024/expected_thresholds.json`. That publication leaves out systems trained on the
//! benchmarks' training data ("Flan"), distrusts some MMLU scores (trust -1), counts SEAL Math as GSM1k, and divides by
//! months of 365/12 days.

#![expect(clippy::unwrap_used, reason = "a test stops where its reference cannot be read")]

use time::Date;
use weighbridge_core::parse_date;
use weighbridge_gap::frontier::Entrant;
use weighbridge_gap::lag::thresholds::{percent_thresholds, thresholds};
use weighbridge_reference::{field, path, read_csv};
use weighbridge_stats::quantile::quantile;

type Row = Vec<(String, String)>;

const DAYS: f64 = 365.0 / 12.0;

/// Score, date and side of the rows that have all three.
fn scored<'a>(rows: &'a [Row], column: &'a str) -> impl Iterator<Item = (f64, Date, bool)> + 'a {
    rows.iter().filter(|r| !field(r, "System").contains("Flan")).filter_map(move |r| {
        let score: f64 = field(r, column).parse().ok()?;
        Some((100.0 * score, parse_date(field(r, "Date")).ok()?, field(r, "Open/Closed") == "Open"))
    })
}

fn lags(rows: impl Iterator<Item = (f64, Date, bool)>) -> Vec<(f64, f64, bool)> {
    let (mut open, mut closed, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for (column, (score, date, is_open)) in rows.enumerate() {
        scores.push(score);
        if is_open { &mut open } else { &mut closed }.push(Entrant::new(date, column));
    }
    let as_of = parse_date("2024-11-04").unwrap().to_julian_day();
    let found = thresholds(&open, &closed, &scores, percent_thresholds(), as_of);
    found.iter().map(|l| (l.threshold, f64::from(l.days) / DAYS, l.censored)).collect()
}

#[test]
fn all_39_lags_are_reproduced() {
    let Some(folder) = path("data/reference/lag_2024") else { return };
    let board = read_csv(&folder.join("benchmarks_with_model_accessibility.csv"));
    let gsm1k = read_csv(&folder.join("gsm1k_with_model_accessibility.csv"));
    let trusted: Vec<Row> = board.iter().filter(|r| field(r, "Trust in benchmark results") != "-1").cloned().collect();
    let found = [
        ("MMLU", lags(scored(&trusted, "MMLU"))),
        ("GPQA", lags(scored(&board, "GPQA"))),
        ("GSM1k", lags(scored(&gsm1k, "GSM1k").chain(scored(&board, "SEAL Math")))),
        ("BBH", lags(scored(&board, "BBH"))),
    ];
    let text = std::fs::read_to_string(folder.join("expected_thresholds.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut months = Vec::new();
    for (benchmark, lags) in &found {
        let rows = expected[benchmark].as_array().unwrap();
        let matched: Vec<_> = lags.iter().filter(|l| !l.2).collect();
        assert_eq!(matched.len(), rows.len(), "{benchmark}");
        for (ours, theirs) in matched.iter().zip(rows) {
            assert_eq!(ours.0, theirs[0].as_f64().unwrap(), "{benchmark}");
            assert!((ours.1 - theirs[1].as_f64().unwrap()).abs() < 0.01, "{benchmark} {}: {}", ours.0, ours.1);
            months.push(ours.1);
        }
    }
    assert_eq!(months.len(), 39);
    let mean = months.iter().sum::<f64>() / 39.0;
    for (name, ours, theirs) in [
        ("mean", mean, 7.50),
        ("median", quantile(&months, 0.5).unwrap(), 5.92),
        ("p25", quantile(&months, 0.25).unwrap(), 1.45),
        ("p75", quantile(&months, 0.75).unwrap(), 13.86),
    ] {
        assert!((ours - theirs).abs() < 0.01, "{name}: {ours} against {theirs}");
    }
    // The publication drops the thresholds that open models had not reached; they are four.
    let censored: Vec<_> =
        found.iter().flat_map(|(b, lags)| lags.iter().filter(|l| l.2).map(move |l| (*b, l.0))).collect();
    assert_eq!(censored, [("GPQA", 55.0), ("GPQA", 60.0), ("GPQA", 65.0), ("BBH", 90.0)]);
}

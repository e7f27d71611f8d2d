//! Speed of Bradley-Terry ratings with sandwich intervals: 1 670 250 votes on 129 models (Chatbot Arena, 2024-08-14).
//!
//! `cargo bench -p weighbridge-stats --bench votes [-- RUNS]` prints one JSON object; reading the file is not timed. The
//! package arena-rank on the same votes is `benches/peers/bradley_terry_arena_rank.py`, and `benches/run.py votes` runs
//! both in turn.

#![expect(clippy::unwrap_used, reason = "a bench stops where its input cannot be read")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../../benches/cpu_clock.rs"]
mod cpu_clock;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cpu_clock::cpu_seconds;
use serde_json::{Value, json};
use weighbridge_reference::{field, path, read_csv};
use weighbridge_stats::bradley_terry::{BradleyTerry, Pairing, Rating};
use weighbridge_stats::quantile::median;

fn main() {
    let folder = "data/reference";
    let (Some(votes), Some(reference)) =
        (path(&format!("{folder}/chatbotarena_20240814.json")), path(&format!("{folder}/bt_reference_20240814.csv")))
    else {
        return;
    };
    let runs: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let (models, pairings) = read(&votes);

    let (first, ratings) = timed(models.len(), &pairings);
    let warm: Option<Vec<f64>> = (0..runs).map(|_| timed(models.len(), &pairings).0).collect();
    let report = json!({
        "first_cpu_s": first,
        "warm_cpu_s": warm.and_then(|seconds| median(&seconds).ok()),
        "runs": runs,
        "votes": pairings.iter().map(|p| p.wins_a + p.wins_b + p.ties).sum::<f64>(),
        "models": models.len(),
        "max_difference": compare(&reference, &models, &ratings),
    });
    println!("{report}");
}

/// CPU seconds of a fit with the interval of every model, and the ratings.
fn timed(models: usize, pairings: &[Pairing]) -> (Option<f64>, Vec<Rating>) {
    let start = cpu_seconds();
    let ratings = BradleyTerry::fit(models, pairings).unwrap().ratings();
    for rating in &ratings {
        std::hint::black_box(rating.interval(0.95).unwrap());
    }
    (start.zip(cpu_seconds()).map(|(from, to)| to - from), ratings)
}

fn read(path: &Path) -> (Vec<String>, Vec<Pairing>) {
    let votes: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let list = |key: &str| votes[key].as_array().unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let models = list("models").iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let pairing = |(pair, counts): (&Value, &Value)| Pairing {
        a: number(&pair[0]) as usize,
        b: number(&pair[1]) as usize,
        wins_a: number(&counts[0]) as f64,
        wins_b: number(&counts[1]) as f64,
        // A tie, and a tie with both answers bad.
        ties: (number(&counts[2]) + number(&counts[3])) as f64,
    };
    (models, list("X").iter().zip(list("Y")).map(pairing).collect())
}

/// Largest absolute differences from the reference, in rating points.
fn compare(reference: &Path, models: &[String], ratings: &[Rating]) -> Value {
    let found: BTreeMap<&str, &Rating> = models.iter().map(String::as_str).zip(ratings).collect();
    let rows = read_csv(reference);
    let largest = |column: &str, of: fn(&Rating) -> f64| {
        let off = |row| (field(row, column).parse::<f64>().unwrap() - of(found[field(row, "model")])).abs();
        rows.iter().map(|row| off(row)).fold(0.0, f64::max)
    };
    json!({ "rating": largest("rating_meancentred_1000", |r| r.rating), "se": largest("se_sandwich", |r| r.se) })
}

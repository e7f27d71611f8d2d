//! Speed of the index: one fit and its bootstrap draws on Epoch AI's data of 2026-08-11, on every core.
//!
//! `cargo bench -p weighbridge-gap --bench index [-- DRAWS]` prints one JSON object; reading the file is not timed. The
//! same model in scipy is `benches/peers/index_scipy.py`, and `benches/run.py index` runs both in turn.

#![expect(clippy::unwrap_used, reason = "a bench stops where its input cannot be read")]

#[path = "../../../benches/cpu_clock.rs"]
mod cpu_clock;

use std::time::Instant;

use cpu_clock::cpu_seconds;
use serde_json::json;
use weighbridge_gap::index::{ECI_ANCHORS, Index};
use weighbridge_reference::{field, path, read_csv};

fn main() {
    let Some(file) = path("data/reference/eci_2026-08-11/eci_benchmarks.csv") else { return };
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(500);
    let rows = read_csv(&file);
    let score = |row| field(row, "performance").parse::<f64>().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (field(row, "model"), field(row, "benchmark"), score(row))).collect();
    // Starts the pool, so that its threads are there for both readings of the clock.
    let threads = rayon::broadcast(|_| ()).len();

    let (start, cpu) = (Instant::now(), cpu_seconds());
    let index = Index::fit(rows.iter().copied(), &ECI_ANCHORS).unwrap();
    let (fitted, cpu_fitted) = (start.elapsed(), cpu_seconds());
    let draws = index.draw(count, 12_345, &|| ());
    let (drawn, cpu_drawn) = (start.elapsed(), cpu_seconds());

    let spent = |from: Option<f64>, to: Option<f64>| from.zip(to).map(|(from, to)| to - from);
    let report = json!({
        "fit_cpu_s": spent(cpu, cpu_fitted),
        "draws_cpu_s": spent(cpu_fitted, cpu_drawn),
        "fit_wall_s": fitted.as_secs_f64(),
        "wall_s": drawn.as_secs_f64(),
        "draws": count,
        "failed": draws.failed,
        "threads": threads,
        "cost": index.fit.cost,
        "steps": index.fit.steps,
    });
    println!("{report}");
}

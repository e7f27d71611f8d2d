//! Speed of the index: one fit and its bootstrap draws on Epoch AI's data of 2026-08-11, on every core.
//!
//! `cargo bench -p weighbridge-gap --bench index [-- DRAWS]` prints one JSON object; reading the file is not timed. The
//! same model in scipy is `benches/peers/index_scipy.py`, and `benches/run.py index` runs both in turn.

#![expect(clippy::unwrap_used, reason = "a bench stops where its input cannot be read")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../../benches/cpu_clock.rs"]
mod cpu_clock;

use std::time::Instant;

use cpu_clock::cpu_seconds;
use serde_json::{Value, json};
use weighbridge_gap::index::{Draws, ECI_ANCHORS, Index, Scale, solve};
use weighbridge_reference::{field, path, read_csv};
use weighbridge_stats::bootstrap::Resampler;
use weighbridge_stats::quantile::quantile;

const SEED: u64 = 12_345;

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
    let draws = index.draw(count, SEED, &|| ());
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
        "off": off(&index, &draws),
    });
    println!("{report}");
}

/// How far the draws stand from the minimum: differences in index points from the same draws refitted to the tolerance of
/// the fit itself, over all models and draws. Null where a draw failed, since the draws then have lost their numbers.
fn off(index: &Index, draws: &Draws) -> Value {
    if draws.failed > 0 {
        return Value::Null;
    }
    let problem = &index.problem;
    let groups: Vec<usize> = problem.starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut weights = vec![0.0; problem.observations.len()];
    let mut differences = Vec::new();
    for (k, scores) in draws.rows().enumerate() {
        Resampler::new(SEED, k as u64).counts_by_group(&groups, &mut weights);
        let capability = solve(problem, &weights, &index.fit.parameters).parameters.capability;
        let anchor = |name| capability[problem.model(name).unwrap()];
        let scale = Scale::through(anchor(ECI_ANCHORS.low), anchor(ECI_ANCHORS.high)).unwrap();
        differences.extend(capability.iter().zip(scores).map(|(&c, score)| (scale.score(c) - score).abs()));
    }
    let at = |q| quantile(&differences, q).ok();
    json!({ "median": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

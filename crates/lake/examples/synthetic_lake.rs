//! Builds a lake of made-up sample rows and streams its two models side by side, to see how time and memory grow:
//! `cargo run -p weighbridge-lake --example synthetic_lake -- FOLDER ROWS`.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use weighbridge_core::{SampleStream, StreamError};
use weighbridge_lake::schema::SampleSet;
use weighbridge_lake::{Lake, synthetic_samples, write_samples};

fn main() -> Result<(), StreamError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rows] = &arguments[..] else {
        return Err("usage: synthetic_lake FOLDER ROWS".into());
    };
    let rows: u64 = rows.replace('_', "").parse()?;
    let mut out = std::io::stdout();
    let mut lake = Lake::open_or_create(Path::new(folder))?;
    if lake.sample_sets().iter().map(SampleSet::rows).sum::<u64>() < rows {
        let start = Instant::now();
        write_samples(&mut lake, synthetic_samples(rows), "synthetic")?;
        writeln!(out, "built {rows} rows in {:.1?}, peak memory {}", start.elapsed(), peak_memory())?;
    }

    let start = Instant::now();
    let mut a = lake.open_samples("synthetic", "model-a", None)?;
    let mut b = lake.open_samples("synthetic", "model-b", None)?;
    let (mut pairs, mut difference) = (0_u64, 0.0);
    while let (Some(a), Some(b)) = (a.next_sample()?, b.next_sample()?) {
        if a.sample != b.sample {
            return Err(format!("{} beside {}", a.sample, b.sample).into());
        }
        if let (Some(a), Some(b)) = (a.score, b.score) {
            pairs += 1;
            difference += a - b;
        }
    }
    let mean = difference / pairs as f64;
    writeln!(
        out,
        "{pairs} pairs in {:.1?}, mean difference {mean:.6}, peak memory {}",
        start.elapsed(),
        peak_memory()
    )?;
    Ok(())
}

/// The most memory that the process has held, as Linux counts it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
}

//! Accelerators: data sheet figures and what an hour costs.

use std::path::Path;

use anyhow::{Context, Result};
use weighbridge_catalog::schema;

use super::input;
use super::output::Output;

/// Cards whose figures the source marks as temporary.
const TEMPORARY: [&str; 2] = ["B300", "GB300"];

pub(crate) fn add(data: &Path, output: &mut Output) -> Result<()> {
    let mut rows = Vec::new();
    for row in input::csv(&data.join("facts/hardware/gpus.csv"))? {
        let name = row.get("name")?;
        let bandwidth = row.get("memory_bandwidth")?;
        let bandwidth =
            bandwidth.strip_suffix(" TB/s").with_context(|| format!("{}: bandwidth '{bandwidth}'", row.place))?;
        let temporary = TEMPORARY.iter().any(|card| name.split_whitespace().next() == Some(card));
        rows.push([
            name.to_owned(),
            row.get("vendor")?.to_owned(),
            row.get("memory_gb")?.to_owned(),
            bandwidth.to_owned(),
            row.get("bf16_dense_tflops")?.to_owned(),
            row.get("fp8_dense_tflops")?.to_owned(),
            row.get("fp4_dense_tflops")?.to_owned(),
            row.get("all_in_power_kw_per_gpu")?.to_owned(),
            row.get("usd_per_gpu_hour_hyperscaler")?.to_owned(),
            row.get("usd_per_gpu_hour_neocloud")?.to_owned(),
            row.get("usd_per_gpu_hour_3yr_rental")?.to_owned(),
            if temporary { "marked temporary at the source".to_owned() } else { String::new() },
            "gpu-costs".to_owned(),
        ]);
    }
    rows.sort();
    output.csv("hardware.csv", schema::HARDWARE, rows)
}

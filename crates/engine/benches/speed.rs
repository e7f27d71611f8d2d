//! Speed of prefill, decode and scoring on one model, as one JSON object; `benches/run.py engine` compares it with peers.
//!
//! `speed MODEL [--threads N] [--prefill N] [--decode N] [--streams N] [--repeats N]`

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use weighbridge_engine::files::Checkpoint;
use weighbridge_engine::{load, run};

#[path = "../../../benches/cpu_clock.rs"]
mod cpu_clock;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let option = |name: &str, other: usize| {
        let at = args.iter().position(|a| a == name);
        at.map_or(other, |at| args[at + 1].parse().expect("a number"))
    };
    let model = args.first().expect("a model");
    let threads = option("--threads", 1);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let started = Instant::now();
    let checkpoint = Arc::new(Checkpoint::open(Path::new(model)).expect("a checkpoint"));
    let decoder = load::decoder(checkpoint).expect("a model");
    let load = started.elapsed().as_secs_f64();
    let ids = |n: usize| -> Vec<u32> { (0..n as u32).map(|i| 1000 + i * 37 % 20_000).collect() };
    let repeats = option("--repeats", 3);
    let best = |work: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..repeats)
            .map(|_| {
                let started = Instant::now();
                work();
                started.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let prefill = option("--prefill", 512);
    let text = ids(prefill);
    let times = best(&mut || {
        run::last_logits(&decoder, &text).expect("logits");
    });
    let rates: Vec<String> = times.iter().rev().map(|t| format!("{:.1}", prefill as f64 / t)).collect();
    println!("load {load:.3} s, weights {} MB, prefill {prefill}: {} tok/s", decoder.weight_bytes() >> 20, rates.join(" "));
    let steps = option("--decode", 64);
    let streams = option("--streams", 1);
    let times = best(&mut || run::decode_steps(&decoder, &ids(8), streams, steps).expect("tokens"));
    let rates: Vec<String> = times.iter().rev().map(|t| format!("{:.1}", (steps * streams) as f64 / t)).collect();
    println!("decode {steps} x {streams}: {} tok/s", rates.join(" "));
}

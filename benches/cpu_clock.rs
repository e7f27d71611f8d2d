//! CPU seconds (user and system) of this process, for the benches of several crates.
//!
//! Linux only: elsewhere the clock is unknown and a bench gives null. The scheduler counts the nanoseconds of each
//! thread, so that a fit of some milliseconds can be measured.

use std::time::Duration;
use std::{fs, thread};

/// CPU seconds that the live threads of this process have used, or `None` where the system does not say.
///
/// Threads that ended are not in the sum: a pool must outlive what it is measured for.
pub fn cpu_seconds() -> Option<f64> {
    // The scheduler brings its count up to date when a thread leaves the core, and else every few milliseconds.
    thread::sleep(Duration::from_micros(50));
    let mut nanoseconds = 0;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let counters = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += counters.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(nanoseconds as f64 * 1e-9)
}

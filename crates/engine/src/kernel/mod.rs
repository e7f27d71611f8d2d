//! Arithmetic on the processor: packed weights, linear layers, attention, and elementwise functions.
//!
//! Each kernel has an AVX-512 form and a portable one, chosen at run time.

use std::cell::Cell;

mod attention;
mod isa;
mod lanes;
mod linear;
pub(crate) mod math;
mod packed;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod tile;

pub(crate) use attention::{Segment, Shape, attention, store};
pub(crate) use linear::{Product, linear};
pub use packed::Precision;
pub(crate) use packed::{LANES, Packed};

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Threads that a kernel may use.
pub(crate) fn threads() -> usize {
    if ALONE.get() { 1 } else { rayon::current_num_threads() }
}

/// Runs `work` with kernels that stay on this thread.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> T {
    let before = ALONE.replace(true);
    let result = work();
    ALONE.set(before);
    result
}

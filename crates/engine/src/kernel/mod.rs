//! Arithmetic on the processor: packed weights, linear layers, attention, and elementwise functions.
//!
//! Each kernel has an AVX-512 form and a portable one, chosen at run time.

mod attention;
mod isa;
mod linear;
pub(crate) mod math;
mod packed;
mod plain;
#[cfg(target_arch = "x86_64")]
mod tile;

pub(crate) use attention::{Segment, Shape, attention, store};
pub use isa::Isa;
pub(crate) use linear::linear;
pub(crate) use packed::{LANES, Packed};

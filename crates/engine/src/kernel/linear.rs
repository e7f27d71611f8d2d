//! `y = x W^T + b` over packed weights: which tiles there are, and which thread computes them.
//!
//! Few rows are multiplied with the weights as they are packed. For many rows, two strips at a time are turned into f32
//! in the cache of a core and multiplied with all rows; the rows are laid out in blocks of twelve for that.
#![expect(unsafe_code, reason = "threads write disjoint columns of one matrix")]

use std::cell::RefCell;

use rayon::prelude::*;

use super::isa::Isa;
use super::packed::{LANES, Packed};
use super::plain;
#[cfg(target_arch = "x86_64")]
use super::tile::{Bf16Strip, F32Strip, QuantStrip, Rows, Strip, tiles};
#[cfg(target_arch = "x86_64")]
use super::packed::Data;

/// Rows of a block.
const BLOCK: usize = 12;
/// From this many rows on, strips are turned into f32 first.
const MANY: usize = 16;
/// Below this many multiply-adds, another thread costs more than it does.
const WORTH_A_THREAD: usize = 60_000;

/// A matrix that several threads write, each its own columns.
#[derive(Clone, Copy)]
struct Out {
    start: *mut f32,
    by_row: usize,
}

// SAFETY: each task writes its own strips, which no other task reads or writes.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `m` rows of `x` times the weights, into `m` rows of `out`; the bias is added where there is one.
pub fn linear(x: &[f32], m: usize, weights: &Packed, bias: Option<&[f32]>, out: &mut [f32]) {
    let isa = Isa::get();
    linear_with(isa, x, m, weights, bias, out);
}

/// [`linear`] with the kernels of `isa`, which the processor must have.
pub(super) fn linear_with(
    isa: Isa,
    x: &[f32],
    m: usize,
    weights: &Packed,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let (rows, cols) = (weights.rows, weights.cols);
    assert!(x.len() >= m * cols && out.len() >= m * rows, "buffers hold every row");
    if m == 0 || rows == 0 {
        return;
    }
    for row in out[..m * rows].chunks_exact_mut(rows) {
        match bias {
            Some(bias) => row.copy_from_slice(bias),
            None => row.fill(0.0),
        }
    }
    let wide = !matches!(isa, Isa::Portable | Isa::Avx2);
    let blocks = if wide && m >= MANY { Some(in_blocks(x, m, cols)) } else { None };
    let strips = weights.strips();
    let target = Out { start: out.as_mut_ptr(), by_row: rows };
    let group = if wide && m <= 2 { 4 } else { 2 };
    let groups = strips.div_ceil(group);
    let task = |g: usize| {
        let range = g * group..((g + 1) * group).min(strips);
        match &blocks {
            Some(blocks) => many_rows(isa, blocks, m, weights, range, target),
            None => few_rows(isa, x, m, weights, range, target),
        }
    };
    let threads = rayon::current_num_threads();
    if threads == 1 || m * rows * cols < WORTH_A_THREAD {
        (0..groups).for_each(task);
    } else {
        let chunk = groups.div_ceil(threads * 4).max(1);
        (0..groups).into_par_iter().with_min_len(chunk).for_each(task);
    }
}

/// The rows in blocks of twelve, column after column; the last block is filled up with zeros.
fn in_blocks(x: &[f32], m: usize, cols: usize) -> Vec<f32> {
    let mut blocks = vec![0.0; m.div_ceil(BLOCK) * BLOCK * cols];
    let fill = |(b, block): (usize, &mut [f32])| {
        for r in 0..BLOCK.min(m - b * BLOCK) {
            let row = &x[(b * BLOCK + r) * cols..][..cols];
            for (k, &number) in row.iter().enumerate() {
                block[k * BLOCK + r] = number;
            }
        }
    };
    if rayon::current_num_threads() == 1 {
        blocks.chunks_mut(BLOCK * cols).enumerate().for_each(fill);
    } else {
        blocks.par_chunks_mut(BLOCK * cols).enumerate().for_each(fill);
    }
    blocks
}

/// The columns of some strips for every row in blocks.
fn many_rows(isa: Isa, blocks: &[f32], m: usize, weights: &Packed, strips: std::ops::Range<usize>, out: Out) {
    let cols = weights.cols;
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize((strips.len() * cols * LANES).max(scratch.len()), 0.0);
        for (i, strip) in strips.clone().enumerate() {
            plain::strip_to_f32(isa, weights, strip, &mut scratch[i * cols * LANES..][..cols * LANES]);
        }
        let full = strips.end * LANES <= weights.rows;
        for (b, block) in blocks.chunks_exact(BLOCK * cols).enumerate() {
            let rows = BLOCK.min(m - b * BLOCK);
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the block has `rows` rows of `cols` columns, the scratch as many columns a strip, and the columns
            // of these strips belong to this task alone.
            unsafe {
                let start = out.start.add(b * BLOCK * out.by_row + strips.start * LANES);
                let from = Rows { start: block.as_ptr(), by_row: 1, by_column: BLOCK };
                let pair = [F32Strip(scratch.as_ptr()), F32Strip(scratch.as_ptr().add((strips.len() - 1) * cols * LANES))];
                if full && strips.len() == 2 {
                    block_of_rows(from, rows, pair, cols, start, out.by_row);
                } else {
                    let columns = (weights.rows - strips.start * LANES).min(strips.len() * LANES);
                    on_the_side(start, out.by_row, rows, columns, |side| {
                        block_of_rows(from, rows, pair, cols, side, 2 * LANES);
                    });
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = (full, rows, block, out);
        }
    });
}

/// Lets `tile` write two whole strips in a buffer, where the matrix has only `columns` of them.
#[cfg(target_arch = "x86_64")]
unsafe fn on_the_side(out: *mut f32, by_out: usize, rows: usize, columns: usize, tile: impl FnOnce(*mut f32)) {
    let mut side = [0.0_f32; 2 * BLOCK * LANES];
    // SAFETY: the caller gives at most a block of rows, and two strips of columns at most.
    unsafe {
        for r in 0..rows {
            std::ptr::copy_nonoverlapping(out.add(r * by_out), side.as_mut_ptr().add(r * 2 * LANES), columns);
        }
        tile(side.as_mut_ptr());
        for r in 0..rows {
            std::ptr::copy_nonoverlapping(side.as_ptr().add(r * 2 * LANES), out.add(r * by_out), columns);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn block_of_rows(
    rows: Rows,
    m: usize,
    strips: [F32Strip; 2],
    cols: usize,
    out: *mut f32,
    by_out: usize,
) {
    // SAFETY: as the caller says. Constant strides make the loads of a row one base and constant offsets.
    unsafe { tiles(Rows { by_row: 1, by_column: BLOCK, ..rows }, m, strips, cols, out, by_out) }
}

/// The columns of some strips for a few rows, from the weights as they are packed.
fn few_rows(isa: Isa, x: &[f32], m: usize, weights: &Packed, strips: std::ops::Range<usize>, out: Out) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set was detected, and the columns of these strips belong to this task alone.
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { few_avx512(x, m, weights, strips, out) },
        _ => SCRATCH.with_borrow_mut(|scratch| {
            let cols = weights.cols;
            scratch.resize((cols * LANES).max(scratch.len()), 0.0);
            for strip in strips {
                plain::strip_to_f32(isa, weights, strip, &mut scratch[..cols * LANES]);
                let columns = LANES.min(weights.rows - strip * LANES);
                let mut sums = vec![0.0; m * LANES];
                // SAFETY: row and column lie inside the matrix, and the strip belongs to this task alone.
                let rows = |r: usize| unsafe {
                    std::slice::from_raw_parts_mut(out.start.add(r * out.by_row + strip * LANES), columns)
                };
                for r in 0..m {
                    sums[r * LANES..][..columns].copy_from_slice(rows(r));
                }
                plain::add_products(isa, x, (m, cols, 1), &scratch[..cols * LANES], &mut sums, LANES);
                for r in 0..m {
                    rows(r).copy_from_slice(&sums[r * LANES..][..columns]);
                }
            }
        }),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn few_avx512(x: &[f32], m: usize, weights: &Packed, strips: std::ops::Range<usize>, out: Out) {
    let cols = weights.cols;
    let quant = |words: usize| (cols / words * LANES, words);
    // SAFETY: strip `s` of each form starts at `s` times its length, and all of them lie inside their vectors.
    unsafe {
        match &weights.data {
            Data::F32(v) => {
                few(x, m, cols, cols, |s| F32Strip(v.as_ptr().add(s * cols * LANES)), weights.rows, strips, out);
            }
            Data::Bf16(v) => {
                let pairs = cols.div_ceil(2);
                let strip = |s: usize| Bf16Strip(v.as_ptr().add(s * pairs * LANES));
                if cols % 2 == 0 {
                    few(x, m, cols, pairs, strip, weights.rows, strips, out);
                } else {
                    let even: Vec<f32> =
                        x[..m * cols].chunks_exact(cols).flat_map(|row| row.iter().copied().chain([0.0])).collect();
                    few(&even, m, cols + 1, pairs, strip, weights.rows, strips, out);
                }
            }
            Data::Nibble(b) => {
                let ((words, per_word), blocks) = (quant(8), cols / b.block * LANES);
                let strip = |s: usize| QuantStrip::<4> {
                    words: b.words.as_ptr().add(s * words),
                    scales: b.scales.as_ptr().add(s * blocks),
                    mins: b.mins.as_ptr().add(s * blocks),
                    shift: (b.block / per_word).trailing_zeros(),
                };
                few(x, m, cols, cols / per_word, strip, weights.rows, strips, out);
            }
            Data::Byte(b) => {
                let ((words, per_word), blocks) = (quant(4), cols / b.block * LANES);
                let strip = |s: usize| QuantStrip::<8> {
                    words: b.words.as_ptr().add(s * words),
                    scales: b.scales.as_ptr().add(s * blocks),
                    mins: b.mins.as_ptr().add(s * blocks),
                    shift: (b.block / per_word).trailing_zeros(),
                };
                few(x, m, cols, cols / per_word, strip, weights.rows, strips, out);
            }
        }
    }
}

/// Some strips, four, two or one at a time.
#[cfg(target_arch = "x86_64")]
#[expect(clippy::too_many_arguments, reason = "the matrix, its strips and where they go")]
#[inline(always)]
unsafe fn few<W: Strip>(
    x: &[f32],
    m: usize,
    by_row: usize,
    steps: usize,
    strip: impl Fn(usize) -> W,
    width: usize,
    strips: std::ops::Range<usize>,
    out: Out,
) {
    let rows = Rows { start: x.as_ptr(), by_row, by_column: 1 };
    let mut s = strips.start;
    while s < strips.end {
        let left = strips.end - s;
        // SAFETY: the strips `s..` up to the end exist, and the columns of all but the last are whole.
        unsafe {
            let at = out.start.add(s * LANES);
            if left >= 4 && (s + 4) * LANES <= width && m <= 2 {
                tiles(rows, m, [strip(s), strip(s + 1), strip(s + 2), strip(s + 3)], steps, at, out.by_row);
                s += 4;
            } else if left >= 2 && (s + 2) * LANES <= width {
                tiles(rows, m, [strip(s), strip(s + 1)], steps, at, out.by_row);
                s += 2;
            } else if (s + 1) * LANES <= width {
                tiles(rows, m, [strip(s)], steps, at, out.by_row);
                s += 1;
            } else {
                let mut r = 0;
                while r < m {
                    let some = BLOCK.min(m - r);
                    let from = Rows { start: rows.start.add(r * by_row), ..rows };
                    on_the_side(at.add(r * out.by_row), out.by_row, some, width - s * LANES, |side| {
                        tiles(from, some, [strip(s)], steps, side, 2 * LANES);
                    });
                    r += some;
                }
                s += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Dtype, dequantise};
    use proptest::test_runner::{RngAlgorithm, TestRng};
    use proptest::prelude::Rng;

    fn sets() -> Vec<Isa> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::get()).collect()
    }

    /// Random bytes that are valid blocks: scales are small, finite halves.
    fn raw(random: &mut TestRng, dtype: Dtype, numbers: usize) -> Vec<u8> {
        let (elements, bytes) = dtype.block();
        let mut data = vec![0; numbers / elements * bytes];
        random.fill_bytes(&mut data);
        let halves: &[usize] = match dtype {
            Dtype::Q4_0 | Dtype::Q5_0 | Dtype::Q8_0 => &[0],
            Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K => &[0, 2],
            Dtype::Q2K => &[80, 82],
            Dtype::Q3K => &[108],
            Dtype::Q6K => &[208],
            _ => &[],
        };
        for block in data.chunks_exact_mut(bytes) {
            for &at in halves {
                let number = half::f16::from_f32(0.01 + f32::from(block[at]) / 5000.0);
                block[at..at + 2].copy_from_slice(&number.to_le_bytes());
            }
            match dtype {
                Dtype::F32 => block.copy_from_slice(&(f32::from(block[0]) / 100.0 - 1.28).to_le_bytes()),
                Dtype::F16 => {
                    let number = half::f16::from_f32(f32::from(block[0]) / 100.0 - 1.28);
                    block.copy_from_slice(&number.to_le_bytes());
                }
                Dtype::Bf16 => {
                    let number = half::bf16::from_f32(f32::from(block[0]) / 100.0 - 1.28);
                    block.copy_from_slice(&number.to_le_bytes());
                }
                _ => {}
            }
        }
        data
    }

    /// Every form of weight, on every instruction set, for shapes around every boundary: equal to sums in f64, and the
    /// same bits whatever the number of rows.
    #[test]
    fn products_are_those_of_plain_sums() {
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let all = [
            (Dtype::F32, 37), (Dtype::F16, 40), (Dtype::Bf16, 37), (Dtype::Bf16, 64), (Dtype::Q4_0, 96),
            (Dtype::Q4_1, 64), (Dtype::Q5_0, 64), (Dtype::Q5_1, 96), (Dtype::Q8_0, 64), (Dtype::Q2K, 256),
            (Dtype::Q3K, 512), (Dtype::Q4K, 256), (Dtype::Q5K, 512), (Dtype::Q6K, 256),
        ];
        for (dtype, cols) in all {
            for rows in [1, 16, 33, 83] {
                let data = raw(&mut random, dtype, rows * cols);
                let order: Vec<usize> = (0..rows).rev().collect();
                let packed = Packed::from_raw(&dtype, &data, cols, &order).unwrap();
                let mut plain = vec![0.0; rows * cols];
                dequantise(&dtype, &data, &mut plain).unwrap();
                let most = 40;
                let x: Vec<f32> = (0..most * cols).map(|_| (random.next_u32() % 200) as f32 / 100.0 - 1.0).collect();
                let bias: Vec<f32> = (0..rows).map(|r| r as f32 / 10.0).collect();
                for isa in sets() {
                    let mut whole = vec![0.0; most * rows];
                    linear_with(isa, &x, most, &packed, Some(&bias), &mut whole);
                    for m in 0..most {
                        for r in 0..rows {
                            let products = (0..cols).map(|c| f64::from(x[m * cols + c]) * f64::from(plain[order[r] * cols + c]));
                            let (sum, size) = products.fold((f64::from(bias[r]), 1.0), |(s, t), p| (s + p, t + p.abs()));
                            let found = f64::from(whole[m * rows + r]);
                            assert!((found - sum).abs() < 2e-6 * size, "{isa:?} {dtype} {rows}x{cols}: {found} for {sum}");
                        }
                    }
                    for m in [1, 2, 3, 5, 12, 13, 17] {
                        let mut some = vec![0.0; m * rows];
                        linear_with(isa, &x, m, &packed, Some(&bias), &mut some);
                        assert_eq!(some, whole[..m * rows], "{isa:?} {dtype} {rows}x{cols}, {m} rows");
                    }
                }
            }
        }
    }
}

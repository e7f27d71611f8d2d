//! `y = x W^T + b` over packed weights: which tiles there are, and which thread computes them.
//!
//! One or two rows are multiplied with the weights as they are packed. For more rows, two strips at a time are turned
//! into f32 in the cache of a core and multiplied with all rows; the rows are laid out in blocks of twelve for that.
#![expect(unsafe_code, reason = "threads write disjoint columns of one matrix")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]

use std::cell::{Cell, RefCell};
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::isa::Isa;
use super::lanes::{Lanes, for_isa};
use super::packed::{Form, LANES, Line, Packed, Precision, Scales, as_f32};
#[cfg(target_arch = "x86_64")]
use super::pairs::{block_of_pairs, unpack_pairs};
#[cfg(target_arch = "x86_64")]
use super::tile::F32Pair;
use super::tile::{Bf16Strip, F32Strip, From, QuantStrip, Rows, Strip, Strips, code, tiles, unpack};

/// Rows of a block.
const BLOCK: usize = 12;
/// From this many rows on, strips are turned into f32 first.
const MANY: usize = 3;
/// Below this many multiply-adds, another thread costs more than it does.
const WORTH_A_THREAD: usize = 60_000;
/// What sums start from where there is no bias.
const ZEROS: [f32; 4 * LANES] = [0.0; 4 * LANES];

/// Runs `$body` with `$strip` as the strip type of a form of quants.
macro_rules! with_quant {
    ($form:expr, $strip:ident, $body:expr) => {{
        const PAIR: usize = code(Scales::Pair);
        const SYMMETRIC: usize = code(Scales::Symmetric);
        const EIGHT: usize = code(Scales::Super { groups: 8, minima: true });
        const SIXTEEN: usize = code(Scales::Super { groups: 16, minima: false });
        const SIXTEEN_MIN: usize = code(Scales::Super { groups: 16, minima: true });
        macro_rules! of {
            ($bits:literal, $scales:expr) => {{
                type $strip = QuantStrip<$bits, { $scales }>;
                $body
            }};
        }
        match ($form.bits, code($form.scales)) {
            (4, PAIR) => of!(4, PAIR),
            (4, SYMMETRIC) => of!(4, SYMMETRIC),
            (4, EIGHT) => of!(4, EIGHT),
            (4, SIXTEEN) => of!(4, SIXTEEN),
            (4, _) => of!(4, SIXTEEN_MIN),
            (5, PAIR) => of!(5, PAIR),
            (5, SYMMETRIC) => of!(5, SYMMETRIC),
            (5, _) => of!(5, EIGHT),
            (6, _) => of!(6, SIXTEEN),
            (_, SYMMETRIC) => of!(8, SYMMETRIC),
            _ => of!(8, PAIR),
        }
    }};
}

/// One product of a batch of rows.
pub struct Product<'a> {
    /// The weights.
    pub weights: &'a Packed,
    /// What is added to each row of the result.
    pub bias: Option<&'a [f32]>,
    /// The result, `weights.rows` numbers a row.
    pub out: &'a mut [f32],
}

/// A result that several threads write, each its own columns.
#[derive(Clone, Copy)]
struct Target<'a> {
    weights: &'a Packed,
    bias: Option<&'a [f32]>,
    out: *mut f32,
}

// SAFETY: each task writes its own strips, which no other task reads or writes.
unsafe impl Send for Target<'_> {}
// SAFETY: as above.
unsafe impl Sync for Target<'_> {}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    /// Kept between products, since making it anew costs as much as filling it.
    static BLOCKS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static PAIRS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// `m` rows of `x` times the weights of each product.
pub fn linear(x: &[f32], m: usize, products: &mut [Product<'_>]) {
    linear_with(Isa::get(), x, m, products);
}

/// [`linear`] with the kernels of `isa`, which the processor must have.
fn linear_with(isa: Isa, x: &[f32], m: usize, products: &mut [Product<'_>]) {
    let Some(cols) = products.first().map(|p| p.weights.cols) else { return };
    let group = if m < MANY { 4 } else { 2 };
    let mut tasks: Vec<(Target<'_>, Range<usize>)> = Vec::new();
    for product in products.iter_mut() {
        let (weights, bias) = (product.weights, product.bias);
        assert!(weights.cols == cols && x.len() >= m * cols, "rows are as long as those of the weights");
        assert!(product.out.len() >= m * weights.rows, "the result has room for every row");
        assert!(bias.is_none_or(|bias| bias.len() == weights.rows), "a bias has a number for each output");
        let target = Target { weights, bias, out: product.out.as_mut_ptr() };
        let strips = weights.strips();
        tasks.extend((0..strips).step_by(group).map(|s| (target, s..(s + group).min(strips))));
    }
    if m == 0 {
        return;
    }
    let rounded = |p: &Product<'_>| p.weights.precision == Precision::Bf16 && cols % 2 == 0;
    let pairs = isa == Isa::Avx512Bf16 && m >= MANY && products.iter().all(rounded);
    let rows = if pairs {
        let blocks = in_blocks(x, m, cols);
        let pairs = in_pairs(&blocks[..m.div_ceil(BLOCK) * BLOCK * cols]);
        BLOCKS.set(blocks);
        RowsOf::Pairs(pairs)
    } else if m >= MANY {
        RowsOf::Blocks(in_blocks(x, m, cols))
    } else {
        RowsOf::Plain
    };
    let task = |(target, strips): &(Target<'_>, Range<usize>)| match &rows {
        RowsOf::Blocks(blocks) => many_rows(isa, blocks, m, *target, strips.clone()),
        #[cfg(target_arch = "x86_64")]
        RowsOf::Pairs(pairs) => many_pairs(pairs, m, *target, strips.clone()),
        // SAFETY: the processor has the instruction set, and the columns of these strips belong to this task alone.
        _ => unsafe { few_rows(isa, x, m, *target, strips.clone()) },
    };
    let threads = super::threads();
    if threads == 1 || m * tasks.len() * group * LANES * cols < WORTH_A_THREAD {
        tasks.iter().for_each(task);
    } else {
        let chunk = tasks.len().div_ceil(threads * 8).max(1);
        tasks.par_iter().with_min_len(chunk).for_each(task);
    }
    if let RowsOf::Blocks(blocks) = rows {
        BLOCKS.set(blocks);
    }
}

/// The rows of a product as its kernel reads them.
enum RowsOf {
    /// As they are.
    Plain,
    /// In blocks of twelve.
    Blocks(Vec<f32>),
    /// In blocks of twelve, pairs of columns in bf16.
    Pairs(Vec<u32>),
}

/// Blocks of an even number of columns in pairs of bf16.
fn in_pairs(blocks: &[f32]) -> Vec<u32> {
    let mut pairs = Vec::with_capacity(blocks.len() / 2);
    for columns in blocks.chunks_exact(2 * BLOCK) {
        let (even, odd) = columns.split_at(BLOCK);
        pairs.extend(even.iter().zip(odd).map(|(&e, &o)| {
            let (e, o) = (bf16::from_f32(e).to_bits(), bf16::from_f32(o).to_bits());
            u32::from(e) | u32::from(o) << 16
        }));
    }
    pairs
}

/// The rows in blocks of twelve, column after column. What the last block has beyond the rows is not looked at.
fn in_blocks(x: &[f32], m: usize, cols: usize) -> Vec<f32> {
    let mut blocks = BLOCKS.take();
    let len = m.div_ceil(BLOCK) * BLOCK * cols;
    blocks.resize(len.max(blocks.len()), 0.0);
    let fill = |(b, block): (usize, &mut [f32])| {
        let from = &x[b * BLOCK * cols..m.min((b + 1) * BLOCK) * cols];
        if from.len() == BLOCK * cols {
            // With a constant number of rows the compiler keeps a pointer for each.
            let rows: [&[f32]; BLOCK] = std::array::from_fn(|r| &from[r * cols..][..cols]);
            for (k, column) in block.chunks_exact_mut(BLOCK).enumerate() {
                for r in 0..BLOCK {
                    column[r] = rows[r][k];
                }
            }
        } else {
            for (r, row) in from.chunks_exact(cols).enumerate() {
                for (k, &number) in row.iter().enumerate() {
                    block[k * BLOCK + r] = number;
                }
            }
        }
    };
    if super::threads() == 1 || m < 4 * BLOCK {
        blocks[..len].chunks_mut(BLOCK * cols).enumerate().for_each(fill);
    } else {
        blocks[..len].par_chunks_mut(BLOCK * cols).enumerate().for_each(fill);
    }
    blocks
}

/// The columns of some strips for every row in blocks.
fn many_rows(isa: Isa, blocks: &[f32], m: usize, target: Target<'_>, strips: Range<usize>) {
    let Target { weights, out, .. } = target;
    let cols = weights.cols;
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize((strips.len() * cols * LANES).max(scratch.len()), 0.0);
        for (i, strip) in strips.clone().enumerate() {
            to_f32(isa, weights, strip, &mut scratch[i * cols * LANES..][..cols * LANES]);
        }
        let columns = (weights.rows - strips.start * LANES).min(strips.len() * LANES);
        let start = beginning(target, strips.start, columns);
        let second = (strips.len() - 1) * cols * LANES;
        let starts = [scratch.as_ptr().cast(), scratch[second..].as_ptr().cast()];
        let pair = Strips { starts, records: cols, ahead: 0 };
        let zero = From { start: start.as_ptr(), by_row: 0 };
        for (b, block) in blocks.chunks_exact(BLOCK * cols).take(m.div_ceil(BLOCK)).enumerate() {
            let rows = BLOCK.min(m - b * BLOCK);
            // SAFETY: the block has `rows` rows of `cols` columns, the scratch as many columns a strip, and the columns
            // of these strips belong to this task alone.
            unsafe {
                let to = out.add(b * BLOCK * weights.rows + strips.start * LANES);
                if columns == 2 * LANES {
                    block_of_rows(isa, block.as_ptr(), rows, pair, zero, to, weights.rows);
                } else {
                    on_the_side(to, weights.rows, rows, columns, |side| {
                        block_of_rows(isa, block.as_ptr(), rows, pair, zero, side, 2 * LANES);
                    });
                }
            }
        }
    });
}

/// The same in products of bf16 pairs.
#[cfg(target_arch = "x86_64")]
fn many_pairs(pairs: &[u32], m: usize, target: Target<'_>, strips: Range<usize>) {
    let Target { weights, out, .. } = target;
    let count = weights.cols / 2;
    PAIRS.with_borrow_mut(|scratch| {
        scratch.resize((2 * count).max(scratch.len()), Line::default());
        let mut starts = [std::ptr::null(); 2];
        for (i, strip) in strips.clone().enumerate() {
            let lines = weights.strip(strip);
            let room = &mut scratch[i * count..][..count];
            // SAFETY: the instruction set was detected; strip and room have as many columns.
            starts[i] = match weights.form {
                Form::Bf16 => lines.as_ptr(),
                Form::F32 => unsafe { pairs_avx512::<F32Pair>(lines.as_ptr(), count, room.as_mut_ptr()) },
                Form::Quant(form) => {
                    let records = weights.cols / form.span();
                    with_quant!(form, W, unsafe { pairs_avx512::<W>(lines.as_ptr(), records, room.as_mut_ptr()) })
                }
            };
        }
        starts[1] = if strips.len() == 2 { starts[1] } else { starts[0] };
        let columns = (weights.rows - strips.start * LANES).min(strips.len() * LANES);
        let start = beginning(target, strips.start, columns);
        let zero = From { start: start.as_ptr(), by_row: 0 };
        for (b, block) in pairs.chunks_exact(BLOCK * count).enumerate() {
            let rows = BLOCK.min(m - b * BLOCK);
            // SAFETY: as in `many_rows`.
            unsafe {
                let to = out.add(b * BLOCK * weights.rows + strips.start * LANES);
                if columns == 2 * LANES {
                    block_of_pairs(block.as_ptr(), rows, starts, count, zero, to, weights.rows);
                } else {
                    on_the_side(to, weights.rows, rows, columns, |side| {
                        block_of_pairs(block.as_ptr(), rows, starts, count, zero, side, 2 * LANES);
                    });
                }
            }
        }
    });
}

/// A strip in pairs of bf16, and where they are.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn pairs_avx512<W: Strip<super::lanes::Avx512>>(
    strip: *const Line,
    records: usize,
    out: *mut Line,
) -> *const Line {
    // SAFETY: as the caller says.
    unsafe { unpack_pairs::<W>(strip, records, out) };
    out
}

/// What the sums of up to four strips start from: their bias, or zeros.
fn beginning(target: Target<'_>, strip: usize, columns: usize) -> [f32; 4 * LANES] {
    let mut start = ZEROS;
    if let Some(bias) = target.bias {
        start[..columns].copy_from_slice(&bias[strip * LANES..][..columns]);
    }
    start
}

/// The columns of a strip as f32.
fn to_f32(isa: Isa, weights: &Packed, strip: usize, out: &mut [f32]) {
    let lines = weights.strip(strip);
    if weights.form == Form::F32 {
        out.copy_from_slice(as_f32(lines));
        return;
    }
    if weights.form == Form::Bf16 && weights.cols % 2 == 1 {
        // The last pair has one column.
        let (last, pairs) = lines.split_last().map_or((Line::default(), lines), |(last, pairs)| (*last, pairs));
        let (whole, rest) = out.split_at_mut(pairs.len() * 2 * LANES);
        // SAFETY: the processor has the instruction set; pairs and room have as many columns.
        unsafe { unpack_form(isa, weights.form, pairs, whole.as_mut_ptr()) };
        rest.iter_mut().zip(last.0).for_each(|(to, bits)| *to = f32::from_bits(bits << 16));
        return;
    }
    // SAFETY: the processor has the instruction set; strip and room have as many columns.
    unsafe { unpack_form(isa, weights.form, lines, out.as_mut_ptr()) }
}

for_isa! {
    /// Turns the columns of a strip into f32.
    unsafe fn unpack_form(form: Form, lines: &[Line], out: *mut f32) = unpack_form_on
}

#[inline(always)]
unsafe fn unpack_form_on<L: Lanes>(form: Form, lines: &[Line], out: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        match form {
            Form::F32 => unpack::<L, F32Strip>(lines.as_ptr(), lines.len(), out),
            Form::Bf16 => unpack::<L, Bf16Strip>(lines.as_ptr(), lines.len(), out),
            Form::Quant(quant) => {
                with_quant!(quant, W, unpack::<L, W>(lines.as_ptr(), lines.len() / quant.record(), out));
            }
        }
    }
}

/// Lets `tile` write two whole strips in a buffer, where the matrix has only `columns` of them.
unsafe fn on_the_side(out: *mut f32, by_out: usize, rows: usize, columns: usize, tile: impl FnOnce(*mut f32)) {
    let mut side = [0.0_f32; 2 * BLOCK * LANES];
    tile(side.as_mut_ptr());
    for r in 0..rows {
        // SAFETY: the caller gives at most a block of rows, and at most two strips of columns.
        unsafe { std::ptr::copy_nonoverlapping(side.as_ptr().add(r * 2 * LANES), out.add(r * by_out), columns) };
    }
}

for_isa! {
    /// Up to twelve rows in a block with two strips of f32.
    unsafe fn block_of_rows(
        block: *const f32,
        m: usize,
        strips: Strips<2>,
        from: From,
        out: *mut f32,
        by_out: usize,
    ) = block_on
}

#[inline(always)]
unsafe fn block_on<L: Lanes>(block: *const f32, m: usize, strips: Strips<2>, from: From, out: *mut f32, by_out: usize) {
    // Constant strides make the loads of a row one base and constant offsets.
    let rows = Rows { start: block, by_row: 1, by_column: BLOCK };
    // SAFETY: as the caller says.
    unsafe {
        if L::STRIPS == 2 {
            tiles::<L, F32Strip, 2>(rows, m, strips, from, out, by_out);
            return;
        }
        for s in 0..2 {
            let one = Strips { starts: [strips.starts[s]], records: strips.records, ahead: 0 };
            let from = From { start: from.start.add(s * LANES), ..from };
            tiles::<L, F32Strip, 1>(rows, m, one, from, out.add(s * LANES), by_out);
        }
    }
}

for_isa! {
    /// The columns of some strips for a few rows, from the weights as they are packed.
    unsafe fn few_rows(x: &[f32], m: usize, target: Target<'_>, strips: Range<usize>) = few_on
}

#[inline(always)]
unsafe fn few_on<L: Lanes>(x: &[f32], m: usize, target: Target<'_>, strips: Range<usize>) {
    let cols = target.weights.cols;
    // SAFETY: the strips exist, and have as many columns as the rows of `x`.
    unsafe {
        match target.weights.form {
            Form::F32 => few::<L, F32Strip>(x, m, cols, target, strips),
            Form::Bf16 if cols.is_multiple_of(2) => few::<L, Bf16Strip>(x, m, cols, target, strips),
            Form::Bf16 => {
                let even: Vec<f32> =
                    x[..m * cols].chunks_exact(cols).flat_map(|row| row.iter().copied().chain([0.0])).collect();
                few::<L, Bf16Strip>(&even, m, cols + 1, target, strips);
            }
            Form::Quant(form) => with_quant!(form, W, few::<L, W>(x, m, cols, target, strips)),
        }
    }
}

/// Some strips, several or one at a time; rows of `x` lie `by_row` apart.
#[inline(always)]
unsafe fn few<L: Lanes, W: Strip<L>>(x: &[f32], m: usize, by_row: usize, target: Target<'_>, strips: Range<usize>) {
    let weights = target.weights;
    let width = weights.rows;
    let rows = Rows { start: x.as_ptr(), by_row, by_column: 1 };
    let lines = weights.lines_a_strip();
    let records = lines / W::LINES;
    let start = |s: usize| weights.lines[s * lines..].as_ptr();
    let mut s = strips.start;
    while s < strips.end {
        let left = (width - s * LANES).min((strips.end - s) * LANES);
        let beginning = beginning(target, s, left);
        let from = From { start: beginning.as_ptr(), by_row: 0 };
        // SAFETY: the strips `s..` up to the end exist, and the columns of all but the last are whole; fewer rows than a
        // block come here.
        unsafe {
            let at = target.out.add(s * LANES);
            // The four strips after these are the next to be read.
            let ahead = 4 * lines;
            if L::FEW == 4 && left >= 4 * LANES {
                let starts = [start(s), start(s + 1), start(s + 2), start(s + 3)];
                tiles::<L, W, 4>(rows, m, Strips { starts, records, ahead }, from, at, width);
                s += 4;
            } else if L::FEW == 2 && left >= 2 * LANES {
                let starts = [start(s), start(s + 1)];
                tiles::<L, W, 2>(rows, m, Strips { starts, records, ahead }, from, at, width);
                s += 2;
            } else {
                let one = Strips { starts: [start(s)], records, ahead: 0 };
                if left >= LANES {
                    tiles::<L, W, 1>(rows, m, one, from, at, width);
                } else {
                    on_the_side(at, width, m, left, |side| tiles::<L, W, 1>(rows, m, one, from, side, 2 * LANES));
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
    use proptest::prelude::Rng;
    use proptest::test_runner::{RngAlgorithm, TestRng};

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
            (Dtype::F32, 37),
            (Dtype::F16, 40),
            (Dtype::Bf16, 37),
            (Dtype::Bf16, 64),
            (Dtype::Q4_0, 96),
            (Dtype::Q4_1, 64),
            (Dtype::Q5_0, 64),
            (Dtype::Q5_1, 96),
            (Dtype::Q8_0, 64),
            (Dtype::Q2K, 256),
            (Dtype::Q3K, 512),
            (Dtype::Q4K, 256),
            (Dtype::Q5K, 512),
            (Dtype::Q6K, 256),
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
                    let into = |out: &mut [f32], m: usize| {
                        linear_with(isa, &x, m, &mut [Product { weights: &packed, bias: Some(&bias), out }]);
                    };
                    into(&mut whole, most);
                    for m in 0..most {
                        for r in 0..rows {
                            let products =
                                (0..cols).map(|c| f64::from(x[m * cols + c]) * f64::from(plain[order[r] * cols + c]));
                            let (sum, size) =
                                products.fold((f64::from(bias[r]), 1.0), |(s, t), p| (s + p, t + p.abs()));
                            let found = f64::from(whole[m * rows + r]);
                            assert!(
                                (found - sum).abs() < 2e-6 * size,
                                "{isa:?} {dtype} {rows}x{cols}: {found} for {sum}"
                            );
                        }
                    }
                    for m in [1, 2, 3, 5, 12, 13, 17] {
                        let mut some = vec![0.0; m * rows];
                        into(&mut some, m);
                        assert_eq!(some, whole[..m * rows], "{isa:?} {dtype} {rows}x{cols}, {m} rows");
                    }
                }
            }
        }
    }

    /// Products of bf16 pairs: equal to sums in f64 of what was rounded.
    #[test]
    fn products_in_bf16_are_those_of_rounded_numbers() {
        if Isa::get() < Isa::Avx512Bf16 {
            return;
        }
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        for (dtype, cols) in [(Dtype::F32, 38), (Dtype::Bf16, 64), (Dtype::Q4_1, 64), (Dtype::Q6K, 256)] {
            for rows in [16, 83] {
                let data = raw(&mut random, dtype, rows * cols);
                let mut packed = Packed::from_raw(&dtype, &data, cols, &(0..rows).collect::<Vec<_>>()).unwrap();
                packed.precision = Precision::Bf16;
                let mut plain = vec![0.0; rows * cols];
                dequantise(&dtype, &data, &mut plain).unwrap();
                let m = 29;
                let x: Vec<f32> = (0..m * cols).map(|_| (random.next_u32() % 200) as f32 / 100.0 - 1.0).collect();
                let mut out = vec![0.0; m * rows];
                linear_with(Isa::Avx512Bf16, &x, m, &mut [Product { weights: &packed, bias: None, out: &mut out }]);
                for i in 0..m {
                    for r in 0..rows {
                        let product = |c: usize| {
                            let (a, b) = (x[i * cols + c], plain[r * cols + c]);
                            f64::from(bf16::from_f32(a).to_f32()) * f64::from(bf16::from_f32(b).to_f32())
                        };
                        let (sum, size) = (0..cols).map(product).fold((0.0, 1.0), |(s, t), p| (s + p, t + p.abs()));
                        let found = f64::from(out[i * rows + r]);
                        assert!((found - sum).abs() < 2e-6 * size, "{dtype} {rows}x{cols}: {found} for {sum}");
                    }
                }
            }
        }
    }
}

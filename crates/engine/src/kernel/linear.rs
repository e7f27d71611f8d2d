//! `y = x W^T + b` over packed weights: which tiles there are, and which thread computes them.
//!
//! Up to eight rows are multiplied with the weights as they are packed, where there are registers enough. For more rows,
//! two strips at a time are turned into f32 in the cache of a core, some columns after others, and multiplied with all
//! rows; the rows are laid out in blocks of twelve for that.
#![expect(unsafe_code, reason = "threads write disjoint columns of one matrix")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]

use std::cell::{Cell, RefCell};
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::lanes::Avx512;
use super::lanes::{Lanes, for_isa};
use super::packed::{Form, LANES, Line, Packed, Precision, Scales};
#[cfg(target_arch = "x86_64")]
use super::pairs::{block_of_pairs, unpack_pairs};
use super::tile::{Bf16Strip, F32Strip, From, QuantStrip, Rows, Strip, Strips, code, tiles, unpack};
#[cfg(target_arch = "x86_64")]
use super::tile::{F32Pair, tile};

/// Rows of a block.
const BLOCK: usize = 12;
/// From this many rows on, rows are laid out in blocks.
const MANY: usize = 3;
/// From this many rows on, strips of quants are turned into f32 first: for fewer, that would cost more than their
/// products.
#[cfg(target_arch = "x86_64")]
const UNPACKED: usize = 9;
/// Up to this many rows, columns go through in parts: of more, the sums that wait would not stay near.
const IN_PARTS: usize = 64;
/// Columns of a part, at most.
const PART: usize = 256;
/// Below this many multiply-adds, another thread costs more than it does.
const WORTH_A_THREAD: usize = 60_000;
/// What sums start from where there is no bias.
const ZEROS: [f32; 4 * LANES] = [0.0; 4 * LANES];
/// Two strips before it is known where they are.
const NO_STRIPS: [*const Line; 2] = [std::ptr::null(); 2];

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
    /// Lines, since a vector that lies across two of them costs two reads.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
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
        #[cfg(target_arch = "x86_64")]
        RowsOf::Blocks(blocks) if isa >= Isa::Avx512 && m < UNPACKED && !plain(target.weights) => {
            // SAFETY: the processor has the instruction set, and the columns of these strips belong to this task alone.
            unsafe { some_rows(blocks, m, *target, strips.clone()) }
        }
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
///
/// Where rows are not too many, the columns go through in parts, so that the strips of a part stay in the first cache while all rows pass; the sums
/// wait in the result.
fn many_rows(isa: Isa, blocks: &[f32], m: usize, target: Target<'_>, strips: Range<usize>) {
    let Target { weights, out, .. } = target;
    let cols = weights.cols;
    let columns = (weights.rows - strips.start * LANES).min(strips.len() * LANES);
    let start = beginning(target, strips.start, columns);
    let zero = From { start: start.as_ptr(), by_row: 0 };
    let part = if m <= IN_PARTS { part_of(weights) } else { cols };
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize((strips.len() * part).max(scratch.len()), Line::default());
        let mut first = 0;
        while first < cols {
            let part = part.min(cols - first);
            let mut starts = NO_STRIPS;
            for (i, strip) in strips.clone().enumerate() {
                let lines = weights.strip(strip);
                if weights.form == Form::F32 {
                    starts[i] = lines[first..].as_ptr();
                } else {
                    let room = &mut scratch[i * part..][..part];
                    to_f32(isa, weights.form, lines, first, room);
                    starts[i] = room.as_ptr();
                }
            }
            starts[1] = if strips.len() == 2 { starts[1] } else { starts[0] };
            let pair = Strips { starts, records: part, ahead: 0 };
            for (b, block) in blocks.chunks_exact(BLOCK * cols).take(m.div_ceil(BLOCK)).enumerate() {
                let rows = BLOCK.min(m - b * BLOCK);
                let block = block[first * BLOCK..].as_ptr();
                // SAFETY: the block has `rows` rows of `cols` columns, the scratch as many columns a strip as the part,
                // and the columns of these strips belong to this task alone.
                unsafe {
                    let to = out.add(b * BLOCK * weights.rows + strips.start * LANES);
                    if columns == 2 * LANES {
                        let from = if first == 0 { zero } else { From { start: to, by_row: weights.rows } };
                        block_of_rows(isa, block, rows, pair, from, to, weights.rows);
                    } else {
                        let mut sums = [0.0_f32; 2 * BLOCK * LANES];
                        for r in 0..rows {
                            let from = if first == 0 { start.as_ptr() } else { to.add(r * weights.rows) };
                            std::ptr::copy_nonoverlapping(from, sums.as_mut_ptr().add(r * 2 * LANES), columns);
                        }
                        let from = From { start: sums.as_ptr(), by_row: 2 * LANES };
                        on_the_side(to, weights.rows, rows, columns, |side| {
                            block_of_rows(isa, block, rows, pair, from, side, 2 * LANES);
                        });
                    }
                }
            }
            first += part;
        }
    });
}

/// Columns that two strips of f32 have room for in the first cache, beside the rows: whole records, in equal parts.
fn part_of(weights: &Packed) -> usize {
    let span = match weights.form {
        Form::F32 => 1,
        Form::Bf16 => 2,
        Form::Quant(form) => form.span(),
    };
    let parts = weights.cols.div_ceil(PART).max(1);
    weights.cols.div_ceil(parts).next_multiple_of(span)
}

/// The columns of two strips for one block of up to eight rows, from the weights as they are packed.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn some_rows(block: &[f32], m: usize, target: Target<'_>, strips: Range<usize>) {
    let Target { weights, out, .. } = target;
    let columns = (weights.rows - strips.start * LANES).min(strips.len() * LANES);
    let start = beginning(target, strips.start, columns);
    let from = From { start: start.as_ptr(), by_row: 0 };
    let starts = [weights.strip(strips.start).as_ptr(), weights.strip(strips.end - 1).as_ptr()];
    let rows = Rows { start: block.as_ptr(), by_row: 1, by_column: BLOCK };
    let tile = |to: *mut f32, by_out: usize| {
        let Form::Quant(form) = weights.form else {
            let pair = Strips { starts, records: weights.cols / 2, ahead: 0 };
            // SAFETY: as for quants below.
            unsafe { whole_tiles::<Avx512, Bf16Strip>(rows, m, pair, from, to, by_out) };
            return;
        };
        // The two strips after these are the next to be read.
        let pair = Strips { starts, records: weights.cols / form.span(), ahead: 2 * weights.lines_a_strip() };
        // SAFETY: a block has twelve rows, of which those beyond `m` are not looked at, as many columns as the strips,
        // and `to` has room for the rows of a tile.
        with_quant!(form, W, unsafe { whole_tiles::<Avx512, W>(rows, m, pair, from, to, by_out) });
    };
    // SAFETY: the columns of these strips belong to this task alone.
    unsafe {
        let to = out.add(strips.start * LANES);
        if columns == 2 * LANES && m.is_multiple_of(4) {
            tile(to, weights.rows);
        } else {
            on_the_side(to, weights.rows, m, columns, |side| tile(side, 2 * LANES));
        }
    }
}

/// One tile of four or eight rows for up to as many.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn whole_tiles<L: Lanes, W: Strip<L>>(
    rows: Rows,
    m: usize,
    pair: Strips<2>,
    from: From,
    to: *mut f32,
    by_out: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        if m <= 4 {
            tile::<L, W, 4, 2>(rows, pair, from, to, by_out);
        } else {
            tile::<L, W, 8, 2>(rows, pair, from, to, by_out);
        }
    }
}

/// True where the weights are read as plain numbers, or have an odd number of columns in pairs.
#[cfg(target_arch = "x86_64")]
fn plain(weights: &Packed) -> bool {
    match weights.form {
        Form::F32 => true,
        Form::Bf16 => weights.cols % 2 == 1,
        Form::Quant(_) => false,
    }
}

/// The columns of some strips for every row in blocks, in products of bf16 pairs.
#[cfg(target_arch = "x86_64")]
fn many_pairs(pairs: &[u32], m: usize, target: Target<'_>, strips: Range<usize>) {
    let Target { weights, out, .. } = target;
    let count = weights.cols / 2;
    PAIRS.with_borrow_mut(|scratch| {
        scratch.resize((2 * count).max(scratch.len()), Line::default());
        let mut starts = NO_STRIPS;
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

/// The columns of a strip as f32, from the `first` on as many as there is room for: whole records, or all that are left.
fn to_f32(isa: Isa, form: Form, lines: &[Line], first: usize, out: &mut [Line]) {
    let (span, record) = match form {
        Form::F32 => (1, 1),
        Form::Bf16 => (2, 1),
        Form::Quant(form) => (form.span(), form.record()),
    };
    let (whole, odd) = out.split_at_mut(out.len() / span * span);
    let lines = &lines[first / span * record..];
    // SAFETY: the processor has the instruction set; lines and room have as many columns.
    unsafe { unpack_form(isa, form, &lines[..whole.len() / span * record], whole.as_mut_ptr().cast()) };
    if let [odd] = odd {
        // The last pair of bf16 has one column.
        odd.0 = lines[whole.len() / 2].0.map(|bits| bits << 16);
    }
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
mod tests;

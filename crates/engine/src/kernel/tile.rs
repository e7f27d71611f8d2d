//! The one inner loop: a tile of `M` rows and `S` strips stays in registers while it adds up products.
//!
//! Every element of the result is one chain of multiply-adds in the order of the columns, whatever the shape of the tile:
//! batch size, threads and shared prefixes cannot change a bit of it.
#![expect(unsafe_code, reason = "vector instructions and raw rows; each caller bounds them")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]
#![expect(clippy::needless_range_loop, reason = "constant bounds, which the compiler unrolls into registers")]

use super::lanes::Lanes;
use super::packed::{LANES, Line, Quant, Scales};

/// A strip of weights that a tile reads record after record, each with the same number of columns.
pub(super) trait Strip<L: Lanes>: Copy {
    /// Columns that are read together.
    const STEP: usize;
    /// Steps in a record.
    const STEPS: usize;
    /// Lines of a record.
    const LINES: usize;
    /// What was read of some columns.
    type State: Copy;
    /// Reads the columns from `step * STEP` on of the record at `record`.
    unsafe fn read(record: *const Line, step: usize) -> Self::State;
    /// The weights of the `j`-th column read.
    unsafe fn column(state: &mut Self::State, j: usize) -> L::F;
}

/// Plain numbers.
#[derive(Clone, Copy)]
pub(super) struct F32Strip;

impl<L: Lanes> Strip<L> for F32Strip {
    const STEP: usize = 1;
    const STEPS: usize = 1;
    const LINES: usize = 1;
    type State = L::F;

    #[inline(always)]
    unsafe fn read(record: *const Line, _: usize) -> L::F {
        // SAFETY: the caller gives a line.
        unsafe { L::load(record.cast()) }
    }

    #[inline(always)]
    unsafe fn column(state: &mut L::F, _: usize) -> L::F {
        *state
    }
}

/// Plain numbers, two columns at a time.
#[derive(Clone, Copy)]
pub(super) struct F32Pair;

impl<L: Lanes> Strip<L> for F32Pair {
    const STEP: usize = 2;
    const STEPS: usize = 1;
    const LINES: usize = 2;
    type State = [L::F; 2];

    #[inline(always)]
    unsafe fn read(record: *const Line, _: usize) -> [L::F; 2] {
        // SAFETY: the caller gives two lines.
        unsafe { [L::load(record.cast()), L::load(record.add(1).cast())] }
    }

    #[inline(always)]
    unsafe fn column(state: &mut [L::F; 2], j: usize) -> L::F {
        state[j]
    }
}

/// Pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct Bf16Strip;

impl<L: Lanes> Strip<L> for Bf16Strip {
    const STEP: usize = 2;
    const STEPS: usize = 1;
    const LINES: usize = 1;
    type State = L::I;

    #[inline(always)]
    unsafe fn read(record: *const Line, _: usize) -> L::I {
        // SAFETY: the caller gives a line.
        unsafe { L::words(record) }
    }

    #[inline(always)]
    unsafe fn column(state: &mut L::I, j: usize) -> L::F {
        // SAFETY: register arithmetic.
        unsafe { L::bits(if j == 0 { L::left(*state, 16) } else { L::and(*state, 0xffff_0000) }) }
    }
}

/// Quants of `BITS` bits with `SCALES` as [`code`] gives it.
#[derive(Clone, Copy)]
pub(super) struct QuantStrip<const BITS: usize, const SCALES: usize>;

/// A form of scales as a number: 0 pairs, 1 symmetric, and with 2 added for 8 groups or 4 for 16, and 8 for minima.
pub(super) const fn code(scales: Scales) -> usize {
    match scales {
        Scales::Pair => 0,
        Scales::Symmetric => 1,
        Scales::Super { groups, minima } => (if groups == 8 { 2 } else { 4 }) + (if minima { 8 } else { 0 }),
    }
}

/// The form of a code.
const fn scales_of(code: usize) -> Scales {
    match code {
        0 => Scales::Pair,
        1 => Scales::Symmetric,
        _ => Scales::Super { groups: if code & 2 != 0 { 8 } else { 16 }, minima: code & 8 != 0 },
    }
}

#[derive(Clone, Copy)]
pub(super) struct QuantState<L: Lanes> {
    low: L::I,
    /// The bits above the lowest four, from bit 4 on; of quants of 8 bits the second four columns.
    high: L::I,
    scale: L::F,
    min: L::F,
}

impl<const BITS: usize, const SCALES: usize> QuantStrip<BITS, SCALES> {
    const FORM: Quant = Quant {
        bits: BITS,
        scales: scales_of(SCALES),
        // Of the types of GGUF without minima, that of 3 bits is packed in 4 and has 16 groups.
        offset: if BITS == 4 && SCALES == 4 { 4.0 } else { (1 << (BITS - 1)) as f32 },
    };

    /// Scale and minimum of 16 columns.
    #[inline(always)]
    unsafe fn scale<L: Lanes>(record: *const Line, sixteen: usize) -> (L::F, L::F) {
        // SAFETY: the record has as many lines as its form says.
        unsafe {
            let half = |part: usize| L::halves(record.cast::<u16>().add(part * LANES));
            let offset = L::all(-Self::FORM.offset);
            match Self::FORM.scales {
                Scales::Pair => (half(0), half(1)),
                Scales::Symmetric => {
                    let scale = half(sixteen / 2);
                    (scale, L::multiply(scale, offset))
                }
                Scales::Super { groups, minima } => {
                    let group = sixteen * groups / 16;
                    let bytes = |line: usize| L::bytes(record.add(line).cast::<i8>().add(group * LANES));
                    let scale = L::multiply(half(0), bytes(1));
                    let min = if minima {
                        L::multiply(L::multiply(half(1), bytes(1 + groups / 4)), L::all(-1.0))
                    } else {
                        L::multiply(scale, offset)
                    };
                    (scale, min)
                }
            }
        }
    }
}

impl<L: Lanes, const BITS: usize, const SCALES: usize> Strip<L> for QuantStrip<BITS, SCALES> {
    const STEP: usize = 8;
    const STEPS: usize = Self::FORM.span() / 8;
    const LINES: usize = Self::FORM.record();
    type State = QuantState<L>;

    #[inline(always)]
    unsafe fn read(record: *const Line, step: usize) -> QuantState<L> {
        // SAFETY: the caller keeps `step` below those of the record, which has the lines of its form.
        unsafe {
            let (scale, min) = Self::scale::<L>(record, step / 2);
            let group = record.add(Self::FORM.head() + step / 4 * BITS);
            let line = |i: usize| L::words(group.add(i));
            let eight = step % 4;
            let (low, high) = match BITS {
                4 => (line(eight), line(eight)),
                5 => (line(eight), L::left(L::right(line(4), 8 * eight as u32), 4)),
                6 => (line(eight), L::left(L::right(line(4 + eight / 2), 16 * (eight % 2) as u32), 4)),
                _ => (line(2 * eight), line(2 * eight + 1)),
            };
            QuantState { low, high, scale, min }
        }
    }

    #[inline(always)]
    unsafe fn column(state: &mut QuantState<L>, j: usize) -> L::F {
        // SAFETY: register arithmetic.
        unsafe {
            if BITS == 4 {
                let quant = L::nibble(state.low);
                state.low = L::right(state.low, 4);
                return L::multiply_add(quant, state.scale, state.min);
            }
            let quant = match BITS {
                5 => L::or(L::and(state.low, 15), L::and(state.high, 0x10)),
                6 => L::or(L::and(state.low, 15), L::and(state.high, 0x30)),
                _ => L::and(if j < 4 { state.low } else { state.high }, 255),
            };
            match BITS {
                5 => (state.low, state.high) = (L::right(state.low, 4), L::right(state.high, 1)),
                6 => (state.low, state.high) = (L::right(state.low, 4), L::right(state.high, 2)),
                _ if j < 4 => state.low = L::right(state.low, 8),
                _ => state.high = L::right(state.high, 8),
            }
            L::multiply_add(L::number(quant), state.scale, state.min)
        }
    }
}

/// Turns the columns of `records` records into f32.
#[inline(always)]
pub(super) unsafe fn unpack<L: Lanes, W: Strip<L>>(strip: *const Line, records: usize, mut out: *mut f32) {
    for record in 0..records {
        for step in 0..W::STEPS {
            // SAFETY: the caller gives as many records and room for their columns.
            unsafe {
                let mut state = W::read(strip.add(record * W::LINES), step);
                for j in 0..W::STEP {
                    L::store(W::column(&mut state, j), out);
                    out = out.add(LANES);
                }
            }
        }
    }
}

/// Rows that are multiplied: element (row, column) lies at `row * by_row + column * by_column`.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub start: *const f32,
    pub by_row: usize,
    pub by_column: usize,
}

/// What sums start from: row `r` from the numbers at `start + r * by_row`, which are the same for all rows where
/// `by_row` is 0.
#[derive(Clone, Copy)]
pub(super) struct From {
    pub start: *const f32,
    pub by_row: usize,
}

/// `S` strips of `records` records.
#[derive(Clone, Copy)]
pub(super) struct Strips<const S: usize> {
    pub starts: [*const Line; S],
    pub records: usize,
    /// Lines from a record to the one that the processor fetches meanwhile; 0 leaves that to the processor.
    pub ahead: usize,
}

/// Adds the products of `M` rows with `S` strips to `from`, into `out`, whose rows lie `by_out` apart.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, W: Strip<L>, const M: usize, const S: usize>(
    rows: Rows,
    strips: Strips<S>,
    from: From,
    out: *mut f32,
    by_out: usize,
) {
    // SAFETY: the caller gives `M` rows with the columns of the strips, and `M` rows of `S * 16` numbers to start from
    // and to write. Fetching ahead reads nothing that could fault.
    unsafe {
        let mut sums = [[L::all(0.0); S]; M];
        for r in 0..M {
            for s in 0..S {
                sums[r][s] = L::load(from.start.add(r * from.by_row + s * LANES));
            }
        }
        let mut at = rows.start;
        let mut records = strips.starts;
        for _ in 0..strips.records {
            if W::LINES > 1 && strips.ahead > 0 {
                for s in 0..S {
                    for line in 0..W::LINES {
                        L::fetch(records[s].wrapping_add(strips.ahead + line));
                    }
                }
            }
            for step in 0..W::STEPS {
                let mut states = [W::read(records[0], step); S];
                for s in 1..S {
                    states[s] = W::read(records[s], step);
                }
                for j in 0..W::STEP {
                    let mut weights = [L::all(0.0); S];
                    for s in 0..S {
                        weights[s] = W::column(&mut states[s], j);
                    }
                    for r in 0..M {
                        let x = L::all(*at.add(r * rows.by_row));
                        for s in 0..S {
                            sums[r][s] = L::multiply_add(x, weights[s], sums[r][s]);
                        }
                    }
                    at = at.add(rows.by_column);
                }
            }
            for s in 0..S {
                records[s] = records[s].wrapping_add(W::LINES);
            }
        }
        for r in 0..M {
            for s in 0..S {
                L::store(sums[r][s], out.add(r * by_out + s * LANES));
            }
        }
    }
}

/// Adds the products of `m` rows with `S` strips to `from`, into `out`.
#[inline(always)]
pub(super) unsafe fn tiles<L: Lanes, W: Strip<L>, const S: usize>(
    mut rows: Rows,
    mut m: usize,
    strips: Strips<S>,
    mut from: From,
    mut out: *mut f32,
    by_out: usize,
) {
    macro_rules! take {
        ($n:literal) => {
            while m >= $n {
                // SAFETY: as the caller gave, for the next `n` of its rows.
                unsafe {
                    tile::<L, W, $n, S>(rows, strips, from, out, by_out);
                    rows.start = rows.start.add($n * rows.by_row);
                    from.start = from.start.add($n * from.by_row);
                    out = out.add($n * by_out);
                }
                m -= $n;
            }
        };
    }
    // Larger tiles of quants are not worth their code here: from three rows on, rows lie in blocks.
    if W::STEP == 1 && L::ROWS >= 12 {
        take!(12);
        take!(8);
    }
    if W::STEP == 1 && L::ROWS == 6 {
        take!(6);
    }
    if W::STEP == 1 && L::ROWS >= 4 {
        take!(4);
    }
    take!(2);
    take!(1);
}

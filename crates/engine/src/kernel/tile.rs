//! The one inner loop in AVX-512: a tile of `M` rows and `S` strips stays in registers while it adds up products.
//!
//! Every element of the result is one chain of fused multiply-adds in the order of the columns, whatever the shape of
//! the tile: batch size, threads and shared prefixes cannot change a bit of it.
#![expect(unsafe_code, reason = "vector instructions and raw rows; each caller bounds them")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]
#![expect(clippy::needless_range_loop, reason = "constant bounds, which the compiler unrolls into registers")]

use std::arch::x86_64::{
    _MM_HINT_T0, __m128i, __m256i, __m512, __m512i, _mm_cvtsi32_si128, _mm_load_si128, _mm_prefetch, _mm256_load_si256, _mm512_and_si512,
    _mm512_add_epi32, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_dpbf16_ps, _mm512_or_si512, _mm512_store_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_load_si512,
    _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_srl_epi32, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_ternarylogic_epi32,
};

use super::packed::{LANES, Line, Quant, Scales};

/// A strip of weights that a tile reads record after record, each with the same number of columns.
pub(super) trait Strip: Copy {
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
    unsafe fn column(state: &mut Self::State, j: usize) -> __m512;
}

/// Plain numbers.
#[derive(Clone, Copy)]
pub(super) struct F32Strip;

impl Strip for F32Strip {
    const STEP: usize = 1;
    const STEPS: usize = 1;
    const LINES: usize = 1;
    type State = __m512;

    #[inline(always)]
    unsafe fn read(record: *const Line, _: usize) -> __m512 {
        // SAFETY: the caller gives a line.
        unsafe { _mm512_loadu_ps(record.cast()) }
    }

    #[inline(always)]
    unsafe fn column(state: &mut __m512, _: usize) -> __m512 {
        *state
    }
}

/// Plain numbers, two columns at a time.
#[derive(Clone, Copy)]
pub(super) struct F32Pair;

impl Strip for F32Pair {
    const STEP: usize = 2;
    const STEPS: usize = 1;
    const LINES: usize = 2;
    type State = [__m512; 2];

    #[inline(always)]
    unsafe fn read(record: *const Line, _: usize) -> [__m512; 2] {
        // SAFETY: the caller gives two lines.
        unsafe { [_mm512_loadu_ps(record.cast()), _mm512_loadu_ps(record.add(1).cast())] }
    }

    #[inline(always)]
    unsafe fn column(state: &mut [__m512; 2], j: usize) -> __m512 {
        state[j]
    }
}

/// Pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct Bf16Strip;

impl Strip for Bf16Strip {
    const STEP: usize = 2;
    const STEPS: usize = 1;
    const LINES: usize = 1;
    type State = __m512i;

    #[inline(always)]
    unsafe fn read(record: *const Line, _: usize) -> __m512i {
        // SAFETY: the caller gives a line.
        unsafe { _mm512_load_si512(record.cast()) }
    }

    #[inline(always)]
    unsafe fn column(state: &mut __m512i, j: usize) -> __m512 {
        // SAFETY: register arithmetic.
        unsafe {
            let number = if j == 0 {
                _mm512_slli_epi32::<16>(*state)
            } else {
                _mm512_and_si512(*state, _mm512_set1_epi32(-0x1_0000))
            };
            _mm512_castsi512_ps(number)
        }
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
pub(super) struct QuantState {
    low: __m512i,
    /// The bits above the lowest four, from bit 4 on; of quants of 8 bits the second four columns.
    high: __m512i,
    scale: __m512,
    min: __m512,
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
    unsafe fn scale(record: *const Line, sixteen: usize) -> (__m512, __m512) {
        // SAFETY: the record has as many lines as its form says.
        unsafe {
            let half = |part: usize| _mm512_cvtph_ps(_mm256_load_si256(record.cast::<__m256i>().add(part)));
            let offset = _mm512_set1_ps(-Self::FORM.offset);
            match Self::FORM.scales {
                Scales::Pair => (half(0), half(1)),
                Scales::Symmetric => {
                    let scale = half(sixteen / 2);
                    (scale, _mm512_mul_ps(scale, offset))
                }
                Scales::Super { groups, minima } => {
                    let group = sixteen * groups / 16;
                    let bytes = |line: usize| {
                        let bytes = _mm_load_si128(record.add(line).cast::<__m128i>().add(group));
                        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
                    };
                    let scale = _mm512_mul_ps(half(0), bytes(1));
                    let min = if minima {
                        let min = _mm512_mul_ps(half(1), bytes(1 + groups / 4));
                        _mm512_sub_ps(_mm512_setzero_ps(), min)
                    } else {
                        _mm512_mul_ps(scale, offset)
                    };
                    (scale, min)
                }
            }
        }
    }
}

impl<const BITS: usize, const SCALES: usize> Strip for QuantStrip<BITS, SCALES> {
    const STEP: usize = 8;
    const STEPS: usize = Self::FORM.span() / 8;
    const LINES: usize = Self::FORM.record();
    type State = QuantState;

    #[inline(always)]
    unsafe fn read(record: *const Line, step: usize) -> QuantState {
        // SAFETY: the caller keeps `step` below those of the record, which has the lines of its form.
        unsafe {
            let (scale, min) = Self::scale(record, step / 2);
            let group = record.add(Self::FORM.head() + step / 4 * BITS);
            let line = |i: usize| _mm512_load_si512(group.add(i).cast());
            let eight = step % 4;
            let (low, high) = match BITS {
                4 => (line(eight), _mm512_setzero_si512()),
                5 => (line(eight), _mm512_slli_epi32::<4>(_mm512_srl_epi32(line(4), count(8 * eight)))),
                6 => {
                    let bits = _mm512_srl_epi32(line(4 + eight / 2), count(16 * (eight % 2)));
                    (line(eight), _mm512_slli_epi32::<4>(bits))
                }
                _ => (line(2 * eight), line(2 * eight + 1)),
            };
            QuantState { low, high, scale, min }
        }
    }

    #[inline(always)]
    unsafe fn column(state: &mut QuantState, j: usize) -> __m512 {
        // SAFETY: register arithmetic.
        unsafe {
            let low = _mm512_set1_epi32(15);
            let quant = match BITS {
                4 => _mm512_and_si512(state.low, low),
                // (high and 16) or what there is of the low bits.
                5 => _mm512_ternarylogic_epi32::<OR_OF_AND>(
                    _mm512_and_si512(state.low, low),
                    state.high,
                    _mm512_set1_epi32(0x10),
                ),
                6 => _mm512_ternarylogic_epi32::<OR_OF_AND>(
                    _mm512_and_si512(state.low, low),
                    state.high,
                    _mm512_set1_epi32(0x30),
                ),
                _ => {
                    let word = if j < 4 { state.low } else { state.high };
                    _mm512_and_si512(word, _mm512_set1_epi32(255))
                }
            };
            match BITS {
                4 => state.low = _mm512_srli_epi32::<4>(state.low),
                5 => {
                    state.low = _mm512_srli_epi32::<4>(state.low);
                    state.high = _mm512_srli_epi32::<1>(state.high);
                }
                6 => {
                    state.low = _mm512_srli_epi32::<4>(state.low);
                    state.high = _mm512_srli_epi32::<2>(state.high);
                }
                _ if j < 4 => state.low = _mm512_srli_epi32::<8>(state.low),
                _ => state.high = _mm512_srli_epi32::<8>(state.high),
            }
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(quant), state.scale, state.min)
        }
    }
}

/// `a or (b and c)` for `_mm512_ternarylogic_epi32`.
const OR_OF_AND: i32 = 0xf8;

#[inline(always)]
unsafe fn count(bits: usize) -> __m128i {
    // SAFETY: register arithmetic.
    unsafe { _mm_cvtsi32_si128(bits.cast_signed() as i32) }
}

/// Turns the columns of `records` records into f32.
#[inline(always)]
pub(super) unsafe fn unpack<W: Strip>(strip: *const Line, records: usize, mut out: *mut f32) {
    for record in 0..records {
        for step in 0..W::STEPS {
            // SAFETY: the caller gives as many records and room for their columns.
            unsafe {
                let mut state = W::read(strip.add(record * W::LINES), step);
                for j in 0..W::STEP {
                    let column = W::column(&mut state, j);
                    _mm512_storeu_ps(out, column);
                    out = out.add(LANES);
                }
            }
        }
    }
}

/// Turns the columns of `records` records into pairs of bf16, rounded to the nearest, ties to even.
#[inline(always)]
pub(super) unsafe fn unpack_pairs<W: Strip>(strip: *const Line, records: usize, mut out: *mut Line) {
    for record in 0..records {
        for step in 0..W::STEPS {
            // SAFETY: the caller gives as many records and room for their pairs of columns.
            unsafe {
                let mut state = W::read(strip.add(record * W::LINES), step);
                for j in (0..W::STEP).step_by(2) {
                    let even = rounded(W::column(&mut state, j));
                    let odd = rounded(W::column(&mut state, j + 1));
                    _mm512_store_si512(out.cast(), _mm512_or_si512(_mm512_srli_epi32::<16>(even), upper(odd)));
                    out = out.add(1);
                }
            }
        }
    }
}

/// The bits of a number whose upper half is its bf16.
#[inline(always)]
unsafe fn rounded(number: __m512) -> __m512i {
    // SAFETY: register arithmetic.
    unsafe {
        let bits = _mm512_castps_si512(number);
        let tie = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        _mm512_add_epi32(bits, _mm512_add_epi32(tie, _mm512_set1_epi32(0x7fff)))
    }
}

#[inline(always)]
unsafe fn upper(bits: __m512i) -> __m512i {
    // SAFETY: register arithmetic.
    unsafe { _mm512_and_si512(bits, _mm512_set1_epi32(-0x1_0000)) }
}

/// The tile of `M` rows and two strips in products of bf16 pairs, added up in f32. Pair (row, column / 2) of the rows lies
/// at `row + column / 2 * 12`.
#[inline(always)]
unsafe fn tile_pairs<const M: usize>(
    pairs: *const u32,
    strips: [*const Line; 2],
    count: usize,
    from: From,
    out: *mut f32,
    by_out: usize,
) {
    // SAFETY: the caller gives `count` pairs of each row and strip, and room for `M` rows of 32 numbers.
    unsafe {
        let mut sums = [[_mm512_loadu_ps(from.start), _mm512_loadu_ps(from.start.add(LANES))]; M];
        for k in 0..count {
            let weights = [_mm512_load_si512(strips[0].add(k).cast()), _mm512_load_si512(strips[1].add(k).cast())];
            for r in 0..M {
                let x = _mm512_set1_epi32((*pairs.add(k * 12 + r)).cast_signed());
                for s in 0..2 {
                    sums[r][s] = _mm512_dpbf16_ps(sums[r][s], std::mem::transmute(x), std::mem::transmute(weights[s]));
                }
            }
        }
        for r in 0..M {
            for s in 0..2 {
                _mm512_storeu_ps(out.add(r * by_out + s * LANES), sums[r][s]);
            }
        }
    }
}

/// Up to twelve rows of bf16 pairs with two strips; `from` is the same for every row.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn block_of_pairs(
    mut pairs: *const u32,
    mut m: usize,
    strips: [*const Line; 2],
    count: usize,
    from: From,
    mut out: *mut f32,
    by_out: usize,
) {
    macro_rules! take {
        ($n:literal) => {
            while m >= $n {
                // SAFETY: as the caller gave, for the next `n` of its rows.
                unsafe {
                    tile_pairs::<$n>(pairs, strips, count, from, out, by_out);
                    pairs = pairs.add($n);
                    out = out.add($n * by_out);
                }
                m -= $n;
            }
        };
    }
    take!(12);
    take!(8);
    take!(4);
    take!(2);
    take!(1);
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
unsafe fn tile<W: Strip, const M: usize, const S: usize>(
    rows: Rows,
    strips: Strips<S>,
    from: From,
    out: *mut f32,
    by_out: usize,
) {
    // SAFETY: the caller gives `M` rows with the columns of the strips, and `M` rows of `S * 16` numbers to start from
    // and to write. Fetching ahead reads nothing that could fault.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); S]; M];
        for r in 0..M {
            for s in 0..S {
                sums[r][s] = _mm512_loadu_ps(from.start.add(r * from.by_row + s * LANES));
            }
        }
        let mut at = rows.start;
        let mut records = strips.starts;
        for _ in 0..strips.records {
            if W::LINES > 1 && strips.ahead > 0 {
                for s in 0..S {
                    for line in 0..W::LINES {
                        _mm_prefetch::<_MM_HINT_T0>(records[s].wrapping_add(strips.ahead + line).cast());
                    }
                }
            }
            for step in 0..W::STEPS {
                let mut states = [W::read(records[0], step); S];
                for s in 1..S {
                    states[s] = W::read(records[s], step);
                }
                for j in 0..W::STEP {
                    let mut weights = [_mm512_setzero_ps(); S];
                    for s in 0..S {
                        weights[s] = W::column(&mut states[s], j);
                    }
                    for r in 0..M {
                        let x = _mm512_set1_ps(*at.add(r * rows.by_row));
                        for s in 0..S {
                            sums[r][s] = _mm512_fmadd_ps(x, weights[s], sums[r][s]);
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
                _mm512_storeu_ps(out.add(r * by_out + s * LANES), sums[r][s]);
            }
        }
    }
}

/// Adds the products of `m` rows with `S` strips to `from`, into `out`.
#[inline(always)]
pub(super) unsafe fn tiles<W: Strip, const S: usize>(
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
                    tile::<W, $n, S>(rows, strips, from, out, by_out);
                    rows.start = rows.start.add($n * rows.by_row);
                    from.start = from.start.add($n * from.by_row);
                    out = out.add($n * by_out);
                }
                m -= $n;
            }
        };
    }
    // Larger tiles of quants are not worth their code: from three rows on, strips are turned into f32 first.
    if W::STEP == 1 {
        take!(12);
        take!(8);
        take!(4);
    }
    take!(2);
    take!(1);
}

//! The one inner loop in AVX-512: a tile of `M` rows and `S` strips stays in registers while it adds up products.
//!
//! Every element of the result is one chain of fused multiply-adds in the order of the columns, whatever the shape of
//! the tile: batch size, threads and shared prefixes cannot change a bit of it.
#![expect(unsafe_code, reason = "vector instructions and raw rows; each caller bounds them")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512, __m512i, _mm_cvtsi32_si128, _mm_load_si128, _mm256_load_si256, _mm512_and_si512,
    _mm512_castsi512_ps, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_load_si512,
    _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_srl_epi32, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_ternarylogic_epi32,
};

use super::packed::{LANES, Line, Quant, Scales};

/// A strip of weights that a tile reads column after column.
pub(super) trait Strip: Copy {
    /// Columns that are read together.
    const STEP: usize;
    /// What was read of them.
    type State: Copy;
    /// Reads the columns from `step * STEP` on.
    unsafe fn read(self, step: usize) -> Self::State;
    /// The weights of the `j`-th column read.
    unsafe fn column(state: &mut Self::State, j: usize) -> __m512;
}

/// Plain numbers.
#[derive(Clone, Copy)]
pub(super) struct F32Strip(pub *const f32);

impl Strip for F32Strip {
    const STEP: usize = 1;
    type State = __m512;

    #[inline(always)]
    unsafe fn read(self, step: usize) -> __m512 {
        // SAFETY: the caller keeps `step` below the columns of the strip.
        unsafe { _mm512_loadu_ps(self.0.add(step * LANES)) }
    }

    #[inline(always)]
    unsafe fn column(state: &mut __m512, _: usize) -> __m512 {
        *state
    }
}

/// Pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct Bf16Strip(pub *const Line);

impl Strip for Bf16Strip {
    const STEP: usize = 2;
    type State = __m512i;

    #[inline(always)]
    unsafe fn read(self, step: usize) -> __m512i {
        // SAFETY: the caller keeps `step` below the pairs of the strip.
        unsafe { _mm512_load_si512(self.0.add(step).cast()) }
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

/// [`Scales::Pair`] as a constant.
pub(super) const PAIR: usize = 0;
/// [`Scales::Symmetric`] as a constant.
pub(super) const SYMMETRIC: usize = 1;
/// [`Scales::Super`] as a constant.
pub(super) const SUPER: usize = 2;

/// Quants of `BITS` bits with `SCALES` as one of the constants above.
#[derive(Clone, Copy)]
pub(super) struct QuantStrip<const BITS: usize, const SCALES: usize> {
    pub start: *const Line,
    pub form: Quant,
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
    /// Scale and minimum of 16 columns.
    #[inline(always)]
    unsafe fn scale(self, record: *const Line, sixteen: usize) -> (__m512, __m512) {
        // SAFETY: the record has as many lines as its form says.
        unsafe {
            let half = |part: usize| _mm512_cvtph_ps(_mm256_load_si256(record.cast::<__m256i>().add(part)));
            let offset = _mm512_set1_ps(-self.form.offset);
            if SCALES == PAIR {
                return (half(0), half(1));
            }
            if SCALES == SYMMETRIC {
                let scale = half(sixteen / 2);
                return (scale, _mm512_mul_ps(scale, offset));
            }
            let Scales::Super { groups, minima } = self.form.scales else { return (half(0), half(1)) };
            let group = sixteen * groups / 16;
            let bytes = |line: usize| _mm_load_si128(record.add(line).cast::<__m128i>().add(group));
            let scale = _mm512_mul_ps(half(0), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes(1))));
            let min = if minima {
                let multiple = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes(1 + groups / 4)));
                _mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(half(1), multiple))
            } else {
                _mm512_mul_ps(scale, offset)
            };
            (scale, min)
        }
    }
}

impl<const BITS: usize, const SCALES: usize> Strip for QuantStrip<BITS, SCALES> {
    const STEP: usize = 8;
    type State = QuantState;

    #[inline(always)]
    unsafe fn read(self, step: usize) -> QuantState {
        let (steps, head) = (self.form.span() / 8, self.form.head());
        // SAFETY: the caller keeps `step` below the columns of the strip / 8, and each record has the lines of its form.
        unsafe {
            let record = self.start.add(step / steps * self.form.record());
            let within = step % steps;
            let (scale, min) = self.scale(record, within / 2);
            let group = record.add(head + within / 4 * BITS);
            let line = |i: usize| _mm512_load_si512(group.add(i).cast());
            let eight = within % 4;
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
    unsafe { _mm_cvtsi32_si128(bits as i32) }
}

/// Turns the `steps * STEP` columns of a strip into f32.
#[inline(always)]
pub(super) unsafe fn unpack<W: Strip>(strip: W, steps: usize, out: *mut f32) {
    for step in 0..steps {
        // SAFETY: the caller gives a strip of as many columns and room for them.
        unsafe {
            let mut state = strip.read(step);
            for j in 0..W::STEP {
                let column = W::column(&mut state, j);
                _mm512_storeu_ps(out.add((step * W::STEP + j) * LANES), column);
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

/// Adds the products of `M` rows with `S` strips to `from`, into `out`, whose rows lie `by_out` apart.
#[inline(always)]
unsafe fn tile<W: Strip, const M: usize, const S: usize>(
    rows: Rows,
    strips: [W; S],
    steps: usize,
    from: From,
    out: *mut f32,
    by_out: usize,
) {
    // SAFETY: the caller gives `M` rows of `steps * STEP` columns, strips of as many, and `M` rows of `S * 16` numbers
    // to start from and to write.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); S]; M];
        for r in 0..M {
            for s in 0..S {
                sums[r][s] = _mm512_loadu_ps(from.start.add(r * from.by_row + s * LANES));
            }
        }
        let mut at = rows.start;
        for step in 0..steps {
            let mut states = [strips[0].read(step); S];
            for s in 1..S {
                states[s] = strips[s].read(step);
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
    strips: [W; S],
    steps: usize,
    mut from: From,
    mut out: *mut f32,
    by_out: usize,
) {
    macro_rules! take {
        ($n:literal) => {
            while m >= $n {
                // SAFETY: as the caller gave, for the next `n` of its rows.
                unsafe {
                    tile::<W, $n, S>(rows, strips, steps, from, out, by_out);
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

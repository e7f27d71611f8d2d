//! The one inner loop in AVX-512: a tile of `M` rows and `S` strips stays in registers while it adds up products.
//!
//! Every element of the result is one chain of fused multiply-adds in the order of the columns, whatever the shape of
//! the tile: batch size, threads and shared prefixes cannot change a bit of it.
#![expect(unsafe_code, reason = "vector instructions and raw rows; each caller bounds them")]

use std::arch::x86_64::{
    __m512, _mm512_and_si512, _mm512_castsi512_ps, _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_storeu_ps,
};

use super::packed::LANES;

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
pub(super) struct Bf16Strip(pub *const u32);

impl Strip for Bf16Strip {
    const STEP: usize = 2;
    type State = __m512;

    #[inline(always)]
    unsafe fn read(self, step: usize) -> __m512 {
        // SAFETY: the caller keeps `step` below the pairs of the strip.
        unsafe { _mm512_loadu_ps(self.0.add(step * LANES).cast()) }
    }

    #[inline(always)]
    unsafe fn column(state: &mut __m512, j: usize) -> __m512 {
        // SAFETY: register arithmetic.
        unsafe {
            let bits = std::mem::transmute::<__m512, std::arch::x86_64::__m512i>(*state);
            let number = if j == 0 {
                _mm512_slli_epi32::<16>(bits)
            } else {
                _mm512_and_si512(bits, _mm512_set1_epi32(-0x1_0000))
            };
            _mm512_castsi512_ps(number)
        }
    }
}

/// Quants of `32 / STEP` bits with the scale and minimum of their block.
#[derive(Clone, Copy)]
pub(super) struct QuantStrip<const BITS: usize> {
    pub words: *const u32,
    pub scales: *const f32,
    pub mins: *const f32,
    /// log2 of the words in a block.
    pub shift: u32,
}

#[derive(Clone, Copy)]
pub(super) struct QuantState {
    word: std::arch::x86_64::__m512i,
    scale: __m512,
    min: __m512,
}

impl<const BITS: usize> Strip for QuantStrip<BITS> {
    const STEP: usize = 32 / BITS;
    type State = QuantState;

    #[inline(always)]
    unsafe fn read(self, step: usize) -> QuantState {
        let block = (step >> self.shift) * LANES;
        // SAFETY: the caller keeps `step` below the words of the strip, and each of them has a block.
        unsafe {
            QuantState {
                word: _mm512_loadu_si512(self.words.add(step * LANES).cast()),
                scale: _mm512_loadu_ps(self.scales.add(block)),
                min: _mm512_loadu_ps(self.mins.add(block)),
            }
        }
    }

    #[inline(always)]
    unsafe fn column(state: &mut QuantState, j: usize) -> __m512 {
        // SAFETY: register arithmetic.
        unsafe {
            let mask = _mm512_set1_epi32((1 << BITS) - 1);
            let last = j + 1 == Self::STEP;
            let quant = if last { state.word } else { _mm512_and_si512(state.word, mask) };
            state.word = if BITS == 4 { _mm512_srli_epi32::<4>(state.word) } else { _mm512_srli_epi32::<8>(state.word) };
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(quant), state.scale, state.min)
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

/// Adds the products of `M` rows with `S` strips to `out`, whose rows lie `by_out` apart.
#[inline(always)]
unsafe fn tile<W: Strip, const M: usize, const S: usize>(
    rows: Rows,
    strips: [W; S],
    steps: usize,
    out: *mut f32,
    by_out: usize,
) {
    // SAFETY: the caller gives `M` rows of `steps * STEP` columns, strips of as many, and `M` rows of `S * 16` numbers
    // to add to.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); S]; M];
        for r in 0..M {
            for s in 0..S {
                sums[r][s] = _mm512_loadu_ps(out.add(r * by_out + s * LANES));
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

/// Adds the products of `m` rows with `S` strips to `out`.
#[inline(always)]
pub(super) unsafe fn tiles<W: Strip, const S: usize>(
    mut rows: Rows,
    mut m: usize,
    strips: [W; S],
    steps: usize,
    mut out: *mut f32,
    by_out: usize,
) {
    macro_rules! take {
        ($n:literal) => {
            while m >= $n {
                // SAFETY: as the caller gave, for the next `n` of its rows.
                unsafe {
                    tile::<W, $n, S>(rows, strips, steps, out, by_out);
                    rows.start = rows.start.add($n * rows.by_row);
                    out = out.add($n * by_out);
                }
                m -= $n;
            }
        };
    }
    if S <= 2 {
        if W::STEP == 1 {
            take!(12);
        }
        take!(8);
    }
    take!(4);
    take!(2);
    take!(1);
}

//! Products of pairs of bf16, added up in f32, on processors that have instructions for them.
#![expect(unsafe_code, reason = "vector instructions and raw rows; each caller bounds them")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]
#![expect(clippy::needless_range_loop, reason = "constant bounds, which the compiler unrolls into registers")]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_dpbf16_ps,
    _mm512_load_si512, _mm512_loadu_ps, _mm512_or_si512, _mm512_set1_epi32, _mm512_srli_epi32, _mm512_store_si512,
    _mm512_storeu_ps,
};

use super::lanes::Avx512;
use super::packed::{LANES, Line};
use super::tile::{From, Strip};

/// Turns the columns of `records` records into pairs of bf16, rounded to the nearest, ties to even.
#[inline(always)]
pub(super) unsafe fn unpack_pairs<W: Strip<Avx512>>(strip: *const Line, records: usize, mut out: *mut Line) {
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
                    sums[r][s] = _mm512_dpbf16_ps(sums[r][s], as_bf16(x), as_bf16(weights[s]));
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

/// The same bits as bf16.
#[inline(always)]
const unsafe fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits of plain data.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
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

//! The same sums as plain loops, for any processor: compiled once as they are and once for AVX2 and FMA.
//!
//! Weights are turned into f32 a strip at a time, then multiplied. The order of the sums is that of the AVX-512
//! kernels, so the results differ only where one has fused multiply-adds and the other has not.
#![expect(unsafe_code, reason = "functions compiled for AVX2 are called after it was detected")]

use super::isa::Isa;
use super::packed::{Data, LANES, Packed};

/// Columns `from..to` of strip `strip` as f32, 16 numbers a column; both bounds are multiples of 8 or the last column.
pub(super) fn strip_to_f32(isa: Isa, weights: &Packed, strip: usize, out: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set was detected.
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { strip_avx512(weights, strip, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set was detected.
        Isa::Avx2 => unsafe { strip_avx2(weights, strip, out) },
        _ => strip_body::<false>(weights, strip, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn strip_avx512(weights: &Packed, strip: usize, out: &mut [f32]) {
    strip_body::<true>(weights, strip, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn strip_avx2(weights: &Packed, strip: usize, out: &mut [f32]) {
    strip_body::<true>(weights, strip, out);
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn strip_body<const FUSED: bool>(weights: &Packed, strip: usize, out: &mut [f32]) {
    let cols = weights.cols;
    match &weights.data {
        Data::F32(v) => out[..cols * LANES].copy_from_slice(&v[strip * cols * LANES..][..cols * LANES]),
        Data::Bf16(v) => {
            let pairs = cols.div_ceil(2) * LANES;
            for (pair, out) in
                v[strip * pairs..][..pairs].chunks_exact(LANES).zip(out[..cols * LANES].chunks_mut(2 * LANES))
            {
                let (even, odd) = out.split_at_mut(LANES);
                for l in 0..LANES {
                    even[l] = f32::from_bits(pair[l] << 16);
                }
                for (o, &bits) in odd.iter_mut().zip(pair) {
                    *o = f32::from_bits(bits & 0xffff_0000);
                }
            }
        }
        Data::Nibble(b) => {
            let (words, blocks) = (cols / 8 * LANES, cols / b.block * LANES);
            quants::<FUSED, 8>(
                &b.words[strip * words..][..words],
                &b.scales[strip * blocks..][..blocks],
                &b.mins[strip * blocks..][..blocks],
                b.block,
                out,
            );
        }
        Data::Byte(b) => {
            let (words, blocks) = (cols / 4 * LANES, cols / b.block * LANES);
            quants::<FUSED, 4>(
                &b.words[strip * words..][..words],
                &b.scales[strip * blocks..][..blocks],
                &b.mins[strip * blocks..][..blocks],
                b.block,
                out,
            );
        }
    }
}

#[inline(always)]
fn quants<const FUSED: bool, const PER_WORD: usize>(
    words: &[u32],
    scales: &[f32],
    mins: &[f32],
    block: usize,
    out: &mut [f32],
) {
    let bits = 32 / PER_WORD as u32;
    let mask = (1_u32 << bits) - 1;
    let columns = words.chunks_exact(LANES).zip(out.chunks_exact_mut(PER_WORD * LANES));
    for (i, (word, out)) in columns.enumerate() {
        let at = i * PER_WORD / block * LANES;
        let (scale, min) = (&scales[at..at + LANES], &mins[at..at + LANES]);
        for (j, out) in out.chunks_exact_mut(LANES).enumerate() {
            for l in 0..LANES {
                let quant = (word[l] >> (bits * j as u32)) & mask;
                out[l] = multiply_add::<FUSED>(quant.cast_signed() as f32, scale[l], min[l]);
            }
        }
    }
}

/// Adds the products of `m` rows with one strip of f32 to `out`.
///
/// Element (row, column) of the rows lies at `row * by_row + column * by_column` of `x`.
pub(super) fn add_products(
    isa: Isa,
    x: &[f32],
    (m, by_row, by_column): (usize, usize, usize),
    strip: &[f32],
    out: &mut [f32],
    by_out: usize,
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set was detected.
        Isa::Avx2 => unsafe { products_avx2(x, (m, by_row, by_column), strip, out, by_out) },
        _ => products::<false>(x, (m, by_row, by_column), strip, out, by_out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn products_avx2(
    x: &[f32],
    shape: (usize, usize, usize),
    strip: &[f32],
    out: &mut [f32],
    by_out: usize,
) {
    products::<true>(x, shape, strip, out, by_out);
}

#[inline(always)]
fn products<const FUSED: bool>(
    x: &[f32],
    (m, by_row, by_column): (usize, usize, usize),
    strip: &[f32],
    out: &mut [f32],
    by_out: usize,
) {
    let mut r = 0;
    while r + 4 <= m {
        some_rows::<FUSED, 4>(&x[r * by_row..], by_row, by_column, strip, &mut out[r * by_out..], by_out);
        r += 4;
    }
    while r < m {
        some_rows::<FUSED, 1>(&x[r * by_row..], by_row, by_column, strip, &mut out[r * by_out..], by_out);
        r += 1;
    }
}

#[inline(always)]
fn some_rows<const FUSED: bool, const M: usize>(
    x: &[f32],
    by_row: usize,
    by_column: usize,
    strip: &[f32],
    out: &mut [f32],
    by_out: usize,
) {
    let mut sums = [[0.0; LANES]; M];
    for r in 0..M {
        sums[r].copy_from_slice(&out[r * by_out..][..LANES]);
    }
    for (k, weights) in strip.chunks_exact(LANES).enumerate() {
        for r in 0..M {
            let a = x[r * by_row + k * by_column];
            for l in 0..LANES {
                sums[r][l] = multiply_add::<FUSED>(a, weights[l], sums[r][l]);
            }
        }
    }
    for r in 0..M {
        out[r * by_out..][..LANES].copy_from_slice(&sums[r]);
    }
}

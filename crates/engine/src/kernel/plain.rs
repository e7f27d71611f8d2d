//! The same sums as plain loops, for any processor: compiled once as they are and once for AVX2 and FMA.
//!
//! Weights are turned into f32 a strip at a time, then multiplied. The order of the sums is that of the AVX-512
//! kernels, so the results differ only where one has fused multiply-adds and the other has not.
#![expect(unsafe_code, reason = "functions compiled for AVX2 are called after it was detected")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]

use super::isa::Isa;
use super::packed::{Form, LANES, Line, Packed, Quant, Scales, as_f32};

/// The columns of strip `strip` as f32, 16 numbers a column.
pub(super) fn strip_to_f32(isa: Isa, weights: &Packed, strip: usize, out: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set was detected.
        Isa::Avx2 => unsafe { strip_avx2(weights, strip, out) },
        _ => strip_body::<false>(weights, strip, out),
    }
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
    let lines = weights.strip(strip);
    match weights.form {
        Form::F32 => out[..lines.len() * LANES].copy_from_slice(as_f32(lines)),
        Form::Bf16 => {
            for (pair, out) in lines.iter().zip(out[..weights.cols * LANES].chunks_mut(2 * LANES)) {
                let (even, odd) = out.split_at_mut(LANES);
                for (e, &bits) in even.iter_mut().zip(&pair.0) {
                    *e = f32::from_bits(bits << 16);
                }
                for (o, &bits) in odd.iter_mut().zip(&pair.0) {
                    *o = f32::from_bits(bits & 0xffff_0000);
                }
            }
        }
        Form::Quant(quant) => {
            let records = lines.chunks_exact(quant.record()).zip(out.chunks_exact_mut(quant.span() * LANES));
            for (record, out) in records {
                match quant.bits {
                    4 => record_to_f32::<FUSED, 4>(&quant, record, out),
                    5 => record_to_f32::<FUSED, 5>(&quant, record, out),
                    6 => record_to_f32::<FUSED, 6>(&quant, record, out),
                    _ => record_to_f32::<FUSED, 8>(&quant, record, out),
                }
            }
        }
    }
}

#[inline(always)]
fn record_to_f32<const FUSED: bool, const BITS: usize>(quant: &Quant, record: &[Line], out: &mut [f32]) {
    let (head, quants) = record.split_at(quant.head());
    for (sixteen, out) in out.chunks_exact_mut(16 * LANES).enumerate() {
        let (scale, min) = scale_and_min(quant, head, sixteen);
        let group = &quants[sixteen / 2 * BITS..][..BITS];
        for (j, out) in out.chunks_exact_mut(LANES).enumerate() {
            let column = sixteen % 2 * 16 + j;
            for l in 0..LANES {
                let q = quant_at::<BITS>(group, column, l);
                out[l] = multiply_add::<FUSED>(q.cast_signed() as f32, scale[l], min[l]);
            }
        }
    }
}

/// The quant of one of 32 columns.
#[inline(always)]
fn quant_at<const BITS: usize>(group: &[Line], column: usize, lane: usize) -> u32 {
    if BITS == 8 {
        return (group[column / 4].0[lane] >> (column % 4 * 8)) & 255;
    }
    let low = (group[column / 8].0[lane] >> (column % 8 * 4)) & 15;
    match BITS {
        5 => low | ((group[4].0[lane] >> column) & 1) << 4,
        6 => low | ((group[4 + column / 16].0[lane] >> (column % 16 * 2)) & 3) << 4,
        _ => low,
    }
}

/// A half that is a finite number, in operations that a vector has too: its exponent is 112 less than that of an f32.
#[inline(always)]
fn finite_half(bits: u32) -> f32 {
    const TO_THE_112: f32 = 5.192_296_858_534_828e33;
    let size = f32::from_bits((bits & 0x7fff) << 13) * TO_THE_112;
    f32::from_bits(size.to_bits() | (bits & 0x8000) << 16)
}

/// Scale and minimum of 16 columns, a number a row.
#[inline(always)]
fn scale_and_min(quant: &Quant, head: &[Line], sixteen: usize) -> ([f32; LANES], [f32; LANES]) {
    let halves = |part: usize| -> [f32; LANES] {
        std::array::from_fn(|l| {
            let at = part * LANES + l;
            finite_half(head[0].0[at / 2] >> (16 * (at % 2)))
        })
    };
    let bytes = |line: usize, group: usize| -> [f32; LANES] {
        std::array::from_fn(|l| {
            let at = group % 4 * LANES + l;
            let byte = (head[line + group / 4].0[at / 4] >> (8 * (at % 4))) as u8;
            f32::from(byte.cast_signed())
        })
    };
    match quant.scales {
        Scales::Pair => (halves(0), halves(1)),
        Scales::Symmetric => {
            let scale = halves(sixteen / 2);
            (scale, scale.map(|s| s * -quant.offset))
        }
        Scales::Super { groups, minima } => {
            let group = sixteen * groups / 16;
            let (scales, multiples) = (halves(0), bytes(1, group));
            let scale: [f32; LANES] = std::array::from_fn(|l| scales[l] * multiples[l]);
            if minima {
                let (mins, multiples) = (halves(1), bytes(1 + groups / 4, group));
                (scale, std::array::from_fn(|l| -(mins[l] * multiples[l])))
            } else {
                (scale, scale.map(|s| s * -quant.offset))
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

#[cfg(test)]
mod tests {
    use half::f16;

    #[test]
    fn every_finite_half_is_itself() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(super::finite_half(bits.into()).to_bits(), half.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }
}

//! Numbers from their stored form, as ggml's `dequantize_row_*` computes them: single precision, in the same order.
//!
//! Layouts: ggml-common.h; each function names the fields of its block. Blocks are little-endian.

use half::f16;

use super::{Dtype, FileError};

/// Writes the numbers that `data` stores, in the order in which they lie.
///
/// # Errors
/// The type is none that is decoded (integers, and those that are only known by size), or the bytes are not those of
/// `out.len()` numbers.
pub fn dequantise(dtype: &Dtype, data: &[u8], out: &mut [f32]) -> Result<(), FileError> {
    if dtype.bytes_of(out.len()) != Some(data.len()) {
        return Err(FileError::Length { dtype: *dtype, bytes: data.len(), elements: out.len() });
    }
    match dtype {
        Dtype::F64 => blocks(data, out, |bytes: &[u8; 8], y: &mut [f32; 1]| y[0] = f64::from_le_bytes(*bytes) as f32),
        Dtype::F32 => blocks(data, out, |bytes: &[u8; 4], y: &mut [f32; 1]| y[0] = f32::from_le_bytes(*bytes)),
        Dtype::F16 => halves(data, out),
        Dtype::Bf16 => blocks(data, out, |bytes: &[u8; 2], y: &mut [f32; 1]| {
            y[0] = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }),
        Dtype::Q4_0 => blocks(data, out, q4_0),
        Dtype::Q4_1 => blocks(data, out, q4_1),
        Dtype::Q5_0 => blocks(data, out, q5_0),
        Dtype::Q5_1 => blocks(data, out, q5_1),
        Dtype::Q8_0 => blocks(data, out, q8_0),
        Dtype::Q2K => blocks(data, out, q2_k),
        Dtype::Q3K => blocks(data, out, q3_k),
        Dtype::Q4K => blocks(data, out, q4_k),
        Dtype::Q5K => blocks(data, out, q5_k),
        Dtype::Q6K => blocks(data, out, q6_k),
        _ => return Err(FileError::NotDecoded { dtype: *dtype }),
    }
    Ok(())
}

/// Applies a function to every block of `B` bytes and its `N` numbers.
fn blocks<const B: usize, const N: usize>(data: &[u8], out: &mut [f32], decode: impl Fn(&[u8; B], &mut [f32; N])) {
    for (block, numbers) in data.as_chunks::<B>().0.iter().zip(out.as_chunks_mut::<N>().0) {
        decode(block, numbers);
    }
}

/// Half precision; the processor converts several at once where it can.
fn halves(data: &[u8], out: &mut [f32]) {
    use half::slice::HalfFloatSliceExt;
    let mut aligned = [f16::ZERO; 256];
    for (bytes, numbers) in data.chunks(2 * aligned.len()).zip(out.chunks_mut(aligned.len())) {
        for (half, pair) in aligned.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*pair);
        }
        aligned[..numbers.len()].convert_to_f32_slice(numbers);
    }
}

/// A half-precision number of a block.
fn half(low: u8, high: u8) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// A small whole number less the middle of its range.
fn centred(quant: u8, middle: i8) -> f32 {
    f32::from(quant.cast_signed() - middle)
}

/// `d: f16, qs: [u8; 16]`; the low halves of the bytes come first.
fn q4_0(b: &[u8; 18], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    for j in 0..16 {
        let q = b[2 + j];
        y[j] = centred(q & 15, 8) * d;
        y[j + 16] = centred(q >> 4, 8) * d;
    }
}

/// `d: f16, m: f16, qs: [u8; 16]`
fn q4_1(b: &[u8; 20], y: &mut [f32; 32]) {
    let (d, m) = (half(b[0], b[1]), half(b[2], b[3]));
    for j in 0..16 {
        let q = b[4 + j];
        y[j] = f32::from(q & 15) * d + m;
        y[j + 16] = f32::from(q >> 4) * d + m;
    }
}

/// `d: f16, qh: u32, qs: [u8; 16]`; `qh` has the fifth bits.
fn q5_0(b: &[u8; 22], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    let high = u32::from_le_bytes([b[2], b[3], b[4], b[5]]);
    for j in 0..16 {
        let q = b[6 + j];
        let (first, second) = ((high >> j & 1) as u8, (high >> (j + 16) & 1) as u8);
        y[j] = centred(q & 15 | first << 4, 16) * d;
        y[j + 16] = centred(q >> 4 | second << 4, 16) * d;
    }
}

/// `d: f16, m: f16, qh: u32, qs: [u8; 16]`
fn q5_1(b: &[u8; 24], y: &mut [f32; 32]) {
    let (d, m) = (half(b[0], b[1]), half(b[2], b[3]));
    let high = u32::from_le_bytes([b[4], b[5], b[6], b[7]]);
    for j in 0..16 {
        let q = b[8 + j];
        let (first, second) = ((high >> j & 1) as u8, (high >> (j + 16) & 1) as u8);
        y[j] = f32::from(q & 15 | first << 4) * d + m;
        y[j + 16] = f32::from(q >> 4 | second << 4) * d + m;
    }
}

/// `d: f16, qs: [i8; 32]`
fn q8_0(b: &[u8; 34], y: &mut [f32; 32]) {
    let d = half(b[0], b[1]);
    for j in 0..32 {
        y[j] = f32::from(b[2 + j].cast_signed()) * d;
    }
}

/// `scales: [u8; 16] (scale | minimum << 4), qs: [u8; 64], d: f16, dmin: f16`
fn q2_k(b: &[u8; 84], y: &mut [f32; 256]) {
    let (d, dmin) = (half(b[80], b[81]), half(b[82], b[83]));
    for (i, out) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = b[i];
        let (dl, ml) = (d * f32::from(scale & 15), dmin * f32::from(scale >> 4));
        // 128 numbers lie in 32 bytes: four planes of two bits, each of two groups of 16.
        let shift = 2 * (i % 8 / 2);
        let start = 16 + 32 * (i / 8) + 16 * (i % 2);
        for (l, number) in out.iter_mut().enumerate() {
            *number = dl * f32::from(b[start + l] >> shift & 3) - ml;
        }
    }
}

/// `hmask: [u8; 32], qs: [u8; 64], scales: [u8; 12], d: f16`; a bit of `hmask` that is not set subtracts four.
fn q3_k(b: &[u8; 110], y: &mut [f32; 256]) {
    let d = half(b[108], b[109]);
    let packed = &b[96..108];
    for (i, out) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = if i < 8 { packed[i] & 15 } else { packed[i - 8] >> 4 };
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        let dl = d * centred(low | high << 4, 32);
        let plane = i / 2;
        let shift = 2 * (plane % 4);
        let start = 32 + 32 * (i / 8) + 16 * (i % 2);
        for (l, number) in out.iter_mut().enumerate() {
            let two_bits = b[start + l] >> shift & 3;
            let four = if b[16 * (i % 2) + l] >> plane & 1 == 0 { 4 } else { 0 };
            *number = dl * centred(two_bits, four);
        }
    }
}

/// Scale and minimum `j` of eight pairs of 6 bits in 12 bytes.
fn scale_and_min(j: usize, packed: &[u8]) -> (f32, f32) {
    let (scale, min) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

/// `d: f16, dmin: f16, scales: [u8; 12], qs: [u8; 128]`
fn q4_k(b: &[u8; 144], y: &mut [f32; 256]) {
    let (d, dmin) = (half(b[0], b[1]), half(b[2], b[3]));
    for (j, out) in y.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(j, &b[4..16]);
        let (dl, ml) = (d * scale, dmin * min);
        let shift = 4 * (j % 2);
        let quants = &b[16 + 32 * (j / 2)..][..32];
        for (number, q) in out.iter_mut().zip(quants) {
            *number = dl * f32::from(q >> shift & 15) - ml;
        }
    }
}

/// `d: f16, dmin: f16, scales: [u8; 12], qh: [u8; 32], qs: [u8; 128]`; bit `j` of `qh` belongs to group `j`.
fn q5_k(b: &[u8; 176], y: &mut [f32; 256]) {
    let (d, dmin) = (half(b[0], b[1]), half(b[2], b[3]));
    for (j, out) in y.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(j, &b[4..16]);
        let (dl, ml) = (d * scale, dmin * min);
        let shift = 4 * (j % 2);
        let quants = &b[48 + 32 * (j / 2)..][..32];
        for ((number, q), high) in out.iter_mut().zip(quants).zip(&b[16..48]) {
            *number = dl * f32::from(q >> shift & 15 | (high >> j & 1) << 4) - ml;
        }
    }
}

/// `ql: [u8; 128], qh: [u8; 64], scales: [i8; 16], d: f16`
fn q6_k(b: &[u8; 210], y: &mut [f32; 256]) {
    let d = half(b[208], b[209]);
    for (i, out) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let dl = d * f32::from(b[192 + i].cast_signed());
        // 128 numbers: four planes of 32, the first two in the low and the last two in the high halves of 64 bytes.
        let (part, plane) = (i / 8, i % 8 / 2);
        let low = 64 * part + 32 * (plane % 2) + 16 * (i % 2);
        let high = 128 + 32 * part + 16 * (i % 2);
        let (low_shift, high_shift) = (4 * (plane / 2), 2 * plane);
        for (l, number) in out.iter_mut().enumerate() {
            let q = b[low + l] >> low_shift & 15 | (b[high + l] >> high_shift & 3) << 4;
            *number = dl * centred(q, 32);
        }
    }
}

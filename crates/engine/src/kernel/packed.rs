//! Weights of a linear layer in the order in which the kernels read them: strips of 16 output rows, and in a strip the
//! 16 weights of one input column after another.
//!
//! Quantized weights stay quantized: `weight = scale * q + min` with one scale and minimum a block and row, which holds
//! every block format of GGUF in two forms, 4 and 8 bits. Nothing is rounded on the way in.

use half::{bf16, f16};
use rayon::prelude::*;

use crate::files::{Dtype, dequant};

/// Output rows in a strip, the lanes of a 512-bit register.
pub const LANES: usize = 16;

/// Weights of `rows` outputs and `cols` inputs in strips.
#[derive(Debug)]
pub struct Packed {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// The weights, one strip after another.
    pub data: Data,
}

/// The forms of a weight. The lengths are those of one strip.
#[derive(Debug)]
pub enum Data {
    /// `cols * 16` numbers.
    F32(Vec<f32>),
    /// `cols / 2 * 16` pairs of bf16, the lower column in the lower half; an odd last column is paired with 0.
    Bf16(Vec<u32>),
    /// Blocks of 4-bit numbers: `cols / 8 * 16` words of 8 columns, the lowest column in the lowest bits.
    Nibble(Blocks),
    /// Blocks of 8-bit numbers: `cols / 4 * 16` words of 4 columns.
    Byte(Blocks),
}

/// Quantized weights with their scales and minima.
#[derive(Debug)]
pub struct Blocks {
    /// The quants.
    pub words: Vec<u32>,
    /// `cols / block * 16` scales a strip.
    pub scales: Vec<f32>,
    /// As many minima.
    pub mins: Vec<f32>,
    /// Columns in a block.
    pub block: usize,
}

impl Packed {
    /// Number of strips.
    #[must_use]
    pub fn strips(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.data {
            Data::F32(v) => v.len() * 4,
            Data::Bf16(v) => v.len() * 4,
            Data::Nibble(b) | Data::Byte(b) => 4 * (b.words.len() + b.scales.len() + b.mins.len()),
        }
    }

    /// True where every weight is a finite number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let finite = |v: &[f32]| v.par_chunks(1 << 16).all(|part| part.iter().all(|x| x.is_finite()));
        match &self.data {
            Data::F32(v) => finite(v),
            // The exponent of a bf16 that is no finite number is all ones.
            Data::Bf16(v) => v
                .par_chunks(1 << 16)
                .all(|part| part.iter().all(|w| w & 0x7f80 != 0x7f80 && w & 0x7f80_0000 != 0x7f80_0000)),
            Data::Nibble(b) | Data::Byte(b) => finite(&b.scales) && finite(&b.mins),
        }
    }

    /// Packs `rows * cols` numbers, row after row.
    #[must_use]
    pub fn from_f32(rows: usize, cols: usize, weights: &[f32]) -> Self {
        let mut data = vec![0.0; rows.div_ceil(LANES) * cols * LANES];
        data.par_chunks_mut((cols * LANES).max(1)).enumerate().for_each(|(s, strip)| {
            for lane in 0..LANES.min(rows - s * LANES) {
                let row = &weights[(s * LANES + lane) * cols..][..cols];
                for (k, &w) in row.iter().enumerate() {
                    strip[k * LANES + lane] = w;
                }
            }
        });
        Self { rows, cols, data: Data::F32(data) }
    }

    /// Packs the rows `order` of a tensor as it lies in its file, `cols` numbers a row.
    ///
    /// # Errors
    /// The type cannot be read.
    pub fn from_raw(dtype: &Dtype, data: &[u8], cols: usize, order: &[usize]) -> Result<Self, String> {
        let (elements, bytes) = dtype.block();
        if elements == 0 || cols % elements != 0 {
            return Err(format!("rows of {cols} numbers are no whole blocks of {dtype}"));
        }
        let stride = cols / elements * bytes;
        if order.iter().any(|&row| (row + 1) * stride > data.len()) {
            return Err("a row lies past the end of the tensor".to_owned());
        }
        let row = |r: usize| &data[order[r] * stride..][..stride];
        let rows = order.len();
        let data = match dtype {
            Dtype::Bf16 => Data::Bf16(pack_bf16(rows, cols, &row)),
            Dtype::Q4_0 | Dtype::Q4_1 | Dtype::Q4K => Data::Nibble(pack_blocks(dtype, rows, cols, 32, 8, &row)),
            Dtype::Q2K | Dtype::Q3K => Data::Nibble(pack_blocks(dtype, rows, cols, 16, 8, &row)),
            Dtype::Q5_0 | Dtype::Q5_1 | Dtype::Q8_0 | Dtype::Q5K => {
                Data::Byte(pack_blocks(dtype, rows, cols, 32, 4, &row))
            }
            Dtype::Q6K => Data::Byte(pack_blocks(dtype, rows, cols, 16, 4, &row)),
            _ => {
                let mut plain = vec![0.0; rows * cols];
                let filled: Result<Vec<()>, _> = plain
                    .par_chunks_mut(cols.max(1))
                    .enumerate()
                    .map(|(r, out)| dequant::dequantise(dtype, row(r), out))
                    .collect();
                filled.map_err(|error| error.to_string())?;
                return Ok(Self::from_f32(rows, cols, &plain));
            }
        };
        Ok(Self { rows, cols, data })
    }
}

fn pack_bf16<'a>(rows: usize, cols: usize, row: &(dyn Fn(usize) -> &'a [u8] + Sync)) -> Vec<u32> {
    let pairs = cols.div_ceil(2);
    let mut words = vec![0; rows.div_ceil(LANES) * pairs * LANES];
    words.par_chunks_mut((pairs * LANES).max(1)).enumerate().for_each(|(s, strip)| {
        for lane in 0..LANES.min(rows - s * LANES) {
            for (k, number) in row(s * LANES + lane).chunks_exact(2).enumerate() {
                let bits = u32::from(bf16::from_le_bytes([number[0], number[1]]).to_bits());
                strip[k / 2 * LANES + lane] |= bits << (16 * (k % 2));
            }
        }
    });
    words
}

/// Packs `per_word` quants a word, with scales and minima of blocks of `block` columns.
fn pack_blocks<'a>(
    dtype: &Dtype,
    rows: usize,
    cols: usize,
    block: usize,
    per_word: usize,
    row: &(dyn Fn(usize) -> &'a [u8] + Sync),
) -> Blocks {
    let strips = rows.div_ceil(LANES);
    let (words_a_strip, blocks_a_strip) = (cols / per_word * LANES, cols / block * LANES);
    let mut words = vec![0_u32; strips * words_a_strip];
    let mut scales = vec![0.0; strips * blocks_a_strip];
    let mut mins = vec![0.0; strips * blocks_a_strip];
    let (elements, bytes) = dtype.block();
    let bits = 32 / per_word;
    words
        .par_chunks_mut(words_a_strip.max(1))
        .zip(scales.par_chunks_mut(blocks_a_strip.max(1)).zip(mins.par_chunks_mut(blocks_a_strip.max(1))))
        .enumerate()
        .for_each(|(s, (words, (scales, mins)))| {
            let mut unpacked = Unpacked::default();
            for lane in 0..LANES.min(rows - s * LANES) {
                for (b, raw) in row(s * LANES + lane).chunks_exact(bytes).enumerate() {
                    unpack(dtype, raw, &mut unpacked);
                    let first = b * elements;
                    for (i, quants) in unpacked.quants[..elements].chunks_exact(per_word).enumerate() {
                        let word = quants.iter().rev().fold(0, |word, &q| (word << bits) | u32::from(q));
                        words[(first / per_word + i) * LANES + lane] = word;
                    }
                    for i in 0..elements / block {
                        scales[(first / block + i) * LANES + lane] = unpacked.scales[i];
                        mins[(first / block + i) * LANES + lane] = unpacked.mins[i];
                    }
                }
            }
        });
    Blocks { words, scales, mins, block }
}

/// One block of a file, spread out: at most 256 numbers in at most 16 groups.
struct Unpacked {
    quants: [u8; 256],
    scales: [f32; 16],
    mins: [f32; 16],
}

impl Default for Unpacked {
    fn default() -> Self {
        Self { quants: [0; 256], scales: [0.0; 16], mins: [0.0; 16] }
    }
}

fn half_at(raw: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([raw[at], raw[at + 1]]).to_f32()
}

/// Spreads one block out. The layouts are those of ggml's `ggml-common.h`; `dequant` computes the same numbers.
fn unpack(dtype: &Dtype, raw: &[u8], to: &mut Unpacked) {
    match dtype {
        Dtype::Q4_0 => {
            let d = half_at(raw, 0);
            (to.scales[0], to.mins[0]) = (d, -8.0 * d);
            split_nibbles(&raw[2..18], &mut to.quants);
        }
        Dtype::Q4_1 => {
            (to.scales[0], to.mins[0]) = (half_at(raw, 0), half_at(raw, 2));
            split_nibbles(&raw[4..20], &mut to.quants);
        }
        Dtype::Q5_0 => {
            let d = half_at(raw, 0);
            (to.scales[0], to.mins[0]) = (d, -16.0 * d);
            split_nibbles(&raw[6..22], &mut to.quants);
            add_fifth_bits(&raw[2..6], &mut to.quants);
        }
        Dtype::Q5_1 => {
            (to.scales[0], to.mins[0]) = (half_at(raw, 0), half_at(raw, 2));
            split_nibbles(&raw[8..24], &mut to.quants);
            add_fifth_bits(&raw[4..8], &mut to.quants);
        }
        Dtype::Q8_0 => {
            let d = half_at(raw, 0);
            (to.scales[0], to.mins[0]) = (d, -128.0 * d);
            for (q, &byte) in to.quants.iter_mut().zip(&raw[2..34]) {
                *q = byte ^ 0x80;
            }
        }
        Dtype::Q2K => unpack_q2k(raw, to),
        Dtype::Q3K => unpack_q3k(raw, to),
        Dtype::Q4K => {
            k_scales(raw, to);
            for (i, bytes) in raw[16..144].chunks_exact(32).enumerate() {
                split_nibbles(bytes, &mut to.quants[64 * i..]);
            }
        }
        Dtype::Q5K => {
            k_scales(raw, to);
            let high = &raw[16..48];
            for (i, bytes) in raw[48..176].chunks_exact(32).enumerate() {
                split_nibbles(bytes, &mut to.quants[64 * i..]);
                for l in 0..32 {
                    to.quants[64 * i + l] |= (high[l] >> (2 * i) & 1) << 4;
                    to.quants[64 * i + 32 + l] |= (high[l] >> (2 * i + 1) & 1) << 4;
                }
            }
        }
        Dtype::Q6K => unpack_q6k(raw, to),
        _ => {}
    }
}

/// The low nibbles come first, then the high ones.
fn split_nibbles(bytes: &[u8], quants: &mut [u8]) {
    for (l, &byte) in bytes.iter().enumerate() {
        quants[l] = byte & 15;
        quants[bytes.len() + l] = byte >> 4;
    }
}

fn add_fifth_bits(bits: &[u8], quants: &mut [u8]) {
    for (l, q) in quants[..32].iter_mut().enumerate() {
        *q |= (bits[l / 8] >> (l % 8) & 1) << 4;
    }
}

/// The 6-bit scales and minima of the eight groups of Q4_K and Q5_K.
fn k_scales(raw: &[u8], to: &mut Unpacked) {
    let (d, dmin, packed) = (half_at(raw, 0), half_at(raw, 2), &raw[4..16]);
    for j in 0..8 {
        let (scale, min) = if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            (
                (packed[j + 4] & 15) | (packed[j - 4] >> 6 << 4),
                (packed[j + 4] >> 4) | (packed[j] >> 6 << 4),
            )
        };
        to.scales[j] = d * f32::from(scale);
        to.mins[j] = -(dmin * f32::from(min));
    }
}

fn unpack_q2k(raw: &[u8], to: &mut Unpacked) {
    let (d, dmin) = (half_at(raw, 80), half_at(raw, 82));
    for (j, &byte) in raw[..16].iter().enumerate() {
        to.scales[j] = d * f32::from(byte & 15);
        to.mins[j] = -(dmin * f32::from(byte >> 4));
    }
    for (half, bytes) in raw[16..80].chunks_exact(32).enumerate() {
        for shift in 0..4 {
            for (l, &byte) in bytes.iter().enumerate() {
                to.quants[128 * half + 32 * shift + l] = byte >> (2 * shift) & 3;
            }
        }
    }
}

fn unpack_q3k(raw: &[u8], to: &mut Unpacked) {
    let (high, low, packed, d) = (&raw[..32], &raw[32..96], &raw[96..108], half_at(raw, 108));
    for j in 0..16 {
        let low_bits = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
        let scale = low_bits | ((packed[8 + j % 4] >> (2 * (j / 4)) & 3) << 4);
        to.scales[j] = d * (f32::from(scale) - 32.0);
        to.mins[j] = -4.0 * to.scales[j];
    }
    for half in 0..2 {
        for shift in 0..4 {
            for l in 0..32 {
                let bit = high[l] >> (4 * half + shift) & 1;
                to.quants[128 * half + 32 * shift + l] = (low[32 * half + l] >> (2 * shift) & 3) | (bit << 2);
            }
        }
    }
}

fn unpack_q6k(raw: &[u8], to: &mut Unpacked) {
    let (low, high, scales, d) = (&raw[..128], &raw[128..192], &raw[192..208], half_at(raw, 208));
    for (j, &byte) in scales.iter().enumerate() {
        to.scales[j] = d * f32::from(i8::from_le_bytes([byte]));
        to.mins[j] = -32.0 * to.scales[j];
    }
    for half in 0..2 {
        for l in 0..32 {
            let (a, b, h) = (low[64 * half + l], low[64 * half + 32 + l], high[32 * half + l]);
            let at = 128 * half + l;
            to.quants[at] = (a & 15) | ((h & 3) << 4);
            to.quants[at + 32] = (b & 15) | ((h >> 2 & 3) << 4);
            to.quants[at + 64] = (a >> 4) | ((h >> 4 & 3) << 4);
            to.quants[at + 96] = (b >> 4) | ((h >> 6) << 4);
        }
    }
}

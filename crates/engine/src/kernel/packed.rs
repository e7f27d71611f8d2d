//! Weights of a linear layer in the order in which the kernels read them: strips of 16 output rows, and in a strip the
//! 16 weights of one input column after another.
//!
//! Quantized weights stay quantized: `weight = scale * q + min`, with the scales as they are stored. What belongs together
//! lies together, so that reading a strip is reading memory from one end to the other.

use half::f16;
use rayon::prelude::*;

use super::isa::Isa;
use crate::files::{Dtype, dequant};

/// Output rows in a strip, the lanes of a 512-bit register.
pub const LANES: usize = 16;

/// One number, or some columns of quants, of each of the 16 rows of a strip: a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u32; LANES]);

/// Weights of `rows` outputs and `cols` inputs in strips.
#[derive(Debug)]
pub struct Packed {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// How a weight is stored.
    pub form: Form,
    /// How products with many rows are computed.
    pub precision: Precision,
    /// One strip after another.
    pub lines: Vec<Line>,
}

/// How products of many rows are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In f32: exact weights.
    #[default]
    F32,
    /// Weights and rows rounded to bf16 and their products added up in f32, where the processor has instructions for it.
    Bf16,
}

impl Precision {
    /// True where this processor can compute so.
    #[must_use]
    pub fn is_available(self) -> bool {
        self == Self::F32 || Isa::get() == Isa::Avx512Bf16
    }
}

/// The forms of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// A line a column, f32.
    F32,
    /// A line for two columns, bf16, the lower column in the lower half; an odd last column is paired with 0.
    Bf16,
    /// Quants.
    Quant(Quant),
}

/// Quantized columns: records of a few lines of scales and then the quants, 32 columns in as many lines as a quant has
/// bits.
///
/// Of 32 columns, quants of up to 6 bits have four lines of their lowest 4 bits, 8 columns a word, the lowest column in
/// the lowest bits. The fifth bits have one more line; the fifth and sixth two more, 16 columns each. Quants of 8 bits
/// have eight lines of 4 columns a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// 4, 5, 6 or 8.
    pub bits: usize,
    /// The scales.
    pub scales: Scales,
    /// Where there is no minimum of its own: what is taken off a quant before it is scaled.
    pub offset: f32,
}

/// How scales and minima lie in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// 32 columns: a line with 16 scales and 16 minima, f16.
    Pair,
    /// 64 columns: a line with the scales of the first and of the second 32 columns, f16; no minima.
    Symmetric,
    /// 256 columns in `groups`: a line with 16 scales and 16 scales of minima, f16; lines with the multiples of the scale
    /// for each group, a signed byte a row; lines with those of the minima where there are any.
    Super {
        /// 8 or 16.
        groups: usize,
        /// Whether groups have minima.
        minima: bool,
    },
}

impl Quant {
    /// Columns in a record.
    pub const fn span(&self) -> usize {
        match self.scales {
            Scales::Pair => 32,
            Scales::Symmetric => 64,
            Scales::Super { .. } => 256,
        }
    }

    /// Lines before the quants of a record.
    pub const fn head(&self) -> usize {
        match self.scales {
            Scales::Pair | Scales::Symmetric => 1,
            Scales::Super { groups, minima } => 1 + groups / 4 * (if minima { 2 } else { 1 }),
        }
    }

    /// Lines of a record.
    pub const fn record(&self) -> usize {
        self.head() + self.span() / 32 * self.bits
    }

    /// The form of a type of GGUF for rows of `cols` numbers.
    fn of(dtype: &Dtype, cols: usize) -> Option<Self> {
        let symmetric = if cols.is_multiple_of(64) { Scales::Symmetric } else { Scales::Pair };
        let quant = |bits, scales, offset| Some(Self { bits, scales, offset });
        match dtype {
            Dtype::Q4_0 => quant(4, symmetric, 8.0),
            Dtype::Q4_1 => quant(4, Scales::Pair, 0.0),
            Dtype::Q5_0 => quant(5, symmetric, 16.0),
            Dtype::Q5_1 => quant(5, Scales::Pair, 0.0),
            Dtype::Q8_0 => quant(8, symmetric, 128.0),
            Dtype::Q2K => quant(4, Scales::Super { groups: 16, minima: true }, 0.0),
            Dtype::Q3K => quant(4, Scales::Super { groups: 16, minima: false }, 4.0),
            Dtype::Q4K => quant(4, Scales::Super { groups: 8, minima: true }, 0.0),
            Dtype::Q5K => quant(5, Scales::Super { groups: 8, minima: true }, 0.0),
            Dtype::Q6K => quant(6, Scales::Super { groups: 16, minima: false }, 32.0),
            _ => None,
        }
    }
}

impl Packed {
    /// Number of strips.
    #[must_use]
    pub fn strips(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Lines of a strip.
    #[must_use]
    pub fn lines_a_strip(&self) -> usize {
        match self.form {
            Form::F32 => self.cols,
            Form::Bf16 => self.cols.div_ceil(2),
            Form::Quant(quant) => self.cols / quant.span() * quant.record(),
        }
    }

    /// The lines of one strip.
    #[must_use]
    pub fn strip(&self, strip: usize) -> &[Line] {
        let lines = self.lines_a_strip();
        &self.lines[strip * lines..][..lines]
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }

    /// True where every weight is a finite number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let bf16_pair = |w: &u32| w & 0x7f80 != 0x7f80 && w & 0x7f80_0000 != 0x7f80_0000;
        let f16_pair = |w: &u32| w & 0x7c00 != 0x7c00 && w & 0x7c00_0000 != 0x7c00_0000;
        // The exponent of what is no finite number is all ones.
        match self.form {
            Form::F32 => self.lines.par_iter().all(|l| l.0.iter().all(|w| w & 0x7f80_0000 != 0x7f80_0000)),
            Form::Bf16 => self.lines.par_iter().all(|l| l.0.iter().all(bf16_pair)),
            Form::Quant(quant) => self.lines.par_chunks(quant.record()).all(|record| record[0].0.iter().all(f16_pair)),
        }
    }

    /// Packs `rows * cols` numbers, row after row.
    #[must_use]
    pub fn from_f32(rows: usize, cols: usize, weights: &[f32]) -> Self {
        let mut lines = vec![Line::default(); rows.div_ceil(LANES) * cols];
        lines.par_chunks_mut(cols.max(1)).enumerate().for_each(|(s, strip)| {
            for lane in 0..LANES.min(rows - s * LANES) {
                let row = &weights[(s * LANES + lane) * cols..][..cols];
                for (line, &w) in strip.iter_mut().zip(row) {
                    line.0[lane] = w.to_bits();
                }
            }
        });
        Self { rows, cols, form: Form::F32, precision: Precision::F32, lines }
    }

    /// Packs the rows `order` of a tensor as it lies in its file, `cols` numbers a row.
    ///
    /// # Errors
    /// The type cannot be read.
    pub fn from_raw(dtype: &Dtype, data: &[u8], cols: usize, order: &[usize]) -> Result<Self, String> {
        let (elements, bytes) = dtype.block();
        if elements == 0 || !cols.is_multiple_of(elements) {
            return Err(format!("rows of {cols} numbers are no whole blocks of {dtype}"));
        }
        let stride = cols / elements * bytes;
        if order.iter().any(|&row| (row + 1) * stride > data.len()) {
            return Err("a row lies past the end of the tensor".to_owned());
        }
        let row = |r: usize| &data[order[r] * stride..][..stride];
        let rows = order.len();
        if *dtype == Dtype::Bf16 {
            let lines = pack_bf16(rows, cols, &row);
            return Ok(Self { rows, cols, form: Form::Bf16, precision: Precision::F32, lines });
        }
        if let Some(quant) = Quant::of(dtype, cols) {
            let lines = pack_quants(dtype, quant, rows, cols, &row);
            return Ok(Self { rows, cols, form: Form::Quant(quant), precision: Precision::F32, lines });
        }
        let mut plain = vec![0.0; rows * cols];
        let filled: Result<Vec<()>, _> = plain
            .par_chunks_mut(cols.max(1))
            .enumerate()
            .map(|(r, out)| dequant::dequantise(dtype, row(r), out))
            .collect();
        filled.map_err(|error| error.to_string())?;
        Ok(Self::from_f32(rows, cols, &plain))
    }
}

fn pack_bf16<'a>(rows: usize, cols: usize, row: &(dyn Fn(usize) -> &'a [u8] + Sync)) -> Vec<Line> {
    let pairs = cols.div_ceil(2);
    let mut lines = vec![Line::default(); rows.div_ceil(LANES) * pairs];
    lines.par_chunks_mut(pairs.max(1)).enumerate().for_each(|(s, strip)| {
        for lane in 0..LANES.min(rows - s * LANES) {
            for (k, number) in row(s * LANES + lane).chunks_exact(2).enumerate() {
                let bits = u32::from(u16::from_le_bytes([number[0], number[1]]));
                strip[k / 2].0[lane] |= bits << (16 * (k % 2));
            }
        }
    });
    lines
}

fn pack_quants<'a>(
    dtype: &Dtype,
    quant: Quant,
    rows: usize,
    cols: usize,
    row: &(dyn Fn(usize) -> &'a [u8] + Sync),
) -> Vec<Line> {
    let (span, record) = (quant.span(), quant.record());
    let strip_lines = cols / span * record;
    let mut lines = vec![Line::default(); rows.div_ceil(LANES) * strip_lines];
    let (elements, bytes) = dtype.block();
    lines.par_chunks_mut(strip_lines.max(1)).enumerate().for_each(|(s, strip)| {
        let mut block = Unpacked::default();
        for lane in 0..LANES.min(rows - s * LANES) {
            for (b, raw) in row(s * LANES + lane).chunks_exact(bytes).enumerate() {
                unpack(dtype, raw, &mut block);
                let first = b * elements;
                let to = &mut strip[first / span * record..][..record];
                let (head, quants) = to.split_at_mut(quant.head());
                put_scales(quant, &block, first % span / 32, lane, head);
                for (g, group) in block.quants[..elements].chunks_exact(32).enumerate() {
                    let at = (first % span / 32 + g) * quant.bits;
                    put_quants(quant.bits, group, lane, &mut quants[at..at + quant.bits]);
                }
            }
        }
    });
    lines
}

/// Puts a half into lane `lane` of the first (`part` 0) or second 16 halves of a line.
fn put_half(line: &mut Line, part: usize, lane: usize, bits: u16) {
    let at = part * LANES + lane;
    line.0[at / 2] |= u32::from(bits) << (16 * (at % 2));
}

/// Puts a byte into lane `lane` of the `part`-th 16 bytes from the start of the lines.
fn put_byte(lines: &mut [Line], part: usize, lane: usize, byte: u8) {
    let at = part % 4 * LANES + lane;
    lines[part / 4].0[at / 4] |= u32::from(byte) << (8 * (at % 4));
}

/// Scales and minima of a block whose first column is in the `group`-th 32 columns of its record.
fn put_scales(quant: Quant, block: &Unpacked, group: usize, lane: usize, head: &mut [Line]) {
    match quant.scales {
        Scales::Pair => {
            let min = if quant.offset == 0.0 {
                block.min
            } else {
                // Exact: a power of two times a half that is far from the ends of its range, or else caught as not finite.
                f16::from_f32(-quant.offset * f16::from_bits(block.scale).to_f32()).to_bits()
            };
            put_half(&mut head[0], 0, lane, block.scale);
            put_half(&mut head[0], 1, lane, min);
        }
        Scales::Symmetric => put_half(&mut head[0], group % 2, lane, block.scale),
        Scales::Super { groups, minima } => {
            put_half(&mut head[0], 0, lane, block.scale);
            put_half(&mut head[0], 1, lane, block.min);
            for i in 0..groups {
                put_byte(&mut head[1..], i, lane, block.multiples[i].cast_unsigned());
                if minima {
                    put_byte(&mut head[1 + groups / 4..], i, lane, block.min_multiples[i]);
                }
            }
        }
    }
}

/// The quants of 32 columns of one row.
fn put_quants(bits: usize, quants: &[u8], lane: usize, lines: &mut [Line]) {
    if bits == 8 {
        for (line, four) in lines.iter_mut().zip(quants.chunks_exact(4)) {
            line.0[lane] = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
        }
        return;
    }
    for (line, eight) in lines.iter_mut().zip(quants.chunks_exact(8)) {
        line.0[lane] = eight.iter().rev().fold(0, |word, &q| (word << 4) | u32::from(q & 15));
    }
    if bits == 5 {
        lines[4].0[lane] = quants.iter().rev().fold(0, |word, &q| (word << 1) | u32::from(q >> 4));
    }
    if bits == 6 {
        for (line, sixteen) in lines[4..].iter_mut().zip(quants.chunks_exact(16)) {
            line.0[lane] = sixteen.iter().rev().fold(0, |word, &q| (word << 2) | u32::from(q >> 4));
        }
    }
}

/// One block of a file, spread out: at most 256 quants in at most 16 groups, with scales as they are stored.
struct Unpacked {
    quants: [u8; 256],
    /// Scale of the block, f16.
    scale: u16,
    /// Its minimum, or the scale of the minima of its groups, f16.
    min: u16,
    multiples: [i8; 16],
    min_multiples: [u8; 16],
}

impl Default for Unpacked {
    fn default() -> Self {
        Self { quants: [0; 256], scale: 0, min: 0, multiples: [0; 16], min_multiples: [0; 16] }
    }
}

fn half_at(raw: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([raw[at], raw[at + 1]])
}

/// Spreads one block out. The layouts are those of ggml's `ggml-common.h`; `dequant` computes the same numbers.
fn unpack(dtype: &Dtype, raw: &[u8], to: &mut Unpacked) {
    let (scale, min) = match dtype {
        Dtype::Q2K => (80, Some(82)),
        Dtype::Q3K => (108, None),
        Dtype::Q6K => (208, None),
        Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K => (0, Some(2)),
        _ => (0, None),
    };
    to.scale = half_at(raw, scale);
    to.min = min.map_or(0, |at| half_at(raw, at));
    match dtype {
        Dtype::Q4_0 => split_nibbles(&raw[2..18], &mut to.quants),
        Dtype::Q4_1 => split_nibbles(&raw[4..20], &mut to.quants),
        Dtype::Q5_0 => {
            split_nibbles(&raw[6..22], &mut to.quants);
            add_fifth_bits(&raw[2..6], &mut to.quants);
        }
        Dtype::Q5_1 => {
            split_nibbles(&raw[8..24], &mut to.quants);
            add_fifth_bits(&raw[4..8], &mut to.quants);
        }
        Dtype::Q8_0 => {
            for (q, &byte) in to.quants.iter_mut().zip(&raw[2..34]) {
                *q = byte ^ 0x80;
            }
        }
        Dtype::Q2K => unpack_q2k(raw, to),
        Dtype::Q3K => unpack_q3k(raw, to),
        Dtype::Q4K => {
            k_scales(&raw[4..16], to);
            for (i, bytes) in raw[16..144].chunks_exact(32).enumerate() {
                split_nibbles(bytes, &mut to.quants[64 * i..]);
            }
        }
        Dtype::Q5K => {
            k_scales(&raw[4..16], to);
            let high = &raw[16..48];
            for (i, bytes) in raw[48..176].chunks_exact(32).enumerate() {
                split_nibbles(bytes, &mut to.quants[64 * i..]);
                for (l, &bits) in high.iter().enumerate() {
                    to.quants[64 * i + l] |= (bits >> (2 * i) & 1) << 4;
                    to.quants[64 * i + 32 + l] |= (bits >> (2 * i + 1) & 1) << 4;
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
fn k_scales(packed: &[u8], to: &mut Unpacked) {
    for j in 0..8 {
        let (scale, min) = if j < 4 {
            (packed[j] & 63, packed[j + 4] & 63)
        } else {
            ((packed[j + 4] & 15) | (packed[j - 4] >> 6 << 4), (packed[j + 4] >> 4) | (packed[j] >> 6 << 4))
        };
        to.multiples[j] = scale.cast_signed();
        to.min_multiples[j] = min;
    }
}

fn unpack_q2k(raw: &[u8], to: &mut Unpacked) {
    for (j, &byte) in raw[..16].iter().enumerate() {
        to.multiples[j] = (byte & 15).cast_signed();
        to.min_multiples[j] = byte >> 4;
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
    let (high, low, packed) = (&raw[..32], &raw[32..96], &raw[96..108]);
    for j in 0..16 {
        let low_bits = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
        let scale = low_bits | ((packed[8 + j % 4] >> (2 * (j / 4)) & 3) << 4);
        to.multiples[j] = scale.cast_signed() - 32;
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
    let (low, high, scales) = (&raw[..128], &raw[128..192], &raw[192..208]);
    for (multiple, &byte) in to.multiples.iter_mut().zip(scales) {
        *multiple = byte.cast_signed();
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

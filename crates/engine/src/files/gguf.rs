//! GGUF, versions 2 and 3: the header with its metadata and tensors.
//!
//! The rules are those of ggml's own reader (gguf.cpp d99724f) and some of its open pull requests; what follows from them
//! but can be read all the same becomes a warning. Tensors keep the order of the file, which is the order of their data.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::cursor::Cursor;
use super::gguf_value::{self, Oddities};
use super::suspicion::{self, Warnings, shown};
use super::{Dtype, TensorInfo};

pub use super::gguf_value::{Array, Value};

/// The first bytes of every file.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// Alignment of the data where the metadata state none, in bytes.
const DEFAULT_ALIGNMENT: u32 = 32;
/// Largest alignment, in bytes: more would only hide bytes between tensors.
const MAX_ALIGNMENT: u32 = 1 << 20;
/// A tensor name is shorter than this, in bytes.
const MAX_NAME: usize = 64;
const MAX_DIMENSIONS: u32 = 4;
/// Most metadata keys, and most tensors: a hundred times what any model has.
const MAX_COUNT: u64 = 1 << 20;
/// Fewest bytes of a key with its value: length, one byte of key, type, one byte of value.
const SMALLEST_PAIR: u64 = 14;
/// Fewest bytes of a tensor's description: length, one byte of name, dimensions, type, offset.
const SMALLEST_TENSOR: u64 = 25;

/// Why a file is not read as GGUF.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum GgufError {
    #[error("it does not begin with 'GGUF' but with {found:02x?}; an old GGML or GGJT file must be converted again")]
    Magic { found: Vec<u8> },
    #[error("GGUF version {version} is not read, only 2 and 3; convert the model again")]
    Version { version: u32 },
    #[error("the file is big-endian; only little-endian GGUF is read, convert the model again")]
    BigEndian,
    #[error("the file ends inside {what}, which starts at byte {at}; fetch it again")]
    Truncated { what: String, at: usize },
    #[error("the header claims {count} {what}, and {left} bytes are left; the file is damaged or made to mislead")]
    Count { what: &'static str, count: u64, left: usize },
    #[error(
        "{what}: a string at byte {at} claims {length} bytes, and {left} are left; the file is damaged or made to mislead"
    )]
    LongString { what: String, at: usize, length: u64, left: usize },
    #[error(
        "array '{key}' claims {length} elements, and {left} bytes are left; the file is damaged or made to mislead"
    )]
    LongArray { key: String, length: u64, left: usize },
    #[error("array '{key}' is an array of arrays, which GGUF does not have")]
    NestedArray { key: String },
    #[error("key '{key}' has value type {number}, expected 0 to 12")]
    ValueType { key: String, number: u32 },
    #[error("metadata key number {number} is empty; every key has a name")]
    EmptyKey { number: u64 },
    #[error("metadata key '{key}' stands twice; the file says two things")]
    DuplicateKey { key: String },
    #[error("{what} is not UTF-8 text")]
    NotText { what: String },
    #[error("'general.alignment' is {found}, expected a UINT32 that is a power of two, at most {MAX_ALIGNMENT}")]
    Alignment { found: String },
    #[error("tensor number {number} has no name")]
    UnnamedTensor { number: u64 },
    #[error("tensor name '{name}' has {length} bytes, expected fewer than {MAX_NAME}")]
    LongName { name: String, length: usize },
    #[error("tensor '{name}' stands twice")]
    DuplicateTensor { name: String },
    #[error("tensor '{name}' has {count} dimensions, expected at most {MAX_DIMENSIONS}")]
    Dimensions { name: String, count: u32 },
    #[error("tensor '{name}' has a negative size {size}")]
    NegativeSize { name: String, size: i64 },
    #[error("tensor '{name}' with sizes {shape:?} is larger than any memory")]
    TooLarge { name: String, shape: Vec<usize> },
    #[error("tensor '{name}' has type {number}, which ggml does not have; a newer version may, or the file is damaged")]
    TensorType { name: String, number: u32 },
    #[error("tensor '{name}' has rows of {row} elements, expected a multiple of {block} for {dtype}")]
    Row { name: String, row: usize, block: usize, dtype: Dtype },
    #[error(
        "the data of tensor '{name}' start at offset {found}, expected {expected}: tensors follow one another without gap or overlap"
    )]
    Offset { name: String, found: u64, expected: usize },
    #[error("tensor '{name}' needs bytes {start} to {end}, and the file has {length}; fetch it again")]
    PastEnd { name: String, start: usize, end: usize, length: usize },
}

/// The header of a GGUF file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Version of the format, 2 or 3.
    pub version: u32,
    /// The metadata by key.
    pub metadata: BTreeMap<String, Value>,
    /// The tensors, in the order of their data.
    pub tensors: Vec<TensorInfo>,
    /// Tensor data start at multiples of this many bytes.
    pub alignment: u32,
    /// Bytes before the data of the first tensor.
    pub data_start: usize,
    /// What can be read but should not be there.
    pub warnings: Vec<String>,
}

impl Header {
    /// Reads the header of a file, of which all bytes are given (they are looked at only as far as the header goes).
    ///
    /// # Errors
    /// The first rule that the file breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(bytes);
        let truncated = |at| GgufError::Truncated { what: "the first 24 bytes".to_owned(), at };
        let magic: [u8; 4] = cursor.array().ok_or_else(|| GgufError::Magic { found: bytes.to_vec() })?;
        if magic != MAGIC {
            return Err(GgufError::Magic { found: magic.to_vec() });
        }
        let version = cursor.u32().ok_or_else(|| truncated(4))?;
        match version {
            2 | 3 => {}
            swapped if swapped.trailing_zeros() >= 16 && swapped != 0 => return Err(GgufError::BigEndian),
            version => return Err(GgufError::Version { version }),
        }
        let tensor_count = cursor.u64().ok_or_else(|| truncated(8))?;
        let key_count = cursor.u64().ok_or_else(|| truncated(16))?;
        bounded("metadata keys", key_count, SMALLEST_PAIR, cursor.left())?;
        bounded("tensors", tensor_count, SMALLEST_TENSOR, cursor.left())?;

        let mut warnings = Warnings::default();
        let metadata = read_metadata(&mut cursor, key_count, &mut warnings)?;
        let alignment = alignment(&metadata)?;
        let (tensors, offsets) = read_tensors(&mut cursor, tensor_count)?;
        let header_end = cursor.position();
        let data_start = header_end.next_multiple_of(alignment as usize);
        let mut header = Self { version, metadata, tensors, alignment, data_start, warnings: Vec::new() };
        let end = header.place(&offsets, bytes.len())?;
        // A file without tensors may leave the padding after its header out.
        let end = if header.tensors.is_empty() { header_end } else { end };
        suspicion::trailing(bytes, end, alignment as usize, &mut warnings);
        suspicion::of_gguf(&header.metadata, &mut warnings);
        header.warnings = warnings.into_list();
        Ok(header)
    }

    /// Checks that the data follow one another within the file, sets where each tensor starts, and returns the end.
    fn place(&mut self, offsets: &[u64], length: usize) -> Result<usize, GgufError> {
        let mut expected = 0_usize;
        let mut last = self.data_start;
        for (tensor, offset) in self.tensors.iter_mut().zip(offsets) {
            if *offset != expected as u64 {
                return Err(GgufError::Offset { name: shown(&tensor.name), found: *offset, expected });
            }
            let too_large = || GgufError::TooLarge { name: shown(&tensor.name), shape: tensor.shape.clone() };
            let start = self.data_start.checked_add(expected).ok_or_else(too_large)?;
            let end = start.checked_add(tensor.bytes).ok_or_else(too_large)?;
            if end > length {
                return Err(GgufError::PastEnd { name: shown(&tensor.name), start, end, length });
            }
            expected = (expected + tensor.bytes).next_multiple_of(self.alignment as usize);
            tensor.start = start;
            last = end;
        }
        Ok(last)
    }

    /// The text under a key; `None` where the key is absent or has another type.
    pub fn string(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number under a key, of any integer type and not negative.
    pub fn u64(&self, key: &str) -> Option<u64> {
        match *self.metadata.get(key)? {
            Value::U8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::U64(n) => Some(n),
            Value::I8(n) => n.try_into().ok(),
            Value::I16(n) => n.try_into().ok(),
            Value::I32(n) => n.try_into().ok(),
            Value::I64(n) => n.try_into().ok(),
            _ => None,
        }
    }

    /// The floating-point number under a key.
    pub fn f64(&self, key: &str) -> Option<f64> {
        match *self.metadata.get(key)? {
            Value::F32(x) => Some(x.into()),
            Value::F64(x) => Some(x),
            _ => None,
        }
    }

    /// The truth value under a key.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match *self.metadata.get(key)? {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// The array under a key.
    pub fn array(&self, key: &str) -> Option<&Array> {
        match self.metadata.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The array of texts under a key.
    pub fn strings(&self, key: &str) -> Option<&[String]> {
        match self.array(key)? {
            Array::Strings(texts) => Some(texts),
            _ => None,
        }
    }

    /// The array of FLOAT32 under a key.
    pub fn f32s(&self, key: &str) -> Option<&[f32]> {
        match self.array(key)? {
            Array::F32(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// The array of INT32 under a key.
    pub fn i32s(&self, key: &str) -> Option<&[i32]> {
        match self.array(key)? {
            Array::I32(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// The array of UINT32 under a key.
    pub fn u32s(&self, key: &str) -> Option<&[u32]> {
        match self.array(key)? {
            Array::U32(numbers) => Some(numbers),
            _ => None,
        }
    }
}

/// Refuses a count of things that cannot fit into the bytes that are left, or that no model has.
fn bounded(what: &'static str, count: u64, smallest: u64, left: usize) -> Result<(), GgufError> {
    if count > MAX_COUNT || count > left as u64 / smallest {
        Err(GgufError::Count { what, count, left })
    } else {
        Ok(())
    }
}

fn read_metadata(
    cursor: &mut Cursor<'_>,
    count: u64,
    warnings: &mut Warnings,
) -> Result<BTreeMap<String, Value>, GgufError> {
    let mut metadata = BTreeMap::new();
    for number in 1..=count {
        let bytes = gguf_value::string_bytes(cursor, "a metadata key")?;
        if bytes.is_empty() {
            return Err(GgufError::EmptyKey { number });
        }
        let key = std::str::from_utf8(bytes)
            .map_err(|_| GgufError::NotText { what: format!("the name of metadata key number {number}") })?;
        let at = cursor.position();
        let value_type =
            cursor.u32().ok_or_else(|| GgufError::Truncated { what: format!("the type of '{}'", shown(key)), at })?;
        let mut odd = Oddities::default();
        let value = gguf_value::read(cursor, key, value_type, &mut odd)?;
        if let Some(byte) = odd.bool_byte {
            warnings.push(format_args!("'{key}' holds the truth value {byte}; 0 and 1 are the only two"));
        }
        if odd.not_utf8 {
            warnings.push(format_args!("'{key}' holds bytes that are not UTF-8 text; they were replaced"));
        }
        if metadata.insert(key.to_owned(), value).is_some() {
            return Err(GgufError::DuplicateKey { key: shown(key) });
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u32, GgufError> {
    match metadata.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(bytes)) if bytes.is_power_of_two() && *bytes <= MAX_ALIGNMENT => Ok(*bytes),
        Some(Value::U32(bytes)) => Err(GgufError::Alignment { found: bytes.to_string() }),
        Some(_) => Err(GgufError::Alignment { found: "of another type".to_owned() }),
    }
}

/// The tensors, whose `start` is set later, and the offsets that the file gives them.
fn read_tensors(cursor: &mut Cursor<'_>, count: u64) -> Result<(Vec<TensorInfo>, Vec<u64>), GgufError> {
    let mut tensors = Vec::new();
    let mut offsets = Vec::new();
    let mut names = BTreeSet::new();
    for number in 1..=count {
        let bytes = gguf_value::string_bytes(cursor, "a tensor name")?;
        let name = std::str::from_utf8(bytes)
            .map_err(|_| GgufError::NotText { what: format!("the name of tensor number {number}") })?;
        if name.is_empty() {
            return Err(GgufError::UnnamedTensor { number });
        }
        if name.len() >= MAX_NAME {
            return Err(GgufError::LongName { name: shown(name), length: name.len() });
        }
        if !names.insert(name) {
            return Err(GgufError::DuplicateTensor { name: shown(name) });
        }
        let (info, offset) = read_tensor(cursor, name)?;
        tensors.push(info);
        offsets.push(offset);
    }
    Ok((tensors, offsets))
}

fn read_tensor(cursor: &mut Cursor<'_>, name: &str) -> Result<(TensorInfo, u64), GgufError> {
    let at = cursor.position();
    let truncated = || GgufError::Truncated { what: format!("the description of tensor '{}'", shown(name)), at };
    let dimensions = cursor.u32().ok_or_else(truncated)?;
    if dimensions > MAX_DIMENSIONS {
        return Err(GgufError::Dimensions { name: shown(name), count: dimensions });
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = cursor.u64().ok_or_else(truncated)?.cast_signed();
        let negative = |_| GgufError::NegativeSize { name: shown(name), size };
        shape.push(usize::try_from(size).map_err(negative)?);
    }
    // The file has the innermost size first.
    shape.reverse();
    let number = cursor.u32().ok_or_else(truncated)?;
    let offset = cursor.u64().ok_or_else(truncated)?;
    let dtype = Dtype::from_ggml(number).ok_or_else(|| GgufError::TensorType { name: shown(name), number })?;
    let (block, _) = dtype.block();
    let row = shape.last().copied().unwrap_or(1);
    if !row.is_multiple_of(block) {
        return Err(GgufError::Row { name: shown(name), row, block, dtype });
    }
    let too_large = || GgufError::TooLarge { name: shown(name), shape: shape.clone() };
    let elements = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let elements = elements.filter(|n| i64::try_from(*n).is_ok()).ok_or_else(too_large)?;
    let bytes = dtype.bytes_of(elements).filter(|n| i64::try_from(*n).is_ok()).ok_or_else(too_large)?;
    Ok((TensorInfo { name: name.to_owned(), shape, dtype, start: 0, bytes }, offset))
}

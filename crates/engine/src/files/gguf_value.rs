//! Values of GGUF metadata: single ones and typed arrays, which hold no more than the file does.

use super::cursor::Cursor;
use super::gguf::GgufError;
use super::suspicion::shown;

/// Longest string and longest array, as ggml bounds them.
const MAX_LENGTH: u64 = 1 << 30;
/// Longest array of strings: no vocabulary comes near it, and each string costs three times its bytes here.
const MAX_STRINGS: u64 = 1 << 24;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is named after its type")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of the metadata; GGUF has no arrays of arrays here.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is named after the type of its elements")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    Strings(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl Array {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Strings(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the elements, as GGUF calls it.
    pub fn element_type(&self) -> &'static str {
        match self {
            Self::U8(_) => "UINT8",
            Self::I8(_) => "INT8",
            Self::U16(_) => "UINT16",
            Self::I16(_) => "INT16",
            Self::U32(_) => "UINT32",
            Self::I32(_) => "INT32",
            Self::F32(_) => "FLOAT32",
            Self::Bool(_) => "BOOL",
            Self::Strings(_) => "STRING",
            Self::U64(_) => "UINT64",
            Self::I64(_) => "INT64",
            Self::F64(_) => "FLOAT64",
        }
    }
}

/// What is odd about a value that is still readable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Oddities {
    /// A truth value that is neither 0 nor 1.
    pub bool_byte: Option<u8>,
    /// Text that is not UTF-8; each bad sequence was replaced.
    pub not_utf8: bool,
}

/// The bytes of a string that is announced by its length.
pub(super) fn string_bytes<'a>(cursor: &mut Cursor<'a>, what: &str) -> Result<&'a [u8], GgufError> {
    let start = cursor.position();
    let truncated = || GgufError::Truncated { what: shown(what), at: start };
    let length = cursor.u64().ok_or_else(truncated)?;
    if length > MAX_LENGTH || length > cursor.left() as u64 {
        return Err(GgufError::LongString { what: shown(what), at: start, length, left: cursor.left() });
    }
    cursor.take(length as usize).ok_or_else(truncated)
}

fn text(cursor: &mut Cursor<'_>, key: &str, odd: &mut Oddities) -> Result<String, GgufError> {
    let bytes = string_bytes(cursor, key)?;
    Ok(std::str::from_utf8(bytes).map_or_else(
        |_| {
            odd.not_utf8 = true;
            String::from_utf8_lossy(bytes).into_owned()
        },
        str::to_owned,
    ))
}

fn truth(byte: u8, odd: &mut Oddities) -> bool {
    if byte > 1 {
        odd.bool_byte.get_or_insert(byte);
    }
    byte != 0
}

/// Reads a value of the type with this number.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    key: &str,
    value_type: u32,
    odd: &mut Oddities,
) -> Result<Value, GgufError> {
    let at = cursor.position();
    let truncated = || GgufError::Truncated { what: format!("the value of '{}'", shown(key)), at };
    macro_rules! number {
        ($variant:ident, $type:ty) => {
            Value::$variant(cursor.array().map(<$type>::from_le_bytes).ok_or_else(truncated)?)
        };
    }
    Ok(match value_type {
        0 => number!(U8, u8),
        1 => number!(I8, i8),
        2 => number!(U16, u16),
        3 => number!(I16, i16),
        4 => number!(U32, u32),
        5 => number!(I32, i32),
        6 => number!(F32, f32),
        7 => Value::Bool(truth(cursor.array::<1>().ok_or_else(truncated)?[0], odd)),
        8 => Value::String(text(cursor, key, odd)?),
        9 => Value::Array(array(cursor, key, odd)?),
        10 => number!(U64, u64),
        11 => number!(I64, i64),
        12 => number!(F64, f64),
        number => return Err(GgufError::ValueType { key: shown(key), number }),
    })
}

fn array(cursor: &mut Cursor<'_>, key: &str, odd: &mut Oddities) -> Result<Array, GgufError> {
    let at = cursor.position();
    let truncated = || GgufError::Truncated { what: format!("the array '{}'", shown(key)), at };
    let element = cursor.u32().ok_or_else(truncated)?;
    let length = cursor.u64().ok_or_else(truncated)?;
    let smallest: u64 = match element {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        // A string has at least its length.
        8 | 10..=12 => 8,
        9 => return Err(GgufError::NestedArray { key: shown(key) }),
        number => return Err(GgufError::ValueType { key: shown(key), number }),
    };
    let longest = if element == 8 { MAX_STRINGS } else { MAX_LENGTH };
    if length > longest || length > cursor.left() as u64 / smallest {
        return Err(GgufError::LongArray { key: shown(key), length, left: cursor.left() });
    }
    let count = length as usize;
    macro_rules! numbers {
        ($variant:ident, $type:ty) => {{
            let bytes = cursor.take(count * size_of::<$type>()).ok_or_else(truncated)?;
            Array::$variant(bytes.as_chunks().0.iter().map(|chunk| <$type>::from_le_bytes(*chunk)).collect())
        }};
    }
    Ok(match element {
        0 => numbers!(U8, u8),
        1 => numbers!(I8, i8),
        2 => numbers!(U16, u16),
        3 => numbers!(I16, i16),
        4 => numbers!(U32, u32),
        5 => numbers!(I32, i32),
        6 => numbers!(F32, f32),
        7 => Array::Bool(cursor.take(count).ok_or_else(truncated)?.iter().map(|byte| truth(*byte, odd)).collect()),
        10 => numbers!(U64, u64),
        11 => numbers!(I64, i64),
        12 => numbers!(F64, f64),
        _ => {
            // At most three times the bytes that are there, since every string has at least eight.
            let mut strings = Vec::with_capacity(count);
            for _ in 0..count {
                strings.push(text(cursor, key, odd)?);
            }
            Array::Strings(strings)
        }
    })
}

//! safetensors: the JSON header with its tensors, read more strictly than the reference library does.
//!
//! The rules are those of huggingface/safetensors 24b0b28 and of its specification: the header begins with `{`, no key
//! stands twice, metadata are text, and the data are covered from the first byte to the last without gap or overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use super::suspicion::{self, Warnings, shown};
use super::{Dtype, TensorInfo};

/// Longest header, in bytes.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes of the length in front of the header.
const PREFIX: usize = 8;
const METADATA: &str = "__metadata__";

/// Why a file is not read as safetensors.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum SafetensorsError {
    #[error("it has {length} bytes, and the length of the header alone takes {PREFIX}; fetch it again")]
    Short { length: usize },
    #[error(
        "the header claims {header} bytes, more than the {MAX_HEADER} that safetensors permit; it is no safetensors file"
    )]
    HeaderTooLarge { header: u64 },
    #[error("the header claims {header} bytes, and {left} are left; fetch the file again")]
    HeaderPastEnd { header: u64, left: usize },
    #[error("the header does not begin with '{{'; it is no safetensors file")]
    NotAnObject,
    #[error("the header is not UTF-8 text")]
    NotText,
    #[error("the header is not what safetensors describes: {0}")]
    Json(#[source] serde_json::Error),
    #[error("tensor '{name}' has dtype '{dtype}', which safetensors does not have")]
    Dtype { name: String, dtype: String },
    #[error("tensor '{name}' with sizes {shape:?} is larger than any memory")]
    TooLarge { name: String, shape: Vec<usize> },
    #[error("tensor '{name}' of {elements} {dtype} ends inside a byte; its elements must fill whole bytes")]
    Misaligned { name: String, elements: usize, dtype: Dtype },
    #[error("tensor '{name}' of {dtype} {shape:?} has data from {begin} to {end}, expected {expected} bytes")]
    Size { name: String, dtype: Dtype, shape: Vec<usize>, begin: usize, end: usize, expected: usize },
    #[error("the data of tensor '{name}' begin at {found}, expected {expected}: gaps and overlaps are refused")]
    Offset { name: String, found: usize, expected: usize },
    #[error(
        "the tensors cover {covered} bytes and the file has {data} bytes of data; it is cut short, or something follows"
    )]
    Coverage { covered: usize, data: usize },
}

/// The header of a safetensors file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The free texts under `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in the order of their data.
    pub tensors: Vec<TensorInfo>,
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
    pub fn parse(bytes: &[u8]) -> Result<Self, SafetensorsError> {
        let (text, data_start) = header_text(bytes)?;
        let mut json = serde_json::Deserializer::from_str(text);
        let raw = json.deserialize_map(HeaderVisitor).map_err(SafetensorsError::Json)?;
        json.end().map_err(SafetensorsError::Json)?;

        let mut tensors = Vec::with_capacity(raw.tensors.len());
        for (name, entry) in raw.tensors {
            tensors.push(entry.checked(name)?);
        }
        // Empty tensors share their offset with the next one, hence both ends.
        tensors.sort_by(|a, b| (a.start, a.bytes, &a.name).cmp(&(b.start, b.bytes, &b.name)));
        let data = bytes.len() - data_start;
        let mut covered = 0;
        for tensor in &mut tensors {
            if tensor.start != covered {
                let name = shown(&tensor.name);
                return Err(SafetensorsError::Offset { name, found: tensor.start, expected: covered });
            }
            // No overflow: it is the end that the header gives.
            covered += tensor.bytes;
            if covered > data {
                break;
            }
            tensor.start += data_start;
        }
        if covered != data {
            return Err(SafetensorsError::Coverage { covered, data });
        }
        let mut warnings = Warnings::default();
        suspicion::of_safetensors(&raw.metadata, &mut warnings);
        Ok(Self { metadata: raw.metadata, tensors, data_start, warnings: warnings.into_list() })
    }
}

/// The text of the header, and where the data begin.
fn header_text(bytes: &[u8]) -> Result<(&str, usize), SafetensorsError> {
    let short = || SafetensorsError::Short { length: bytes.len() };
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>().ok_or_else(short)?;
    let header = u64::from_le_bytes(*prefix);
    if header > MAX_HEADER {
        return Err(SafetensorsError::HeaderTooLarge { header });
    }
    let past_end = || SafetensorsError::HeaderPastEnd { header, left: rest.len() };
    let text = rest.get(..header as usize).ok_or_else(past_end)?;
    if text.first() != Some(&b'{') {
        return Err(SafetensorsError::NotAnObject);
    }
    let text = std::str::from_utf8(text).map_err(|_| SafetensorsError::NotText)?;
    Ok((text, PREFIX + header as usize))
}

struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut names = BTreeSet::new();
        let mut raw = RawHeader { metadata: BTreeMap::new(), tensors: Vec::new() };
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(twice(&name));
            }
            if name == METADATA {
                raw.metadata = map.next_value::<Texts>()?.0;
            } else {
                let entry = map.next_value()?;
                raw.tensors.push((name, entry));
            }
        }
        Ok(raw)
    }
}

fn twice<E: de::Error>(key: &str) -> E {
    E::custom(format_args!("key '{}' stands twice", shown(key)))
}

/// An object of texts in which no key stands twice.
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((key, text)) = map.next_entry::<String, String>()? {
                    if texts.contains_key(&key) {
                        return Err(twice(&key));
                    }
                    texts.insert(key, text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(TextsVisitor)
    }
}

/// A tensor as the header states it.
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

impl Entry {
    /// The tensor, with its offset within the data as `start`.
    fn checked(self, name: String) -> Result<TensorInfo, SafetensorsError> {
        let Self { dtype, shape, begin, end } = self;
        let Some(dtype) = Dtype::from_safetensors(&dtype) else {
            return Err(SafetensorsError::Dtype { name: shown(&name), dtype: shown(&dtype) });
        };
        let Some(elements) = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)) else {
            return Err(SafetensorsError::TooLarge { name: shown(&name), shape });
        };
        if !elements.is_multiple_of(dtype.block().0) {
            return Err(SafetensorsError::Misaligned { name: shown(&name), elements, dtype });
        }
        let Some(bytes) = dtype.bytes_of(elements) else {
            return Err(SafetensorsError::TooLarge { name: shown(&name), shape });
        };
        if end.checked_sub(begin) != Some(bytes) {
            return Err(SafetensorsError::Size { name: shown(&name), dtype, shape, begin, end, expected: bytes });
        }
        Ok(TensorInfo { name, shape, dtype, start: begin, bytes })
    }
}

// Not derived: a derived reader would also take an array in place of the object.
impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with dtype, shape and data_offsets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
                let (mut dtype, mut shape, mut offsets) = (None, None, None);
                while let Some(key) = map.next_key::<String>()? {
                    let again = match key.as_str() {
                        "dtype" => dtype.replace(map.next_value::<String>()?).is_some(),
                        "shape" => shape.replace(map.next_value::<Vec<usize>>()?).is_some(),
                        "data_offsets" => offsets.replace(map.next_value::<(usize, usize)>()?).is_some(),
                        _ => {
                            let expected = "expected dtype, shape and data_offsets";
                            return Err(de::Error::custom(format_args!("key '{}', {expected}", shown(&key))));
                        }
                    };
                    if again {
                        return Err(twice(&key));
                    }
                }
                let (begin, end) = offsets.ok_or_else(|| de::Error::missing_field("data_offsets"))?;
                Ok(Entry {
                    dtype: dtype.ok_or_else(|| de::Error::missing_field("dtype"))?,
                    shape: shape.ok_or_else(|| de::Error::missing_field("shape"))?,
                    begin,
                    end,
                })
            }
        }
        deserializer.deserialize_map(EntryVisitor)
    }
}

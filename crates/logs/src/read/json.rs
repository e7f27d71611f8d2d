//! JSON as other programs write it: bare `NaN` and `Infinity`, unknown members, one huge array in a small memory.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes of JSON that one sample, or one member of a header, may keep in memory.
pub(super) const KEEP_LIMIT: u64 = 128 << 20;

/// Unknown fields by path, with how often each occurred.
pub(super) type Unknown = BTreeMap<String, u64>;

/// What a reader has let through since [`Meter::start`], and how much that may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    keeping: Cell<bool>,
    kept: Cell<u64>,
    not_numbers: Cell<u64>,
}

impl Meter {
    /// A new value begins: nothing is kept of it yet.
    pub(super) fn start(&self) {
        self.0.kept.set(0);
    }

    /// Whether what comes now is kept in memory.
    pub(super) fn keep(&self, keeping: bool) {
        self.0.keeping.set(keeping);
    }

    /// Bare `NaN` and infinities that were read as null.
    pub(super) fn not_numbers(&self) -> u64 {
        self.0.not_numbers.get()
    }
}

/// Lets JSON through with bare `NaN`, `Infinity` and `-Infinity` outside strings as `null`.
pub(super) struct Tolerant<R> {
    inner: R,
    meter: Meter,
    raw: Vec<u8>,
    out: Vec<u8>,
    at: usize,
    pending: Vec<u8>,
    in_string: bool,
    escaped: bool,
}

const CONSTANTS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

impl<R: Read> Tolerant<R> {
    pub(super) fn new(inner: R, meter: &Meter) -> Self {
        Self {
            inner,
            meter: meter.clone(),
            raw: vec![0; 1 << 16],
            out: Vec::new(),
            at: 0,
            pending: Vec::new(),
            in_string: false,
            escaped: false,
        }
    }

    fn push(&mut self, byte: u8) {
        if self.in_string {
            self.out.push(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            return;
        }
        if !self.pending.is_empty() {
            self.pending.push(byte);
            if CONSTANTS.contains(&self.pending.as_slice()) {
                self.out.extend_from_slice(b"null");
                self.pending.clear();
                self.meter.0.not_numbers.set(self.meter.0.not_numbers.get() + 1);
                return;
            }
            if CONSTANTS.iter().any(|constant| constant.starts_with(&self.pending)) {
                return;
            }
            self.pending.pop();
            self.out.append(&mut self.pending);
        }
        match byte {
            b'N' | b'I' | b'-' => self.pending.push(byte),
            _ => {
                self.in_string = byte == b'"';
                self.out.push(byte);
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.at = 0;
        let mut raw = std::mem::take(&mut self.raw);
        while self.out.is_empty() {
            let count = self.inner.read(&mut raw)?;
            for &byte in &raw[..count] {
                self.push(byte);
            }
            if count == 0 {
                self.out.append(&mut self.pending);
                break;
            }
        }
        self.raw = raw;
        Ok(())
    }
}

impl<R: Read> Read for Tolerant<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.out.len() {
            self.fill()?;
        }
        let count = buffer.len().min(self.out.len() - self.at);
        buffer[..count].copy_from_slice(&self.out[self.at..self.at + count]);
        self.at += count;
        if self.meter.0.keeping.get() {
            let kept = self.meter.0.kept.get() + count as u64;
            self.meter.0.kept.set(kept);
            if kept > KEEP_LIMIT {
                let mib = KEEP_LIMIT >> 20;
                return Err(io::Error::other(format!("one value takes more than {mib} MiB; it is not read")));
            }
        }
        Ok(count)
    }
}

/// Reads the members of an object that are wanted and counts the others, without keeping them.
pub(super) struct Pick<'a> {
    /// Members to keep.
    pub(super) wanted: &'a [&'a str],
    /// Where the object lies, for the paths of unknown fields.
    pub(super) path: &'a str,
    /// Members that are not kept.
    pub(super) unknown: &'a mut Unknown,
    /// Of the reader.
    pub(super) meter: &'a Meter,
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.meter.start();
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if self.wanted.contains(&name.as_str()) {
                self.meter.keep(true);
                let value = members.next_value::<Value>();
                self.meter.keep(false);
                kept.insert(name, value?);
            } else if members.next_value_seed(IsFilled)? {
                count(self.unknown, &join(self.path, &name), 1);
            }
        }
        Ok(kept)
    }
}

/// Passes over a value; true where it says something: not null and not empty.
pub(super) struct IsFilled;

impl<'de> DeserializeSeed<'de> for IsFilled {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IsFilled {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut filled = false;
        while items.next_element::<IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(filled)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut filled = false;
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(filled)
    }
}

/// The members of an object, taken one by one; those that nobody took are counted at the end.
pub(super) struct Fields {
    map: Map<String, Value>,
    path: String,
}

impl Fields {
    pub(super) fn new(map: Map<String, Value>, path: impl Into<String>) -> Self {
        Self { map, path: path.into() }
    }

    /// Of an object; any other value is counted as unknown.
    pub(super) fn of(value: Option<Value>, path: impl Into<String>, unknown: &mut Unknown) -> Self {
        let path = path.into();
        let map = match value {
            Some(Value::Object(map)) => map,
            Some(other) => {
                if is_filled(&other) {
                    count(unknown, &path, 1);
                }
                Map::new()
            }
            None => Map::new(),
        };
        Self { map, path }
    }

    /// The member, where it is there and says something.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.swap_remove(name).filter(is_filled)
    }

    /// The member, null and empty values too.
    pub(super) fn take_any(&mut self, name: &str) -> Option<Value> {
        self.map.swap_remove(name)
    }

    /// A text, or a number or truth value as text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take_if(name, |value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        })
    }

    pub(super) fn f64(&mut self, name: &str) -> Option<f64> {
        self.take_if(name, Value::as_f64)
    }

    pub(super) fn u64(&mut self, name: &str) -> Option<u64> {
        self.take_if(name, whole)
    }

    pub(super) fn bool(&mut self, name: &str) -> Option<bool> {
        self.take_if(name, Value::as_bool)
    }

    /// Seconds since 1970 of a time in ISO 8601.
    pub(super) fn time(&mut self, name: &str) -> Option<f64> {
        self.take_if(name, |value| seconds(value.as_str()?))
    }

    /// Puts a member back.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }

    /// The object within, with its path.
    pub(super) fn object(&mut self, name: &str, unknown: &mut Unknown) -> Self {
        let path = join(&self.path, name);
        Self::of(self.take(name), path, unknown)
    }

    /// The member where `read` understands it; another kind of value stays and counts as unknown.
    fn take_if<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let found = read(self.map.get(name)?)?;
        self.map.swap_remove(name);
        Some(found)
    }

    /// What is left, to be kept as it is.
    pub(super) fn into_rest(self) -> Map<String, Value> {
        self.map
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Counts what nobody took.
    pub(super) fn finish(self, unknown: &mut Unknown) {
        for (name, value) in &self.map {
            if is_filled(value) {
                count(unknown, &join(&self.path, name), 1);
            }
        }
    }
}

/// True for a value that says something: not null and not empty.
pub(super) fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A whole number, written as such or as `3.0`.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x)).map(|x| x as u64))
}

pub(super) fn count(unknown: &mut Unknown, path: &str, n: u64) {
    if let Some(found) = unknown.get_mut(path) {
        *found += n;
    } else {
        unknown.insert(path.to_owned(), n);
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Text of a value: strings as they are, the rest as JSON.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Texts of a string or of an array.
pub(super) fn texts(value: Option<Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().map(as_text).collect(),
        Some(other) => vec![other.to_string()],
    }
}

/// Seconds since 1970 UTC of a time in ISO 8601; without a zone it is taken as UTC.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim().replacen(' ', "T", 1);
    let time = OffsetDateTime::parse(&text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .ok()?;
    Some(time.unix_timestamp_nanos() as f64 / 1e9)
}

/// Names of the members of the object that begins the text, as far as the text goes.
pub(super) fn top_keys(head: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    let (mut depth, mut in_string, mut escaped, mut want_key) = (0_u32, false, false, false);
    let mut text = Vec::new();
    for &byte in head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head) {
        if in_string {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                in_string = false;
                if depth == 1 && want_key {
                    keys.push(String::from_utf8_lossy(&text).into_owned());
                    want_key = false;
                }
                continue;
            }
            if depth == 1 && want_key {
                text.push(byte);
            }
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                text.clear();
            }
            b'{' | b'[' => {
                if depth == 0 && byte == b'[' {
                    return keys;
                }
                depth += 1;
                want_key = depth == 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return keys;
                }
            }
            b',' => want_key = depth == 1,
            _ if depth == 0 && !byte.is_ascii_whitespace() => return keys,
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct OneByOne<'a>(&'a [u8]);
    impl Read for OneByOne<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn constants_that_json_does_not_know_become_null() {
        let text = r#"{"a":NaN,"b":[Infinity,-Infinity,-1,1e-3],"NaN":"NaN -Infinity \" NaN","c":-0.5}"#;
        let want = r#"{"a":null,"b":[null,null,-1,1e-3],"NaN":"NaN -Infinity \" NaN","c":-0.5}"#;
        let meter = Meter::default();
        let mut whole = String::new();
        Tolerant::new(text.as_bytes(), &meter).read_to_string(&mut whole).unwrap();
        assert_eq!(whole, want);
        assert_eq!(meter.not_numbers(), 3);
        // However the input is cut.
        let mut cut = String::new();
        Tolerant::new(OneByOne(text.as_bytes()), &Meter::default()).read_to_string(&mut cut).unwrap();
        assert_eq!(cut, want);
        let mut end = String::new();
        Tolerant::new(&b"[1,Na"[..], &Meter::default()).read_to_string(&mut end).unwrap();
        assert_eq!(end, "[1,Na");
    }

    #[test]
    fn keys_of_a_cut_text() {
        assert_eq!(top_keys(br#" {"a": {"b": "}\""}, "c": ["x", {"d": 1}], "e": "f", "g": {"#), ["a", "c", "e", "g"]);
        assert!(top_keys(b"[{\"a\": 1}]").is_empty());
        assert!(top_keys(b"PK\x03\x04{\"a\": 1}").is_empty());
    }

    #[test]
    fn times_with_and_without_a_zone() {
        assert_eq!(seconds("2024-05-05T07:59:35"), Some(1_714_895_975.0));
        assert_eq!(seconds("2024-05-05T07:59:35+00:00"), Some(1_714_895_975.0));
        assert_eq!(seconds("2024-05-05T03:59:35.5-04:00"), Some(1_714_895_975.5));
        assert_eq!(seconds("yesterday"), None);
    }
}

//! What readers of other programs' JSON share: fields taken by name with the rest counted, long arrays read item by
//! item, and a look at the keys of a file that has only begun.
//!
//! Python writes `NaN` and `Infinity`, which JSON does not have; [`PythonJson`] turns them into `null`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use weighbridge_core::{Finish, Message, Prompt};

use crate::LogError;

/// Fields without a place in our lines, by path.
pub(super) type Unknown = BTreeMap<String, u64>;

/// Most paths that are taken from the beginning of a file.
const HEAD_PATHS: usize = 4096;

/// The fields of an object; those that are not taken are counted at the end.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of an object; none of anything else.
    pub fn of(value: Option<Value>) -> Self {
        match value {
            Some(Value::Object(map)) => Self(map),
            _ => Self::default(),
        }
    }

    /// The fields of an object, or what was found instead.
    pub fn object(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(kind(&other)),
        }
    }

    /// A field that is not null.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.0.shift_remove(key).filter(|value| !value.is_null())
    }

    /// A text that is not empty. Anything else stays and is counted.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.0.get(key) {
            Some(Value::String(_)) => match self.0.shift_remove(key) {
                Some(Value::String(text)) if !text.is_empty() => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// A number. Anything else stays and is counted.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        let number = self.0.get(key)?.as_f64()?;
        self.0.shift_remove(key);
        Some(number)
    }

    /// A number from 0 without a fraction, also where it is written as `3.0`.
    pub fn count(&mut self, key: &str) -> Option<u64> {
        let number = count(self.0.get(key)?)?;
        self.0.shift_remove(key);
        Some(number)
    }

    /// True or false.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let flag = self.0.get(key)?.as_bool()?;
        self.0.shift_remove(key);
        Some(flag)
    }

    /// A list; empty where there is none.
    pub fn list(&mut self, key: &str) -> Vec<Value> {
        match self.0.get(key) {
            Some(Value::Array(_)) => match self.0.shift_remove(key) {
                Some(Value::Array(list)) => list,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The object under a key.
    pub fn inner(&mut self, key: &str) -> Self {
        match self.0.get(key) {
            Some(Value::Object(_)) => Self::of(self.0.shift_remove(key)),
            _ => Self::default(),
        }
    }

    /// True where the key stands, even with null.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Names of what was not taken.
    pub fn keys(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// A copy of what was not taken.
    pub fn rest_copy(&self) -> Map<String, Value> {
        self.0.clone()
    }

    /// What was not taken.
    pub fn into_rest(self) -> Map<String, Value> {
        self.0
    }

    /// What was not taken and says something, to be kept with what has no place of its own.
    pub fn keep(self, into: &mut BTreeMap<String, Value>) {
        into.extend(self.0.into_iter().filter(|(_, value)| !says_nothing(value)));
    }

    /// Counts what was not taken and says something.
    pub fn count_rest(self, path: &str, unknown: &mut Unknown) {
        for (key, value) in self.0 {
            if !says_nothing(&value) {
                count_unknown(unknown, path, &key);
            }
        }
    }
}

/// Counts a field that is not kept.
pub(super) fn count_unknown(unknown: &mut Unknown, path: &str, key: &str) {
    let full = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    *unknown.entry(full).or_default() += 1;
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What a value is, in words.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A number from 0 without a fraction.
pub(super) fn count(value: &Value) -> Option<u64> {
    let whole = |number: f64| (0.0..9e15).contains(&number) && number.fract() == 0.0;
    value.as_u64().or_else(|| value.as_f64().filter(|&number| whole(number)).map(|number| number as u64))
}

/// A value as a text: a text as it stands, anything else as JSON.
pub(super) fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A prompt as a source wrote it: a conversation where the text is a list of turns, else the text.
pub(super) fn prompt(text: String) -> Prompt {
    if text.trim_start().starts_with('[')
        && let Ok(value) = serde_json::from_str(&text)
        && let Some(turns) = turns(&value)
    {
        return Prompt::Messages(turns);
    }
    Prompt::Text(text)
}

/// A conversation, where each turn is a role and a text and nothing else.
pub(super) fn turns(value: &Value) -> Option<Vec<Message>> {
    let turns = value.as_array().filter(|turns| !turns.is_empty())?;
    let turn = |turn: &Value| {
        let turn = turn.as_object()?;
        let plain = turn.iter().all(|(key, value)| match key.as_str() {
            "role" | "content" => true,
            "type" => value == "text",
            _ => false,
        });
        plain.then(|| Some(Message::new(turn.get("role")?.as_str()?, turn.get("content")?.as_str()?)))?
    };
    turns.iter().map(turn).collect()
}

/// Why a text ended, from the word of a host or program.
pub(super) fn finish(word: &str) -> Finish {
    match word.to_ascii_lowercase().as_str() {
        "stop" | "end_turn" => Finish::EndOfTextOrStop,
        "endoftext" | "eos" | "eos_token" => Finish::EndOfText,
        "stop_sequence" => Finish::Stop,
        "length" | "max_tokens" | "max_output_tokens" => Finish::MaxTokens,
        "content_filter" | "safety" => Finish::Filtered,
        "refusal" => Finish::Refused,
        _ => Finish::Other,
    }
}

/// Seconds since 1970 of a time such as `2025-10-01T20:08:11.168Z`.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let format = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(text, format).ok()?;
    Some(time.unix_timestamp_nanos() as f64 / 1e9)
}

/// An id made of what was read.
pub(super) fn content_id(program: &str, parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hex = hasher.finalize().to_hex();
    format!("{program}-{}", &hex[..32])
}

/// The name of a file without its endings, `.gz` and `.zst` included.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = [".gz", ".zst"].iter().fold(name.as_str(), |name, end| name.strip_suffix(end).unwrap_or(name));
    let name = [".json", ".jsonl", ".yaml"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    name.to_owned()
}

/// What lies in a folder, by name.
pub(super) fn listing(folder: &Path) -> Result<Vec<PathBuf>, LogError> {
    let entries = std::fs::read_dir(folder).map_err(LogError::io("read", folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(LogError::io("read", folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The paths of keys in the beginning of a JSON text, up to three deep; positions are `*`.
pub(super) fn head_paths(head: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // For each open bracket the key that is being read, or `*`.
    let mut open: Vec<String> = Vec::new();
    let mut at = 0;
    while at < head.len() && found.len() < HEAD_PATHS && open.len() < 128 {
        match head[at] {
            b'{' => open.push(String::new()),
            b'[' => open.push("*".to_owned()),
            b'}' | b']' => {
                open.pop();
            }
            b'"' => {
                let start = at + 1;
                at = start;
                while at < head.len() && head[at] != b'"' {
                    at += if head[at] == b'\\' { 2 } else { 1 };
                }
                if at >= head.len() {
                    break;
                }
                let mut after = at + 1;
                while head.get(after).is_some_and(u8::is_ascii_whitespace) {
                    after += 1;
                }
                let depth = open.len();
                if head.get(after) == Some(&b':')
                    && let Some(key) = open.last_mut().filter(|key| *key != "*")
                {
                    *key = String::from_utf8_lossy(&head[start..at]).into_owned();
                    if depth <= 3 {
                        found.insert(open.join("."));
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// JSON as Python writes it, with `NaN`, `Infinity` and `-Infinity` turned into `null`.
pub(super) struct PythonJson<R> {
    inner: R,
    in_text: bool,
    escaped: bool,
    pending: &'static [u8],
}

impl<R: BufRead> PythonJson<R> {
    /// Reads that.
    pub const fn new(inner: R) -> Self {
        Self { inner, in_text: false, escaped: false, pending: b"" }
    }

    /// Takes the letters of a word that begins here.
    fn skip_word(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.inner.fill_buf()?;
            let letters = buffer.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let whole = letters < buffer.len() || letters == 0;
            self.inner.consume(letters);
            if whole {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Read for PythonJson<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.pending.is_empty() {
                let n = self.pending.len().min(out.len());
                out[..n].copy_from_slice(&self.pending[..n]);
                self.pending = &self.pending[n..];
                return Ok(n);
            }
            let buffer = self.inner.fill_buf()?;
            let mut n = 0;
            let mut special = None;
            while n < buffer.len().min(out.len()) {
                let byte = buffer[n];
                if self.in_text {
                    match byte {
                        _ if self.escaped => self.escaped = false,
                        b'\\' => self.escaped = true,
                        b'"' => self.in_text = false,
                        _ => {}
                    }
                } else if byte == b'"' {
                    self.in_text = true;
                } else if matches!(byte, b'N' | b'I' | b'-') {
                    special = Some(byte);
                    break;
                }
                out[n] = byte;
                n += 1;
            }
            self.inner.consume(n);
            if n > 0 {
                return Ok(n);
            }
            match special {
                None => return Ok(0),
                Some(b'-') => {
                    self.inner.consume(1);
                    if self.inner.fill_buf()?.first() == Some(&b'I') {
                        self.skip_word()?;
                        self.pending = b"null";
                    } else {
                        self.pending = b"-";
                    }
                }
                Some(_) => {
                    self.skip_word()?;
                    self.pending = b"null";
                }
            }
        }
    }
}

/// Parses a text that Python may have written.
pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(text).or_else(|error| serde_json::from_reader(PythonJson::new(text)).map_err(|_| error))
}

/// A whole file as a value.
pub(super) fn parse_file(path: &Path) -> Result<Value, LogError> {
    scan(path, &[], &mut |_, _, _| Ok(()))
}

/// A file that is not JSON, or not the JSON that was expected.
pub(super) fn not_json(path: &Path, error: &serde_json::Error) -> LogError {
    if error.is_io() {
        return LogError::io("read", path)(std::io::Error::other(error.to_string()));
    }
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(problem, _)| problem).to_owned();
    LogError::malformed(path, format!("line {} column {}", error.line(), error.column()), problem)
}

/// Takes an item of a long list: which list, the position in it, the item.
pub(super) type Visit<'a> = dyn FnMut(usize, u64, Value) -> Result<(), LogError> + 'a;

/// Reads a file as a value, except that the lists at the given paths go to `visit` item by item and become null.
pub(super) fn scan(path: &Path, lists: &[&[&str]], visit: &mut Visit<'_>) -> Result<Value, LogError> {
    let reader = PythonJson::new(crate::source::reader(path)?);
    let mut deserializer = serde_json::Deserializer::from_reader(std::io::BufReader::new(reader));
    let mut state = State { lists, visit, stop: None };
    let wanted = (0..lists.len()).collect();
    let value = Node { state: &mut state, wanted, depth: 0 }.deserialize(&mut deserializer);
    if let Some(stop) = state.stop {
        return Err(stop);
    }
    let value = value.map_err(|error| not_json(path, &error))?;
    deserializer.end().map_err(|error| not_json(path, &error))?;
    Ok(value)
}

struct State<'a, 'v> {
    lists: &'a [&'a [&'a str]],
    visit: &'a mut Visit<'v>,
    stop: Option<LogError>,
}

/// A value on the way to one of the lists.
struct Node<'s, 'a, 'v> {
    state: &'s mut State<'a, 'v>,
    wanted: Vec<usize>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.wanted.is_empty() {
            return serde::Deserialize::deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let lists = self.state.lists;
            let next = |&&list: &&usize| lists[list].get(self.depth).is_some_and(|part| *part == key);
            let wanted = self.wanted.iter().filter(next).copied().collect();
            let value = access.next_value_seed(Node { state: &mut *self.state, wanted, depth: self.depth + 1 })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Some(&list) = self.wanted.iter().find(|&&list| self.state.lists[list].len() == self.depth) else {
            let mut items = Vec::new();
            while let Some(item) = access.next_element()? {
                items.push(item);
            }
            return Ok(Value::Array(items));
        };
        let mut position = 0;
        while let Some(item) = access.next_element::<Value>()? {
            if let Err(stop) = (self.state.visit)(list, position, item) {
                self.state.stop = Some(stop);
                return Err(de::Error::custom("stopped"));
            }
            position += 1;
        }
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_python_writes_becomes_null() {
        let text = br#"{"NaN": [NaN, -Infinity, Infinity, -1, "a \" NaN -I", -2e-3]}"#;
        let expect = r#"{"NaN":[null,null,null,-1,"a \" NaN -I",-0.002]}"#;
        assert_eq!(parse(text).unwrap().to_string(), expect);
        // A reader that gives a byte at a time.
        let slow = std::io::BufReader::with_capacity(1, text.as_slice());
        let value: Value = serde_json::from_reader(PythonJson::new(slow)).unwrap();
        assert_eq!(value.to_string(), expect);
    }

    #[test]
    fn keys_are_seen_in_a_text_that_has_only_begun() {
        let head = br#"{"a": {"b, c": [{"d": 1}], "e": "x\"y"}, "f": ["g"], "cut"#;
        let paths: Vec<String> = head_paths(head).into_iter().collect();
        assert_eq!(paths, ["a", "a.b, c", "a.e", "f"]);
    }

    #[test]
    fn long_lists_go_item_by_item() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"x": {"list": [1, {"y": 2}]}, "list": [3], "z": NaN}"#).unwrap();
        let mut seen = Vec::new();
        let rest = scan(file.path(), &[&["list"], &["x", "list"]], &mut |list, position, item| {
            seen.push((list, position, item.to_string()));
            Ok(())
        });
        assert_eq!(rest.unwrap().to_string(), r#"{"x":{"list":null},"list":null,"z":null}"#);
        assert_eq!(seen, [(1, 0, "1".to_owned()), (1, 1, r#"{"y":2}"#.to_owned()), (0, 0, "3".to_owned())]);
    }
}

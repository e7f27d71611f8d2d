//! What a header shows that can be read and yet should not be there: each becomes a warning, never an error.
//!
//! These are the cheap signs only, from the header alone. They say where to look and prove nothing either way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::gguf_value::{Array, Value};

/// More warnings than this are counted and not listed, so that a hostile file cannot make a long answer.
const MAX_WARNINGS: usize = 20;
/// The token type that stands for one byte.
const BYTE_TOKEN: i64 = 6;

/// A name or text of a file as a message may show it: not longer than a line, and without control characters, which
/// could rewrite a terminal.
pub(super) fn shown(text: &str) -> String {
    short(text, 100)
}

fn short(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == most {
            shown.push_str("...");
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// A bounded list of warnings.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    list: Vec<String>,
    more: usize,
}

impl Warnings {
    pub fn push(&mut self, warning: impl fmt::Display) {
        if self.list.len() < MAX_WARNINGS {
            self.list.push(short(&warning.to_string(), 300));
        } else {
            self.more += 1;
        }
    }

    pub fn into_list(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} warnings more", self.more));
        }
        self.list
    }
}

/// Bytes after the data of the last tensor, beyond its padding.
pub(super) fn trailing(bytes: &[u8], end: usize, alignment: usize, warnings: &mut Warnings) {
    let Some(rest) = bytes.get(end.next_multiple_of(alignment)..).filter(|rest| !rest.is_empty()) else { return };
    let kind = if rest.starts_with(b"PK\x03\x04") { ", which begin as a zip archive does" } else { "" };
    warnings.push(format_args!("{} bytes follow the last tensor{kind}; nothing should", rest.len()));
}

/// The tokenizer's arrays and the chat template of a GGUF file.
pub(super) fn of_gguf(metadata: &BTreeMap<String, Value>, warnings: &mut Warnings) {
    let array = |key: &str| match metadata.get(key) {
        Some(Value::Array(array)) => Some(array),
        _ => None,
    };
    let (tokens, scores, types) = ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type");
    if let Some(found) = array(tokens) {
        if !matches!(found, Array::Strings(_)) {
            warnings.push(format_args!("'{tokens}' is an array of {}, expected STRING", found.element_type()));
        }
        for key in [scores, types] {
            if let Some(other) = array(key).filter(|other| other.len() != found.len()) {
                warnings.push(format_args!("'{key}' has {} elements for {} tokens", other.len(), found.len()));
            }
        }
    }
    if let Some(found) = array(scores).filter(|found| !matches!(found, Array::F32(_))) {
        warnings.push(format_args!("'{scores}' is an array of {}, expected FLOAT32", found.element_type()));
    }
    if let Some(found) = array(types).filter(|found| !matches!(found, Array::I32(_) | Array::U32(_))) {
        warnings.push(format_args!("'{types}' is an array of {}, expected INT32", found.element_type()));
    }
    if let (Some(Array::Strings(texts)), Some(types)) = (array(tokens), array(types)) {
        byte_tokens(texts, types, warnings);
    }
    for (key, value) in metadata {
        if let Value::String(text) = value
            && key.starts_with("tokenizer.chat_template")
        {
            of_template(key, text, warnings);
        }
    }
}

fn byte_tokens(texts: &[String], types: &Array, warnings: &mut Warnings) {
    let kind = |at: usize| match types {
        Array::I32(types) => types.get(at).map(|t| i64::from(*t)),
        Array::U32(types) => types.get(at).map(|t| i64::from(*t)),
        _ => None,
    };
    let is_byte = |text: &str| {
        let hex = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        hex.is_some_and(|hex| hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    for (at, text) in texts.iter().enumerate().filter(|(at, text)| kind(*at) == Some(BYTE_TOKEN) && !is_byte(text)) {
        warnings.push(format_args!("token {at} stands for a byte and reads '{text}', expected <0x00> to <0xFF>"));
    }
}

/// Signs of an attack in a chat template: names with two underscores, and words of the user that change the answer.
fn of_template(key: &str, template: &str, warnings: &mut Warnings) {
    if let Some(at) = template.find("__") {
        let name: String = template[at..].chars().take(24).collect();
        warnings.push(format_args!("'{key}' uses an inner name of the template language near '{name}'"));
    }
    let mut seen = BTreeSet::new();
    for statement in template.split("{%").skip(1).filter_map(|rest| rest.split("%}").next()) {
        let statement = statement.trim_matches(['-', '+', ' ', '\n', '\t']);
        if !(statement.starts_with("if ") || statement.starts_with("elif ")) {
            continue;
        }
        let Some((left, right)) = statement.split_once(" in ") else { continue };
        let word = left.trim().trim_end_matches(['\'', '"']).rsplit(['\'', '"']).next().unwrap_or_default();
        // Markup such as '<think>' is looked for in contents by many honest templates; plain words are not.
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == ' ');
        let quoted = left.trim().ends_with(['\'', '"']);
        if plain && quoted && right.contains("content") && seen.insert(word) {
            warnings.push(format_args!("'{key}' answers differently when a message contains '{word}'"));
        }
    }
}

/// Pieces of programs that have no place in the metadata of a weight file.
const CODE: [&str; 7] = ["os.system", "subprocess", "__import__", "eval(", "exec(", "import os", "<script"];

/// The free texts of a safetensors file.
pub(super) fn of_safetensors(metadata: &BTreeMap<String, String>, warnings: &mut Warnings) {
    for (key, text) in metadata {
        if let Some(code) = CODE.iter().find(|code| text.contains(*code)) {
            warnings.push(format_args!("metadata '{key}' looks like a program: it holds '{code}'"));
        }
    }
}

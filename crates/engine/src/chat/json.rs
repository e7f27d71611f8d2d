//! The `tojson` filter as `transformers` defines it: Python's `json.dumps` without escaping.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

/// Deeper than any description of a tool.
const DEEPEST: usize = 100;

struct Style {
    indent: Option<usize>,
    ascii: bool,
    sorted: bool,
    item: String,
    colon: String,
}

/// Writes a value as `json.dumps(value, ensure_ascii, indent, separators, sort_keys)` does.
#[expect(clippy::needless_pass_by_value, reason = "a filter takes its arguments by value")]
pub(super) fn tojson(state: &State, value: Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    if indent.is_some_and(|indent| indent > 16) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson: indent is above 16"));
    }
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    let (item, colon) = match separators.as_deref() {
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        Some([item, colon]) => (item.clone(), colon.clone()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are not two texts")),
    };
    let style = Style {
        indent,
        ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        item,
        colon,
    };
    kwargs.assert_all_used()?;
    let mut text = String::new();
    write(state, &mut text, &value, &style, 0)?;
    Ok(text)
}

fn write(state: &State, text: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), Error> {
    let before = text.len();
    match value.kind() {
        ValueKind::None => text.push_str("null"),
        ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => text.push_str(&value.to_string()),
        ValueKind::String => quote(text, value.as_str().unwrap_or_default(), style.ascii),
        _ if depth == DEEPEST => {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson: the value is nested more than 100 deep"));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut first = true;
            text.push('[');
            for one in value.try_iter()? {
                next(text, style, depth, &mut first);
                write(state, text, &one, style, depth + 1)?;
            }
            close(text, style, depth, first, ']');
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sorted {
                keys.sort();
            }
            let mut first = true;
            text.push('{');
            for key in keys {
                next(text, style, depth, &mut first);
                quote(text, &key.to_string(), style.ascii);
                text.push_str(&style.colon);
                write(state, text, &value.get_item(&key)?, style, depth + 1)?;
            }
            close(text, style, depth, first, '}');
        }
        kind => return Err(Error::new(ErrorKind::InvalidOperation, format!("tojson: a value of kind '{kind}'"))),
    }
    // Paid for while it grows: the engine would charge only for the finished text.
    state.consume_fuel(1 + ((text.len() - before) / 64) as u64)
}

fn line(text: &mut String, style: &Style, depth: usize) {
    if let Some(indent) = style.indent {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indent * depth));
    }
}

fn next(text: &mut String, style: &Style, depth: usize, first: &mut bool) {
    if !std::mem::take(first) {
        text.push_str(&style.item);
    }
    line(text, style, depth + 1);
}

fn close(text: &mut String, style: &Style, depth: usize, empty: bool, bracket: char) {
    if !empty {
        line(text, style, depth);
    }
    text.push(bracket);
}

fn quote(text: &mut String, content: &str, ascii: bool) {
    text.push('"');
    for c in content.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            c if c < ' ' || (ascii && !c.is_ascii()) || (ascii && c == '\u{7f}') => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    text.push_str("\\u");
                    let digits = [12, 8, 4, 0].map(|shift| char::from_digit(u32::from(*unit >> shift) & 15, 16));
                    text.extend(digits.into_iter().flatten());
                }
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

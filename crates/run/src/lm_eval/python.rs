//! What task files take for granted of Python: how values look as text, and how such text is read back.
//!
//! Templates print lists as `str` does (`['a', "b's"]`), and lm-evaluation-harness reads them with `ast.literal_eval`.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// A value as Python's `str` shows it.
pub fn str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// A value as Python's `repr` shows it.
pub fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => repr_float(float),
            _ => number.to_string(),
        },
        Value::String(text) => repr_str(text),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}: {}", repr_str(key), repr(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn repr_float(float: f64) -> String {
    if !float.is_finite() {
        return if float.is_nan() {
            "nan".into()
        } else if float > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    // The shortest digits are the same in both languages; exponents begin at 1e16 and below 1e-4.
    let shortest = format!("{float:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{float}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push(quote);
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c == quote => shown.extend(['\\', c]),
            c if c.is_control() && (c as u32) < 0x100 => {
                let _ = write!(shown, "\\x{:02x}", c as u32);
            }
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}

/// `str.isspace` of one character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `len(re.split(r"\s+", text))`.
pub fn count_words(text: &str) -> u64 {
    let mut pieces = 1;
    let mut in_space = false;
    for c in text.chars() {
        let space = is_space(c);
        pieces += u64::from(space && !in_space);
        in_space = space;
    }
    pieces
}

/// `str.capitalize`.
pub fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect())
}

/// Python's `==` of two values as JSON holds them: 1 and 1.0 are equal.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Reads a literal as `ast.literal_eval` does: texts, numbers, `True`, `False`, `None`, lists, tuples and dictionaries.
/// Tuples become lists.
///
/// # Errors
/// It is no literal; the text says where it goes wrong.
pub fn literal(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { Err(reader.wrong("something after the value")) } else { Ok(value) }
}

const DEPTH: usize = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong(&self, what: &str) -> String {
        format!("{what} at character {}", self.text[..self.at].chars().count())
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH {
            return Err(self.wrong("lists within lists too deep"));
        }
        self.space();
        for (word, value) in [("True", Value::Bool(true)), ("False", Value::Bool(false)), ("None", Value::Null)] {
            if self.take(word) {
                return Ok(value);
            }
        }
        match self.rest().chars().next() {
            Some('[') => self.items('[', "]", depth),
            Some('(') => self.items('(', ")", depth),
            Some('{') => self.entries(depth),
            Some('\'' | '"') => {
                // Texts side by side are one text.
                let mut text = String::new();
                while matches!(self.rest().chars().next(), Some('\'' | '"')) {
                    text.push_str(&self.string()?);
                    self.space();
                }
                Ok(Value::String(text))
            }
            Some(_) => self.number(),
            None => Err(self.wrong("no value")),
        }
    }

    fn items(&mut self, open: char, close: &str, depth: usize) -> Result<Value, String> {
        self.at += open.len_utf8();
        let mut items = Vec::new();
        let mut comma = false;
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            if self.take(",") {
                comma = true;
            } else if self.take(close) {
                break;
            } else {
                return Err(self.wrong("neither a comma nor the end of the list"));
            }
        }
        // Brackets around one value without a comma are no tuple.
        if open == '(' && !comma && items.len() == 1 {
            return Ok(items.remove(0));
        }
        Ok(Value::Array(items))
    }

    fn entries(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut entries = Map::new();
        while !self.take("}") {
            let key = self.value(depth + 1)?;
            if !self.take(":") {
                return Err(self.wrong("no colon after a key"));
            }
            let value = self.value(depth + 1)?;
            entries.insert(str(&key), value);
            if !self.take(",") {
                if self.take("}") {
                    break;
                }
                return Err(self.wrong("neither a comma nor the end of the dictionary"));
            }
        }
        Ok(Value::Object(entries))
    }

    fn string(&mut self) -> Result<String, String> {
        let Some(quote) = self.rest().chars().next() else { return Err(self.wrong("no text")) };
        let triple: String = [quote; 3].iter().collect();
        let end = if self.rest().starts_with(&triple) { triple } else { quote.to_string() };
        self.at += end.len();
        let mut text = String::new();
        loop {
            if self.rest().starts_with(&end) {
                self.at += end.len();
                return Ok(text);
            }
            let Some(c) = self.rest().chars().next() else { return Err(self.wrong("a text without end")) };
            if c == '\n' && end.len() == 1 {
                return Err(self.wrong("a line break within a text"));
            }
            self.at += c.len_utf8();
            if c == '\\' { self.escape(&mut text)? } else { text.push(c) }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let Some(c) = self.rest().chars().next() else { return Err(self.wrong("a text without end")) };
        self.at += c.len_utf8();
        let hex = |reader: &mut Self, digits: usize| -> Result<char, String> {
            let code = reader.rest().get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
            let decoded = code.and_then(char::from_u32).ok_or_else(|| reader.wrong("a wrong escape"))?;
            reader.at += digits;
            Ok(decoded)
        };
        let decoded = match c {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'v' => '\x0b',
            '\\' | '\'' | '"' => c,
            '\n' => return Ok(()),
            'x' => hex(self, 2)?,
            'u' => hex(self, 4)?,
            'U' => hex(self, 8)?,
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.rest().chars().next().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    self.at += 1;
                }
                char::from_u32(code).unwrap_or('\u{fffd}')
            }
            other => {
                text.push('\\');
                other
            }
        };
        text.push(decoded);
        Ok(())
    }

    fn number(&mut self) -> Result<Value, String> {
        let length = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c));
        let word = &self.rest()[..length.unwrap_or(self.rest().len())];
        let plain = word.replace('_', "");
        let begins = plain.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let number = if begins {
            plain.parse::<i64>().ok().map(Number::from).or_else(|| plain.parse().ok().and_then(Number::from_f64))
        } else {
            None
        };
        let Some(number) = number else { return Err(self.wrong("neither a text, a number nor a list")) };
        self.at += word.len();
        Ok(Value::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shown_as_python_shows_it() {
        for (value, expected) in [
            (json!(["a", "b's", "c\"d", "e'\"f", "\n\\\u{1}"]), r#"['a', "b's", 'c"d', 'e\'"f', '\n\\\x01']"#),
            (json!({"k": [1, 1.0, 1.5e20, 1e-5, true, null]}), "{'k': [1, 1.0, 1.5e+20, 1e-05, True, None]}"),
            (json!([1e15, 123_456.75, 0.0001, 0.0]), "[1000000000000000.0, 123456.75, 0.0001, 0.0]"),
        ] {
            assert_eq!(repr(&value), expected);
            assert_eq!(literal(expected).unwrap(), value);
        }
    }

    #[test]
    fn literals_are_read() {
        for (text, expected) in [
            ("['a' 'b', \"c\",]", json!(["ab", "c"])),
            ("(1, -2)", json!([1, -2])),
            ("('one')", json!("one")),
            ("'''x\ny'''", json!("x\ny")),
            (r"'\u00e9\x41\101\q'", json!("éAA\\q")),
            ("[]", json!([])),
        ] {
            assert_eq!(literal(text).unwrap(), expected, "{text}");
        }
        for text in ["", "[", "[a]", "'x", "1 2", "['a' : 1]", "inf"] {
            assert!(literal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_counted_as_split_does() {
        for (text, expected) in [("", 1), ("a", 1), (" a b\n\nc ", 5), ("a\u{a0}b", 2)] {
            assert_eq!(count_words(text), expected, "{text:?}");
        }
        assert_eq!((capitalize("hELLO World"), capitalize("")), ("Hello world".into(), String::new()));
    }
}

//! Regular expressions as Python's `re` reads them, run by `fancy-regex`.
//!
//! What the two write differently is translated: `\Z`, `$` before a last newline, `\w` and `\b` (Python knows letters and
//! numbers, not marks), `{,n}`, a brace or a bracket that stands for itself. What only Python has is refused. One difference
//! is left: without regard to case, `i` of Python is also `İ` and `ı`.
//! Reference: the documentation of Python's `re`, and `Lib/re/_parser.py` of 3.11.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use fancy_regex::Regex;

/// Letters, numbers and the underscore: what `\w` is for text in Python.
const WORD: &str = r"\p{L}\p{N}_";
const ONE_WORD: &str = r"[\p{L}\p{N}_]";
const NO_WORD: &str = r"[^\p{L}\p{N}_]";
/// What `\s` is for text in Python: white space and the four separators U+001C to U+001F.
const SPACE: &str = r"\s\x1c-\x1f";
const ONE_SPACE: &str = r"[\s\x1c-\x1f]";
const NO_SPACE: &str = r"[^\s\x1c-\x1f]";

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// For ASCII text; for all text where `unicode` is `None`.
    plain: Regex,
    /// For other text, where the pattern has a word boundary: slower, and with Python's idea of a word.
    unicode: Option<Regex>,
    /// Groups, without the whole match.
    groups: usize,
    /// The text that it stands for, where it is nothing else: found without the machinery.
    literal: Option<String>,
}

/// One match, as `re.findall` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// The whole match, or the only group; a group that took no part is empty.
    One(&'t str),
    /// All groups, where there are several.
    Groups(Vec<&'t str>),
}

impl Pattern {
    /// Compiles a pattern of Python.
    ///
    /// # Errors
    /// It is not a pattern, or has what is not done here; the message says which.
    pub(crate) fn new(python: &str) -> Result<Self, String> {
        let compile = |pattern: &str| {
            Regex::new(pattern).map_err(|error| format!("the regular expression {python:?} cannot be read: {error}"))
        };
        let refused = |problem: String| format!("the regular expression {python:?}: {problem}");
        let (pattern, boundary) = translate(python, false).map_err(refused)?;
        let plain = compile(&pattern)?;
        let unicode = if boundary { Some(compile(&translate(python, true).map_err(refused)?.0)?) } else { None };
        let groups = plain.captures_len() - 1;
        Ok(Self { plain, unicode, groups, literal: literal(python) })
    }

    /// Compiles a pattern of `fancy-regex` itself.
    ///
    /// # Errors
    /// It is not a pattern.
    pub(crate) fn raw(pattern: &str) -> Result<Self, String> {
        let plain = Regex::new(pattern).map_err(|error| error.to_string())?;
        let groups = plain.captures_len() - 1;
        Ok(Self { plain, unicode: None, groups, literal: None })
    }

    fn regex(&self, text: &str) -> &Regex {
        match &self.unicode {
            Some(unicode) if !text.is_ascii() => unicode,
            _ => &self.plain,
        }
    }

    /// Every match from left to right, as `re.findall`: an empty one may stand right after another.
    ///
    /// Where a pattern prefers an empty match over a longer one at the same place (`|a`), Python would then give the
    /// longer one too; here it is not found.
    ///
    /// # Errors
    /// The pattern needs too many steps on this text.
    pub(crate) fn find_all<'t>(&self, text: &'t str, most: usize) -> Result<Vec<Found<'t>>, String> {
        let regex = self.regex(text);
        let mut all = Vec::new();
        let mut at = 0;
        let stopped = |error: fancy_regex::Error| format!("the regular expression gave up on this text: {error}");
        while at <= text.len() && all.len() < most {
            let (found, start, end) = if self.groups == 0 {
                let Some(found) = regex.find_from_pos(text, at).map_err(stopped)? else { break };
                (Found::One(found.as_str()), found.start(), found.end())
            } else {
                let Some(groups) = regex.captures_from_pos(text, at).map_err(stopped)? else { break };
                let Some(whole) = groups.get(0) else { break };
                let group = |i| groups.get(i).map_or("", |group| group.as_str());
                let found = if self.groups == 1 {
                    Found::One(group(1))
                } else {
                    Found::Groups((1..=self.groups).map(group).collect())
                };
                (found, whole.start(), whole.end())
            };
            all.push(found);
            at = if end > start { end } else { end + text[end..].chars().next().map_or(1, char::len_utf8) };
        }
        Ok(all)
    }

    /// The text without what matches, as `re.sub(pattern, "", text)`.
    ///
    /// # Errors
    /// The pattern needs too many steps on this text.
    pub(crate) fn remove<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        if let Some(literal) = &self.literal {
            let found = text.contains(literal.as_str());
            return Ok(if found { Cow::Owned(text.replace(literal, "")) } else { Cow::Borrowed(text) });
        }
        let regex = self.regex(text);
        let mut kept = String::new();
        let (mut copied, mut at) = (0, 0);
        while at <= text.len() {
            let found = regex
                .find_from_pos(text, at)
                .map_err(|error| format!("the regular expression gave up on this text: {error}"))?;
            let Some(found) = found else { break };
            if found.end() > found.start() {
                kept.push_str(&text[copied..found.start()]);
                copied = found.end();
                at = found.end();
            } else {
                at = found.end() + text[found.end()..].chars().next().map_or(1, char::len_utf8);
            }
        }
        if copied == 0 {
            return Ok(Cow::Borrowed(text));
        }
        kept.push_str(&text[copied..]);
        Ok(Cow::Owned(kept))
    }
}

/// The text that a pattern stands for, where it has no sign with a meaning but escaped punctuation.
fn literal(python: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = python.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => chars.next().filter(char::is_ascii_punctuation)?,
            '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | '[' | ']' | '|' | '(' | ')' => return None,
            other => other,
        });
    }
    (!text.is_empty()).then_some(text)
}

/// White space as `str.isspace` of Python has it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip` of Python.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The pattern for `fancy-regex`, and whether it has a word boundary.
fn translate(python: &str, exact_boundary: bool) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(python.len() + 16);
    let mut chars = python.chars().peekable();
    let mut boundary = false;
    // Whether `^` and `$` stand at lines: for the pattern, and for each open group.
    let mut lines = vec![false];
    while let Some(c) = chars.next() {
        match c {
            '\\' => boundary |= escape(&mut out, &mut chars, exact_boundary)?,
            '[' => class(&mut out, &mut chars)?,
            '(' => group(&mut out, &mut chars, &mut lines)?,
            ')' => {
                if lines.len() > 1 {
                    lines.pop();
                }
                out.push(')');
            }
            '$' if !lines.last().copied().unwrap_or(false) => out.push_str(r"(?=\n?\z)"),
            '{' => match repeat(&chars) {
                Some((text, length)) => {
                    out.push_str(&text);
                    chars.nth(length - 1);
                }
                None => out.push_str(r"\{"),
            },
            '}' => out.push_str(r"\}"),
            ']' => out.push_str(r"\]"),
            other => out.push(other),
        }
    }
    Ok((out, boundary))
}

/// A count after an open brace (`3}`, `2,}`, `,5}`, `1,2}`) for the other side, and its characters; `None` where the brace
/// stands for itself.
fn repeat(rest: &Peekable<Chars<'_>>) -> Option<(String, usize)> {
    let mut rest = rest.clone();
    let mut body = String::new();
    loop {
        match rest.next()? {
            '}' => break,
            c if c.is_ascii_digit() || (c == ',' && !body.contains(',')) => body.push(c),
            _ => return None,
        }
    }
    if body.is_empty() {
        return None;
    }
    let length = body.len() + 1;
    let from = if body.starts_with(',') { "0" } else { "" };
    Some((format!("{{{from}{body}}}"), length))
}

/// What follows an open parenthesis.
fn group(out: &mut String, chars: &mut Peekable<Chars<'_>>, lines: &mut Vec<bool>) -> Result<(), String> {
    let outer = lines.last().copied().unwrap_or(false);
    if chars.peek() != Some(&'?') {
        out.push('(');
        lines.push(outer);
        return Ok(());
    }
    chars.next();
    let unended = || "a group is not closed".to_owned();
    match chars.next().ok_or_else(unended)? {
        c @ (':' | '=' | '!' | '>') => {
            out.push_str("(?");
            out.push(c);
            lines.push(outer);
        }
        '<' => match chars.next().ok_or_else(unended)? {
            c @ ('=' | '!') => {
                out.push_str("(?<");
                out.push(c);
                lines.push(outer);
            }
            _ => return Err("a named group is written (?P<name>...)".to_owned()),
        },
        'P' => match chars.next().ok_or_else(unended)? {
            '<' => {
                out.push_str("(?P<");
                until(out, chars, '>')?;
                lines.push(outer);
            }
            '=' => {
                out.push_str("(?P=");
                until(out, chars, ')')?;
            }
            c => return Err(format!("(?P{c} is not known")),
        },
        '#' => until(&mut String::new(), chars, ')')?,
        '(' => {
            out.push_str("(?(");
            until(out, chars, ')')?;
            lines.push(outer);
        }
        first => {
            let mut next = first;
            let (mut on, mut kept, mut multi) = (true, String::new(), outer);
            let scoped = loop {
                match next {
                    'i' | 's' => kept.push(next),
                    'm' => {
                        kept.push('m');
                        multi = on;
                    }
                    'u' => {}
                    '-' => {
                        kept.push('-');
                        on = false;
                    }
                    ':' => break true,
                    ')' => break false,
                    c => return Err(format!("the flag {c:?} is not done here")),
                }
                next = chars.next().ok_or_else(unended)?;
            };
            if scoped {
                let _ = write!(out, "(?{kept}:");
                lines.push(multi);
            } else {
                if !kept.is_empty() {
                    let _ = write!(out, "(?{kept})");
                }
                if let Some(last) = lines.last_mut() {
                    *last = multi;
                }
            }
        }
    }
    Ok(())
}

/// Copies up to and with `end`.
fn until(out: &mut String, chars: &mut Peekable<Chars<'_>>, end: char) -> Result<(), String> {
    for c in chars.by_ref() {
        out.push(c);
        if c == end {
            return Ok(());
        }
    }
    Err(format!("{end:?} is missing"))
}

/// What follows a backslash outside a class; true for a word boundary.
fn escape(out: &mut String, chars: &mut Peekable<Chars<'_>>, exact_boundary: bool) -> Result<bool, String> {
    let c = *chars.peek().ok_or("it ends with a backslash")?;
    match c {
        'Z' => out.push_str(r"\z"),
        'w' => out.push_str(ONE_WORD),
        'W' => out.push_str(NO_WORD),
        's' => out.push_str(ONE_SPACE),
        'S' => out.push_str(NO_SPACE),
        'b' if exact_boundary => {
            let _ = write!(out, "(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))");
        }
        'B' if exact_boundary => {
            let _ = write!(out, "(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}]))");
        }
        'A' | 'b' | 'B' | 'd' | 'D' => {
            out.push('\\');
            out.push(c);
        }
        '1'..='9' => {
            // A reference to a group; a digit after it that is not of it must not be read into it.
            out.push_str("(?:\\");
            let mut digits = 0;
            while let Some(digit) = chars.next_if(|c| digits < 2 && c.is_ascii_digit()) {
                out.push(digit);
                digits += 1;
            }
            out.push(')');
            return Ok(false);
        }
        _ => {
            let literal = literal_escape(chars)?;
            push_literal(out, literal);
            return Ok(false);
        }
    }
    chars.next();
    Ok(c == 'b' || c == 'B')
}

/// The character that an escape stands for.
fn literal_escape(chars: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let hexadecimal = |chars: &mut Peekable<Chars<'_>>, digits: usize| {
        let text: String = chars.by_ref().take(digits).collect();
        let code = u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits);
        code.and_then(char::from_u32).ok_or(format!("the escape of {text:?} is not a character"))
    };
    let c = chars.next().ok_or("it ends with a backslash")?;
    Ok(match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'f' => '\x0c',
        'v' => '\x0b',
        'a' => '\x07',
        'x' => hexadecimal(chars, 2)?,
        'u' => hexadecimal(chars, 4)?,
        'U' => hexadecimal(chars, 8)?,
        '0' => {
            let mut code = 0;
            for _ in 0..2 {
                if let Some(digit) = chars.next_if(|c| ('0'..='7').contains(c)) {
                    code = code * 8 + digit.to_digit(8).unwrap_or(0);
                }
            }
            char::from_u32(code).unwrap_or('\0')
        }
        c if c.is_ascii_alphanumeric() => return Err(format!("the escape \\{c} is not known")),
        c => c,
    })
}

/// One character that stands for itself.
fn push_literal(out: &mut String, c: char) {
    if r"\.+*?()|[]{}^$".contains(c) {
        out.push('\\');
    }
    out.push(c);
}

/// A class, after its open bracket.
fn class(out: &mut String, chars: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = *chars.peek().ok_or("a class is not closed")?;
        if c == ']' && !first {
            chars.next();
            out.push(']');
            return Ok(());
        }
        first = false;
        let Some(low) = member(out, chars)? else { continue };
        push_member(out, low);
        // A range, unless the dash stands last.
        let mut ahead = chars.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
            chars.next();
            let mut other = String::new();
            let high = member(&mut other, chars)?.ok_or("a range in a class ends with a kind of characters")?;
            out.push('-');
            push_member(out, high);
        }
    }
}

/// The next member of a class: a character, or `None` for a kind of characters, which is written out.
fn member(out: &mut String, chars: &mut Peekable<Chars<'_>>) -> Result<Option<char>, String> {
    let Some(c) = chars.next() else { return Err("a class is not closed".to_owned()) };
    if c != '\\' {
        return Ok(Some(c));
    }
    match chars.peek() {
        Some('d') => out.push_str(r"\d"),
        Some('D') => out.push_str(r"\D"),
        Some('w') => out.push_str(WORD),
        Some('W') => out.push_str(NO_WORD),
        Some('s') => out.push_str(SPACE),
        Some('S') => out.push_str(NO_SPACE),
        Some('b') => out.push_str(r"\x08"),
        Some('1'..='7') => {
            let mut code = 0;
            while let Some(digit) = chars.next_if(|c| ('0'..='7').contains(c)) {
                code = code * 8 + digit.to_digit(8).unwrap_or(0);
            }
            return Ok(Some(char::from_u32(code).ok_or("an octal escape is no character")?));
        }
        _ => return Ok(Some(literal_escape(chars)?)),
    }
    chars.next();
    Ok(None)
}

/// A character of a class, which must not be read as part of the form of the class.
fn push_member(out: &mut String, c: char) {
    if r"\[]^&~-".contains(c) {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, text: &str) -> Vec<String> {
        let found = Pattern::new(pattern).unwrap().find_all(text, usize::MAX).unwrap();
        found
            .into_iter()
            .map(|found| match found {
                Found::One(text) => text.to_owned(),
                Found::Groups(texts) => texts.join("|"),
            })
            .collect()
    }

    #[test]
    fn what_python_writes_otherwise() {
        assert_eq!(all(r"a\Z", "a a"), ["a"]);
        assert_eq!(all(r"a$", "a\na\n"), ["a"], "before the last newline too");
        assert_eq!(all(r"(?m)a$", "a\na\n"), ["a", "a"]);
        assert_eq!(all(r"\boxed", "boxed oxed"), ["oxed"]);
        assert_eq!(all(r"x{,2}y", "xxxy"), ["xxy"]);
        assert_eq!(all(r"\\boxed{(.*)}", r"\boxed{3}"), ["3"]);
        assert_eq!(all(r"[[(]\w", "[a(b"), ["[a", "(b"]);
        assert_eq!(all(r"[]-]", "a-]"), ["-", "]"]);
        assert_eq!(all(r"[a-c&&b]", "ab&c"), ["a", "b", "&", "c"]);
        assert_eq!(all(r"(?P<n>a)(?P=n)", "aa"), ["a"]);
        assert_eq!(all(r"(a)|(b)", "ab"), ["a|", "|b"]);
        assert_eq!(all("a*", "ab"), ["a", "", ""]);
        assert_eq!(all(r"\w+", "कि é5½"), ["क", "é5½"], "a mark is no letter");
        assert_eq!(all(r"\bक\b", "कि"), ["क"]);
        assert_eq!(all(r"\<a\>\ b", "<a> b"), ["<a> b"]);
        assert_eq!(all(r"(\d)\1", "1223"), ["2"]);
        assert_eq!(all(r"a(?#no)b", "ab"), ["ab"]);
        for refused in [r"(?x)a b", r"(?<n>a)", r"\y", "(", "[a"] {
            assert!(Pattern::new(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn removal() {
        let remove = |pattern: &str, text: &str| Pattern::new(pattern).unwrap().remove(text).unwrap().into_owned();
        assert_eq!(remove("(?s).*#### ", "a\n#### 1#### 2"), "2");
        assert_eq!(remove(r"\.$", "1.\n"), "1\n");
        assert_eq!(remove(r"\$", "$1$"), "1");
        assert_eq!(remove("x*", "axb"), "ab");
    }
}

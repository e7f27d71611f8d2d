//! Keys of providers: a type that shows as `***` wherever it is printed.

use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use weighbridge_core::Provider;

use crate::dialect::WireReply;
use crate::error::ApiError;

/// What stands in for a key.
pub const MASK: &str = "***";
/// So long, a key is no word of a language.
const LONG: usize = 20;
/// So long and with a digit, neither.
const TELLING: usize = 12;
/// Longest file of a key.
const LONGEST_FILE: u64 = 1 << 16;

/// The key of an account at a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Arc<str>);

impl Key {
    /// A key from its text; white space around it is dropped.
    ///
    /// # Errors
    /// It is empty or has characters that no header can carry.
    pub fn new(text: &str) -> Result<Self, ApiError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiError::BadKey { place: "the key".into() });
        }
        Ok(Self(text.into()))
    }

    /// The key in the first of the provider's variables that is set, with the name of the variable.
    ///
    /// # Errors
    /// The variable holds no key.
    pub fn from_environment(provider: &Provider) -> Result<Option<(Self, String)>, ApiError> {
        for variable in &provider.key_variables {
            if let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) {
                let place = || ApiError::BadKey { place: format!("the variable {variable}") };
                let key = text.to_str().ok_or_else(place).and_then(|text| Self::new(text).map_err(|_| place()))?;
                return Ok(Some((key, variable.clone())));
            }
        }
        Ok(None)
    }

    /// The key that stands alone in a file.
    ///
    /// # Errors
    /// The file cannot be read or holds no key.
    pub fn from_file(path: &Path) -> Result<Self, ApiError> {
        let mut text = String::new();
        // Not all of a file that was named by mistake.
        let file = fs_err::File::open(path).map_err(ApiError::KeyFile)?;
        file.take(LONGEST_FILE).read_to_string(&mut text).map_err(ApiError::KeyFile)?;
        Self::new(text.trim_start_matches('\u{feff}'))
            .map_err(|_| ApiError::BadKey { place: format!("the file {}", path.display()) })
    }

    /// The value of a header, marked so that nothing prints it.
    pub(crate) fn header(&self, prefix: &str) -> Result<HeaderValue, ApiError> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0))
            .map_err(|_| ApiError::BadKey { place: "the key".into() })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// True where the text of an answer that holds it can only be the key sent back. Servers of one's own are given
    /// words like `none` or `EMPTY` for a key: an answer that holds them must not be altered.
    fn is_telling(&self) -> bool {
        let key = self.0.as_bytes();
        key.len() >= LONG || (key.len() >= TELLING && key.iter().any(u8::is_ascii_digit))
    }

    /// The bytes without the key, where a server sends it back, plain or with escapes of JSON; `None` where it does not
    /// occur.
    pub(crate) fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !self.is_telling() {
            return None;
        }
        let places = self.places(bytes);
        let mut out = Vec::with_capacity(if places.is_empty() { 0 } else { bytes.len() });
        let mut from = 0;
        for place in &places {
            out.extend_from_slice(&bytes[from..place.start]);
            out.extend_from_slice(MASK.as_bytes());
            from = place.end;
        }
        if places.is_empty() {
            return None;
        }
        out.extend_from_slice(&bytes[from..]);
        Some(out)
    }

    /// Text without the key.
    pub(crate) fn masked_text(&self, text: &mut String) {
        if let Some(masked) = self.masked(text.as_bytes()) {
            // The key is ASCII: what is left of UTF-8 without it is UTF-8.
            *text = String::from_utf8_lossy(&masked).into_owned();
        }
    }

    /// Masks all that an answer tells. Its bytes were masked before, but a key in pieces shows only when they are joined.
    pub(crate) fn mask_reply(&self, reply: &mut WireReply) {
        for text in [&mut reply.text, &mut reply.reasoning].into_iter().flatten() {
            self.masked_text(text);
        }
        if reply.logprobs.is_empty() || !self.is_telling() {
            return;
        }
        let joined: String = reply.logprobs.iter().map(|token| token.token.as_str()).collect();
        let places = self.places(joined.as_bytes());
        let mut begin = 0;
        for token in &mut reply.logprobs {
            let end = begin + token.token.len();
            if places.iter().any(|place| begin < place.end && place.start < end) {
                MASK.clone_into(&mut token.token);
                token.top.clear();
            }
            begin = end;
        }
    }

    /// Where the key stands in text.
    fn places(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut places: Vec<Range<usize>> = Vec::new();
        let Some(&first) = self.0.as_bytes().first() else { return places };
        for at in memchr::memchr2_iter(first, b'\\', bytes) {
            let free = places.last().is_none_or(|last| last.end <= at);
            if let Some(length) = self.length_at(&bytes[at..]).filter(|_| free) {
                places.push(at..at + length);
            }
        }
        places
    }

    fn length_at(&self, bytes: &[u8]) -> Option<usize> {
        if bytes.starts_with(self.0.as_bytes()) {
            return Some(self.0.len());
        }
        let mut at = 0;
        for wanted in self.0.bytes() {
            let (byte, length) = unescaped(&bytes[at..])?;
            if byte != wanted {
                return None;
            }
            at += length;
        }
        Some(at)
    }
}

/// The next character of a JSON string and the length in which it is written, if it is ASCII.
fn unescaped(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            Some((u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?, 6))
        }
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => Some((*byte, 2)),
        [byte, ..] => Some((*byte, 1)),
        [] => None,
    }
}

/// Shows the text of a stream piece by piece without the key, which may come in pieces too.
#[derive(Debug)]
pub(crate) struct Veil {
    key: Option<Key>,
    held: String,
}

impl Veil {
    pub(crate) fn new(key: Option<&Key>) -> Self {
        Self { key: key.filter(|key| key.is_telling()).cloned(), held: String::new() }
    }

    /// Takes text and gives what can be shown of it: all but an end that may be the beginning of the key.
    pub(crate) fn show(&mut self, text: String) -> String {
        let Some(key) = &self.key else { return text };
        self.held.push_str(&text);
        key.masked_text(&mut self.held);
        let held = self.held.as_bytes();
        let most = held.len().min(key.0.len() - 1);
        let end = (1..=most).rev().find(|&end| key.0.as_bytes().starts_with(&held[held.len() - end..])).unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - end);
        std::mem::replace(&mut self.held, rest)
    }

    /// What was held back to the end.
    pub(crate) fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_core::TokenLogprob;

    use super::*;

    const KEY: &str = "sk-planted-0123456789";

    #[test]
    fn a_key_shows_as_stars_and_is_masked_where_it_comes_back() {
        let key = Key::new(&format!(" {KEY}\n")).unwrap();
        assert_eq!(format!("{key} {key:?} {:?}", key.header("Bearer ").unwrap()), "*** *** Sensitive");
        for (text, expect) in [
            ("nothing", None),
            ("sk-planted-012345678", None),
            ("a sk-planted-0123456789 b sk-planted-0123456789", Some("a *** b ***")),
            ("sk-sk-planted-0123456789", Some("sk-***")),
            ("\"\\u0073k-planted\\u002d0123456789\"", Some("\"***\"")),
            ("\"\\n\\u0073\\u006B-planted-0123456789\\n\"", Some("\"\\n***\\n\"")),
            ("\\u00", None),
            ("sk-planted\\", None),
        ] {
            assert_eq!(key.masked(text.as_bytes()).as_deref(), expect.map(str::as_bytes), "{text:?}");
        }
        let odd = Key::new("a\"b/c\\d0123456789").unwrap();
        assert_eq!(odd.masked(br#""a\"b\/c\\d0123456789""#).as_deref(), Some(&b"\"***\""[..]));
        for bad in ["", " \n", "two words", "schl\u{fc}ssel", "a\u{7f}"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_that_stand_in_for_a_key_do_not_alter_answers() {
        for word in ["none", "EMPTY", "ollama", "sk-no-key-required"] {
            let key = Key::new(word).unwrap();
            assert_eq!(key.masked(format!("a {word} b").as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn a_key_in_pieces_is_never_shown() {
        let key = Key::new(KEY).unwrap();
        let text = format!("before {KEY} between sk-plan and {KEY}{KEY} sk-p");
        for step in 1..text.len() {
            let mut veil = Veil::new(Some(&key));
            let mut shown = String::new();
            for piece in text.as_bytes().chunks(step) {
                shown.push_str(&veil.show(String::from_utf8(piece.to_vec()).unwrap()));
                assert!(!shown.contains(KEY));
            }
            shown.push_str(&veil.rest());
            assert_eq!(shown, "before *** between sk-plan and ****** sk-p", "in pieces of {step}");
        }
    }

    #[test]
    fn a_key_in_tokens_is_masked_in_each() {
        let key = Key::new(KEY).unwrap();
        let tokens = ["is ", "sk", "-planted-", "0123456789, ", "sk-planted-", "0123456789", " done"];
        let token = |text: &str| TokenLogprob { token: text.into(), logprob: None, top: vec![(text.into(), -1.0)] };
        let mut reply = WireReply { logprobs: tokens.map(token).to_vec(), ..WireReply::default() };
        key.mask_reply(&mut reply);
        let shown: Vec<&str> = reply.logprobs.iter().map(|t| t.token.as_str()).collect();
        assert_eq!(shown, ["is ", "***", "***", "***", "***", "***", " done"]);
    }

    #[test]
    fn a_file_holds_a_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("\u{feff}{KEY}\r\n")).unwrap();
        assert_eq!(Key::from_file(&path).unwrap().0.as_ref(), KEY);
        std::fs::write(&path, "two\nlines").unwrap();
        assert!(Key::from_file(&path).unwrap_err().to_string().contains("holds no key"));
    }
}

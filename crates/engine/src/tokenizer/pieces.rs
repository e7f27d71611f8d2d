//! The bytes that each id stands for, in one table, so that decoding never depends on its neighbours.
//!
//! Every token of a byte-level, SentencePiece or unigram vocabulary is a run of bytes; only the leading space that some
//! of them add to a text is taken off again. Decoders of other kinds are left to the library.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How the text of a vocabulary is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// One character for each byte, as GPT-2 writes them ("Ġ" for a space).
    ByteLevel,
    /// "▁" for a space.
    Spaced,
}

/// The bytes of every id.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// `ends[id]` is where the bytes of `id` end; they start where those of `id - 1` end.
    ends: Vec<usize>,
}

impl Pieces {
    /// Adds the bytes of the next id.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    /// The bytes of an id; none for an id that no token has.
    pub(crate) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return &[] };
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..end).unwrap_or(&[])
    }
}

/// GPT-2's character for each byte: itself where it can be seen, else one from U+0100 on.
pub(crate) static BYTE_CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut chars = ['\0'; 256];
    let mut next = 0x100_u32;
    for (byte, slot) in (0_u8..=255).zip(&mut chars) {
        *slot = if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
            char::from(byte)
        } else {
            let made = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
            next += 1;
            made
        };
    }
    chars
});

static CHAR_BYTES: LazyLock<HashMap<char, u8>> =
    LazyLock::new(|| BYTE_CHARS.iter().zip(0_u8..=255).map(|(&c, byte)| (c, byte)).collect());

/// The bytes of an ordinary token; `<0x41>` is not looked for here.
pub(crate) fn spelled(text: &str, spelling: Spelling) -> Vec<u8> {
    match spelling {
        Spelling::ByteLevel => {
            let bytes: Option<Vec<u8>> = text.chars().map(|c| CHAR_BYTES.get(&c).copied()).collect();
            bytes.unwrap_or_else(|| text.as_bytes().to_vec())
        }
        Spelling::Spaced => text.replace('▁', " ").into_bytes(),
    }
}

/// The byte that `<0x41>` names.
pub(crate) fn named_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spelled_as_gpt_2_spells_them() {
        assert_eq!(BYTE_CHARS[usize::from(b' ')], 'Ġ');
        assert_eq!(BYTE_CHARS[usize::from(b'\n')], 'Ċ');
        assert_eq!(BYTE_CHARS[0xAD], 'Ń');
        assert_eq!(spelled("ĠcafÃ©", Spelling::ByteLevel), " café".as_bytes());
        assert_eq!(spelled("▁a▁b", Spelling::Spaced), b" a b");
    }

    #[test]
    fn byte_tokens_are_exactly_two_hex_digits() {
        for (text, byte) in [
            ("<0x0A>", Some(10)),
            ("<0xff>", Some(255)),
            ("<0x+1>", None),
            ("<0x1>", None),
            ("0x41", None),
            ("<0xé>", None),
        ] {
            assert_eq!(named_byte(text), byte, "{text}");
        }
    }
}

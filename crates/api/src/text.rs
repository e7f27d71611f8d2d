//! Text of a host that is no text: bytes that are not UTF-8, and halves of a character.
//!
//! Servers cut answers between bytes of a character and between the two escapes that JSON writes it with. The answer is
//! complete and was billed: what cannot be read becomes U+FFFD, as it does everywhere else, and the rest counts.

/// JSON that can be read: valid UTF-8, without escapes of surrogates that stand alone.
pub(crate) fn readable(bytes: Vec<u8>) -> Vec<u8> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => text.into_bytes(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into_bytes(),
    };
    if may_have_surrogates(&bytes) { without_lone_surrogates(bytes) } else { bytes }
}

fn may_have_surrogates(bytes: &[u8]) -> bool {
    [&b"\\ud"[..], b"\\uD"].into_iter().any(|escape| memchr::memmem::find(bytes, escape).is_some())
}

fn without_lone_surrogates(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        at += match (surrogate(&bytes[at..]), bytes.get(at + 6..).and_then(surrogate)) {
            (Some(Half::High), Some(Half::Low)) => 12,
            (Some(_), _) => {
                bytes[at + 2..at + 6].copy_from_slice(b"fffd");
                6
            }
            // The character after a backslash belongs to it, a second backslash too.
            (None, _) => 2.min(bytes.len() - at),
        };
    }
    bytes
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// The half of a character that an escape at the beginning stands for.
fn surrogate(bytes: &[u8]) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', second, third, fourth, ..] = bytes else { return None };
    if !(third.is_ascii_hexdigit() && fourth.is_ascii_hexdigit()) {
        return None;
    }
    match second {
        b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => Some(Half::High),
        b'c'..=b'f' | b'C'..=b'F' => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_becomes_a_mark_and_the_rest_stays() {
        for (given, expect) in [
            (&b"\"plain\""[..], "\"plain\""),
            (b"\"a\xffb\xc3\"", "\"a\u{fffd}b\u{fffd}\""),
            (br#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (br#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (br#""\ud83d""#, r#""\ufffd""#),
            (br#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (br#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (br#""\\ud83d""#, r#""\\ud83d""#),
            (br#""\\\ud83d""#, r#""\\\ufffd""#),
            (br#""\ud7ff\ue000""#, r#""\ud7ff\ue000""#),
            (br"\ud8", r"\ud8"),
            (br"\ud800\", r"\ufffd\"),
        ] {
            assert_eq!(String::from_utf8(readable(given.to_vec())).unwrap(), expect, "{given:?}");
        }
    }
}

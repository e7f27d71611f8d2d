//! Where the tokens begin that a host names for a text.
//!
//! Hosts state offsets in characters (OpenAI, llama-cpp-python) or, some, in bytes; vLLM counts the text of a BOS that is
//! not in the prompt, and a character that is split over tokens once for each. Nothing is believed that does not line up
//! with the text: each reading is tried in turn, and the first that fits the tokens counts.

/// The byte of `text` at which each token begins: `None` for tokens before it, its length for what was generated after it.
/// `None` for all where no reading fits, or where nobody can tell on which side of `border` a token lies.
pub(crate) fn places(
    tokens: &[&str],
    stated: Option<&[u64]>,
    text: &str,
    border: usize,
    generated: bool,
) -> Option<Vec<Option<usize>>> {
    if tokens.is_empty() || text.is_empty() {
        return None;
    }
    if let Some(offsets) = stated.filter(|offsets| offsets.len() == tokens.len()) {
        let characters: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let in_characters = |at: usize| characters.get(at).copied();
        let in_bytes = |at: usize| (at <= text.len()).then_some(at);
        let read: [&dyn Fn(usize) -> Option<usize>; 2] = [&in_characters, &in_bytes];
        if let Some(places) = read.iter().find_map(|unit| by_offsets(tokens, offsets, text, *unit, generated)) {
            return Some(places);
        }
    }
    // The first token may be one that the tokenizer puts before a text.
    (0..2).find_map(|before| by_length(tokens, before, text, border, generated))
}

/// Reads stated offsets, shifted by what the host counts before the text.
fn by_offsets(
    tokens: &[&str],
    offsets: &[u64],
    text: &str,
    unit: &dyn Fn(usize) -> Option<usize>,
    generated: bool,
) -> Option<Vec<Option<usize>>> {
    let second = offsets.get(1).copied().unwrap_or(0);
    // Nothing; a special token; a space that SentencePiece puts first; both.
    let spaced = |i: usize| tokens.get(i).is_some_and(|token| token.starts_with(' ')) && !text.starts_with(' ');
    let foreign = tokens.first().is_some_and(|token| !is_part(token) && !text.starts_with(token));
    let shifts = [
        (0, false, true),
        (second, true, foreign),
        (1, false, spaced(0)),
        (second.saturating_add(1), true, foreign && spaced(1)),
    ];
    shifts.into_iter().filter(|(.., possible)| *possible).find_map(|(shift, special, _)| {
        let place = |(i, &offset): (usize, &u64)| match offset.checked_sub(shift) {
            Some(at) => Some(Some(unit(usize::try_from(at).ok()?)?)),
            None if i == 0 => Some((!special).then_some(0)),
            None if i == 1 && special => Some(Some(0)),
            None => None,
        };
        let places: Vec<Option<usize>> = offsets.iter().enumerate().map(place).collect::<Option<_>>()?;
        fits(tokens, &places, text, generated).then_some(places)
    })
}

/// Whether places are in order, begin with the text, end with it, and hold the tokens.
fn fits(tokens: &[&str], places: &[Option<usize>], text: &str, generated: bool) -> bool {
    let known = || places.iter().flatten().copied();
    if known().next() != Some(0) || !known().is_sorted() {
        return false;
    }
    let after = known().filter(|&at| at >= text.len()).count();
    let last = tokens.last().copied().unwrap_or_default();
    if after > 1 || (after == 1 && !generated && is_part(last)) {
        return false;
    }
    let first = places.iter().take_while(|place| place.is_none()).count();
    let mut matched = 0;
    for (i, (token, place)) in tokens.iter().zip(places).enumerate() {
        let Some(at) = place.filter(|&at| at < text.len()) else { continue };
        if is_part(token) {
            continue;
        }
        // The first may have a space that is not in the text.
        let spaced = token.strip_prefix(' ').filter(|rest| i == first && !text.starts_with(token) && !rest.is_empty());
        let token = spaced.unwrap_or(token);
        if !text.as_bytes()[at..].starts_with(token.as_bytes()) {
            return false;
        }
        matched = at + token.len();
    }
    // What ends before the text does leaves tokens out, unless the rest is in parts of characters.
    after == 1 || matched == text.len() || is_part(last)
}

/// True for a token that is no text by itself: a part of a character.
fn is_part(token: &str) -> bool {
    token.is_empty() || token.contains('\u{fffd}') || token.starts_with("bytes:")
}

/// Lays token after token along the text, after the first `before` ones.
fn by_length(tokens: &[&str], before: usize, text: &str, border: usize, generated: bool) -> Option<Vec<Option<usize>>> {
    let bytes = text.as_bytes();
    let mut places = vec![None; before.min(tokens.len())];
    let mut at = 0;
    // Tokens of unknown length in a row, from `at` on.
    let mut unknown = 0;
    for (i, token) in tokens.iter().enumerate().skip(before) {
        let Some(spelled) = spelled(token) else {
            unknown += 1;
            places.push(Some(at));
            continue;
        };
        if unknown > 0 {
            // A token has at most the four bytes of a character; the next one that can be read tells where they end.
            let window = &bytes[at..bytes.len().min(at + 4 * unknown + spelled.len())];
            let rest =
                if spelled.is_empty() { None } else { memchr::memmem::find(&window[1.min(window.len())..], &spelled) };
            let end = match rest {
                Some(skipped) => at + 1 + skipped,
                // What follows the text was generated.
                None if i + 1 == tokens.len() => bytes.len(),
                None => return None,
            };
            if at < border && border < end {
                return None;
            }
            (at, unknown) = (end, 0);
        }
        places.push(Some(at));
        let first = i == before;
        if at == bytes.len() {
            // Only what was generated follows.
            if i + 1 < tokens.len() {
                return None;
            }
        } else if bytes[at..].starts_with(&spelled) {
            at += spelled.len();
        } else if first && spelled.first() == Some(&b' ') && bytes.starts_with(&spelled[1..]) {
            at += spelled.len() - 1;
        } else {
            return None;
        }
    }
    let whole = at == bytes.len() || (unknown > 0 && !generated && !(at < border && border < bytes.len()));
    (whole && places.len() > before).then_some(places)
}

/// The bytes of a token; `None` where they cannot be told.
fn spelled(token: &str) -> Option<Vec<u8>> {
    let Some(hex) = token.strip_prefix("bytes:") else {
        return (!token.contains('\u{fffd}') && !token.is_empty()).then(|| token.as_bytes().to_vec());
    };
    let byte = |pair: &str| u8::from_str_radix(pair.get(..2)?, 16).ok();
    let bytes: Option<Vec<u8>> = hex.split("\\x").skip(1).map(byte).collect();
    bytes.filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens from `border` on.
    fn check(
        tokens: &[&str],
        stated: Option<&[u64]>,
        text: &str,
        border: usize,
        generated: bool,
        expect: Option<&[&str]>,
    ) {
        let places = places(tokens, stated, text, border, generated);
        let kept: Option<Vec<&str>> = places.map(|places| {
            let from = |at: Option<usize>| at.is_some_and(|at| at >= border && at < text.len());
            tokens.iter().zip(places).filter(|(_, place)| from(*place)).map(|(token, _)| *token).collect()
        });
        assert_eq!(kept.as_deref(), expect, "{tokens:?} {stated:?} in {text:?}");
    }

    #[test]
    fn every_way_of_counting_is_read() {
        // OpenAI and llama-cpp-python count characters; the last token was generated.
        check(&["The", " cat", " sat", "!"], Some(&[0, 3, 7, 11]), "The cat sat", 7, true, Some(&[" sat"]));
        check(&["Caf\u{e9}", " \u{e0}", "!"], Some(&[0, 4, 6]), "Caf\u{e9} \u{e0}", 5, true, Some(&[" \u{e0}"]));
        // The same in bytes.
        check(&["Caf\u{e9}", " \u{e0}", "!"], Some(&[0, 5, 8]), "Caf\u{e9} \u{e0}", 5, true, Some(&[" \u{e0}"]));
        // vLLM counts the BOS.
        check(&["<s>", "The", " cat", "."], Some(&[0, 3, 6, 10]), "The cat", 3, true, Some(&[" cat"]));
        check(&["<s>", "The", " cat", "."], Some(&[0, 3, 6, 10]), "The cat", 0, true, Some(&["The", " cat"]));
        // SentencePiece puts a space first, with BOS and without.
        check(&[" The", " cat"], Some(&[0, 4]), "The cat", 0, false, Some(&[" The", " cat"]));
        check(&["<s>", " The", " cat"], Some(&[0, 3, 7]), "The cat", 0, false, Some(&[" The", " cat"]));
        // Together states no offsets.
        check(&["<s>", "The", " cat"], None, "The cat", 3, false, Some(&[" cat"]));
        check(&["The", " cat"], None, "The cat", 3, false, Some(&[" cat"]));
    }

    #[test]
    fn parts_of_characters_are_placed() {
        // llama-cpp-python leaves them empty and counts whole characters.
        check(&["a", "", "", "b", "c"], Some(&[0, 1, 1, 2, 3]), "a\u{e9}b", 1, true, Some(&["", "", "b"]));
        check(&["a", "", "", "b", "c"], Some(&[0, 1, 1, 2, 3]), "a\u{e9}b", 3, true, Some(&["b"]));
        // OpenAI spells them.
        let spelled = ["a", "bytes:\\xc3", "bytes:\\xa9", "b", "c"];
        check(&spelled, Some(&[0, 1, 12, 23, 24]), "a\u{e9}b", 3, true, Some(&["b"]));
        check(&spelled, None, "a\u{e9}b", 1, true, Some(&spelled[1..4]));
        // vLLM counts each as a character.
        let replaced = ["a", "\u{fffd}", "\u{fffd}", "b", "c"];
        check(&replaced, Some(&[0, 1, 2, 3, 4]), "a\u{e9}b", 3, true, Some(&["b"]));
        check(&replaced, Some(&[0, 1, 2, 3, 4]), "a\u{e9}b", 1, true, Some(&replaced[1..4]));
        // On which side of the border the middle ones lie cannot be told.
        let four = ["\u{fffd}", "\u{fffd}", "\u{fffd}", "\u{fffd}", "b"];
        check(&four, None, "\u{e9}\u{e0}b", 2, false, None);
        // Counted so, they lie at their bytes.
        check(&four, Some(&[0, 1, 2, 3, 4]), "\u{e9}\u{e0}b", 2, false, Some(&four[2..]));
        check(&["a", "\u{fffd}", "\u{fffd}"], Some(&[0, 1, 2]), "a\u{e9}", 1, false, Some(&["\u{fffd}", "\u{fffd}"]));
    }

    #[test]
    fn what_does_not_line_up_is_not_believed() {
        for (tokens, stated, text) in [
            // The beginning was cut off, the end is missing, other words, nothing of the prompt.
            (&[" cat", " sat"][..], Some(&[0, 4][..]), "The cat sat"),
            (&["The", " cat"], Some(&[0, 3]), "The cat sat"),
            (&["The", " dog", " sat"], Some(&[0, 3, 7]), "The cat sat"),
            (&["!"], Some(&[0]), "The cat sat"),
            (&["The", " cat"], Some(&[3, 0]), "The cat sat"),
            (&["The", " cat", " sat", "!", "!"], Some(&[0, 3, 7, 11, 12]), "The cat sat"),
            (&[], None, "The cat"),
            (&["The"], Some(&[0]), "The cat"),
            (&["The"], Some(&[u64::MAX]), "The cat"),
        ] {
            check(tokens, stated, text, 3, true, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_claim_makes_it_panic(
            tokens in proptest::collection::vec("( |a|\u{e9}|\u{fffd}|bytes:\\\\xc3|bytes:|){0,3}", 0..6),
            offsets in proptest::collection::vec(0_u64..8, 0..6),
            text in "( |a|\u{e9}|\u{1f600}){0,5}",
            border in 0_usize..8,
        ) {
            let names: Vec<&str> = tokens.iter().map(String::as_str).collect();
            for (stated, generated) in [(None, true), (None, false), (Some(&offsets[..]), true), (Some(&offsets[..]), false)] {
                if let Some(places) = places(&names, stated, &text, border, generated) {
                    assert_eq!(places.len(), names.len());
                    assert!(places.iter().flatten().is_sorted() && places.iter().flatten().all(|&at| at <= text.len()));
                }
            }
        }
    }
}

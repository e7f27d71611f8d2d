//! Rules of lm-evaluation-harness about where texts are cut, for whoever scores them: weights in this process or a host.
//!
//! They follow version 0.4.13: `TemplateLM._encode_pair` (trailing spaces of a context go to the continuation) and
//! `get_rolling_token_windows` with a context of one token.

use std::ops::Range;

/// A context without its trailing white space, and that white space; what counts as white is what Python's `rstrip`
/// takes off.
#[must_use]
pub fn split_spaces(text: &str) -> (&str, &str) {
    let space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let kept = text.trim_end_matches(space);
    (kept, &text[kept.len()..])
}

/// A part of a text that a model is shown at once, in positions of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Tokens that are shown and not scored. Empty in the first window, which a token that begins texts precedes.
    pub context: Range<usize>,
    /// Tokens that are scored, right after them.
    pub scored: Range<usize>,
}

/// Windows that cover a text of `tokens` tokens once. Each but the first is as full as the model takes: the input of a
/// window is the `longest` tokens before its last one, and what was scored before is context.
#[must_use]
pub fn rolling_windows(tokens: usize, longest: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    if tokens == 0 {
        return windows;
    }
    let mut done = longest.min(tokens);
    windows.push(Window { context: 0..0, scored: 0..done });
    while done < tokens {
        let end = tokens.min(done + longest);
        windows.push(Window { context: end - longest - 1..done, scored: done..end });
        done = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_the_end_is_that_of_python() {
        for (text, expect) in [
            ("a b", ("a b", "")),
            ("a b \n", ("a b", " \n")),
            ("a\u{1f}\u{a0}", ("a", "\u{1f}\u{a0}")),
            ("  ", ("", "  ")),
            ("a\u{200b}", ("a\u{200b}", "")),
        ] {
            assert_eq!(split_spaces(text), expect, "{text:?}");
        }
    }

    #[test]
    fn windows_are_those_of_lm_eval() {
        let window = |context, scored| Window { context, scored };
        assert_eq!(rolling_windows(10, 4), [window(0..0, 0..4), window(3..4, 4..8), window(5..8, 8..10)]);
        assert_eq!(rolling_windows(10, 20), [window(0..0, 0..10)]);
        assert_eq!(rolling_windows(0, 4), []);
    }
}

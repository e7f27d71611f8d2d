//! Byte-pair merges, read from a list or derived from SentencePiece scores.
//!
//! SentencePiece merges the neighbours whose union has the best score; the library merges by the rank in a list. The list
//! that does the same holds every split of every piece into two pieces, best score first, as the converters of the
//! `transformers` package make it.

use tokenizers::models::bpe::{Merges, Vocab};

use super::error::{TokenizerError, shortened};

/// SentencePiece pieces are at most this long to be merged; a longer one could make deriving the merges slow.
const LONGEST_MERGED: usize = 256;

/// Reads "left right" lines; both pieces and their union must be tokens.
pub(crate) fn listed<'a>(
    lines: impl ExactSizeIterator<Item = &'a str>,
    vocabulary: &Vocab,
) -> Result<Merges, TokenizerError> {
    let mut merges = Merges::with_capacity(lines.len());
    let mut union = String::new();
    for (index, line) in lines.enumerate() {
        // The left piece may itself begin with a space.
        let space = line.char_indices().skip(1).find(|&(_, c)| c == ' ');
        let Some((left, right)) = space.and_then(|(at, _)| Some((line.get(..at)?, line.get(at + 1..)?))) else {
            return Err(TokenizerError::MergeForm { index, text: shortened(line) });
        };
        union.clear();
        union.push_str(left);
        union.push_str(right);
        for piece in [left, right, union.as_str()] {
            if !vocabulary.contains_key(piece) {
                return Err(TokenizerError::MergeUnknown { index, piece: shortened(piece) });
            }
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(merges)
}

/// Derives the merges from the scores of the pieces; `pieces` are (text, score) of the tokens that may be merged.
pub(crate) fn scored(pieces: &[(&str, f32)], vocabulary: &Vocab) -> Merges {
    struct Split<'a> {
        left: &'a str,
        right: &'a str,
        score: f32,
        /// Characters of the left and of the right piece.
        lengths: (usize, usize),
    }
    let mut splits = Vec::new();
    for &(piece, score) in pieces {
        if piece.len() > LONGEST_MERGED {
            continue;
        }
        let count = piece.chars().count();
        // Longest left piece first, as they are to be: vocabularies come best first, so that nothing is left to sort.
        for (after, (at, _)) in (1..count).zip(piece.char_indices().rev()) {
            let (left, right) = piece.split_at(at);
            if vocabulary.contains_key(left) && vocabulary.contains_key(right) {
                splits.push(Split { left, right, score, lengths: (count - after, after) });
            }
        }
    }
    splits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.lengths.cmp(&a.lengths)));
    splits.into_iter().map(|split| (split.left.to_owned(), split.right.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(pieces: &[&str]) -> Vocab {
        pieces.iter().zip(0_u32..).map(|(&piece, id)| (piece.to_owned(), id)).collect()
    }

    fn pair(left: &str, right: &str) -> (String, String) {
        (left.to_owned(), right.to_owned())
    }

    #[test]
    fn listed_merges_name_what_is_wrong() {
        let known = vocabulary(&["a", "b", "ab", " ", " a"]);
        assert_eq!(listed(["a b"].into_iter(), &known).unwrap(), [pair("a", "b")]);
        assert_eq!(listed(["  a"].into_iter(), &known).unwrap(), [pair(" ", "a")]);
        for (line, message) in [
            ("ab", "merge 0 reads 'ab'"),
            ("", "merge 0 reads ''"),
            ("a c", "needs the piece 'c'"),
            ("b a", "needs the piece 'ba'"),
            ("a ", "needs the piece ''"),
        ] {
            let error = listed([line].into_iter(), &known).unwrap_err().to_string();
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn scored_merges_come_best_first_and_longer_left_first() {
        let known = vocabulary(&["a", "b", "c", "ab", "bc", "abc"]);
        let made = scored(&[("ab", -2.0), ("bc", -1.0), ("abc", -3.0)], &known);
        assert_eq!(made, [pair("b", "c"), pair("a", "b"), pair("ab", "c"), pair("a", "bc")]);
    }
}

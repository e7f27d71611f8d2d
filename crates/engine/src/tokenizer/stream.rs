//! Text from ids as they are generated: what is returned is complete UTF-8 and never taken back.
//!
//! A character that is split over several tokens is held until its last byte is there; bytes that no continuation can
//! make valid become U+FFFD, exactly as when the whole list is decoded at once.

use super::{SpecialText, Tokenizer};

/// The state of one text that is being generated.
#[derive(Debug)]
pub struct TokenStream<'a> {
    tokenizer: &'a Tokenizer,
    special: SpecialText,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Bytes that are not yet a whole character, and whether a leading space is still to be taken off.
    Bytes { held: Vec<u8>, strip: bool },
    /// The library decodes the whole list again.
    Library { ids: Vec<u32>, said: String },
}

impl<'a> TokenStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, special: SpecialText) -> Self {
        let state = if tokenizer.pieces.is_some() {
            State::Bytes { held: Vec::new(), strip: tokenizer.strips_space }
        } else {
            State::Library { ids: Vec::new(), said: String::new() }
        };
        Self { tokenizer, special, state }
    }

    /// Takes the next id; returns the text that is complete now and has not been returned before.
    pub fn push(&mut self, id: u32) -> Option<String> {
        match &mut self.state {
            State::Bytes { held, strip } => {
                held.extend_from_slice(self.tokenizer.shown_bytes(id, self.special));
                some(drain(held, strip, false))
            }
            State::Library { ids, said } => {
                ids.push(id);
                let text = self.tokenizer.decode(ids, self.special).ok()?;
                if text.ends_with(char::REPLACEMENT_CHARACTER) {
                    return None;
                }
                let new = text.strip_prefix(said.as_str())?.to_owned();
                *said = text;
                some(new)
            }
        }
    }

    /// Ends the text; returns what was held back, with U+FFFD for a character that was never completed.
    pub fn finish(self) -> Option<String> {
        match self.state {
            State::Bytes { mut held, mut strip } => some(drain(&mut held, &mut strip, true)),
            State::Library { ids, said } => {
                let text = self.tokenizer.decode(&ids, self.special).ok()?;
                some(text.strip_prefix(said.as_str())?.to_owned())
            }
        }
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Takes the text out of `held` that later bytes cannot change.
fn drain(held: &mut Vec<u8>, strip: &mut bool, last: bool) -> String {
    let mut text = String::new();
    let mut used = 0;
    for chunk in held.utf8_chunks() {
        text.push_str(chunk.valid());
        used += chunk.valid().len();
        if chunk.invalid().is_empty() {
            continue;
        }
        let at_end = used + chunk.invalid().len() == held.len();
        let unfinished = at_end && std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
        if unfinished && !last {
            break;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        used += chunk.invalid().len();
    }
    held.drain(..used);
    if *strip && !text.is_empty() {
        *strip = false;
        if text.starts_with(' ') {
            text.remove(0);
        }
    }
    text
}

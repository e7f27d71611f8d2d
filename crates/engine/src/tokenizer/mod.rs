//! Text to token ids and back, from GGUF metadata or from the files beside safetensors.
//!
//! Encoding is the `tokenizers` library's, which is the reference for most models; what this module adds is the way to it
//! from every kind of checkpoint, decoding by bytes that never shows half a character, and errors for tokenizers that are
//! damaged, hostile or of another model.

mod error;
mod gguf;
mod json;
mod merges;
mod pieces;
mod pre;
mod stream;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use error::TokenizerError;
pub(crate) use json::config_file;
pub use stream::TokenStream;

use crate::files::Checkpoint;
use crate::files::gguf::Header;
use pieces::Pieces;

/// Whether the tokens are added that the tokenizer puts around a text, such as BOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddSpecial {
    /// As the tokenizer itself would.
    #[default]
    Default,
    /// Only the text; special tokens that are written out in it still count as such.
    Never,
}

/// Whether special tokens are part of decoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SpecialText {
    /// They are left out.
    #[default]
    Hide,
    /// They are written out, as `<|im_end|>`.
    Show,
}

/// A tokenizer that is ready to use; it can be shared between threads.
#[derive(Debug)]
pub struct Tokenizer {
    library: tokenizers::Tokenizer,
    /// `None` where only the library can decode.
    pieces: Option<Pieces>,
    /// Which ids are special.
    special: Vec<bool>,
    bos: Option<u32>,
    eos: Option<u32>,
    stops: Vec<u32>,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// A space was put before the text, and is taken off again.
    strips_space: bool,
    /// Every byte of a text must be found again in its tokens.
    every_byte: bool,
    size: usize,
    /// The highest id of a token that ordinary text can become.
    highest: u32,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint: from the GGUF metadata, or `tokenizer.json` in the folder, or the older `vocab.json`
    /// with `merges.txt`.
    ///
    /// # Errors
    /// There is none, or it is damaged; the message names the key or the file.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, TokenizerError> {
        match checkpoint.gguf() {
            Some(header) => Self::from_gguf(header),
            None => json::from_folder(checkpoint.folder(), checkpoint.config()),
        }
    }

    /// The tokenizer that the metadata of a GGUF file describe.
    ///
    /// # Errors
    /// A kind or a rule that is not known, or metadata that contradict themselves.
    pub fn from_gguf(header: &Header) -> Result<Self, TokenizerError> {
        gguf::tokenizer(&gguf::Metadata::of(header)?)
    }

    /// The tokenizer in the bytes of a `tokenizer.json`, with the contents of `tokenizer_config.json` if there is one.
    ///
    /// # Errors
    /// It is not such a file.
    pub fn from_json(bytes: &[u8], config: Option<&serde_json::Value>) -> Result<Self, TokenizerError> {
        json::from_json(bytes, &json::Settings::of(config, None, None, None))
    }

    /// The ids of a text. Special tokens that are written out in it are taken as special tokens, as `transformers` does.
    ///
    /// # Errors
    /// The vocabulary has no tokens for a part of the text.
    pub fn encode(&self, text: &str, special: AddSpecial) -> Result<Vec<u32>, TokenizerError> {
        let encoding = guarded("encode the text", || self.library.encode_fast(text, false))?;
        let ids = encoding.get_ids();
        if let Some(pieces) = self.pieces.as_ref().filter(|_| self.every_byte) {
            let found: usize = ids.iter().map(|&id| pieces.get(id).len()).sum();
            if found != text.len() {
                let missing = text.len().saturating_sub(found);
                return Err(TokenizerError::NotExpressible { missing, bytes: text.len() });
            }
        }
        if special == AddSpecial::Never {
            return Ok(ids.to_vec());
        }
        Ok([self.prefix.as_slice(), ids, self.suffix.as_slice()].concat())
    }

    /// The text of ids. Bytes that are no UTF-8 become U+FFFD; ids without a token (models have rows to spare) become
    /// nothing.
    ///
    /// # Errors
    /// The library's decoder fails, which byte-level and SentencePiece vocabularies do not use.
    pub fn decode(&self, ids: &[u32], special: SpecialText) -> Result<String, TokenizerError> {
        if self.pieces.is_none() {
            return guarded("decode", || self.library.decode(ids, special == SpecialText::Hide));
        }
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.shown_bytes(id, special)).copied().collect();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if self.strips_space && text.starts_with(' ') {
            text.remove(0);
        }
        Ok(text)
    }

    /// Text as it is generated, special tokens left out.
    pub fn stream(&self) -> TokenStream<'_> {
        self.stream_with(SpecialText::Hide)
    }

    /// Text as it is generated.
    pub fn stream_with(&self, special: SpecialText) -> TokenStream<'_> {
        TokenStream::new(self, special)
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The tokens that end an answer, in order: EOS, and those that end a turn.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stops
    }

    /// Whether [`AddSpecial::Default`] begins with BOS.
    pub fn adds_bos(&self) -> bool {
        self.bos.is_some_and(|bos| self.prefix.contains(&bos))
    }

    /// How many ids it has: one more than the highest.
    pub fn vocab_size(&self) -> usize {
        self.size
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// The token as the vocabulary writes it ("Ġthe", "▁the").
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.library.id_to_token(id)
    }

    /// The id of a token as the vocabulary writes it.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.library.token_to_id(text)
    }

    /// Checks that every token of ordinary text has its row in the model's embedding. Special tokens may lie beyond it, as
    /// the image token of Gemma 3 does in its text models; the model refuses those ids when it meets them.
    ///
    /// # Errors
    /// It has ids that the model lacks: it belongs to another model.
    pub fn check_fits(&self, rows: usize) -> Result<(), TokenizerError> {
        let named = [self.bos, self.eos].into_iter().flatten();
        let highest = named.fold(self.highest, u32::max);
        if highest as usize >= rows { Err(TokenizerError::DoesNotFit { highest, rows }) } else { Ok(()) }
    }

    /// The bytes that an id adds to a text.
    fn shown_bytes(&self, id: u32, special: SpecialText) -> &[u8] {
        match &self.pieces {
            Some(pieces) if special == SpecialText::Show || !self.is_special(id) => pieces.get(id),
            _ => &[],
        }
    }
}

/// Runs the library, which trusts its input: a panic over a damaged tokenizer becomes an error like any other.
fn guarded<T>(
    what: &'static str,
    run: impl FnOnce() -> Result<T, Box<dyn std::error::Error + Send + Sync>>,
) -> Result<T, TokenizerError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(TokenizerError::Library { what, reason: error.to_string() }),
        Err(_) => Err(TokenizerError::Library { what, reason: "its data are damaged".to_owned() }),
    }
}

//! What can be wrong with a tokenizer, each with the key or path, what was expected and what to do.

use std::path::PathBuf;

/// Why a tokenizer cannot be made, or cannot encode a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The metadata lack a key without which nothing can be encoded.
    #[error("the GGUF metadata have no '{key}' ({expected}); convert the model again with its tokenizer")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// Two lists that go with each other differ in length.
    #[error("'{key}' has {found} entries, but there are {expected} tokens; the file is damaged, fetch it again")]
    Length {
        /// The key.
        key: &'static str,
        /// Entries that it has.
        found: usize,
        /// Entries that it should have.
        expected: usize,
    },
    /// The kind of tokenizer is not one that is converted here.
    #[error(
        "tokenizer.ggml.model is '{model}'; those that load are gpt2, llama and t5; use the safetensors of this model"
    )]
    UnknownModel {
        /// The kind that the file names.
        model: String,
    },
    /// The rule that splits text into words is not known: any guess would give other tokens.
    #[error(
        "tokenizer.ggml.pre is '{pre}', which is not known here, and a guess would give wrong tokens; known: {known}; \
         use the safetensors of this model, which carry the rule itself"
    )]
    UnknownPre {
        /// The rule that the file names.
        pre: String,
        /// The rules that are known.
        known: String,
    },
    /// A vocabulary without a token, or with more than ids can count.
    #[error("{place} has {count} tokens; expected between 1 and {limit}")]
    Size {
        /// The key or path.
        place: String,
        /// Tokens found.
        count: usize,
        /// The most that are accepted.
        limit: usize,
    },
    /// A text stands for two ids.
    #[error("tokenizer.ggml.tokens: '{text}' is there twice, as {first} and as {second}; each token must differ")]
    DuplicateToken {
        /// The token, shortened.
        text: String,
        /// The first id.
        first: usize,
        /// The second id.
        second: usize,
    },
    /// A token of another size than any tokenizer has.
    #[error("tokenizer.ggml.tokens: token {id} has {bytes} bytes; at most {limit} are accepted")]
    TokenTooLong {
        /// Its id.
        id: usize,
        /// Its size.
        bytes: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// A number that names a token names none.
    #[error("'{key}' is {id}, but the vocabulary has {size} tokens; expected an id below that")]
    IdOutOfRange {
        /// The key.
        key: String,
        /// The id that it gives.
        id: u64,
        /// The number of tokens.
        size: usize,
    },
    /// A token of type "byte" that does not say which byte.
    #[error("tokenizer.ggml.tokens: token {id} has the type 'byte' but reads '{text}'; expected <0x00> to <0xFF>")]
    ByteToken {
        /// Its id.
        id: usize,
        /// Its text, shortened.
        text: String,
    },
    /// A merge that is not two pieces.
    #[error("merge {index} reads '{text}'; expected two pieces with one space between them")]
    MergeForm {
        /// Its place in the list, from 0.
        index: usize,
        /// Its text, shortened.
        text: String,
    },
    /// A merge of pieces that are no tokens.
    #[error(
        "merge {index} needs the piece '{piece}', which is not in the vocabulary; the file is damaged, fetch it again"
    )]
    MergeUnknown {
        /// Its place in the list, from 0.
        index: usize,
        /// The piece, shortened.
        piece: String,
    },
    /// A score that cannot be compared.
    #[error("tokenizer.ggml.scores: the score of token {id} is {score}; expected a finite number")]
    Score {
        /// The id.
        id: usize,
        /// The score.
        score: f32,
    },
    /// A token has to be added that is not defined.
    #[error("'{key}' is true, but no token is named to add; set '{missing}' or turn it off")]
    NothingToAdd {
        /// The key that asks for it.
        key: &'static str,
        /// The key that is missing.
        missing: &'static str,
    },
    /// There is no tokenizer beside the weights.
    #[error(
        "{} has no tokenizer: expected tokenizer.json, or vocab.json with merges.txt; fetch one of them from the \
         model's page", .folder.display()
    )]
    NoTokenizer {
        /// The folder of the checkpoint.
        folder: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file is larger than any tokenizer.
    #[error("{} has {bytes} bytes; at most {limit} are read for this file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A file is not what its name says.
    #[error("{place}: {reason}; fetch the file again")]
    Malformed {
        /// The key or path.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tokenizer whose ids go beyond the model's embedding.
    #[error(
        "the tokenizer has ids up to {highest}, but the model has {rows} rows of embeddings; it belongs to another model"
    )]
    DoesNotFit {
        /// The highest id of an ordinary token.
        highest: u32,
        /// Rows of the model.
        rows: usize,
    },
    /// A text with bytes for which the vocabulary has no token.
    #[error("the vocabulary has no tokens for {missing} bytes of a text of {bytes} bytes; nothing is dropped silently")]
    NotExpressible {
        /// Bytes that no token stands for.
        missing: usize,
        /// Bytes of the text.
        bytes: usize,
    },
    /// The library refuses.
    #[error("the tokenizer cannot {what}: {reason}")]
    Library {
        /// What was being done.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
}

/// The beginning of a text from a file, short enough for a message and without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}

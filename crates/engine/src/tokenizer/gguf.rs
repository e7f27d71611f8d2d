//! A tokenizer from the metadata of a GGUF file.
//!
//! The three kinds that are converted: byte-level BPE ("gpt2"), SentencePiece BPE by scores with bytes for what has no
//! piece ("llama"), and unigram ("t5"). What the metadata leave out has the value that llama.cpp gives it. Every list is
//! checked before the library sees it, since the library trusts its input.

use std::borrow::Cow;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Prepend, Replace, Sequence as Normalizers, Strip};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::error::{TokenizerError, shortened};
use super::pieces::{Pieces, Spelling, named_byte, spelled};
use super::{Tokenizer, guarded, merges, pre};
use crate::files::gguf::{Array, Header};

/// More tokens than any vocabulary has.
const MOST_TOKENS: usize = 1 << 22;
/// Longer than any token is.
const LONGEST_TOKEN: usize = 1 << 16;

/// Tokens that end an answer, whatever the metadata name as the end.
const STOPS: [&str; 21] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// What a GGUF file says about its tokenizer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata<'a> {
    pub(crate) model: &'a str,
    pub(crate) pre: Option<&'a str>,
    pub(crate) tokens: &'a [String],
    pub(crate) scores: Option<&'a [f32]>,
    pub(crate) types: Option<&'a [i32]>,
    pub(crate) merges: Option<&'a [String]>,
    pub(crate) charsmap: Option<Vec<u8>>,
    pub(crate) bos: Option<u64>,
    pub(crate) eos: Option<u64>,
    pub(crate) eot: Option<u64>,
    pub(crate) eom: Option<u64>,
    pub(crate) unknown: Option<u64>,
    pub(crate) add_bos: Option<bool>,
    pub(crate) add_eos: Option<bool>,
    pub(crate) add_space_prefix: Option<bool>,
    pub(crate) remove_extra_whitespaces: Option<bool>,
}

impl<'a> Metadata<'a> {
    pub(crate) fn of(header: &'a Header) -> Result<Self, TokenizerError> {
        let missing = |key, expected| TokenizerError::Missing { key, expected };
        let charsmap = match header.array("tokenizer.ggml.precompiled_charsmap") {
            Some(Array::U8(bytes)) => Some(bytes.clone()),
            Some(Array::I8(bytes)) => Some(bytes.iter().map(|b| b.cast_unsigned()).collect()),
            _ => None,
        };
        Ok(Self {
            model: header.string("tokenizer.ggml.model").ok_or_else(|| missing("tokenizer.ggml.model", "a text"))?,
            pre: header.string("tokenizer.ggml.pre"),
            tokens: header.strings("tokenizer.ggml.tokens").ok_or_else(|| missing("tokenizer.ggml.tokens", "texts"))?,
            scores: header.f32s("tokenizer.ggml.scores"),
            types: header.i32s("tokenizer.ggml.token_type"),
            merges: header.strings("tokenizer.ggml.merges"),
            charsmap,
            bos: header.u64("tokenizer.ggml.bos_token_id"),
            eos: header.u64("tokenizer.ggml.eos_token_id"),
            eot: header.u64("tokenizer.ggml.eot_token_id"),
            eom: header.u64("tokenizer.ggml.eom_token_id"),
            unknown: header.u64("tokenizer.ggml.unknown_token_id"),
            add_bos: header.bool("tokenizer.ggml.add_bos_token"),
            add_eos: header.bool("tokenizer.ggml.add_eos_token"),
            add_space_prefix: header.bool("tokenizer.ggml.add_space_prefix"),
            remove_extra_whitespaces: header.bool("tokenizer.ggml.remove_extra_whitespaces"),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
}

/// The vocabulary after every check.
struct Checked<'a> {
    texts: Vec<Cow<'a, str>>,
    kinds: Vec<Kind>,
    /// Moved into the library once it is made.
    ids: Vocab,
}

fn check<'a>(metadata: &Metadata<'a>) -> Result<Checked<'a>, TokenizerError> {
    let count = metadata.tokens.len();
    if count == 0 || count > MOST_TOKENS {
        let place = "tokenizer.ggml.tokens".to_owned();
        return Err(TokenizerError::Size { place, count, limit: MOST_TOKENS });
    }
    let lengths = [
        ("tokenizer.ggml.scores", metadata.scores.map(<[f32]>::len)),
        ("tokenizer.ggml.token_type", metadata.types.map(<[i32]>::len)),
    ];
    for (key, found) in lengths {
        if let Some(found) = found.filter(|&found| found != count) {
            return Err(TokenizerError::Length { key, found, expected: count });
        }
    }
    let mut checked = Checked {
        texts: Vec::with_capacity(count),
        kinds: Vec::with_capacity(count),
        ids: Vocab::with_capacity(count),
    };
    for (id, text) in metadata.tokens.iter().enumerate() {
        if text.len() > LONGEST_TOKEN {
            return Err(TokenizerError::TokenTooLong { id, bytes: text.len(), limit: LONGEST_TOKEN });
        }
        let mut kind = match metadata.types.and_then(|types| types.get(id)) {
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(6) => Kind::Byte,
            // Unused tokens can be made by merges, and are.
            _ => Kind::Normal,
        };
        if kind == Kind::Byte && named_byte(text).is_none() {
            return Err(TokenizerError::ByteToken { id, text: shortened(text) });
        }
        // Converters have marked some of these as ordinary text, which would hide the end of an answer.
        if kind == Kind::Normal && STOPS.contains(&text.as_str()) {
            kind = Kind::Control;
        }
        let text: Cow<str> = if text.is_empty() { format!("[EMPTY_{id}]").into() } else { text.into() };
        if let Some(first) = checked.ids.insert(String::from(&*text), id as u32) {
            let text = shortened(&text);
            return Err(TokenizerError::DuplicateToken { text, first: first as usize, second: id });
        }
        checked.texts.push(text);
        checked.kinds.push(kind);
    }
    Ok(checked)
}

fn id_of(key: &str, id: Option<u64>, size: usize) -> Result<Option<u32>, TokenizerError> {
    match id {
        Some(id) if id >= size as u64 => Err(TokenizerError::IdOutOfRange { key: key.to_owned(), id, size }),
        other => Ok(other.map(|id| id as u32)),
    }
}

/// Makes the tokenizer that the metadata describe.
pub(crate) fn tokenizer(metadata: &Metadata<'_>) -> Result<Tokenizer, TokenizerError> {
    let bos_of_llama = (metadata.model == "llama").then_some(1);
    let eos_of_kind = match metadata.model {
        "llama" => Some(2),
        "t5" => Some(1),
        _ => None,
    };
    let mut checked = check(metadata)?;
    let size = checked.texts.len();
    let bos = id_of("tokenizer.ggml.bos_token_id", metadata.bos.or(bos_of_llama), size)?;
    let eos = id_of("tokenizer.ggml.eos_token_id", metadata.eos.or(eos_of_kind), size)?;
    let eot = id_of("tokenizer.ggml.eot_token_id", metadata.eot, size)?;
    let eom = id_of("tokenizer.ggml.eom_token_id", metadata.eom, size)?;

    let stops = stops(&checked.ids, [eos, eot, eom]);

    let (mut library, spelling, defaults) = match metadata.model {
        "gpt2" => byte_level(metadata, &mut checked)?,
        "llama" => sentence_piece(metadata, &mut checked)?,
        "t5" => unigram(metadata, &checked)?,
        other => return Err(TokenizerError::UnknownModel { model: shortened(other) }),
    };

    let mut special = vec![false; size];
    let mut pieces = Pieces::default();
    let mut added = Vec::new();
    for ((text, kind), special) in checked.texts.iter().zip(&checked.kinds).zip(&mut special) {
        let apart = matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown);
        *special = matches!(kind, Kind::Control | Kind::Unknown);
        if apart {
            added.push(AddedToken::from(&**text, *special).normalized(false));
        }
        match (kind, named_byte(text)) {
            (Kind::Byte, Some(byte)) => pieces.push(&[byte]),
            // Files without token types: only there can a byte have been taken for text.
            (Kind::Normal, Some(byte)) if spelling == Spelling::Spaced => pieces.push(&[byte]),
            _ if apart => pieces.push(text.as_bytes()),
            _ => pieces.push(&spelled(text, spelling)),
        }
    }
    guarded("take the special tokens", || library.add_tokens(added))?;

    let adds = |key, wanted: Option<bool>, default, id: Option<u32>, missing| match (wanted, id) {
        (Some(true), None) => Err(TokenizerError::NothingToAdd { key, missing }),
        (wanted, id) => Ok(id.filter(|_| wanted.unwrap_or(default)).into_iter().collect::<Vec<u32>>()),
    };
    let prefix =
        adds("tokenizer.ggml.add_bos_token", metadata.add_bos, defaults.bos, bos, "tokenizer.ggml.bos_token_id")?;
    let suffix =
        adds("tokenizer.ggml.add_eos_token", metadata.add_eos, defaults.eos, eos, "tokenizer.ggml.eos_token_id")?;

    Ok(Tokenizer {
        library,
        pieces: Some(pieces),
        special,
        bos,
        eos,
        stops,
        prefix,
        suffix,
        strips_space: defaults.space_prefix,
        every_byte: spelling == Spelling::ByteLevel,
        size,
        highest: size as u32 - 1,
    })
}

/// What is added to a text unless the metadata say otherwise.
struct Defaults {
    bos: bool,
    eos: bool,
    space_prefix: bool,
}

type Made = (tokenizers::Tokenizer, Spelling, Defaults);

fn byte_level(metadata: &Metadata<'_>, checked: &mut Checked<'_>) -> Result<Made, TokenizerError> {
    let lines = metadata.merges.ok_or(TokenizerError::Missing { key: "tokenizer.ggml.merges", expected: "texts" })?;
    let name = metadata.pre.unwrap_or("default");
    let rule =
        pre::rule(name).ok_or_else(|| TokenizerError::UnknownPre { pre: shortened(name), known: pre::names() })?;
    let merges = merges::listed(lines.iter().map(String::as_str), &checked.ids)?;
    let model = guarded("take the vocabulary", || {
        BPE::builder()
            .vocab_and_merges(std::mem::take(&mut checked.ids), merges)
            .ignore_merges(rule.whole_words)
            .build()
    })?;
    let mut library = tokenizers::Tokenizer::new(model);
    library.with_pre_tokenizer(Some(splitter(rule.split)?));
    Ok((library, Spelling::ByteLevel, Defaults { bos: rule.adds_bos, eos: false, space_prefix: false }))
}

/// Splits by each expression in turn, then spells bytes as characters.
pub(crate) fn splitter(expressions: &[&str]) -> Result<PreTokenizers, TokenizerError> {
    let mut steps: Vec<PreTokenizerWrapper> = Vec::with_capacity(expressions.len() + 1);
    for &expression in expressions {
        let pattern = SplitPattern::Regex(expression.to_owned());
        let split = guarded("split into words", || Split::new(pattern, SplitDelimiterBehavior::Isolated, false))?;
        steps.push(split.into());
    }
    steps.push(ByteLevel::new(false, false, false).into());
    Ok(PreTokenizers::new(steps))
}

fn scores<'a>(metadata: &Metadata<'a>) -> Result<&'a [f32], TokenizerError> {
    let scores =
        metadata.scores.ok_or(TokenizerError::Missing { key: "tokenizer.ggml.scores", expected: "FLOAT32 numbers" })?;
    match scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        Some((id, &score)) => Err(TokenizerError::Score { id, score }),
        None => Ok(scores),
    }
}

fn unknown<'a>(metadata: &Metadata<'_>, checked: &'a Checked<'_>) -> Result<Option<(u32, &'a str)>, TokenizerError> {
    let by_kind = || checked.kinds.iter().position(|&kind| kind == Kind::Unknown).map(|id| id as u64);
    let id = id_of("tokenizer.ggml.unknown_token_id", metadata.unknown.or_else(by_kind), checked.texts.len())?;
    Ok(id.and_then(|id| Some((id, &**checked.texts.get(id as usize)?))))
}

fn sentence_piece(metadata: &Metadata<'_>, checked: &mut Checked<'_>) -> Result<Made, TokenizerError> {
    let scores = scores(metadata)?;
    let mergeable: Vec<(&str, f32)> = checked
        .texts
        .iter()
        .zip(&checked.kinds)
        .zip(scores)
        .filter(|((_, kind), _)| matches!(kind, Kind::Normal | Kind::UserDefined))
        .map(|((text, _), &score)| (&**text, score))
        .collect();
    let merges = merges::scored(&mergeable, &checked.ids);
    let mut builder =
        BPE::builder().vocab_and_merges(std::mem::take(&mut checked.ids), merges).byte_fallback(true).fuse_unk(true);
    if let Some((_, text)) = unknown(metadata, checked)? {
        builder = builder.unk_token(text.to_owned());
    }
    let model = guarded("take the vocabulary", || builder.build())?;
    let mut library = tokenizers::Tokenizer::new(model);
    let space_prefix = metadata.add_space_prefix.unwrap_or(true);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if space_prefix {
        steps.push(Prepend::new("▁".to_owned()).into());
    }
    steps.push(guarded("replace spaces", || Replace::new(" ", "▁"))?.into());
    guarded("normalise", || library.with_normalizer(Some(Normalizers::new(steps))).map(|_| ()))?;
    Ok((library, Spelling::Spaced, Defaults { bos: true, eos: false, space_prefix }))
}

fn unigram(metadata: &Metadata<'_>, checked: &Checked<'_>) -> Result<Made, TokenizerError> {
    let scores = scores(metadata)?;
    let pieces = checked.texts.iter().zip(scores).map(|(text, &score)| (text.to_string(), f64::from(score))).collect();
    let unknown = unknown(metadata, checked)?.map(|(id, _)| id as usize);
    let has_bytes = checked.kinds.contains(&Kind::Byte);
    let model = guarded("take the vocabulary", || Unigram::from(pieces, unknown, has_bytes))?;
    let mut library = tokenizers::Tokenizer::new(model);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if let Some(charsmap) = &metadata.charsmap {
        let map = guarded("read tokenizer.ggml.precompiled_charsmap", || Ok(Precompiled::from(charsmap)?))?;
        steps.push(map.into());
    }
    if metadata.remove_extra_whitespaces.unwrap_or(false) {
        steps.push(Strip::new(true, true).into());
        let runs = ReplacePattern::Regex(" {2,}".to_owned());
        steps.push(guarded("replace spaces", || Replace::new(runs, " "))?.into());
    }
    guarded("normalise", || library.with_normalizer(Some(Normalizers::new(steps))).map(|_| ()))?;
    let space_prefix = metadata.add_space_prefix.unwrap_or(false);
    let scheme = if space_prefix { PrependScheme::Always } else { PrependScheme::Never };
    library.with_pre_tokenizer(Some(Metaspace::new('▁', scheme, true)));
    Ok((library, Spelling::Spaced, Defaults { bos: false, eos: true, space_prefix }))
}

/// The ids that end an answer, in order: those that the metadata name, and those known by their text.
fn stops(ids: &Vocab, named: [Option<u32>; 3]) -> Vec<u32> {
    let by_text = |text: &&str| ids.get(*text).copied();
    let mut stops: Vec<u32> = named.into_iter().flatten().chain(STOPS.iter().filter_map(by_text)).collect();
    // Where an answer ends with <|return|> or <|call|>, <|end|> only ends one message of it.
    let harmony = ids.contains_key("<|return|>") && ids.contains_key("<|call|>");
    if let Some(end) = ids.get("<|end|>").filter(|_| harmony) {
        stops.retain(|id| id != end);
    }
    stops.sort_unstable();
    stops.dedup();
    stops
}

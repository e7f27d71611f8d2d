//! A tokenizer from the files beside safetensors: `tokenizer.json`, or the older `vocab.json` with `merges.txt`.
//!
//! Which tokens begin and end a text is said by `tokenizer_config.json`, by `special_tokens_map.json` where that is
//! silent, and by the ids in `config.json` and `generation_config.json`.

use std::io::Read;
use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, Tokenizer as Library};

use super::error::{TokenizerError, shortened};
use super::pieces::{Pieces, Spelling, named_byte, spelled};
use super::{Tokenizer, gguf, guarded, merges};

/// Larger than any tokenizer.json; the largest known have 35 MB.
const LARGEST: u64 = 256 << 20;
/// Larger than any of the small files.
const LARGEST_CONFIG: u64 = 16 << 20;
/// Ids above this are not those of a vocabulary.
const HIGHEST_ID: u32 = 1 << 24;

/// What the files beside the vocabulary say.
#[derive(Debug, Default)]
pub(super) struct Settings {
    bos: Option<String>,
    eos: Option<String>,
    bos_id: Option<u32>,
    eos_ids: Vec<u32>,
    add_bos: Option<bool>,
    add_eos: Option<bool>,
    /// Tokens by id, as `tokenizer_config.json` lists them.
    added: Vec<(u32, AddedToken)>,
}

impl Settings {
    pub(super) fn of(
        tokenizer_config: Option<&Value>,
        special_map: Option<&Value>,
        config: Option<&Value>,
        generation: Option<&Value>,
    ) -> Self {
        let text =
            |key: &str| [tokenizer_config, special_map].into_iter().flatten().find_map(|file| content(file.get(key)?));
        let truth = |key: &str| tokenizer_config.and_then(|file| file.get(key)?.as_bool());
        let ids = |key: &str| -> Vec<u32> {
            let found =
                [generation, config].into_iter().flatten().find_map(|file| file.get(key).filter(|v| !v.is_null()));
            match found {
                Some(Value::Array(many)) => many.iter().filter_map(whole).collect(),
                Some(one) => whole(one).into_iter().collect(),
                None => Vec::new(),
            }
        };
        let listed = tokenizer_config.and_then(|file| file.get("added_tokens_decoder")?.as_object());
        let added = listed.into_iter().flatten().filter_map(|(id, token)| Some((id.parse().ok()?, added(token)?)));
        Self {
            bos: text("bos_token"),
            eos: text("eos_token"),
            bos_id: ids("bos_token_id").first().copied(),
            eos_ids: ids("eos_token_id"),
            add_bos: truth("add_bos_token"),
            add_eos: truth("add_eos_token"),
            added: added.collect(),
        }
    }
}

/// A token is written as its text or as an object with "content".
fn content(token: &Value) -> Option<String> {
    let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
    Some(text.to_owned())
}

fn whole(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

fn added(token: &Value) -> Option<AddedToken> {
    let truth = |key: &str, default: bool| token.get(key).and_then(Value::as_bool).unwrap_or(default);
    let special = truth("special", false);
    Some(
        AddedToken::from(content(token)?, special)
            .normalized(truth("normalized", !special))
            .lstrip(truth("lstrip", false))
            .rstrip(truth("rstrip", false))
            .single_word(truth("single_word", false)),
    )
}

/// The tokenizer beside the weights of a folder.
pub(super) fn from_folder(folder: &Path, config: Option<&Value>) -> Result<Tokenizer, TokenizerError> {
    let tokenizer_config = config_file(&folder.join("tokenizer_config.json"))?;
    let special_map = config_file(&folder.join("special_tokens_map.json"))?;
    let generation = config_file(&folder.join("generation_config.json"))?;
    let settings = Settings::of(tokenizer_config.as_ref(), special_map.as_ref(), config, generation.as_ref());
    let path = folder.join("tokenizer.json");
    if let Some(bytes) = read(&path, LARGEST)? {
        return from_json(&bytes, &settings);
    }
    let (vocabulary, lines) = (folder.join("vocab.json"), folder.join("merges.txt"));
    match (read(&vocabulary, LARGEST)?, read(&lines, LARGEST)?) {
        (Some(vocabulary), Some(lines)) => from_lists(&vocabulary, &lines, &settings),
        _ => Err(TokenizerError::NoTokenizer { folder: folder.to_owned() }),
    }
}

fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TokenizerError> {
    let failed = |source| TokenizerError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > limit {
        return Err(TokenizerError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    let mut contents = Vec::new();
    // The size may be wrong (a pipe has none), the limit holds all the same.
    file.take(limit).read_to_end(&mut contents).map_err(failed)?;
    Ok(Some(contents))
}

/// A JSON file that need not be there.
pub(crate) fn config_file(path: &Path) -> Result<Option<Value>, TokenizerError> {
    let Some(bytes) = read(path, LARGEST_CONFIG)? else { return Ok(None) };
    let malformed = |error: serde_json::Error| malformed(&path.display().to_string(), &error.to_string());
    serde_json::from_slice(&bytes).map(Some).map_err(malformed)
}

fn malformed(place: &str, reason: &str) -> TokenizerError {
    TokenizerError::Malformed { place: place.to_owned(), reason: reason.to_owned() }
}

/// The older form: a map of tokens to ids, and a list of merges.
fn from_lists(vocabulary: &[u8], lines: &[u8], settings: &Settings) -> Result<Tokenizer, TokenizerError> {
    let ids: std::collections::BTreeMap<String, u32> =
        serde_json::from_slice(vocabulary).map_err(|error| malformed("vocab.json", &error.to_string()))?;
    let ids: Vocab = ids.into_iter().collect();
    let text = std::str::from_utf8(lines).map_err(|error| malformed("merges.txt", &error.to_string()))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).collect();
    let merges = merges::listed(lines.into_iter(), &ids)?;
    let highest = ids.values().copied().max().unwrap_or(0);
    if ids.is_empty() || highest > HIGHEST_ID {
        return Err(TokenizerError::Size {
            place: "vocab.json".to_owned(),
            count: if ids.is_empty() { 0 } else { highest as usize + 1 },
            limit: HIGHEST_ID as usize,
        });
    }
    // What is not listed as added but begins or ends a text is a token of its own, as in `transformers`.
    let named =
        |text: &Option<String>| text.as_ref().map(|text| AddedToken::from(text.clone(), true).normalized(false));
    let mut added: Vec<AddedToken> = [named(&settings.bos), named(&settings.eos)].into_iter().flatten().collect();
    if settings.bos.is_none() && settings.eos.is_none() && ids.contains_key("<|endoftext|>") {
        added.push(AddedToken::from("<|endoftext|>", true).normalized(false));
    }
    let model = guarded("take the vocabulary", || BPE::builder().vocab_and_merges(ids, merges).build())?;
    let mut library = Library::new(model);
    let gpt2 = super::pre::rule("gpt-2").map_or(&[][..], |rule| rule.split);
    library.with_pre_tokenizer(Some(gguf::splitter(gpt2)?));
    library.with_decoder(Some(tokenizers::decoders::byte_level::ByteLevel::new(false, false, false)));
    guarded("take the special tokens", || library.add_tokens(added))?;
    let mut tokenizer = finish(library, settings)?;
    if tokenizer.bos.is_none() && tokenizer.eos.is_none() {
        let end = tokenizer.token_id("<|endoftext|>");
        (tokenizer.bos, tokenizer.eos) = (end, end);
        tokenizer.stops.extend(end);
    }
    Ok(tokenizer)
}

/// The tokenizer of a `tokenizer.json`.
pub(super) fn from_json(bytes: &[u8], settings: &Settings) -> Result<Tokenizer, TokenizerError> {
    let library = guarded("read tokenizer.json", || Library::from_bytes(bytes))?;
    finish(library, settings)
}

fn finish(mut library: Library, settings: &Settings) -> Result<Tokenizer, TokenizerError> {
    // A length that the file happens to be cut or filled to is no part of how text is read here.
    guarded("take off truncation", || library.with_truncation(None).map(|_| ()))?;
    library.with_padding(None);
    add_missing(&mut library, settings)?;

    let vocabulary = library.get_vocab(true);
    let own = library.get_vocab(false);
    let apart = library.get_added_tokens_decoder();
    let size = vocabulary.values().copied().max().unwrap_or(0);
    if vocabulary.is_empty() || size > HIGHEST_ID {
        let place = "tokenizer.json".to_owned();
        let count = if vocabulary.is_empty() { 0 } else { size as usize + 1 };
        return Err(TokenizerError::Size { place, count, limit: HIGHEST_ID as usize });
    }
    let size = size as usize + 1;
    let highest = own.iter().filter(|(_, id)| !apart.contains_key(id)).map(|(_, &id)| id).max().unwrap_or(0);
    let mut special = vec![false; size];
    for (&id, token) in &apart {
        if let Some(slot) = special.get_mut(id as usize) {
            *slot = token.special;
        }
    }

    let decoding = decoding(&library);
    let pieces = decoding.map(|(spelling, bytes, _)| {
        let mut texts: Vec<Option<String>> = vec![None; size];
        for (text, id) in vocabulary {
            if let Some(slot) = texts.get_mut(id as usize) {
                *slot = Some(text);
            }
        }
        let mut pieces = Pieces::default();
        for (text, id) in texts.into_iter().zip(0_u32..) {
            let text = text.unwrap_or_default();
            match named_byte(&text).filter(|_| bytes) {
                Some(byte) => pieces.push(&[byte]),
                None if apart.contains_key(&id) && spelling == Spelling::ByteLevel => pieces.push(text.as_bytes()),
                None => pieces.push(&spelled(&text, spelling)),
            }
        }
        pieces
    });

    let id_of = |text: &Option<String>| text.as_ref().and_then(|text| library.token_to_id(text));
    let bos = id_of(&settings.bos).or(settings.bos_id);
    let eos = id_of(&settings.eos).or(settings.eos_ids.first().copied());
    let mut stops: Vec<u32> = eos.into_iter().chain(settings.eos_ids.iter().copied()).collect();
    stops.sort_unstable();
    stops.dedup();
    let (mut prefix, mut suffix) = around(&library)?;
    set(&mut prefix, settings.add_bos, bos);
    set(&mut suffix, settings.add_eos, eos);

    // Ids are dropped silently only where the library has no other way.
    let every_byte = decoding.is_some_and(|(spelling, ..)| spelling == Spelling::ByteLevel)
        && library.get_normalizer().is_none()
        && apart.values().all(|token| !token.lstrip && !token.rstrip)
        && !adds_space(&library);
    Ok(Tokenizer {
        strips_space: decoding.is_some_and(|(.., strips)| strips),
        library,
        pieces,
        special,
        bos,
        eos,
        stops,
        prefix,
        suffix,
        every_byte,
        size,
        highest,
    })
}

/// Adds the tokens that only `tokenizer_config.json` lists; their ids must be the ones that it gives.
fn add_missing(library: &mut Library, settings: &Settings) -> Result<(), TokenizerError> {
    let mut missing: Vec<&(u32, AddedToken)> = settings.added.iter().collect();
    missing.retain(|(_, token)| library.token_to_id(&token.content).is_none());
    missing.sort_by_key(|(id, _)| *id);
    for (id, token) in missing {
        guarded("take the special tokens", || library.add_tokens([token.clone()]))?;
        if library.token_to_id(&token.content) != Some(*id) {
            let reason = format!("the token '{}' cannot have the id {id}", shortened(&token.content));
            return Err(malformed("tokenizer_config.json, added_tokens_decoder", &reason));
        }
    }
    Ok(())
}

/// What the library puts before and after a text.
fn around(library: &Library) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let plain = guarded("encode the text", || library.encode_fast("a", false))?;
    let full = guarded("encode the text", || library.encode_fast("a", true))?;
    let (plain, full) = (plain.get_ids(), full.get_ids());
    let place = if plain.is_empty() { Some(0) } else { full.windows(plain.len()).position(|part| part == plain) };
    let place =
        place.ok_or_else(|| malformed("tokenizer.json, post_processor", "it changes the tokens of the text"))?;
    let (before, rest) = full.split_at(place);
    Ok((before.to_vec(), rest.get(plain.len()..).unwrap_or(&[]).to_vec()))
}

/// Follows what `tokenizer_config.json` says about BOS or EOS over what the post-processor does.
fn set(ids: &mut Vec<u32>, wanted: Option<bool>, id: Option<u32>) {
    let Some(id) = id else { return };
    match wanted {
        Some(true) if !ids.contains(&id) => ids.push(id),
        Some(false) => ids.retain(|&other| other != id),
        _ => {}
    }
}

/// Whether the pre-tokenizer puts a space before a text.
fn adds_space(library: &Library) -> bool {
    fn any(step: &Value) -> bool {
        let own = step.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(false);
        own || step.get("pretokenizers").and_then(Value::as_array).is_some_and(|steps| steps.iter().any(any))
    }
    library.get_pre_tokenizer().and_then(|step| serde_json::to_value(step).ok()).is_some_and(|step| any(&step))
}

/// How the decoder writes tokens, whether `<0x41>` is a byte, and whether it takes a leading space off; `None` for a
/// decoder that works otherwise.
fn decoding(library: &Library) -> Option<(Spelling, bool, bool)> {
    let decoder = serde_json::to_value(library.get_decoder()?).ok()?;
    let kind = |step: &Value| step.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    let text = |step: &Value, key: &str| step.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    match kind(&decoder).as_str() {
        "ByteLevel" => Some((Spelling::ByteLevel, false, false)),
        "Metaspace" if text(&decoder, "replacement") == "▁" => {
            Some((Spelling::Spaced, false, text(&decoder, "prepend_scheme") != "never"))
        }
        "Sequence" => {
            let steps = decoder.get("decoders")?.as_array()?;
            let (mut spaces, mut bytes, mut fused, mut strips) = (false, false, false, false);
            for step in steps {
                match kind(step).as_str() {
                    "Replace"
                        if step.pointer("/pattern/String").and_then(Value::as_str) == Some("▁")
                            && text(step, "content") == " " =>
                    {
                        spaces = true;
                    }
                    "ByteFallback" => bytes = true,
                    "Fuse" => fused = true,
                    "Strip"
                        if fused
                            && text(step, "content") == " "
                            && step.get("start").and_then(Value::as_u64) == Some(1)
                            && step.get("stop").and_then(Value::as_u64) == Some(0) =>
                    {
                        strips = true;
                    }
                    "ByteLevel" if steps.len() == 1 => return Some((Spelling::ByteLevel, false, false)),
                    _ => return None,
                }
            }
            spaces.then_some((Spelling::Spaced, bytes, strips))
        }
        _ => None,
    }
}

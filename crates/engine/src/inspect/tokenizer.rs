//! What a checkpoint says about its tokenizer and its chat templates, without building either.

use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as DeserializeDerive, Serialize};
use serde_json::Value;

use crate::files::gguf::Header;
use crate::files::{Checkpoint, Layout, read_bounded};

/// Largest tokenizer.json, in bytes: the largest known has thirty-three million.
const MOST_TOKENIZER: u64 = 256 << 20;
/// Largest other file, in bytes.
const MOST_JSON: u64 = 16 << 20;

/// The tokenizer as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenizerFacts {
    /// "gpt2" and the like in GGUF, "BPE" and the like in tokenizer.json; `None` where there is no tokenizer.
    pub kind: Option<String>,
    /// How text is cut before tokens are made.
    pub pre: Option<String>,
    /// Tokens.
    pub tokens: Option<u64>,
    /// Merges of a byte-pair encoding.
    pub merges: Option<u64>,
    /// Id of the token at the beginning of a text.
    pub bos: Option<u64>,
    /// Ids of the tokens that end a text.
    pub eos: Vec<u64>,
    /// Id of the token that fills up.
    pub pad: Option<u64>,
    /// Whether BOS is put before a text; `None` where it is not said.
    pub adds_bos: Option<bool>,
    /// Whether EOS is put after a text; `None` where it is not said.
    pub adds_eos: Option<bool>,
    /// The file that it is in.
    pub file: Option<String>,
}

/// A chat template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Template {
    /// Its name; `None` for the one that is used by default.
    pub name: Option<String>,
    /// Where it stands.
    pub file: String,
    /// Characters.
    pub characters: usize,
    /// The template itself.
    pub text: String,
}

impl Template {
    fn new(name: Option<&str>, file: &str, text: &str) -> Self {
        let name = name.filter(|name| *name != "default").map(str::to_owned);
        Self { name, file: file.to_owned(), characters: text.chars().count(), text: text.to_owned() }
    }
}

impl TokenizerFacts {
    pub(super) fn of(checkpoint: &Checkpoint, warnings: &mut Vec<String>) -> Self {
        match checkpoint.layout() {
            Layout::Gguf(header) => Self::of_gguf(header),
            Layout::Safetensors { config, .. } => Self::of_folder(checkpoint.folder(), config, warnings),
        }
    }

    fn of_gguf(header: &Header) -> Self {
        let key = |end: &str| format!("tokenizer.ggml.{end}");
        let text = |end: &str| header.string(&key(end)).map(str::to_owned);
        let length = |end: &str| header.array(&key(end)).map(|array| array.len() as u64);
        let kind = text("model");
        let mut eos: Vec<u64> = Vec::new();
        for end in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            eos.extend(header.u64(&key(end)).filter(|id| !eos.contains(id)));
        }
        Self {
            file: kind.as_ref().map(|_| "the metadata".to_owned()),
            kind,
            pre: text("pre"),
            tokens: length("tokens"),
            merges: length("merges"),
            bos: header.u64(&key("bos_token_id")),
            eos,
            pad: header.u64(&key("padding_token_id")),
            adds_bos: header.bool(&key("add_bos_token")),
            adds_eos: header.bool(&key("add_eos_token")),
        }
    }

    fn of_folder(folder: &Path, config: &Value, warnings: &mut Vec<String>) -> Self {
        let settings = read(folder, "tokenizer_config.json");
        let generation = read(folder, "generation_config.json");
        let ids = |key: &str| -> Vec<u64> {
            let stated = [generation.as_ref(), Some(config)].into_iter().flatten();
            let found = stated.filter_map(|from| from.get(key)).find(|value| !value.is_null());
            found
                .map(|value| value.as_array().map_or_else(|| vec![value], |list| list.iter().collect()))
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .collect()
        };
        let flag = |key: &str| settings.as_ref().and_then(|s| s.get(key)?.as_bool());
        let mut facts = Self {
            bos: ids("bos_token_id").first().copied(),
            eos: ids("eos_token_id"),
            pad: ids("pad_token_id").first().copied(),
            adds_bos: flag("add_bos_token"),
            adds_eos: flag("add_eos_token"),
            ..Self::default()
        };
        for (name, read) in [
            ("tokenizer.json", Self::read_tokenizer_json as fn(&mut Self, &Path) -> Result<(), String>),
            ("vocab.json", Self::read_vocab_json),
            ("tokenizer.model", Self::note_sentencepiece),
        ] {
            let path = folder.join(name);
            if path.exists() {
                facts.file = Some(name.to_owned());
                if let Err(why) = read(&mut facts, &path) {
                    warnings.push(why);
                }
                break;
            }
        }
        facts
    }

    fn read_tokenizer_json(&mut self, path: &Path) -> Result<(), String> {
        let file: TokenizerJson = read_json(path, MOST_TOKENIZER)?;
        self.kind = file.model.kind;
        self.tokens = file
            .model
            .vocab
            .map(|vocab| vocab.0 + file.added_tokens.iter().filter(|id| id.id >= vocab.0).count() as u64);
        self.merges = file.model.merges.map(|merges| merges.0);
        self.pre = file.pre_tokenizer.map(|pre| pre.kind);
        Ok(())
    }

    fn read_vocab_json(&mut self, path: &Path) -> Result<(), String> {
        self.kind = Some("BPE".to_owned());
        let Length(tokens) = read_json(path, MOST_TOKENIZER)?;
        self.tokens = Some(tokens);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands in a table with readers that can fail")]
    fn note_sentencepiece(&mut self, _path: &Path) -> Result<(), String> {
        self.kind = Some("SentencePiece".to_owned());
        Ok(())
    }
}

/// The chat templates, the default one first.
pub(super) fn templates(checkpoint: &Checkpoint) -> Vec<Template> {
    let mut templates = match checkpoint.layout() {
        Layout::Gguf(header) => of_gguf(header),
        Layout::Safetensors { .. } => of_folder(checkpoint.folder()),
    };
    templates.sort_by(|a, b| a.name.cmp(&b.name));
    templates
}

fn of_gguf(header: &Header) -> Vec<Template> {
    const KEY: &str = "tokenizer.chat_template";
    let named = |key: &str| {
        let name = key.strip_prefix(KEY)?;
        if name.is_empty() { Some(None) } else { name.strip_prefix('.').map(|name| Some(name.to_owned())) }
    };
    let template = |key: &String| {
        let (name, text) = (named(key)?, header.string(key)?);
        Some(Template::new(name.as_deref(), "the metadata", text))
    };
    header.metadata.keys().filter_map(template).collect()
}

fn of_folder(folder: &Path) -> Vec<Template> {
    // The newest place wins: a file of its own, then the settings of the tokenizer.
    if let Ok(bytes) = read_bounded(&folder.join("chat_template.jinja"), MOST_JSON) {
        return vec![Template::new(None, "chat_template.jinja", &String::from_utf8_lossy(&bytes))];
    }
    for file in ["chat_template.json", "tokenizer_config.json"] {
        let Some(settings) = read(folder, file) else { continue };
        match settings.get("chat_template") {
            Some(Value::String(text)) => return vec![Template::new(None, file, text)],
            Some(Value::Array(list)) => {
                let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
                let template =
                    |entry| Some(Template::new(Some(&text(entry, "name")?), file, &text(entry, "template")?));
                return list.iter().filter_map(template).collect();
            }
            _ => {}
        }
    }
    Vec::new()
}

/// A JSON file of the folder, where there is one that can be read.
fn read(folder: &Path, name: &str) -> Option<Value> {
    read_json(&folder.join(name), MOST_JSON).ok()
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path, most: u64) -> Result<T, String> {
    let bytes = read_bounded(path, most).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

#[derive(DeserializeDerive)]
struct TokenizerJson {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    pre_tokenizer: Option<Kind>,
    model: Model,
}

#[derive(DeserializeDerive)]
struct Added {
    id: u64,
}

#[derive(DeserializeDerive)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(DeserializeDerive)]
struct Model {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    vocab: Option<Length>,
    #[serde(default)]
    merges: Option<Length>,
}

/// How many entries an object or a list has; they are passed over.
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthVisitor;
        impl<'de> Visitor<'de> for LengthVisitor {
            type Value = Length;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object or a list")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Length, A::Error> {
                let mut length = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(Length(length))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Length, A::Error> {
                let mut length = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(Length(length))
            }
        }
        deserializer.deserialize_any(LengthVisitor)
    }
}

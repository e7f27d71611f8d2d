//! Chat templates: messages to the one text that a model was trained on.
//!
//! A template comes with the weights and is hostile input. It runs without files, includes or imports, on a budget that
//! bounds its steps and its memory, and with the settings that `transformers` uses (blocks take their line away, undefined
//! values are empty). A template that gives up (`raise_exception`) is an answer too, with the template's own words.

mod date;
mod json;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};

pub use date::Date;

pub use weighbridge_core::Message;

use crate::files::Checkpoint;
use crate::tokenizer::{Tokenizer, TokenizerError, config_file};

/// Longer than any template; the longest known have 30 kB.
const LONGEST: usize = 1 << 18;
/// The most text that a template may make.
const MOST_OUTPUT: usize = 16 << 20;
/// Steps, and 64 bytes of data each: half a second of work and 32 MiB at the very most.
const FUEL: u64 = 1 << 19;
/// The interpreter and its values recurse: a chain of operators, or a list in a list in a list. How deep is bounded by the
/// length of the source and by the fuel; this is room for the deepest, of which only what is used becomes memory.
const STACK: usize = 1 << 30;
/// What the fuel does not count ends here; a conversation takes milliseconds.
const TIME: Duration = Duration::from_secs(5);
const TIME_NAME: &str = "5 seconds";
/// Nested calls; a template for tools nests about ten.
const DEEPEST: usize = 200;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template is larger than any is.
    #[error("the chat template from {place} has {bytes} bytes; at most {LONGEST} are read; it is not used")]
    TooLong {
        /// Where it comes from.
        place: String,
        /// Its size.
        bytes: usize,
    },
    /// The template reaches for the inside of the interpreter.
    #[error(
        "the chat template from {place} uses '{name}', which only an attack on the interpreter would; it is not used"
    )]
    Hostile {
        /// Where it comes from.
        place: String,
        /// The attribute.
        name: String,
    },
    /// The template cannot be read.
    #[error("the chat template from {place} cannot be read: {reason}; render the chat yourself and send plain text")]
    Syntax {
        /// Where it comes from.
        place: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// The template itself refuses these messages.
    #[error("the chat template refuses these messages: {reason}; change their roles or their order")]
    Refused {
        /// The template's own words.
        reason: String,
    },
    /// The template fails on these messages.
    #[error("the chat template fails on these messages: {reason}")]
    Failed {
        /// What went wrong, with the line.
        reason: String,
    },
    /// The template does too much.
    #[error("the chat template was stopped: more than {limit}; it is broken or hostile")]
    Bounds {
        /// The bound that it met.
        limit: &'static str,
    },
    /// A file beside the weights cannot be read.
    #[error(transparent)]
    File(#[from] TokenizerError),
}

/// Whether the text ends where the model's answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationPrompt {
    /// The model is to answer next.
    Open,
    /// The conversation is complete.
    Closed,
}

/// A chat template that is ready to use; it can be shared between threads.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    source: String,
    bos: String,
    eos: String,
    /// It has once gone beyond its time; it is not started again.
    stopped: AtomicBool,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// The template of a checkpoint: from the GGUF metadata, or `chat_template.jinja` in the folder, or
    /// `tokenizer_config.json`. `None` if it has none: a base model.
    ///
    /// # Errors
    /// There is one, but it cannot be used.
    pub fn of(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<Option<Self>, ChatError> {
        let found = match checkpoint.gguf() {
            Some(header) => {
                let key = "tokenizer.chat_template";
                header.string(key).map(|source| (format!("the GGUF metadata ({key})"), source.to_owned()))
            }
            None => beside(checkpoint)?,
        };
        let Some((place, source)) = found else { return Ok(None) };
        let text = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id)).unwrap_or_default();
        Self::new(source, &place, text(tokenizer.bos()), text(tokenizer.eos())).map(Some)
    }

    /// A template from its source; `place` says in errors where it comes from, `bos` and `eos` are the texts of those tokens.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn new(source: String, place: &str, bos: String, eos: String) -> Result<Self, ChatError> {
        let place = place.to_owned();
        if source.len() > LONGEST {
            return Err(ChatError::TooLong { place, bytes: source.len() });
        }
        if let Some(name) = inner_name(&source) {
            return Err(ChatError::Hostile { place, name });
        }
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let syntax = syntax.map_err(|error| ChatError::Syntax { place: place.clone(), reason: error.to_string() })?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEEPEST);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, "refused").with_source(Refusal(message)))
        });
        let text = plain_generation(&source);
        let environment = apart(move || {
            let added = environment.add_template_owned(NAME, text);
            added.map_err(|error| ChatError::Syntax { place, reason: described(&error) })?;
            Ok(environment)
        })?;
        Ok(Self { environment: Arc::new(environment), source, bos, eos, stopped: AtomicBool::new(false) })
    }

    /// Gives the template a date to write; without one, `strftime_now` is not defined, and templates that look for it
    /// take the fixed date that they bring.
    #[must_use]
    pub fn at(mut self, date: Date) -> Self {
        Arc::make_mut(&mut self.environment).add_function("strftime_now", move |format: String| date.format(&format));
        self
    }

    /// The source, as the checkpoint has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation.
    ///
    /// # Errors
    /// The template refuses the messages, fails on them, or goes beyond its bounds.
    pub fn render(&self, messages: &[Message], prompt: GenerationPrompt) -> Result<String, ChatError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ChatError::Bounds { limit: TIME_NAME });
        }
        let pairs = |message: &Message| {
            Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
        };
        let context = Value::from_pairs([
            ("messages", messages.iter().map(pairs).collect::<Value>()),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(prompt == GenerationPrompt::Open)),
            ("bos_token", Value::from(self.bos.as_str())),
            ("eos_token", Value::from(self.eos.as_str())),
        ]);
        let environment = Arc::clone(&self.environment);
        let rendered = apart(move || {
            let template = environment.get_template(NAME).map_err(|error| failure(&error))?;
            let mut output = Bounded(Vec::new());
            template.render_captured_to(context, &mut output).map_err(|error| failure(&error))?;
            String::from_utf8(output.0).map_err(|error| ChatError::Failed { reason: error.to_string() })
        });
        if matches!(rendered, Err(ChatError::Bounds { limit: TIME_NAME })) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        rendered
    }
}

/// The template in the files beside the weights, and where it was.
fn beside(checkpoint: &Checkpoint) -> Result<Option<(String, String)>, ChatError> {
    let place = |path: &PathBuf| path.display().to_string();
    let path = checkpoint.folder().join("chat_template.jinja");
    match fs_err::metadata(&path) {
        Ok(facts) if facts.len() > LONGEST as u64 => {
            return Err(ChatError::TooLong { place: place(&path), bytes: facts.len() as usize });
        }
        Ok(_) => {
            let read = |source| TokenizerError::Read { path: path.clone(), source };
            return Ok(Some((place(&path), fs_err::read_to_string(&path).map_err(read)?)));
        }
        Err(_) => {}
    }
    let path = checkpoint.folder().join("tokenizer_config.json");
    let config = config_file(&path)?;
    let Some(found) = config.as_ref().and_then(|config| config.get("chat_template")) else { return Ok(None) };
    let named = |name: &str| {
        let templates = found.as_array()?;
        let chosen = templates.iter().find(|one| one.get("name").and_then(serde_json::Value::as_str) == Some(name))?;
        chosen.get("template")?.as_str()
    };
    Ok(found.as_str().or_else(|| named("default")).map(|source| (place(&path), source.to_owned())))
}

/// Runs the interpreter on a thread of its own, with room for the deepest recursion that its bounds leave, and for a
/// bounded time.
///
/// The fuel does not count the making of text from a list that holds one list many times over, which can take forever.
/// Such a thread cannot be ended; it is left behind until the process ends, and the template is not started again.
fn apart<T: Send + 'static>(run: impl FnOnce() -> Result<T, ChatError> + Send + 'static) -> Result<T, ChatError> {
    let failed = |reason: &str| Err(ChatError::Failed { reason: reason.to_owned() });
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().name("chat template".to_owned()).stack_size(STACK);
    // Nobody listens any more if it took too long.
    if let Err(error) = thread.spawn(move || drop(sender.send(run()))) {
        return failed(&format!("no thread can be started for it: {error}"));
    }
    match receiver.recv_timeout(TIME) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(ChatError::Bounds { limit: TIME_NAME }),
        Err(mpsc::RecvTimeoutError::Disconnected) => failed("the interpreter gave up"),
    }
}

/// What `raise_exception` was told.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// A text that does not grow beyond its bound.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_OUTPUT {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failure(error: &minijinja::Error) -> ChatError {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(Refusal(reason)) = inner.downcast_ref() {
            return ChatError::Refused { reason: reason.chars().take(500).collect() };
        }
        cause = inner.source();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => ChatError::Bounds { limit: "half a million steps or 32 MiB of data" },
        ErrorKind::WriteFailure => ChatError::Bounds { limit: "16 MiB of text" },
        _ => ChatError::Failed { reason: described(error) },
    }
}

/// An error in one line: what, and in which line of the template.
fn described(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    let what: String = what.chars().take(500).collect();
    error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}"))
}

/// The first name like `__class__` that is reached for as an attribute.
fn inner_name(source: &str) -> Option<String> {
    source.match_indices("__").find_map(|(at, _)| {
        let (before, after) = source.split_at(at);
        let before = before.trim_end_matches(['"', '\'']).trim_end();
        let inner = after.trim_start_matches('_');
        let word: String = inner.chars().take_while(char::is_ascii_alphabetic).collect();
        let reached = before.ends_with(['.', '[']) || before.ends_with("attr(");
        let dunder = !word.is_empty() && inner.get(word.len()..).is_some_and(|rest| rest.starts_with("__"));
        (reached && dunder).then(|| format!("__{word}__"))
    })
}

/// `{% generation %}` only marks what a model is trained on; here it becomes a block that is always taken.
fn plain_generation(source: &str) -> String {
    let mut made = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        made.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let inner = tag.trim_start_matches("{%").trim_end_matches("%}");
        match inner.trim_matches(['-', '+', ' ', '\t', '\r', '\n']) {
            "generation" => made.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => made.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => made.push_str(tag),
        }
        rest = after;
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_marks_become_blocks() {
        assert_eq!(
            plain_generation("a{% generation %}b{%- endgeneration -%}c{% if generation %}d{% endif %}{% x"),
            "a{% if true %}b{%- endif -%}c{% if generation %}d{% endif %}{% x"
        );
    }

    #[test]
    fn only_attributes_count_as_attacks() {
        for (source, name) in [
            ("{{ ''.__class__ }}", Some("__class__")),
            ("{{ x['__globals__'] }}", Some("__globals__")),
            ("{{ x|attr(\"__init__\") }}", Some("__init__")),
            ("{{ x['a__b'] }} __init__ and __", None),
            ("a.__b", None),
        ] {
            assert_eq!(inner_name(source).as_deref(), name, "{source}");
        }
    }
}

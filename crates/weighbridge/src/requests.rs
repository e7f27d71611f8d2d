//! A file of requests, one JSON object a line, read without ever being held as a whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use weighbridge_api::NumberedRequest;
use weighbridge_core::{Effort, GenerationRequest, Message, Prompt, Reasoning, Sampling};

/// What lines look like.
const EXPECTED: &str =
    r#"expected {"prompt": TEXT}, {"text": TEXT} or {"messages": [{"role": ..., "content": ...}, ...]}"#;

/// What a request takes where its line says nothing.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Longest answer.
    pub max_tokens: usize,
    /// Stop strings.
    pub stop: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// How much is thought first.
    pub reasoning: Reasoning,
    /// Alternatives of log-probabilities.
    pub top_logprobs: Option<u8>,
}

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    prompt: Option<String>,
    text: Option<String>,
    messages: Option<Vec<Message>>,
    system: Option<String>,
    max_tokens: Option<usize>,
    stop: Option<Vec<String>>,
    temperature: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    seed: Option<u64>,
    reasoning_effort: Option<Effort>,
    reasoning_tokens: Option<u32>,
    top_logprobs: Option<u8>,
    repeat: Option<u32>,
}

/// A file of requests that has been read through once: every line is a request.
#[derive(Debug)]
pub struct RequestFile {
    name: String,
    file: File,
    defaults: Defaults,
    /// Requests in it.
    pub count: u64,
    /// Hash of its content and of what stands for what its lines leave out.
    pub hash: String,
}

impl RequestFile {
    /// Reads the file once, to find what is wrong with it before anything is asked. '-' is standard input.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no request.
    pub fn open(path: &Path, defaults: Defaults) -> anyhow::Result<Self> {
        let (name, file) = if path == Path::new("-") {
            ("standard input".to_owned(), spooled()?)
        } else {
            (path.display().to_string(), File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
        };
        let hash = hash_of(&file, &defaults)?;
        let mut new = Self { name, file, defaults, count: 0, hash };
        let count = new.read()?.try_fold(0, |n, line| line.map(|_| n + 1));
        new.count = count?;
        if new.count == 0 {
            bail!("{} holds no request; {EXPECTED}", new.name);
        }
        Ok(new)
    }

    /// Puts every request before `good`.
    ///
    /// # Errors
    /// It refuses one; the message names the request.
    pub fn check(&self, good: impl Fn(&GenerationRequest) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for numbered in self.read()? {
            let numbered = numbered?;
            good(&numbered.request).with_context(|| format!("{}, request {}", self.name, numbered.index + 1))?;
        }
        Ok(())
    }

    /// The requests, from the beginning.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<NumberedRequest>> + use<'_>> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        let lines = BufReader::with_capacity(1 << 16, file).lines().enumerate();
        let full = lines.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
        Ok(full.zip(0..).map(|((at, line), index)| {
            let place = || format!("{}, line {}", self.name, at + 1);
            let line = line.with_context(|| format!("{}: not readable as text", place()))?;
            let line: Line = serde_json::from_str(&line).with_context(|| format!("{}: {EXPECTED}", place()))?;
            let id = line.id.clone();
            let request = self.request(line).with_context(place)?;
            Ok(NumberedRequest { index, id, request })
        }))
    }

    fn request(&self, line: Line) -> anyhow::Result<GenerationRequest> {
        let prompt = match (line.prompt, line.text, line.messages) {
            (Some(prompt), None, None) => Prompt::Messages(vec![Message::user(prompt)]),
            (None, Some(text), None) => Prompt::Text(text),
            (None, None, Some(messages)) if !messages.is_empty() => Prompt::Messages(messages),
            _ => bail!("one of prompt, text and messages; {EXPECTED}"),
        };
        let prompt = match (line.system, prompt) {
            (None, prompt) => prompt,
            (Some(system), Prompt::Messages(mut turns)) => {
                turns.insert(0, Message::new("system", system));
                Prompt::Messages(turns)
            }
            (Some(_), Prompt::Text(_)) => bail!("system goes with prompt or messages, not with text"),
        };
        let default = &self.defaults;
        let reasoning = match (line.reasoning_effort, line.reasoning_tokens) {
            (None, None) => default.reasoning,
            (Some(level), None) => Reasoning::Effort(level),
            (None, Some(tokens)) => Reasoning::Budget(tokens),
            (Some(_), Some(_)) => return Err(anyhow!("reasoning_effort and reasoning_tokens exclude each other")),
        };
        Ok(GenerationRequest {
            prompt,
            stop: line.stop.unwrap_or_else(|| default.stop.clone()),
            max_tokens: line.max_tokens.unwrap_or(default.max_tokens),
            sampling: Sampling {
                temperature: line.temperature.or(default.sampling.temperature),
                top_k: line.top_k.or(default.sampling.top_k),
                top_p: line.top_p.or(default.sampling.top_p),
                min_p: line.min_p.or(default.sampling.min_p),
                seed: line.seed.or(default.sampling.seed),
            },
            reasoning,
            top_logprobs: line.top_logprobs.or(default.top_logprobs),
            repeat: line.repeat.unwrap_or(0),
        })
    }
}

/// Standard input in a file that vanishes when it is closed: it is read more than once.
fn spooled() -> anyhow::Result<File> {
    let mut file = tempfile::tempfile().context("cannot keep standard input in a temporary file")?;
    io::copy(&mut io::stdin().lock(), &mut file).context("cannot read standard input")?;
    file.flush()?;
    Ok(file)
}

fn hash_of(file: &File, defaults: &Defaults) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{defaults:?}\n").as_bytes());
    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            n => hasher.update(&buffer[..n]),
        };
    }
}

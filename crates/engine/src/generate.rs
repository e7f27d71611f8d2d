//! Generating many texts together: prompts wait in a queue, texts that are being generated share one batch, and a
//! finished one makes room for the next.
//!
//! The queue is sorted, so that prompts with a common beginning follow each other and share its keys and values. A text
//! takes its slots when it is admitted, so the cache bounds the memory however long the queue is, and no text that was
//! begun has to be given up.

use std::collections::VecDeque;

use rayon::prelude::*;
use weighbridge_core::{Finish, Generation, Sampling};

use crate::cache::{Cache, Path};
use crate::error::EngineError;
use crate::forward::Forward;
use crate::kernel::{Segment, math};
use crate::sampler::Sampler;
use crate::tokenizer::{TokenStream, Tokenizer};

/// Tokens of a batch.
const BATCH: usize = 512;

/// What generation may hold at a time, however many prompts wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Texts.
    pub streams: usize,
    /// Bytes of keys and values, unless the longest request alone needs more.
    pub cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 64, cache_bytes: 512 << 20 }
    }
}

/// A text to generate, in tokens.
#[derive(Clone, Debug)]
pub struct TokenPrompt {
    /// The prompt. At least one token.
    pub ids: Vec<u32>,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
    /// At most this many tokens.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// Told what happens: the number of a request, and the piece of its text that is new and final. The piece is empty when
/// the text is complete.
pub type Listener<'a> = dyn FnMut(usize, &str) + 'a;

/// A text that is being generated.
struct Stream<'a> {
    request: usize,
    /// The prompt and what was generated.
    ids: Vec<u32>,
    prompt: usize,
    /// Tokens that ran through the model.
    done: usize,
    /// Slots of the prompt and of all that may be generated.
    path: Path,
    limit: usize,
    full: Finish,
    sampler: Sampler,
    text: String,
    told: usize,
    decoding: Option<TokenStream<'a>>,
    logprobs: Vec<f32>,
}

/// Generates every text; the answers are in the order of the prompts.
///
/// # Errors
/// A prompt is empty or longer than the context, a setting is outside its range, the memory does not suffice, or the model
/// gives no finite numbers.
pub fn generate(
    decoder: &dyn Forward,
    tokenizer: &Tokenizer,
    prompts: &[TokenPrompt],
    limits: Limits,
    listener: &mut Listener<'_>,
) -> Result<Vec<Generation>, EngineError> {
    check(decoder, prompts)?;
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by(|&a, &b| prompts[a].ids.cmp(&prompts[b].ids));
    let mut room = Room {
        decoder,
        tokenizer,
        prompts,
        limits,
        cache: decoder.cache(cache_tokens(decoder, prompts, limits.cache_bytes))?,
        queue: order.into(),
        streams: Vec::new(),
        trunk: None,
    };
    let mut answers: Vec<Option<Generation>> = vec![None; prompts.len()];
    while !room.queue.is_empty() || !room.streams.is_empty() {
        let counts = room.fill()?;
        room.step(&counts)?;
        for (request, answer) in room.take_finished(listener) {
            answers[request] = Some(answer);
        }
    }
    Ok(answers.into_iter().flatten().collect())
}

fn check(decoder: &dyn Forward, prompts: &[TokenPrompt]) -> Result<(), EngineError> {
    let (vocabulary, context) = (decoder.architecture().vocabulary, decoder.architecture().context);
    for (i, prompt) in prompts.iter().enumerate() {
        if prompt.ids.is_empty() {
            return Err(EngineError::EmptyRequest { request: i + 1 });
        }
        if prompt.ids.len() >= context {
            return Err(EngineError::TooLong { tokens: prompt.ids.len(), context: context - 1 });
        }
        if prompt.max_tokens == 0 {
            let (name, value) = ("max-tokens", "0".to_owned());
            return Err(EngineError::Setting { name, value, expected: "a whole number from 1" });
        }
        if let Some(&token) = prompt.ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(EngineError::TokenOutside { token, vocabulary });
        }
    }
    Ok(())
}

/// Slots for all requests at once if they fit into `most` bytes, and for the longest in any case.
fn cache_tokens(decoder: &dyn Forward, prompts: &[TokenPrompt], most: usize) -> usize {
    let a = decoder.architecture();
    let need = |p: &TokenPrompt| p.ids.len().saturating_add(p.max_tokens).min(a.context) + 2 * crate::cache::PAGE;
    let longest = prompts.iter().map(need).max().unwrap_or(1);
    let all = prompts.iter().map(need).fold(0, usize::saturating_add);
    let bytes = 8 * a.layers.len() * a.kv_heads * a.head_dim;
    // The last prompt stays in the cache for those that follow.
    (most / bytes.max(1)).min(all).max(longest.saturating_mul(2))
}

struct Room<'a> {
    decoder: &'a dyn Forward,
    tokenizer: &'a Tokenizer,
    prompts: &'a [TokenPrompt],
    limits: Limits,
    cache: Cache,
    queue: VecDeque<usize>,
    streams: Vec<Stream<'a>>,
    /// The prompt that was admitted last, with its slots.
    trunk: Option<(usize, Path)>,
}

impl<'a> Room<'a> {
    /// Admits prompts, and says for each stream how many of its tokens are in the next batch.
    fn fill(&mut self) -> Result<Vec<usize>, EngineError> {
        let mut left = BATCH;
        let mut counts = Vec::new();
        for stream in &self.streams {
            let count = (stream.ids.len() - stream.done).min(left);
            counts.push(count);
            left -= count;
        }
        while left > 0 && self.streams.len() < self.limits.streams.max(1) {
            // A prompt is shared once all of it has run or is in this batch, so the next one waits for that.
            let placed = |(stream, count): (&Stream<'_>, &usize)| stream.done + count >= stream.prompt;
            if !self.streams.last().zip(counts.last()).is_none_or(placed) {
                break;
            }
            let Some(&request) = self.queue.front() else { break };
            let Some(stream) = self.admit(request)? else { break };
            self.queue.pop_front();
            let count = (stream.ids.len() - stream.done).min(left);
            left -= count;
            counts.push(count);
            self.streams.push(stream);
        }
        Ok(counts)
    }

    /// A stream with its slots, or `None` where it has to wait for another to end.
    fn admit(&mut self, request: usize) -> Result<Option<Stream<'a>>, EngineError> {
        let prompt = &self.prompts[request];
        let room = self.decoder.architecture().context - prompt.ids.len();
        let limit = prompt.max_tokens.min(room);
        let mut path = self.shared(&prompt.ids);
        let shared = path.len();
        if let Err(full) = self.cache.extend(&mut path, prompt.ids.len() + limit - shared) {
            self.cache.release(path);
            if !self.streams.is_empty() {
                return Ok(None);
            }
            // Nothing else will end, so the prompt that was kept for sharing makes room.
            let Some((_, trunk)) = self.trunk.take() else { return Err(full.into()) };
            self.cache.release(trunk);
            return self.admit(request);
        }
        let trunk = self.cache.fork(&path, prompt.ids.len());
        if let Some((_, old)) = self.trunk.replace((request, trunk)) {
            self.cache.release(old);
        }
        Ok(Some(Stream {
            request,
            ids: prompt.ids.clone(),
            prompt: prompt.ids.len(),
            done: shared,
            path,
            limit,
            full: if prompt.max_tokens <= room { Finish::MaxTokens } else { Finish::ContextFull },
            sampler: Sampler::new(prompt.sampling)?,
            text: String::new(),
            told: 0,
            decoding: Some(self.tokenizer.stream()),
            logprobs: Vec::new(),
        }))
    }

    /// The slots of the beginning that a prompt shares with the one before it; its last token always runs.
    fn shared(&mut self, ids: &[u32]) -> Path {
        let Some((request, trunk)) = &self.trunk else { return Path::default() };
        let before = &self.prompts[*request].ids;
        let shared = before.iter().zip(&ids[..ids.len() - 1]).take_while(|(a, b)| a == b).count();
        self.cache.fork(trunk, shared)
    }

    /// Runs `counts[i]` tokens of each stream, and chooses the next token of each that has run to its end.
    fn step(&mut self, counts: &[usize]) -> Result<(), EngineError> {
        let mut tokens = Vec::new();
        let mut segments = Vec::new();
        for (stream, &len) in self.streams.iter().zip(counts).filter(|(_, len)| **len > 0) {
            segments.push(Segment { row: tokens.len(), len, runs: stream.path.runs(), position: stream.done });
            tokens.extend_from_slice(&stream.ids[stream.done..stream.done + len]);
        }
        let hidden = self.decoder.forward(&mut self.cache, &tokens, &segments, None)?;
        let (width, vocabulary) = (self.decoder.architecture().hidden, self.decoder.architecture().vocabulary);
        let mut last = Vec::new();
        let mut ready: Vec<&mut Stream<'_>> = Vec::new();
        let mut row = 0;
        for (stream, &count) in self.streams.iter_mut().zip(counts) {
            row += count;
            stream.done += count;
            if count > 0 && stream.done == stream.ids.len() {
                last.extend_from_slice(&hidden[(row - 1) * width..row * width]);
                ready.push(stream);
            }
        }
        let logits = self.decoder.logits(&last)?;
        let next = |(stream, logits): (&mut Stream<'_>, &[f32])| {
            let distribution = math::distribution(logits);
            let token = stream.sampler.choose(logits, distribution.argmax);
            let logprob = logits[token as usize] - distribution.log_sum;
            stream.ids.push(token);
            stream.logprobs.push(logprob);
            logprob.is_finite()
        };
        let finite = ready.into_par_iter().zip(logits.par_chunks_exact(vocabulary)).map(next).all(|finite| finite);
        if finite { Ok(()) } else { Err(EngineError::NotFinite) }
    }

    /// Removes the streams that have ended.
    fn take_finished(&mut self, listener: &mut Listener<'_>) -> Vec<(usize, Generation)> {
        let mut answers = Vec::new();
        let mut i = 0;
        while i < self.streams.len() {
            let stream = &mut self.streams[i];
            // A stream whose prompt is still running has nothing new.
            let finish = if stream.done < stream.ids.len() && stream.ids.len() > stream.prompt {
                stream.take_in(self.tokenizer, &self.prompts[stream.request].stop, listener)
            } else {
                None
            };
            if let Some(finish) = finish {
                let stream = self.streams.swap_remove(i);
                if stream.told < stream.text.len() {
                    listener(stream.request, &stream.text[stream.told..]);
                }
                listener(stream.request, "");
                let answer = Generation {
                    finish,
                    prompt_tokens: Some(stream.prompt),
                    tokens: Some(stream.ids.len() - stream.prompt),
                    logprobs: stream.logprobs,
                    text: stream.text,
                };
                answers.push((stream.request, answer));
                self.cache.release(stream.path);
            } else {
                i += 1;
            }
        }
        answers
    }
}

impl Stream<'_> {
    /// Takes the token that was chosen last into the text; says whether the text has ended, and why.
    fn take_in(&mut self, tokenizer: &Tokenizer, stop: &[String], listener: &mut Listener<'_>) -> Option<Finish> {
        let token = *self.ids.last()?;
        let ended = tokenizer.stop_ids().contains(&token);
        let full = self.ids.len() - self.prompt >= self.limit;
        let before = self.text.len();
        if !ended && let Some(decoding) = &mut self.decoding {
            self.text.extend(decoding.push(token));
        }
        if ended || full {
            self.text.extend(self.decoding.take().and_then(TokenStream::finish));
        }
        // A stop string may have begun in the text that was there before.
        let longest = stop.iter().map(String::len).max().unwrap_or(0);
        let from = self.text.floor_char_boundary(before.saturating_sub(longest));
        let found = stop.iter().filter(|s| !s.is_empty()).filter_map(|s| self.text[from..].find(s.as_str())).min();
        if let Some(at) = found {
            self.text.truncate(from + at);
            return Some(Finish::Stop);
        }
        if ended {
            return Some(Finish::EndOfText);
        }
        if full {
            return Some(self.full);
        }
        let safe = self.text.floor_char_boundary(self.text.len().saturating_sub(longest.saturating_sub(1)));
        if safe > self.told {
            listener(self.request, &self.text[self.told..safe]);
            self.told = safe;
        }
        None
    }
}

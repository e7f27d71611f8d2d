//! A model that is ready to be asked: decoder, tokenizer and chat template of one checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use weighbridge_core::lm_eval::split_spaces;
use weighbridge_core::{
    Generation, GenerationRequest, LanguageModel, Loglikelihood, LoglikelihoodRequest, ModelError, Progress, Prompt,
};

use crate::chat::{ChatTemplate, GenerationPrompt};
use crate::device::Device;
use crate::error::EngineError;
use crate::files::Checkpoint;
use crate::forward::Forward;
use crate::generate::{self, Limits, Listener, TokenPrompt};
use crate::kernel::Precision;
use crate::load;
use crate::score::{self, Detail, TokenRequest, TokenScore};
use crate::tokenizer::{AddSpecial, Tokenizer};

/// Open weights in this process.
#[derive(Debug)]
pub struct Model {
    name: String,
    decoder: Box<dyn Forward>,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    pool: ThreadPool,
}

/// How a model runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Threads; `None` takes one a core.
    pub threads: Option<usize>,
    /// Where it runs.
    pub device: Device,
    /// How products of many rows are computed on the CPU.
    pub precision: Precision,
}

impl Model {
    /// Opens a file or folder.
    ///
    /// # Errors
    /// It is no checkpoint that loads, or its tokenizer does not fit it.
    pub fn open(path: &Path, name: impl Into<String>, options: Options) -> Result<Self, EngineError> {
        let pool = pool(options)?;
        let checkpoint = Arc::new(Checkpoint::open(path).map_err(load::LoadError::from)?);
        // The tokenizer is read by one thread while the others pack weights.
        let (decoder, tokenizer) = pool
            .install(|| rayon::join(|| options.device.load(Arc::clone(&checkpoint)), || Tokenizer::of(&checkpoint)));
        let (mut decoder, tokenizer) = (decoder?, tokenizer?);
        decoder.set_precision(options.precision)?;
        tokenizer.check_fits(decoder.architecture().vocabulary)?;
        let template = ChatTemplate::of(&checkpoint, &tokenizer)?;
        Ok(Self { name: name.into(), decoder, tokenizer, template, pool })
    }

    /// Its decoder, for work on token ids.
    pub fn decoder(&self) -> &dyn Forward {
        self.decoder.as_ref()
    }

    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// True where it takes conversations.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Runs `work` on the threads of this model.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// The token before a text without context: BOS, or else EOS, as lm-evaluation-harness takes it.
    fn prefix(&self) -> Result<u32, EngineError> {
        let prefix = self.tokenizer.bos().or_else(|| self.tokenizer.eos());
        prefix.ok_or(EngineError::EmptyRequest { request: 1 })
    }

    /// Splits requests into tokens by the rules of lm-evaluation-harness: trailing spaces of the context go to the
    /// continuation, and the continuation is what the encoding of the whole has beyond the length of that of the context.
    ///
    /// # Errors
    /// A text cannot be encoded, or a continuation has no tokens or more than the context.
    pub fn tokens_of(&self, requests: &[LoglikelihoodRequest]) -> Result<Vec<TokenRequest>, EngineError> {
        let names: BTreeSet<&str> = requests.iter().map(|r| split_spaces(&r.context).0).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let encoded: Result<Vec<Vec<u32>>, _> = names.par_iter().map(|text| self.encode(text)).collect();
        let encoded: BTreeMap<&str, Vec<u32>> = names.into_iter().zip(encoded?).collect();
        let pair = |(i, request): (usize, &LoglikelihoodRequest)| {
            let empty = EngineError::EmptyRequest { request: i + 1 };
            // Only a text without context needs it, and there are models without BOS and EOS.
            let prefix = || self.prefix().map_err(|_| EngineError::EmptyRequest { request: i + 1 });
            if request.context.is_empty() {
                let prefix = prefix()?;
                let continuation = self.tokenizer.encode(&request.continuation, AddSpecial::Never)?;
                return match continuation.split_first() {
                    None => Err(empty),
                    Some((&first, rest)) if first == prefix && !rest.is_empty() => {
                        Ok(TokenRequest { context: vec![first], continuation: rest.to_vec() })
                    }
                    Some(_) => Ok(TokenRequest { context: vec![prefix], continuation }),
                };
            }
            let (context, spaces) = split_spaces(&request.context);
            let before = &encoded[context];
            let whole = self.encode(&format!("{context}{spaces}{}", request.continuation))?;
            let continuation = whole.get(before.len()..).unwrap_or_default().to_vec();
            if continuation.is_empty() {
                return Err(empty);
            }
            let context = if before.is_empty() { vec![prefix()?] } else { before.clone() };
            Ok(TokenRequest { context, continuation })
        };
        let fits = |request: TokenRequest| {
            // The sum over a part of a continuation would pass for that of the whole.
            let (tokens, context) = (request.continuation.len(), self.decoder.architecture().context);
            if tokens <= context { Ok(request) } else { Err(EngineError::TooLong { tokens, context }) }
        };
        requests.par_iter().enumerate().map(pair).map(|request| request.and_then(fits)).collect()
    }

    /// Encodes with the special tokens of the tokenizer, but for a BOS that the text begins with already.
    fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let bos = self.tokenizer.bos().and_then(|id| self.tokenizer.token_text(id));
        let written = bos.is_some_and(|bos| !bos.is_empty() && text.starts_with(&bos));
        Ok(self.tokenizer.encode(text, if written { AddSpecial::Never } else { AddSpecial::Default })?)
    }

    /// Scores token requests on the threads of this model.
    ///
    /// # Errors
    /// As for [`score::score`].
    pub fn score(
        &self,
        requests: &[TokenRequest],
        detail: Detail,
        progress: &Progress<'_>,
    ) -> Result<Vec<Vec<TokenScore>>, EngineError> {
        self.install(|| score::score(self.decoder(), requests, detail, progress))
    }

    /// The text of a prompt as the model sees it.
    ///
    /// # Errors
    /// Messages are given to a model without a template, or the template refuses them.
    pub fn render(&self, prompt: &Prompt) -> Result<String, EngineError> {
        match prompt {
            Prompt::Text(text) => Ok(text.clone()),
            Prompt::Messages(messages) => {
                let template = self.template.as_ref().ok_or(EngineError::NoTemplate)?;
                Ok(template.render(messages, GenerationPrompt::Open)?)
            }
        }
    }

    /// Generates texts; `listener` hears each piece as it is final.
    ///
    /// # Errors
    /// As for [`generate::generate`].
    pub fn generate_with(
        &self,
        requests: &[GenerationRequest],
        listener: &mut (dyn FnMut(usize, &str) + Send),
    ) -> Result<Vec<Generation>, EngineError> {
        let prompt = |request: &GenerationRequest| {
            if !request.reasoning.is_unset() {
                return Err(EngineError::Setting {
                    name: "reasoning",
                    value: "set".into(),
                    expected: "none: the chat template of the model decides",
                });
            }
            let text = self.render(&request.prompt)?;
            let ids = match &request.prompt {
                Prompt::Text(_) => self.encode(&text)?,
                // A template writes its own special tokens.
                Prompt::Messages(_) => self.tokenizer.encode(&text, AddSpecial::Never)?,
            };
            let ids = if ids.is_empty() { vec![self.prefix()?] } else { ids };
            let (stop, max_tokens, sampling) = (request.stop.clone(), request.max_tokens, request.sampling);
            Ok(TokenPrompt { ids, stop, max_tokens, sampling })
        };
        self.install(|| {
            let prompts: Result<Vec<TokenPrompt>, EngineError> = requests.iter().map(prompt).collect();
            let listener: &mut Listener<'_> = &mut |request, piece| listener(request, piece);
            generate::generate(self.decoder(), &self.tokenizer, &prompts?, Limits::default(), listener)
        })
    }
}

/// Threads that run the work of one model.
///
/// # Errors
/// The system starts no such number of threads.
pub fn pool(options: Options) -> Result<ThreadPool, EngineError> {
    let threads = options.threads.unwrap_or(0);
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|_| EngineError::Setting {
        name: "threads",
        value: threads.to_string(),
        expected: "a number that the system can start",
    })
}

/// The scores of the tokens of one continuation together.
pub fn summary(scores: &[TokenScore]) -> Loglikelihood {
    Loglikelihood {
        logprob: scores.iter().map(|s| f64::from(s.logprob)).sum(),
        greedy: scores.iter().all(|s| s.likeliest == s.token),
        tokens: scores.len(),
    }
}

fn failed(error: EngineError) -> ModelError {
    ModelError::Failed(Box::new(error))
}

impl LanguageModel for Model {
    fn name(&self) -> &str {
        &self.name
    }

    fn loglikelihood(
        &self,
        requests: &[LoglikelihoodRequest],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError> {
        let tokens = self.install(|| self.tokens_of(requests)).map_err(failed)?;
        // Progress of the tree is told in requests, of which it has done about the same share.
        let nodes = score::work(&tokens, self.decoder.architecture().context).nodes.max(1);
        let tick = |done: usize| progress(done * requests.len() / nodes);
        let scores = self.score(&tokens, Detail::LogProbs, &tick).map_err(failed)?;
        Ok(scores.iter().map(|scores| summary(scores)).collect())
    }

    fn loglikelihood_rolling(
        &self,
        texts: &[String],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError> {
        let longest = self.decoder.architecture().context;
        let prefix = self.prefix().map_err(failed)?;
        let mut windows = Vec::new();
        let mut counts = Vec::new();
        for text in texts {
            let ids = self.tokenizer.encode(text, AddSpecial::Default).map_err(|e| failed(e.into()))?;
            let new = score::rolling_windows(&ids, prefix, longest);
            counts.push(new.len());
            windows.extend(new);
        }
        let scores = self.score(&windows, Detail::LogProbs, progress).map_err(failed)?;
        let mut left = scores.as_slice();
        let text = |count: usize| {
            let (here, rest) = left.split_at(count);
            left = rest;
            summary(&here.concat())
        };
        Ok(counts.into_iter().map(text).collect())
    }

    fn generate(&self, requests: &[GenerationRequest], progress: &Progress<'_>) -> Result<Vec<Generation>, ModelError> {
        let mut done = 0;
        let mut count = |_: usize, piece: &str| {
            if piece.is_empty() {
                done += 1;
                progress(done);
            }
        };
        self.generate_with(requests, &mut count).map_err(failed)
    }
}

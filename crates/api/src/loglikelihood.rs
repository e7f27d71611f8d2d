//! Log-probabilities of texts that are given, from servers that state those of a prompt.
//!
//! Texts are split as lm-evaluation-harness does it: trailing spaces of the context go to the continuation, and the
//! continuation is what the tokens of the whole have beyond the number of those of the context. Where a server shows its
//! tokenizer this is done on token ids; elsewhere (`echo`) the tokens count that begin at the end of the context or later.
//! Which of the two an endpoint gives, and whether what it gives belongs to the tokens at all, is found out by asking
//! before anything long is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use thiserror::Error;
use weighbridge_core::lm_eval::{self, Window};
use weighbridge_core::{
    CallRecord, Dialect, ErrorClass, GenerationRequest, Loglikelihood, LoglikelihoodRequest, ModelError, Progress,
    Prompt, Sampling,
};

use crate::dialect::Delivery;
use crate::endpoint::Endpoint;
use crate::hosted::{Hosted, NumberedRequest, OwnForm};
use crate::language_model::{CallFailed, last_message};
use crate::prompt_scores::{ByIds, Echo, Encoded, NOT_GIVEN, Tokenizer};
use crate::transport::now;

/// Requests whose tokens are held at once.
const TOGETHER: usize = 1024;
/// The text that endpoints are tried with.
const TRIAL: &str = "The capital of France is";
/// How far two statements of the same log-probability may lie apart: batches of other shapes round differently.
const TOLERANCE: f64 = 0.25;

/// What a host that gives no log-probabilities of prompts does not give.
const PROMPT: &str = "log-probabilities of its prompt";

/// How an endpoint scores a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By token ids, with the server's tokenizer.
    Ids(IdFacts),
    /// By sending the text back.
    Echo,
    /// Not at all; says what it does not give.
    Not(&'static str),
}

/// What is known of a server's tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdFacts {
    /// What it puts before a text, with its text.
    prefix: Option<(u32, String)>,
    /// Most tokens of prompt and answer.
    longest: Option<usize>,
}

/// Why a request has no score.
#[derive(Debug, Error)]
enum Unscored {
    #[error("request {request}: {what}")]
    Request { request: usize, what: String },
}

fn unscored(index: u64, what: impl Into<String>) -> ModelError {
    let request = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1);
    ModelError::Failed(Box::new(Unscored::Request { request, what: what.into() }))
}

/// Takes the record of a scored text with its position and score.
pub type EachScore<'a> = dyn FnMut(usize, CallRecord, Loglikelihood) -> ControlFlow<()> + 'a;

impl Hosted {
    /// Scores continuations and hands over each with the record of its call.
    ///
    /// # Errors
    /// As for [`weighbridge_core::LanguageModel::loglikelihood`].
    pub fn score_each(&self, requests: &[LoglikelihoodRequest], each: &mut EachScore<'_>) -> Result<(), ModelError> {
        let (scorer, form) = self.scorer()?;
        if let Some(empty) = requests.iter().position(|request| request.continuation.is_empty()) {
            return Err(unscored(empty as u64, "it has no text to score"));
        }
        match form {
            Form::Not(what) => Err(ModelError::Unsupported(what)),
            Form::Echo => {
                let jobs = requests.iter().map(|request| {
                    let Split { context, whole, .. } = Split::new(request);
                    Job { text: whole.clone(), form: Box::new(Echo { text: whole, context: context.len() }) }
                });
                scorer.scored(requests.len(), &mut (0..).zip(jobs), each).map(|_| ())
            }
            Form::Ids(facts) => {
                for (group, first) in requests.chunks(TOGETHER).zip((0..).step_by(TOGETHER)) {
                    let jobs = scorer.jobs_by_ids(&facts, group, first)?;
                    if scorer.scored(requests.len(), &mut (first..).zip(jobs), each)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    pub(crate) fn score_all(
        &self,
        requests: &[LoglikelihoodRequest],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError> {
        collected(requests.len(), progress, |each| self.score_each(requests, each))
    }

    /// Scores whole texts.
    pub(crate) fn score_rolling(
        &self,
        texts: &[String],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError> {
        let (scorer, form) = self.scorer()?;
        let facts = match form {
            Form::Not(what) => return Err(ModelError::Unsupported(what)),
            Form::Echo => return scorer.rolling_by_echo(texts, progress),
            Form::Ids(facts) => facts,
        };
        let Some((prefix, _)) = &facts.prefix else {
            return Err(ModelError::Unsupported(
                "a token that begins a text, so its first token has no log-probability",
            ));
        };
        let full = texts.iter().filter(|text| !text.is_empty());
        let encoded = scorer.encoded(full.map(|text| (text.clone(), true)), &facts)?;
        // One place is for the token that is generated, and the prefix or the token before takes another.
        let longest = facts.longest.map_or(usize::MAX / 2, |longest| longest.saturating_sub(2).max(1));
        let mut jobs = Vec::new();
        let mut owners = Vec::new();
        for (owner, text) in texts.iter().enumerate() {
            let ids = encoded.get(&(text.clone(), true)).map(Vec::as_slice).unwrap_or_default();
            for Window { context, scored } in lm_eval::rolling_windows(ids.len(), longest) {
                let before = if context.is_empty() { &[*prefix][..] } else { &ids[context] };
                let (context, ids) = (before.len(), [before, &ids[scored]].concat());
                owners.push(owner);
                jobs.push(Job { text: text.clone(), form: Box::new(ByIds { ids, context }) });
            }
        }
        let mut sums = vec![Loglikelihood { logprob: 0.0, greedy: true, tokens: 0 }; texts.len()];
        // Sums in the order of windows, so that the same answers give the same bytes.
        let total = jobs.len();
        let run = |each: &mut EachScore<'_>| scorer.scored(total, &mut (0..).zip(jobs), each).map(|_| ());
        let windows = collected(total, &|_| {}, run)?;
        for (owner, window) in owners.into_iter().zip(windows) {
            let sum = &mut sums[owner];
            sum.logprob += window.logprob;
            sum.greedy &= window.greedy;
            sum.tokens += window.tokens;
        }
        progress(texts.len());
        Ok(sums)
    }

    fn rolling_by_echo(&self, texts: &[String], progress: &Progress<'_>) -> Result<Vec<Loglikelihood>, ModelError> {
        let full = texts.iter().enumerate().filter(|(_, text)| !text.is_empty());
        let mut jobs = full.map(|(i, text)| {
            (i as u64, Job { text: text.clone(), form: Box::new(Echo { text: text.clone(), context: 0 }) as OwnForm })
        });
        let mut sums = vec![Loglikelihood { logprob: 0.0, greedy: true, tokens: 0 }; texts.len()];
        let mut done = 0;
        let _ended = self.scored(texts.len(), &mut jobs, &mut |at, _, score| {
            sums[at] = score;
            done += 1;
            progress(done);
            ControlFlow::Continue(())
        })?;
        Ok(sums)
    }

    /// This endpoint as it is asked for scores, and the form that it takes.
    fn scorer(&self) -> Result<(Self, Form), ModelError> {
        let endpoint = self.endpoint();
        if endpoint.dialect != Dialect::OpenaiCompletions
            && !endpoint.provider.dialects.contains(&Dialect::OpenaiCompletions)
        {
            return Err(ModelError::Unsupported(PROMPT));
        }
        let endpoint = Endpoint { dialect: Dialect::OpenaiCompletions, ..endpoint.clone() };
        let scorer = Self::new(endpoint, self.session()).map_err(|error| ModelError::Failed(Box::new(error)))?;
        if let Some(form) = self.form_found().get() {
            return Ok((scorer, form.clone()));
        }
        let form = scorer.find_form()?;
        Ok((scorer, self.form_found().get_or_init(|| form).clone()))
    }

    /// How the endpoint scores a text, for reports of what it does.
    pub(crate) fn scoring_form(&self) -> Result<Form, ModelError> {
        self.scorer().map(|(_, form)| form)
    }

    fn find_form(&self) -> Result<Form, ModelError> {
        if let Some(facts) = self.id_facts()? {
            return Ok(Form::Ids(facts));
        }
        let mut trial = GenerationRequest::new(Prompt::Text(TRIAL.into()), 1);
        trial.sampling = Sampling::GREEDY;
        trial.top_logprobs = Some(1);
        let generated = self.try_out(trial, None)?.filter(|record| record.logprobs.len() == 1);
        let first = generated.as_ref().and_then(|record| record.logprobs.first());
        let continuation = first.map(|first| first.token.as_str()).filter(|token| is_word(token)).unwrap_or(" Paris");
        let text = format!("{TRIAL}{continuation}");
        let echo = Echo { text: text.clone(), context: TRIAL.len() };
        let Some(record) = self.try_out(scoring_request(&text), Some(Box::new(echo)))? else {
            return Ok(Form::Not(PROMPT));
        };
        let [scored] = record.logprobs.as_slice() else {
            // More than one token is right where a word was guessed or is split elsewhere.
            return Ok(if record.logprobs.is_empty() { Form::Not(PROMPT) } else { Form::Echo });
        };
        // What belongs to another token differs by more than rounding (llama-cpp-python is off by one without a BOS).
        let same = |(a, b): (f64, f64)| (a - b).abs() <= TOLERANCE;
        let both =
            first.filter(|first| first.token == continuation).and_then(|first| first.logprob).zip(scored.logprob);
        if both.is_some_and(|both| !same(both)) {
            return Ok(Form::Not("log-probabilities of its prompt that agree with those of its output"));
        }
        Ok(Form::Echo)
    }

    /// What the server shows of its tokenizer, where it also scores ids.
    fn id_facts(&self) -> Result<Option<IdFacts>, ModelError> {
        let ask = |form| self.try_out(scoring_request(TRIAL), Some(Box::new(form)));
        let encode = |text: &str| Tokenizer::Encode { text: text.to_owned(), special: true };
        let Some(trial) = ask(encode(TRIAL))?.and_then(|record| encoding(&record)) else { return Ok(None) };
        if trial.tokens.len() < 2 {
            return Ok(None);
        }
        let by_ids: OwnForm = Box::new(ByIds { ids: trial.tokens.clone(), context: 1 });
        let scored = self.try_out(scoring_request(TRIAL), Some(by_ids))?;
        let scored = scored.is_some_and(|record| {
            record.logprobs.len() + 1 == trial.tokens.len()
                && record.logprobs.iter().all(|token| token.logprob.is_some() && !token.top.is_empty())
        });
        if !scored {
            return Ok(None);
        }
        let before = ask(encode(""))?.and_then(|record| encoding(&record));
        let id = before.and_then(|before| before.tokens.first().copied());
        let prefix = match id {
            None => None,
            Some(id) => {
                let text = ask(Tokenizer::Decode(id))?.and_then(|record| encoding(&record)).and_then(|it| it.prompt);
                Some((id, text.unwrap_or_default()))
            }
        };
        Ok(Some(IdFacts { prefix, longest: trial.max_model_len }))
    }

    /// Asks once to see whether it works: `None` where the endpoint does not take it.
    fn try_out(&self, mut request: GenerationRequest, form: Option<OwnForm>) -> Result<Option<CallRecord>, ModelError> {
        // What an endpoint does now is not found in a cache.
        request.repeat = now() as u32;
        let elsewhere = form.is_some();
        let numbered = NumberedRequest { index: 0, id: None, request };
        let mut found = None;
        let mut take = |record: CallRecord| {
            found = Some(record);
            Ok::<(), std::convert::Infallible>(())
        };
        let Ok(()) = self.run_in(&mut std::iter::once((numbered, form)), Delivery::Whole, &mut take);
        let Some(record) = found else { return Ok(None) };
        if record.state.has_answer() {
            return Ok(Some(record));
        }
        match record.attempts.last().and_then(|attempt| attempt.error) {
            Some(ErrorClass::BadRequest | ErrorClass::Unsupported | ErrorClass::Malformed | ErrorClass::Server) => {
                Ok(None)
            }
            // A path that is not there says nothing of the others; that of `/completions` itself does.
            Some(ErrorClass::NotFound) if elsewhere => Ok(None),
            _ => Err(self.call_failed(0, 1, &record)),
        }
    }

    fn call_failed(&self, index: usize, total: usize, record: &CallRecord) -> ModelError {
        let (model, message) = (self.name().to_owned(), last_message(record));
        ModelError::Failed(Box::new(CallFailed { request: index + 1, total, model, message }))
    }

    /// Runs jobs, of so many together, and reads the score of each; positions are those given.
    fn scored(
        &self,
        total: usize,
        jobs: &mut dyn Iterator<Item = (u64, Job)>,
        each: &mut EachScore<'_>,
    ) -> Result<ControlFlow<()>, ModelError> {
        enum End {
            Told,
            Failed(ModelError),
        }
        let mut requests = jobs.map(|(index, job)| {
            let request = scoring_request(&job.text);
            (NumberedRequest { index, id: None, request }, Some(job.form))
        });
        let ended = self.run_in(&mut requests, Delivery::Whole, &mut |record| {
            let at = usize::try_from(record.index).unwrap_or(usize::MAX);
            if !record.state.has_answer() {
                return Err(End::Failed(self.call_failed(at, total, &record)));
            }
            let score = score(&record).map_err(End::Failed)?;
            if each(at, record, score).is_break() { Err(End::Told) } else { Ok(()) }
        });
        match ended {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(End::Told) => Ok(ControlFlow::Break(())),
            Err(End::Failed(error)) => Err(error),
        }
    }

    fn jobs_by_ids(
        &self,
        facts: &IdFacts,
        requests: &[LoglikelihoodRequest],
        first: u64,
    ) -> Result<Vec<Job>, ModelError> {
        let split: Vec<Split> = requests.iter().map(Split::new).collect();
        let encoded = self.encoded(split.iter().flat_map(|split| [split.before(), split.whole()]), facts)?;
        // As lm-evaluation-harness does it, the beginning of a context that is too long is left out.
        let longest = facts.longest.map_or(usize::MAX, |longest| longest.saturating_sub(1));
        let job = |(index, split): (u64, Split)| {
            let ids = |text: &Piece| encoded.get(text).cloned().unwrap_or_default();
            let (mut context, mut ids) = (ids(&split.before()).len(), ids(&split.whole()));
            if context == 0 {
                // Without a token before it the first one has no log-probability.
                let prefix = facts.prefix.as_ref().map(|(id, _)| *id).ok_or_else(|| {
                    unscored(index, "it has no context, and the tokenizer of the server puts nothing before a text")
                })?;
                if ids.len() < 2 || ids[0] != prefix {
                    ids.insert(0, prefix);
                }
                context = 1;
            }
            if ids.len() <= context {
                return Err(unscored(index, "its continuation adds no token to its context"));
            }
            let cut = ids.len().saturating_sub(longest);
            if cut >= context {
                let what = format!("its continuation is longer than the {longest} tokens that the server takes");
                return Err(unscored(index, what));
            }
            Ok(Job { text: split.whole, form: Box::new(ByIds { ids: ids.split_off(cut), context: context - cut }) })
        };
        (first..).zip(split).map(job).collect()
    }

    /// The ids of texts, each asked for once.
    fn encoded(
        &self,
        texts: impl Iterator<Item = Piece>,
        facts: &IdFacts,
    ) -> Result<BTreeMap<Piece, Vec<u32>>, ModelError> {
        let unique: Vec<Piece> = texts.collect::<BTreeSet<_>>().into_iter().collect();
        // What is written at the beginning already is not put there again.
        let written =
            |text: &str| facts.prefix.as_ref().is_some_and(|(_, bos)| !bos.is_empty() && text.starts_with(bos));
        let mut requests = (0..).zip(&unique).map(|(index, (text, special))| {
            let form = Tokenizer::Encode { text: text.clone(), special: *special && !written(text) };
            (NumberedRequest { index, id: None, request: scoring_request(text) }, Some(Box::new(form) as OwnForm))
        });
        let mut encoded = BTreeMap::new();
        self.run_in(&mut requests, Delivery::Whole, &mut |record| {
            let at = usize::try_from(record.index).unwrap_or(usize::MAX);
            let (Some(piece), Some(found)) = (unique.get(at), encoding(&record)) else {
                return Err(self.call_failed(at, unique.len(), &record));
            };
            encoded.insert(piece.clone(), found.tokens);
            Ok(())
        })?;
        Ok(encoded)
    }
}

/// A text, and whether special tokens are put around it.
type Piece = (String, bool);

/// A request whose trailing spaces of the context belong to the continuation.
struct Split {
    context: String,
    whole: String,
    /// The request has no context at all, as against one of spaces.
    bare: bool,
}

impl Split {
    fn new(request: &LoglikelihoodRequest) -> Self {
        let (context, spaces) = lm_eval::split_spaces(&request.context);
        let whole = format!("{context}{spaces}{}", request.continuation);
        Self { context: context.to_owned(), whole, bare: request.context.is_empty() }
    }

    /// Without a context nothing stands before, and the continuation has no special tokens.
    fn before(&self) -> Piece {
        (self.context.clone(), !self.bare)
    }

    fn whole(&self) -> Piece {
        (self.whole.clone(), !self.bare)
    }
}

/// A text and the form in which it is scored.
struct Job {
    text: String,
    form: OwnForm,
}

/// The request as records show it.
fn scoring_request(text: &str) -> GenerationRequest {
    let mut request = GenerationRequest::new(Prompt::Text(text.to_owned()), 1);
    request.sampling = Sampling::GREEDY;
    request.top_logprobs = Some(1);
    request
}

fn encoding(record: &CallRecord) -> Option<Encoded> {
    serde_json::from_str(record.text.as_deref()?).ok()
}

/// Text that a tokenizer makes the same token of again.
fn is_word(token: &str) -> bool {
    token.chars().any(char::is_alphanumeric) && !token.contains('\u{fffd}') && !token.starts_with("bytes:")
}

/// The score that a record states.
fn score(record: &CallRecord) -> Result<Loglikelihood, ModelError> {
    if record.logprobs.is_empty() {
        return match record.finish_stated.as_deref() {
            Some(NOT_GIVEN) | None => Err(ModelError::Unsupported(PROMPT)),
            Some(what) => Err(unscored(record.index, what)),
        };
    }
    let mut sum = Loglikelihood { logprob: 0.0, greedy: true, tokens: record.logprobs.len() };
    for token in &record.logprobs {
        let Some(logprob) = token.logprob else {
            let what = format!("the host gives no log-probability for its token {:?}", token.token);
            return Err(unscored(record.index, what));
        };
        let Some(likeliest) = token.top.iter().map(|(_, logprob)| *logprob).max_by(f64::total_cmp) else {
            return Err(ModelError::Unsupported(
                "the likeliest token of each place, which tells whether a text is greedy",
            ));
        };
        sum.logprob += logprob;
        sum.greedy &= logprob >= likeliest;
    }
    Ok(sum)
}

/// Scores in the order of their requests.
fn collected(
    total: usize,
    progress: &Progress<'_>,
    run: impl FnOnce(&mut EachScore<'_>) -> Result<(), ModelError>,
) -> Result<Vec<Loglikelihood>, ModelError> {
    let mut scores: Vec<Option<Loglikelihood>> = vec![None; total];
    let mut done = 0;
    run(&mut |at, _, score| {
        if let Some(place) = scores.get_mut(at) {
            *place = Some(score);
        }
        done += 1;
        progress(done);
        ControlFlow::Continue(())
    })?;
    let known = |(i, score): (usize, Option<Loglikelihood>)| score.ok_or_else(|| unscored(i as u64, "it was lost"));
    scores.into_iter().enumerate().map(known).collect()
}

//! Batches at the lower price of OpenAI, Anthropic and Gemini: requests in, one record for each out, over days and
//! restarts.
//!
//! A state file says what was submitted. It is written before anything is sent, so that a process that is killed at any
//! point goes on without submitting a request twice: where the answer to a submission was lost, the provider's list of
//! batches is searched for it first. Results are matched by the name of the request alone, since no provider keeps the
//! order.

mod anthropic;
mod collect;
mod error;
mod gemini;
mod http;
mod openai;
mod service;
mod state;
mod submit;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use weighbridge_core::{CallRecord, Dialect, ErrorClass};

pub use self::error::BatchError;
pub use self::state::{Findings, STATE_VERSION};

use self::http::{Http, Trouble};
use self::service::Service;
use self::state::{Kept, Part, Refusal};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::hosted::{Hosted, NumberedRequest};
use crate::transport::now;

/// Looks at a batch that has succeeded but names no results before that is believed.
const LOOKS_FOR_RESULTS: u32 = 10;
/// Rounds of polling that may fail one after the other before a run is given up.
const FAILED_ROUNDS: u32 = 20;

/// What one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most requests.
    pub requests: usize,
    /// Most bytes of what is sent.
    pub bytes: usize,
    /// Gemini: batches of up to so many bytes are sent in one message, without a file.
    ///
    /// It is 0 by itself: the answers to such batches come in any order and may come without the names of their requests
    /// (<https://github.com/googleapis/python-genai/issues/1909>, `/2008`), and those could not be told apart.
    pub inline_bytes: usize,
}

/// Settings of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// In place of the provider's own limits.
    pub limits: Option<BatchLimits>,
    /// Wait before the second look at a batch; each further wait is half as long again.
    pub first_wait: Duration,
    /// Longest wait between two looks.
    pub longest_wait: Duration,
    /// Wait before a batch whose submission was not answered is looked for: it may still be in the making.
    pub settle: Duration,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            limits: None,
            first_wait: Duration::from_secs(30),
            longest_wait: Duration::from_mins(10),
            settle: Duration::from_secs(15),
        }
    }
}

/// How a job is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchStatus {
    /// Batches by the provider's word for their state; `not submitted` is ours.
    pub batches: BTreeMap<String, u64>,
    /// Requests in batches.
    pub requests: u64,
    /// Requests that were not submitted: known from the cache, or not taken by the endpoint.
    pub apart: u64,
    /// Requests that the provider says it has answered.
    pub answered: u64,
    /// Requests that the provider says have failed.
    pub failed: u64,
    /// Requests whose record was handed over, in this process or before.
    pub taken: u64,
    /// True where every batch has ended.
    pub ended: bool,
    /// True where every record was handed over too.
    pub done: bool,
    /// What was odd in the results so far.
    pub findings: Findings,
}

/// Requests to one model that are answered in batches.
///
/// The requests themselves stay in memory until their records are handed over; bodies are made one batch at a time.
#[derive(Debug)]
pub struct BatchJob {
    hosted: Hosted,
    service: &'static dyn Service,
    limits: BatchLimits,
    options: BatchOptions,
    kept: Kept,
    /// Requests whose record was not handed over.
    requests: BTreeMap<u64, NumberedRequest>,
    /// Records of requests that were not submitted.
    apart: BTreeMap<u64, CallRecord>,
    /// What is to be sent of parts that were not submitted.
    payloads: BTreeMap<usize, Vec<u8>>,
    /// The provider's last counts, by part.
    counts: BTreeMap<usize, Counts>,
    /// True once all requests were given.
    given: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    answered: u64,
    failed: u64,
    /// Looks at which it had succeeded without results.
    bare: u32,
}

impl BatchJob {
    /// Opens the job of a state file, or begins one there. Files beside it, with its name and a further ending, belong to
    /// it.
    ///
    /// # Errors
    /// The provider takes no batches, the state file cannot be used or is of another model, or another process uses it.
    pub fn open(hosted: &Hosted, state: &Path, options: BatchOptions) -> Result<Self, ApiError> {
        let service = service(hosted.endpoint())?;
        let kept = Kept::open(state, hosted.endpoint())?;
        Ok(Self {
            hosted: hosted.clone(),
            service,
            limits: options.limits.unwrap_or_else(|| service.limits()),
            options,
            kept,
            requests: BTreeMap::new(),
            apart: BTreeMap::new(),
            payloads: BTreeMap::new(),
            counts: BTreeMap::new(),
            given: false,
        })
    }

    /// Submits requests. After a restart all of them are given again: those that were submitted are only compared with
    /// the state file, and those whose records were handed over may be left out.
    ///
    /// # Errors
    /// Requests are not those of the state file, or the provider does not take a batch. Called again, it goes on.
    pub fn submit(&mut self, requests: &mut dyn Iterator<Item = NumberedRequest>) -> Result<BatchStatus, ApiError> {
        self.submit_all(requests)?;
        Ok(self.status())
    }

    /// Asks the provider once how each batch is doing.
    ///
    /// # Errors
    /// The provider does not tell, after all attempts.
    pub fn poll(&mut self) -> Result<BatchStatus, ApiError> {
        for number in 0..self.kept.state.parts.len() {
            let part = &self.kept.state.parts[number];
            if part.is_unsettled() {
                self.send(number)?;
            } else if let (Some(id), None) = (part.batch.clone(), part.ended) {
                self.look(number, &id)?;
            }
        }
        Ok(self.status())
    }

    /// Hands over the records of all batches that have ended, and of requests that were not submitted; each record once.
    /// A break stops it after the record at hand. A process that is killed between the end of `each` and the mark of it
    /// hands over that one record again: who keeps a log tells what is in it by [`Self::taken`].
    ///
    /// # Errors
    /// The requests were not given, or the results cannot be fetched or kept.
    pub fn results(
        &mut self,
        each: &mut dyn FnMut(CallRecord) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ApiError> {
        if !self.given {
            return Err(BatchError::NoRequests.into());
        }
        Ok(self.collect_all(each)?)
    }

    /// Marks the record of a request as handed over, for callers who find it in their log.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn taken(&mut self, index: u64) -> Result<(), ApiError> {
        self.requests.remove(&index);
        self.apart.remove(&index);
        Ok(self.kept.take(index)?)
    }

    /// Ends all batches early. What was answered before still has results.
    ///
    /// # Errors
    /// The provider does not take it.
    pub fn cancel(&mut self) -> Result<(), ApiError> {
        for number in 0..self.kept.state.parts.len() {
            let part = &mut self.kept.state.parts[number];
            if let (Some(id), None) = (&part.batch, part.ended) {
                let path = self.service.cancel_path(id);
                self.end_early(&path)?;
            } else if part.batch.is_none() && part.sending.is_none() && !part.done && part.error.is_none() {
                let message = "canceled before it was submitted".to_owned();
                part.error = Some(Refusal { class: ErrorClass::Unsupported, message, status: None });
                self.payloads.remove(&number);
                self.kept.save()?;
            }
        }
        Ok(())
    }

    fn end_early(&self, path: &str) -> Result<(), BatchError> {
        let http = Http::new(&self.hosted);
        let doing = "cancel a batch";
        let request = http.request(reqwest::Method::POST, path, "application/json", b"{}".to_vec());
        match request.and_then(|request| http.retried(&request)) {
            Ok(_) => Ok(()),
            // It has ended in the meantime, as the next look will show.
            Err(trouble) if matches!(trouble.class, ErrorClass::BadRequest | ErrorClass::Conflict) => Ok(()),
            Err(trouble) => Err(host(doing, trouble)),
        }
    }

    /// Does it all: submits, waits and hands over the records as batches end. `progress` is called after each look and
    /// can leave by a break; the state file then tells how to go on. Failures of the network are borne for hours.
    ///
    /// # Errors
    /// As those of [`Self::submit`], [`Self::poll`] and [`Self::results`].
    pub fn run(
        &mut self,
        requests: &mut dyn Iterator<Item = NumberedRequest>,
        each: &mut dyn FnMut(CallRecord) -> ControlFlow<()>,
        progress: &mut dyn FnMut(&BatchStatus) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ApiError> {
        self.submit(requests)?;
        let mut wait = self.options.first_wait;
        let mut failed = 0;
        loop {
            match self.poll().and_then(|_| self.results(each)) {
                Ok(ControlFlow::Continue(())) => failed = 0,
                Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                Err(ApiError::Batch(error)) if error.may_pass() && failed < FAILED_ROUNDS => failed += 1,
                Err(error) => return Err(error),
            }
            let status = self.status();
            if progress(&status).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if status.done {
                return Ok(ControlFlow::Continue(()));
            }
            std::thread::sleep(wait);
            wait = wait.mul_f64(1.5).min(self.options.longest_wait);
        }
    }

    /// How the job is doing, as far as is known here.
    #[must_use]
    pub fn status(&self) -> BatchStatus {
        let state = &self.kept.state;
        let mut status = BatchStatus {
            apart: state.apart.len() as u64,
            taken: self.kept.taken.len() as u64,
            ended: true,
            findings: state.findings.clone(),
            ..BatchStatus::default()
        };
        for part in state.parts.iter().filter(|part| !part.requests.is_empty()) {
            let unsubmitted = if part.error.is_some() { "refused" } else { "not submitted" };
            let word = part.word.as_deref().filter(|_| part.batch.is_some()).unwrap_or(unsubmitted);
            *status.batches.entry(word.to_owned()).or_default() += 1;
            status.requests += part.requests.len() as u64;
            status.ended &= part.has_ended();
        }
        for counts in self.counts.values() {
            status.answered += counts.answered;
            status.failed += counts.failed;
        }
        status.done = state.complete && state.parts.iter().all(|part| part.done) && self.apart.is_empty() && self.given;
        status
    }

    /// Looks at a batch and notes what there is.
    fn look(&mut self, number: usize, id: &str) -> Result<(), BatchError> {
        let http = Http::new(&self.hosted);
        let look = self.service.look(&http, id).map_err(|trouble| host("look at a batch", trouble))?;
        let counts = self.counts.entry(number).or_default();
        (counts.answered, counts.failed) = (look.answered, look.failed);
        // Results may come into being a little after the word for it.
        let bare = look.ended && look.sources.is_empty() && look.error.is_none();
        counts.bare += u32::from(bare);
        let ended = look.ended && (!bare || counts.bare >= LOOKS_FOR_RESULTS);
        let part = &mut self.kept.state.parts[number];
        part.word = Some(look.word);
        if ended {
            part.ended = Some(now());
            part.error = look.error.map(|message| Refusal { class: ErrorClass::Server, message, status: None });
            self.kept.save()?;
        }
        Ok(())
    }
}

impl Part {
    /// True where nothing more will come of it.
    fn has_ended(&self) -> bool {
        self.ended.is_some() || (self.batch.is_none() && self.error.is_some())
    }

    /// True where it is to be submitted, or to be looked for because it may have been.
    fn is_unsettled(&self) -> bool {
        self.batch.is_none() && self.error.is_none() && !self.done
    }
}

/// The batches of an endpoint.
fn service(endpoint: &Endpoint) -> Result<&'static dyn Service, BatchError> {
    let provider = || endpoint.provider.id.clone();
    if !endpoint.provider.batch {
        return Err(BatchError::NoBatches { provider: provider() });
    }
    match endpoint.dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::OpenaiCompletions => Ok(&openai::Openai),
        Dialect::Anthropic => Ok(&anthropic::Anthropic),
        Dialect::Gemini => Ok(&gemini::Gemini),
        Dialect::Ollama => Err(BatchError::NotCarried { provider: provider(), dialect: endpoint.dialect }),
    }
}

fn host(doing: &'static str, trouble: Trouble) -> BatchError {
    BatchError::Host { doing, class: trouble.class, message: trouble.message }
}

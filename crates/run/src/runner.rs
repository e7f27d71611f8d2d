//! Asks one model all samples of a task that have no answer yet, and hands over the scored record of each as it ends.
//!
//! Nothing here knows whether the model runs in this process or behind an API, and nothing reads a clock or a file.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Mutex;

use weighbridge_core::{
    CallRecord, CallState, ContinuationScore, ErrorClass, GenerationRequest, LanguageModel, Loglikelihood,
    LoglikelihoodRequest, ModelAnswer, ModelError, Prompt, SampleKey, SampleRecord, SampleState,
};

use crate::{Ask, Scorer, Task, TaskSample};

/// Samples whose continuations are scored together: enough for their contexts to share beginnings, few enough that a
/// run that is killed loses little.
const TOGETHER: usize = 128;

/// One model on one task.
#[derive(Debug)]
pub struct Job<'a> {
    /// The task, made for the style of the model.
    pub task: &'a Task,
    /// Its scorers.
    pub scorer: &'a Scorer,
    /// Name of the model in the log.
    pub model: &'a str,
    /// Order in which samples are asked: positions in `task.samples`.
    pub order: &'a [usize],
    /// Repeats of each sample.
    pub epochs: u32,
    /// Samples that have an answer: position in `task.samples` and epoch from 1.
    pub done: &'a HashSet<(usize, u32)>,
}

/// Why asking ended before all samples had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every sample has ended.
    All,
    /// Whoever takes the records wants no more.
    Stopped,
    /// The limit of dollars was reached; what was not asked is in no record.
    SpendLimit,
}

impl Job<'_> {
    /// Asks what is left. `each` gets the record of a sample as it ends; a break ends the job.
    ///
    /// # Errors
    /// The model can do nothing of the kind, or failed as a whole.
    pub fn run(
        &self,
        model: &dyn LanguageModel,
        each: &mut dyn FnMut(SampleRecord) -> ControlFlow<()>,
    ) -> Result<Ended, ModelError> {
        let left: Vec<(usize, u32)> = (1..=self.epochs)
            .flat_map(|epoch| self.order.iter().map(move |at| (*at, epoch)))
            .filter(|place| !self.done.contains(place))
            .collect();
        match self.task.samples.first().map(|sample| &sample.ask) {
            None => Ok(Ended::All),
            Some(Ask::Generate(_)) => self.generate(model, &left, each),
            Some(Ask::Loglikelihood(_)) => self.likelihoods(model, &left, each),
            Some(Ask::Rolling(_)) => self.rolling(model, &left, each),
        }
    }

    fn generate(
        &self,
        model: &dyn LanguageModel,
        left: &[(usize, u32)],
        each: &mut dyn FnMut(SampleRecord) -> ControlFlow<()>,
    ) -> Result<Ended, ModelError> {
        // Requests in flight, by their number: which of `left`, and which text of it.
        let mut in_flight: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let places: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
        let numbered = left.iter().enumerate().flat_map(|(i, (at, epoch))| {
            let requests = match &self.task.samples[*at].ask {
                Ask::Generate(requests) => requests.as_slice(),
                _ => &[],
            };
            requests.iter().enumerate().map(move |(text, request)| {
                let repeat = (epoch - 1) * requests.len() as u32 + request.repeat;
                ((i, text), GenerationRequest { repeat, ..request.clone() })
            })
        });
        let mut requests = numbered.map(|(place, request)| {
            lock(&places).push(place);
            request
        });
        let mut taken = 0;
        let mut texts: BTreeMap<usize, BTreeMap<usize, CallRecord>> = BTreeMap::new();
        let mut ended = Ended::All;
        model.generate_each(&mut requests, &mut |number, call| {
            for place in lock(&places).drain(..) {
                in_flight.insert(taken, place);
                taken += 1;
            }
            let Some((i, text)) = in_flight.remove(&number) else { return ControlFlow::Continue(()) };
            if over_budget(&call) {
                // Nothing was asked, so nothing is written: a run with more money asks it.
                ended = Ended::SpendLimit;
                return ControlFlow::Break(());
            }
            let (at, epoch) = left[i];
            let sample = &self.task.samples[at];
            let wanted = if let Ask::Generate(requests) = &sample.ask { requests.len() } else { 1 };
            let so_far = texts.entry(i).or_default();
            so_far.insert(text, call);
            if so_far.len() < wanted {
                return ControlFlow::Continue(());
            }
            let calls = texts.remove(&i).unwrap_or_default().into_values().collect();
            let done = each(self.scored(written(self.blank(sample, epoch), calls)));
            if done.is_break() {
                ended = Ended::Stopped;
            }
            done
        })?;
        Ok(ended)
    }

    fn likelihoods(
        &self,
        model: &dyn LanguageModel,
        left: &[(usize, u32)],
        each: &mut dyn FnMut(SampleRecord) -> ControlFlow<()>,
    ) -> Result<Ended, ModelError> {
        for group in left.chunks(TOGETHER) {
            let of = |at: usize| match &self.task.samples[at].ask {
                Ask::Loglikelihood(requests) => requests.as_slice(),
                _ => &[],
            };
            let requests: Vec<LoglikelihoodRequest> =
                group.iter().flat_map(|(at, _)| of(*at).iter().cloned()).collect();
            let mut found = model.loglikelihood(&requests, &|_| {})?.into_iter();
            for (at, epoch) in group {
                let sample = &self.task.samples[*at];
                let mut record = self.blank(sample, *epoch);
                record.input = of(*at).first().map(|request| Prompt::Text(request.context.clone()));
                record.loglikelihoods =
                    of(*at).iter().zip(&mut found).map(|(r, found)| scored_text(&r.continuation, &found)).collect();
                if each(self.scored(record)).is_break() {
                    return Ok(Ended::Stopped);
                }
            }
        }
        Ok(Ended::All)
    }

    fn rolling(
        &self,
        model: &dyn LanguageModel,
        left: &[(usize, u32)],
        each: &mut dyn FnMut(SampleRecord) -> ControlFlow<()>,
    ) -> Result<Ended, ModelError> {
        for (at, epoch) in left {
            let sample = &self.task.samples[*at];
            let Ask::Rolling(text) = &sample.ask else { continue };
            let found = model.loglikelihood_rolling(std::slice::from_ref(text), &|_| {})?;
            let mut record = self.blank(sample, *epoch);
            record.loglikelihoods = found.iter().map(|found| scored_text(text, found)).collect();
            if each(self.scored(record)).is_break() {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::All)
    }

    fn scored(&self, mut record: SampleRecord) -> SampleRecord {
        (record.state, record.scores) = self.scorer.score(&record);
        record
    }

    /// A record without an answer.
    fn blank(&self, sample: &TaskSample, epoch: u32) -> SampleRecord {
        SampleRecord {
            index: Some(sample.index),
            group: sample.group.clone(),
            choices: sample.choices.clone(),
            target: sample.target.clone(),
            doc: sample.doc.clone(),
            ..SampleRecord::new(SampleKey {
                task: self.task.facts.name.clone(),
                model: self.model.to_owned(),
                sample: sample.id.clone(),
                epoch,
            })
        }
    }
}

/// A record with what a model wrote. Its state is what the calls say: a scorer may know better.
fn written(mut record: SampleRecord, calls: Vec<CallRecord>) -> SampleRecord {
    record.input = calls.first().map(|call| call.request.prompt.clone());
    record.state = calls.iter().find_map(|call| call.state.sample_state()).unwrap_or(SampleState::Missing);
    record.error = calls.iter().find(|call| !call.state.has_answer()).map(|call| {
        let said = call.attempts.iter().rev().find_map(|attempt| attempt.message.clone());
        said.unwrap_or_else(|| call.state.as_str().to_owned())
    });
    record.answers = calls.into_iter().map(ModelAnswer::from).collect();
    record
}

fn scored_text(continuation: &str, found: &Loglikelihood) -> ContinuationScore {
    ContinuationScore {
        continuation: continuation.to_owned(),
        logprob: found.logprob,
        greedy: Some(found.greedy),
        tokens: Some(found.tokens as u64),
    }
}

/// True where a call was not made because the money was spent.
fn over_budget(call: &CallRecord) -> bool {
    call.state == CallState::NotSent
        && call.attempts.last().is_some_and(|last| last.error == Some(ErrorClass::SpendLimit))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

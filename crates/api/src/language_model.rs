//! A hosted model behind the same trait as one that runs in this process.

use std::ops::ControlFlow;

use thiserror::Error;
use weighbridge_core::{
    CallRecord, Finish, Generation, GenerationRequest, LanguageModel, Loglikelihood, LoglikelihoodRequest, ModelError,
    Progress,
};

use crate::dialect::Delivery;
use crate::hosted::{Hosted, NumberedRequest};

/// A call that gave no answer.
#[derive(Debug, Error)]
#[error("request {request} of {total} to {model}: {message}")]
pub struct CallFailed {
    /// Which request, from 1.
    pub request: usize,
    /// Of how many.
    pub total: usize,
    /// The model.
    pub model: String,
    /// What the provider said last.
    pub message: String,
}

impl LanguageModel for Hosted {
    fn name(&self) -> &str {
        self.name()
    }

    fn loglikelihood(
        &self,
        requests: &[LoglikelihoodRequest],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError> {
        self.score_all(requests, progress)
    }

    fn loglikelihood_rolling(
        &self,
        texts: &[String],
        progress: &Progress<'_>,
    ) -> Result<Vec<Loglikelihood>, ModelError> {
        self.score_rolling(texts, progress)
    }

    fn generate(&self, requests: &[GenerationRequest], progress: &Progress<'_>) -> Result<Vec<Generation>, ModelError> {
        let total = requests.len();
        let mut answers: Vec<Option<Generation>> = vec![None; total];
        let mut done = 0;
        self.run(&mut numbered(requests.iter().cloned()), Delivery::Whole, &mut |record| {
            let at = place(&record);
            let answer = generation(record).map_err(|message| CallFailed {
                request: at + 1,
                total,
                model: self.name().to_owned(),
                message,
            })?;
            if let Some(slot) = answers.get_mut(at) {
                *slot = Some(answer);
            }
            done += 1;
            progress(done);
            Ok(())
        })
        .map_err(|error: CallFailed| ModelError::Failed(Box::new(error)))?;
        let missing = |(i, answer): (usize, Option<Generation>)| {
            answer.ok_or_else(|| {
                let message = "its record is missing".to_owned();
                let failed = CallFailed { request: i + 1, total, model: self.name().to_owned(), message };
                ModelError::Failed(Box::new(failed))
            })
        };
        answers.into_iter().enumerate().map(missing).collect()
    }

    fn generate_each(
        &self,
        requests: &mut (dyn Iterator<Item = GenerationRequest> + Send),
        each: &mut dyn FnMut(usize, CallRecord) -> ControlFlow<()>,
    ) -> Result<(), ModelError> {
        let mut hand_over = |record: CallRecord| match each(place(&record), record) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(()),
        };
        // Whoever breaks knows it.
        let _ = self.run(&mut numbered(requests), Delivery::Whole, &mut hand_over);
        Ok(())
    }
}

/// Requests with their positions.
fn numbered(requests: impl Iterator<Item = GenerationRequest>) -> impl Iterator<Item = NumberedRequest> {
    (0..).zip(requests).map(|(index, request)| NumberedRequest { index, id: None, request })
}

fn place(record: &CallRecord) -> usize {
    usize::try_from(record.index).unwrap_or(usize::MAX)
}

/// The text of a record, or what kept it from coming.
fn generation(record: CallRecord) -> Result<Generation, String> {
    if !record.state.has_answer() {
        return Err(last_message(&record));
    }
    let count = |tokens: Option<u64>| tokens.and_then(|tokens| usize::try_from(tokens).ok());
    // A list with gaps would pass for that of fewer tokens.
    let logprobs: Option<Vec<f32>> = record.logprobs.iter().map(|token| token.logprob.map(|p| p as f32)).collect();
    Ok(Generation {
        text: record.text.unwrap_or_default(),
        finish: record.finish.unwrap_or(Finish::Other),
        prompt_tokens: count(record.usage.input),
        tokens: count(record.usage.output),
        logprobs: logprobs.unwrap_or_default(),
    })
}

/// What was said in the last attempt of a call.
pub(crate) fn last_message(record: &CallRecord) -> String {
    let last = record.attempts.last();
    let said = last.and_then(|attempt| attempt.message.clone()).filter(|message| !message.is_empty());
    let class = last.and_then(|attempt| attempt.error);
    said.or_else(|| class.map(|class| class.as_str().to_owned())).unwrap_or_else(|| "no answer came".to_owned())
}

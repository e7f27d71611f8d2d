//! Records of calls to models that make none over a network: they run in this process.

use std::ops::ControlFlow;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{
    Attempt, CALL_VERSION, CallRecord, CallState, Cost, ErrorClass, Generation, GenerationRequest, LanguageModel,
    ModelError, RequestSummary, ServedBy, Timing, Usage,
};

/// What [`ServedBy::provider`] says of a model in this process.
pub const LOCAL: &str = "local";

/// Requests that are handed to a model together.
const TOGETHER: usize = 256;

/// Generates in groups and hands over each result, with its position, when its group has ended. A group that fails is
/// asked again one by one, so that one request which cannot be answered takes no other with it.
pub(crate) fn generate_each<M: LanguageModel + ?Sized>(
    model: &M,
    requests: &mut (dyn Iterator<Item = GenerationRequest> + Send),
    each: &mut dyn FnMut(usize, CallRecord) -> ControlFlow<()>,
) -> Result<(), ModelError> {
    let mut first = 0;
    loop {
        let group: Vec<GenerationRequest> = (&mut *requests).take(TOGETHER).collect();
        let taken = group.len();
        if taken == 0 {
            return Ok(());
        }
        let done = if let Some(records) = together(model, first, &group)? {
            records.into_iter().try_for_each(|(index, record)| each(index, record))
        } else {
            one_by_one(model, first, group, each)?
        };
        if done.is_break() {
            return Ok(());
        }
        first += taken;
    }
}

/// The records of a group; `None` where one of its requests fails.
fn together<M: LanguageModel + ?Sized>(
    model: &M,
    first: usize,
    group: &[GenerationRequest],
) -> Result<Option<Vec<(usize, CallRecord)>>, ModelError> {
    let clock = Clock::start();
    let generations = match model.generate(group, &|_| {}) {
        Ok(generations) => generations,
        Err(error @ ModelError::Unsupported(_)) => return Err(error),
        Err(ModelError::Failed(_)) => return Ok(None),
    };
    let pairs = group.iter().zip(generations).enumerate();
    let record = |(i, (request, generation)): (usize, (&GenerationRequest, Generation))| {
        (first + i, record(model.name(), first + i, request.clone(), Ok(generation), clock))
    };
    Ok(Some(pairs.map(record).collect()))
}

fn one_by_one<M: LanguageModel + ?Sized>(
    model: &M,
    first: usize,
    group: Vec<GenerationRequest>,
    each: &mut dyn FnMut(usize, CallRecord) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ModelError> {
    for (i, request) in group.into_iter().enumerate() {
        let clock = Clock::start();
        let outcome = match model.generate(std::slice::from_ref(&request), &|_| {}) {
            Ok(mut generations) => generations.pop().ok_or_else(|| "the model gave no answer".to_owned()),
            Err(error @ ModelError::Unsupported(_)) => return Err(error),
            Err(ModelError::Failed(error)) => Err(chain(&*error)),
        };
        let record = record(model.name(), first + i, request, outcome, clock);
        if each(first + i, record).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// When a call began.
#[derive(Clone, Copy)]
struct Clock {
    sent: f64,
    start: Instant,
}

impl Clock {
    fn start() -> Self {
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self { sent, start: Instant::now() }
    }
}

fn record(
    model: &str,
    index: usize,
    request: GenerationRequest,
    outcome: Result<Generation, String>,
    clock: Clock,
) -> CallRecord {
    let seconds = clock.start.elapsed().as_secs_f64();
    let (generation, message) = match outcome {
        Ok(generation) => (Some(generation), None),
        Err(message) => (None, Some(message)),
    };
    let finish = generation.as_ref().map(|generation| generation.finish);
    let count = |tokens: Option<usize>| tokens.map(|tokens| tokens as u64);
    CallRecord {
        version: CALL_VERSION,
        index: index as u64,
        id: None,
        request: RequestSummary::new(String::new(), request),
        served_by: ServedBy { provider: LOCAL.to_owned(), model: model.to_owned(), ..ServedBy::default() },
        state: finish.map_or(CallState::ProviderError, CallState::of_finish),
        reasoning: None,
        finish,
        finish_stated: None,
        // The engine gives log-probabilities without the text of their tokens.
        logprobs: Vec::new(),
        usage: Usage {
            input: count(generation.as_ref().and_then(|g| g.prompt_tokens)),
            output: count(generation.as_ref().and_then(|g| g.tokens)),
            ..Usage::default()
        },
        text: generation.map(|g| g.text),
        usage_stated: None,
        cost: Cost::default(),
        timing: Timing { latency: seconds, ..Timing::default() },
        attempts: vec![Attempt {
            sent: clock.sent,
            seconds,
            error: message.as_ref().map(|_| ErrorClass::BadRequest),
            message,
            ..Attempt::default()
        }],
        cached: false,
        ended: clock.sent + seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finish, Loglikelihood, LoglikelihoodRequest, Progress, Prompt};

    /// Repeats its prompt; a group with the prompt `bad` fails.
    struct Echo;

    impl LanguageModel for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }

        fn loglikelihood(
            &self,
            _: &[LoglikelihoodRequest],
            _: &Progress<'_>,
        ) -> Result<Vec<Loglikelihood>, ModelError> {
            Err(ModelError::Unsupported("log-probabilities"))
        }

        fn loglikelihood_rolling(&self, _: &[String], _: &Progress<'_>) -> Result<Vec<Loglikelihood>, ModelError> {
            Err(ModelError::Unsupported("log-probabilities"))
        }

        fn generate(&self, requests: &[GenerationRequest], _: &Progress<'_>) -> Result<Vec<Generation>, ModelError> {
            let answer = |request: &GenerationRequest| match &request.prompt {
                Prompt::Text(text) if text == "bad" => Err(ModelError::Failed("the prompt is bad".into())),
                Prompt::Messages(_) => Err(ModelError::Unsupported("answers to messages")),
                Prompt::Text(text) => Ok(Generation {
                    text: text.clone(),
                    finish: Finish::MaxTokens,
                    prompt_tokens: Some(2),
                    tokens: None,
                    logprobs: Vec::new(),
                }),
            };
            requests.iter().map(answer).collect()
        }
    }

    fn text(text: impl Into<String>) -> GenerationRequest {
        GenerationRequest::new(Prompt::Text(text.into()), 1)
    }

    #[test]
    fn one_bad_request_fails_alone_and_the_order_is_kept() {
        let prompts = (0..600).map(|i| if i == 300 { "bad".to_owned() } else { i.to_string() });
        let mut seen = Vec::new();
        Echo.generate_each(&mut prompts.map(text), &mut |index, record| {
            assert_eq!(record.index, index as u64);
            seen.push(record);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen.len(), 600);
        for (i, record) in seen.iter().enumerate() {
            assert_eq!(record.served_by.provider, LOCAL);
            if i == 300 {
                assert_eq!((record.state, record.text.as_deref()), (CallState::ProviderError, None));
                assert_eq!(record.attempts[0].message.as_deref(), Some("the prompt is bad"));
            } else {
                assert_eq!(record.text, Some(i.to_string()));
                assert_eq!((record.state, record.usage.input), (CallState::Truncated, Some(2)));
                assert_eq!((record.usage.output, record.cost.usd), (None, None));
            }
        }
    }

    #[test]
    fn it_stops_when_told_and_where_a_model_cannot_answer_at_all() {
        let mut seen = 0;
        let mut asked = 0;
        let mut endless = std::iter::repeat_with(|| {
            asked += 1;
            text("x")
        });
        Echo.generate_each(&mut endless, &mut |_, _| {
            seen += 1;
            if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!((seen, asked), (3, TOGETHER));
        let mut messages = std::iter::once(GenerationRequest::new(Prompt::Messages(Vec::new()), 1));
        let result = Echo.generate_each(&mut messages, &mut |_, _| ControlFlow::Continue(()));
        assert!(matches!(result, Err(ModelError::Unsupported(_))));
    }
}

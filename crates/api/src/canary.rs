//! A few cheap requests that show what an endpoint really does, before a run rests on it.
//!
//! Only what the dialect carries and the catalog does not refuse is asked. What an answer cannot show stays unknown: a
//! model that does not count when told to count says nothing about stop strings.

use weighbridge_core::{
    CANARY_VERSION, CallRecord, CanaryCheck, CanaryFinding, CanaryReport, Dialect, ErrorClass, Finish,
    GenerationRequest, Message, Observed, Parameter, Prompt, Reasoning, ServedBy, Usd,
};

use crate::check::check;
use crate::dialect::{Delivery, shortened, wire};
use crate::endpoint::Endpoint;
use crate::hosted::{Hosted, NumberedRequest};
use crate::language_model::last_message;
use crate::loglikelihood::Form;
use crate::transport::now;

/// Room for an answer, and for some reasoning before it.
const ROOM: usize = 512;
/// Fewest tokens that every endpoint takes as a limit (OpenAI's `/responses` refuses fewer).
const FEW: usize = 16;
/// What the long prompt hides.
const SECRET: &str = "tangerine";
/// Characters of the long prompt.
const LONG: usize = 13_000;
/// Characters of a token of English, about.
const CHARACTERS: usize = 4;

/// What was seen, and by what.
type Seen = (Observed, Option<String>);
/// What answers to the same trial show.
type Judge = fn(&[&CallRecord]) -> Seen;

impl Hosted {
    /// Tries out what the endpoint does. It never fails: an endpoint that cannot be reached is a report that says so.
    #[must_use]
    pub fn canary(&self) -> CanaryReport {
        let greeting = self.trial("Say hello.", "Hello, my", |_| {});
        let first = self.ask(numbered(0, greeting), Delivery::Whole, &mut |_| {});
        let mut report = CanaryReport {
            version: CANARY_VERSION,
            served_by: ServedBy { response_id: None, ..first.served_by.clone() },
            ended: now(),
            findings: Vec::new(),
            cost: first.cost.usd,
            error: None,
        };
        let mut findings = if failed(&first) {
            // Nothing was answered, so nothing was spent that anybody knows of.
            report.cost = None;
            report.error = Some(last_message(&first));
            Vec::new()
        } else {
            let (mut findings, others) = self.others();
            findings
                .push((CanaryCheck::Model, model(&self.endpoint().model, first.served_by.model_answered.as_deref())));
            findings.push((CanaryCheck::Usage, usage(&first)));
            findings.push((CanaryCheck::ReasoningTokens, reasoning_tokens(&first)));
            let costs = others.iter().filter(|record| !failed(record)).map(|record| record.cost.usd);
            report.cost = costs.fold(report.cost, |sum, usd| Some(Usd(sum?.0 + usd?.0)));
            findings
        };
        for check in CanaryCheck::ALL {
            let found = findings.iter().position(|(known, _)| *known == check).map(|i| findings.swap_remove(i).1);
            let (observed, seen) = found.unwrap_or_else(|| (Observed::Unknown("nothing could be asked".into()), None));
            report.findings.push(CanaryFinding { check, observed, seen });
        }
        report.ended = now();
        report
    }

    /// Everything but the first call.
    fn others(&self) -> (Vec<(CanaryCheck, Seen)>, Vec<CallRecord>) {
        let trials = self.trials();
        let mut findings = Vec::new();
        let mut asked = Vec::new();
        if let Some(context) = self.too_short() {
            let why = format!("the context is stated as {context} tokens, which the long prompt would fill");
            findings.push((CanaryCheck::Context, (Observed::Unknown(why), None)));
        }
        for (what, request) in trials {
            match check(self.endpoint(), &request) {
                Ok(()) => asked.push((what, request)),
                Err(error) => findings.push((what, (Observed::Unknown(error.to_string()), None))),
            }
        }
        let mut requests = (0..).zip(&asked).map(|(index, (_, request))| numbered(index, request.clone()));
        let mut records: Vec<CallRecord> = Vec::new();
        let Ok(()) = self.run(&mut requests, Delivery::Whole, &mut |record| {
            records.push(record);
            Ok::<(), std::convert::Infallible>(())
        });
        records.sort_by_key(|record| record.index);
        let answers = |what: CanaryCheck| -> Vec<&CallRecord> {
            asked.iter().zip(&records).filter(|((known, _), _)| *known == what).map(|(_, record)| record).collect()
        };
        let judges: [(CanaryCheck, Judge); 5] = [
            (CanaryCheck::Stop, stop),
            (CanaryCheck::Seed, seed),
            (CanaryCheck::OutputLogprobs, output_logprobs),
            (CanaryCheck::Context, context),
            (CanaryCheck::MaxTokens, max_tokens),
        ];
        for (what, judge) in judges {
            let answers = answers(what);
            if !answers.is_empty() {
                findings
                    .push((what, answers.iter().find_map(|record| refused(record)).unwrap_or_else(|| judge(&answers))));
            }
        }
        let request = self.trial("Say hello.", "Hello, my", |_| {});
        let streamed = self.ask(numbered(0, request), Delivery::Streamed, &mut |_| {});
        findings.push((CanaryCheck::Streaming, refused(&streamed).unwrap_or_else(|| streaming(&streamed))));
        findings.push((CanaryCheck::PromptLogprobs, self.prompt_logprobs()));
        records.push(streamed);
        (findings, records)
    }

    fn trials(&self) -> Vec<(CanaryCheck, GenerationRequest)> {
        let count = "Count from 1 to 10 in digits, separated by spaces. Write nothing else.";
        let long = "Count from 1 to 200 in digits, separated by spaces. Write nothing else.";
        let words = "Write six English words that have nothing to do with each other.";
        let carries = |parameter| wire(self.endpoint().dialect).carries(parameter);
        let drawn = |request: &mut GenerationRequest| {
            let hot =
                carries(Parameter::Temperature) && !self.endpoint().facts.refuses.contains(&Parameter::Temperature);
            request.sampling.temperature = hot.then_some(1.0);
            request.sampling.seed = Some(20_260_101);
        };
        let mut again = self.trial(words, "Six words:", drawn);
        again.repeat = again.repeat.wrapping_add(1);
        let mut trials = vec![
            (CanaryCheck::Stop, self.trial(count, "1 2 3", |request| request.stop = vec!["5".into()])),
            (CanaryCheck::Seed, self.trial(words, "Six words:", drawn)),
            (CanaryCheck::Seed, again),
            (
                CanaryCheck::OutputLogprobs,
                self.trial("Say hello.", "Hello, my", |request| request.top_logprobs = Some(1)),
            ),
            (CanaryCheck::MaxTokens, self.trial(long, "1 2 3 4 5 6", |request| request.max_tokens = FEW)),
        ];
        if self.too_short().is_none() {
            trials.push((CanaryCheck::Context, self.trial(&long_prompt(true), &long_prompt(false), |_| {})));
        }
        trials
    }

    /// The stated context where the long prompt does not fit into it.
    fn too_short(&self) -> Option<u64> {
        self.endpoint().facts.context.filter(|&context| context < (LONG / CHARACTERS + 2 * ROOM) as u64)
    }

    /// A request in the form that the endpoint takes: a question, or a text to go on from.
    fn trial(&self, question: &str, text: &str, set: impl FnOnce(&mut GenerationRequest)) -> GenerationRequest {
        let endpoint = self.endpoint();
        let prompt = if wire(endpoint.dialect).carries(Parameter::Messages) {
            Prompt::Messages(vec![Message::user(question)])
        } else {
            Prompt::Text(text.to_owned())
        };
        let most = endpoint.facts.max_output.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let mut request = GenerationRequest::new(prompt, ROOM.min(most));
        if endpoint.dialect == Dialect::OpenaiCompletions {
            // Plain text goes on and on.
            request.max_tokens = 64.min(most);
        }
        request.reasoning = least_reasoning(endpoint);
        // What an endpoint does now is not found in a cache.
        request.repeat = now() as u32;
        set(&mut request);
        request
    }

    fn prompt_logprobs(&self) -> Seen {
        match self.scoring_form() {
            Ok(Form::Ids(_)) => (Observed::Yes, Some("by token ids".into())),
            Ok(Form::Echo) => (Observed::Yes, Some("by echo".into())),
            Ok(Form::Not(what)) => (Observed::No, Some(format!("the endpoint gives no {what}"))),
            Err(weighbridge_core::ModelError::Unsupported(_)) => {
                (Observed::Unknown("the endpoint does not speak openai_completions".into()), None)
            }
            Err(error) => (Observed::Unknown(error.to_string()), None),
        }
    }
}

fn numbered(index: u64, request: GenerationRequest) -> NumberedRequest {
    NumberedRequest { index, id: None, request }
}

/// The least that is known to be taken; what is unknown is left to the model.
fn least_reasoning(endpoint: &Endpoint) -> Reasoning {
    match &endpoint.facts.reasoning {
        Some(control) if control.off => Reasoning::Off,
        Some(control) => control.efforts.first().map_or(Reasoning::Unset, |level| Reasoning::Effort(*level)),
        None => Reasoning::Unset,
    }
}

/// A text of some thousand tokens with a word at its beginning that is asked for at its end.
fn long_prompt(question: bool) -> String {
    let line = |i| format!("Line {i}: the river was wide and slow, and nobody on the bank said a word.\n");
    let lines: Vec<String> = (1..=LONG / line(100).len()).map(line).collect();
    let end = if question { "What is the secret word? Answer with that word only." } else { "The secret word is" };
    format!("The secret word is {SECRET}.\n{}{end}", lines.concat())
}

fn failed(record: &CallRecord) -> bool {
    !record.state.has_answer()
}

/// What a call that was not answered shows.
fn refused(record: &CallRecord) -> Option<Seen> {
    if !failed(record) {
        return None;
    }
    let message = last_message(record);
    let class = record.attempts.last().and_then(|attempt| attempt.error);
    Some(match class {
        Some(ErrorClass::BadRequest) => (Observed::No, Some(message)),
        _ => (Observed::Unknown(message), None),
    })
}

fn model(asked: &str, answered: Option<&str>) -> Seen {
    let Some(answered) = answered else {
        return (Observed::Unknown("the answer names no model".into()), None);
    };
    let (a, b) = (asked.to_lowercase(), answered.to_lowercase());
    // Names without their dates and owners are the same model.
    let extends = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':', '@']))
            || long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'))
    };
    let same = extends(&b, &a) || a.strip_suffix(&b).is_some_and(|rest| rest.ends_with('/'));
    let observed = if same { Observed::Yes } else { Observed::No };
    (observed, Some(shortened(answered)))
}

fn usage(record: &CallRecord) -> Seen {
    match (record.usage.input, record.usage.output) {
        (Some(input), Some(output)) => (Observed::Yes, Some(format!("{input} in, {output} out"))),
        _ => (Observed::No, None),
    }
}

fn reasoning_tokens(record: &CallRecord) -> Seen {
    match (record.usage.reasoning, &record.reasoning) {
        (Some(tokens), _) => (Observed::Yes, Some(tokens.to_string())),
        (None, Some(_)) => (Observed::No, Some("reasoning was shown, but not counted".into())),
        (None, None) => (Observed::Unknown("no reasoning was shown".into()), None),
    }
}

fn text<'a>(records: &[&'a CallRecord]) -> &'a str {
    records.first().and_then(|record| record.text.as_deref()).unwrap_or_default()
}

fn stop(records: &[&CallRecord]) -> Seen {
    let text = text(records);
    let observed = match (text.contains('4'), text.contains('5')) {
        (_, true) => Observed::No,
        (true, false) => Observed::Yes,
        (false, false) => Observed::Unknown("the model did not count".into()),
    };
    (observed, Some(shortened(text)))
}

fn seed(records: &[&CallRecord]) -> Seen {
    let [first, second] = records else { return (Observed::Unknown("one of two answers is missing".into()), None) };
    match (first.text.as_deref(), second.text.as_deref()) {
        (Some(a), Some(b)) if a.is_empty() || b.is_empty() => (Observed::Unknown("the answers are empty".into()), None),
        (a, b) if a == b => (Observed::Yes, None),
        (a, b) => {
            let seen = format!("{} | {}", shortened(a.unwrap_or_default()), shortened(b.unwrap_or_default()));
            (Observed::No, Some(seen))
        }
    }
}

fn output_logprobs(records: &[&CallRecord]) -> Seen {
    let tokens = records.first().map_or(0, |record| record.logprobs.len());
    let observed = if tokens > 0 { Observed::Yes } else { Observed::No };
    (observed, Some(format!("of {tokens} tokens")))
}

fn context(records: &[&CallRecord]) -> Seen {
    let Some(record) = records.first() else { return (Observed::Unknown("no answer came".into()), None) };
    let estimate = (LONG / CHARACTERS) as u64;
    let stated = record.usage.input;
    let seen = stated.map(|stated| format!("{stated} tokens stated for about {estimate}"));
    let repeated = record.text.as_deref().unwrap_or_default().to_lowercase().contains(SECRET);
    let observed = match stated {
        // A text of which half is missing has lost its beginning, whatever the model guessed.
        Some(stated) if stated < estimate / 2 => Observed::No,
        _ if repeated => Observed::Yes,
        Some(stated) if stated < estimate * 4 / 5 => Observed::No,
        _ => Observed::Unknown("the model did not repeat the word".into()),
    };
    (observed, seen)
}

fn streaming(record: &CallRecord) -> Seen {
    match record.timing.first_token {
        Some(seconds) => (Observed::Yes, Some(format!("first text after {seconds:.3} s"))),
        None if record.text.as_deref().is_none_or(str::is_empty) => (Observed::Unknown("no text came".into()), None),
        None => (Observed::No, Some("the answer came in one body".into())),
    }
}

fn max_tokens(records: &[&CallRecord]) -> Seen {
    let Some(record) = records.first() else { return (Observed::Unknown("no answer came".into()), None) };
    let observed = match (record.usage.output, record.finish) {
        (Some(output), _) if output > FEW as u64 => Observed::No,
        (Some(_), _) | (None, Some(Finish::MaxTokens)) => Observed::Yes,
        (None, _) => Observed::Unknown("the answer states no tokens".into()),
    };
    (observed, record.usage.output.map(|output| format!("{output} tokens of {FEW}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_the_one_asked_but_for_date_and_owner() {
        for (asked, answered, expect) in [
            ("gpt-x", Some("gpt-x"), Observed::Yes),
            ("gpt-x", Some("gpt-x-2026-01-01"), Observed::Yes),
            ("gpt-x", Some("openai/gpt-x"), Observed::Yes),
            ("meta-llama/Llama-9", Some("llama-9"), Observed::Yes),
            ("gpt-x", Some("gpt-xl"), Observed::No),
            ("gpt-x-2026-01-01", Some("gpt-x"), Observed::No),
            ("gpt-x", Some("/models/file.gguf"), Observed::No),
            ("gpt-x", None, Observed::Unknown("the answer names no model".into())),
        ] {
            assert_eq!(model(asked, answered).0, expect, "{asked} {answered:?}");
        }
    }
}

//! Whether an endpoint takes what a request asks for, told before anything is sent.

use weighbridge_core::{GenerationRequest, Parameter, Prompt, Reasoning};

use crate::dialect::{is_system, outside, wire};
use crate::endpoint::Endpoint;
use crate::error::ApiError;

/// Checks a request against the dialect and what is known of the endpoint.
///
/// # Errors
/// It asks for something that the endpoint does not take.
pub fn check(endpoint: &Endpoint, request: &GenerationRequest) -> Result<(), ApiError> {
    for parameter in asked(request) {
        if !wire(endpoint.dialect).carries(parameter) || endpoint.facts.refuses.contains(&parameter) {
            return Err(ApiError::Unsupported {
                model: endpoint.model.clone(),
                provider: endpoint.provider.id.clone(),
                dialect: endpoint.dialect,
                parameter,
                hint: hint(parameter),
            });
        }
    }
    let outside = |expected: String, given: String| Err(outside(endpoint, expected, &given));
    if request.max_tokens == 0 {
        return outside("an answer of at least 1 token".into(), "0".into());
    }
    if let Some(most) = endpoint.facts.max_output.filter(|&most| request.max_tokens as u64 > most) {
        return outside(format!("answers of at most {most} tokens"), request.max_tokens.to_string());
    }
    if let Some(most) = endpoint.facts.max_stop.filter(|&most| request.stop.len() > most) {
        return outside(format!("at most {most} stop strings"), request.stop.len().to_string());
    }
    if request.stop.iter().any(String::is_empty) {
        return outside("stop strings with text in them".into(), "an empty one".into());
    }
    if let (Some(most), Some(asked)) = (endpoint.facts.max_top_logprobs, request.top_logprobs)
        && asked > most
    {
        return outside(format!("at most {most} alternatives of a log-probability"), asked.to_string());
    }
    check_numbers(request).or_else(|(expected, given)| outside(expected.into(), given))?;
    check_reasoning(endpoint, request.reasoning).or_else(|(expected, given)| outside(expected, given))
}

/// The settings that a request uses.
fn asked(request: &GenerationRequest) -> Vec<Parameter> {
    let sampling = request.sampling;
    let (text, system) = match &request.prompt {
        Prompt::Text(_) => (true, false),
        Prompt::Messages(messages) => (false, messages.iter().any(is_system)),
    };
    [
        (text, Parameter::Text),
        (!text, Parameter::Messages),
        (system, Parameter::System),
        (sampling.temperature.is_some(), Parameter::Temperature),
        (sampling.top_p.is_some(), Parameter::TopP),
        (sampling.top_k.is_some(), Parameter::TopK),
        (sampling.min_p.is_some(), Parameter::MinP),
        (sampling.seed.is_some(), Parameter::Seed),
        (!request.stop.is_empty(), Parameter::Stop),
        (request.top_logprobs.is_some(), Parameter::Logprobs),
        (!request.reasoning.is_unset(), Parameter::Reasoning),
    ]
    .into_iter()
    .filter_map(|(used, parameter)| used.then_some(parameter))
    .collect()
}

const fn hint(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Text => " to go on from, only a conversation",
        Parameter::Messages => ", only plain text",
        _ => "",
    }
}

fn check_numbers(request: &GenerationRequest) -> Result<(), (&'static str, String)> {
    let sampling = request.sampling;
    if let Some(t) = sampling.temperature.filter(|t| !(*t >= 0.0 && t.is_finite())) {
        return Err(("a temperature from 0", t.to_string()));
    }
    if let Some(p) = sampling.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
        return Err(("a top-p above 0 and at most 1", p.to_string()));
    }
    if let Some(p) = sampling.min_p.filter(|p| !(0.0..=1.0).contains(p)) {
        return Err(("a min-p from 0 to 1", p.to_string()));
    }
    if sampling.top_k == Some(0) {
        return Err(("a top-k from 1", "0".into()));
    }
    Ok(())
}

fn check_reasoning(endpoint: &Endpoint, reasoning: Reasoning) -> Result<(), (String, String)> {
    let Some(control) = &endpoint.facts.reasoning else { return Ok(()) };
    match reasoning {
        Reasoning::Off if !control.off => Err(("reasoning that cannot be turned off".into(), "off".into())),
        Reasoning::Effort(level) if !control.efforts.contains(&level) => {
            let known: Vec<&str> = control.efforts.iter().map(|level| level.as_str()).collect();
            let expected = if known.is_empty() { "no levels of reasoning".into() } else { known.join(", ") };
            Err((expected, level.as_str().into()))
        }
        Reasoning::Budget(tokens) => match control.budget {
            None => Err(("no budget of reasoning".into(), tokens.to_string())),
            Some((least, most)) if !(least..=most).contains(&tokens) => {
                Err((format!("a budget of reasoning from {least} to {most} tokens"), tokens.to_string()))
            }
            Some(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

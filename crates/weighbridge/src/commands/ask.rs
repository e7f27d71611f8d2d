//! `weighbridge ask`: one question to open weights.

use std::io::{self, IsTerminal, Read, Write};

use anyhow::Context;
use serde_json::json;
use weighbridge_core::{Finish, Generation, GenerationRequest, Message, Prompt, Sampling};
use weighbridge_engine::Model;

use crate::Answer;
use crate::cli::{AskArgs, AskFormat};
use crate::render::{Screen, json};

use super::open_weights;

/// Runs the command. At a terminal the answer appears as it is made.
///
/// # Errors
/// The model does not load or cannot take the prompt.
pub fn run(args: &AskArgs, screen: Screen) -> anyhow::Result<Answer> {
    let text = question(&args.prompt)?;
    let model = open_weights::open(&args.model, args.running.options(), screen)?;
    let request = GenerationRequest {
        prompt: prompt(args, &model, text),
        stop: args.stop.clone(),
        max_tokens: args.max_tokens as usize,
        sampling: Sampling {
            temperature: Some(args.temperature),
            top_k: args.top_k,
            top_p: Some(args.top_p),
            min_p: Some(args.min_p),
            seed: Some(args.seed),
        },
        ..GenerationRequest::new(Prompt::Text(String::new()), 0)
    };
    let live = args.format == AskFormat::Text && io::stdout().is_terminal();
    let mut show = |_: usize, piece: &str| {
        if live {
            // A terminal that has gone away is noticed when the answer is printed.
            let _ = io::stdout().write_all(safe(piece).as_bytes()).and_then(|()| io::stdout().flush());
        }
    };
    let answers = model.generate_with(&[request], &mut show)?;
    let answer = answers.into_iter().next().context("the model gave no answer")?;
    let note = match answer.finish {
        Finish::MaxTokens => Some(format!("cut off after {} tokens; --max-tokens takes more", args.max_tokens)),
        Finish::ContextFull => Some("cut off where the context of the model is full".to_owned()),
        _ => None,
    };
    match args.format {
        AskFormat::Json => Ok(Answer::plain(json(&as_json(&args.model, &answer))?)),
        AskFormat::Text if live => Ok(Answer { note, ..Answer::plain("\n") }),
        AskFormat::Text => Ok(Answer { note, ..Answer::plain(format!("{}\n", answer.text)) }),
    }
}

/// The question, from standard input where it is '-'.
fn question(prompt: &str) -> anyhow::Result<String> {
    if prompt != "-" {
        return Ok(prompt.to_owned());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("standard input is no text")?;
    Ok(text)
}

/// A conversation where the model takes one, otherwise the text as it stands.
fn prompt(args: &AskArgs, model: &Model, text: String) -> Prompt {
    if args.raw || (!model.has_template() && args.system.is_none()) {
        return Prompt::Text(text);
    }
    let system = args.system.iter().map(|s| Message { role: "system".into(), content: s.clone() });
    Prompt::Messages(system.chain([Message::user(text)]).collect())
}

/// What a model says, without the control characters that steer a terminal.
fn safe(piece: &str) -> String {
    piece.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

fn as_json(model: &str, answer: &Generation) -> serde_json::Value {
    json!({
        "model": model,
        "text": answer.text,
        "finish": answer.finish,
        "prompt_tokens": answer.prompt_tokens,
        "tokens": answer.tokens,
        "logprobs": answer.logprobs,
    })
}

//! `weighbridge ask`: one question to one or more models, open and closed, side by side.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use weighbridge_api::{Delivery, Endpoint, Hosted, NumberedRequest, Session};
use weighbridge_catalog::Catalog;
use weighbridge_core::{CallState, Finish, GenerationRequest, Message, Prompt};
use weighbridge_engine::Model;

use crate::Answer;
use crate::cli::{AskArgs, AskFormat, Cli};
use crate::render::reply::{Reply, as_json, as_table, safe};
use crate::render::{Screen, json};
use crate::target::{self, Target};

use super::open_weights;

/// What is said where a question is missing.
const NO_PROMPT: &str = "the question is missing: ask <MODEL>... <PROMPT>";

/// Longest answer of open weights here unless told otherwise.
const MAX_TOKENS: usize = 256;

/// Runs the command. At a terminal the answer of a single model appears as it is made.
///
/// # Errors
/// A model cannot be asked at all, or the only one gives no answer.
pub fn run(args: &AskArgs, screen: Screen) -> anyhow::Result<Answer> {
    let (prompt, models) = match args.words.split_last() {
        Some((prompt, models)) if !models.is_empty() => (prompt, models),
        _ => Cli::command().error(ErrorKind::MissingRequiredArgument, NO_PROMPT).exit(),
    };
    let catalog = Catalog::embedded()?;
    let targets: Vec<Target> =
        models.iter().map(|name| target::find(name, &args.hosted, &catalog)).collect::<Result<_, _>>()?;
    check_providers(args, &targets)?;
    let text = question(prompt)?;
    let live = targets.len() == 1 && args.format == AskFormat::Text && io::stdout().is_terminal();
    let asked = asked(args, targets, &text)?;
    let replies = replies(args, models, asked, &text, live, screen)?;
    match (args.format, replies.as_slice()) {
        (AskFormat::Json, _) => {
            let list: Vec<_> = replies.iter().map(as_json).collect();
            let failed = replies.iter().any(|reply| reply.text.is_none());
            Ok(Answer { failed, ..Answer::plain(json(&list)?) })
        }
        (AskFormat::Text, [reply]) => single(reply, live),
        (AskFormat::Text, _) => side_by_side(&replies, screen),
    }
}

/// A key or an address is for one provider: another one must not see it.
fn check_providers(args: &AskArgs, targets: &[Target]) -> anyhow::Result<()> {
    let mut providers: Vec<&str> = targets
        .iter()
        .filter_map(|target| match target {
            Target::Hosted(endpoint) => Some(endpoint.provider.id.as_str()),
            Target::Local(_) => None,
        })
        .collect();
    providers.sort_unstable();
    providers.dedup();
    if providers.len() > 1 && args.hosted.key_file.is_some() {
        bail!("--key-file would give one key to {}; set their variables instead", providers.join(" and "));
    }
    if providers.len() > 1 && args.hosted.base_url.is_some() {
        bail!(
            "--base-url would stand for {}; write it behind a model, as in vllm:m,base-url=URL",
            providers.join(" and ")
        );
    }
    Ok(())
}

/// A model with what it is asked.
enum Asked {
    /// Open weights that load when it is their turn.
    Local(String),
    /// A host, whose request has been checked.
    Hosted(Hosted, GenerationRequest),
}

/// Makes and checks every request before one is sent: no host is paid where another cannot be asked.
fn asked(args: &AskArgs, targets: Vec<Target>, text: &str) -> anyhow::Result<Vec<Asked>> {
    let mut session: Option<Arc<Session>> = None;
    let mut all = Vec::new();
    for target in targets {
        all.push(match target {
            Target::Local(name) => Asked::Local(name),
            Target::Hosted(endpoint) => {
                let request = hosted_request(args, &endpoint, text);
                weighbridge_api::check(&endpoint, &request)?;
                let session = match &session {
                    Some(session) => session,
                    None => session.insert(target::session(&args.hosted)?),
                };
                Asked::Hosted(Hosted::new(*endpoint, session)?, request)
            }
        });
    }
    Ok(all)
}

/// Answers in the order of the models. Hosts are asked at the same time, open weights here one after another; where one
/// of several models fails, the answers of the others stand.
fn replies(
    args: &AskArgs,
    models: &[String],
    asked: Vec<Asked>,
    text: &str,
    live: bool,
    screen: Screen,
) -> anyhow::Result<Vec<Reply>> {
    let show = move |piece: &str| {
        if live {
            // A terminal that has gone away is noticed when the answer is printed.
            let _ = io::stdout().write_all(safe(piece).as_bytes()).and_then(|()| io::stdout().flush());
        }
    };
    let alone = asked.len() == 1;
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        let mut here = Vec::new();
        for (at, asked) in asked.into_iter().enumerate() {
            match asked {
                Asked::Hosted(model, request) => {
                    let ask = move || hosted(&models[at], &model, request, show);
                    waiting.push((at, scope.spawn(ask)));
                }
                Asked::Local(name) => here.push((at, name)),
            }
        }
        let mut all = Vec::new();
        for (at, name) in here {
            let reply = match local(args, &name, text, show, screen) {
                Ok(reply) => reply,
                Err(error) if alone => return Err(error),
                Err(error) => Reply { model: name, why: Some(format!("{error:#}")), ..Reply::default() },
            };
            all.push((at, reply));
        }
        for (at, thread) in waiting {
            all.push((at, thread.join().map_err(|_| anyhow!("asking '{}' broke off", models[at]))?));
        }
        all.sort_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, reply)| reply).collect())
    })
}

/// The answer of open weights in this process.
fn local(
    args: &AskArgs,
    name: &str,
    text: &str,
    show: impl Fn(&str) + Send + Sync,
    screen: Screen,
) -> anyhow::Result<Reply> {
    let model = open_weights::open(name, args.running.options(), screen)?;
    let request =
        GenerationRequest { sampling: args.sampling.local(), ..request(args, prompt(args, &model, text), MAX_TOKENS) };
    let start = Instant::now();
    let mut first = None;
    let mut listen = |_: usize, piece: &str| {
        first.get_or_insert_with(|| start.elapsed().as_secs_f64());
        show(piece);
    };
    let answers = model.generate_with(&[request], &mut listen)?;
    let answer = answers.into_iter().next().context("the model gave no answer")?;
    Ok(Reply {
        model: name.to_owned(),
        state: CallState::of_finish(answer.finish),
        finish: Some(answer.finish),
        input: answer.prompt_tokens.map(|n| n as u64),
        output: answer.tokens.map(|n| n as u64),
        text: Some(answer.text),
        logprobs: answer.logprobs.into_iter().map(f64::from).map(Some).collect(),
        first_token: first,
        seconds: start.elapsed().as_secs_f64(),
        ..Reply::default()
    })
}

/// The answer of a host.
fn hosted(name: &str, model: &Hosted, request: GenerationRequest, show: impl Fn(&str) + Send + Sync) -> Reply {
    let numbered = NumberedRequest { index: 0, id: None, request };
    Reply::of_record(name, model.ask(numbered, Delivery::Streamed, &mut |piece| show(piece)))
}

fn hosted_request(args: &AskArgs, endpoint: &Endpoint, text: &str) -> GenerationRequest {
    let prompt = if args.raw { Prompt::Text(text.to_owned()) } else { conversation(args, text) };
    let most = target::default_length(Some(endpoint));
    GenerationRequest { sampling: args.sampling.hosted(), ..request(args, prompt, most) }
}

fn request(args: &AskArgs, prompt: Prompt, most: usize) -> GenerationRequest {
    GenerationRequest {
        stop: args.sampling.stop.clone(),
        reasoning: args.sampling.reasoning.unwrap_or_default(),
        top_logprobs: args.sampling.logprobs,
        ..GenerationRequest::new(prompt, args.sampling.max_tokens.map_or(most, |tokens| tokens as usize))
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
fn prompt(args: &AskArgs, model: &Model, text: &str) -> Prompt {
    if args.raw || (!model.has_template() && args.system.is_none()) {
        return Prompt::Text(text.to_owned());
    }
    conversation(args, text)
}

fn conversation(args: &AskArgs, text: &str) -> Prompt {
    let system = args.system.iter().map(|s| Message::new("system", s.as_str()));
    Prompt::Messages(system.chain([Message::user(text)]).collect())
}

/// The text alone; what else there is to say goes to the person at the terminal.
fn single(reply: &Reply, live: bool) -> anyhow::Result<Answer> {
    let Some(text) = &reply.text else {
        bail!("{} gave no answer: {}", reply.shown(), reply.why.as_deref().unwrap_or("it does not say why"));
    };
    let cut = match reply.finish {
        Some(Finish::MaxTokens) => Some(match reply.output {
            Some(tokens) => format!("cut off after {tokens} tokens; --max-tokens takes more"),
            None => "cut off at the length that was asked for; --max-tokens takes more".to_owned(),
        }),
        Some(Finish::ContextFull) => Some("cut off where the context of the model is full".to_owned()),
        Some(Finish::Refused) => Some("the model declined to answer".to_owned()),
        Some(Finish::Filtered) => Some("a filter of the host held the answer back".to_owned()),
        _ => None,
    };
    let facts = live.then(|| format!("{}: {}", reply.shown(), reply.facts()));
    let notes: Vec<String> = cut.into_iter().chain(facts).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let text = if live { "\n".to_owned() } else { format!("{text}\n") };
    Ok(Answer { note, ..Answer::plain(text) })
}

fn side_by_side(replies: &[Reply], screen: Screen) -> anyhow::Result<Answer> {
    let mut out = String::new();
    for reply in replies {
        out.push_str(&screen.bold(&reply.shown()));
        out.push('\n');
        let text = match (&reply.text, &reply.why) {
            (Some(text), _) => safe(text),
            (None, why) => format!("no answer: {}", safe(why.as_deref().unwrap_or("the host does not say why"))),
        };
        out.push_str(text.trim_end());
        out.push_str("\n\n");
    }
    out.push_str(&as_table(replies, screen)?);
    let missing = replies.iter().filter(|reply| reply.text.is_none()).count();
    let note = (missing > 0).then(|| format!("{missing} of {} models gave no answer", replies.len()));
    Ok(Answer { note, failed: missing > 0, ..Answer::plain(out) })
}

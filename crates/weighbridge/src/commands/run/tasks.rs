//! The tasks of a run, made ready for each model.

use std::path::Path;

use anyhow::{anyhow, bail};
use weighbridge_api::Endpoint;
use weighbridge_core::{GenerationRequest, Protocol, Sampling, TaskFacts};
use weighbridge_run::{Ask, Scorer, Style, Task, TaskOptions, lm_eval, plain};

use crate::cli::{ProtocolArg, RunArgs};

use super::models::Contestant;

/// A task with its scorers.
pub struct Prepared {
    /// The task.
    pub task: Task,
    /// Its scorers, ready.
    pub scorer: Scorer,
}

/// All tasks of a run, in plain text, for what the header and the progress need.
pub struct Tasks {
    /// In the order in which they were named.
    pub all: Vec<Prepared>,
}

impl Tasks {
    /// Reads all tasks.
    ///
    /// # Errors
    /// A file is no task, or two tasks have one name.
    pub fn load(args: &RunArgs) -> anyhow::Result<Self> {
        let all = load(args, Style::Text)?;
        let mut names: Vec<&str> = all.iter().map(|prepared| prepared.task.facts.name.as_str()).collect();
        names.sort_unstable();
        if let Some((twice, _)) = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b) {
            bail!("two tasks have the name '{twice}'; run them one after the other");
        }
        Ok(Self { all })
    }

    /// What the header says of them.
    pub fn facts(&self, args: &RunArgs) -> Vec<TaskFacts> {
        let facts = self.all.iter().map(|prepared| prepared.task.facts.clone());
        facts.map(|facts| TaskFacts { epochs: Some(args.epochs), ..facts }).collect()
    }
}

/// The tasks as they are put to one model: in its form, with its settings. Log-likelihoods are asked of weights in this
/// process alone: for a host they are left out where there are texts to write besides, and are an error otherwise.
///
/// # Errors
/// The model takes no task, or does not take what one asks for.
pub fn of(contestant: &Contestant, style: Style, args: &RunArgs) -> anyhow::Result<Vec<Prepared>> {
    let mut prepared = load(args, style)?;
    if let Some(endpoint) = contestant.endpoint() {
        let likelihood = |p: &Prepared| p.task.facts.protocol == Some(Protocol::Loglikelihood);
        if args.protocol == Some(ProtocolArg::Both) {
            prepared.retain(|p| !likelihood(p));
        }
        for prepared in &mut prepared {
            fit(&mut prepared.task, endpoint, args)?;
        }
    } else {
        for prepared in &mut prepared {
            each_request(&mut prepared.task, &mut |request| *request = set(request, args, Sampling::GREEDY));
        }
    }
    Ok(prepared)
}

/// Sets what the user has set; for the rest `sampling` where the task says nothing.
fn set(request: &GenerationRequest, args: &RunArgs, sampling: Sampling) -> GenerationRequest {
    let mut request = request.clone();
    let (asked, stated) = (&args.sampling, request.sampling);
    request.sampling = Sampling {
        temperature: asked.temperature.or(stated.temperature).or(sampling.temperature),
        top_k: asked.top_k.or(stated.top_k),
        top_p: asked.top_p.or(stated.top_p),
        min_p: asked.min_p.or(stated.min_p),
        seed: asked.seed.or(stated.seed),
    };
    request.reasoning = asked.reasoning.unwrap_or(request.reasoning);
    request.max_tokens = asked.max_tokens.map_or(request.max_tokens, |n| n as usize);
    request.stop.extend(asked.stop.iter().cloned());
    request
}

fn each_request(task: &mut Task, change: &mut dyn FnMut(&mut GenerationRequest)) {
    for sample in &mut task.samples {
        if let Ask::Generate(requests) = &mut sample.ask {
            requests.iter_mut().for_each(&mut *change);
        }
    }
}

/// Makes requests that the endpoint takes. A host that refuses a temperature of 0 keeps its own, where the user set none.
fn fit(task: &mut Task, endpoint: &Endpoint, args: &RunArgs) -> anyhow::Result<()> {
    each_request(task, &mut |request| *request = set(request, args, Sampling::UNSET));
    if args.sampling.temperature.is_none() && !takes(task, endpoint) {
        each_request(task, &mut |request| request.sampling.temperature = None);
    }
    for sample in &task.samples {
        let Ask::Generate(requests) = &sample.ask else { continue };
        for request in requests {
            weighbridge_api::check(endpoint, request)
                .map_err(|error| anyhow!("task '{}': {error}", task.facts.name))?;
        }
    }
    Ok(())
}

fn takes(task: &Task, endpoint: &Endpoint) -> bool {
    task.samples.iter().all(|sample| match &sample.ask {
        Ask::Generate(requests) => requests.iter().all(|request| weighbridge_api::check(endpoint, request).is_ok()),
        _ => true,
    })
}

fn load(args: &RunArgs, style: Style) -> anyhow::Result<Vec<Prepared>> {
    let protocols: &[Option<Protocol>] = match args.protocol {
        None => &[None],
        Some(ProtocolArg::Generate) => &[Some(Protocol::Generate)],
        Some(ProtocolArg::Loglikelihood) => &[Some(Protocol::Loglikelihood)],
        Some(ProtocolArg::Both) => &[Some(Protocol::Generate), Some(Protocol::Loglikelihood)],
    };
    let mut all = Vec::new();
    for path in &args.tasks {
        for protocol in protocols {
            let options = TaskOptions {
                style,
                protocol: *protocol,
                limit: args.limit,
                few_shot: args.few_shot,
                system: args.system.clone(),
                max_tokens: args.sampling.max_tokens.map(|n| n as usize),
                ..TaskOptions::default()
            };
            for task in read(path, args, &options)? {
                let scorer = Scorer::new(&task.scoring).map_err(|problem| anyhow!("{}: {problem}", path.display()))?;
                all.push(Prepared { task, scorer });
            }
        }
    }
    Ok(all)
}

fn read(path: &Path, args: &RunArgs, options: &TaskOptions) -> anyhow::Result<Vec<Task>> {
    let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if !is_yaml {
        return Ok(vec![plain::load(path, &args.scorer, options)?]);
    }
    if !args.scorer.is_empty() {
        bail!("{} says how it is scored; leave out --scorer", path.display());
    }
    Ok(lm_eval::load(path, options)?)
}

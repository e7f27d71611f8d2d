//! `weighbridge run`: tasks put to models, open and closed, side by side, into one log.

mod dry;
mod log;
mod models;
mod progress;
mod stop;
mod tasks;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{anyhow, bail};
use weighbridge_catalog::Catalog;
use weighbridge_core::{EventKind, LogLine, RunEvent};
use weighbridge_lake::Lake;
use weighbridge_logs::{LogWriter, Source};
use weighbridge_run::{Ended, Job};

use crate::Answer;
use crate::cli::{Format, RunArgs};
use crate::facts;
use crate::render::{Screen, json};
use crate::run_summary::Summary;

use log::Done;
use models::{Contestant, Opened};
use progress::Board;
use stop::StopRule;
use tasks::Tasks;

/// Runs the command.
///
/// # Errors
/// A task or model cannot be had at all, or the log cannot be written. What fails of one model stops no other.
pub fn run(args: &RunArgs, lake: Option<&Path>, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let contestants = models::find(args, &catalog)?;
    let tasks = Tasks::load(args)?;
    if args.dry_run {
        return dry::run(args, &contestants, screen);
    }
    if args.until.is_some() && contestants.len() < 2 {
        bail!("--until compares models: name at least two with --model");
    }
    let header = log::header(args, &contestants, &tasks);
    let path = log::path(args, &tasks)?;
    let (writer, done) = log::open(&path, &header)?;
    let stop = args.until.map(|until| StopRule::new(until, &contestants, &tasks, args, &done)).transpose()?;
    let board = Board::new(&contestants, &tasks, args, &done, screen);
    let shared = Mutex::new(Shared { writer, stop, board, problem: None, failed: Vec::new(), spent: false });
    let session = models::session(args)?;
    // Models of this process share its cores, one after another; each host waits for itself.
    std::thread::scope(|scope| {
        let (local, hosted): (Vec<_>, Vec<_>) = contestants.iter().partition(|contestant| contestant.is_local());
        for contestant in hosted {
            let (done, shared, session) = (&done, &shared, &session);
            scope.spawn(move || one(args, contestant, done, shared, session, screen));
        }
        for contestant in local {
            one(args, contestant, &done, &shared, &session, screen);
        }
    });
    let mut shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(problem) = shared.problem.take() {
        return Err(
            problem.context(format!("{} holds what had ended; the same command with -o goes on", path.display()))
        );
    }
    finish(args, lake, screen, &path, shared)
}

/// What all models of a run write to.
struct Shared {
    writer: LogWriter,
    stop: Option<StopRule>,
    board: Board,
    /// Why nothing more can be written.
    problem: Option<anyhow::Error>,
    failed: Vec<String>,
    spent: bool,
}

impl Shared {
    fn event(&mut self, kind: EventKind, model: Option<&str>, message: Option<String>) {
        let model = model.map(str::to_owned);
        let event = RunEvent { kind, at: Some(log::now()), model, task: None, message };
        if let Err(error) = self.writer.write(&LogLine::Event(Box::new(event))) {
            self.problem.get_or_insert(error.into());
        }
    }

    fn is_over(&self) -> bool {
        self.problem.is_some() || self.stop.as_ref().is_some_and(StopRule::is_met)
    }
}

fn hold(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All tasks of one model. Its failure is written down and stops no other.
fn one(
    args: &RunArgs,
    contestant: &Contestant,
    done: &Done,
    shared: &Mutex<Shared>,
    session: &std::sync::Arc<weighbridge_api::Session>,
    screen: Screen,
) {
    let asked =
        contestant.open(args, session, screen).and_then(|opened| all_tasks(args, contestant, &opened, done, shared));
    if let Err(error) = asked {
        let message = format!("{error:#}");
        let mut held = hold(shared);
        held.event(EventKind::ModelFailed, Some(&contestant.name), Some(message.clone()));
        held.failed.push(format!("{}: {message}", contestant.name));
        held.board.failed(&contestant.name);
    }
}

fn all_tasks(
    args: &RunArgs,
    contestant: &Contestant,
    opened: &Opened,
    done: &Done,
    shared: &Mutex<Shared>,
) -> anyhow::Result<()> {
    for prepared in tasks::of(contestant, opened.style, args)? {
        if hold(shared).is_over() {
            return Ok(());
        }
        let order = stop::order(&prepared.task, args);
        let name = &prepared.task.facts.name;
        let done = done.of(name, &contestant.name, &prepared.task);
        let job = Job {
            task: &prepared.task,
            scorer: &prepared.scorer,
            model: &contestant.name,
            order: &order,
            epochs: args.epochs,
            done: &done,
        };
        let ended = job.run(&*opened.model, &mut |record| {
            let mut held = hold(shared);
            if held.problem.is_some() {
                return ControlFlow::Break(());
            }
            // What came after the comparison was settled was paid for: it is kept, and changes nothing.
            let line = LogLine::Sample(Box::new(record));
            if let Err(error) = held.writer.write(&line) {
                held.problem = Some(error.into());
                return ControlFlow::Break(());
            }
            let LogLine::Sample(record) = line else { return ControlFlow::Continue(()) };
            held.board.add(&record);
            let met = held.stop.as_mut().and_then(|stop| stop.add(&record));
            if let Some(words) = met {
                held.event(EventKind::Decided, None, Some(words));
                return ControlFlow::Break(());
            }
            if held.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match ended.map_err(|error| anyhow!(error))? {
            Ended::SpendLimit => {
                let mut held = hold(shared);
                if !held.spent {
                    held.event(EventKind::SpendLimit, Some(&contestant.name), None);
                }
                held.spent = true;
                return Ok(());
            }
            Ended::Stopped => return Ok(()),
            Ended::All => {}
        }
    }
    Ok(())
}

/// Ends the log, puts it into the lake, and tells what it comes to.
fn finish(
    args: &RunArgs,
    lake: Option<&Path>,
    screen: Screen,
    path: &Path,
    mut shared: Shared,
) -> anyhow::Result<Answer> {
    let whole = shared.failed.is_empty() && !shared.spent;
    if whole && !shared.is_over() {
        shared.event(EventKind::Finished, None, None);
    }
    let Shared { writer, board, failed, spent, .. } = shared;
    drop(board);
    writer.finish()?;
    let mut summary = Summary::default();
    weighbridge_logs::read(&Source::open(path)?, &mut summary)?;
    let mut notes = vec![format!("log: {}", path.display())];
    notes.extend(summary.settled().iter().cloned());
    if !args.no_lake {
        let folder = facts::lake_folder(lake)?;
        match Lake::open_or_create(&folder).and_then(|mut lake| lake.import(path)) {
            Ok(_) => notes.push(format!("in the lake {}", folder.display())),
            Err(error) => notes.push(format!("not in the lake: {error}")),
        }
    }
    if spent {
        notes.push("stopped at --max-cost; the same command with -o and a higher one goes on".to_owned());
    }
    notes.extend(failed.iter().map(|failed| format!("FAILED {failed}")));
    let text = match args.format {
        Format::Json => json(&summary.lines())?,
        format => summary.table().render(format, &screen)?,
    };
    Ok(Answer { failed: !whole, note: Some(notes.join("\nnote: ")), ..Answer::plain(text) })
}

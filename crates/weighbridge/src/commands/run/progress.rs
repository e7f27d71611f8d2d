//! One line a model while a run goes on: how far it is, what became of samples, tokens, dollars, time left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use weighbridge_core::{Protocol, SampleRecord, SampleState, Usd};

use crate::cli::{ProtocolArg, RunArgs};
use crate::render::Screen;
use crate::render::reply::dollars;

use super::log::Done;
use super::models::Contestant;
use super::tasks::Tasks;

/// Time between two pictures.
const REFRESH: Duration = Duration::from_millis(100);
/// Characters of a name.
const NAME: usize = 24;

/// All lines.
pub struct Board {
    lines: BTreeMap<String, Line>,
    /// Held so that the lines are drawn together.
    _together: Option<MultiProgress>,
}

struct Line {
    bar: Option<ProgressBar>,
    states: BTreeMap<SampleState, u64>,
    done: u64,
    tokens: u64,
    /// Dollars so far; answers without a price are counted beside.
    usd: f64,
    unpriced: u64,
    local: bool,
    drawn: Instant,
}

impl Board {
    /// Lines for all models, with what was done before.
    pub fn new(contestants: &[Contestant], tasks: &Tasks, args: &RunArgs, done: &Done, screen: Screen) -> Self {
        let together = screen.progress.then(MultiProgress::new);
        let mut lines = BTreeMap::new();
        for contestant in contestants {
            let asked = tasks.all.iter().filter(|prepared| {
                let likelihood = prepared.task.facts.protocol == Some(Protocol::Loglikelihood);
                contestant.is_local() || !likelihood || args.protocol != Some(ProtocolArg::Both)
            });
            let samples: u64 = asked.map(|p| p.task.samples.len() as u64).sum::<u64>() * u64::from(args.epochs);
            let bar = together.as_ref().map(|together| {
                let bar = together.add(ProgressBar::new(samples));
                let template =
                    format!("{{prefix:{NAME}.{NAME}}} [{{bar:16}}] {{pos}}/{{len}} {{eta}} left: {{wide_msg}}");
                bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(end_of(&contestant.name));
                bar.tick();
                bar
            });
            let local = contestant.is_local();
            let line = Line {
                bar,
                states: BTreeMap::new(),
                done: 0,
                tokens: 0,
                usd: 0.0,
                unpriced: 0,
                local,
                drawn: Instant::now(),
            };
            lines.insert(contestant.name.clone(), line);
        }
        let mut board = Self { lines, _together: together };
        for record in done.records() {
            board.add(record);
        }
        for line in board.lines.values() {
            if let Some(bar) = &line.bar {
                // The time left is that of what is asked now.
                bar.reset_eta();
            }
        }
        board
    }

    /// Counts a sample.
    pub fn add(&mut self, record: &SampleRecord) {
        let Some(line) = self.lines.get_mut(&record.key.model) else { return };
        *line.states.entry(record.state).or_default() += 1;
        line.done += 1;
        for answer in &record.answers {
            line.tokens += answer.usage.output.unwrap_or(0);
            match answer.cost.usd {
                _ if answer.cached => {}
                Some(usd) => line.usd += usd.0,
                None => line.unpriced += 1,
            }
        }
        let Some(bar) = &line.bar else { return };
        let last = bar.length() == Some(line.done);
        if last || line.drawn.elapsed() > REFRESH {
            bar.set_position(line.done);
            bar.set_message(line.words());
            line.drawn = Instant::now();
        }
    }

    /// A model that goes no further.
    pub fn failed(&mut self, model: &str) {
        if let Some(bar) = self.lines.get(model).and_then(|line| line.bar.as_ref()) {
            bar.abandon_with_message("failed");
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        for line in self.lines.values() {
            if let Some(bar) = &line.bar {
                bar.finish_and_clear();
            }
        }
    }
}

impl Line {
    fn words(&self) -> String {
        let states: Vec<String> = self.states.iter().map(|(state, n)| format!("{n} {state}")).collect();
        let money = match self.unpriced {
            _ if self.local => "own machine".to_owned(),
            0 => dollars(Usd(self.usd)),
            _ if self.usd == 0.0 => "dollars unknown".to_owned(),
            n => format!("{} and {n} of unknown price", dollars(Usd(self.usd))),
        };
        format!("{}, {} tokens, {money}", states.join(", "), self.tokens)
    }
}

/// The end of a name, which tells most of a path.
fn end_of(name: &str) -> String {
    let length = name.chars().count();
    name.chars().skip(length.saturating_sub(NAME)).collect()
}

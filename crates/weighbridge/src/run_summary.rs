//! What a log comes to: for each task, model and score the number, its error, and what became of the samples.

use std::collections::BTreeMap;

use serde::Serialize;
use weighbridge_core::{EventKind, LogLine, RunHeader, SampleKey, SampleRecord, SampleState, StateCounts};
use weighbridge_logs::{LogError, Sink};
use weighbridge_run::{Aggregate, Aggregator, Bootstrap, Scoring};
use weighbridge_stats::Interval;
use weighbridge_stats::proportion::wilson;

use crate::render::reply::dollars;
use crate::render::table::Rows;

/// Adds up the lines of a log.
#[derive(Default)]
pub struct Summary {
    header: Option<RunHeader>,
    rows: BTreeMap<(String, String), Side>,
    settled: Vec<String>,
}

/// One model on one task.
struct Side {
    scores: Aggregator,
    output_tokens: u64,
    usd: f64,
    /// Answers that state no tokens, or no price.
    uncounted: u64,
    unpriced: u64,
    /// Texts asked for; none where likelihoods were.
    written: u64,
    local: bool,
}

/// One line of the table.
#[derive(Serialize)]
pub struct Line {
    task: String,
    model: String,
    score: String,
    /// True for the score that stands for the task.
    main: bool,
    value: Option<f64>,
    standard_error: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    /// The mean with every sample without a score taken as wrong, and as right.
    if_missing_wrong: Option<f64>,
    if_missing_right: Option<f64>,
    /// The number as lm-evaluation-harness prints it: an answer that no filter could read is wrong.
    lm_eval_value: Option<f64>,
    lm_eval_standard_error: Option<f64>,
    states: StateCounts,
    output_tokens: Option<u64>,
    cost_usd: Option<f64>,
    /// The model ran in this process: its calls have no price.
    own_machine: bool,
}

impl Sink for Summary {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        self.header = Some(header);
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        match line {
            LogLine::Sample(sample) => self.add(&sample),
            LogLine::Event(event) => {
                let words = event.message.unwrap_or_default();
                if event.kind == EventKind::Decided {
                    self.settled.push(words);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Summary {
    /// Counts a sample.
    pub fn add(&mut self, sample: &SampleRecord) {
        let key = (sample.key.task.clone(), sample.key.model.clone());
        let header = self.header.as_ref();
        let side = self.rows.entry(key).or_insert_with(|| Side::new(header, &sample.key));
        side.scores.add(&sample.key.sample, sample.state, &sample.scores);
        for answer in &sample.answers {
            match answer.usage.output {
                Some(tokens) => side.output_tokens += tokens,
                None => side.uncounted += u64::from(answer.text.is_some()),
            }
            side.written += 1;
            match answer.cost.usd {
                Some(usd) => side.usd += usd.0,
                None => side.unpriced += u64::from(answer.text.is_some()),
            }
        }
    }

    /// What the stopping rule said.
    pub fn settled(&self) -> &[String] {
        &self.settled
    }

    /// The numbers, in the order of tasks and models of the header, the main score of a task first.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<(usize, usize, bool, Line)> = Vec::new();
        for ((task, model), side) in &self.rows {
            let header = self.header.as_ref();
            let facts = header.and_then(|h| h.tasks.iter().find(|facts| facts.name == *task));
            let place = |names: Option<usize>| names.unwrap_or(usize::MAX);
            let task_at = place(header.and_then(|h| h.tasks.iter().position(|facts| facts.name == *task)));
            let model_at = place(header.and_then(|h| h.models.iter().position(|facts| facts.name == *model)));
            for (at, aggregate) in side.scores.finish().into_iter().enumerate() {
                let main = facts.and_then(|f| f.main_score.as_ref()).map_or(at == 0, |name| *name == aggregate.score);
                lines.push((task_at, model_at, !main, side.line(task, model, main, aggregate)));
            }
        }
        lines.sort_by(|a, b| (a.0, a.2, &a.3.score, a.1).cmp(&(b.0, b.2, &b.3.score, b.1)));
        lines.into_iter().map(|(_, _, _, line)| line).collect()
    }

    /// The numbers as a table.
    pub fn table(&self) -> Rows {
        let mut rows = Rows::new(
            &["task", "model", "score", "value", "95 % interval", "scored", "not scored", "out tokens", "dollars"],
            &[],
        );
        for line in self.lines() {
            let number = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |v| format!("{v:.4}"));
            let interval = match (line.lower, line.upper) {
                (Some(lower), Some(upper)) => format!("[{lower:.4}, {upper:.4}]"),
                _ => "unknown".to_owned(),
            };
            rows.cells.push(vec![
                line.task.clone(),
                line.model.clone(),
                line.score.clone(),
                number(line.value),
                interval,
                line.states.scored.to_string(),
                not_scored(&line),
                line.output_tokens.map_or_else(|| "-".to_owned(), |n| n.to_string()),
                match line.cost_usd {
                    _ if line.own_machine => "own machine".to_owned(),
                    None => "?".to_owned(),
                    Some(usd) => dollars(weighbridge_core::Usd(usd)),
                },
            ]);
        }
        rows
    }
}

/// The 95 % interval of a mean: Wilson's where every score is 0 or 1, else Student's. Scores between 0 and 1 have the
/// variance `p (1 - p) n / (n - 1)` only where each is one of its ends.
fn interval(value: f64, error: f64, n: f64) -> Option<Interval> {
    let binary = (0.0..=1.0).contains(&value) && (error * error * (n - 1.0) - value * (1.0 - value)).abs() < 1e-9;
    if binary {
        return wilson((value * n).round() as u64, n as u64, 0.95).ok();
    }
    Interval::student(value, error, n - 1.0, 0.95).ok()
}

/// The states of samples without a score, and what the value would be with all of them wrong or right.
fn not_scored(line: &Line) -> String {
    let states = SampleState::ALL.into_iter().filter(|state| *state != SampleState::Scored);
    let counted: Vec<String> = states
        .map(|state| (state, line.states.get(state)))
        .filter(|(_, n)| *n > 0)
        .map(|(s, n)| format!("{n} {s}"))
        .collect();
    match (line.if_missing_wrong, line.if_missing_right) {
        _ if counted.is_empty() => "0".to_owned(),
        (Some(wrong), Some(right)) => format!("{} ({wrong:.3}..{right:.3})", counted.join(", ")),
        _ => counted.join(", "),
    }
}

impl Side {
    fn new(header: Option<&RunHeader>, key: &SampleKey) -> Self {
        let model = header.and_then(|h| h.models.iter().find(|facts| facts.name == key.model));
        let local = model.is_some_and(|facts| facts.provider.as_deref() == Some(weighbridge_core::LOCAL));
        let facts =
            header.and_then(|h| h.tasks.iter().find(|facts| facts.name == key.task)).cloned().unwrap_or_default();
        let scoring: Option<Scoring> = facts.scoring.clone().and_then(|stated| serde_json::from_value(stated).ok());
        let scores = Aggregator::new(&facts, scoring.as_ref(), Bootstrap::default());
        Self { scores, output_tokens: 0, usd: 0.0, uncounted: 0, unpriced: 0, written: 0, local }
    }

    fn line(&self, task: &str, model: &str, main: bool, aggregate: Aggregate) -> Line {
        let freedom = aggregate.states.scored as f64 - 1.0;
        let known = aggregate.value.zip(aggregate.standard_error);
        let interval = known.and_then(|(value, error)| interval(value, error, freedom + 1.0));
        let bounds = aggregate.bounds.filter(|_| aggregate.states.unscored() > 0);
        Line {
            task: task.to_owned(),
            model: model.to_owned(),
            score: aggregate.score,
            main,
            value: aggregate.value,
            standard_error: aggregate.standard_error,
            lower: interval.map(|i| i.lower),
            upper: interval.map(|i| i.upper),
            if_missing_wrong: bounds.map(|(wrong, _)| wrong),
            if_missing_right: bounds.map(|(_, right)| right),
            lm_eval_value: aggregate.lm_eval_value,
            lm_eval_standard_error: aggregate.lm_eval_standard_error,
            states: aggregate.states,
            output_tokens: (self.uncounted == 0 && self.written > 0).then_some(self.output_tokens),
            cost_usd: (self.unpriced == 0 && !self.local).then_some(self.usd),
            own_machine: self.local,
        }
    }
}

//! What a log comes to: for each task, model and score the number, its error, and what became of the samples.

use std::collections::BTreeMap;

use serde::Serialize;
use weighbridge_core::{Estimate, EventKind, LogLine, RunHeader, SampleKey, SampleRecord, SampleState, StateCounts};
use weighbridge_logs::{LogError, Sink};
use weighbridge_run::{Aggregate, Aggregator, Bootstrap, Scoring};
use weighbridge_stats::Interval;
use weighbridge_stats::proportion::wilson;

use crate::render::interval;
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
    /// Sums over what answers state; `None` as long as none has.
    output_tokens: Option<u64>,
    usd: Option<f64>,
    /// Answers that state no tokens, or no price: the sums are then unknown.
    uncounted: u64,
    unpriced: u64,
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
    /// The number with its interval; `None` where no sample has the score.
    estimate: Option<Estimate>,
    standard_error: Option<f64>,
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
                Some(tokens) => *side.output_tokens.get_or_insert(0) += tokens,
                None => side.uncounted += u64::from(answer.text.is_some()),
            }
            match answer.cost.usd {
                Some(usd) => *side.usd.get_or_insert(0.0) += usd.0,
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
            let estimate = line.estimate.as_ref();
            rows.cells.push(vec![
                line.task.clone(),
                line.model.clone(),
                line.score.clone(),
                estimate.map_or_else(|| "?".to_owned(), |e| format!("{:.4}", e.value)),
                estimate.map_or_else(|| "unknown".to_owned(), |e| interval(e, 4)),
                line.states.scored.to_string(),
                not_scored(&line),
                line.output_tokens.map_or_else(|| "?".to_owned(), |n| n.to_string()),
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

/// Coverage of the intervals.
const LEVEL: f64 = 0.95;

/// The number with its interval: Wilson's where every score is 0 or 1, else Student's. Scores between 0 and 1 have the
/// variance `p (1 - p) n / (n - 1)` only where each is one of its ends.
fn estimate(aggregate: &Aggregate) -> Option<Estimate> {
    let (value, n) = (aggregate.value?, aggregate.n);
    let of = |interval: Option<Interval>, method: &str| Estimate {
        value,
        lower: interval.map(|i| i.lower),
        upper: interval.map(|i| i.upper),
        level: LEVEL,
        method: method.to_owned(),
        n,
    };
    let Some(error) = aggregate.standard_error else { return Some(of(None, "no standard error: too few samples")) };
    let freedom = n as f64 - 1.0;
    let binary = (0.0..=1.0).contains(&value) && (error * error * freedom - value * (1.0 - value)).abs() < 1e-9;
    if binary && aggregate.aggregation == "mean" {
        return Some(of(wilson((value * n as f64).round() as u64, n, LEVEL).ok(), "Wilson interval of a share"));
    }
    Some(of(Interval::student(value, error, freedom, LEVEL).ok(), "Student interval over samples"))
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
        Self { scores, output_tokens: None, usd: None, uncounted: 0, unpriced: 0, local }
    }

    fn line(&self, task: &str, model: &str, main: bool, aggregate: Aggregate) -> Line {
        let bounds = aggregate.bounds.filter(|_| aggregate.states.unscored() > 0);
        Line {
            task: task.to_owned(),
            model: model.to_owned(),
            estimate: estimate(&aggregate),
            score: aggregate.score,
            main,
            standard_error: aggregate.standard_error,
            if_missing_wrong: bounds.map(|(wrong, _)| wrong),
            if_missing_right: bounds.map(|(_, right)| right),
            lm_eval_value: aggregate.lm_eval_value,
            lm_eval_standard_error: aggregate.lm_eval_standard_error,
            states: aggregate.states,
            output_tokens: self.output_tokens.filter(|_| self.uncounted == 0),
            cost_usd: self.usd.filter(|_| self.unpriced == 0),
            own_machine: self.local,
        }
    }
}

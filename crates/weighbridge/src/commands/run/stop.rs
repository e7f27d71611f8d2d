//! When a comparison is settled, so that no more samples are asked for.
//!
//! Samples are then asked in an order drawn by the seed. The differences of each model to the first one are looked at in
//! that order, as far as both have come without a gap: an order that does not depend on the answers. The interval is a
//! confidence sequence, which may be looked at after every sample; its level is divided among the models.

use std::collections::{BTreeMap, HashMap};

use anyhow::bail;
use weighbridge_core::{Protocol, SampleRecord};
use weighbridge_run::Task;
use weighbridge_stats::confidence_sequence::ConfidenceSequence;

use crate::cli::{RunArgs, Until};

use super::log::Done;
use super::models::Contestant;
use super::tasks::Tasks;

/// Coverage of the intervals together.
const LEVEL: f64 = 0.95;

/// The order in which the samples of a task are asked: as they stand, or drawn by the seed where a run may stop early.
pub fn order(task: &Task, args: &RunArgs) -> Vec<usize> {
    let mut order: Vec<usize> = (0..task.samples.len()).collect();
    if args.until.is_some() {
        let seed = args.sampling.seed.unwrap_or(0);
        order.sort_by_cached_key(|at| {
            let key = format!("{seed} {} {}", task.facts.name, task.samples[*at].id);
            *blake3::hash(key.as_bytes()).as_bytes()
        });
    }
    order
}

/// The rule, with what it has seen.
pub struct StopRule {
    until: Until,
    task: String,
    main: Option<String>,
    /// Place in the order, by id.
    places: HashMap<String, usize>,
    models: Vec<Side>,
    met: bool,
}

struct Side {
    name: String,
    /// Values by rank; `None` is a sample without a score.
    values: BTreeMap<usize, Option<f64>>,
    /// The difference to the first model, and how far it has come.
    sequence: ConfidenceSequence,
    next: usize,
    left_out: u64,
}

impl StopRule {
    /// The rule for a run, with what it had seen before a break.
    ///
    /// # Errors
    /// There is more than one task, or samples are repeated: it would not be plain what is decided.
    pub fn new(
        until: Until,
        contestants: &[Contestant],
        tasks: &Tasks,
        args: &RunArgs,
        done: &Done,
    ) -> anyhow::Result<Self> {
        let [prepared] = tasks.all.as_slice() else { bail!("--until takes one task and one protocol") };
        if args.epochs > 1 {
            bail!("--until takes no --epochs");
        }
        let level = 1.0 - (1.0 - LEVEL) / (contestants.len().max(2) - 1) as f64;
        let mut models = Vec::new();
        for contestant in contestants {
            let Some(sequence) = ConfidenceSequence::new(-1.0, 1.0, level) else {
                bail!("no level for so many models")
            };
            let name = contestant.name.clone();
            models.push(Side { name, values: BTreeMap::new(), sequence, next: 0, left_out: 0 });
        }
        let order = order(&prepared.task, args).into_iter().enumerate();
        let places = order.map(|(place, at)| (prepared.task.samples[at].id.clone(), place)).collect();
        let facts = &prepared.task.facts;
        if facts.protocol == Some(Protocol::Loglikelihood) && contestants.iter().any(|c| !c.is_local()) {
            bail!("log-likelihoods are had of open weights alone; use --protocol generate");
        }
        let (task, main) = (facts.name.clone(), facts.main_score.clone());
        let mut rule = Self { until, task, main, places, models, met: false };
        for record in done.records() {
            rule.add(record);
        }
        Ok(rule)
    }

    /// True once the rule is met.
    pub const fn is_met(&self) -> bool {
        self.met
    }

    /// Takes a sample; in words what is settled, when it is.
    pub fn add(&mut self, record: &SampleRecord) -> Option<String> {
        if self.met || record.key.task != self.task {
            return None;
        }
        let value = record.scores.iter().find(|s| Some(&s.name) == self.main.as_ref()).and_then(|score| score.value);
        let side = self.models.iter_mut().find(|side| side.name == record.key.model)?;
        side.values.insert(*self.places.get(&record.key.sample)?, value);
        let (first, others) = self.models.split_first_mut()?;
        for other in &mut *others {
            while let (Some(a), Some(b)) = (first.values.get(&other.next), other.values.get(&other.next)) {
                match (a, b) {
                    (Some(a), Some(b)) => other.sequence.add(b - a),
                    _ => other.left_out += 1,
                }
                other.next += 1;
            }
        }
        self.met = others.iter().all(|other| settled(self.until, &other.sequence));
        self.met.then(|| others.iter().map(|other| words(&first.name, other)).collect::<Vec<_>>().join("; "))
    }
}

fn settled(until: Until, sequence: &ConfidenceSequence) -> bool {
    sequence.interval().is_some_and(|interval| match until {
        Until::Decided => interval.lower > 0.0 || interval.upper < 0.0,
        Until::HalfWidth(width) => interval.upper - interval.lower <= 2.0 * width,
    })
}

fn words(first: &str, other: &Side) -> String {
    let Some(interval) = other.sequence.interval() else { return String::new() };
    let without = match other.left_out {
        0 => String::new(),
        n => format!(", {n} more without a score of both"),
    };
    format!(
        "settled after {} samples{without}: {} minus {first} is between {:+.3} and {:+.3} (confidence sequence, {:.4} %, valid \
         although the run stopped on it)",
        other.sequence.n(),
        other.name,
        interval.lower,
        interval.upper,
        100.0 * interval.level,
    )
}

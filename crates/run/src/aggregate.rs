//! One number out of the scores of all samples, and one out of those of the tasks of a group.
//!
//! A mean has the standard error `sqrt(Σ(x - m)² / (n - 1)) / √n` (Miller, arXiv 2411.00640, section 2.1), over the means of
//! the samples where each was repeated. What is no mean has one from the bootstrap. Samples without a score are counted
//! apart, and beside that stand the numbers that lm-evaluation-harness prints, where an answer that no filter could read is
//! wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use weighbridge_core::{SampleState, Score, StateCounts, TaskFacts};
use weighbridge_stats::bootstrap::Resampler;
use weighbridge_stats::mean::MeanAccumulator;

use crate::lm_eval::PythonRandom;
use crate::{Scoring, lm_eval};

/// A score over all samples of a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregate {
    /// Name of the score.
    pub score: String,
    /// How samples become the number: a name of lm-evaluation-harness.
    pub aggregation: String,
    /// Whether more is better, where stated.
    pub higher_is_better: Option<bool>,
    /// The number over the samples that have the score; `None` where none has it.
    pub value: Option<f64>,
    /// Its standard error; `None` where the aggregation has none, or too few samples.
    pub standard_error: Option<f64>,
    /// Samples behind the number, each once however often it was repeated.
    pub n: u64,
    /// The number if every sample without a score were wrong, and if every one were right. Only for means of scores between
    /// 0 and 1.
    pub bounds: Option<(f64, f64)>,
    /// The number as lm-evaluation-harness prints it: an answer that no filter could read counts as wrong. `None` for
    /// scorers of our own.
    pub lm_eval_value: Option<f64>,
    /// Its standard error there; `None` where it prints `N/A`.
    pub lm_eval_standard_error: Option<f64>,
    /// Samples by what became of them under this score.
    pub states: StateCounts,
}

/// How standard errors are found for numbers that are no means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Draws; 0 for no standard errors of this kind. lm-evaluation-harness makes 100,000, and 100 where texts are compared.
    pub draws: u32,
    /// Seed. The same seed gives the same numbers. What lm-evaluation-harness prints does not depend on it.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { draws: 1000, seed: 0 }
    }
}

/// Takes in samples one by one and gives their aggregates. Scores that become a mean take no memory a sample, unless
/// samples are repeated.
#[derive(Debug)]
pub struct Aggregator {
    bootstrap: Bootstrap,
    repeats: bool,
    lm_eval: bool,
    known: Vec<Column>,
    /// States of all samples so far, for scores that turn up late.
    seen: StateCounts,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
    higher_is_better: Option<bool>,
    states: StateCounts,
    /// Scored samples, and those and unread ones as lm-evaluation-harness counts them.
    own: Values,
    lm_eval: Values,
    by_sample: BTreeMap<String, (f64, u64)>,
    unit: bool,
}

/// Values of a column.
#[derive(Debug, Default)]
struct Values {
    mean: MeanAccumulator,
    rows: Vec<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mean,
    NanMean,
    Median,
    Brier,
    Perplexity,
    WeightedPerplexity,
    BitsPerByte,
    F1,
    Mcc,
    Bleu,
    Chrf,
    ChrfWords,
}

impl Kind {
    const NAMES: [(Self, &'static str); 12] = [
        (Self::Mean, "mean"),
        (Self::NanMean, "nanmean"),
        (Self::Median, "median"),
        (Self::Brier, "brier_score"),
        (Self::Perplexity, "perplexity"),
        (Self::WeightedPerplexity, "weighted_perplexity"),
        (Self::BitsPerByte, "bits_per_byte"),
        (Self::F1, "f1"),
        (Self::Mcc, "matthews_corrcoef"),
        (Self::Bleu, "bleu"),
        (Self::Chrf, "chrf"),
        (Self::ChrfWords, "chrf++"),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind)
    }

    fn as_str(self) -> &'static str {
        Self::NAMES.into_iter().find(|(kind, _)| *kind == self).map_or("mean", |(_, name)| name)
    }

    /// Whether the number is the mean of the values of samples.
    fn is_mean(self) -> bool {
        matches!(self, Self::Mean | Self::NanMean | Self::Brier)
    }

    /// Whether rows must be kept.
    fn keeps_rows(self) -> bool {
        !matches!(self, Self::Mean | Self::Brier)
    }

    /// The numbers that a score has for this aggregation.
    fn row(self, value: Option<f64>, parts: Option<&Value>) -> Option<Vec<f64>> {
        let part = |name: &str| parts?.get(name)?.as_f64();
        match self {
            Self::Mean | Self::NanMean | Self::Median | Self::Brier => value.map(|value| vec![value]),
            Self::Perplexity => Some(vec![part("logprob")?]),
            Self::WeightedPerplexity | Self::BitsPerByte => Some(vec![part("logprob")?, part("units")?]),
            Self::F1 | Self::Mcc => Some(vec![part("gold")?, part("predicted")?]),
            Self::Bleu | Self::Chrf | Self::ChrfWords => {
                parts?.get("counts")?.as_array()?.iter().map(Value::as_f64).collect()
            }
        }
    }

    /// The number of rows, each counted so often as `times` says.
    fn number(self, rows: &[Vec<f64>], times: &[f64]) -> Option<f64> {
        let all = || rows.iter().zip(times).filter(|(_, times)| **times > 0.0);
        let n: f64 = times.iter().sum();
        if n == 0.0 {
            return None;
        }
        let sum = |column: usize| all().map(|(row, times)| row[column] * times).sum::<f64>();
        let value = match self {
            Self::Mean | Self::NanMean | Self::Brier => sum(0) / n,
            // The upper of the two in the middle.
            Self::Median => {
                let mut sorted: Vec<(f64, f64)> = all().map(|(row, times)| (row[0], *times)).collect();
                sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
                let mut left = (n / 2.0).floor();
                let at = sorted.iter().find(|(_, times)| {
                    left -= times;
                    left < 0.0
                });
                at?.0
            }
            Self::Perplexity => (-sum(0) / n).exp(),
            Self::WeightedPerplexity => (-sum(0) / sum(1)).exp(),
            Self::BitsPerByte => -sum(0) / sum(1) / std::f64::consts::LN_2,
            Self::F1 => f1(all())?,
            Self::Mcc => matthews(all())?,
            Self::Bleu | Self::Chrf | Self::ChrfWords => {
                let mut totals = vec![0.0; rows.first()?.len()];
                for (row, times) in all() {
                    for (total, part) in totals.iter_mut().zip(row) {
                        *total += part * times;
                    }
                }
                if self == Self::Bleu { lm_eval::bleu(&totals)? } else { lm_eval::chrf(&totals)? }
            }
        };
        value.is_finite().then_some(value)
    }

    /// The bootstrap's standard error: the standard deviation, with `n - 1`, of the number over the draws.
    fn bootstrap(self, rows: &[Vec<f64>], bootstrap: Bootstrap) -> Option<f64> {
        let draws = 0..u64::from(bootstrap.draws);
        self.spread(rows, draws.map(|draw| move |times: &mut [f64]| Resampler::new(bootstrap.seed, draw).counts(times)))
    }

    /// The same as lm-evaluation-harness draws it: up to 1000 draws from one generator, then the next seed from 0; 100 draws
    /// at most where texts are compared. `None` where it has none.
    fn lm_eval_bootstrap(self, rows: &[Vec<f64>], bootstrap: Bootstrap) -> Option<f64> {
        let most = match self {
            Self::Bleu | Self::Chrf | Self::ChrfWords => 100,
            Self::WeightedPerplexity | Self::BitsPerByte => 0,
            _ => u32::MAX,
        };
        let draws = bootstrap.draws.min(most);
        let chunk = draws.clamp(1, 1000);
        let generators = (0..draws / chunk).map(|seed| Rc::new(RefCell::new(PythonRandom::new(seed.into()))));
        let draws = generators.flat_map(|random| std::iter::repeat_n(random, chunk as usize));
        self.spread(rows, draws.map(|random| move |times: &mut [f64]| random.borrow_mut().counts(times)))
    }

    fn spread<D: FnOnce(&mut [f64])>(self, rows: &[Vec<f64>], draws: impl Iterator<Item = D>) -> Option<f64> {
        if rows.len() < 2 {
            return None;
        }
        let mut times = vec![0.0; rows.len()];
        let mut all = MeanAccumulator::default();
        for draw in draws {
            draw(&mut times);
            if let Some(number) = self.number(rows, &times) {
                all.push(number);
            }
        }
        all.variance().ok().map(f64::sqrt)
    }
}

/// F1 of class 1, as scikit-learn's `f1_score` for two classes: `2 tp / (2 tp + fp + fn)`, 0 where nothing is of class 1.
/// `None` for other classes than 0 and 1.
fn f1<'r>(rows: impl Iterator<Item = (&'r Vec<f64>, &'r f64)>) -> Option<f64> {
    let (mut both, mut either) = (0.0, 0.0);
    for (row, times) in rows {
        for class in &row[..2] {
            if *class != 0.0 && *class != 1.0 {
                return None;
            }
        }
        both += times * 2.0 * row[0] * row[1];
        either += times * (row[0] + row[1]);
    }
    Some(if either == 0.0 { 0.0 } else { both / either })
}

/// The correlation of Matthews for any number of classes (Gorodkin 2004), as scikit-learn's `matthews_corrcoef`; 0 where one
/// side has one class only.
fn matthews<'r>(rows: impl Iterator<Item = (&'r Vec<f64>, &'r f64)>) -> Option<f64> {
    let mut classes: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    let (mut right, mut n) = (0.0, 0.0);
    for (row, times) in rows {
        let (gold, predicted) = (*row.first()? as i64, *row.get(1)? as i64);
        classes.entry(gold).or_default().0 += times;
        classes.entry(predicted).or_default().1 += times;
        right += if gold == predicted { *times } else { 0.0 };
        n += times;
    }
    let sum = |of: fn(&(f64, f64)) -> f64| classes.values().map(of).sum::<f64>();
    let covariance = right * n - sum(|(gold, predicted)| gold * predicted);
    let spread = (n * n - sum(|(_, predicted)| predicted * predicted)) * (n * n - sum(|(gold, _)| gold * gold));
    Some(if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() })
}

impl Column {
    fn new(name: &str, aggregation: Option<&str>, higher_is_better: Option<bool>) -> Self {
        Self {
            name: name.to_owned(),
            kind: aggregation.and_then(Kind::from_name).unwrap_or(Kind::Mean),
            higher_is_better,
            states: StateCounts::default(),
            own: Values::default(),
            lm_eval: Values::default(),
            by_sample: BTreeMap::new(),
            unit: true,
        }
    }

    fn add(&mut self, sample: Option<&str>, score: &Score) {
        let scored = score.state == SampleState::Scored;
        let counted = score.parts.as_ref().and_then(|parts| parts.get("lm_eval")).and_then(Value::as_f64);
        let value = if scored { score.value } else { counted };
        let Some(row) = self.kind.row(value, score.parts.as_ref()) else {
            // A score that says it is one and has no number is none.
            let state = if scored { SampleState::Missing } else { score.state };
            self.states.add(state, 1);
            return;
        };
        self.states.add(score.state, 1);
        if scored {
            if self.kind.is_mean() {
                self.unit &= (0.0..=1.0).contains(&row[0]);
                if let Some(sample) = sample {
                    let (sum, n) = self.by_sample.entry(sample.to_owned()).or_insert((0.0, 0));
                    *sum += row[0];
                    *n += 1;
                }
            }
            self.own.push(self.kind, row.clone());
        }
        self.lm_eval.push(self.kind, row);
    }

    fn finish(&self, bootstrap: Bootstrap, lm_eval: bool) -> Aggregate {
        let (value, standard_error, n) = if self.by_sample.is_empty() {
            let error = self.own.standard_error(self.kind, |rows| self.kind.bootstrap(rows, bootstrap));
            (self.own.value(self.kind), error, self.states.scored)
        } else {
            let means: MeanAccumulator = self.by_sample.values().map(|(sum, n)| sum / *n as f64).collect();
            (means.mean().ok(), means.standard_error().ok(), means.count())
        };
        let (lm_eval_value, lm_eval_standard_error) = if lm_eval {
            let of = &self.lm_eval;
            let error = of.standard_error(self.kind, |rows| self.kind.lm_eval_bootstrap(rows, bootstrap));
            // It gives none for this mean.
            (of.value(self.kind), error.filter(|_| self.kind != Kind::Brier))
        } else {
            (None, None)
        };
        let total = self.states.total();
        let bounds = (self.kind.is_mean() && self.kind != Kind::Brier && self.unit && total > 0).then(|| {
            let right = self.own.mean.mean().unwrap_or(0.0) * self.own.mean.count() as f64;
            let open = total - self.own.mean.count();
            (right / total as f64, (right + open as f64) / total as f64)
        });
        Aggregate {
            score: self.name.clone(),
            aggregation: self.kind.as_str().to_owned(),
            higher_is_better: self.higher_is_better,
            value,
            standard_error,
            n,
            bounds,
            lm_eval_value,
            lm_eval_standard_error,
            states: self.states.clone(),
        }
    }
}

impl Values {
    fn push(&mut self, kind: Kind, row: Vec<f64>) {
        if kind.is_mean() {
            self.mean.push(row[0]);
        }
        if kind.keeps_rows() {
            self.rows.push(row);
        }
    }

    fn value(&self, kind: Kind) -> Option<f64> {
        if kind.keeps_rows() { kind.number(&self.rows, &vec![1.0; self.rows.len()]) } else { self.mean.mean().ok() }
    }

    fn standard_error(&self, kind: Kind, bootstrap: impl Fn(&[Vec<f64>]) -> Option<f64>) -> Option<f64> {
        if kind.keeps_rows() { bootstrap(&self.rows) } else { self.mean.standard_error().ok() }
    }
}

impl Aggregator {
    /// Begins with no samples. Which scores there are and how they are aggregated is taken from `scoring`, then from
    /// `facts`; a score that neither names is a mean.
    #[must_use]
    pub fn new(facts: &TaskFacts, scoring: Option<&Scoring>, bootstrap: Bootstrap) -> Self {
        let mut known: Vec<Column> = Vec::new();
        let mut lm_eval = false;
        if let Some(Scoring::LmEval(scoring)) = scoring {
            lm_eval = true;
            let names = scoring.score_names();
            let each = (names.len() / scoring.metrics.len().max(1)).max(1);
            for (metric, names) in scoring.metrics.iter().zip(names.chunks(each)) {
                let aggregation = scoring.aggregation(metric);
                for name in names {
                    known.push(Column::new(name, aggregation.as_deref(), metric.higher_is_better));
                }
            }
        }
        for score in &facts.scores {
            if !known.iter().any(|column| column.name == score.name) {
                known.push(Column::new(&score.name, score.aggregation.as_deref(), score.higher_is_better));
            }
        }
        let repeats = facts.epochs.is_some_and(|epochs| epochs > 1);
        Self { bootstrap, repeats, lm_eval, known, seen: StateCounts::default() }
    }

    /// Takes in a sample that ended in `state` with `scores`. A score that it lacks is counted by that state, as missing
    /// where the sample has others.
    pub fn add(&mut self, sample: &str, state: SampleState, scores: &[Score]) {
        let lacking = if state == SampleState::Scored { SampleState::Missing } else { state };
        for score in scores {
            let at = self.known.iter().position(|column| column.name == score.name).unwrap_or_else(|| {
                let mut column = Column::new(&score.name, None, None);
                column.states = self.seen.clone();
                self.known.push(column);
                self.known.len() - 1
            });
            self.known[at].add(self.repeats.then_some(sample), score);
        }
        for column in &mut self.known {
            if !scores.iter().any(|score| score.name == column.name) {
                column.states.add(lacking, 1);
            }
        }
        self.seen.add(lacking, 1);
    }

    /// The aggregates of all that was taken in, in the order of the scores.
    #[must_use]
    pub fn finish(&self) -> Vec<Aggregate> {
        self.known.iter().map(|column| column.finish(self.bootstrap, self.lm_eval)).collect()
    }
}

/// One task of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupPart {
    /// Its number.
    pub value: f64,
    /// The standard error of that; `None` where unknown.
    pub standard_error: Option<f64>,
    /// Samples behind it.
    pub samples: u64,
}

/// The number of a group and its standard error, as lm-evaluation-harness 0.4.13 computes them (`api/group.py`,
/// `api/metrics.py`).
///
/// Weighted by size: `Σ m n / Σ n`, and the pooled `sqrt(Σ (n - 1) se² n / (N - k) / N)`. Else the plain mean, and
/// `sqrt(Σ se²) / k`; versions before 0.4.12 gave the pooled one there too. `None` where there is no task, or a standard error
/// is not known.
#[must_use]
pub fn group(parts: &[GroupPart], weight_by_size: bool) -> Option<(f64, Option<f64>)> {
    let weight = |part: &GroupPart| if weight_by_size { part.samples as f64 } else { 1.0 };
    let total: f64 = parts.iter().map(weight).sum();
    let value = parts.iter().map(|part| part.value * weight(part)).sum::<f64>() / total;
    let errors: Option<Vec<f64>> = parts.iter().map(|part| part.standard_error).collect();
    let pooled = |errors: Vec<f64>| {
        let sizes = parts.iter().map(|part| part.samples as f64);
        let sum: f64 = sizes.zip(&errors).map(|(n, se)| (n - 1.0) * se * se * n).sum();
        (sum / (total - parts.len() as f64) / total).sqrt()
    };
    let plain = |errors: Vec<f64>| errors.iter().map(|se| se * se).sum::<f64>().sqrt() / parts.len() as f64;
    let error = errors.map(|errors| if weight_by_size { pooled(errors) } else { plain(errors) });
    value.is_finite().then(|| (value, error.filter(|error| error.is_finite())))
}

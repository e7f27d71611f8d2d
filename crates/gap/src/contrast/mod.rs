//! Two models on the same samples: the paired contrast, its tests, and what could not be compared.
//!
//! Both runs are read once, side by side, in the order of their sample ids, so memory does not grow with their length.
//! Repeats of a sample (epochs) are averaged first. Formulas: Miller, arXiv 2411.00640, and McNemar's test.

mod reader;

use serde::Serialize;
use thiserror::Error;
use weighbridge_core::{Estimate, SampleStream, StateCounts, StreamError};
use weighbridge_stats::Interval;
use weighbridge_stats::StatError;
use weighbridge_stats::mcnemar::mcnemar;
use weighbridge_stats::paired::{Paired, PairedAccumulator};
use weighbridge_stats::proportion::wilson;

use crate::caveat::Caveat;
use reader::{Reader, Tally};

/// Coverage of the intervals of a contrast: 95 %, as Miller and lm-evaluation-harness use.
pub const LEVEL: f64 = 0.95;
/// Clusters below this number are called out.
const FEW_CLUSTERS: u64 = 30;
/// Pairs below this number are called out.
const SMALL_SAMPLE: u64 = 50;
/// Identical scores on at least this many samples are called a copy.
const COPY_SAMPLES: u64 = 100;
/// Answers of one length on at least this many samples are called a constant.
const CONSTANT_SAMPLES: u64 = 50;

/// Why there is no contrast.
#[derive(Debug, Error)]
pub enum ContrastError {
    /// A run cannot be read.
    #[error("cannot read the samples of {model}")]
    Stream {
        /// Label of the run.
        model: String,
        /// Why.
        source: StreamError,
    },
    /// The runs share no scored sample.
    #[error(
        "{a} ({samples_a} samples) and {b} ({samples_b} samples) share no scored sample on {benchmark}, so there is nothing to compare"
    )]
    Disjoint {
        /// Benchmark.
        benchmark: String,
        /// First label.
        a: String,
        /// Second label.
        b: String,
        /// Samples of the first run.
        samples_a: u64,
        /// Samples of the second run.
        samples_b: u64,
    },
    /// Too few pairs.
    #[error("{a} and {b} on {benchmark}")]
    TooFew {
        /// Benchmark.
        benchmark: String,
        /// First label.
        a: String,
        /// Second label.
        b: String,
        /// What is missing.
        source: StatError,
    },
}

/// What is known about a run besides its samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunFacts {
    /// Model as the source names it.
    pub model: String,
    /// Catalog id, where the label resolves.
    pub id: Option<String>,
    /// Run id, where there is one.
    pub run: Option<String>,
    /// Effort, thinking budget or scaffold.
    pub configuration: Option<String>,
    /// Day of the run.
    pub date: Option<String>,
    /// Models that graded the answers.
    pub graders: Vec<String>,
    /// Samples in the dataset as the run states it.
    pub dataset_size: Option<u32>,
    /// Where the record lies: the snapshot or a lake.
    pub origin: String,
    /// Dollars that the run cost, where known.
    pub cost_usd: Option<f64>,
    /// Why the cost is not known.
    pub cost_unknown: Option<String>,
}

/// The contrast of two runs.
#[derive(Clone, Debug, Serialize)]
pub struct Contrast {
    /// The benchmark.
    pub benchmark: String,
    /// The first run.
    pub a: RunFacts,
    /// The second run.
    pub b: RunFacts,
    /// Samples scored in both runs.
    pub n: u64,
    /// Mean score of the first run on those samples.
    pub mean_a: Estimate,
    /// Mean score of the second run on those samples.
    pub mean_b: Estimate,
    /// `mean_a - mean_b` with its paired interval.
    pub difference: Estimate,
    /// The same difference with the interval that clusters give; `None` where samples have no cluster.
    pub difference_clustered: Option<Estimate>,
    /// Standard error of the difference over the pairs.
    pub paired_se: f64,
    /// What it would be if the runs had different samples: only to show what pairing gains.
    pub unpaired_se: f64,
    /// Correlation of the scores over samples.
    pub correlation: Option<f64>,
    /// Standard errors that allow for clusters.
    pub cluster_se: Option<ClusterSe>,
    /// Who is right where; `None` unless every score is 0 or 1.
    pub discordant: Option<Discordant>,
    /// McNemar's test; `None` without discordant counts.
    pub mcnemar: Option<McNemar>,
    /// Samples by state and run.
    pub states: States,
    /// Cost of the first run minus the second, where both are known.
    pub cost_difference_usd: Option<f64>,
    /// What limits the answer.
    pub caveats: Vec<Caveat>,
}

/// Clustered standard errors of the difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterSe {
    /// Without correction.
    pub cr0: f64,
    /// With the factor G / (G - 1) on the variance.
    pub cr1: f64,
    /// Number of clusters G.
    pub clusters: u64,
}

/// Samples by who is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discordant {
    /// Only the first model.
    pub only_a: u64,
    /// Only the second model.
    pub only_b: u64,
    /// Both.
    pub both: u64,
    /// Neither.
    pub neither: u64,
}

/// McNemar's test of equal marginal rates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// Two-sided exact binomial p.
    pub exact_p: f64,
    /// Chi-square, one degree of freedom.
    pub chi2: f64,
    /// Chi-square with continuity correction.
    pub chi2_corrected: f64,
}

/// Rows (samples times epochs) by state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct States {
    /// First run.
    pub a: StateCounts,
    /// Second run.
    pub b: StateCounts,
    /// Samples that only the first run has scored.
    pub only_a: u64,
    /// Samples that only the second run has scored.
    pub only_b: u64,
}

/// Contrasts two runs of a benchmark.
///
/// # Errors
/// A run cannot be read, or the runs share fewer than two scored samples.
pub fn contrast(
    benchmark: &str,
    (mut facts_a, stream_a): (RunFacts, &mut dyn SampleStream),
    (mut facts_b, stream_b): (RunFacts, &mut dyn SampleStream),
) -> Result<Contrast, ContrastError> {
    let mut a = Reader::new(stream_a);
    let mut b = Reader::new(stream_b);
    let mut pairs = PairedAccumulator::default();
    let (mut only_a, mut only_b) = (0, 0);
    let mut differing = 0;
    let failed = |facts: &RunFacts| {
        let model = facts.model.clone();
        move |source| ContrastError::Stream { model, source }
    };
    a.advance().map_err(failed(&facts_a))?;
    b.advance().map_err(failed(&facts_b))?;
    loop {
        let order = match (a.sample(), b.sample()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(x), Some(y)) => x.cmp(y),
        };
        match (order, a.score(), b.score()) {
            (std::cmp::Ordering::Equal, Some(x), Some(y)) => {
                let group = a.group().or(b.group());
                pairs.push(x, y, group);
                differing += u64::from(x.to_bits() != y.to_bits());
            }
            (std::cmp::Ordering::Equal, Some(_), None) => only_a += 1,
            (std::cmp::Ordering::Equal, None, Some(_)) => only_b += 1,
            (std::cmp::Ordering::Less, score, _) => only_a += u64::from(score.is_some()),
            (std::cmp::Ordering::Greater, _, score) => only_b += u64::from(score.is_some()),
            (std::cmp::Ordering::Equal, None, None) => {}
        }
        if order.is_le() {
            a.advance().map_err(failed(&facts_a))?;
        }
        if order.is_ge() {
            b.advance().map_err(failed(&facts_b))?;
        }
    }
    let named = |a: &RunFacts, b: &RunFacts| (benchmark.to_owned(), a.model.clone(), b.model.clone());
    let paired = pairs.finish().map_err(|source| {
        let (benchmark, label_a, label_b) = named(&facts_a, &facts_b);
        match source {
            StatError::NotEnough { found: 0, .. } => ContrastError::Disjoint {
                benchmark,
                a: label_a,
                b: label_b,
                samples_a: a.tally.samples,
                samples_b: b.tally.samples,
            },
            source => ContrastError::TooFew { benchmark, a: label_a, b: label_b, source },
        }
    })?;
    // What the samples themselves cost is nearer than what tokens and a price list say.
    facts_a.cost_usd = a.tally.cost().or(facts_a.cost_usd);
    facts_b.cost_usd = b.tally.cost().or(facts_b.cost_usd);
    let states = States { a: a.tally.states.clone(), b: b.tally.states.clone(), only_a, only_b };
    let caveats = caveats(benchmark, (&facts_a, &a.tally), (&facts_b, &b.tally), &paired, &states, differing);
    assemble(benchmark, facts_a, facts_b, &paired, states, caveats).map_err(|(a, b, source)| ContrastError::TooFew {
        benchmark: benchmark.to_owned(),
        a,
        b,
        source,
    })
}

/// The answer from the pairs.
fn assemble(
    benchmark: &str,
    a: RunFacts,
    b: RunFacts,
    paired: &Paired,
    states: States,
    caveats: Vec<Caveat>,
) -> Result<Contrast, (String, String, StatError)> {
    let fail = |source| (a.model.clone(), b.model.clone(), source);
    let freedom = (paired.n - 1) as f64;
    let estimate = |value, interval: Interval, method: &str| Estimate {
        value,
        lower: Some(interval.lower),
        upper: Some(interval.upper),
        level: LEVEL,
        method: method.to_owned(),
        n: paired.n,
    };
    let counts = paired.discordant;
    let binary = counts.not_binary == 0;
    // Of right and wrong answers Wilson's interval stays between 0 and 1 and has a width even when all are right.
    let mean = |value, se, right| {
        if binary {
            return Ok(estimate(value, wilson(right, paired.n, LEVEL)?, "share of right answers, Wilson interval"));
        }
        let interval = Interval::student(value, se, freedom, LEVEL)?;
        Ok(estimate(value, interval, "mean over the common samples, Student t"))
    };
    let mean_a = mean(paired.mean_a, paired.se_a, counts.both + counts.only_a).map_err(fail)?;
    let mean_b = mean(paired.mean_b, paired.se_b, counts.both + counts.only_b).map_err(fail)?;
    let difference =
        estimate(paired.difference, paired.interval(LEVEL).map_err(fail)?, "a - b over pairs of samples, Student t");
    let clustered = paired.cluster_interval(LEVEL).ok().map(|interval| {
        let mut clustered =
            estimate(paired.difference, interval, "a - b, clustered (CR1), Student t with G - 1 degrees of freedom");
        clustered.n = paired.cluster_se.as_ref().map_or(clustered.n, |se| se.clusters);
        clustered
    });
    let discordant = binary.then_some(Discordant {
        only_a: counts.only_a,
        only_b: counts.only_b,
        both: counts.both,
        neither: counts.neither,
    });
    let test = discordant.as_ref().and_then(|d| mcnemar(d.only_a, d.only_b).ok());
    Ok(Contrast {
        benchmark: benchmark.to_owned(),
        n: paired.n,
        mean_a,
        mean_b,
        difference,
        difference_clustered: clustered,
        paired_se: paired.paired_se,
        unpaired_se: paired.unpaired_se,
        correlation: paired.correlation,
        cluster_se: paired.cluster_se.as_ref().ok().map(|se| ClusterSe {
            cr0: se.cr0,
            cr1: se.cr1,
            clusters: se.clusters,
        }),
        discordant,
        mcnemar: test.map(|t| McNemar { exact_p: t.exact_p, chi2: t.chi2, chi2_corrected: t.chi2_corrected }),
        states,
        cost_difference_usd: a.cost_usd.zip(b.cost_usd).map(|(a, b)| a - b),
        caveats,
        a,
        b,
    })
}

fn caveats(
    benchmark: &str,
    (facts_a, a): (&RunFacts, &Tally),
    (facts_b, b): (&RunFacts, &Tally),
    paired: &Paired,
    states: &States,
    differing: u64,
) -> Vec<Caveat> {
    let mut caveats = Vec::new();
    if let (Some(size_a), Some(size_b)) = (facts_a.dataset_size, facts_b.dataset_size)
        && size_a != size_b
    {
        caveats.push(Caveat::VersionMix { benchmark: benchmark.to_owned(), size_a, size_b });
    }
    if facts_a.graders != facts_b.graders || facts_a.graders.len() > 1 {
        caveats.push(Caveat::GraderMix { graders_a: facts_a.graders.clone(), graders_b: facts_b.graders.clone() });
    }
    if facts_a.configuration != facts_b.configuration {
        let stated = |facts: &RunFacts| facts.configuration.clone().unwrap_or_else(|| "not stated".into());
        caveats.push(Caveat::ConfigurationMix { a: stated(facts_a), b: stated(facts_b) });
    }
    for (facts, tally) in [(facts_a, a), (facts_b, b)] {
        caveats.extend(tally.missing(facts));
        caveats.extend(tally.unscored_repeats(facts));
        if tally.constant_length() && tally.samples >= CONSTANT_SAMPLES {
            caveats.push(Caveat::JudgeAttack { model: facts.model.clone(), n: tally.samples });
        }
    }
    if states.only_a + states.only_b > 0 {
        caveats.push(Caveat::UnmatchedSamples { only_a: states.only_a, only_b: states.only_b });
    }
    if differing == 0 && paired.n >= COPY_SAMPLES {
        caveats.push(Caveat::DuplicateModel { a: facts_a.model.clone(), b: facts_b.model.clone(), n: paired.n });
    }
    if paired.discordant.not_binary > 0 {
        caveats.push(Caveat::NotBinary { pairs: paired.discordant.not_binary });
    }
    if let Ok(se) = &paired.cluster_se
        && se.clusters < FEW_CLUSTERS
    {
        caveats.push(Caveat::FewClusters { clusters: se.clusters });
    }
    if paired.n < SMALL_SAMPLE {
        caveats.push(Caveat::SmallSample { n: paired.n });
    }
    for facts in [facts_a, facts_b] {
        if let (None, Some(why)) = (facts.cost_usd, &facts.cost_unknown) {
            caveats.push(Caveat::CostUnknown { model: facts.model.clone(), why: why.clone() });
        }
    }
    let (dropped, conflicts) = (a.dropped + b.dropped, a.conflicts + b.conflicts);
    if dropped > 0 {
        caveats.push(Caveat::DuplicateRows { dropped, conflicts });
    }
    caveats
}

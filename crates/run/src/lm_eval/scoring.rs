//! Filters and metrics of a task.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weighbridge_core::{Finish, SampleRecord, SampleState, Score};

use super::filter::{Filtered, Item, Pipeline, Read};
use super::metric::{Metric, Outcome};
use super::native::Native;

/// The version of the scores.
const VERSION: u32 = 1;

/// How a model is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputType {
    /// Which of several continuations is likeliest.
    MultipleChoice,
    /// How likely one continuation is.
    Loglikelihood,
    /// How likely a whole text is.
    LoglikelihoodRolling,
    /// It writes.
    #[default]
    GenerateUntil,
}

impl OutputType {
    /// The name in task files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MultipleChoice => "multiple_choice",
            Self::Loglikelihood => "loglikelihood",
            Self::LoglikelihoodRolling => "loglikelihood_rolling",
            Self::GenerateUntil => "generate_until",
        }
    }
}

/// One way from the texts of a sample to its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FilterPipeline {
    /// Name, which scores carry.
    pub name: String,
    /// The filters, as the task file has them: `{function, ...}`.
    pub steps: Vec<Value>,
}

impl FilterPipeline {
    /// What a task has that names none: the first text.
    #[must_use]
    pub fn none() -> Self {
        Self { name: "none".to_owned(), steps: vec![json!({ "function": "take_first" })] }
    }
}

/// One metric of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricConfig {
    /// Name, for example `acc_norm`.
    pub metric: String,
    /// How samples become one number; `None` takes what the metric has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<String>,
    /// Whether more is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub higher_is_better: Option<bool>,
    /// Everything else that the task file says of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Value>,
}

/// How a task of lm-evaluation-harness scores its samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scoring {
    /// How models are asked.
    pub output_type: OutputType,
    /// Filters of generated texts; where there are none, [`FilterPipeline::none`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<FilterPipeline>,
    /// Metrics; the first is the main one.
    pub metrics: Vec<MetricConfig>,
    /// The counterpart of the task's own function, where it has one: a name of [`natives`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<String>,
    /// What stands between the question and a continuation. Lengths of choices are without it.
    #[serde(default)]
    pub target_delimiter: String,
}

impl Scoring {
    /// Says what of it is not done here: a filter or metric that is not known, a regular expression that cannot be read.
    ///
    /// # Errors
    /// There is such a thing; the message names it and what is known.
    pub fn check(&self) -> Result<(), String> {
        Prepared::new(self).map(|_| ())
    }

    /// Names of the scores of a sample, in their order: `metric,filter`.
    #[must_use]
    pub fn score_names(&self) -> Vec<String> {
        let filters: Vec<&str> = match (self.output_type, self.filters.as_slice()) {
            (OutputType::GenerateUntil, [_, ..]) => self.filters.iter().map(|filter| filter.name.as_str()).collect(),
            _ => vec!["none"],
        };
        let of =
            |metric: &MetricConfig| filters.iter().map(move |filter| format!("{},{filter}", metric.metric)).collect();
        self.metrics.iter().flat_map::<Vec<String>, _>(of).collect()
    }

    /// How the samples of a score become one number: what the task says, else what the metric has.
    #[must_use]
    pub fn aggregation(&self, metric: &MetricConfig) -> Option<String> {
        let native = self.native.as_deref().and_then(Native::from_name);
        let own = || Metric::new(metric, self.output_type, native).ok();
        let of_metric = || own().map(|own| own.aggregation(&metric.metric).to_owned());
        metric.aggregation.clone().or_else(of_metric)
    }
}

/// Names that [`Scoring::native`] can have.
#[must_use]
pub fn natives() -> Vec<&'static str> {
    Native::ALL.into_iter().map(Native::as_str).collect()
}

/// Aggregations that are done here.
const AGGREGATIONS: [&str; 12] = [
    "mean",
    "nanmean",
    "median",
    "perplexity",
    "weighted_perplexity",
    "bits_per_byte",
    "f1",
    "matthews_corrcoef",
    "brier_score",
    "bleu",
    "chrf",
    "chrf++",
];

/// A [`Scoring`] with everything compiled.
#[derive(Debug)]
pub struct Prepared {
    generates: bool,
    filters: Vec<(String, Pipeline)>,
    metrics: Vec<(String, Metric)>,
}

impl Prepared {
    /// Makes it ready.
    ///
    /// # Errors
    /// As [`Scoring::check`].
    pub fn new(scoring: &Scoring) -> Result<Self, String> {
        let native = match &scoring.native {
            None => None,
            Some(name) => Some(Native::from_name(name).ok_or_else(|| {
                format!("the function {name} has no counterpart here; there are {}", natives().join(", "))
            })?),
        };
        if scoring.metrics.is_empty() {
            return Err("the task names no metric".to_owned());
        }
        let generates = scoring.output_type == OutputType::GenerateUntil;
        let default = [FilterPipeline::none()];
        let pipelines = if generates && !scoring.filters.is_empty() { scoring.filters.as_slice() } else { &default };
        let mut filters = Vec::new();
        for pipeline in pipelines {
            let ready = Pipeline::new(&pipeline.steps);
            filters.push((
                pipeline.name.clone(),
                ready.map_err(|problem| format!("filters '{}': {problem}", pipeline.name))?,
            ));
        }
        let mut metrics = Vec::new();
        for config in &scoring.metrics {
            let metric = Metric::new(config, scoring.output_type, native)?;
            if let Some(name) = &config.aggregation {
                let own = metric.aggregation(&config.metric);
                let known = name == own || (own == "mean" && ["nanmean", "median"].contains(&name.as_str()));
                if !known {
                    let list = AGGREGATIONS.join(", ");
                    let done = AGGREGATIONS.contains(&name.as_str());
                    return Err(if done {
                        format!("the metric {} is aggregated by {own}, not by {name}", config.metric)
                    } else {
                        format!("the aggregation {name} of the metric {} is not known; known are {list}", config.metric)
                    });
                }
            }
            metrics.push((config.metric.clone(), metric));
        }
        Ok(Self { generates, filters, metrics })
    }

    /// The scores of one sample: one for each metric and filter, the main one first.
    #[must_use]
    pub fn score(&self, record: &SampleRecord) -> Vec<Score> {
        let filtered: Vec<_> = if self.generates {
            self.filters.iter().map(|(_, pipeline)| pipeline.run(record)).collect()
        } else {
            Vec::new()
        };
        let mut scores = Vec::with_capacity(self.metrics.len() * self.filters.len());
        for (metric_name, metric) in &self.metrics {
            let targets = metric.targets(record);
            for (i, (filter_name, _)) in self.filters.iter().enumerate() {
                let mut score = empty(format!("{metric_name},{filter_name}"));
                match filtered.get(i) {
                    None => likelihoods(&mut score, metric, record),
                    Some(Err(problem)) => fail(&mut score, problem.clone()),
                    Some(Ok(filtered)) => answered(&mut score, metric, filtered, record, &targets),
                }
                scores.push(score);
            }
        }
        scores
    }
}

/// The scores of one sample: one for each metric and filter, named `metric,filter`, the main one first.
///
/// It compiles the filters each time; [`Prepared`] keeps them. Where the scoring does not stand ([`Scoring::check`]) every
/// score says why.
#[must_use]
pub fn score(scoring: &Scoring, record: &SampleRecord) -> Vec<Score> {
    match Prepared::new(scoring) {
        Ok(prepared) => prepared.score(record),
        Err(problem) => scoring
            .score_names()
            .into_iter()
            .map(|name| {
                let mut score = empty(name);
                fail(&mut score, problem.clone());
                score
            })
            .collect(),
    }
}

fn empty(name: String) -> Score {
    Score {
        name,
        state: SampleState::Missing,
        value: None,
        parts: None,
        answer: None,
        explanation: None,
        grader: None,
        cost: None,
        version: Some(VERSION),
    }
}

fn fail(score: &mut Score, problem: String) {
    score.state = SampleState::HarnessError;
    score.explanation = Some(problem);
}

/// The state of a sample that has no answer: what the record says, unless that needs one.
fn unanswered(record: &SampleRecord) -> SampleState {
    match record.state {
        SampleState::Scored | SampleState::WrongFormat => SampleState::Missing,
        stated => stated,
    }
}

/// The state that a record keeps although it has a text: the text is not an answer of the model.
fn not_an_answer(record: &SampleRecord) -> Option<SampleState> {
    match record.state {
        SampleState::Refused | SampleState::ProviderError => Some(record.state),
        _ => match record.answers.first()?.finish {
            Some(Finish::Refused | Finish::Filtered) => Some(SampleState::Refused),
            _ => None,
        },
    }
}

fn likelihoods(score: &mut Score, metric: &Metric, record: &SampleRecord) {
    match metric.of_likelihoods(record) {
        Outcome::Value(value, answer) => {
            score.state = SampleState::Scored;
            score.value = Some(value);
            score.answer = answer;
        }
        Outcome::Parts(parts, answer) => {
            score.state = SampleState::Scored;
            score.parts = Some(parts);
            score.answer = answer;
        }
        Outcome::Absent(why) => {
            score.state = unanswered(record);
            score.explanation = Some(why);
        }
        Outcome::Failed(why) => fail(score, why),
    }
}

fn answered(
    score: &mut Score,
    metric: &Metric,
    filtered: &Filtered<'_>,
    record: &SampleRecord,
    targets: &Result<Vec<Cow<'_, str>>, String>,
) {
    let items = match filtered {
        Filtered::One(item) => std::slice::from_ref(item),
        Filtered::Many(items) => items.as_slice(),
    };
    if items.iter().all(|item| item.value == Read::Absent) {
        score.state = unanswered(record);
        return;
    }
    score.answer = shown(items);
    if let Some(state) = not_an_answer(record) {
        score.state = state;
        return;
    }
    // An empty text that was cut off has no answer, whatever the filters are.
    let unread = |item: &Item<'_>| {
        item.unread || (item.truncated && matches!(&item.value, Read::Text(text) if text.trim().is_empty()))
    };
    let none_read = items.iter().all(unread);
    score.state = match none_read {
        false => SampleState::Scored,
        true if items.iter().any(|item| item.truncated) => SampleState::Truncated,
        true => SampleState::WrongFormat,
    };
    match metric.of_answer(filtered, record, targets) {
        Outcome::Value(value, _) if none_read => score.parts = Some(json!({ "lm_eval": value })),
        Outcome::Value(value, _) => score.value = Some(value),
        Outcome::Parts(parts, _) => score.parts = Some(parts),
        Outcome::Absent(why) => {
            score.state = unanswered(record);
            score.explanation = Some(why);
        }
        Outcome::Failed(why) if none_read => score.explanation = Some(why),
        Outcome::Failed(why) => fail(score, why),
    }
}

/// The answer for people to read.
fn shown(items: &[Item<'_>]) -> Option<String> {
    let one = |item: &Item<'_>| match &item.value {
        Read::Text(text) => Some(text.to_string()),
        Read::Json(value) => Some(value.to_string()),
        Read::Absent => None,
    };
    match items {
        [item] => one(item),
        _ => serde_json::to_string(&items.iter().map(one).collect::<Vec<_>>()).ok(),
    }
}

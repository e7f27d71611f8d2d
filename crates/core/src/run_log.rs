//! The record of a run: what was asked of which models, every sample as it ended, and every score.
//!
//! A run log is a sequence of [`LogLine`]s. Logs of other programs are read into the same lines, so that everything
//! behind them (lake, re-scoring, export) knows one form. What a source does not state is `None` or empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Attempt, CallRecord, CanaryReport, Cost, Finish, Prompt, SampleState, ServedBy, Timing, Usage};

/// Version of [`LogLine`] as written to logs.
pub const RUN_LOG_VERSION: u32 = 1;

/// One line of a run log. The first is [`LogLine::Run`]; the others follow in the order in which things ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLine {
    /// What the log is of.
    Run(Box<RunHeader>),
    /// A sample that ended. Of several with one key the last counts.
    Sample(Box<SampleRecord>),
    /// New scores for a sample that stands above.
    Rescore(Box<Rescore>),
    /// An aggregate as a source states it.
    Result(Box<ResultRecord>),
    /// Something that happened in the run beside its samples: a model that failed, a stop, going on after a break.
    Event(Box<RunEvent>),
}

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// It writes a text, and the text is scored. Every model can do this.
    Generate,
    /// Given continuations are compared by their likelihood. Closed APIs do not give it.
    Loglikelihood,
}

impl Protocol {
    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Loglikelihood => "loglikelihood",
        }
    }
}

/// What a log begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// What the file is, with the version of its form: [`RUN_LOG_VERSION`].
    pub weighbridge_run: u32,
    /// Id of the run, unlike that of any other.
    pub id: String,
    /// Program and version that ran it, for example `weighbridge 0.1.0` or `inspect_ai 0.3.94`.
    pub program: String,
    /// When it began, seconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<f64>,
    /// Tasks, in the order in which they were named.
    pub tasks: Vec<TaskFacts>,
    /// Models, in the order in which they were named.
    pub models: Vec<ModelFacts>,
    /// Settings that change answers (seed, limit, epochs, temperature, ...), as stated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
}

/// A task as it was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskFacts {
    /// Name, one in a log: what the lake calls a benchmark.
    pub name: String,
    /// Version as the task states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// File or registry that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// BLAKE3 over what makes prompts and scores, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// How models were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Where the samples come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetFacts>,
    /// Worked examples before each question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub few_shot: Option<u32>,
    /// Samples that were to be run of it, after `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Repeats of each sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// The score that stands for the task; the others are kept beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_score: Option<String>,
    /// Scores, with what their numbers mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<ScoreFacts>,
    /// How scores are computed, in the form of the program that ran it. A re-score begins here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scoring: Option<Value>,
    /// Groups of tasks that this one belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A score that a task gives to each of its samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreFacts {
    /// Name, as in [`Score::name`]. Of lm-evaluation-harness `metric,filter`.
    pub name: String,
    /// How samples become one number; `mean` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<String>,
    /// Whether more is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub higher_is_better: Option<bool>,
    /// Model that grades, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grader: Option<String>,
}

/// The samples of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatasetFacts {
    /// File, or id on a hub.
    pub source: String,
    /// Configuration on the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Revision that was pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// BLAKE3 over its rows, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Rows, before `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A model as it was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelFacts {
    /// Name, one in a log: as the user or the source wrote it.
    pub name: String,
    /// Provider of the catalog, or `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Model as the provider names it, or the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where its endpoints begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Revision or digest of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What the endpoint was seen to do before the first sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryReport>,
    /// Anything else that is stated: precision, quantization, arguments.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Value>,
}

/// What tells a sample from the others of a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SampleKey {
    /// Name of the task in the header.
    pub task: String,
    /// Name of the model in the header.
    pub model: String,
    /// Id within the dataset.
    pub sample: String,
    /// The k-th repeat, from 1.
    pub epoch: u32,
}

/// One sample that one model has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// What it is.
    #[serde(flatten)]
    pub key: SampleKey,
    /// Position in the dataset, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Cluster of related samples (subject, repository).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What became of it, by its main score.
    pub state: SampleState,
    /// Scores by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
    /// What the model was given to go on from; for log-likelihoods the context that the continuations share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Prompt>,
    /// Choices, in the order of the dataset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What counts as right, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<String>,
    /// What else scorers and readers need of the row of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<Value>,
    /// Texts that the model wrote; more than one where a task asks for repeats within a sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<ModelAnswer>,
    /// Likelihoods of given continuations, in the order in which the task asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loglikelihoods: Vec<ContinuationScore>,
    /// What went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a source states besides and nothing here has a place for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

impl SampleRecord {
    /// A record of which nothing is known yet.
    #[must_use]
    pub const fn new(key: SampleKey) -> Self {
        Self {
            key,
            index: None,
            group: None,
            state: SampleState::Missing,
            scores: Vec::new(),
            input: None,
            choices: Vec::new(),
            target: Vec::new(),
            doc: None,
            answers: Vec::new(),
            loglikelihoods: Vec::new(),
            error: None,
            metadata: BTreeMap::new(),
        }
    }
}

/// A score of one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Name; of lm-evaluation-harness `metric,filter`.
    pub name: String,
    /// What became of the sample under this score.
    pub state: SampleState,
    /// The number, in the unit of the score; present only where `state` is [`SampleState::Scored`], and absent where the
    /// samples together have a number but not each of them (F1, perplexity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What an aggregation over samples needs where that is not `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Value>,
    /// The answer as it was read out of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Why, in the words of the scorer or judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// Model that graded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grader: Option<String>,
    /// Dollars of grading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Version of the scorer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

impl Score {
    /// A score in that state, without a number yet.
    #[must_use]
    pub const fn new(name: String, state: SampleState) -> Self {
        Self {
            name,
            state,
            value: None,
            parts: None,
            answer: None,
            explanation: None,
            grader: None,
            cost: None,
            version: None,
        }
    }
}

/// A text that a model wrote for a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelAnswer {
    /// The text; `None` where there is none.
    pub text: Option<String>,
    /// What it thought before, where shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Why the text ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish: Option<Finish>,
    /// The host's own word for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_stated: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// Dollars.
    pub cost: Cost,
    /// Seconds; `None` where nothing is stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Who answered, where that says more than the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_by: Option<ServedBy>,
    /// Every try of a call that did not succeed at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// True where the answer came from the cache and cost nothing now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// When the call ended, seconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
}

impl From<CallRecord> for ModelAnswer {
    fn from(call: CallRecord) -> Self {
        // One attempt without an error says nothing that the rest does not.
        let plain = call.attempts.len() <= 1 && call.attempts.iter().all(|attempt| attempt.error.is_none());
        Self {
            text: call.text,
            reasoning: call.reasoning,
            finish: call.finish,
            finish_stated: call.finish_stated,
            usage: call.usage,
            cost: call.cost,
            timing: Some(call.timing),
            served_by: Some(call.served_by),
            attempts: if plain { Vec::new() } else { call.attempts },
            cached: call.cached,
            ended: Some(call.ended),
        }
    }
}

/// How likely one continuation was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContinuationScore {
    /// The continuation, with the white space before it.
    pub continuation: String,
    /// Natural logarithm of its probability: the sum over its tokens.
    pub logprob: f64,
    /// True where each of its tokens is the likeliest; `None` where not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greedy: Option<bool>,
    /// Tokens scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// New scores for a sample, without another call to its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rescore {
    /// The sample.
    #[serde(flatten)]
    pub key: SampleKey,
    /// What became of it, by its main score.
    pub state: SampleState,
    /// Scores by name; they replace all that stand above.
    pub scores: Vec<Score>,
}

/// An aggregate as a source states it, or as it was computed at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultRecord {
    /// Task, or a group of tasks.
    pub task: String,
    /// Model.
    pub model: String,
    /// Score, as in [`Score::name`].
    pub score: String,
    /// The number, in the unit of the score.
    pub value: f64,
    /// Its standard error, where stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Samples behind it, where stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Least and most that the score can be, where stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// Whether more is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub higher_is_better: Option<bool>,
    /// Who published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When, seconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<f64>,
    /// Anything else that is stated.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

/// Something that happened in a run beside its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// What.
    pub kind: EventKind,
    /// When, seconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<f64>,
    /// The model that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The task that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What can happen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The run goes on after a break.
    Resumed,
    /// A model could not be asked any further.
    ModelFailed,
    /// The limit of dollars was reached.
    SpendLimit,
    /// The stopping rule of `--until` was met.
    Decided,
    /// A person or a signal stopped it.
    Interrupted,
    /// Every sample has ended.
    Finished,
}

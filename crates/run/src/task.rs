//! A task made ready: every sample with what a model is asked, and how its answer is scored.

use serde_json::Value;
use weighbridge_core::{GenerationRequest, LoglikelihoodRequest, Protocol, TaskFacts};

use crate::Scoring;

/// A task, ready to be asked of models of one style.
#[derive(Clone, Debug)]
pub struct Task {
    /// What goes into the header of the log. `facts.scoring` is [`Task::scoring`] as JSON.
    pub facts: TaskFacts,
    /// How answers become scores.
    pub scoring: Scoring,
    /// Samples in the order of the dataset, after `limit`.
    pub samples: Vec<TaskSample>,
}

/// One sample of a task.
#[derive(Clone, Debug)]
pub struct TaskSample {
    /// Id within the dataset, unlike that of any other sample of the task.
    pub id: String,
    /// Position in the dataset, from 0.
    pub index: u64,
    /// Cluster of related samples (subject, repository).
    pub group: Option<String>,
    /// What a model is asked.
    pub ask: Ask,
    /// Choices, in the order of the dataset.
    pub choices: Vec<String>,
    /// What counts as right, each of them.
    pub target: Vec<String>,
    /// What else scoring needs of the row of the dataset.
    pub doc: Option<Value>,
}

/// What a model is asked for one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// To write texts: one, or as many as the task has repeats within a sample (`repeat` numbers them from 0).
    Generate(Vec<GenerationRequest>),
    /// How likely continuations are.
    Loglikelihood(Vec<LoglikelihoodRequest>),
    /// How likely a text is as a whole.
    Rolling(String),
}

impl Ask {
    /// The protocol that it belongs to.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Generate(_) => Protocol::Generate,
            Self::Loglikelihood(_) | Self::Rolling(_) => Protocol::Loglikelihood,
        }
    }
}

/// The form in which a model takes prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Plain text, as for base models.
    Text,
    /// A conversation, worked examples within the one turn of the user.
    Chat,
    /// A conversation, each worked example a turn of the user and one of the assistant.
    ChatMultiturn,
}

/// What a user sets for all tasks of a run.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// The form of prompts.
    pub style: Style,
    /// How models are asked; `None` takes what the task says.
    pub protocol: Option<Protocol>,
    /// At most so many samples, the first ones.
    pub limit: Option<u64>,
    /// Worked examples; `None` takes what the task says.
    pub few_shot: Option<u32>,
    /// Seed of the choice of worked examples; 1234 in lm-evaluation-harness.
    pub few_shot_seed: u64,
    /// Said first, as the system.
    pub system: Option<String>,
    /// Most tokens of an answer, in place of what the task says.
    pub max_tokens: Option<usize>,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            style: Style::Text,
            protocol: None,
            limit: None,
            few_shot: None,
            few_shot_seed: 1234,
            system: None,
            max_tokens: None,
        }
    }
}

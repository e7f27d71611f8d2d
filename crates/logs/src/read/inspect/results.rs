//! What an Inspect log states of all samples together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weighbridge_core::{EventKind, LogLine, ResultRecord, RunEvent};

use super::super::json::{Fields, Unknown, is_filled};
use super::header::{Context, Scorer, grader};
use crate::{LogError, ReadReport, Sink};

/// Names of metrics that are the standard error of another.
const ERRORS: [&str; 4] = ["stderr", "bootstrap_stderr", "bootstrap_std", "hierarchical_bootstrap_stderr"];

/// Aggregates as stated.
#[derive(Default)]
pub(super) struct Results {
    scores: Vec<Stated>,
    total: Option<u64>,
    completed_samples: Option<u64>,
    status: Option<String>,
    completed: Option<f64>,
    date: Option<f64>,
}

/// One score with its metrics.
struct Stated {
    name: String,
    scorer: String,
    reducer: Option<String>,
    samples: Option<u64>,
    unscored: Option<u64>,
    grader: Option<String>,
    params: Option<Value>,
    metadata: Option<Value>,
    metrics: Vec<Metric>,
}

struct Metric {
    name: String,
    group: Option<String>,
    value: Option<f64>,
    params: Option<Value>,
    metadata: Option<Value>,
}

impl Results {
    pub(super) fn new(value: Option<Value>, unknown: &mut Unknown) -> Self {
        let mut fields = Fields::of(value, "results", unknown);
        let total = fields.u64("total_samples");
        let completed_samples = fields.u64("completed_samples");
        let items = match fields.take("scores").or_else(|| fields.take("scorers")) {
            Some(Value::Array(items)) => items,
            // The form of version 1: one scorer, its metrics beside it.
            None if !fields.is_empty() => {
                let mut one = fields.object("scorer", unknown).into_rest();
                one.extend(fields.take("metrics").map(|metrics| ("metrics".to_owned(), metrics)));
                if one.is_empty() { Vec::new() } else { vec![Value::Object(one)] }
            }
            _ => Vec::new(),
        };
        fields.finish(unknown);
        let scores = items.into_iter().filter_map(|item| Stated::new(item, unknown)).collect();
        Self { scores, total, completed_samples, ..Self::default() }
    }

    pub(super) fn ended(mut self, status: Option<String>, completed: Option<f64>, created: Option<f64>) -> Self {
        self.status = status;
        self.completed = completed;
        self.date = completed.or(created);
        self
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Adds what only the results say of scorers.
    pub(super) fn complete(&self, scorers: &mut Vec<Scorer>) {
        let listed = !scorers.is_empty();
        for stated in &self.scores {
            if let Some(scorer) =
                scorers.iter_mut().find(|scorer| scorer.name == stated.scorer || scorer.name == stated.name)
            {
                scorer.grader = scorer.grader.take().or_else(|| stated.grader.clone());
            } else if !listed {
                let (name, grader) = (stated.scorer.clone(), stated.grader.clone());
                scorers.push(Scorer { name, grader, parts: Vec::new() });
            }
            // A number behind the name is a second use of the scorer (`match1`), another name a key of its values.
            let bare = stated.name.trim_end_matches(|c: char| c.is_ascii_digit());
            if bare != stated.scorer
                && stated.name != stated.scorer
                && let Some(scorer) = scorers.iter_mut().find(|scorer| scorer.name == stated.scorer)
            {
                let part = format!("{}/{}", stated.scorer, stated.name);
                if !scorer.parts.contains(&part) {
                    scorer.parts.push(part);
                }
            }
        }
    }

    /// The parameters of scorers, for logs that list no scorers.
    pub(super) fn scoring(&self) -> Option<Value> {
        let items: Vec<Value> = self
            .scores
            .iter()
            .map(|stated| match &stated.params {
                Some(params) => serde_json::json!({ "name": stated.scorer, "params": params }),
                None => serde_json::json!({ "name": stated.scorer }),
            })
            .collect();
        (!items.is_empty()).then_some(Value::Array(items))
    }

    /// The member of the metadata by which a standard error is clustered.
    pub(super) fn cluster(&self) -> Option<String> {
        let metrics = self.scores.iter().flat_map(|stated| &stated.metrics);
        metrics.into_iter().find_map(|metric| Some(metric.params.as_ref()?.get("cluster")?.as_str()?.to_owned()))
    }

    /// Hands the lines on. `seen` are the names of scores that samples bear.
    pub(super) fn send(
        self,
        context: &Context,
        seen: &BTreeSet<String>,
        report: &mut ReadReport,
        sink: &mut dyn Sink,
    ) -> Result<(), LogError> {
        let mut unreadable = 0_u64;
        for stated in self.scores {
            let within = format!("{}/{}", stated.scorer, stated.name);
            let plain = stated.name == stated.scorer || seen.contains(&stated.name);
            let score = if plain && !seen.contains(&within) { stated.name.clone() } else { within };
            let errors: Vec<&Metric> =
                stated.metrics.iter().filter(|metric| ERRORS.contains(&metric.name.as_str())).collect();
            let values: Vec<&Metric> =
                stated.metrics.iter().filter(|metric| !ERRORS.contains(&metric.name.as_str())).collect();
            for metric in if values.is_empty() { &errors } else { &values } {
                let Some(value) = metric.value else {
                    unreadable += 1;
                    continue;
                };
                let mean = ["accuracy", "mean"].contains(&metric.name.as_str());
                let error = errors.iter().find(|error| mean && !values.is_empty() && error.group == metric.group);
                let mut metadata = BTreeMap::new();
                let mut keep = |name: &str, value: Option<Value>| {
                    if let Some(value) = value.filter(is_filled) {
                        metadata.insert(name.to_owned(), value);
                    }
                };
                keep("metric", Some(metric.name.clone().into()));
                keep("group", metric.group.clone().map(Value::from));
                keep("reducer", stated.reducer.clone().map(Value::from));
                keep("params", metric.params.clone());
                keep("metadata", metric.metadata.clone());
                keep("score_metadata", stated.metadata.clone());
                keep("unscored_samples", stated.unscored.map(Value::from));
                keep("standard_error_params", error.and_then(|error| error.params.clone()));
                let record = ResultRecord {
                    task: context.task.clone(),
                    model: context.model.clone(),
                    score: score.clone(),
                    value,
                    standard_error: error.and_then(|error| error.value),
                    samples: stated.samples.or(self.completed_samples),
                    date: self.date,
                    metadata,
                    ..ResultRecord::default()
                };
                sink.line(LogLine::Result(Box::new(record)))?;
            }
        }
        if unreadable > 0 {
            report.notes.push(format!("{unreadable} metrics have no number (NaN or absent) and were left out"));
        }
        let kind = match self.status.as_deref() {
            Some("success") => EventKind::Finished,
            Some("cancelled") => EventKind::Interrupted,
            _ => return Ok(()),
        };
        let event = RunEvent { kind, at: self.completed, model: None, task: None, message: None };
        sink.line(LogLine::Event(Box::new(event)))
    }
}

impl Stated {
    fn new(item: Value, unknown: &mut Unknown) -> Option<Self> {
        let mut fields = Fields::of(Some(item), "results.scores.*", unknown);
        let name = fields.text("name")?;
        let metrics = fields.take("metrics");
        let params = fields.take("params");
        let metadata = fields.take("metadata");
        let stated = Self {
            scorer: fields.text("scorer").unwrap_or_else(|| name.clone()),
            reducer: fields.text("reducer"),
            samples: fields.u64("scored_samples"),
            unscored: fields.u64("unscored_samples"),
            grader: grader(params.as_ref()).or_else(|| grader(metadata.as_ref())),
            metrics: match metrics {
                Some(Value::Object(metrics)) => {
                    metrics.into_iter().map(|(key, metric)| Metric::new(key, metric, unknown)).collect()
                }
                _ => Vec::new(),
            },
            params,
            metadata,
            name,
        };
        fields.finish(unknown);
        Some(stated)
    }
}

impl Metric {
    fn new(key: String, value: Value, unknown: &mut Unknown) -> Self {
        if let Some(value) = value.as_f64() {
            return Self { name: key, group: None, value: Some(value), params: None, metadata: None };
        }
        let mut fields = Fields::of(Some(value), "results.scores.*.metrics.*", unknown);
        let metric = Self {
            name: fields
                .text("name")
                .map_or(key, |name| name.rsplit_once('/').map_or(name.as_str(), |(_, name)| name).to_owned()),
            group: fields.text("group"),
            value: fields.f64("value"),
            params: fields.take("params").or_else(|| fields.take("options")),
            metadata: fields.take("metadata"),
        };
        fields.finish(unknown);
        metric
    }
}

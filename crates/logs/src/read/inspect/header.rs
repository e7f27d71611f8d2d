//! What an Inspect log says of the whole run.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value};
use weighbridge_core::{DatasetFacts, ModelFacts, Protocol, RUN_LOG_VERSION, RunHeader, ScoreFacts, TaskFacts};

use super::super::json::{Fields, as_text, is_filled, whole};
use super::results::Results;
use crate::{LogError, ReadReport};

/// Members of the log that are kept while its samples are streamed.
pub(super) const MEMBERS: &[&str] = &[
    "version",
    "status",
    "eval",
    "plan",
    "results",
    "stats",
    "error",
    "invalidated",
    "tags",
    "metadata",
    "log_updates",
    "config_updates",
];

/// The newest version of the form that Inspect itself reads.
const NEWEST: u64 = 2;

/// A scorer of the task.
#[derive(Clone, Debug, Default)]
pub(super) struct Scorer {
    pub(super) name: String,
    pub(super) grader: Option<String>,
    /// Names of its scores where it gives an object of values: `scorer/key`.
    pub(super) parts: Vec<String>,
}

impl Scorer {
    /// Names of the scores that it gives.
    pub(super) fn scores(&self) -> &[String] {
        if self.parts.is_empty() { std::slice::from_ref(&self.name) } else { &self.parts }
    }
}

/// What samples need to know of their log.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) task: String,
    pub(super) model: String,
    pub(super) provider: Option<String>,
    pub(super) scorers: Vec<Scorer>,
    /// Position of each sample in the dataset, where the log lists its samples.
    pub(super) index: HashMap<String, u64>,
    /// Member of the metadata of samples by which standard errors are clustered.
    pub(super) cluster: Option<String>,
    /// Samples with an error count with their score.
    pub(super) score_on_error: bool,
    /// Samples that the log should hold, repeats included, where it says.
    pub(super) expected: Option<u64>,
}

/// What a log begins with, and what is said at its end.
pub(super) struct Head {
    pub(super) header: RunHeader,
    pub(super) context: Context,
    pub(super) results: Results,
}

/// Reads the members of a log other than its samples.
pub(super) fn read(path: &Path, members: Map<String, Value>, report: &mut ReadReport) -> Result<Head, LogError> {
    let unknown = &mut report.unknown_fields;
    let mut log = Fields::new(members, "");
    if let Some(version) = log.u64("version").filter(|&version| version > NEWEST) {
        report.notes.push(format!(
            "{}: version {version} of the form is newer than {NEWEST}, the newest known; what fits was read",
            path.display()
        ));
    }
    let mut eval = log.object("eval", unknown);
    let task_name = eval.text("task").ok_or_else(|| {
        LogError::malformed(path, "eval.task".to_owned(), "the log does not name its task; it is no Inspect log")
    })?;
    let model_name = eval.text("model").unwrap_or_default();
    if model_name.is_empty() {
        report.notes.push(format!("{}: the log does not name its model", path.display()));
    }

    let mut settings = BTreeMap::new();
    let mut config = eval.object("config", unknown);
    let epochs = config.u64("epochs").map(|epochs| epochs as u32);
    let limit = config.take("limit");
    let score_on_error = config.bool("score_on_error");
    keep(&mut settings, "epochs", epochs.map(Value::from));
    keep(&mut settings, "score_on_error", score_on_error.map(Value::from));
    keep(&mut settings, "limit", limit.clone());
    for (name, value) in config.into_rest() {
        keep(&mut settings, &name, Some(value));
    }
    let mut plan = log.object("plan", unknown);
    for config in [eval.object("model_generate_config", unknown), plan.object("config", unknown)] {
        for (name, value) in config.into_rest() {
            keep(&mut settings, &name, Some(value));
        }
    }
    plan.take("name");
    keep(&mut settings, "solvers", plan.take("steps"));
    keep(&mut settings, "solver_finish", plan.take("finish"));
    plan.finish(unknown);

    let mut dataset = eval.object("dataset", unknown);
    let (name, location) = (dataset.text("name"), dataset.text("location"));
    let size = dataset.u64("samples");
    let ids = match dataset.take("sample_ids") {
        Some(Value::Array(ids)) => ids,
        _ => Vec::new(),
    };
    keep(&mut settings, "shuffled", dataset.bool("shuffled").map(Value::from));
    dataset.finish(unknown);
    let listed = Some(ids.len() as u64).filter(|&count| count > 0);
    let index: HashMap<_, _> = ids.iter().enumerate().map(|(index, id)| (as_text(id), index as u64)).collect();

    let roles = eval.object("model_roles", unknown).into_rest();
    let scorers_stated = eval.take("scorers");
    let mut scorers = scorers(scorers_stated.as_ref());
    let results = Results::new(log.take("results"), unknown);
    results.complete(&mut scorers);
    grade_by_role(&mut scorers, &roles);
    let cluster = cluster(scorers_stated.as_ref()).or_else(|| results.cluster());

    let of_limit = size.map(|size| match &limit {
        Some(Value::Array(range)) if range.len() == 2 => {
            let (from, to) = (whole(&range[0]).unwrap_or(0), whole(&range[1]).unwrap_or(size));
            to.min(size).saturating_sub(from)
        }
        Some(most) => whole(most).map_or(size, |most| most.min(size)),
        None => size,
    });
    let repeats = u64::from(epochs.unwrap_or(1)).max(1);
    let samples = results.total().map(|total| total / repeats).or(match (listed, of_limit) {
        (Some(listed), Some(limited)) => Some(listed.min(limited)),
        (listed, limited) => listed.or(limited),
    });

    let mut stats = log.object("stats", unknown);
    let started = stats.time("started_at");
    let completed = stats.time("completed_at");
    keep(&mut settings, "model_usage", stats.take("model_usage"));
    keep(&mut settings, "role_usage", stats.take("role_usage"));
    stats.finish(unknown);

    let task = TaskFacts {
        name: task_name.clone(),
        version: eval.text("task_version"),
        source: eval.text("task_file"),
        protocol: Some(Protocol::Generate),
        dataset: location.or(name).map(|source| DatasetFacts { source, size, ..DatasetFacts::default() }),
        samples,
        epochs,
        main_score: scorers.first().and_then(|scorer| scorer.scores().first().cloned()),
        scores: scorers
            .iter()
            .flat_map(|scorer| scorer.scores().iter().map(move |name| (name, &scorer.grader)))
            .map(|(name, grader)| ScoreFacts { name: name.clone(), grader: grader.clone(), ..ScoreFacts::default() })
            .collect(),
        scoring: scorers_stated.or_else(|| results.scoring()),
        ..TaskFacts::default()
    };
    let (provider, model) = match model_name.split_once('/') {
        Some((provider, model)) => (Some(provider.to_owned()), Some(model.to_owned())),
        None => (None, None),
    };
    let mut details = BTreeMap::new();
    keep(&mut details, "model_args", eval.take("model_args").map(without_keys));
    keep(&mut details, "model_roles", Some(without_keys(Value::Object(roles))));
    let facts = ModelFacts {
        name: model_name.clone(),
        provider: provider.clone(),
        model,
        base_url: eval.text("model_base_url").map(|url| without_password(&url)),
        details,
        ..ModelFacts::default()
    };

    let packages = eval.take("packages");
    let version = packages.as_ref().and_then(|packages| packages.get("inspect_ai")).and_then(Value::as_str);
    let program = version.map_or_else(|| "inspect_ai".to_owned(), |version| format!("inspect_ai {version}"));
    keep(&mut settings, "packages", packages);
    let created = eval.time("created");
    let ids = [eval.text("run_id"), eval.text("eval_id"), eval.text("task_id")];
    let id = match &ids {
        [Some(run), Some(eval), _] | [Some(run), None, Some(eval)] => format!("{run}/{eval}"),
        [Some(one), None, None] | [None, Some(one), _] | [None, None, Some(one)] => one.clone(),
        [None, None, None] => {
            report.notes.push(format!("{}: the log has no id; its path stands for it", path.display()));
            path.display().to_string()
        }
    };
    if let Some(Value::Object(mut revision)) = eval.take("revision") {
        if let Some(Value::String(origin)) = revision.get_mut("origin") {
            *origin = without_password(origin);
        }
        settings.insert("revision".to_owned(), Value::Object(revision));
    }
    for name in ["task_args", "task_attribs", "solver", "solver_args", "sandbox", "tags", "metadata"] {
        keep(&mut settings, name, eval.take(name).map(without_keys));
    }
    for name in ["task_display_name", "task_registry_name", "task_args_passed", "solver_args_passed", "metrics"] {
        keep(&mut settings, name, eval.take(name).map(without_keys));
    }
    eval.finish(unknown);

    let status = log.text("status");
    let error = log.take("error").map(|error| error.get("message").map_or_else(|| as_text(&error), as_text));
    if let Some(error) = &error {
        report.notes.push(format!("{}: the run ended with an error: {error}", path.display()));
    }
    keep(&mut settings, "status", status.clone().map(Value::from));
    keep(&mut settings, "error", error.map(Value::from));
    if log.bool("invalidated") == Some(true) {
        keep(&mut settings, "invalidated", Some(true.into()));
        report.notes.push(format!("{}: the log is marked as invalid", path.display()));
    }
    for name in ["log_updates", "config_updates"] {
        keep(&mut settings, name, log.take(name));
    }
    for name in ["tags", "metadata"] {
        if let Some(value) = log.take(name).filter(|value| settings.get(name) != Some(value)) {
            settings.insert(format!("log_{name}"), value);
        }
    }
    log.finish(unknown);

    let header = RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id,
        program,
        started: started.or(created),
        tasks: vec![task],
        models: vec![facts],
        settings,
    };
    let context = Context {
        task: task_name,
        model: model_name,
        provider,
        scorers,
        index,
        cluster,
        score_on_error: score_on_error.unwrap_or(false),
        expected: samples.map(|samples| samples * repeats),
    };
    Ok(Head { header, context, results: results.ended(status, completed, created) })
}

fn keep(settings: &mut BTreeMap<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value.filter(is_filled) {
        settings.insert(name.to_owned(), value);
    }
}

/// Scorers as the log lists them: objects with a name, or lists of such for one scorer.
fn scorers(stated: Option<&Value>) -> Vec<Scorer> {
    let items = stated.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| {
            let item = item.as_array().and_then(|items| items.first()).unwrap_or(item);
            let name = short(item.get("name")?.as_str()?);
            let grader = ["options", "params", "metadata"].iter().find_map(|part| grader(item.get(*part)));
            Some(Scorer { name, grader, parts: Vec::new() })
        })
        .collect()
}

/// The name of a scorer without the package that registered it, as results and samples write it.
fn short(name: &str) -> String {
    name.rsplit_once('/').map_or(name, |(_, name)| name).to_owned()
}

/// The model that grades, of the parameters of a scorer.
pub(super) fn grader(params: Option<&Value>) -> Option<String> {
    ["grader_model", "grader", "judge_model", "judge", "model"].iter().find_map(|key| model(params?.get(*key)?))
}

fn model(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()).filter(|name| !name.is_empty()),
        Value::Array(models) => {
            let models: Vec<String> = models.iter().filter_map(model).collect();
            Some(models.join(", ")).filter(|models| !models.is_empty())
        }
        Value::Object(facts) => facts.get("model").or_else(|| facts.get("name")).and_then(model),
        _ => None,
    }
}

/// The role `grader` grades for scorers that name no model: the only one, or those whose names say that a model grades.
fn grade_by_role(scorers: &mut [Scorer], roles: &Map<String, Value>) {
    let Some(grader) = roles.get("grader").or_else(|| roles.get("judge")).and_then(model) else { return };
    let only = scorers.len() == 1;
    for scorer in scorers.iter_mut().filter(|scorer| scorer.grader.is_none()) {
        if only || ["model", "judge", "grade"].iter().any(|word| scorer.name.contains(word)) {
            scorer.grader = Some(grader.clone());
        }
    }
}

fn cluster(scorers: Option<&Value>) -> Option<String> {
    let metrics = scorers?.as_array()?.iter().filter_map(|scorer| scorer.get("metrics")?.as_array());
    metrics.flatten().find_map(|metric| Some(metric.get("options")?.get("cluster")?.as_str()?.to_owned()))
}

/// An address without the name and password or token before its host.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.find('/').unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// A value without what is stored under names of keys and tokens.
fn without_keys(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let lower = name.to_ascii_lowercase();
                let secret = ["api_key", "apikey", "password", "secret", "authorization", "access_token"]
                    .iter()
                    .any(|word| lower.contains(word));
                let value = if secret && value.is_string() { "(removed)".into() } else { without_keys(value) };
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(without_keys).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_tokens() {
        assert_eq!(without_password("https://token@github.com:a/b.git"), "https://github.com:a/b.git");
        assert_eq!(without_password("https://u:p@github.com/a@b"), "https://github.com/a@b");
        assert_eq!(without_password("git@github.com:a/b.git"), "git@github.com:a/b.git");
        assert_eq!(
            without_keys(serde_json::json!({"a": [{"openai_api_key": "x"}]})).to_string(),
            r#"{"a":[{"openai_api_key":"(removed)"}]}"#
        );
    }
}

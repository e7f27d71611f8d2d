//! The YAML of task files: `include`, `!function`, and the keys of a task with their defaults.
//!
//! A function of Python is kept as a value of its own with the file and line that name it, for [`super::ported`] to find
//! its counterpart. Files are read as PyYAML reads them: of a key that stands twice the last counts.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Tagged;

use super::python;
use super::scoring::OutputType;
use crate::TaskError;

/// Key under which a function stands in a value.
const FUNCTION: &str = "!function";
/// Keys that a task may have; others are mistakes.
const KEYS: &[&str] = &[
    "class",
    "custom_dataset",
    "dataset_kwargs",
    "dataset_name",
    "dataset_path",
    "description",
    "doc_to_audio",
    "doc_to_choice",
    "doc_to_decontamination_query",
    "doc_to_image",
    "doc_to_target",
    "doc_to_text",
    "fewshot_config",
    "fewshot_delimiter",
    "fewshot_split",
    "filter_list",
    "gen_prefix",
    "generation_kwargs",
    "group",
    "metadata",
    "metric_list",
    "num_fewshot",
    "output_type",
    "process_docs",
    "process_results",
    "repeats",
    "should_decontaminate",
    "tag",
    "target_delimiter",
    "task",
    "task_alias",
    "task_list",
    "test_split",
    "training_split",
    "unsafe_code",
    "use_prompt",
    "validation_split",
];
/// Deepest chain of `include`.
const INCLUDES: usize = 16;

/// A YAML value, with functions as `{"!function": name}`.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Self)
    }
}

fn untag(Tagged(Node(value), tag): Tagged<Node>) -> Value {
    match (tag.as_deref(), value) {
        (Some(FUNCTION), Value::String(name)) => Map::from_iter([(FUNCTION.to_owned(), name.into())]).into(),
        (_, value) => value,
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Node::deserialize(deserializer).map(|node| node.0)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Node::deserialize(deserializer).map(|node| node.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(untag(item));
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some(Node(key)) = map.next_key()? {
            entries.insert(python::str(&key), untag(map.next_value()?));
        }
        Ok(entries.into())
    }
}

/// The entries of a YAML file, those of files that it includes below them.
///
/// # Errors
/// A file cannot be read, is no YAML or no mapping, or includes go in a circle.
pub fn read(path: &Path) -> Result<Map<String, Value>, TaskError> {
    read_within(path, 0)
}

fn read_within(path: &Path, depth: usize) -> Result<Map<String, Value>, TaskError> {
    if depth > INCLUDES {
        return Err(TaskError::malformed(path, "include".to_owned(), "files include each other; end the circle"));
    }
    let text = fs_err::read_to_string(path).map_err(TaskError::io(path))?;
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    // `y` and `n` are texts in PyYAML, and choices often are such letters.
    options.strict_booleans = true;
    options.with_snippet = false;
    let value: Tagged<Node> = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| TaskError::malformed(path, None, format!("no YAML: {error}")))?;
    let Value::Object(mut entries) = untag(value) else {
        return Err(TaskError::malformed(path, None, "a mapping of keys and values was expected"));
    };
    for value in entries.values_mut() {
        locate(value, path, &text);
    }
    let included = match entries.remove("include") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(file)) => vec![Value::String(file)],
        Some(Value::Array(files)) => files,
        Some(_) => return Err(TaskError::malformed(path, "include".to_owned(), "the name of a file was expected")),
    };
    let mut merged = Map::new();
    let folder = path.parent().unwrap_or(Path::new("."));
    for file in &included {
        let Some(file) = file.as_str() else {
            return Err(TaskError::malformed(path, "include".to_owned(), "names of files were expected"));
        };
        let mut below = read_within(&folder.join(file), depth + 1)?;
        below.remove("task_list");
        merged.extend(below);
    }
    merged.extend(entries);
    Ok(merged)
}

/// Writes into functions which file and line name them.
fn locate(value: &mut Value, path: &Path, text: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| locate(item, path, text)),
        Value::Object(entries) => {
            if let Some(Value::String(name)) = entries.get(FUNCTION) {
                let wanted = format!("{FUNCTION} {name}");
                let line = text.lines().position(|line| line.contains(&wanted)).map(|line| line + 1);
                entries.insert("file".into(), path.to_string_lossy().into());
                entries.insert("line".into(), line.into());
            } else {
                entries.values_mut().for_each(|entry| locate(entry, path, text));
            }
        }
        _ => {}
    }
}

/// The entries without what differs from one folder to another, for a hash.
pub fn portable(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(portable).collect(),
        Value::Object(entries) => match entries.get(FUNCTION) {
            Some(name) => Map::from_iter([(FUNCTION.to_owned(), name.clone())]).into(),
            None => entries.iter().map(|(key, value)| (key.clone(), portable(value))).collect::<Map<_, _>>().into(),
        },
        other => other.clone(),
    }
}

/// A function of Python that a task file names.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Name as written, for example `utils.process_docs`.
    pub name: String,
    /// The file that names it.
    pub file: PathBuf,
    /// The line there.
    pub line: Option<u64>,
}

impl Function {
    /// The function that a value is.
    pub fn of(value: &Value) -> Option<Self> {
        let name = value.get(FUNCTION)?.as_str()?.to_owned();
        let file = value.get("file").and_then(Value::as_str).unwrap_or_default().into();
        Some(Self { name, file, line: value.get("line").and_then(Value::as_u64) })
    }
}

/// Where a text, a target or choices come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// The name of a column, or a template.
    Text(String),
    /// This number, for every row.
    Number(i64),
    /// These, for every row.
    List(Vec<Value>),
    /// A function of Python.
    Function(Function),
}

/// How worked examples are shown, where it differs from the task.
#[derive(Clone, Debug, Default)]
pub struct FewShot {
    /// Whether the first ones are taken in place of drawn ones.
    pub first: bool,
    /// Split that they come from.
    pub split: Option<String>,
    /// Examples written into the file.
    pub samples: Option<Vec<Value>>,
    /// Replaces that of the task.
    pub process_docs: Option<Function>,
    /// Replaces that of the task.
    pub text: Option<Field>,
    /// Replaces that of the task.
    pub choice: Option<Field>,
    /// Replaces that of the task.
    pub target: Option<Field>,
    /// Replaces that of the task.
    pub gen_prefix: Option<String>,
    /// Replaces that of the task.
    pub delimiter: String,
    /// Replaces that of the task.
    pub target_delimiter: String,
}

/// A task as its file states it, defaults filled in.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// The file.
    pub path: PathBuf,
    /// Everything as read.
    pub raw: Map<String, Value>,
    /// Name.
    pub task: String,
    /// What it asks of models.
    pub output_type: OutputType,
    /// Id on a hub, or the kind of local files.
    pub dataset_path: Option<String>,
    /// Configuration on the hub.
    pub dataset_name: Option<String>,
    /// Further arguments of the dataset.
    pub dataset_kwargs: Map<String, Value>,
    /// Split with examples.
    pub training_split: Option<String>,
    /// Split asked about where there is no test split.
    pub validation_split: Option<String>,
    /// Split asked about.
    pub test_split: Option<String>,
    /// Changes rows first.
    pub process_docs: Option<Function>,
    /// The question.
    pub text: Field,
    /// The answer; `None` where the file has none.
    pub target: Option<Field>,
    /// The choices.
    pub choice: Option<Field>,
    /// Scores in place of metrics.
    pub process_results: Option<Function>,
    /// What stands before everything.
    pub description: String,
    /// What stands between question and answer.
    pub target_delimiter: String,
    /// What stands after each example.
    pub fewshot_delimiter: String,
    /// How examples are shown.
    pub fewshot: FewShot,
    /// How many examples; `None` where the file does not say.
    pub num_fewshot: Option<u32>,
    /// Settings of generation.
    pub generation: Map<String, Value>,
    /// Answers asked for within a sample.
    pub repeats: u32,
    /// What the answer begins with.
    pub gen_prefix: Option<String>,
}

/// Reads entries of one kind, and says which is wrong.
struct Entries<'a> {
    path: &'a Path,
    map: &'a Map<String, Value>,
    within: &'static str,
}

impl Entries<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, expected: &str) -> TaskError {
        TaskError::malformed(self.path, format!("{}{key}", self.within), format!("{expected} was expected"))
    }

    fn text(&self, key: &str) -> Result<Option<String>, TaskError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            // A split or a configuration may look like a number.
            Some(number @ Value::Number(_)) => Ok(Some(python::str(number))),
            Some(value) => match Function::of(value) {
                Some(function) => {
                    Err(TaskError::unsupported(self.path, refusal(&function, &format!("{}{key}", self.within))))
                }
                None => Err(self.wrong(key, "a text")),
            },
        }
    }

    fn count(&self, key: &str) -> Result<Option<u32>, TaskError> {
        self.get(key)
            .map(|value| {
                value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| self.wrong(key, "a whole number"))
            })
            .transpose()
    }

    fn map(&self, key: &str) -> Result<Map<String, Value>, TaskError> {
        match self.get(key) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err(self.wrong(key, "a mapping")),
        }
    }

    fn function(&self, key: &str) -> Result<Option<Function>, TaskError> {
        self.get(key)
            .map(|value| Function::of(value).ok_or_else(|| self.wrong(key, "a function (!function module.name)")))
            .transpose()
    }

    fn field(&self, key: &str) -> Result<Option<Field>, TaskError> {
        Ok(match self.get(key) {
            None => None,
            Some(Value::String(text)) => Some(Field::Text(text.clone())),
            Some(Value::Array(items)) => Some(Field::List(items.clone())),
            Some(value @ Value::Object(map)) => Some(match Function::of(value) {
                Some(function) => Field::Function(function),
                // The values of a dictionary are the choices.
                None => Field::List(map.values().cloned().collect()),
            }),
            Some(value) => {
                Some(Field::Number(value.as_i64().ok_or_else(|| self.wrong(key, "a template, a number or a list"))?))
            }
        })
    }
}

/// Why a function is refused, and what to do.
pub fn refusal(function: &Function, key: &str) -> String {
    let line = function.line.map(|line| format!(" in line {line}")).unwrap_or_default();
    format!(
        "{key} is the Python function {}{line} of {}, which has no counterpart here; write it as a template, or prepare the \
         rows beforehand and take the function out of the file",
        function.name,
        function.file.display(),
    )
}

impl TaskConfig {
    /// Takes the entries of a task.
    ///
    /// # Errors
    /// A key that a task does not have, a value of another kind, or something that is not done here.
    pub fn new(path: &Path, raw: Map<String, Value>) -> Result<Self, TaskError> {
        let entries = Entries { path, map: &raw, within: "" };
        for key in ["class", "custom_dataset", "use_prompt", "doc_to_image", "doc_to_audio"] {
            if let Some(value) = entries.get(key) {
                let what = Function::of(value).map_or_else(
                    || format!("{key} is not done here; lm-evaluation-harness itself runs such tasks"),
                    |function| refusal(&function, key),
                );
                return Err(TaskError::unsupported(path, what));
            }
        }
        if let Some(key) = raw.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(TaskError::malformed(path, key.clone(), "a task has no such key; take it out or correct it"));
        }
        if entries.get("unsafe_code").is_some_and(|value| *value != Value::Bool(false)) {
            let what = "unsafe_code: code that a model wrote is not run here; take another task";
            return Err(TaskError::unsupported(path, what));
        }
        let task = entries.text("task")?.ok_or_else(|| entries.wrong("task", "the name of the task"))?;
        let output_type = match entries.text("output_type")?.as_deref() {
            None | Some("generate_until") => OutputType::GenerateUntil,
            Some("multiple_choice") => OutputType::MultipleChoice,
            Some("loglikelihood") => OutputType::Loglikelihood,
            Some("loglikelihood_rolling") => OutputType::LoglikelihoodRolling,
            Some(_) => {
                let expected = "multiple_choice, loglikelihood, loglikelihood_rolling or generate_until";
                return Err(entries.wrong("output_type", expected));
            }
        };
        let target_delimiter = entries.text("target_delimiter")?.unwrap_or_else(|| " ".into());
        let fewshot_delimiter = entries.text("fewshot_delimiter")?.unwrap_or_else(|| "\n\n".into());
        let gen_prefix = entries.text("gen_prefix")?;
        let process_docs = entries.function("process_docs")?;
        let (text, target, choice) =
            (entries.field("doc_to_text")?, entries.field("doc_to_target")?, entries.field("doc_to_choice")?);

        let fewshot_map = entries.map("fewshot_config")?;
        let own = Entries { path, map: &fewshot_map, within: "fewshot_config." };
        let first = match own.get("sampler").map(|value| (value.as_str(), Function::of(value))) {
            None | Some((Some("default"), _)) => false,
            Some((Some("first_n"), _)) => true,
            Some((_, Some(function))) => {
                return Err(TaskError::unsupported(path, refusal(&function, "fewshot_config.sampler")));
            }
            Some(_) => return Err(own.wrong("sampler", "default or first_n")),
        };
        let samples = match own.get("samples") {
            None => None,
            Some(Value::Array(samples)) => Some(samples.clone()),
            Some(value) => match Function::of(value) {
                Some(function) => {
                    return Err(TaskError::unsupported(path, refusal(&function, "fewshot_config.samples")));
                }
                None => return Err(own.wrong("samples", "a list of rows")),
            },
        };
        // A key that stands there as null takes nothing over from the task.
        let inherits = |key: &str| !fewshot_map.contains_key(key);
        let or = |key: &str, field: Option<Field>, task: &Option<Field>| {
            if inherits(key) { task.clone() } else { field }
        };
        let fewshot = FewShot {
            first,
            split: if inherits("split") { entries.text("fewshot_split")? } else { own.text("split")? },
            samples,
            process_docs: if inherits("process_docs") { process_docs.clone() } else { own.function("process_docs")? },
            text: or("doc_to_text", own.field("doc_to_text")?, &text),
            choice: or("doc_to_choice", own.field("doc_to_choice")?, &choice),
            target: or("doc_to_target", own.field("doc_to_target")?, &target),
            gen_prefix: if inherits("gen_prefix") { gen_prefix.clone() } else { own.text("gen_prefix")? },
            delimiter: own.text("fewshot_delimiter")?.unwrap_or_else(|| fewshot_delimiter.clone()),
            target_delimiter: own.text("target_delimiter")?.unwrap_or_else(|| target_delimiter.clone()),
        };
        Ok(Self {
            path: path.to_owned(),
            task,
            output_type,
            dataset_path: entries.text("dataset_path")?,
            dataset_name: entries.text("dataset_name")?,
            dataset_kwargs: entries.map("dataset_kwargs")?,
            training_split: entries.text("training_split")?,
            validation_split: entries.text("validation_split")?,
            test_split: entries.text("test_split")?,
            process_docs,
            text: text.ok_or_else(|| entries.wrong("doc_to_text", "a template or the name of a column"))?,
            target,
            choice,
            process_results: entries.function("process_results")?,
            description: entries.text("description")?.unwrap_or_default(),
            target_delimiter,
            fewshot_delimiter,
            fewshot,
            num_fewshot: entries.count("num_fewshot")?,
            generation: entries.map("generation_kwargs")?,
            repeats: entries.count("repeats")?.unwrap_or(1).max(1),
            gen_prefix,
            raw,
        })
    }

    /// The templates of the file.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        let fields = [
            Some(&self.text),
            self.target.as_ref(),
            self.choice.as_ref(),
            self.fewshot.text.as_ref(),
            self.fewshot.target.as_ref(),
            self.fewshot.choice.as_ref(),
        ];
        let texts = fields.into_iter().flatten().filter_map(|field| match field {
            Field::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.chain([&*self.description]).chain(self.gen_prefix.as_deref()).chain(self.fewshot.gen_prefix.as_deref())
    }

    /// An entry as read, unless it is null.
    pub fn raw(&self, key: &str) -> Option<&Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }
}

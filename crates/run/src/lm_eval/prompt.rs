//! What models are asked, built as lm-evaluation-harness 0.4.13 builds it: description, worked examples, question, and what
//! the answer begins with, as one text or as a conversation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weighbridge_core::{GenerationRequest, LoglikelihoodRequest, Message, Prompt, Sampling};

use super::config::{Field, TaskConfig};
use super::ported::{self, RowFunction};
use super::python;
use super::sampler::Sampler;
use super::scoring::OutputType;
use super::template::Templates;
use crate::{Ask, Style, TaskError, TaskOptions, TaskSample};

/// Tokens of an answer where a task does not say.
const MAX_TOKENS: u64 = 256;
/// What lm-evaluation-harness gives for a gold answer that is none of the choices.
const NO_CHOICE: i64 = -100;

/// A turn of a conversation, and what follows it in plain text.
#[derive(Clone, Debug)]
struct Turn {
    role: &'static str,
    content: String,
    after: String,
}

/// Builds the samples of one task.
pub struct Builder<'a> {
    config: &'a TaskConfig,
    options: &'a TaskOptions,
    templates: Templates<'a>,
    columns: BTreeSet<String>,
    functions: BTreeMap<String, RowFunction>,
    shots: u32,
    pool: Vec<Value>,
    /// Turns of examples that were shown before.
    shown: BTreeMap<usize, Vec<Turn>>,
    sampler: Sampler,
    /// Whether the pool is the split that is asked about.
    same_split: bool,
    several_inputs: bool,
    needs: Needs,
    request: GenerationRequest,
}

/// What the scoring of a task needs of its samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// Log-likelihoods of the choices without a context.
    pub mutual_information: bool,
    /// The row, although the answer is one of given choices.
    pub row: bool,
}

impl<'a> Builder<'a> {
    /// Makes ready to build samples.
    ///
    /// # Errors
    /// A function without counterpart, or settings of generation that are no settings.
    pub fn new(
        config: &'a TaskConfig,
        options: &'a TaskOptions,
        first: &Value,
        shots: u32,
        pool: Vec<Value>,
        sampler: Sampler,
        needs: Needs,
    ) -> Result<Self, TaskError> {
        let functions = functions(config)?;
        let columns = first.as_object().map(|row| row.keys().cloned().collect()).unwrap_or_default();
        let mut builder = Self {
            templates: Templates::new(config.templates()),
            columns,
            functions,
            shots,
            pool,
            shown: BTreeMap::new(),
            sampler,
            same_split: config.fewshot.split == config.test_split,
            several_inputs: false,
            needs,
            request: generation(config, options)?,
            config,
            options,
        };
        if config.choice.is_some() {
            let text = builder.text(&config.text, first).map_err(|error| builder.at(0, &error))?;
            builder.several_inputs = as_index(&text).is_some();
        }
        Ok(builder)
    }

    fn at(&self, index: usize, problem: &str) -> TaskError {
        TaskError::malformed(&self.config.path, format!("row {}", index + 1), problem)
    }

    /// The sample of a row; rows must come in the order of the dataset, because draws of examples run on.
    ///
    /// # Errors
    /// The row or the task file does not fit; the message names row and key.
    pub fn sample(&mut self, index: usize, row: &Value) -> Result<TaskSample, TaskError> {
        let mut sample = TaskSample {
            id: index.to_string(),
            index: index as u64,
            group: None,
            ask: Ask::Rolling(String::new()),
            choices: Vec::new(),
            target: Vec::new(),
            doc: None,
        };
        self.fill(&mut sample, row).map_err(|error| self.at(index, &error))?;
        Ok(sample)
    }

    fn fill(&mut self, sample: &mut TaskSample, row: &Value) -> Result<(), String> {
        let config = self.config;
        if config.output_type == OutputType::LoglikelihoodRolling {
            let text = string(self.target(config.target.as_ref(), row)?, "doc_to_target")?;
            sample.doc = Some(with_row(row, json!({"words": python::count_words(&text), "bytes": text.len()})));
            sample.ask = Ask::Rolling(text);
            return Ok(());
        }
        let mut before = Vec::new();
        let description = self.resolve(Some(&config.description), row)?.unwrap_or_default();
        let system = delimited(self.options.system.as_deref(), Some(&description), &config.fewshot_delimiter);
        if !system.is_empty() {
            before.push(Turn { role: "system", content: system, after: String::new() });
        }
        before.extend(self.examples(row)?);
        let prefix = self.prefix(row)?;
        let text = self.text(&config.text, row)?;
        let choices = config.choice.as_ref().map(|choice| self.choices(choice, row)).transpose()?;
        let target = match (&config.target, config.output_type) {
            (None, OutputType::GenerateUntil) => Value::Null,
            (target, _) => self.target(target.as_ref(), row)?,
        };
        let inputs: Vec<String> = match &choices {
            Some(choices) if self.several_inputs => choices.clone(),
            _ => vec![string(text.clone(), "doc_to_text")?],
        };
        let delimiter = if self.several_inputs { "" } else { &*config.target_delimiter };
        let contexts: Vec<Vec<Turn>> = inputs
            .into_iter()
            .map(|question| {
                let asked = turns(question, None, prefix.as_deref(), delimiter, "");
                before.iter().cloned().chain(asked).collect()
            })
            .collect();
        match config.output_type {
            OutputType::GenerateUntil => {
                sample.target = match (choices, target) {
                    (Some(choices), target) => vec![choice_at(&choices, &target)?.clone()],
                    (None, Value::Array(targets)) => targets.iter().map(python::str).collect(),
                    (None, Value::Null) => Vec::new(),
                    (None, target) => vec![python::str(&target)],
                };
                let prompt = self.prompt(contexts.into_iter().next().unwrap_or_default());
                let repeats = (0..config.repeats).map(|repeat| {
                    let mut request = self.request.clone();
                    request.prompt = prompt.clone();
                    request.repeat = repeat;
                    request
                });
                sample.ask = Ask::Generate(repeats.collect());
                sample.doc = Some(row.clone());
            }
            OutputType::MultipleChoice => {
                let choices = choices.ok_or("doc_to_choice: choices were expected in a multiple_choice task")?;
                let gold = if self.several_inputs { &text } else { &target };
                let gold: Vec<i64> = match gold {
                    Value::Array(several) => several.iter().map(|gold| gold_index(gold, &choices)).collect(),
                    one => vec![gold_index(one, &choices)],
                };
                let mut requests = Vec::new();
                let mut contexts = contexts.into_iter().map(plain);
                if self.several_inputs {
                    let continuation = format!("{}{}", config.target_delimiter, python::str(&target));
                    requests.extend(
                        contexts.map(|context| LoglikelihoodRequest { context, continuation: continuation.clone() }),
                    );
                } else {
                    let context = contexts.next().unwrap_or_default();
                    requests.extend(choices.iter().map(|choice| LoglikelihoodRequest {
                        context: context.clone(),
                        continuation: format!("{}{choice}", config.target_delimiter),
                    }));
                }
                if self.needs.mutual_information {
                    requests.extend(choices.iter().map(|choice| LoglikelihoodRequest {
                        context: String::new(),
                        continuation: format!("{}{choice}", config.target_delimiter),
                    }));
                }
                sample.ask = Ask::Loglikelihood(requests);
                sample.target =
                    gold.iter().filter_map(|gold| choices.get(usize::try_from(*gold).ok()?).cloned()).collect();
                sample.doc =
                    Some(if self.needs.row { with_row(row, json!({"gold": gold})) } else { json!({"gold": gold}) });
                sample.choices = choices;
            }
            OutputType::Loglikelihood | OutputType::LoglikelihoodRolling => {
                let continuation = string(target, "doc_to_target")?;
                let context = contexts.into_iter().next().map(plain).unwrap_or_default();
                sample.target = vec![continuation.clone()];
                sample.ask = Ask::Loglikelihood(vec![LoglikelihoodRequest { context, continuation }]);
                sample.doc = self.needs.row.then(|| row.clone());
            }
        }
        Ok(())
    }

    fn examples(&mut self, row: &Value) -> Result<Vec<Turn>, String> {
        let pool = &self.pool;
        let is_row = |place: usize| pool.get(place).is_some_and(|other| python::equal(other, row));
        let empty = row.as_object().is_none_or(serde_json::Map::is_empty);
        let could_be = if self.same_split && !empty { Some(&is_row as &dyn Fn(usize) -> bool) } else { None };
        let chosen = self.sampler.choose(pool.len(), self.shots as usize, could_be)?;
        let mut examples = Vec::new();
        for place in chosen {
            if !self.shown.contains_key(&place) {
                let turns = self
                    .example(&self.pool[place])
                    .map_err(|error| format!("worked example {}: {error}", place + 1))?;
                self.shown.insert(place, turns);
            }
            examples.extend(self.shown[&place].iter().cloned());
        }
        Ok(examples)
    }

    fn example(&self, row: &Value) -> Result<Vec<Turn>, String> {
        let own = &self.config.fewshot;
        let question = self.text(own.text.as_ref().unwrap_or(&self.config.text), row)?;
        let mut choices = own.choice.as_ref().map(|choice| self.choices(choice, row)).transpose()?;
        let answer = self.target(own.target.as_ref().or(self.config.target.as_ref()), row)?;
        let prefix = self.resolve(own.gen_prefix.as_deref(), row)?;
        let question = if self.several_inputs {
            // The choices stand in the question; the answer is what follows all of them.
            let choices = choices.take().ok_or("doc_to_choice: choices were expected for worked examples")?;
            choice_at(&choices, &question)?.clone()
        } else {
            string(question, "doc_to_text")?
        };
        let answer = match answer {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::Array(several) => {
                let first = several
                    .into_iter()
                    .next()
                    .ok_or("doc_to_target: an empty list is no answer for a worked example")?;
                Some(string(first, "doc_to_target")?)
            }
            answer => Some(match choices.filter(|choices| !choices.is_empty() && as_index(&answer).is_some()) {
                Some(choices) => choice_at(&choices, &answer)?.clone(),
                None => string(answer, "doc_to_target")?,
            }),
        };
        Ok(turns(question, answer.as_deref(), prefix.as_deref(), &own.target_delimiter, &own.delimiter))
    }

    /// A column or a template, where nothing else can stand.
    fn resolve(&self, source: Option<&str>, row: &Value) -> Result<Option<String>, String> {
        match source.filter(|source| !source.is_empty()) {
            None => Ok(None),
            Some(source) => match row.get(source) {
                Some(value) => Ok(Some(python::str(value))),
                None => self.templates.render(source, row).map(Some),
            },
        }
    }

    fn prefix(&self, row: &Value) -> Result<Option<String>, String> {
        self.resolve(self.config.gen_prefix.as_deref(), row).map_err(|error| format!("gen_prefix: {error}"))
    }

    fn column(&self, source: &str, row: &Value) -> Option<Value> {
        self.columns.contains(source).then(|| row.get(source).cloned().unwrap_or(Value::Null))
    }

    fn call(&self, name: &str, row: &Value) -> Result<Value, String> {
        self.functions.get(name).ok_or_else(|| format!("{name} has no counterpart here"))?(row)
    }

    fn text(&self, field: &Field, row: &Value) -> Result<Value, String> {
        let value = match field {
            Field::Number(number) => Ok(json!(number)),
            Field::Function(function) => self.call(&function.name, row),
            Field::List(_) => Err("a template or the name of a column was expected".to_owned()),
            Field::Text(source) => match self.column(source, row) {
                Some(value) => Ok(value),
                None => {
                    self.templates.render(source, row).map(|text| self.digits(&text).unwrap_or(Value::String(text)))
                }
            },
        };
        value.map_err(|error| format!("doc_to_text: {error}"))
    }

    /// The number that a rendered text is, where there are choices that it could be the place of.
    fn digits(&self, text: &str) -> Option<Value> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && self.config.choice.is_some() { text.parse::<i64>().ok().map(Value::from) } else { None }
    }

    fn target(&self, field: Option<&Field>, row: &Value) -> Result<Value, String> {
        let value = match field {
            None => Err("a template or the name of a column was expected".to_owned()),
            Some(Field::Number(number)) => Ok(json!(number)),
            Some(Field::Function(function)) => self.call(&function.name, row),
            Some(Field::List(items)) => Ok(Value::Array(items.clone())),
            Some(Field::Text(source)) => match self.column(source, row) {
                Some(value) => Ok(value),
                None => self.templates.render(source, row).map(|text| {
                    self.digits(&text)
                        .or_else(|| {
                            if text.starts_with('[') && text.ends_with(']') {
                                python::literal(&text).ok()
                            } else {
                                None
                            }
                        })
                        .unwrap_or(Value::String(text))
                }),
            },
        };
        value.map_err(|error| format!("doc_to_target: {error}"))
    }

    fn choices(&self, field: &Field, row: &Value) -> Result<Vec<String>, String> {
        let value = match field {
            Field::Number(_) => Err("a list was expected".to_owned()),
            Field::Function(function) => self.call(&function.name, row),
            Field::List(items) => Ok(Value::Array(items.clone())),
            Field::Text(source) => match self.column(source, row) {
                Some(value) => Ok(value),
                None => self.templates.render(source, row).and_then(|text| {
                    python::literal(&text).map_err(|error| format!("{error}: a list was expected, not {text:?}"))
                }),
            },
        };
        match value.map_err(|error| format!("doc_to_choice: {error}"))? {
            Value::Array(items) => Ok(items.iter().map(python::str).collect()),
            other => Err(format!("doc_to_choice: a list was expected, not {}", python::repr(&other))),
        }
    }

    fn prompt(&self, turns: Vec<Turn>) -> Prompt {
        let turns = match self.options.style {
            Style::Text => return Prompt::Text(plain(turns)),
            Style::ChatMultiturn => turns,
            Style::Chat => one_turn(turns),
        };
        Prompt::Messages(turns.into_iter().map(|turn| Message::new(turn.role, turn.content)).collect())
    }
}

/// The counterparts of the functions that questions, answers and choices come from, by name.
///
/// # Errors
/// A function has none.
pub fn functions(config: &TaskConfig) -> Result<BTreeMap<String, RowFunction>, TaskError> {
    let fields = [
        ("doc_to_text", Some(&config.text)),
        ("doc_to_target", config.target.as_ref()),
        ("doc_to_choice", config.choice.as_ref()),
        ("fewshot_config.doc_to_text", config.fewshot.text.as_ref()),
        ("fewshot_config.doc_to_target", config.fewshot.target.as_ref()),
        ("fewshot_config.doc_to_choice", config.fewshot.choice.as_ref()),
    ];
    let mut functions = BTreeMap::new();
    for (key, field) in fields {
        if let Some(Field::Function(function)) = field {
            functions.insert(function.name.clone(), ported::row(config, function, key)?);
        }
    }
    Ok(functions)
}

/// The turns of one question, with its answer or what the answer begins with.
fn turns(question: String, answer: Option<&str>, prefix: Option<&str>, delimiter: &str, after: &str) -> Vec<Turn> {
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    let between = match prefix {
        None if answer.is_some() => delimiter,
        Some(prefix)
            if !question.is_empty()
                && !question.ends_with(python::is_space)
                && !prefix.starts_with(python::is_space) =>
        {
            delimiter
        }
        _ => "",
    };
    let mut turns = vec![Turn { role: "user", content: question, after: between.to_owned() }];
    if answer.is_some() {
        turns.push(Turn { role: "assistant", content: delimited(prefix, answer, " "), after: after.to_owned() });
    } else if let Some(prefix) = prefix {
        turns.push(Turn { role: "assistant", content: prefix.to_owned(), after: String::new() });
    }
    turns
}

/// Two texts with a delimiter between them where neither has white space there.
fn delimited(first: Option<&str>, second: Option<&str>, delimiter: &str) -> String {
    match (first.filter(|text| !text.is_empty()), second.filter(|text| !text.is_empty())) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (Some(first), Some(second)) => {
            let space = first.ends_with(python::is_space) || second.starts_with(python::is_space);
            format!("{first}{}{second}", if space { "" } else { delimiter })
        }
    }
}

fn plain(turns: Vec<Turn>) -> String {
    turns.into_iter().map(|turn| turn.content + &turn.after).collect()
}

/// All turns but that of the system in one of the user; what the answer begins with stays a turn of the assistant.
fn one_turn(mut turns: Vec<Turn>) -> Vec<Turn> {
    let mut joined = Vec::new();
    if turns.first().is_some_and(|turn| turn.role == "system") {
        joined.push(turns.remove(0));
    }
    let begun = turns.pop_if(|turn| turn.role == "assistant");
    if let Some(last) = turns.last_mut() {
        last.after.clear();
    }
    joined.push(Turn { role: "user", content: plain(turns), after: String::new() });
    joined.extend(begun);
    joined
}

fn generation(config: &TaskConfig, options: &TaskOptions) -> Result<GenerationRequest, TaskError> {
    let settings = &config.generation;
    let get = |key: &str| settings.get(key).filter(|value| !value.is_null());
    let wrong = |key: &str, expected: &str| {
        TaskError::malformed(&config.path, format!("generation_kwargs.{key}"), format!("{expected} was expected"))
    };
    let number = |key: &str| -> Result<Option<f64>, TaskError> {
        let read = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        get(key).map(|value| read(value).ok_or_else(|| wrong(key, "a number"))).transpose()
    };
    let stop = match settings.get("until") {
        None => vec![config.fewshot_delimiter.clone()],
        Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several.iter().map(python::str).collect(),
        Some(_) => return Err(wrong("until", "a list of texts")),
    };
    let mut tokens = MAX_TOKENS;
    for key in ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"] {
        if let Some(stated) = number(key)? {
            tokens = stated as u64;
            break;
        }
    }
    let temperature = number("temperature")?;
    let samples = match get("do_sample") {
        None => temperature.is_some_and(|temperature| temperature > 0.0),
        Some(Value::Bool(samples)) => *samples,
        Some(_) => return Err(wrong("do_sample", "true or false")),
    };
    let sampling = if samples {
        Sampling {
            temperature,
            top_p: number("top_p")?,
            top_k: number("top_k")?.map(|k| k as usize),
            min_p: number("min_p")?,
            seed: None,
        }
    } else {
        Sampling::GREEDY
    };
    let mut request =
        GenerationRequest::new(Prompt::Text(String::new()), options.max_tokens.unwrap_or(tokens as usize));
    request.stop = stop;
    request.sampling = sampling;
    Ok(request)
}

fn string(value: Value, key: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{key}: a text was expected, not {}", python::repr(&other))),
    }
}

/// The place that a value names: whole numbers, and in Python truth values are such.
fn as_index(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

fn choice_at<'a>(choices: &'a [String], place: &Value) -> Result<&'a String, String> {
    // A place below 0 counts from the end.
    let index = as_index(place).and_then(|index| {
        let size = usize::try_from(index.unsigned_abs()).ok()?;
        if index < 0 { choices.len().checked_sub(size) } else { Some(size) }
    });
    index.and_then(|index| choices.get(index)).ok_or_else(|| {
        format!("doc_to_target: {} is not the place of one of {} choices", python::repr(place), choices.len())
    })
}

fn gold_index(gold: &Value, choices: &[String]) -> i64 {
    let index = match gold {
        Value::String(text) => {
            choices.iter().position(|choice| choice == text).and_then(|index| i64::try_from(index).ok())
        }
        Value::Number(number) if number.is_f64() => {
            number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64)
        }
        other => as_index(other),
    };
    index.filter(|index| usize::try_from(*index).is_ok_and(|index| index < choices.len())).unwrap_or(NO_CHOICE)
}

fn with_row(row: &Value, more: Value) -> Value {
    let mut joined = row.as_object().cloned().unwrap_or_default();
    if let Value::Object(more) = more {
        joined.extend(more);
    }
    joined.into()
}

//! Metrics of one sample, as `ConfigurableTask.process_results` of lm-evaluation-harness 0.4.13 computes them.

use std::borrow::Cow;

use serde_json::{Value, json};
use weighbridge_core::{ContinuationScore, SampleRecord};

use super::filter::{Filtered, Read, patterns};
use super::native::Native;
use super::pattern::Pattern;
use super::scoring::{MetricConfig, OutputType};
use super::translation::{bleu_counts, chrf_counts};

/// A metric, ready to be computed.
#[derive(Debug)]
pub(crate) enum Metric {
    /// Of a choice among continuations.
    Choice(Choice),
    /// Of one continuation: whether each of its tokens was the likeliest.
    Greedy,
    /// Of one continuation: its log-likelihood.
    Perplexity,
    /// Of a whole text: its log-likelihood for each word or byte.
    Rolling(&'static str),
    /// Of an answer.
    Answer(Answer),
    /// One of the numbers that a counterpart of a task's own function gives.
    Native(Native, String),
}

/// What is compared in a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The sums of log-probabilities.
    Sum,
    /// They, for each character of the choice.
    Characters,
    /// They, for each byte of the choice.
    Bytes,
    /// They, less those without the question.
    MutualInformation,
    /// Whether the right choice is what the model would have written.
    Greedy,
    /// The squared distance of the probabilities from the right choice: Brier (1950).
    Brier,
    /// The right and the chosen one, for a number over all samples.
    Pair,
}

/// What is compared of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The text, after the changes that the options ask for.
    Exact(Exact),
    /// Counts for BLEU.
    Bleu,
    /// Counts for chrF with words up to this order.
    Chrf(usize),
}

/// Options of `exact_match`.
#[derive(Debug, Default)]
pub(crate) struct Exact {
    ignore: Vec<Pattern>,
    case: bool,
    punctuation: bool,
    numbers: bool,
}

/// What a metric says of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A number, with the answer that it is of.
    Value(f64, Option<String>),
    /// Parts of a number over all samples.
    Parts(Value, Option<String>),
    /// What the record would have to hold is not there.
    Absent(String),
    /// It cannot be computed.
    Failed(String),
}

impl Metric {
    /// Makes a metric ready.
    ///
    /// # Errors
    /// The metric is not known for this kind of output, or has options that are not done here.
    pub(crate) fn new(config: &MetricConfig, output: OutputType, native: Option<Native>) -> Result<Self, String> {
        let name = config.metric.as_str();
        if let Some(native) = native {
            return if native.metrics().contains(&name) {
                Ok(Self::Native(native, name.to_owned()))
            } else {
                let known = native.metrics().join(", ");
                Err(format!("{} gives no metric {name}; it gives {known}", native.as_str()))
            };
        }
        if let Some(option) = config.options.keys().find(|key| {
            !matches!(
                (name, key.as_str()),
                (_, "hf_evaluate")
                    | ("exact_match", "regexes_to_ignore" | "ignore_case" | "ignore_punctuation" | "ignore_numbers")
            )
        }) {
            return Err(format!("the metric {name} has the option '{option}', which is not done here"));
        }
        let hf = config.options.get("hf_evaluate").and_then(Value::as_bool) == Some(true);
        if hf && name != "exact_match" {
            return Err(format!("the metric {name} of the package evaluate is not done here"));
        }
        let metric = match (output, name) {
            (OutputType::MultipleChoice, "acc") => Self::Choice(Choice::Sum),
            (OutputType::MultipleChoice, "acc_norm") => Self::Choice(Choice::Characters),
            (OutputType::MultipleChoice, "acc_bytes") => Self::Choice(Choice::Bytes),
            (OutputType::MultipleChoice, "acc_mutual_info") => Self::Choice(Choice::MutualInformation),
            (OutputType::MultipleChoice, "exact_match") => Self::Choice(Choice::Greedy),
            (OutputType::MultipleChoice, "brier_score") => Self::Choice(Choice::Brier),
            (OutputType::MultipleChoice, "f1" | "mcc") => Self::Choice(Choice::Pair),
            (OutputType::Loglikelihood, "acc") => Self::Greedy,
            (OutputType::Loglikelihood, "perplexity") => Self::Perplexity,
            (OutputType::LoglikelihoodRolling, "word_perplexity") => Self::Rolling("words"),
            (OutputType::LoglikelihoodRolling, "byte_perplexity" | "bits_per_byte") => Self::Rolling("bytes"),
            (OutputType::GenerateUntil, "exact_match") => Self::Answer(Answer::Exact(Exact::new(config)?)),
            (OutputType::GenerateUntil, "bleu") => Self::Answer(Answer::Bleu),
            (OutputType::GenerateUntil, "chrf") => Self::Answer(Answer::Chrf(0)),
            (OutputType::GenerateUntil, "chrf++") => Self::Answer(Answer::Chrf(2)),
            _ => {
                let known = match output {
                    OutputType::MultipleChoice => {
                        "acc, acc_norm, acc_bytes, acc_mutual_info, exact_match, brier_score, f1, mcc"
                    }
                    OutputType::Loglikelihood => "acc, perplexity",
                    OutputType::LoglikelihoodRolling => "word_perplexity, byte_perplexity, bits_per_byte",
                    OutputType::GenerateUntil => "exact_match, bleu, chrf, chrf++",
                };
                return Err(format!("the metric {name} is not done for {}; known are {known}", output.as_str()));
            }
        };
        Ok(metric)
    }

    /// What is computed over all samples where the task does not say.
    pub(crate) fn aggregation(&self, name: &str) -> &'static str {
        match (self, name) {
            (Self::Native(native, _), _) => native.aggregation(name),
            (Self::Choice(Choice::Pair), "f1") => "f1",
            (Self::Choice(Choice::Pair), _) => "matthews_corrcoef",
            (Self::Choice(Choice::Brier), _) => "brier_score",
            (Self::Perplexity, _) => "perplexity",
            (Self::Rolling(_), "bits_per_byte") => "bits_per_byte",
            (Self::Rolling(_), _) => "weighted_perplexity",
            (Self::Answer(Answer::Bleu), _) => "bleu",
            (Self::Answer(Answer::Chrf(0)), _) => "chrf",
            (Self::Answer(Answer::Chrf(_)), _) => "chrf++",
            _ => "mean",
        }
    }

    /// The outcome from log-likelihoods.
    pub(crate) fn of_likelihoods(&self, record: &SampleRecord) -> Outcome {
        match self {
            Self::Choice(choice) => choice.outcome(record),
            Self::Greedy => match record.loglikelihoods.first() {
                None => Outcome::Absent("the record has no log-likelihood".to_owned()),
                Some(ContinuationScore { greedy: None, .. }) => {
                    Outcome::Absent("it is not stated whether the tokens were the likeliest".to_owned())
                }
                Some(ContinuationScore { greedy: Some(greedy), .. }) => Outcome::Value(one(*greedy), None),
            },
            Self::Perplexity => match record.loglikelihoods.first() {
                None => Outcome::Absent("the record has no log-likelihood".to_owned()),
                Some(first) => Outcome::Parts(json!({ "logprob": first.logprob }), None),
            },
            Self::Rolling(unit) => {
                let size = record.doc.as_ref().and_then(|doc| doc.get(*unit)).and_then(Value::as_f64);
                match (record.loglikelihoods.first(), size) {
                    (None, _) => Outcome::Absent("the record has no log-likelihood".to_owned()),
                    (_, None) => Outcome::Failed(format!("the record does not say how many {unit} the text has")),
                    (Some(first), Some(size)) => {
                        Outcome::Parts(json!({ "logprob": first.logprob, "units": size }), None)
                    }
                }
            }
            Self::Native(native, name) => native.of_likelihoods(record, name),
            Self::Answer(_) => Outcome::Failed("the metric is of generated texts".to_owned()),
        }
    }

    /// The targets as they are compared, the same for all filters.
    ///
    /// # Errors
    /// A pattern gave up.
    pub(crate) fn targets<'r>(&self, record: &'r SampleRecord) -> Result<Vec<Cow<'r, str>>, String> {
        match self {
            Self::Answer(Answer::Exact(exact)) => record.target.iter().map(|target| exact.cleaned(target)).collect(),
            _ => Ok(Vec::new()),
        }
    }

    /// The outcome from what the filters left, with the result of [`Metric::targets`].
    pub(crate) fn of_answer(
        &self,
        filtered: &Filtered<'_>,
        record: &SampleRecord,
        targets: &Result<Vec<Cow<'_, str>>, String>,
    ) -> Outcome {
        match self {
            Self::Answer(Answer::Exact(exact)) => {
                match targets
                    .as_ref()
                    .map_err(Clone::clone)
                    .and_then(|targets| exact.outcome(filtered, record, targets))
                {
                    Ok(value) => Outcome::Value(value, None),
                    Err(problem) => Outcome::Failed(problem),
                }
            }
            Self::Answer(Answer::Bleu) => match only_text(filtered) {
                Some(text) => Outcome::Parts(json!({ "counts": bleu_counts(text, &record.target) }), None),
                None => Outcome::Failed("BLEU is of one text, and the filters leave something else".to_owned()),
            },
            Self::Answer(Answer::Chrf(words)) => match only_text(filtered) {
                Some(text) => Outcome::Parts(json!({ "counts": chrf_counts(text, &record.target, *words) }), None),
                None => Outcome::Failed("chrF is of one text, and the filters leave something else".to_owned()),
            },
            Self::Native(native, _) => match only_text(filtered) {
                Some(text) => native.of_answer(text, record),
                None => Outcome::Failed("the metric is of one text, and the filters leave something else".to_owned()),
            },
            _ => Outcome::Failed("the metric is of log-likelihoods".to_owned()),
        }
    }
}

/// The one text that filters left.
fn only_text<'f>(filtered: &'f Filtered<'_>) -> Option<&'f str> {
    let item = match filtered {
        Filtered::One(item) => item,
        Filtered::Many(items) if items.len() == 1 => items.first()?,
        Filtered::Many(_) => return None,
    };
    match &item.value {
        Read::Text(text) => Some(text),
        _ => None,
    }
}

fn one(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// The first of the greatest, as `numpy.argmax`.
fn greatest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, value) in values.enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

impl Choice {
    fn outcome(self, record: &SampleRecord) -> Outcome {
        let choices = &record.choices;
        let all = &record.loglikelihoods;
        let failed = |problem: &str| Outcome::Failed(problem.to_owned());
        if choices.is_empty() {
            return failed("the record has no choices");
        }
        if all.len() < choices.len() {
            let (n, of) = (all.len(), choices.len());
            return Outcome::Absent(format!("the record has {n} log-likelihoods for {of} choices"));
        }
        let given = &all[..choices.len()];
        if given.iter().any(|one| one.logprob.is_nan()) {
            return failed("a log-likelihood is not a number");
        }
        let Some(gold) = record.doc.as_ref().and_then(|doc| doc.get("gold")).and_then(Value::as_array) else {
            return failed("the record does not say which choice is right ('gold')");
        };
        // What is out of range is never right.
        let gold: Vec<Option<usize>> = gold
            .iter()
            .map(|index| index.as_u64().map(|i| i as usize).filter(|index| *index < choices.len()))
            .collect();
        let right = |index: Option<usize>| index.is_some() && gold.contains(&index);
        let logprobs = || given.iter().map(|one| one.logprob);
        let of = |index: Option<usize>| index.and_then(|i| choices.get(i)).cloned();
        let best = match self {
            Self::Sum | Self::Greedy | Self::Brier | Self::Pair => greatest(logprobs()),
            Self::Characters => {
                greatest(logprobs().zip(choices).map(|(sum, choice)| sum / choice.chars().count() as f64))
            }
            Self::Bytes => greatest(logprobs().zip(choices).map(|(sum, choice)| sum / choice.len() as f64)),
            Self::MutualInformation => {
                let Some(alone) = all.get(choices.len()..2 * choices.len()) else {
                    return Outcome::Absent("the record has no log-likelihoods of the choices alone".to_owned());
                };
                greatest(logprobs().zip(alone).map(|(sum, alone)| sum - alone.logprob))
            }
        };
        match self {
            Self::Greedy => {
                let mut any = false;
                for index in gold.iter().flatten() {
                    match given[*index].greedy {
                        Some(greedy) => any |= greedy,
                        None => {
                            return Outcome::Absent(
                                "it is not stated whether the tokens were the likeliest".to_owned(),
                            );
                        }
                    }
                }
                Outcome::Value(one(any), of(best))
            }
            Self::Brier | Self::Pair => {
                let [Some(gold)] = gold[..] else {
                    return failed("this metric needs one right choice, within the choices");
                };
                if self == Self::Pair {
                    return Outcome::Parts(json!({ "gold": gold, "predicted": best }), of(best));
                }
                let most = logprobs().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logprobs().map(|logprob| (logprob - most).exp()).sum();
                let distance = logprobs().enumerate().map(|(i, logprob)| {
                    let away = (logprob - most).exp() / sum - one(i == gold);
                    away * away
                });
                Outcome::Value(distance.sum(), of(best))
            }
            _ => Outcome::Value(one(right(best)), of(best)),
        }
    }
}

impl Exact {
    fn new(config: &MetricConfig) -> Result<Self, String> {
        let yes = |key: &str| match config.options.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(yes)) => Ok(*yes),
            Some(other) => Err(format!("the option '{key}' of exact_match is true or false, not {other}")),
        };
        Ok(Self {
            ignore: patterns(config.options.get("regexes_to_ignore"))?,
            case: yes("ignore_case")?,
            punctuation: yes("ignore_punctuation")?,
            numbers: yes("ignore_numbers")?,
        })
    }

    /// A text as it is compared.
    fn cleaned<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.ignore {
            if let Cow::Owned(shorter) = pattern.remove(&text)? {
                text = Cow::Owned(shorter);
            }
        }
        if self.case {
            text = Cow::Owned(text.to_lowercase());
        }
        if self.punctuation || self.numbers {
            let drop =
                |c: &char| (self.punctuation && c.is_ascii_punctuation()) || (self.numbers && c.is_ascii_digit());
            if text.chars().any(|c| drop(&c)) {
                text = Cow::Owned(text.chars().filter(|c| !drop(c)).collect());
            }
        }
        // Arrays of NumPy do not keep zeros at the end of a text.
        let kept = text.trim_end_matches('\0').len();
        if kept < text.len() {
            text = Cow::Owned(text[..kept].to_owned());
        }
        Ok(text)
    }

    /// 1 where the answer is one of the targets. Of a list of answers the share that is.
    fn outcome(&self, filtered: &Filtered<'_>, record: &SampleRecord, targets: &[Cow<'_, str>]) -> Result<f64, String> {
        let items = match filtered {
            Filtered::One(item) => std::slice::from_ref(item),
            Filtered::Many(items) => items.as_slice(),
        };
        if items.is_empty() {
            return Err("the filters leave no answer".to_owned());
        }
        let mut right = 0.0;
        for item in items {
            right += one(match &item.value {
                Read::Text(text) => {
                    let text = self.cleaned(text)?;
                    targets.contains(&text)
                }
                Read::Json(value) => record.target.iter().any(|target| same_json(value, target)),
                Read::Absent => false,
            });
        }
        Ok(right / items.len() as f64)
    }
}

/// Whether a value out of a `map` is the target, which is read as the same type.
fn same_json(value: &Value, target: &str) -> bool {
    match value {
        Value::Number(number) => target.trim().parse::<f64>().ok() == number.as_f64(),
        // Any text but the empty one is true in Python.
        Value::Bool(yes) => *yes != target.is_empty(),
        _ => false,
    }
}

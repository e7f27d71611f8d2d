//! Counterparts of functions in Python that tasks score with (`process_results: !function ...`), by name.

use serde_json::{Value, json};
use weighbridge_core::SampleRecord;

use super::math;
use super::metric::Outcome;

/// A function of a task that is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// `truthfulqa/utils.py: process_results_mc2`: the share of the probability that true answers have.
    TruthfulQaMc2,
    /// `wikitext/preprocess_wikitext.py: process_results`: words and bytes of the page before it was changed.
    Wikitext,
    /// `hendrycks_math/utils.py: process_results`: the answer between dollar signs is the boxed one of the solution.
    HendrycksMath,
}

impl Native {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::TruthfulQaMc2, Self::Wikitext, Self::HendrycksMath];

    /// The name in [`super::Scoring::native`].
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TruthfulQaMc2 => "truthfulqa_mc2",
            Self::Wikitext => "wikitext",
            Self::HendrycksMath => "hendrycks_math",
        }
    }

    /// The one with that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|native| native.as_str() == name)
    }

    /// The metrics that it gives.
    pub(crate) const fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::TruthfulQaMc2 => &["acc"],
            Self::Wikitext => &["word_perplexity", "byte_perplexity", "bits_per_byte"],
            Self::HendrycksMath => &["exact_match"],
        }
    }

    /// What is computed over all samples where the task does not say.
    pub(crate) fn aggregation(self, metric: &str) -> &'static str {
        match self {
            Self::TruthfulQaMc2 | Self::HendrycksMath => "mean",
            Self::Wikitext if metric == "bits_per_byte" => "bits_per_byte",
            Self::Wikitext => "weighted_perplexity",
        }
    }

    /// The outcome from log-likelihoods.
    pub(crate) fn of_likelihoods(self, record: &SampleRecord, metric: &str) -> Outcome {
        match self {
            Self::TruthfulQaMc2 => mc2(record),
            Self::Wikitext => wikitext(record, metric),
            Self::HendrycksMath => Outcome::Failed(format!("{} scores generated texts", self.as_str())),
        }
    }

    /// The outcome from an answer.
    pub(crate) fn of_answer(self, text: &str, record: &SampleRecord) -> Outcome {
        match self {
            Self::HendrycksMath => hendrycks_math(text, record),
            Self::TruthfulQaMc2 | Self::Wikitext => {
                Outcome::Failed(format!("{} scores log-likelihoods, and the task generates", self.as_str()))
            }
        }
    }
}

/// Compares with the boxed answer of `solution`, else with the target.
fn hendrycks_math(text: &str, record: &SampleRecord) -> Outcome {
    let solution = record.doc.as_ref().and_then(|doc| doc.get("solution")).and_then(Value::as_str);
    let boxed = solution.and_then(math::last_boxed).or_else(|| record.target.first().map(String::as_str));
    match boxed {
        Some(boxed) if math::equivalent(math::between_dollars(text), boxed) => Outcome::Value(1.0, None),
        Some(_) => Outcome::Value(0.0, None),
        None => Outcome::Failed("the record has neither a boxed answer in 'solution' nor a target".to_owned()),
    }
}

/// A list of the row of the dataset at a path.
fn list<'r>(record: &'r SampleRecord, pointers: &[&str]) -> Option<&'r Vec<Value>> {
    let doc = record.doc.as_ref()?;
    pointers.iter().find_map(|pointer| doc.pointer(pointer)?.as_array())
}

/// `sum over true answers of exp(ll) / sum over all of exp(ll)`, with `labels` (or `mc2_targets.labels`) of the row.
fn mc2(record: &SampleRecord) -> Outcome {
    let Some(labels) = list(record, &["/mc2_targets/labels", "/labels"]) else {
        return Outcome::Failed("the record does not say which answers are true ('labels')".to_owned());
    };
    if record.loglikelihoods.len() < labels.len() || labels.is_empty() {
        let (n, of) = (record.loglikelihoods.len(), labels.len());
        return Outcome::Absent(format!("the record has {n} log-likelihoods for {of} answers"));
    }
    let given = || record.loglikelihoods.iter().map(|one| one.logprob).zip(labels);
    // A common factor changes no share, and keeps the exponentials within range.
    let most = given().map(|(logprob, _)| logprob).fold(f64::NEG_INFINITY, f64::max);
    let share = |of: &dyn Fn(&Value) -> bool| -> f64 {
        given().filter(|(_, label)| of(label)).map(|(logprob, _)| (logprob - most).exp()).sum()
    };
    let value = share(&|label| label.as_f64() == Some(1.0)) / share(&|_| true);
    if value.is_finite() {
        Outcome::Value(value, None)
    } else {
        Outcome::Failed("the log-likelihoods give no probabilities".to_owned())
    }
}

/// The log-likelihood with the words (split at white space, empty ones at the ends too) or bytes of `page`.
fn wikitext(record: &SampleRecord, metric: &str) -> Outcome {
    let doc = record.doc.as_ref();
    let unit = if metric == "word_perplexity" { "words" } else { "bytes" };
    let page = doc.and_then(|doc| doc.get("page")).and_then(Value::as_str);
    let size = match page {
        Some(page) if unit == "words" => Some(words(page) as f64),
        Some(page) => Some(page.len() as f64),
        None => doc.and_then(|doc| doc.get(unit)).and_then(Value::as_f64),
    };
    match (record.loglikelihoods.first(), size) {
        (None, _) => Outcome::Absent("the record has no log-likelihood".to_owned()),
        (_, None) => Outcome::Failed("the record does not have the page ('page')".to_owned()),
        (Some(first), Some(size)) => Outcome::Parts(json!({ "logprob": first.logprob, "units": size }), None),
    }
}

/// `len(re.split(r"\s+", text))`.
fn words(text: &str) -> usize {
    let mut runs = 0;
    let mut before = false;
    for c in text.chars() {
        let now = super::pattern::is_space(c);
        runs += usize::from(now && !before);
        before = now;
    }
    runs + 1
}

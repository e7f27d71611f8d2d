//! Scorers of our own, one a file.
//!
//! An answer that a scorer cannot read is never simply wrong: it has a state of its own and no value.

mod choice;
mod code;
mod exact;
mod f1;
mod ifeval;
mod includes;
mod matching;
mod numeric;
mod regex;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weighbridge_core::{Finish, SampleRecord, SampleState, Score};

/// Version of what the scorers do, written with every score.
const VERSION: u32 = 1;

/// A scorer with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScorerSpec {
    /// The answer is a target, character by character.
    Exact,
    /// The answer is a target but for case, punctuation, articles and white space.
    Match,
    /// A target stands somewhere in the answer, in any case of letters.
    Includes,
    /// The last number of the answer is a target.
    Numeric {
        /// How far from a target it may be.
        #[serde(default)]
        tolerance: f64,
    },
    /// The answer names a choice that is a target. A target is the letter of a choice, else its text, else its index
    /// from 0.
    Choice,
    /// What a pattern finds first is a target: its group 1, or the whole where it has no group.
    Regex {
        /// The pattern.
        pattern: String,
    },
    /// F1 of the words of the answer against a target.
    F1,
    /// The answer follows every instruction of its row of IFEval.
    Ifeval,
    /// Python in the answer passes the tests of its row, shut in and within limits.
    Code {
        /// Seconds that a program may run.
        #[serde(default = "code_seconds")]
        timeout: f64,
    },
}

const fn code_seconds() -> f64 {
    10.0
}

/// A scorer as help shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScorerHelp {
    /// Name, as in [`Score::name`].
    pub name: &'static str,
    /// How it is written on the command line.
    pub form: &'static str,
    /// What it does.
    pub what: &'static str,
}

const fn help(name: &'static str, form: &'static str, what: &'static str) -> ScorerHelp {
    ScorerHelp { name, form, what }
}

/// Every scorer.
pub const SCORERS: &[ScorerHelp] = &[
    help("exact", "exact", "the answer is a target, character by character"),
    help("match", "match", "the answer is a target but for case, punctuation, articles and white space"),
    help("includes", "includes", "a target stands somewhere in the answer, in any case of letters"),
    help("numeric", "numeric[:tolerance=N]", "the last number of the answer is a target"),
    help("choice", "choice", "the answer names, by its letter or text, a choice that is a target"),
    help("regex", "regex:PATTERN", "what the pattern finds, or its group 1, is a target"),
    help("f1", "f1", "F1 of the words of the answer against a target, as SQuAD has it"),
    help("ifeval", "ifeval", "the answer follows every instruction of its row, as IFEval verifies them"),
    help("code", "code[:timeout=SECONDS]", "Python in the answer passes the tests of its row, shut in by bubblewrap"),
];

impl ScorerSpec {
    /// Reads a scorer as the command line has it: a name, and after a colon its setting.
    ///
    /// # Errors
    /// There is no such scorer, or its setting cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, setting) = match text.split_once(':') {
            Some((name, setting)) => (name.trim(), Some(setting)),
            None => (text.trim(), None),
        };
        let spec = match (name, setting) {
            ("numeric", setting) => {
                Self::Numeric { tolerance: number(setting, "numeric", "tolerance=").unwrap_or(Ok(0.0))? }
            }
            ("code", setting) => {
                Self::Code { timeout: number(setting, "code", "timeout=").unwrap_or(Ok(code_seconds()))? }
            }
            ("regex", Some(pattern)) if !pattern.is_empty() => {
                regex::compile(pattern)?;
                Self::Regex { pattern: pattern.to_owned() }
            }
            ("regex", _) => return Err("the scorer 'regex' needs a pattern: regex:PATTERN".into()),
            ("exact", None) => Self::Exact,
            ("match", None) => Self::Match,
            ("includes", None) => Self::Includes,
            ("choice", None) => Self::Choice,
            ("f1", None) => Self::F1,
            ("ifeval", None) => Self::Ifeval,
            (name, Some(_)) if SCORERS.iter().any(|scorer| scorer.name == name) => {
                return Err(format!("the scorer '{name}' has no setting"));
            }
            _ => {
                let names: Vec<&str> = SCORERS.iter().map(|scorer| scorer.form).collect();
                return Err(format!("there is no scorer '{name}'; there are {}", names.join(", ")));
            }
        };
        Ok(spec)
    }

    /// The name, as in [`SCORERS`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Match => "match",
            Self::Includes => "includes",
            Self::Numeric { .. } => "numeric",
            Self::Choice => "choice",
            Self::Regex { .. } => "regex",
            Self::F1 => "f1",
            Self::Ifeval => "ifeval",
            Self::Code { .. } => "code",
        }
    }
}

/// The number of a setting, where there is one.
fn number(setting: Option<&str>, scorer: &str, mark: &str) -> Option<Result<f64, String>> {
    let setting = setting?;
    let number = setting.strip_prefix(mark).unwrap_or_default().trim().parse::<f64>();
    let usable = number.ok().filter(|number| number.is_finite() && *number >= 0.0);
    Some(usable.ok_or_else(|| format!("'{setting}' is no setting of the scorer '{scorer}'; write {scorer}:{mark}N")))
}

/// A scorer made ready: what it needs is read and compiled once.
#[derive(Debug)]
pub struct Prepared {
    name: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Exact,
    Match,
    Includes,
    Numeric(f64),
    Choice(choice::Rules),
    Regex(fancy_regex::Regex),
    F1,
    Ifeval(Box<ifeval::Ifeval>),
    Code(f64),
}

/// What a scorer says about an answer.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// A value, with the answer as it was read.
    Scored { value: f64, answer: String, explanation: Option<String>, parts: Option<Value> },
    /// No answer could be read out of the text.
    Unread(String),
    /// The sample cannot be scored, whatever the answer is.
    Failed(String),
}

impl Verdict {
    fn scored(value: f64, answer: &str) -> Self {
        Self::Scored { value, answer: answer.to_owned(), explanation: None, parts: None }
    }

    fn right_or_wrong(right: bool, answer: &str) -> Self {
        Self::scored(f64::from(right), answer)
    }
}

impl Kind {
    /// True where the whole answer is looked at, and not what it comes to.
    const fn compares_the_whole(&self) -> bool {
        matches!(self, Self::Exact | Self::Match | Self::Includes)
    }
}

impl Prepared {
    /// Makes a scorer ready.
    ///
    /// # Errors
    /// A setting is wrong: a pattern that cannot be compiled, a tolerance that is no length.
    pub fn new(spec: &ScorerSpec) -> Result<Self, String> {
        let kind = match spec {
            ScorerSpec::Exact => Kind::Exact,
            ScorerSpec::Match => Kind::Match,
            ScorerSpec::Includes => Kind::Includes,
            ScorerSpec::Numeric { tolerance } if tolerance.is_finite() && *tolerance >= 0.0 => {
                Kind::Numeric(*tolerance)
            }
            ScorerSpec::Numeric { tolerance } => return Err(format!("{tolerance} is no tolerance")),
            ScorerSpec::Choice => Kind::Choice(choice::Rules::new()?),
            ScorerSpec::Regex { pattern } => Kind::Regex(regex::compile(pattern)?),
            ScorerSpec::F1 => Kind::F1,
            ScorerSpec::Ifeval => Kind::Ifeval(Box::new(ifeval::Ifeval::new()?)),
            ScorerSpec::Code { timeout } if (0.001..=86_400.0).contains(timeout) => Kind::Code(*timeout),
            ScorerSpec::Code { timeout } => return Err(format!("a program cannot be run for {timeout} s")),
        };
        Ok(Self { name: spec.name(), kind })
    }

    /// The score of one sample.
    #[must_use]
    pub fn score(&self, record: &SampleRecord) -> Score {
        let answer = record.answers.first();
        let finish = answer.and_then(|answer| answer.finish);
        let Some(text) = answer.and_then(|answer| answer.text.as_deref()) else {
            return unscored(self.name, without_answer(record), record.error.clone());
        };
        let verdict = if text.trim().is_empty() {
            Verdict::Unread("the answer is empty".into())
        } else if record.target.is_empty() && self.kind.needs_target() {
            Verdict::Failed("the sample has no target".into())
        } else {
            self.verdict(text, record)
        };
        match verdict {
            // What was cut off may have gone on to the target.
            Verdict::Scored { value: 0.0, .. } if cut_off(finish) && self.kind.compares_the_whole() => {
                unscored(self.name, SampleState::Truncated, Some("cut off before a target came up".into()))
            }
            Verdict::Scored { value, answer, explanation, parts } => Score {
                value: Some(value.clamp(0.0, 1.0)),
                answer: Some(answer),
                parts,
                ..unscored(self.name, SampleState::Scored, explanation)
            },
            Verdict::Unread(why) => unscored(self.name, unread(finish, text, record), Some(why)),
            Verdict::Failed(why) => unscored(self.name, SampleState::HarnessError, Some(why)),
        }
    }

    fn verdict(&self, answer: &str, record: &SampleRecord) -> Verdict {
        let targets = &record.target;
        match &self.kind {
            Kind::Exact => exact::score(answer, targets),
            Kind::Match => matching::score(answer, targets),
            Kind::Includes => includes::score(answer, targets),
            Kind::Numeric(tolerance) => numeric::score(*tolerance, answer, targets),
            Kind::Choice(rules) => rules.score(answer, &record.choices, targets),
            Kind::Regex(pattern) => regex::score(pattern, answer, targets),
            Kind::F1 => f1::score(answer, targets),
            Kind::Ifeval(ifeval) => ifeval.score(answer, record),
            Kind::Code(seconds) => code::score(*seconds, answer, record),
        }
    }
}

impl Kind {
    const fn needs_target(&self) -> bool {
        match self {
            Self::Exact
            | Self::Match
            | Self::Includes
            | Self::Numeric(_)
            | Self::Choice(_)
            | Self::Regex(_)
            | Self::F1 => true,
            Self::Ifeval(_) | Self::Code(_) => false,
        }
    }
}

/// The state of a sample to which there is no answer.
const fn without_answer(record: &SampleRecord) -> SampleState {
    match record.state {
        SampleState::ProviderError | SampleState::Refused | SampleState::Truncated => record.state,
        _ => SampleState::Missing,
    }
}

/// Whether an answer ended because there was no room for more.
const fn cut_off(finish: Option<Finish>) -> bool {
    matches!(finish, Some(Finish::MaxTokens | Finish::ContextFull))
}

/// The state of a sample whose answer cannot be read.
fn unread(finish: Option<Finish>, text: &str, record: &SampleRecord) -> SampleState {
    match finish {
        _ if cut_off(finish) => SampleState::Truncated,
        Some(Finish::Refused | Finish::Filtered) => SampleState::Refused,
        _ if text.trim().is_empty() && without_answer(record) != SampleState::Missing => record.state,
        _ => SampleState::WrongFormat,
    }
}

fn unscored(name: &str, state: SampleState, explanation: Option<String>) -> Score {
    Score {
        explanation: explanation.map(|text| text::short(&text)),
        version: Some(VERSION),
        ..Score::new(name.to_owned(), state)
    }
}

/// The score of one sample, by a scorer that is made ready for it alone. Where there are many, [`Prepared`] is faster.
#[must_use]
pub fn score(spec: &ScorerSpec, record: &SampleRecord) -> Score {
    match Prepared::new(spec) {
        Ok(scorer) => scorer.score(record),
        Err(why) => unscored(spec.name(), SampleState::HarnessError, Some(why)),
    }
}

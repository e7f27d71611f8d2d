//! Instructions that can be verified, as IFEval has them: 25 kinds, each decided from the answer alone.
//!
//! The value of a sample is 1 where the answer follows every instruction of its row, strictly. `parts` has the other
//! three numbers: loosely, and instruction by instruction. Loosely, an answer may also follow one without its first
//! line, its last line or its asterisks.

mod check;
mod language;
mod punkt;
mod words;

use fancy_regex::Regex;
use serde_json::{Map, Value, json};
use weighbridge_core::SampleRecord;

use self::punkt::Punkt;
use self::words::Words;
use super::Verdict;

/// What the checks share.
#[derive(Debug)]
pub(super) struct Ifeval {
    punkt: Punkt,
    words: Words,
    word: Regex,
    highlight: Regex,
    double_highlight: Regex,
    star_bullet: Regex,
    dash_bullet: Regex,
    divider: Regex,
    placeholder: Regex,
    title: Regex,
}

impl Ifeval {
    pub(super) fn new() -> Result<Self, String> {
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| format!("the pattern '{pattern}': {error}"));
        Ok(Self {
            punkt: Punkt::new()?,
            words: Words::new()?,
            word: compile(r"\w+")?,
            highlight: compile(r"\*[^\n*]*\*")?,
            double_highlight: compile(r"\*\*[^\n*]*\*\*")?,
            star_bullet: compile(r"(?m)^\s*\*[^*].*$")?,
            dash_bullet: compile(r"(?m)^\s*-.*$")?,
            divider: compile(r"\s?\*\*\*\s?")?,
            placeholder: compile(r"\[.*?\]")?,
            title: compile(r"<<[^\n]+>>")?,
        })
    }

    pub(super) fn score(&self, answer: &str, record: &SampleRecord) -> Verdict {
        match self.follow(answer, record.doc.as_ref()) {
            Ok((strict, loose)) => {
                let all = |followed: &[bool]| followed.iter().all(|followed| *followed);
                let count = strict.iter().filter(|followed| **followed).count();
                Verdict::Scored {
                    value: f64::from(all(&strict)),
                    answer: answer.to_owned(),
                    explanation: Some(format!("follows {count} of {} instructions", strict.len())),
                    parts: Some(json!({
                        "prompt_level_strict_acc": all(&strict),
                        "inst_level_strict_acc": strict,
                        "prompt_level_loose_acc": all(&loose),
                        "inst_level_loose_acc": loose,
                    })),
                }
            }
            Err(why) => Verdict::Failed(why),
        }
    }

    /// Which instructions an answer follows, strictly and loosely.
    fn follow(&self, answer: &str, doc: Option<&Value>) -> Result<(Vec<bool>, Vec<bool>), String> {
        let field = |name: &str| doc.and_then(|doc| doc.get(name));
        let kinds = field("instruction_id_list").and_then(Value::as_array).filter(|kinds| !kinds.is_empty());
        let kinds = kinds.ok_or("the row has no 'instruction_id_list'")?;
        let settings = field("kwargs").and_then(Value::as_array).ok_or("the row has no 'kwargs'")?;
        let forms = loose_forms(answer);
        let (mut strict, mut loose) = (Vec::new(), Vec::new());
        let nothing = Map::new();
        for (i, kind) in kinds.iter().enumerate() {
            let kind = kind.as_str().ok_or("an instruction of the row is no text")?;
            let settings = settings.get(i).and_then(Value::as_object).unwrap_or(&nothing);
            let check = |text: &str| {
                if text.trim().is_empty() { Ok(false) } else { self.check(kind, settings, text) }
            };
            let followed = check(answer)?;
            strict.push(followed);
            let mut any = followed;
            for form in forms.iter().filter(|form| *form != answer) {
                any = any || check(form)?;
            }
            loose.push(any);
        }
        Ok((strict, loose))
    }
}

/// The forms of an answer of which one may follow an instruction.
fn loose_forms(answer: &str) -> Vec<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let part = |from: usize, to: usize| lines.get(from..to).unwrap_or_default().join("\n").trim().to_owned();
    let last = lines.len() - 1;
    let mut forms = vec![answer.to_owned(), part(1, last + 1), part(0, last), part(1, last)];
    forms.extend(forms.clone().iter().map(|form| form.replace('*', "")));
    forms
}

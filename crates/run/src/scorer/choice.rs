//! Which of the choices an answer names, by a chain of rules.
//!
//! The first rule that finds anything decides. Where it finds two choices the answer is not read, for which of them
//! the model meant is not for a scorer to say.

use std::collections::BTreeSet;

use fancy_regex::Regex;

use super::{Verdict, text};

/// The rules that look for a letter, in their order, each with what it looks for. The text of a choice is looked for
/// before the last of them.
const RULES: [(&str, &str); 4] = [
    (
        "answer is (X)",
        r"(?i:\banswer\s+is)\s*:?\s*(?:(?i:option|choice)\s+)?[*_$\s]*(?:\\(?:boxed|text|mathrm|mathbf)\{)*(?:\(([A-Za-z])\)|([A-Z])(?![\w']))",
    ),
    (
        "Answer: X",
        r"(?i:\banswer)[*_\s]*[:：][*_$\s]*(?:(?i:option|choice)\s+)?[*_$\s]*(?:\\(?:boxed|text|mathrm|mathbf)\{)*(?:\(([A-Za-z])\)|([A-Z])(?![\w']))",
    ),
    (
        "(X) or **X**",
        r"\(([A-Z])\)|\*\*([A-Z])[.:)]?\*\*|\*\*([A-Z])[.:)]\s[^*\n]*\*\*|\\boxed\{(?:\\(?:text|mathrm|mathbf)\{)?([A-Z])\}",
    ),
    ("last letter", r"(?<![\w'])([A-Z])[^\w]*\z"),
];

/// The rules, compiled.
#[derive(Debug)]
pub(super) struct Rules(Vec<(&'static str, Regex)>);

impl Rules {
    pub(super) fn new() -> Result<Self, String> {
        let compile = |(name, pattern): (&'static str, &str)| {
            Ok((name, Regex::new(pattern).map_err(|error| format!("the rule '{name}': {error}"))?))
        };
        RULES.into_iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    pub(super) fn score(&self, answer: &str, choices: &[String], targets: &[String]) -> Verdict {
        let right: BTreeSet<usize> = targets.iter().filter_map(|target| target_index(target, choices)).collect();
        if right.is_empty() {
            return Verdict::Failed("the target of the sample is none of its choices".into());
        }
        match self.read(answer, choices) {
            Ok((read, rule)) => Verdict::Scored {
                value: f64::from(right.contains(&read)),
                answer: letter(read),
                explanation: Some(format!("read by the rule '{rule}'")),
                parts: None,
            },
            Err(why) => Verdict::Unread(why),
        }
    }

    /// The choice that an answer names, with the rule that found it.
    fn read(&self, answer: &str, choices: &[String]) -> Result<(usize, &'static str), String> {
        let answer = answer.trim();
        let mut unclear = None;
        for (at, (name, pattern)) in self.0.iter().enumerate() {
            // `a` alone or `(b)` alone is an answer in small letters.
            if at == 2
                && let Some(index) = lone_letter(answer, choices)
            {
                return Ok((index, "the letter alone"));
            }
            if at == 3
                && let Some(index) = choice_text(answer, choices)?
            {
                return Ok((index, "text of a choice"));
            }
            // After letters that contradict each other only one that stands alone in the last line counts.
            let read_in = match &unclear {
                Some(_) => answer.lines().next_back().filter(|line| is_lone(line)).unwrap_or_default(),
                None => answer,
            };
            let found = letters(pattern, read_in, choices)?;
            let mut found = found.into_iter();
            match (found.next(), found.next()) {
                (Some(index), None) => return Ok((index, name)),
                (Some(a), Some(b)) => {
                    let said = format!("the rule '{name}' finds {} and {}", letter(a), letter(b));
                    // Two answers stated outright contradict each other; letters marked on the way may be talk of the
                    // choices, after which the answer stands last.
                    if at < 2 {
                        return Err(said);
                    }
                    unclear = Some(said);
                }
                _ => {}
            }
        }
        Err(unclear.unwrap_or_else(|| "no choice is named in the answer".into()))
    }
}

fn letters(pattern: &Regex, answer: &str, choices: &[String]) -> Result<BTreeSet<usize>, String> {
    let mut found = BTreeSet::new();
    for captures in pattern.captures_iter(answer) {
        let captures = captures.map_err(|error| format!("a rule could not be searched for: {error}"))?;
        let group = captures.iter().skip(1).flatten().next();
        found.extend(group.and_then(|group| letter_index(group.as_str(), choices)));
    }
    Ok(found)
}

/// The index of a letter, where there is such a choice. Without choices any letter stands for one.
fn letter_index(text: &str, choices: &[String]) -> Option<usize> {
    let mut chars = text.chars();
    let (Some(c), None) = (chars.next(), chars.next()) else { return None };
    let index = c.is_ascii_alphabetic().then(|| usize::from(c.to_ascii_uppercase() as u8 - b'A'))?;
    (choices.is_empty() || index < choices.len()).then_some(index)
}

fn letter(index: usize) -> String {
    u8::try_from(index).ok().filter(|i| *i < 26).map_or_else(|| index.to_string(), |i| char::from(b'A' + i).to_string())
}

/// What a target stands for: the letter of a choice, else its text, else its index from 0.
fn target_index(target: &str, choices: &[String]) -> Option<usize> {
    let target = target.trim();
    let bare = target.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(target);
    letter_index(bare, choices)
        .or_else(|| choices.iter().position(|choice| choice.trim() == target))
        .or_else(|| target.parse().ok().filter(|index| *index < choices.len()))
        .or_else(|| (!target.is_empty()).then(|| choices.iter().position(|choice| text::same(choice, target)))?)
}

/// The letter where the answer is nothing but a letter, or a letter and the text of its choice.
fn lone_letter(answer: &str, choices: &[String]) -> Option<usize> {
    let bare = answer.trim_matches(|c: char| !c.is_alphanumeric());
    if let Some(index) = letter_index(bare, choices) {
        return Some(index);
    }
    let line = answer.lines().next()?.trim_start_matches(['(', '*', ' ']);
    let mut chars = line.chars();
    let first = chars.next().filter(char::is_ascii_uppercase)?;
    let rest = chars.as_str().trim_start_matches('*');
    let rest = rest.strip_prefix(['.', ')', ':'])?;
    let index = letter_index(first.encode_utf8(&mut [0; 4]), choices)?;
    let says_text = choices.get(index).is_some_and(|choice| text::same(choice, rest));
    (says_text || answer.lines().count() == 1 && rest.starts_with([' ', '*']) && one_letter_only(rest, choices))
        .then_some(index)
}

fn is_lone(line: &str) -> bool {
    line.chars().filter(|c| c.is_alphanumeric()).count() == 1
}

/// Whether no further lettered choice begins in what follows.
fn one_letter_only(rest: &str, choices: &[String]) -> bool {
    let words: Vec<&str> = rest.split_whitespace().collect();
    !words.iter().any(|word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.len() > bare.len() && bare.chars().all(|c| c.is_ascii_uppercase()) && letter_index(bare, choices).is_some()
    })
}

/// The choice whose text is the answer, its last line, or what follows "answer is" or "Answer:" in its last line.
fn choice_text(answer: &str, choices: &[String]) -> Result<Option<usize>, String> {
    let last = answer.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let lower = last.to_ascii_lowercase();
    let after =
        ["answer is", "answer:"].into_iter().filter_map(|mark| lower.rfind(mark).map(|at| at + mark.len())).max();
    let candidates = [Some(answer), Some(last), after.and_then(|at| last.get(at..))];
    for candidate in candidates.into_iter().flatten().filter(|candidate| !candidate.trim().is_empty()) {
        let mut same = (0..choices.len()).filter(|i| text::same(&choices[*i], candidate));
        match (same.next(), same.next()) {
            (Some(index), None) => return Ok(Some(index)),
            (Some(a), Some(b)) => {
                return Err(format!("the answer is the text of both {} and {}", letter(a), letter(b)));
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Vec<String> {
        ["Paris", "London", "the moon", "Rome and Paris"].map(String::from).to_vec()
    }

    #[test]
    fn answers_and_the_rule_that_reads_them() {
        let rules = Rules::new().expect("rules");
        let check = |answer: &str, expect: Option<(&str, &str)>| {
            let read = rules.read(answer, &four()).ok().map(|(index, rule)| (letter(index), rule));
            assert_eq!(read, expect.map(|(l, rule)| (l.to_owned(), rule)), "{answer}");
        };
        check("The answer is (B).", Some(("B", "answer is (X)")));
        check("the answer is (b)", Some(("B", "answer is (X)")));
        check("The answer is: **C**", Some(("C", "answer is (X)")));
        check("The correct answer is option D, since", Some(("D", "answer is (X)")));
        check("The answer is $\\boxed{A}$", Some(("A", "answer is (X)")));
        check("(A) is wrong.\nAnswer: B", Some(("B", "Answer: X")));
        check("**Answer:** C", Some(("C", "Answer: X")));
        check("Answer: (d)", Some(("D", "Answer: X")));
        check("I choose (C) here", Some(("C", "(X) or **X**")));
        check("It must be **B**", Some(("B", "(X) or **X**")));
        check("So **B. London** it is", Some(("B", "(X) or **X**")));
        check("\\boxed{\\text{D}}", Some(("D", "(X) or **X**")));
        check("B", Some(("B", "the letter alone")));
        check("b", Some(("B", "the letter alone")));
        check("(b)", Some(("B", "the letter alone")));
        check(" B. ", Some(("B", "the letter alone")));
        check("B. London", Some(("B", "the letter alone")));
        check("B) because it rains there", Some(("B", "the letter alone")));
        check("I would go with B.", Some(("B", "last letter")));
        check("(A) is wrong, (B) is right\nB", Some(("B", "last letter")));
        check("London", Some(("B", "text of a choice")));
        check("The answer is the moon.", Some(("C", "text of a choice")));
        check("He lives there.\nRome and Paris.", Some(("D", "text of a choice")));
        check("The answer is (A). No, the answer is (B).", None);
        check("Answer: A\nAnswer: B", None);
        check("(A) or (B)", None);
        check("A. Paris B. London", None);
        check("The answer is (E).", None);
        check("The answer is a town.", None);
        check("I do not know.", None);
        check("Paris or London", None);
    }

    #[test]
    fn targets() {
        let check = |target: &str, choices: &[&str], expect: Option<usize>| {
            let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
            assert_eq!(target_index(target, &choices), expect, "{target}");
        };
        check("B", &["x", "y"], Some(1));
        check("(B)", &["x", "y"], Some(1));
        check("b", &["x", "y"], Some(1));
        check("y", &["x", "y"], Some(1));
        check("1", &["x", "y"], Some(1));
        check("1", &["1", "2"], Some(0));
        check("2", &["x", "y"], None);
        check("C", &["x", "y"], None);
        check("Why", &["ex", "why"], Some(1));
        check("C", &[], Some(2));
    }
}

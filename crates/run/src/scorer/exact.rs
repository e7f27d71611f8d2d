//! The answer is a target, character by character.

use super::Verdict;

pub(super) fn score(answer: &str, targets: &[String]) -> Verdict {
    Verdict::right_or_wrong(targets.iter().any(|target| target == answer), answer)
}

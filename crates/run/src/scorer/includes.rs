//! A target stands somewhere in the answer, in any case of letters.

use super::Verdict;

pub(super) fn score(answer: &str, targets: &[String]) -> Verdict {
    let lower = answer.to_lowercase();
    let found = targets.iter().map(|target| target.trim()).find(|target| {
        let target = target.to_lowercase();
        !target.is_empty() && lower.contains(&target)
    });
    match found {
        Some(target) => Verdict::scored(1.0, target),
        None => Verdict::scored(0.0, answer.trim()),
    }
}

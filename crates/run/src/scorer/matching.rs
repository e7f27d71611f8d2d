//! The answer is a target but for case, punctuation, articles and white space.

use super::{Verdict, text};

pub(super) fn score(answer: &str, targets: &[String]) -> Verdict {
    Verdict::right_or_wrong(targets.iter().any(|target| text::same(target, answer)), answer.trim())
}

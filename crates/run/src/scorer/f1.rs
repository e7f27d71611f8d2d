//! F1 of the words of the answer, as SQuAD has it; of several targets the one that fits best.

use std::collections::BTreeMap;

use super::{Verdict, text};

pub(super) fn score(answer: &str, targets: &[String]) -> Verdict {
    let answer = text::normal(answer);
    let best = targets.iter().map(|target| f1(&answer, &text::normal(target))).fold(0.0, f64::max);
    Verdict::scored(best, &answer)
}

fn f1(answer: &str, target: &str) -> f64 {
    let answer: Vec<&str> = answer.split(' ').filter(|word| !word.is_empty()).collect();
    let target: Vec<&str> = target.split(' ').filter(|word| !word.is_empty()).collect();
    if answer.is_empty() || target.is_empty() {
        return f64::from(answer.len() == target.len());
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for word in &target {
        *left.entry(word).or_default() += 1;
    }
    let mut shared = 0_usize;
    for word in &answer {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    if shared == 0 {
        return 0.0;
    }
    let precision = shared as f64 / answer.len() as f64;
    let recall = shared as f64 / target.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

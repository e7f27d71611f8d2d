//! BLEU and chrF as sacrebleu computes them with its defaults.
//!
//! BLEU: Papineni et al. (2002), orders 1 to 4, tokens of mteval-v13a, exponential smoothing, no effective order, the
//! closest length of a reference. chrF: Popović (2015), characters of orders 1 to 6 without white space, beta 2, and with
//! words of orders 1 and 2 for chrF++ (2017). A sample gives counts; a corpus is scored from their sums.
//! Reference: sacrebleu 2.6.0, `metrics/bleu.py`, `metrics/chrf.py`, `tokenizers/tokenizer_13a.py` (behaviour).

use std::collections::HashMap;
use std::hash::Hash;

use super::pattern::is_space;

/// Longest n-gram of BLEU.
const BLEU_ORDER: usize = 4;
/// Longest n-gram of characters of chrF.
const CHARACTER_ORDER: usize = 6;
/// Weight of recall over precision in chrF.
const BETA: f64 = 2.0;

/// How often each item stands in a list.
fn count<T: Hash + Eq>(items: impl Iterator<Item = T>) -> HashMap<T, u64> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_insert(0) += 1;
    }
    counts
}

/// What BLEU needs of one sample: lengths of the answer and of the closest reference, then matched n-grams of orders 1 to 4,
/// then those of the answer.
pub(crate) fn bleu_counts(answer: &str, references: &[String]) -> Vec<u64> {
    let answer = tokens_13a(answer);
    let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
    let references: Vec<Vec<String>> = references.iter().map(|text| tokens_13a(text)).collect();
    let closest = references.iter().map(Vec::len).min_by_key(|length| (length.abs_diff(answer.len()), *length));
    let mut matched = vec![0; BLEU_ORDER];
    let mut total = vec![0; BLEU_ORDER];
    for order in 1..=BLEU_ORDER {
        let mut best: HashMap<Vec<&str>, u64> = HashMap::new();
        for reference in &references {
            let words: Vec<&str> = reference.iter().map(String::as_str).collect();
            for (ngram, n) in count(words.windows(order)) {
                let most = best.entry(ngram.to_vec()).or_insert(0);
                *most = n.max(*most);
            }
        }
        for (ngram, n) in count(answer.windows(order)) {
            total[order - 1] += n;
            matched[order - 1] += n.min(best.get(ngram).copied().unwrap_or(0));
        }
    }
    let mut counts = vec![answer.len() as u64, closest.unwrap_or(0) as u64];
    counts.append(&mut matched);
    counts.append(&mut total);
    counts
}

/// BLEU, from 0 to 100, out of summed [`bleu_counts`].
pub(crate) fn bleu(counts: &[f64]) -> Option<f64> {
    let (lengths, ngrams) = counts.split_at_checked(2)?;
    let (matched, total) = ngrams.split_at_checked(BLEU_ORDER)?;
    if total.len() != BLEU_ORDER {
        return None;
    }
    if matched.iter().all(|n| *n == 0.0) {
        return Some(0.0);
    }
    let (answer, reference) = (lengths[0], lengths[1]);
    let brevity = match answer {
        _ if answer >= reference => 1.0,
        0.0 => 0.0,
        _ => (1.0 - reference / answer).exp(),
    };
    let mut smoothed = 1.0;
    let mut sum = 0.0;
    let mut ended = false;
    for (matched, total) in matched.iter().zip(total) {
        ended |= *total == 0.0;
        let precision = if ended {
            0.0
        } else if *matched == 0.0 {
            smoothed *= 2.0;
            100.0 / (smoothed * total)
        } else {
            100.0 * matched / total
        };
        // The logarithm of nothing is a very low number there.
        sum += if precision == 0.0 { -9_999_999_999.0 } else { precision.ln() };
    }
    Some(brevity * (sum / BLEU_ORDER as f64).exp())
}

/// Tokens of mteval-v13a.
fn tokens_13a(text: &str) -> Vec<String> {
    let text = text.trim_end_matches(is_space).replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut chars: Vec<char> = Vec::with_capacity(text.len() * 2);
    for c in std::iter::once(' ').chain(text.chars()).chain(std::iter::once(' ')) {
        if matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/') {
            chars.extend([' ', c, ' ']);
        } else {
            chars.push(c);
        }
    }
    let stop = |c: char| c == '.' || c == ',';
    // A period or comma is apart unless a digit stands before it, then unless one stands after it; a dash after a digit.
    chars = pairs(&chars, |a, b| !a.is_ascii_digit() && stop(b), |a, b| [a, ' ', b, ' ']);
    chars = pairs(&chars, |a, b| stop(a) && !b.is_ascii_digit(), |a, b| [' ', a, ' ', b]);
    chars = pairs(&chars, |a, b| a.is_ascii_digit() && b == '-', |a, b| [a, ' ', b, ' ']);
    let text: String = chars.into_iter().collect();
    text.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// Replaces pairs of characters from left to right, without overlap.
fn pairs(chars: &[char], of: impl Fn(char, char) -> bool, by: impl Fn(char, char) -> [char; 4]) -> Vec<char> {
    let mut out = Vec::with_capacity(chars.len() * 2);
    let mut at = 0;
    while at < chars.len() {
        match chars.get(at + 1) {
            Some(next) if of(chars[at], *next) => {
                out.extend(by(chars[at], *next));
                at += 2;
            }
            _ => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// What chrF needs of one sample: for each order the n-grams of the answer, of the reference, and matched; of several
/// references those of the best one. `word_order` is 0 for chrF and 2 for chrF++.
pub(crate) fn chrf_counts(answer: &str, references: &[String], word_order: usize) -> Vec<u64> {
    let answer_text: Vec<char> = answer.chars().filter(|c| !is_space(*c)).collect();
    let answer_words = chrf_words(answer);
    let mut best: Option<(f64, Vec<u64>)> = None;
    for reference in references {
        let text: Vec<char> = reference.chars().filter(|c| !is_space(*c)).collect();
        let words = chrf_words(reference);
        let mut counts = Vec::with_capacity(3 * (CHARACTER_ORDER + word_order));
        for order in 1..=CHARACTER_ORDER {
            counts.extend(matches(&count(answer_text.windows(order)), &count(text.windows(order))));
        }
        for order in 1..=word_order {
            counts.extend(matches(&count(answer_words.windows(order)), &count(words.windows(order))));
        }
        let score = chrf(&counts.iter().map(|n| *n as f64).collect::<Vec<_>>()).unwrap_or(0.0);
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, counts));
        }
    }
    best.map_or_else(|| vec![0; 3 * (CHARACTER_ORDER + word_order)], |(_, counts)| counts)
}

fn matches<T: Hash + Eq>(answer: &HashMap<T, u64>, reference: &HashMap<T, u64>) -> [u64; 3] {
    let matched = answer.iter().map(|(ngram, n)| *n.min(reference.get(ngram).unwrap_or(&0))).sum();
    // An order that the reference has no n-gram of does not count.
    let of_answer = if reference.is_empty() { 0 } else { answer.values().sum() };
    [of_answer, reference.values().sum(), matched]
}

/// Words, with one mark of punctuation at the end or the beginning apart.
fn chrf_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let (first, last) = (word.chars().next(), word.chars().next_back());
        if word.chars().nth(1).is_none() {
            words.push(word);
        } else if last.is_some_and(|c| c.is_ascii_punctuation()) {
            let (head, mark) = word.split_at(word.len() - 1);
            words.extend([head, mark]);
        } else if first.is_some_and(|c| c.is_ascii_punctuation()) {
            let (mark, tail) = word.split_at(1);
            words.extend([mark, tail]);
        } else {
            words.push(word);
        }
    }
    words
}

/// chrF, from 0 to 100, out of summed [`chrf_counts`]: F of the precision and recall averaged over the orders that both
/// sides have.
pub(crate) fn chrf(counts: &[f64]) -> Option<f64> {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    let (each, rest) = counts.as_chunks::<3>();
    if each.is_empty() || !rest.is_empty() {
        return None;
    }
    for [answer, reference, matched] in each {
        if *answer > 0.0 && *reference > 0.0 {
            precision += matched / answer;
            recall += matched / reference;
            orders += 1.0;
        }
    }
    if orders == 0.0 || precision + recall == 0.0 {
        return Some(0.0);
    }
    let (precision, recall) = (precision / orders, recall / orders);
    let factor = BETA * BETA;
    Some(100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall))
}

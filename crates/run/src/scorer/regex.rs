//! What a pattern finds first in the answer is a target: its group 1, or the whole where it has no group.

use fancy_regex::Regex;

use super::Verdict;

pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("the pattern of the scorer 'regex' cannot be read: {error}"))
}

pub(super) fn score(pattern: &Regex, answer: &str, targets: &[String]) -> Verdict {
    let found = match pattern.captures(answer) {
        Ok(found) => found,
        Err(error) => return Verdict::Failed(format!("the pattern could not be searched for: {error}")),
    };
    // A group that took no part in the match has read nothing.
    let read = found.and_then(|found| found.get(usize::from(found.len() > 1)).map(|part| part.as_str().trim()));
    match read {
        Some(read) => Verdict::right_or_wrong(targets.iter().any(|target| target.trim() == read), read),
        None => Verdict::Unread("the pattern is not in the answer".into()),
    }
}

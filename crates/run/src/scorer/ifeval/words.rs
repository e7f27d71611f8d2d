//! Words of English as the Penn Treebank has them, as far as their case of letters is asked for.

use fancy_regex::Regex;

/// What is replaced, in this order, each with what. A space is added at both ends before the rule that is empty.
const RULES: &[(&str, &str)] = &[
    (r"([«“‘„]|`+)", " ${1} "),
    (r#"\A""#, "``"),
    (r"(``)", " ${1} "),
    (r#"([ (\[{<])("|'{2})"#, "${1} `` "),
    (r"(?i)(?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "${1} "),
    (r#"([^.])(\.)([\])}>"'»”’ ]*+)\s*\z"#, "${1} ${2} ${3} "),
    (r"([:,])([^\d])", " ${1} ${2}"),
    (r"([:,])\z", " ${1} "),
    (r"(\.{2,})", " ${1} "),
    (r"([;@#$%&])", " ${1} "),
    (r"([\u{2012}-\u{2015}])", " ${1} "),
    (r#"([^.])(\.)([\])}>"']*)\s*\z"#, "${1} ${2}${3} "),
    (r"([?!])", " ${1} "),
    (r"([^'])' ", "${1} ' "),
    (r"([*])", " ${1} "),
    (r"([\]\[(){}<>])", " ${1} "),
    (r"--", " -- "),
    ("", ""),
    (r"([»”’])", " ${1} "),
    (r"''", " '' "),
    (r#"""#, " '' "),
    (r"\s+", " "),
    (r"([^' ])('[sS]|'[mM]|'[dD]|') ", "${1} ${2} "),
    (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "${1} ${2} "),
    (r"(?i)\b(can)(not)\b", " ${1} ${2} "),
    (r"(?i)\b(d)('ye)\b", " ${1} ${2} "),
    (r"(?i)\b(gim|lem)(me)\b", " ${1} ${2} "),
    (r"(?i)\b(gon)(na)\b", " ${1} ${2} "),
    (r"(?i)\b(got)(ta)\b", " ${1} ${2} "),
    (r"(?i)\b(more)('n)\b", " ${1} ${2} "),
    (r"(?i)\b(wan)(na)(?=\s)", " ${1} ${2} "),
    (r"(?i) ('t)(is)\b", " ${1} ${2} "),
    (r"(?i) ('t)(was)\b", " ${1} ${2} "),
];

/// The rules, compiled.
#[derive(Debug)]
pub(super) struct Words(Vec<(Option<Regex>, &'static str)>);

impl Words {
    pub(super) fn new() -> Result<Self, String> {
        let compile = |&(pattern, with): &(&str, &'static str)| {
            let regex = (!pattern.is_empty()).then(|| Regex::new(pattern)).transpose();
            Ok((regex.map_err(|error| format!("words: {error}"))?, with))
        };
        RULES.iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    /// How many words of a sentence are in capitals.
    pub(super) fn capitals(&self, sentence: &str) -> Result<usize, String> {
        let mut text = sentence.to_owned();
        for (regex, with) in &self.0 {
            text = match regex {
                Some(regex) => {
                    regex.try_replacen(&text, 0, *with).map_err(|error| format!("words: {error}"))?.into_owned()
                }
                None => format!(" {text} "),
            };
        }
        Ok(text.split_whitespace().filter(|word| is_upper(word)).count())
    }
}

/// Whether a text has letters with a case, all of them capitals.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Whether a text has letters with a case, all of them small.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

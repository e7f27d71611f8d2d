//! Where sentences of English end, by the algorithm of Kiss and Strunk (2006) with their model.

use std::collections::{HashMap, HashSet};

use fancy_regex::Regex;

/// The model, with its source and form.
const MODEL: &str = include_str!("punkt_english.txt");

const NON_WORD: &str = r#"[)";}\]*:@'({\[‘’“”«»?!]"#;
const MULTI: &str = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)";

/// What finding sentences needs.
#[derive(Debug)]
pub(super) struct Punkt {
    abbreviations: HashSet<&'static str>,
    starters: HashSet<&'static str>,
    collocations: HashSet<(&'static str, &'static str)>,
    /// Words that were seen in lower case, with how else.
    words: HashMap<&'static str, u8>,
    end: Regex,
    word: Regex,
    closing: Regex,
    number: Regex,
}

#[derive(Debug)]
struct Token<'a> {
    text: &'a str,
    /// In lower case, numbers all the same.
    kind: String,
    abbreviation: bool,
    ellipsis: bool,
    ends: bool,
}

impl Token<'_> {
    fn without_period(&self) -> &str {
        self.kind.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(&self.kind)
    }

    fn without_end(&self) -> &str {
        if self.ends { self.without_period() } else { &self.kind }
    }

    fn is_initial(&self) -> bool {
        let mut chars = self.text.chars();
        let letter = chars.next().is_some_and(|c| (c.is_alphanumeric() && !c.is_numeric()) || c == '_');
        letter && chars.as_str() == "."
    }

    fn is_upper(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }

    fn is_lower(&self) -> bool {
        self.text.starts_with(char::is_lowercase)
    }
}

impl Punkt {
    pub(super) fn new() -> Result<Self, String> {
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| format!("sentences: {error}"));
        let mut punkt = Self {
            abbreviations: HashSet::new(),
            starters: HashSet::new(),
            collocations: HashSet::new(),
            words: HashMap::new(),
            end: compile(&format!(r"[.?!](?=(?P<after>{NON_WORD}|\s+(?P<next>\S+)))"))?,
            word: compile(&format!(
                "{MULTI}|(?=[^(\"`{{\\[:;&#*@)}}\\]\\-,])\\S+?(?=\\s|\\z|{NON_WORD}|{MULTI}|,(?=\\z|\\s|{NON_WORD}|{MULTI}))|\\S"
            ))?,
            closing: compile(r#"(?m)\A["')\]}‘’“”«»]+?(?:\s+|(?=--)|$)"#)?,
            number: compile(r"^-?[.,]?\d[\d,.-]*\.?$")?,
        };
        for line in MODEL.lines().filter(|line| !line.starts_with('#')) {
            let (mark, word) = line.split_at(1);
            match (mark, word.split_once('\t')) {
                ("a", _) => _ = punkt.abbreviations.insert(word),
                ("s", _) => _ = punkt.starters.insert(word),
                ("c", Some(pair)) => _ = punkt.collocations.insert(pair),
                _ => _ = punkt.words.insert(word, mark.parse().unwrap_or(0)),
            }
        }
        Ok(punkt)
    }

    /// The sentences of a text.
    pub(super) fn sentences<'t>(&self, text: &'t str) -> Result<Vec<&'t str>, String> {
        self.split(text).map_err(|error| format!("sentences could not be found: {error}"))
    }

    fn split<'t>(&self, text: &'t str) -> Result<Vec<&'t str>, fancy_regex::Error> {
        let mut slices = Vec::new();
        let mut from = 0;
        for (end, next, context) in self.candidates(text)? {
            if self.holds_end(&context)? {
                slices.push((from, end));
                from = next.unwrap_or(end);
            }
        }
        slices.push((from, text.trim_end().len().max(from)));
        // What closes a quote or bracket belongs to the sentence before it.
        let mut sentences = Vec::new();
        let mut moved = 0;
        for (i, &(start, end)) in slices.iter().enumerate() {
            let start = (start + moved).min(text.len());
            let Some(&(next_start, next_end)) = slices.get(i + 1) else {
                sentences.push((start, end));
                break;
            };
            if let Some(found) = self.closing.find(&text[next_start..next_end])? {
                sentences.push((start, next_start + found.as_str().trim_end().len()));
                moved = found.end();
            } else {
                moved = 0;
                sentences.push((start, end));
            }
        }
        Ok(sentences.into_iter().filter_map(|(start, end)| text.get(start..end)).filter(|s| !s.is_empty()).collect())
    }

    /// Places where a sentence may end: the end, where the next begins, and the words around it.
    fn candidates(&self, text: &str) -> Result<Vec<(usize, Option<usize>, String)>, fancy_regex::Error> {
        let mut found = Vec::new();
        let mut before = (0, 0);
        let mut last: Option<(usize, Option<usize>, String)> = None;
        for captures in self.end.captures_iter(text) {
            let captures = captures?;
            let (Some(whole), Some(after)) = (captures.get(0), captures.name("after")) else { continue };
            let space = text[before.1..whole.start()].rfind(|c: char| c.is_ascii_whitespace() || c == '\x0b');
            let start = space.filter(|at| *at > 0).map_or(before.0, |at| before.1 + at + 1);
            if before.1 <= start {
                found.extend(last.take());
            }
            before = (start, whole.start());
            let context = format!("{}{}{}", &text[start..whole.start()], whole.as_str(), after.as_str());
            last = Some((whole.end(), captures.name("next").map(|next| next.start()), context));
        }
        found.extend(last);
        Ok(found)
    }

    /// Whether a sentence ends within the text, other than with its last word.
    fn holds_end(&self, text: &str) -> Result<bool, fancy_regex::Error> {
        let mut tokens = Vec::new();
        for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
            for word in self.word.find_iter(line) {
                tokens.push(self.token(word?.as_str())?);
            }
        }
        for i in 0..tokens.len().saturating_sub(1) {
            let (left, right) = tokens.split_at_mut(i + 1);
            if let (Some(token), Some(next)) = (left.last_mut(), right.first()) {
                self.decide(token, next);
                if token.ends {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn token<'a>(&self, text: &'a str) -> Result<Token<'a>, fancy_regex::Error> {
        let lower = text.to_lowercase();
        let kind = if self.number.is_match(&lower)? { "##number##".into() } else { lower.clone() };
        let mut token = Token { text, kind, abbreviation: false, ellipsis: false, ends: false };
        if matches!(text, "." | "?" | "!") {
            token.ends = true;
        } else if text.len() > 1 && text.chars().all(|c| c == '.') {
            token.ellipsis = true;
        } else if let Some(word) = lower.strip_suffix('.').filter(|_| !text.ends_with("..")) {
            let tail = word.rsplit('-').next().unwrap_or(word);
            token.abbreviation = self.abbreviations.contains(word) || self.abbreviations.contains(tail);
            token.ends = !token.abbreviation;
        }
        Ok(token)
    }

    /// Decides again about a word with a period, from the word after it.
    fn decide(&self, token: &mut Token<'_>, next: &Token<'_>) {
        if !token.text.ends_with('.') {
            return;
        }
        let kind = token.without_period().to_owned();
        let next_kind = next.without_end();
        let initial = token.is_initial();
        if self.collocations.contains(&(kind.as_str(), next_kind)) {
            token.ends = false;
            token.abbreviation = true;
            return;
        }
        let starts = self.starts_sentence(next);
        let may_start = starts == Some(true) || (next.is_upper() && self.starters.contains(next_kind));
        if (token.abbreviation || token.ellipsis) && !initial && may_start {
            token.ends = true;
            return;
        }
        if initial || kind == "##number##" {
            let never_lower = initial && next.is_upper() && !self.words.contains_key(next_kind);
            if starts == Some(false) || (starts.is_none() && never_lower) {
                token.ends = false;
                token.abbreviation = true;
            }
        }
    }

    /// Whether a word begins a sentence, by the cases of letters in which it was seen elsewhere.
    fn starts_sentence(&self, token: &Token<'_>) -> Option<bool> {
        if matches!(token.text, ";" | ":" | "," | "." | "!" | "?") {
            return Some(false);
        }
        let seen = self.words.get(token.without_end());
        if token.is_upper() && seen.is_some_and(|seen| seen & 1 == 0) {
            return Some(true);
        }
        (token.is_lower() && seen.is_none_or(|seen| seen & 2 == 0)).then_some(false)
    }
}

//! Each kind of instruction, and when an answer follows it.

use fancy_regex::Regex;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{Ifeval, language, words};

type Settings = Map<String, Value>;

impl Ifeval {
    /// Whether a text follows an instruction. An error says why that cannot be verified.
    pub(super) fn check(&self, kind: &str, settings: &Settings, text: &str) -> Result<bool, String> {
        let followed = match kind {
            "keywords:existence" => {
                let mut all = true;
                for keyword in list(settings, kind, "keywords")? {
                    all = all && is_in(&format!("(?i){keyword}"), text)?;
                }
                all
            }
            "keywords:forbidden_words" => {
                let mut none = true;
                for word in list(settings, kind, "forbidden_words")? {
                    none = none && !is_in(&format!(r"(?i)\b{word}\b"), text)?;
                }
                none
            }
            "keywords:frequency" => {
                let keyword = string(settings, kind, "keyword")?.trim();
                relation(settings, kind, "relation", count(&pattern(&format!("(?i){keyword}"))?, text)?, "frequency")?
            }
            "keywords:letter_frequency" => {
                let letter = string(settings, kind, "letter")?.trim().to_lowercase();
                let mut chars = letter.chars();
                let (Some(letter), None) = (chars.next(), chars.next()) else {
                    return Err(format!("'{letter}' of the instruction '{kind}' is not one letter"));
                };
                let found = text.to_lowercase().chars().filter(|c| *c == letter).count();
                relation(settings, kind, "let_relation", found, "let_frequency")?
            }
            "language:response_language" => language::is(text, string(settings, kind, "language")?)?,
            "length_constraints:number_sentences" => {
                relation(settings, kind, "relation", self.punkt.sentences(text)?.len(), "num_sentences")?
            }
            "length_constraints:number_words" => {
                relation(settings, kind, "relation", count(&self.word, text)?, "num_words")?
            }
            "length_constraints:number_paragraphs" => {
                let paragraphs = split(&self.divider, text)?;
                let last = paragraphs.len() - 1;
                let blank = |i: usize| paragraphs.get(i).is_some_and(|part| part.trim().is_empty());
                let filled = (0..=last).filter(|i| !blank(*i)).count();
                (1..last).all(|i| !blank(i)) && filled == number(settings, kind, "num_paragraphs")?
            }
            "length_constraints:nth_paragraph_first_word" => nth_paragraph(settings, kind, text)?,
            "detectable_content:number_placeholders" => {
                count(&self.placeholder, text)? >= number(settings, kind, "num_placeholders")?
            }
            "detectable_content:postscript" => {
                let marker = string(settings, kind, "postscript_marker")?.trim();
                match marker {
                    "P.P.S" => is_in(r"p\.\s?p\.\s?s", &text.to_lowercase())?,
                    "P.S." => is_in(r"p\.\s?s\.", &text.to_lowercase())?,
                    _ => is_in(&marker.to_lowercase(), &text.to_lowercase())?,
                }
            }
            "detectable_format:number_bullet_lists" => {
                let bullets = count(&self.star_bullet, text)? + count(&self.dash_bullet, text)?;
                bullets == number(settings, kind, "num_bullets")?
            }
            "detectable_format:constrained_response" => {
                ["My answer is yes.", "My answer is no.", "My answer is maybe."].iter().any(|said| text.contains(said))
            }
            "detectable_format:number_highlighted_sections" => {
                let mut found = 0;
                for part in self.highlight.find_iter(text) {
                    let part = part.map_err(|error| error.to_string())?.as_str();
                    found += usize::from(!part.trim_matches('*').trim().is_empty());
                }
                for part in self.double_highlight.find_iter(text) {
                    let part = part.map_err(|error| error.to_string())?.as_str();
                    found += usize::from(!part.trim_start_matches("**").trim_end_matches("**").trim().is_empty());
                }
                found >= number(settings, kind, "num_highlights")?
            }
            "detectable_format:multiple_sections" => {
                let mark = string(settings, kind, "section_spliter")?.trim();
                count(&pattern(&format!(r"\s?{mark}\s?\d+\s?"))?, text)? >= number(settings, kind, "num_sections")?
            }
            "detectable_format:json_format" => is_json(text),
            "detectable_format:title" => {
                let mut any = false;
                for title in self.title.find_iter(text) {
                    let title = title.map_err(|error| error.to_string())?.as_str();
                    any = any || !title.trim_start_matches('<').trim_end_matches('>').trim().is_empty();
                }
                any
            }
            "combination:two_responses" => two_responses(text),
            "combination:repeat_prompt" => {
                let prompt = string(settings, kind, "prompt_to_repeat")?.trim().to_lowercase();
                text.trim().to_lowercase().starts_with(&prompt)
            }
            "startend:end_checker" => {
                let end = string(settings, kind, "end_phrase")?.trim().to_lowercase();
                text.trim().trim_matches('"').to_lowercase().ends_with(&end)
            }
            "startend:quotation" => {
                let text = text.trim();
                text.len() > 1 && text.starts_with('"') && text.ends_with('"')
            }
            "change_case:capital_word_frequency" => {
                let mut found = 0;
                for sentence in self.punkt.sentences(text)? {
                    found += self.words.capitals(sentence)?;
                }
                relation(settings, kind, "capital_relation", found, "capital_frequency")?
            }
            "change_case:english_capital" => words::is_upper(text) && language::is(text, "en")?,
            "change_case:english_lowercase" => words::is_lower(text) && language::is(text, "en")?,
            "punctuation:no_comma" => !text.contains(','),
            _ => return Err(format!("there is no instruction '{kind}'")),
        };
        Ok(followed)
    }
}

fn missing(kind: &str, name: &str) -> String {
    format!("the row has no '{name}' for its instruction '{kind}'")
}

fn string<'a>(settings: &'a Settings, kind: &str, name: &str) -> Result<&'a str, String> {
    settings.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| missing(kind, name))
}

/// A number above 0, which some copies of the dataset write as `3.0`.
fn number(settings: &Settings, kind: &str, name: &str) -> Result<usize, String> {
    let number = settings.get(name).and_then(Value::as_f64).filter(|number| *number > 0.0 && number.fract() == 0.0);
    number.map(|number| number as usize).ok_or_else(|| missing(kind, name))
}

fn list<'a>(settings: &'a Settings, kind: &str, name: &str) -> Result<Vec<&'a str>, String> {
    let list = settings.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
    let texts = list.and_then(|list| list.iter().map(Value::as_str).collect());
    texts.ok_or_else(|| missing(kind, name))
}

/// Whether a count is less than a number, or at least that, as the row has it.
fn relation(settings: &Settings, kind: &str, name: &str, found: usize, bound: &str) -> Result<bool, String> {
    let bound = number(settings, kind, bound)?;
    match string(settings, kind, name)? {
        "less than" => Ok(found < bound),
        "at least" => Ok(found >= bound),
        other => Err(format!("the relation '{other}' of the instruction '{kind}' is not known")),
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("the pattern '{text}' of an instruction cannot be read: {error}"))
}

fn is_in(wanted: &str, text: &str) -> Result<bool, String> {
    pattern(wanted)?.is_match(text).map_err(|error| error.to_string())
}

fn count(pattern: &Regex, text: &str) -> Result<usize, String> {
    let mut found = 0;
    for part in pattern.find_iter(text) {
        part.map_err(|error| error.to_string())?;
        found += 1;
    }
    Ok(found)
}

fn split<'t>(pattern: &Regex, text: &'t str) -> Result<Vec<&'t str>, String> {
    pattern.split(text).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn nth_paragraph(settings: &Settings, kind: &str, text: &str) -> Result<bool, String> {
    let (wanted, nth) = (number(settings, kind, "num_paragraphs")?, number(settings, kind, "nth_paragraph")?);
    let first_word = string(settings, kind, "first_word")?.to_lowercase();
    if nth > wanted {
        return Err(format!("the instruction '{kind}' asks for paragraph {nth} of {wanted}"));
    }
    let paragraphs: Vec<&str> = text.split("\n\n").map(str::trim).collect();
    let filled = paragraphs.iter().filter(|paragraph| !paragraph.is_empty()).count();
    let Some(word) = paragraphs.get(nth - 1).and_then(|paragraph| paragraph.split_whitespace().next()) else {
        return Ok(false);
    };
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let word: String = word.chars().take_while(|c| !matches!(c, '.' | ',' | '?' | '!' | '\'' | '"')).collect();
    Ok(filled == wanted && nth <= filled && word.to_lowercase() == first_word)
}

fn is_json(text: &str) -> bool {
    let mut text = text.trim();
    for fence in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(fence).unwrap_or(text);
    }
    serde_json::from_str::<IgnoredAny>(text.strip_suffix("```").unwrap_or(text).trim()).is_ok()
}

fn two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").map(str::trim).collect();
    let inner_blank = parts.iter().enumerate().any(|(i, part)| part.is_empty() && i != 0 && i + 1 != parts.len());
    let filled: Vec<&&str> = parts.iter().filter(|part| !part.is_empty()).collect();
    !inner_blank && matches!(filled.as_slice(), [a, b] if a != b)
}

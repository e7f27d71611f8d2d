//! Filters: from the texts that a model wrote to the answer that is scored.
//!
//! They do what those of lm-evaluation-harness do (`lm_eval/filters`, 0.4.13), and remember besides whether an answer was
//! read at all, which there is lost in the text of the fallback.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weighbridge_core::{Finish, SampleRecord};

use super::pattern::{Found, Pattern, is_space, strip};

/// One answer on its way through the filters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item<'a> {
    /// What it is now.
    pub value: Read<'a>,
    /// A filter found no answer in it and gave its fallback.
    pub unread: bool,
    /// The output limit cut the text off.
    pub truncated: bool,
}

/// What an answer is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Read<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// Something else, out of a `map` or `regex_pos`.
    Json(Value),
    /// The model gave none.
    Absent,
}

/// What a pipeline leaves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filtered<'a> {
    /// One answer, after `take_first`.
    One(Item<'a>),
    /// A list of them.
    Many(Vec<Item<'a>>),
}

/// A pipeline, ready to run.
#[derive(Debug)]
pub(crate) struct Pipeline {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Regex(Extract),
    Choice(Box<ChoiceExtract>),
    Pos { tags: Pattern, fallback: Value },
    Strip,
    Lower,
    Upper,
    Map { to: BTreeMap<String, Value>, default: Value },
    First,
    FirstK(usize),
    Majority,
}

#[derive(Debug)]
struct Extract {
    pattern: Pattern,
    select: i64,
    fallback: String,
}

#[derive(Debug)]
struct ChoiceExtract {
    extract: Extract,
    ignore: Vec<Pattern>,
    ignore_case: bool,
    punctuation: Option<Pattern>,
}

/// The filters that are done here.
const KNOWN: &str = "regex, multi_choice_regex, regex_pos, remove_whitespace, lowercase, uppercase, map, take_first, \
                     take_first_k, majority_vote";

impl Pipeline {
    /// Makes a pipeline ready.
    ///
    /// # Errors
    /// A filter is not known, or its settings are not what it takes; the message says which.
    pub(crate) fn new(steps: &[Value]) -> Result<Self, String> {
        Ok(Self { steps: steps.iter().map(step).collect::<Result<_, _>>()? })
    }

    /// Runs the pipeline over the texts of a sample.
    ///
    /// # Errors
    /// A pattern gave up, or there are fewer texts than `take_first_k` needs.
    pub(crate) fn run<'a>(&self, record: &'a SampleRecord) -> Result<Filtered<'a>, String> {
        let items = record.answers.iter().map(|answer| Item {
            value: answer.text.as_deref().map_or(Read::Absent, |text| Read::Text(Cow::Borrowed(text))),
            unread: false,
            truncated: answer.finish == Some(Finish::MaxTokens),
        });
        let mut now = Filtered::Many(items.collect());
        for step in &self.steps {
            now = step.apply(now, record)?;
        }
        Ok(now)
    }
}

fn step(entry: &Value) -> Result<Step, String> {
    let settings = entry.as_object().ok_or("a filter is a map with the key 'function'")?;
    let name = settings.get("function").and_then(Value::as_str).ok_or("a filter has the key 'function'")?;
    let known = |keys: &[&str]| match settings.keys().find(|key| *key != "function" && !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("the filter {name} has no setting '{key}'")),
        None => Ok(()),
    };
    let text = |key: &str| setting(settings, name, key, |value| value.as_str().map(str::to_owned), "a text");
    let yes = |key: &str| setting(settings, name, key, Value::as_bool, "true or false").map(|yes| yes == Some(true));
    let extract = || -> Result<Extract, String> {
        let pattern = text("regex_pattern")?;
        Ok(Extract {
            pattern: Pattern::new(pattern.as_deref().unwrap_or(r"#### (\-?[0-9\.\,]+)"))?,
            select: setting(settings, name, "group_select", Value::as_i64, "a whole number")?.unwrap_or(0),
            fallback: text("fallback")?.unwrap_or_else(|| "[invalid]".to_owned()),
        })
    };
    Ok(match name {
        "regex" => {
            known(&["regex_pattern", "group_select", "fallback"])?;
            Step::Regex(extract()?)
        }
        "multi_choice_regex" => {
            known(&[
                "regex_pattern",
                "group_select",
                "fallback",
                "ignore_case",
                "ignore_punctuation",
                "regexes_to_ignore",
            ])?;
            Step::Choice(Box::new(ChoiceExtract {
                extract: extract()?,
                ignore: patterns(settings.get("regexes_to_ignore"))?,
                ignore_case: yes("ignore_case")?,
                punctuation: if yes("ignore_punctuation")? { Some(punctuation()?) } else { None },
            }))
        }
        "regex_pos" => {
            known(&["regex_pattern", "group_select", "fallback"])?;
            let fallback = settings.get("fallback").filter(|value| !value.is_null()).cloned();
            Step::Pos {
                tags: Pattern::new(r"\('([^']*)', '([^']*)'\)")?,
                fallback: fallback.unwrap_or_else(|| Value::from(vec!["invalid"])),
            }
        }
        "remove_whitespace" => known(&[]).map(|()| Step::Strip)?,
        "lowercase" => known(&[]).map(|()| Step::Lower)?,
        "uppercase" => known(&[]).map(|()| Step::Upper)?,
        "take_first" => known(&[]).map(|()| Step::First)?,
        "majority_vote" => known(&[]).map(|()| Step::Majority)?,
        "take_first_k" => {
            known(&["k"])?;
            let k = setting(settings, name, "k", Value::as_u64, "a whole number")?;
            Step::FirstK(k.filter(|k| *k > 0).ok_or("the filter take_first_k needs 'k', a number above 0")? as usize)
        }
        "map" => {
            known(&["mapping_dict", "default_value"])?;
            let to = match settings.get("mapping_dict") {
                None | Some(Value::Null) => BTreeMap::new(),
                Some(Value::Object(map)) => map.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
                Some(_) => return Err("the setting 'mapping_dict' of the filter map is a map".to_owned()),
            };
            Step::Map { to, default: settings.get("default_value").cloned().unwrap_or(Value::Null) }
        }
        "custom" => {
            return Err("the filter custom is a function in Python, which is not done here".to_owned());
        }
        other => return Err(format!("the filter {other} is not known; known are {KNOWN}")),
    })
}

fn setting<T>(
    settings: &Map<String, Value>,
    filter: &str,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
    what: &str,
) -> Result<Option<T>, String> {
    match settings.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("the setting '{key}' of the filter {filter} is {what}, not {value}")),
        },
    }
}

/// Patterns out of a list of texts.
pub(crate) fn patterns(list: Option<&Value>) -> Result<Vec<Pattern>, String> {
    match list {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|one| Pattern::new(one.as_str().ok_or("'regexes_to_ignore' is a list of texts")?)).collect()
        }
        Some(_) => Err("'regexes_to_ignore' is a list of texts".to_owned()),
    }
}

/// Every character of a category that begins with P.
fn punctuation() -> Result<Pattern, String> {
    Pattern::raw(r"\p{P}+")
}

impl Step {
    fn apply<'a>(&self, now: Filtered<'a>, record: &'a SampleRecord) -> Result<Filtered<'a>, String> {
        match self {
            Self::First => Ok(Filtered::One(match now {
                Filtered::Many(items) => items.into_iter().next().unwrap_or_else(Item::absent),
                Filtered::One(item) => item.pieces().into_iter().next().unwrap_or_else(Item::nothing_read),
            })),
            Self::FirstK(k) => {
                let mut items = now.into_list();
                if items.len() < *k {
                    return Err(format!("take_first_k needs {k} texts of a sample, and there are {}", items.len()));
                }
                items.truncate(*k);
                Ok(Filtered::Many(items))
            }
            Self::Majority => Ok(Filtered::Many(vec![majority(now.into_list())])),
            _ => {
                let items = now.into_list().into_iter();
                let done: Result<Vec<_>, _> = items.map(|item| self.one(item, record)).collect();
                Ok(Filtered::Many(done?))
            }
        }
    }

    fn one<'a>(&self, item: Item<'a>, record: &SampleRecord) -> Result<Item<'a>, String> {
        let Item { value, mut unread, truncated } = item;
        let value = match (self, value) {
            (_, Read::Absent) => Read::Absent,
            (Self::Regex(extract), value) => {
                let text = value.into_text();
                let found = borrowed(text, |text| extract.pick(text))?;
                unread |= found.as_ref().is_none_or(|found| found.is_empty());
                Read::Text(found.unwrap_or_else(|| Cow::Owned(extract.fallback.clone())))
            }
            (Self::Choice(choice), value) => {
                let found = choice.pick(&value.into_text(), record)?;
                unread |= found.is_none();
                Read::Text(Cow::Owned(found.unwrap_or_else(|| choice.extract.fallback.clone())))
            }
            (Self::Pos { tags, fallback }, value) => {
                let text = value.into_text();
                let mut found = Vec::new();
                for one in tags.find_all(&text, usize::MAX)? {
                    if let Found::Groups(groups) = one {
                        found.extend(groups.get(1).map(|tag| Value::from(*tag)));
                    }
                }
                if found.is_empty() {
                    unread = true;
                    Read::Json(fallback.clone())
                } else {
                    Read::Json(Value::Array(found))
                }
            }
            (Self::Map { to, default }, value) => {
                let key = match &value {
                    Read::Text(text) => Some(text.as_ref()),
                    _ => None,
                };
                let found = key.and_then(|key| to.get(key));
                unread |= found.is_none();
                match found.unwrap_or(default) {
                    Value::String(text) => Read::Text(Cow::Owned(text.clone())),
                    other => Read::Json(other.clone()),
                }
            }
            (Self::Strip, Read::Text(Cow::Borrowed(text))) => Read::Text(Cow::Borrowed(strip(text))),
            (Self::Strip, Read::Text(Cow::Owned(text))) => Read::Text(Cow::Owned(strip(&text).to_owned())),
            (Self::Lower, Read::Text(text)) => Read::Text(Cow::Owned(text.to_lowercase())),
            (Self::Upper, Read::Text(text)) => Read::Text(Cow::Owned(text.to_uppercase())),
            (_, other) => other,
        };
        Ok(Item { value, unread, truncated })
    }
}

impl Item<'_> {
    fn absent() -> Self {
        Self { value: Read::Absent, unread: false, truncated: false }
    }

    fn nothing_read() -> Self {
        Self { value: Read::Text(Cow::Borrowed("")), unread: true, truncated: false }
    }

    /// What a filter sees that expects a list and is given one text: its characters, as in Python.
    fn pieces(self) -> Vec<Self> {
        let (unread, truncated) = (self.unread, self.truncated);
        let item = |value| Self { value, unread, truncated };
        match self.value {
            Read::Absent => vec![Self::absent()],
            Read::Text(Cow::Borrowed(text)) => {
                let ends = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
                ends.map(|piece| item(Read::Text(Cow::Borrowed(piece)))).collect()
            }
            Read::Text(Cow::Owned(text)) => text.chars().map(|c| item(Read::Text(Cow::Owned(c.to_string())))).collect(),
            Read::Json(Value::Array(list)) => list.into_iter().map(|one| item(Read::from_json(one))).collect(),
            Read::Json(other) => vec![item(Read::Json(other))],
        }
    }
}

impl<'a> Read<'a> {
    fn from_json(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(Cow::Owned(text)),
            other => Self::Json(other),
        }
    }

    /// The text; what is none counts as empty, as in the regex filter of lm-evaluation-harness.
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Json(_) | Self::Absent => Cow::Borrowed(""),
        }
    }
}

impl<'a> Filtered<'a> {
    fn into_list(self) -> Vec<Item<'a>> {
        match self {
            Self::Many(items) => items,
            Self::One(item) => item.pieces(),
        }
    }
}

/// The commonest answer; of several the one that came first.
fn majority(items: Vec<Item<'_>>) -> Item<'_> {
    let given: Vec<Item<'_>> = items.into_iter().filter(|item| item.value != Read::Absent).collect();
    let mut best: Option<(usize, usize)> = None;
    for (i, item) in given.iter().enumerate() {
        if given[..i].iter().any(|earlier| earlier.value == item.value) {
            continue;
        }
        let count = given[i..].iter().filter(|later| later.value == item.value).count();
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((i, count));
        }
    }
    best.and_then(|(i, _)| given.into_iter().nth(i)).unwrap_or_else(Item::absent)
}

/// Runs `pick` on a text and keeps the borrow where there is one.
fn borrowed<'a>(
    text: Cow<'a, str>,
    pick: impl for<'t> Fn(&'t str) -> Result<Option<&'t str>, String>,
) -> Result<Option<Cow<'a, str>>, String> {
    match text {
        Cow::Borrowed(text) => Ok(pick(text)?.map(Cow::Borrowed)),
        Cow::Owned(text) => Ok(pick(&text)?.map(|found| Cow::Owned(found.to_owned()))),
    }
}

/// The `select`-th of a list, counted from its end where negative.
fn nth<T>(mut list: Vec<T>, select: i64) -> Option<T> {
    let distance = usize::try_from(select.unsigned_abs()).ok()?;
    let at = if select < 0 { list.len().checked_sub(distance)? } else { distance };
    (at < list.len()).then(|| list.swap_remove(at))
}

impl Extract {
    /// What the pattern finds; `None` for nothing. The fallback is not given here.
    fn pick<'t>(&self, text: &'t str) -> Result<Option<&'t str>, String> {
        let most = if self.select < 0 { usize::MAX } else { self.select as usize + 1 };
        let found = nth(self.pattern.find_all(text, most)?, self.select);
        Ok(match found {
            None => None,
            Some(Found::One(text)) => Some(strip(text)),
            Some(Found::Groups(groups)) => groups.into_iter().find(|group| !group.is_empty()).map(strip),
        })
    }
}

impl ChoiceExtract {
    /// The answer in three attempts: the pattern; the text of a choice; a letter after a colon.
    fn pick(&self, text: &str, record: &SampleRecord) -> Result<Option<String>, String> {
        if let Some(found) = self.extract.pick(text)?.filter(|found| !found.is_empty()) {
            return Ok(Some(found.to_owned()));
        }
        let mut choices = Vec::new();
        for choice in choices_of(record) {
            choices.push(self.cleaned(strip(choice))?);
        }
        let letter = |i: usize| char::from_u32('A' as u32 + i as u32).unwrap_or('?');
        let cleaned = self.cleaned(text)?;
        if let Some(found) = nth(occurrences(&cleaned, &choices), self.extract.select) {
            // Of choices with one text the last one stands for it, as in a dict of Python.
            let named = choices.iter().rposition(|choice| choice == strip(found));
            return Ok(Some(named.map_or_else(|| strip(found).to_owned(), |i| format!("({})", letter(i)))));
        }
        let letters: Vec<char> = (0..choices.len()).map(letter).collect();
        Ok(nth(after_colon(text, &letters), self.extract.select).map(|letter| format!("({letter})")))
    }

    fn cleaned<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.ignore {
            text = Cow::Owned(pattern.remove(&text)?.into_owned());
        }
        if self.ignore_case {
            text = Cow::Owned(text.to_lowercase());
        }
        if let Some(punctuation) = &self.punctuation {
            text = Cow::Owned(punctuation.remove(&text)?.into_owned());
        }
        Ok(text)
    }
}

/// The choices: those of the record, else those of the row of the dataset.
fn choices_of(record: &SampleRecord) -> Vec<&str> {
    if !record.choices.is_empty() {
        return record.choices.iter().map(String::as_str).collect();
    }
    let row = record.doc.as_ref().and_then(|doc| doc.get("choices")).and_then(Value::as_array);
    row.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Where texts stand in another, from left to right and without overlap; of several at one place the longest.
fn occurrences<'t>(text: &'t str, wanted: &[Cow<'_, str>]) -> Vec<&'t str> {
    let mut order: Vec<&str> = wanted.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).collect();
    order.sort_by_key(|text| std::cmp::Reverse(text.chars().count()));
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match order.iter().find(|one| text[at..].starts_with(**one)) {
            Some(one) => {
                all.push(&text[at..at + one.len()]);
                at += one.len();
            }
            None => at += c.len_utf8(),
        }
    }
    all
}

/// The letters that stand after a colon and white space.
fn after_colon(text: &str, letters: &[char]) -> Vec<char> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(':') {
        rest = &rest[at + 1..];
        let after = rest.trim_start_matches(is_space);
        if let Some(letter) = after.chars().next().filter(|c| letters.contains(c)) {
            all.push(letter);
            rest = &after[letter.len_utf8()..];
        }
    }
    all
}

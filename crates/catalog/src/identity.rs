//! Which release a name means: exactly, by a listed alias, or by its normalised form; never by similarity.
//!
//! The normalised form of a name is made in three steps. Letters become lower-case. Every run of characters that are
//! neither letters, digits nor dots becomes one '-' where it stands between two digits, and nothing elsewhere; a dot stays
//! between two digits and goes elsewhere; a '+' is the word `plus`. So `Llama 2-7B` and `llama-2-7b` agree, while
//! `opt-1.3b` and `opt-13b`, `gpt-4-0613` and `gpt-4`, `Command R+` and `Command R` differ: dates and suffixes are part of
//! a name.

use std::collections::{BTreeSet, HashMap};

use time::Date;
use weighbridge_core::ModelId;

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The id of a model, or its name in full.
    Exact(ModelId),
    /// A listed alias.
    Alias(ModelId),
    /// One model has a name, alias or id with the same normalised form.
    Normalised(ModelId),
    /// The name points to different releases over time (`deepseek-chat`, whatever ends in `latest`). The list is empty
    /// where the catalog does not know to which.
    Moving(Vec<Pointing>),
    /// Several models share the name or its normalised form.
    Ambiguous(Vec<ModelId>),
    /// Nothing has that name.
    Unmatched {
        /// Names that look like it, for an error message only.
        nearest: Vec<String>,
    },
}

impl Resolution {
    /// The one model that the name means, if it means one.
    #[must_use]
    pub fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Exact(id) | Self::Alias(id) | Self::Normalised(id) => Some(id),
            Self::Moving(_) | Self::Ambiguous(_) | Self::Unmatched { .. } => None,
        }
    }
}

/// What a moving name pointed to from a day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointing {
    /// First day; `None` where unknown.
    pub starts: Option<Date>,
    /// The release; `None` where unknown.
    pub model: Option<ModelId>,
}

/// The names of all models, ready to be looked up.
#[derive(Clone, Debug, Default)]
pub struct Names {
    models: HashMap<String, ModelId>,
    exact: HashMap<String, BTreeSet<ModelId>>,
    aliases: HashMap<String, BTreeSet<ModelId>>,
    moving: HashMap<String, Vec<Pointing>>,
    normalised: HashMap<String, BTreeSet<ModelId>>,
    labs: HashMap<String, String>,
}

impl Names {
    /// No names yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a lab under its id, name and aliases: `zai-org/GLM-5` is looked up as a model of the lab `zai`.
    pub fn add_lab<'a>(&mut self, id: &'a str, names: impl IntoIterator<Item = &'a str>) {
        for name in names.into_iter().chain([id]) {
            self.labs.insert(normalise(name), id.to_owned());
        }
    }

    /// Adds a model under its id and its name.
    ///
    /// A name that is the id without its date (`Command R` of `command-r-08-2024`) names a family, not the release, and
    /// is left out.
    pub fn add_model(&mut self, id: &ModelId, name: &str) {
        self.models.insert(id.as_str().to_owned(), id.clone());
        let tail = normalise(id.as_str().rsplit('/').next().unwrap_or_default());
        let form = normalise(name);
        let dated = |rest: &str| rest.len() >= 4 && rest.chars().all(|c| c.is_ascii_digit() || c == '-');
        if !tail.strip_prefix(&form).is_some_and(dated) {
            self.exact.entry(name.to_owned()).or_default().insert(id.clone());
            self.normalised.entry(form).or_default().insert(id.clone());
        }
        self.normalised.entry(tail).or_default().insert(id.clone());
    }

    /// Adds another name of a model.
    pub fn add_alias(&mut self, alias: &str, id: &ModelId) {
        self.aliases.entry(alias.to_owned()).or_default().insert(id.clone());
        self.normalised.entry(normalise(alias)).or_default().insert(id.clone());
    }

    /// Adds a name that moves, and what it pointed to from a day on.
    pub fn add_moving(&mut self, alias: &str, pointing: Pointing) {
        let list = self.moving.entry(normalise(alias)).or_default();
        list.push(pointing);
        list.sort_by_key(|p| p.starts);
    }

    /// Normalised forms that several models share: a name of that form means none of them.
    pub fn shared(&self) -> impl Iterator<Item = (&str, &BTreeSet<ModelId>)> {
        self.normalised.iter().filter(|(_, ids)| ids.len() > 1).map(|(form, ids)| (form.as_str(), ids))
    }

    /// The lab that a name, alias or hub organisation means.
    #[must_use]
    pub fn lab(&self, name: &str) -> Option<&str> {
        self.labs.get(&normalise(name)).map(String::as_str)
    }

    /// What `name` means.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Resolution {
        self.lookup(name).unwrap_or_else(|| Resolution::Unmatched { nearest: self.nearest(name) })
    }

    /// What `name` meant on `day`: a moving name resolves to the release that it pointed to then.
    #[must_use]
    pub fn resolve_at(&self, name: &str, day: Date) -> Resolution {
        match self.resolve(name) {
            Resolution::Moving(list) => {
                let then = list.iter().rfind(|p| p.starts.is_some_and(|starts| starts <= day));
                match then.and_then(|p| p.model.clone()) {
                    Some(model) => Resolution::Alias(model),
                    None => Resolution::Moving(list),
                }
            }
            other => other,
        }
    }

    /// As [`Self::resolve`], without the search for what looks like it; `None` where nothing matches.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<Resolution> {
        let name = name.trim();
        if let Some(id) = self.models.get(name) {
            return Some(Resolution::Exact(id.clone()));
        }
        if let Some(found) = self.exact.get(name) {
            return Some(one_or_many(found, Resolution::Exact));
        }
        let normalised = normalise(name);
        if let Some(list) = self.moving.get(&normalised) {
            return Some(Resolution::Moving(list.clone()));
        }
        if let Some(found) = self.aliases.get(name) {
            return Some(one_or_many(found, Resolution::Alias));
        }
        if normalised.ends_with("latest") {
            return Some(Resolution::Moving(Vec::new()));
        }
        if let Some(found) = self.normalised.get(&normalised) {
            return Some(one_or_many(found, Resolution::Normalised));
        }
        self.lookup_of_lab(name)
    }

    /// `organisation/model`: the part after the slash, if it is a model of that organisation's lab.
    fn lookup_of_lab(&self, name: &str) -> Option<Resolution> {
        let (organisation, tail) = name.split_once('/')?;
        let lab = self.lab(organisation)?;
        let found = self.lookup(tail)?;
        let of_lab = |id: &ModelId| id.as_str().split('/').next() == Some(lab);
        match found {
            Resolution::Exact(id) | Resolution::Alias(id) | Resolution::Normalised(id) if of_lab(&id) => {
                Some(Resolution::Normalised(id))
            }
            Resolution::Ambiguous(ids) => {
                let ids: BTreeSet<_> = ids.into_iter().filter(of_lab).collect();
                (!ids.is_empty()).then(|| one_or_many(&ids, Resolution::Normalised))
            }
            Resolution::Moving(list) if list.iter().flat_map(|p| &p.model).all(of_lab) => {
                Some(Resolution::Moving(list))
            }
            _ => None,
        }
    }

    /// Up to five ids whose name is close to `name` in letters. For an error message, never for matching.
    fn nearest(&self, name: &str) -> Vec<String> {
        let tail = name.rsplit('/').next().unwrap_or(name);
        let wanted: Vec<char> = normalise(tail).chars().collect();
        let limit = (wanted.len() / 2).max(2);
        let mut near: Vec<(usize, &ModelId)> = self
            .normalised
            .iter()
            .flat_map(|(key, ids)| ids.iter().map(move |id| (key, id)))
            .filter(|(key, _)| key.chars().count().abs_diff(wanted.len()) <= limit)
            .map(|(key, id)| (edits(&wanted, key), id))
            .filter(|(edits, _)| *edits <= limit)
            .collect();
        near.sort();
        let mut seen = BTreeSet::new();
        near.into_iter().filter(|(_, id)| seen.insert(*id)).take(5).map(|(_, id)| id.to_string()).collect()
    }
}

fn one_or_many(found: &BTreeSet<ModelId>, one: impl Fn(ModelId) -> Resolution) -> Resolution {
    match found.first() {
        Some(id) if found.len() == 1 => one(id.clone()),
        _ => Resolution::Ambiguous(found.iter().cloned().collect()),
    }
}

/// The normalised form of a name; the head of this file says how it is made.
#[must_use]
pub fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut gap: Option<char> = None;
    for c in name.chars() {
        if c == '+' {
            gap = None;
            out.push_str("plus");
        } else if c.is_alphanumeric() {
            let between_digits =
                c.is_ascii_digit() && out.chars().next_back().is_some_and(|last| last.is_ascii_digit());
            if let Some(mark) = gap.take().filter(|_| between_digits) {
                out.push(mark);
            }
            out.extend(c.to_lowercase());
        } else {
            // A dot alone keeps its meaning (4.1 is not 4-1); any other or mixed run is a plain separator.
            gap = Some(if c == '.' && gap.is_none() { '.' } else { '-' });
        }
    }
    out
}

/// Words that sources append to a model's name to say how it was run, not what it is.
const CONFIGURATIONS: [&str; 27] = [
    "bf16",
    "default",
    "default think",
    "diff",
    "fc",
    "fc thinking",
    "high",
    "low",
    "max",
    "medium",
    "minimal",
    "no think",
    "no thinking",
    "none",
    "prohigh",
    "prolow",
    "promax",
    "promedium",
    "prompt",
    "prompt + thinking",
    "prounknown",
    "proxhigh",
    "thinking",
    "udiff",
    "unknown",
    "whole",
    "xhigh",
];

/// Splits the configuration off a run label: `kimi-k3_max` is `kimi-k3` run at `max`.
///
/// A configuration stands after the last '_' or in parentheses at the end, and is an effort or mode from a fixed list or a
/// thinking budget such as `16K`, `32k thinking` or `24k think`. Anything else stays part of the name.
#[must_use]
pub fn split_configuration(label: &str) -> (&str, Option<&str>) {
    let label = label.trim();
    let parts = match label.strip_suffix(')') {
        Some(open) => open.rsplit_once(" ("),
        None => label.rsplit_once('_'),
    };
    match parts {
        Some((name, configuration)) if is_configuration(configuration) => (name, Some(configuration)),
        _ => (label, None),
    }
}

fn is_configuration(text: &str) -> bool {
    let text = text.to_lowercase();
    if CONFIGURATIONS.contains(&text.as_str()) {
        return true;
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < text.len() && ["k", "k think", "k thinking", "k thinking tokens"].contains(&rest)
}

/// Edit distance (insert, delete, replace).
fn edits(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, cb) in b.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, ca) in a.iter().enumerate() {
            let replace = diagonal + usize::from(*ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normalised_form_keeps_what_tells_models_apart() {
        let check = |name: &str, expected: &str| assert_eq!(normalise(name), expected, "{name}");
        check("Llama 2-7B", "llama2-7b");
        check("llama-2-7b", "llama2-7b");
        check("opt-1.3b", "opt1.3b");
        check("opt-13b", "opt13b");
        check("GLM-5-Turbo", "glm5turbo");
        check("Qwen 3.6 35B-A3B", "qwen3.6-35ba3b");
        check("qwen3.6-35b-a3b", "qwen3.6-35ba3b");
        check("gpt-4-0613", "gpt4-0613");
        check("claude-sonnet-4-20250514", "claudesonnet4-20250514");
        check("Gemini 2.5 Pro (Jun 2025)", "gemini2.5projun2025");
        check("phi-1_5", "phi1-5");
        check("Command R+", "commandrplus");
        check("command-r-plus", "commandrplus");
        check("Command R", "commandr");
    }

    #[test]
    fn a_configuration_is_split_off_and_nothing_else() {
        let check =
            |label: &str, name: &str, configuration| assert_eq!(split_configuration(label), (name, configuration));
        check("kimi-k3_max", "kimi-k3", Some("max"));
        check("claude-opus-4-6_120K", "claude-opus-4-6", Some("120K"));
        check("gpt-5.6-sol_promax", "gpt-5.6-sol", Some("promax"));
        check("gemini-2.5-flash-preview-04-17 (16K thinking)", "gemini-2.5-flash-preview-04-17", Some("16K thinking"));
        check("o3 (high)", "o3", Some("high"));
        check("GLM-4.6 (FC thinking)", "GLM-4.6", Some("FC thinking"));
        check("phi-1_5", "phi-1_5", None);
        check("Qwen-1_8B", "Qwen-1_8B", None);
        check("open_llama_7b", "open_llama_7b", None);
        check("GPT-4o (Nov 2024)", "GPT-4o (Nov 2024)", None);
        check("o3 (high) + gpt-4.1", "o3 (high) + gpt-4.1", None);
    }

    #[test]
    fn a_foreign_organisation_does_not_lend_its_copy_the_name() {
        let mut names = Names::new();
        names.add_lab("zai", ["zai-org"]);
        let id = ModelId::new("zai/glm-5");
        names.add_model(&id, "GLM-5");
        assert_eq!(names.resolve("zai-org/GLM-5"), Resolution::Normalised(id.clone()));
        assert_eq!(names.resolve("GLM-5").model(), Some(&id));
        assert_eq!(names.resolve("someone/GLM-5").model(), None);
        assert_eq!(names.resolve("GLM-5-Turbo").model(), None);
        assert_eq!(names.resolve("glm-6"), Resolution::Unmatched { nearest: vec!["zai/glm-5".to_owned()] });
    }
}

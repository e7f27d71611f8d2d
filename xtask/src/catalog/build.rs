//! What has been gathered so far: models with their facts, names, scores, prices, and what did not match.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use time::Date;
use weighbridge_catalog::{Names, Resolution, schema};
use weighbridge_core::ModelId;

use super::output::Output;
use super::prices::PriceRow;
use super::wire::Wires;

/// How often the names of one source matched, and how.
#[derive(Default)]
struct Matches {
    exact: usize,
    alias: usize,
    normalised: usize,
    moving: usize,
    ambiguous: usize,
    unmatched: usize,
}

/// A ruling made by hand.
pub(crate) struct Override {
    pub(crate) model: String,
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) reason: String,
    pub(crate) source: String,
}

/// Everything that will be written.
pub(crate) struct Builder {
    pub(crate) names: Names,
    /// Lab id -> country.
    pub(crate) labs: BTreeMap<String, String>,
    /// Names that a person has tied to a model id, which may not exist yet.
    pub(crate) curated_aliases: BTreeMap<String, (String, String)>,
    pub(crate) overrides: Vec<Override>,
    /// Benchmark name or alias -> id.
    pub(crate) benchmarks: BTreeMap<String, String>,
    pub(crate) prices: Vec<PriceRow>,
    /// Ids of the providers that calls can be sent to.
    pub(crate) callable: BTreeSet<String>,
    /// What providers ask under their own names.
    pub(crate) wires: Wires,
    models: BTreeMap<String, BTreeMap<&'static str, String>>,
    sources: BTreeMap<String, [String; 6]>,
    aliases: BTreeMap<String, (String, String)>,
    dates: BTreeSet<[String; 3]>,
    scores: BTreeMap<&'static str, Vec<[String; 10]>>,
    unmatched: BTreeSet<[String; 3]>,
    matches: BTreeMap<&'static str, Matches>,
    counts: BTreeMap<(&'static str, &'static str), usize>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            names: Names::new(),
            labs: BTreeMap::new(),
            curated_aliases: BTreeMap::new(),
            overrides: Vec::new(),
            benchmarks: BTreeMap::new(),
            prices: Vec::new(),
            callable: BTreeSet::new(),
            wires: Wires::default(),
            models: BTreeMap::new(),
            sources: BTreeMap::new(),
            aliases: BTreeMap::new(),
            dates: BTreeSet::new(),
            scores: BTreeMap::new(),
            unmatched: BTreeSet::new(),
            matches: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Adds a source; the first row of an id stays.
    pub(crate) fn source(&mut self, row: [&str; 6]) {
        self.sources.entry(row[0].to_owned()).or_insert_with(|| row.map(str::to_owned));
    }

    /// The row of a source.
    pub(crate) fn source_row(&self, id: &str) -> Option<&[String; 6]> {
        self.sources.get(id)
    }

    /// Adds a model that no name meant so far, and the curated aliases that wait for it.
    pub(crate) fn add_model(&mut self, id: &str, name: &str) {
        let lab = id.split('/').next().unwrap_or_default().to_owned();
        let model = ModelId::new(id);
        self.models.insert(id.to_owned(), BTreeMap::from([("name", name.to_owned()), ("lab", lab)]));
        self.names.add_model(&model, name);
        for (alias, (target, source)) in &self.curated_aliases {
            if target == id {
                self.names.add_alias(alias, &model);
                self.aliases.insert(alias.clone(), (id.to_owned(), source.clone()));
            }
        }
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.models.contains_key(id)
    }

    /// What the catalog holds of one column of a model.
    pub(crate) fn field(&self, id: &str, column: &str) -> &str {
        self.models.get(id).and_then(|m| m.get(column)).map(String::as_str).unwrap_or_default()
    }

    /// States a fact, unless an earlier source has stated it. An empty value states nothing.
    pub(crate) fn fact(
        &mut self,
        id: &str,
        column: &'static str,
        value: &str,
        source_column: &'static str,
        source: &str,
    ) {
        if value.is_empty() || !self.field(id, column).is_empty() {
            return;
        }
        if let Some(model) = self.models.get_mut(id) {
            model.insert(column, value.to_owned());
            model.entry(source_column).or_insert_with(|| source.to_owned());
        }
    }

    /// Sets or, with an empty value, clears a column whatever stood there.
    pub(crate) fn force(&mut self, id: &str, column: &'static str, value: &str) {
        if let Some(model) = self.models.get_mut(id) {
            model.insert(column, value.to_owned());
        }
    }

    /// States a release date: the first one stands in `models.csv`, others that differ in `release_dates.csv`.
    pub(crate) fn released(&mut self, id: &str, date: &str, source: &str) {
        let rejected = |o: &Override| o.model == id && o.field == "not_released" && o.value == date;
        if date.is_empty() || self.overrides.iter().any(rejected) {
            return;
        }
        self.fact(id, "released", date, "released_source", source);
        if self.field(id, "released") != date {
            self.dates.insert([id.to_owned(), date.to_owned(), source.to_owned()]);
        }
    }

    /// Adds another name of a model, unless the name already means something.
    pub(crate) fn alias(&mut self, alias: &str, id: &str, source: &'static str) {
        let rejected = |o: &Override| o.model == id && o.field == "not_alias" && o.value == alias;
        if self.overrides.iter().any(rejected) {
            return;
        }
        match self.names.lookup(alias) {
            None => {
                self.names.add_alias(alias, &ModelId::new(id));
                self.aliases.insert(alias.to_owned(), (id.to_owned(), source.to_owned()));
            }
            Some(Resolution::Moving(_)) => {}
            Some(found) => {
                if found.model().is_none_or(|model| model.as_str() != id) {
                    self.leave_out(source, alias, &format!("would name '{id}' but already names another model"));
                }
            }
        }
    }

    /// The listed model that a source means by an id and a display name: none, one, or why it cannot be told.
    ///
    /// A display name may only find a model that another source has listed, for one source names two models alike at
    /// times.
    pub(crate) fn known(
        &self,
        source: &str,
        id: &str,
        display_name: &str,
    ) -> std::result::Result<Option<String>, &'static str> {
        let by_name = || {
            let found = self.names.lookup(display_name)?;
            let own = found.model().is_some_and(|id| self.field(id.as_str(), "access_source") == source);
            (!own).then_some(found)
        };
        match self.names.lookup(id).or_else(by_name) {
            None => Ok(None),
            Some(Resolution::Moving(_)) => Err("moves between releases"),
            Some(found) => found.model().map(|id| Some(id.to_string())).ok_or("means several models"),
        }
    }

    /// The model that a name of a source means on a day; records why there is none.
    pub(crate) fn find(&mut self, source: &'static str, name: &str, day: Option<Date>) -> Option<String> {
        let found = match (self.names.lookup(name), day) {
            (Some(Resolution::Moving(_)), Some(day)) => Some(self.names.resolve_at(name, day)),
            (found, _) => found,
        };
        let matches = self.matches.entry(source).or_default();
        let (count, why) = match &found {
            Some(Resolution::Exact(_)) => (&mut matches.exact, ""),
            Some(Resolution::Alias(_)) => (&mut matches.alias, ""),
            Some(Resolution::Normalised(_)) => (&mut matches.normalised, ""),
            Some(Resolution::Moving(_)) => (&mut matches.moving, "moves between releases"),
            Some(Resolution::Ambiguous(_)) => (&mut matches.ambiguous, "means several models"),
            Some(Resolution::Unmatched { .. }) | None => (&mut matches.unmatched, "no model of the catalog"),
        };
        *count += 1;
        if !why.is_empty() {
            self.leave_out(source, name, why);
        }
        found.and_then(|found| found.model().map(ToString::to_string))
    }

    /// Records a name that was left out, and why.
    pub(crate) fn leave_out(&mut self, source: &str, name: &str, why: &str) {
        self.unmatched.insert([name.to_owned(), source.to_owned(), why.to_owned()]);
    }

    /// Counts something worth a line in the summary.
    pub(crate) fn count(&mut self, source: &'static str, what: &'static str) {
        *self.counts.entry((source, what)).or_default() += 1;
    }

    /// Adds a score to a file; the order of calls is the order of rows.
    pub(crate) fn score(&mut self, file: &'static str, row: [String; 10]) {
        self.scores.entry(file).or_default().push(row);
    }

    /// The generated files that are not written elsewhere.
    pub(crate) fn write(&mut self, output: &mut Output) -> Result<()> {
        let models = self.models.iter().map(|(id, facts)| {
            let cell = |column: &&'static str| {
                if *column == "id" { id.as_str() } else { facts.get(*column).map(String::as_str).unwrap_or_default() }
            };
            schema::MODELS.iter().map(cell).collect::<Vec<_>>()
        });
        output.csv("models.csv", schema::MODELS, models)?;
        output.csv("sources.csv", schema::SOURCES, self.sources.values())?;
        let aliases = self.aliases.iter().map(|(alias, (model, source))| [alias, model, source]);
        output.csv("aliases.csv", schema::ALIASES, aliases)?;
        output.csv("release_dates.csv", schema::RELEASE_DATES, &self.dates)?;
        for (file, rows) in &mut self.scores {
            // The index is fitted to its scores in the order of the source; the other files are sorted for review.
            if *file != "scores.csv" {
                rows.sort();
            }
            output.csv(file, schema::SCORES, &*rows)?;
        }
        output.csv("UNMATCHED.csv", &["name", "source", "why"], &self.unmatched)
    }

    /// What a developer should see after a run.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines = vec![format!("{} models, {} aliases", self.models.len(), self.aliases.len())];
        for (source, m) in &self.matches {
            let Matches { exact, alias, normalised, moving, ambiguous, unmatched } = m;
            lines.push(format!(
                "{source}: {exact} exact, {alias} by alias, {normalised} normalised, {moving} moving, {ambiguous} \
                 ambiguous, {unmatched} unmatched"
            ));
        }
        lines.extend(self.counts.iter().map(|((source, what), n)| format!("{source}: {n} {what}")));
        lines
    }
}

/// A name as the second part of an id: lower-case, separators become '-', dots stay between digits only.
pub(crate) fn slug(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut gap = false;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let dot_between_digits = c == '.'
            && out.chars().next_back().is_some_and(|last| last.is_ascii_digit())
            && chars.peek().is_some_and(char::is_ascii_digit);
        if c.is_ascii_alphanumeric() || dot_between_digits {
            if gap && !out.is_empty() {
                out.push('-');
            }
            gap = false;
            out.push(c.to_ascii_lowercase());
        } else {
            gap = true;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn a_slug_keeps_dots_between_digits() {
        assert_eq!(slug("GPT-5.6 Sol"), "gpt-5.6-sol");
        assert_eq!(slug("DeepSeek-V2 (MoE-236B, May 2024)"), "deepseek-v2-moe-236b-may-2024");
        assert_eq!(slug("open_llama_7b"), "open-llama-7b");
    }
}

//! Hosted models: who serves them, what their endpoints take, and which of them a short name stands for.

use std::collections::BTreeSet;
use std::str::FromStr;

use time::Date;
use weighbridge_core::{Dialect, Effort, EndpointFacts, Parameter, Provider, Quirk, ReasoningControl};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::glob;
use crate::table::{Place, Row};

/// A provider as its row states it.
#[derive(Clone, Debug)]
pub(crate) struct ProviderRow {
    pub place: Place,
    pub provider: Provider,
    pub aliases: Vec<String>,
    /// The share of its prices that a batch costs, for models that batch.
    pub batch_share: Option<f64>,
}

/// What models at a provider take, as its row states it.
#[derive(Clone, Debug)]
pub(crate) struct EndpointRow {
    pub place: Place,
    pub provider: String,
    /// Pattern of model names.
    pub models: String,
    pub facts: EndpointFacts,
    /// Whether these models can be asked in batches.
    pub batch: Option<bool>,
}

/// A short name, as its row states it.
#[derive(Clone, Debug)]
pub(crate) struct HostedRow {
    pub place: Place,
    pub alias: String,
    pub provider: String,
    pub model: String,
    pub starts: Date,
    pub source: String,
}

impl Catalog {
    /// Everyone who serves models over HTTP, ascending by id.
    pub fn providers(&self) -> impl ExactSizeIterator<Item = &Provider> {
        self.providers.values().map(|row| &row.provider)
    }

    /// The provider with that id or other name, whatever the case.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.provider_row(id).map(|row| &row.provider)
    }

    pub(crate) fn provider_row(&self, id: &str) -> Option<&ProviderRow> {
        let same = |name: &str| name.eq_ignore_ascii_case(id);
        self.providers.get(id).or_else(|| {
            self.providers.values().find(|row| same(&row.provider.id) || row.aliases.iter().any(|name| same(name)))
        })
    }

    /// What a model takes at a provider, by the name that the provider gives it; the default where nothing is known.
    #[must_use]
    pub fn endpoint_facts(&self, provider: &str, wire_model: &str) -> EndpointFacts {
        self.endpoint_row(provider, wire_model).map(|row| row.facts.clone()).unwrap_or_default()
    }

    pub(crate) fn endpoint_row(&self, provider: &str, wire_model: &str) -> Option<&EndpointRow> {
        let id = self.provider(provider).map_or(provider, |provider| provider.id.as_str());
        self.endpoints.iter().find(|row| row.provider == id && glob::matches(&row.models, wire_model))
    }

    /// The provider and its model that a short name (`chatgpt`, `claude`) stood for on a day, whatever the case. `None`
    /// where the name is not listed, or the day is before the first that is known.
    #[must_use]
    pub fn hosted_alias(&self, name: &str, day: Date) -> Option<(&str, &str)> {
        let row = self.hosted.iter().filter(|row| row.alias.eq_ignore_ascii_case(name) && row.starts <= day);
        row.max_by_key(|row| row.starts).map(|row| (row.provider.as_str(), row.model.as_str()))
    }

    /// The short names that [`Self::hosted_alias`] knows, each once, in order.
    pub fn hosted_aliases(&self) -> impl Iterator<Item = &str> {
        self.hosted.iter().map(|row| row.alias.as_str()).collect::<BTreeSet<_>>().into_iter()
    }
}

impl ProviderRow {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let dialects = named(row, "dialects", Dialect::from_name, "dialects, separated by '|'")?;
        if dialects.is_empty() {
            return Err(row.wrong("dialects", "at least one dialect"));
        }
        let provider = Provider {
            id: row.required("id")?.to_owned(),
            name: row.required("name")?.to_owned(),
            base_url: row.optional("base_url").map(str::to_owned),
            key_variables: row.list("key_variables"),
            key_required: truth(row, "key_required")?,
            dialects,
            router: truth(row, "router")?,
            batch: truth(row, "batch")?,
            quirks: named(row, "quirks", Quirk::from_name, "quirks, separated by '|'")?.into_iter().collect(),
            source: row.required("source")?.to_owned(),
        };
        Ok(Self { place: row.place, provider, aliases: row.list("aliases"), batch_share: row.number("batch_share")? })
    }
}

impl EndpointRow {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let efforts = named(row, "efforts", Effort::from_name, "levels of reasoning, separated by '|'")?;
        let budget = row.optional("budget").map(|text| budget(text).ok_or_else(|| row.wrong("budget", "fewest-most")));
        let (budget, off) = (budget.transpose()?, row.parsed::<bool>("off", "true or false")?);
        let known = !efforts.is_empty() || budget.is_some() || off.is_some();
        let facts = EndpointFacts {
            refuses: named(row, "refuses", Parameter::from_name, "settings, separated by '|'")?.into_iter().collect(),
            // Where it is not known whether reasoning can be turned off, it is not promised.
            reasoning: known.then(|| ReasoningControl { efforts, budget, off: off.unwrap_or(false) }),
            max_output: count(row, "max_output")?,
            max_stop: count(row, "max_stop")?,
            max_top_logprobs: count(row, "max_top_logprobs")?,
            context: count(row, "context")?,
            source: Some(row.required("source")?.to_owned()),
        };
        Ok(Self {
            place: row.place,
            provider: row.required("provider")?.to_owned(),
            models: row.required("models")?.to_owned(),
            facts,
            batch: row.parsed("batch", "true or false")?,
        })
    }
}

impl HostedRow {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            place: row.place,
            alias: row.required("alias")?.to_owned(),
            provider: row.required("provider")?.to_owned(),
            model: row.required("model")?.to_owned(),
            starts: row.date("starts")?.ok_or_else(|| row.wrong("starts", "a date YYYY-MM-DD"))?,
            source: row.required("source")?.to_owned(),
        })
    }
}

/// A list of names that stand for something, in the order of the row.
fn named<T>(
    row: &Row<'_>,
    column: &str,
    from_name: impl Fn(&str) -> Option<T>,
    expected: &str,
) -> Result<Vec<T>, CatalogError> {
    row.list(column).iter().map(|name| from_name(name).ok_or_else(|| row.wrong(column, expected))).collect()
}

fn truth(row: &Row<'_>, column: &str) -> Result<bool, CatalogError> {
    row.parsed(column, "true or false")?.ok_or_else(|| row.wrong(column, "true or false"))
}

fn count<T: FromStr>(row: &Row<'_>, column: &str) -> Result<Option<T>, CatalogError> {
    row.parsed(column, "a whole number")
}

/// `1024-64000` as its two ends.
fn budget(text: &str) -> Option<(u32, u32)> {
    let (least, most) = text.split_once('-')?;
    let (least, most) = (least.parse().ok()?, most.parse().ok()?);
    (least <= most).then_some((least, most))
}

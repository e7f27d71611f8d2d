//! What providers ask under their own names for models, as the rows of `offerings_*.csv` state it.

use std::collections::BTreeMap;

use weighbridge_core::{ModelId, PriceTier, TokenPrices, Usd};

use crate::error::CatalogError;
use crate::table::{Place, Row};

/// One price of a provider's name, as its row states it.
#[derive(Clone, Debug)]
pub(crate) struct OfferingRow {
    pub place: Place,
    pub provider: String,
    pub model_id: String,
    /// The release that the name plainly offers.
    pub model: Option<ModelId>,
    pub prices: TokenPrices,
}

/// Every price, by provider and by the provider's own name for the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offerings(BTreeMap<String, BTreeMap<String, Vec<OfferingRow>>>);

impl Offerings {
    pub(crate) fn new(rows: Vec<OfferingRow>) -> Self {
        let mut all: BTreeMap<String, BTreeMap<String, Vec<OfferingRow>>> = BTreeMap::new();
        for row in rows {
            let of_provider = match all.get_mut(&row.provider) {
                Some(names) => names,
                None => all.entry(row.provider.clone()).or_default(),
            };
            of_provider.entry(row.model_id.clone()).or_default().push(row);
        }
        Self(all)
    }

    /// The rows of a name: of each source in the order of its days.
    pub(crate) fn of(&self, provider: &str, model_id: &str) -> Option<&[OfferingRow]> {
        self.0.get(provider)?.get(model_id).map(Vec::as_slice)
    }

    /// The rows of every name that plainly offers a release at a provider.
    pub(crate) fn of_release<'a>(
        &'a self,
        provider: &str,
        model: &'a ModelId,
    ) -> impl Iterator<Item = &'a [OfferingRow]> {
        let names = self.0.get(provider).into_iter().flat_map(|names| names.values());
        names.map(Vec::as_slice).filter(move |rows| rows.iter().any(|row| row.model.as_ref() == Some(model)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &OfferingRow> {
        self.0.values().flat_map(BTreeMap::values).flatten()
    }
}

impl OfferingRow {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        let provider = row.required("provider")?.to_owned();
        let model_id = row.required("model_id")?.to_owned();
        let model = row.optional("model").map(ModelId::new);
        let prices = TokenPrices {
            input: row.usd("input")?.ok_or_else(|| row.wrong("input", "a price"))?,
            cached_input: row.usd("cached_input")?,
            cache_write: row.usd("cache_write")?,
            cache_write_1h: row.usd("cache_write_1h")?,
            output: row.usd("output")?.ok_or_else(|| row.wrong("output", "a price"))?,
            reasoning: row.usd("reasoning")?,
            batch_input: row.usd("batch_input")?,
            batch_output: row.usd("batch_output")?,
            tiers: tiers(row.text("tiers")).ok_or_else(|| {
                row.wrong("tiers", "above:input:cached_input:cache_write:output, shortest first, separated by '|'")
            })?,
            starts: row.date("starts")?,
            source: row.required("source")?.to_owned(),
        };
        Ok(Self { place: row.place, provider, model_id, model, prices })
    }

    /// Every price of the row, tiers included.
    pub(crate) fn all(&self) -> impl Iterator<Item = Usd> + '_ {
        let p = &self.prices;
        let optional = [p.cached_input, p.cache_write, p.cache_write_1h, p.reasoning, p.batch_input, p.batch_output];
        let tiers = p.tiers.iter().flat_map(|t| [Some(t.input), t.cached_input, t.cache_write, Some(t.output)]);
        [p.input, p.output].into_iter().chain(optional.into_iter().chain(tiers).flatten())
    }
}

/// The tiers of a row; `None` where they do not have their form or their order.
fn tiers(text: &str) -> Option<Vec<PriceTier>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let tiers: Vec<PriceTier> = text.split('|').map(tier).collect::<Option<_>>()?;
    tiers.windows(2).all(|pair| pair[0].above < pair[1].above).then_some(tiers)
}

fn tier(text: &str) -> Option<PriceTier> {
    let [above, input, cached_input, cache_write, output] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
    let usd = |text: &str| text.parse::<f64>().ok().filter(|usd| usd.is_finite()).map(Usd);
    let optional = |text: &str| if text.is_empty() { Some(None) } else { usd(text).map(Some) };
    Some(PriceTier {
        above: above.parse().ok()?,
        input: usd(input)?,
        cached_input: optional(cached_input)?,
        cache_write: optional(cache_write)?,
        output: usd(output)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_five_parts_and_ascend() {
        let read = |text: &str| tiers(text).map(|tiers| tiers.len());
        assert_eq!(read(""), Some(0));
        assert_eq!(read("200000:4:0.4::18"), Some(1));
        assert_eq!(read("200000:4:0.4::18|512000:6:::20"), Some(2));
        for bad in ["200000:4", "x:4:::18", "200000:::: 18", "1:4:::inf", "512000:6:::20|200000:4:0.4::18", "|"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(
            tiers("272000:10:1::45"),
            Some(vec![PriceTier {
                above: 272_000,
                input: Usd(10.0),
                cached_input: Some(Usd(1.0)),
                cache_write: None,
                output: Usd(45.0),
            }])
        );
    }
}

//! What tokens cost: prices of one model at one provider, and the dollars of a call.

use serde::{Deserialize, Serialize};
use time::Date;

use crate::{Usage, Usd};

/// Tokens that prices are stated for.
const PER: f64 = 1e6;

/// Prices in US dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenPrices {
    /// Input tokens.
    pub input: Usd,
    /// Input tokens read from a cache; `None` is unknown.
    pub cached_input: Option<Usd>,
    /// Input tokens written to a cache.
    pub cache_write: Option<Usd>,
    /// Input tokens written to a cache for an hour.
    pub cache_write_1h: Option<Usd>,
    /// Output tokens.
    pub output: Usd,
    /// Reasoning tokens where they have a price of their own; `None` where they cost what output costs.
    pub reasoning: Option<Usd>,
    /// Input tokens of a batch; `None` is unknown.
    pub batch_input: Option<Usd>,
    /// Output tokens of a batch; `None` is unknown.
    pub batch_output: Option<Usd>,
    /// Prices of longer prompts, shortest first.
    pub tiers: Vec<PriceTier>,
    /// Day from which they are known to hold.
    pub starts: Option<Date>,
    /// Id of the source in the catalog.
    pub source: String,
}

/// Prices that hold for the whole of a call whose prompt is longer than a number of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceTier {
    /// The prompt has more tokens than this.
    pub above: u64,
    /// Input tokens.
    pub input: Usd,
    /// Input tokens read from a cache.
    pub cached_input: Option<Usd>,
    /// Input tokens written to a cache.
    pub cache_write: Option<Usd>,
    /// Output tokens.
    pub output: Usd,
}

impl TokenPrices {
    /// Dollars of a call; `None` where a count or the price of a counted token is unknown.
    ///
    /// fresh x input + read x cached input + written x cache write + (output - reasoning) x output + reasoning x
    /// reasoning, per million. A host that states no cached tokens has read and written none. In a batch every price is
    /// lowered as the batch price of its side is: Anthropic's batch discount holds for caches too.
    #[must_use]
    pub fn cost(&self, usage: &Usage, batch: bool) -> Option<Usd> {
        let (input, output) = (usage.input?, usage.output?);
        let tier = self.tiers.iter().rev().find(|tier| input > tier.above);
        let (price_in, price_out) = tier.map_or((self.input, self.output), |t| (t.input, t.output));
        let price_read = tier.map_or(self.cached_input, |t| t.cached_input);
        let price_write = tier.map_or(self.cache_write, |t| t.cache_write);
        // A tier states no hour's price of its own: it is unknown there.
        let price_hour = if tier.is_some() { None } else { self.cache_write_1h };
        let price_reasoning = if tier.is_some() { None } else { self.reasoning }.unwrap_or(price_out);

        let read = usage.cache_read.unwrap_or(0);
        let hour = usage.cache_write_1h.unwrap_or(0);
        let written = usage.cache_write.unwrap_or(0).max(hour);
        let reasoning = usage.reasoning.unwrap_or(0).min(output);
        let fresh = input.checked_sub(read)?.checked_sub(written)?;
        let (share_in, share_out) = if batch {
            (share(self.batch_input?, self.input)?, share(self.batch_output?, self.output)?)
        } else {
            (1.0, 1.0)
        };
        let spent_in = fresh as f64 * price_in.0
            + times(read, price_read)?
            + times(written - hour, price_write)?
            + times(hour, price_hour)?;
        let spent_out = (output - reasoning) as f64 * price_out.0 + reasoning as f64 * price_reasoning.0;
        Some(Usd((spent_in * share_in + spent_out * share_out) / PER))
    }
}

/// No tokens cost nothing, even at an unknown price.
fn times(tokens: u64, price: Option<Usd>) -> Option<f64> {
    if tokens == 0 { Some(0.0) } else { price.map(|price| tokens as f64 * price.0) }
}

fn share(batch: Usd, plain: Usd) -> Option<f64> {
    if plain.0 > 0.0 { Some(batch.0 / plain.0) } else { (batch.0 == 0.0).then_some(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> TokenPrices {
        TokenPrices {
            input: Usd(2.0),
            cached_input: Some(Usd(0.2)),
            cache_write: Some(Usd(2.5)),
            cache_write_1h: Some(Usd(4.0)),
            output: Usd(10.0),
            reasoning: None,
            batch_input: Some(Usd(1.0)),
            batch_output: Some(Usd(5.0)),
            tiers: vec![PriceTier {
                above: 200_000,
                input: Usd(4.0),
                cached_input: Some(Usd(0.4)),
                cache_write: None,
                output: Usd(15.0),
            }],
            starts: None,
            source: "test".into(),
        }
    }

    #[test]
    fn a_call_costs_what_its_parts_cost() {
        let usage = |input, output| Usage { input: Some(input), output: Some(output), ..Usage::default() };
        let plain = usage(1_000_000, 100_000);
        for (usage, batch, expect) in [
            (usage(100_000, 100_000), false, Some(0.2 + 1.0)),
            (usage(200_000, 0), false, Some(0.4)),
            (usage(200_001, 0), false, Some(0.800_004)),
            (plain, false, Some(4.0 + 1.5)),
            (usage(100_000, 100_000), true, Some(0.1 + 0.5)),
            (Usage { cache_read: Some(50_000), ..usage(100_000, 0) }, false, Some(0.1 + 0.01)),
            (Usage { cache_read: Some(50_000), ..usage(100_000, 0) }, true, Some(0.05 + 0.005)),
            (
                Usage { cache_write: Some(60_000), cache_write_1h: Some(20_000), ..usage(100_000, 0) },
                false,
                Some(0.08 + 0.1 + 0.08),
            ),
            (Usage { cache_write: Some(1), ..plain }, false, None),
            (Usage { cache_read: Some(2), ..usage(1, 0) }, false, None),
            (Usage { output: None, ..plain }, false, None),
            (Usage::default(), false, None),
        ] {
            let cost = prices().cost(&usage, batch).map(|usd| (usd.0 * 1e9).round() / 1e9);
            assert_eq!(cost, expect.map(|usd: f64| (usd * 1e9).round() / 1e9), "{usage:?} batch {batch}");
        }
    }

    #[test]
    fn an_unknown_price_is_unknown() {
        let unknown = TokenPrices { cached_input: None, batch_input: None, ..prices() };
        let usage = Usage { input: Some(10), output: Some(1), cache_read: Some(1), ..Usage::default() };
        assert_eq!(unknown.cost(&usage, false), None);
        assert!(unknown.cost(&Usage { cache_read: None, ..usage }, false).is_some());
        assert_eq!(unknown.cost(&Usage { cache_read: None, ..usage }, true), None);
        let thinking = TokenPrices { reasoning: Some(Usd(30.0)), ..prices() };
        let usage = Usage { input: Some(0), output: Some(10), reasoning: Some(4), ..Usage::default() };
        assert!((thinking.cost(&usage, false).map_or(0.0, |usd| usd.0) - 180e-6).abs() < 1e-12);
    }
}

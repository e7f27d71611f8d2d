//! What the tokens of a call cost: the prices that a provider asks for a model under the provider's own name.

use weighbridge_core::TokenPrices;

use crate::catalog::Catalog;

impl Catalog {
    /// The history of what a provider asks for a model, by the name that the provider gives it, in order of the day from
    /// which each price holds. Empty where no price is known.
    #[must_use]
    pub fn token_prices(&self, provider: &str, wire_model: &str) -> Vec<TokenPrices> {
        let id = self.provider(provider).map_or(provider, |provider| provider.id.as_str());
        let found = self.resolve(wire_model);
        let of_provider =
            found.model().into_iter().flat_map(|model| self.prices_of(model)).filter(|p| p.provider == id);
        of_provider
            .map(|p| TokenPrices {
                input: p.input,
                cached_input: p.cached_input,
                cache_write: p.cache_write,
                cache_write_1h: None,
                output: p.output,
                reasoning: None,
                batch_input: p.batch_input,
                batch_output: p.batch_output,
                tiers: Vec::new(),
                starts: p.starts,
                source: p.source.clone(),
            })
            .collect()
    }
}

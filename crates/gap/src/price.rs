//! What the best open model near each closed one costs, as a ratio of prices per million tokens.
//!
//! A price is blended three parts input to one part output, as Artificial Analysis does. A model's price on a day is that
//! of its own lab where the lab sells it, otherwise the median over the providers that offer it plainly. An open model is
//! near a closed one when the draws cannot tell them apart: it is ahead in 5 to 95 % of them.

use std::collections::BTreeMap;

use serde::Serialize;
use time::{Date, Duration};
use weighbridge_catalog::{Catalog, Price};
use weighbridge_core::{Estimate, ModelId, Usd, format_date};
use weighbridge_stats::bootstrap::Resampler;
use weighbridge_stats::quantile::median;

use crate::board::{Board, Contestant};
use crate::frontier::{Entrant, Side};
use crate::summary::{LEVEL, with_interval, without_interval};

/// Parts of input for one part of output in a blended price.
const INPUT_PARTS: f64 = 3.0;
/// Open and closed are told apart when one leads in more than this share of the draws.
const TOLD_APART: f64 = 0.95;
/// Closed models older than this many days are not looked at: they are rarely a choice any more.
const RECENT_DAYS: i64 = 365;
/// Resamples of the pairs behind the interval of the ratio.
const RESAMPLES: u64 = 1000;
/// Seed of those resamples: the interval of a median needs no seed of the user's.
const SEED: u64 = 0;

/// What a model costs on a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelPrice {
    /// Blended dollars per million tokens.
    pub blended: Usd,
    /// Dollars per million input tokens.
    pub input: Usd,
    /// Dollars per million output tokens.
    pub output: Usd,
    /// The provider, or `median of k providers`.
    pub provider: String,
    /// Lowest blended price of any plain offering.
    pub cheapest: Usd,
    /// Providers with a price.
    pub providers: usize,
}

/// An open model matched to a closed one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PriceMatch {
    /// The closed model.
    pub closed: String,
    /// The best open model that the draws cannot tell apart from it.
    pub open: String,
    /// Score of the open model minus score of the closed one.
    pub score_difference: f64,
    /// Share of draws in which the open model is ahead.
    pub open_ahead: f64,
    /// Price of the closed model.
    pub closed_price: ModelPrice,
    /// Price of the open model.
    pub open_price: ModelPrice,
    /// Open price over closed price.
    pub ratio: f64,
}

/// The ratio and what it rests on.
pub struct PriceRatio {
    /// Median ratio over the pairs; `None` without a pair.
    pub ratio: Option<Estimate>,
    /// The pairs, best closed model first.
    pub matches: Vec<PriceMatch>,
    /// Models that would be in a pair but have no price.
    pub unpriced: Vec<String>,
    /// Oldest and newest price used.
    pub dates: Option<(String, String)>,
    /// Prices used by source.
    pub sources: Vec<(String, usize)>,
}

/// The price of a model on a day, with the rows used; `None` where no price is known.
#[must_use]
pub fn price_on<'a>(catalog: &'a Catalog, model: &ModelId, day: Date) -> Option<(ModelPrice, Vec<&'a Price>)> {
    let current: Vec<&Price> = catalog.prices_at(model, day).collect();
    let lab = catalog.model(model).and_then(|m| catalog.lab_of(m));
    let own = lab.and_then(|lab| {
        current.iter().find(|p| p.provider == lab.id || lab.aliases.iter().any(|a| a.eq_ignore_ascii_case(&p.provider)))
    });
    let blends: Vec<f64> = current.iter().map(|p| blend(p)).collect();
    let cheapest = Usd(blends.iter().copied().min_by(f64::total_cmp)?);
    let providers = current.len();
    if let Some(own) = own {
        let price = ModelPrice {
            blended: Usd(blend(own)),
            input: own.input,
            output: own.output,
            provider: own.provider.clone(),
            cheapest,
            providers,
        };
        return Some((price, vec![*own]));
    }
    let middle = |f: fn(&Price) -> f64| median(&current.iter().map(|p| f(p)).collect::<Vec<_>>()).ok().map(Usd);
    let price = ModelPrice {
        blended: middle(blend)?,
        input: middle(|p| p.input.0)?,
        output: middle(|p| p.output.0)?,
        provider: format!("median of {providers} providers"),
        cheapest,
        providers,
    };
    Some((price, current))
}

fn blend(price: &Price) -> f64 {
    (INPUT_PARTS * price.input.0 + price.output.0) / (INPUT_PARTS + 1.0)
}

/// Matches each recent closed model with the best open one near it and compares their prices.
#[must_use]
pub fn price_ratio(catalog: &Catalog, board: &Board, open: &Side, closed: &Side, as_of: Date) -> PriceRatio {
    let mut found =
        PriceRatio { ratio: None, matches: Vec::new(), unpriced: Vec::new(), dates: None, sources: Vec::new() };
    let mut rows: Vec<&Price> = Vec::new();
    let oldest = (as_of - Duration::days(RECENT_DAYS)).to_julian_day();
    let mut recent: Vec<&Entrant> = closed.entrants().iter().filter(|e| e.day >= oldest).collect();
    recent.sort_by(|a, b| board.scores[b.column].total_cmp(&board.scores[a.column]));
    let name = |column: usize| -> &Contestant { &board.contestants[column] };
    for entrant in recent {
        let c = entrant.column;
        let Some((near, ahead)) = best_near(board, open, c) else { continue };
        let prices = (price_on(catalog, &name(c).id, as_of), price_on(catalog, &name(near).id, as_of));
        for (column, price) in [(c, &prices.0), (near, &prices.1)] {
            if price.is_none() && !found.unpriced.contains(&name(column).name) {
                found.unpriced.push(name(column).name.clone());
            }
        }
        let (Some((closed_price, closed_rows)), Some((open_price, open_rows))) = prices else { continue };
        rows.extend(closed_rows);
        rows.extend(open_rows);
        found.matches.push(PriceMatch {
            closed: name(c).name.clone(),
            open: name(near).name.clone(),
            score_difference: board.scores[near] - board.scores[c],
            open_ahead: ahead,
            ratio: open_price.blended.0 / closed_price.blended.0,
            closed_price,
            open_price,
        });
    }
    found.ratio = median_ratio(&found.matches);
    let mut dates: Vec<Date> = rows.iter().filter_map(|p| p.starts).collect();
    dates.sort_unstable();
    found.dates = dates.first().zip(dates.last()).map(|(a, b)| (format_date(*a), format_date(*b)));
    let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
    rows.sort_by_key(|p| p.place);
    rows.dedup_by_key(|p| p.place);
    for row in rows {
        *sources.entry(&row.source).or_insert(0) += 1;
    }
    found.sources = sources.into_iter().map(|(id, n)| (id.to_owned(), n)).collect();
    found
}

/// The highest-scoring open model that the draws cannot tell apart from column `c`, and how often it is ahead.
fn best_near(board: &Board, open: &Side, c: usize) -> Option<(usize, f64)> {
    let draws = board.draws.len().max(1) as f64;
    let candidates = open.entrants().iter().map(|o| {
        let ahead = board.draws.rows().filter(|row| row[o.column] > row[c]).count() as f64 / draws;
        (o.column, ahead)
    });
    candidates
        .filter(|&(_, ahead)| (1.0 - TOLD_APART..=TOLD_APART).contains(&ahead))
        .max_by(|a, b| board.scores[a.0].total_cmp(&board.scores[b.0]))
}

/// Median over the pairs; its interval from resampling the pairs.
fn median_ratio(matches: &[PriceMatch]) -> Option<Estimate> {
    let ratios: Vec<f64> = matches.iter().map(|m| m.ratio).collect();
    let value = median(&ratios).ok()?;
    let method = format!(
        "median over {} closed models of the last year, each with the best open model that the draws cannot tell apart; interval from resampling the pairs",
        ratios.len()
    );
    if ratios.len() < 2 {
        return Some(without_interval(value, ratios.len(), &method));
    }
    let draws: Vec<f64> = (0..RESAMPLES)
        .filter_map(|k| {
            let mut random = Resampler::new(SEED, k);
            let sample: Vec<f64> = (0..ratios.len()).map(|_| ratios[random.row(ratios.len())]).collect();
            median(&sample).ok()
        })
        .collect();
    let mut estimate = with_interval(value, &draws, &method).ok()?;
    debug_assert!((estimate.level - LEVEL).abs() < f64::EPSILON);
    estimate.n = ratios.len() as u64;
    Some(estimate)
}

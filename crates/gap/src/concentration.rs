//! Who holds a frontier: the share of days by lab or country, and how concentrated that is.
//!
//! The Herfindahl index is the sum of squared shares: 1 when one holder has every day, 1/k when k share them evenly.

use std::collections::BTreeMap;

use serde::Serialize;
use weighbridge_core::Estimate;
use weighbridge_stats::StatError;
use weighbridge_stats::concentration::Concentration as DayShares;

use crate::frontier::Frontier;
use crate::summary::{mean, without_interval};

/// Holders with a smaller share of days than this in every draw are not worth a row.
const SMALLEST: f64 = 0.005;

/// Shares of the days of a window, and their concentration.
#[derive(Clone, Debug, Serialize)]
pub struct Concentration {
    /// Share of days by holder, largest first, as fractions.
    pub shares: Vec<Share>,
    /// Sum of squared shares, between 0 and 1.
    pub herfindahl: Estimate,
}

impl Concentration {
    /// The same numbers with no interval, and why: one frontier alone tells nothing about its own uncertainty.
    #[must_use]
    pub fn without_intervals(mut self, method: &str) -> Self {
        let estimates = self.shares.iter_mut().map(|row| &mut row.share).chain([&mut self.herfindahl]);
        for estimate in estimates {
            *estimate = without_interval(estimate.value, estimate.n as usize, method);
        }
        self
    }
}

/// One holder's share.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// Lab or country.
    pub holder: String,
    /// Share of the days.
    pub share: Estimate,
}

/// Shares of the days of `window` by `holder` of the record's column, averaged over `frontiers` (one a draw).
///
/// # Errors
/// There is no frontier, or none stands on any day of the window.
pub fn concentration<'a>(
    frontiers: &[&Frontier],
    window: (i32, i32),
    holder: &dyn Fn(usize) -> &'a str,
    method: &str,
) -> Result<Concentration, StatError> {
    let mut shares: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut herfindahl = Vec::with_capacity(frontiers.len());
    for (k, frontier) in frontiers.iter().enumerate() {
        let mut days: BTreeMap<&str, f64> = BTreeMap::new();
        for (step, held) in frontier.days_held(window.0, window.1) {
            *days.entry(holder(step.column)).or_insert(0.0) += f64::from(held);
        }
        let amounts: Vec<f64> = days.values().copied().collect();
        let of_draw = DayShares::of(&amounts)?;
        herfindahl.push(of_draw.herfindahl);
        for (name, share) in days.keys().zip(&of_draw.shares) {
            shares.entry(name).or_insert_with(|| vec![0.0; frontiers.len()])[k] = *share;
        }
    }
    let method = format!("share of the days of the window, mean over draws; {method}");
    let mut rows = shares
        .into_iter()
        .map(|(name, draws)| Ok(Share { holder: name.to_owned(), share: mean(&draws, &method)? }))
        .collect::<Result<Vec<_>, StatError>>()?;
    rows.retain(|row| row.share.value >= SMALLEST);
    rows.sort_by(|a, b| b.share.value.total_cmp(&a.share.value).then_with(|| a.holder.cmp(&b.holder)));
    Ok(Concentration { shares: rows, herfindahl: mean(&herfindahl, &method)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontier::{Entrant, Side};

    #[test]
    fn days_are_shared_and_concentration_follows() {
        let side = Side::new(vec![Entrant { day: 0, column: 0 }, Entrant { day: 75, column: 1 }]);
        let frontier = side.frontier(&[1.0, 2.0]);
        let names = ["a", "b"];
        let found = concentration(&[&frontier, &frontier], (0, 99), &|c| names[c], "test").unwrap();
        assert_eq!(found.shares[0].holder, "a");
        assert!((found.shares[0].share.value - 0.75).abs() < 1e-12);
        assert!((found.herfindahl.value - (0.75f64.powi(2) + 0.25f64.powi(2))).abs() < 1e-12);
        let bare = found.clone().without_intervals("none");
        assert_eq!((bare.herfindahl.value, bare.herfindahl.lower), (found.herfindahl.value, None));
        assert!(bare.shares.iter().all(|s| s.share.lower.is_none() && s.share.upper.is_none()));
        assert!(concentration(&[&frontier], (-9, -1), &|c| names[c], "test").is_err());
    }
}

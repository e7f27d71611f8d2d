//! A limit of dollars over all models of a run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weighbridge_core::Usd;

/// What has been spent, and how much may be.
///
/// A call is sent only while less than the limit is spent, so the limit is overrun by no more than the calls in flight. An
/// attempt that broke off may have been billed without a word: it counts with the most that it can have cost.
#[derive(Debug, Default)]
pub struct Spend {
    limit: Option<f64>,
    spent: Mutex<Spent>,
}

/// What has been spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Dollars, of the calls whose cost is known.
    pub usd: f64,
    /// Calls that were answered at an unknown cost, and attempts that broke off and may have cost nobody knows what.
    pub unknown: u64,
    /// Most dollars that attempts may have cost besides, which broke off after they were sent.
    pub possible: f64,
    /// Attempts that broke off, at known prices and at unknown ones.
    pub broken: u64,
}

/// An attempt that is about to be sent. Dropped without a word, as when a run is given up, it counts as broken off.
#[derive(Debug)]
pub(crate) struct Charge<'a> {
    spend: &'a Spend,
    most: Option<Usd>,
    open: bool,
}

impl Spend {
    /// With a limit, or without one.
    #[must_use]
    pub fn new(limit: Option<Usd>) -> Self {
        Self { limit: limit.map(|usd| usd.0), spent: Mutex::default() }
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> Option<Usd> {
        self.limit.map(Usd)
    }

    /// What has been spent so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        *self.lock()
    }

    /// Begins an attempt that costs at most so much, or says why none may be sent any more.
    pub(crate) fn begin(&self, most: Option<Usd>) -> Result<Charge<'_>, String> {
        match self.closed() {
            None => Ok(Charge { spend: self, most, open: true }),
            Some(why) => Err(why),
        }
    }

    /// Why no further call may be sent; `None` while it may.
    pub(crate) fn closed(&self) -> Option<String> {
        let (limit, spent) = (self.limit?, self.spent());
        if spent.unknown > 0 {
            return Some(format!("calls of unknown cost: {}, so --max-cost cannot be kept", spent.unknown));
        }
        if spent.usd + spent.possible < limit {
            return None;
        }
        let (usd, limit) = (Usd(spent.usd), Usd(limit));
        Some(if spent.broken == 0 {
            format!("{usd} of {limit} are spent")
        } else {
            let (possible, broken) = (Usd(spent.possible), spent.broken);
            format!("{usd} of {limit} are spent, and up to {possible} more by {broken} attempts that broke off")
        })
    }

    /// Counts what was answered in a batch, at whatever time it was sent.
    pub(crate) fn add(&self, cost: Option<Usd>) {
        let mut spent = self.lock();
        match cost {
            Some(usd) => spent.usd += usd.0,
            None => spent.unknown += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge<'_> {
    /// It was answered.
    pub(crate) fn answered(mut self, cost: Option<Usd>) {
        self.open = false;
        self.spend.add(cost);
    }

    /// It was refused before anything was done for it.
    pub(crate) fn free(mut self) {
        self.open = false;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if self.open {
            let mut spent = self.spend.lock();
            spent.broken += 1;
            match self.most {
                Some(most) => spent.possible += most.0,
                None => spent.unknown += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_closes_on_what_is_spent_and_on_what_may_be() {
        let most = Some(Usd(0.5));
        for (cost, broken, expect) in [
            (Some(0.4), 0, None),
            (Some(1.0), 0, Some("$1.00 of $1.00 are spent")),
            (Some(0.4), 1, None),
            (Some(0.4), 2, Some("$0.400 of $1.00 are spent, and up to $1.00 more by 2 attempts that broke off")),
            (None, 0, Some("calls of unknown cost: 1, so --max-cost cannot be kept")),
        ] {
            let spend = Spend::new(Some(Usd(1.0)));
            let charges: Vec<_> = (0..broken).map(|_| spend.begin(most).unwrap()).collect();
            spend.begin(most).unwrap().free();
            spend.begin(most).unwrap().answered(cost.map(Usd));
            drop(charges);
            assert_eq!(spend.closed().as_deref(), expect, "{cost:?} {broken}");
        }
        let spend = Spend::new(Some(Usd(1.0)));
        drop(spend.begin(None).unwrap());
        assert!(spend.closed().is_some(), "a break-off at an unknown price is not free");
    }
}

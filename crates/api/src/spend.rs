//! A limit of dollars over all models of a run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weighbridge_core::Usd;

/// What has been spent, and how much may be.
///
/// A call is sent only while less than the limit is spent, so the limit is overrun by no more than the calls in flight.
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
    /// Calls whose cost is unknown.
    pub unknown: u64,
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

    /// Why no further call may be sent; `None` while it may.
    pub(crate) fn closed(&self) -> Option<String> {
        let (limit, spent) = (self.limit?, self.spent());
        if spent.unknown > 0 {
            return Some(format!(
                "{} calls were answered at an unknown cost, so --max-cost cannot be kept",
                spent.unknown
            ));
        }
        (spent.usd >= limit).then(|| format!("{} of {} are spent", Usd(spent.usd), Usd(limit)))
    }

    /// Counts an answered call.
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

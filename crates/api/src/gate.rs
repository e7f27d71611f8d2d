//! How many requests a provider has at once, and when it has had enough.
//!
//! The number of requests in flight grows by one for each answer until the first sign of a limit (slow start), afterwards
//! by one for each round of answers, and falls to seven tenths at a limit (additive increase, multiplicative decrease:
//! Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989).
//! What a provider's headers say about what is left until a reset is kept to.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use tokio::sync::Notify;

use crate::limits::{Left, left_in};

/// Requests in flight at the start.
const FIRST: f64 = 16.0;
/// What is left of the number of requests in flight at a limit.
const CUT: f64 = 0.7;
/// Cuts closer together than this count as one: they answer the same burst.
const CUT_ONCE_IN: Duration = Duration::from_secs(1);

/// Lets so many requests through.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    limit: f64,
    most: f64,
    growing_fast: bool,
    last_cut: Option<Instant>,
    paused_until: Option<Instant>,
    left: Left,
}

/// A place among the requests in flight; it is given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        let state = State {
            in_flight: 0,
            limit: FIRST.min(most),
            most,
            growing_fast: true,
            last_cut: None,
            paused_until: None,
            left: Left::default(),
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self, tokens: u64) -> Place<'_> {
        loop {
            // Before the look at the state, so that no change in between is missed.
            let changed = self.changed.notified();
            let entry = self.state().try_enter(Instant::now(), tokens);
            let until = match entry {
                Entry::In => return Place(self),
                Entry::At(until) => until,
                Entry::WhenChanged => {
                    changed.await;
                    continue;
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = changed => {}
            }
        }
    }

    /// An answer came.
    pub(crate) fn answered(&self, headers: &HeaderMap) {
        let mut state = self.state();
        let step = if state.growing_fast { 1.0 } else { 1.0 / state.limit };
        let before = state.limit.floor();
        state.limit = (state.limit + step).min(state.most);
        state.left.learn(left_in(headers, Instant::now()));
        let grown = state.limit.floor() > before;
        drop(state);
        if grown {
            self.changed.notify_one();
        }
    }

    /// The provider has had enough; with a wait that it asked for, nobody enters before it is over.
    pub(crate) fn limited(&self, headers: &HeaderMap, wait: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state();
        state.growing_fast = false;
        if state.last_cut.is_none_or(|cut| now.duration_since(cut) > CUT_ONCE_IN) {
            state.limit = (state.limit * CUT).max(1.0);
            state.last_cut = Some(now);
        }
        if let Some(until) = wait.and_then(|wait| now.checked_add(wait)) {
            state.paused_until = Some(state.paused_until.map_or(until, |old| old.max(until)));
        }
        state.left.learn(left_in(headers, now));
    }

    /// Requests that may be in flight now.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit as usize
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Entry {
    In,
    At(Instant),
    WhenChanged,
}

impl State {
    fn try_enter(&mut self, now: Instant, tokens: u64) -> Entry {
        if let Some(until) = self.paused_until {
            if now < until {
                return Entry::At(until);
            }
            self.paused_until = None;
        }
        if self.in_flight >= (self.limit as usize).max(1) {
            return Entry::WhenChanged;
        }
        if let Some(until) = self.left.wait_until(now, tokens) {
            return Entry::At(until);
        }
        self.left.take(tokens);
        self.in_flight += 1;
        Entry::In
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.0.changed.notify_one();
    }
}

//! How many requests a provider has at once, and when it has had enough.
//!
//! The number of requests in flight grows by one for each answer (slow start) until the first sign of a limit; at a limit
//! it falls to seven tenths, from where it grows by one for each round of answers (additive increase, multiplicative
//! decrease: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer
//! Networks", 1989). Requests of one model enter in the order in which they came: only the first of them waits for the
//! gate, the others wait for its turn, so no wake-up is lost and none is shared by thousands.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::{Budgets, Need, Sent};

/// Requests in flight at the start.
const FIRST: f64 = 16.0;
/// What is left of the number of requests in flight at a limit.
const CUT: f64 = 0.7;
/// What of that starts at once after a pause; the rest follows the answers, as at the start.
const AFTER_PAUSE: f64 = 0.25;

/// Lets so many requests through to one provider.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    /// Signals to the first request of each lane that it should look again.
    changed: Notify,
    lanes: Mutex<BTreeMap<String, Arc<Lane>>>,
    /// Resets that are further away are not waited for.
    longest: Duration,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    limit: f64,
    most: f64,
    /// Below this the limit grows fast.
    threshold: f64,
    /// Requests that entered before this answer for the limit as it was.
    last_cut: Option<Instant>,
}

/// The requests of one model: providers limit each by itself.
#[derive(Debug)]
pub(crate) struct Lane {
    state: Mutex<LaneState>,
    /// Held by the request that enters next.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct LaneState {
    paused_until: Option<Instant>,
    budgets: Budgets,
}

/// A place among the requests in flight; it is given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    gate: &'a Gate,
    lane: &'a Lane,
    entered: Instant,
    sent: Sent,
}

impl Gate {
    /// A gate for at most so many requests; resets further away than `longest` are not waited for.
    pub(crate) fn new(most: usize, longest: Duration) -> Self {
        let most = most.max(1) as f64;
        let limit = FIRST.min(most);
        let state = State { in_flight: 0, limit, most, threshold: most, last_cut: None };
        Self { state: Mutex::new(state), changed: Notify::new(), lanes: Mutex::default(), longest }
    }

    /// The lane of a model.
    pub(crate) fn lane(&self, model: &str) -> Arc<Lane> {
        let mut lanes = lock(&self.lanes);
        let new = || {
            let state = LaneState { paused_until: None, budgets: Budgets::new(self.longest) };
            Arc::new(Lane { state: Mutex::new(state), turn: tokio::sync::Mutex::default() })
        };
        Arc::clone(lanes.entry(model.to_owned()).or_insert_with(new))
    }

    /// Waits for a place. Given up at any point, nothing is held.
    pub(crate) async fn enter<'a>(&'a self, lane: &'a Lane, need: Need) -> Place<'a> {
        let _turn = lane.turn.lock().await;
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on changes are noticed, so that none between the look and the wait is missed.
            changed.as_mut().enable();
            match self.try_enter(lane, Instant::now(), need) {
                Entry::In(place) => return place,
                Entry::WhenChanged => changed.await,
                Entry::At(until) => tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = changed => {}
                },
            }
        }
    }

    fn try_enter<'a>(&'a self, lane: &'a Lane, now: Instant, need: Need) -> Entry<'a> {
        let mut of_lane = lock(&lane.state);
        let paused = of_lane.paused_until.filter(|&until| until > now);
        if let Some(until) = paused.max(of_lane.budgets.wait_until(now, need)) {
            return Entry::At(until);
        }
        let mut state = lock(&self.state);
        if state.in_flight >= (state.limit as usize).max(1) {
            return Entry::WhenChanged;
        }
        state.in_flight += 1;
        let sent = of_lane.budgets.send(need);
        Entry::In(Place { gate: self, lane, entered: now, sent })
    }

    /// Requests that may be in flight now.
    pub(crate) fn limit(&self) -> usize {
        lock(&self.state).limit as usize
    }
}

enum Entry<'a> {
    In(Place<'a>),
    At(Instant),
    WhenChanged,
}

impl Place<'_> {
    /// An answer came, of so many tokens where the host says.
    pub(crate) fn answered(&self, headers: &HeaderMap, output: Option<u64>) {
        let mut lane = lock(&self.lane.state);
        lane.budgets.learn(headers, self.sent, Instant::now());
        if let Some(output) = output {
            lane.budgets.answered(output);
        }
        drop(lane);
        lock(&self.gate.state).grow(self.entered);
    }

    /// The provider has had enough; with a wait that it asked for, no request of this model enters before it is over.
    pub(crate) fn limited(&self, headers: &HeaderMap, wait: Option<Duration>) {
        let now = Instant::now();
        let until = wait.and_then(|wait| now.checked_add(wait));
        lock(&self.gate.state).cut(self.entered, now, until.is_some());
        let mut lane = lock(&self.lane.state);
        lane.paused_until = lane.paused_until.max(until);
        lane.budgets.learn(headers, self.sent, now);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.gate.state).in_flight -= 1;
        // Whatever has changed since the last look is seen now: limits change only while a place is held.
        self.gate.changed.notify_waiters();
    }
}

impl State {
    fn grow(&mut self, entered: Instant) {
        // Answers to what was sent before a cut say nothing about what fits since; nor do answers where nobody waited.
        let old = self.last_cut.is_some_and(|cut| entered < cut);
        if old || (self.in_flight as f64) < self.limit / 2.0 {
            return;
        }
        let step = if self.limit < self.threshold { 1.0 } else { 1.0 / self.limit };
        self.limit = (self.limit + step).min(self.most);
    }

    /// Cuts once for all refusals of what was in flight together.
    fn cut(&mut self, entered: Instant, now: Instant, paused: bool) {
        if self.last_cut.is_some_and(|cut| entered < cut) {
            return;
        }
        self.last_cut = Some(now);
        self.threshold = (self.limit * CUT).max(1.0);
        self.limit = if paused { (self.threshold * AFTER_PAUSE).max(1.0) } else { self.threshold };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use tokio::task::{JoinSet, yield_now};
    use tokio::time::sleep;

    use super::*;

    const NEED: Need = Need { input: 10, output: 10 };
    const LONGEST: Duration = Duration::from_mins(10);

    fn gate(most: usize) -> (Arc<Gate>, Arc<Lane>) {
        let gate = Arc::new(Gate::new(most, LONGEST));
        let lane = gate.lane("m");
        (gate, lane)
    }

    /// True where a request could enter after so many seconds; it does not stay.
    fn enters(gate: &Gate, lane: &Lane, seconds: u64) -> bool {
        let now = Instant::now() + Duration::from_secs(seconds);
        matches!(gate.try_enter(lane, now, NEED), Entry::In(_))
    }

    #[tokio::test]
    async fn thousands_enter_in_the_order_in_which_they_came() {
        let (gate, lane) = gate(16);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for i in 0..5000 {
            let (gate, lane, order) = (Arc::clone(&gate), Arc::clone(&lane), Arc::clone(&order));
            tasks.spawn(async move {
                let place = gate.enter(&lane, NEED).await;
                lock(&order).push(i);
                assert!(lock(&gate.state).in_flight <= 16);
                sleep(Duration::from_micros(10)).await;
                place.answered(&HeaderMap::new(), Some(1));
            });
        }
        while tasks.join_next().await.is_some() {}
        assert!(lock(&order).iter().copied().eq(0..5000));
        assert_eq!(lock(&gate.state).in_flight, 0);
    }

    #[tokio::test]
    async fn those_who_give_up_while_they_wait_stop_nobody() {
        let (gate, lane) = gate(1);
        let place = gate.enter(&lane, NEED).await;
        let waiting = |_| {
            let (gate, lane) = (Arc::clone(&gate), Arc::clone(&lane));
            tokio::spawn(async move { drop(gate.enter(&lane, NEED).await) })
        };
        let tasks: Vec<_> = (0..10).map(waiting).collect();
        yield_now().await;
        // The first is gone before its turn, the second after it was told, others in between.
        tasks[0].abort();
        drop(place);
        tasks[1].abort();
        tasks[5].abort();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_err(), [0, 1, 5].contains(&i), "{i}");
        }
        assert_eq!(lock(&gate.state).in_flight, 0);
    }

    #[tokio::test]
    async fn nobody_enters_in_a_pause_and_few_at_its_end() {
        let (gate, lane) = gate(64);
        let mut places = Vec::new();
        for _ in 0..16 {
            places.push(gate.enter(&lane, NEED).await);
        }
        for place in &places {
            place.limited(&HeaderMap::new(), Some(Duration::from_secs(10)));
        }
        drop(places);
        assert!(!enters(&gate, &lane, 0) && !enters(&gate, &lane, 9));
        let other = gate.lane("another model");
        assert!(enters(&gate, &other, 0), "limits of one model are not those of another");
        // 16 x 0.7 x 0.25
        assert_eq!(gate.limit(), 2);
        assert!(enters(&gate, &lane, 11));
        lock(&lane.state).paused_until = None;
        let first = gate.enter(&lane, NEED).await;
        let second = gate.enter(&lane, NEED).await;
        assert!(!enters(&gate, &lane, 0));
        first.answered(&HeaderMap::new(), None);
        second.answered(&HeaderMap::new(), None);
        assert_eq!(gate.limit(), 4);
    }

    #[tokio::test]
    async fn the_limit_falls_once_for_a_burst_and_grows_slowly_after_it() {
        let (gate, lane) = gate(100);
        let mut limits = vec![gate.limit()];
        let mut places = Vec::new();
        for _ in 0..16 {
            places.push(gate.enter(&lane, NEED).await);
        }
        for place in &places {
            place.answered(&HeaderMap::new(), None);
        }
        limits.push(gate.limit());
        for place in &places {
            place.limited(&HeaderMap::new(), None);
        }
        limits.push(gate.limit());
        // Answers to what was sent before say nothing about what fits now.
        for place in &places {
            place.answered(&HeaderMap::new(), None);
        }
        limits.push(gate.limit());
        drop(places);
        let mut places = Vec::new();
        for _ in 0..22 {
            places.push(gate.enter(&lane, NEED).await);
        }
        // One more for a round of answers.
        for place in &places {
            place.answered(&HeaderMap::new(), None);
        }
        limits.push(gate.limit());
        drop(places);
        // One request at a time does not prove that a hundred fit.
        for _ in 0..1000 {
            gate.enter(&lane, NEED).await.answered(&HeaderMap::new(), None);
        }
        limits.push(gate.limit());
        assert_eq!(limits, [16, 32, 22, 22, 23, 23]);
    }

    #[tokio::test]
    async fn an_empty_budget_is_waited_for_and_no_longer() {
        let (gate, lane) = gate(16);
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("1"));
        headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("5s"));
        gate.enter(&lane, NEED).await.answered(&headers, None);
        assert!(enters(&gate, &lane, 0), "one was left");
        assert!(!enters(&gate, &lane, 0) && !enters(&gate, &lane, 4));
        assert!(enters(&gate, &lane, 6));
    }
}

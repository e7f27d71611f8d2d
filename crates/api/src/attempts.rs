//! The attempts of one call: a place at the gate, the money, the request over HTTP, and what follows from how it ends.

use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use reqwest::header::HeaderMap;
use weighbridge_core::{Attempt, CallState, ErrorClass, Usage, Usd};

use crate::dialect::{Delivery, Wire, shortened};
use crate::endpoint::Endpoint;
use crate::gate::{Gate, Lane, Place};
use crate::hosted::{Call, Tariff};
use crate::limits::Need;
use crate::retry::{History, RetryPolicy, stated_wait};
use crate::spend::{Charge, Spend};
use crate::transport::{Attempted, Failure, Watch, attempt, header, prepare};

/// What all attempts of a call go through.
pub(crate) struct Way<'a> {
    pub(crate) client: &'a Client,
    pub(crate) wire: &'a dyn Wire,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) gate: &'a Gate,
    pub(crate) lane: &'a Lane,
    pub(crate) spend: &'a Spend,
    pub(crate) policy: &'a RetryPolicy,
}

impl Way<'_> {
    /// Sends the request of a call until it is answered or given up.
    pub(crate) async fn send(&self, call: &mut Call, body: Vec<u8>, delivery: Delivery, watch: &mut Watch<'_>) {
        let most_output = call.request.max_tokens as u64;
        // Four bytes a token is what English takes; the host's own count corrects the next ones.
        let need = Need { input: body.len() as u64 / 4, output: most_output };
        let most = self.most(body.len() as u64, most_output);
        let prepared = match prepare(self.client, self.wire, self.endpoint, body, delivery) {
            Ok(prepared) => prepared,
            Err(failure) => return call.stopped(failure.class, failure.message),
        };
        let mut history = History::default();
        let wanted = Instant::now();
        let mut working = Duration::ZERO;
        loop {
            let Paid { place, charge } = match self.enter(need, most).await {
                Ok(paid) => paid,
                Err(why) => return call.stopped(ErrorClass::SpendLimit, why),
            };
            let begun = Instant::now();
            call.timing.queue = (begun - wanted).saturating_sub(working).as_secs_f64();
            let attempted = attempt(self.client, self.wire, self.endpoint, &call.request, &prepared, watch).await;
            working += begun.elapsed();
            let wait = self.conclude(call, attempted, charge, &place, need, &mut history);
            drop(place);
            let Some(wait) = wait else { return };
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits for a place and takes the money for it.
    async fn enter(&self, need: Need, most: Option<Usd>) -> Result<Paid<'_>, String> {
        // Nobody waits for a place that could not be paid.
        if let Some(why) = self.spend.closed() {
            return Err(why);
        }
        let place = self.gate.enter(self.lane, need).await;
        Ok(Paid { charge: self.spend.begin(most)?, place })
    }

    /// Most dollars that an attempt can cost: no tokenizer makes more tokens than there are bytes.
    fn most(&self, input: u64, output: u64) -> Option<Usd> {
        let usage = Usage { input: Some(input), output: Some(output), ..Usage::default() };
        self.endpoint.prices_on(today())?.cost(&usage, false)
    }

    /// Takes in an attempt; returns how long to wait for the next one, `None` at the end.
    fn conclude(
        &self,
        call: &mut Call,
        attempted: Attempted,
        charge: Charge<'_>,
        place: &Place<'_>,
        need: Need,
        history: &mut History,
    ) -> Option<Duration> {
        let mut entry = Attempt {
            sent: attempted.sent,
            seconds: attempted.seconds,
            status: attempted.status,
            request_id: self.request_id(&attempted.headers),
            ..Attempt::default()
        };
        call.timing.latency = attempted.seconds;
        call.timing.first_token = attempted.first_token;
        let failure = match attempted.outcome {
            Ok(reply) => {
                place.answered(&attempted.headers, reply.usage.output);
                call.attempts.push(entry);
                call.answered(self.endpoint, reply, Tariff::Plain, today());
                charge.answered(call.cost.usd);
                return None;
            }
            Err(failure) => failure,
        };
        if !failure.maybe_billed {
            charge.free();
        }
        let wait = self.wait(&failure, &attempted.headers, place, need, history);
        entry.error = Some(failure.class);
        entry.message = Some(failure.message);
        entry.waited = wait.map(|wait| wait.as_secs_f64());
        call.attempts.push(entry);
        if wait.is_none() {
            call.state = CallState::ProviderError;
        }
        wait
    }

    fn wait(
        &self,
        failure: &Failure,
        headers: &HeaderMap,
        place: &Place<'_>,
        need: Need,
        history: &mut History,
    ) -> Option<Duration> {
        let stated = stated_wait(failure, headers, need, SystemTime::now());
        let wait = history.next(self.policy, failure, headers, stated, random_share());
        if matches!(failure.class, ErrorClass::RateLimit | ErrorClass::Overloaded) {
            place.limited(headers, stated.filter(|_| wait.is_some()));
        }
        wait
    }

    fn request_id(&self, headers: &HeaderMap) -> Option<String> {
        let mut id = shortened(["x-request-id", "request-id"].into_iter().find_map(|name| header(headers, name))?);
        if let Some(key) = &self.endpoint.key {
            key.masked_text(&mut id);
        }
        Some(id)
    }
}

/// A place that can be paid.
struct Paid<'a> {
    place: Place<'a>,
    // Taken apart in this order, it is dropped before the place: who enters next sees what was spent.
    charge: Charge<'a>,
}

pub(crate) fn today() -> time::Date {
    time::OffsetDateTime::now_utc().date()
}

/// A random number from 0 to 1, for jitter.
pub(crate) fn random_share() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness of the system the longest wait is right too.
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

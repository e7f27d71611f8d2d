//! A hosted model that can be asked: places, attempts, retries, cost, cache, one record a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use weighbridge_core::{
    Attempt, CALL_VERSION, CallRecord, CallState, Cost, ErrorClass, GenerationRequest, RequestSummary, ServedBy,
    Timing, Usage,
};

use crate::cache::{self, Cache};
use crate::check::check;
use crate::dialect::{Delivery, Wire, WireReply, wire};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::gate::Gate;
use crate::retry::{History, RetryPolicy, stated_wait};
use crate::spend::Spend;
use crate::transport::{Attempted, Watch, attempt, client, header, now};

/// Settings of all calls of a process.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Most requests in flight at one provider.
    pub concurrency: usize,
    /// Longest time of one attempt.
    pub timeout: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Where answers are kept; `None` keeps none.
    pub cache: Option<Cache>,
    /// Limit of dollars over everything.
    pub max_cost: Option<weighbridge_core::Usd>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            concurrency: 64,
            timeout: Duration::from_mins(10),
            retry: RetryPolicy::default(),
            cache: None,
            max_cost: None,
        }
    }
}

/// What all hosted models of a process share: connections, limits by provider, the money.
#[derive(Debug)]
pub struct Session {
    runtime: Runtime,
    client: Client,
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
    spend: Spend,
    options: SessionOptions,
}

impl Session {
    /// Starts a session: one thread for the network.
    ///
    /// # Errors
    /// The thread or the HTTP client cannot be made.
    pub fn new(options: SessionOptions) -> Result<Arc<Self>, ApiError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("network")
            .enable_all()
            .build()
            .map_err(|source| ApiError::Io { what: "cannot start the network thread".into(), source })?;
        let client = client(options.timeout)?;
        let spend = Spend::new(options.max_cost);
        Ok(Arc::new(Self { runtime, client, gates: Mutex::default(), spend, options }))
    }

    /// What has been spent.
    #[must_use]
    pub fn spend(&self) -> &Spend {
        &self.spend
    }

    /// The gate of a provider at an address: two servers of one kind do not share their limits.
    fn gate(&self, endpoint: &Endpoint) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{} {}", endpoint.provider.id, endpoint.base_url);
        let new = || Arc::new(Gate::new(self.options.concurrency));
        Arc::clone(gates.entry(name).or_insert_with(new))
    }
}

/// A request with its place in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberedRequest {
    /// Position, from 0.
    pub index: u64,
    /// Name, where its file gives one.
    pub id: Option<String>,
    /// What is asked.
    pub request: GenerationRequest,
}

/// A form of request and answer that belongs to one request, such as one that scores a text.
pub(crate) type OwnForm = Box<dyn Wire>;

/// A hosted model.
#[derive(Clone, Debug)]
pub struct Hosted {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    endpoint: Endpoint,
    session: Arc<Session>,
    gate: Arc<Gate>,
}

impl Hosted {
    /// A model of a session.
    ///
    /// # Errors
    /// A limit of dollars is set and the price of the model is unknown.
    pub fn new(endpoint: Endpoint, session: &Arc<Session>) -> Result<Self, ApiError> {
        if session.spend.limit().is_some() && endpoint.prices.is_empty() {
            return Err(ApiError::UnknownPrice {
                model: endpoint.model.clone(),
                provider: endpoint.provider.id.clone(),
            });
        }
        let gate = session.gate(&endpoint);
        let name = endpoint.name();
        Ok(Self { inner: Arc::new(Inner { name, endpoint, session: Arc::clone(session), gate }) })
    }

    /// `provider:model`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.inner.session
    }

    /// Requests that may be in flight now, as learnt from the provider.
    #[must_use]
    pub fn in_flight_limit(&self) -> usize {
        self.inner.gate.limit()
    }

    /// Asks once and waits; pieces of the text go to `watch` as they come.
    pub fn ask(&self, request: NumberedRequest, delivery: Delivery, watch: &mut Watch<'_>) -> CallRecord {
        self.inner.session.runtime.block_on(self.inner.call(request, None, delivery, watch))
    }

    /// Asks all requests, as many at once as the provider bears, and hands over each record as its call ends. Requests
    /// are taken only when there is room for them, so the memory does not grow with their number.
    ///
    /// # Errors
    /// `each` has failed; calls in flight are given up.
    pub fn run<E>(
        &self,
        requests: &mut dyn Iterator<Item = NumberedRequest>,
        delivery: Delivery,
        each: &mut dyn FnMut(CallRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        self.run_in(&mut requests.map(|request| (request, None)), delivery, each)
    }

    /// As [`Hosted::run`], with requests that bring a form of their own in place of the endpoint's dialect.
    pub(crate) fn run_in<E>(
        &self,
        requests: &mut dyn Iterator<Item = (NumberedRequest, Option<OwnForm>)>,
        delivery: Delivery,
        each: &mut dyn FnMut(CallRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let session = &self.inner.session;
        let most = session.options.concurrency;
        let (sender, mut receiver) = mpsc::channel(most);
        let mut tasks = tokio::task::JoinSet::new();
        let mut in_flight = 0;
        loop {
            while in_flight < most
                && let Some((request, own)) = requests.next()
            {
                let (inner, sender) = (Arc::clone(&self.inner), sender.clone());
                let call = async move {
                    let record = inner.call(request, own, delivery, &mut |_| {}).await;
                    // The receiver is gone only when the run is given up.
                    let _ = sender.send(record).await;
                };
                tasks.spawn_on(call, session.runtime.handle());
                in_flight += 1;
            }
            if in_flight == 0 {
                return Ok(());
            }
            let Some(record) = receiver.blocking_recv() else { return Ok(()) };
            in_flight -= 1;
            while tasks.try_join_next().is_some() {}
            each(record)?;
        }
    }
}

impl Inner {
    /// One call to its end. It never fails: what goes wrong is in the record.
    async fn call(
        &self,
        numbered: NumberedRequest,
        own: Option<OwnForm>,
        delivery: Delivery,
        watch: &mut Watch<'_>,
    ) -> CallRecord {
        let NumberedRequest { index, id, request } = numbered;
        let mut call = Call::new(&self.endpoint, request);
        let prepared = match &own {
            Some(own) => own.body(&self.endpoint, &call.request, delivery),
            None => call.prepared(&self.endpoint),
        };
        let wire = own.as_deref().unwrap_or_else(|| wire(self.endpoint.dialect));
        let whole = match prepared {
            Ok(body) => body,
            Err(error) => {
                return call.not_sent(ErrorClass::Unsupported, error.to_string()).into_record(index, id);
            }
        };
        let read_by = wire.read_by();
        call.hash = if read_by.is_empty() {
            cache::hash(&self.endpoint, &whole, call.request.repeat)
        } else {
            // JSON has no byte 0: nothing else runs together with this.
            cache::hash(&self.endpoint, &[&whole[..], &[0], &read_by].concat(), call.request.repeat)
        };
        if let Some(kept) = self.session.options.cache.as_ref().and_then(|cache| cache.get(&call.hash)) {
            watch(kept.text.as_deref().unwrap_or_default());
            return CallRecord { index, id, cached: true, ..kept };
        }
        let body = match delivery {
            Delivery::Whole => whole,
            Delivery::Streamed => wire.body(&self.endpoint, &call.request, delivery).unwrap_or(whole),
        };
        self.attempts(&mut call, wire, &body, delivery, watch).await;
        let record = call.into_record(index, id);
        if let Some(cache) = &self.session.options.cache {
            // A full disk must not lose the answer itself.
            let _ = cache.put(&record);
        }
        record
    }

    async fn attempts(&self, call: &mut Call, wire: &dyn Wire, body: &[u8], delivery: Delivery, watch: &mut Watch<'_>) {
        let mut history = History::default();
        let wanted = Instant::now();
        let mut working = Duration::ZERO;
        loop {
            // Four bytes a token is what English takes; the host's own count corrects the next ones.
            let tokens = body.len() as u64 / 4 + call.request.max_tokens as u64;
            let place = self.gate.enter(tokens).await;
            if let Some(why) = self.session.spend.closed() {
                call.spent_out(why);
                return;
            }
            let begun = Instant::now();
            call.timing.queue = (begun - wanted).saturating_sub(working).as_secs_f64();
            let client = &self.session.client;
            let attempted = attempt(client, wire, &self.endpoint, &call.request, body.to_vec(), delivery, watch).await;
            working += begun.elapsed();
            let wait = self.conclude(call, &attempted, &mut history);
            drop(place);
            let Some(wait) = wait else { return };
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes in an attempt; returns how long to wait for the next one, `None` at the end.
    fn conclude(&self, call: &mut Call, attempted: &Attempted, history: &mut History) -> Option<Duration> {
        let mut entry = Attempt {
            sent: attempted.sent,
            seconds: attempted.seconds,
            status: attempted.status,
            request_id: ["x-request-id", "request-id"]
                .into_iter()
                .find_map(|name| header(&attempted.headers, name))
                .map(str::to_owned),
            ..Attempt::default()
        };
        call.timing.latency = attempted.seconds;
        call.timing.first_token = attempted.first_token;
        let failure = match &attempted.outcome {
            Ok(reply) => {
                self.gate.answered(&attempted.headers);
                call.attempts.push(entry);
                call.answered(&self.endpoint, reply.clone());
                self.session.spend.add(call.cost.usd);
                return None;
            }
            Err(failure) => failure,
        };
        entry.error = Some(failure.class);
        entry.message = Some(failure.message.clone());
        let random = random_share();
        let wait = history.next(&self.session.options.retry, failure, &attempted.headers, random);
        if matches!(failure.class, ErrorClass::RateLimit | ErrorClass::Overloaded) {
            let stated = stated_wait(&attempted.headers, std::time::SystemTime::now());
            self.gate.limited(&attempted.headers, stated.filter(|_| wait.is_some()));
        }
        entry.waited = wait.map(|wait| wait.as_secs_f64());
        call.attempts.push(entry);
        if wait.is_none() {
            call.state = CallState::ProviderError;
        }
        wait
    }
}

/// A random number from 0 to 1, for jitter.
fn random_share() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness of the system the longest wait is right too.
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

/// A call while it is under way.
struct Call {
    request: GenerationRequest,
    hash: String,
    served_by: ServedBy,
    state: CallState,
    reply: WireReply,
    cost: Cost,
    timing: Timing,
    attempts: Vec<Attempt>,
}

impl Call {
    fn new(endpoint: &Endpoint, request: GenerationRequest) -> Self {
        let served_by = ServedBy {
            provider: endpoint.provider.id.clone(),
            base_url: Some(endpoint.base_url.clone()),
            dialect: Some(endpoint.dialect),
            model: endpoint.model.clone(),
            host: endpoint.pin.as_ref().map(|pin| pin.host.clone()),
            quantization: endpoint.pin.as_ref().map(|pin| pin.quantization.clone()),
            ..ServedBy::default()
        };
        Self {
            request,
            hash: String::new(),
            served_by,
            state: CallState::NotSent,
            reply: WireReply::default(),
            cost: Cost::default(),
            timing: Timing::default(),
            attempts: Vec::new(),
        }
    }

    /// The body of the request in one delivery, which also stands for the request in the cache.
    fn prepared(&self, endpoint: &Endpoint) -> Result<Vec<u8>, ApiError> {
        check(endpoint, &self.request)?;
        wire(endpoint.dialect).body(endpoint, &self.request, Delivery::Whole)
    }

    fn answered(&mut self, endpoint: &Endpoint, reply: WireReply) {
        self.state = reply.finish.map_or(CallState::Answered, CallState::of_finish);
        let computed = endpoint
            .prices_on(time::OffsetDateTime::now_utc().date())
            .and_then(|prices| prices.cost(&reply.usage, false));
        self.cost = Cost { usd: reply.cost_stated.or(computed), computed, stated: reply.cost_stated };
        self.reply = reply;
    }

    fn not_sent(mut self, class: ErrorClass, message: String) -> Self {
        self.state = CallState::NotSent;
        self.attempts.push(Attempt { sent: now(), error: Some(class), message: Some(message), ..Attempt::default() });
        self
    }

    /// Money ran out before the first attempt, or between two.
    fn spent_out(&mut self, why: String) {
        self.state = if self.attempts.is_empty() { CallState::NotSent } else { CallState::ProviderError };
        let error = Some(ErrorClass::SpendLimit);
        self.attempts.push(Attempt { sent: now(), error, message: Some(why), ..Attempt::default() });
    }

    fn into_record(self, index: u64, id: Option<String>) -> CallRecord {
        let Self { request, hash, mut served_by, state, reply, cost, timing, attempts } = self;
        served_by.model_answered = reply.model;
        served_by.fingerprint = reply.fingerprint;
        served_by.host = reply.host.or(served_by.host);
        served_by.response_id = reply.response_id;
        let got = !matches!(state, CallState::ProviderError | CallState::NotSent);
        CallRecord {
            version: CALL_VERSION,
            index,
            id,
            request: RequestSummary::new(hash, request),
            served_by,
            state,
            text: if got { Some(reply.text.unwrap_or_default()) } else { None },
            reasoning: reply.reasoning,
            finish: reply.finish,
            finish_stated: reply.finish_stated,
            logprobs: reply.logprobs,
            usage: if got { reply.usage } else { Usage::default() },
            usage_stated: reply.usage_stated,
            cost,
            timing,
            attempts,
            cached: false,
            ended: now(),
        }
    }
}

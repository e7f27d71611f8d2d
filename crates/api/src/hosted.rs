//! A hosted model that can be asked: places, attempts, retries, cost, cache, one record a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::Client;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinSet;
use weighbridge_core::{
    Attempt, CALL_VERSION, CallRecord, CallState, Cost, ErrorClass, GenerationRequest, RequestSummary, ServedBy,
    Timing, Usage,
};

use crate::attempts::{Way, today};
use crate::cache::{self, Cache};
use crate::check::check;
use crate::dialect::{Delivery, Wire, WireReply, wire, wire_for};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::gate::{Gate, Lane};
use crate::loglikelihood::Form;
use crate::retry::RetryPolicy;
use crate::spend::{Spend, Spent};
use crate::transport::{Watch, client, now};

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
    network: Handle,
    /// Taken when the session ends.
    runtime: Option<Runtime>,
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
            // They look up names, which thousands of connections to one host need not do each on a thread of its own.
            .max_blocking_threads(16)
            .enable_all()
            .build()
            .map_err(|source| ApiError::Io { what: "cannot start the network thread".into(), source })?;
        let client = client(options.timeout)?;
        let spend = Spend::new(options.max_cost);
        let network = runtime.handle().clone();
        Ok(Arc::new(Self { network, runtime: Some(runtime), client, gates: Mutex::default(), spend, options }))
    }

    /// What has been spent.
    #[must_use]
    pub fn spend(&self) -> &Spend {
        &self.spend
    }

    /// Connections, where something other than one call goes over them.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.network
    }

    pub(crate) fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// The gate of a provider at an address: two servers of one kind do not share their limits.
    fn gate(&self, endpoint: &Endpoint) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{} {}", endpoint.provider.id, endpoint.base_url);
        let new = || Arc::new(Gate::new(self.options.concurrency, self.options.retry.longest_stated));
        Arc::clone(gates.entry(name).or_insert_with(new))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without waiting for a name that is being looked up, and allowed where the last owner is a call itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
    lane: Arc<Lane>,
    /// How it scores a text that is given, once that is known.
    form: OnceLock<Form>,
}

impl Hosted {
    /// A model of a session.
    ///
    /// # Errors
    /// A limit of dollars is set and the price of the model today is unknown.
    pub fn new(endpoint: Endpoint, session: &Arc<Session>) -> Result<Self, ApiError> {
        if session.spend.limit().is_some() && endpoint.prices_on(today()).is_none() {
            return Err(ApiError::UnknownPrice {
                model: endpoint.model.clone(),
                provider: endpoint.provider.id.clone(),
            });
        }
        let gate = session.gate(&endpoint);
        let lane = gate.lane(&endpoint.model);
        let name = endpoint.name();
        Ok(Self {
            inner: Arc::new(Inner { name, endpoint, session: Arc::clone(session), gate, lane, form: OnceLock::new() }),
        })
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

    /// How it scores a text that is given, once that is known.
    pub(crate) fn form_found(&self) -> &OnceLock<Form> {
        &self.inner.form
    }

    /// What its session has spent, on this model and others.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.inner.session.spend.spent()
    }

    /// Requests that may be in flight now, as learnt from the provider.
    #[must_use]
    pub fn in_flight_limit(&self) -> usize {
        self.inner.gate.limit()
    }

    /// Asks once and waits; pieces of the text go to `watch` as they come.
    pub fn ask(&self, request: NumberedRequest, delivery: Delivery, watch: &mut Watch<'_>) -> CallRecord {
        self.inner.session.network.block_on(self.inner.call(request, None, delivery, watch))
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
        let most = session.options.concurrency.max(1);
        let mut calls = JoinSet::new();
        loop {
            while calls.len() < most
                && let Some((request, own)) = requests.next()
            {
                let inner = Arc::clone(&self.inner);
                let call = async move { inner.call(request, own, delivery, &mut |_| {}).await };
                calls.spawn_on(call, &session.network);
            }
            let given_up = match session.network.block_on(calls.join_next()) {
                None => return Ok(()),
                Some(Ok(record)) => each(record).err(),
                // A defect of ours: without its record the run would look complete.
                Some(Err(error)) => {
                    let why = error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string()));
                    std::panic::resume_unwind(why)
                }
            };
            if let Some(error) = given_up {
                session.network.block_on(calls.shutdown());
                return Err(error);
            }
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
        let wire = own.as_deref().unwrap_or_else(|| wire_for(self.endpoint.dialect, &call.request));
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
        self.way(wire).send(&mut call, body, delivery, watch).await;
        let record = call.into_record(index, id);
        if let Some(cache) = &self.session.options.cache {
            // A full disk must not lose the answer itself.
            let _ = cache.put(&record);
        }
        record
    }

    fn way<'a>(&'a self, wire: &'a dyn Wire) -> Way<'a> {
        let session = &self.session;
        Way {
            client: &session.client,
            wire,
            endpoint: &self.endpoint,
            gate: &self.gate,
            lane: &self.lane,
            spend: &session.spend,
            policy: &session.options.retry,
        }
    }
}

/// Which prices hold for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tariff {
    /// Those of single calls.
    Plain,
    /// Those of a batch.
    Batch,
}

/// A call while it is under way.
pub(crate) struct Call {
    pub(crate) request: GenerationRequest,
    pub(crate) hash: String,
    pub(crate) served_by: ServedBy,
    pub(crate) state: CallState,
    reply: WireReply,
    pub(crate) cost: Cost,
    pub(crate) timing: Timing,
    pub(crate) attempts: Vec<Attempt>,
}

impl Call {
    pub(crate) fn new(endpoint: &Endpoint, request: GenerationRequest) -> Self {
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
    pub(crate) fn prepared(&self, endpoint: &Endpoint) -> Result<Vec<u8>, ApiError> {
        check(endpoint, &self.request)?;
        wire(endpoint.dialect).body(endpoint, &self.request, Delivery::Whole)
    }

    /// Takes in the answer, at the prices of a day.
    pub(crate) fn answered(&mut self, endpoint: &Endpoint, reply: WireReply, tariff: Tariff, day: time::Date) {
        self.state = reply.finish.map_or(CallState::Answered, CallState::of_finish);
        let computed = endpoint.prices_on(day).and_then(|prices| prices.cost(&reply.usage, tariff == Tariff::Batch));
        // A host that states less than nothing would open a limit of dollars again.
        let stated = reply.cost_stated.filter(|usd| usd.0.is_finite() && usd.0 >= 0.0);
        self.cost = Cost { usd: stated.or(computed), computed, stated };
        self.reply = reply;
    }

    pub(crate) fn not_sent(mut self, class: ErrorClass, message: String) -> Self {
        self.state = CallState::NotSent;
        self.attempts.push(Attempt { sent: now(), error: Some(class), message: Some(message), ..Attempt::default() });
        self
    }

    /// Why it is not sent, or not sent again.
    pub(crate) fn stopped(&mut self, class: ErrorClass, message: String) {
        self.state = if self.attempts.is_empty() { CallState::NotSent } else { CallState::ProviderError };
        let (error, message) = (Some(class), Some(message));
        self.attempts.push(Attempt { sent: now(), error, message, ..Attempt::default() });
    }

    pub(crate) fn into_record(self, index: u64, id: Option<String>) -> CallRecord {
        let Self { request, hash, mut served_by, state, reply, cost, timing, attempts } = self;
        served_by.model_answered = reply.model;
        served_by.fingerprint = reply.fingerprint;
        served_by.host = reply.host.or(served_by.host);
        served_by.response_id = reply.response_id;
        let got = state.has_answer();
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

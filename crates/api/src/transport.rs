//! One attempt: a request over HTTP and whatever comes back, in bounded memory and time.

use std::error::Error as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Request, Response, StatusCode};
use weighbridge_core::{ErrorClass, GenerationRequest};

use crate::dialect::{Delivery, Framing, HostError, StreamReader, Wire, WireError, WireReply, shortened};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::retry::class_of;
use crate::secret::Veil;
use crate::sse::Cutter;
use crate::text::readable;

/// Longest answer, in bytes as they are after decompression.
const LONGEST_ANSWER: usize = 128 << 20;
/// Longest body of an error that is looked at.
const LONGEST_ERROR: usize = 1 << 16;
/// Longest wait for the body of an error, whose status is known already.
const LONGEST_WAIT_FOR_ERROR: Duration = Duration::from_secs(10);
/// Longest time in which a connection is kept for what follows the last event of a stream.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// Makes the client that all requests go through. Proxies are taken from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and
/// `NO_PROXY`; certificates are those of the system. Redirects are not followed: no endpoint has any, and a key must not
/// wander.
///
/// # Errors
/// The system's certificates cannot be read, or a proxy's address is wrong.
pub fn client(timeout: Duration) -> Result<Client, ApiError> {
    // A second client in the same process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("weighbridge/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(30))
        .timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(55))
        .redirect(reqwest::redirect::Policy::none())
        // Every attempt is ours, so that it stands in the record.
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .build()
        .map_err(ApiError::Client)
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) outcome: Result<WireReply, Failure>,
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    /// Seconds since 1970 UTC.
    pub(crate) sent: f64,
    pub(crate) seconds: f64,
    pub(crate) first_token: Option<f64>,
}

/// Why an attempt gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
    /// The wait that the body of the error asks for.
    pub(crate) retry_after: Option<Duration>,
    /// True where no other attempt can succeed, whatever the class.
    pub(crate) stops: bool,
    /// True where the host had the request and did not refuse it, so that it may have billed it.
    pub(crate) maybe_billed: bool,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None, stops: false, maybe_billed: false }
    }

    fn billed(self) -> Self {
        Self { maybe_billed: true, ..self }
    }

    /// What a host says, with its code.
    fn of_host(status: u16, error: &HostError) -> Self {
        let message = match &error.code {
            Some(code) if !error.message.contains(code.as_str()) => {
                format!("{}: {}", shortened(code), error.message)
            }
            _ => error.message.clone(),
        };
        Self { retry_after: error.retry_after, ..Self::new(class_of(status, error), message) }
    }
}

/// Called with each piece of text as it comes.
pub(crate) type Watch<'a> = dyn FnMut(&str) + Send + 'a;

/// The request over HTTP, made once for all attempts, which share its body.
pub(crate) fn prepare(
    client: &Client,
    wire: &dyn Wire,
    endpoint: &Endpoint,
    body: Vec<u8>,
    delivery: Delivery,
) -> Result<Request, Failure> {
    let url = format!("{}{}", endpoint.base_url, wire.path(endpoint, delivery));
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    wire.headers(endpoint, &mut headers)
        .map_err(|error| Failure::new(ErrorClass::Authentication, error.to_string()))?;
    let made = client.post(url).headers(headers).body(body).build();
    made.map_err(|error| Failure::new(ErrorClass::BadRequest, broken(&error).message))
}

/// Sends a request once.
pub(crate) async fn attempt(
    client: &Client,
    wire: &dyn Wire,
    endpoint: &Endpoint,
    request: &GenerationRequest,
    prepared: &Request,
    watch: &mut Watch<'_>,
) -> Attempted {
    let sent = now();
    let start = Instant::now();
    let mut attempted = Attempted {
        outcome: Err(Failure::new(ErrorClass::Connection, "")),
        status: None,
        headers: HeaderMap::new(),
        sent,
        seconds: 0.0,
        first_token: None,
    };
    attempted.outcome = async {
        // Only a body that is a stream cannot be sent twice, and ours is not.
        let again = prepared.try_clone().ok_or_else(|| Failure::new(ErrorClass::BadRequest, "a body without bytes"))?;
        let mut response = client.execute(again).await.map_err(|error| broken(&error))?;
        let status = response.status();
        attempted.status = Some(status.as_u16());
        attempted.headers = std::mem::take(response.headers_mut());
        if !status.is_success() {
            return Err(refused(wire, endpoint, &attempted.headers, status, response).await);
        }
        let mut reading = Reading { wire, endpoint, request, start, first_token: &mut attempted.first_token };
        if is_stream(&attempted.headers) {
            reading.stream(response, watch).await
        } else {
            reading.whole(response, watch).await
        }
    }
    .await;
    if let (Ok(reply), Some(key)) = (&mut attempted.outcome, &endpoint.key) {
        key.mask_reply(reply);
    }
    attempted.seconds = start.elapsed().as_secs_f64();
    attempted
}

/// A body that is no success.
async fn refused(
    wire: &dyn Wire,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    status: StatusCode,
    response: Response,
) -> Failure {
    if status.is_redirection() {
        let to = headers.get(LOCATION).map_or(&b"elsewhere"[..], HeaderValue::as_bytes);
        let to = String::from_utf8_lossy(&masked(endpoint, to.to_vec())).into_owned();
        let message = format!("the host sends requests on to {}; give that as --base-url", shortened(&to));
        return Failure::new(ErrorClass::NotFound, message);
    }
    // An error whose body breaks off or does not end is still that error.
    let mut body = Vec::new();
    let reading = collect(response, LONGEST_ERROR, &mut body);
    let _ = tokio::time::timeout(LONGEST_WAIT_FOR_ERROR, reading).await;
    body.truncate(LONGEST_ERROR);
    let mut failure = Failure::of_host(status.as_u16(), &wire.error(&masked(endpoint, body)));
    if failure.class == ErrorClass::NotFound {
        // Either the model or the address is wrong, often by its version part.
        failure.message = format!("{} (base URL {}, model {})", failure.message, endpoint.base_url, endpoint.model);
    }
    failure
}

struct Reading<'a> {
    wire: &'a dyn Wire,
    endpoint: &'a Endpoint,
    request: &'a GenerationRequest,
    start: Instant,
    first_token: &'a mut Option<f64>,
}

impl Reading<'_> {
    async fn whole(&mut self, response: Response, watch: &mut Watch<'_>) -> Result<WireReply, Failure> {
        let mut body = Vec::new();
        if !collect(response, LONGEST_ANSWER, &mut body).await? {
            return Err(too_long(LONGEST_ANSWER));
        }
        // Some servers and proxies give a stream no content type, or a wrong one.
        if self.wire.framing() == Framing::Events && (body.starts_with(b"data:") || body.starts_with(b"event:")) {
            let mut taking = Taking::new(self, watch);
            taking.chunk(&body)?;
            return taking.end();
        }
        let body = readable(masked(self.endpoint, body));
        self.wire.read(&body, self.request).map_err(|error| self.failed(error))
    }

    async fn stream(&mut self, mut response: Response, watch: &mut Watch<'_>) -> Result<WireReply, Failure> {
        let mut taking = Taking::new(self, watch);
        while !taking.reader.is_done() {
            match response.chunk().await {
                Ok(Some(chunk)) => taking.chunk(&chunk)?,
                Ok(None) => return taking.end(),
                // All that matters may have come before: the reason of the end, and what it cost.
                Err(error) => {
                    let whole = |reply: &WireReply| reply.finish.is_some() && reply.usage.output.is_some();
                    return taking.end().ok().filter(whole).ok_or_else(|| broken(&error));
                }
            }
        }
        leave(response);
        taking.end()
    }

    fn failed(&self, error: WireError) -> Failure {
        match error {
            WireError::Malformed(message) => Failure::new(ErrorClass::Malformed, shortened(&message)).billed(),
            WireError::Host(error) => {
                let failure = Failure::of_host(200, &error);
                // Text that came before the error was made, and may be billed.
                if self.first_token.is_some() { failure.billed() } else { failure }
            }
        }
    }
}

/// A stream while it is being read.
struct Taking<'a, 'b, 'c> {
    reading: &'a mut Reading<'b>,
    reader: Box<dyn StreamReader>,
    cutter: Cutter,
    pieces: Vec<Vec<u8>>,
    taken: usize,
    /// Holds back what may be the beginning of the key.
    veil: Veil,
    watch: &'a mut Watch<'c>,
}

impl<'a, 'b, 'c> Taking<'a, 'b, 'c> {
    fn new(reading: &'a mut Reading<'b>, watch: &'a mut Watch<'c>) -> Self {
        let reader = reading.wire.stream(reading.request);
        let cutter = Cutter::new(reading.wire.framing());
        let veil = Veil::new(reading.endpoint.key.as_ref());
        Self { reading, reader, cutter, pieces: Vec::new(), taken: 0, veil, watch }
    }

    fn chunk(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.taken += chunk.len();
        if self.taken > LONGEST_ANSWER || self.cutter.push(chunk, &mut self.pieces).is_err() {
            return Err(too_long(LONGEST_ANSWER));
        }
        self.read()
    }

    fn end(mut self) -> Result<WireReply, Failure> {
        self.cutter.finish(&mut self.pieces);
        self.read()?;
        let rest = self.veil.rest();
        if !rest.is_empty() {
            (self.watch)(&rest);
        }
        self.reader.end().map_err(|error| self.reading.failed(error))
    }

    fn read(&mut self) -> Result<(), Failure> {
        for piece in self.pieces.drain(..) {
            if self.reader.is_done() {
                break;
            }
            let piece = readable(masked(self.reading.endpoint, piece));
            let text =
                self.reader.piece(&String::from_utf8_lossy(&piece)).map_err(|error| self.reading.failed(error))?;
            if !text.is_empty() {
                let start = self.reading.start;
                self.reading.first_token.get_or_insert_with(|| start.elapsed().as_secs_f64());
                let shown = self.veil.show(text);
                if !shown.is_empty() {
                    (self.watch)(&shown);
                }
            }
        }
        Ok(())
    }
}

/// Reads what follows the last event, so that the connection can be used again; nobody waits for it.
fn leave(mut response: Response) {
    tokio::spawn(tokio::time::timeout(LONGEST_REST, async move {
        let mut rest = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            rest += chunk.len();
            if rest > LONGEST_ERROR {
                break;
            }
        }
    }));
}

fn masked(endpoint: &Endpoint, bytes: Vec<u8>) -> Vec<u8> {
    endpoint.key.as_ref().and_then(|key| key.masked(&bytes)).unwrap_or(bytes)
}

/// Appends a body to `body`; false where it is longer than `most`, and then only about so much of it is read.
async fn collect(mut response: Response, most: usize, body: &mut Vec<u8>) -> Result<bool, Failure> {
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Ok(false);
        }
    }
    Ok(true)
}

fn too_long(most: usize) -> Failure {
    Failure::new(ErrorClass::Malformed, format!("the answer is longer than {} MiB", most >> 20)).billed()
}

/// A request that broke before its answer was complete. The address is left out: it is in the record already.
fn broken(error: &reqwest::Error) -> Failure {
    let class = if error.is_timeout() { ErrorClass::Timeout } else { ErrorClass::Connection };
    let what = match (error.is_connect(), error.is_timeout(), error.is_body() || error.is_decode()) {
        (true, _, _) => "cannot connect",
        (_, true, _) => "no complete answer in time",
        (_, _, true) => "the answer broke off",
        _ => "the request failed",
    };
    let mut last = String::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(why) = bad_certificate(inner) {
            let message = format!(
                "the server's certificate is not trusted ({why}); if the server is yours, put its authority among \
                 the system's certificates or name the file of it in SSL_CERT_FILE"
            );
            return Failure { stops: true, ..Failure::new(ErrorClass::Connection, shortened(&message)) };
        }
        last = inner.to_string();
        cause = inner.source();
    }
    let message = if last.is_empty() { what.to_owned() } else { format!("{what}: {last}") };
    Failure { maybe_billed: !error.is_connect(), ..Failure::new(class, shortened(&message)) }
}

/// What is wrong with a certificate. It is wrapped in errors of input, which do not name it as their source.
fn bad_certificate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(format!("{why:?}"));
    }
    bad_certificate(error.downcast_ref::<std::io::Error>()?.get_ref()?)
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "text/event-stream" | "application/x-ndjson" | "application/jsonl")
}

/// Seconds since 1970 UTC.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The text of a header; of one that came twice, the first.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    values(headers, name).next()
}

/// All texts of a header.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(HeaderName::from_static(name)).into_iter();
    values.filter_map(|value| value.to_str().ok().map(str::trim))
}

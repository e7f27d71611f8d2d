//! One attempt: a request over HTTP and whatever comes back, in bounded memory and time.

use std::error::Error as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode};
use weighbridge_core::{ErrorClass, GenerationRequest};

use crate::dialect::{Delivery, HostError, StreamReader, Wire, WireError, WireReply, shortened};
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::retry::class_of;
use crate::sse::Cutter;

/// Longest answer, in bytes as they are after decompression.
const LONGEST_ANSWER: usize = 256 << 20;
/// Longest body of an error that is looked at.
const LONGEST_ERROR: usize = 1 << 16;

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
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// Called with each piece of text as it comes.
pub(crate) type Watch<'a> = dyn FnMut(&str) + Send + 'a;

/// Sends a request once.
pub(crate) async fn attempt(
    client: &Client,
    wire: &dyn Wire,
    endpoint: &Endpoint,
    request: &GenerationRequest,
    body: Vec<u8>,
    delivery: Delivery,
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
        let mut response = send(client, wire, endpoint, body, delivery).await?;
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
            reading.whole(response).await
        }
    }
    .await;
    attempted.seconds = start.elapsed().as_secs_f64();
    attempted
}

async fn send(
    client: &Client,
    wire: &dyn Wire,
    endpoint: &Endpoint,
    body: Vec<u8>,
    delivery: Delivery,
) -> Result<Response, Failure> {
    let url = format!("{}{}", endpoint.base_url, wire.path(endpoint, delivery));
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    wire.headers(endpoint, &mut headers)
        .map_err(|error| Failure::new(ErrorClass::Authentication, error.to_string()))?;
    let sending = client.post(url).headers(headers).body(body).send();
    sending.await.map_err(|error| broken(&error))
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
        let to = headers.get(LOCATION).map_or("elsewhere".into(), |v| String::from_utf8_lossy(v.as_bytes()));
        let message = format!("the host sends requests on to {}; give that as --base-url", shortened(&to));
        return Failure::new(ErrorClass::NotFound, message);
    }
    // An error whose body breaks off is still that error.
    let body = body_of(response, LONGEST_ERROR, true).await.unwrap_or_default();
    let body = masked(endpoint, body);
    let error = wire.error(&body);
    Failure { class: class_of(status.as_u16(), &error), message: said(&error) }
}

/// What the host says, with its code.
fn said(error: &HostError) -> String {
    match &error.code {
        Some(code) if !error.message.contains(code.as_str()) => format!("{code}: {}", error.message),
        _ => error.message.clone(),
    }
}

struct Reading<'a> {
    wire: &'a dyn Wire,
    endpoint: &'a Endpoint,
    request: &'a GenerationRequest,
    start: Instant,
    first_token: &'a mut Option<f64>,
}

impl Reading<'_> {
    async fn whole(&mut self, response: Response) -> Result<WireReply, Failure> {
        let body = body_of(response, LONGEST_ANSWER, false).await?;
        let body = masked(self.endpoint, body);
        self.wire.read(&body, self.request).map_err(failed)
    }

    async fn stream(&mut self, mut response: Response, watch: &mut Watch<'_>) -> Result<WireReply, Failure> {
        let mut reader = self.wire.stream(self.request);
        let mut cutter = Cutter::new(self.wire.framing());
        let mut pieces = Vec::new();
        let mut taken = 0;
        while !reader.is_done() {
            let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? else { break };
            taken += chunk.len();
            if taken > LONGEST_ANSWER || cutter.push(&chunk, &mut pieces).is_err() {
                return Err(too_long(LONGEST_ANSWER));
            }
            self.pieces(&mut *reader, &mut pieces, watch)?;
        }
        cutter.finish(&mut pieces);
        self.pieces(&mut *reader, &mut pieces, watch)?;
        reader.end().map_err(failed)
    }

    fn pieces(
        &mut self,
        reader: &mut dyn StreamReader,
        pieces: &mut Vec<Vec<u8>>,
        watch: &mut Watch<'_>,
    ) -> Result<(), Failure> {
        for piece in pieces.drain(..) {
            if reader.is_done() {
                break;
            }
            let piece = String::from_utf8(masked(self.endpoint, piece))
                .map_err(|_| Failure::new(ErrorClass::Malformed, "a piece of the stream is not UTF-8"))?;
            let text = reader.piece(&piece).map_err(failed)?;
            if !text.is_empty() {
                self.first_token.get_or_insert_with(|| self.start.elapsed().as_secs_f64());
                watch(&text);
            }
        }
        Ok(())
    }
}

fn masked(endpoint: &Endpoint, bytes: Vec<u8>) -> Vec<u8> {
    endpoint.key.as_ref().and_then(|key| key.masked(&bytes)).unwrap_or(bytes)
}

/// A body in full, or an error where it is longer than allowed; with `cut` only its beginning counts.
async fn body_of(mut response: Response, most: usize, cut: bool) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            if cut {
                body.truncate(most);
                break;
            }
            return Err(too_long(most));
        }
    }
    Ok(body)
}

fn too_long(most: usize) -> Failure {
    Failure::new(ErrorClass::Malformed, format!("the answer is longer than {} MiB", most >> 20))
}

fn failed(error: WireError) -> Failure {
    match error {
        WireError::Malformed(message) => Failure::new(ErrorClass::Malformed, shortened(&message)),
        WireError::Host(error) => {
            // Routers say 200 and put the error of the host inside.
            let class = class_of(error.status.unwrap_or(500), &error);
            Failure { class, message: said(&error) }
        }
    }
}

/// A request that broke before its answer was complete. The address is left out: it is in the record already.
fn broken(error: &reqwest::Error) -> Failure {
    let class = if error.is_timeout() { ErrorClass::Timeout } else { ErrorClass::Connection };
    let mut message = match (error.is_connect(), error.is_timeout(), error.is_body() || error.is_decode()) {
        (true, _, _) => "cannot connect".to_owned(),
        (_, true, _) => "no complete answer in time".to_owned(),
        (_, _, true) => "the answer broke off".to_owned(),
        _ => "the request failed".to_owned(),
    };
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(inner) = cause {
        last = inner.to_string();
        cause = inner.source();
    }
    if !last.is_empty() {
        message = format!("{message}: {last}");
    }
    Failure { class, message: shortened(&message) }
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

/// The text of a header.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(HeaderName::from_static(name))?.to_str().ok().map(str::trim)
}

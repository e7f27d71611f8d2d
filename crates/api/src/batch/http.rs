//! Messages of batches over HTTP: any method, any path under the base URL, answers of any length line by line.

use std::io::Write;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response};
use serde_json::Value;
use weighbridge_core::ErrorClass;

use crate::attempts::random_share;
use crate::dialect::{HostError, Wire, shortened, wire};
use crate::endpoint::Endpoint;
use crate::hosted::Hosted;
use crate::limits::Need;
use crate::retry::{History, class_of, stated_wait};
use crate::text::readable;
use crate::transport::Failure;

/// Longest answer that is taken into memory.
const LONGEST_ANSWER: usize = 256 << 20;
/// Longest body of an error.
const LONGEST_ERROR: usize = 1 << 16;
/// Longest line of results.
const LONGEST_LINE: usize = 64 << 20;

/// Why a message got no answer.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) class: ErrorClass,
    pub(super) message: String,
    pub(super) status: Option<u16>,
    headers: Box<HeaderMap>,
    /// The wait that the body asks for.
    pub(super) retry_after: Option<Duration>,
}

impl Trouble {
    pub(super) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), status: None, headers: Box::default(), retry_after: None }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Malformed, message)
    }

    /// True where the host said that it did not do what it was asked: it need not be looked for.
    pub(super) fn is_refusal(&self) -> bool {
        self.status.is_some_and(|status| (300..500).contains(&status) && !matches!(status, 408 | 409))
    }
}

/// An answer in memory.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The answer as JSON.
    pub(super) fn json(&self) -> Result<Value, Trouble> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let begin = String::from_utf8_lossy(&self.body[..self.body.len().min(80)]).into_owned();
            Trouble::malformed(shortened(&format!("{error}, in an answer that begins {begin:?}")))
        })
    }
}

/// The way to a provider. It blocks: the network has its own thread.
pub(super) struct Http<'a> {
    hosted: &'a Hosted,
}

impl<'a> Http<'a> {
    pub(super) fn new(hosted: &'a Hosted) -> Self {
        Self { hosted }
    }

    pub(super) fn endpoint(&self) -> &'a Endpoint {
        self.hosted.endpoint()
    }

    fn wire(&self) -> &'static dyn Wire {
        wire(self.endpoint().dialect)
    }

    /// A message to a path under the base URL, with the key.
    pub(super) fn request(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Result<Request, Trouble> {
        self.request_to(method, &format!("{}{path}", self.endpoint().base_url), kind, body)
    }

    /// A message to an address of the same provider, with the key.
    pub(super) fn request_to(&self, method: Method, url: &str, kind: &str, body: Vec<u8>) -> Result<Request, Trouble> {
        let mut headers = HeaderMap::with_capacity(4);
        self.wire()
            .headers(self.endpoint(), &mut headers)
            .map_err(|error| Trouble::new(ErrorClass::Authentication, error.to_string()))?;
        if method != Method::GET {
            let kind = HeaderValue::from_str(kind).map_err(|_| Trouble::malformed("the type of a body"))?;
            headers.insert(CONTENT_TYPE, kind);
        }
        let request = self.hosted.session().client().request(method, url).headers(headers);
        let request = if body.is_empty() { request } else { request.body(body) };
        request.build().map_err(|error| Trouble::new(ErrorClass::BadRequest, without_url(&error)))
    }

    /// Sends a message once.
    pub(super) fn once(&self, request: &Request) -> Result<Reply, Trouble> {
        self.hosted.session().runtime().block_on(async {
            let mut response = self.send(request).await?;
            let headers = std::mem::take(response.headers_mut());
            let body = body_of(response, LONGEST_ANSWER).await?;
            Ok(Reply { headers, body: readable(self.masked(body)) })
        })
    }

    /// Sends a message as often as the policy allows. Only for what may be done twice.
    pub(super) fn retried(&self, request: &Request) -> Result<Reply, Trouble> {
        let mut history = History::default();
        loop {
            match self.once(request) {
                Ok(reply) => return Ok(reply),
                Err(trouble) => self.pause(&mut history, trouble)?,
            }
        }
    }

    /// Like [`Self::retried`], and the answer is JSON.
    pub(super) fn json(&self, request: &Request) -> Result<Value, Trouble> {
        let mut history = History::default();
        loop {
            match self.once(request).and_then(|reply| reply.json()) {
                Ok(value) => return Ok(value),
                Err(trouble) => self.pause(&mut history, trouble)?,
            }
        }
    }

    /// Writes an answer to a file, line by line and without the key. A download that breaks off may be begun again.
    pub(super) fn lines(&self, request: &Request, to: &mut dyn Write) -> Result<(), Trouble> {
        self.hosted.session().runtime().block_on(async {
            let mut response = self.send(request).await?;
            let mut line = Vec::new();
            let written = |error: std::io::Error| Trouble::new(ErrorClass::Unsupported, error.to_string());
            while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
                let mut rest = &chunk[..];
                while let Some(end) = memchr::memchr(b'\n', rest) {
                    line.extend_from_slice(&rest[..=end]);
                    to.write_all(&self.masked(std::mem::take(&mut line))).map_err(written)?;
                    rest = &rest[end + 1..];
                }
                line.extend_from_slice(rest);
                if line.len() > LONGEST_LINE {
                    return Err(Trouble::malformed(format!(
                        "a line of results is longer than {} MiB",
                        LONGEST_LINE >> 20
                    )));
                }
            }
            if !line.is_empty() {
                line.push(b'\n');
                to.write_all(&self.masked(line)).map_err(written)?;
            }
            Ok(())
        })
    }

    /// Waits before the next attempt, or gives the trouble back where there shall be none.
    pub(super) fn pause(&self, history: &mut History, trouble: Trouble) -> Result<(), Trouble> {
        let policy = &self.hosted.session().options().retry;
        let mut failure = Failure::new(trouble.class, trouble.message.clone());
        failure.retry_after = trouble.retry_after;
        // Messages about batches need no tokens.
        let stated = stated_wait(&failure, &trouble.headers, Need::default(), SystemTime::now());
        match history.next(policy, &failure, &trouble.headers, stated, random_share()) {
            Some(wait) => {
                std::thread::sleep(wait);
                Ok(())
            }
            None => Err(trouble),
        }
    }

    async fn send(&self, request: &Request) -> Result<Response, Trouble> {
        let again = request.try_clone().ok_or_else(|| Trouble::malformed("a body that can be sent once only"))?;
        let mut response = self.hosted.session().client().execute(again).await.map_err(|error| broken(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let headers = std::mem::take(response.headers_mut());
        // An error whose body breaks off is still that error.
        let body = self.masked(body_of(response, LONGEST_ERROR).await.unwrap_or_default());
        let error = self.wire().error(&body);
        let (class, message) = judged(status.as_u16(), &error);
        Err(Trouble {
            class,
            message,
            status: Some(status.as_u16()),
            headers: Box::new(headers),
            retry_after: error.retry_after,
        })
    }

    fn masked(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.endpoint().key.as_ref().and_then(|key| key.masked(&bytes)).unwrap_or(bytes)
    }
}

/// Class and words of an error that a host states.
pub(super) fn judged(status: u16, error: &HostError) -> (ErrorClass, String) {
    let message = match &error.code {
        Some(code) if !error.message.contains(code.as_str()) => format!("{}: {}", shortened(code), error.message),
        _ => error.message.clone(),
    };
    (class_of(status, error), message)
}

async fn body_of(mut response: Response, most: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Err(Trouble::malformed(format!("the answer is longer than {} KiB", most >> 10)));
        }
    }
    Ok(body)
}

fn broken(error: &reqwest::Error) -> Trouble {
    let class = if error.is_timeout() { ErrorClass::Timeout } else { ErrorClass::Connection };
    Trouble::new(class, without_url(error))
}

/// The last cause of an error; addresses stand in the records already.
fn without_url(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() { "cannot connect" } else { "the request failed" };
    shortened(&format!("{what}: {cause}"))
}

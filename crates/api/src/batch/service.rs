//! What the batches of a provider must be able to do. Each provider has one file.

use std::fmt::Debug;

use reqwest::{Method, Request, Url};
use serde_json::Value;
use weighbridge_core::ErrorClass;

use super::BatchLimits;
use super::http::{Http, Trouble};
use crate::endpoint::Endpoint;

/// Batches of one provider.
pub(super) trait Service: Sync + Debug {
    /// What one batch may hold.
    fn limits(&self) -> BatchLimits;

    /// The beginning of what is sent for a batch of that name.
    fn begin(&self, name: &str) -> Vec<u8>;

    /// Adds a request: its name and the body that the dialect made.
    fn add(&self, endpoint: &Endpoint, payload: &mut Vec<u8>, custom_id: &str, body: &[u8]);

    /// Brings the requests to the provider, where they are not sent with the batch itself.
    ///
    /// # Errors
    /// The provider does not take them.
    fn upload(&self, http: &Http<'_>, name: &str, payload: Vec<u8>, limits: &BatchLimits) -> Result<Input, Trouble>;

    /// The message that submits a batch.
    ///
    /// # Errors
    /// It cannot be put into a message.
    fn submission(&self, http: &Http<'_>, name: &str, input: Input) -> Result<Request, Trouble>;

    /// The id in the answer to a submission; `None` where there is none that can be used.
    fn id_of(&self, answer: &Value) -> Option<String>;

    /// Looks for a batch whose submission was not answered.
    ///
    /// # Errors
    /// The provider does not tell.
    fn find(&self, http: &Http<'_>, sought: &Sought<'_>) -> Result<Found, Trouble>;

    /// Asks how a batch is doing.
    ///
    /// # Errors
    /// The provider does not tell.
    fn look(&self, http: &Http<'_>, id: &str) -> Result<Look, Trouble>;

    /// Reads a line of results; the error says what is wrong with it.
    fn line(&self, line: &Value) -> Result<Line, String>;

    /// The path that ends a batch early.
    fn cancel_path(&self, id: &str) -> String;
}

/// Where the requests of a batch are.
pub(super) enum Input {
    /// At the provider, under this id.
    File(String),
    /// Here, to be sent with the batch.
    Here(Vec<u8>),
}

/// A batch that may have been made.
pub(super) struct Sought<'a> {
    /// Its name, where batches have one.
    pub(super) name: &'a str,
    /// How many requests it has.
    pub(super) requests: u64,
    /// Made after this, seconds since 1970 UTC; clocks differ, so some time before counts too.
    pub(super) since: f64,
    /// Whether a name of a request is one of its own.
    pub(super) owns: &'a dyn Fn(&str) -> bool,
}

impl Sought<'_> {
    /// An hour before: no two clocks of servers differ by so much.
    pub(super) fn earliest(&self) -> f64 {
        self.since - 3600.0
    }
}

/// What came of looking for a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is this one.
    Batch(String),
    /// It was not made.
    Nothing,
    /// It may be one that only shows when it has ended.
    NotYetKnown,
}

/// How a batch is doing.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The provider's word.
    pub(super) word: String,
    /// True where nothing more will come.
    pub(super) ended: bool,
    /// Requests answered so far.
    pub(super) answered: u64,
    /// Requests failed so far.
    pub(super) failed: u64,
    /// What the provider says against the batch as a whole.
    pub(super) error: Option<String>,
    /// Where its results are.
    pub(super) sources: Vec<Source>,
}

/// Where results are.
#[derive(Debug)]
pub(super) enum Source {
    /// Lines at this address of the provider.
    Url(String),
    /// Lines that have come already.
    Lines(Vec<Value>),
}

/// A line of results.
#[derive(Debug)]
pub(super) struct Line {
    /// Which request it belongs to.
    pub(super) custom_id: String,
    /// What became of it.
    pub(super) outcome: Outcome,
    /// Id of the request as the host gave it.
    pub(super) request_id: Option<String>,
    /// Status of HTTP that the line states.
    pub(super) status: Option<u16>,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer in the form of the dialect, or an error in it.
    Body(Vec<u8>),
    /// No answer.
    Failed(ErrorClass, String),
}

/// A message without a body.
pub(super) fn get(http: &Http<'_>, path: &str) -> Result<Request, Trouble> {
    http.request(Method::GET, path, "application/json", Vec::new())
}

/// Text at a path of keys.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, key| value.get(*key))?.as_str().filter(|text| !text.is_empty())
}

/// A count at a path of keys; Google writes counts as text.
pub(super) fn count(value: &Value, path: &[&str]) -> Option<u64> {
    let value = path.iter().try_fold(value, |value, key| value.get(*key))?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// An id of a host that can stand in a path: segments of letters, digits, `_`, `-` and `.`. Anything else could lead a
/// request with the key elsewhere.
pub(super) fn safe_id(id: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let segment = |part: &str| !part.is_empty() && part.chars().all(plain) && part.chars().any(|c| c != '.');
    (id.len() <= 256 && id.split('/').all(segment)).then(|| id.to_owned())
}

/// An address that the host names, with the host of the base URL in place of its own: the key goes nowhere else, and a
/// proxy is not passed by.
pub(super) fn at_home(base: &str, address: &str) -> Option<String> {
    let (base, mut address) = (Url::parse(base).ok()?, Url::parse(address).ok()?);
    address.set_scheme(base.scheme()).ok()?;
    address.set_host(base.host_str()).ok()?;
    address.set_port(base.port()).ok()?;
    address.set_username("").ok()?;
    address.set_password(None).ok()?;
    Some(address.into())
}

/// JSON of a value.
pub(super) fn json(value: &Value) -> Vec<u8> {
    // A value always has a text.
    serde_json::to_vec(value).unwrap_or_default()
}

//! Message batches of Anthropic: one message of all requests, and one file of results.
//!
//! Forms follow <https://docs.anthropic.com/en/api/creating-message-batches> and the types of the package `anthropic`
//! 2.13 (`types/messages/message_batch*.py`). A batch has no name: one whose submission was not answered is known by the
//! names of its requests, which show when it has ended.

use reqwest::{Method, Request};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weighbridge_core::ErrorClass;

use super::BatchLimits;
use super::http::{Http, Trouble, judged};
use super::service::{
    Found, Input, Line, Look, Outcome, Service, Sought, Source, at_home, count, get, json, safe_id, text,
};
use crate::dialect::{read_error, shortened};
use crate::endpoint::Endpoint;
use crate::retry::History;

/// The end of the message, which each request pushes on.
const END: &[u8] = b"]}";

/// The provider.
#[derive(Debug)]
pub(super) struct Anthropic;

impl Service for Anthropic {
    /// 100,000 requests and 256 MB a batch (<https://docs.anthropic.com/en/docs/build-with-claude/batch-processing>).
    fn limits(&self) -> BatchLimits {
        BatchLimits { requests: 100_000, bytes: 255_000_000, inline_bytes: 0 }
    }

    fn begin(&self, _: &str) -> Vec<u8> {
        [b"{\"requests\":[", END].concat()
    }

    /// The message is whole after each request, so that it can be sent at any time.
    fn add(&self, _: &Endpoint, payload: &mut Vec<u8>, custom_id: &str, body: &[u8]) {
        payload.truncate(payload.len().saturating_sub(END.len()));
        if !payload.ends_with(b"[") {
            payload.push(b',');
        }
        payload.extend_from_slice(format!("{{\"custom_id\":\"{custom_id}\",\"params\":").as_bytes());
        payload.extend_from_slice(body);
        payload.push(b'}');
        payload.extend_from_slice(END);
    }

    fn upload(&self, _: &Http<'_>, _: &str, payload: Vec<u8>, _: &BatchLimits) -> Result<Input, Trouble> {
        Ok(Input::Here(payload))
    }

    fn submission(&self, http: &Http<'_>, _: &str, input: Input) -> Result<Request, Trouble> {
        let Input::Here(payload) = input else { return Err(Trouble::malformed("the requests are in a file")) };
        http.request(Method::POST, "/messages/batches", "application/json", payload)
    }

    fn id_of(&self, answer: &Value) -> Option<String> {
        text(answer, &["id"]).and_then(safe_id)
    }

    /// Newest batches come first.
    fn find(&self, http: &Http<'_>, sought: &Sought<'_>) -> Result<Found, Trouble> {
        let mut path = "/messages/batches?limit=100".to_owned();
        let mut found = Found::Nothing;
        loop {
            let page = http.json(&get(http, &path)?)?;
            let batches = page.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for batch in batches.iter().filter(|batch| may_be(batch, sought)) {
                let Some(id) = self.id_of(batch) else { continue };
                if text(batch, &["processing_status"]) != Some("ended") {
                    found = Found::NotYetKnown;
                } else if owns(http, batch, &id, sought)? {
                    return Ok(Found::Batch(id));
                }
            }
            let Some(last) = batches.last() else { return Ok(found) };
            let old = created(last).is_some_and(|created| created < sought.earliest());
            let more = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
            match self.id_of(last) {
                Some(id) if more && !old => path = format!("/messages/batches?limit=100&after_id={id}"),
                _ => return Ok(found),
            }
        }
    }

    fn look(&self, http: &Http<'_>, id: &str) -> Result<Look, Trouble> {
        let batch = http.json(&get(http, &format!("/messages/batches/{id}"))?)?;
        let word = text(&batch, &["processing_status"])
            .ok_or_else(|| Trouble::malformed("a batch without a processing_status"))?;
        let ended = word == "ended";
        let counted = |key| count(&batch, &["request_counts", key]).unwrap_or(0);
        let archived = ended && text(&batch, &["archived_at"]).is_some();
        let unanswered = counted("canceled") + counted("expired");
        Ok(Look {
            word: shortened(word),
            ended,
            answered: counted("succeeded"),
            failed: counted("errored") + unanswered,
            error: archived.then(|| "the batch is archived and its results are gone".into()),
            sources: results_url(http, &batch, id).filter(|_| ended).map(Source::Url).into_iter().collect(),
        })
    }

    fn line(&self, line: &Value) -> Result<Line, String> {
        let custom_id = text(line, &["custom_id"]).ok_or("it has no custom_id")?.to_owned();
        let kind = text(line, &["result", "type"]).ok_or("its result has no type")?;
        let message = line.pointer("/result/message").filter(|message| message.is_object());
        let outcome = match (kind, message) {
            ("succeeded", Some(message)) => Outcome::Body(json(message)),
            ("succeeded", None) => Outcome::Failed(ErrorClass::Malformed, "succeeded without a message".into()),
            ("errored", _) => errored(line),
            ("expired", _) => Outcome::Failed(ErrorClass::Timeout, "expired before it was answered".into()),
            ("canceled", _) => Outcome::Failed(ErrorClass::Server, "canceled before it was answered".into()),
            (other, _) => Outcome::Failed(ErrorClass::Malformed, shortened(&format!("a result of type {other:?}"))),
        };
        let request_id = text(line, &["result", "error", "request_id"]).map(str::to_owned);
        Ok(Line { custom_id, outcome, request_id, status: None })
    }

    fn cancel_path(&self, id: &str) -> String {
        format!("/messages/batches/{id}/cancel")
    }
}

/// Whether the results of a batch are of our requests: one line tells.
fn owns(http: &Http<'_>, batch: &Value, id: &str, sought: &Sought<'_>) -> Result<bool, Trouble> {
    let Some(url) = results_url(http, batch, id) else { return Ok(false) };
    let request = http.request_to(Method::GET, &url, "", Vec::new())?;
    let mut history = History::default();
    loop {
        let mut first = First::default();
        match http.lines(&request, &mut first) {
            // The reader has had enough after a line.
            Err(trouble) if !first.whole => http.pause(&mut history, trouble)?,
            _ => {
                let line = serde_json::from_slice::<Value>(&first.bytes).unwrap_or_default();
                return Ok(text(&line, &["custom_id"]).is_some_and(|custom_id| (sought.owns)(custom_id)));
            }
        }
    }
}

/// Takes one line and no more.
#[derive(Default)]
struct First {
    bytes: Vec<u8>,
    whole: bool,
}

impl std::io::Write for First {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.whole {
            return Err(std::io::Error::other("one line is enough"));
        }
        self.bytes.extend_from_slice(bytes);
        self.whole = bytes.ends_with(b"\n");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether a batch has as many requests as the one that is sought, and is as young.
fn may_be(batch: &Value, sought: &Sought<'_>) -> bool {
    let counts = ["processing", "succeeded", "errored", "canceled", "expired"];
    let requests: u64 = counts.iter().filter_map(|key| count(batch, &["request_counts", key])).sum();
    requests == sought.requests && created(batch).is_none_or(|created| created >= sought.earliest())
}

/// When a batch was made, seconds since 1970 UTC.
fn created(batch: &Value) -> Option<f64> {
    let date = OffsetDateTime::parse(text(batch, &["created_at"])?, &Rfc3339).ok()?;
    Some(date.unix_timestamp() as f64)
}

/// Where the results are, if there are any. The path is what the host says, since it may change, but behind a proxy it is
/// another one than the host knows; the key is sent to the base URL's host only.
fn results_url(http: &Http<'_>, batch: &Value, id: &str) -> Option<String> {
    let (base, stated) = (&http.endpoint().base_url, text(batch, &["results_url"])?);
    let at_home = at_home(base, stated).filter(|url| url == stated);
    Some(at_home.unwrap_or_else(|| format!("{base}/messages/batches/{id}/results")))
}

/// `result.error` is a whole body of an error: `{"type": "error", "error": {"type", "message"}}`.
fn errored(line: &Value) -> Outcome {
    let null = Value::Null;
    let error = read_error(&json(line.pointer("/result/error").unwrap_or(&null)));
    let status = match error.code.as_deref() {
        Some("invalid_request_error") => 400,
        Some("authentication_error") => 401,
        Some("billing_error") => 402,
        Some("permission_error") => 403,
        Some("not_found_error") => 404,
        Some("request_too_large") => 413,
        Some("rate_limit_error") => 429,
        Some("timeout_error") => 504,
        Some("overloaded_error") => 529,
        _ => 500,
    };
    let (class, message) = judged(status, &error);
    Outcome::Failed(class, message)
}

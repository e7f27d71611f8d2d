//! Batches of Gemini: a file of requests, or few requests in the message itself, and an operation that ends in results.
//!
//! Forms follow <https://ai.google.dev/api/batch-api>, <https://ai.google.dev/api/files> and the package `google-genai`
//! 3.6 (`batches.py`, `files.py`). A batch carries its name as `displayName`, by which it is found again. Results are
//! read under `response` and under `metadata.output`, since both occur
//! (<https://github.com/maximhq/bifrost/pull/4904>).

use reqwest::{Method, Request};
use serde_json::{Value, json};
use weighbridge_core::ErrorClass;

use super::BatchLimits;
use super::http::{Http, Trouble, judged};
use super::service::{
    Found, Input, Line, Look, Outcome, Service, Sought, Source, at_home, count, get, json, safe_id, text,
};
use crate::dialect::{read_error, shortened};
use crate::endpoint::Endpoint;
use crate::transport::header;

/// Pages of a list that are read at most.
const MOST_PAGES: usize = 200;

/// The provider.
#[derive(Debug)]
pub(super) struct Gemini;

impl Service for Gemini {
    /// 2 GB a file (<https://ai.google.dev/gemini-api/docs/batch-api>); much less is kept in memory here. A number of
    /// requests is not stated.
    fn limits(&self) -> BatchLimits {
        BatchLimits { requests: 50_000, bytes: 199_000_000, inline_bytes: 0 }
    }

    fn begin(&self, _: &str) -> Vec<u8> {
        Vec::new()
    }

    fn add(&self, _: &Endpoint, payload: &mut Vec<u8>, custom_id: &str, body: &[u8]) {
        payload.extend_from_slice(format!("{{\"key\":\"{custom_id}\",\"request\":").as_bytes());
        payload.extend_from_slice(body);
        payload.extend_from_slice(b"}\n");
    }

    /// In two steps: the host names an address, and takes the file there.
    fn upload(&self, http: &Http<'_>, name: &str, payload: Vec<u8>, limits: &BatchLimits) -> Result<Input, Trouble> {
        if payload.len() <= limits.inline_bytes {
            return Ok(Input::Here(payload));
        }
        let url = format!("{}/files", beside_version(&http.endpoint().base_url, "upload"));
        let length = payload.len().to_string();
        let body = json(&json!({"file": {"displayName": name}}));
        let mut start = http.request_to(Method::POST, &url, "application/json", body)?;
        set(&mut start, "x-goog-upload-protocol", "resumable")?;
        set(&mut start, "x-goog-upload-command", "start")?;
        set(&mut start, "x-goog-upload-header-content-length", &length)?;
        set(&mut start, "x-goog-upload-header-content-type", "application/jsonl")?;
        let place = http.retried(&start)?;
        let place = header(&place.headers, "x-goog-upload-url")
            .and_then(|place| at_home(&http.endpoint().base_url, place))
            .ok_or_else(|| Trouble::malformed("the host names no address for a file"))?;
        let mut send = http.request_to(Method::POST, &place, "application/jsonl", payload)?;
        set(&mut send, "x-goog-upload-command", "upload, finalize")?;
        set(&mut send, "x-goog-upload-offset", "0")?;
        let answer = http.json(&send)?;
        let id = text(&answer, &["file", "name"]).and_then(safe_id).filter(|id| id.starts_with("files/"));
        id.map(Input::File).ok_or_else(|| Trouble::malformed("the answer to an upload names no file"))
    }

    fn submission(&self, http: &Http<'_>, name: &str, input: Input) -> Result<Request, Trouble> {
        let config = match input {
            Input::File(file) => json!({"fileName": file}),
            Input::Here(lines) => json!({"requests": {"requests": inlined(&lines)?}}),
        };
        let model = http.endpoint().model.trim_start_matches("models/");
        let body = json!({"batch": {
            "displayName": name,
            "model": format!("models/{model}"),
            "inputConfig": config,
        }});
        http.request(Method::POST, &format!("/models/{model}:batchGenerateContent"), "application/json", json(&body))
    }

    fn id_of(&self, answer: &Value) -> Option<String> {
        text(answer, &["name"]).and_then(safe_id).filter(|id| id.starts_with("batches/"))
    }

    fn find(&self, http: &Http<'_>, sought: &Sought<'_>) -> Result<Found, Trouble> {
        let mut path = "/batches?pageSize=100".to_owned();
        for _ in 0..MOST_PAGES {
            let page = http.json(&get(http, &path)?)?;
            let listed = page.get("operations").or_else(|| page.get("batches")).and_then(Value::as_array);
            for batch in listed.map(Vec::as_slice).unwrap_or_default() {
                let named = text(batch, &["metadata", "displayName"]).or_else(|| text(batch, &["displayName"]));
                if named == Some(sought.name)
                    && let Some(id) = self.id_of(batch)
                {
                    return Ok(Found::Batch(id));
                }
            }
            let token = text(&page, &["nextPageToken"]).map(encoded);
            let Some(token) = token else { return Ok(Found::Nothing) };
            path = format!("/batches?pageSize=100&pageToken={token}");
        }
        Err(Trouble::malformed("the list of batches does not end"))
    }

    fn look(&self, http: &Http<'_>, id: &str) -> Result<Look, Trouble> {
        let operation = http.json(&get(http, &format!("/{id}"))?)?;
        let word = text(&operation, &["metadata", "state"]).or_else(|| text(&operation, &["state"]));
        let done = operation.get("done").and_then(Value::as_bool).unwrap_or(false);
        let word = word.unwrap_or(if done { "done" } else { "unknown" });
        let ended = done || END_STATES.iter().any(|end| word.ends_with(end));
        let stats = |key| count(&operation, &["metadata", "batchStats", key]).unwrap_or(0);
        let error = operation.get("error").filter(|error| !error.is_null());
        let error = error.map(|error| judged(500, &read_error(&json(&json!({ "error": error })))).1);
        let bad_end = ["FAILED", "CANCELLED", "EXPIRED"].iter().any(|end| word.ends_with(end));
        Ok(Look {
            word: shortened(word),
            ended,
            answered: stats("successfulRequestCount"),
            failed: stats("failedRequestCount"),
            error: error.or_else(|| bad_end.then(|| shortened(&format!("the batch ended as {word}")))),
            sources: if ended { sources(&http.endpoint().base_url, &operation) } else { Vec::new() },
        })
    }

    /// `{"key", "response" | "error"}` in files, `{"metadata": {"key"}, "response" | "error"}` in messages.
    fn line(&self, line: &Value) -> Result<Line, String> {
        let key = text(line, &["key"]).or_else(|| text(line, &["metadata", "key"]));
        let custom_id = key.ok_or("it has no key")?.to_owned();
        let response = line.get("response").filter(|response| response.is_object());
        // Some lines are the status itself.
        let error = line.get("error").or_else(|| line.get("status")).filter(|error| error.is_object());
        let outcome = match (response, error) {
            (Some(response), None) => Outcome::Body(json(response)),
            (_, Some(error)) => errored(error),
            (None, None) => Outcome::Failed(ErrorClass::Malformed, "neither a response nor an error".into()),
        };
        Ok(Line { custom_id, outcome, request_id: None, status: None })
    }

    fn cancel_path(&self, id: &str) -> String {
        format!("/{id}:cancel")
    }
}

/// Ends of the names of states after which nothing comes. They begin with `BATCH_STATE_` or `JOB_STATE_`.
const END_STATES: [&str; 5] = ["_SUCCEEDED", "_FAILED", "_CANCELLED", "_EXPIRED", "_PARTIALLY_SUCCEEDED"];

/// Where the results of an operation are; the same ones stand at both places.
fn sources(base: &str, operation: &Value) -> Vec<Source> {
    let places = [operation.get("response"), operation.pointer("/metadata/output"), operation.get("output")];
    for place in places.into_iter().flatten() {
        let lines = place.pointer("/inlinedResponses/inlinedResponses").or_else(|| place.get("inlinedResponses"));
        if let Some(lines) = lines.and_then(Value::as_array) {
            return vec![Source::Lines(lines.clone())];
        }
        if let Some(file) = text(place, &["responsesFile"]).and_then(safe_id).filter(|id| id.starts_with("files/")) {
            let download = beside_version(base, "download");
            return vec![Source::Url(format!("{download}/{file}:download?alt=media"))];
        }
    }
    Vec::new()
}

/// The lines of a file as requests of a message.
fn inlined(lines: &[u8]) -> Result<Vec<Value>, Trouble> {
    let entry = |line: &[u8]| -> Result<Value, Trouble> {
        let line: Value = serde_json::from_slice(line).map_err(|error| Trouble::malformed(error.to_string()))?;
        Ok(json!({"request": line.get("request"), "metadata": {"key": line.get("key")}}))
    };
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(entry).collect()
}

fn errored(error: &Value) -> Outcome {
    let host = read_error(&json(&json!({ "error": error })));
    // Google's numbers of gRPC stand where those of HTTP may stand too.
    let status = match error.get("code").and_then(Value::as_u64) {
        Some(code @ 400..600) => code as u16,
        Some(3 | 9 | 11) => 400,
        Some(16) => 401,
        Some(7) => 403,
        Some(5) => 404,
        Some(8) => 429,
        Some(4) => 504,
        Some(14) => 503,
        _ => 500,
    };
    let (class, message) = judged(status, &host);
    Outcome::Failed(class, message)
}

fn set(request: &mut Request, name: &'static str, value: &str) -> Result<(), Trouble> {
    let value = value.parse().map_err(|_| Trouble::malformed("a header that cannot be sent"))?;
    request.headers_mut().insert(name, value);
    Ok(())
}

/// A folder put before the version, the last part of the base URL: files are at `https://host/upload/v1beta/files` and
/// `https://host/download/v1beta/files/...`.
fn beside_version(base: &str, folder: &str) -> String {
    match base.rsplit_once('/') {
        Some((before, version)) => format!("{before}/{folder}/{version}"),
        None => base.to_owned(),
    }
}

/// Text as a value of a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let code = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(code).collect()
}

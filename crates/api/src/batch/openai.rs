//! Batches of OpenAI: a file of requests, a batch that names it, and two files of results.
//!
//! Forms follow <https://platform.openai.com/docs/api-reference/batch> and the types of the package `openai` 3.57
//! (`types/batch.py`, `types/file_object.py`). A batch carries its name in `metadata`, by which it is found again.

use reqwest::{Method, Request};
use serde_json::{Value, json};
use weighbridge_core::ErrorClass;

use super::BatchLimits;
use super::http::{Http, Trouble, judged};
use super::service::{Found, Input, Line, Look, Outcome, Service, Sought, Source, count, get, json, safe_id, text};
use crate::dialect::{Delivery, read_error, shortened, wire};
use crate::endpoint::Endpoint;

/// The key of a batch's name in its metadata.
const NAME: &str = "weighbridge";

/// The provider.
#[derive(Debug)]
pub(super) struct Openai;

impl Service for Openai {
    /// 50,000 requests and 200 MB a file (`batch_create_params.py`); a little is left for the form around the file.
    fn limits(&self) -> BatchLimits {
        BatchLimits { requests: 50_000, bytes: 199_000_000, inline_bytes: 0 }
    }

    /// A form of two fields (RFC 7578), ended by [`Self::upload`].
    fn begin(&self, name: &str) -> Vec<u8> {
        format!(
            "--{name}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{name}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"{name}.jsonl\"\r\n\
             Content-Type: application/jsonl\r\n\r\n"
        )
        .into_bytes()
    }

    fn add(&self, endpoint: &Endpoint, payload: &mut Vec<u8>, custom_id: &str, body: &[u8]) {
        // Names of requests and paths need no escapes; the body is JSON on one line.
        let url = url(endpoint);
        let head = format!("{{\"custom_id\":\"{custom_id}\",\"method\":\"POST\",\"url\":\"{url}\",\"body\":");
        payload.extend_from_slice(head.as_bytes());
        payload.extend_from_slice(body);
        payload.extend_from_slice(b"}\n");
    }

    fn upload(&self, http: &Http<'_>, name: &str, mut payload: Vec<u8>, _: &BatchLimits) -> Result<Input, Trouble> {
        payload.extend_from_slice(format!("\r\n--{name}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={name}");
        let answer = http.json(&http.request(Method::POST, "/files", &kind, payload)?)?;
        let id = text(&answer, &["id"]).and_then(safe_id);
        id.map(Input::File).ok_or_else(|| Trouble::malformed("the answer to an upload names no file"))
    }

    fn submission(&self, http: &Http<'_>, name: &str, input: Input) -> Result<Request, Trouble> {
        let Input::File(file) = input else { return Err(Trouble::malformed("the requests are in no file")) };
        let body = json!({
            "input_file_id": file,
            "endpoint": url(http.endpoint()),
            "completion_window": "24h",
            "metadata": {NAME: name},
        });
        http.request(Method::POST, "/batches", "application/json", json(&body))
    }

    fn id_of(&self, answer: &Value) -> Option<String> {
        text(answer, &["id"]).and_then(safe_id)
    }

    /// Newest batches come first.
    fn find(&self, http: &Http<'_>, sought: &Sought<'_>) -> Result<Found, Trouble> {
        let mut path = "/batches?limit=100".to_owned();
        loop {
            let page = http.json(&get(http, &path)?)?;
            let batches = page.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for batch in batches {
                if text(batch, &["metadata", NAME]) == Some(sought.name)
                    && let Some(id) = self.id_of(batch)
                {
                    return Ok(Found::Batch(id));
                }
            }
            let Some(last) = batches.last() else { return Ok(Found::Nothing) };
            let old = count(last, &["created_at"]).is_some_and(|created| (created as f64) < sought.earliest());
            let more = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
            match self.id_of(last) {
                Some(id) if more && !old => path = format!("/batches?limit=100&after={id}"),
                _ => return Ok(Found::Nothing),
            }
        }
    }

    fn look(&self, http: &Http<'_>, id: &str) -> Result<Look, Trouble> {
        let batch = http.json(&get(http, &format!("/batches/{id}"))?)?;
        let word = text(&batch, &["status"]).ok_or_else(|| Trouble::malformed("a batch without a status"))?;
        let base = &http.endpoint().base_url;
        // Where there is no such file, some batches have an empty name.
        let file = |key| Some(Source::Url(format!("{base}/files/{}/content", safe_id(text(&batch, &[key])?)?)));
        let files = || file("output_file_id").into_iter().chain(file("error_file_id")).collect();
        let ended = matches!(word, "completed" | "failed" | "expired" | "cancelled");
        Ok(Look {
            word: shortened(word),
            ended,
            answered: count(&batch, &["request_counts", "completed"]).unwrap_or(0),
            failed: count(&batch, &["request_counts", "failed"]).unwrap_or(0),
            error: if ended { against(&batch, word) } else { None },
            sources: if ended { files() } else { Vec::new() },
        })
    }

    fn line(&self, line: &Value) -> Result<Line, String> {
        let custom_id = text(line, &["custom_id"]).ok_or("it has no custom_id")?.to_owned();
        let status = count(line, &["response", "status_code"]).and_then(|status| u16::try_from(status).ok());
        let body = line.pointer("/response/body").filter(|body| body.is_object());
        let error = line.get("error").filter(|error| !error.is_null());
        let outcome = match (body, error) {
            (Some(body), None) if status.is_none_or(|status| (200..300).contains(&status)) => Outcome::Body(json(body)),
            (Some(body), _) => failed(status, &json(body)),
            (None, Some(error)) => failed(status, &json(&json!({ "error": error }))),
            (None, None) => Outcome::Failed(ErrorClass::Malformed, "neither a response nor an error".into()),
        };
        let request_id = text(line, &["response", "request_id"]).or_else(|| text(line, &["id"])).map(str::to_owned);
        Ok(Line { custom_id, outcome, request_id, status })
    }

    fn cancel_path(&self, id: &str) -> String {
        format!("/batches/{id}/cancel")
    }
}

/// The endpoint of OpenAI that answers, whatever the base URL is.
fn url(endpoint: &Endpoint) -> String {
    format!("/v1{}", wire(endpoint.dialect).path(endpoint, Delivery::Whole))
}

/// What is said against a batch as a whole.
fn against(batch: &Value, word: &str) -> Option<String> {
    let errors = batch.pointer("/errors/data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let said: Vec<String> = errors
        .iter()
        .take(5)
        .map(|error| {
            let line = count(error, &["line"]).map(|line| format!(" (line {line})")).unwrap_or_default();
            let code = text(error, &["code"]).map(|code| format!("{code}: ")).unwrap_or_default();
            format!("{code}{}{line}", text(error, &["message"]).unwrap_or("no message"))
        })
        .collect();
    match (said.is_empty(), word) {
        (false, _) => Some(shortened(&said.join("; "))),
        (true, "completed") => None,
        (true, word) => Some(format!("the batch is {word}")),
    }
}

fn failed(status: Option<u16>, body: &[u8]) -> Outcome {
    let error = read_error(body);
    // A request that expired with its batch has a code and no status.
    if error.code.as_deref() == Some("batch_expired") {
        return Outcome::Failed(ErrorClass::Timeout, judged(408, &error).1);
    }
    let (class, message) = judged(status.filter(|status| *status >= 400).unwrap_or(500), &error);
    Outcome::Failed(class, message)
}

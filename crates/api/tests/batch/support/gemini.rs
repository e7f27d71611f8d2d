//! Batches and files as Gemini's reference and SDK describe them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Fake, KEY, Oddities, Request, joined, kind};

#[derive(Default)]
pub struct Gemini {
    files: BTreeMap<String, String>,
    uploads: usize,
    batches: Vec<Batch>,
    oddities: Oddities,
}

struct Batch {
    id: String,
    name: String,
    inline: bool,
    /// `{"key", "request"}` each.
    requests: Vec<Value>,
    looks: usize,
    cancelled: bool,
    foreign: bool,
}

impl Fake for Gemini {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.headers.get("x-goog-api-key").map(String::as_str) != Some(KEY) {
            return Answer::error(403, "no key");
        }
        if request.is("POST", "/upload/v1beta/files") {
            return self.upload(request);
        }
        if request.is("POST", "/v1beta/models/model-1:batchGenerateContent") {
            return self.create(request);
        }
        if request.is("GET", "/v1beta/batches") {
            return self.list(request);
        }
        if let Some(id) = request.between("GET", "/download/v1beta/files/", ":download") {
            assert_eq!(request.query["alt"], "media");
            let at = self.at(id.strip_prefix("batch-").unwrap());
            return Answer::text(self.results(at));
        }
        if let Some(id) = request.between("POST", "/v1beta/batches/", ":cancel") {
            let at = self.at(id);
            self.batches[at].cancelled = true;
            return Answer::json(&json!({}));
        }
        match request.between("GET", "/v1beta/batches/", "") {
            Some(id) => {
                let at = self.at(id);
                self.batches[at].looks += 1;
                Answer::json(&self.view(at))
            }
            None => Answer::error(404, &format!("nothing at {}", request.path)),
        }
    }

    fn submitted(&self) -> Vec<Vec<String>> {
        let ids = |batch: &Batch| batch.requests.iter().map(|r| r["key"].as_str().unwrap().to_owned()).collect();
        self.batches.iter().filter(|batch| !batch.foreign).map(ids).collect()
    }

    fn oddities(&mut self) -> &mut Oddities {
        &mut self.oddities
    }

    fn add_foreign(&mut self, _: usize) {
        self.push("weighbridge-0000-0".into(), Vec::new(), false);
        self.batches.last_mut().unwrap().foreign = true;
    }
}

impl Gemini {
    fn at(&self, id: &str) -> usize {
        self.batches.iter().position(|batch| batch.id == id).unwrap()
    }

    fn push(&mut self, name: String, requests: Vec<Value>, inline: bool) {
        let id = format!("b{}", self.batches.len());
        self.batches.push(Batch { id, name, inline, requests, looks: 0, cancelled: false, foreign: false });
    }

    fn upload(&mut self, request: &Request) -> Answer {
        match request.headers["x-goog-upload-command"].as_str() {
            "start" => {
                assert_eq!(request.headers["x-goog-upload-protocol"], "resumable");
                assert_eq!(request.headers["x-goog-upload-header-content-type"], "application/jsonl");
                // A host that does not exist: the key must go to the base URL's.
                let place = "https://upload.invalid/upload/v1beta/files?upload_id=1".to_owned();
                Answer { headers: vec![("x-goog-upload-url", place)], ..Answer::json(&json!({})) }
            }
            command => {
                assert_eq!(command, "upload, finalize");
                assert_eq!(
                    (request.query["upload_id"].as_str(), &*request.headers["x-goog-upload-offset"]),
                    ("1", "0")
                );
                let name = format!("files/f{}", self.uploads);
                self.uploads += 1;
                self.files.insert(name.clone(), String::from_utf8(request.body.clone()).unwrap());
                Answer::json(&json!({"file": {"name": name, "mimeType": "application/jsonl", "state": "ACTIVE"}}))
            }
        }
    }

    fn create(&mut self, request: &Request) -> Answer {
        if let Some(status) = self.oddities.refuse {
            return Answer::error(status, "no such batch is taken");
        }
        let batch = request.json()["batch"].clone();
        let (requests, inline) = if let Some(file) = batch["inputConfig"]["fileName"].as_str() {
            let Some(lines) = self.files.get(file) else { return Answer::error(400, "no such input file") };
            (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), false)
        } else {
            let entries = batch["inputConfig"]["requests"]["requests"].as_array().unwrap();
            let entry = |e: &Value| json!({"key": e["metadata"]["key"], "request": e["request"]});
            (entries.iter().map(entry).collect::<Vec<Value>>(), true)
        };
        assert!(requests.iter().all(|request| request["request"]["contents"].is_array()));
        self.push(batch["displayName"].as_str().unwrap().to_owned(), requests, inline);
        Answer::json(&self.view(self.batches.len() - 1))
    }

    /// Two a page, oldest first.
    fn list(&self, request: &Request) -> Answer {
        let begin =
            request.query.get("pageToken").map_or(0, |token| token.strip_prefix("p%2F").unwrap().parse().unwrap());
        let page: Vec<Value> = (begin..self.batches.len().min(begin + 2)).map(|at| self.view(at)).collect();
        let mut answer = json!({"operations": page});
        if begin + 2 < self.batches.len() {
            answer["nextPageToken"] = json!(format!("p/{}", begin + 2));
        }
        Answer::json(&answer)
    }

    fn view(&self, at: usize) -> Value {
        let batch = &self.batches[at];
        let name = format!("batches/{}", batch.id);
        let mut view = json!({"name": name, "metadata": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": "models/model-1", "displayName": batch.name, "state": "BATCH_STATE_RUNNING", "name": name,
            "batchStats": {"requestCount": batch.requests.len().to_string()}}});
        if !batch.cancelled && batch.looks <= self.oddities.looks {
            return view;
        }
        let end = if batch.cancelled { "cancelled" } else { self.oddities.end.unwrap_or("succeeded") };
        view["metadata"]["state"] = json!(format!("BATCH_STATE_{}", end.to_uppercase()));
        view["done"] = json!(true);
        if end == "failed" {
            view["error"] = json!({"code": 3, "message": "the input file cannot be read", "details": []});
            return view;
        }
        if batch.looks <= self.oddities.looks + self.oddities.late_results {
            return view;
        }
        view["metadata"]["batchStats"]["successfulRequestCount"] = json!(batch.requests.len().to_string());
        let lines = self.results(at);
        if batch.inline {
            let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            view["response"] = json!({"inlinedResponses": {"inlinedResponses": lines}});
        } else {
            view["response"] = json!({"responsesFile": format!("files/batch-{}", batch.id)});
        }
        view["metadata"]["output"] = view["response"].clone();
        view
    }

    fn results(&self, at: usize) -> String {
        let mut lines = self.oddities.extra_lines.clone();
        let batch = &self.batches[at];
        for request in batch.requests.iter().rev() {
            let (key, text) =
                (&request["key"], request["request"]["contents"][0]["parts"][0]["text"].as_str().unwrap());
            let line = |field: &str, value: Value| match (batch.inline, self.oddities.nameless) {
                (true, true) => json!({ field: value }).to_string(),
                (true, false) => json!({"metadata": {"key": key}, field: value}).to_string(),
                (false, _) => json!({"key": key, field: value}).to_string(),
            };
            let answer = |text: &str| {
                line(
                    "response",
                    json!({
                "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP", "index": 0}],
                "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
                "modelVersion": "model-1-0613", "responseId": "r1"}),
                )
            };
            match kind(text) {
                "missing" => {}
                "garbage" => lines.push(format!("{{\"key\": {key}, \"response\"")),
                "twice" => lines.extend([answer(&format!("answer to {text}")), answer("another answer")]),
                "key" => lines.push(answer(&format!("your key is {KEY}"))),
                "empty" => lines.push(line("response", json!([]))),
                "error" => lines.push(line("error", json!({"code": 3, "message": "this is not taken"}))),
                "expire" => lines.push(line("error", json!({"code": 4, "message": "expired"}))),
                _ => lines.push(answer(&format!("answer to {text}"))),
            }
        }
        joined(&lines)
    }
}

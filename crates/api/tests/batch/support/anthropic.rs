//! Message batches as Anthropic's reference and SDK describe them.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Answer, Fake, KEY, Oddities, Request, joined, kind};

#[derive(Default)]
pub struct Anthropic {
    batches: Vec<Batch>,
    oddities: Oddities,
}

struct Batch {
    id: String,
    requests: Vec<Value>,
    created_at: String,
    looks: usize,
    cancelled: bool,
    foreign: bool,
}

impl Fake for Anthropic {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.headers.get("x-api-key").map(String::as_str) != Some(KEY) {
            return Answer::error(401, "no key");
        }
        assert_eq!(request.headers["anthropic-version"], "2023-06-01");
        if request.is("POST", "/v1/messages/batches") {
            return self.create(request);
        }
        if request.is("GET", "/v1/messages/batches") {
            return self.list(request);
        }
        if let Some(id) = request.between("GET", "/v1/messages/batches/", "/results") {
            let at = self.at(id);
            return Answer::text(self.results(at));
        }
        if let Some(id) = request.between("POST", "/v1/messages/batches/", "/cancel") {
            let at = self.at(id);
            self.batches[at].cancelled = true;
            return Answer::json(&self.view(at, &request.origin));
        }
        match request.between("GET", "/v1/messages/batches/", "") {
            Some(id) => {
                let at = self.at(id);
                self.batches[at].looks += 1;
                Answer::json(&self.view(at, &request.origin))
            }
            None => Answer::error(404, &format!("nothing at {}", request.path)),
        }
    }

    fn submitted(&self) -> Vec<Vec<String>> {
        let ids = |batch: &Batch| batch.requests.iter().map(|r| r["custom_id"].as_str().unwrap().into()).collect();
        self.batches.iter().filter(|batch| !batch.foreign).map(ids).collect()
    }

    fn oddities(&mut self) -> &mut Oddities {
        &mut self.oddities
    }

    fn add_foreign(&mut self, requests: usize) {
        let requests = (0..requests).map(
            |i| json!({"custom_id": format!("other-{i}"), "params": {"messages": [{"role": "user", "content": "x"}]}}),
        );
        self.push(requests.collect(), true);
    }
}

impl Anthropic {
    fn at(&self, id: &str) -> usize {
        self.batches.iter().position(|batch| batch.id == id).unwrap()
    }

    fn push(&mut self, requests: Vec<Value>, foreign: bool) {
        let id = format!("msgbatch_{}", self.batches.len());
        let created_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
        self.batches.push(Batch { id, requests, created_at, looks: 0, cancelled: false, foreign });
    }

    fn create(&mut self, request: &Request) -> Answer {
        if let Some(status) = self.oddities.refuse {
            return Answer::error(status, "no such batch is taken");
        }
        let body = request.json();
        let requests = body["requests"].as_array().unwrap().clone();
        for request in &requests {
            let id = request["custom_id"].as_str().unwrap();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            assert!(id.len() <= 64 && !id.is_empty() && id.chars().all(plain), "{id}");
            assert_eq!(
                (&request["params"]["model"], &request["params"]["max_tokens"]),
                (&json!("model-1"), &json!(50))
            );
            assert_eq!(request["params"].get("stream"), None);
        }
        self.push(requests, false);
        Answer::json(&self.view(self.batches.len() - 1, &request.origin))
    }

    /// Two a page, newest first.
    fn list(&mut self, request: &Request) -> Answer {
        let mut all: Vec<Value> = (0..self.batches.len()).rev().map(|at| self.view(at, &request.origin)).collect();
        // Time passes for batches that are listed, too.
        self.batches.iter_mut().for_each(|batch| batch.looks += 1);
        if let Some(after) = request.query.get("after_id") {
            let at = all.iter().position(|batch| batch["id"] == after.as_str()).unwrap();
            all.drain(..=at);
        }
        let more = all.len() > 2;
        all.truncate(2);
        let id = |batch: Option<&Value>| batch.map(|batch| batch["id"].clone());
        Answer::json(&json!({"first_id": id(all.first()), "last_id": id(all.last()), "has_more": more, "data": all}))
    }

    fn view(&self, at: usize, origin: &str) -> Value {
        let batch = &self.batches[at];
        let total = batch.requests.len();
        let mut view = json!({
            "id": batch.id, "type": "message_batch", "processing_status": "in_progress",
            "request_counts": {"processing": total, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
            "ended_at": null, "created_at": batch.created_at, "expires_at": batch.created_at, "archived_at": null,
            "cancel_initiated_at": null, "results_url": null,
        });
        if !batch.cancelled && batch.looks <= self.oddities.looks {
            return view;
        }
        view["processing_status"] = json!("ended");
        view["ended_at"] = json!(batch.created_at);
        view["request_counts"] =
            json!({"processing": 0, "succeeded": total, "errored": 0, "canceled": 0, "expired": 0});
        if batch.looks > self.oddities.looks + self.oddities.late_results {
            view["results_url"] = json!(format!("{origin}/v1/messages/batches/{}/results", batch.id));
        }
        view
    }

    /// Last request first.
    fn results(&self, at: usize) -> String {
        let mut lines = self.oddities.extra_lines.clone();
        for request in self.batches[at].requests.iter().rev() {
            let (id, content) = (&request["custom_id"], &request["params"]["messages"][0]["content"]);
            let text = content.as_str().or_else(|| content[0]["text"].as_str()).unwrap();
            let line = |result: Value| json!({"custom_id": id, "result": result}).to_string();
            let answer = |text: &str| {
                line(json!({"type": "succeeded", "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "model-1-0613",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 10, "output_tokens": 5, "service_tier": "batch"}}}))
            };
            let dead = self.oddities.end.filter(|_| kind(text) != "answered");
            match dead.unwrap_or_else(|| kind(text)) {
                "missing" => {}
                "garbage" => lines.push(format!("{{\"custom_id\": {id}, \"result\"")),
                "twice" => lines.extend([answer(&format!("answer to {text}")), answer("another answer")]),
                "key" => lines.push(answer(&format!("your key is {KEY}"))),
                "empty" => lines.push(line(json!({"type": "succeeded", "message": {"type": "message"}}))),
                "error" => lines
                    .push(line(json!({"type": "errored", "error": {"type": "error", "request_id": "req_2",
                    "error": {"type": "invalid_request_error", "message": "this is not taken"}}}))),
                "expire" | "expired" => lines.push(line(json!({"type": "expired"}))),
                "cancelled" => lines.push(line(json!({"type": "canceled"}))),
                _ if self.batches[at].cancelled => lines.push(line(json!({"type": "canceled"}))),
                _ => lines.push(answer(&format!("answer to {text}"))),
            }
        }
        joined(&lines)
    }
}

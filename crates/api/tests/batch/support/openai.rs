//! Batches as OpenAI's reference and SDK describe them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Fake, KEY, Oddities, Request, joined, kind};

#[derive(Default)]
pub struct Openai {
    files: BTreeMap<String, String>,
    batches: Vec<Batch>,
    oddities: Oddities,
}

struct Batch {
    id: String,
    file: String,
    metadata: Value,
    endpoint: String,
    created_at: u64,
    looks: usize,
    cancelled: bool,
}

impl Fake for Openai {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.headers.get("authorization") != Some(&format!("Bearer {KEY}")) {
            return Answer::error(401, "no key");
        }
        if request.is("POST", "/v1/files") {
            return self.upload(request);
        }
        if request.is("POST", "/v1/batches") {
            return self.create(request);
        }
        if request.is("GET", "/v1/batches") {
            return self.list(request);
        }
        if let Some(id) = request.between("GET", "/v1/files/", "/content") {
            return self.files.get(id).map_or_else(|| Answer::error(404, "no such file"), |f| Answer::text(f.clone()));
        }
        if let Some(id) = request.between("POST", "/v1/batches/", "/cancel") {
            let batch = self.batches.iter_mut().find(|batch| batch.id == id).unwrap();
            batch.cancelled = true;
            return self.look(id);
        }
        match request.between("GET", "/v1/batches/", "") {
            Some(id) => self.look(id),
            None => Answer::error(404, &format!("nothing at {}", request.path)),
        }
    }

    fn submitted(&self) -> Vec<Vec<String>> {
        let ids = |batch: &Batch| self.lines(batch).iter().map(|l| l["custom_id"].as_str().unwrap().into()).collect();
        self.batches.iter().filter(|batch| !batch.file.is_empty()).map(ids).collect()
    }

    fn oddities(&mut self) -> &mut Oddities {
        &mut self.oddities
    }

    fn endpoints(&self) -> Vec<String> {
        self.batches.iter().map(|batch| batch.endpoint.clone()).collect()
    }

    fn add_foreign(&mut self, _: usize) {
        self.push(String::new(), json!({"weighbridge": "weighbridge-0000-0"}), "/v1/chat/completions".into());
    }
}

impl Openai {
    fn upload(&mut self, request: &Request) -> Answer {
        let kind = &request.headers["content-type"];
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let body = std::str::from_utf8(&request.body).unwrap();
        let (parts, end) = body.rsplit_once(&format!("\r\n--{boundary}--")).unwrap();
        assert_eq!(end, "\r\n");
        let (first, next) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}\r\n"));
        let mut parts = parts.strip_prefix(&first).unwrap().split(&next);
        assert_eq!(parts.next(), Some("Content-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch"));
        let (head, content) = parts.next().unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("Content-Disposition: form-data; name=\"file\"; filename=\"weighbridge-"), "{head}");
        assert_eq!(parts.next(), None);
        let id = format!("file-{}", self.files.len());
        self.files.insert(id.clone(), content.to_owned());
        Answer::json(&json!({"id": id, "object": "file", "bytes": content.len(), "created_at": now(),
            "filename": "x.jsonl", "purpose": "batch", "status": "processed"}))
    }

    fn create(&mut self, request: &Request) -> Answer {
        if let Some(status) = self.oddities.refuse {
            return Answer::error(status, "no such batch is taken");
        }
        let body = request.json();
        assert_eq!(body["completion_window"], "24h");
        let file = body["input_file_id"].as_str().unwrap();
        let Some(lines) = self.files.get(file) else { return Answer::error(400, "no such input file") };
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["method"], &line["url"]), (&json!("POST"), &body["endpoint"]));
            assert_eq!(line["body"]["model"], "model-1");
        }
        self.push(file.to_owned(), body["metadata"].clone(), body["endpoint"].as_str().unwrap().to_owned());
        Answer::json(&self.view(self.batches.len() - 1))
    }

    fn push(&mut self, file: String, metadata: Value, endpoint: String) {
        let id = format!("batch_{}", self.batches.len());
        self.batches.push(Batch { id, file, metadata, endpoint, created_at: now(), looks: 0, cancelled: false });
    }

    /// Two a page, newest first.
    fn list(&self, request: &Request) -> Answer {
        let mut all: Vec<Value> = (0..self.batches.len()).rev().map(|at| self.view(at)).collect();
        if let Some(after) = request.query.get("after") {
            let at = all.iter().position(|batch| batch["id"] == after.as_str()).unwrap();
            all.drain(..=at);
        }
        let more = all.len() > 2;
        all.truncate(2);
        Answer::json(&json!({"object": "list", "data": all, "has_more": more}))
    }

    fn look(&mut self, id: &str) -> Answer {
        let at = self.batches.iter().position(|batch| batch.id == id).unwrap();
        self.batches[at].looks += 1;
        if self.has_ended(at) && self.end() != "failed" {
            let (answers, errors) = self.results(at);
            self.files.insert(format!("{id}-out"), answers);
            self.files.insert(format!("{id}-err"), errors);
        }
        Answer::json(&self.view(at))
    }

    fn has_ended(&self, at: usize) -> bool {
        self.batches[at].cancelled || self.batches[at].looks > self.oddities.looks
    }

    fn end(&self) -> &'static str {
        self.oddities.end.unwrap_or("completed")
    }

    fn lines(&self, batch: &Batch) -> Vec<Value> {
        self.files[&batch.file].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn view(&self, at: usize) -> Value {
        let batch = &self.batches[at];
        let total = if batch.file.is_empty() { 0 } else { self.lines(batch).len() };
        let mut view = json!({
            "id": batch.id, "object": "batch", "endpoint": batch.endpoint, "errors": null, "input_file_id": batch.file,
            "completion_window": "24h", "status": "in_progress", "output_file_id": null, "error_file_id": null,
            "created_at": batch.created_at, "request_counts": {"total": total, "completed": 0, "failed": 0},
            "metadata": batch.metadata,
        });
        if !self.has_ended(at) {
            return view;
        }
        let end = if batch.cancelled { "cancelled" } else { self.end() };
        view["status"] = json!(end);
        if end == "failed" {
            view["errors"] = json!({"object": "list", "data": [
                {"code": "invalid_json_line", "message": "This line is not parseable.", "param": null, "line": 2}]});
        } else if batch.looks > self.oddities.looks + self.oddities.late_results {
            view["output_file_id"] = json!(format!("{}-out", batch.id));
            view["error_file_id"] = json!(format!("{}-err", batch.id));
            view["request_counts"]["completed"] = json!(total);
        } else {
            view["error_file_id"] = json!("");
        }
        view
    }

    /// Last request first.
    fn results(&self, at: usize) -> (String, String) {
        let (mut answers, mut errors) = (self.oddities.extra_lines.clone(), Vec::new());
        for line in self.lines(&self.batches[at]).iter().rev() {
            let (id, text) = (&line["custom_id"], line["body"]["messages"][0]["content"].as_str().unwrap());
            let answer = |text: &str| {
                json!({"id": "batch_req_1", "custom_id": id, "response": {
                "status_code": 200, "request_id": "req_1", "body": {
                    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "model-1-0613",
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null},
                        "logprobs": null, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
                    "system_fingerprint": "fp_1"}}, "error": null})
                .to_string()
            };
            match kind(text) {
                "missing" => {}
                "garbage" => answers.push(format!("{{\"custom_id\": {id}, \"response\"")),
                "twice" => answers.extend([answer(&format!("answer to {text}")), answer("another answer")]),
                "key" => answers.push(answer(&format!("your key is {KEY}"))),
                "empty" => answers.push(
                    json!({"id": "r", "custom_id": id, "response": {"status_code": 200,
                    "request_id": "r", "body": {"object": "chat.completion"}}, "error": null})
                    .to_string(),
                ),
                "error" => errors.push(
                    json!({"id": "batch_req_2", "custom_id": id, "response": {"status_code": 400,
                    "request_id": "req_2", "body": {"error": {"message": "this is not taken",
                    "type": "invalid_request_error", "param": null, "code": null}}}, "error": null})
                    .to_string(),
                ),
                "expire" => errors.push(
                    json!({"id": "batch_req_3", "custom_id": id, "response": null,
                    "error": {"code": "batch_expired", "message": "not executed in time"}})
                    .to_string(),
                ),
                _ => answers.push(answer(&format!("answer to {text}"))),
            }
        }
        (joined(&answers), joined(&errors))
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

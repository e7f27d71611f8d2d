//! A server of a test: it answers on loopback as the test says, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// The lines of its head.
    pub head: String,
    pub body: Value,
}

impl Asked {
    /// What the user said last, in any of the dialects.
    pub fn question(&self) -> String {
        let body = &self.body;
        let turns = body["messages"].as_array().or_else(|| body["contents"].as_array());
        let last = turns.and_then(|turns| turns.last()).unwrap_or(body);
        let said = [&last["content"], &last["content"][0]["text"], &last["parts"][0]["text"], &last["prompt"]];
        said.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
    }

    fn streamed(&self) -> bool {
        self.body["stream"] == true || self.path.contains("stream")
    }
}

/// An answer to send.
pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    /// Lines of the head, each with its end.
    pub head: String,
    pub body: String,
}

impl Reply {
    fn new(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, kind, head: String::new(), body }
    }

    /// An error as most hosts tell it.
    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        Self::new(status, "application/json", body.to_string())
    }

    /// The text, in the dialect of the request and whole or as a stream as it was asked for.
    pub fn text(asked: &Asked, text: &str) -> Self {
        let pieces = if asked.path.contains("/chat/completions") {
            chat(asked, text)
        } else if asked.path.ends_with("/messages") {
            anthropic(asked, text)
        } else {
            gemini(text)
        };
        if !asked.streamed() {
            return Self::new(200, "application/json", pieces[0].to_string());
        }
        let event = |piece: &Value| {
            let name = piece["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
            format!("{name}data: {piece}\n\n")
        };
        Self::new(200, "text/event-stream", pieces.iter().map(event).collect())
    }
}

/// Two pieces of a text that may hold anything.
fn halves(text: &str) -> [String; 2] {
    let half = text.chars().count() / 2;
    [text.chars().take(half).collect(), text.chars().skip(half).collect()]
}

fn chat(asked: &Asked, text: &str) -> Vec<Value> {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    let model = &asked.body["model"];
    if !asked.streamed() {
        let message = json!({"role": "assistant", "content": text});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        return vec![json!({"id": "c-1", "model": model, "choices": [choice], "usage": usage})];
    }
    let piece = |text: &str, finish: Value| {
        let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": finish});
        json!({"id": "c-1", "model": model, "choices": [choice]})
    };
    let [first, second] = halves(text);
    let end = json!({"id": "c-1", "model": model, "choices": [], "usage": usage});
    vec![piece(&first, Value::Null), piece(&second, Value::Null), piece("", json!("stop")), end]
}

fn anthropic(asked: &Asked, text: &str) -> Vec<Value> {
    let model = &asked.body["model"];
    let usage = json!({"input_tokens": 11, "output_tokens": 7});
    if !asked.streamed() {
        let content = json!([{"type": "text", "text": text}]);
        let message = json!({"type": "message", "id": "m-1", "role": "assistant", "model": model, "content": content,
            "stop_reason": "end_turn", "usage": usage});
        return vec![message];
    }
    let message = json!({"type": "message", "id": "m-1", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "usage": {"input_tokens": 11, "output_tokens": 1}});
    let delta = |text: String| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let [first, second] = halves(text);
    vec![
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        delta(first),
        delta(second),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]
}

fn gemini(text: &str) -> Vec<Value> {
    let content = json!({"role": "model", "parts": [{"text": text}]});
    let usage = json!({"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18});
    let candidate = json!({"index": 0, "content": content, "finishReason": "STOP"});
    vec![json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "g-1"})]
}

/// A running server.
pub struct Server {
    /// Up to and with `/v1`.
    pub base_url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts one that runs until the tests end.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(&stream, &*answer, &seen));
            }
        });
        Self { base_url, asked }
    }

    /// One that says the question again.
    pub fn echo() -> Self {
        Self::start(|asked| Reply::text(asked, &format!("You said: {}", asked.question())))
    }

    /// One that says the same whatever it is asked.
    pub fn saying(text: &'static str) -> Self {
        Self::start(move |asked| Reply::text(asked, text))
    }

    /// A model here, as it is named on the command line.
    pub fn model(&self, model: &str) -> String {
        format!("{model},base-url={}", self.base_url)
    }

    /// What came so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came since this was called last.
    pub fn taken(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Asked) -> Reply, seen: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            head.push_str(&header);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = Asked { path, head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let Reply { status, kind, head, body } = answer(&asked);
        let size = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{head}content-length: {size}\r\n\r\n");
        writer.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
    }
}

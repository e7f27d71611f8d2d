//! A server on loopback that answers as a test says, and endpoints that point to it.

#![expect(dead_code, reason = "each test takes what it needs")]
#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use weighbridge_api::dialect::{WireError, WireReply, wire};
use weighbridge_api::{Endpoint, EndpointOptions, Hosted, RetryPolicy, Session, SessionOptions};
use weighbridge_core::{Dialect, EndpointFacts, GenerationRequest, Message, Prompt, Provider};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub body: Value,
}

/// An answer to send.
pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Reply {
    pub fn json(value: &Value) -> Self {
        Self { status: 200, kind: "application/json", body: value.to_string() }
    }

    pub fn error(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        Self { status, kind: "application/json", body }
    }

    pub fn events(pieces: &[Value]) -> Self {
        let pieces: Vec<String> = pieces.iter().map(|piece| format!("data: {piece}\n\n")).collect();
        let body = pieces.concat() + "data: [DONE]\n\n";
        Self { status: 200, kind: "text/event-stream", body }
    }
}

/// A running server.
pub struct Server {
    pub base_url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts one whose base URL ends in `/v1`. It runs until the test program ends.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
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

    /// Paths and bodies so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Asked) -> Reply, seen: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&n| n > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
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
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = Asked { path, body: serde_json::from_slice(&body).unwrap_or(Value::Null) };
        seen.lock().unwrap().push(asked.clone());
        let Reply { status, kind, body } = answer(&asked);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(body.as_bytes()).ok()?;
    }
}

/// A provider that speaks the dialects, preferred first.
pub fn provider(dialects: &[Dialect]) -> Provider {
    Provider {
        id: "scripted".into(),
        name: "Scripted".into(),
        base_url: None,
        key_variables: Vec::new(),
        key_required: false,
        dialects: dialects.to_vec(),
        router: false,
        batch: false,
        quirks: BTreeSet::new(),
        source: "test".into(),
    }
}

/// An endpoint of the model `m`.
pub fn endpoint(dialects: &[Dialect], base_url: &str, facts: EndpointFacts) -> Endpoint {
    Endpoint::new(EndpointOptions {
        provider: provider(dialects),
        model: "m".into(),
        base_url: Some(base_url.into()),
        dialect: None,
        key: None,
        pin: None,
        facts,
        prices: Vec::new(),
    })
    .unwrap()
}

/// A model at the server that is asked without patience.
pub fn hosted(dialects: &[Dialect], base_url: &str, facts: EndpointFacts) -> Hosted {
    let retry = RetryPolicy { first: Duration::from_millis(1), same: 2, ..RetryPolicy::default() };
    let session = Session::new(SessionOptions { retry, ..SessionOptions::default() }).unwrap();
    Hosted::new(endpoint(dialects, base_url, facts), &session).unwrap()
}

/// A question of the user.
pub fn question(text: &str) -> GenerationRequest {
    GenerationRequest::new(Prompt::Messages(vec![Message::user(text)]), 16)
}

/// Reads events one by one; returns what watchers saw and the answer.
pub fn streamed(
    dialect: Dialect,
    request: &GenerationRequest,
    pieces: &[Value],
) -> Result<(String, WireReply), WireError> {
    let mut reader = wire(dialect).stream(request);
    let mut seen = String::new();
    for piece in pieces {
        if reader.is_done() {
            break;
        }
        seen.push_str(&reader.piece(&piece.to_string())?);
    }
    Ok((seen, reader.end()?))
}

/// Replaces, drops or retypes one place of a JSON value, chosen by numbers.
pub fn mutate(value: &mut Value, mut at: u64, with: u64) {
    let junk = |with: u64| match with % 9 {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::from(-1),
        3 => Value::from(1e300),
        4 => Value::String("\u{0}\u{fffd}\u{1f600}".into()),
        5 => Value::Array(vec![Value::Null, Value::from(3)]),
        6 => serde_json::json!({"x": []}),
        7 => Value::from(u64::MAX),
        _ => Value::String(String::new()),
    };
    let mut here = value;
    loop {
        let count = match here {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        } as u64;
        if count == 0 || at.is_multiple_of(5) {
            *here = junk(with);
            return;
        }
        at /= 5;
        let i = (at % count) as usize;
        at /= count;
        here = match here {
            Value::Object(map) => map.values_mut().nth(i).unwrap(),
            Value::Array(list) => &mut list[i],
            _ => return,
        };
    }
}

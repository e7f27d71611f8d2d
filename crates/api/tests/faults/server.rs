//! A server that does on demand what real ones never do: it sends any bytes in any pace and breaks off anywhere.
//!
//! It speaks just enough of HTTP/1.1 to read requests; what it answers is a script of bytes, waits and ends that a function
//! gives for each request. It keeps what it has seen, and counts what is open.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends bytes at once.
    Send(Vec<u8>),
    /// Sends bytes one by one with a pause before each.
    Trickle(Vec<u8>, Duration),
    /// Does nothing for so long.
    Wait(Duration),
    /// Does nothing until the other side goes.
    Hang,
    /// Closes the connection as TCP does.
    Close,
    /// Throws the connection away (RST).
    Reset,
    /// Notes that a whole answer was sent, which a real host bills.
    Billed(u64, u64),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How many came before it.
    pub number: usize,
    /// First line and headers.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The text of the last message.
    pub fn prompt(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let messages = body["messages"].as_array().unwrap();
        messages.last().unwrap()["content"].as_str().unwrap().to_owned()
    }

    pub fn is_streamed(&self) -> bool {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["stream"] == true
    }
}

/// What a server has done.
#[derive(Debug, Default)]
pub struct Ledger {
    requests: AtomicUsize,
    /// Connections that are open.
    pub open: AtomicUsize,
    /// Connections that ever were.
    pub connections: AtomicUsize,
    /// Most requests that were being answered at once.
    pub most_at_once: AtomicUsize,
    at_once: AtomicUsize,
    /// Requests, if they are kept.
    pub seen: Mutex<Vec<Seen>>,
    /// Answers, input tokens, output tokens.
    pub billed: Mutex<(u64, u64, u64)>,
}

impl Ledger {
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// What is done with a request.
pub type Script = dyn Fn(&Seen) -> Vec<Act> + Send + Sync;

/// A server on a port of loopback, until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub ledger: Arc<Ledger>,
    runtime: Option<Runtime>,
}

impl Server {
    pub fn start(script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (ledger, script): (_, Arc<Script>) = (Arc::new(Ledger::default()), Arc::new(script));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let noted = Arc::clone(&ledger);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (ledger, script) = (Arc::clone(&noted), Arc::clone(&script));
                tokio::spawn(async move { connection(stream, &ledger, &*script).await });
            }
        });
        Self { address, ledger, runtime: Some(runtime) }
    }

    /// Address of its endpoints.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn connection(mut stream: TcpStream, ledger: &Ledger, script: &Script) {
    stream.set_nodelay(true).unwrap();
    ledger.open.fetch_add(1, Ordering::SeqCst);
    ledger.connections.fetch_add(1, Ordering::SeqCst);
    if serve(&mut stream, ledger, script).await == End::Reset {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
    ledger.open.fetch_sub(1, Ordering::SeqCst);
}

/// How a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

/// Answers requests on a connection until one of both sides ends it.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, ledger: &Ledger, script: &Script) -> End {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(stream, &mut buffer).await {
        let number = ledger.requests.fetch_add(1, Ordering::SeqCst);
        let seen = Seen { number, head, body };
        let acts = script(&seen);
        ledger.seen.lock().unwrap().push(seen);
        let at_once = ledger.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        ledger.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let end = play(stream, acts, ledger).await;
        ledger.at_once.fetch_sub(1, Ordering::SeqCst);
        if let Some(end) = end {
            return end;
        }
    }
    End::Closed
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, acts: Vec<Act>, ledger: &Ledger) -> Option<End> {
    for act in acts {
        let sent = match act {
            Act::Send(bytes) => stream.write_all(&bytes).await,
            Act::Trickle(bytes, pause) => trickle(stream, &bytes, pause).await,
            Act::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Act::Hang => {
                // Ends when the other side closes; what it may send is not read as a request.
                while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
                return Some(End::Closed);
            }
            Act::Close => return Some(End::Closed),
            Act::Reset => return Some(End::Reset),
            Act::Billed(input, output) => {
                let mut billed = ledger.billed.lock().unwrap();
                *billed = (billed.0 + 1, billed.1 + input, billed.2 + output);
                Ok(())
            }
        };
        if sent.is_err() {
            return Some(End::Closed);
        }
    }
    None
}

async fn trickle<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8], pause: Duration) -> std::io::Result<()> {
    for byte in bytes {
        tokio::time::sleep(pause).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok();
    let length = head.lines().find_map(length).unwrap_or(0);
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, buffer.drain(..length).collect()))
}

/// A response with its length.
pub fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A response of JSON.
pub fn json_response(status: u16, headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    let headers = [&[("content-type", "application/json")], headers].concat();
    response(status, &headers, body.to_string().as_bytes())
}

/// An error in OpenAI's form.
pub fn error(status: u16, headers: &[(&str, &str)], code: &str, message: &str) -> Vec<Act> {
    let body = json!({"error": {"message": message, "type": "error", "code": code}});
    vec![Act::Send(json_response(status, headers, &body))]
}

/// The answer of a chat as JSON; it costs 7 tokens in and 3 out.
pub fn chat(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    })
}

/// A whole answer.
pub fn answer(text: &str) -> Vec<Act> {
    vec![Act::Send(json_response(200, &[], &chat(text))), Act::Billed(7, 3)]
}

/// The head of a stream whose length is not known: it ends with the connection.
pub const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// An event of a stream.
pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// The event of a piece of text.
pub fn delta(text: &str) -> String {
    event(
        &json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}),
    )
}

/// The event that tells why the text ended.
pub fn finish() -> String {
    event(&json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
}

/// The event that tells what it cost.
pub fn usage() -> String {
    event(&json!({"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}))
}

/// A whole stream.
pub fn stream(pieces: &[&str]) -> String {
    let deltas: String = pieces.iter().map(|piece| delta(piece)).collect();
    format!("{deltas}{}{}data: [DONE]\n\n", finish(), usage())
}

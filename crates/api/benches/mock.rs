//! A server that answers every chat request at once with the same words: what is measured against it is the client alone.
//!
//! `mock [--delay-ms N]` prints its address and runs until its standard input closes; then it prints how many requests it
//! has answered. One thread; keep-alive; nothing is read of a request but the length of its body.

#![expect(clippy::print_stdout, reason = "the address is what the program is asked for")]

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1760000000,"model":"mock","system_fingerprint":"fp_1","choices":[{"index":0,"message":{"role":"assistant","content":"The answer is 42."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":6,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#;

/// Requests answered, by all connections.
static ANSWERED: AtomicU64 = AtomicU64::new(0);

fn main() -> std::io::Result<()> {
    let delay = std::env::args().skip_while(|arg| arg != "--delay-ms").nth(1).and_then(|ms| ms.parse().ok());
    let delay = Duration::from_millis(delay.unwrap_or(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(|| {
        // The end of standard input is the end of whoever started the server.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        println!("{}", ANSWERED.load(Ordering::Relaxed));
        std::process::exit(0);
    });
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}/v1", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A client that goes away ends its connection, nothing else.
            tokio::spawn(async move { serve(stream, delay).await.ok() });
        }
    })
}

async fn serve(mut stream: TcpStream, delay: Duration) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_1\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let mut held = Vec::with_capacity(1 << 14);
    loop {
        let Some(length) = whole_request(&held) else {
            if stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
            continue;
        };
        // As good as always this is all there is, and nothing moves.
        held.drain(..length);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        ANSWERED.fetch_add(1, Ordering::Relaxed);
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Bytes of the first request, head and body, once all are there.
fn whole_request(held: &[u8]) -> Option<usize> {
    let head = memmem::find(held, b"\r\n\r\n")? + 4;
    let length = held[..head].split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        let value = std::str::from_utf8(value).ok()?;
        name.eq_ignore_ascii_case(b"content-length:").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head + length.unwrap_or(0);
    (held.len() >= whole).then_some(whole)
}

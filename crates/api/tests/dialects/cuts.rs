//! Streams over the network, cut in two at every byte.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use weighbridge_api::dialect::{Delivery, Framing};
use weighbridge_api::{Hosted, Session};
use weighbridge_api::{NumberedRequest, SessionOptions};
use weighbridge_core::{CallState, Dialect, EndpointFacts, GenerationRequest, Message, Prompt};

use crate::scripted::endpoint;
use crate::suite::{Stream, Suite};

/// Asks for each stream as often as it has bytes, and has it cut elsewhere each time.
pub fn check_cuts(suite: &Suite) {
    for stream in &suite.streams {
        let text = suite.text(stream);
        let lines = suite.wire(&stream.request).framing() == Framing::Lines;
        let kind = if lines { "application/x-ndjson" } else { "text/event-stream; charset=utf-8" };
        let address = serve(kind, text.clone());
        let endpoint = endpoint(&[suite.dialect], &address, EndpointFacts::default());
        let session = Session::new(SessionOptions { concurrency: 8, ..SessionOptions::default() }).unwrap();
        let hosted = Hosted::new(endpoint, &session).unwrap();
        let mut requests = (1..text.len()).map(|cut| numbered(suite.dialect, stream, cut));
        let mut seen = BTreeSet::new();
        let ran = hosted.run(&mut requests, Delivery::Streamed, &mut |record| {
            let (at, expect) = (record.index, &stream.expect);
            assert!(
                matches!(record.state, CallState::Answered | CallState::Truncated | CallState::Refused),
                "{record:?}"
            );
            assert_eq!(record.text, Some(expect.text.clone().unwrap_or_default()), "cut at {at} of {text}");
            assert_eq!(record.reasoning, expect.reasoning, "cut at {at} of {text}");
            assert_eq!((record.finish, record.usage), (expect.finish, expect.usage), "cut at {at} of {text}");
            assert_eq!((&record.usage_stated, &record.logprobs), (&expect.usage_stated, &expect.logprobs));
            seen.insert(at);
            Ok::<_, std::convert::Infallible>(())
        });
        assert!(ran.is_ok() && seen.len() == text.len() - 1, "{}", suite.dialect);
    }
}

/// The request of a stream whose prompt says where to cut.
fn numbered(dialect: Dialect, stream: &Stream, cut: usize) -> NumberedRequest {
    let place = format!("cut={cut};");
    let prompt = match (&stream.request.prompt, dialect) {
        (Prompt::Text(_), _) => Prompt::Text(place),
        _ => Prompt::Messages(vec![Message::user(place)]),
    };
    let request = GenerationRequest { prompt, ..stream.request.clone() };
    NumberedRequest { index: cut as u64, id: None, request }
}

/// A server that answers each request with the text in two chunks of HTTP, which reach the reader one by one.
fn serve(kind: &'static str, text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let text = Arc::new(text);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let text = Arc::clone(&text);
            std::thread::spawn(move || connection(&stream, kind, text.as_bytes()));
        }
    });
    address
}

fn connection(stream: &TcpStream, kind: &str, text: &[u8]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok().filter(|&n| n > 0)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let cut: usize = body.split_once("cut=")?.1.split_once(';')?.0.parse().ok()?;
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
        for part in [&text[..cut], &text[cut..]] {
            answer.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            answer.extend_from_slice(part);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        writer.write_all(&answer).ok()?;
    }
}

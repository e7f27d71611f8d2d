//! Connections that end too early, too late or not at all.

use std::time::Duration;

use super::{Case, always, case, impatient, times};
use crate::server::{Act, answer, chat, json_response, response};

fn whole() -> Vec<u8> {
    json_response(200, &[], &chat("ok"))
}

/// The head and half of the body.
fn half() -> Act {
    let bytes = whole();
    Act::Send(bytes[..bytes.len() - 60].to_vec())
}

fn chunked(body: &[u8], end: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    for chunk in body.chunks(50) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(end.as_bytes());
    bytes
}

pub fn cases() -> Vec<Case> {
    const AGAIN: &str = "backs off; it may have been billed";
    let chat = chat("ok").to_string().into_bytes();
    let with_trailers = chunked(&chat, "0\r\nx-checksum: 12\r\nretry-after: 60\r\n\r\n");
    let without_end = chunked(&chat, "");
    vec![
        times(2, "closed without an answer, twice", AGAIN, || vec![Act::Close]),
        times(1, "reset without an answer", AGAIN, || vec![Act::Reset]),
        times(1, "half of the body, then closed", AGAIN, || vec![half(), Act::Close]),
        times(1, "half of the body, then reset", AGAIN, || {
            vec![half(), Act::Wait(Duration::from_millis(20)), Act::Reset]
        }),
        always("half of the body, always", "ends at the tenth", || vec![half(), Act::Close]),
        times(1, "chunks without the last one", AGAIN, move || vec![Act::Send(without_end.clone()), Act::Close]),
        times(1, "half of the body of an error 500", "backs off: the status is enough", || {
            let bytes = response(500, &[("content-type", "application/json")], &[b' '; 90]);
            vec![Act::Send(bytes[..bytes.len() - 60].to_vec()), Act::Close]
        }),
        always("never answers", "given up after the time-out, five times", || vec![Act::Hang]).options(impatient),
        always("stops in the middle of the body", "given up after the time-out, five times", || {
            vec![half(), Act::Hang]
        })
        .options(impatient),
        always("a byte of the head every 20 ms", "given up after the time-out, five times", || {
            vec![Act::Trickle(whole(), Duration::from_millis(20))]
        })
        .options(impatient),
        always("a byte of the body every 50 ms", "given up after the time-out, five times", || {
            let bytes = whole();
            let body = bytes.len() - 200;
            vec![Act::Send(bytes[..body].to_vec()), Act::Trickle(bytes[body..].to_vec(), Duration::from_millis(50))]
        })
        .options(impatient),
        case("bytes one by one, in time", "read as they come", |_| {
            vec![Act::Trickle(whole(), Duration::from_micros(50)), Act::Billed(7, 3)]
        }),
        case("chunks with trailers, one of them `retry-after`", "trailers are not read", move |_| {
            vec![Act::Send(with_trailers.clone()), Act::Billed(7, 3)]
        }),
        case("`103 Early Hints` before the answer", "passed over", |_| {
            let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".to_vec();
            vec![Act::Send([hint, whole()].concat()), Act::Billed(7, 3)]
        }),
        times(1, "bytes that are no HTTP", AGAIN, || {
            vec![Act::Send(b"\x16\x03\x01\x02\x00 hello\r\n\r\n".to_vec()), Act::Close]
        }),
        times(1, "two lengths that differ", AGAIN, || {
            let bytes = json_response(200, &[("content-length", "5")], &serde_json::json!({}));
            vec![Act::Send(bytes), Act::Close]
        }),
        times(1, "ten thousand headers", AGAIN, || {
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            (0..10_000).for_each(|i| head.extend_from_slice(format!("x-{i}: {i}\r\n").as_bytes()));
            vec![Act::Send(head), Act::Close]
        }),
        case("closes the connection after each answer", "a new one is made", |seen| {
            let close = json_response(200, &[("connection", "close")], &crate::server::chat("ok"));
            if seen.number == 0 {
                crate::server::error(500, &[("connection", "close")], "", "")
            } else {
                vec![Act::Send(close), Act::Billed(7, 3), Act::Close]
            }
        }),
        times(1, "answers a request that was not sent, on top of a 500", "the surplus is thrown away", || {
            let surplus = response(200, &[], b"{}");
            let error = response(500, &[], b"{}");
            vec![Act::Send([error, surplus].concat())]
        }),
        times(1, "answer to the retry is whole", "counted once", || vec![half(), Act::Reset])
            .options(|options| options.concurrency = 1),
        case("answers at once", "nothing", |_| answer("ok")),
    ]
}

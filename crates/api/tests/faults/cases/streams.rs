//! Streams that are cut, mixed with garbage, or called something else.

use std::time::Duration;

use serde_json::json;

use super::{Case, always, case, impatient};
use crate::server::{Act, STREAM, Seen, answer, chat, delta, event, finish, json_response, stream, usage};

fn whole() -> Vec<Act> {
    vec![Act::Send(format!("{STREAM}{}", stream(&["o", "k"])).into()), Act::Billed(7, 3), Act::Close]
}

/// A stream given as bytes after the head, and how it ends; the next attempt is whole.
fn once(fault: &'static str, done: &'static str, body: impl Into<Vec<u8>>, end: Act) -> Case {
    let bytes = [STREAM.as_bytes(), &body.into()].concat();
    let first = move || vec![Act::Send(bytes.clone()), Act::Wait(Duration::from_millis(20)), end.clone()];
    case(fault, done, move |seen: &Seen| match (seen.number, seen.is_streamed()) {
        (0, _) => first(),
        (_, true) => whole(),
        (_, false) => answer("ok"),
    })
    .streamed()
}

pub fn cases() -> Vec<Case> {
    const ONCE: &str = "complete all the same: answered and counted once";
    const AGAIN: &str = "backs off; it may have been billed";
    let text = stream(&["o", "k"]);
    let head_of_other = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\nconnection: close\r\n\r\n";
    let utf8 =
        [&delta("a").into_bytes()[..], b"data: {\"choices\": [{\"delta\": {\"content\": \"\xff\"}}]}\n\n"].concat();
    let overloaded = event(&json!({"error": {"type": "overloaded_error", "message": "Overloaded"}}));
    vec![
        case("bytes one by one", "read as they come", move |_| {
            let bytes = format!("{STREAM}{}", stream(&["o", "k"])).into_bytes();
            vec![Act::Trickle(bytes, Duration::from_micros(20)), Act::Billed(7, 3), Act::Close]
        })
        .streamed(),
        once("cut in the middle of an event", AGAIN, &text.as_bytes()[..text.len() / 3], Act::Close),
        once("reset in the middle of an event", AGAIN, &text.as_bytes()[..text.len() / 3], Act::Reset),
        once("cut between two events", AGAIN, delta("o"), Act::Close),
        once("reset between two events", AGAIN, delta("o"), Act::Reset),
        once("ends before it has begun", "backs off; it may have been billed", "", Act::Close),
        once("no `[DONE]`", ONCE, format!("{}{}{}", delta("ok"), finish(), usage()), Act::Close),
        once(
            "reset after the cost, before `[DONE]`",
            ONCE,
            format!("{}{}{}", delta("ok"), finish(), usage()),
            Act::Reset,
        ),
        once(
            "reset after the end of the text, before its cost",
            AGAIN,
            format!("{}{}", delta("ok"), finish()),
            Act::Reset,
        ),
        once("garbage after `[DONE]`", "not read", format!("{text}data: {{]]\n\n\x00\x01"), Act::Close),
        once("an event that is no JSON", AGAIN, format!("{}data: {{]]\n\n{text}", delta("o")), Act::Close),
        once("an error after some text", "backs off; it may have been billed", delta("o") + &overloaded, Act::Close),
        once("an error before any text", "backs off", overloaded.clone(), Act::Close),
        once("no `data:` at all", AGAIN, "event: ping\n\n: comment\n\nhello\n\n", Act::Close),
        once(
            "comments, CR LF and fields of other names",
            "passed over",
            format!(": ping\r\n\r\nevent: x\nid: 1\n{}", text.replace('\n', "\r\n")),
            Act::Close,
        ),
        once(
            "bytes that are not UTF-8",
            "U+FFFD in their place",
            [utf8, finish().into(), usage().into()].concat(),
            Act::Close,
        )
        .text("a\u{fffd}"),
        case("one body where a stream was asked", "read as one body", |_| {
            vec![Act::Send(json_response(200, &[], &chat("ok"))), Act::Billed(7, 3)]
        })
        .streamed(),
        case("called `application/octet-stream`", "known by how it begins", move |_| {
            vec![Act::Send(format!("{head_of_other}{}", stream(&["ok"])).into()), Act::Billed(7, 3), Act::Close]
        })
        .streamed(),
        case("a stream where one body was asked", "read as a stream", |_| whole()),
        always("stops in the middle", "given up after the time-out, five times", || {
            vec![Act::Send(format!("{STREAM}{}", delta("o")).into()), Act::Hang]
        })
        .streamed()
        .options(impatient),
        once(
            "a line of 70 MB without an end",
            "reading stops at 64 MiB; it may have been billed",
            vec![b'x'; 70 << 20],
            Act::Close,
        ),
    ]
}

//! Bodies that came whole and are not what the dialect says, and strange ones that are.

use std::io::Write as _;

use serde_json::json;

use super::{Case, always, case, times};
use crate::server::{Act, Seen, chat, json_response, response};

const JSON: (&str, &str) = ("content-type", "application/json");

fn ok(headers: &[(&str, &str)], body: &[u8]) -> Vec<Act> {
    vec![Act::Send(response(200, headers, body))]
}

/// An answer whose body is given as bytes.
fn answered(headers: &'static [(&'static str, &'static str)], body: impl Into<Vec<u8>>) -> impl Fn(&Seen) -> Vec<Act> {
    let body = body.into();
    move |_| vec![Act::Send(response(200, headers, &body)), Act::Billed(7, 3)]
}

/// The answer with something else in place of its text.
fn with_text(text: &[u8]) -> Vec<u8> {
    let body = chat("TEXT").to_string();
    let (before, after) = body.split_once("TEXT").unwrap();
    [before.as_bytes(), text, after.as_bytes()].concat()
}

fn zeros(megabytes: usize) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let megabyte = vec![b' '; 1 << 20];
    (0..megabytes).for_each(|_| gzip.write_all(&megabyte).unwrap());
    gzip.finish().unwrap()
}

pub fn cases() -> Vec<Case> {
    const THREE: &str = "ends at the third: each may have been billed";
    const INSIDE: &str = "the error inside counts";
    let html = b"<!doctype html><title>Sign in to the network</title>";
    let bomb = zeros(160);
    let large = format!("{}{}{}", "a".repeat(5 << 20), '\u{20ac}', "b".repeat(5 << 20));
    vec![
        times(1, "JSON that ends too early", "backs off; it may have been billed", || {
            ok(&[JSON], br#"{"choices": [{"message": {"content": "ok""#)
        }),
        always("JSON that ends too early, always", THREE, || ok(&[JSON], b"{\"choices\": [{")),
        always("JSON with garbage behind it", THREE, || {
            ok(&[JSON], &[chat("ok").to_string().as_bytes(), b"<garbage>"].concat())
        }),
        always("HTML of a proxy, with 200", THREE, || ok(&[("content-type", "text/html")], html)),
        always("an empty body", THREE, || ok(&[JSON], b"")),
        always("JSON of another kind", THREE, || ok(&[JSON], b"[1, 2, 3]")),
        always("no choices", THREE, || vec![Act::Send(json_response(200, &[], &json!({"choices": []})))]),
        always("NaN in place of a number", THREE, || ok(&[JSON], br#"{"choices": [{"index": NaN}]}"#)),
        always("JSON a thousand levels deep", THREE, || ok(&[JSON], "[".repeat(1000).as_bytes())),
        always("160 MiB of spaces in 160 kB of gzip", "reading stops at 128 MiB; ends at the third", move || {
            ok(&[JSON, ("content-encoding", "gzip")], &bomb)
        }),
        always("gzip that is none", "ends at the tenth: the answer broke off", || {
            ok(&[JSON, ("content-encoding", "gzip")], b"this is no gzip")
        }),
        times(1, "200 with an error inside", INSIDE, || {
            vec![Act::Send(json_response(200, &[], &json!({"error": {"message": "upstream failed", "code": 502}})))]
        }),
        times(1, "200 with `rate_limit_exceeded` inside", INSIDE, || {
            let body = json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}});
            vec![Act::Send(json_response(200, &[], &body))]
        }),
        always("200 with `insufficient_quota` inside", "stops at once", || {
            let body = json!({"error": {"message": "empty", "code": "insufficient_quota"}});
            vec![Act::Send(json_response(200, &[], &body))]
        }),
        case("JSON called `text/plain`", "read as JSON", answered(&[("content-type", "text/plain")], with_text(b"ok"))),
        case("no content type", "read as JSON", answered(&[], with_text(b"ok"))),
        case(
            "every header twice",
            "the first counts",
            answered(
                &[JSON, ("content-type", "text/html"), ("x-request-id", "one"), ("x-request-id", "two")],
                with_text(b"ok"),
            ),
        ),
        case("10 MB of text", "kept in full", move |_| {
            vec![Act::Send(json_response(200, &[], &chat(&large))), Act::Billed(7, 3)]
        })
        .text(""),
        case(
            "control characters, NUL and text from right to left",
            "kept as they are",
            answered(&[JSON], with_text(br"\u0000\u0007\u001b[31m \u202e\u0645")),
        )
        .text("\0\u{7}\u{1b}[31m \u{202e}\u{645}"),
        case("bytes that are not UTF-8", "U+FFFD in their place", answered(&[JSON], with_text(b"a\xffb\xe2\x82")))
            .text("a\u{fffd}b\u{fffd}"),
        case(
            "half of a surrogate pair",
            "U+FFFD in its place",
            answered(&[JSON], with_text(br"a\ud83d b\ud83d\ude00")),
        )
        .text("a\u{fffd} b\u{1f600}"),
        case("a cost below zero", "the catalog's prices count", |_| {
            let mut body = chat("ok");
            body["usage"]["cost"] = json!(-5.0);
            vec![Act::Send(json_response(200, &[], &body)), Act::Billed(7, 3)]
        }),
        case("unknown fields and null in place of known ones", "passed over", |_| {
            let mut body = chat("ok");
            body["choices"][0]["logprobs"] = json!(null);
            body["system_fingerprint"] = json!(null);
            body["new"] = json!({"deep": [1, {"er": null}]});
            vec![Act::Send(json_response(200, &[], &body)), Act::Billed(7, 3)]
        }),
    ]
}

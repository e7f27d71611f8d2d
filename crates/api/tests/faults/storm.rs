//! Thousands of requests through a server that fails at random: each ends in one record, and what is counted here is what
//! the server counted there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use weighbridge_api::{Delivery, Session, SessionOptions};
use weighbridge_core::CallState;

use crate::client::{hosted, numbered, options};
use crate::server::{Act, STREAM, Seen, Server, answer, chat, delta, error, finish, json_response, response, usage};
use crate::watchdog::ends;

const SEED: u64 = 20_261_124;

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A whole answer that repeats the prompt, in the delivery that was asked.
fn right(seen: &Seen, prompt: &str) -> Vec<Act> {
    if !seen.is_streamed() {
        return answer(prompt);
    }
    let (begin, end) = prompt.split_at(2);
    let body = format!("{STREAM}{}{}{}{}data: [DONE]\n\n", delta(begin), delta(end), finish(), usage());
    vec![Act::Send(body.into()), Act::Billed(7, 3), Act::Close]
}

fn wrong(seen: &Seen, prompt: &str, random: u64) -> Vec<Act> {
    let whole = json_response(200, &[], &chat(prompt));
    let part = whole[..whole.len() - 1 - random as usize % 200].to_vec();
    let stream_part = format!("{STREAM}{}data: {{\"cho", delta(prompt));
    match random % 18 {
        0 => error(429, &[("retry-after-ms", "2")], "rate_limit_exceeded", "slow down"),
        1 => error(429, &[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "3ms")], "", "slow"),
        2 => error(429, &[("retry-after", "soon")], "", "slow down"),
        3 => error(500, &[], "server_error", &format!("failed, request {random}")),
        4 => error(503, &[("retry-after", "0.001")], "", "overloaded"),
        5 => error(529, &[], "overloaded_error", "Overloaded"),
        6 => error(408, &[], "", "timeout"),
        7 => error(409, &[], "", "conflict"),
        8 => vec![Act::Close],
        9 => vec![Act::Reset],
        10 => vec![Act::Send(part), Act::Close],
        11 => vec![Act::Send(part), Act::Wait(Duration::from_millis(1)), Act::Reset],
        12 => vec![Act::Send(response(200, &[("content-type", "text/html")], b"<html>proxy</html>"))],
        13 => vec![Act::Send(json_response(200, &[], &json!({"error": {"message": "upstream", "code": 502}})))],
        14 if seen.is_streamed() => vec![Act::Send(stream_part.into()), Act::Reset],
        14 => vec![Act::Send(response(200, &[("connection", "close")], b"{\"choices\": [{")), Act::Close],
        15 => vec![Act::Send(b"\0\xffgarbage\r\n\r\n".to_vec()), Act::Close],
        // These are answers all the same.
        16 => vec![Act::Wait(Duration::from_millis(3)), Act::Trickle(whole, Duration::ZERO), Act::Billed(7, 3)],
        _ => vec![Act::Send(json_response(200, &[("retry-after", "60")], &chat(prompt))), Act::Billed(7, 3)],
    }
}

fn run(delivery: Delivery, seed: u64) {
    const REQUESTS: u64 = 1000;
    let attempts = Mutex::new(BTreeMap::<String, u64>::new());
    let server = Server::start(move |seen| {
        let prompt = seen.prompt();
        let number: u64 = prompt.trim_start_matches("request ").parse().unwrap();
        let attempt = {
            let mut attempts = attempts.lock().unwrap();
            let attempt = attempts.entry(prompt.clone()).or_default();
            *attempt += 1;
            *attempt
        };
        let random = random(seed ^ (number << 20) ^ attempt);
        match number {
            _ if number.is_multiple_of(97) => error(400, &[], "invalid_request_error", "never"),
            _ if number.is_multiple_of(89) => error(500, &[], "server_error", "always the same"),
            _ if random.is_multiple_of(2) => right(seen, &prompt),
            _ => wrong(seen, &prompt, random >> 8),
        }
    });
    let session = Session::new(SessionOptions { concurrency: 64, ..options() }).unwrap();
    let model = hosted(&session, &server.url());
    let (mut seen, mut answered, mut sums, mut usd, mut tries) = (BTreeSet::new(), 0, (0, 0), 0.0, 0);
    let mut requests = (0..REQUESTS).map(|i| numbered(i, &format!("request {i}")));
    model
        .run(&mut requests, delivery, &mut |record| {
            assert!(seen.insert(record.index), "{} came twice", record.index);
            tries += record.attempts.len();
            match record.state {
                CallState::Answered => {
                    assert_eq!(record.text, Some(format!("request {}", record.index)), "an answer to another request");
                    answered += 1;
                    sums = (sums.0 + record.usage.input.unwrap(), sums.1 + record.usage.output.unwrap());
                    usd += record.cost.usd.unwrap().0;
                }
                CallState::ProviderError => assert_eq!((record.text, record.cost.usd), (None, None)),
                other => panic!("{other:?}"),
            }
            if record.index.is_multiple_of(97) {
                assert_eq!(record.attempts.len(), 1);
            } else if record.index.is_multiple_of(89) {
                assert_eq!(record.attempts.len(), 5);
            }
            Ok::<(), ()>(())
        })
        .unwrap();
    assert_eq!(seen.len() as u64, REQUESTS);
    assert_eq!(tries, server.ledger.requests(), "every attempt is in a record, and no other");
    // The server notes an answer after it has sent it: the last may be noted a moment later.
    while server.ledger.billed.lock().unwrap().0 < answered {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((answered, sums.0, sums.1), *server.ledger.billed.lock().unwrap());
    assert!(answered > REQUESTS * 8 / 10, "{answered}");
    let spent = session.spend().spent();
    assert!((spent.usd - usd).abs() < 1e-9 && (usd - answered as f64 * 0.00037).abs() < 1e-9);
    assert_eq!(spent.unknown, 0);
    assert!(server.ledger.most_at_once.load(std::sync::atomic::Ordering::SeqCst) <= 64);
}

#[test]
fn nothing_is_lost_and_nothing_is_counted_twice_in_a_storm() {
    ends("the storm", || run(Delivery::Whole, SEED));
}

#[test]
fn nothing_is_lost_and_nothing_is_counted_twice_in_a_storm_of_streams() {
    ends("the storm of streams", || run(Delivery::Streamed, SEED + 1));
}

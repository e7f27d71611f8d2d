//! The limit of dollars, the number of requests in flight, redirects, and runs that are given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weighbridge_api::{Delivery, Endpoint, Hosted, Session, SessionOptions};
use weighbridge_core::{CallRecord, CallState, ErrorClass, Usd};

use crate::client::{KEY, endpoint_options, hosted, numbered, options};
use crate::server::{Act, Server, answer, chat, json_response, response};
use crate::watchdog::ends;

/// What an answer of the server costs.
const COST: f64 = 0.000_37;

fn records(model: &Hosted, requests: u64) -> Vec<CallRecord> {
    let mut records = Vec::new();
    let mut requests = (0..requests).map(|i| numbered(i, &format!("request {i}")));
    let run = model.run(&mut requests, Delivery::Whole, &mut |record| {
        records.push(record);
        Ok::<(), ()>(())
    });
    run.unwrap();
    records.sort_by_key(|record| record.index);
    assert!(records.iter().enumerate().all(|(i, record)| record.index == i as u64), "each has one record");
    records
}

#[test]
fn the_limit_of_dollars_is_overrun_by_no_more_than_what_is_in_flight() {
    ends("the limit of dollars", || {
        let server = Server::start(|_| [vec![Act::Wait(Duration::from_millis(2))], answer("ok")].concat());
        let limit = 100.0 * COST;
        let session = Session::new(SessionOptions { concurrency: 8, max_cost: Some(Usd(limit)), ..options() }).unwrap();
        let records = records(&hosted(&session, &server.url()), 300);
        let answered = records.iter().filter(|record| record.state == CallState::Answered).count();
        let spent = session.spend().spent().usd;
        assert!(spent >= limit && spent <= limit + 8.0 * COST + 1e-12, "{spent} of {limit}");
        assert_eq!(answered, server.ledger.requests(), "what is not paid is not sent");
        for record in records.iter().filter(|record| record.state != CallState::Answered) {
            assert_eq!(record.state, CallState::NotSent);
            assert_eq!(record.attempts.last().unwrap().error, Some(ErrorClass::SpendLimit));
        }
    });
}

#[test]
fn attempts_that_break_off_count_against_the_limit_of_dollars() {
    ends("broken attempts", || {
        let server = Server::start(|_| {
            let bytes = json_response(200, &[], &chat("ok"));
            vec![Act::Send(bytes[..bytes.len() - 9].to_vec()), Act::Close]
        });
        let limit = 0.05;
        let session = Session::new(SessionOptions { concurrency: 8, max_cost: Some(Usd(limit)), ..options() }).unwrap();
        let records = records(&hosted(&session, &server.url()), 300);
        let spent = session.spend().spent();
        let each = spent.possible / spent.broken as f64;
        assert_eq!(spent.broken as usize, server.ledger.requests());
        assert!(spent.possible >= limit && spent.possible <= limit + 8.0 * each, "{spent:?}");
        assert!(records.iter().all(|record| record.text.is_none()));
    });
}

#[test]
fn a_model_without_a_price_is_not_asked_under_a_limit_of_dollars() {
    let session = Session::new(SessionOptions { max_cost: Some(Usd(1.0)), ..options() }).unwrap();
    let mut options = endpoint_options("http://127.0.0.1:1/v1");
    options.prices.clear();
    let error = Hosted::new(Endpoint::new(options).unwrap(), &session).unwrap_err();
    assert!(error.to_string().contains("price"), "{error}");
}

#[test]
fn no_more_requests_are_in_flight_than_allowed() {
    ends("requests in flight", || {
        let server = Server::start(|_| [vec![Act::Wait(Duration::from_millis(5))], answer("ok")].concat());
        let session = Session::new(SessionOptions { concurrency: 40, ..options() }).unwrap();
        let model = hosted(&session, &server.url());
        assert_eq!(model.in_flight_limit(), 16);
        records(&model, 600);
        assert_eq!(model.in_flight_limit(), 40, "it grows with the answers");
        let most = server.ledger.most_at_once.load(Ordering::SeqCst);
        assert!(most <= 40, "{most}");
        // A few more than places: a new one may be made while an old one comes free.
        let connections = server.ledger.connections.load(Ordering::SeqCst);
        assert!(connections < 200, "{connections} connections for 600 requests: they are not used again");
    });
}

#[test]
fn the_connection_of_a_stream_is_used_again() {
    ends("streams", || {
        let server = Server::start(|_| {
            let body = crate::server::stream(&["o", "k"]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("{head}{:x}\r\n{body}\r\n", body.len());
            // What ends the body comes after the last event.
            let end = Act::Send(b"0\r\n\r\n".to_vec());
            vec![Act::Send(chunk.into()), Act::Wait(Duration::from_millis(5)), end]
        });
        let session = Session::new(options()).unwrap();
        let model = hosted(&session, &server.url());
        for i in 0..5 {
            let record = model.ask(numbered(i, "one"), Delivery::Streamed, &mut |_| {});
            assert_eq!(record.text.as_deref(), Some("ok"));
            std::thread::sleep(Duration::from_millis(100));
        }
        let connections = server.ledger.connections.load(Ordering::SeqCst);
        assert!(connections < 5, "{connections} connections for 5 streams");
    });
}

#[test]
fn the_key_does_not_travel_to_another_host() {
    let other = Server::start(|_| answer("gotcha"));
    let target = format!("{}/chat/completions", other.url());
    let server = Server::start(move |seen| {
        let status = [301, 302, 303, 307, 308][seen.number % 5];
        vec![Act::Send(response(status, &[("location", &target)], b""))]
    });
    let session = Session::new(options()).unwrap();
    let model = hosted(&session, &server.url());
    for i in 0..5 {
        let record = model.ask(numbered(i, "one"), Delivery::Whole, &mut |_| {});
        assert_eq!(record.state, CallState::ProviderError);
        let message = record.attempts[0].message.clone().unwrap();
        assert!(message.contains(&other.address.to_string()) && message.contains("--base-url"), "{message}");
    }
    assert_eq!(server.ledger.requests(), 5, "none is sent again");
    assert_eq!(other.ledger.connections.load(Ordering::SeqCst), 0);
    assert!(
        server.ledger.seen.lock().unwrap().iter().all(|seen| seen.head.contains(KEY)),
        "the key was there to travel"
    );
}

#[test]
fn a_run_that_is_given_up_leaves_nothing_behind() {
    ends("a run that is given up", || {
        let server = Server::start(|seen| if seen.number < 100 { answer("ok") } else { vec![Act::Hang] });
        let session = Session::new(SessionOptions { concurrency: 32, ..options() }).unwrap();
        let model = hosted(&session, &server.url());
        let mut taken = 0;
        let mut records = 0;
        let mut requests = (0..10_000).map(|i| {
            taken += 1;
            numbered(i, "one")
        });
        let run = model.run(&mut requests, Delivery::Whole, &mut |_| {
            records += 1;
            if records == 50 { Err("enough") } else { Ok(()) }
        });
        assert_eq!((run, records), (Err("enough"), 50));
        assert!(taken <= 50 + 32, "requests are taken only where there is room: {taken}");
        // What was in flight may be billed; it is not forgotten.
        assert!(session.spend().spent().broken <= 32);
        // The same session serves on.
        let record = model.ask(numbered(0, "one"), Delivery::Whole, &mut |_| {});
        assert!(matches!(record.state, CallState::Answered | CallState::ProviderError));
        drop((model, session));
        while server.ledger.open.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn a_session_that_is_dropped_in_a_call_ends_without_waiting() {
    ends("a dropped session", || {
        let server = Server::start(|_| vec![Act::Hang]);
        let session = Session::new(options()).unwrap();
        let (model, url) = (hosted(&session, &server.url()), server.url());
        drop(session);
        let caller = std::thread::spawn(move || {
            let other = Session::new(SessionOptions { timeout: Duration::from_millis(50), ..options() }).unwrap();
            hosted(&other, &url).ask(numbered(0, "one"), Delivery::Whole, &mut |_| {})
        });
        let record = caller.join().unwrap();
        assert_eq!(record.attempts.last().unwrap().error, Some(ErrorClass::Timeout));
        drop(model);
    });
}

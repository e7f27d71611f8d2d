//! The dialect `/responses`: requests, answers and streams of the shapes in OpenAI's reference.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]
#![expect(clippy::needless_pass_by_value, reason = "JSON that is written in place")]

mod scripted;

use proptest::prelude::*;
use scripted::{endpoint, mutate, question, streamed};
use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireError, WireReply, wire};
use weighbridge_api::{ApiError, check};
use weighbridge_core::{Dialect, Effort, EndpointFacts, Finish, GenerationRequest, Message, Prompt, Reasoning};

const DIALECT: Dialect = Dialect::OpenaiResponses;

fn body(request: &GenerationRequest, delivery: Delivery) -> Result<Value, ApiError> {
    let endpoint = endpoint(&[DIALECT], "http://localhost:1/v1", EndpointFacts::default());
    let body = wire(DIALECT).body(&endpoint, request, delivery)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn read(answer: &Value) -> Result<WireReply, WireError> {
    wire(DIALECT).read(answer.to_string().as_bytes(), &question("x"))
}

/// An answer as the reference gives it.
fn answer(status: &str, output: Value) -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 1_741_476_542, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "max_output_tokens": 16, "model": "gpt-x-2026-01-01",
        "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": 1.0,
        "usage": {
            "input_tokens": 36, "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 87, "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 123
        }
    })
}

fn message(parts: Value) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": parts})
}

fn hello() -> Value {
    json!([
        {"type": "reasoning", "id": "rs_1", "summary": [
            {"type": "summary_text", "text": "Greet."}, {"type": "summary_text", "text": "Be short."}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        message(json!([{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": [
            {"token": "Hel", "bytes": [72], "logprob": -0.5, "top_logprobs": [{"token": "Hel", "logprob": -0.5}]},
            {"token": "lo", "bytes": [108], "logprob": -9999.0, "top_logprobs": []}]}])),
    ])
}

#[test]
fn a_request_says_what_was_asked_and_nothing_else() {
    let turns = vec![Message::new("system", "Be brief."), Message::user("Hi")];
    let mut request = GenerationRequest::new(Prompt::Messages(turns), 16);
    let input = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    let plain = json!({"model": "m", "input": input, "max_output_tokens": 16, "store": false});
    assert_eq!(body(&request, Delivery::Whole).unwrap(), plain);

    request.sampling.temperature = Some(0.5);
    request.sampling.top_p = Some(0.9);
    request.top_logprobs = Some(2);
    request.reasoning = Reasoning::Effort(Effort::High);
    let full = json!({
        "model": "m", "input": input, "max_output_tokens": 16, "temperature": 0.5, "top_p": 0.9,
        "reasoning": {"effort": "high"}, "include": ["message.output_text.logprobs"], "top_logprobs": 2,
        "store": false, "stream": true
    });
    assert_eq!(body(&request, Delivery::Streamed).unwrap(), full);

    request.reasoning = Reasoning::Off;
    assert_eq!(body(&request, Delivery::Whole).unwrap()["reasoning"], json!({"effort": "none"}));
    request.reasoning = Reasoning::Budget(100);
    assert!(matches!(body(&request, Delivery::Whole), Err(ApiError::OutOfRange { .. })));
}

#[test]
fn what_the_form_has_no_place_for_is_refused() {
    let endpoint = endpoint(&[DIALECT], "http://localhost:1/v1", EndpointFacts::default());
    let set: [fn(&mut GenerationRequest); 5] = [
        |r| r.sampling.seed = Some(1),
        |r| r.sampling.top_k = Some(1),
        |r| r.sampling.min_p = Some(0.1),
        |r| r.stop = vec!["x".into()],
        |r| r.prompt = Prompt::Text("x".into()),
    ];
    assert!(check(&endpoint, &question("x")).is_ok());
    for (i, set) in set.into_iter().enumerate() {
        let mut request = question("x");
        set(&mut request);
        assert!(matches!(check(&endpoint, &request), Err(ApiError::Unsupported { .. })), "setting {i}");
    }
}

#[test]
fn an_answer_is_read_in_our_words() {
    let reply = read(&answer("completed", hello())).unwrap();
    assert_eq!(reply.text.as_deref(), Some("Hello"));
    assert_eq!(reply.reasoning.as_deref(), Some("Greet.\n\nBe short."));
    assert_eq!((reply.finish, reply.finish_stated.as_deref()), (Some(Finish::EndOfText), Some("completed")));
    assert_eq!(reply.model.as_deref(), Some("gpt-x-2026-01-01"));
    assert_eq!(reply.response_id.as_deref(), Some("resp_1"));
    let usage = reply.usage;
    assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (Some(36), Some(4), Some(87), Some(64)));
    assert_eq!(reply.usage_stated.unwrap()["total_tokens"], 123);
    let logprobs: Vec<_> = reply.logprobs.iter().map(|t| (t.token.as_str(), t.logprob)).collect();
    assert_eq!(logprobs, [("Hel", Some(-0.5)), ("lo", None)]);
    assert_eq!(reply.logprobs[0].top, [("Hel".to_owned(), -0.5)]);
}

#[test]
fn endings_are_told_apart() {
    let said = || json!([message(json!([{"type": "output_text", "text": "So", "annotations": []}]))]);
    let cut = |reason: &str| {
        let mut cut = answer("incomplete", said());
        cut["incomplete_details"] = json!({"reason": reason});
        cut
    };
    let refusal = json!([message(json!([{"type": "refusal", "refusal": "No."}]))]);
    for (answer, finish, text) in [
        (cut("max_output_tokens"), Finish::MaxTokens, Some("So")),
        (cut("content_filter"), Finish::Filtered, Some("So")),
        (cut("something_new"), Finish::Other, Some("So")),
        (answer("completed", refusal), Finish::Refused, Some("No.")),
        (answer("completed", json!([])), Finish::EndOfText, None),
    ] {
        let reply = read(&answer).unwrap();
        assert_eq!((reply.finish, reply.text.as_deref()), (Some(finish), text), "{answer}");
    }
}

#[test]
fn failures_are_errors_of_the_host() {
    let failed = |code: &str| {
        let mut failed = answer("failed", json!([]));
        failed["error"] = json!({"code": code, "message": "it broke"});
        failed
    };
    for (answer, status, code) in [
        (failed("server_error"), 500, "server_error"),
        (failed("rate_limit_exceeded"), 429, "rate_limit_exceeded"),
        (failed("invalid_prompt"), 400, "invalid_prompt"),
        (answer("cancelled", json!([])), 500, "cancelled"),
    ] {
        let Err(WireError::Host(error)) = read(&answer) else { panic!("{answer}") };
        assert_eq!((error.status, error.code.as_deref()), (Some(status), Some(code)));
    }
    let bare = json!({"error": {"message": "no such model", "type": "invalid_request_error", "code": null}});
    let Err(WireError::Host(error)) = read(&bare) else { panic!("not an error") };
    assert_eq!(error.message, "no such model");
    for malformed in [json!({}), json!([]), answer("in_progress", json!([])), answer("completed", Value::Null)] {
        assert!(matches!(read(&malformed), Err(WireError::Malformed(_))), "{malformed}");
    }
}

fn events(last: Value) -> Vec<Value> {
    let mut begun = answer("in_progress", json!([]));
    begun["usage"] = Value::Null;
    vec![
        json!({"type": "response.created", "sequence_number": 0, "response": begun}),
        json!({"type": "response.in_progress", "sequence_number": 1, "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "Greet."}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": message(json!([]))}),
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hel", "logprobs": [
            {"token": "Hel", "logprob": -0.5, "top_logprobs": []}]}),
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "lo", "logprobs": []}),
        json!({"type": "response.output_text.done", "item_id": "msg_1", "text": "Hello"}),
        json!({"type": "response.something_new", "value": 1}),
        last,
    ]
}

#[test]
fn a_stream_gives_the_same_answer_as_one_body() {
    let whole = answer("completed", hello());
    let last = json!({"type": "response.completed", "response": whole});
    let (seen, reply) = streamed(DIALECT, &question("x"), &events(last)).unwrap();
    assert_eq!(seen, "Hello");
    assert_eq!(reply, read(&whole).unwrap());

    // A host that leaves the output out at the end has given it in pieces.
    let last = json!({"type": "response.completed", "response": answer("completed", json!([]))});
    let (_, reply) = streamed(DIALECT, &question("x"), &events(last)).unwrap();
    assert_eq!((reply.text.as_deref(), reply.reasoning.as_deref()), (Some("Hello"), Some("Greet.")));
    assert_eq!((reply.logprobs.len(), reply.usage.output), (1, Some(87)));
}

#[test]
fn a_stream_that_fails_is_no_answer() {
    let mut failed = answer("failed", json!([]));
    failed["error"] = json!({"code": "server_error", "message": "it broke"});
    for last in [
        json!({"type": "response.failed", "response": failed}),
        json!({"type": "error", "code": "server_error", "message": "it broke", "param": null}),
        json!({"type": "error", "error": {"code": "server_error", "message": "it broke"}}),
        json!({"error": {"code": "server_error", "message": "it broke"}}),
    ] {
        let Err(WireError::Host(error)) = streamed(DIALECT, &question("x"), &events(last)) else { panic!("no error") };
        assert_eq!((error.status, error.message.as_str()), (Some(500), "it broke"));
    }
    let mut broken_off = events(Value::Null);
    broken_off.pop();
    assert!(matches!(streamed(DIALECT, &question("x"), &broken_off), Err(WireError::Malformed(_))));
    let refusal = json!({"type": "response.refusal.delta", "delta": "No."});
    let last = json!({"type": "response.completed", "response": answer("completed", json!([]))});
    let (_, reply) = streamed(DIALECT, &question("x"), &[refusal, last]).unwrap();
    assert_eq!((reply.finish, reply.text.as_deref()), (Some(Finish::Refused), Some("No.")));
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(changes in prop::collection::vec((any::<u64>(), any::<u64>()), 1..4), cut in 0_usize..2000) {
        let mut whole = answer("completed", hello());
        let mut pieces = events(json!({"type": "response.completed", "response": whole.clone()}));
        for &(at, with) in &changes {
            mutate(&mut whole, at, with);
            let i = (at % pieces.len() as u64) as usize;
            mutate(&mut pieces[i], at, with);
        }
        let _ = read(&whole);
        let _ = streamed(DIALECT, &question("x"), &pieces);
        let text = whole.to_string();
        let _ = wire(DIALECT).read(&text.as_bytes()[..cut.min(text.len())], &question("x"));
        let _ = wire(DIALECT).error(&text.as_bytes()[..cut.min(text.len())]);
    }
}

//! The dialect `/completions`: requests, answers and streams of the shapes in OpenAI's reference and of vLLM, Together and
//! llama.cpp.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

mod scripted;

use proptest::prelude::*;
use scripted::{endpoint, mutate, question, streamed};
use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireError, WireReply, wire};
use weighbridge_api::{ApiError, check};
use weighbridge_core::{Dialect, EndpointFacts, Finish, GenerationRequest, Message, Prompt, Reasoning};

const DIALECT: Dialect = Dialect::OpenaiCompletions;

fn text(text: &str) -> GenerationRequest {
    GenerationRequest::new(Prompt::Text(text.into()), 7)
}

fn body(request: &GenerationRequest, delivery: Delivery) -> Value {
    let endpoint = endpoint(&[DIALECT], "http://localhost:1/v1", EndpointFacts::default());
    serde_json::from_slice(&wire(DIALECT).body(&endpoint, request, delivery).unwrap()).unwrap()
}

fn read(answer: &Value) -> Result<WireReply, WireError> {
    wire(DIALECT).read(answer.to_string().as_bytes(), &text("x"))
}

/// An answer as the reference gives it.
fn answer(said: &str, finish: &str) -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1_589_478_378, "model": "babbage-002",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"text": said, "index": 0, "finish_reason": finish, "logprobs": {
            "text_offset": [5, 8],
            "tokens": [" so", "me"],
            "token_logprobs": [-0.5, -9999.0],
            "top_logprobs": [{" a": -1.5, " so": -0.5}, null]}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    })
}

#[test]
fn a_request_says_what_was_asked_and_nothing_else() {
    let mut request = text("Once");
    assert_eq!(body(&request, Delivery::Whole), json!({"model": "m", "prompt": "Once", "max_tokens": 7}));
    request.sampling.temperature = Some(0.0);
    request.sampling.top_p = Some(0.5);
    request.sampling.top_k = Some(3);
    request.sampling.min_p = Some(0.25);
    request.sampling.seed = Some(11);
    request.stop = vec!["\n".into()];
    request.top_logprobs = Some(5);
    let full = json!({
        "model": "m", "prompt": "Once", "max_tokens": 7, "temperature": 0.0, "top_p": 0.5, "top_k": 3, "min_p": 0.25,
        "seed": 11, "stop": ["\n"], "logprobs": 5, "stream": true, "stream_options": {"include_usage": true}
    });
    assert_eq!(body(&request, Delivery::Streamed), full);
}

#[test]
fn what_the_form_has_no_place_for_is_refused() {
    let endpoint = endpoint(&[DIALECT], "http://localhost:1/v1", EndpointFacts::default());
    assert!(check(&endpoint, &text("x")).is_ok());
    let mut thinking = text("x");
    thinking.reasoning = Reasoning::Off;
    let system = GenerationRequest::new(Prompt::Messages(vec![Message::new("system", "x")]), 7);
    for request in [question("x"), system, thinking] {
        assert!(matches!(check(&endpoint, &request), Err(ApiError::Unsupported { .. })), "{request:?}");
    }
    assert!(wire(DIALECT).body(&endpoint, &question("x"), Delivery::Whole).is_err());
}

#[test]
fn an_answer_is_read_in_our_words() {
    let reply = read(&answer(" some", "length")).unwrap();
    assert_eq!((reply.text.as_deref(), reply.finish), (Some(" some"), Some(Finish::MaxTokens)));
    assert_eq!((reply.model.as_deref(), reply.fingerprint.as_deref()), (Some("babbage-002"), Some("fp_44709d6fcb")));
    assert_eq!((reply.usage.input, reply.usage.output), (Some(5), Some(2)));
    assert_eq!(reply.logprobs[0].top, [(" so".to_owned(), -0.5), (" a".to_owned(), -1.5)]);
    assert_eq!((reply.logprobs[0].logprob, reply.logprobs[1].logprob), (Some(-0.5), None));

    let mut as_chats_do = answer("a", "stop");
    as_chats_do["choices"][0]["logprobs"] =
        json!({"content": [{"id": 1, "token": "a", "logprob": -1.0, "top_logprobs": []}]});
    let reply = read(&as_chats_do).unwrap();
    assert_eq!((reply.logprobs[0].token.as_str(), reply.logprobs[0].logprob), ("a", Some(-1.0)));
}

#[test]
fn endings_are_told_apart() {
    let stopped = |reason: Value| {
        let mut stopped = answer("a", "stop");
        stopped["choices"][0]["stop_reason"] = reason;
        stopped
    };
    for (answer, stop, expect) in [
        (answer("a", "stop"), &["x"][..], Finish::EndOfTextOrStop),
        (answer("a", "stop"), &[], Finish::EndOfText),
        (stopped(json!("x")), &["x"], Finish::Stop),
        (stopped(Value::Null), &["x"], Finish::EndOfText),
        (answer("a", "content_filter"), &[], Finish::Filtered),
        (answer("a", "length"), &[], Finish::MaxTokens),
    ] {
        let mut request = text("x");
        request.stop = stop.iter().map(|&s| s.to_owned()).collect();
        let reply = wire(DIALECT).read(answer.to_string().as_bytes(), &request).unwrap();
        assert_eq!(reply.finish, Some(expect), "{answer}");
    }
}

fn pieces() -> Vec<Value> {
    let piece = |said: &str, finish: Value, logprobs: Value| {
        json!({"id": "cmpl-1", "object": "text_completion", "model": "babbage-002", "system_fingerprint": "fp_44709d6fcb",
            "choices": [{"index": 0, "text": said, "logprobs": logprobs, "finish_reason": finish}], "usage": null})
    };
    vec![
        piece(
            " so",
            Value::Null,
            json!({"tokens": [" so"], "token_logprobs": [-0.5], "top_logprobs": [{" a": -1.5, " so": -0.5}], "text_offset": [5]}),
        ),
        piece("me", Value::Null, json!({"tokens": ["me"], "token_logprobs": [-9999.0], "top_logprobs": [null]})),
        piece("", json!("length"), Value::Null),
        json!({"id": "cmpl-1", "model": "babbage-002", "choices": [],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}),
    ]
}

#[test]
fn a_stream_gives_the_same_answer_as_one_body() {
    let (seen, reply) = streamed(DIALECT, &text("x"), &pieces()).unwrap();
    assert_eq!(seen, " some");
    assert_eq!(reply, read(&answer(" some", "length")).unwrap());
    assert!(matches!(streamed(DIALECT, &text("x"), &pieces()[..2]), Err(WireError::Malformed(_))));
}

#[test]
fn errors_are_those_of_the_host() {
    let error = json!({"error": {"message": "too long", "code": 400}});
    let Err(WireError::Host(said)) = read(&error) else { panic!("no error") };
    assert_eq!((said.status, said.message.as_str()), (Some(400), "too long"));
    assert!(matches!(streamed(DIALECT, &text("x"), &[error]), Err(WireError::Host(_))));
    for malformed in [json!({}), json!({"choices": []}), json!(3)] {
        assert!(matches!(read(&malformed), Err(WireError::Malformed(_))), "{malformed}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(changes in prop::collection::vec((any::<u64>(), any::<u64>()), 1..4), cut in 0_usize..1000) {
        let (mut whole, mut pieces) = (answer(" some", "length"), pieces());
        for &(at, with) in &changes {
            mutate(&mut whole, at, with);
            let i = (at % pieces.len() as u64) as usize;
            mutate(&mut pieces[i], at, with);
        }
        let _ = read(&whole);
        let _ = streamed(DIALECT, &text("x"), &pieces);
        let all = whole.to_string();
        let _ = wire(DIALECT).read(&all.as_bytes()[..cut.min(all.len())], &text("x"));
    }
}

//! Cases of Ollama's `/api/chat` and `/api/generate`, after <https://docs.ollama.com/api>.

use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireError, WireReply, wire};
use weighbridge_core::{
    Dialect, Effort, EndpointFacts, Finish, GenerationRequest, Parameter, Prompt, Reasoning, TokenLogprob, Usage,
};

use crate::suite::{Answer, Body, KEY, Stream, Suite, asked, conversation, endpoint, host_error, question};

pub fn suite() -> Suite {
    let (whole, streamed) = (Delivery::Whole, Delivery::Streamed);
    let budget = asked(|r| r.reasoning = Reasoning::Budget(100));
    let level = |level| asked(|r| r.reasoning = Reasoning::Effort(level));
    Suite {
        dialect: Dialect::Ollama,
        carries: Parameter::ALL.to_vec(),
        headers: vec![("authorization", format!("Bearer {KEY}"))],
        paths: vec![
            ("m", question(), whole, "/api/chat"),
            ("m", question(), streamed, "/api/chat"),
            ("m", text(), whole, "/api/generate"),
            ("m", text(), streamed, "/api/generate"),
        ],
        bodies: bodies(),
        refused: vec![
            (budget, "low, medium or high as level of reasoning, not a budget"),
            (level(Effort::Minimal), "not minimal"),
            (level(Effort::ExtraHigh), "not xhigh"),
            (level(Effort::Max), "not max"),
        ],
        answers: answers(),
        streams: streams(),
        errors: vec![(json!({"error": "model 'm' not found"}), host_error(None, None, "model 'm' not found"))],
        failures: vec![(json!({"error": "it broke"}), host_error(None, None, "it broke"))],
        malformed: vec![
            (json!({}), "before it said that it was done"),
            (json!({"message": {"content": "So"}, "done": false}), "before it said that it was done"),
            (json!({"done": true}), "without message or response"),
            (json!({"message": {"role": "assistant"}, "done": true}), "without message or response"),
            (json!({"message": {"content": 3}, "done": true}), "expected a string"),
            (json!({"message": "So", "done": true}), "line 1 column"),
            (json!({"message": {"content": "So"}, "done": "yes"}), "expected a boolean"),
            (json!([1]), "invalid type"),
        ],
    }
}

fn text() -> GenerationRequest {
    asked(|r| r.prompt = Prompt::Text("Once upon".into()))
}

fn bodies() -> Vec<Body> {
    let chat = |options: Value| {
        json!({
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": false, "truncate": false,
            "shift": false, "options": options
        })
    };
    let with = |mut body: Value, key: &str, value: Value| {
        body[key] = value;
        body
    };
    let least = json!({"num_ctx": 4096, "num_predict": 16});
    let full = asked(|r| {
        r.prompt = Prompt::Messages(conversation());
        r.sampling.temperature = Some(0.0);
        r.sampling.top_p = Some(0.9);
        r.sampling.top_k = Some(40);
        r.sampling.min_p = Some(0.1);
        r.sampling.seed = Some(7);
        r.stop = vec!["\n\n".into()];
        r.top_logprobs = Some(3);
        r.reasoning = Reasoning::Effort(Effort::Low);
    });
    let mut bodies = vec![
        Body::whole(question(), chat(least.clone())),
        Body::streamed(question(), with(chat(least.clone()), "stream", json!(true))),
        Body::whole(
            text(),
            json!({
                "model": "m", "prompt": "Once upon", "raw": true, "stream": false, "truncate": false, "shift": false,
                "options": least
            }),
        ),
        Body::whole(
            full,
            json!({
                "model": "m", "messages": conversation(), "stream": false, "truncate": false, "shift": false,
                "options": {
                    "num_ctx": 4096, "num_predict": 16, "temperature": 0.0, "top_p": 0.9, "top_k": 40, "min_p": 0.1,
                    "seed": 7, "stop": ["\n\n"]
                },
                "think": "low", "logprobs": true, "top_logprobs": 3
            }),
        ),
        Body::whole(asked(|r| r.top_logprobs = Some(0)), with(chat(least.clone()), "logprobs", json!(true))),
        Body::whole(asked(|r| r.reasoning = Reasoning::Off), with(chat(least), "think", json!(false))),
    ];
    // The context holds a token for each byte and the answer, in steps; never more than the model has.
    for (max_tokens, known, context) in [
        (3000, None, 4096),
        (4000, None, 8192),
        (4000, Some(100_000), 8192),
        (4000, Some(6000), 6000),
        (4000, Some(0), 8192),
        (100_000, None, 131_072),
        (16, Some(2048), 2048),
    ] {
        let request = asked(|r| r.max_tokens = max_tokens);
        let body = Body::whole(request, chat(json!({"num_ctx": context, "num_predict": max_tokens})));
        bodies.push(Body { facts: EndpointFacts { context: known, ..EndpointFacts::default() }, ..body });
    }
    bodies
}

#[test]
fn no_length_makes_the_context_overflow() {
    let endpoint = endpoint(Dialect::Ollama, "m", &[], EndpointFacts::default());
    let request = asked(|r| r.max_tokens = usize::MAX);
    let body = wire(Dialect::Ollama).body(&endpoint, &request, Delivery::Whole).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["options"]["num_ctx"], u64::MAX);
}

fn counts(prompt: u64, made: u64) -> Value {
    json!({
        "total_duration": 5_000_000, "load_duration": 1_000_000, "prompt_eval_count": prompt,
        "prompt_eval_duration": 2_000_000, "eval_count": made, "eval_duration": 2_000_000
    })
}

fn last(mut body: Value, word: &str, counts: &Value) -> Value {
    body["model"] = json!("m:latest");
    body["created_at"] = json!("2026-01-01T00:00:00.000000Z");
    body["done"] = json!(true);
    body["done_reason"] = json!(word);
    for (key, value) in counts.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn expected(text: &str, finish: Finish, stated: &str, prompt: u64, made: u64) -> WireReply {
    WireReply {
        text: Some(text.into()),
        finish: Some(finish),
        finish_stated: Some(stated.into()),
        usage: Usage { input: Some(prompt), output: Some(made), ..Usage::default() },
        usage_stated: Some(counts(prompt, made)),
        model: Some("m:latest".into()),
        ..WireReply::default()
    }
}

fn token(token: &str, logprob: f64) -> Value {
    json!({"token": token, "logprob": logprob, "bytes": [1], "top_logprobs": [{"token": "x", "logprob": -2.5}]})
}

fn told(token: &str, logprob: f64) -> TokenLogprob {
    TokenLogprob { token: token.into(), logprob: Some(logprob), top: vec![("x".into(), -2.5)] }
}

fn answers() -> Vec<Answer> {
    let said = json!({"message": {"role": "assistant", "content": "So"}});
    let stop = asked(|r| r.stop = vec!["\n".into()]);
    let mut answers = vec![
        Answer {
            request: question(),
            body: last(
                json!({
                    "message": {"role": "assistant", "content": "Hello", "thinking": "Greet them.", "tool_calls": []},
                    "logprobs": [token("Hel", -0.5), token("lo", -0.25)], "remote_host": "https://ollama.com"
                }),
                "stop",
                &counts(11, 9),
            ),
            expect: WireReply {
                reasoning: Some("Greet them.".into()),
                logprobs: vec![told("Hel", -0.5), told("lo", -0.25)],
                host: Some("https://ollama.com".into()),
                ..expected("Hello", Finish::EndOfText, "stop", 11, 9)
            },
        },
        Answer {
            request: text(),
            body: last(json!({"response": " a time", "thinking": "", "context": [1, 2]}), "length", &counts(3, 16)),
            expect: expected(" a time", Finish::MaxTokens, "length", 3, 16),
        },
        Answer {
            request: question(),
            body: json!({"response": "So", "done": true, "eval_count": -3}),
            expect: WireReply {
                text: Some("So".into()),
                usage_stated: Some(json!({"eval_count": -3})),
                ..WireReply::default()
            },
        },
    ];
    for (request, word, made, finish) in [
        (stop, "stop", 4, Finish::EndOfTextOrStop),
        (question(), "length", 16, Finish::MaxTokens),
        (question(), "length", 9, Finish::ContextFull),
        (question(), "load", 4, Finish::Other),
    ] {
        let body = last(said.clone(), word, &counts(11, made));
        answers.push(Answer { request, body, expect: expected("So", finish, word, 11, made) });
    }
    answers
}

fn streams() -> Vec<Stream> {
    let piece = |message: Value| json!({"model": "m:latest", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false});
    let mut said = piece(json!({"role": "assistant", "content": "lo \u{1f600}"}));
    said["logprobs"] = json!([token("lo", -0.25)]);
    let chat = vec![
        piece(json!({"role": "assistant", "content": "", "thinking": "Greet "})),
        piece(json!({"role": "assistant", "content": "", "thinking": "them."})),
        piece(json!({"role": "assistant", "content": "Hel"})),
        said,
        last(json!({"message": {"role": "assistant", "content": ""}}), "stop", &counts(11, 9)),
    ];
    let expect = WireReply {
        reasoning: Some("Greet them.".into()),
        logprobs: vec![told("lo", -0.25)],
        ..expected("Hello \u{1f600}", Finish::EndOfText, "stop", 11, 9)
    };
    let plain = vec![
        json!({"model": "m:latest", "response": " a", "done": false}),
        json!({"model": "m:latest", "response": " time", "done": false}),
        last(json!({"response": ""}), "length", &counts(3, 16)),
    ];
    vec![
        Stream { request: question(), pieces: chat, done: false, expect, spare: 0 },
        Stream {
            request: text(),
            pieces: plain,
            done: false,
            expect: expected(" a time", Finish::MaxTokens, "length", 3, 16),
            spare: 0,
        },
    ]
}

#[test]
fn a_prompt_that_was_cut_is_no_answer() {
    let long = |bytes: usize| asked(|r| r.prompt = Prompt::Text("x".repeat(bytes)));
    for (bytes, tokens, cut) in [
        // What servers leave of a prompt in a context of 4096: half and what is kept, or all of it.
        (20_000, 2050, true),
        (20_000, 2051, true),
        (30_000, 4096, true),
        // As many tokens as a text of that length has.
        (8_000, 2050, false),
        (16_000, 4096, false),
        // A count that no cut leaves.
        (20_000, 2049, false),
        (20_000, 3000, false),
        (20_000, 10, false),
        (0, 0, false),
    ] {
        let body = last(json!({"response": "So"}), "stop", &counts(tokens, 2));
        let read = wire(Dialect::Ollama).read(body.to_string().as_bytes(), &long(bytes));
        let Err(WireError::Host(error)) = &read else {
            assert!(!cut && read.is_ok(), "{bytes} bytes, {tokens} tokens: {read:?}");
            continue;
        };
        assert!(cut && error.status == Some(400) && error.message.contains("4096"), "{bytes} {tokens}: {error:?}");
    }
}

//! Cases of OpenAI's `/responses`, after <https://platform.openai.com/docs/api-reference/responses>. What is peculiar to
//! it is in `tests/responses.rs`.

use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireReply};
use weighbridge_core::{Dialect, Effort, Finish, Parameter, Reasoning, TokenLogprob, Usage};

use crate::suite::{Answer, Body, KEY, Stream, Suite, asked, host_error, question};

pub fn suite() -> Suite {
    use Parameter::{Logprobs, Messages, System, Temperature, TopP};
    let error = json!({"error": {"message": "It broke", "status": 503, "code": "server_is_overloaded"}});
    let overloaded = host_error(Some(503), Some("server_is_overloaded"), "It broke");
    Suite {
        dialect: Dialect::OpenaiResponses,
        carries: vec![System, Temperature, TopP, Logprobs, Messages, Parameter::Reasoning],
        headers: vec![("authorization", format!("Bearer {KEY}"))],
        paths: vec![
            ("m", question(), Delivery::Whole, "/responses"),
            ("m", question(), Delivery::Streamed, "/responses"),
        ],
        bodies: bodies(),
        refused: vec![(asked(|r| r.reasoning = Reasoning::Budget(100)), "levels of reasoning, not a budget")],
        answers: answers(),
        streams: streams(),
        errors: vec![(error.clone(), overloaded.clone())],
        failures: vec![(error, overloaded)],
        malformed: vec![
            (json!({}), "without output"),
            (json!({"output": "x"}), "without output"),
            (json!({"status": "queued", "output": []}), "status"),
            (json!({"output": [{"type": "message", "content": [{"type": "output_text"}]}]}), "without text"),
        ],
    }
}

fn bodies() -> Vec<Body> {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let full = asked(|r| {
        r.sampling.temperature = Some(0.5);
        r.sampling.top_p = Some(0.9);
        r.top_logprobs = Some(2);
        r.reasoning = Reasoning::Effort(Effort::Minimal);
    });
    vec![
        Body::whole(question(), json!({"model": "m", "input": hi, "max_output_tokens": 16, "store": false})),
        Body::streamed(
            full,
            json!({
                "model": "m", "input": hi, "max_output_tokens": 16, "temperature": 0.5, "top_p": 0.9,
                "reasoning": {"effort": "minimal"}, "include": ["message.output_text.logprobs"], "top_logprobs": 2,
                "store": false, "stream": true
            }),
        ),
    ]
}

fn spent() -> Value {
    json!({
        "input_tokens": 30, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 25,
        "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 55
    })
}

fn response(parts: Value, status: &str, reason: Value) -> Value {
    json!({
        "id": "resp_1", "object": "response", "model": "m-1", "status": status, "error": null,
        "incomplete_details": reason, "usage": spent(),
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Greet them."}]},
            {"type": "message", "id": "msg_1", "role": "assistant", "content": parts},
            {"type": "something_new", "content": 3}
        ]
    })
}

fn expected(text: &str, finish: Finish, stated: &str) -> WireReply {
    WireReply {
        text: Some(text.into()),
        reasoning: Some("Greet them.".into()),
        finish: Some(finish),
        finish_stated: Some(stated.into()),
        usage: Usage {
            input: Some(30),
            cache_read: Some(8),
            output: Some(25),
            reasoning: Some(20),
            ..Usage::default()
        },
        usage_stated: Some(spent()),
        model: Some("m-1".into()),
        response_id: Some("resp_1".into()),
        ..WireReply::default()
    }
}

fn said(text: &str) -> Value {
    let logprobs = json!([{"token": text, "logprob": -0.5, "bytes": [], "top_logprobs": []}]);
    json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}])
}

fn with_token(text: &str, reply: WireReply) -> WireReply {
    let token = TokenLogprob { token: text.into(), logprob: Some(-0.5), top: Vec::new() };
    WireReply { logprobs: vec![token], ..reply }
}

fn answers() -> Vec<Answer> {
    let read = |body: Value, expect| Answer { request: question(), body, expect };
    let refusal = json!([{"type": "refusal", "refusal": "No."}]);
    vec![
        read(
            response(said("Hello"), "completed", Value::Null),
            with_token("Hello", expected("Hello", Finish::EndOfText, "completed")),
        ),
        read(
            response(said("Hel"), "incomplete", json!({"reason": "max_output_tokens"})),
            with_token("Hel", expected("Hel", Finish::MaxTokens, "max_output_tokens")),
        ),
        read(
            response(said("Hel"), "incomplete", json!({"reason": "content_filter"})),
            with_token("Hel", expected("Hel", Finish::Filtered, "content_filter")),
        ),
        read(response(refusal, "completed", Value::Null), expected("No.", Finish::Refused, "completed")),
    ]
}

fn streams() -> Vec<Stream> {
    let text = "Hello \u{1f600}";
    let pieces = vec![
        json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "Greet them."}),
        json!({"type": "response.output_text.delta", "delta": "Hel"}),
        json!({"type": "response.output_text.delta", "delta": "lo \u{1f600}"}),
        json!({"type": "response.something_new", "delta": 3}),
        json!({"type": "response.completed", "response": response(said(text), "completed", Value::Null)}),
    ];
    let expect = with_token(text, expected(text, Finish::EndOfText, "completed"));
    vec![Stream { request: question(), pieces, done: false, expect, spare: 0 }]
}

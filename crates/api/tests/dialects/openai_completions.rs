//! Cases of OpenAI's older `/completions`, after <https://platform.openai.com/docs/api-reference/completions>. What is
//! peculiar to it is in `tests/completions.rs`.

use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireReply};
use weighbridge_core::{Dialect, Finish, GenerationRequest, Parameter, Prompt, TokenLogprob, Usage};

use crate::suite::{Answer, Body, KEY, Stream, Suite, asked, host_error};

pub fn suite() -> Suite {
    let error = json!({"error": {"message": "It broke", "type": "server_error", "code": 500}});
    let broke = host_error(Some(500), Some("server_error"), "It broke");
    Suite {
        dialect: Dialect::OpenaiCompletions,
        carries: Parameter::ALL
            .into_iter()
            .filter(|p| !matches!(p, Parameter::Messages | Parameter::System | Parameter::Reasoning))
            .collect(),
        headers: vec![("authorization", format!("Bearer {KEY}"))],
        paths: vec![("m", text(), Delivery::Whole, "/completions"), ("m", text(), Delivery::Streamed, "/completions")],
        bodies: bodies(),
        refused: Vec::new(),
        answers: answers(),
        streams: streams(),
        errors: vec![(error.clone(), broke.clone())],
        failures: vec![(error, broke)],
        malformed: vec![
            (json!({}), "without choices"),
            (json!({"choices": []}), "without choices"),
            (json!({"choices": [{"text": 3}]}), "line 1 column"),
        ],
    }
}

fn text() -> GenerationRequest {
    asked(|r| r.prompt = Prompt::Text("Once upon".into()))
}

fn bodies() -> Vec<Body> {
    let mut full = text();
    full.sampling.temperature = Some(0.0);
    full.sampling.top_p = Some(0.9);
    full.sampling.top_k = Some(40);
    full.sampling.min_p = Some(0.1);
    full.sampling.seed = Some(7);
    full.stop = vec!["\n\n".into()];
    full.top_logprobs = Some(0);
    vec![
        Body::whole(text(), json!({"model": "m", "prompt": "Once upon", "max_tokens": 16})),
        Body::streamed(
            full,
            json!({
                "model": "m", "prompt": "Once upon", "max_tokens": 16, "temperature": 0.0, "top_p": 0.9, "top_k": 40,
                "min_p": 0.1, "seed": 7, "stop": ["\n\n"], "logprobs": 0, "stream": true,
                "stream_options": {"include_usage": true}
            }),
        ),
    ]
}

fn spent() -> Value {
    json!({"prompt_tokens": 3, "completion_tokens": 16, "total_tokens": 19})
}

fn piece(choice: Value, usage: Value) -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m-1", "choices": [choice], "usage": usage
    })
}

fn expected(text: &str, finish: Finish, stated: &str) -> WireReply {
    WireReply {
        text: Some(text.into()),
        finish: Some(finish),
        finish_stated: Some(stated.into()),
        usage: Usage { input: Some(3), output: Some(16), ..Usage::default() },
        usage_stated: Some(spent()),
        model: Some("m-1".into()),
        response_id: Some("cmpl-1".into()),
        ..WireReply::default()
    }
}

fn answers() -> Vec<Answer> {
    let logprobs = json!({
        "tokens": [" a", " time"], "token_logprobs": [-0.5, -9999.0], "text_offset": [9, 11],
        "top_logprobs": [{" the": -1.5, " a": -0.5}, null]
    });
    let token = |text: &str, logprob, top| TokenLogprob { token: text.into(), logprob, top };
    let told = vec![
        token(" a", Some(-0.5), vec![(" a".into(), -0.5), (" the".into(), -1.5)]),
        token(" time", None, Vec::new()),
    ];
    let whole = json!({"text": " a time", "index": 0, "logprobs": logprobs, "finish_reason": "length"});
    let mut answers = vec![Answer {
        request: text(),
        body: piece(json!({"text": " a time", "index": 0, "finish_reason": "length"}), spent()),
        expect: expected(" a time", Finish::MaxTokens, "length"),
    }];
    answers.push(Answer {
        request: text(),
        body: piece(whole, spent()),
        expect: WireReply { logprobs: told, ..expected(" a time", Finish::MaxTokens, "length") },
    });
    for (word, finish) in [("stop", Finish::EndOfText), ("content_filter", Finish::Filtered)] {
        let body = piece(json!({"text": " a", "finish_reason": word, "logprobs": null}), spent());
        answers.push(Answer { request: text(), body, expect: expected(" a", finish, word) });
    }
    answers
}

fn streams() -> Vec<Stream> {
    let said = |text: &str, finish: Value| piece(json!({"text": text, "finish_reason": finish}), Value::Null);
    let pieces = vec![
        said(" a", Value::Null),
        said(" time \u{1f600}", Value::Null),
        said("", json!("length")),
        json!({"id": "cmpl-1", "model": "m-1", "choices": [], "usage": spent()}),
    ];
    let expect = expected(" a time \u{1f600}", Finish::MaxTokens, "length");
    vec![Stream { request: text(), pieces, done: true, expect, spare: 2 }]
}

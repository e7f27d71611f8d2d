//! Cases of OpenAI's `/chat/completions`, after <https://platform.openai.com/docs/api-reference/chat>, with what
//! OpenRouter, vLLM and DeepSeek add.

use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireReply};
use weighbridge_core::{Dialect, Effort, Finish, Parameter, Prompt, Quirk, Reasoning, TokenLogprob, Usage, Usd};

use crate::suite::{Answer, Body, KEY, Stream, Suite, asked, conversation, host_error, question};

pub fn suite() -> Suite {
    let error =
        json!({"error": {"message": "No credit.", "type": "invalid", "param": null, "code": "insufficient_quota"}});
    let inside = json!({"error": {"code": 502, "message": "It broke", "metadata": {"raw": "x"}}});
    Suite {
        dialect: Dialect::OpenaiChat,
        carries: Parameter::ALL.into_iter().filter(|parameter| *parameter != Parameter::Text).collect(),
        headers: vec![("authorization", format!("Bearer {KEY}"))],
        paths: vec![
            ("m", question(), Delivery::Whole, "/chat/completions"),
            ("m", question(), Delivery::Streamed, "/chat/completions"),
        ],
        bodies: bodies(),
        refused: vec![(asked(|r| r.reasoning = Reasoning::Budget(100)), "levels of reasoning, not a budget")],
        answers: answers(),
        streams: streams(),
        errors: vec![
            (error.clone(), host_error(None, Some("insufficient_quota"), "No credit.")),
            (json!([error]), host_error(None, Some("insufficient_quota"), "No credit.")),
            (json!({"error": "It broke"}), host_error(None, None, "It broke")),
            (json!({"detail": "Not Found"}), host_error(None, None, "Not Found")),
            (json!({"object": "error", "message": "Bad", "code": 400}), host_error(Some(400), None, "Bad")),
        ],
        failures: vec![(inside, host_error(Some(502), None, "It broke"))],
        malformed: vec![
            (json!({}), "without choices"),
            (json!({"choices": []}), "without choices"),
            (json!({"choices": "x"}), "line 1 column"),
            (json!({"choices": [{"message": {"content": 3}}]}), "content is a number"),
            (json!({"choices": [{"finish_reason": 3}]}), "line 1 column"),
        ],
    }
}

fn bodies() -> Vec<Body> {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let plain = json!({"model": "m", "messages": hi, "max_tokens": 16});
    let with = |key: &str, value: Value| {
        let mut body = plain.clone();
        body[key] = value;
        body
    };
    let thinking = |reasoning| asked(|r| r.reasoning = reasoning);
    let quirk = |quirk, request, expect| Body { quirks: vec![quirk], ..Body::whole(request, expect) };
    let full = asked(|r| {
        r.prompt = Prompt::Messages(conversation());
        r.sampling.temperature = Some(0.0);
        r.sampling.top_p = Some(0.9);
        r.sampling.top_k = Some(40);
        r.sampling.min_p = Some(0.1);
        r.sampling.seed = Some(7);
        r.stop = vec!["\n\n".into()];
        r.top_logprobs = Some(0);
        r.reasoning = Reasoning::Effort(Effort::Low);
    });
    vec![
        Body::whole(question(), plain.clone()),
        Body::streamed(
            full,
            json!({
                "model": "m", "messages": conversation(), "max_tokens": 16, "temperature": 0.0, "top_p": 0.9,
                "top_k": 40, "min_p": 0.1, "seed": 7, "stop": ["\n\n"], "logprobs": true, "top_logprobs": 0,
                "reasoning_effort": "low", "stream": true, "stream_options": {"include_usage": true}
            }),
        ),
        Body::whole(thinking(Reasoning::Off), with("reasoning_effort", json!("none"))),
        quirk(
            Quirk::MaxCompletionTokens,
            question(),
            json!({"model": "m", "messages": hi, "max_completion_tokens": 16}),
        ),
        quirk(Quirk::ThinkingObject, thinking(Reasoning::Off), with("thinking", json!({"type": "disabled"}))),
        quirk(Quirk::ReasoningObject, thinking(Reasoning::Off), with("reasoning", json!({"enabled": false}))),
        quirk(Quirk::ReasoningObject, thinking(Reasoning::Budget(99)), with("reasoning", json!({"max_tokens": 99}))),
        quirk(
            Quirk::ReasoningObject,
            thinking(Reasoning::Effort(Effort::High)),
            with("reasoning", json!({"effort": "high"})),
        ),
    ]
}

fn spent() -> Value {
    json!({
        "prompt_tokens": 30, "completion_tokens": 25, "total_tokens": 55, "cost": 0.25,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 20}
    })
}

fn expected(text: Option<&str>, finish: Finish, stated: &str) -> WireReply {
    WireReply {
        text: text.map(Into::into),
        finish: Some(finish),
        finish_stated: Some(stated.into()),
        usage: Usage {
            input: Some(30),
            cache_read: Some(8),
            cache_write: Some(2),
            cache_write_1h: None,
            output: Some(25),
            reasoning: Some(20),
        },
        usage_stated: Some(spent()),
        cost_stated: Some(Usd(0.25)),
        model: Some("m-1".into()),
        fingerprint: Some("fp_1".into()),
        host: Some("Somebody".into()),
        response_id: Some("chatcmpl-1".into()),
        ..WireReply::default()
    }
}

fn reply(choice: Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1", "system_fingerprint": "fp_1",
        "provider": "Somebody", "choices": [choice], "usage": spent()
    })
}

fn answers() -> Vec<Answer> {
    let read = |body: Value, expect| Answer { request: question(), body, expect };
    let logprobs = json!({
        "content": [
            {"token": "Hel", "logprob": -0.5, "bytes": [1], "top_logprobs": [{"token": "Hel", "logprob": -0.5}]},
            {"token": "lo", "logprob": -9999.0, "bytes": null, "top_logprobs": []}],
        "refusal": null
    });
    let turn = json!({"role": "assistant", "content": "Hello", "refusal": null, "reasoning_content": "Greet them."});
    let refused = json!({"role": "assistant", "content": null, "refusal": "No."});
    let token = |text: &str, logprob, top| TokenLogprob { token: text.into(), logprob, top };
    let mut answers = vec![
        read(
            reply(json!({"index": 0, "message": turn, "logprobs": logprobs, "finish_reason": "stop"})),
            WireReply {
                reasoning: Some("Greet them.".into()),
                logprobs: vec![token("Hel", Some(-0.5), vec![("Hel".into(), -0.5)]), token("lo", None, Vec::new())],
                ..expected(Some("Hello"), Finish::EndOfText, "stop")
            },
        ),
        read(
            reply(json!({"message": refused, "finish_reason": "stop"})),
            expected(Some("No."), Finish::Refused, "stop"),
        ),
        read(
            json!({"choices": [{"message": {"content": "So"}}]}),
            WireReply { text: Some("So".into()), ..WireReply::default() },
        ),
    ];
    for (word, finish) in [
        ("stop", Finish::EndOfTextOrStop),
        ("length", Finish::MaxTokens),
        ("content_filter", Finish::Filtered),
        ("tool_calls", Finish::Other),
    ] {
        let body = reply(json!({"message": {"content": "So"}, "finish_reason": word}));
        let request = asked(|r| r.stop = vec!["\n".into()]);
        answers.push(Answer { request, body, expect: expected(Some("So"), finish, word) });
    }
    answers
}

fn streams() -> Vec<Stream> {
    let piece = |delta: Value, finish: Value| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "system_fingerprint": "fp_1",
            "provider": "Somebody", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": null
        })
    };
    let pieces = vec![
        piece(json!({"role": "assistant", "content": ""}), Value::Null),
        piece(json!({"reasoning": "Greet them."}), Value::Null),
        piece(json!({"content": "Hel"}), Value::Null),
        piece(json!({"content": "lo \u{1f600}"}), Value::Null),
        piece(json!({}), json!("stop")),
        json!({"id": "chatcmpl-1", "model": "m-1", "choices": [], "usage": spent()}),
    ];
    let expect = WireReply {
        reasoning: Some("Greet them.".into()),
        ..expected(Some("Hello \u{1f600}"), Finish::EndOfText, "stop")
    };
    vec![Stream { request: question(), pieces, done: true, expect, spare: 2 }]
}

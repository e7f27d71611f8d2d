//! Cases of Anthropic's `/messages`, after <https://platform.claude.com/docs/en/api/messages>, `.../streaming` and
//! `.../errors`.

use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, WireReply};
use weighbridge_core::{Dialect, Effort, Finish, Parameter, Prompt, Reasoning, Usage};

use crate::suite::{Answer, Body, KEY, Stream, Suite, asked, conversation, host_error, question};

pub fn suite() -> Suite {
    use Parameter::{Messages, Reasoning, Stop, System, Temperature, TopK, TopP};
    Suite {
        dialect: Dialect::Anthropic,
        carries: vec![System, Temperature, TopP, TopK, Stop, Messages, Reasoning],
        headers: vec![("anthropic-version", "2023-06-01".into()), ("x-api-key", KEY.into())],
        paths: vec![
            ("claude-x", question(), Delivery::Whole, "/messages"),
            ("claude-x", question(), Delivery::Streamed, "/messages"),
        ],
        bodies: bodies(),
        refused: vec![
            (asked(|r| r.sampling.temperature = Some(1.5)), "a temperature from 0 to 1, not 1.5"),
            (asked(|r| r.reasoning = self::Reasoning::Effort(Effort::Minimal)), "low, medium, high"),
            (thinking(4096, 1000), "from 1024 tokens, not 1000"),
            (thinking(2048, 2048), "below the 2048 tokens"),
            (thinking(2048, 3000), "below the 2048 tokens"),
            (change(thinking(4096, 2048), |r| r.sampling.temperature = Some(0.0)), "no temperature but 1"),
            (change(thinking(4096, 2048), |r| r.sampling.top_k = Some(3)), "no top-k"),
        ],
        answers: answers(),
        streams: streams(),
        errors: errors(),
        failures: errors(),
        malformed: vec![
            (json!({}), "without content"),
            (json!({"type": "message", "content": null}), "without content"),
            (json!({"content": "Hello"}), "expected a sequence"),
            (json!({"content": [{"text": "Hello"}]}), "missing field `type`"),
            (json!({"content": [{"type": "redacted_thinking"}, {"type": "text", "text": 3}]}), "content[1].text"),
            (json!({"content": [{"type": "thinking"}]}), "content[0].thinking"),
            (json!({"content": [], "stop_reason": 3}), "line 1 column"),
            (json!(3), "invalid type"),
        ],
    }
}

fn change<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

fn thinking(max_tokens: usize, budget: u32) -> weighbridge_core::GenerationRequest {
    asked(|r| (r.max_tokens, r.reasoning) = (max_tokens, Reasoning::Budget(budget)))
}

fn bodies() -> Vec<Body> {
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let full = asked(|r| {
        r.prompt = Prompt::Messages(conversation());
        r.sampling.temperature = Some(0.0);
        r.sampling.top_p = Some(0.9);
        r.sampling.top_k = Some(40);
        r.stop = vec!["\n\n".into(), "END".into()];
    });
    let turns = json!([
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"}, {"role": "user", "content": "Well?"}
    ]);
    vec![
        Body::whole(question(), json!({"model": "m", "max_tokens": 16, "messages": hi})),
        Body::streamed(question(), json!({"model": "m", "max_tokens": 16, "messages": hi, "stream": true})),
        Body::whole(
            full,
            json!({
                "model": "m", "max_tokens": 16, "system": "Be brief.\n\nBe kind.", "messages": turns,
                "temperature": 0.0, "top_p": 0.9, "top_k": 40, "stop_sequences": ["\n\n", "END"]
            }),
        ),
        Body::whole(
            asked(|r| r.reasoning = Reasoning::Off),
            json!({"model": "m", "max_tokens": 16, "messages": hi, "thinking": {"type": "disabled"}}),
        ),
        Body::whole(
            asked(|r| r.reasoning = Reasoning::Effort(Effort::ExtraHigh)),
            json!({
                "model": "m", "max_tokens": 16, "messages": hi, "thinking": {"type": "adaptive"},
                "output_config": {"effort": "xhigh"}
            }),
        ),
        Body::whole(
            thinking(4096, 2048),
            json!({
                "model": "m", "max_tokens": 4096, "messages": hi,
                "thinking": {"type": "enabled", "budget_tokens": 2048}
            }),
        ),
    ]
}

/// Models of before Claude 4.6 take a level alone; the others must be told to think.
#[test]
fn who_is_told_to_think() {
    let request = asked(|r| r.reasoning = Reasoning::Effort(Effort::Low));
    for (model, adaptive) in [
        ("claude-opus-4-5", false),
        ("claude-opus-4-5-20251101", false),
        ("anthropic/claude-opus-4.5", false),
        ("claude-opus-4", false),
        ("claude-sonnet-4-20250514", false),
        ("claude-3-7-sonnet-20250219", false),
        ("claude-haiku-4-5-20251001", false),
        ("claude-sonnet-4-6", true),
        ("claude-opus-4-6-20260205", true),
        ("claude-opus-4-7", true),
        ("claude-opus-5", true),
        ("claude-haiku-5-5", true),
        ("another", true),
    ] {
        let endpoint =
            crate::suite::endpoint(Dialect::Anthropic, model, &[], weighbridge_core::EndpointFacts::default());
        let wire = weighbridge_api::dialect::wire(Dialect::Anthropic);
        let body: Value = serde_json::from_slice(&wire.body(&endpoint, &request, Delivery::Whole).unwrap()).unwrap();
        assert_eq!(body.get("thinking").is_some(), adaptive, "{model}");
        assert_eq!(body["output_config"]["effort"], "low", "{model}");
    }
}

fn message(content: Value, stop_reason: &str, usage: Value) -> Value {
    json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x-20260101", "content": content,
        "stop_reason": stop_reason, "stop_sequence": null, "stop_details": null, "container": null, "usage": usage
    })
}

fn spent() -> Value {
    json!({
        "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
        "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 25},
        "server_tool_use": null, "service_tier": "standard", "inference_geo": "us"
    })
}

fn expected(text: Option<&str>, finish: Finish, stated: &str, usage: Usage, usage_stated: Value) -> WireReply {
    WireReply {
        text: text.map(Into::into),
        finish: Some(finish),
        finish_stated: Some(stated.into()),
        usage,
        usage_stated: Some(usage_stated),
        model: Some("claude-x-20260101".into()),
        response_id: Some("msg_01".into()),
        ..WireReply::default()
    }
}

fn all() -> Usage {
    Usage {
        input: Some(3210),
        cache_read: Some(3000),
        cache_write: Some(200),
        cache_write_1h: Some(50),
        output: Some(40),
        reasoning: Some(25),
    }
}

fn answers() -> Vec<Answer> {
    let content = json!([
        {"type": "thinking", "thinking": "Greet", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "EmwK"},
        {"type": "thinking", "thinking": " them.", "signature": "EqQC"},
        {"type": "text", "text": "Hel", "citations": null},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"text": 1}},
        {"type": "something_new", "text": ["x"], "thinking": 3},
        {"type": "text", "text": "lo"}
    ]);
    let read = |body: Value, expect| Answer { request: question(), body, expect };
    let plain = json!({"input_tokens": 9, "output_tokens": 4});
    let counted = Usage { input: Some(9), output: Some(4), ..Usage::default() };
    let mut answers = vec![
        read(
            message(content, "end_turn", spent()),
            WireReply {
                reasoning: Some("Greet them.".into()),
                ..expected(Some("Hello"), Finish::EndOfText, "end_turn", all(), spent())
            },
        ),
        // All that is not needed is missing, and counts that are no counts are unknown.
        read(
            json!({"content": [{"type": "text", "text": "So"}], "usage": {"input_tokens": -1, "output_tokens": "4"}}),
            WireReply {
                text: Some("So".into()),
                usage_stated: Some(json!({"input_tokens": -1, "output_tokens": "4"})),
                ..WireReply::default()
            },
        ),
        read(
            message(json!([]), "refusal", plain.clone()),
            expected(None, Finish::Refused, "refusal", counted, plain.clone()),
        ),
        // Thoughts that are kept back are not shown as empty ones.
        read(
            message(json!([{"type": "thinking", "thinking": "", "signature": "E"}]), "max_tokens", plain.clone()),
            expected(None, Finish::MaxTokens, "max_tokens", counted, plain.clone()),
        ),
    ];
    for (word, finish) in [
        ("stop_sequence", Finish::Stop),
        ("max_tokens", Finish::MaxTokens),
        ("refusal", Finish::Refused),
        ("model_context_window_exceeded", Finish::ContextFull),
        ("pause_turn", Finish::Other),
        ("tool_use", Finish::Other),
        ("something_new", Finish::Other),
    ] {
        let body = message(json!([{"type": "text", "text": "So"}]), word, plain.clone());
        answers.push(read(body, expected(Some("So"), finish, word, counted, plain.clone())));
    }
    answers
}

fn streams() -> Vec<Stream> {
    let started = json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x-20260101", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
            "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50}, "output_tokens": 1
        }
    });
    let delta = |index: u32, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let block =
        |index: u32, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: u32| json!({"type": "content_block_stop", "index": index});
    let pieces = vec![
        json!({"type": "message_start", "message": started}),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "Greet"})),
        delta(0, json!({"type": "thinking_delta", "thinking": " them."})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQB"})),
        stop(0),
        block(1, json!({"type": "redacted_thinking", "data": "EmwK"})),
        stop(1),
        block(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "Hel"})),
        delta(2, json!({"type": "citations_delta", "citation": {"text": 3}})),
        json!({"type": "something_new", "delta": 3, "message": []}),
        delta(2, json!({"type": "text_delta", "text": "lo \u{1f600}"})),
        stop(2),
        json!({
            "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {
                "input_tokens": 10, "cache_creation_input_tokens": null, "cache_read_input_tokens": 3000,
                "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 25}
            }
        }),
        json!({"type": "message_stop"}),
    ];
    let stated = json!({
        "input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50}, "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 25}
    });
    let expect = WireReply {
        reasoning: Some("Greet them.".into()),
        ..expected(Some("Hello \u{1f600}"), Finish::EndOfText, "end_turn", all(), stated)
    };
    vec![Stream { request: question(), pieces, done: false, expect, spare: 1 }]
}

fn errors() -> Vec<(Value, weighbridge_api::dialect::HostError)> {
    [
        ("invalid_request_error", Some(400)),
        ("authentication_error", Some(401)),
        ("billing_error", Some(402)),
        ("permission_error", Some(403)),
        ("not_found_error", Some(404)),
        ("request_too_large", Some(413)),
        ("rate_limit_error", Some(429)),
        ("api_error", Some(500)),
        ("timeout_error", Some(504)),
        ("overloaded_error", Some(529)),
        ("something_new", None),
    ]
    .map(|(name, status)| {
        let body = json!({"type": "error", "error": {"type": name, "message": "It broke"}, "request_id": "req_1"});
        (body, host_error(status, Some(name), "It broke"))
    })
    .to_vec()
}

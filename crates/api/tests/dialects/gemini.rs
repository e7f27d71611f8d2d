//! Cases of Gemini's `generateContent`, after <https://ai.google.dev/api/generate-content> and `google.rpc.Status`.

use std::time::Duration;

use serde_json::{Value, json};
use weighbridge_api::dialect::{Delivery, HostError, WireReply};
use weighbridge_core::{Dialect, Effort, Finish, Parameter, Prompt, Reasoning, TokenLogprob, Usage};

use crate::suite::{Answer, Body, KEY, Stream, Suite, asked, conversation, host_error, question};

pub fn suite() -> Suite {
    let (whole, streamed) = (Delivery::Whole, Delivery::Streamed);
    Suite {
        dialect: Dialect::Gemini,
        carries: Parameter::ALL
            .into_iter()
            .filter(|parameter| !matches!(parameter, Parameter::MinP | Parameter::Text))
            .collect(),
        headers: vec![("x-goog-api-key", KEY.into())],
        paths: vec![
            ("gemini-x", question(), whole, "/models/gemini-x:generateContent"),
            ("gemini-x", question(), streamed, "/models/gemini-x:streamGenerateContent?alt=sse"),
            ("models/gemini-2.5-pro", question(), whole, "/models/gemini-2.5-pro:generateContent"),
            ("tunedModels/mine", question(), whole, "/tunedModels/mine:generateContent"),
            ("a b/../c?d#e:\u{e9}", question(), whole, "/models/a%20b%2F..%2Fc%3Fd%23e%3A%C3%A9:generateContent"),
        ],
        bodies: bodies(),
        refused: vec![
            (asked(|r| r.sampling.seed = Some(1 << 31)), "a seed up to 2147483647, not 2147483648"),
            (asked(|r| r.reasoning = Reasoning::Effort(Effort::Max)), "high"),
        ],
        answers: answers(),
        streams: streams(),
        errors: errors(),
        failures: errors(),
        malformed: vec![
            (json!({}), "without candidates"),
            (json!({"candidates": []}), "without candidates"),
            (json!({"candidates": [{}], "usageMetadata": {}}), "without candidates"),
            (json!({"promptFeedback": {"safetyRatings": []}}), "without candidates"),
            (json!({"candidates": 3}), "expected a sequence"),
            (json!({"candidates": [{"content": {"parts": [{"text": 3}]}}]}), "line 1 column"),
            (json!({"candidates": [{"finishReason": 3}]}), "expected a string"),
            (json!([{"candidates": []}]), "invalid"),
            (json!("x"), "invalid type"),
        ],
    }
}

fn bodies() -> Vec<Body> {
    let hi = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
    let plain = json!({"contents": hi, "generationConfig": {"maxOutputTokens": 16}});
    let full = asked(|r| {
        r.prompt = Prompt::Messages(conversation());
        r.sampling.temperature = Some(0.0);
        r.sampling.top_p = Some(0.9);
        r.sampling.top_k = Some(40);
        r.sampling.seed = Some(2_147_483_647);
        r.stop = vec!["\n\n".into()];
        r.top_logprobs = Some(3);
        r.reasoning = Reasoning::Budget(512);
    });
    let turn = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    let mut bodies = vec![
        Body::whole(question(), plain.clone()),
        Body::streamed(question(), plain),
        Body::whole(
            full,
            json!({
                "contents": [turn("user", "Hi"), turn("model", "Hello."), turn("user", "Why?"), turn("user", "Well?")],
                "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe kind."}]},
                "generationConfig": {
                    "maxOutputTokens": 16, "temperature": 0.0, "topP": 0.9, "topK": 40, "seed": 2_147_483_647,
                    "stopSequences": ["\n\n"], "responseLogprobs": true, "logprobs": 3,
                    "thinkingConfig": {"thinkingBudget": 512}
                }
            }),
        ),
        Body::whole(
            asked(|r| r.top_logprobs = Some(0)),
            json!({"contents": hi, "generationConfig": {"maxOutputTokens": 16, "responseLogprobs": true}}),
        ),
    ];
    let levels = Effort::ALL.into_iter().filter(|level| *level != Effort::Max);
    let levels = levels.map(|level| (Reasoning::Effort(level), json!({"thinkingLevel": level.as_str()})));
    for (reasoning, config) in levels.chain([(Reasoning::Off, json!({"thinkingBudget": 0}))]) {
        let expect = json!({"contents": hi, "generationConfig": {"maxOutputTokens": 16, "thinkingConfig": config}});
        bodies.push(Body::whole(asked(|r| r.reasoning = reasoning), expect));
    }
    bodies
}

fn spent() -> Value {
    json!({
        "promptTokenCount": 30, "cachedContentTokenCount": 8, "candidatesTokenCount": 5, "thoughtsTokenCount": 20,
        "toolUsePromptTokenCount": 2, "totalTokenCount": 57,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 30}]
    })
}

fn all() -> Usage {
    Usage { input: Some(32), cache_read: Some(8), output: Some(25), reasoning: Some(20), ..Usage::default() }
}

fn reply(candidate: Value, usage: Value) -> Value {
    json!({
        "candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x-001", "responseId": "r1"
    })
}

fn expected(text: Option<&str>, finish: Finish, stated: &str) -> WireReply {
    WireReply {
        text: text.map(Into::into),
        finish: Some(finish),
        finish_stated: Some(stated.into()),
        usage: all(),
        usage_stated: Some(spent()),
        model: Some("gemini-x-001".into()),
        response_id: Some("r1".into()),
        ..WireReply::default()
    }
}

fn answers() -> Vec<Answer> {
    let read = |body: Value, expect| Answer { request: question(), body, expect };
    let parts = json!([
        {"text": "Greet them.", "thought": true}, {"text": "Hel", "thought": false, "thoughtSignature": "E"},
        {"functionCall": {"name": "look", "args": {"text": 1}}}, {"executableCode": {"code": "1"}}, {"text": "lo"}
    ]);
    let tokens = json!({
        "chosenCandidates": [
            {"token": "Hel", "tokenId": 1, "logProbability": -0.25}, {"token": "lo", "tokenId": 2}],
        "topCandidates": [
            {"candidates": [
                {"token": "Hel", "tokenId": 1, "logProbability": -0.25},
                {"token": "Good", "tokenId": 9, "logProbability": -1.5}, {"token": "x"}]},
            {}],
        "logProbabilitySum": -0.25
    });
    let logprobs = vec![
        TokenLogprob {
            token: "Hel".into(),
            logprob: Some(-0.25),
            top: vec![("Hel".into(), -0.25), ("Good".into(), -1.5)],
        },
        TokenLogprob { token: "lo".into(), logprob: None, top: Vec::new() },
    ];
    let said = json!({
        "content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0, "avgLogprobs": -0.3,
        "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
        "logprobsResult": tokens
    });
    let blocked = json!({"promptTokenCount": 7, "totalTokenCount": 7});
    let mut answers = vec![
        read(
            reply(said, spent()),
            WireReply {
                reasoning: Some("Greet them.".into()),
                logprobs,
                ..expected(Some("Hello"), Finish::EndOfText, "STOP")
            },
        ),
        read(
            json!({"candidates": [{"content": {"parts": [{"text": "So"}]}}]}),
            WireReply { text: Some("So".into()), ..WireReply::default() },
        ),
        // Nothing but thoughts before the limit; zeros are not written.
        read(
            reply(
                json!({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}),
                json!({"promptTokenCount": 7, "thoughtsTokenCount": 16, "totalTokenCount": 23}),
            ),
            WireReply {
                usage: Usage { input: Some(7), output: Some(16), reasoning: Some(16), ..Usage::default() },
                usage_stated: Some(json!({"promptTokenCount": 7, "thoughtsTokenCount": 16, "totalTokenCount": 23})),
                ..expected(None, Finish::MaxTokens, "MAX_TOKENS")
            },
        ),
        read(
            json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": blocked}),
            WireReply {
                text: Some(String::new()),
                finish: Some(Finish::Filtered),
                finish_stated: Some("PROHIBITED_CONTENT".into()),
                usage: Usage { input: Some(7), output: Some(0), ..Usage::default() },
                usage_stated: Some(blocked),
                ..WireReply::default()
            },
        ),
    ];
    for (word, finish) in [
        ("STOP", Finish::EndOfTextOrStop),
        ("SAFETY", Finish::Filtered),
        ("RECITATION", Finish::Filtered),
        ("LANGUAGE", Finish::Filtered),
        ("BLOCKLIST", Finish::Filtered),
        ("PROHIBITED_CONTENT", Finish::Filtered),
        ("SPII", Finish::Filtered),
        ("IMAGE_SAFETY", Finish::Filtered),
        ("MALFORMED_FUNCTION_CALL", Finish::Other),
        ("OTHER", Finish::Other),
        ("SOMETHING_NEW", Finish::Other),
    ] {
        let body = reply(json!({"content": {"parts": [{"text": "So"}]}, "finishReason": word}), spent());
        let request = asked(|r| r.stop = vec!["\n".into()]);
        answers.push(Answer { request, body, expect: expected(Some("So"), finish, word) });
    }
    answers
}

fn streams() -> Vec<Stream> {
    let piece = |candidate: Value| reply(candidate, json!({"promptTokenCount": 30, "totalTokenCount": 30}));
    let pieces = vec![
        piece(json!({"content": {"role": "model", "parts": [{"text": "Greet ", "thought": true}]}})),
        piece(json!({"content": {"role": "model", "parts": [{"text": "them.", "thought": true}]}, "index": 0})),
        piece(json!({"content": {"role": "model", "parts": [{"text": "Hel"}]}})),
        piece(json!({"content": {"role": "model", "parts": [{"text": "lo \u{1f600}"}]}})),
        reply(json!({"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP"}), spent()),
    ];
    let expect = WireReply {
        reasoning: Some("Greet them.".into()),
        ..expected(Some("Hello \u{1f600}"), Finish::EndOfText, "STOP")
    };
    let blocked = json!({
        "promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": spent(), "modelVersion": "gemini-x-001",
        "responseId": "r1"
    });
    vec![
        Stream { request: question(), pieces: pieces.clone(), done: false, expect: expect.clone(), spare: 0 },
        Stream { request: question(), pieces, done: true, expect, spare: 1 },
        Stream {
            request: question(),
            pieces: vec![blocked],
            done: false,
            expect: expected(Some(""), Finish::Filtered, "SAFETY"),
            spare: 0,
        },
    ]
}

fn errors() -> Vec<(Value, HostError)> {
    let message = "You exceeded your current quota, please check your plan and billing details.";
    let limited = |delay: Value| {
        json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "PerMinute"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]}})
    };
    let after = |retry_after| HostError { retry_after, ..host_error(Some(429), Some("RESOURCE_EXHAUSTED"), message) };
    let denied = json!({"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}});
    vec![
        (limited(json!("34s")), after(Some(Duration::from_secs(34)))),
        (json!([limited(json!("34.074824224s"))]), after(Some(Duration::new(34, 74_824_224)))),
        (limited(json!("soon")), after(None)),
        (limited(json!("-3s")), after(None)),
        (limited(json!("1e300s")), after(None)),
        (limited(json!(34)), after(None)),
        (denied.clone(), host_error(Some(403), Some("PERMISSION_DENIED"), "No.")),
        (json!([denied]), host_error(Some(403), Some("PERMISSION_DENIED"), "No.")),
    ]
}

//! What the canary finds out about servers that do what they are asked, and about servers that do not.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

mod scripted;

use scripted::{Asked, Reply, Server, hosted};
use serde_json::{Value, json};
use weighbridge_core::{CanaryCheck, CanaryReport, Dialect, EndpointFacts, Observed, Parameter, ReasoningControl};

/// A chat server that does everything.
fn sound(asked: &Asked) -> Reply {
    let body = &asked.body;
    if asked.path != "/v1/chat/completions" {
        return Reply::error(404, "no such path");
    }
    let question = body["messages"][0]["content"].as_str().unwrap();
    let mut said = match question {
        q if q.contains("1 to 10") => "1 2 3 4 5 6 7 8 9 10",
        q if q.contains("secret") => "Tangerine.",
        q if q.contains("six") => "boat idea leaf iron song nine",
        _ => "Hello!",
    };
    if let Some(stop) = body["stop"][0].as_str() {
        said = said.split(stop).next().unwrap();
    }
    let usage = json!({"prompt_tokens": question.len() / 4, "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 0}});
    if body["stream"] == true {
        return Reply::events(&[
            json!({"id": "x", "model": "m", "choices": [{"delta": {"content": said}, "finish_reason": null}]}),
            json!({"id": "x", "model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}),
        ]);
    }
    let mut choice = json!({"message": {"role": "assistant", "content": said}, "finish_reason": "stop"});
    if body["logprobs"] == true {
        choice["logprobs"] = json!({"content": [{"token": said, "logprob": -0.5, "top_logprobs": []}]});
    }
    Reply::json(
        &json!({"id": "x", "model": "m-2026-01-01", "system_fingerprint": "fp", "choices": [choice], "usage": usage}),
    )
}

/// One that does nothing of it.
fn careless(asked: &Asked) -> Reply {
    let question = asked.body["messages"][0]["content"].as_str().unwrap_or_default();
    if asked.body.get("logprobs").is_some() {
        return Reply::error(400, "no logprobs here");
    }
    let number = another();
    let said = if question.contains("1 to 10") { "1 2 3 4 5 6".to_owned() } else { format!("Hm {number}") };
    Reply::json(&json!({"model": "other", "choices": [{"message": {"content": said, "reasoning_content": "I think."},
        "finish_reason": "stop"}], "usage": {"prompt_tokens": (question.len() / 4).min(700), "completion_tokens": 99}}))
}

/// Another number each time.
fn another() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn chat(server: &Server, facts: EndpointFacts) -> CanaryReport {
    hosted(&[Dialect::OpenaiChat], &server.base_url, facts).canary()
}

fn check(report: &CanaryReport, expect: &[(CanaryCheck, Observed)]) {
    assert_eq!(report.findings.len(), CanaryCheck::ALL.len());
    assert!(report.findings.iter().zip(CanaryCheck::ALL).all(|(finding, check)| finding.check == check));
    for (what, expect) in expect {
        let seen = report.observed(*what).unwrap();
        let same = match (seen, expect) {
            (Observed::Unknown(seen), Observed::Unknown(expect)) => seen.contains(expect.as_str()),
            (seen, expect) => seen == expect,
        };
        assert!(same, "{what:?}: {seen:?} in {report:?}");
    }
}

fn unknown(why: &str) -> Observed {
    Observed::Unknown(why.into())
}

#[test]
fn a_sound_server_is_seen_to_be_sound() {
    use CanaryCheck::{
        Context, MaxTokens, Model, OutputLogprobs, PromptLogprobs, ReasoningTokens, Seed, Stop, Streaming, Usage,
    };
    let server = Server::start(sound);
    let report = chat(&server, EndpointFacts::default());
    let yes = [Model, Usage, ReasoningTokens, Stop, Seed, OutputLogprobs, Context, Streaming, MaxTokens];
    let mut expect: Vec<_> = yes.into_iter().map(|what| (what, Observed::Yes)).collect();
    expect.push((PromptLogprobs, unknown("does not speak openai_completions")));
    check(&report, &expect);
    assert_eq!(report.served_by.fingerprint.as_deref(), Some("fp"));
    assert_eq!(report.served_by.model_answered.as_deref(), Some("m-2026-01-01"));
    // The prices of the model are not known.
    assert_eq!((report.cost, report.error), (None, None));
    assert!(server.asked().len() <= 8, "{}", server.asked().len());
}

#[test]
fn a_careless_server_is_found_out() {
    use CanaryCheck::{Context, MaxTokens, Model, OutputLogprobs, ReasoningTokens, Seed, Stop, Streaming, Usage};
    let report = chat(&Server::start(careless), EndpointFacts::default());
    let no = [Model, ReasoningTokens, Stop, Seed, OutputLogprobs, Context, Streaming, MaxTokens];
    let mut expect: Vec<_> = no.into_iter().map(|what| (what, Observed::No)).collect();
    expect.push((Usage, Observed::Yes));
    check(&report, &expect);
}

#[test]
fn what_is_refused_or_too_long_is_not_asked() {
    let server = Server::start(sound);
    let facts = EndpointFacts {
        refuses: [Parameter::Seed, Parameter::Temperature].into(),
        reasoning: Some(ReasoningControl { off: true, ..ReasoningControl::default() }),
        max_output: Some(100),
        context: Some(2048),
        ..EndpointFacts::default()
    };
    let report = chat(&server, facts);
    check(
        &report,
        &[
            (CanaryCheck::Seed, unknown("takes no ")),
            (CanaryCheck::Context, unknown("stated as 2048 tokens")),
            (CanaryCheck::Stop, Observed::Yes),
        ],
    );
    for asked in server.asked() {
        assert!(asked.body.get("seed").is_none() && asked.body.get("temperature").is_none());
        assert_eq!(asked.body["reasoning_effort"], "none");
        assert!(asked.body["max_tokens"].as_u64().unwrap() <= 100);
    }
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_a_report() {
    let nobody = hosted(&[Dialect::OpenaiChat], "http://127.0.0.1:9/v1", EndpointFacts::default()).canary();
    assert!(nobody.error.as_ref().unwrap().contains("cannot connect"), "{nobody:?}");
    check(&nobody, &[(CanaryCheck::Model, unknown("nothing could be asked"))]);
    let server = Server::start(|_| Reply::error(401, "this key is not known"));
    let report = chat(&server, EndpointFacts::default());
    assert_eq!(report.error.as_deref().map(|error| error.contains("this key is not known")), Some(true));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn plain_text_is_gone_on_from() {
    let server = Server::start(|asked| {
        let prompt = asked.body["prompt"].as_str().unwrap_or_default();
        if asked.path != "/v1/completions" {
            return Reply::error(404, "no such path");
        }
        let mut said = match prompt {
            "1 2 3" => " 4 5 6",
            p if p.contains("secret") => " tangerine.",
            _ => " name is",
        };
        if let Some(stop) = asked.body["stop"][0].as_str() {
            said = said.split(stop).next().unwrap();
        }
        let logprobs = json!({"tokens": [said], "token_logprobs": [-0.5], "top_logprobs": [{said: -0.5}], "text_offset": [prompt.len()]});
        let logprobs = if asked.body.get("logprobs").is_some() { logprobs } else { Value::Null };
        Reply::json(&json!({"model": "m", "choices": [{"text": said, "finish_reason": "stop", "logprobs": logprobs}],
            "usage": {"prompt_tokens": prompt.len() / 4, "completion_tokens": 2}}))
    });
    let report = hosted(&[Dialect::OpenaiCompletions], &server.base_url, EndpointFacts::default()).canary();
    let yes = [CanaryCheck::Stop, CanaryCheck::Seed, CanaryCheck::OutputLogprobs, CanaryCheck::Context];
    let mut expect: Vec<_> = yes.into_iter().map(|what| (what, Observed::Yes)).collect();
    // It echoes nothing.
    expect.push((CanaryCheck::PromptLogprobs, Observed::No));
    check(&report, &expect);
}

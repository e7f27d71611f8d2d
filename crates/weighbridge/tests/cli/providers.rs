//! `weighbridge providers` and `weighbridge canary`: who serves models, and what they were seen to do.

use serde_json::Value;

use crate::home::Home;
use crate::server::{Reply, Server};
use crate::weights::Speaker;

#[test]
fn every_provider_is_listed_with_what_is_known_of_it() {
    let home = Home::fresh().variable("GROQ_API_KEY", "gsk-1");
    let table = home.answer(&["providers"]);
    for name in ["anthropic", "google", "groq", "openai", "openai-compatible", "openrouter", "vllm"] {
        assert!(table.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {table}");
    }
    let list = home.json(&["providers"]);
    let list = list.as_array().expect("a list");
    let of = |id: &str| list.iter().find(|provider| provider["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(of("groq")["key"], "found in GROQ_API_KEY");
    assert_eq!(of("openai")["key"], "missing");
    assert_eq!(of("vllm")["key"], "not needed");
    for provider in list {
        assert!(provider["dialects"].as_array().is_some_and(|d| !d.is_empty()), "{provider}");
        assert!(provider["key_variables"].as_array().is_some_and(|d| !d.is_empty()), "{provider}");
        assert_eq!(provider["canaries"].as_array().map(Vec::len), Some(0), "{provider}");
        assert!(!provider.to_string().contains("gsk-1"), "{provider}");
    }

    let text = home.answer(&["providers", "openai"]);
    for part in ["OPENAI_API_KEY", "missing", "https://api.openai.com/v1", "openai_responses", "source"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(home.json(&["providers", "openai"])["id"], "openai");
    let text = home.answer(&["providers", "groq"]);
    assert!(text.contains("found in GROQ_API_KEY") && !text.contains("gsk-1"), "{text}");
    home.refusals(&[("providers nobody", 3, &["no provider 'nobody'", "`weighbridge providers` lists them"])]);
}

#[test]
fn a_canary_is_shown_and_remembered() {
    let server = Server::echo();
    let home = Home::fresh();
    let name = server.model("vllm:alpha");
    let run = home.run(&["canary", &name]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("vllm:alpha"), "{}", run.out);
    for (check, word) in [("model", "yes"), ("usage", "yes"), ("streaming", "yes"), ("output_logprobs", "NO")] {
        let found = run.out.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(check) && words.next() == Some(word)
        });
        assert!(found, "{check} is not {word}: {}", run.out);
    }
    let text = home.answer(&["providers", "vllm"]);
    assert!(text.ends_with(&run.out), "{text}");
    let seen = home.json(&["providers", "vllm"])["canaries"].clone();
    assert_eq!((seen[0]["served_by"]["model"].clone(), seen.as_array().map(Vec::len)), ("alpha".into(), Some(1)));
    assert!(home.json(&["providers"]).as_array().is_some_and(|all| all.iter().any(|p| p["canaries"] == seen)));

    // One that cannot be asked says so, and takes the place of what was seen before under its own name only.
    let dead = Server::start(|_| Reply::error(404, "no such model"));
    let run = home.run(&["canary", &dead.model("vllm:alpha"), "--format", "json"]);
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(report["error"].as_str().is_some_and(|error| error.contains("no such model")), "{report}");
    assert_eq!(home.json(&["providers", "vllm"])["canaries"].as_array().map(Vec::len), Some(2));

    let file = home.file("m.gguf", Speaker::default().bytes());
    let message = home.refusal(&["canary", &file], 3);
    assert!(message.contains("runs in this process"), "{message}");
}

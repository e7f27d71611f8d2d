//! The identity traps of the sources: names that look alike and are not, and names that move.

use weighbridge_catalog::{Catalog, Resolution, split_configuration};
use weighbridge_core::{ModelId, parse_date};

#[test]
fn a_name_means_what_it_says() {
    let catalog = Catalog::embedded().unwrap();
    let check = |name: &str, expected: Resolution| assert_eq!(catalog.resolve(name), expected, "{name}");
    let id = ModelId::new;
    check("moonshot/kimi-k3", Resolution::Exact(id("moonshot/kimi-k3")));
    check("Kimi K3", Resolution::Exact(id("moonshot/kimi-k3")));
    check("moonshotai/Kimi-K3", Resolution::Normalised(id("moonshot/kimi-k3")));
    check("claude-opus-4-5-20251101", Resolution::Alias(id("anthropic/claude-opus-4.5")));
    check("Llama-3.1-70B-Instruct", Resolution::Alias(id("meta/llama-3.1-70b")));
    check("zai-org/GLM-5.2", Resolution::Normalised(id("zai/glm-5.2")));
    check("Qwen/Qwen3.6-35B-A3B", Resolution::Normalised(id("alibaba/qwen-3.6-35b-a3b")));
}

#[test]
fn names_that_look_alike_are_told_apart() {
    let catalog = Catalog::embedded().unwrap();
    let model = |name: &str| catalog.resolve(name).model().map(ToString::to_string);
    let differ = |a: &str, b: &str| assert_ne!(model(a).unwrap_or_default(), model(b).unwrap_or_default(), "{a}, {b}");
    differ("GLM-5", "GLM-5-Turbo");
    differ("GLM-5", "GLM-5.2");
    differ("Command R", "Command R+");
    differ("DeepSeek-V3.2", "DeepSeek-V3.2-Exp");
    differ("deepseek-v4-flash", "DeepSeek V4 Flash 0731");
    differ("gpt-4-0314", "gpt-4-0613");
    differ("claude-3-5-sonnet-20240620", "claude-3-5-sonnet-20241022");
    differ("Qwen2.5-72B", "Qwen2.5-VL-72B-Instruct");
    differ("Qwen3-235B-A22B-Instruct-2507", "Qwen3-235B-A22B-Thinking-2507");
    differ("Qwen 3.5 Plus (hosted 397B-A17B)", "Qwen3.5-397B-A17B");
    // Not in the catalog: neither may take the other's place, nor that of anything else.
    assert_eq!((model("opt-1.3b"), model("opt-13b")), (None, None));
    assert_eq!(model("falcon-4b"), None);
}

#[test]
fn what_is_no_model_or_another_offering_matches_nothing() {
    let catalog = Catalog::embedded().unwrap();
    let names = [
        "o3 (high) + gpt-4.1",
        "Distyl ButtonAgent",
        "kimi-k3-fast",
        "TEE/kimi-k2.6",
        "someone/Kimi-K3",
        "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
        "",
    ];
    for name in names {
        assert_eq!(catalog.resolve(name).model(), None, "{name}");
    }
}

#[test]
fn an_unknown_name_lists_what_is_near() {
    let Resolution::Unmatched { nearest } = Catalog::embedded().unwrap().resolve("kimi-k4") else {
        panic!("kimi-k4 matched")
    };
    assert!(nearest.contains(&"moonshot/kimi-k3".to_owned()), "{nearest:?}");
    assert!(nearest.len() <= 5);
}

#[test]
fn a_moving_name_is_resolved_by_day_or_not_at_all() {
    let catalog = Catalog::embedded().unwrap();
    for name in ["deepseek-chat", "deepseek-reasoner", "chatgpt-4o-latest", "mistral-large-latest", "gpt-4o"] {
        assert!(matches!(catalog.resolve(name), Resolution::Moving(_)), "{name}");
    }
    let at =
        |name: &str, day: &str| catalog.resolve_at(name, parse_date(day).unwrap()).model().map(ToString::to_string);
    assert_eq!(at("deepseek-reasoner", "2025-05-29").as_deref(), Some("deepseek/deepseek-r1-may-2025"));
    assert_eq!(at("deepseek-reasoner", "2025-12-16").as_deref(), Some("deepseek/deepseek-v3.2"));
    assert_eq!(at("deepseek-chat", "2026-07-02"), None);
    assert_eq!(at("gpt-4o", "2024-05-20").as_deref(), Some("openai/gpt-4o-may-2024"));
    assert_eq!(at("chatgpt-4o-latest", "2025-01-01"), None);
}

#[test]
fn every_run_label_means_a_model() {
    let catalog = Catalog::embedded().unwrap();
    for set in catalog.sample_sets().unwrap() {
        assert!(set.model.is_some(), "{} of {}", set.label, set.benchmark);
        let found = catalog.resolve(split_configuration(&set.label).0);
        if let Some(model) = found.model() {
            assert_eq!(set.model.as_ref(), Some(model), "{}", set.label);
        }
    }
}

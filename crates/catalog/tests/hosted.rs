//! Hosted models: providers, what their endpoints take, short names, and prices that were read by hand from the sources.

use time::macros::date;
use weighbridge_catalog::Catalog;
use weighbridge_core::Effort::{ExtraHigh, High, Low, Max, Minimal};
use weighbridge_core::{Dialect, ModelId, Parameter, PriceTier, Quirk, TokenPrices, Usage, Usd};

#[test]
fn a_provider_is_found_by_its_id_and_its_other_names() {
    let catalog = Catalog::embedded().unwrap();
    let openai = catalog.provider("OpenAI").unwrap();
    assert_eq!(openai.base_url.as_deref(), Some("https://api.openai.com/v1"));
    assert_eq!(openai.key_variables, ["OPENAI_API_KEY"]);
    assert_eq!(openai.dialects[0], Dialect::OpenaiChat);
    assert!(openai.batch && openai.key_required && !openai.router);
    assert!(openai.quirks.contains(&Quirk::MaxCompletionTokens));
    for (name, id) in [
        ("gemini", "google"),
        ("moonshotai", "moonshot"),
        ("together_ai", "together"),
        ("custom", "openai-compatible"),
        ("openai-compatible", "openai-compatible"),
        ("x-ai", "xai"),
    ] {
        assert_eq!(catalog.provider(name).map(|p| p.id.as_str()), Some(id), "{name}");
    }
    assert!(catalog.provider("nobody").is_none());
    assert!(catalog.provider("openai-compatible").is_some_and(|p| p.base_url.is_none() && !p.key_required));
    // A server of one's own never gets the key of a hosted provider.
    for provider in catalog.providers().filter(|p| !p.key_required) {
        for variable in &provider.key_variables {
            let owner = catalog.providers().find(|p| p.key_required && p.key_variables.contains(variable));
            assert!(owner.is_none(), "{}: {variable}", provider.id);
        }
    }
    let routers: Vec<_> = catalog.providers().filter(|p| p.router).map(|p| p.id.as_str()).collect();
    assert_eq!(routers, ["huggingface", "openrouter"]);
}

#[test]
fn an_endpoint_states_what_it_refuses_and_how_it_reasons() {
    let catalog = Catalog::embedded().unwrap();
    let facts = |provider: &str, model: &str| catalog.endpoint_facts(provider, model);
    for model in ["o3", "o4-mini-2025-04-16", "gpt-5", "gpt-5.6-sol", "gpt-6.1-sol"] {
        let refuses = facts("openai", model).refuses;
        for parameter in [Parameter::Temperature, Parameter::TopP, Parameter::Stop, Parameter::Logprobs] {
            assert!(refuses.contains(&parameter), "{model} {parameter}");
        }
    }
    let plain = facts("openai", "gpt-4o-mini");
    assert_eq!((plain.max_stop, plain.max_top_logprobs, plain.max_output), (Some(4), Some(20), Some(16_384)));
    assert!(!plain.refuses.contains(&Parameter::Temperature) && plain.reasoning.is_none());

    // Which levels there are, whether reasoning can be turned off, and its budget.
    let reasoning = |provider: &str, model: &str| {
        let control = facts(provider, model).reasoning.unwrap();
        (control.efforts.first().copied(), control.efforts.last().copied(), control.off, control.budget)
    };
    for (provider, model, expected) in [
        ("openai", "gpt-5-mini", (Some(Minimal), Some(High), false, None)),
        ("openai", "gpt-5.1-2025-11-13", (Some(Low), Some(High), true, None)),
        ("openai", "gpt-5.5", (Some(Low), Some(ExtraHigh), true, None)),
        ("openai", "gpt-5.6-luna", (Some(Low), Some(Max), true, None)),
        ("openai", "gpt-6.1-sol", (Some(Low), Some(Max), false, None)),
        ("anthropic", "claude-sonnet-4-5-20250929", (None, None, true, Some((1024, 63_999)))),
        ("anthropic", "claude-fable-5-1", (Some(Low), Some(Max), false, None)),
        ("gemini", "gemini-2.5-pro", (None, None, false, Some((128, 32_768)))),
        ("google", "gemini-2.5-flash", (None, None, true, Some((1, 24_576)))),
        ("google", "gemini-3-pro-preview", (Some(Low), Some(High), false, None)),
        ("deepseek", "deepseek-v4-pro", (Some(Low), Some(Max), true, None)),
        ("moonshotai", "kimi-k3", (Some(Low), Some(Max), false, None)),
    ] {
        assert_eq!(reasoning(provider, model), expected, "{provider}:{model}");
    }
    let claude = facts("anthropic", "claude-opus-5").refuses;
    assert!([Parameter::Seed, Parameter::Logprobs, Parameter::Temperature].iter().all(|p| claude.contains(p)));
    assert!(!facts("anthropic", "claude-haiku-4-5").refuses.contains(&Parameter::Temperature));
    assert_eq!(facts("openrouter", "openai/gpt-5"), weighbridge_core::EndpointFacts::default());
    assert_eq!(facts("nobody", "gpt-5"), weighbridge_core::EndpointFacts::default());
}

#[test]
fn a_short_name_stands_for_one_model_a_day() {
    let catalog = Catalog::embedded().unwrap();
    for (name, day, expected) in [
        ("chatgpt", date!(2026 - 11 - 24), Some(("openai", "gpt-6.1-sol"))),
        ("ChatGPT", date!(2026 - 08 - 11), Some(("openai", "gpt-5.6-sol"))),
        ("chatgpt", date!(2025 - 08 - 07), Some(("openai", "gpt-5"))),
        ("chatgpt", date!(2025 - 08 - 06), None),
        ("claude", date!(2026 - 08 - 11), Some(("anthropic", "claude-opus-5"))),
        ("kimi", date!(2026 - 08 - 11), Some(("moonshot", "kimi-k3"))),
        ("nobody", date!(2026 - 11 - 24), None),
    ] {
        assert_eq!(catalog.hosted_alias(name, day), expected, "{name} on {day}");
    }
    // Whatever a name stands for can be called, and its price is known.
    let mut names = 0;
    for name in catalog.hosted_aliases() {
        let (provider, model) = catalog.hosted_alias(name, date!(2026 - 11 - 24)).unwrap();
        assert!(catalog.provider(provider).is_some_and(|p| p.base_url.is_some()), "{name}");
        assert!(!catalog.token_prices(provider, model).is_empty(), "{name}: no price of {provider}:{model}");
        names += 1;
    }
    assert_eq!(names, 12);
}

/// Input, cached input, cache write, write for an hour, output, reasoning, batch input, batch output.
type Row = (f64, Option<f64>, Option<f64>, Option<f64>, f64, Option<f64>, Option<f64>, Option<f64>);

fn row(p: &TokenPrices) -> Row {
    let usd = |price: Option<Usd>| price.map(|usd| usd.0);
    (
        p.input.0,
        usd(p.cached_input),
        usd(p.cache_write),
        usd(p.cache_write_1h),
        p.output.0,
        usd(p.reasoning),
        usd(p.batch_input),
        usd(p.batch_output),
    )
}

/// Read by hand from the files under `data/facts` of the reference data.
#[test]
fn prices_are_those_of_the_sources() {
    let catalog = Catalog::embedded().unwrap();
    let tier = |above, input, cached: f64, write: Option<f64>, output| PriceTier {
        above,
        input: Usd(input),
        cached_input: Some(Usd(cached)),
        cache_write: write.map(Usd),
        output: Usd(output),
    };

    // Tiers and batch. genai_prices_v2.json, openai, gpt-5.5: 5, 0.5, 30. litellm_prices.json, gpt-5.5: batches 2.5e-6 and
    // 1.5e-5; above 272k tokens 1e-5, 1e-6, 4.5e-5. models_dev.csv, line 3511: the same tier.
    let prices = catalog.token_prices("openai", "gpt-5.5");
    assert_eq!(
        prices.iter().map(row).collect::<Vec<_>>(),
        [(5.0, Some(0.5), None, None, 30.0, None, Some(2.5), Some(15.0))]
    );
    assert_eq!(prices[0].tiers, [tier(272_000, 10.0, 1.0, None, 45.0)]);
    assert_eq!((prices[0].source.as_str(), prices[0].starts), ("genai-prices", None));

    // A history, and a tier that was given up. genai_prices_v2.json, anthropic, claude-opus-4-6: 5, 0.5, 6.25, 10 for an
    // hour, 25; above 200,000 tokens 10, 1, 12.5, 37.5 until 2026-03-13. litellm_prices.json: batches 2.5e-6, 1.25e-5.
    let prices = catalog.token_prices("anthropic", "claude-opus-4-6");
    let opus = (5.0, Some(0.5), Some(6.25), Some(10.0), 25.0, None, Some(2.5), Some(12.5));
    assert_eq!(prices.iter().map(row).collect::<Vec<_>>(), [opus, opus]);
    assert_eq!(prices[0].tiers, [tier(200_000, 10.0, 1.0, Some(12.5), 37.5)]);
    assert!(prices[1].tiers.is_empty());
    assert_eq!(prices.iter().map(|p| p.starts).collect::<Vec<_>>(), [None, Some(date!(2026 - 03 - 13))]);

    // Reasoning with a price of its own. genai_prices_v2.json, perplexity, sonar-deep-research: 2, 8, reasoning 3.
    // litellm_prices.json, perplexity/sonar-deep-research: 2e-6, 8e-6, 3e-6. models_dev.csv, line 4071: 2, 8, 3.
    let prices = catalog.token_prices("perplexity", "sonar-deep-research");
    assert_eq!(prices.iter().map(row).collect::<Vec<_>>(), [(2.0, None, None, None, 8.0, Some(3.0), None, None)]);

    // A price that was cut. genai_prices_v2.json, openai, o3: 10, 0.5, 40, and from 2025-06-10 on 2, 0.5, 8.
    // litellm_prices.json, o3: batches 1e-6, 4e-6. The batches of the first price are the share of providers.csv.
    let prices = catalog.token_prices("openai", "o3-2025-04-16");
    assert_eq!(
        prices.iter().map(row).collect::<Vec<_>>(),
        [
            (10.0, Some(0.5), None, None, 40.0, None, Some(5.0), Some(20.0)),
            (2.0, Some(0.5), None, None, 8.0, None, Some(1.0), Some(4.0)),
        ]
    );

    // A newer list states another price. genai_prices_v2.json, deepseek, deepseek-v4-pro: 0.435, 0.003625, 0.87 on
    // 2026-08-21. litellm_prices.json, deepseek/deepseek-v4-pro: 1.32e-6, 4.4e-8, 3.96e-6 in November.
    let prices = catalog.token_prices("deepseek", "deepseek-v4-pro");
    assert_eq!(
        prices.iter().map(row).collect::<Vec<_>>(),
        [
            (0.435, Some(0.003_625), None, None, 0.87, None, None, None),
            (1.32, Some(0.044), None, None, 3.96, None, None, None),
        ]
    );
    assert_eq!(prices[1].source, "litellm");
    assert_eq!(prices[1].starts, Some(date!(2026 - 11 - 01)));

    // Announced. genai_prices_v2.json, google, gemini-3.6-flash: 0.75 and 3.75, from 2027-01-01 on 1.5 and 7.5.
    // litellm_prices.json, gemini/gemini-3.6-flash: batches 3.75e-7, 1.875e-6.
    let prices = catalog.token_prices("google", "gemini-3.6-flash");
    assert_eq!(
        prices.iter().map(row).collect::<Vec<_>>(),
        [
            (0.75, Some(0.075), None, None, 3.75, None, Some(0.375), Some(1.875)),
            (1.5, Some(0.15), None, None, 7.5, None, Some(0.75), Some(3.75)),
        ]
    );
}

#[test]
fn a_name_finds_its_price_and_no_other() {
    let catalog = Catalog::embedded().unwrap();
    let last =
        |provider: &str, model: &str| catalog.token_prices(provider, model).last().map(|p| (p.input.0, p.output.0));
    // Dated names: listed with a price of their own, or priced as the name without the day.
    assert_eq!(last("openai", "gpt-4o-2024-05-13"), Some((5.0, 15.0)));
    assert_eq!(last("openai", "gpt-4o-2024-08-06"), Some((2.5, 10.0)));
    assert_eq!(last("openai", "gpt-5.6-sol-2099-01-01"), last("openai", "gpt-5.6-sol"));
    assert_eq!(last("anthropic", "claude-opus-4-5-20251101"), Some((5.0, 25.0)));
    // Names that mean a release without being listed.
    assert_eq!(last("anthropic", "Claude Opus 5"), Some((5.0, 25.0)));
    // Other classes of service are other prices, or unknown ones.
    assert_eq!(last("openai", "gpt-5.5-priority"), None);
    assert_eq!(last("openai", "gpt-5.5-flex"), None);
    assert_eq!(last("openai", "no-such-model"), None);
    assert_eq!(last("nobody", "gpt-5"), None);
    assert_eq!(last("vllm", "openai/gpt-oss-120b"), None);
    let turbo = last("moonshot", "kimi-k2-turbo-preview");
    assert_ne!(turbo, last("moonshot", "kimi-k2-0905-preview"));
    assert!(turbo.is_some());
    // Hosts of a router have prices of their own, and a free offering costs nothing.
    assert_eq!(last("huggingface", "openai/gpt-oss-120b:groq"), Some((0.15, 0.75)));
    assert_eq!(last("huggingface", "openai/gpt-oss-120b:hyperbolic"), Some((0.3, 0.3)));
    // Models that do not batch have no batch price.
    let batch = |model: &str| catalog.token_prices("openai", model).iter().any(|p| p.batch_input.is_some());
    assert!(batch("gpt-5.6-sol") && !batch("chat-latest") && !batch("gpt-5-search-api"));

    let offered = |provider: &str, model: &str, day| catalog.offered_model(provider, model, day).map(ModelId::as_str);
    let day = date!(2025 - 12 - 24);
    assert_eq!(offered("openai", "gpt-5.5-2026-04-23", day), Some("openai/gpt-5.5"));
    assert_eq!(offered("openai", "gpt-5.5-2026-10-23", day), None, "another snapshot");
    assert_eq!(offered("fireworks", "accounts/fireworks/models/kimi-k3", day), Some("moonshot/kimi-k3"));
    assert_eq!(offered("deepseek", "deepseek-chat", day), Some("deepseek/deepseek-v3.2"));
    assert_eq!(offered("deepseek", "deepseek-chat", date!(2026 - 05 - 01)), None);
}

/// Every history is in order and holds one price a day.
#[test]
fn histories_are_in_order() {
    let catalog = Catalog::embedded().unwrap();
    for provider in catalog.providers() {
        for model in ["gpt-5.6-luna", "claude-sonnet-5", "claude-sonnet-4-6", "deepseek-v4-pro", "gemini-3.6-flash"] {
            let starts: Vec<_> = catalog.token_prices(&provider.id, model).iter().map(|p| p.starts).collect();
            assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{}:{model} {starts:?}", provider.id);
        }
    }
}

/// A call is turned into dollars: genai_prices_v2.json, openai, gpt-5.6-luna from 2026-07-30 on: 0.2, cached 0.02, 1.2,
/// above 272,000 tokens 0.4, 0.04, 1.8.
#[test]
fn a_call_has_a_price_in_dollars() {
    let catalog = Catalog::embedded().unwrap();
    let prices = catalog.token_prices("openai", "gpt-5.6-luna");
    let now = prices.iter().rfind(|p| p.starts.is_none_or(|starts| starts <= date!(2026 - 11 - 24))).unwrap();
    let cost = |input, read, output, batch| {
        let usage = Usage { input: Some(input), cache_read: Some(read), output: Some(output), ..Usage::default() };
        (now.cost(&usage, batch).unwrap().0 * 1e9).round()
    };
    assert_eq!(cost(1_000, 400, 100, false), 120_000.0 + 8_000.0 + 120_000.0);
    assert_eq!(cost(1_000, 400, 100, true), 124_000.0);
    assert_eq!(cost(300_000, 0, 1_000, false), 120_000_000.0 + 1_800_000.0);
}

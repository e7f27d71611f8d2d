//! Sessions and endpoints for tests: patient by milliseconds instead of minutes, with prices, and with a key that must
//! never be seen again.

use std::sync::Arc;
use std::time::Duration;

use weighbridge_api::{Endpoint, EndpointOptions, Hosted, Key, NumberedRequest, RetryPolicy, Session, SessionOptions};
use weighbridge_core::{Dialect, EndpointFacts, GenerationRequest, Message, Prompt, Provider, TokenPrices, Usd};

/// The key that is planted in every test.
pub const KEY: &str = "sk-planted-4f9c2e7a1b8d";

/// Waits of milliseconds; otherwise as the default.
pub fn policy() -> RetryPolicy {
    RetryPolicy { first: Duration::from_millis(1), longest: Duration::from_millis(4), ..RetryPolicy::default() }
}

pub fn options() -> SessionOptions {
    SessionOptions { concurrency: 4, timeout: Duration::from_mins(1), retry: policy(), ..SessionOptions::default() }
}

/// Ten dollars a million tokens in, and a hundred out.
pub fn prices() -> TokenPrices {
    TokenPrices {
        input: Usd(10.0),
        cached_input: None,
        cache_write: None,
        cache_write_1h: None,
        output: Usd(100.0),
        reasoning: None,
        batch_input: None,
        batch_output: None,
        tiers: Vec::new(),
        starts: None,
        source: "test".into(),
    }
}

pub fn endpoint_options(base_url: &str) -> EndpointOptions {
    let provider = Provider {
        id: "faulty".into(),
        name: "Faulty".into(),
        base_url: None,
        key_variables: Vec::new(),
        key_required: true,
        dialects: vec![Dialect::OpenaiChat],
        router: false,
        batch: false,
        quirks: std::collections::BTreeSet::new(),
        source: "test".into(),
    };
    EndpointOptions {
        provider,
        model: "m".into(),
        base_url: Some(base_url.to_owned()),
        dialect: None,
        key: Some(Key::new(KEY).unwrap()),
        pin: None,
        facts: EndpointFacts::default(),
        prices: vec![prices()],
    }
}

pub fn hosted(session: &Arc<Session>, base_url: &str) -> Hosted {
    Hosted::new(Endpoint::new(endpoint_options(base_url)).unwrap(), session).unwrap()
}

pub fn request(text: &str) -> GenerationRequest {
    GenerationRequest::new(Prompt::Messages(vec![Message::user(text.to_owned())]), 16)
}

pub fn numbered(index: u64, text: &str) -> NumberedRequest {
    NumberedRequest { index, id: None, request: request(text) }
}

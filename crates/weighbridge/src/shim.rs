use weighbridge_catalog::Catalog;
use weighbridge_core::*;
pub trait Shim {
    fn providers(&self) -> std::slice::Iter<'static, Provider>;
    fn provider(&self, id: &str) -> Option<&'static Provider> {
        self.providers().find(|p| p.id == id)
    }
    fn endpoint_facts(&self, _: &str, _: &str) -> EndpointFacts {
        EndpointFacts::default()
    }
    fn token_prices(&self, _: &str, _: &str) -> Vec<TokenPrices> {
        Vec::new()
    }
    fn hosted_alias(&self, name: &str, _: time::Date) -> Option<(&'static str, &'static str)> {
        (name == "chatgpt").then_some(("openai", "gpt-5"))
    }
}
static P: std::sync::LazyLock<Vec<Provider>> = std::sync::LazyLock::new(|| {
    let p = |id: &str, url: Option<&str>, key: &str, dialects: &[Dialect]| Provider {
        id: id.into(),
        name: id.into(),
        base_url: url.map(Into::into),
        key_variables: vec![key.into()],
        key_required: url.is_some(),
        dialects: dialects.to_vec(),
        router: false,
        batch: false,
        quirks: Default::default(),
        source: "x".into(),
    };
    vec![
        p("openai", Some("https://api.openai.com/v1"), "OPENAI_API_KEY", &[Dialect::OpenaiChat]),
        p("anthropic", Some("https://api.anthropic.com/v1"), "ANTHROPIC_API_KEY", &[Dialect::Anthropic]),
        p("openai-compatible", None, "COMPAT_API_KEY", &[Dialect::OpenaiChat]),
    ]
});
impl Shim for Catalog {
    fn providers(&self) -> std::slice::Iter<'static, Provider> {
        P.iter()
    }
}

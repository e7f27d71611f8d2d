//! A model at a provider: address, dialect, key, pins, prices.

use reqwest::Url;
use weighbridge_core::{Dialect, EndpointFacts, Provider, Quirk, TokenPrices};

use crate::error::ApiError;
use crate::secret::Key;

/// Which host of a router answers, and with which quantization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The host, as the router names it.
    pub host: String,
    /// The quantization, as the router names it; `unknown` where the host states none.
    pub quantization: String,
}

/// What is given to make an [`Endpoint`].
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Who serves the model.
    pub provider: Provider,
    /// The model, as the provider names it.
    pub model: String,
    /// In place of the provider's own address.
    pub base_url: Option<String>,
    /// In place of the provider's preferred dialect.
    pub dialect: Option<Dialect>,
    /// In place of the key in the environment.
    pub key: Option<Key>,
    /// Host and quantization behind a router.
    pub pin: Option<Pin>,
    /// What the model takes there.
    pub facts: EndpointFacts,
    /// Its prices, oldest first; empty is unknown.
    pub prices: Vec<TokenPrices>,
}

/// A model at a provider, ready to be asked.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Who serves it.
    pub provider: Provider,
    /// The model, as the provider names it.
    pub model: String,
    /// Where endpoints begin, without a slash at the end.
    pub base_url: String,
    /// Form in which it is spoken to.
    pub dialect: Dialect,
    /// Key, where one is needed or given.
    pub key: Option<Key>,
    /// Host and quantization behind a router.
    pub pin: Option<Pin>,
    /// What it takes.
    pub facts: EndpointFacts,
    /// Its prices, oldest first; empty is unknown.
    pub prices: Vec<TokenPrices>,
}

impl Endpoint {
    /// Puts an endpoint together.
    ///
    /// # Errors
    /// The key is missing, the address is none, the dialect is not spoken there, or a router is not pinned.
    pub fn new(options: EndpointOptions) -> Result<Self, ApiError> {
        let EndpointOptions { provider, model, base_url, dialect, key, pin, facts, prices } = options;
        let key = match key {
            Some(key) => Some(key),
            None => Key::from_environment(&provider)?.map(|(key, _)| key),
        };
        if key.is_none() && provider.key_required && base_url.is_none() {
            return Err(ApiError::NoKey {
                provider: provider.id.clone(),
                variables: provider.key_variables.join(" or "),
            });
        }
        let spoken = || provider.dialects.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ");
        let not_spoken = |dialect| ApiError::NotSpoken { provider: provider.id.clone(), dialect, spoken: spoken() };
        let dialect = match dialect {
            // At an address of their own users know what is spoken.
            Some(dialect) if base_url.is_some() || provider.dialects.contains(&dialect) => dialect,
            Some(dialect) => return Err(not_spoken(dialect)),
            None => *provider.dialects.first().ok_or_else(|| not_spoken(Dialect::OpenaiChat))?,
        };
        let base_url = match base_url.as_ref().or(provider.base_url.as_ref()) {
            Some(url) => checked(url)?,
            None => return Err(ApiError::NoBaseUrl { provider: provider.id.clone() }),
        };
        check_pin(&provider, &model, pin.as_ref())?;
        Ok(Self { provider, model, base_url, dialect, key, pin, facts, prices })
    }

    /// True where it departs from its dialect so.
    pub(crate) fn has(&self, quirk: Quirk) -> bool {
        self.provider.quirks.contains(&quirk)
    }

    /// The prices that hold on a day.
    #[must_use]
    pub fn prices_on(&self, day: time::Date) -> Option<&TokenPrices> {
        self.prices.iter().rev().find(|prices| prices.starts.is_none_or(|starts| starts <= day))
    }

    /// `provider:model`, as users write it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.provider.id, self.model)
    }
}

fn check_pin(provider: &Provider, model: &str, pin: Option<&Pin>) -> Result<(), ApiError> {
    match pin {
        None if provider.router => Err(ApiError::Unpinned { provider: provider.id.clone(), model: model.to_owned() }),
        Some(_) if !provider.router => Err(ApiError::NoRouter { provider: provider.id.clone(), what: "a host" }),
        Some(pin) if pin.quantization != "unknown" && !provider.quirks.contains(&Quirk::ProviderObject) => {
            Err(ApiError::NoRouter {
                provider: provider.id.clone(),
                what: "a quantization; state quantization=unknown",
            })
        }
        _ => Ok(()),
    }
}

/// The address without a slash at the end.
fn checked(text: &str) -> Result<String, ApiError> {
    let bad = |why| ApiError::BadBaseUrl { url: without_credentials(text), why };
    let url = Url::parse(text).map_err(|_| bad("is no URL; expected one like http://localhost:8000/v1"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad("is no address of HTTP; expected one like http://localhost:8000/v1"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("holds credentials, which would be logged; give the key by its variable or --key-file"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a query or a fragment; leave both out"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}***{}", &text[..scheme + 3], &text[at..]),
        _ => text.to_owned(),
    }
}

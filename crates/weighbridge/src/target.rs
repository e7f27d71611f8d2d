//! The model that a user names: open weights on this machine, or a model behind an API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use weighbridge_api::{Endpoint, EndpointOptions, Key, Pin, RetryPolicy, Session, SessionOptions};
use weighbridge_catalog::Catalog;
use weighbridge_core::{Dialect, Provider};

use crate::cli::{HostedArgs, parse_dialect};

/// A model as named.
pub enum Target {
    /// Open weights that run in this process: a path, or an id of the hub.
    Local(String),
    /// A model behind an API.
    Hosted(Box<Endpoint>),
}

/// What a name of a hosted model says: `PROVIDER:MODEL[,key=value...]`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spec {
    provider: String,
    model: String,
    host: Option<String>,
    quantization: Option<String>,
    base_url: Option<String>,
    dialect: Option<Dialect>,
}

/// Finds out what a name means. A path that exists comes first, then `hf:`, then providers, then short names.
///
/// # Errors
/// Nothing has that name, or the endpoint cannot be used: no key, no address, no pin behind a router.
pub fn find(name: &str, args: &HostedArgs, catalog: &Catalog) -> anyhow::Result<Target> {
    if name.starts_with("hf:") || Path::new(name).exists() || looks_like_a_path(name) {
        return Ok(Target::Local(name.to_owned()));
    }
    let short = |word: &str| catalog.hosted_alias(word, time::OffsetDateTime::now_utc().date());
    let (head, rest) = name.split_once(',').unwrap_or((name, ""));
    let full = match (head.split_once(':'), short(head)) {
        (Some((provider, _)), _) if catalog.provider(provider).is_some() => name.to_owned(),
        (_, Some((provider, model))) => format!("{provider}:{model}{}{rest}", if rest.is_empty() { "" } else { "," }),
        (Some((provider, _)), None) => return Err(unknown_provider(provider, catalog)),
        (None, None) => {
            let short: Vec<&str> = catalog.hosted_aliases().collect();
            bail!(
                "'{name}' is no file or folder, no hf: id, no PROVIDER:MODEL and no short name; those are {}",
                short.join(", ")
            )
        }
    };
    let spec = parse(&full)?;
    let provider = catalog.provider(&spec.provider).ok_or_else(|| unknown_provider(&spec.provider, catalog))?;
    endpoint(provider, spec, args, catalog).map(|endpoint| Target::Hosted(Box::new(endpoint)))
}

fn looks_like_a_path(name: &str) -> bool {
    let ending = Path::new(name).extension().is_some_and(|e| e == "gguf" || e == "safetensors");
    ending || name.starts_with(['/', '.', '~'])
}

fn endpoint(provider: &Provider, spec: Spec, args: &HostedArgs, catalog: &Catalog) -> anyhow::Result<Endpoint> {
    let key = args.key_file.as_deref().map(Key::from_file).transpose()?;
    let pin = match (spec.host, spec.quantization) {
        (None, None) => None,
        (Some(host), Some(quantization)) => Some(Pin { host, quantization }),
        _ => bail!("'{}:{}' pins only one of host and quantization; give both", spec.provider, spec.model),
    };
    let facts = catalog.endpoint_facts(&provider.id, &spec.model);
    let prices = catalog.token_prices(&provider.id, &spec.model);
    Ok(Endpoint::new(EndpointOptions {
        provider: provider.clone(),
        base_url: spec.base_url.or_else(|| args.base_url.clone()),
        dialect: spec.dialect.or(args.dialect),
        model: spec.model,
        key,
        pin,
        facts,
        prices,
    })?)
}

fn parse(name: &str) -> anyhow::Result<Spec> {
    let expected = "expected PROVIDER:MODEL[,host=HOST,quantization=Q][,base-url=URL][,dialect=DIALECT]";
    let mut parts = name.split(',');
    let (provider, model) = parts.next().and_then(|head| head.split_once(':')).context(expected)?;
    if model.is_empty() {
        bail!("'{name}' names no model; {expected}");
    }
    let mut spec = Spec { provider: provider.to_owned(), model: model.to_owned(), ..Spec::default() };
    for part in parts {
        let (key, value) = part.split_once('=').with_context(|| format!("'{part}' in '{name}'; {expected}"))?;
        match key {
            "host" => spec.host = Some(value.to_owned()),
            "quantization" => spec.quantization = Some(value.to_owned()),
            "base-url" => spec.base_url = Some(value.to_owned()),
            "dialect" => spec.dialect = Some(parse_dialect(value).map_err(|e| anyhow!("dialect '{value}': {e}"))?),
            _ => bail!("'{key}' in '{name}' is not known; {expected}"),
        }
    }
    Ok(spec)
}

fn unknown_provider(provider: &str, catalog: &Catalog) -> anyhow::Error {
    let known: Vec<&str> = catalog.providers().map(|p| p.id.as_str()).collect();
    anyhow!("no provider '{provider}', and no such file; providers are {}", known.join(", "))
}

/// Longest answer unless told otherwise. A model that thinks first needs room for it, and is paid for what it uses.
const LENGTH: usize = 4096;

/// Tokens that an answer may have where the user does not say.
pub fn default_length(endpoint: Option<&Endpoint>) -> usize {
    let most = endpoint.and_then(|endpoint| endpoint.facts.max_output).and_then(|most| usize::try_from(most).ok());
    most.map_or(LENGTH, |most| most.min(LENGTH))
}

/// Settings of a session, without a cache.
pub fn session_options(args: &HostedArgs) -> SessionOptions {
    SessionOptions {
        concurrency: args.concurrency as usize,
        timeout: args.timeout,
        max_cost: args.max_cost,
        ..SessionOptions::default()
    }
}

/// A session for one-off questions, without a cache: somebody waits, so it gives up sooner than a run.
///
/// # Errors
/// The network cannot be set up.
pub fn session(args: &HostedArgs) -> anyhow::Result<std::sync::Arc<Session>> {
    let retry = RetryPolicy { same: 2, failures: 3, patience: Duration::from_mins(1), ..RetryPolicy::default() };
    Ok(Session::new(SessionOptions { retry, ..session_options(args) })?)
}

/// A folder in the user's cache directory; `None` where the system names none.
pub fn cache_folder(name: &str) -> Option<PathBuf> {
    Some(directories::ProjectDirs::from("", "", "weighbridge")?.cache_dir().join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let spec = parse("openrouter:deepseek/deepseek-v3.2:free,host=deepinfra/fp8,quantization=fp8").unwrap();
        assert_eq!((spec.provider.as_str(), spec.model.as_str()), ("openrouter", "deepseek/deepseek-v3.2:free"));
        assert_eq!((spec.host.as_deref(), spec.quantization.as_deref()), (Some("deepinfra/fp8"), Some("fp8")));
        let spec = parse("vllm:a/b,base-url=http://h:1/v1,dialect=openai_completions").unwrap();
        assert_eq!(spec.base_url.as_deref(), Some("http://h:1/v1"));
        assert_eq!(spec.dialect, Some(Dialect::OpenaiCompletions));
        for (name, says) in [
            ("openai:", "names no model"),
            ("openai:a,host", "'host' in"),
            ("openai:a,speed=1", "'speed' in"),
            ("openai:a,dialect=latin", "expected one of openai_chat"),
        ] {
            let message = format!("{:#}", parse(name).unwrap_err());
            assert!(message.contains(says), "{name}: {message}");
        }
    }
}

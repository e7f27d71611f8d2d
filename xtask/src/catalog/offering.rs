//! Which plain model a provider's id offers. Decorated ids (faster, free, regional, quantised) are other offerings, and
//! their prices are not the model's.

use time::Date;

use super::build::Builder;

/// Ends of an id that mark another offering than the plain model.
const DECORATIONS: [&str; 17] = [
    "-fast",
    "-turbo",
    "-tee",
    "-highspeed",
    "-lightning",
    "-free",
    "-flex",
    "-priority",
    "-batch",
    "-spot",
    "-us",
    "-eu",
    "-ultraspeed",
    "-instant",
    "-lora",
    "-throughput",
    "-disc",
];

/// Path parts that say where an id lives, not which model it is.
const NEUTRAL: [&str; 20] = [
    "accounts",
    "fireworks",
    "models",
    "@cf",
    "workers-ai",
    "hf",
    "openrouter",
    "publishers",
    "azure",
    "azure_ai",
    "vertex_ai",
    "fireworks_ai",
    "together_ai",
    "novita",
    "bedrock",
    "databricks",
    "gemini",
    "dashscope",
    "xai",
    "pro",
];

/// Providers whose prices are taken, under one name: labs, clouds and hosts. Plans, routers and regional sites are not.
const PROVIDERS: [(&str, &str); 79] = [
    ("ai21", "ai21"),
    ("alibaba", "alibaba"),
    ("amazon-bedrock", "amazon-bedrock"),
    ("amazon_nova", "amazon"),
    ("anthropic", "anthropic"),
    ("aws", "amazon-bedrock"),
    ("azure", "azure"),
    ("azure_ai", "azure"),
    ("baseten", "baseten"),
    ("bedrock", "amazon-bedrock"),
    ("bedrock_converse", "amazon-bedrock"),
    ("cerebras", "cerebras"),
    ("chutes", "chutes"),
    ("cloudflare", "cloudflare"),
    ("cloudflare-workers-ai", "cloudflare"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("crusoe", "crusoe"),
    ("dashscope", "alibaba"),
    ("databricks", "databricks"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("digitalocean", "digitalocean"),
    ("fireworks", "fireworks"),
    ("fireworks-ai", "fireworks"),
    ("fireworks_ai", "fireworks"),
    ("friendli", "friendli"),
    ("friendliai", "friendli"),
    ("gemini", "google"),
    ("google", "google"),
    ("google-vertex", "google-vertex"),
    ("google-vertex-anthropic", "google-vertex"),
    ("groq", "groq"),
    ("hyperbolic", "hyperbolic"),
    ("lambda_ai", "lambda"),
    ("meta", "meta"),
    ("meta_llama", "meta"),
    ("minimax", "minimax"),
    ("mistral", "mistral"),
    ("moonshot", "moonshot"),
    ("moonshotai", "moonshot"),
    ("nebius", "nebius"),
    ("novita", "novita"),
    ("novita-ai", "novita"),
    ("nscale", "nscale"),
    ("nvidia", "nvidia"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("ovhcloud", "ovhcloud"),
    ("perplexity", "perplexity"),
    ("replicate", "replicate"),
    ("sakana", "sakana"),
    ("sambanova", "sambanova"),
    ("sarvam", "sarvam"),
    ("scaleway", "scaleway"),
    ("siliconflow", "siliconflow"),
    ("snowflake", "snowflake"),
    ("snowflake-cortex", "snowflake"),
    ("stepfun", "stepfun"),
    ("tencent", "tencent"),
    ("text-completion-openai", "openai"),
    ("together", "together"),
    ("together_ai", "together"),
    ("togetherai", "together"),
    ("vertex_ai", "google-vertex"),
    ("vertex_ai-ai21_models", "google-vertex"),
    ("vertex_ai-anthropic_models", "google-vertex"),
    ("vertex_ai-deepseek_models", "google-vertex"),
    ("vertex_ai-language-models", "google-vertex"),
    ("vertex_ai-llama_models", "google-vertex"),
    ("vertex_ai-mistral_models", "google-vertex"),
    ("vertex_ai-qwen_models", "google-vertex"),
    ("vertex_ai-zai_models", "google-vertex"),
    ("vultr", "vultr"),
    ("wandb", "wandb"),
    ("x-ai", "xai"),
    ("xai", "xai"),
    ("xiaomi", "xiaomi"),
    ("zai", "zai"),
];

/// The one name of a provider whose prices are taken.
pub(crate) fn provider(name: &str) -> Option<&'static str> {
    PROVIDERS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// The model that an id of a provider offers plainly; counts and records why there is none.
pub(crate) fn find(build: &mut Builder, source: &'static str, id: &str, day: Option<Date>) -> Option<String> {
    let Some(plain) = plain(build, id) else {
        build.count(source, "decorated or regional offerings left out");
        return None;
    };
    let model = build.find(source, &plain, day)?;
    if decorated(&plain, &model) {
        build.count(source, "decorated or regional offerings left out");
        return None;
    }
    Some(model)
}

/// The release that an id plainly offers, without a record of what did not match; `None` for names that move.
pub(crate) fn release(build: &Builder, id: &str) -> Option<String> {
    let plain = plain(build, id)?;
    let model = build.names.lookup(&plain)?.model()?.to_string();
    (!decorated(&plain, &model)).then_some(model)
}

fn decorated(plain: &str, model: &str) -> bool {
    let tail = plain.to_lowercase();
    DECORATIONS.iter().any(|end| tail.ends_with(end) && !model.ends_with(end))
}

/// An id without its route: `fireworks_ai/accounts/fireworks/models/kimi-k2p6` is `kimi-k2.6`. `None` for a decorated one.
fn plain(build: &Builder, id: &str) -> Option<String> {
    let mut parts: Vec<&str> = id.split('/').collect();
    let mut tail = parts.pop()?.to_owned();
    // Amazon Bedrock writes `anthropic.claude-opus-4-5-20251101-v1:0`.
    if let Some((lab, rest)) = tail.split_once('.')
        && build.names.lab(lab).is_some()
        && !rest.starts_with(|c: char| c.is_ascii_digit())
    {
        tail = without_version(rest).to_owned();
    }
    // Vertex AI writes `claude-opus-4@20250514` and `glm-5.2-maas`.
    tail = tail.trim_end_matches("-maas").trim_end_matches("@default").replace('@', "-");
    if tail.contains(':') || tail.contains('~') {
        return None;
    }
    if parts.contains(&"fireworks") || parts.contains(&"fireworks_ai") {
        tail = with_dots(&tail);
    }
    let mut lab = None;
    for part in parts {
        if let Some(known) = build.names.lab(part).filter(|_| !NEUTRAL.contains(&part)) {
            lab = Some(known);
        } else if !NEUTRAL.contains(&part) && provider(part).is_none() {
            return None;
        }
    }
    Some(lab.map_or_else(|| tail.clone(), |lab| format!("{lab}/{tail}")))
}

/// `claude-2.1-v1:0` without `-v1:0`.
fn without_version(id: &str) -> &str {
    let version = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ':') && !text.is_empty();
    match id.rsplit_once("-v") {
        Some((plain, rest)) if version(rest) => plain,
        _ => id,
    }
}

/// `kimi-k2p6` as `kimi-k2.6`: a 'p' between digits stands for the dot.
fn with_dots(id: &str) -> String {
    let bytes = id.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let dot =
        |(at, c): (usize, char)| if c == 'p' && digit(at.checked_sub(1)) && digit(Some(at + 1)) { '.' } else { c };
    id.char_indices().map(dot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stripped_of_its_route_only() {
        let mut build = Builder::new();
        build.names.add_lab("anthropic", []);
        build.names.add_lab("zai", ["zai-org"]);
        let check = |id: &str, expected: Option<&str>| assert_eq!(plain(&build, id).as_deref(), expected, "{id}");
        check("accounts/fireworks/models/kimi-k2p6", Some("kimi-k2.6"));
        check("anthropic.claude-opus-4-5-20251101-v1:0", Some("claude-opus-4-5-20251101"));
        check("us.anthropic.claude-opus-5", Some("us.anthropic.claude-opus-5"));
        check("vertex_ai/zai-org/glm-5.2-maas", Some("zai/glm-5.2"));
        check("azure/eu/gpt-5", None);
        check("moonshotai/kimi-k2.6:free", None);
        check("TEE/kimi-k2.6", None);
    }
}

//! The documentation of providers, from which the facts about their endpoints are: hand-kept rows name it.

use super::build::Builder;

/// id, title, publisher, url.
const DOCUMENTATION: [[&str; 4]; 27] = [
    [
        "alibaba-docs",
        "Alibaba Cloud Model Studio documentation",
        "Alibaba Cloud",
        "https://www.alibabacloud.com/help/en/model-studio/",
    ],
    ["anthropic-docs", "Claude API documentation", "Anthropic", "https://platform.claude.com/docs"],
    ["cerebras-docs", "Cerebras Inference documentation", "Cerebras", "https://inference-docs.cerebras.ai"],
    ["cohere-docs", "Cohere documentation", "Cohere", "https://docs.cohere.com/docs/compatibility-api"],
    ["deepinfra-docs", "DeepInfra documentation", "DeepInfra", "https://deepinfra.com/docs"],
    ["deepseek-docs", "DeepSeek API documentation", "DeepSeek", "https://api-docs.deepseek.com"],
    ["fireworks-docs", "Fireworks AI documentation", "Fireworks AI", "https://docs.fireworks.ai"],
    ["google-docs", "Gemini API documentation", "Google", "https://ai.google.dev/gemini-api/docs"],
    ["groq-docs", "Groq documentation", "Groq", "https://console.groq.com/docs"],
    [
        "huggingface-docs",
        "Inference Providers documentation",
        "Hugging Face",
        "https://huggingface.co/docs/inference-providers",
    ],
    ["litellm-docs", "LiteLLM proxy documentation", "BerriAI", "https://docs.litellm.ai"],
    [
        "llama-cpp-docs",
        "llama.cpp server documentation",
        "ggml-org",
        "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
    ],
    ["lmstudio-docs", "LM Studio documentation", "LM Studio", "https://lmstudio.ai/docs"],
    ["minimax-docs", "MiniMax API documentation", "MiniMax", "https://platform.minimax.io/docs"],
    ["mistral-docs", "Mistral AI documentation", "Mistral AI", "https://docs.mistral.ai"],
    ["moonshot-docs", "Kimi API documentation", "Moonshot AI", "https://platform.moonshot.ai/docs"],
    ["nebius-docs", "Nebius Token Factory documentation", "Nebius", "https://docs.tokenfactory.nebius.com"],
    ["novita-docs", "Novita AI documentation", "Novita AI", "https://novita.ai/docs"],
    ["ollama-docs", "Ollama API documentation", "Ollama", "https://docs.ollama.com/api"],
    ["openai-docs", "OpenAI API documentation", "OpenAI", "https://developers.openai.com/api/docs"],
    ["openrouter-docs", "OpenRouter documentation", "OpenRouter", "https://openrouter.ai/docs"],
    ["perplexity-docs", "Perplexity API documentation", "Perplexity", "https://docs.perplexity.ai"],
    ["sglang-docs", "SGLang documentation", "SGLang", "https://docs.sglang.ai"],
    ["together-docs", "Together AI documentation", "Together AI", "https://docs.together.ai"],
    ["vllm-docs", "vLLM documentation", "vLLM project", "https://docs.vllm.ai"],
    ["xai-docs", "xAI API documentation", "xAI", "https://docs.x.ai"],
    ["zai-docs", "Z.ai API documentation", "Z.ai", "https://docs.z.ai"],
];

/// Adds every documentation as a source. It is read by people and not fetched for the catalog, so it has no day.
pub(crate) fn add(build: &mut Builder) {
    for [id, title, publisher, url] in DOCUMENTATION {
        build.source([id, title, publisher, url, "public knowledge", ""]);
    }
}

/// The ids, for the table of sources.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    DOCUMENTATION.iter().map(|row| row[0])
}

//! The sources that facts are taken from. Sources that the index names are added as they come up.

use super::build::Builder;

/// Day on which the index files were fetched.
pub(crate) const INDEX_DAY: &str = "2026-08-11";
/// Day of the models.dev checkout.
pub(crate) const MODELS_DEV_DAY: &str = "2026-07-02";
/// Month of the litellm package; the day is not known.
pub(crate) const LITELLM_DAY: &str = "2026-11-01";

/// id, title, publisher, url, license, retrieved.
const SOURCES: [[&str; 6]; 19] = [
    ["aider", "aider leaderboards", "Aider AI", "https://aider.chat/docs/leaderboards/", "Apache-2.0", ""],
    [
        "bfcl",
        "Berkeley Function Calling Leaderboard",
        "UC Berkeley",
        "https://gorilla.cs.berkeley.edu/leaderboard.html",
        "Apache-2.0",
        "",
    ],
    [
        "deepseek-api-names",
        "DeepSeek API model names",
        "DeepSeek",
        "https://api-docs.deepseek.com/updates",
        "public knowledge",
        "",
    ],
    [
        "epoch-eci",
        "Epoch Capabilities Index",
        "Epoch AI",
        "https://epoch.ai/data/eci_benchmarks.csv",
        "CC-BY-4.0",
        INDEX_DAY,
    ],
    ["epoch-evaluations", "Epoch AI benchmark runs", "Epoch AI", "https://epoch.ai/benchmarks", "CC-BY-4.0", INDEX_DAY],
    [
        "every-eval-ever",
        "Every Eval Ever",
        "EvalEval Coalition",
        "https://github.com/evaleval/every_eval_ever",
        "MIT",
        "",
    ],
    ["genai-prices", "genai-prices", "Pydantic", "https://github.com/pydantic/genai-prices", "MIT", "2026-08-21"],
    [
        "gpu-costs",
        "GPU data sheets and cost constants",
        "SemiAnalysis",
        "https://semianalysis.com",
        "facts",
        "2026-04-30",
    ],
    [
        "helm",
        "HELM model metadata",
        "Stanford CRFM",
        "https://github.com/stanford-crfm/helm",
        "Apache-2.0",
        "2026-06-05",
    ],
    ["license-texts", "License texts in the repositories of the labs", "", "", "facts", ""],
    ["litellm", "litellm 1.109.1 model prices", "BerriAI", "https://github.com/BerriAI/litellm", "MIT", LITELLM_DAY],
    ["models-dev", "models.dev", "Anomaly", "https://models.dev", "MIT", MODELS_DEV_DAY],
    ["mot", "Model Openness Tool", "LF AI & Data", "https://github.com/lfai/model_openness_tool", "MIT", ""],
    [
        "openai-api-names",
        "OpenAI API model names",
        "OpenAI",
        "https://platform.openai.com/docs/models",
        "public knowledge",
        "",
    ],
    ["osai", "European Open Source AI Index", "OSAI", "https://osai-index.eu", "CC-BY-4.0", ""],
    [
        "public-hub-id",
        "Model pages of the Hugging Face hub",
        "Hugging Face",
        "https://huggingface.co",
        "public knowledge",
        "",
    ],
    ["tau2", "tau2-bench submissions", "Sierra", "https://github.com/sierra-research/tau2-bench", "MIT", ""],
    [
        "vectara",
        "Vectara hallucination leaderboard",
        "Vectara",
        "https://github.com/vectara/hallucination-leaderboard",
        "Apache-2.0",
        "",
    ],
    [
        "vllm-recipes",
        "vLLM recipes",
        "vLLM project",
        "https://github.com/vllm-project/recipes",
        "Apache-2.0",
        "2026-08-21",
    ],
];

pub(crate) fn add(build: &mut Builder) {
    for row in SOURCES {
        build.source(row);
    }
}

//! The columns of every file of the catalog, in order. Reader and writer both use these lists, so they cannot drift apart.

/// `sources.csv`: where facts come from.
pub const SOURCES: &[&str] = &["id", "title", "publisher", "url", "license", "retrieved"];
/// `labs.csv`: who trains models.
pub const LABS: &[&str] = &["id", "name", "country", "aliases"];
/// `models.csv`: releases. An empty cell is unknown.
pub const MODELS: &[&str] = &[
    "id",
    "name",
    "lab",
    "access",
    "access_reason",
    "access_source",
    "terms",
    "license",
    "license_source",
    "released",
    "released_source",
    "parameters_total",
    "parameters_active",
    "parameters_source",
    "context",
    "context_source",
    "modalities_in",
    "modalities_out",
    "modalities_source",
    "weights",
    "weights_source",
];
/// `release_dates.csv`: the dates that other sources state where they differ from `models.csv`.
pub const RELEASE_DATES: &[&str] = &["model", "released", "source"];
/// `aliases.csv`: other names of releases.
pub const ALIASES: &[&str] = &["alias", "model", "source"];
/// `moving.csv`: names that pointed to different releases over time.
pub const MOVING: &[&str] = &["alias", "model", "starts", "source"];
/// `benchmarks.csv`: benchmarks, one row a version.
pub const BENCHMARKS: &[&str] =
    &["id", "name", "version", "released", "released_source", "metric", "domain", "index", "aliases", "source"];
/// `scores*.csv`: published scores.
pub const SCORES: &[&str] =
    &["model", "configuration", "label", "benchmark", "value", "n", "source", "date", "harness", "dataset"];
/// `prices_*.csv`: US dollars per million tokens.
pub const PRICES: &[&str] = &[
    "model",
    "provider",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "batch_input",
    "batch_output",
    "starts",
    "source",
    "note",
];
/// `providers.csv`: who serves models over HTTP. Lists are separated by '|'; `base_url` holds the version part and ends
/// without a slash, and is empty where the user must say; `batch_share` is the share of its prices that a batch costs.
pub const PROVIDERS: &[&str] = &[
    "id",
    "name",
    "aliases",
    "base_url",
    "key_variables",
    "key_required",
    "dialects",
    "router",
    "batch",
    "batch_share",
    "quirks",
    "source",
];
/// `endpoints.csv`: what a provider's models take; `models` is a pattern of its own names with '*' and '?', and of one
/// provider the first row that matches counts. `budget` is `fewest-most`. An empty cell is unknown.
pub const ENDPOINTS: &[&str] = &[
    "provider",
    "models",
    "refuses",
    "efforts",
    "budget",
    "off",
    "max_output",
    "max_stop",
    "max_top_logprobs",
    "context",
    "batch",
    "source",
];
/// `offerings_*.csv`: what a provider asks for a model under the provider's own name, in US dollars per million tokens.
/// `model` is the release that the name plainly offers, if it is one of the catalog; `tiers` are prices of longer prompts
/// as `above:input:cached_input:cache_write:output`, shortest first and separated by '|', with empty parts unknown.
pub const OFFERINGS: &[&str] = &[
    "provider",
    "model_id",
    "model",
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "batch_input",
    "batch_output",
    "tiers",
    "starts",
    "source",
];
/// `hosted.csv`: short names that people say, and the provider's model that each stands for from a day on.
pub const HOSTED: &[&str] = &["alias", "provider", "model", "starts", "source"];
/// `hardware.csv`: accelerators and what an hour of one costs.
pub const HARDWARE: &[&str] = &[
    "name",
    "vendor",
    "memory_gb",
    "bandwidth_tb_s",
    "bf16_tflops",
    "fp8_tflops",
    "fp4_tflops",
    "power_kw",
    "usd_hour_hyperscaler",
    "usd_hour_neocloud",
    "usd_hour_rental_3y",
    "note",
    "source",
];
/// `samples/<benchmark>.samples.csv`: the samples, ascending by the bytes of their id.
pub const SAMPLES: &[&str] = &["position", "sample", "group"];
/// `samples/<benchmark>.runs.csv`: one row a run.
pub const RUNS: &[&str] = &[
    "run",
    "label",
    "model",
    "route",
    "date",
    "grader",
    "dataset_size",
    "epochs",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
];
/// `samples/<benchmark>.outcomes.csv`: one row a run and epoch, one letter a sample position.
pub const OUTCOMES: &[&str] = &["run", "epoch", "outcomes"];

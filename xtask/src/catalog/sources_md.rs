//! Writes `SOURCES.md`: what came from where, under which license, and what was left out.

use std::fmt::Write as _;

use super::build::Builder;
use super::documentation;

const HEAD: &str = "\
# Sources of the catalog

Made by `cargo run -p xtask -- catalog`; do not edit. Only facts are taken: names, dates, prices, sizes, scores, ids. No
description or other text of a source is copied. Every row of every file names its source by an id of `sources.csv`.

## Files

Kept by hand: `labs.csv`, `benchmarks.csv`, `aliases_curated.csv`, `moving.csv` (names that point to another release over
time), `overrides.csv` (rulings, each with its reason; `not_released` rejects a date of a source, `not_alias` an alias),
and what calls to hosted models need: `providers.csv`, `endpoints.csv` (what a provider's models take; the first pattern
that matches counts, and an empty cell is unknown) and `hosted.csv` (what a short name stands for, from a day on).
All other files are generated. `UNMATCHED.csv` lists every name of a source that was left out, and why; it is for review
and is not part of the program.

`scores.csv` keeps the order of its source, the order in which the index is fitted. `samples/` holds per-sample results,
one letter a sample: `1` right, `0` wrong, `n` not attempted and scored 0, `m` a record without a score, `.` no record.
Prices are US dollars per million tokens. A price without a start is one that its source (genai-prices) gives without an
earlier one; the others are known to hold from the day on which their source was taken, or from the day that it states.

`prices_*.csv` are prices of releases: of the plain model, joined by identity, for comparison. `offerings_*.csv` are prices
of the names under which providers take calls, and are what a call costs: each name as it is, faster, cheaper and free
variants too, so that none of them is priced as another. There a source states all that it knows, and nothing is left out
because another source has said it; the program makes one history of them, in which genai-prices stands first on days up
to its own, and gaps are filled by litellm and then models.dev where they state the same price. Cells of `tiers` are
`above:input:cached_input:cache_write:output`: what a call costs whose prompt has more tokens than `above`.

A short name of `hosted.csv` stands for the newest model of the line that its provider sells as its main one (Sol, Opus,
Pro), not for its costliest. A name that is known from a list only starts on the day of that list. `endpoints.csv` says of
settings what the provider answers with an error or does not heed. A setting that is taken only while reasoning is off
counts as refused.

## What came from where

| source | taken | license | day |
|---|---|---|---|
";

const TAIL: &str = "
Scores that Epoch AI quotes from third parties are taken as the bare score; each names its third party, which stands in
`sources.csv` too. What the sources `public-hub-id`, `openai-api-names` and `deepseek-api-names` stand for is public
knowledge that was not fetched for this catalog.

## What was left out

| what | why |
|---|---|
| SWE-bench site and AlpacaEval results | CC BY-NC |
| LiveCodeBench site, arena votes, the alias registry of eval-card-registry, ecosystem graphs | no license file |
| reward-model, subject-level and agent boards of Every Eval Ever | not text generation, too fine, or the effort is not stated |
| agents and voice systems of tau2, rows of aider with two models | a system of several models is not a model |
| prices of plans, routers and regional sites | not the price of a provider that serves the model, or in another market |
| free tiers (0/0), but for names that end in `:free` | not a price |
| prices by time of day, of flex and priority classes, of audio and images, of cache writes for twelve hours | no place for them yet: unknown |
| decorated offerings (`-fast`, `-turbo`, `-TEE`, `:free`, spot, regional), as prices of a release | other products than the plain model |
| image, audio, embedding, reranking and guard models | not text models |

## Rulings worth knowing

- Models that Epoch AI gives no accessibility are settled in `overrides.csv`, one by one.
- A hosted variant of open weights (Qwen 3.5 Plus, Qwen 3.5 Flash) counts as closed: what was measured is the hosted model.
- A model that the index aggregates from several snapshots keeps the date of the index; the dates that other sources state
  stand in `release_dates.csv`.
- Where sources disagree about openness, the index stands first, then models.dev, then HELM; the other statement is listed
  in `UNMATCHED.csv`.

## Names, matched and not

Names are matched exactly, then by alias, then by a normalised form; never by similarity.

";

/// What was taken from each source, for the table.
const TAKEN: [(&str, &str); 19] = [
    ("aider", "scores"),
    ("bfcl", "scores, license ids"),
    ("deepseek-api-names", "what moving names pointed to"),
    ("epoch-eci", "models, release dates, access, scores of the index"),
    ("epoch-evaluations", "per-sample results"),
    ("every-eval-ever", "scores"),
    ("genai-prices", "prices"),
    ("gpu-costs", "hardware"),
    ("helm", "models, release dates, access, sizes"),
    ("license-texts", "license ids of model families"),
    ("litellm", "prices"),
    ("models-dev", "models, release dates, contexts, modalities, hub ids, prices"),
    ("mot", "license ids"),
    ("openai-api-names", "what moving names pointed to"),
    ("osai", "license ids"),
    ("public-hub-id", "hub ids and licenses of models settled by hand"),
    ("tau2", "scores"),
    ("vectara", "scores"),
    ("vllm-recipes", "sizes, contexts, hub ids"),
];

pub(crate) fn text(build: &Builder) -> String {
    let mut text = HEAD.to_owned();
    let documentation = documentation::ids().map(|id| (id, "addresses, keys and limits of endpoints"));
    for (id, taken) in TAKEN.into_iter().chain(documentation) {
        if let Some([id, title, publisher, url, license, retrieved]) = build.source_row(id) {
            let by = if publisher.is_empty() { String::new() } else { format!(", {publisher}") };
            let title = if url.is_empty() { title.clone() } else { format!("[{title}]({url})") };
            let day = if retrieved.is_empty() { "not recorded" } else { retrieved };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| `{id}`: {title}{by} | {taken} | {license} | {day} |");
        }
    }
    text.push_str(TAIL);
    for line in build.summary() {
        let _ = writeln!(text, "- {line}");
    }
    text
}

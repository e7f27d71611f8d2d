//! The files of the catalog: embedded in the binary, or read from a folder for review.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::CatalogError;

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../catalog/", $name)))),*]
    };
}

/// Every file that makes up the catalog, by its name relative to the catalog folder.
pub(crate) const EMBEDDED: [(&str, &str); 36] = embed![
    "aliases.csv",
    "benchmarks.csv",
    "endpoints.csv",
    "hardware.csv",
    "hosted.csv",
    "labs.csv",
    "models.csv",
    "moving.csv",
    "offerings_genai.csv",
    "offerings_litellm.csv",
    "offerings_models_dev.csv",
    "prices_genai.csv",
    "prices_litellm.csv",
    "prices_models_dev.csv",
    "providers.csv",
    "release_dates.csv",
    "samples/epoch_chess_puzzles.outcomes.csv",
    "samples/epoch_chess_puzzles.runs.csv",
    "samples/epoch_chess_puzzles.samples.csv",
    "samples/epoch_frontiermath_public.outcomes.csv",
    "samples/epoch_frontiermath_public.runs.csv",
    "samples/epoch_frontiermath_public.samples.csv",
    "samples/epoch_gpqa_diamond.outcomes.csv",
    "samples/epoch_gpqa_diamond.runs.csv",
    "samples/epoch_gpqa_diamond.samples.csv",
    "samples/epoch_simpleqa_verified.outcomes.csv",
    "samples/epoch_simpleqa_verified.runs.csv",
    "samples/epoch_simpleqa_verified.samples.csv",
    "samples/epoch_swebench_verified.outcomes.csv",
    "samples/epoch_swebench_verified.runs.csv",
    "samples/epoch_swebench_verified.samples.csv",
    "scores.csv",
    "scores_aider.csv",
    "scores_boards.csv",
    "scores_every_eval_ever.csv",
    "sources.csv",
];

/// The text of every file.
#[derive(Clone, Debug)]
pub(crate) struct Files(BTreeMap<&'static str, Cow<'static, str>>);

impl Files {
    pub(crate) fn embedded() -> Self {
        Self(EMBEDDED.iter().map(|(name, text)| (*name, Cow::Borrowed(*text))).collect())
    }

    pub(crate) fn from_dir(folder: &Path) -> Result<Self, CatalogError> {
        let read = |name: &'static str| {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(|source| CatalogError::Unreadable { path, source })?;
            Ok((name, Cow::Owned(text)))
        };
        EMBEDDED.iter().map(|(name, _)| read(name)).collect::<Result<_, _>>().map(Self)
    }

    /// The text of a file by its name.
    pub(crate) fn get(&self, name: &str) -> Option<(&'static str, &str)> {
        self.0.get_key_value(name).map(|(name, text)| (*name, text.as_ref()))
    }

    /// The files whose name starts and ends so, in order of name.
    pub(crate) fn matching<'a>(
        &'a self,
        prefix: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix) && name.ends_with(suffix))
            .map(|(name, text)| (*name, text.as_ref()))
    }
}

//! The models of a run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use weighbridge_api::{Cache, Endpoint, Hosted, Session, SessionOptions};
use weighbridge_catalog::Catalog;
use weighbridge_core::{Dialect, LOCAL, LanguageModel, ModelFacts};
use weighbridge_engine::Model;
use weighbridge_run::Style;

use crate::cli::{RunArgs, StyleArg};
use crate::commands::open_weights;
use crate::render::Screen;
use crate::target::{self, Target};

/// A model of the run, found but not yet opened.
pub struct Contestant {
    /// Name in the log and in tables.
    pub name: String,
    /// What it is.
    pub target: Target,
    /// Form of its prompts; `None` where the model must be looked into for that.
    style: Option<Style>,
}

/// A model that can be asked.
pub struct Opened {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Form of its prompts.
    pub style: Style,
}

/// Finds all models, so that a wrong name is told before anything is asked.
///
/// # Errors
/// A name means nothing, or stands there twice.
pub fn find(args: &RunArgs, catalog: &Catalog) -> anyhow::Result<Vec<Contestant>> {
    let mut seen = BTreeSet::new();
    let mut found: Vec<Contestant> = Vec::new();
    for name in &args.model {
        if !seen.insert(name) {
            bail!("'{name}' is named twice with --model");
        }
        let target = target::find(name, &args.hosted, catalog)?;
        let style = style(&target, args.style);
        let short = short(name, &target);
        let name = if found.iter().any(|other| other.name == short) { name.clone() } else { short };
        found.push(Contestant { name, target, style });
    }
    Ok(found)
}

/// The name in tables: of a path its last part, without the ending of a file; of a host the model without settings.
fn short(name: &str, target: &Target) -> String {
    match target {
        Target::Local(path) if !path.starts_with("hf:") => {
            let last = Path::new(path).file_name().map(|last| last.to_string_lossy().into_owned());
            last.map_or_else(|| name.to_owned(), |last| last.strip_suffix(".gguf").unwrap_or(&last).to_owned())
        }
        Target::Local(_) => name.to_owned(),
        Target::Hosted(_) => name.split(',').next().unwrap_or(name).to_owned(),
    }
}

fn style(target: &Target, asked: Option<StyleArg>) -> Option<Style> {
    match (asked, target) {
        (Some(StyleArg::Text), _) => Some(Style::Text),
        (Some(StyleArg::Multiturn), _) => Some(Style::ChatMultiturn),
        (None, Target::Hosted(endpoint)) if endpoint.dialect == Dialect::OpenaiCompletions => Some(Style::Text),
        (Some(StyleArg::Chat), _) | (None, Target::Hosted(_)) => Some(Style::Chat),
        (None, Target::Local(_)) => None,
    }
}

/// The session that all hosted models share, so that the limit of dollars is one.
///
/// # Errors
/// The network or the cache cannot be set up.
pub fn session(args: &RunArgs) -> anyhow::Result<Arc<Session>> {
    let cache = if args.no_cache { None } else { target::cache_folder("answers").map(Cache::open).transpose()? };
    Ok(Session::new(SessionOptions { cache, ..target::session_options(&args.hosted) })?)
}

impl Contestant {
    /// True for weights that run in this process.
    pub const fn is_local(&self) -> bool {
        matches!(self.target, Target::Local(_))
    }

    /// The endpoint of a hosted model.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.target {
            Target::Local(_) => None,
            Target::Hosted(endpoint) => Some(endpoint),
        }
    }

    /// What the header says of it.
    pub fn facts(&self) -> ModelFacts {
        let facts = ModelFacts { name: self.name.clone(), ..ModelFacts::default() };
        match &self.target {
            Target::Local(path) => ModelFacts { provider: Some(LOCAL.into()), model: Some(path.clone()), ..facts },
            Target::Hosted(endpoint) => ModelFacts {
                provider: Some(endpoint.provider.id.clone()),
                model: Some(endpoint.model.clone()),
                base_url: Some(endpoint.base_url.clone()),
                ..facts
            },
        }
    }

    /// Form of its prompts, with the model itself where it runs here.
    pub fn style(&self, local: Option<&Model>) -> Style {
        let text = local.is_some_and(|model| !model.has_template());
        self.style.unwrap_or(if text { Style::Text } else { Style::Chat })
    }

    /// The model, ready to be asked.
    ///
    /// # Errors
    /// It does not load, or its price is unknown and a limit of dollars is set.
    pub fn open(&self, args: &RunArgs, session: &Arc<Session>, screen: Screen) -> anyhow::Result<Opened> {
        match &self.target {
            // Several models draw one picture; a spinner of its own would disturb it.
            Target::Local(path) => {
                let quiet = Screen { progress: false, ..screen };
                let model = open_weights::open(path, args.running.options(), quiet)?;
                let style = self.style(Some(&model));
                Ok(Opened { model: Box::new(model), style })
            }
            Target::Hosted(endpoint) => {
                let model = Hosted::new((**endpoint).clone(), session)?;
                Ok(Opened { model: Box::new(model), style: self.style(None) })
            }
        }
    }
}

//! `weighbridge export`: a log in the form of another program.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::bail;
use weighbridge_catalog::{Catalog, Resolution};
use weighbridge_core::{Access, LOCAL, LogLine, RunHeader};
use weighbridge_logs::{Availability, EXPORTS, ExportOptions, LogError, Sink, Source};

use crate::Answer;
use crate::cli::ExportArgs;
use crate::render::count;

/// Runs the command.
///
/// # Errors
/// There is no such form, the log cannot be read, or the files cannot be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<Answer> {
    let Some(form) = EXPORTS.iter().find(|form| form.name == args.to) else {
        let known: Vec<&str> = EXPORTS.iter().map(|form| form.name).collect();
        bail!("there is no form '{}'; expected one of {}", args.to, known.join(", "));
    };
    let source = Source::open(&args.log)?;
    let mut models = Models::default();
    weighbridge_logs::read(&source, &mut models)?;
    let catalog = Catalog::embedded()?;
    let options = ExportOptions { availability: models.availability(&catalog), ..ExportOptions::default() };
    let report = weighbridge_logs::export(&source, form, &args.output, &options)?;
    let mut text = String::new();
    for file in &report.files {
        let _ = writeln!(text, "{}", file.display());
    }
    let notes: Vec<String> = [count(report.samples as usize, "sample")].into_iter().chain(report.notes).collect();
    Ok(Answer { note: Some(notes.join("; ")), ..Answer::plain(text) })
}

/// The models that a log names.
#[derive(Default)]
struct Models(Vec<RunHeader>);

impl Sink for Models {
    fn begin(&mut self, header: RunHeader) -> Result<(), LogError> {
        self.0.push(header);
        Ok(())
    }

    fn line(&mut self, _line: LogLine) -> Result<(), LogError> {
        Ok(())
    }
}

impl Models {
    /// Whether their weights can be had: what ran in this process has them, for others the catalog knows, or nobody.
    fn availability(&self, catalog: &Catalog) -> BTreeMap<String, Availability> {
        let models = self.0.iter().flat_map(|header| &header.models);
        let known = |model: &weighbridge_core::ModelFacts| {
            if model.provider.as_deref() == Some(LOCAL) {
                return Some(Availability::OpenWeights);
            }
            let name = model.model.as_ref().unwrap_or(&model.name);
            let (Resolution::Exact(id) | Resolution::Alias(id) | Resolution::Normalised(id)) = catalog.resolve(name)
            else {
                return None;
            };
            match catalog.model(&id)?.access {
                Access::OpenWeights => Some(Availability::OpenWeights),
                Access::Closed => Some(Availability::ClosedWeights),
                Access::Unknown => None,
            }
        };
        models.filter_map(|model| Some((model.name.clone(), known(model)?))).collect()
    }
}

//! Reports of canaries: kept in the user's cache directory, shown as text.

use std::fmt::Write as _;

use weighbridge_api::Hosted;
use weighbridge_core::{CANARY_VERSION, CanaryCheck, CanaryReport, Observed, format_date};

use crate::render::progress::Spinner;
use crate::render::reply::{dollars, safe};
use crate::render::{Screen, count};
use crate::target::cache_folder;

/// Tries out what a hosted model really does, and keeps the report for `providers`.
pub fn take(model: &Hosted, screen: Screen) -> CanaryReport {
    let spinner = Spinner::new(format!("trying {}", model.name()), screen);
    let report = model.canary();
    drop(spinner);
    keep(&report);
    report
}

/// Day, model and what was wrong, in one line.
pub fn summary(report: &CanaryReport) -> String {
    format!("{}, {}: {}", day(report), safe(&report.served_by.model), verdict(report))
}

/// What the report comes to.
fn verdict(report: &CanaryReport) -> String {
    if let Some(error) = &report.error {
        return safe(error);
    }
    let of = |wanted: fn(&Observed) -> bool| {
        let checks = report.findings.iter().filter(|finding| wanted(&finding.observed));
        checks.map(|finding| finding.check.as_str()).collect::<Vec<_>>()
    };
    let (yes, no) = (of(|seen| *seen == Observed::Yes), of(|seen| *seen == Observed::No));
    if no.is_empty() { format!("{} seen", count(yes.len(), "ability")) } else { format!("no {}", no.join(", ")) }
}

/// What was found out, a line each.
pub fn as_text(report: &CanaryReport, screen: Screen) -> String {
    let by = &report.served_by;
    let answered = by.model_answered.as_deref().filter(|model| *model != by.model);
    let who = match (answered, &by.fingerprint) {
        (Some(model), Some(print)) => format!(" answered as {model}, fingerprint {print}"),
        (Some(model), None) => format!(" answered as {model}"),
        (None, Some(print)) => format!(", fingerprint {print}"),
        (None, None) => String::new(),
    };
    let cost = report.cost.map_or_else(|| "price unknown".into(), dollars);
    let head = format!("canary of {}:{}{}, {}, {cost}", by.provider, by.model, who, day(report));
    let mut out = screen.wrap(&safe(&head), 0);
    if let Some(error) = &report.error {
        out.push_str(&screen.wrap(&safe(&format!("nothing could be tried: {error}")), 2));
    }
    for finding in &report.findings {
        let (word, reason) = match &finding.observed {
            Observed::Yes => ("yes", None),
            Observed::No => ("NO", None),
            Observed::Unknown(reason) => ("?", Some(reason)),
        };
        let more = finding.seen.as_ref().or(reason).map(|text| safe(text)).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {:<17}{word:<5}{more}", finding.check.as_str());
    }
    out
}

fn day(report: &CanaryReport) -> String {
    time::OffsetDateTime::from_unix_timestamp(report.ended as i64)
        .map_or_else(|_| "on an unknown day".into(), |at| format_date(at.date()))
}

/// What the asker should know before results are read: settings that the endpoint was seen not to keep to.
pub fn warning(report: &CanaryReport) -> Option<String> {
    let broken = [CanaryCheck::Model, CanaryCheck::Stop, CanaryCheck::Context, CanaryCheck::MaxTokens]
        .into_iter()
        .filter(|check| report.observed(*check) == Some(&Observed::No))
        .map(CanaryCheck::as_str)
        .collect::<Vec<_>>();
    (!broken.is_empty()).then(|| format!("the canary saw this endpoint fail at: {}", broken.join(", ")))
}

/// Keeps a report. Where that fails, only the memory of it is lost.
fn keep(report: &CanaryReport) {
    let Some(folder) = cache_folder("canaries") else { return };
    let by = &report.served_by;
    let name = blake3::hash(format!("{}\n{}\n{:?}", by.provider, by.model, by.base_url).as_bytes()).to_hex();
    let Ok(text) = serde_json::to_vec(report) else { return };
    let _ = std::fs::create_dir_all(&folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        std::io::Write::write_all(&mut file, &text)?;
        file.persist(folder.join(format!("{}.json", &name.as_str()[..32]))).map_err(|error| error.error)
    });
}

/// Every report that is kept and can be read, in a fixed order.
pub fn all() -> Vec<CanaryReport> {
    let entries = cache_folder("canaries").and_then(|folder| std::fs::read_dir(folder).ok());
    let mut all: Vec<CanaryReport> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.ok()?.path()).ok()?).ok())
        .filter(|report: &CanaryReport| report.version == CANARY_VERSION)
        .collect();
    all.sort_by_key(|report| (report.served_by.provider.clone(), report.served_by.model.clone()));
    all
}

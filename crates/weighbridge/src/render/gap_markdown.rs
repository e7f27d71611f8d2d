//! The gap report as Markdown, for a document or a pull request.

use std::fmt::Write;

use weighbridge_gap::report::GapReport;

use super::gap_text::{license, sides, sources};
use super::interval;

/// The whole report.
pub fn render(report: &GapReport) -> String {
    let mut out = format!("# The gap on {}\n\n{}\n", report.as_of, report.sentence);
    out.push_str("\n| frontier | model | score | 90 % | lab | country | released | license |\n");
    out.push_str("| --- | --- | ---: | --- | --- | --- | --- | --- |\n");
    for (side, frontier) in sides(report) {
        let l = &frontier.leader;
        let _ = writeln!(
            out,
            "| {side} | {} | {:.1} | {} | {} | {} | {} | {} |",
            l.name,
            l.score.value,
            interval(&l.score, 1),
            l.lab,
            l.country,
            l.released,
            license(l)
        );
    }
    let _ = writeln!(out, "\n| measure | value | 90 % |\n| --- | ---: | --- |");
    let mut row = |what: String, e: &weighbridge_core::Estimate, digits: usize| {
        let _ = writeln!(out, "| {what} | {:.digits$} | {} |", e.value, interval(e, digits));
    };
    row(format!("gap on {}, {}", report.as_of, report.unit), &report.gap, 1);
    row(format!("gap, mean {} to {}", report.window[0], report.window[1]), &report.gap_over_window, 1);
    for lag in &report.lags {
        let least = if lag.censored { "at least, " } else { "" };
        row(format!("lag in months, rule {} ({least}{})", lag.rule, lag.rule.describe()), &lag.months, 1);
    }
    if let Some(ratio) = &report.price_ratio {
        row("price of open over closed".into(), ratio, 2);
    }
    out.push_str("\n## Caveats\n\n");
    for caveat in &report.caveats {
        let _ = writeln!(out, "- **{}**: {}. {}", caveat.code(), caveat.message(), caveat.advice());
    }
    let _ = writeln!(out, "\n## Sources\n\n{}", sources(report));
    out
}

//! The gap report as CSV: one row a number, with its interval, level, method and n.

use weighbridge_core::Estimate;
use weighbridge_gap::report::GapReport;

use super::Screen;
use super::gap_text::sides;
use super::table::Rows;
use crate::cli::Format;

/// The whole report.
///
/// # Errors
/// A row cannot be written.
pub fn render(report: &GapReport, screen: &Screen) -> anyhow::Result<String> {
    let mut rows =
        Rows::new(&["as_of", "measure", "name", "value", "lower", "upper", "level", "n", "method", "censored"], &[]);
    let mut push = |measure: &str, name: &str, e: &Estimate, censored: Option<bool>| {
        let side = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
        rows.cells.push(vec![
            report.as_of.clone(),
            measure.into(),
            name.into(),
            e.value.to_string(),
            side(e.lower),
            side(e.upper),
            e.level.to_string(),
            e.n.to_string(),
            e.method.clone(),
            censored.map_or_else(String::new, |c| c.to_string()),
        ]);
    };
    push("gap", report.unit, &report.gap, None);
    push("gap_over_window", report.unit, &report.gap_over_window, None);
    if let Some(leads) = &report.open_leads {
        push("open_leads", "share of draws", leads, None);
    }
    for lag in &report.lags {
        push("lag_months", lag.rule.as_str(), &lag.months, Some(lag.censored));
    }
    for (side, frontier) in sides(report) {
        let side = side.replace(", ", "_");
        push(&format!("frontier_{side}"), &frontier.leader.id, &frontier.leader.score, None);
        if let Some(rise) = &frontier.per_year {
            push(&format!("rise_in_a_year_{side}"), &frontier.leader.id, rise, None);
        }
        for (what, held) in [("lab", &frontier.labs), ("country", &frontier.countries)] {
            push(&format!("herfindahl_{side}"), what, &held.herfindahl, None);
            for share in &held.shares {
                push(&format!("share_of_days_{side}_{what}"), &share.holder, &share.share, None);
            }
        }
        for record in &frontier.records {
            push(&format!("record_{side}_{}", record.date), &record.id, &record.score, None);
        }
    }
    if let Some(ratio) = &report.price_ratio {
        push("price_ratio", "open / closed", ratio, None);
    }
    rows.render(Format::Csv, screen)
}

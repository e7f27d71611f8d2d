//! The gap report for people: the sentence first, then the numbers behind it, the chart, caveats and sources.

use std::fmt::Write;

use weighbridge_core::Estimate;
use weighbridge_gap::concentration::Concentration;
use weighbridge_gap::report::{FrontierReport, GapReport, Leader};

use super::table::Rows;
use super::{Screen, interval, with_interval};
use crate::chart::frontier;
use crate::cli::Format;

/// Pairs of prices shown; all are in the JSON.
const PRICES_SHOWN: usize = 6;
/// Holders of a frontier shown.
const HOLDERS_SHOWN: usize = 4;

/// The whole report.
///
/// # Errors
/// A table cannot be written.
pub fn render(report: &GapReport, screen: &Screen) -> anyhow::Result<String> {
    let mut out = screen.bold(&screen.wrap(&report.sentence, 0));
    section(&mut out, screen, "Frontiers");
    out.push_str(&leaders(report).render(Format::Text, screen)?);
    section(&mut out, screen, &format!("Gap, {}", report.unit));
    out.push_str(&gaps(report).render(Format::Text, screen)?);
    section(&mut out, screen, "Lag, months");
    out.push_str(&lags(report).render(Format::Text, screen)?);
    section(
        &mut out,
        screen,
        &format!("Who held each frontier, share of days {} to {}", report.window[0], report.window[1]),
    );
    out.push_str(&holders(report).render(Format::Text, screen)?);
    section(&mut out, screen, "Price of the best open model near a closed one, USD per million tokens (3 in : 1 out)");
    prices(&mut out, report, screen)?;
    section(&mut out, screen, &format!("Both frontiers on the {}", report.board));
    out.push_str(&frontier::draw(report, screen));
    section(&mut out, screen, "Caveats");
    for caveat in &report.caveats {
        out.push_str(&screen.wrap(&format!("- {}. {}", caveat.message(), caveat.advice()), 0));
    }
    section(&mut out, screen, "Sources");
    out.push_str(&screen.wrap(&sources(report), 0));
    Ok(out)
}

fn section(out: &mut String, screen: &Screen, title: &str) {
    let _ = write!(out, "\n{}", screen.bold(&screen.wrap(title, 0)));
}

/// The sides of the report with their names.
pub fn sides(report: &GapReport) -> Vec<(&'static str, &FrontierReport)> {
    let mut sides = vec![("closed", &report.frontiers.closed), ("open", &report.frontiers.open)];
    if let Some(unrestricted) = &report.frontiers.unrestricted {
        sides.push(("open, unrestricted", unrestricted));
    }
    sides
}

/// License and terms in one cell.
pub fn license(leader: &Leader) -> String {
    match (&leader.license, leader.terms) {
        (Some(license), Some(terms)) => format!("{license} ({terms})"),
        (Some(license), None) => license.clone(),
        (None, Some(terms)) => terms.to_string(),
        (None, None) if leader.access == weighbridge_core::Access::Closed => "closed".into(),
        (None, None) => "unknown".into(),
    }
}

fn leaders(report: &GapReport) -> Rows {
    let mut rows = Rows::new(&["", "best model", "score", "90 %", "lab", "released", "license"], &[2]);
    for (side, frontier) in sides(report) {
        let leader = &frontier.leader;
        rows.cells.push(vec![
            side.into(),
            leader.name.clone(),
            format!("{:.1}", leader.score.value),
            interval(&leader.score, 1),
            leader.lab.clone(),
            leader.released.clone(),
            license(leader),
        ]);
    }
    rows
}

fn gaps(report: &GapReport) -> Rows {
    let mut rows = Rows::new(&["", "points", "90 %"], &[1]);
    let mut push = |what: String, e: &Estimate| rows.cells.push(vec![what, format!("{:.1}", e.value), interval(e, 1)]);
    push(format!("gap on {}", report.as_of), &report.gap);
    push(format!("gap, mean {} to {}", report.window[0], report.window[1]), &report.gap_over_window);
    for (side, frontier) in sides(report) {
        if let Some(rise) = &frontier.per_year {
            push(format!("rise of {side} in the year before"), rise);
        }
    }
    let (share, of) = report.open_leads.as_ref().map_or_else(
        || ("unknown".to_owned(), String::new()),
        |leads| (format!("{:.0} %", 100.0 * leads.value), format!("of {} draws", leads.n)),
    );
    rows.cells.push(vec!["open level or ahead".into(), share, of]);
    rows
}

fn lags(report: &GapReport) -> Rows {
    let mut rows = Rows::new(&["rule", "months", "5 to 95 %", "of", "censored", "what it is"], &[1]);
    for lag in &report.lags {
        rows.cells.push(vec![
            lag.rule.to_string(),
            format!("{}{:.1}", if lag.censored { ">= " } else { "" }, lag.months.value),
            interval(&lag.months, 1),
            lag.rule.spread_over().into(),
            if lag.censored { format!("{:.0} %", 100.0 * lag.censored_share) } else { "no".into() },
            lag.rule.describe().into(),
        ]);
    }
    rows
}

fn holders(report: &GapReport) -> Rows {
    let mut rows = Rows::new(&["", "Herfindahl", "holders"], &[]);
    for (side, frontier) in sides(report) {
        for (what, held) in [("labs", &frontier.labs), ("countries", &frontier.countries)] {
            rows.cells.push(vec![format!("{side}, {what}"), with_interval(&held.herfindahl, 2), top_holders(held)]);
        }
    }
    rows
}

fn top_holders(held: &Concentration) -> String {
    let shown = held.shares.iter().take(HOLDERS_SHOWN);
    let mut names: Vec<_> = shown.map(|s| format!("{} {:.0} %", s.holder, 100.0 * s.share.value)).collect();
    if held.shares.len() > HOLDERS_SHOWN {
        names.push(format!("{} more", held.shares.len() - HOLDERS_SHOWN));
    }
    names.join(", ")
}

fn prices(out: &mut String, report: &GapReport, screen: &Screen) -> anyhow::Result<()> {
    let Some(ratio) = &report.price_ratio else {
        out.push_str("no closed model of the last year has a priced open model near it\n");
        return Ok(());
    };
    let summary = format!("ratio open / closed: {}, median of {} pairs", with_interval(ratio, 2), ratio.n);
    out.push_str(&screen.wrap(&summary, 0));
    let mut rows = Rows::new(&["closed", "price", "open", "price", "ratio", "score difference"], &[1, 3, 4, 5]);
    for pair in report.price_matches.iter().take(PRICES_SHOWN) {
        rows.cells.push(vec![
            pair.closed.clone(),
            pair.closed_price.blended.to_string(),
            pair.open.clone(),
            pair.open_price.blended.to_string(),
            format!("{:.2}", pair.ratio),
            format!("{:+.1}", pair.score_difference),
        ]);
    }
    out.push_str(&rows.render(Format::Text, screen)?);
    if report.price_matches.len() > PRICES_SHOWN {
        let _ = writeln!(out, "{} more pairs in --format json", report.price_matches.len() - PRICES_SHOWN);
    }
    Ok(())
}

/// The sources in one paragraph, the largest first.
pub fn sources(report: &GapReport) -> String {
    const SHOWN: usize = 8;
    let shown = report.sources.iter().take(SHOWN).map(|s| {
        let taken = s.retrieved.as_ref().map_or_else(String::new, |day| format!(", taken {day}"));
        format!("{} ({} rows{taken})", s.title, s.used)
    });
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if report.sources.len() > SHOWN {
        let _ = write!(text, "; and {} more in --format json", report.sources.len() - SHOWN);
    }
    text
}

//! `weighbridge gap`: how far open weights are behind closed models.

use std::path::Path;

use anyhow::bail;
use time::{Date, Duration};
use weighbridge_catalog::Catalog;
use weighbridge_core::format_date;
use weighbridge_gap::index::Index;
use weighbridge_gap::lag::LagRule;
use weighbridge_gap::weigh::{Question, default_window, weigh};

use crate::Answer;
use crate::cli::{Format, From, GapArgs, Window};
use crate::draws_cache::DrawsCache;
use crate::facts;
use crate::render::progress::Bar;
use crate::render::{Screen, gap_csv, gap_markdown, gap_text, json};

/// Runs the command.
///
/// # Errors
/// The window is malformed, the benchmark is unknown, or there is nothing to compare.
pub fn run(args: &GapArgs, lake: Option<&Path>, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let lake = if args.from == From::Snapshot { None } else { facts::existing_lake(lake)? };
    let draws = (args.draws as usize, args.seed);
    let dated = if let Some(name) = &args.benchmark {
        facts::benchmark_board(&catalog, lake.as_ref(), name, args.from, draws)?
    } else {
        let fresh = |index: &Index, count: usize, seed: u64| {
            let progress = Bar::new("bootstrap draws", count as u64, screen);
            index.draw(count, seed, &|| progress.tick())
        };
        let cache = if args.no_cache { None } else { DrawsCache::of_user() };
        let source = |index: &Index, count: usize, seed: u64| match &cache {
            Some(cache) => cache.draws(index, count, seed, &fresh),
            None => fresh(index, count, seed),
        };
        facts::index_board(&catalog, lake.as_ref(), args.from, draws, &source)?
    };
    let as_of = args.as_of.unwrap_or(dated.facts_end);
    let window = args.window.map_or_else(|| Ok(default_window(as_of)), |window| days_of(window, as_of))?;
    let lag_rules = if args.lag_rule.is_empty() { LagRule::ALL.to_vec() } else { args.lag_rule.clone() };
    let question = Question { as_of, window, lag_rules, facts_end: dated.facts_end };
    let report = weigh(&catalog, &dated.board, &question)?;
    let text = match args.format {
        Format::Text => gap_text::render(&report, &screen)?,
        Format::Json => json(&report)?,
        Format::Csv => gap_csv::render(&report, &screen)?,
        Format::Markdown => gap_markdown::render(&report),
    };
    let note = if args.format == Format::Text && args.as_of.is_none() { stale(dated.facts_end) } else { None };
    Ok(Answer { note, ..Answer::plain(text) })
}

/// A word where the facts are old by the clock of the machine. The report itself does not depend on the clock.
fn stale(facts_end: Date) -> Option<String> {
    const OLD_DAYS: i32 = 60;
    let age = weighbridge_core::days_between(facts_end, time::OffsetDateTime::now_utc().date());
    (age > OLD_DAYS)
        .then(|| format!("the facts end {age} days ago; 'weighbridge import' takes a newer Epoch AI index folder"))
}

/// First and last day of a window that was asked for.
fn days_of(window: Window, as_of: Date) -> anyhow::Result<(Date, Date)> {
    match window {
        Window::Before(days) => Ok((as_of.saturating_sub(Duration::days(days.into())), as_of)),
        Window::Days(_, to) if to > as_of => {
            bail!("the window ends on {}, after the day of the question, {}", format_date(to), format_date(as_of))
        }
        Window::Days(from, to) => Ok((from, to)),
    }
}

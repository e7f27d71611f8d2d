//! `weighbridge gap`: how far open weights are behind closed models.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as WallTime;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use time::{Date, Duration};
use weighbridge_catalog::Catalog;
use weighbridge_core::{format_date, parse_date};
use weighbridge_gap::lag::LagRule;
use weighbridge_gap::weigh::{Question, default_window, weigh};

use crate::Answer;
use crate::cli::{Format, From, GapArgs};
use crate::facts;
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
        let progress = Progress::new(args.draws.into(), screen);
        facts::index_board(&catalog, lake.as_ref(), args.from, draws, &|| progress.tick())?
    };
    let as_of = args.as_of.unwrap_or(dated.facts_end);
    let window = args.window.as_deref().map_or_else(|| Ok(default_window(as_of)), |text| window(text, as_of))?;
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

/// Reads `FROM..TO`, or a length before `as_of`: `180d`, `6m`, `1y`.
fn window(text: &str, as_of: Date) -> anyhow::Result<(Date, Date)> {
    let expected = "expected FROM..TO such as 2026-01-01..2026-08-11, or a length such as 180d, 6m or 1y";
    let (from, to) = if let Some((from, to)) = text.split_once("..") {
        let day =
            |t: &str| parse_date(t).map_err(|_| anyhow::anyhow!("--window '{text}': '{t}' is not a day; {expected}"));
        (day(from)?, day(to)?)
    } else {
        let days =
            match (text.get(..text.len().saturating_sub(1)).and_then(|n| n.parse::<u16>().ok()), text.chars().last()) {
                (Some(n), Some('d')) => f64::from(n),
                (Some(n), Some('m')) => f64::from(n) * weighbridge_core::DAYS_PER_MONTH,
                (Some(n), Some('y')) => f64::from(n) * 365.25,
                _ => bail!("--window '{text}': {expected}"),
            };
        (as_of.saturating_sub(Duration::days(days.round() as i64)), as_of)
    };
    if from > to {
        bail!("--window '{text}' ends before it begins");
    }
    if to > as_of {
        bail!("--window '{text}' ends after the day of the question, {}", format_date(as_of));
    }
    Ok((from, to))
}

/// A progress bar that shows itself only when the work takes longer than a second.
struct Progress {
    bar: Option<ProgressBar>,
    done: AtomicU64,
}

impl Progress {
    fn new(draws: u64, screen: Screen) -> Self {
        let bar = screen.progress.then(|| {
            let bar = ProgressBar::new(draws);
            let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message("bootstrap draws");
            bar
        });
        Self { bar, done: AtomicU64::new(0) }
    }

    fn tick(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = self.bar.as_ref().filter(|bar| bar.elapsed() > WallTime::from_secs(1)) {
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read() {
        let as_of = parse_date("2026-08-11").unwrap();
        let read = |text| window(text, as_of).map(|(a, b)| format!("{} {}", format_date(a), format_date(b)));
        for (text, expect) in [
            ("2026-01-01..2026-05-28", "2026-01-01 2026-05-28"),
            ("10d", "2026-08-01 2026-08-11"),
            ("6m", "2026-02-09 2026-08-11"),
            ("1y", "2025-08-11 2026-08-11"),
        ] {
            assert_eq!(read(text).unwrap(), expect, "{text}");
        }
        for text in ["", "6", "m", "six", "2026..2027", "2026-05-28..2026-01-01", "2026-01-01..2026-12-31", "-5d", "é"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}

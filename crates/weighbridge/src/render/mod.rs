//! Turning answers into text: the screen, numbers, tables and JSON.

pub mod gap_csv;
pub mod gap_markdown;
pub mod gap_text;
pub mod inspect;
pub mod progress;
pub mod reply;
pub mod table;

use std::io::IsTerminal;

use serde::Serialize;
use weighbridge_core::Estimate;
use weighbridge_gap::report::rounded;

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Whether colours and bold are wanted.
    pub styled: bool,
    /// Whether standard error is a terminal, so that a progress bar can be drawn.
    pub progress: bool,
}

/// Width of anything that is not a terminal.
const DEFAULT_WIDTH: usize = 100;
/// Below this nothing can be laid out.
const NARROWEST: usize = 40;

impl Screen {
    /// Looks at the terminal and the environment.
    pub fn of_terminal() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let measured = terminal_size::terminal_size().filter(|_| terminal).map(|(width, _)| usize::from(width.0));
        Self {
            width: columns.or(measured).unwrap_or(DEFAULT_WIDTH).max(NARROWEST),
            styled: terminal && !no_color && !dumb,
            progress: std::io::stderr().is_terminal() && !dumb,
        }
    }

    /// Bold, where styles are wanted.
    pub fn bold(&self, text: &str) -> String {
        self.style("1", text)
    }

    /// The colour of open weights (blue); shapes and words say the same.
    pub fn open(&self, text: &str) -> String {
        self.style("34", text)
    }

    /// The colour of closed models (yellow); shapes and words say the same.
    pub fn closed(&self, text: &str) -> String {
        self.style("33", text)
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.styled { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Breaks a paragraph into lines that fit, each after `indent` spaces.
    pub fn wrap(&self, text: &str, indent: usize) -> String {
        let room = self.width.saturating_sub(indent).max(20);
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last().map_or(0, |l| l.chars().count());
            if line > 0 && line + 1 + word.chars().count() > room {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        let pad = " ".repeat(indent);
        lines.iter().map(|line| pad.clone() + line + "\n").collect()
    }
}

/// `[low, high]` of an estimate; an open side is `?`.
pub fn interval(estimate: &Estimate, digits: usize) -> String {
    let end = |side: Option<f64>| side.map_or_else(|| "?".to_owned(), |v| format!("{:.digits$}", rounded(v, digits)));
    match (estimate.lower, estimate.upper) {
        (None, None) => "unknown".into(),
        (low, high) => format!("[{}, {}]", end(low), end(high)),
    }
}

/// Value and interval.
pub fn with_interval(estimate: &Estimate, digits: usize) -> String {
    let known = estimate.lower.is_some() || estimate.upper.is_some();
    let range = if known { interval(estimate, digits) } else { "(interval unknown)".into() };
    format!("{:.digits$} {range}", estimate.value)
}

/// A number of things: `1 row`, `2 rows`.
pub fn count(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Pretty JSON with a final newline.
///
/// # Errors
/// The value holds a number that JSON has no form for.
pub fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// A p value in four significant digits.
pub fn p_value(p: f64) -> String {
    if p < 1e-3 { format!("{p:.3e}") } else { format!("{p:.4}") }
}

//! Both frontiers over release dates: closed as `●━`, open as `○┄`, so that no colour is needed to tell them apart.

use std::fmt::Write;

use weighbridge_core::parse_date;
use weighbridge_gap::report::{FrontierReport, GapReport};

use crate::render::Screen;

/// Rows of the plot.
const HEIGHT: usize = 14;
/// Columns of the plot at most.
const WIDEST: usize = 100;
/// Columns of the scale on the left.
const SCALE: usize = 7;

/// A cell of the plot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ink {
    None,
    OpenLine,
    OpenPoint,
    ClosedLine,
    ClosedPoint,
}

/// Draws the chart, with a line that says what it shows.
pub fn draw(report: &GapReport, screen: &Screen) -> String {
    let sides = [&report.frontiers.open, &report.frontiers.closed];
    let series: Vec<Vec<(i32, f64)>> = sides.iter().map(|s| points(s)).collect();
    let all = || series.iter().flatten();
    let Ok(last) = parse_date(&report.as_of).map(time::Date::to_julian_day) else { return String::new() };
    let (Some(first), Some(low), Some(high)) = (
        all().map(|p| p.0).min(),
        all().map(|p| p.1).min_by(f64::total_cmp),
        all().map(|p| p.1).max_by(f64::total_cmp),
    ) else {
        return "no points\n".into();
    };
    let width = screen.width.saturating_sub(SCALE + 1).clamp(20, WIDEST);
    let plot = Plot { first, last: last.max(first + 1), low, high: if high > low { high } else { low + 1.0 }, width };
    let mut cells = vec![vec![Ink::None; width]; HEIGHT];
    // Closed is drawn last and stays on top where both pass through one cell.
    plot.steps(&mut cells, &series[0], Ink::OpenLine, Ink::OpenPoint);
    plot.steps(&mut cells, &series[1], Ink::ClosedLine, Ink::ClosedPoint);
    let mut out = String::new();
    for (row, line) in cells.iter().enumerate() {
        let label = if row % 3 == 0 || row == HEIGHT - 1 { format!("{:6.1}", plot.score(row)) } else { " ".repeat(6) };
        let _ = writeln!(out, "{label} {}", ink(line, screen).trim_end());
    }
    let _ = writeln!(out, "{}{}", " ".repeat(SCALE), plot.dates());
    let _ = writeln!(out, "{}{} closed   {} open weights", " ".repeat(SCALE), screen.closed("●━"), screen.open("○┄"));
    out
}

fn points(side: &FrontierReport) -> Vec<(i32, f64)> {
    side.records.iter().filter_map(|r| Some((parse_date(&r.date).ok()?.to_julian_day(), r.score.value))).collect()
}

struct Plot {
    first: i32,
    last: i32,
    low: f64,
    high: f64,
    width: usize,
}

impl Plot {
    fn column(&self, day: i32) -> usize {
        let share = f64::from(day - self.first) / f64::from(self.last - self.first);
        ((share * (self.width - 1) as f64).round() as usize).min(self.width - 1)
    }

    fn row(&self, score: f64) -> usize {
        let share = (self.high - score) / (self.high - self.low);
        ((share * (HEIGHT - 1) as f64).round() as usize).min(HEIGHT - 1)
    }

    fn score(&self, row: usize) -> f64 {
        self.high - (self.high - self.low) * row as f64 / (HEIGHT - 1) as f64
    }

    fn steps(&self, cells: &mut [Vec<Ink>], points: &[(i32, f64)], line: Ink, point: Ink) {
        for (i, &(day, score)) in points.iter().enumerate() {
            let end = points.get(i + 1).map_or(self.last, |next| next.0);
            let row = self.row(score);
            for cell in &mut cells[row][self.column(day)..=self.column(end)] {
                if *cell != point {
                    *cell = line;
                }
            }
            cells[row][self.column(day)] = point;
        }
    }

    /// The first days of years under their columns.
    fn dates(&self) -> String {
        let mut line = vec![' '; self.width];
        let mut free = 0;
        let years = |day| time::Date::from_julian_day(day).map_or(0, time::Date::year);
        for year in years(self.first)..=years(self.last) {
            let Ok(january) = time::Date::from_ordinal_date(year, 1) else { continue };
            let day = january.to_julian_day();
            if day < self.first || day > self.last {
                continue;
            }
            let at = self.column(day);
            if at >= free && at + 5 <= self.width {
                for (cell, c) in line[at..].iter_mut().zip(format!("|{year}").chars()) {
                    *cell = c;
                }
                free = at + 6;
            }
        }
        line.into_iter().collect::<String>().trim_end().to_owned()
    }
}

/// One line of cells as text, runs of one side in its colour.
fn ink(cells: &[Ink], screen: &Screen) -> String {
    let mut out = String::new();
    for run in cells.chunk_by(|a, b| side(*a) == side(*b)) {
        let text: String = run
            .iter()
            .map(|cell| match cell {
                Ink::None => ' ',
                Ink::OpenLine => '┄',
                Ink::OpenPoint => '○',
                Ink::ClosedLine => '━',
                Ink::ClosedPoint => '●',
            })
            .collect();
        out.push_str(&match side(run[0]) {
            0 => text,
            1 => screen.open(&text),
            _ => screen.closed(&text),
        });
    }
    out
}

fn side(cell: Ink) -> u8 {
    match cell {
        Ink::None => 0,
        Ink::OpenLine | Ink::OpenPoint => 1,
        Ink::ClosedLine | Ink::ClosedPoint => 2,
    }
}

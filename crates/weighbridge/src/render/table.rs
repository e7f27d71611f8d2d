//! Tables: aligned for people, or as CSV or Markdown from the same cells.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::cli::Format;
use crate::render::Screen;

/// Blanks between columns.
const GUTTER: usize = 2;

/// Words longer than this may be broken.
const LONG_WORD: usize = 16;

/// Rows under a header.
pub struct Rows {
    /// Column names.
    pub header: Vec<String>,
    /// Cells, row by row.
    pub cells: Vec<Vec<String>>,
    /// Columns with numbers, aligned right.
    pub numeric: Vec<usize>,
}

impl Rows {
    /// An empty table.
    pub fn new(header: &[&str], numeric: &[usize]) -> Self {
        Self { header: header.iter().map(|h| (*h).to_owned()).collect(), cells: Vec::new(), numeric: numeric.to_vec() }
    }

    /// The table in the form asked for; JSON has a form of its own and is not made here.
    ///
    /// # Errors
    /// A cell cannot be written as CSV.
    pub fn render(&self, format: Format, screen: &Screen) -> anyhow::Result<String> {
        match format {
            Format::Csv => self.csv(),
            Format::Markdown => Ok(self.markdown()),
            Format::Text | Format::Json => Ok(self.text(screen)),
        }
    }

    fn text(&self, screen: &Screen) -> String {
        if self.narrowest() > screen.width {
            return self.stacked(screen);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(screen.width).unwrap_or(u16::MAX));
        table.set_header(&self.header);
        table.add_rows(&self.cells);
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GUTTER as u16));
            if self.numeric.contains(&i) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Columns needed to break lines between words, and within words that are long (ids, addresses).
    fn narrowest(&self) -> usize {
        let longest =
            |text: &str| text.split_whitespace().map(|word| word.chars().count().min(LONG_WORD)).max().unwrap_or(0);
        let column = |i: usize| {
            let cells = self.cells.iter().filter_map(|row| row.get(i)).map(|cell| longest(cell));
            cells.max().unwrap_or(0).max(longest(&self.header[i])) + GUTTER
        };
        (0..self.header.len()).map(column).sum()
    }

    /// One block a row, for screens on which the columns do not fit.
    fn stacked(&self, screen: &Screen) -> String {
        let block = |row: &Vec<String>| -> String {
            let cells = self.header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            let line = |(i, (name, cell)): (usize, (&String, &String))| {
                let text = if name.is_empty() { cell.clone() } else { format!("{name}: {cell}") };
                screen.wrap(&text, if i == 0 { 0 } else { 2 })
            };
            cells.enumerate().map(line).collect()
        };
        self.cells.iter().map(block).collect::<Vec<_>>().join("\n")
    }

    fn csv(&self) -> anyhow::Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.header)?;
        for row in &self.cells {
            writer.write_record(row)?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    fn markdown(&self) -> String {
        let escape = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(escape).collect::<Vec<_>>().join(" | "));
        let rule = (0..self.header.len()).map(|i| if self.numeric.contains(&i) { "---:" } else { "---" });
        let rule = format!("| {} |\n", rule.collect::<Vec<_>>().join(" | "));
        let body: String = self.cells.iter().map(|row| line(row)).collect();
        line(&self.header) + &rule + &body
    }
}

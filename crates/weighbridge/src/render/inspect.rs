//! What `inspect` found, as tables: one a section for people and documents, one for all as CSV.

use serde_json::Value;
use weighbridge_engine::inspect::{Inspection, Part, RopeFacts, TokenizerFacts};

use crate::cli::Format;
use crate::render::Screen;
use crate::render::table::Rows;

/// Longest value of the metadata in a table, in characters.
const LONGEST_VALUE: usize = 60;

/// One line: what, its value, and a note.
type Line = (String, String, String);

/// A titled list of lines.
struct Section {
    title: &'static str,
    lines: Vec<Line>,
    /// Whether the values are numbers to be compared with one another.
    numeric: bool,
}

impl Section {
    fn new(title: &'static str) -> Self {
        Self { title, lines: Vec::new(), numeric: false }
    }

    fn push(&mut self, what: &str, value: impl Into<String>, note: impl Into<String>) {
        self.lines.push((what.to_owned(), value.into(), note.into()));
    }
}

/// The tables in the form asked for.
///
/// # Errors
/// A cell cannot be written as CSV.
pub fn text(found: &Inspection, format: Format, screen: &Screen) -> anyhow::Result<String> {
    let sections = [
        model(found),
        parameters(found),
        stored(found),
        memory(found),
        tokenizer(found),
        files(found),
        metadata(found),
        warnings(found),
    ];
    let sections: Vec<Section> = sections.into_iter().filter(|section| !section.lines.is_empty()).collect();
    if format == Format::Csv {
        let mut rows = Rows::new(&["section", "what", "value", "note"], &[]);
        for section in sections {
            let title = section.title;
            rows.cells.extend(section.lines.into_iter().map(|(what, value, note)| {
                let cells = [what, value, note].map(|cell| harmless(&cell));
                std::iter::once(title.to_owned()).chain(cells).collect()
            }));
        }
        return rows.render(format, screen);
    }
    let mut blocks = Vec::new();
    for section in sections {
        let mut rows = Rows::new(&[section.title, "", ""], if section.numeric { &[1] } else { &[] });
        // A column without a cell takes no room.
        if section.lines.iter().all(|(_, _, note)| note.is_empty()) {
            rows.header.pop();
        }
        let columns = rows.header.len();
        rows.cells.extend(section.lines.into_iter().map(|(what, value, note)| {
            let cells = [what, value, note].map(|cell| harmless(&cell));
            cells.into_iter().take(columns).collect()
        }));
        blocks.push(rows.render(format, screen)?);
    }
    let title = harmless(&found.path.display().to_string());
    Ok(match format {
        Format::Text => screen.bold(&title) + "\n\n" + &blocks.join("\n"),
        _ => blocks.join("\n"),
    })
}

/// The text without control characters, which could rewrite a terminal, and without those that turn its direction around;
/// line breaks and tabs stay.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() || super::reply::turns(c)) && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn model(found: &Inspection) -> Section {
    let mut section = Section::new("model");
    let unknown = || "unknown".to_owned();
    section.push("format", &found.format, "");
    if let Some(name) = &found.name {
        section.push("name", name, "");
    }
    let loads = match (&found.family, &found.does_not_load) {
        (Some(family), _) => format!("loads here, as {family}"),
        (None, Some(why)) => format!("does not load here: {why}"),
        (None, None) => String::new(),
    };
    section.push("architecture", found.architecture.clone().unwrap_or_else(unknown), loads);
    for (what, value) in [
        ("layers", found.layers),
        ("hidden size", found.hidden),
        ("heads", found.heads),
        ("key-value heads", found.kv_heads),
        ("head size", found.head_dim),
        ("MLP size", found.intermediate),
        ("vocabulary", found.vocabulary),
    ] {
        section.push(what, value.map_or_else(unknown, grouped), "");
    }
    section.push("context", found.context.map_or_else(unknown, |n| format!("{} tokens", grouped(n))), "");
    if let Some(window) = &found.sliding_window {
        let layers = window.layers.map_or_else(|| "in some layers".to_owned(), |n| format!("in {n} layers"));
        section.push("sliding window", format!("{} tokens", grouped(window.tokens)), layers);
    }
    if let Some(rope) = &found.rope {
        let (value, note) = rotary(rope);
        section.push("rotary positions", value, note);
    }
    let (license, place) =
        found.license.as_ref().map_or(("not declared", String::new()), |l| (&l.name, format!("in {}", l.declared_in)));
    section.push("license", license, place);
    section
}

fn rotary(rope: &RopeFacts) -> (String, String) {
    let base = rope.base.map_or_else(|| "base unknown".to_owned(), |base| format!("base {base}"));
    let notes = [
        rope.dimensions.map(|n| format!("{n} numbers of a head")),
        rope.local_base.map(|base| format!("base {base} under a sliding window")),
        rope.scaling.clone().map(|kind| format!("{kind} scaling")),
        rope.factor.map(|factor| format!("factor {factor}")),
        rope.original_context.map(|n| format!("made for {} tokens", grouped(n))),
    ];
    (base, notes.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn parameters(found: &Inspection) -> Section {
    let mut section = Section::new("parameters");
    section.numeric = true;
    let share = |n: u64| match found.parameters_total {
        0 => String::new(),
        total => format!("{:.1} %", 100.0 * n as f64 / total as f64),
    };
    for count in &found.parameters {
        let tied = count.part == Part::OutputHead && found.tied_head == Some(true);
        let note = match count.part {
            Part::Buffers => "constants, not parameters".to_owned(),
            _ if tied => "the token embedding again".to_owned(),
            _ => share(count.parameters),
        };
        if count.parameters > 0 || tied {
            section.push(count.part.as_str(), grouped(count.parameters), note);
        }
    }
    section.push("total", grouped(found.parameters_total), "");
    section
}

fn stored(found: &Inspection) -> Section {
    let mut section = Section::new("stored as");
    section.numeric = true;
    for form in &found.stored {
        let tensors = if form.tensors == 1 { "1 tensor".to_owned() } else { format!("{} tensors", form.tensors) };
        let note = format!("{tensors}, {}, {} bits a weight", bytes(form.bytes), form.bits_per_weight);
        section.push(&form.dtype, grouped(form.parameters), note);
    }
    if let Some(bits) = found.bits_per_weight.filter(|_| found.stored.len() > 1) {
        section.push(
            "all",
            grouped(found.stored.iter().map(|s| s.parameters).sum()),
            format!("{bits:.2} bits a weight"),
        );
    }
    section
}

fn memory(found: &Inspection) -> Section {
    let mut section = Section::new("memory");
    section.numeric = true;
    let memory = &found.memory;
    section.push("weights", bytes(memory.weights), "as stored");
    section.push("weights", bytes(memory.weights_f32), "as F32");
    let texts = if memory.batch == 1 { "1 text".to_owned() } else { format!("{} texts", grouped(memory.batch)) };
    let note = match memory.context {
        Some(context) => format!("keys and values in F32, {texts} of {} tokens", grouped(context)),
        None => "the context is unknown; give --context".to_owned(),
    };
    section.push("cache", memory.cache.map_or_else(|| "unknown".to_owned(), bytes), note);
    section
}

fn tokenizer(found: &Inspection) -> Section {
    let mut section = Section::new("tokenizer");
    let facts: &TokenizerFacts = &found.tokenizer;
    let place = facts.file.as_ref().map_or_else(String::new, |file| format!("in {file}"));
    section.push("kind", facts.kind.clone().unwrap_or_else(|| "none found".to_owned()), place);
    if let Some(pre) = &facts.pre {
        section.push("pre-tokenizer", pre, "");
    }
    for (what, value) in [("tokens", facts.tokens), ("merges", facts.merges)] {
        if let Some(n) = value {
            section.push(what, grouped(n), "");
        }
    }
    let added = |adds: Option<bool>, name: &str, side: &str| match adds {
        Some(true) => format!("put {side} every text"),
        Some(false) => format!("not put {side} a text"),
        None => format!("whether {name} is put {side} a text is not said"),
    };
    if let Some(id) = facts.bos {
        section.push("BOS", id.to_string(), added(facts.adds_bos, "BOS", "before"));
    }
    if !facts.eos.is_empty() {
        let ids = facts.eos.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let note = if facts.adds_eos == Some(true) { added(facts.adds_eos, "EOS", "after") } else { String::new() };
        section.push("EOS", ids, note);
    }
    if let Some(id) = facts.pad {
        section.push("PAD", id.to_string(), "");
    }
    for template in &found.templates {
        let what =
            template.name.as_ref().map_or_else(|| "chat template".into(), |name| format!("chat template {name}"));
        section.push(
            &what,
            format!("{} characters", grouped(template.characters as u64)),
            format!("in {}", template.file),
        );
    }
    if found.templates.is_empty() {
        section.push("chat template", "none", "");
    }
    section
}

fn files(found: &Inspection) -> Section {
    let mut section = Section::new("files");
    for file in &found.files {
        section.push(&file.name, bytes(file.bytes), "");
        section.push("  header, BLAKE3", &file.header_blake3, "");
        if let Some(hash) = &file.content_blake3 {
            section.push("  content, BLAKE3", hash, "");
        }
    }
    section
}

fn metadata(found: &Inspection) -> Section {
    let mut section = Section::new("metadata");
    for (key, value) in &found.metadata {
        let whole = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let line = whole.split_whitespace().collect::<Vec<_>>().join(" ");
        let short = match line.char_indices().nth(LONGEST_VALUE) {
            Some((end, _)) => format!("{}...", &line[..end]),
            None => line,
        };
        section.push(key, short, "");
    }
    section
}

fn warnings(found: &Inspection) -> Section {
    let mut section = Section::new("warnings");
    for (at, warning) in found.warnings.iter().enumerate() {
        section.push(&(at + 1).to_string(), warning, "");
    }
    section
}

/// A whole number with a comma between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the unit that leaves three digits or so.
fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1e3;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 999.95 {
            break;
        }
        value /= 1e3;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (134_515_008, "134,515,008")] {
            assert_eq!(grouped(n), text);
        }
        for (n, text) in [
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (98_362_432, "98.4 MB"),
            (5_000_000_000_000, "5.0 TB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(harmless("a\u{1b}[2Jb\n\tc\u{9b}"), "a\\u{1b}[2Jb\n\tc\\u{9b}");
    }
}

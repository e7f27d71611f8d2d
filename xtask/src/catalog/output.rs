//! Collects the generated files, then writes or compares them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Mode;

/// A file that a reviewer opens stays below this size in bytes.
const LARGEST_FILE: usize = 1_000_000;

/// The generated files by name.
pub(crate) struct Output {
    folder: PathBuf,
    files: BTreeMap<String, String>,
}

impl Output {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: BTreeMap::new() }
    }

    /// Adds a CSV file with LF line ends.
    pub(crate) fn csv<R, F>(&mut self, name: &str, columns: &[&str], rows: impl IntoIterator<Item = R>) -> Result<()>
    where
        R: IntoIterator<Item = F>,
        F: AsRef<[u8]>,
    {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(columns)?;
        for row in rows {
            writer.write_record(row).with_context(|| format!("{name} expects {} columns", columns.len()))?;
        }
        let text = String::from_utf8(writer.into_inner()?)?;
        if text.len() > LARGEST_FILE {
            bail!("{name} would hold {} bytes, expected at most {LARGEST_FILE}: split it", text.len());
        }
        self.files.insert(name.to_owned(), text);
        Ok(())
    }

    /// Adds any other text file.
    pub(crate) fn text(&mut self, name: &str, text: String) {
        self.files.insert(name.to_owned(), text);
    }

    /// Writes the files that differ, or only finds them; returns their paths.
    pub(crate) fn finish(self, mode: Mode) -> Result<Vec<PathBuf>> {
        let mut differing = Vec::new();
        for (name, text) in self.files {
            let path = self.folder.join(&name);
            if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            if mode == Mode::Write {
                if let Some(parent) = path.parent() {
                    fs_err::create_dir_all(parent)?;
                }
                fs_err::write(&path, text)?;
            }
            differing.push(PathBuf::from(name));
        }
        Ok(differing)
    }
}

//! Files that are written side by side, of which only some are open at a time.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::LogError;
use crate::source::hex;

/// Most files that are open together.
const OPEN: usize = 64;

/// Files by number. They are begun in [`Files::add`] and added to later.
#[derive(Default)]
pub(super) struct Files {
    all: Vec<Written>,
    paths: HashSet<PathBuf>,
    open: BTreeMap<usize, BufWriter<File>>,
}

struct Written {
    path: PathBuf,
    hash: Sha256,
}

impl Files {
    /// Begins a file, with the folders above it, and gives its number.
    pub(super) fn add(&mut self, path: PathBuf) -> Result<usize, LogError> {
        if !self.paths.insert(path.clone()) {
            let problem = "two runs, models or tasks of the log would be written to this file; export them one by one";
            return Err(LogError::malformed(&path, None, problem));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(LogError::io("create", folder))?;
        }
        File::create(&path).map_err(LogError::io("create", &path))?;
        self.all.push(Written { path, hash: Sha256::new() });
        Ok(self.all.len() - 1)
    }

    /// Adds to a file.
    pub(super) fn write(&mut self, number: usize, bytes: &[u8]) -> Result<(), LogError> {
        let Written { path, hash } = &mut self.all[number];
        let io = || LogError::io("write", path);
        if !self.open.contains_key(&number) {
            if self.open.len() >= OPEN {
                for mut file in std::mem::take(&mut self.open).into_values() {
                    file.flush().map_err(io())?;
                }
            }
            let file = OpenOptions::new().append(true).open(&*path).map_err(io())?;
            self.open.insert(number, BufWriter::with_capacity(1 << 16, file));
        }
        if let Some(file) = self.open.get_mut(&number) {
            file.write_all(bytes).map_err(io())?;
        }
        hash.update(bytes);
        Ok(())
    }

    /// Adds a value as one line of JSON.
    pub(super) fn line(&mut self, number: usize, value: &impl Serialize) -> Result<(), LogError> {
        let mut text = json(value, &self.all[number].path)?;
        text.push(b'\n');
        self.write(number, &text)
    }

    /// SHA-256 of what was written to a file, hexadecimal.
    pub(super) fn sha256(&self, number: usize) -> String {
        hex(&self.all[number].hash.clone().finalize())
    }

    /// Ends all files and gives their paths.
    pub(super) fn finish(mut self) -> Result<Vec<PathBuf>, LogError> {
        for (number, mut file) in std::mem::take(&mut self.open) {
            file.flush().map_err(LogError::io("write", &self.all[number].path))?;
        }
        Ok(self.all.into_iter().map(|file| file.path).collect())
    }
}

/// A value as JSON.
pub(super) fn json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, LogError> {
    serde_json::to_vec(value).map_err(|error| LogError::malformed(path, None, format!("cannot be written: {error}")))
}

/// SHA-256 of a text, hexadecimal.
pub(super) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

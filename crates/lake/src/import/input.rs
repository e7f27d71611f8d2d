//! What an importer reads: a file, plain or gzip, or the files of a folder, each with the hash of its content.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::epoch_index;
use crate::LakeError;

/// Bytes that are looked at to find the format.
const HEAD_BYTES: usize = 1 << 16;

/// An input with its identity.
pub(crate) struct Input {
    path: PathBuf,
    id: String,
    kind: Kind,
}

enum Kind {
    File { gzip: bool, head: Vec<u8> },
    Folder(BTreeMap<&'static str, Vec<u8>>),
}

impl Input {
    /// Reads the whole input once, for its hash and its beginning.
    pub(crate) fn load(path: &Path) -> Result<Self, LakeError> {
        let meta = std::fs::metadata(path).map_err(LakeError::io("read", path))?;
        if meta.is_dir() {
            return Self::load_folder(path);
        }
        if !meta.is_file() {
            return Err(LakeError::input(path, "it is neither a file nor a folder; save its content to a file first"));
        }
        let gzip = is_gzip(path)?;
        let mut reader = open(path, gzip)?;
        let mut hasher = blake3::Hasher::new();
        let mut head = Vec::new();
        let mut buffer = vec![0; HEAD_BYTES];
        loop {
            let n = reader.read(&mut buffer).map_err(|e| read_error(path, e))?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            if head.len() < HEAD_BYTES {
                head.extend_from_slice(&buffer[..n.min(HEAD_BYTES - head.len())]);
            }
        }
        if head.is_empty() {
            return Err(LakeError::input(path, "the file is empty"));
        }
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(LakeError::input(path, "the file is UTF-16 text; save the file as UTF-8"));
        }
        let id = hasher.finalize().to_hex().to_string();
        Ok(Self { path: path.to_owned(), id, kind: Kind::File { gzip, head } })
    }

    fn load_folder(path: &Path) -> Result<Self, LakeError> {
        let mut files = BTreeMap::new();
        let mut hasher = blake3::Hasher::new();
        for name in epoch_index::FILES {
            let file = path.join(name);
            if file.exists() {
                let bytes = std::fs::read(&file).map_err(|e| read_error(&file, e))?;
                hasher.update(name.as_bytes()).update(&[0]).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
                files.insert(name, bytes);
            }
        }
        if files.is_empty() {
            hash_tree(path, path, &mut hasher)?;
        }
        let id = hasher.finalize().to_hex().to_string();
        Ok(Self { path: path.to_owned(), id, kind: Kind::Folder(files) })
    }

    /// The file or folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the decompressed content, in hexadecimal.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The first bytes of a file, decompressed; `None` for a folder.
    pub(crate) fn head(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::File { head, .. } => Some(head),
            Kind::Folder(_) => None,
        }
    }

    /// The content of a file of a folder.
    pub(crate) fn file_of_folder(&self, name: &str) -> Option<&[u8]> {
        match &self.kind {
            Kind::File { .. } => None,
            Kind::Folder(files) => files.get(name).map(Vec::as_slice),
        }
    }

    /// The decompressed content of a file, once more.
    pub(crate) fn reader(&self) -> Result<HashingReader, LakeError> {
        let gzip = matches!(self.kind, Kind::File { gzip: true, .. });
        Ok(HashingReader { inner: open(&self.path, gzip)?, hasher: blake3::Hasher::new() })
    }

    /// Checks that the second reading saw what the first saw.
    pub(crate) fn check_unchanged(&self, reader: &HashingReader) -> Result<(), LakeError> {
        if reader.hasher.finalize().to_hex().as_str() == self.id {
            return Ok(());
        }
        Err(LakeError::input(
            &self.path,
            "the file changed while it was being read; import it again when it is complete",
        ))
    }

    /// Names of the CSV columns in the first line of a file; empty where it is not text.
    pub(crate) fn csv_header(&self) -> Vec<String> {
        let Some(text) = self.head().map(String::from_utf8_lossy) else { return Vec::new() };
        let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
        line.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
    }
}

/// Takes names and content of every file below a folder, in the order of their names.
fn hash_tree(root: &Path, folder: &Path, hasher: &mut blake3::Hasher) -> Result<(), LakeError> {
    let entries = std::fs::read_dir(folder).map_err(LakeError::io("read", folder))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(LakeError::io("read", folder))?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash_tree(root, &path, hasher)?;
        } else if path.is_file() {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let mut file = File::open(&path).map_err(LakeError::io("read", &path))?;
            let hash = crate::store::hash_file(&mut file).map_err(LakeError::io("read", &path))?;
            hasher.update(name.as_bytes()).update(&[0]).update(hash.as_bytes());
        }
    }
    Ok(())
}

/// A reader that hashes what passes through.
pub(crate) struct HashingReader {
    inner: Box<dyn Read>,
    hasher: blake3::Hasher,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// The error of reading an input, with advice where the cause is plain.
pub(crate) fn read_error(path: &Path, error: std::io::Error) -> LakeError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            LakeError::input(path, "the compressed data end early; copy or download the file again")
        }
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => LakeError::input(
            path,
            format!("the compressed data are damaged ({error}); copy or download the file again"),
        ),
        _ => LakeError::io("read", path)(error),
    }
}

fn open(path: &Path, gzip: bool) -> Result<Box<dyn Read>, LakeError> {
    let file = BufReader::new(File::open(path).map_err(LakeError::io("read", path))?);
    Ok(if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

fn is_gzip(path: &Path) -> Result<bool, LakeError> {
    let mut magic = Vec::new();
    let file = File::open(path).map_err(LakeError::io("read", path))?;
    file.take(2).read_to_end(&mut magic).map_err(LakeError::io("read", path))?;
    Ok(magic == [0x1f, 0x8b])
}

//! What is read: a file or a folder, with its beginning for finding out what it is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::LogError;

/// Bytes that are looked at to find the format.
const HEAD_BYTES: usize = 1 << 16;

/// A file or folder to be read as a log.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    folder: bool,
    head: Vec<u8>,
}

impl Source {
    /// Looks at a file or folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let folder = std::fs::metadata(path).map_err(LogError::io("read", path))?.is_dir();
        let mut head = Vec::new();
        if !folder {
            let reader = reader(path)?;
            reader.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(LogError::io("read", path))?;
        }
        Ok(Self { path: path.to_owned(), folder, head })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True for a folder.
    #[must_use]
    pub const fn is_folder(&self) -> bool {
        self.folder
    }

    /// The first 64 KiB of a file, decompressed where it is gzip or zstd; empty for a folder.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The file from its beginning, decompressed where it is gzip or zstd.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reader(&self) -> Result<Box<dyn BufRead>, LogError> {
        reader(&self.path)
    }
}

/// A file, decompressed where its first bytes say that it is gzip or zstd.
///
/// # Errors
/// It cannot be opened.
pub fn reader(path: &Path) -> Result<Box<dyn BufRead>, LogError> {
    let io = || LogError::io("read", path);
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(io())?);
    let head = file.fill_buf().map_err(io())?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))));
    }
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::Decoder::with_buffer(file).map_err(io())?;
        return Ok(Box::new(BufReader::with_capacity(1 << 16, decoder)));
    }
    Ok(Box::new(file))
}

/// SHA-256 of all that a reader gives, hexadecimal.
///
/// # Errors
/// It cannot be read.
pub(crate) fn sha256_of(mut reader: impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

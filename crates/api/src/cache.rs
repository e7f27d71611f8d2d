//! Answers kept on disk, found by everything that could change them.
//!
//! One file an answer, named by the hash of: provider, address, dialect, model, pinned host and quantization, the whole
//! body of the request, and which repeat it is. A file begins with the hash of its own content, so a damaged one is a miss.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use weighbridge_core::{CALL_VERSION, CallRecord, CallState};

use crate::endpoint::Endpoint;
use crate::error::ApiError;

/// Answers kept in a folder.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in a folder, which is made where it does not exist.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ApiError> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder).map_err(|source| ApiError::Cache { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// The kept answer. A file that is damaged, of another version or cannot be read is none.
    pub(crate) fn get(&self, hash: &str) -> Option<CallRecord> {
        let bytes = std::fs::read(self.path(hash)).ok()?;
        let (sum, content) = bytes.split_at_checked(65)?;
        if sum[64] != b'\n' || blake3::hash(content).to_hex().as_bytes() != &sum[..64] {
            return None;
        }
        let record: CallRecord = serde_json::from_slice(content).ok()?;
        (record.version == CALL_VERSION && record.request.hash == hash && is_kept(record.state)).then_some(record)
    }

    /// Keeps an answer; failures are not kept.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn put(&self, record: &CallRecord) -> Result<(), ApiError> {
        if !is_kept(record.state) {
            return Ok(());
        }
        let path = self.path(&record.request.hash);
        let content = serde_json::to_vec(record).map_err(std::io::Error::other);
        let content = content.map_err(|source| ApiError::Cache { path: path.clone(), source })?;
        let sum = blake3::hash(&content).to_hex();
        write_whole(&path, &[sum.as_bytes(), b"\n", &content].concat())
            .map_err(|source| ApiError::Cache { path, source })
    }

    fn path(&self, hash: &str) -> PathBuf {
        // A folder for each first byte, so that none has hundreds of thousands of files.
        let (folder, file) = hash.split_at_checked(2).unwrap_or(("", hash));
        self.folder.join(folder).join(file)
    }
}

/// True for answers. A failure may pass, and is asked again.
fn is_kept(state: CallState) -> bool {
    matches!(state, CallState::Answered | CallState::Truncated | CallState::Refused)
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let aside = aside(path)?;
    let written = write_aside(&aside, content).and_then(|()| std::fs::rename(&aside, path));
    if written.is_err() {
        // What is in the way stays; what was written for nothing does not.
        let _ = std::fs::remove_file(&aside);
    }
    written
}

/// A name beside a file that no other writer has, in this process or on another machine that shares the folder.
fn aside(path: &Path) -> std::io::Result<PathBuf> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(path.with_extension(format!("{:016x}.part", u64::from_le_bytes(bytes))))
}

fn write_aside(aside: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = match std::fs::File::create(aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(aside.parent().unwrap_or(aside))?;
            std::fs::File::create(aside)?
        }
        other => other?,
    };
    file.write_all(content)
}

/// The hash under which the answer to a request is kept.
pub(crate) fn hash(endpoint: &Endpoint, body: &[u8], repeat: u32) -> String {
    let mut hasher = blake3::Hasher::new();
    // Each part with its length, so that no two lists of parts run together.
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(b"weighbridge call 1");
    add(endpoint.provider.id.as_bytes());
    add(endpoint.base_url.as_bytes());
    add(endpoint.dialect.as_str().as_bytes());
    add(endpoint.model.as_bytes());
    let pin = endpoint.pin.as_ref();
    add(pin.map_or(&b""[..], |pin| pin.host.as_bytes()));
    add(pin.map_or(&b""[..], |pin| pin.quantization.as_bytes()));
    add(body);
    add(&repeat.to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

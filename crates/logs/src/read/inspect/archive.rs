//! The members of an `.eval` file, which is a ZIP archive.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use crate::LogError;

/// First bytes of a ZIP archive.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// An `.eval` file.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let file = File::open(path).map_err(LogError::io("read", path))?;
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| {
            LogError::malformed(
                path,
                None,
                format!(
                    "the list of members at the end of the archive cannot be read ({error}); the file was cut off or \
                     is still being written: copy it anew, or recover it with 'inspect log recover'"
                ),
            )
        })?;
        Ok(Self { path: path.to_owned(), zip })
    }

    /// Names of the members, in their order; of several with one name only the last is there.
    pub(super) fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(Result::ok).map(String::from).collect()
    }

    /// Reads a member; `None` where there is none of that name.
    pub(super) fn member<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut dyn Read) -> Result<T, LogError>,
    ) -> Result<Option<T>, LogError> {
        let Some(index) = self.zip.index_for_name(name) else { return Ok(None) };
        let path = &self.path;
        let malformed = |error: &dyn std::fmt::Display| {
            LogError::malformed(
                path,
                name.to_owned(),
                format!("the member cannot be read: {error}; copy the file anew"),
            )
        };
        let raw = self.zip.by_index_raw(index).map_err(|error| malformed(&error))?;
        if raw.encrypted() {
            return Err(malformed(&"it is encrypted"));
        }
        let method = raw.compression();
        if method == CompressionMethod::ZSTD {
            let sum = raw.crc32();
            let decoder = zstd::Decoder::new(raw).map_err(|error| malformed(&error))?;
            return read(&mut Checked { inner: decoder, crc: flate2::Crc::new(), expect: sum }).map(Some);
        }
        drop(raw);
        if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(malformed(&format!("it is compressed by {method:?}; stored, deflate and zstd are known")));
        }
        let mut member = self.zip.by_index(index).map_err(|error| malformed(&error))?;
        read(&mut member).map(Some)
    }
}

/// Compares the check sum when the member ends.
struct Checked<R> {
    inner: R,
    crc: flate2::Crc,
    expect: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.crc.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.crc.sum() != self.expect {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the check sum does not fit"));
        }
        Ok(count)
    }
}

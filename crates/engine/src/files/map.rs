//! Memory-mapped files: the one place where a file becomes a slice.

use std::path::Path;

use memmap2::Mmap;

use super::FileError;

/// Maps a regular file that holds at least one byte.
pub(super) fn map(path: &Path) -> Result<Mmap, FileError> {
    let failed = |source| FileError::Unreadable { path: path.to_owned(), source };
    // Opening a pipe or a device could wait for ever; their metadata can be had without opening them.
    if !fs_err::metadata(path).map_err(failed)?.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let file = fs_err::File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length == 0 {
        return Err(FileError::Empty { path: path.to_owned() });
    }
    read_only(file.file()).map_err(failed)
}

#[expect(unsafe_code, reason = "mapping a file has no safe form")]
fn read_only(file: &std::fs::File) -> std::io::Result<Mmap> {
    // SAFETY: the map is private to this process and read-only. A program that changes the file meanwhile changes what is
    // read, and every number was checked against the length at the start; one that shortens it ends this process by a
    // signal, as for every program that maps weights.
    unsafe { Mmap::map(file) }
}

/// Lets the system take back the memory of a part of a map; it is read from the file again when it is looked at.
#[cfg(unix)]
#[expect(unsafe_code, reason = "what is dropped of a map that can be written would be lost")]
pub(super) fn set_aside(map: &Mmap, start: usize, bytes: usize) {
    // SAFETY: the map is read-only, so that what is dropped is still in the file. That the system declines is no harm.
    let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, bytes) };
}

/// Other systems decide by themselves.
#[cfg(not(unix))]
pub(super) fn set_aside(_: &Mmap, _: usize, _: usize) {}

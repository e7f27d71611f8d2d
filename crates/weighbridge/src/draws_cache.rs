//! Bootstrap draws of the index, kept from one run to the next in the user's cache directory.
//!
//! Draws take most of the time of `gap` and depend on nothing but the scores, the anchors, their number, the seed and the
//! program. The key of a file is a hash over all of these, so what is found under it is what would be drawn again. The
//! cache never decides an answer: a file that is damaged, cut short or of another key counts as absent, and a folder that
//! cannot be read or written only costs the time of fresh draws.
//!
//! A file is [`MAGIC`], the key, the number of models, the number of failed draws, the scores draw after draw, and the
//! BLAKE3 hash of all that; numbers are little-endian, scores are `f64`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blake3::{Hash, Hasher};
use fs_err as fs;
use weighbridge_gap::index::{Draws, Index};

/// First bytes of a file; the number counts versions of the form of file and key.
const MAGIC: &[u8] = b"weighbridge draws 1\n";
/// Bytes before the scores.
const HEAD: usize = MAGIC.len() + blake3::OUT_LEN + 2 * size_of::<u64>();
/// Draws that take more bytes are not kept.
const LARGEST: u64 = 64 << 20;
/// Files kept; the oldest go first.
const MOST_FILES: usize = 32;
/// Bytes kept in all.
const MOST_BYTES: u64 = 256 << 20;
/// End of the name of a file; the rest of it is the key.
const ENDING: &str = ".draws";
/// Start of the name of a file that is being written.
const UNFINISHED: &str = ".unfinished-";
/// An unfinished file of this age was left behind by a process that was stopped.
const ABANDONED: Duration = Duration::from_hours(1);

/// The folder of kept draws.
pub struct DrawsCache {
    folder: PathBuf,
    /// What tells this program file from every other.
    program: Hash,
}

impl DrawsCache {
    /// The cache of the user; `None` where the system names no cache directory or does not know the program file.
    pub fn of_user() -> Option<Self> {
        let dirs = directories::ProjectDirs::from("", "", "weighbridge")?;
        Some(Self { folder: dirs.cache_dir().join("draws"), program: program()? })
    }

    /// `count` draws of `index` under `seed`: those kept from an earlier run, or `fresh` ones, which are then kept.
    pub fn draws(&self, index: &Index, count: usize, seed: u64, fresh: &dyn Fn(&Index, usize, u64) -> Draws) -> Draws {
        let scores = count.saturating_mul(index.problem.models.len()) as u64;
        if scores.saturating_mul(size_of::<f64>() as u64) > LARGEST {
            return fresh(index, count, seed);
        }
        let key = self.key(index, count, seed);
        let path = self.folder.join(format!("{key}{ENDING}"));
        if let Some(draws) = read(&path, key, index.problem.models.len(), count) {
            return draws;
        }
        let draws = fresh(index, count, seed);
        // Draws that could not be kept are as good as others.
        if keep(&path, &encode(key, &draws)).is_ok() {
            let _ = sweep(&self.folder, &path);
        }
        draws
    }

    /// The hash of all that draws depend on.
    fn key(&self, index: &Index, count: usize, seed: u64) -> Hash {
        let mut hasher = Hasher::new();
        hasher.update(MAGIC).update(self.program.as_bytes());
        let problem = &index.problem;
        for names in [&problem.models, &problem.benchmarks] {
            number(&mut hasher, names.len());
            for name in names {
                text(&mut hasher, name);
            }
        }
        number(&mut hasher, problem.observations.len());
        for o in &problem.observations {
            number(&mut hasher, o.model);
            number(&mut hasher, o.benchmark);
            hasher.update(&o.score.to_le_bytes());
        }
        let [low, high] = index.anchors();
        for n in [low, high, problem.slope_anchor, count] {
            number(&mut hasher, n);
        }
        hasher.update(&seed.to_le_bytes());
        // The fit that draws start from tells apart machines whose elementary functions differ in the last digit.
        for score in &index.scores {
            hasher.update(&score.to_le_bytes());
        }
        hasher.finalize()
    }
}

/// Version, path, length and time of the program file: a build of other code differs in one of them.
fn program() -> Option<Hash> {
    let path = std::env::current_exe().ok()?;
    let file = fs::metadata(&path).ok()?;
    let modified = file.modified().ok()?;
    // Times before 1970 are told apart too.
    let (after, since) = match modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (1, since),
        Err(error) => (0, error.duration()),
    };
    let mut hasher = Hasher::new();
    text(&mut hasher, env!("CARGO_PKG_VERSION"));
    text(&mut hasher, &path.to_string_lossy());
    hasher.update(&file.len().to_le_bytes()).update(&[after]).update(&since.as_nanos().to_le_bytes());
    Some(hasher.finalize())
}

fn number(hasher: &mut Hasher, n: usize) {
    hasher.update(&(n as u64).to_le_bytes());
}

/// A text with its length, so that no two lists of texts look alike.
fn text(hasher: &mut Hasher, text: &str) {
    number(hasher, text.len());
    hasher.update(text.as_bytes());
}

fn encode(key: Hash, draws: &Draws) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(key.as_bytes());
    for n in [draws.models(), draws.failed] {
        bytes.extend((n as u64).to_le_bytes());
    }
    bytes.extend(draws.rows().flatten().flat_map(|score| score.to_le_bytes()));
    let check = blake3::hash(&bytes);
    bytes.extend(check.as_bytes());
    bytes
}

/// The draws of a file that holds exactly what is asked for.
fn decode(bytes: &[u8], key: Hash, models: usize, count: usize) -> Option<Draws> {
    let (content, check) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>()?;
    if blake3::hash(content) != *check {
        return None;
    }
    let (found, rest) = content.strip_prefix(MAGIC)?.split_first_chunk::<{ blake3::OUT_LEN }>()?;
    let (columns, rest) = rest.split_first_chunk()?;
    let (failed, rest) = rest.split_first_chunk()?;
    let failed = usize::try_from(u64::from_le_bytes(*failed)).ok()?;
    let (scores, odd) = rest.as_chunks();
    let draws = Draws::from_rows(models, scores.iter().map(|score| f64::from_le_bytes(*score)).collect(), failed);
    let whole = odd.is_empty() && draws.len() * models == scores.len();
    let asked = key == *found && u64::from_le_bytes(*columns) == models as u64;
    (whole && asked && draws.len().checked_add(failed) == Some(count)).then_some(draws)
}

fn read(path: &Path, key: Hash, models: usize, count: usize) -> Option<Draws> {
    let file = fs::metadata(path).ok()?;
    // Nothing but a file can be read to its end, and nothing longer was ever kept.
    if !file.is_file() || file.len() > LARGEST + (HEAD + blake3::OUT_LEN) as u64 {
        return None;
    }
    decode(&fs::read(path).ok()?, key, models, count)
}

/// Writes a file under another name and renames it: whoever reads sees the whole or nothing.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Removes the oldest files beyond the bounds, but not `newest`, and what stopped processes left behind.
fn sweep(folder: &Path, newest: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Another process may have removed it by now.
        let Ok(file) = entry.metadata() else { continue };
        let Some(time) = file.modified().ok().filter(|_| file.is_file()) else { continue };
        let age = now.duration_since(time).unwrap_or_default();
        if name.starts_with(UNFINISHED) && age > ABANDONED {
            let _ = fs::remove_file(entry.path());
        }
        // Only files of our own names are ever removed.
        if name.strip_suffix(ENDING).is_some_and(|key| Hash::from_hex(key).is_ok()) && entry.path() != newest {
            kept.push((age, entry.path(), file.len()));
        }
    }
    kept.sort();
    let (mut files, mut bytes) = (1, fs::metadata(newest)?.len());
    for (_, path, length) in kept {
        files += 1;
        bytes += length;
        if files > MOST_FILES || bytes > MOST_BYTES {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Hash {
        blake3::hash(name.as_bytes())
    }

    fn sample() -> Draws {
        Draws::from_rows(2, vec![1.0, 2.5, -0.0, f64::MIN_POSITIVE, 3.0, 4.0], 1)
    }

    #[test]
    fn draws_come_back_bit_by_bit() {
        let bytes = encode(key("a"), &sample());
        assert_eq!(bytes.len(), HEAD + 6 * 8 + blake3::OUT_LEN);
        let back = decode(&bytes, key("a"), 2, 4).unwrap();
        assert_eq!(back, sample());
        assert!(back.rows().flatten().zip(sample().rows().flatten()).all(|(a, b)| a.to_bits() == b.to_bits()));
        let none = Draws::from_rows(2, Vec::new(), 4);
        assert_eq!(decode(&encode(key("a"), &none), key("a"), 2, 4), Some(none));
    }

    #[test]
    fn what_is_not_exactly_asked_for_counts_as_absent() {
        let bytes = encode(key("a"), &sample());
        assert_eq!(decode(&bytes, key("b"), 2, 4), None, "another key");
        assert_eq!(decode(&bytes, key("a"), 3, 4), None, "another number of models");
        assert_eq!(decode(&bytes, key("a"), 2, 3), None, "another number of draws");
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end], key("a"), 2, 4), None, "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped, key("a"), 2, 4), None, "byte {at}");
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat(), key("a"), 2, 4), None, "one byte more");
    }

    #[test]
    fn the_folder_stays_within_its_bounds_and_foreign_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |n: usize| folder.path().join(format!("{}{ENDING}", key(&n.to_string())));
        let old = SystemTime::now() - 2 * ABANDONED;
        let age = |path: &Path, seconds: u64| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.file().set_modified(old + Duration::from_secs(seconds)).unwrap();
        };
        for n in 0..MOST_FILES + 5 {
            keep(&path(n), b"draws").unwrap();
            age(&path(n), n as u64);
        }
        for name in ["notes.draws", ".unfinished-old", "x"] {
            fs::write(folder.path().join(name), "").unwrap();
            age(&folder.path().join(name), 0);
        }
        fs::write(folder.path().join(".unfinished-new"), "").unwrap();
        // The one just written stays, even where its time says that it is the oldest.
        sweep(folder.path(), &path(0)).unwrap();
        let left: Vec<bool> = (0..MOST_FILES + 5).map(|n| path(n).exists()).collect();
        assert!(left[0] && !left[1..=5].iter().any(|&there| there) && left[6..].iter().all(|&there| there));
        for (name, there) in [("notes.draws", true), ("x", true), (".unfinished-new", true), (".unfinished-old", false)]
        {
            assert_eq!(folder.path().join(name).exists(), there, "{name}");
        }
        // A few large files are too many as well.
        let large = fs::OpenOptions::new().write(true).open(path(9)).unwrap();
        large.set_len(MOST_BYTES).unwrap();
        age(&path(9), 9);
        sweep(folder.path(), &path(0)).unwrap();
        assert!(path(0).exists() && path(10).exists() && !path(9).exists() && !path(8).exists());
    }
}

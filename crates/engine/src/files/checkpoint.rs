//! A checkpoint as it lies on disk: one GGUF file, one safetensors file, or a folder with shards, memory-mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::Deserialize;

use super::map::{map, set_aside};
use super::{Dtype, FileError, RawTensor, TensorInfo, dequantise, gguf, safetensors};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Largest config.json, in bytes; real ones have a few thousand.
const MAX_CONFIG: u64 = 4 << 20;
/// Largest index of shards, in bytes; that of a model with a hundred thousand tensors has ten million.
const MAX_INDEX: u64 = 64 << 20;

/// The two forms of a checkpoint, with what only one of them has.
#[derive(Debug)]
pub enum Layout {
    /// One GGUF file.
    Gguf(gguf::Header),
    /// safetensors, in one file or in shards.
    Safetensors {
        /// What config.json holds: an object.
        config: serde_json::Value,
        /// The header of each file, in the order of [`Checkpoint::files`].
        headers: Vec<safetensors::Header>,
    },
}

/// An open checkpoint. Its bytes are read from disk when they are looked at.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<PathBuf>,
    maps: Vec<Mmap>,
    layout: Layout,
    /// File and place in its header, by name.
    places: BTreeMap<String, (usize, usize)>,
    warnings: Vec<String>,
}

/// A matrix that is read row by row from its file, which it keeps open.
#[derive(Debug)]
pub struct Table {
    checkpoint: Arc<Checkpoint>,
    file: usize,
    /// In the file; it was there when the table was made, and the map does not change.
    bytes: Range<usize>,
    dtype: Dtype,
    /// Bytes of a row.
    stride: usize,
}

impl Table {
    /// The numbers of one row, which the table must have.
    ///
    /// # Errors
    /// The dtype is none that is decoded here.
    pub fn row(&self, row: usize, out: &mut [f32]) -> Result<(), FileError> {
        let data = &self.checkpoint.maps[self.file][self.bytes.clone()];
        dequantise(&self.dtype, &data[row * self.stride..][..self.stride], out)
    }
}

impl Checkpoint {
    /// Opens a .gguf file, a .safetensors file with config.json beside it, or a folder: config.json with
    /// model.safetensors or model.safetensors.index.json and its shards, or exactly one .gguf. What a file is, its
    /// content decides.
    ///
    /// # Errors
    /// There are no weights, a file is missing, a header breaks a rule, or the weights are a pickle.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let facts = fs_err::metadata(path);
        let facts = facts.map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
        if facts.is_dir() { Self::open_folder(path) } else { Self::open_file(path) }
    }

    /// The tensor of this name with its bytes.
    pub fn tensor(&self, name: &str) -> Option<RawTensor<'_>> {
        let (file, at) = *self.places.get(name)?;
        let info = self.headers().get(file)?.get(at)?;
        let data = self.maps.get(file)?.get(info.start..info.start + info.bytes)?;
        Some(RawTensor { info, data })
    }

    /// The tensor of this name as a table of rows.
    pub fn table(self: Arc<Self>, name: &str) -> Option<Table> {
        let (file, _) = *self.places.get(name)?;
        let RawTensor { info, data } = self.tensor(name)?;
        let stride = data.len() / info.shape.first().copied().unwrap_or(1).max(1);
        let bytes = info.start..info.start + info.bytes;
        let dtype = info.dtype;
        Some(Table { checkpoint: self, file, bytes, dtype, stride })
    }

    /// Says that the bytes of a tensor are not needed for now, so that they do not count as memory of this process.
    pub fn set_aside(&self, name: &str) {
        if let Some(tensor) = self.tensor(name)
            && let Some(map) = self.places.get(name).and_then(|&(file, _)| self.maps.get(file))
        {
            set_aside(map, tensor.info.start, tensor.info.bytes);
        }
    }

    /// Every tensor, file by file in the order of their data.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.headers().into_iter().flatten()
    }

    /// The header of a GGUF file; `None` for safetensors.
    pub fn gguf(&self) -> Option<&gguf::Header> {
        match &self.layout {
            Layout::Gguf(header) => Some(header),
            Layout::Safetensors { .. } => None,
        }
    }

    /// What config.json holds, an object; `None` for GGUF.
    pub fn config(&self) -> Option<&serde_json::Value> {
        match &self.layout {
            Layout::Gguf(_) => None,
            Layout::Safetensors { config, .. } => Some(config),
        }
    }

    /// Which of the two forms it has.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The folder that holds the weights, where tokenizer files lie too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files with weights, in the order of their names.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The bytes of each file, in the order of [`Checkpoint::files`].
    pub fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.maps.iter().map(|map| &**map)
    }

    /// What the headers show that can be read and should not be there.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn headers(&self) -> Vec<&[TensorInfo]> {
        match &self.layout {
            Layout::Gguf(header) => vec![&header.tensors],
            Layout::Safetensors { headers, .. } => headers.iter().map(|header| header.tensors.as_slice()).collect(),
        }
    }

    fn open_file(path: &Path) -> Result<Self, FileError> {
        let map = map(path)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        match Kind::of(&map) {
            Kind::Gguf => Self::of_gguf(path, folder, map),
            Kind::Pickle => Err(FileError::Pickle { path: path.to_owned() }),
            Kind::Archive(kind) => Err(FileError::Archive { path: path.to_owned(), kind }),
            Kind::Safetensors => {
                if shard_of_several(path) {
                    return Err(FileError::LoneShard { path: path.to_owned(), folder });
                }
                let header = read_header(path, &map)?;
                Self::of_safetensors(folder, vec![(path.to_owned(), map, header)])
            }
            // The reader of the format that the name promises says best what is wrong.
            Kind::Unknown => Err(match path.extension().and_then(|e| e.to_str()) {
                Some("gguf") => match gguf::Header::parse(&map) {
                    Err(source) => FileError::Gguf { path: path.to_owned(), source },
                    Ok(_) => FileError::UnknownFormat { path: path.to_owned() },
                },
                Some("safetensors") => match read_header(path, &map) {
                    Err(error) => error,
                    Ok(_) => FileError::UnknownFormat { path: path.to_owned() },
                },
                _ => FileError::UnknownFormat { path: path.to_owned() },
            }),
        }
    }

    fn open_folder(folder: &Path) -> Result<Self, FileError> {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Self::open_file(&single);
        }
        let index = folder.join(INDEX);
        if index.exists() {
            return Self::open_shards(folder, &index);
        }
        let names = file_names(folder)?;
        for extension in ["safetensors", "gguf"] {
            let of_kind: Vec<&String> = names.iter().filter(|name| has_extension(name, &[extension])).collect();
            match of_kind.as_slice() {
                [] => {}
                [one] => return Self::open_file(&folder.join(one)),
                several => {
                    let names = several.iter().map(|name| (*name).clone()).collect();
                    return Err(FileError::SeveralFiles { folder: folder.to_owned(), names });
                }
            }
        }
        for name in names.iter().filter(|name| has_extension(name, &["bin", "pt", "pth", "pkl", "ckpt"])) {
            let path = folder.join(name);
            if map(&path).is_ok_and(|map| Kind::of(&map) == Kind::Pickle) {
                return Err(FileError::Pickle { path });
            }
        }
        Err(FileError::NoWeights { folder: folder.to_owned() })
    }

    fn open_shards(folder: &Path, index: &Path) -> Result<Self, FileError> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let bytes = read_bounded(index, MAX_INDEX)?;
        let Index { weight_map } =
            serde_json::from_slice(&bytes).map_err(|source| FileError::Json { path: index.to_owned(), source })?;
        let shards: BTreeSet<&String> = weight_map.values().collect();
        let mut parts = Vec::new();
        for shard in shards {
            if !is_plain_name(shard) {
                return Err(FileError::ShardName { index: index.to_owned(), shard: shard.clone() });
            }
            let path = folder.join(shard);
            if !path.exists() {
                return Err(FileError::MissingShard { index: index.to_owned(), shard: shard.clone() });
            }
            let map = map(&path)?;
            if Kind::of(&map) == Kind::Pickle {
                return Err(FileError::Pickle { path });
            }
            let header = read_header(&path, &map)?;
            parts.push((path, map, header));
        }
        if parts.is_empty() {
            return Err(FileError::NoWeights { folder: folder.to_owned() });
        }
        let mut checkpoint = Self::of_safetensors(folder.to_owned(), parts)?;
        for (tensor, shard) in &weight_map {
            let found = checkpoint.places.get(tensor).and_then(|(file, _)| checkpoint.files.get(*file));
            if found.is_none_or(|file| *file != folder.join(shard)) {
                let (shard, tensor) = (shard.clone(), tensor.clone());
                return Err(FileError::NotInShard { index: index.to_owned(), shard, tensor });
            }
        }
        let unnamed = checkpoint.places.len() - weight_map.len();
        if unnamed > 0 {
            checkpoint.warnings.push(format!("{unnamed} tensors of the shards are not in {}", index.display()));
        }
        Ok(checkpoint)
    }

    fn of_gguf(path: &Path, folder: PathBuf, map: Mmap) -> Result<Self, FileError> {
        let header = gguf::Header::parse(&map).map_err(|source| FileError::Gguf { path: path.to_owned(), source })?;
        if let Some(count) = header.u64("split.count").filter(|count| *count > 1) {
            return Err(FileError::Split { path: path.to_owned(), count });
        }
        let places = header.tensors.iter().enumerate().map(|(at, info)| (info.name.clone(), (0, at))).collect();
        let warnings = header.warnings.clone();
        let files = vec![path.to_owned()];
        Ok(Self { folder, files, maps: vec![map], layout: Layout::Gguf(header), places, warnings })
    }

    fn of_safetensors(folder: PathBuf, parts: Vec<(PathBuf, Mmap, safetensors::Header)>) -> Result<Self, FileError> {
        let config = read_config(&folder)?;
        let mut places = BTreeMap::new();
        let mut warnings = Vec::new();
        let (mut files, mut maps, mut headers) = (Vec::new(), Vec::new(), Vec::new());
        for (file, (path, map, header)) in parts.into_iter().enumerate() {
            for (at, info) in header.tensors.iter().enumerate() {
                if let Some((first, _)) = places.insert(info.name.clone(), (file, at)) {
                    let first = files.get(first).cloned().unwrap_or_default();
                    return Err(FileError::InTwoShards { tensor: info.name.clone(), first, second: path });
                }
            }
            warnings.extend(header.warnings.iter().cloned());
            files.push(path);
            maps.push(map);
            headers.push(header);
        }
        Ok(Self { folder, files, maps, layout: Layout::Safetensors { config, headers }, places, warnings })
    }
}

/// What the content of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gguf,
    Safetensors,
    Pickle,
    Archive(&'static str),
    Unknown,
}

impl Kind {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(&gguf::MAGIC) {
            return Self::Gguf;
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return if zip_names_pickle(bytes) { Self::Pickle } else { Self::Archive("a zip archive") };
        }
        match bytes {
            [0x80, 2..=5, ..] => return Self::Pickle,
            [0x1f, 0x8b, ..] => return Self::Archive("a gzip archive"),
            [b'B', b'Z', b'h', ..] => return Self::Archive("a bzip2 archive"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => return Self::Archive("an xz archive"),
            [b'7', b'z', 0xbc, 0xaf, ..] => return Self::Archive("a 7z archive"),
            _ => {}
        }
        if bytes.get(8) == Some(&b'{') { Self::Safetensors } else { Self::Unknown }
    }
}

/// Whether a zip archive has an entry `data.pkl`, as PyTorch's has: its name stands in the first local header and in the
/// directory at the end.
fn zip_names_pickle(bytes: &[u8]) -> bool {
    const NEAR: usize = 64 << 10;
    let holds = |part: &[u8]| part.windows(8).any(|window| window == b"data.pkl");
    holds(&bytes[..bytes.len().min(NEAR)]) || holds(&bytes[bytes.len().saturating_sub(NEAR)..])
}

fn read_header(path: &Path, bytes: &[u8]) -> Result<safetensors::Header, FileError> {
    safetensors::Header::parse(bytes).map_err(|source| FileError::Safetensors { path: path.to_owned(), source })
}

fn read_config(folder: &Path) -> Result<serde_json::Value, FileError> {
    let path = folder.join(CONFIG);
    if !path.exists() {
        return Err(FileError::NoConfig { folder: folder.to_owned() });
    }
    let bytes = read_bounded(&path, MAX_CONFIG)?;
    let config: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|source| FileError::Json { path: path.clone(), source })?;
    if config.is_object() { Ok(config) } else { Err(FileError::NotSettings { path }) }
}

/// The content of a regular file that is not larger than it should be.
pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Unreadable { path: path.to_owned(), source };
    let facts = fs_err::metadata(path).map_err(failed)?;
    if !facts.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    if facts.len() > most {
        return Err(FileError::LargeJson { path: path.to_owned(), bytes: facts.len(), most });
    }
    fs_err::read(path).map_err(failed)
}

/// The names of the entries of a folder, sorted; names that are not text are left out.
fn file_names(folder: &Path) -> Result<Vec<String>, FileError> {
    let failed = |source| FileError::Unreadable { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|found| extensions.iter().any(|e| found.eq_ignore_ascii_case(e)))
}

/// Whether a shard is a file name and nothing more, so that an index cannot point outside its folder.
fn is_plain_name(shard: &str) -> bool {
    !shard.contains(['/', '\\', ':', '\0']) && !shard.starts_with('.') && has_extension(shard, &["safetensors"])
}

/// Whether a file is named as one shard of several: `model-00001-of-00003.safetensors`.
fn shard_of_several(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let count = stem.rsplit_once("-of-").and_then(|(_, count)| count.parse::<u32>().ok());
    count.is_some_and(|count| count > 1)
}

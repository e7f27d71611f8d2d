//! Where a lake lies, and how its files come into being.
//!
//! Everything is read through an object store. Writing is the one thing that knows of a folder: a file is complete and on
//! disk under a temporary name before it is renamed, so that a reader or a crash never meets half a file.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use fs_err as fs;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::NamedTempFile;

use crate::LakeError;
use crate::schema::{ImportRecord, LakeFile, SCHEMA_VERSION, Table};

/// What the names of our temporary and lock files begin with; a lake is not "occupied" by them.
const OWN_PREFIX: &str = ".weighbridge-";
const LAKE_FILE: &str = "lake.json";
const IMPORTS: &str = "imports";

/// Where a lake lies. Today a folder; an object-store URL is another way to make the same two things, a store and the
/// URL under which queries find it.
#[derive(Clone, Debug)]
pub struct LakeLocation {
    root: PathBuf,
    store: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
}

impl LakeLocation {
    /// The lake in a folder that exists.
    ///
    /// # Errors
    /// The folder cannot be resolved.
    pub fn folder(root: &Path) -> Result<Self, LakeError> {
        let root = std::fs::canonicalize(root).map_err(LakeError::io("open", root))?;
        let store = LocalFileSystem::new_with_prefix(&root).map_err(|e| LakeError::input(&root, e.to_string()))?;
        Ok(Self { root, store: Arc::new(store), url: ObjectStoreUrl::parse("lake://folder")? })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store that holds the files.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The URL under which a session registers the store.
    #[must_use]
    pub fn url(&self) -> &ObjectStoreUrl {
        &self.url
    }

    /// The URL of one part, as a session reads it.
    pub(crate) fn part_url(&self, table: Table, file: &str) -> String {
        format!("{}{}", self.url.as_str(), part_path(table, file))
    }

    pub(crate) fn on_disk(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Checks `lake.json`.
    pub(crate) async fn check_version(&self) -> Result<(), LakeError> {
        let bytes = match self.store.get(&ObjectPath::from(LAKE_FILE)).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Err(LakeError::NotALake(self.root.clone())),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|e| self.store_error("read", LAKE_FILE, e))?;
        let path = self.on_disk(LAKE_FILE);
        check_schema_version(&path, &bytes)?;
        parse::<LakeFile>(&path, &bytes).map(drop)
    }

    /// Reads every commit record, in the order of their ids.
    pub(crate) async fn records(&self) -> Result<Vec<ImportRecord>, LakeError> {
        let listed: Vec<_> = self
            .store
            .list(Some(&ObjectPath::from(IMPORTS)))
            .try_collect()
            .await
            .map_err(|e| self.store_error("list", IMPORTS, e))?;
        let mut paths: Vec<ObjectPath> = listed.into_iter().map(|meta| meta.location).filter(is_record).collect();
        paths.sort();
        let mut records = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = self.store.get(&path).await.map_err(|e| self.store_error("read", path.as_ref(), e))?;
            let bytes = bytes.bytes().await.map_err(|e| self.store_error("read", path.as_ref(), e))?;
            let path = self.on_disk(path.as_ref());
            check_schema_version(&path, &bytes)?;
            records.push(parse::<ImportRecord>(&path, &bytes)?);
        }
        Ok(records)
    }

    fn store_error(&self, doing: &'static str, path: &str, error: object_store::Error) -> LakeError {
        let source = io_cause(&error).unwrap_or_else(|| std::io::Error::from(error));
        LakeError::Io { doing, path: self.on_disk(path), cause: source }
    }
}

/// What the operating system said, under the wrappings of the store.
fn io_cause(error: &object_store::Error) -> Option<std::io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(std::io::Error::new(io.kind(), io.to_string()));
        }
        cause = error.source();
    }
    None
}

/// Makes the folder a lake where it is new or empty; leaves it alone where it is one.
pub(crate) fn create(root: &Path) -> Result<(), LakeError> {
    fs::create_dir_all(root).map_err(LakeError::io("create", root))?;
    if root.join(LAKE_FILE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(root).map_err(LakeError::io("read", root))? {
        let name = entry.map_err(LakeError::io("read", root))?.file_name();
        // Another process may be making the same lake at this moment: what it makes first is lake.json.
        if !name.to_string_lossy().starts_with(OWN_PREFIX) && name != LAKE_FILE {
            return if root.join(LAKE_FILE).exists() { Ok(()) } else { Err(LakeError::Occupied(root.to_owned())) };
        }
    }
    let mut bytes = serde_json::to_vec_pretty(&LakeFile { schema_version: SCHEMA_VERSION })
        .map_err(|e| LakeError::input(root, e.to_string()))?;
    bytes.push(b'\n');
    let mut temp = temporary(root)?;
    temp.write_all(&bytes).map_err(LakeError::io("write", root))?;
    publish(temp, &root.join(LAKE_FILE))
}

/// A temporary file beside the place where its content will lie.
pub(crate) fn temporary(folder: &Path) -> Result<NamedTempFile, LakeError> {
    fs::create_dir_all(folder).map_err(LakeError::io("create", folder))?;
    tempfile::Builder::new()
        .prefix(&format!("{OWN_PREFIX}tmp-"))
        .tempfile_in(folder)
        .map_err(LakeError::io("create a file in", folder))
}

/// Gives a finished temporary file its name, in a way that survives a crash of the machine.
pub(crate) fn publish(temp: NamedTempFile, path: &Path) -> Result<(), LakeError> {
    temp.as_file().sync_all().map_err(LakeError::io("write", path))?;
    readable_by_all(temp.as_file()).map_err(LakeError::io("write", path))?;
    temp.persist(path).map_err(|e| LakeError::io("write", path)(e.error))?;
    sync_folder(path)
}

/// Writes the commit record: from here on the import is visible.
pub(crate) fn commit(location: &LakeLocation, record: &ImportRecord) -> Result<(), LakeError> {
    let path = location.on_disk(&record_path(&record.id));
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|e| LakeError::input(&path, e.to_string()))?;
    bytes.push(b'\n');
    let mut temp = temporary(&location.on_disk(IMPORTS))?;
    temp.write_all(&bytes).map_err(LakeError::io("write", &path))?;
    publish(temp, &path)
}

/// BLAKE3 of a whole file, in hexadecimal.
pub(crate) fn hash_file(file: &mut std::fs::File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            n => hasher.update(&buffer[..n]),
        };
    }
}

/// Path of a part within the lake.
pub(crate) fn part_path(table: Table, file: &str) -> String {
    format!("tables/{table}/{file}")
}

fn record_path(id: &str) -> String {
    format!("{IMPORTS}/{id}.json")
}

/// A guard that other importers share, so that a sweep never removes what an import in progress has just written.
/// The operating system drops it with the process.
pub(crate) struct ImportLock(#[expect(dead_code, reason = "held for its lock")] std::fs::File);

impl ImportLock {
    /// Removes what crashed imports left behind, where nobody else is importing, and takes a share of the lock.
    ///
    /// `records` is called under the exclusive lock, so that it sees every commit.
    pub(crate) fn sweep_and_share(
        location: &LakeLocation,
        records: impl FnOnce() -> Result<Vec<ImportRecord>, LakeError>,
    ) -> Result<Self, LakeError> {
        let path = location.on_disk(&format!("{OWN_PREFIX}lock"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(LakeError::io("write", &path))?;
        if file.try_lock().is_ok() {
            sweep(location, &records()?)?;
            file.unlock().map_err(LakeError::io("unlock", &path))?;
        }
        file.lock_shared().map_err(LakeError::io("lock", &path))?;
        Ok(Self(file))
    }
}

fn sweep(location: &LakeLocation, records: &[ImportRecord]) -> Result<(), LakeError> {
    for table in Table::ALL {
        let named: std::collections::BTreeSet<&str> =
            records.iter().flat_map(|r| r.parts(table)).map(|part| part.file.as_str()).collect();
        sweep_folder(&location.on_disk(&format!("tables/{table}")), |name| {
            !named.contains(name) && (is_part(name) || name.starts_with(OWN_PREFIX))
        })?;
    }
    sweep_folder(&location.on_disk(IMPORTS), |name| name.starts_with(OWN_PREFIX))
}

fn sweep_folder(folder: &Path, orphan: impl Fn(&str) -> bool) -> Result<(), LakeError> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(LakeError::io("read", folder))? {
        let entry = entry.map_err(LakeError::io("read", folder))?;
        if orphan(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(LakeError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Only a name that we would have given is ours to remove.
fn is_part(name: &str) -> bool {
    name.strip_suffix(".parquet").is_some_and(|stem| stem.len() == 32 && stem.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_record(path: &ObjectPath) -> bool {
    path.filename()
        .and_then(|name| name.strip_suffix(".json"))
        .is_some_and(|stem| stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn check_schema_version(path: &Path, bytes: &[u8]) -> Result<(), LakeError> {
    let value: serde_json::Value = parse(path, bytes)?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(SCHEMA_VERSION) => Err(LakeError::NewerSchema { path: path.into(), found }),
        Some(_) => Ok(()),
        None => Err(LakeError::Record { path: path.into(), reason: "it has no schema_version".into() }),
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LakeError> {
    serde_json::from_slice(bytes).map_err(|e| LakeError::Record { path: path.into(), reason: e.to_string() })
}

/// A rename is on disk only once the folder is.
fn sync_folder(path: &Path) -> Result<(), LakeError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    if cfg!(windows) {
        return Ok(());
    }
    let file = std::fs::File::open(folder).map_err(LakeError::io("open", folder))?;
    file.sync_all().map_err(LakeError::io("write", folder))
}

/// Temporary files are made for their owner only; a lake may be shared.
#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

//! What is known of a batch between two starts of the program: a state file, and a list of the results that were taken.
//!
//! The state file is JSON of one version and is replaced as a whole, so that nobody ever sees half of it. Taken results
//! are lines that are only added, since a file of many requests is not written again for each of them; the last line
//! counts only with its end. Neither holds a key, a prompt or an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weighbridge_core::{Dialect, ErrorClass};

use super::error::BatchError;
use crate::endpoint::Endpoint;

/// Version of the state file.
pub const STATE_VERSION: u32 = 1;

/// The state file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) version: u32,
    /// Drawn at the beginning; names of batches and requests begin with it.
    pub(super) run: String,
    pub(super) provider: String,
    pub(super) base_url: String,
    pub(super) dialect: Dialect,
    pub(super) model: String,
    /// True once all requests have been seen: from then on none may come.
    pub(super) complete: bool,
    pub(super) parts: Vec<Part>,
    /// Requests that were not submitted, with the hash of what was asked: known from the cache, or not sent at all.
    #[serde(default)]
    pub(super) apart: BTreeMap<u64, String>,
    /// What was odd in the results that were taken.
    #[serde(default)]
    pub(super) findings: Findings,
}

/// One batch of the provider.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    /// Its requests by the names that they have at the provider.
    pub(super) requests: BTreeMap<String, Place>,
    /// File of its requests at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<InputFile>,
    /// When it was about to be submitted. With no id beside it, it may have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sending: Option<f64>,
    /// Its id at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch: Option<String>,
    /// When the id came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) submitted: Option<f64>,
    /// The provider's last word on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) word: Option<String>,
    /// When it was seen to have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<f64>,
    /// Why none of its requests has an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Refusal>,
    /// True once all of its results were taken.
    pub(super) done: bool,
}

/// A request within a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its position.
    pub(super) index: u64,
    /// Its hash, as the cache knows it.
    pub(super) hash: String,
}

/// A file at the provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InputFile {
    pub(super) id: String,
    /// When it was brought there; providers delete files after days.
    pub(super) at: f64,
}

/// What the provider said against a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) class: ErrorClass,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
}

/// What was odd in results. None of it changes a record: the first result of a request counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// Further results of a request that had one.
    pub duplicates: u64,
    /// Results of requests that are not of this batch.
    pub unknown: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// Requests without a result.
    pub missing: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Findings {
    /// Most examples that are kept.
    const EXAMPLES: usize = 10;

    pub(super) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push(text());
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.unknown += other.unknown;
        self.unreadable += other.unreadable;
        self.missing += other.missing;
        for example in other.examples {
            self.example(|| example);
        }
    }
}

/// A state with the files that keep it.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    pub(super) state: State,
    /// Positions of the requests whose record was handed over.
    pub(super) taken: BTreeSet<u64>,
    list: File,
}

impl Kept {
    /// Opens a state, or begins one.
    pub(super) fn open(path: &Path, endpoint: &Endpoint) -> Result<Self, BatchError> {
        let (mut list, list_path) = (open_list(path)?, beside(path, "taken"));
        lock(&list, path)?;
        let state = match std::fs::read(path) {
            Ok(bytes) => read_state(path, &bytes, endpoint)?,
            Err(error) if error.kind() == ErrorKind::NotFound => begun(endpoint)?,
            Err(source) => return Err(BatchError::File { path: path.to_owned(), source }),
        };
        let taken = read_list(&mut list, &state.run).map_err(|source| BatchError::File { path: list_path, source })?;
        let kept = Self { path: path.to_owned(), state, taken, list };
        kept.save()?;
        Ok(kept)
    }

    /// Writes the state.
    pub(super) fn save(&self) -> Result<(), BatchError> {
        let failed = |source| BatchError::File { path: self.path.clone(), source };
        let aside = beside(&self.path, "part");
        let content = serde_json::to_vec(&self.state).map_err(|error| failed(error.into()))?;
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(&content)?;
            // What was submitted must be known after a loss of power too.
            file.sync_data()?;
            std::fs::rename(&aside, &self.path)
        };
        write().map_err(failed)
    }

    /// Marks the result of a request as taken.
    pub(super) fn take(&mut self, index: u64) -> Result<(), BatchError> {
        if self.taken.insert(index) {
            let line = format!("{index}\n");
            self.list
                .write_all(line.as_bytes())
                .map_err(|source| BatchError::File { path: beside(&self.path, "taken"), source })?;
        }
        Ok(())
    }

    /// Where the results of a part are kept until all are taken.
    pub(super) fn results_path(&self, part: usize) -> PathBuf {
        beside(&self.path, &format!("{part}.jsonl"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Name of a part at the provider.
    pub(super) fn name(&self, part: usize) -> String {
        format!("weighbridge-{}-{part}", self.state.run)
    }

    /// Name of a request at the provider: letters and digits only, whatever its own name is.
    pub(super) fn custom_id(&self, index: u64) -> String {
        format!("{}-{index}", self.state.run)
    }
}

/// A file beside another, with a further ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(ending);
    name.into()
}

fn open_list(path: &Path) -> Result<File, BatchError> {
    let list = beside(path, "taken");
    if let Some(folder) = list.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| BatchError::File { path: folder.to_owned(), source })?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&list)
        .map_err(|source| BatchError::File { path: list, source })
}

/// Two processes with one state would submit everything twice.
fn lock(list: &File, path: &Path) -> Result<(), BatchError> {
    match list.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(BatchError::Busy { path: path.to_owned() }),
        // Some file systems know no locks.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(BatchError::File { path: beside(path, "taken"), source }),
    }
}

fn read_state(path: &Path, bytes: &[u8], endpoint: &Endpoint) -> Result<State, BatchError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let no_state = |why: String| BatchError::NoState { path: path.to_owned(), why };
    let version: Version = serde_json::from_slice(bytes).map_err(|error| no_state(error.to_string()))?;
    if version.version != STATE_VERSION {
        return Err(no_state(format!("version {}, expected {STATE_VERSION}", version.version)));
    }
    let state: State = serde_json::from_slice(bytes).map_err(|error| no_state(error.to_string()))?;
    let run = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !run(&state.run) {
        return Err(no_state("its run has no name".into()));
    }
    let was = [&state.provider, &state.base_url, state.dialect.as_str(), &state.model].map(str::to_owned);
    let is = [&endpoint.provider.id, &endpoint.base_url, endpoint.dialect.as_str(), &endpoint.model].map(str::to_owned);
    let words = |[provider, url, dialect, model]: [String; 4]| format!("{provider}:{model} at {url} ({dialect})");
    if was != is {
        return Err(BatchError::OtherRun { path: path.to_owned(), was: words(was), is: words(is) });
    }
    Ok(state)
}

fn begun(endpoint: &Endpoint) -> Result<State, BatchError> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| BatchError::Host {
        doing: "draw a name for the batch",
        class: ErrorClass::Unsupported,
        message: error.to_string(),
    })?;
    Ok(State {
        version: STATE_VERSION,
        run: format!("{:016x}", u64::from_le_bytes(random)),
        provider: endpoint.provider.id.clone(),
        base_url: endpoint.base_url.clone(),
        dialect: endpoint.dialect,
        model: endpoint.model.clone(),
        complete: false,
        parts: Vec::new(),
        apart: BTreeMap::new(),
        findings: Findings::default(),
    })
}

/// The positions in a list of the same run; a list of another run is emptied, and so is what follows the last whole line.
fn read_list(list: &mut File, run: &str) -> std::io::Result<BTreeSet<u64>> {
    let mut bytes = Vec::new();
    list.read_to_end(&mut bytes)?;
    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    let mut lines = text.lines();
    if lines.next() == Some(run) {
        list.set_len(whole as u64)?;
        list.seek(SeekFrom::End(0))?;
        return Ok(lines.filter_map(|line| line.parse().ok()).collect());
    }
    list.set_len(0)?;
    list.seek(SeekFrom::Start(0))?;
    list.write_all(format!("{run}\n").as_bytes())?;
    Ok(BTreeSet::new())
}

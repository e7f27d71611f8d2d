//! Weights from the Hugging Face hub by an id such as `hf:EleutherAI/gpt-neo-125m@<revision>`: fetched once, then offline.
//!
//! The files lie in the hub's usual cache, so that other programs share them. A revision must be named; a full commit is
//! read from the cache without asking anybody, a branch is resolved to its commit first. Only the configuration, the
//! tokenizer and safetensors or one GGUF file are fetched; pickle files, which run code when they are loaded, never.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

/// Files beside the weights that are fetched where the repository has them.
const BESIDE: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
];
const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// An index of shards is larger than this for no model.
const LARGEST_INDEX: u64 = 64 << 20;

/// Whether the hub may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Network {
    /// Where the cache lacks something.
    #[default]
    Allowed,
    /// Never; what the cache lacks is an error.
    Never,
}

/// Where models come from and where they are kept.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The hub's address.
    pub endpoint: String,
    /// The cache folder, the one with `models--OWNER--NAME` in it; without one, nothing can be resolved.
    pub cache: Option<PathBuf>,
    /// The token for gated and private models; without one, the file `token` beside the cache folder.
    pub token: Option<String>,
    /// Whether the hub may be asked.
    pub network: Network,
}

impl HubOptions {
    /// As the hub's own tools read the environment: `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN`,
    /// `HF_HUB_OFFLINE`.
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || path("HF_HOME").map(|home| home.join("hub"));
        let shared = || path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub"));
        let own = || std::env::home_dir().map(|home| home.join(".cache/huggingface/hub"));
        let offline = text("HF_HUB_OFFLINE")
            .is_some_and(|text| ["1", "true", "yes", "on"].contains(&text.to_lowercase().as_str()));
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache: path("HF_HUB_CACHE").or_else(home).or_else(shared).or_else(own),
            token: text("HF_TOKEN"),
            network: if offline { Network::Never } else { Network::Allowed },
        }
    }
}

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The id is not of the form.
    #[error("'{spec}' is no hub id: {reason}; expected hf:OWNER/NAME@REVISION or hf:OWNER/NAME@REVISION/FILE.gguf")]
    Spec {
        /// The id as it was given.
        spec: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no folder to keep files in.
    #[error("no cache folder is known: set HF_HUB_CACHE to a folder for models")]
    NoCache,
    /// The cache lacks it, and the hub may not be asked.
    #[error("{spec} is not complete in {}, and HF_HUB_OFFLINE forbids to fetch it; unset that, or fetch it elsewhere", .cache.display())]
    Offline {
        /// The id.
        spec: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The hub does not have it.
    #[error("the hub has no {what} ({address}); check the owner, the name and the revision")]
    NotFound {
        /// The repository or file.
        what: String,
        /// What was asked for.
        address: String,
    },
    /// The hub does not give it to everybody.
    #[error(
        "the hub refuses {what} (status {status}): it is gated or private; accept its terms on its page and set HF_TOKEN"
    )]
    Gated {
        /// The repository or file.
        what: String,
        /// 401 or 403.
        status: u16,
    },
    /// The hub cannot be asked.
    #[error("{address} cannot be fetched: {reason}; check the network and HF_ENDPOINT, then try again")]
    Request {
        /// What was asked for.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The hub's answer cannot be used.
    #[error("the hub's answer for {what} cannot be used: {reason}; check HF_ENDPOINT")]
    Answer {
        /// The repository or file.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// All weights are pickle files.
    #[error(
        "{repository} has only pickle weights ({example}), which run code when loaded; ask for a safetensors version"
    )]
    Pickle {
        /// The repository.
        repository: String,
        /// One of them.
        example: String,
    },
    /// There are no weights that can be loaded.
    #[error("{repository} has no weights that load here: expected model.safetensors or its shards{hint}")]
    NoWeights {
        /// The repository.
        repository: String,
        /// The GGUF files that could be named.
        hint: String,
    },
    /// A file of the cache cannot be read.
    #[error("{} cannot be read: {reason}; delete it and try again", .path.display())]
    Cached {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// A hub id in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `OWNER/NAME`.
    pub repository: String,
    /// A commit, a tag or a branch.
    pub revision: String,
    /// The GGUF file, if one is named.
    pub file: Option<String>,
}

impl Spec {
    /// Takes an id apart.
    ///
    /// # Errors
    /// It is not of the form, or has no revision.
    pub fn parse(spec: &str) -> Result<Self, HubError> {
        let wrong = |reason| HubError::Spec { spec: spec.chars().take(200).collect(), reason };
        let rest = spec.strip_prefix("hf:").ok_or_else(|| wrong("it does not begin with 'hf:'"))?;
        let (repository, rest) = rest
            .split_once('@')
            .ok_or_else(|| wrong("it names no revision, without which a result cannot be made again"))?;
        let (owner, name) = repository.split_once('/').ok_or_else(|| wrong("it names no owner"))?;
        let (revision, file) = match rest.split_once('/') {
            Some((revision, file)) => (revision, Some(file)),
            None => (rest, None),
        };
        if !plain(owner) || !plain(name) {
            return Err(wrong("owner and name have letters, digits, '-', '_' and '.' only"));
        }
        if !plain(revision) {
            return Err(wrong("the revision is not a commit, a tag or a branch"));
        }
        if let Some(file) = file
            && !(file.split('/').all(plain) && is(file, "gguf"))
        {
            return Err(wrong("only a .gguf file can be named"));
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.to_owned(), file: file.map(str::to_owned) })
    }

    fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }
}

/// One part of a path that stays where it is.
fn plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 200 && !part.starts_with('.') && part.chars().all(allowed)
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// A model in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The folder of the snapshot, or the GGUF file that was named.
    pub path: PathBuf,
    /// The commit, in full: write this one down, where a branch was named.
    pub commit: String,
}

/// The path of a model: see [`fetch`].
///
/// # Errors
/// As [`fetch`].
pub fn resolve(spec: &str, options: &HubOptions) -> Result<PathBuf, HubError> {
    fetch(spec, options).map(|resolved| resolved.path)
}

/// Finds a model in the cache, or brings it there. A full commit that is complete in the cache is found without any request.
///
/// # Errors
/// The id is wrong, the hub does not have it or does not give it, or its weights are of no kind that loads here.
pub fn fetch(spec: &str, options: &HubOptions) -> Result<Resolved, HubError> {
    let parsed = Spec::parse(spec)?;
    let root = options.cache.clone().ok_or(HubError::NoCache)?;
    // Links in the cache are made from absolute paths.
    let root = std::path::absolute(&root)
        .map_err(|error| HubError::Cached { path: root.clone(), reason: error.to_string() })?;
    let cache = Cache::new(root.clone());
    let offline = options.network == Network::Never;
    let known = if parsed.is_commit() { Some(parsed.revision.clone()) } else { remembered(&root, &parsed) };
    if let Some(commit) = known.filter(|_| offline || parsed.is_commit())
        && let Some(path) = cached(&cache, &parsed, &commit)?
    {
        return Ok(Resolved { path, commit });
    }
    if offline {
        return Err(HubError::Offline { spec: spec.to_owned(), cache: root });
    }
    download(&parsed, options, &cache)
}

/// The commit that a branch had when it was last asked for.
fn remembered(root: &Path, spec: &Spec) -> Option<String> {
    let folder = format!("models--{}", spec.repository.replace('/', "--"));
    let commit = fs_err::read_to_string(root.join(folder).join("refs").join(&spec.revision)).ok()?;
    Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
}

/// The path of a model that is complete in the cache. Weights are fetched last, so that where they are, all else is too.
fn cached(cache: &Cache, spec: &Spec, commit: &str) -> Result<Option<PathBuf>, HubError> {
    let folder = cache.model(spec.repository.clone()).pointer_path(commit);
    if let Some(file) = &spec.file {
        return Ok(Some(folder.join(file)).filter(|path| path.is_file()));
    }
    let there = |name: &str| folder.join(name).is_file();
    if !there("config.json") {
        return Ok(None);
    }
    let complete = there(WHOLE) || (there(INDEX) && shards(&folder.join(INDEX))?.iter().all(|shard| there(shard)));
    Ok(complete.then_some(folder))
}

/// The files that an index of shards names.
fn shards(index: &Path) -> Result<Vec<String>, HubError> {
    let wrong = |reason: String| HubError::Cached { path: index.to_owned(), reason };
    let bytes = fs_err::metadata(index).map_err(|error| wrong(error.to_string()))?.len();
    if bytes > LARGEST_INDEX {
        return Err(wrong(format!("it has {bytes} bytes; at most {LARGEST_INDEX} are read")));
    }
    let contents = fs_err::read(index).map_err(|error| wrong(error.to_string()))?;
    let index: serde_json::Value = serde_json::from_slice(&contents).map_err(|error| wrong(error.to_string()))?;
    let map = index.get("weight_map").and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| wrong("it has no \"weight_map\"".to_owned()))?;
    let mut names: Vec<String> = map.values().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    names.sort_unstable();
    names.dedup();
    match names.iter().find(|name| !plain(name) || !is(name, "safetensors")) {
        Some(name) => Err(wrong(format!("it names '{name:.100}' as a shard"))),
        None if names.is_empty() => Err(wrong("it names no shard".to_owned())),
        None => Ok(names),
    }
}

struct Remote {
    api: Api,
    repo: ApiRepo,
    repository: String,
    commit: String,
}

fn download(spec: &Spec, options: &HubOptions, cache: &Cache) -> Result<Resolved, HubError> {
    let repository = &spec.repository;
    let mut builder = ApiBuilder::from_cache(cache.clone())
        .with_endpoint(options.endpoint.trim_end_matches('/').to_owned())
        .with_progress(false)
        .with_retries(3);
    if options.token.is_some() {
        builder = builder.with_token(options.token.clone());
    }
    let named = Repo::with_revision(repository.clone(), RepoType::Model, spec.revision.clone());
    let address = format!("{}/api/{}", options.endpoint.trim_end_matches('/'), named.api_url());
    let what = format!("{repository}@{}", spec.revision);
    let api = builder.build().map_err(|error| failed(&error, &what, &address))?;
    let info = api.repo(named.clone()).info().map_err(|error| failed(&error, &what, &address))?;
    let commit = info.sha;
    if !is_commit(&commit) || (spec.is_commit() && commit != spec.revision) {
        let reason = format!("it says that the commit is '{commit:.60}'");
        return Err(HubError::Answer { what, reason });
    }
    let files: Vec<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
    let pinned = Repo::with_revision(repository.clone(), RepoType::Model, commit.clone());
    let remote = Remote { repo: api.repo(pinned), api, repository: repository.clone(), commit: commit.clone() };

    let path = if let Some(file) = &spec.file {
        if !files.contains(&file.as_str()) {
            return Err(HubError::NotFound { what: format!("{file} in {what}"), address: remote.repo.url(file) });
        }
        remote.file(file)?
    } else {
        let weights = [WHOLE, INDEX].into_iter().find(|name| files.contains(name));
        let weights = weights.ok_or_else(|| no_weights(repository, &files))?;
        for name in BESIDE.into_iter().filter(|name| files.contains(name)) {
            remote.file(name)?;
        }
        let path = remote.file(weights)?;
        if weights == INDEX {
            for shard in shards(&path)? {
                remote.file(&shard)?;
            }
        }
        path.parent().map(Path::to_owned).unwrap_or_default()
    };
    if !spec.is_commit() {
        let kept = cache.repo(named).create_ref(&commit);
        kept.map_err(|error| HubError::Cached { path: cache.path().clone(), reason: error.to_string() })?;
    }
    Ok(Resolved { path, commit })
}

impl Remote {
    /// Fetches one file, unless the cache has it.
    fn file(&self, name: &str) -> Result<PathBuf, HubError> {
        let address = self.repo.url(name);
        let what = format!("{name} in {}@{}", self.repository, self.commit);
        // Names that the server chooses become paths of the cache.
        let facts = self.api.metadata(&address).map_err(|error| failed(&error, &what, &address))?;
        if facts.commit_hash() != self.commit {
            let reason = format!("it is of the commit '{:.60}'", facts.commit_hash());
            return Err(HubError::Answer { what, reason });
        }
        if !plain(facts.etag()) {
            let reason = format!("its ETag is '{:.60}'", facts.etag());
            return Err(HubError::Answer { what, reason });
        }
        let path = self.repo.get(name).map_err(|error| failed(&error, &what, &address))?;
        let bytes = fs_err::metadata(&path).map(|facts| facts.len());
        match bytes {
            Ok(bytes) if bytes == facts.size() as u64 => Ok(path),
            Ok(bytes) => {
                let reason = format!("it has {bytes} bytes, the hub says {}", facts.size());
                Err(HubError::Cached { path, reason })
            }
            Err(error) => Err(HubError::Cached { path, reason: error.to_string() }),
        }
    }
}

fn no_weights(repository: &str, files: &[&str]) -> HubError {
    let repository = repository.to_owned();
    let of = |extensions: &[&str]| {
        let wanted = |name: &&&str| extensions.iter().any(|extension| is(name, extension));
        files.iter().filter(wanted).take(10).map(|name| (*name).to_owned()).collect::<Vec<String>>()
    };
    let gguf = of(&["gguf"]);
    if !gguf.is_empty() {
        let hint = format!("; it has GGUF files, name one of them after the revision: {}", gguf.join(", "));
        return HubError::NoWeights { repository, hint };
    }
    match of(&["bin", "pt", "pth", "ckpt", "pkl"]).into_iter().next() {
        Some(example) => HubError::Pickle { repository, example },
        None => HubError::NoWeights { repository, hint: String::new() },
    }
}

fn failed(error: &ApiError, what: &str, address: &str) -> HubError {
    let (what, address, reason) = (what.to_owned(), address.to_owned(), error.to_string());
    // The library does not name its client's error, only writes it.
    let status = reason.rsplit_once("http status: ").and_then(|(_, status)| status.trim().parse::<u16>().ok());
    match status {
        Some(status @ (401 | 403)) => HubError::Gated { what, status },
        Some(404) => HubError::NotFound { what, address },
        _ => HubError::Request { address, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_apart() {
        let parsed = Spec::parse("hf:a-b/C.1@main/sub/x.Q4_K_M.gguf").unwrap();
        assert_eq!((parsed.repository.as_str(), parsed.revision.as_str()), ("a-b/C.1", "main"));
        assert_eq!(parsed.file.as_deref(), Some("sub/x.Q4_K_M.gguf"));
        assert_eq!(Spec::parse("hf:a/b@v1").unwrap().file, None);
        for (spec, reason) in [
            ("a/b@main", "begin with 'hf:'"),
            ("hf:a/b", "names no revision"),
            ("hf:b@main", "names no owner"),
            ("hf:../b@main", "letters, digits"),
            ("hf:a/b/c@main", "letters, digits"),
            ("hf:a/b@", "is not a commit"),
            ("hf:a/b@..", "is not a commit"),
            ("hf:a/b@main/model.bin", "only a .gguf file"),
            ("hf:a/b@main/../x.gguf", "only a .gguf file"),
        ] {
            let error = Spec::parse(spec).unwrap_err().to_string();
            assert!(error.contains(reason), "{spec}: {error}");
        }
    }
}

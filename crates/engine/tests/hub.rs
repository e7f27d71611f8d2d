//! Weights by hub id, against a local server that speaks the hub's routes.

#![expect(clippy::unwrap_used, reason = "a test stops where its input cannot be read")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use weighbridge_engine::hub::{HubError, HubOptions, Network, fetch, resolve};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

type Files = BTreeMap<String, Vec<u8>>;

/// Repositories by name; `gated` in the name asks for a token, `liar` gives file names of its own choice.
struct Hub {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    fn new(repositories: BTreeMap<String, Files>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                answer(stream.unwrap(), &repositories, &log);
            }
        });
        Self { endpoint, asked, stop, thread: Some(thread) }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn options(&self, cache: &Path) -> HubOptions {
        HubOptions {
            endpoint: self.endpoint.clone(),
            cache: Some(cache.to_owned()),
            token: None,
            network: Network::Allowed,
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, repositories: &BTreeMap<String, Files>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    let headers: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let found =
            headers.iter().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| value.to_owned())
    };
    let path = request.split(' ').nth(1).unwrap().to_owned();
    log.lock().unwrap().push(path.clone());
    let parts: Vec<&str> = path.trim_start_matches('/').splitn(6, '/').collect();
    let (status, extra, body) = match parts.as_slice() {
        ["api", "models", owner, name, "revision", revision] => match repositories.get(&format!("{owner}/{name}")) {
            _ if name.contains("gated") && header("authorization").as_deref() != Some("Bearer secret") => {
                (401, String::new(), b"{}".to_vec())
            }
            Some(files) if ["main", COMMIT].contains(revision) => {
                let sha = if name.contains("moved") { COMMIT.replace('0', "f") } else { COMMIT.to_owned() };
                let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
                (200, String::new(), serde_json::json!({"sha": sha, "siblings": siblings}).to_string().into_bytes())
            }
            _ => (404, String::new(), b"{}".to_vec()),
        },
        [owner, name, "resolve", COMMIT, file @ ..] => {
            match repositories.get(&format!("{owner}/{name}")).and_then(|files| files.get(&file.join("/"))) {
                Some(bytes) => {
                    let range = header("range").unwrap();
                    let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
                    let first: usize = first.parse().unwrap();
                    let end = last.parse::<usize>().map_or(bytes.len(), |last| last + 1).min(bytes.len());
                    let etag = if name.contains("liar") { "../../../evil".to_owned() } else { file.join("-") };
                    let extra = format!(
                        "ETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Range: bytes {first}-{}/{}\r\n",
                        end.saturating_sub(1),
                        bytes.len()
                    );
                    (206, extra, bytes[first..end].to_vec())
                }
                None => (404, String::new(), Vec::new()),
            }
        }
        _ => (404, String::new(), Vec::new()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{extra}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
}

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

fn hub(repositories: &[(&str, Files)]) -> Hub {
    Hub::new(repositories.iter().map(|(name, files)| ((*name).to_owned(), files.clone())).collect())
}

#[test]
fn a_model_is_fetched_once_and_then_offline() {
    let Some(source) = weighbridge_reference::path("data/models/gptneo-tiny-random") else { return };
    let mut model = files(&[("pytorch_model.bin", "pickle"), ("README.md", "words"), ("onnx/model.onnx", "graph")]);
    for entry in std::fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        model.insert(entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap());
    }
    let hub = hub(&[("weighbridge/tiny", model)]);
    let cache = tempfile::tempdir().unwrap();
    let options = hub.options(cache.path());
    let spec = format!("hf:weighbridge/tiny@{COMMIT}");

    let folder = resolve(&spec, &options).unwrap();
    assert_eq!(folder, cache.path().join("models--weighbridge--tiny/snapshots").join(COMMIT));
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "generation_config.json", "model.safetensors"]);
    for name in names {
        assert_eq!(std::fs::read(folder.join(&name)).unwrap(), std::fs::read(source.join(&name)).unwrap(), "{name}");
    }
    assert!(!hub.asked().is_empty());

    // Complete in the cache: nobody is asked.
    assert_eq!(resolve(&spec, &options).unwrap(), folder);
    assert_eq!(hub.asked(), [""; 0]);
    // A branch is asked for once more, names its commit, and is known afterwards.
    let branch = fetch("hf:weighbridge/tiny@main", &options).unwrap();
    assert_eq!((branch.path, branch.commit.as_str()), (folder.clone(), COMMIT));
    drop(hub);
    assert_eq!(resolve(&spec, &options).unwrap(), folder);
    let offline = HubOptions { network: Network::Never, ..options.clone() };
    assert_eq!(resolve("hf:weighbridge/tiny@main", &offline).unwrap(), folder);
    let error = resolve("hf:weighbridge/other@main", &offline).unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
    let error = resolve("hf:weighbridge/other@main", &options).unwrap_err().to_string();
    assert!(error.contains("/api/models/weighbridge/other/revision/main cannot be fetched"), "{error}");
    let _loads = weighbridge_engine::files::Checkpoint::open(&folder).unwrap();
}

#[test]
fn shards_and_gguf_files_are_fetched_alone() {
    let index =
        r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    let hub = hub(&[
        (
            "o/sharded",
            files(&[
                ("config.json", "{}"),
                ("model.safetensors.index.json", index),
                ("model-1.safetensors", "one"),
                ("model-2.safetensors", "two"),
                ("other.safetensors", "no"),
            ]),
        ),
        ("o/gguf", files(&[("config.json", "{}"), ("x.Q4_0.gguf", "four"), ("sub/x.Q8_0.gguf", "eight")])),
        (
            "o/escape",
            files(&[
                ("config.json", "{}"),
                ("model.safetensors.index.json", r#"{"weight_map": {"a": "../../x.safetensors"}}"#),
            ]),
        ),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let options = hub.options(cache.path());
    let folder = resolve(&format!("hf:o/sharded@{COMMIT}"), &options).unwrap();
    assert_eq!(std::fs::read(folder.join("model-2.safetensors")).unwrap(), b"two");
    assert!(!folder.join("other.safetensors").exists());
    // A shard that is missing is fetched again, and nothing else of what is there.
    std::fs::remove_file(folder.join("model-2.safetensors")).unwrap();
    resolve(&format!("hf:o/sharded@{COMMIT}"), &options).unwrap();
    assert!(folder.join("model-2.safetensors").exists());

    let file = resolve(&format!("hf:o/gguf@{COMMIT}/sub/x.Q8_0.gguf"), &options).unwrap();
    assert!(file.ends_with("sub/x.Q8_0.gguf"), "{}", file.display());
    assert_eq!(std::fs::read(&file).unwrap(), b"eight");
    hub.asked();
    assert_eq!(resolve(&format!("hf:o/gguf@{COMMIT}/sub/x.Q8_0.gguf"), &options).unwrap(), file);
    assert_eq!(hub.asked(), [""; 0]);

    let error = resolve(&format!("hf:o/gguf@{COMMIT}"), &options).unwrap_err().to_string();
    assert!(error.contains("name one of them after the revision: sub/x.Q8_0.gguf, x.Q4_0.gguf"), "{error}");
    let error = resolve(&format!("hf:o/escape@{COMMIT}"), &options).unwrap_err().to_string();
    assert!(error.contains("it names '../../x.safetensors' as a shard"), "{error}");
}

#[test]
fn what_cannot_be_had_is_said() {
    let model = || files(&[("config.json", "{}"), ("model.safetensors", "w")]);
    let hub = hub(&[
        ("o/model", model()),
        ("o/gated", model()),
        ("o/liar", model()),
        ("o/moved", model()),
        ("o/pickle", files(&[("config.json", "{}"), ("pytorch_model.bin", "pickle")])),
        ("o/empty", files(&[("README.md", "")])),
    ]);
    let cache = tempfile::tempdir().unwrap();
    let options = hub.options(cache.path());
    let wrong = COMMIT.replace('0', "1");
    for (spec, message) in [
        (format!("hf:o/model@{wrong}"), "the hub has no o/model@1123"),
        (format!("hf:o/nothing@{COMMIT}"), "the hub has no o/nothing@0123"),
        (format!("hf:o/model@{COMMIT}/x.gguf"), "the hub has no x.gguf in o/model@0123"),
        (format!("hf:o/gated@{COMMIT}"), "status 401): it is gated or private"),
        (format!("hf:o/liar@{COMMIT}"), "its ETag is '../../../evil'"),
        (format!("hf:o/moved@{COMMIT}"), "it says that the commit is 'f123"),
        (format!("hf:o/pickle@{COMMIT}"), "only pickle weights (pytorch_model.bin)"),
        (format!("hf:o/empty@{COMMIT}"), "expected model.safetensors or its shards"),
        ("hf:o/model".to_owned(), "names no revision"),
    ] {
        let error = resolve(&spec, &options).unwrap_err().to_string();
        assert!(error.contains(message), "{spec}: {error}");
    }
    let with_token = HubOptions { token: Some("secret".to_owned()), ..options };
    assert!(resolve(&format!("hf:o/gated@{COMMIT}"), &with_token).is_ok());
    let error = resolve("hf:o/model@main", &HubOptions { cache: None, ..with_token }).unwrap_err();
    assert!(matches!(error, HubError::NoCache), "{error}");
}

//! Models by hub id, from a server of the test: fetched once, and asked without the network afterwards.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use serde_json::json;
use weighbridge_reference::path;

use crate::home::{Home, argument};
use crate::weights::Speaker;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One repository, `owner/name`, at one commit.
struct Hub {
    endpoint: String,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                answer(stream.expect("a connection"), &files);
            }
        });
        Self { endpoint, asked, stop, thread: Some(thread) }
    }

    /// Requests since this was asked last.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        self.thread.take().map(JoinHandle::join);
    }
}

/// The two routes of the hub: what a revision holds, and a range of a file.
fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    let request = lines.next().expect("a request").expect("text");
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let info = ["main", COMMIT].map(|revision| format!("/api/models/owner/name/revision/{revision}"));
    let file = path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/")).and_then(|name| files.get_key_value(name));
    let (status, more, body) = if info.iter().any(|route| route == path) {
        let siblings: Vec<_> = files.keys().map(|name| json!({"rfilename": name})).collect();
        (200, String::new(), json!({"sha": COMMIT, "siblings": siblings}).to_string().into_bytes())
    } else if let Some((name, bytes)) = file {
        let range =
            headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let range = range.expect("a range");
        let (first, last) = range.split_once('-').expect("two ends");
        let first: usize = first.parse().expect("a number");
        let end = last.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
        let more = format!(
            "ETag: \"{name}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Range: bytes {first}-{}/{}\r\n",
            end.saturating_sub(1),
            bytes.len()
        );
        (206, more, bytes[first..end].to_vec())
    } else {
        (404, String::new(), Vec::new())
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).expect("an answer");
}

#[test]
fn a_folder_is_fetched_once_and_used_offline() {
    let Some(folder) = path("data/models/gptneo-tiny-random") else { return };
    let read = |name: &str| (name.to_owned(), std::fs::read(folder.join(name)).expect("a file"));
    let hub = Hub::new([read("config.json"), read("model.safetensors")].into());
    let home = Home::fresh().variable("HF_ENDPOINT", &hub.endpoint);
    let id = format!("hf:owner/name@{COMMIT}");
    let args = ["logits", &id, "--ids", "1,2,3"];
    let first = home.answer(&args);
    assert_eq!(first, home.answer(&["logits", &argument(&folder), "--ids", "1,2,3"]));
    assert!(hub.asked() >= 3, "the commit and two files");
    assert_eq!((home.answer(&args), hub.asked()), (first.clone(), 0), "a commit never changes");
    let branch = ["logits", "hf:owner/name@main", "--ids", "1,2,3"];
    assert_eq!(home.answer(&branch), first);
    let endpoint = hub.endpoint.clone();
    drop(hub);

    // Nobody answers any more.
    assert_eq!(home.answer(&args), first);
    let home = home.variable("HF_HUB_OFFLINE", "1");
    assert_eq!(home.answer(&args), first);
    assert_eq!(home.answer(&branch), first);
    let message = home.refusal(&["logits", "hf:owner/other@main", "--ids", "1"], 3);
    assert!(message.contains("HF_HUB_OFFLINE forbids to fetch it"), "{message}");
    let message = Home::fresh().variable("HF_ENDPOINT", &endpoint).refusal(&args, 3);
    assert!(message.contains("cannot be fetched"), "{message}");
}

#[test]
fn one_gguf_file_is_fetched_and_asked() {
    let hub = Hub::new([("m.gguf".to_owned(), Speaker { says: b'!', ..Speaker::default() }.bytes())].into());
    let home = Home::fresh().variable("HF_ENDPOINT", &hub.endpoint);
    let run = home.run(&["ask", &format!("hf:owner/name@{COMMIT}/m.gguf"), "a", "--max-tokens", "4"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "!!!!\n"), "{}", run.err);

    let missing = format!("hf:owner/name@{COMMIT}/other.gguf");
    let nobody = format!("hf:owner/absent@{COMMIT}");
    for (id, says) in [
        (missing.as_str(), "other.gguf"),
        (nobody.as_str(), "the hub has no"),
        ("hf:owner/name", "is no hub id"),
        ("hf:../name@main", "is no hub id"),
        ("hf:", "is no hub id"),
    ] {
        let message = home.refusal(&["ask", id, "a"], 3);
        assert!(message.contains(says), "{id}: {message}");
    }
}

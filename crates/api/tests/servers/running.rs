//! Servers that run for as long as a test needs them, and models at them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test stops where the test would")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;
use weighbridge_api::{Endpoint, EndpointOptions, Hosted, Key, Session, SessionOptions};
use weighbridge_core::{Dialect, EndpointFacts};

use crate::servers::{folder, provider, python};

/// Running servers. They end with this value, or with this process.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    said: Value,
}

/// Starts servers by name, with all that they stand on, and waits until they answer. `None` where something is not
/// installed, as for [`python`].
pub fn start(names: &[&str]) -> Option<Running> {
    weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf")?;
    let needed: &[&str] = if names.contains(&"litellm") { &["llama", "llama-native", "litellm"] } else { names };
    let pythons: Option<Vec<PathBuf>> = needed.iter().map(|name| python(name)).collect();
    let mut child = Command::new(pythons?.first()?)
        .arg(folder("servers").join("start.py"))
        .args(names)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let mut why = String::new();
        child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        panic!("the servers {names:?} did not start: {why}");
    }
    let input = child.stdin.take();
    Some(Running { child, input, said: serde_json::from_str(&line).unwrap() })
}

impl Running {
    /// Where a server listens, without a path.
    pub fn base_url(&self, name: &str) -> &str {
        self.said[name]["base_url"].as_str().unwrap()
    }

    /// The key that it asks for.
    pub fn key(&self, name: &str) -> &str {
        self.said[name]["key"].as_str().unwrap()
    }

    /// An endpoint at a server.
    pub fn endpoint(&self, name: &str, path: &str, model: &str, dialect: Dialect) -> Endpoint {
        Endpoint::new(EndpointOptions {
            provider: provider(name, &[dialect, Dialect::OpenaiCompletions], []),
            model: model.into(),
            base_url: Some(format!("{}{path}", self.base_url(name))),
            dialect: Some(dialect),
            key: Some(Key::new(self.key(name)).unwrap()),
            pin: None,
            facts: EndpointFacts::default(),
            prices: Vec::new(),
        })
        .unwrap()
    }

    /// A model at a server.
    pub fn hosted(&self, name: &str, path: &str, model: &str, dialect: Dialect) -> Hosted {
        let session = Session::new(SessionOptions::default()).unwrap();
        Hosted::new(self.endpoint(name, path, model, dialect), &session).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ended = self.child.wait();
    }
}

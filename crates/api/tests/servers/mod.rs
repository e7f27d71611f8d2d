//! Finds the Python of what `install.py` has installed; `running.rs` beside it starts servers.

#![expect(clippy::print_stderr, reason = "a skipped check must be seen")]

use std::path::{Path, PathBuf};

use weighbridge_core::{Dialect, Provider, Quirk};

/// The Python of an installed part, such as `sdk`.
///
/// Returns `None`, after saying so on standard error, where it is not installed: the calling test then ends early.
///
/// # Panics
/// It is not installed and the variable `CI` is set.
pub fn python(part: &str) -> Option<PathBuf> {
    let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let folder = set("WEIGHBRIDGE_SERVERS").or_else(|| Some(cache()?.join("weighbridge/servers")));
    let python = folder.map(|folder| folder.join(part).join("bin/python")).filter(|python| python.exists());
    if python.is_none() {
        let message = format!("{part} is not installed; 'python3 crates/api/tests/servers/install.py' does it");
        assert!(std::env::var_os("CI").is_none(), "{message}; CI must have it");
        eprintln!("SKIPPED: {message}");
    }
    python
}

/// A folder of these tests.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// A provider of no catalog.
pub fn provider(id: &str, dialects: &[Dialect], quirks: impl IntoIterator<Item = Quirk>) -> Provider {
    Provider {
        id: id.into(),
        name: id.into(),
        base_url: None,
        key_variables: Vec::new(),
        key_required: false,
        dialects: dialects.to_vec(),
        router: false,
        batch: false,
        quirks: quirks.into_iter().collect(),
        source: "test".into(),
    }
}

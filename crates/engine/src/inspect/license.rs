//! The license that a checkpoint declares, and where: never a guess, and never a reading of the text.

use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::files::{Checkpoint, Layout};

/// A model card has its settings at the top; more is not read.
const MOST_README: u64 = 64 << 10;

/// A license as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct License {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub declared_in: String,
}

pub(super) fn declared(checkpoint: &Checkpoint) -> Option<License> {
    let own = match checkpoint.layout() {
        Layout::Gguf(header) => header.string("general.license").map(|name| (name, "general.license")),
        Layout::Safetensors { config, .. } => {
            config.get("license").and_then(|v| v.as_str()).map(|name| (name, "config.json"))
        }
    };
    let own = own.filter(|(name, _)| !name.trim().is_empty());
    own.map(|(name, place)| License { name: name.to_owned(), declared_in: place.to_owned() }).or_else(|| {
        let name = of_readme(&checkpoint.folder().join("README.md"))?;
        Some(License { name, declared_in: "README.md".to_owned() })
    })
}

fn of_readme(path: &Path) -> Option<String> {
    if !fs_err::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path).ok()?.take(MOST_README).read_to_end(&mut bytes).ok()?;
    of_front_matter(&String::from_utf8_lossy(&bytes))
}

/// `license:` of the settings between `---` lines at the top; `other` takes its name from `license_name:`.
fn of_front_matter(readme: &str) -> Option<String> {
    let mut lines = readme.trim_start_matches('\u{feff}').lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let (mut license, mut name) = (None, None);
    for line in lines.take_while(|line| line.trim_end() != "---") {
        let value = |key: &str| {
            let value = line.strip_prefix(key)?.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        license = license.or_else(|| value("license:"));
        name = name.or_else(|| value("license_name:"));
    }
    match (license, name) {
        (Some(license), Some(name)) if license == "other" => Some(format!("other ({name})")),
        (license, _) => license,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter() {
        for (readme, license) in [
            ("---\nlicense: apache-2.0\ntags: [x]\n---\n# Model", Some("apache-2.0")),
            ("---\r\nlanguage: en\r\nlicense: \"mit\"\r\n---\r\n", Some("mit")),
            ("---\nlicense: other\nlicense_name: qwen-research\n---\n", Some("other (qwen-research)")),
            ("---\nlicense:\n---\n", None),
            ("---\ntags: x\n---\nlicense: mit\n", None),
            ("# Model\nlicense: mit\n", None),
            ("", None),
        ] {
            assert_eq!(of_front_matter(readme).as_deref(), license, "{readme}");
        }
    }
}

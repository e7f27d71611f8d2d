//! The rules of the project that no compiler checks: layer order, unsafe code, words, prints, paths, sizes and links.
//!
//! Each rule is a function from the text of one file to findings, and a finding reads
//! `path:line: what is wrong; what to do`. Untracked files are checked too unless git ignores them, so that a finding
//! comes before the commit and not after it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The crates under `crates/`, lowest first, each with those that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("stats", &[]),
    ("reference", &[]),
    ("api", &["core"]),
    ("catalog", &["core"]),
    ("engine", &["core"]),
    ("logs", &["core"]),
    ("weights", &["core"]),
    ("lake", &["core", "logs"]),
    ("gap", &["core", "stats", "catalog"]),
    ("run", &["core", "stats", "logs"]),
    ("weighbridge", &["core", "stats", "api", "catalog", "engine", "logs", "lake", "weights", "gap", "run"]),
];

/// The crate that any other may use, in its tests only.
const TESTS_ONLY: &str = "reference";

const MAX_LINES: usize = 600;
const MAX_BYTES: u64 = 1_000_000;

/// Marks of unfinished work, in code or in a comment.
const UNFINISHED: &[&str] = &["TODO", "FIXME", "XXX", "todo!", "unimplemented!", "#[ignore"];
const PRINTS: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];
/// Where paths begin that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/root/", "/home/", "/tmp/", "/work/", "/Users/"];

/// The one folder whose files may hold unsafe code.
const UNSAFE: &str = "crates/engine/";

/// This file spells out what it forbids.
const THIS_FILE: &str = "xtask/src/tidy.rs";

/// Checks every file of the project under `root` and returns the findings, in the order of the paths.
///
/// # Errors
/// A file or folder cannot be read.
pub(crate) fn run(root: &Path) -> Result<Vec<String>> {
    let files = list_files(root)?;
    let mut findings = Vec::new();
    for path in &files {
        findings.extend(large_file(path, fs_err::metadata(root.join(path))?.len()));
        let bytes = fs_err::read(root.join(path))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if path.starts_with("crates/") && path.ends_with("/Cargo.toml") {
            findings.extend(manifest(path, &text));
        }
        if has_extension(path, "rs") {
            findings.extend(rust_file(path, &text));
        }
        if has_extension(path, "md") {
            findings.extend(links(path, &text, &files));
        }
        if path != THIS_FILE {
            findings.extend(machine_paths(path, &text));
        }
    }
    Ok(findings)
}

fn finding(path: &str, line: usize, message: &str) -> String {
    format!("{path}:{line}: {message}")
}

fn large_file(path: &str, bytes: u64) -> Option<String> {
    (bytes > MAX_BYTES).then(|| {
        finding(path, 1, &format!("has {bytes} bytes, more than {MAX_BYTES}; shrink it or make it in the build"))
    })
}

/// Layer order of one crate, and that it takes the lints of the workspace.
fn manifest(path: &str, text: &str) -> Vec<String> {
    let Some(krate) = path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml")) else {
        return Vec::new();
    };
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return vec![finding(path, 1, &format!("is not TOML: {error}"))],
    };
    let Some((_, may_use)) = LAYERS.iter().find(|(name, _)| *name == krate) else {
        let message = format!("crate '{krate}' has no layer; give it one in LAYERS of {THIS_FILE}");
        return vec![finding(path, 1, &message)];
    };

    let mut findings = Vec::new();
    for (section, used) in own_dependencies(&table) {
        let in_tests = section == "dev-dependencies" && used == TESTS_ONLY;
        if in_tests || may_use.contains(&used.as_str()) {
            continue;
        }
        let message = if used == TESTS_ONLY {
            format!("'{used}' stands in {section}; it serves tests only, move it to dev-dependencies")
        } else {
            format!("'{krate}' may not use '{used}' ({section}); it may use: {}", or_nothing(may_use))
        };
        findings.push(finding(path, line_of(text, &used), &message));
    }
    let inherits_lints = table.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    if inherits_lints != Some(true) {
        findings.push(finding(path, 1, "does not take the lints of the workspace; add [lints] workspace = true"));
    }
    findings
}

/// Every dependency on a crate of the workspace: the section that it stands in, and its folder under `crates/`.
fn own_dependencies(manifest: &Table) -> Vec<(&'static str, String)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let per_target = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(per_target) {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
                if let Some(folder) = package.strip_prefix("weighbridge-") {
                    found.push((section, folder.to_owned()));
                } else if package == "weighbridge" || value.get("path").is_some() {
                    found.push((section, package.to_owned()));
                }
            }
        }
    }
    found
}

fn or_nothing(names: &[&str]) -> String {
    if names.is_empty() { "nothing of the workspace".to_owned() } else { names.join(", ") }
}

/// The line that names the dependency, from 1.
fn line_of(manifest: &str, folder: &str) -> usize {
    let package = format!("weighbridge-{folder}");
    manifest.lines().position(|line| has_word(line, &package) || line.starts_with(folder)).map_or(1, |at| at + 1)
}

fn rust_file(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(finding(path, 1, "does not open with `//!`; say there what the file is for"));
    }
    findings.extend(unsafe_without_reason(path, text));
    let length = text.lines().count();
    if length > MAX_LINES {
        let message = format!("has {length} lines, more than {MAX_LINES}; split it by the things in it");
        findings.push(finding(path, MAX_LINES + 1, &message));
    }
    if path == THIS_FILE {
        return findings;
    }

    let mut prints = may_print(path);
    let mut previous = "";
    for (at, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default().trim();
        // By habit the tests of a file are its last module.
        prints |= previous == "#[cfg(test)]" && code.starts_with("mod ");
        previous = code;
        let mut report = |message: &str| findings.push(finding(path, at + 1, message));

        if let Some(mark) = UNFINISHED.iter().find(|mark| has_word(line, mark)) {
            report(&format!("holds `{mark}`; finish it, or open an issue and take the mark out"));
        }
        if let Some(name) = PRINTS.iter().find(|name| !prints && has_word(code, name)) {
            report(&format!("calls `{name}`; return the text, only the binary prints"));
        }
        if (code.starts_with("#[") || code.starts_with("#![")) && has_word(code, "allow") {
            report("allows a lint; use #[expect(lint, reason = \"...\")]");
        }
        if names_lint(code) && !path.starts_with(UNSAFE) {
            report(&format!("lifts the lint against unsafe code; write it safely, only {UNSAFE} may hold such code"));
        }
    }
    findings
}

/// Where the lint against unsafe code is lifted without a reason. The attribute may stand on several lines.
fn unsafe_without_reason(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let lifts = path != THIS_FILE && names_lint(line.split("//").next().unwrap_or_default());
        let rest = lines[at..].iter().take_while(|line| !line.starts_with("use ")).copied().collect::<String>();
        if lifts && !rest.split(")]").next().unwrap_or_default().contains("reason = ") {
            findings.push(finding(path, at + 1, "lifts the lint against unsafe code; say there why it is needed"));
        }
    }
    findings
}

/// The binary's edge, the tools of developers, tests and benches print.
fn may_print(path: &str) -> bool {
    ["crates/weighbridge/src/", "crates/reference/", "xtask/"].iter().any(|folder| path.starts_with(folder))
        || path.split('/').any(|part| ["tests", "benches", "examples"].contains(&part))
}

/// True where the lint against unsafe code is named as a lint: lm-evaluation-harness has a setting of the same name, a field
/// (`unsafe_code:`) and a text (`"unsafe_code"`) here.
fn names_lint(code: &str) -> bool {
    let other = |at: usize| {
        let (before, after) = (&code[..at], &code[at + "unsafe_code".len()..]);
        before.ends_with(['"', '.']) || after.starts_with(": ")
    };
    has_word(code, "unsafe_code") && code.match_indices("unsafe_code").any(|(at, _)| !other(at))
}

/// Whether `line` holds `word` on its own and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        !line[..at].ends_with(within) && (word.ends_with('!') || !after.is_some_and(within))
    })
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(start) = MACHINE_PATHS.iter().find(|start| holds_absolute(line, start)) {
            let message = format!("holds a path under {start}, which other machines do not have; make it relative");
            findings.push(finding(path, at + 1, &message));
        }
    }
    findings
}

/// Whether `start` begins a path in `line`, and is not the middle of a relative path or of an address.
fn holds_absolute(line: &str, start: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || "._-~*/}$)%".contains(c);
    line.match_indices(start).any(|(at, _)| !line[..at].ends_with(within) || line[..at].ends_with("file://"))
}

/// Links of a Markdown file to files that do not exist.
fn links(path: &str, text: &str, files: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            for target in link_targets(line) {
                if let Some(problem) = broken(path, &target, files) {
                    findings.push(finding(path, at + 1, &format!("links to '{target}', {problem}")));
                }
            }
        }
    }
    findings
}

/// Targets of `[text](target)` and of `[name]: target`, code spans left out.
fn link_targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect();
    let mut targets: Vec<&str> = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    if prose.starts_with('[') {
        targets.extend(prose.split_once("]: ").map(|(_, target)| target));
    }
    let first_word = |target: &str| target.split_whitespace().next().map(|t| t.trim_matches(['<', '>']).to_owned());
    targets.into_iter().filter_map(first_word).collect()
}

/// Why a link from the file `from` leads nowhere, or `None` where it leads somewhere or to another host.
fn broken(from: &str, target: &str, files: &BTreeSet<String>) -> Option<&'static str> {
    let target = target.split('#').next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        if part == ".." {
            if parts.pop().is_none() {
                return Some("outside of the repository; a clone does not have it, name it without a link");
            }
        } else if !part.is_empty() && part != "." {
            parts.push(part);
        }
    }
    let path = parts.join("/");
    let inside = format!("{path}/");
    let exists = path.is_empty() || files.iter().any(|file| *file == path || file.starts_with(&inside));
    (!exists).then_some("which does not exist; correct the path or remove the link")
}

/// Every file of the project relative to `root`: what git tracks or would track, or all files where there is no git.
fn list_files(root: &Path) -> Result<BTreeSet<String>> {
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").arg("-C").arg(root).args(listed).output();
    match output {
        Ok(output) if output.status.success() => {
            let names = String::from_utf8(output.stdout).context("git lists a file name that is not UTF-8")?;
            let present = |name: &&str| root.join(name).symlink_metadata().is_ok_and(|data| data.is_file());
            Ok(names.split_terminator('\0').filter(present).map(str::to_owned).collect())
        }
        _ => {
            let mut files = BTreeSet::new();
            walk(root, "", &mut files)?;
            Ok(files)
        }
    }
}

fn walk(root: &Path, folder: &str, files: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs_err::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.insert(path);
        } else if kind.is_dir() && path != ".git" && path != "target" {
            walk(root, &path, files)?;
        }
    }
    Ok(())
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The findings without their path, one a line.
    fn check(findings: &[String], path: &str, expect: &[&str]) {
        let expect: Vec<String> = expect.iter().map(|rest| format!("{path}:{rest}")).collect();
        assert_eq!(findings.len(), expect.len(), "{findings:#?}");
        for (found, expected) in findings.iter().zip(&expect) {
            assert!(found.starts_with(expected), "found    {found}\nexpected {expected}");
        }
    }

    #[test]
    fn a_crate_uses_only_crates_above_it_in_the_list() {
        for (at, (krate, may_use)) in LAYERS.iter().enumerate() {
            for used in *may_use {
                assert!(LAYERS[..at].iter().any(|(lower, _)| lower == used), "{krate} uses {used}");
                assert_ne!(*used, TESTS_ONLY);
            }
        }
    }

    #[test]
    fn layer_order() {
        let lints = "[lints]\nworkspace = true\n";
        let cases: &[(&str, &str, &[&str])] = &[
            ("gap", "[dependencies]\nweighbridge-stats.workspace = true\nserde = \"1\"\n", &[]),
            ("gap", "[dependencies]\nweighbridge-lake.workspace = true\n", &["2: 'gap' may not use 'lake'"]),
            ("stats", "[build-dependencies]\nweighbridge-core.workspace = true\n", &["2: 'stats' may not use 'core'"]),
            ("lake", "[dev-dependencies]\nweighbridge-reference.workspace = true\n", &[]),
            ("lake", "[dependencies]\nweighbridge-reference.workspace = true\n", &["2: 'reference' stands in"]),
            ("lake", "[dev-dependencies]\nweighbridge-gap.workspace = true\n", &["2: 'lake' may not use 'gap'"]),
            ("core", "[dependencies]\nx = { package = \"weighbridge\" }\n", &["1: 'core' may not use"]),
            ("core", "[dependencies]\nxtask = { path = \"../../xtask\" }\n", &["2: 'core' may not use 'xtask'"]),
            ("api", "[target.'cfg(unix)'.dependencies]\nweighbridge-gap = \"1\"\n", &["2: 'api' may not use 'gap'"]),
            ("extra", "", &["1: crate 'extra' has no layer"]),
        ];
        for (krate, text, expect) in cases {
            let path = format!("crates/{krate}/Cargo.toml");
            check(&manifest(&path, &format!("{text}{lints}")), &path, expect);
        }
        check(&manifest("crates/core/Cargo.toml", ""), "crates/core/Cargo.toml", &["1: does not take the lints"]);
        check(&manifest("crates/core/Cargo.toml", "[a"), "crates/core/Cargo.toml", &["1: is not TOML"]);
    }

    #[test]
    fn rust_rules() {
        let source = "crates/gap/src/lag.rs";
        let cases: &[(&str, &str, &[&str])] = &[
            (source, "//! What.\nfn f() {}\n", &[]),
            (source, "fn f() {}\n", &["1: does not open with `//!`"]),
            (source, "//! W.\n// TODO: later\n", &["2: holds `TODO`"]),
            (source, "//! W.\nfn f() { todo!() }\n", &["2: holds `todo!`"]),
            (source, "//! W.\n#[ignore = \"slow\"]\n", &["2: holds `#[ignore`"]),
            (source, "//! W.\n// an XXXL shirt, TODOs\n", &[]),
            (source, "//! W.\nfn f() { eprintln!(\"x\") }\n", &["2: calls `eprintln!`"]),
            (source, "//! W.\n/// Like `println!`.\nfn f() { my_print!(1) }\n", &[]),
            (source, "//! W.\n#[cfg(test)]\nmod tests {\n    fn f() { println!() }\n}\n", &[]),
            (source, "//! W.\n#[cfg(test)]\nuse a::b;\nfn f() { println!() }\n", &["4: calls `println!`"]),
            ("crates/gap/tests/lag.rs", "//! W.\nfn f() { println!() }\n", &[]),
            ("crates/weighbridge/src/main.rs", "//! W.\nfn f() { println!() }\n", &[]),
            (source, "//! W.\n#[expect(unsafe_code, reason = \"r\")]\n", &["2: lifts the lint against unsafe"]),
            (source, "//! W.\n#![cfg_attr(x, expect(unsafe_code, reason = \"r\"))]\n", &["2: lifts the lint"]),
            (source, "//! W.\n// unsafe_code is a lint.\n", &[]),
            (source, "//! W.\nconst KEYS: &[&str] = &[\"unsafe_code\"];\n", &[]),
            ("crates/engine/src/k.rs", "//! W.\n#![expect(unsafe_code, reason = \"r\")]\n", &[]),
            ("crates/engine/src/k.rs", "//! W.\n#![expect(\n    unsafe_code,\n    reason = \"r\"\n)]\n", &[]),
            ("crates/engine/src/k.rs", "//! W.\n#![expect(unsafe_code)]\n", &["2: lifts the lint against unsafe"]),
            ("crates/engine/src/k.rs", "//! W.\n#![expect(\n    unsafe_code\n)]\n", &["3: lifts the lint against"]),
            (source, "//! W.\n#[allow(dead_code)]\n", &["2: allows a lint"]),
            (source, "//! W.\n    #![cfg_attr(test, allow(dead_code))]\n", &["2: allows a lint"]),
            (source, "//! W.\n#[expect(clippy::allow_attributes, reason = \"r\")]\nfn allow() {}\n", &[]),
        ];
        for (path, text, expect) in cases {
            check(&rust_file(path, text), path, expect);
        }
        check(&rust_file(source, &"//!\n".repeat(MAX_LINES)), source, &[]);
        check(&rust_file(source, &"//!\n".repeat(MAX_LINES + 1)), source, &["601: has 601 lines"]);
    }

    #[test]
    fn machine_path_rules() {
        let cases: &[(&str, &[&str])] = &[
            ("open(\"/tmp/x\")", &["1: holds a path under /tmp/"]),
            ("see file:///home/me/x", &["1: holds a path under /home/"]),
            ("a\nCACHE=/root/.cache", &["2: holds a path under /root/"]),
            ("https://example.org/home/x, ../work/x, $HOME/tmp/x, crates/root/x", &[]),
        ];
        for (text, expect) in cases {
            check(&machine_paths("x.txt", text), "x.txt", expect);
        }
    }

    #[test]
    fn link_rules() {
        let files = ["README.md", "docs/a.md", "docs/b.md"].map(str::to_owned).into();
        let cases: &[(&str, &[&str])] = &[
            ("[b](b.md), [up](../README.md#x), [here](#x), [folder](../docs/), [`code`](b.md \"title\")", &[]),
            ("[site](https://example.org), [mail](mailto:a@example.org)", &[]),
            ("text\n[c](c.md)", &["2: links to 'c.md', which does not exist"]),
            ("[out](../../shared/x)", &["1: links to '../../shared/x', outside of the repository"]),
            ("[name]: c.md", &["1: links to 'c.md', which"]),
            ("`[c](c.md)`\n```\n[c](c.md)\n```\n[b](<b.md>)", &[]),
        ];
        for (text, expect) in cases {
            check(&links("docs/a.md", text, &files), "docs/a.md", expect);
        }
    }

    #[test]
    fn size_rule() {
        assert_eq!(large_file("a.bin", MAX_BYTES), None);
        let found = large_file("a.bin", MAX_BYTES + 1);
        assert!(found.is_some_and(|found| found.starts_with("a.bin:1: has 1000001 bytes")));
    }

    #[test]
    fn files_that_git_ignores_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in
            [(".gitignore", "out\n"), ("crates/core/src/lib.rs", "mod a;\n"), ("out/b.rs", "mod c;\n"), ("bad", "\n")]
        {
            fs_err::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs_err::write(root.join(path), text).unwrap();
        }
        fs_err::write(root.join("bad"), [0xff, 0xfe]).unwrap();
        assert!(Command::new("git").arg("-C").arg(root).args(["init", "-q"]).status().unwrap().success());
        check(&run(root).unwrap(), "crates/core/src/lib.rs", &["1: does not open with `//!`"]);

        let mut walked = BTreeSet::new();
        walk(root, "", &mut walked).unwrap();
        assert_eq!(Vec::from_iter(walked), [".gitignore", "bad", "crates/core/src/lib.rs", "out/b.rs"]);
    }
}

//! A machine of its own for each test: an empty home folder, a lake in it, and no variable of the real environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than any run here needs; a run that hangs fails its test.
const PATIENCE: Duration = Duration::from_mins(2);

/// The machine.
pub struct Home {
    folder: TempDir,
    /// Variables that the program sees.
    variables: BTreeMap<&'static str, String>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    /// A machine on which nothing was ever imported.
    pub fn fresh() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_str().expect("a path that is text").to_owned();
        let variables = ["HOME", "XDG_DATA_HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMPDIR"];
        let variables = variables.into_iter().map(|name| (name, path.clone())).collect();
        Self { folder, variables }
    }

    /// A machine with `WEIGHBRIDGE_LAKE` set; the first import makes the lake.
    pub fn with_lake() -> Self {
        let home = Self::fresh();
        let lake = home.lake().to_str().expect("a path that is text").to_owned();
        home.variable("WEIGHBRIDGE_LAKE", &lake)
    }

    /// The same machine with one more variable.
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// The folder of the lake of [`Home::with_lake`].
    pub fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// A path on the machine.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and gives its path as an argument.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder is made");
        fs::write(&path, content).expect("the file is written");
        argument(&path)
    }

    /// The program with these arguments, not yet started, its outputs piped.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin!("weighbridge"));
        command.env_clear().envs(&self.variables).current_dir(self.folder.path()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        let output = assert_cmd::Command::from_std(self.command(args)).timeout(PATIENCE).output();
        let output = output.expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Standard output of a run that succeeds and has nothing to complain about.
    pub fn answer(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!((run.code, complaints(&run.err).as_str()), (Some(0), ""), "{args:?}");
        run.out
    }

    /// The answer with `--format json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let run = self.run(&[args, &["--format", "json"]].concat());
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{args:?}");
        serde_json::from_str(&run.out).expect("--format json writes JSON")
    }

    /// Standard error of a run that fails with `code`: an error for people, and no answer beside it.
    pub fn refusal(&self, args: &[&str], code: i32) -> String {
        let run = self.run(args);
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.err);
        assert_eq!(run.out, "", "{args:?} fails and still answers");
        assert!(run.err.starts_with("error: "), "{args:?}: {}", run.err);
        assert!(!run.err.contains("panicked"), "{args:?}: {}", run.err);
        run.err
    }

    /// Runs each command line of a table: its arguments by blanks, its exit code, and what its error must say.
    pub fn refusals(&self, table: &[(&str, i32, &[&str])]) {
        for (line, code, says) in table {
            let err = self.refusal(&line.split(' ').collect::<Vec<_>>(), *code);
            for part in *says {
                assert!(err.contains(part), "{line}: expected '{part}' in: {err}");
            }
        }
    }

    /// Every file of the lake with its content, but for the lock, which holds nothing.
    pub fn lake_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.lake()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.expect("the folder is read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with(".weighbridge-lock") {
                    files.insert(path.clone(), fs::read(&path).expect("the file is read"));
                }
            }
        }
        files
    }

    /// Rows of a table of the lake, by query.
    pub fn count(&self, table: &str) -> u64 {
        let rows = self.json(&["lake", "sql", &format!("select count(*) as n from {table}")]);
        rows[0]["n"].as_u64().unwrap_or_else(|| panic!("a count: {rows}"))
    }
}

/// Standard error but for the note that the facts are old, which comes with the clock of the machine.
pub fn complaints(err: &str) -> String {
    err.lines().filter(|line| !line.starts_with("note: the facts end ")).collect()
}

/// A path as an argument.
pub fn argument(path: &Path) -> String {
    path.to_str().expect("a path that is text").to_owned()
}

/// The codes of the caveats of a report.
pub fn caveats(report: &Value) -> Vec<&str> {
    let caveats = report["caveats"].as_array().expect("caveats are a list");
    caveats.iter().map(|caveat| caveat["code"].as_str().expect("a caveat has a code")).collect()
}

/// The message of a caveat that must be there.
pub fn caveat<'a>(report: &'a Value, code: &str) -> &'a str {
    let all = report["caveats"].as_array().expect("caveats are a list");
    let found = all.iter().find(|caveat| caveat["code"] == code);
    let found = found.unwrap_or_else(|| panic!("no caveat {code} among {:?}", caveats(report)));
    assert!(found["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{code} has no advice");
    found["message"].as_str().expect("a caveat has a message")
}

/// A number of a report by its JSON pointer.
pub fn number(report: &Value, pointer: &str) -> f64 {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer}: {:?}", report.pointer(pointer)))
}

/// Numbers of a report by JSON pointer, each with what it must be and how near.
pub fn assert_numbers(report: &Value, table: &[(&str, f64, f64)]) {
    for &(pointer, expect, within) in table {
        let found = number(report, pointer);
        assert!((found - expect).abs() <= within, "{pointer} is {found}, expected {expect} within {within}");
    }
}

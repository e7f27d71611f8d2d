//! `weighbridge catalog check`: the embedded facts are sound, and a broken folder is told where.

use std::fs;
use std::path::{Path, PathBuf};

use crate::home::{Home, argument};

/// The facts as they stand in the repository.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the catalog") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).expect("a copy");
        }
    }
}

#[test]
fn the_facts_are_sound() {
    let home = Home::fresh();
    let embedded = home.answer(&["catalog", "check"]);
    assert!(embedded.trim_end().lines().last().is_some_and(|line| line.contains(": 0 errors, ")), "{embedded}");
    assert_eq!(embedded, home.answer(&["catalog", "check", &argument(&source())]), "what is embedded is what is there");
    let found = home.json(&["catalog", "check"]);
    for finding in found.as_array().expect("a list") {
        assert_eq!(finding["level"], "warning");
        assert!(
            finding["line"].as_u64() > Some(0) && source().join(finding["file"].as_str().unwrap_or("none")).exists()
        );
    }
}

/// One change in one file: the exit code, and what must be said. 1: the facts are wrong; 3: they cannot be read.
#[test]
fn a_broken_folder_is_told_where() {
    let home = Home::fresh();
    let folder = home.path("catalog");
    copy(&source(), &folder);
    let edit = |line: usize, column: usize, to: &str, text: &str| -> String {
        let mut rows: Vec<Vec<String>> = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes())
            .records()
            .map(|row| row.expect("a row").iter().map(str::to_owned).collect())
            .collect();
        rows[line - 1][column] = to.to_owned();
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).expect("a row");
        }
        String::from_utf8(writer.into_inner().expect("rows")).expect("text")
    };
    for (file, line, column, to, code, says) in [
        ("scores.csv", 2, 4, "1.605", 1, "scores.csv, line 2: value 1.605"),
        ("scores.csv", 2, 4, "NaN", 3, "scores.csv, line 2, column 'value': 'NaN'"),
        ("scores.csv", 3, 0, "nobody/nothing", 1, "scores.csv, line 3: model 'nobody/nothing'"),
        ("prices_genai.csv", 2, 2, "-0.8", 1, "prices_genai.csv, line 2: a price is negative"),
        ("models.csv", 3, 0, "01-ai/yi-34b", 1, "models.csv, line 3: id '01-ai/yi-34b' stands already in line 2"),
        ("models.csv", 2, 5, "hearsay", 1, "models.csv, line 2: source 'hearsay'"),
        ("models.csv", 2, 9, "2023-13-02", 3, "models.csv, line 2, column 'released': '2023-13-02'"),
        ("models.csv", 2, 3, "opened", 3, "models.csv, line 2, column 'access': 'opened'"),
        ("models.csv", 1, 2, "laboratory", 3, "models.csv, line 1"),
    ] {
        let path = folder.join(file);
        let whole = fs::read_to_string(&path).expect("a file");
        fs::write(&path, edit(line, column, to, &whole)).expect("written");
        let run = home.run(&["catalog", "check", "catalog"]);
        assert_eq!(run.code, Some(code), "{file} {to}: {}", run.err);
        let told = if code == 1 { &run.out } else { &run.err };
        assert!(told.contains(says), "{file} {to}: {told}");
        fs::write(&path, whole).expect("written");
    }
    fs::remove_file(folder.join("labs.csv")).expect("removed");
    assert!(home.refusal(&["catalog", "check", "catalog"], 3).contains("labs.csv"));
    assert!(home.refusal(&["catalog", "check", "nowhere"], 3).contains("nowhere"));
}

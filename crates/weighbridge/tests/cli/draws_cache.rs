//! The cache of bootstrap draws: it saves time and never changes an answer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::home::{Home, complaints};

const GAP: [&str; 3] = ["gap", "--draws", "60"];
const FORMATS: [&str; 4] = ["text", "json", "csv", "markdown"];

fn in_format(format: &'static str) -> Vec<&'static str> {
    [&GAP[..], &["--format", format]].concat()
}

/// The answer that owes nothing to any cache.
fn fresh(args: &[&str]) -> String {
    Home::fresh().answer(&[args, &["--no-cache"]].concat())
}

/// Every file below the home folder whose name ends as kept draws do.
fn kept(home: &Home) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![home.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is read") {
            let path = entry.expect("the folder is read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "draws") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn only(home: &Home) -> PathBuf {
    let [file] = <[PathBuf; 1]>::try_from(kept(home)).expect("one file of draws");
    file
}

/// The file as it is, with the time of its writing: a file that is written again has another.
fn state(file: &Path) -> (Vec<u8>, std::time::SystemTime) {
    let time = fs::metadata(file).and_then(|m| m.modified()).expect("a file with a time");
    (fs::read(file).expect("bytes"), time)
}

#[test]
fn cached_and_fresh_reports_are_the_same_bytes_in_every_format() {
    let home = Home::fresh();
    let first = FORMATS.map(|format| home.answer(&in_format(format)));
    let written = state(&only(&home));
    for (format, first) in FORMATS.into_iter().zip(&first) {
        let args = in_format(format);
        assert!(home.answer(&args) == *first, "{format}: the second run differs from the first");
        assert!(fresh(&args) == *first, "{format}: cached and fresh differ");
    }
    assert!(state(&only(&home)) == written, "a hit writes nothing");
    // Other questions about the same draws are answered from them.
    for more in [&["--as-of", "2025-08-11"][..], &["--window", "1y"], &["--lag-rule", "since"]] {
        let args = [&GAP[..], more].concat();
        assert!(home.answer(&args) == fresh(&args), "{more:?}");
    }
    assert!(state(&only(&home)) == written);
}

/// Were draws made again or another file read, this report could not carry the numbers that stand in the file.
#[test]
fn a_hit_is_answered_from_the_file() {
    let home = Home::fresh();
    home.answer(&GAP);
    let file = only(&home);
    let mut bytes = fs::read(&file).expect("bytes");
    let checked = bytes.len() - blake3::OUT_LEN;
    // The last score of the last draw becomes that of a model far above all others.
    bytes[checked - 8..checked].copy_from_slice(&1e6f64.to_le_bytes());
    let check = blake3::hash(&bytes[..checked]);
    bytes[checked..].copy_from_slice(check.as_bytes());
    fs::write(&file, &bytes).expect("the file is written");
    let spoilt = home.run(&[&GAP[..], &["--format", "json"]].concat());
    assert_eq!(spoilt.code, Some(0), "{}", spoilt.err);
    let args = in_format("json");
    assert!(spoilt.out != fresh(&args), "the file is not read");
    assert!(home.answer(&[&args[..], &["--no-cache"]].concat()) == fresh(&args), "--no-cache reads the file");
    assert!(fs::read(&file).expect("bytes") == bytes, "--no-cache writes the file");
}

#[test]
fn no_cache_leaves_nothing_behind() {
    let home = Home::fresh();
    home.answer(&[&GAP[..], &["--no-cache"]].concat());
    home.answer(&["gap", "--draws", "60", "--benchmark", "gpqa-diamond"]);
    assert_eq!(fs::read_dir(home.path("")).expect("the home folder").count(), 0);
}

#[test]
fn other_draws_are_no_hit() {
    let home = Home::fresh();
    home.answer(&GAP);
    for (n, args) in [["gap", "--draws", "60", "--seed", "1"].as_slice(), &["gap", "--draws", "61"]].iter().enumerate()
    {
        assert!(home.answer(args) == fresh(args), "{args:?}");
        assert_eq!(kept(&home).len(), n + 2, "{args:?} has a file of its own");
    }
}

/// The published index with its first score moved by so much, as a folder to import.
fn index_with(home: &Home, name: &str, moved: f64) -> Option<String> {
    let published = weighbridge_reference::path("data/reference/eci_2026-08-11")?;
    let text = fs::read_to_string(published.join("eci_benchmarks.csv")).expect("text");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let column = header.iter().position(|name| name == "performance").expect("a column of scores");
    let mut rows: Vec<Vec<String>> =
        reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect();
    let score: f64 = rows[0][column].parse().expect("a score");
    rows[0][column] = (score + moved).to_string();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&header).expect("a header");
    for row in &rows {
        writer.write_record(row).expect("a row");
    }
    for entry in fs::read_dir(&published).expect("the folder is read") {
        let path = entry.expect("the folder is read").path();
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if path.is_file() {
            home.file(&format!("{name}/{file}"), fs::read(&path).expect("bytes"));
        }
    }
    home.file(&format!("{name}/eci_benchmarks.csv"), writer.into_inner().expect("text"));
    Some(home.path(name).to_str().expect("a path that is text").to_owned())
}

#[test]
fn an_imported_index_is_a_hit_only_where_every_score_is_the_same() {
    let home = Home::fresh();
    home.answer(&GAP);
    for (name, moved, files) in [("published", 0.0, 1), ("moved", 1e-9, 2)] {
        let Some(folder) = index_with(&home, name, moved) else { return };
        let lake = format!("lake-{name}");
        home.answer(&["import", &folder, "--lake", &lake]);
        let args = [&GAP[..], &["--from", "lake", "--lake", &lake]].concat();
        let first = home.answer(&args);
        assert_eq!(kept(&home).len(), files, "{name}");
        assert!(first == home.answer(&args), "{name}: the second run differs");
        assert!(first == home.answer(&[&args[..], &["--no-cache"]].concat()), "{name}: fresh draws differ");
    }
}

#[test]
fn a_damaged_file_is_replaced_and_gives_the_same_answer() {
    let home = Home::fresh();
    let answer = home.answer(&GAP);
    let file = only(&home);
    let whole = fs::read(&file).expect("bytes");
    let flipped = {
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        bytes
    };
    let longer = [&whole[..], b"x"].concat();
    for (case, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("without its end", &whole[..whole.len() - 1]),
        ("empty", &[]),
        ("flipped", &flipped),
        ("longer", &longer),
        ("foreign", b"#!/bin/sh\n"),
    ] {
        fs::write(&file, bytes).expect("the file is damaged");
        assert!(home.answer(&GAP) == answer, "{case}");
        assert!(fs::read(&file).expect("bytes") == whole, "{case}: the file is not written again");
    }
    // The draws of another question under this name.
    let other = Home::fresh();
    other.answer(&["gap", "--draws", "60", "--seed", "1"]);
    fs::copy(only(&other), &file).expect("a copy");
    assert!(home.answer(&GAP) == answer && fs::read(&file).expect("bytes") == whole, "another key");
    // Something that is no file at all.
    fs::remove_file(&file).expect("the file goes");
    fs::create_dir(&file).expect("a folder in its place");
    assert!(home.answer(&GAP) == answer, "a folder in its place");
}

#[test]
fn processes_side_by_side_agree() {
    let home = Home::fresh();
    let args = in_format("json");
    let children: Vec<_> = (0..4).map(|_| home.command(&args).spawn().expect("the program starts")).collect();
    let answers: Vec<_> = children
        .into_iter()
        .map(|child| {
            let end = child.wait_with_output().expect("the program ends");
            assert_eq!((end.status.code(), complaints(&String::from_utf8_lossy(&end.stderr)).as_str()), (Some(0), ""));
            String::from_utf8(end.stdout).expect("UTF-8")
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == fresh(&args)));
    let file = only(&home);
    let names = fs::read_dir(file.parent().expect("a folder")).expect("the folder is read");
    assert_eq!(names.count(), 1, "nothing unfinished is left");
    assert!(home.answer(&args) == answers[0]);
}

#[test]
fn a_folder_that_cannot_be_written_is_no_error() {
    let home = Home::fresh();
    let answer = home.answer(&GAP);
    let file = only(&home);
    let folder = file.parent().expect("a folder").to_owned();
    let writable = fs::metadata(&folder).expect("a folder").permissions();
    let mut read_only = writable.clone();
    read_only.set_readonly(true);

    fs::set_permissions(&folder, read_only.clone()).expect("the folder is closed");
    let hit = home.answer(&GAP);
    let args = ["gap", "--draws", "60", "--seed", "2"];
    let miss = home.answer(&args);
    fs::set_permissions(&folder, writable).expect("the folder is opened");
    assert!(hit == answer, "what is there is still read");
    assert!(miss == fresh(&args), "what cannot be kept is still answered");

    // This holds for the superuser too, whom no permission stops: the cache folder is a file.
    fs::remove_dir_all(&folder).expect("the folder goes");
    fs::write(&folder, "no folder").expect("a file in its place");
    assert!(home.answer(&GAP) == answer);
    assert_eq!(fs::read_to_string(&folder).expect("the file"), "no folder");
    // And so is the home itself.
    let nowhere = Home::fresh().variable("HOME", &home.file("home", "")).variable("XDG_CACHE_HOME", "");
    assert!(nowhere.answer(&GAP) == answer);
}

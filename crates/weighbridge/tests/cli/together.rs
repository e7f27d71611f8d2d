//! Imports that meet each other, or their end: two processes at once, and a process that is killed.

use std::fmt::Write;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::import::HEADER;

/// Rows of a file that takes long enough to be interrupted.
const ROWS: u64 = 150_000;

fn samples(model: &str, rows: u64) -> String {
    let mut text = HEADER.to_owned();
    for i in 0..rows {
        // Out of order, so that the import has to sort.
        writeln!(text, "b,s{},{model},open,{},g{}", i * 7919 % rows, i % 2, i % 20).expect("text grows");
    }
    text
}

fn finish(child: Child) {
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_imports_at_once_both_arrive() {
    for round in 0..3 {
        let home = Home::with_lake();
        home.file("a.csv", samples("ann", 2000));
        home.file("b.csv", samples("bob", 3000));
        // Neither finds a lake, and both make it.
        let children = [&["import", "a.csv"][..], &["import", "b.csv"], &["import", "a.csv"]]
            .map(|args| home.command(args).spawn().expect("the program starts"));
        children.into_iter().for_each(finish);
        assert_eq!((home.count("samples"), home.count("models")), (5000, 2), "round {round}");
        let info = home.json(&["lake", "info"]);
        assert_eq!(info["imports"].as_array().map(Vec::len), Some(2), "round {round}: the same file counts once");
        let each =
            home.json(&["lake", "sql", "select model, count(distinct sample) as n from samples group by 1 order by 1"]);
        assert_eq!(each, serde_json::json!([{"model": "ann", "n": 2000}, {"model": "bob", "n": 3000}]));
    }
}

#[test]
fn a_reader_sees_whole_imports_only() {
    let home = Home::with_lake();
    home.answer(&["import", &home.file("small.csv", samples("ann", 10))]);
    home.file("big.csv", samples("bob", ROWS));
    let mut import = home.command(&["import", "big.csv"]).spawn().expect("the program starts");
    let mut during = 0;
    loop {
        let running = import.try_wait().expect("the program is asked").is_none();
        let n = home.count("samples");
        assert!(n == 10 || n == 10 + ROWS, "{n} rows: a part of an import is visible");
        if !running {
            break;
        }
        during += 1;
    }
    assert!(during > 0, "nothing was read during the import");
    finish(import);
    assert_eq!(home.count("samples"), 10 + ROWS);
}

/// Killed at moments spread over a whole import: what was there stays, and doing it again completes it.
#[test]
fn a_killed_import_leaves_the_lake_as_it_was() {
    let home = Home::with_lake();
    home.answer(&["import", &home.file("small.csv", samples("ann", 10))]);
    let text = samples("bob", ROWS);
    let started = Instant::now();
    let other = Home::with_lake();
    other.answer(&["import", &other.file("big.csv", &text)]);
    let whole = started.elapsed();
    home.file("big.csv", &text);
    let before = home.lake_files();
    let mut killed = 0;
    for percent in [10, 30, 50, 70, 85, 95] {
        let mut import = home.command(&["import", "big.csv"]).spawn().expect("the program starts");
        sleep(Duration::from_secs_f64(whole.as_secs_f64() * f64::from(percent) / 100.0));
        import.kill().expect("the program is killed");
        let survived = import.wait().expect("the program ends").code().is_some();
        killed += u32::from(!survived);
        let n = home.count("samples");
        assert!(n == 10 || n == 10 + ROWS, "{n} rows after a kill at {percent} %");
        let after = home.lake_files();
        assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "{percent} %: a file was lost");
        if n > 10 {
            break;
        }
    }
    assert!(killed > 0, "no import was killed in time");
    home.answer(&["import", "big.csv"]);
    assert_eq!((home.count("samples"), home.count("models")), (10 + ROWS, 2));
    // The import after a kill clears away what the kill left: two imports of two tables, two records, one lake.json.
    assert_eq!(home.lake_files().len(), 2 * 2 + 2 + 1);
}

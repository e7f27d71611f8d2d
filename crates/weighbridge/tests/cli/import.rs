//! `weighbridge import`: formats, rejected rows, and the promise that nothing is half done.

use std::fmt::Write;

use crate::home::{Home, argument};

pub const HEADER: &str = "benchmark,item_id,model,open_or_closed,score,group\n";

#[test]
fn a_file_is_imported_once_whatever_its_name() {
    let home = Home::with_lake();
    let text = format!("{HEADER}b,1,m,open,1,g\nb,2,m,open,0.25,g\nb,3,m,open,,g\n");
    let first = home.json(&["import", &home.file("first.csv", &text)]);
    assert_eq!(first[0]["format"], "samples-csv");
    assert_eq!(first[0]["rows"], serde_json::json!({"samples": 3, "models": 1}));
    assert_eq!(first[0]["already_imported"], false);
    let before = home.lake_files();
    for name in ["first.csv", "again.csv", "data.txt"] {
        let again = home.json(&["import", &home.file(name, &text)]);
        assert_eq!(again[0]["already_imported"], true, "{name}");
        assert!(before == home.lake_files(), "{name} changes the lake");
    }
    let told = home.answer(&["import", "first.csv"]);
    assert!(told.contains("already there, nothing changed"), "{told}");
    assert_eq!(home.count("samples"), 3);
    let rows = home.json(&["lake", "sql", "select sample, score, state from samples order by sample"]);
    let expect = serde_json::json!([
        {"sample": "1", "score": 1.0, "state": "scored"},
        {"sample": "2", "score": 0.25, "state": "scored"},
        {"sample": "3", "score": null, "state": "missing"},
    ]);
    assert_eq!(rows, expect, "a blank score is missing, not zero");
}

/// Each bad line 3 after a good line 2: what the error must name. Nothing of the file is imported.
#[test]
fn a_bad_row_is_named_and_the_lake_stays_as_it_was() {
    let home = Home::with_lake();
    home.answer(&["import", &home.file("good.csv", format!("{HEADER}b,1,other,open,1,g\n"))]);
    let before = home.lake_files();
    for (bad, column, says) in [
        ("b,2,m,open,1.5,g", "score", "'1.5', expected a score from 0 to 1"),
        ("b,2,m,open,-0.1,g", "score", "'-0.1', expected a score from 0 to 1"),
        ("b,2,m,open,NaN,g", "score", "'NaN', expected a score from 0 to 1"),
        ("b,2,m,open,inf,g", "score", "'inf', expected a score from 0 to 1"),
        ("b,2,m,open,1e999,g", "score", "'1e999', expected a score from 0 to 1"),
        ("b,2,m,open,right,g", "score", "'right', expected a score from 0 to 1"),
        ("b,2,,open,1,g", "model", "expected"),
        (",2,m,open,1,g", "benchmark", "expected"),
        ("b,,m,open,1,g", "item_id", "expected"),
        ("b,2,m,open,1", "group", "expected 6 fields as in line 1, found 5"),
        ("b,2,m,open,1,g,x", "", "expected 6 fields as in line 1, found 7"),
        ("b,2,\"m,open,1,g", "", "quote"),
    ] {
        let file = home.file("bad.csv", format!("{HEADER}b,1,m,open,1,g\n{bad}\n"));
        let err = home.refusal(&["import", &file], 3);
        for part in ["bad.csv", "line 3", column, says] {
            assert!(err.contains(part), "{bad}: expected '{part}' in: {err}");
        }
        assert!(before == home.lake_files(), "{bad} changes the lake");
    }
}

#[test]
fn many_bad_rows_are_counted_and_the_first_are_shown() {
    let home = Home::with_lake();
    let mut text = HEADER.to_owned();
    for i in 0..1000 {
        writeln!(text, "b,{i},m,open,{},g", if i % 2 == 0 { "2" } else { "1" }).expect("text grows");
    }
    let err = home.refusal(&["import", &home.file("bad.csv", text)], 3);
    assert!(err.contains("500 of 1000 rows cannot be imported") && err.contains("line 2, column score"), "{err}");
    assert!(err.lines().count() < 40, "{} lines for one file", err.lines().count());
}

#[test]
fn what_is_no_known_format_is_told_the_formats() {
    let home = Home::with_lake();
    home.file("note.txt", "hello\n");
    home.file("empty.csv", "");
    home.file("wide.csv", b"\xff\xfeb\0,\0");
    home.file("semicolons.csv", HEADER.replace(',', ";") + "b;1;m;open;1;g\n");
    home.file("no-access.csv", "benchmark,item_id,model,score,group\nb,1,m,1,g\n");
    home.file("folder/readme.md", "nothing to import");
    home.file("half/eci_scores.csv", "Model\n");
    home.refusals(&[
        ("import note.txt", 3, &["note.txt", "known formats", "samples-csv", "votes-csv", "votes-json", "epoch-index"]),
        ("import folder", 3, &["folder", "known formats", "epoch-index"]),
        ("import half", 3, &["half", "lacks eci_benchmarks.csv"]),
        ("import empty.csv", 3, &["empty.csv", "the file is empty"]),
        ("import wide.csv", 3, &["wide.csv", "UTF-16", "save the file as UTF-8"]),
        ("import semicolons.csv", 3, &["semicolons.csv", "commas"]),
        ("import no-access.csv", 3, &["no-access.csv", "line 1", "open_or_closed", "add or rename it"]),
        ("import nowhere.csv", 3, &["nowhere.csv", "it does not exist"]),
        ("import", 2, &["<FILES>"]),
    ]);
    assert_eq!(home.count("samples"), 0);
}

#[test]
fn a_bad_file_among_good_ones_keeps_those_before_it() {
    let home = Home::with_lake();
    home.file("a.csv", format!("{HEADER}b,1,m,open,1,g\n"));
    home.file("bad.csv", format!("{HEADER}b,1,m,open,7,g\n"));
    home.file("z.csv", format!("{HEADER}b,2,m,open,1,g\n"));
    let err = home.refusal(&["import", "a.csv", "bad.csv", "z.csv"], 3);
    assert!(err.contains("1 were imported before this: bad.csv"), "{err}");
    assert_eq!(home.count("samples"), 1);
}

#[test]
fn a_folder_with_something_else_in_it_is_not_made_a_lake() {
    let home = Home::with_lake();
    home.file("lake/photo.jpg", "mine");
    let before = home.lake_files();
    let file = home.file("a.csv", format!("{HEADER}b,1,m,open,1,g\n"));
    assert!(home.refusal(&["import", &file], 3).contains("is not a lake and not empty"));
    assert!(before == home.lake_files());
}

#[test]
fn a_real_file_comes_in_whole_with_a_note_on_what_was_left_out() {
    let Some(file) = weighbridge_reference::path("data/items/epoch_swebench_verified.csv.gz") else { return };
    let home = Home::with_lake();
    let told = home.answer(&["import", &argument(&file)]);
    assert!(told.contains("left out: ") && told.contains("model_route"), "{told}");
    let expect = weighbridge_reference::read_csv(&file);
    assert_eq!(home.count("samples"), expect.len() as u64);
    let blank = expect.iter().filter(|row| weighbridge_reference::field(row, "score").is_empty()).count();
    assert_eq!(home.count("samples where score is null"), blank as u64);
}

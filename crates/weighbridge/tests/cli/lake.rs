//! `weighbridge lake`: what is in it, SQL over it, and damage that is named.

use std::fs;

use crate::home::Home;
use crate::import::HEADER;

/// A lake with three samples of two models and one row of votes.
fn small() -> Home {
    let home = Home::with_lake();
    let samples = format!("{HEADER}b,1,ann,open,1,g\nb,2,ann,open,0.5,g\nb,1,bob,closed,,g\n");
    home.answer(&["import", &home.file("samples.csv", samples)]);
    let votes = "model_a,model_b,wins_a,wins_b,ties\nann,\"bob, the second\",3,2,1\n";
    home.answer(&["import", &home.file("friends.csv", votes)]);
    home
}

#[test]
fn info_tells_tables_and_imports() {
    let home = small();
    let info = home.json(&["lake", "info"]);
    for (table, rows) in [("samples", 3), ("models", 2), ("votes", 1), ("results", 0), ("prices", 0)] {
        assert_eq!(info["tables"][table]["rows"], rows, "{table}");
    }
    let imports = info["imports"].as_array().expect("a list");
    let mut sources: Vec<_> = imports.iter().map(|import| import["source"].as_str().expect("a name")).collect();
    sources.sort_unstable();
    assert_eq!(sources, ["friends.csv", "samples.csv"]);
    let text = home.answer(&["lake"]);
    assert_eq!(text, home.answer(&["lake", "info"]), "info is what 'lake' does");
    assert!(text.contains("samples") && text.contains("friends.csv") && text.contains("schema version 1"), "{text}");
    let schema = home.answer(&["lake", "schema"]);
    for column in ["dataset_size", "wins_a", "release_date"] {
        assert!(schema.contains(column), "{column}");
    }
}

#[test]
fn a_query_answers_in_every_form() {
    let home = small();
    let query = "select model, score, state from samples order by model, sample";
    let rows = serde_json::json!([
        {"model": "ann", "score": 1.0, "state": "scored"},
        {"model": "ann", "score": 0.5, "state": "scored"},
        {"model": "bob", "score": null, "state": "missing"},
    ]);
    assert_eq!(home.json(&["lake", "sql", query]), rows);
    for (format, expect) in [
        ("csv", "model,score,state\nann,1.0,scored\nann,0.5,scored\nbob,,missing\n"),
        (
            "markdown",
            "| model | score | state |\n| --- | ---: | --- |\n| ann | 1.0 | scored |\n| ann | 0.5 | scored |\n| bob |  | missing |\n",
        ),
        ("text", "model  score  state\nann      1.0  scored\nann      0.5  scored\nbob           missing\n3 rows\n"),
    ] {
        assert_eq!(home.answer(&["lake", "sql", query, "--format", format]), expect, "{format}");
    }
    let one = home.answer(&["lake", "sql", "select count(*) as n from samples"]);
    assert_eq!(one, "n\n3\n1 row\n");
    // A comma in a name is quoted in CSV.
    let csv = home.answer(&["lake", "sql", "select model_b, ties from votes", "--format", "csv"]);
    assert_eq!(csv, "model_b,ties\n\"bob, the second\",1\n");
    assert_eq!(home.json(&["lake", "sql", "select * from samples where model = 'nobody'"]), serde_json::json!([]));
}

#[test]
fn a_query_that_is_wrong_or_would_change_something_is_refused() {
    let home = small();
    let before = home.lake_files();
    for (query, says) in [
        ("selct 1", "Expected: an SQL statement, found: selct at Line: 1, Column: 1"),
        ("select nope from samples", "No field named nope"),
        ("select nope from samples", "samples.score"),
        ("select * from nope", "the tables are results, samples, votes, models, prices"),
        ("select * from (select model from nope) join samples using (model)", "the tables are results"),
        ("drop table samples", "read-only"),
        ("delete from samples", "read-only"),
        ("create table x as select 1", "read-only"),
        ("insert into votes select * from votes", "read-only"),
        ("set datafusion.execution.batch_size = 1", "read-only"),
        ("copy samples to 'out.csv'", "read-only"),
        ("create external table x stored as csv location 'samples.csv'", "read-only"),
        ("select 1; drop table samples", "single SQL statement"),
    ] {
        let err = home.refusal(&["lake", "sql", query], 3);
        assert!(err.contains(says), "{query}: {err}");
    }
    assert!(before == home.lake_files() && !home.path("out.csv").exists());
    assert_eq!(home.count("samples"), 3);
    // A file of the machine is no table.
    home.refusal(&["lake", "sql", "select * from 'samples.csv'"], 3);
}

#[test]
fn a_damaged_part_is_named_and_the_rest_still_answers() {
    let home = small();
    let part = fs::read_dir(home.lake().join("tables").join("samples")).expect("a folder").next().expect("a part");
    let part = part.expect("a part").path();
    let name = part.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let whole = fs::read(&part).expect("bytes");
    let flipped = {
        let mut bytes = whole.clone();
        bytes[whole.len() / 3..whole.len() / 2].fill(0xa5);
        bytes
    };
    for (case, bytes) in [("truncated", &whole[..whole.len() / 2]), ("empty", &[]), ("overwritten", &flipped)] {
        fs::write(&part, bytes).expect("the part is damaged");
        let err = home.refusal(&["lake", "sql", "select avg(score), min(sample), min(model) from samples"], 3);
        for says in [name.as_str(), "damaged", "import 'samples.csv' again"] {
            assert!(err.contains(says), "{case}: {err}");
        }
        assert_eq!((home.count("votes"), home.count("models")), (1, 2), "{case}");
        assert_eq!(home.json(&["lake", "info"])["tables"]["samples"]["rows"], 3, "{case}");
        home.answer(&["import", "samples.csv"]);
        assert_eq!(home.count("samples"), 3, "{case}: the import restores it");
        assert!(fs::read(&part).expect("bytes") == whole, "{case}");
    }
    fs::remove_file(&part).expect("the part is gone");
    let err = home.refusal(&["lake", "sql", "select * from samples"], 3);
    assert!(err.contains(&name) && err.contains("missing"), "{err}");
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let home = small();
    let records = fs::read_dir(home.lake().join("imports")).expect("a folder");
    let record = records.map(|entry| entry.expect("a record").path()).next().expect("a record");
    let whole = fs::read(&record).expect("bytes");
    fs::write(&record, &whole[..whole.len() / 2]).expect("the record is damaged");
    let err = home.refusal(&["lake"], 3);
    let name = record.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(err.contains(name) && err.contains("damaged") && err.contains("import its source again"), "{err}");
}

#[test]
fn a_lake_of_the_future_is_left_alone() {
    let home = small();
    fs::write(home.lake().join("lake.json"), "{\"schema_version\": 99}\n").expect("written");
    let err = home.refusal(&["lake"], 3);
    assert!(err.contains("schema version 99") && err.contains("update the program"), "{err}");
}

#[test]
fn no_lake_yet_is_told_how_to_make_one() {
    let home = Home::fresh();
    for args in [&["lake"][..], &["lake", "info"], &["lake", "sql", "select 1"]] {
        let err = home.refusal(args, 3);
        assert!(err.contains("there is no lake yet") && err.contains("weighbridge import FILE"), "{err}");
    }
    home.file("elsewhere/x.txt", "x");
    assert!(home.refusal(&["lake", "--lake", "elsewhere"], 3).contains("is not a lake"));
    assert!(home.refusal(&["lake", "--lake", "nowhere"], 3).contains("nowhere"));
}

#[test]
fn the_snapshot_can_be_queried_and_changes_no_answer() {
    let home = Home::with_lake();
    let args = ["gap", "--draws", "40"];
    let before = home.json(&args);
    let told = home.answer(&["lake", "snapshot"]);
    let counts = [home.count("models"), home.count("prices"), home.count("results")];
    assert!(counts[0] >= 200 && counts[1] > 100 && counts[2] > 1000, "{counts:?}");
    for (count, table) in counts.iter().zip(["models", "prices", "results"]) {
        assert!(told.contains(&format!("{count} {table}")), "{told}");
    }
    assert!(home.answer(&["lake", "snapshot"]).contains("already holds"));
    assert_eq!(counts[0], home.count("models"));
    let listed = home.json(&["models"]).as_array().map_or(0, Vec::len);
    assert_eq!(listed as u64, counts[0]);
    assert_eq!(before, home.json(&args), "the snapshot counts once");
}

#[test]
fn a_lake_that_is_named_and_not_there_yet_hinders_nobody() {
    let home = Home::with_lake();
    for args in [&["gap", "--draws", "40"][..], &["compare", "glm-5", "gpt-5.5"], &["models", "--lab", "openai"]] {
        home.answer(args);
    }
    assert!(!home.lake().exists());
}

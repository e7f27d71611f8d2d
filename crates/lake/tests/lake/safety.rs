//! Crashes, damage and several processes at once.

use std::path::Path;
use std::process::Command;

use weighbridge_lake::schema::Table;
use weighbridge_lake::{Lake, LakeError, write_samples};

use crate::{drain, files, input, new_lake, number, row};

fn samples_csv(model: &str, from: u32, to: u32) -> String {
    let mut text = "benchmark,item_id,model,open_or_closed,score,group\n".to_owned();
    for i in from..to {
        text.push_str(&format!("b,s{i:05},{model},open,{},\n", i % 2));
    }
    text
}

fn only_part(lake: &Lake, table: Table) -> std::path::PathBuf {
    let part = &lake.imports()[0].parts(table)[0];
    lake.location().root().join(format!("tables/{table}/{}", part.file))
}

#[test]
fn the_same_content_is_imported_once() {
    let (folder, mut lake) = new_lake();
    let csv = samples_csv("m", 0, 10);
    let plain = input(&folder, "a.csv", &csv);
    lake.import(&plain).unwrap();
    let before = files(lake.location().root());

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, csv.as_bytes()).unwrap();
    let zipped = input(&folder, "other name.txt", gzip.finish().unwrap());
    for file in [&plain, &zipped] {
        assert!(lake.import(file).unwrap().already_imported);
        assert_eq!(files(lake.location().root()), before);
    }

    let (_other, mut again) = new_lake();
    again.import(&plain).unwrap();
    assert_eq!(files(again.location().root()), before, "the same input gives the same bytes");
}

#[test]
fn a_crash_before_the_commit_leaves_nothing_visible() {
    let (folder, mut lake) = new_lake();
    lake.import(&input(&folder, "a.csv", samples_csv("m", 0, 10))).unwrap();
    let root = lake.location().root().to_owned();
    let before = files(&root);
    let part = std::fs::read(only_part(&lake, Table::Samples)).unwrap();

    let orphan = root.join("tables/samples/0123456789abcdef0123456789abcdef.parquet");
    let cut_record = root.join("imports/.weighbridge-tmp-AbCdEf");
    let foreign = root.join("tables/samples/notes.txt");
    std::fs::write(&orphan, &part).unwrap();
    std::fs::write(&cut_record, "{\"schema_version\": 1, \"id\"").unwrap();
    std::fs::write(&foreign, "mine").unwrap();

    let mut lake = Lake::open(&root).unwrap();
    assert_eq!(lake.info().tables[&Table::Samples].rows, 10);
    assert!((number(&lake, "SELECT count(*) FROM samples") - 10.0).abs() < 0.5);

    lake.import(&input(&folder, "b.csv", samples_csv("m", 0, 10))).unwrap();
    assert!(!orphan.exists() && !cut_record.exists(), "the next import sweeps what a crash left");
    assert!(foreign.exists(), "what is not ours stays");
    std::fs::remove_file(foreign).unwrap();
    assert_eq!(files(&root), before);
}

#[test]
fn a_damaged_part_is_named_and_can_be_restored() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("bytes instead of", |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("does not match its name", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let end = bytes.len() - 20;
            bytes[end..].fill(0xff);
            std::fs::write(path, bytes).unwrap();
        }),
        ("the file is missing", |path| std::fs::remove_file(path).unwrap()),
    ];
    for (reason, harm) in harms {
        let (folder, mut lake) = new_lake();
        let file = input(&folder, "a.csv", samples_csv("m", 0, 100));
        lake.import(&file).unwrap();
        let part = only_part(&lake, Table::Samples);
        lake.import(&input(&folder, "b.csv", samples_csv("n", 0, 100))).unwrap();
        lake.import(&input(&folder, "v.csv", "model_a,model_b,wins_a,wins_b,ties\na,b,3,1,2\n")).unwrap();
        let whole = files(lake.location().root());
        harm(&part);

        let error = lake.sql("SELECT avg(score) FROM samples").unwrap_err();
        assert!(matches!(error, LakeError::DamagedPart { .. }), "{error}");
        let name = part.file_name().unwrap().to_string_lossy().into_owned();
        for piece in [name.as_str(), reason, "a.csv"] {
            assert!(error.to_string().contains(piece), "{error}");
        }
        let mut lake = Lake::open(lake.location().root()).unwrap();
        let mut stream = lake.open_samples("b", "m", None).unwrap();
        let error = weighbridge_core::SampleStream::next_sample(&mut stream).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(drain(&mut lake.open_samples("b", "n", None).unwrap()).len(), 100, "the other run is readable");
        assert_eq!(lake.votes("v").unwrap().len(), 1);

        assert!(!lake.import(&file).unwrap().already_imported);
        assert_eq!(files(lake.location().root()), whole, "importing again restores it");
    }
}

#[test]
fn what_is_not_a_lake_is_refused() {
    let (folder, lake) = new_lake();
    let root = lake.location().root().to_owned();
    let error = Lake::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("is not a lake"), "{error}");
    let error = Lake::open_or_create(folder.path()).err().unwrap().to_string();
    assert!(error.contains("not empty"), "{error}");
    let error = Lake::open(&folder.path().join("nowhere")).err().unwrap().to_string();
    assert!(error.contains("nowhere: it does not exist"), "{error}");

    std::fs::write(root.join("lake.json"), "{\"schema_version\": 2, \"more\": true}").unwrap();
    let error = Lake::open(&root).err().unwrap();
    assert!(matches!(error, LakeError::NewerSchema { found: 2, .. }), "{error}");
    assert!(Lake::open_or_create(&root).is_err());
    std::fs::write(root.join("lake.json"), "{\"schema").unwrap();
    let error = Lake::open(&root).err().unwrap().to_string();
    assert!(error.contains("lake.json is damaged"), "{error}");
}

#[test]
fn a_damaged_or_newer_record_is_named() {
    let (folder, mut lake) = new_lake();
    let report = lake.import(&input(&folder, "a.csv", samples_csv("m", 0, 3))).unwrap();
    let record = lake.location().root().join(format!("imports/{}.json", report.record.id));
    let text = std::fs::read_to_string(&record).unwrap();
    for (content, expect) in [
        (text.replace("\"schema_version\": 1", "\"schema_version\": 7"), "schema version 7"),
        (text[..text.len() / 2].to_owned(), "is damaged"),
        (text.replace("\"tables\"", "\"tabellen\""), "is damaged"),
    ] {
        std::fs::write(&record, content).unwrap();
        let error = Lake::open(lake.location().root()).err().unwrap().to_string();
        assert!(error.contains(expect) && error.contains(&report.record.id), "{error}");
    }
}

#[test]
fn threads_importing_at_once_do_not_disturb_each_other() {
    let (folder, lake) = new_lake();
    let root = lake.location().root().to_owned();
    let same = input(&folder, "same.csv", samples_csv("m", 0, 5000));
    std::thread::scope(|scope| {
        for i in 0..6_u32 {
            let (root, same) = (&root, &same);
            let own = input(&folder, &format!("own{i}.csv"), samples_csv(&format!("m{i}"), 0, 500));
            scope.spawn(move || {
                let mut lake = Lake::open_or_create(root).unwrap();
                lake.import(same).unwrap();
                lake.import(&own).unwrap();
            });
        }
    });
    let lake = Lake::open(&root).unwrap();
    assert_eq!(lake.imports().len(), 7);
    assert!((number(&lake, "SELECT count(*) FROM samples") - 8000.0).abs() < 0.5);
    assert_eq!(drain(&mut lake.open_samples("b", "m", None).unwrap()).len(), 5000);
}

/// Not a test of its own: what the processes of the next test run.
#[test]
fn import_in_a_child_process() {
    let Some(root) = std::env::var_os("LAKE_TEST_ROOT") else { return };
    let mut lake = Lake::open_or_create(Path::new(&root)).unwrap();
    for file in std::env::var("LAKE_TEST_FILES").unwrap().split(';') {
        lake.import(Path::new(file)).unwrap();
    }
}

#[test]
fn processes_importing_at_once_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lake");
    let same = input(&folder, "same.csv", samples_csv("m", 0, 5000));
    let children: Vec<_> = (0..3)
        .map(|i| {
            let own = input(&folder, &format!("own{i}.csv"), samples_csv(&format!("m{i}"), 0, 500));
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "safety::import_in_a_child_process"])
                .env("LAKE_TEST_ROOT", &root)
                .env("LAKE_TEST_FILES", format!("{};{}", same.display(), own.display()))
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let lake = Lake::open(&root).unwrap();
    assert_eq!(lake.imports().len(), 4);
    assert!((number(&lake, "SELECT count(*) FROM samples") - 6500.0).abs() < 0.5);
}

#[test]
fn a_killed_import_is_as_if_it_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = input(&folder, "big.csv", samples_csv("m", 0, 300_000));
    let (_clean, mut clean) = new_lake();
    clean.import(&file).unwrap();
    let whole = files(clean.location().root());
    let root = folder.path().join("lake");
    Lake::open_or_create(&root).unwrap();
    for milliseconds in [20, 60, 120, 200, 300, 400] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "safety::import_in_a_child_process"])
            .env("LAKE_TEST_ROOT", &root)
            .env("LAKE_TEST_FILES", &file)
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let lake = Lake::open(&root).unwrap();
        let rows = lake.info().tables[&Table::Samples].rows;
        assert!(rows == 0 || rows == 300_000, "{rows} rows after {milliseconds} ms");
        assert!((number(&lake, "SELECT count(*) FROM samples") - rows as f64).abs() < 0.5);
    }
    Lake::open(&root).unwrap().import(&file).unwrap();
    assert_eq!(files(&root), whole);
}

#[test]
fn a_newer_importer_imports_again() {
    let (folder, mut lake) = new_lake();
    let file = input(&folder, "a.csv", samples_csv("m", 0, 3));
    let report = lake.import(&file).unwrap();
    let whole = files(lake.location().root());
    let record = lake.location().root().join(format!("imports/{}.json", report.record.id));
    let old = std::fs::read_to_string(&record).unwrap().replace("\"format_version\": 1", "\"format_version\": 0");
    std::fs::write(&record, old).unwrap();
    let mut lake = Lake::open(lake.location().root()).unwrap();
    assert!(!lake.import(&file).unwrap().already_imported);
    assert_eq!(files(lake.location().root()), whole);
    assert!(lake.import(&file).unwrap().already_imported);
}

#[test]
fn what_the_system_refuses_is_told_with_the_path() {
    let (folder, mut lake) = new_lake();
    let file = input(&folder, "a.csv", samples_csv("m", 0, 3));
    let error = lake.import(&folder.path().join("absent.csv")).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("absent.csv: it does not exist"), "{error}");
    for inside_a_file in [&file, &file.join("lake")] {
        let error = Lake::open_or_create(inside_a_file).err().unwrap().to_string();
        assert!(error.contains("a.csv"), "{error}");
        let error = Lake::open(inside_a_file).err().unwrap().to_string();
        assert!(error.contains("a.csv"), "{error}");
    }
}

#[test]
fn a_row_that_contradicts_itself_is_refused() {
    let (_folder, mut lake) = new_lake();
    let mut unscored = row("m", "s", 1, 1.0);
    unscored.score = None;
    let mut missing = row("m", "s", 1, 1.0);
    missing.state = weighbridge_core::SampleState::Missing;
    for bad in [unscored, missing, row("m", "s", 1, 1.01), row("m", "s", 1, f64::NAN)] {
        let before = files(lake.location().root());
        let error = write_samples(&mut lake, [row("m", "t", 1, 0.0), bad].into_iter(), "bad").unwrap_err().to_string();
        assert!(error.contains("sample 's' of model 'm'"), "{error}");
        assert_eq!(files(lake.location().root()), before);
    }
}

#[test]
fn rows_from_a_generator_are_imported_once() {
    let (_folder, mut lake) = new_lake();
    let rows = || (0..50).map(|i| row("m", &format!("s{i:02}"), 1, 1.0));
    assert!(!write_samples(&mut lake, rows(), "made").unwrap().already_imported);
    let before = files(lake.location().root());
    assert!(write_samples(&mut lake, rows(), "made").unwrap().already_imported);
    assert_eq!(files(lake.location().root()), before);
}

//! Streams: their order, their duplicates, their plan; and SQL.

use arrow::array::AsArray;
use weighbridge_core::{SampleState, SampleStream};
use weighbridge_lake::{LakeError, synthetic_samples, write_samples};

use crate::{drain, input, new_lake, number, row};

#[test]
fn a_stream_is_in_byte_order_whatever_the_order_of_the_rows() {
    let (_folder, mut lake) = new_lake();
    let samples = ["z", "a10", "a2", "A", "é", "", "a"];
    let rows = samples.iter().filter(|s| !s.is_empty()).flat_map(|s| [2, 1, 3].map(|epoch| row("m", s, epoch, 0.5)));
    write_samples(&mut lake, rows, "made up").unwrap();
    let order: Vec<String> = drain(&mut lake.open_samples("b", "m", None).unwrap()).into_iter().map(|r| r.0).collect();
    let mut names: Vec<String> = order.iter().step_by(3).cloned().collect();
    assert_eq!(names, ["A", "a", "a10", "a2", "z", "é"]);
    names.dedup();
    assert_eq!(names.len() * 3, order.len());
}

#[test]
fn runs_are_told_apart_and_null_is_a_run() {
    let (_folder, mut lake) = new_lake();
    let rows = [None, Some("r1"), Some("r2")].into_iter().enumerate().flat_map(|(i, run)| {
        (0..=i).map(move |s| {
            let mut row = row("m", &format!("s{s}"), 1, 1.0);
            row.run = run.map(str::to_owned);
            row
        })
    });
    write_samples(&mut lake, rows, "runs").unwrap();
    for (run, n) in [(None, 1), (Some("r1"), 2), (Some("r2"), 3)] {
        assert_eq!(drain(&mut lake.open_samples("b", "m", run).unwrap()).len(), n, "{run:?}");
    }
    assert_eq!(lake.sample_sets().len(), 3);
    let error = lake.open_samples("b", "m", Some("r3")).err().unwrap().to_string();
    assert_eq!(error, "the lake has no samples of model 'm' on benchmark 'b' in run 'r3'");
}

#[test]
fn overlapping_imports_are_merged_without_a_sort() {
    let (_folder, mut lake) = new_lake();
    for part in 0..5_usize {
        let rows = (0..400).filter(move |i| i % 5 == part).map(|i| row("m", &format!("s{i:04}"), 1, 1.0));
        let other = (0..40).map(|i| row("n", &format!("s{i:04}"), part as u32 + 1, 0.0));
        write_samples(&mut lake, rows.chain(other), &format!("part {part}")).unwrap();
    }
    let mut stream = lake.open_samples("b", "m", None).unwrap();
    let plans = stream.explain().unwrap();
    assert_eq!(plans.len(), 1);
    assert!(plans[0].contains("SortPreservingMergeExec"), "{}", plans[0]);
    assert!(!plans[0].contains("SortExec"), "{}", plans[0]);
    assert_eq!(drain(&mut stream).len(), 400);
    assert_eq!(drain(&mut lake.open_samples("b", "n", None).unwrap()).len(), 200);
}

#[test]
fn parts_that_do_not_overlap_are_read_one_after_another() {
    let (_folder, mut lake) = new_lake();
    for part in [2, 0, 1] {
        let rows = (0..100).map(|i| row("m", &format!("s{part}{i:03}"), 1, 1.0));
        write_samples(&mut lake, rows, &format!("part {part}")).unwrap();
    }
    let mut stream = lake.open_samples("b", "m", None).unwrap();
    let plans = stream.explain().unwrap();
    assert_eq!(plans.len(), 3);
    assert!(plans.iter().all(|plan| !plan.contains("Sort")), "{plans:?}");
    assert_eq!(drain(&mut stream).len(), 300);
}

#[test]
fn a_run_is_read_without_its_neighbours() {
    let (_folder, mut lake) = new_lake();
    let models = ["m1", "m2", "m3", "m4"];
    let rows = models.into_iter().flat_map(|model| (0..100_000).map(move |i| row(model, &format!("s{i:06}"), 1, 1.0)));
    write_samples(&mut lake, rows, "four models").unwrap();
    let query = "EXPLAIN ANALYZE SELECT sum(score) FROM samples WHERE benchmark = 'b' AND model = 'm1'";
    let plan = lake.sql(query).unwrap().batches[0].column(1).as_string::<i32>().value(0).to_owned();
    assert!(plan.contains("row_groups_pruned_statistics=4 total → 1 matched"), "{plan}");
}

#[test]
fn a_sample_in_two_imports_counts_once() {
    let (_folder, mut lake) = new_lake();
    let scores = |from: u32, to: u32, score: f64| (from..to).map(move |i| row("m", &format!("s{i:03}"), 1, score));
    write_samples(&mut lake, scores(0, 60, 1.0), "first").unwrap();
    write_samples(&mut lake, scores(40, 100, 1.0), "second").unwrap();
    let mut disagrees = row("m", "s000", 1, 0.0);
    let mut unscored = row("m", "s099", 1, 0.0);
    disagrees.cost_usd = Some(1.0);
    (unscored.state, unscored.score) = (SampleState::Missing, None);
    write_samples(&mut lake, [disagrees, unscored].into_iter(), "third").unwrap();

    for _ in 0..3 {
        let mut stream = lake.open_samples("b", "m", None).unwrap();
        let rows = drain(&mut stream);
        assert_eq!(rows.len(), 100);
        assert_eq!((stream.duplicates(), stream.conflicts()), (22, 2));
        assert_eq!(rows[0].2, Some(0.0), "the lower score is kept, whichever came first");
        assert_eq!(rows[99].2, Some(1.0), "a score is kept before a missing one");
    }
}

#[test]
fn a_long_run_is_streamed_over_several_parts() {
    let (_folder, mut lake) = new_lake();
    let report = write_samples(&mut lake, synthetic_samples(2_400_000), "synthetic").unwrap();
    assert_eq!(report.record.parts(weighbridge_lake::schema::Table::Samples).len(), 3);
    for model in ["model-a", "model-b"] {
        let mut stream = lake.open_samples("synthetic", model, None).unwrap();
        assert!(stream.explain().unwrap().iter().all(|plan| !plan.contains("Sort")));
        let (mut n, mut last) = (0, String::new());
        while let Some(view) = stream.next_sample().unwrap() {
            assert!(last.as_str() < view.sample);
            last.clear();
            last.push_str(view.sample);
            n += 1;
        }
        assert_eq!(n, 1_200_000);
    }
}

#[test]
fn sql_reads_and_nothing_else() {
    let (folder, mut lake) = new_lake();
    let csv = "model_a,model_b,wins_a,wins_b,ties\na,b,3,1,2\nb,c,1,0,0\n";
    lake.import(&input(&folder, "votes.csv", csv)).unwrap();
    assert!((number(&lake, "SELECT sum(wins_a) FROM votes") - 4.0).abs() < 1e-9);
    assert!((number(&lake, "SELECT count(*) FROM samples") - 0.0).abs() < 1e-9);
    let columns = lake.sql("SELECT * FROM samples").unwrap().schema;
    assert_eq!(columns.field(0).name(), "benchmark");
    assert!(lake.sql("SHOW TABLES").unwrap().batches[0].num_rows() >= 5);
    assert!(lake.sql("EXPLAIN SELECT * FROM votes").is_ok());

    for text in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc/passwd'",
        "DROP TABLE votes",
        "INSERT INTO votes SELECT * FROM votes",
        "DELETE FROM votes",
        "COPY votes TO 'x.parquet'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO votes SELECT * FROM votes",
    ] {
        let error = lake.sql(text).unwrap_err();
        assert!(matches!(error, LakeError::ReadOnly(_)), "{text}: {error}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
    for text in ["SELEC 1", "SELECT nothing FROM votes", "SELECT 1; SELECT 2", "SELECT * FROM '/etc/passwd'", ""] {
        let error = lake.sql(text).unwrap_err();
        assert!(matches!(error, LakeError::Sql(_)), "{text}: {error}");
    }
}

#[test]
fn columns_of_one_name_keep_their_cells() {
    let (folder, mut lake) = new_lake();
    let csv = "model_a,model_b,wins_a,wins_b,ties\na,b,3,1,2\nb,c,1,0,0\n";
    lake.import(&input(&folder, "votes.csv", csv)).unwrap();
    let result = lake.sql("SELECT x.model_a, y.model_a, x.both_bad FROM votes x JOIN votes y ON x.model_b = y.model_a");
    let cells = result.unwrap().cells().unwrap();
    assert_eq!(cells, [[serde_json::json!("a"), serde_json::json!("b"), serde_json::Value::Null]]);
    assert!(lake.sql("SELECT * FROM samples").unwrap().cells().unwrap().is_empty());
}

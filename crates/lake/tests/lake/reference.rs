//! Real files: what the lake holds equals what a plain reading of the CSV gives.

use std::collections::BTreeMap;

use weighbridge_lake::schema::Table;
use weighbridge_reference::{field, path, read_csv};

use crate::{drain, files, new_lake, number};

/// Count and sum of the scores, and rows without one.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    rows: u64,
    scored: u64,
    sum: f64,
}

fn check_items(name: &str, rows: u64, models: usize, blank: u64) {
    let Some(file) = path(&format!("data/items/{name}.csv.gz")) else { return };
    let (_folder, mut lake) = new_lake();
    let report = lake.import(&file).unwrap();
    assert!(!report.already_imported);
    assert_eq!(report.record.dataset, name);
    assert_eq!(report.record.rows(Table::Samples), rows, "{name}");

    let mut expect: BTreeMap<(String, Option<String>), Tally> = BTreeMap::new();
    for row in read_csv(&file) {
        let run = row.iter().find(|(column, _)| column == "run_id").map(|(_, run)| run.clone());
        let tally = expect.entry((field(&row, "model").to_owned(), run)).or_default();
        tally.rows += 1;
        if let Ok(score) = field(&row, "score").parse::<f64>() {
            tally.scored += 1;
            tally.sum += score;
        }
    }

    let sets = lake.sample_sets();
    assert_eq!(sets.len(), expect.len(), "{name}");
    assert_eq!(sets.iter().map(|set| &set.model).collect::<std::collections::BTreeSet<_>>().len(), models, "{name}");
    assert_eq!(sets.iter().map(|set| set.states.missing).sum::<u64>(), blank, "{name}");
    for set in &sets {
        let want = &expect[&(set.model.clone(), set.run.clone())];
        assert_eq!((set.rows(), set.scored()), (want.rows, want.scored), "{name} {}", set.model);
        let mut stream = lake.open_samples(&set.benchmark, &set.model, set.run.as_deref()).unwrap();
        let rows = drain(&mut stream);
        assert_eq!((stream.duplicates(), stream.conflicts()), (0, 0));
        assert_eq!(rows.len() as u64, want.rows, "{name} {}", set.model);
        let scores: Vec<f64> = rows.iter().filter_map(|row| row.2).collect();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((mean - want.sum / want.scored as f64).abs() < 1e-12, "{name} {}: {mean}", set.model);
    }
    assert!((number(&lake, "SELECT count(*) FROM samples") - rows as f64).abs() < 0.5);

    let before = files(lake.location().root());
    assert!(lake.import(&file).unwrap().already_imported);
    assert_eq!(files(lake.location().root()), before);
}

#[test]
fn every_set_of_items_is_imported_whole() {
    for (name, rows, models, blank) in [
        ("alpaca_eval_2", 46_680, 58, 0),
        ("bbq_unifiedqa", 35_868, 3, 0),
        ("epoch_chess_puzzles", 3_200, 30, 56),
        ("epoch_frontiermath_public", 1_080, 58, 1),
        ("epoch_gpqa_diamond", 102_762, 86, 104),
        ("epoch_simpleqa_verified", 44_000, 43, 38),
        ("epoch_swebench_verified", 23_600, 41, 31),
        ("livecodebench_generation_2025_04", 16_880, 16, 0),
        ("mmlu_pro", 336_864, 28, 0),
        ("swebench_verified_bash_only", 12_000, 24, 0),
        ("xstest_v2", 2_250, 5, 0),
        ("zeroeval_gsm", 57_398, 44, 0),
        ("zeroeval_math_l5", 30_692, 43, 0),
    ] {
        check_items(name, rows, models, blank);
    }
}

#[test]
fn a_run_keeps_what_its_source_says() {
    let Some(file) = path("data/items/epoch_swebench_verified.csv.gz") else { return };
    let (_folder, mut lake) = new_lake();
    let report = lake.import(&file).unwrap();
    assert_eq!(report.record.columns_left_out, ["model_route"]);
    let sets = lake.sample_sets();
    let sizes: std::collections::BTreeSet<u32> = sets.iter().flat_map(|set| set.dataset_sizes.clone()).collect();
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [484, 500]);
    assert!(sets.iter().all(|set| set.first_date.is_some() && set.first_date <= set.last_date && set.epochs == 1));

    let Some(file) = path("data/items/epoch_simpleqa_verified.csv.gz") else { return };
    let notes = lake.import(&file).unwrap().record.notes;
    assert_eq!(
        notes,
        [
            "output_tokens: impossible values were taken as unknown, 4 in all, the first '-39' on line 2344",
            "label: not kept where there is a score (C 16479, I 20741, N 6742)",
        ]
    );
    let graders: std::collections::BTreeSet<String> =
        lake.sample_sets().into_iter().flat_map(|set| set.graders).collect();
    assert_eq!(graders.len(), 3);
}

#[test]
fn the_epoch_index_gives_results_and_models() {
    let Some(folder) = path("data/reference/eci_2026-08-11") else { return };
    let (_folder, mut lake) = new_lake();
    let report = lake.import(&folder).unwrap();
    assert_eq!(report.record.dataset, "epoch-index-2026-08-11");
    let results = lake.results("epoch-index-2026-08-11").unwrap();
    let models = lake.models("epoch-index-2026-08-11").unwrap();
    assert_eq!((results.len(), models.len()), (2249, 222));

    let rows = read_csv(&folder.join("eci_benchmarks.csv"));
    for (i, (result, row)) in results.iter().zip(&rows).enumerate() {
        assert_eq!(result.row, i as u64);
        assert_eq!(result.model, field(row, "model"));
        assert_eq!(result.benchmark, field(row, "benchmark"));
        assert_eq!(result.value.to_bits(), field(row, "performance").parse::<f64>().unwrap().to_bits());
        assert_eq!(result.source.as_deref().unwrap_or_default(), field(row, "source"));
        let date = result.model_release_date.map(weighbridge_core::format_date).unwrap_or_default();
        assert_eq!(date, field(row, "date"));
    }
    let unknown = models.iter().filter(|model| model.accessibility.as_deref() == Some("Unknown")).count();
    assert_eq!(unknown, 24);
    assert_eq!(models.iter().filter(|model| model.lab.is_none()).count(), 17);
    assert!(lake.import(&folder).unwrap().already_imported);
}

#[test]
fn the_arena_votes_keep_every_vote() {
    let Some(file) = path("data/reference/chatbotarena_20240814.json") else { return };
    let (_folder, mut lake) = new_lake();
    let report = lake.import(&file).unwrap();
    assert_eq!(report.record.dataset, "chatbotarena_20240814");
    let votes = lake.votes("chatbotarena_20240814").unwrap();
    assert_eq!(votes.len(), 3460);
    assert_eq!(votes.iter().map(|v| v.wins_a + v.wins_b + v.ties).sum::<u64>(), 1_670_250);
    assert_eq!(votes.iter().map(|v| v.wins_a).sum::<u64>(), 595_570);
    assert_eq!(votes.iter().filter_map(|v| v.both_bad).sum::<u64>(), 295_254);
    let first = votes.iter().find(|v| v.model_a == "RWKV-4-Raven-14B" && v.model_b == "alpaca-13b").unwrap();
    assert_eq!((first.wins_a, first.wins_b, first.ties), (103, 94, 103));
}

//! The packed per-sample results give back exactly what the source states.

use std::collections::BTreeMap;

use weighbridge_catalog::{Catalog, CatalogError};
use weighbridge_core::{SampleState, SampleStream};
use weighbridge_reference as reference;

type Record = (SampleState, Option<f64>, Option<String>);

#[test]
fn unpacked_samples_equal_their_source() {
    let catalog = Catalog::embedded().unwrap();
    let sets = catalog.sample_sets().unwrap();
    let mut compared = 0;
    for name in ["chess_puzzles", "frontiermath_public", "gpqa_diamond", "simpleqa_verified", "swebench_verified"] {
        let Some(path) = reference::path(&format!("data/items/epoch_{name}.csv.gz")) else { return };
        let mut expected: BTreeMap<String, BTreeMap<(Vec<u8>, u32), Record>> = BTreeMap::new();
        for row in reference::read_csv(&path) {
            let field = |column| reference::field(&row, column);
            let key = (field("item_id").as_bytes().to_vec(), field("epoch").parse().unwrap());
            let score: Option<f64> = Some(field("score")).filter(|s| !s.is_empty()).map(|s| s.parse().unwrap());
            let state = if score.is_some() { SampleState::Scored } else { SampleState::Missing };
            let group = Some(field("group").to_owned()).filter(|g| !g.is_empty());
            expected.entry(field("run_id").to_owned()).or_default().insert(key, (state, score, group));
            compared += 1;
        }
        let benchmark = format!("epoch_{name}");
        let runs: Vec<_> = sets.iter().filter(|s| s.benchmark == benchmark).collect();
        assert_eq!(runs.len(), expected.len(), "{benchmark}");
        for set in runs {
            let mut stream = catalog.open_samples(&benchmark, &set.run).unwrap();
            let mut got = Vec::new();
            while let Some(view) = stream.next_sample().unwrap() {
                let key = (view.sample.as_bytes().to_vec(), view.epoch);
                got.push((key, (view.state, view.score, view.group.map(str::to_owned))));
            }
            let scored = got.iter().filter(|(_, (_, score, _))| score.is_some()).count();
            assert_eq!(set.scored, scored as u64, "{benchmark} {}", set.run);
            // The stream must ascend by (sample, epoch): the order of the map.
            let want: Vec<_> = expected.remove(&set.run).unwrap().into_iter().collect();
            assert!(got == want, "{benchmark} {}", set.run);
        }
    }
    assert_eq!(compared, 3_200 + 1_080 + 102_762 + 44_000 + 23_600);
}

#[test]
fn a_run_carries_its_circumstances() {
    let catalog = Catalog::embedded().unwrap();
    let sets = catalog.sample_sets().unwrap();
    assert_eq!(sets.len(), 285);
    let graders: std::collections::BTreeSet<_> =
        sets.iter().filter(|s| s.benchmark == "epoch_simpleqa_verified").map(|s| s.grader.clone()).collect();
    assert_eq!(graders.len(), 3, "three graders graded SimpleQA Verified");
    let sizes: std::collections::BTreeSet<_> =
        sets.iter().filter(|s| s.benchmark == "epoch_swebench_verified").map(|s| s.dataset_size).collect();
    assert_eq!(sizes, [Some(484), Some(500)].into(), "SWE-bench Verified was run over 484 and over 500 samples");
    assert!(sets.iter().all(|s| s.benchmark_id.is_some() && s.date.is_some()));
    assert!(sets.iter().all(|s| s.scored > 0 && s.scored <= u64::from(s.dataset_size.unwrap_or(0) * s.epochs)));
    let unknown = sets.iter().filter(|s| s.output_tokens.is_none()).count();
    assert_eq!(unknown, 2, "two runs of SWE-bench Verified carry no tokens, and none are made up");
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let catalog = Catalog::embedded().unwrap();
    let error = catalog.open_samples("epoch_gpqa_diamond", "nope").unwrap_err();
    assert!(matches!(error, CatalogError::NoRun { .. }));
    assert_eq!(error.to_string(), "the catalog has no samples of run 'nope' on 'epoch_gpqa_diamond'");
}

//! The number that is read out of real solutions decides as their labels do.

use serde_json::Value;
use weighbridge_core::SampleState;
use weighbridge_run::scorer::{Prepared, ScorerSpec};

use super::record;

#[test]
fn four_models_agree_with_their_labels() {
    let Some(path) = weighbridge_reference::path("data/tasks/gsm8k/example_model_solutions.jsonl") else { return };
    let text = std::fs::read_to_string(path).expect("solutions");
    let scorer = Prepared::new(&ScorerSpec::Numeric { tolerance: 0.0 }).expect("scorer");
    let (mut total, mut unread, mut differ) = (0, 0, Vec::new());
    for (i, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("row");
        let truth = row["ground_truth"].as_str().expect("truth");
        let target = truth.rsplit("A:").next().expect("target").trim();
        for model in ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"] {
            let solution = row[model]["solution"].as_str().expect("solution");
            let label = row[model]["is_correct"].as_bool().expect("label");
            let score = scorer.score(&record(Some(solution), &[target]));
            total += 1;
            match score.state {
                SampleState::Scored if score.value == Some(f64::from(label)) => {}
                SampleState::Scored => differ.push(format!("{i} {model} {target} {:?} {label}", score.answer)),
                SampleState::WrongFormat => {
                    unread += 1;
                    assert!(!label, "{i} {model}: right, and not read: {:?}", score.explanation);
                }
                state => panic!("{state}"),
            }
        }
    }
    eprintln!("{total} solutions, {unread} not read, {} differ", differ.len());
    assert_eq!(total, 4 * 1319);
    assert!(differ.is_empty(), "{differ:#?}");
}

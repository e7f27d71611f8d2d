//! The same verdicts as lm-evaluation-harness on synthetic answers to all 541 prompts of IFEval.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weighbridge_core::SampleState;
use weighbridge_run::scorer::{Prepared, ScorerSpec};

use super::record;

const GOLDEN: &str = include_str!("ifeval_golden.txt");
const POOL: &str = include_str!("ifeval_pool.json");

const LANGUAGES: &str = include_str!("ifeval_languages.json");

/// Kinds that ask for the language of a text, where another detector may see it otherwise.
const LANGUAGE: [&str; 3] =
    ["language:response_language", "change_case:english_capital", "change_case:english_lowercase"];

/// Answers, by key and number, whose mixture of English with other languages langdetect and our detector see otherwise.
const MIXED: [(u64, usize); 8] =
    [(1019, 5), (1132, 5), (1219, 5), (2372, 5), (2391, 1), (2563, 5), (3069, 5), (3424, 5)];

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(items) => items.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// The k-th answer to a prompt, by the rule of the script that makes the golden.
fn answer(pool: &[String], index: usize, k: usize, row: &Value) -> String {
    let count = 1 + (index * 3 + k * 5) % 7;
    let parts: Vec<String> =
        (0..count).map(|j| pool[(index * 7 + k * 13 + j * (5 + k)) % pool.len()].clone()).collect();
    let said = strings(&row["kwargs"]);
    let language = row["kwargs"].as_array().into_iter().flatten().find_map(|settings| settings["language"].as_str());
    match k {
        3 if language.is_some() => {
            let texts: Value = serde_json::from_str(LANGUAGES).expect("languages");
            texts[language.unwrap_or_default()].as_str().expect("language").to_owned()
        }
        1 => [parts, vec![said.join(" ")]].concat().join("\n\n"),
        2 => [vec![row["prompt"].as_str().expect("prompt").to_owned()], parts].concat().join("\n\n"),
        3 => format!("\"{}\"", parts.join(" ")),
        4 => {
            let repeated: Vec<String> = said.iter().flat_map(|text| vec![text.clone(); 4]).collect();
            let first = said.last().cloned().unwrap_or_else(|| "Intro".into());
            [vec![first], parts, vec![repeated.join(" ")], said].concat().join("\n\n")
        }
        5 => {
            let text = [parts.clone(), parts.clone(), parts].concat().join("\n").replace(',', "");
            if index % 2 == 1 { text.to_uppercase() } else { text.to_lowercase() }
        }
        _ => parts.join("\n\n"),
    }
}

#[test]
fn verdicts_are_those_of_lm_eval() {
    let Some(path) = weighbridge_reference::path("data/tasks/ifeval/input_data.jsonl") else { return };
    let text = std::fs::read_to_string(path).expect("prompts");
    let pool: Vec<String> = serde_json::from_str(POOL).expect("pool");
    let scorer = Prepared::new(&ScorerSpec::Ifeval).expect("scorer");
    let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut differ, mut language, mut compared, mut refused) = (Vec::new(), Vec::new(), 0, 0);
    assert_eq!(text.lines().count(), 541);
    for (index, (line, golden)) in text.lines().zip(GOLDEN.lines()).enumerate() {
        let row: Value = serde_json::from_str(line).expect("row");
        let kinds: Vec<&str> =
            row["instruction_id_list"].as_array().expect("kinds").iter().filter_map(Value::as_str).collect();
        let mut golden = golden.split(' ');
        assert_eq!(golden.next(), Some(row["key"].to_string().as_str()));
        for (k, verdicts) in golden.enumerate() {
            let said = answer(&pool, index, k, &row);
            let mut record = record(Some(&said), &[]);
            record.doc = Some(row.clone());
            let score = scorer.score(&record);
            let key = &row["key"];
            if score.state != SampleState::Scored {
                // The one language that the detector does not know.
                assert!(score.explanation.as_deref().unwrap_or_default().contains("'sw'"), "{key} {k}: {score:?}");
                refused += 1;
                continue;
            }
            let parts = score.parts.expect("parts");
            let names = ["inst_level_strict_acc", "inst_level_loose_acc"];
            for (form, (name, expect)) in names.into_iter().zip(verdicts.split('/')).enumerate() {
                let ours = parts[name].as_array().expect("list");
                assert_eq!(ours.len(), expect.len());
                for ((kind, ours), expect) in kinds.iter().zip(ours).zip(expect.chars()) {
                    let ours = ours.as_bool().expect("verdict");
                    if expect == '?' {
                        continue;
                    }
                    compared += 1;
                    if form == 0 {
                        let count = counts.entry((*kind).to_owned()).or_default();
                        *(if expect == '1' { &mut count.0 } else { &mut count.1 }) += 1;
                    }
                    if ours != (expect == '1') {
                        let mixed = MIXED.contains(&(key.as_u64().expect("key"), k)) && LANGUAGE.contains(kind);
                        let list = if mixed { &mut language } else { &mut differ };
                        list.push(format!("{key} {k} {kind} {name}: ours {ours}"));
                    }
                }
            }
        }
    }
    eprintln!(
        "{compared} verdicts, {} differ, {} by language, {refused} samples not verified",
        differ.len(),
        language.len()
    );
    eprintln!("followed and not, by kind: {counts:#?}");
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(language.len() <= 12, "{language:#?}");
    assert_eq!(counts.len(), 25);
}

#[test]
fn what_cannot_be_verified_is_said() {
    let scorer = Prepared::new(&ScorerSpec::Ifeval).expect("scorer");
    let check = |kind: &str, settings: Value, expect: SampleState| {
        let mut record = record(Some("An answer."), &[]);
        record.doc = Some(json!({"instruction_id_list": [kind], "kwargs": [settings]}));
        let score = scorer.score(&record);
        assert_eq!(score.state, expect, "{kind}: {:?}", score.explanation);
    };
    check("punctuation:no_comma", json!({}), SampleState::Scored);
    check("punctuation:none", json!({}), SampleState::HarnessError);
    check("keywords:frequency", json!({"keyword": "x"}), SampleState::HarnessError);
    check("keywords:existence", json!({"keywords": ["("]}), SampleState::HarnessError);
    check("language:response_language", json!({"language": "xx"}), SampleState::HarnessError);
    check("length_constraints:number_words", json!({"relation": "at least", "num_words": 2.0}), SampleState::Scored);
    check(
        "keywords:letter_frequency",
        json!({"letter": "#", "let_relation": "less than", "let_frequency": 1}),
        SampleState::Scored,
    );
    assert_eq!(scorer.score(&record(Some("x"), &[])).state, SampleState::HarnessError);
}

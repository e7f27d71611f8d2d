//! `weighbridge logits`: the numbers of other programs from token ids, and what is said of ids and models that are none.

use serde_json::Value;
use weighbridge_reference::path;

use crate::home::{Home, argument};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// Runs the program on the ids of a case, and compares with the logits that the reference has.
fn check(model: &str, ids: &Value, expected: &Value) -> Value {
    let list: Vec<String> = ids.as_array().expect("ids").iter().map(Value::to_string).collect();
    let text = Home::fresh().answer(&["logits", model, "--ids", &list.join(",")]);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let fields: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["ids", "argmax", "logits"]);
    assert_eq!(&answer["ids"], ids);
    let (found, expected) = (numbers(&answer["logits"]), numbers(expected));
    assert!(found.len() >= expected.len());
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-4, "{model}, {} ids: logit {i} is {found}, not {expected}", list.len());
    }
    answer
}

#[test]
fn the_logits_are_those_of_transformers() {
    for name in ["gptneo-tiny-random", "gptneo-ts1m-shape-random"] {
        let Some(folder) = path(&format!("data/models/{name}")) else { return };
        let text = std::fs::read(folder.join("expected.json")).expect("expected.json");
        let cases: Value = serde_json::from_slice(&text).expect("JSON");
        let cases = cases.as_array().or_else(|| cases["cases"].as_array()).expect("a list of cases");
        assert!(cases.len() >= 4);
        for case in cases {
            let answer = check(&argument(&folder), &case["ids"], &case["last_logits_f64"]);
            assert_eq!(answer["argmax"], case["argmax"]);
        }
    }
    let Some(folder) = path("data/models/stories260k-f32") else { return };
    let text = std::fs::read(folder.join("expected.json")).expect("expected.json");
    let story: Value = serde_json::from_slice(&text).expect("JSON");
    check(&argument(&folder), &story["greedy_ids"], &story["last_logits"]);
    // One token further each time: the story tells itself.
    let ids = story["greedy_ids"].as_array().expect("ids");
    for length in [1, 2, 17] {
        let list: Vec<String> = ids[..length].iter().map(Value::to_string).collect();
        let text = Home::fresh().answer(&["logits", &argument(&folder), "--ids", &list.join(",")]);
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["argmax"], ids[length]);
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let Some(folder) = path("data/models/gptneo-ts1m-shape-random") else { return };
    let folder = argument(&folder);
    let run = |threads: &str| Home::fresh().answer(&["logits", &folder, "--ids", "5,6,7,8,9", "--threads", threads]);
    let one = run("1");
    for threads in ["2", "3"] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn bad_ids_and_bad_models_are_refused() {
    let home = Home::fresh();
    let Some(folder) = path("data/models/gptneo-tiny-random") else { return };
    let folder = argument(&folder);
    let long = vec!["1"; 129].join(",");
    home.refusals(&[
        (&format!("logits {folder} --ids 1,512"), 3, &["token 512 is not in the vocabulary, whose ids end at 511"]),
        (&format!("logits {folder} --ids {long}"), 3, &["129 tokens are more than the context of the model, 128"]),
        (&format!("logits {folder} --ids 1,x"), 2, &["'x'"]),
        (&format!("logits {folder} --ids -1"), 2, &["'-1'"]),
        (&format!("logits {folder}"), 2, &["--ids"]),
        (&format!("logits {folder} --ids 1 --threads 0"), 2, &["--threads"]),
        ("logits absent --ids 1", 3, &["cannot read absent"]),
    ]);
}

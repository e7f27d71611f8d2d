//! `weighbridge compare`: reference contrasts end to end, and the real defects that it must call out.

use serde_json::Value;

use crate::estimates::check_estimates;
use crate::home::{Home, argument, assert_numbers, caveat, caveats};

/// A machine with a reference file of per-sample scores in its lake; `None` where the reference data are absent.
fn with_items(name: &str) -> Option<Home> {
    let file = weighbridge_reference::path(&format!("data/items/{name}.csv.gz"))?;
    let home = Home::with_lake();
    home.answer(&["import", &argument(&file)]);
    Some(home)
}

fn compare(home: &Home, a: &str, b: &str, benchmark: &str) -> Value {
    home.json(&["compare", a, b, "--benchmark", benchmark])
}

fn assert_contract(contrast: &Value) {
    for (place, keys) in [
        ("", "n mean_a mean_b difference paired_se cluster_se discordant mcnemar states caveats"),
        ("/cluster_se", "cr0 cr1 clusters"),
        ("/discordant", "only_a only_b both neither"),
        ("/mcnemar", "exact_p chi2 chi2_corrected"),
        ("/states/a", "scored wrong_format truncated refused provider_error harness_error missing"),
        ("/states/b", "scored wrong_format truncated refused provider_error harness_error missing"),
    ] {
        let found = contrast.pointer(place).unwrap_or_else(|| panic!("nothing at {place}"));
        // What the samples do not support is null and never a number.
        let Some(object) = found.as_object() else {
            assert!(found.is_null() && !place.starts_with("/states"), "{place}: {found}");
            continue;
        };
        for key in keys.split(' ') {
            assert!(object.contains_key(key), "no {key} at '{place}'");
        }
    }
    assert!(check_estimates(contrast) >= 3);
}

/// methods.md 3: MiniMax M2 against Claude 4.5 Opus (medium) on SWE-bench Verified, bash only.
#[test]
fn swe_bench_bash_only_contrast() {
    let Some(home) = with_items("swebench_verified_bash_only") else { return };
    let contrast = compare(&home, "Minimax M2", "Claude 4.5 Opus medium (20251101)", "swebench_verified_bash_only");
    assert_contract(&contrast);
    assert_numbers(
        &contrast,
        &[
            ("/n", 500.0, 0.0),
            ("/mean_a/value", 0.610, 1e-12),
            ("/mean_b/value", 0.744, 1e-12),
            ("/difference/value", -0.134, 1e-12),
            ("/paired_se", 0.019_412, 5e-7),
            ("/unpaired_se", 0.029_299, 5e-7),
            ("/cluster_se/cr0", 0.021_971, 5e-7),
            ("/cluster_se/cr1", 0.022_948, 5e-7),
            ("/cluster_se/clusters", 12.0, 0.0),
            ("/discordant/only_a", 18.0, 0.0),
            ("/discordant/only_b", 85.0, 0.0),
            ("/mcnemar/exact_p", 1.363e-11, 5e-15),
            ("/mcnemar/chi2", 43.5825, 5e-5),
            ("/mcnemar/chi2_corrected", 42.2913, 5e-5),
            ("/states/a/scored", 500.0, 0.0),
        ],
    );
    assert!(caveats(&contrast).contains(&"few-clusters"));
}

/// methods.md 3: Llama-3.1-70B-Instruct against Gemini-1.5-Pro-002 on MMLU-Pro.
#[test]
fn mmlu_pro_contrast() {
    let Some(home) = with_items("mmlu_pro") else { return };
    let contrast = compare(&home, "Meta-Llama-3_1-70B-Instruct", "gemini-1.5-pro-002", "mmlu_pro");
    assert_contract(&contrast);
    assert_numbers(
        &contrast,
        &[
            ("/n", 12_020.0, 0.0),
            ("/mean_a/value", 0.628_369, 5e-7),
            ("/mean_b/value", 0.702_496, 5e-7),
            ("/paired_se", 0.004_504, 5e-7),
            ("/discordant/only_a", 1053.0, 0.0),
            ("/discordant/only_b", 1944.0, 0.0),
            ("/cluster_se/cr0", 0.0250, 5e-5),
            ("/cluster_se/clusters", 14.0, 0.0),
            ("/states/only_a", 12.0, 0.0),
        ],
    );
    assert!(caveat(&contrast, "unmatched-samples").contains("12 samples"));
}

/// methods.md 3: kimi-k2.6 minus gpt-5.5 on GPQA diamond, from the snapshot alone.
#[test]
fn gpqa_contrast_needs_no_lake() {
    let home = Home::fresh();
    for benchmark in ["epoch_gpqa_diamond", "gpqa-diamond"] {
        let contrast = compare(&home, "kimi-k2.6", "gpt-5.5", benchmark);
        assert_contract(&contrast);
        assert_numbers(
            &contrast,
            &[
                ("/n", 198.0, 0.0),
                ("/difference/value", -0.0322, 5e-5),
                ("/paired_se", 0.0109, 5e-5),
                ("/unpaired_se", 0.0231, 5e-5),
            ],
        );
        assert_eq!(contrast["a"]["origin"], "snapshot");
        assert!(contrast["discordant"].is_null(), "means over epochs are not 0 or 1");
        assert!(caveats(&contrast).contains(&"not-binary"));
    }
    assert!(!home.path("weighbridge").exists(), "comparing makes no lake");
}

#[test]
fn both_orders_give_one_contrast() {
    let home = Home::fresh();
    let (ab, ba) = (
        compare(&home, "glm-5", "kimi-k2.5", "epoch_swebench_verified"),
        compare(&home, "kimi-k2.5", "glm-5", "epoch_swebench_verified"),
    );
    for (here, there, sign) in [
        ("/difference/value", "/difference/value", -1.0),
        ("/difference/lower", "/difference/upper", -1.0),
        ("/mean_a/value", "/mean_b/value", 1.0),
        ("/discordant/only_a", "/discordant/only_b", 1.0),
        ("/mcnemar/exact_p", "/mcnemar/exact_p", 1.0),
    ] {
        let expect = sign * crate::home::number(&ba, there);
        assert_numbers(&ab, &[(here, expect, 1e-12)]);
    }
}

/// Defects of the real records (methods.md 6), each with the words of its caveat.
#[test]
fn real_defects_of_the_snapshot_raise_their_caveats() {
    let home = Home::fresh();
    // One model, twice: by Epoch AI on 500 samples, then on 484.
    let (old, new) = ("9CTibDqrsrcQzMuFTaCZem", "cA6Mq67yaynLhY8F5kes3c");
    for (a, b, benchmark, code, says) in [
        (old, new, "epoch_swebench_verified", "version-mix", "500 samples against 484"),
        ("deepseek-v3.1", "kimi-k2.5", "epoch_swebench_verified", "version-mix", "500 samples against 484"),
        (
            "glm-4.7",
            "kimi-k2.6",
            "epoch_simpleqa_verified",
            "grader-mix",
            "gemini-2.0-flash-001 against openai/gpt-5-mini",
        ),
        (
            "gpt-5.4",
            "kimi-k2.6",
            "epoch_simpleqa_verified",
            "grader-mix",
            "gpt-5-nano-2025-08-07 against openai/gpt-5-mini",
        ),
        ("gemini-3.1-pro-preview", "glm-5", "epoch_chess_puzzles", "missing-samples", "47 of 100 samples"),
        ("gemini-3.1-pro-preview", "glm-5", "epoch_chess_puzzles", "small-sample", "only 47 paired samples"),
        (
            "glm-5",
            "kimi-k2.5",
            "epoch_swebench_verified",
            "missing-samples",
            "462 of 484 samples; its mean lies between 68.8 %",
        ),
    ] {
        let contrast = compare(&home, a, b, benchmark);
        let message = caveat(&contrast, code);
        assert!(message.contains(says), "{a} {b}: {message}");
        assert_contract(&contrast);
    }
    // The same caveats stay away where there is nothing to call out.
    let clean = compare(&home, "claude-opus-4-6", "kimi-k2.5", "epoch_swebench_verified");
    for code in ["version-mix", "grader-mix", "missing-samples", "duplicate-model", "judge-attack"] {
        assert!(!caveats(&clean).contains(&code), "{code} without a cause");
    }
}

#[test]
fn a_constant_answer_that_wins_is_a_judge_attack() {
    let Some(home) = with_items("alpaca_eval_2") else { return };
    let contrast = compare(&home, "NullModel", "gpt4_1106_preview", "alpaca_eval_2");
    assert!(caveat(&contrast, "judge-attack").contains("NullModel"));
    assert_numbers(&contrast, &[("/mean_a/value", 0.769, 5e-4)]);
    let honest = compare(&home, "claude-2", "gpt4_1106_preview", "alpaca_eval_2");
    assert!(!caveats(&honest).contains(&"judge-attack"));
}

/// A copy of a record under another name, as falcon-7b was one of falcon-40b in AlpacaEval 1.
#[test]
fn a_copied_record_is_a_duplicate_model() {
    let home = Home::with_lake();
    let row = |i: usize, model: &str, score: usize| format!("b,s{i},{model},open,{score},\n");
    let rows = |name: &str, flipped: Option<usize>| -> String {
        (0..150).map(|i| row(i, name, usize::from((i * i) % 7 < 3) ^ usize::from(flipped == Some(i)))).collect()
    };
    let text = format!(
        "benchmark,item_id,model,open_or_closed,score,group\n{}{}{}",
        rows("falcon-x-40b", None),
        rows("falcon-x-7b", None),
        rows("falcon-x-1b", Some(3))
    );
    home.answer(&["import", &home.file("copies.csv", text)]);
    let copy = compare(&home, "falcon-x-40b", "falcon-x-7b", "b");
    let message = caveat(&copy, "duplicate-model");
    assert!(message.contains("all 150 samples") && message.contains("falcon-x-7b"), "{message}");
    let near = compare(&home, "falcon-x-40b", "falcon-x-1b", "b");
    assert!(!caveats(&near).contains(&"duplicate-model"), "one sample differs");
}

#[test]
fn without_a_benchmark_every_common_one_is_compared() {
    let home = Home::fresh();
    let all = home.json(&["compare", "glm-5", "gpt-5.5"]);
    let all = all.as_array().expect("a list");
    let names: Vec<_> = all.iter().map(|c| c["benchmark"].as_str().expect("a name")).collect();
    for name in ["epoch_chess_puzzles", "epoch_gpqa_diamond", "epoch_swebench_verified"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    all.iter().for_each(assert_contract);
}

#[test]
fn samples_without_an_overlap_give_no_number() {
    let home = Home::with_lake();
    let rows = "b,1,left,open,1,\nb,2,left,open,0,\nb,3,right,open,1,\nb,4,right,open,,\nb,1,alone,open,0,\n";
    let text = format!("benchmark,item_id,model,open_or_closed,score,group\n{rows}");
    home.answer(&["import", &home.file("apart.csv", text)]);
    home.refusals(&[
        (
            "compare left right --benchmark b",
            3,
            &["left (2 samples)", "right (2 samples)", "share no scored sample on b"],
        ),
        ("compare left right", 3, &["share no scored sample on b"]),
        ("compare left alone --benchmark b", 3, &["left and alone on b"]),
        ("compare left right --benchmark b --format json", 3, &["share no scored sample"]),
    ]);
}

#[test]
fn names_that_are_unknown_are_answered_with_the_nearest() {
    Home::fresh().refusals(&[
        ("compare kimi-k99 gpt-5.5", 3, &["no model is named 'kimi-k99'", "the nearest are", "kimi-k2"]),
        ("compare gpt-5.5 gpt-99", 3, &["no model is named 'gpt-99'", "the nearest are", "gpt-4"]),
        ("compare gpt-5.5 zzzzzzzz", 3, &["no model is named 'zzzzzzzz'", "weighbridge models"]),
        (
            "compare gpt-5.5 kimi-k2.6 --benchmark nope",
            3,
            &["'gpt-5.5' has no samples on 'nope'", "epoch_gpqa_diamond"],
        ),
        ("compare deepseek-chat gpt-5.5", 3, &["different releases over time", "deepseek/deepseek-v3"]),
        ("compare meta/llama-7b gpt-5.5", 3, &["no per-sample results of 'meta/llama-7b'", "import"]),
        ("compare gpt-5.5", 2, &["<B>"]),
    ]);
}

#[test]
fn tables_carry_the_numbers_of_the_json() {
    let home = Home::fresh();
    let args = ["compare", "glm-5", "kimi-k2.5", "--benchmark", "epoch_swebench_verified"];
    let contrast = home.json(&args);
    let csv = home.answer(&[&args[..], &["--format", "csv"]].concat());
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let row: std::collections::BTreeMap<String, String> =
        rows.deserialize().next().expect("one row").expect("a row of the header's length");
    for (column, pointer) in
        [("n", "/n"), ("difference", "/difference/value"), ("lower", "/difference/lower"), ("paired_se", "/paired_se")]
    {
        assert_eq!(row[column].parse::<f64>(), Ok(crate::home::number(&contrast, pointer)), "{column}");
    }
    let text = home.answer(&args);
    for part in ["glm-5 is behind kimi-k2.5 by 1.3 points on 462 common samples", "McNemar", "22 missing", "Caveats"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// Claude Haiku 4.5 has a later run of one repeat and an earlier one of eight, both over 198 samples.
#[test]
fn the_run_with_the_most_scored_samples_is_taken() {
    let report = Home::fresh().json(&["compare", "claude-haiku-4.5", "kimi-k2.6", "--benchmark", "gpqa-diamond"]);
    let message = caveat(&report, "chosen-run");
    assert!(message.contains("cgnopvpB6mzsfb9yGnYK2z") && message.contains("most samples with a score"), "{message}");
}

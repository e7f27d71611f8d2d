//! Scores and aggregates against those of lm_eval 0.4.13 itself: `lm_eval_scoring/golden.json`, written by
//! `/opt/wb-peers/venv/bin/python crates/run/tests/lm_eval_scoring/make_golden.py`.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weighbridge_core::SampleState::{Missing, ProviderError, Refused, Scored, Truncated, WrongFormat};
use weighbridge_core::{
    ContinuationScore, Finish, ModelAnswer, SampleKey, SampleRecord, SampleState, Score, TaskFacts,
};
use weighbridge_run::lm_eval::{self, FilterPipeline, MetricConfig, OutputType};
use weighbridge_run::{Aggregate, Aggregator, Bootstrap, GroupPart, Scorer, Scoring, group};

fn golden() -> Value {
    serde_json::from_str(include_str!("lm_eval_scoring/golden.json")).unwrap()
}

fn scoring(output_type: OutputType, metrics: &[&str]) -> lm_eval::Scoring {
    let metrics =
        metrics.iter().map(|metric| MetricConfig { metric: (*metric).to_owned(), ..MetricConfig::default() }).collect();
    lm_eval::Scoring { output_type, metrics, target_delimiter: " ".into(), ..lm_eval::Scoring::default() }
}

fn record() -> SampleRecord {
    SampleRecord::new(SampleKey { task: "t".into(), model: "m".into(), sample: "1".into(), epoch: 1 })
}

fn answered(texts: &[&str], target: &[&str]) -> SampleRecord {
    let answer = |text: &&str| ModelAnswer { text: Some((*text).to_owned()), ..ModelAnswer::default() };
    SampleRecord {
        answers: texts.iter().map(answer).collect(),
        target: target.iter().map(|text| (*text).to_owned()).collect(),
        ..record()
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn likelihoods(pairs: &Value) -> Vec<ContinuationScore> {
    let one = |pair: &Value| ContinuationScore {
        continuation: String::new(),
        logprob: pair[0].as_f64().unwrap(),
        greedy: pair[1].as_bool(),
        tokens: None,
    };
    pairs.as_array().unwrap().iter().map(one).collect()
}

fn close(found: Option<f64>, expected: &Value, within: f64, what: &str) {
    let expected = expected.as_f64();
    match (found, expected) {
        (Some(found), Some(expected)) => {
            let apart = (found - expected).abs();
            assert!(apart <= within * expected.abs().max(1e-3), "{what}: {found}, lm_eval has {expected}");
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

/// The numbers of lm_eval within rounding, those of its bootstrap too; ours within what so few draws can tell.
fn same_aggregates(found: &[Aggregate], expected: &Value, draws_tell: f64) {
    let mut checked = 0;
    for one in found {
        let (metric, filter) = one.score.split_once(',').unwrap();
        let Some(value) = expected.get(&one.score) else { continue };
        close(one.lm_eval_value, value, 1e-12, &one.score);
        let error = &expected[format!("{metric}_stderr,{filter}")];
        close(one.lm_eval_standard_error, error, 1e-9, &format!("{} SE", one.score));
        if draws_tell > 0.0 && error.is_number() {
            close(one.standard_error, error, draws_tell, &format!("{} own SE", one.score));
        }
        checked += 1;
    }
    assert!(checked > 0);
}

fn aggregate(scoring: &lm_eval::Scoring, records: impl Iterator<Item = SampleRecord>) -> Vec<Aggregate> {
    let scoring = Scoring::LmEval(scoring.clone());
    let scorer = Scorer::new(&scoring).unwrap();
    let bootstrap = Bootstrap { draws: 2000, seed: 1 };
    let mut all = Aggregator::new(&TaskFacts::default(), Some(&scoring), bootstrap);
    for (i, record) in records.enumerate() {
        let (state, scores) = scorer.score(&record);
        all.add(&i.to_string(), state, &scores);
    }
    all.finish()
}

fn filtered(steps: &Value, record: &SampleRecord) -> Score {
    let mut scoring = scoring(OutputType::GenerateUntil, &["exact_match"]);
    scoring.filters = vec![FilterPipeline { name: "f".into(), steps: steps.as_array().unwrap().clone() }];
    scoring.check().unwrap();
    lm_eval::score(&scoring, record).remove(0)
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn filters_leave_what_those_of_lm_eval_leave() {
    let golden = &golden()["filters"];
    for pipeline in golden["pipelines"].as_array().unwrap() {
        for (text, expected) in texts(&golden["texts"]).iter().zip(pipeline["filtered"].as_array().unwrap()) {
            let mut record = answered(&[text], &["x"]);
            record.choices = texts(&golden["choices"]).iter().map(|choice| (*choice).to_owned()).collect();
            let score = filtered(&pipeline["steps"], &record);
            let (found, steps) = (score.answer.unwrap(), &pipeline["steps"]);
            let squeezed = |text: &str| text.replace(", ", ",");
            assert_eq!(squeezed(&found), squeezed(&shown(expected)), "{steps} of {text:?}");
        }
    }
    for vote in golden["votes"].as_array().unwrap() {
        let score = filtered(&vote["steps"], &answered(&texts(&vote["texts"]), &["x"]));
        assert_eq!(score.answer.unwrap(), shown(&vote["filtered"]), "{vote}");
    }
}

#[test]
fn exact_match_with_every_option() {
    let golden = &golden()["exact"];
    for case in golden["cases"].as_array().unwrap() {
        let mut scoring = scoring(OutputType::GenerateUntil, &["exact_match"]);
        scoring.metrics[0].options =
            case["options"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let records = golden["pairs"].as_array().unwrap().iter().map(|pair| {
            let record = answered(&[pair[0].as_str().unwrap()], &texts(&pair[1]));
            (record, pair)
        });
        for ((record, pair), expected) in records.clone().zip(case["values"].as_array().unwrap()) {
            let score = lm_eval::score(&scoring, &record).remove(0);
            assert_eq!(score.value, expected.as_f64(), "{pair} with {}", case["options"]);
        }
        same_aggregates(&aggregate(&scoring, records.map(|(record, _)| record)), &case["aggregate"], 0.0);
    }
}

fn choice_record(sample: &Value) -> SampleRecord {
    SampleRecord {
        choices: texts(&sample["choices"]).iter().map(|choice| (*choice).to_owned()).collect(),
        loglikelihoods: likelihoods(&sample["logprobs"]),
        doc: Some(json!({ "gold": sample["gold"] })),
        ..record()
    }
}

#[test]
fn choices_among_continuations() {
    let golden = &golden()["choice"];
    let names = ["acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"];
    let scoring = scoring(OutputType::MultipleChoice, &names);
    let samples = golden["samples"].as_array().unwrap();
    // lm_eval stops at several right choices with mutual information; here any of them is right.
    let several = |sample: &&Value| sample["gold"].as_array().unwrap().len() > 1;
    for sample in samples {
        for score in lm_eval::score(&scoring, &choice_record(sample)) {
            let metric = score.name.strip_suffix(",none").unwrap();
            if metric != "acc_mutual_info" || !several(&sample) {
                assert_eq!(score.value, sample["values"][metric].as_f64(), "{} of {sample}", score.name);
            }
        }
    }
    let found = aggregate(&scoring, samples.iter().map(choice_record));
    let others: Vec<_> = found.into_iter().filter(|one| one.score != "acc_mutual_info,none").collect();
    same_aggregates(&others, &golden["aggregate"], 0.0);
    let single = samples.iter().filter(|sample| !several(sample)).map(choice_record);
    same_aggregates(&aggregate(&scoring, single)[3..4], &golden["aggregate"], 0.0);
}

#[test]
fn classes_over_all_samples() {
    for key in ["two_classes", "three_classes"] {
        let golden = &golden()[key];
        let scoring = scoring(OutputType::MultipleChoice, &texts(&golden["metrics"]));
        let records = golden["samples"].as_array().unwrap().iter().map(choice_record);
        same_aggregates(&aggregate(&scoring, records), &golden["aggregate"], 0.1);
    }
}

#[test]
fn likelihoods_of_texts() {
    let golden = &golden()["likelihood"];
    let one = scoring(OutputType::Loglikelihood, &["perplexity", "acc"]);
    let records = golden["samples"].as_array().unwrap().iter();
    let records = records.map(|pair| SampleRecord { loglikelihoods: likelihoods(&json!([pair])), ..record() });
    same_aggregates(&aggregate(&one, records), &golden["aggregate"], 0.1);

    let mut rolling =
        scoring(OutputType::LoglikelihoodRolling, &["word_perplexity", "byte_perplexity", "bits_per_byte"]);
    for native in [None, Some("wikitext".to_owned())] {
        rolling.native = native;
        let records = golden["rolling"].as_array().unwrap().iter().map(|text| {
            let mut doc = json!({ "words": text["words"], "bytes": text["bytes"] });
            if rolling.native.is_some() {
                doc = json!({ "page": text["text"] });
            }
            let loglikelihoods = likelihoods(&json!([[text["logprob"], null]]));
            SampleRecord { loglikelihoods, doc: Some(doc), ..record() }
        });
        let found = aggregate(&rolling, records);
        same_aggregates(&found, &golden["rolling_aggregate"], 0.0);
        assert!(found.iter().all(|one| one.standard_error.is_some()), "lm_eval has none, the bootstrap has");
    }
}

#[test]
fn bleu_and_chrf() {
    let golden = &golden()["translation"];
    let scoring = scoring(OutputType::GenerateUntil, &["bleu", "chrf", "chrf++"]);
    let pairs = golden["pairs"].as_array().unwrap();
    let of = |pair: &Value| answered(&[pair[0].as_str().unwrap()], &[pair[1].as_str().unwrap()]);
    for (pair, expected) in pairs.iter().zip(golden["single"].as_array().unwrap()) {
        for one in aggregate(&scoring, std::iter::once(of(pair))) {
            let metric = one.score.strip_suffix(",none").unwrap();
            close(one.value, &expected[metric], 1e-12, &format!("{metric} of {pair}"));
        }
    }
    // 100 draws there: their standard error is known to 7 % each.
    same_aggregates(&aggregate(&scoring, pairs.iter().map(of)), &golden["aggregate"], 0.3);
    let several = golden["several"]["pairs"].as_array().unwrap();
    let of = |pair: &Value| answered(&[pair[0].as_str().unwrap()], &texts(&pair[1]));
    for one in aggregate(&scoring, several.iter().map(of)) {
        let metric = one.score.strip_suffix(",none").unwrap();
        close(one.value, &golden["several"][metric], 1e-12, metric);
    }
}

#[test]
fn shares_of_true_answers() {
    let mut scoring = scoring(OutputType::MultipleChoice, &["acc"]);
    scoring.native = Some("truthfulqa_mc2".into());
    for case in golden()["mc2"].as_array().unwrap() {
        let doc = json!({ "mc2_targets": { "labels": case["labels"] } });
        let record = SampleRecord { loglikelihoods: likelihoods(&case["logprobs"]), doc: Some(doc), ..record() };
        close(lm_eval::score(&scoring, &record)[0].value, &case["value"], 1e-12, "mc2");
    }
}

#[test]
fn answers_in_the_notation_of_math() {
    let mut scoring = scoring(OutputType::GenerateUntil, &["exact_match"]);
    scoring.native = Some("hendrycks_math".into());
    for case in golden()["math"].as_array().unwrap() {
        let mut record = answered(&[case["answer"].as_str().unwrap()], &[]);
        record.doc = Some(json!({ "solution": case["solution"] }));
        assert_eq!(lm_eval::score(&scoring, &record)[0].value, case["value"].as_f64(), "{case}");
    }
}

fn plain_score(name: &str, value: f64) -> Score {
    let state = SampleState::Scored;
    let (parts, answer, explanation, grader, cost, version) = (None, None, None, None, None, None);
    Score { name: name.into(), state, value: Some(value), parts, answer, explanation, grader, cost, version }
}

#[test]
fn means_medians_and_groups() {
    let golden = &golden()["mean"];
    let values: Vec<f64> = golden["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let of = |values: &[f64], aggregation: &str| {
        let mut scoring = scoring(OutputType::MultipleChoice, &["acc"]);
        scoring.metrics[0].aggregation = Some(aggregation.to_owned());
        scoring.check().unwrap();
        let scoring = Scoring::LmEval(scoring);
        let mut all = Aggregator::new(&TaskFacts::default(), Some(&scoring), Bootstrap { draws: 2000, seed: 1 });
        for (i, value) in values.iter().enumerate() {
            all.add(&i.to_string(), SampleState::Scored, &[plain_score("acc,none", *value)]);
        }
        all.finish()
    };
    for name in ["mean", "median", "nanmean"] {
        same_aggregates(&of(&values, name), &golden[name], 0.1);
    }
    same_aggregates(&of(&[0.5], "mean"), &golden["one"], 0.0);

    let parts: Vec<GroupPart> = golden["group"]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| GroupPart {
            value: part[0].as_f64().unwrap(),
            standard_error: part[1].as_f64(),
            samples: part[2].as_u64().unwrap(),
        })
        .collect();
    for (key, weighted) in [("weighted", true), ("plain", false)] {
        let (value, error) = group(&parts, weighted).unwrap();
        close(Some(value), &golden["group"][key][0], 1e-14, key);
        close(error, &golden["group"][key][1], 1e-14, key);
    }
    assert_eq!(group(&[], true), None);
    let unknown = [GroupPart { standard_error: None, ..parts[0] }, parts[1]];
    assert_eq!(group(&unknown, true).unwrap().1, None);
}

/// The filters and the options of gsm8k, version 3.
fn gsm8k() -> lm_eval::Scoring {
    let mut scoring = scoring(OutputType::GenerateUntil, &["exact_match"]);
    let pipeline = |name: &str, regex: Value| FilterPipeline {
        name: name.into(),
        steps: vec![regex, json!({ "function": "take_first" })],
    };
    scoring.filters = vec![
        pipeline("strict-match", json!({ "function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)" })),
        pipeline(
            "flexible-extract",
            json!({ "function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)" }),
        ),
    ];
    let ignored = json!([",", "\\$", "(?s).*#### ", "\\.$"]);
    scoring.metrics[0].options = BTreeMap::from([
        ("ignore_case".to_owned(), json!(true)),
        ("ignore_punctuation".to_owned(), json!(false)),
        ("regexes_to_ignore".to_owned(), ignored),
    ]);
    scoring
}

#[test]
fn what_was_not_answered_is_not_wrong() {
    let scoring = gsm8k();
    let target = ["so\n#### 1,234"];
    let states = |record: &SampleRecord| {
        let scores = lm_eval::score(&scoring, record);
        assert_eq!(scores[0].name, "exact_match,strict-match");
        assert_eq!(scores[1].name, "exact_match,flexible-extract");
        [(scores[0].state, scores[0].value), (scores[1].state, scores[1].value)]
    };
    assert_eq!(states(&answered(&["#### $1234."], &target)), [(WrongFormat, None), (Scored, Some(1.0))]);
    assert_eq!(states(&answered(&["#### 1,234."], &target)), [(Scored, Some(1.0)), (Scored, Some(1.0))]);
    assert_eq!(states(&answered(&["12"], &target)), [(WrongFormat, None), (Scored, Some(0.0))]);
    assert_eq!(states(&answered(&[], &target)), [(Missing, None); 2]);
    assert_eq!(states(&SampleRecord { state: Scored, ..answered(&[], &target) }), [(Missing, None); 2]);
    assert_eq!(states(&SampleRecord { state: ProviderError, ..answered(&[], &target) }), [(ProviderError, None); 2]);
    let mut none = answered(&[""], &target);
    none.answers[0].text = None;
    assert_eq!(states(&SampleRecord { state: Truncated, ..none.clone() }), [(Truncated, None); 2]);
    assert_eq!(states(&none), [(Missing, None); 2]);
    let mut cut = answered(&["I think 7 and"], &target);
    cut.answers[0].finish = Some(Finish::MaxTokens);
    assert_eq!(states(&cut), [(Truncated, None), (Scored, Some(0.0))]);
    cut.answers[0].finish = Some(Finish::Refused);
    assert_eq!(states(&cut), [(Refused, None); 2]);
    let unread = lm_eval::score(&scoring, &answered(&["no"], &target)).remove(0);
    assert_eq!((unread.parts, unread.answer.as_deref()), (Some(json!({ "lm_eval": 0.0 })), Some("[invalid]")));
}

#[test]
fn both_numbers_and_the_bounds() {
    let records = [
        answered(&["#### 5"], &["5"]),
        answered(&["#### 6"], &["5"]),
        answered(&["five"], &["5"]),
        answered(&["#### 5"], &["5"]),
        answered(&[], &["5"]),
    ];
    let found = aggregate(&gsm8k(), records.into_iter());
    let strict = &found[0];
    assert_eq!((strict.value, strict.lm_eval_value), (Some(2.0 / 3.0), Some(0.5)));
    assert_eq!(strict.bounds, Some((0.4, 0.8)));
    assert_eq!((strict.states.scored, strict.states.wrong_format, strict.states.missing), (3, 1, 1));
    assert!((strict.standard_error.unwrap() - 1.0 / 3.0).abs() < 1e-15);
    assert!((strict.lm_eval_standard_error.unwrap() - (1.0_f64 / 12.0).sqrt()).abs() < 1e-15);
}

#[test]
fn repeats_are_averaged_within_their_sample_first() {
    let facts = TaskFacts { epochs: Some(2), ..TaskFacts::default() };
    let mut all = Aggregator::new(&facts, None, Bootstrap::default());
    for (sample, value) in [("a", 1.0), ("b", 0.0), ("a", 1.0), ("b", 1.0)] {
        all.add(sample, SampleState::Scored, &[plain_score("exact", value)]);
    }
    all.add("c", SampleState::ProviderError, &[]);
    let found = &all.finish()[0];
    assert_eq!((found.value, found.standard_error), (Some(0.75), Some(0.25)), "two samples, not four");
    assert_eq!((found.lm_eval_value, found.states.provider_error), (None, 1));
}

#[test]
fn what_is_not_done_is_refused_with_a_reason() {
    let says = |scoring: &lm_eval::Scoring, what: &str| {
        let problem = scoring.check().unwrap_err();
        assert!(problem.contains(what), "{problem}");
        assert_eq!(lm_eval::score(scoring, &record())[0].state, SampleState::HarnessError);
    };
    says(&scoring(OutputType::GenerateUntil, &["bertscore"]), "bertscore is not done for generate_until; known are");
    says(&scoring(OutputType::MultipleChoice, &["bleu"]), "acc_norm");
    let mut one = gsm8k();
    one.filters[0].steps[0] = json!({ "function": "format_span" });
    says(&one, "filters 'strict-match': the filter format_span is not known; known are regex");
    one.filters[0].steps[0] = json!({ "function": "regex", "regex_pattern": "(" });
    says(&one, "cannot be read");
    one.filters[0].steps[0] = json!({ "function": "regex", "group": 1 });
    says(&one, "has no setting 'group'");
    let mut one = scoring(OutputType::MultipleChoice, &["acc"]);
    one.metrics[0].aggregation = Some("bleu".into());
    says(&one, "is aggregated by mean, not by bleu");
    one.metrics[0].aggregation = Some("utils.mine".into());
    says(&one, "the aggregation utils.mine of the metric acc is not known");
    one.native = Some("nothing".into());
    says(&one, "truthfulqa_mc2");
}

#[test]
fn a_scoring_is_written_and_read() {
    let scoring = Scoring::LmEval(gsm8k());
    let text = serde_json::to_string(&scoring).unwrap();
    assert_eq!(serde_json::from_str::<Scoring>(&text).unwrap(), scoring);
    assert!(text.contains("\"output_type\":\"generate_until\""), "{text}");
}

#[test]
fn published_samples_score_as_they_were_logged() {
    let folder = "data/formats/lm_evaluation_harness";
    let Some(path) =
        weighbridge_reference::path(&format!("{folder}/samples_math_perturbed_full_2026-01-21T03-44-18.458309.jsonl"))
    else {
        return;
    };
    let scoring = scoring(OutputType::GenerateUntil, &["exact_match"]);
    let mut n = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let sample: Value = serde_json::from_str(line).unwrap();
        let record = answered(&texts(&sample["resps"][0]), &[sample["target"].as_str().unwrap()]);
        let score = lm_eval::score(&scoring, &record).remove(0);
        assert_eq!(score.value, sample["exact_match"].as_f64());
        assert_eq!(score.answer.as_deref(), sample["filtered_resps"][0].as_str());
        n += 1;
    }
    assert_eq!(n, 10);
}

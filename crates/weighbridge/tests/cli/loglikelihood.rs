//! `weighbridge loglikelihood`: lines in, lines out, the numbers of lm-evaluation-harness.

use std::path::Path;

use serde_json::{Value, json};
use weighbridge_reference::weights;

use crate::home::{Home, Run, argument};

/// The first requests of a golden of the engine: what to ask, and what lm-eval answers.
fn golden(count: usize) -> (String, Vec<Value>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/goldens/lm_eval/mc_0shot.jsonl");
    let text = std::fs::read_to_string(file).expect("the golden");
    let lines: Vec<Value> = text.lines().take(count).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let request = |line: &Value| json!({"context": line["context"], "continuation": line["continuation"]}).to_string();
    let requests: Vec<String> = lines.iter().map(request).collect();
    (requests.join("\n"), lines)
}

fn smollm2() -> Option<String> {
    weights("SmolLM2-135M-Instruct.Q4_1.gguf").map(|path| argument(&path))
}

/// A run that reads `input` from standard input.
fn fed(home: &Home, args: &[&str], input: &[u8]) -> Run {
    let output = assert_cmd::Command::from_std(home.command(args)).write_stdin(input).output();
    let output = output.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn answers_are_those_of_lm_eval_line_by_line() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let (requests, expected) = golden(40);
    let file = home.file("requests.jsonl", &requests);
    let text = home.answer(&["loglikelihood", &model, &file]);
    assert_eq!(text.lines().count(), expected.len());
    for (line, expected) in text.lines().zip(&expected) {
        let answer: Value = serde_json::from_str(line).expect("JSON");
        let fields: Vec<&String> = answer.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["logprob", "greedy", "tokens"]);
        let off = answer["logprob"].as_f64().expect("a number") - expected["logprob"].as_f64().expect("a number");
        assert!(off.abs() < 1e-3, "{line} for {expected}");
        assert_eq!(answer["greedy"], expected["greedy"], "{expected}");
        assert!(answer["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{line}");
    }

    for threads in ["1", "2"] {
        let other = home.answer(&["loglikelihood", &model, &file, "--threads", threads]);
        assert!(other == text, "{threads} threads give other bytes");
    }
    let run = fed(&home, &["loglikelihood", &model, "-"], requests.as_bytes());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out == text, "standard input gives other bytes");

    // In any order, each line has the answer of its request; blank lines are none.
    let backwards: Vec<&str> = requests.lines().rev().collect();
    let run = fed(&home, &["loglikelihood", &model, "-"], backwards.join("\n\n").as_bytes());
    assert!(run.out.lines().rev().eq(text.lines()), "another order gives other answers");

    let run = home.run(&["loglikelihood", &model, &file, "--verbose"]);
    assert!(run.out == text && run.err.starts_with("40 requests, "), "{}", run.err);
    assert!(run.err.ends_with("ran through the model\n"), "{}", run.err);
}

/// What each token got, and what the model thought of the whole vocabulary there.
#[test]
fn every_token_is_told_where_it_is_asked_for() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let file =
        home.file("requests.jsonl", r#"{"context": "The capital of France is", "continuation": " Paris, of course"}"#);
    let plain: Value = serde_json::from_str(&home.answer(&["loglikelihood", &model, &file])).expect("JSON");
    let text = home.answer(&["loglikelihood", &model, &file, "--per-token"]);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    for field in ["logprob", "greedy", "tokens"] {
        assert_eq!(answer[field], plain[field], "{field}");
    }
    let tokens = answer["per_token"].as_array().expect("a list");
    assert_eq!(plain["tokens"], tokens.len());
    let number = |token: &Value, field: &str| token[field].as_f64().expect("a number");
    let sum: f64 = tokens.iter().map(|token| number(token, "logprob")).sum();
    assert!((sum - number(&answer, "logprob")).abs() < 1e-4, "{answer}");
    let greedy = tokens.iter().all(|token| token["token"] == token["likeliest"]);
    assert_eq!(answer["greedy"], greedy);
    for token in tokens {
        assert!(number(token, "mean_logprob") < 0.0 && number(token, "var_logprob") > 0.0, "{token}");
    }
}

#[test]
fn a_device_that_is_not_there_and_a_precision_that_is_none_are_refused() {
    let home = Home::fresh();
    home.refusals(&[
        ("loglikelihood m.gguf r.jsonl --device moon", 2, &["'moon' is no device", "cpu, cuda, cuda:N or metal"]),
        ("loglikelihood m.gguf r.jsonl --precision f8", 2, &["'f8'"]),
    ]);
    let Some(model) = smollm2() else { return };
    let (requests, expected) = golden(40);
    let file = home.file("requests.jsonl", &requests);
    // Rounded products move the numbers a little, and no line to another place.
    let text = home.answer(&["loglikelihood", &model, &file, "--precision", "bf16"]);
    for (line, expected) in text.lines().zip(&expected) {
        let answer: Value = serde_json::from_str(line).expect("JSON");
        let off = answer["logprob"].as_f64().expect("a number") - expected["logprob"].as_f64().expect("a number");
        assert!(off.abs() < 0.5, "{line} for {expected}");
    }
}

#[test]
fn lines_that_are_no_requests_are_named() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let good = r#"{"context": "a", "continuation": " b"}"#;
    for (lines, says) in [
        (format!("{good}\n{{\"context\": \"a\"}}\n"), "line 2: expected {\"context\": TEXT, \"continuation\": TEXT}"),
        (format!("{good}\n\nword\n"), "line 3: expected"),
        ("{\"context\": 1, \"continuation\": \"b\"}".to_owned(), "line 1: expected"),
        ("{\"context\": \"a\", \"continuation\": \"b\", \"more\": 1}".to_owned(), "unknown field `more`"),
        (String::new(), "holds no request; expected lines"),
        ("\n \n".to_owned(), "holds no request; expected lines"),
        ("{\"context\": \"a\", \"continuation\": \"\"}".to_owned(), "request 1 has no token to score"),
        ("{\"context\": \"\", \"continuation\": \"\"}".to_owned(), "request 1 has no token to score"),
    ] {
        let file = home.file("requests.jsonl", &lines);
        let message = home.refusal(&["loglikelihood", &model, &file], 3);
        assert!(message.contains(says), "{says}: {message}");
        assert!(says.starts_with("request") || message.contains("requests.jsonl"), "the file is not named: {message}");
        let run = fed(&home, &["loglikelihood", &model, "-"], lines.as_bytes());
        assert_eq!((run.code, run.out.as_str()), (Some(3), ""));
        assert!(says.starts_with("request") || run.err.contains("standard input"), "{}", run.err);
    }
    let run = fed(&home, &["loglikelihood", &model, "-"], b"\xff\xfe\n");
    assert_eq!((run.code, run.out.as_str()), (Some(3), ""));
    assert!(run.err.contains("standard input, line 1: not readable as text"), "{}", run.err);
}

#[test]
fn what_is_not_there_is_refused() {
    let home = Home::fresh();
    let file = home.file("requests.jsonl", r#"{"context": "a", "continuation": " b"}"#);
    home.refusals(&[
        ("loglikelihood m.gguf absent.jsonl", 3, &["absent.jsonl"]),
        (&format!("loglikelihood absent.gguf {file}"), 3, &["cannot load 'absent.gguf'", "cannot read absent.gguf"]),
        (&format!("loglikelihood absent {file}"), 3, &["'absent' is no file or folder", "no PROVIDER:MODEL"]),
        (&format!("loglikelihood openai:m {file}"), 3, &["OPENAI_API_KEY"]),
        (
            &format!("loglikelihood vllm:m,base-url=http://127.0.0.1:1/v1 {file} --per-token"),
            3,
            &["--per-token needs open weights in this process"],
        ),
        ("loglikelihood m.gguf", 2, &["<REQUESTS>"]),
        (&format!("loglikelihood m.gguf {file} --threads 0"), 2, &["--threads"]),
        (&format!("loglikelihood m.gguf {file} --format json"), 2, &["--format"]),
    ]);
}

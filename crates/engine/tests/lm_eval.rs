//! Real weights against lm-evaluation-harness: every log-likelihood, every decision, every generated text.
//!
//! The goldens are what lm-eval 0.4.13 computed with transformers on the same weights, dequantised to f32:
//! `goldens/README.md` has the commands.

#![expect(clippy::expect_used, reason = "a test stops where its input cannot be read")]

use std::path::Path;

use serde_json::Value;
use weighbridge_core::{GenerationRequest, LanguageModel, Loglikelihood, LoglikelihoodRequest, Prompt, Sampling};
use weighbridge_engine::{Model, Options, Precision, score};

struct Golden {
    doc: u64,
    request: LoglikelihoodRequest,
    logprob: f64,
    greedy: bool,
}

/// The lines of a golden; the first may hold what all contexts begin with.
fn lines(name: &str) -> (String, Vec<Value>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/lm_eval").join(name);
    let text = std::fs::read_to_string(path).expect("the golden is there");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let prefix = lines[0].get("prefix").and_then(Value::as_str).map(str::to_owned);
    if prefix.is_some() {
        lines.remove(0);
    }
    (prefix.unwrap_or_default(), lines)
}

fn text(line: &Value, key: &str) -> String {
    line[key].as_str().expect("a text").to_owned()
}

fn goldens(name: &str) -> Vec<Golden> {
    let (prefix, lines) = lines(name);
    let golden = |line: &Value| Golden {
        doc: line["doc"].as_u64().expect("a number"),
        request: LoglikelihoodRequest {
            context: format!("{prefix}{}", text(line, "context")),
            continuation: text(line, "continuation"),
        },
        logprob: line["logprob"].as_f64().expect("a number"),
        greedy: line["greedy"].as_bool().expect("a flag"),
    };
    lines.iter().map(golden).collect()
}

/// The choice of each question: the one with the highest log-likelihood, and with the highest a character.
fn decisions(goldens: &[Golden], logprob: impl Fn(usize) -> f64) -> Vec<(usize, usize)> {
    let mut decisions = Vec::new();
    let mut start = 0;
    while start < goldens.len() {
        let end = start + goldens[start..].iter().take_while(|g| g.doc == goldens[start].doc).count();
        let best = |value: &dyn Fn(usize) -> f64| {
            (start..end).max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.cmp(&a))).expect("a choice") - start
        };
        let length = |i: usize| goldens[i].request.continuation.trim_start().chars().count() as f64;
        decisions.push((best(&logprob), best(&|i| logprob(i) / length(i))));
        start = end;
    }
    decisions
}

/// Log-likelihoods within 1e-3 and the same decisions; gives the nodes of the prefix tree.
fn check(weights: &Path, golden: &str) -> usize {
    let goldens = goldens(golden);
    let model = Model::open(weights, "test", Options::default()).expect("the model opens");
    let requests: Vec<LoglikelihoodRequest> = goldens.iter().map(|g| g.request.clone()).collect();
    let found: Vec<Loglikelihood> = model.loglikelihood(&requests, &|_| {}).expect("scores");
    for (golden, found) in goldens.iter().zip(&found) {
        let off = (found.logprob - golden.logprob).abs();
        assert!(off < 1e-3, "{:?}: {} for {}", golden.request.continuation, found.logprob, golden.logprob);
        assert_eq!(found.greedy, golden.greedy, "{:?}", golden.request);
    }
    assert_eq!(decisions(&goldens, |i| found[i].logprob), decisions(&goldens, |i| goldens[i].logprob));
    let tokens = model.tokens_of(&requests).expect("tokens");
    score::work(&tokens, model.decoder().architecture().context).nodes
}

#[test]
fn smollm2_0shot() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    // What lm-eval runs through the model for these 500 questions is 14,563 tokens.
    assert_eq!(check(&weights, "mc_0shot.jsonl"), 3902);
}

/// Rounded to bf16, the log-likelihoods move and no decision does.
#[test]
fn smollm2_5shot_in_bf16() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    if !Precision::Bf16.is_available() {
        return;
    }
    let goldens = goldens("mc_5shot.jsonl");
    let options = Options { precision: Precision::Bf16, ..Options::default() };
    let model = Model::open(&weights, "test", options).expect("the model opens");
    let requests: Vec<LoglikelihoodRequest> = goldens.iter().map(|g| g.request.clone()).collect();
    let found = model.loglikelihood(&requests, &|_| {}).expect("scores");
    let moved: f64 = goldens.iter().zip(&found).map(|(g, f)| (g.logprob - f.logprob).abs()).sum::<f64>() / 240.0;
    println!("mean |difference| {moved}");
    assert!(moved > 1e-4, "nothing was rounded: {moved}");
    assert!(moved < 0.05, "llama.cpp in BF16 moves by 0.035, this by {moved}");
    assert_eq!(decisions(&goldens, |i| found[i].logprob), decisions(&goldens, |i| goldens[i].logprob));
}

#[test]
fn smollm2_5shot() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    check(&weights, "mc_5shot.jsonl");
}

/// All 500 questions after the five examples: 842,323 tokens are asked for and 4,308 run through the model.
#[test]
fn five_examples_run_through_the_model_once() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let Some(questions) = weighbridge_reference::path("data/lm_eval_ref/data/mc_test.jsonl") else { return };
    let model = Model::open(&weights, "test", Options::default()).expect("the model opens");
    let (prefix, _) = lines("mc_5shot.jsonl");
    let questions = std::fs::read_to_string(questions).expect("the questions");
    let mut requests = Vec::new();
    for line in questions.lines() {
        let question: Value = serde_json::from_str(line).expect("JSON");
        let passage = question["passage"].as_str().filter(|p| !p.is_empty()).map(|p| format!("{p}\n"));
        let context =
            format!("{prefix}{}Question: {}\nAnswer:", passage.unwrap_or_default(), text(&question, "question"));
        for choice in question["choices"].as_array().expect("choices") {
            let continuation = format!(" {}", choice.as_str().expect("a text"));
            requests.push(LoglikelihoodRequest { context: context.clone(), continuation });
        }
    }
    let tokens = model.tokens_of(&requests).expect("tokens");
    let work = score::work(&tokens, model.decoder().architecture().context);
    assert_eq!((work.tokens, work.nodes), (842_323, 4308));
}

#[test]
fn gemma3_0shot() {
    let Some(weights) = weighbridge_reference::weights("gemma-3-270m.Q4_K_M.gguf") else { return };
    check(&weights, "mc_0shot_gemma.jsonl");
}

#[test]
fn qwen2_0shot() {
    let name = "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf";
    let Some(weights) = weighbridge_reference::optional_weights(name) else { return };
    check(&weights, "mc_0shot_qwen.jsonl");
}

/// All together in one batch, and a few alone.
#[test]
fn smollm2_generates_the_same_texts() {
    let Some(weights) = weighbridge_reference::weights("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let model = Model::open(&weights, "test", Options::default()).expect("the model opens");
    let (prefix, lines) = lines("gen.jsonl");
    let request = |line: &Value| GenerationRequest {
        prompt: Prompt::Text(format!("{prefix}{}", text(line, "context"))),
        stop: line["until"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|s| s.as_str().expect("a text").to_owned())
            .collect(),
        max_tokens: 16,
        sampling: Sampling::GREEDY,
        ..GenerationRequest::new(Prompt::Text(String::new()), 0)
    };
    let requests: Vec<GenerationRequest> = lines.iter().map(request).collect();
    let together = model.generate(&requests, &|_| {}).expect("texts");
    for (line, answer) in lines.iter().zip(&together) {
        assert_eq!(answer.text, text(line, "text"), "{}", line["context"]);
    }
    for i in [0, 17, 99] {
        let alone = model.generate(&requests[i..=i], &|_| {}).expect("a text");
        assert_eq!(alone[0], together[i]);
    }
}

//! `weighbridge ask`: answers of real weights, the options that shape them, and models that cannot be asked.

use std::process::Command;

use serde_json::Value;
use weighbridge_reference::{path, weights};

use crate::home::{Home, argument};
use crate::weights::{Speaker, escape};

fn smollm2() -> Option<String> {
    weights("SmolLM2-135M-Instruct.Q4_1.gguf").map(|path| argument(&path))
}

/// The only answer of a list.
fn one(answers: &Value) -> Value {
    match answers.as_array().map(Vec::as_slice) {
        Some([answer]) => answer.clone(),
        _ => panic!("not one answer: {answers}"),
    }
}

/// An answer without what the clock says.
fn timeless(mut answer: Value) -> Value {
    for field in ["first_token_seconds", "seconds"] {
        answer[field] = Value::Null;
    }
    answer
}

#[test]
fn a_question_gets_its_answer() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let question = "What is the capital of France?";
    assert_eq!(home.answer(&["ask", &model, question]), "The capital of France is Paris.\n");

    let answer = one(&home.json(&["ask", &model, question]));
    let fields: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    let expected = [
        "model",
        "state",
        "text",
        "finish",
        "prompt_tokens",
        "tokens",
        "logprobs",
        "first_token_seconds",
        "seconds",
        "usd",
    ];
    assert_eq!(fields, expected);
    assert_eq!((&answer["state"], &answer["usd"]), (&"answered".into(), &Value::Null));
    assert!(answer["first_token_seconds"].as_f64() <= answer["seconds"].as_f64(), "{answer}");
    assert_eq!(answer["model"], model);
    assert_eq!(
        (&answer["text"], &answer["finish"]),
        (&"The capital of France is Paris.".into(), &"end_of_text".into())
    );
    let logprobs = answer["logprobs"].as_array().expect("a list");
    assert_eq!(answer["tokens"], logprobs.len());
    assert!(logprobs.iter().all(|p| p.as_f64().is_some_and(|p| p <= 0.0)), "{answer}");

    let mut command = assert_cmd::Command::from_std(home.command(&["ask", &model, "-"]));
    let output = command.write_stdin(question).output().expect("the program starts");
    assert_eq!(output.stdout, b"The capital of France is Paris.\n", "read from standard input");

    for threads in ["1", "2"] {
        let other = one(&home.json(&["ask", &model, question, "--threads", threads]));
        assert_eq!(timeless(other), timeless(answer.clone()), "{threads} threads");
    }
}

#[test]
fn an_answer_ends_where_it_is_told_to() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let question = "What is the capital of France?";
    // A stop that begins and ends inside of tokens.
    let answer = one(&home.json(&["ask", &model, question, "--stop", "ance is Pa", "--stop", "never"]));
    assert_eq!((&answer["text"], &answer["finish"]), (&"The capital of Fr".into(), &"stop".into()));
    let run = home.run(&["ask", &model, question, "--stop", " of"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(0), "The capital\n", ""));

    for line in [["ask", "--max-tokens", "3", &model, question], ["ask", &model, "--max-tokens", "3", question]] {
        assert_eq!(home.run(&line).out, "The capital of\n", "options stand anywhere");
    }
    let run = home.run(&["ask", &model, question, "--max-tokens", "3"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), "The capital of\n"));
    assert_eq!(run.err, "note: cut off after 3 tokens; --max-tokens takes more\n");
    let run = home.run(&["ask", &model, question, "--max-tokens", "3", "--format", "json"]);
    let answer = one(&serde_json::from_str(&run.out).expect("JSON"));
    assert_eq!((&answer["tokens"], &answer["finish"]), (&3.into(), &"max_tokens".into()));
    assert_eq!(answer["state"], "truncated");
}

#[test]
fn a_seed_repeats_and_another_does_not() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let ask = |seed: &str, more: &[&str]| {
        let args = ["ask", &model, "Tell me a story.", "--max-tokens", "24", "--temperature", "1", "--seed", seed];
        home.run(&[&args[..], more].concat()).out
    };
    let story = ask("1", &[]);
    assert_eq!(ask("1", &["--threads", "1"]), story);
    assert_ne!(ask("2", &[]), story);
    // One token to choose from is the likeliest one.
    let greedy = home.run(&["ask", &model, "Tell me a story.", "--max-tokens", "24"]).out;
    assert_eq!(ask("1", &["--top-k", "1"]), greedy);
    assert_eq!(ask("2", &["--min-p", "1"]), greedy);
    assert_eq!(ask("3", &["--top-p", "1e-9"]), greedy);
}

#[test]
fn the_template_is_used_unless_the_text_is_raw() {
    let Some(model) = smollm2() else { return };
    let home = Home::fresh();
    let tokens = |args: &[&str]| {
        let run = home.run(&[&["ask", &model], args, &["--max-tokens", "1", "--format", "json"]].concat());
        one(&serde_json::from_str(&run.out).expect("JSON"))["prompt_tokens"].as_u64().expect("a count")
    };
    let (chat, raw) = (tokens(&["One two"]), tokens(&["One two", "--raw"]));
    assert_eq!(raw, 2);
    assert!(chat > raw + 5, "{chat} tokens of a conversation");
    assert_ne!(tokens(&["One two", "--system", "Count on, in numerals, and say nothing else at all, please."]), chat);
    let run = home.run(&["ask", &model, "One, two, three,", "--raw", "--max-tokens", "2"]);
    assert_eq!(run.out, " four,\n");
    home.refusals(&[("ask m.gguf question --raw --system words", 2, &["--raw", "--system"])]);

    // A base model has no template: it goes on with the text, and cannot be told who it is.
    let Some(base) = weights("gemma-3-270m.Q4_K_M.gguf").map(|path| argument(&path)) else { return };
    let run = home.run(&["ask", &base, "One, two, three,", "--max-tokens", "2"]);
    assert_eq!((run.code, run.out.as_str()), (Some(0), " four,\n"));
    let message = home.refusal(&["ask", &base, "One", "--system", "words"], 3);
    assert!(message.contains("has no chat template"), "{message}");
}

#[test]
fn settings_outside_their_range_are_refused_before_a_model_is_read() {
    Home::fresh().refusals(&[
        ("ask absent question --temperature -1", 2, &["--temperature", "expected a number from 0"]),
        ("ask absent question --temperature nan", 2, &["--temperature", "expected a number from 0"]),
        ("ask absent question --top-p 0", 2, &["--top-p", "above 0 and at most 1"]),
        ("ask absent question --top-k 0", 2, &["--top-k", "a whole number from 1"]),
        ("ask absent question --min-p 1.5", 2, &["--min-p", "from 0 to 1"]),
        ("ask absent question --max-tokens 0", 2, &["--max-tokens"]),
        ("ask absent question --threads 0", 2, &["--threads"]),
        ("ask absent question --seed x", 2, &["--seed"]),
        ("ask absent question --format csv", 2, &["'csv'"]),
        ("ask absent", 2, &["<PROMPT>"]),
        ("ask absent question --concurrency 0", 2, &["--concurrency"]),
        ("ask absent question --timeout 0", 2, &["--timeout", "seconds above 0"]),
        ("ask absent question --max-cost free", 2, &["--max-cost", "expected dollars"]),
        ("ask absent question --reasoning much", 2, &["--reasoning", "off, minimal, low"]),
        (
            "ask absent question",
            3,
            &["'absent' is no file or folder, no hf: id, no PROVIDER:MODEL and no short name; those are chatgpt, claude"],
        ),
        ("ask absent.gguf question", 3, &["cannot load 'absent.gguf'", "cannot read absent.gguf"]),
    ]);
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let home = Home::fresh();
    let refused = |model: &str, says: &[&str]| {
        let message = home.refusal(&["ask", model, "question"], 3);
        assert_eq!(message.lines().count(), 1, "{message}");
        for part in says {
            assert!(message.contains(part), "{part}: {message}");
        }
    };
    let file = home.file("gguf/m.gguf", Speaker { architecture: "mamba", ..Speaker::default() }.bytes());
    let names = "gpt_neo, gpt2, gpt_neox, gptneox, llama, mistral, qwen2, qwen3, gemma3_text, gemma3";
    refused(&file, &["architecture 'mamba' does not load; those that do are", names]);

    if let Some(folder) = path("data/models/gptneo-tiny-random") {
        refused(&argument(&folder), &["has no tokenizer: expected tokenizer.json, or vocab.json with merges.txt"]);
        home.file("bert/config.json", r#"{"model_type": "bert"}"#);
        let weights = std::fs::read(folder.join("model.safetensors")).expect("weights");
        home.file("bert/model.safetensors", &weights);
        refused("bert", &["architecture 'bert' does not load; those that do are", names]);
        home.file("cut/config.json", std::fs::read(folder.join("config.json")).expect("settings"));
        home.file("cut/model.safetensors", &weights[..weights.len() - 100]);
        refused("cut", &["cut/model.safetensors is no safetensors file that can be read", "cut short"]);
    }

    home.file("pickle/config.json", "{}");
    home.file("pickle/pytorch_model.bin", b"\x80\x02}q\x00.");
    refused("pickle", &["pytorch_model.bin is a pickle, which can run code when loaded; ask for safetensors or GGUF"]);
    refused("pickle/pytorch_model.bin", &["is a pickle"]);
    home.file("empty/notes.txt", "words");
    refused("empty", &["holds no weights: expected model.safetensors"]);
}

/// What a model says and what a file is called go to a terminal without the power to steer it.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let home = Home::fresh();
    let file = home.file("m.gguf", Speaker::default().bytes());
    let line = ["ask", &file, "a", "--max-tokens", "3"];
    let run = home.run(&line);
    assert_eq!(run.out, "\u{1b}\u{1b}\u{1b}\n", "into a pipe every byte goes");

    let hostile = home.file("n.gguf", Speaker { architecture: "x\u{1b}[2J", ..Speaker::default() }.bytes());
    for command in [&["ask", &hostile, "a"][..], &["logits", &hostile, "--ids", "1"]] {
        let message = home.refusal(command, 3);
        assert!(message.contains(r"x\u{1b}[2J"), "{message}");
    }

    // A terminal of its own, where there is the program that makes one.
    let program = home.command(&line);
    let words: Vec<String> = std::iter::once(program.get_program()).chain(program.get_args()).map(escape).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]).env("HOME", home.path("")).env("TERM", "dumb");
    match terminal.output() {
        Ok(output) if output.status.success() => {
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!shown.contains('\u{1b}'), "{shown:?}");
            assert!(shown.contains("note: cut off after 3 tokens"), "{shown:?}");
        }
        other => eprintln!("SKIPPED: no terminal from 'script': {other:?}"),
    }
}

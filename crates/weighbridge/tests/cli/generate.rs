//! `weighbridge generate`: a file of requests, answers that survive being cut off at any byte, and what is kept for later.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::home::{Home, argument};
use crate::server::{Asked, Reply, Server};
use crate::weights::Speaker;

/// So many requests, each with a question of its own.
fn requests(home: &Home, count: usize) -> String {
    let lines: Vec<String> =
        (0..count).map(|n| json!({"id": format!("q{n}"), "prompt": format!("Question {n}?")}).to_string()).collect();
    home.file("requests.jsonl", lines.join("\n"))
}

/// The lines of a file of answers: its header and its records.
fn read(home: &Home, output: &str) -> (Value, Vec<Value>) {
    let text = fs::read_to_string(home.path(output)).expect("the answers");
    assert!(text.ends_with('\n'), "{output} is cut off");
    let mut lines = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    (lines.next().expect("a header"), lines.collect())
}

/// Each index has one record, with the answer to its own question.
fn assert_complete(records: &[Value], count: usize, what: &str) {
    let mut indices: Vec<u64> = records.iter().map(|record| record["index"].as_u64().expect("an index")).collect();
    indices.sort_unstable();
    assert!(indices.iter().copied().eq(0..count as u64), "{what}: {indices:?}");
    for record in records {
        let n = &record["index"];
        assert_eq!((&record["id"], &record["state"]), (&format!("q{n}").into(), &"answered".into()), "{what}");
        assert_eq!(record["text"], format!("You said: Question {n}?"), "{what}");
    }
}

#[test]
fn every_request_gets_one_record_behind_a_header() {
    let server = Server::echo();
    let home = Home::fresh();
    let (file, name) = (requests(&home, 200), server.model("vllm:m"));
    let text = home.answer(&["generate", &name, &file, "-o", "out.jsonl", "--no-canary"]);
    assert!(text.starts_with("200 requests: 200 answered; 2200 tokens in, 1400 out; dollars unknown; "), "{text}");
    assert_eq!(server.taken().len(), 200);
    let (header, records) = read(&home, "out.jsonl");
    assert_eq!((&header["weighbridge_calls"], &header["count"]), (&1.into(), &200.into()));
    assert_eq!((&header["provider"], &header["model"]), (&"vllm".into(), &"m".into()));
    assert_eq!((&header["base_url"], header.get("canary")), (&server.base_url.as_str().into(), None));
    assert_complete(&records, 200, "a run");
    assert!(records.iter().all(|record| record["cached"] == false && record["served_by"]["provider"] == "vllm"));
    let text = home.answer(&["generate", &name, &file, "-o", "out.jsonl"]);
    assert!(text.starts_with("200 requests have answers from before; nothing is left to ask"), "{text}");
    assert!(server.taken().is_empty(), "all were answered");

    // With a canary the header says what it saw; as streams, the time to the first token is known.
    home.run(&["generate", &name, &file, "-o", "other.jsonl", "--stream", "--no-cache"]);
    let (header, records) = read(&home, "other.jsonl");
    assert_eq!((&header["canary"]["served_by"]["model"], &header["canary"]["error"]), (&"m".into(), &Value::Null));
    assert_complete(&records, 200, "streams");
    assert!(records.iter().all(|record| record["timing"]["first_token"].is_f64()), "{}", records[0]);
    assert_eq!(server.taken().iter().filter(|asked| asked.question().starts_with("Question ")).count(), 200);
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_gone_on_with() {
    const COUNT: usize = 40;
    let server = Server::echo();
    let home = Home::fresh();
    let (file, name) = (requests(&home, COUNT), server.model("vllm:m"));
    let line = ["generate", &name, &file, "-o", "out.jsonl", "--no-canary", "--no-cache"];
    home.answer(&line);
    server.taken();
    let whole = fs::read(home.path("out.jsonl")).expect("the answers");
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    assert_eq!(ends.len(), COUNT + 1);
    let around = |end: usize| [end - 1, end, end + 1, end + 2];
    let cuts = [0, 1, 19, 20, ends[0] / 2].into_iter().chain(around(ends[0])).chain(around(ends[1]));
    let cuts = cuts.chain([ends[7].midpoint(ends[8])]).chain(around(ends[COUNT - 1])).chain([ends[COUNT], whole.len()]);
    for cut in cuts {
        fs::write(home.path("out.jsonl"), &whole[..cut]).expect("the answers are cut off");
        let kept = ends.iter().filter(|end| **end < cut).count().saturating_sub(1);
        home.answer(&line);
        let (_, records) = read(&home, "out.jsonl");
        assert_complete(&records, COUNT, &format!("cut at byte {cut}"));
        assert_eq!(server.taken().len(), COUNT - kept, "asked after a cut at byte {cut}");
        let now = fs::read(home.path("out.jsonl")).expect("the answers");
        let before = ends.iter().rfind(|end| **end < cut).map_or(0, |end| end + 1);
        assert!(now.starts_with(&whole[..before]), "what stood before byte {cut} is another");
    }
}

#[test]
fn what_failed_is_asked_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let server = Server::start(move |asked| {
        let question = asked.question();
        if state.load(Ordering::SeqCst) && question.contains('7') {
            return Reply::error(400, "not that one");
        }
        Reply::text(asked, &format!("You said: {question}"))
    });
    let home = Home::fresh();
    let (file, name) = (requests(&home, 20), server.model("vllm:m"));
    let line = ["generate", &name, &file, "-o", "out.jsonl", "--no-canary"];
    let run = home.run(&line);
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(run.out.starts_with("20 requests: 18 answered, 2 provider_error; "), "{}", run.out);
    server.taken();
    broken.store(false, Ordering::SeqCst);
    let text = home.answer(&line);
    assert!(text.starts_with("18 requests have answers from before; 2 requests: 2 answered; "), "{text}");
    let mut again: Vec<String> = server.taken().iter().map(Asked::question).collect();
    again.sort();
    assert_eq!(again, ["Question 17?", "Question 7?"]);
    let (_, mut records) = read(&home, "out.jsonl");
    assert_eq!(records.len(), 22);
    records.retain(|record| record["state"] != "provider_error");
    assert_complete(&records, 20, "after the failures");
    home.answer(&line);
    assert!(server.taken().is_empty());
}

#[test]
fn a_file_of_others_is_left_as_it_is() {
    let server = Server::echo();
    let home = Home::fresh();
    let (file, name) = (requests(&home, 3), server.model("vllm:m"));
    home.answer(&["generate", &name, &file, "-o", "out.jsonl", "--no-canary"]);
    server.taken();
    let refused = |args: &[&str], output: &str, says: &str| {
        let before = fs::read(home.path(output)).expect("the file");
        let message = home.refusal(&[&["generate"], args, &["-o", output]].concat(), 3);
        assert!(message.contains(says) && message.contains(output), "{args:?}: {message}");
        assert_eq!(fs::read(home.path(output)).expect("the file"), before, "{args:?} changes {output}");
    };
    let others = "holds answers of another model or to other requests; name another file with --output";
    let other = home.file("other.jsonl", "{\"prompt\": \"Another?\"}\n");
    refused(&[&name, &other], "out.jsonl", others);
    refused(&[&name, &file, "--max-tokens", "9"], "out.jsonl", others);
    refused(&[&name, &file, "--seed", "9"], "out.jsonl", others);
    refused(&[&server.model("vllm:n"), &file], "out.jsonl", others);
    refused(&[&server.model("sglang:m"), &file], "out.jsonl", others);
    for (output, content) in [
        ("notes.txt", "words\n"),
        ("word.txt", "words"),
        ("list.json", "[]\n"),
        ("object.json", "{\"a\": 1}\n"),
        ("bytes", "\u{0}\u{1}"),
        ("requests.jsonl", &fs::read_to_string(&file).expect("the requests")),
    ] {
        home.file(output, content);
        refused(&[&name, &file], output, "is no file of answers; name another with --output");
    }
    let message = home.refusal(&["generate", &name, &file, "-o", "absent/out.jsonl", "--no-canary"], 3);
    assert!(message.contains("cannot write absent/out.jsonl"), "{message}");
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[test]
fn answers_are_kept_for_the_same_request_and_no_other() {
    let server = Server::echo();
    let home = Home::fresh();
    let (file, name) = (requests(&home, 20), server.model("vllm:m"));
    let ask = |output: &str, more: &[&str]| {
        let text = home.answer(&[&["generate", &name, &file, "-o", output, "--no-canary"], more].concat());
        let (_, records) = read(&home, output);
        assert_complete(&records, 20, output);
        (server.taken().len(), records.iter().filter(|record| record["cached"] == true).count(), text)
    };
    let (asked, cached, _) = ask("first.jsonl", &[]);
    assert_eq!((asked, cached), (20, 0));
    let (asked, cached, text) = ask("second.jsonl", &[]);
    assert_eq!((asked, cached), (0, 20));
    assert!(text.starts_with("20 requests: 20 answered, 20 of them kept from earlier; "), "{text}");
    for (output, more) in [
        ("tokens.jsonl", &["--max-tokens", "77"][..]),
        ("seed.jsonl", &["--seed", "5"]),
        ("temperature.jsonl", &["--temperature", "0"]),
        ("stop.jsonl", &["--stop", "never"]),
        ("none.jsonl", &["--no-cache"]),
    ] {
        let (asked, cached, _) = ask(output, more);
        assert_eq!((asked, cached), (20, 0), "{output}");
    }
    // Another model at the same place, and the same model elsewhere.
    home.answer(&["generate", &server.model("vllm:n"), &file, "-o", "model.jsonl", "--no-canary"]);
    assert_eq!(server.taken().len(), 20, "of another model");
    let elsewhere = Server::echo();
    home.answer(&["generate", &elsewhere.model("vllm:m"), &file, "-o", "place.jsonl", "--no-canary"]);
    assert_eq!(elsewhere.taken().len(), 20, "from another place");

    // Without --output records go to standard output, without a header.
    let run = home.run(&["generate", &name, &file]);
    assert_eq!((run.code, server.taken().len()), (Some(0), 0));
    let records: Vec<Value> = run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_complete(&records, 20, "standard output");
    assert!(run.err.starts_with("note: 20 requests: 20 answered, 20 of them kept from earlier; "), "{}", run.err);
}

#[test]
fn lines_that_are_no_requests_are_named_and_nothing_is_sent() {
    let server = Server::echo();
    let home = Home::fresh().variable("OPENAI_API_KEY", "sk-1");
    let name = server.model("vllm:m");
    for (line, says) in [
        (r#"{"prompt": "a", "more": 1}"#, "unknown field `more`"),
        (r#"{"prompt": "a", "text": "b"}"#, "one of prompt, text and messages"),
        (r#"{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}"#, "one of prompt, text and messages"),
        (r#"{"messages": []}"#, "one of prompt, text and messages"),
        (r#"{"id": "a"}"#, "one of prompt, text and messages"),
        (r#"{"text": "a", "system": "b"}"#, "system goes with prompt or messages"),
        (r#"{"prompt": "a", "reasoning_effort": "low", "reasoning_tokens": 9}"#, "exclude each other"),
        (r#"{"prompt": "a""#, r#"expected {"prompt": TEXT}"#),
        (r#"{"prompt": 1}"#, r#"expected {"prompt": TEXT}"#),
        ("words", r#"expected {"prompt": TEXT}"#),
    ] {
        let file =
            home.file("requests.jsonl", format!("{{\"prompt\": \"good\"}}\n\n{line}\n{{\"prompt\": \"good\"}}\n"));
        let message = home.refusal(&["generate", &name, &file, "-o", "out.jsonl"], 3);
        assert!(message.contains("requests.jsonl, line 3") && message.contains(says), "{line}: {message}");
    }
    for content in ["", "\n \n"] {
        let file = home.file("requests.jsonl", content);
        let message = home.refusal(&["generate", &name, &file, "-o", "out.jsonl"], 3);
        assert!(message.contains("requests.jsonl holds no request; expected"), "{message}");
    }
    let file = home.file("requests.jsonl", b"{\"prompt\": \"a\"}\n\xff\n");
    let message = home.refusal(&["generate", &name, &file], 3);
    assert!(message.contains("line 2: not readable as text"), "{message}");

    // A request that the model does not take stops all, wherever it stands.
    let file = home.file("requests.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"temperature\": 0}\n");
    let message = home.refusal(&["generate", &server.model("openai:gpt-5"), &file, "-o", "out.jsonl"], 3);
    assert!(message.contains("requests.jsonl, request 2") && message.contains("temperature"), "{message}");
    let file = requests(&home, 2);
    home.refusals(&[
        ("generate vllm:m absent.jsonl", 3, &["cannot read absent.jsonl"]),
        (&format!("generate {name} {file} --max-cost 1"), 3, &["price"]),
        (&format!("generate {name} {file} --max-cost 1 -o out.jsonl"), 3, &["price"]),
        (&format!("generate {name} {file} --batch"), 2, &["--output"]),
        (&format!("generate {name} {file} --batch --stream -o out.jsonl"), 2, &["--stream"]),
        ("generate vllm:m", 2, &["<REQUESTS>"]),
        ("generate chatgpt absent.jsonl --key-file absent", 3, &["absent"]),
    ]);
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    assert!(!home.path("out.jsonl").exists(), "a file is begun for nothing");
}

#[test]
fn what_a_line_says_comes_before_the_options() {
    let server = Server::echo();
    let home = Home::fresh();
    let line = json!({"messages": [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Three"}], "system": "Be brief.", "max_tokens": 5, "stop": ["x"],
        "temperature": 0.25, "top_p": 0.5, "seed": 3});
    let input = format!("{line}\n{}\n", json!({"prompt": "Plain"}));
    let name = server.model("vllm:m");
    let args = ["generate", &name, "-", "--max-tokens", "9", "--temperature", "1", "--seed", "8", "--concurrency", "1"];
    let output = assert_cmd::Command::from_std(home.command(&args)).write_stdin(input).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = server.taken();
    let of = |question: &str| {
        let found = asked.iter().find(|asked| asked.question() == question);
        &found.unwrap_or_else(|| panic!("'{question}' is not asked")).body
    };
    let body = of("Three");
    let roles: Vec<&str> =
        body["messages"].as_array().into_iter().flatten().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!((&body["max_tokens"], &body["stop"], &body["seed"]), (&5.into(), &json!(["x"]), &3.into()));
    assert_eq!((&body["temperature"], &body["top_p"]), (&0.25.into(), &0.5.into()));
    let body = of("Plain");
    assert_eq!((&body["max_tokens"], &body["temperature"], &body["seed"]), (&9.into(), &1.0.into(), &8.into()));
    let text = String::from_utf8(output.stdout).expect("text");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut said: Vec<&str> = records.iter().filter_map(|record| record["text"].as_str()).collect();
    said.sort_unstable();
    assert_eq!(said, ["You said: Plain", "You said: Three"]);

    let mut command = assert_cmd::Command::from_std(home.command(&["generate", &name, "-"]));
    let output = command.write_stdin("{\"prompt\": 1}\n").output().expect("the program starts");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && message.contains("standard input, line 1"), "{message}");
}

#[test]
fn open_weights_answer_in_the_same_form() {
    let home = Home::fresh();
    let model = home.file("m.gguf", Speaker { says: b'x', ..Speaker::default() }.bytes());
    let file =
        home.file("requests.jsonl", "{\"text\": \"a\", \"id\": \"first\"}\n{\"text\": \"b\", \"max_tokens\": 2}\n");
    let line = ["generate", &model, &file, "-o", "out.jsonl", "--max-tokens", "4"];
    let text = home.answer(&line);
    assert!(text.starts_with("2 requests: 2 truncated; "), "{text}");
    let (header, mut records) = read(&home, "out.jsonl");
    assert_eq!((&header["provider"], &header["model"]), (&"local".into(), &model.as_str().into()));
    records.sort_by_key(|record| record["index"].as_u64());
    let [first, second] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&first["id"], &first["text"], &second["text"]), (&"first".into(), &"xxxx".into(), &"xx".into()));
    assert!(records.iter().all(|record| record["served_by"]["provider"] == "local"), "{first}");
    assert_eq!((&first["finish"], &first["usage"]["output"]), (&"max_tokens".into(), &4.into()));

    // Cut off within the second record, it is asked again, and alone.
    let whole = fs::read(home.path("out.jsonl")).expect("the answers");
    fs::write(home.path("out.jsonl"), &whole[..whole.len() - 5]).expect("the answers are cut off");
    let text = home.answer(&line);
    assert!(text.starts_with("1 request has an answer from before; 1 request: 1 truncated; "), "{text}");
    assert_eq!(read(&home, "out.jsonl").1.len(), 2);
    let output = argument(&home.path("batch.jsonl"));
    let message = home.refusal(&["generate", &model, &file, "--batch", "-o", &output], 3);
    assert!(message.contains("--batch is for hosted models"), "{message}");
}

/// Nothing is sent, nothing is lost, and the exit code says that the work is not done.
#[test]
fn what_cannot_go_on_is_said_before_anything_is_sent() {
    let server = Server::echo();
    let home = Home::fresh().variable("OPENAI_API_KEY", "sk-1");
    let file = home.file("requests.jsonl", "{\"prompt\": \"good\"}\n");
    let message = home.refusal(&["generate", &server.model("vllm:m"), &file, "--batch", "-o", "out.jsonl"], 3);
    assert!(message.contains("vllm takes no batches"), "{message}");
    assert!(!home.path("out.jsonl").exists(), "no file was begun");

    let priced = server.model("openai:gpt-4o-mini");
    let run = home.run(&["generate", &priced, &file, "--no-canary", "--max-cost", "0", "-o", "out.jsonl"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(
        run.out.contains("nothing was asked") && run.err.contains("stopped at --max-cost"),
        "{}{}",
        run.out,
        run.err
    );

    let held = fs::File::open(home.path("out.jsonl")).expect("the answers");
    held.lock().expect("a lock");
    let message = home.refusal(&["generate", &priced, &file, "--no-canary", "-o", "out.jsonl"], 3);
    assert!(message.contains("another run writes out.jsonl"), "{message}");
    assert_eq!(server.taken().len(), 0);
}

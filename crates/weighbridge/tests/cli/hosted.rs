//! `weighbridge ask` with models behind APIs: alone, side by side, and refused before anything is sent.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::home::Home;
use crate::server::{Reply, Server};
use crate::weights::Speaker;

#[test]
fn a_hosted_model_answers_in_every_dialect() {
    let server = Server::echo();
    let home = Home::fresh().variable("ANTHROPIC_API_KEY", "key-a").variable("GEMINI_API_KEY", "key-g");
    for (model, path, header) in [
        ("openai-compatible:m", "/v1/chat/completions", ""),
        ("anthropic:claude-x", "/v1/messages", "x-api-key: key-a"),
        ("google:gemini-x", "/v1/models/gemini-x:streamGenerateContent?alt=sse", "x-goog-api-key: key-g"),
    ] {
        let name = server.model(model);
        assert_eq!(home.answer(&["ask", &name, "Why?"]), "You said: Why?\n", "{model}");
        let [asked] = &server.taken()[..] else { panic!("{model} is not asked once") };
        assert_eq!(asked.path, path);
        assert!(asked.head.contains(header), "{}", asked.head);
    }

    let name = server.model("vllm:m");
    let mut command = assert_cmd::Command::from_std(home.command(&["ask", &name, "-"]));
    let output = command.write_stdin("From a pipe").output().expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "You said: From a pipe\n");
    let mut line = vec!["ask", &name, "Why?", "--system", "Be brief."];
    line.extend(["--temperature", "0.5", "--seed", "7", "--max-tokens", "9"]);
    home.answer(&line);
    let body = &server.asked()[1].body;
    assert_eq!(
        (&body["messages"][0]["content"], &body["messages"][1]["content"]),
        (&"Be brief.".into(), &"Why?".into())
    );
    assert_eq!((&body["temperature"], &body["seed"], &body["max_tokens"]), (&0.5.into(), &7.into(), &9.into()));
}

#[test]
fn models_stand_side_by_side_and_a_dead_one_does_not_hide_the_others() {
    let server = Server::echo();
    let dead = Server::start(|_| Reply::error(404, "no such model here"));
    let home = Home::fresh();
    let names = [server.model("vllm:alpha"), server.model("sglang:beta"), dead.model("vllm:gamma")];
    let run = home.run(&["ask", &names[0], &names[1], "Why?"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(run.out.matches("You said: Why?\n").count(), 2, "{}", run.out);

    let run = home.run(&["ask", &names[2], &names[0], &names[1], "Why?"]);
    assert_eq!((run.code, run.err.as_str()), (Some(3), "note: 1 of 3 models gave no answer\n"));
    let (answers, table) = run.out.split_once("\nmodel ").expect("a table");
    let at = |part: &str| answers.find(part).unwrap_or_else(|| panic!("no {part}: {answers}"));
    assert!(at("vllm:gamma") < at("vllm:alpha") && at("vllm:alpha") < at("sglang:beta"), "{answers}");
    assert!(answers.contains("no answer: ") && answers.contains("no such model here"), "{answers}");
    assert_eq!(answers.matches("You said: Why?\n").count(), 2, "{answers}");
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
    for name in ["vllm:alpha", "sglang:beta"] {
        let words: Vec<&str> = row(name).split_whitespace().collect();
        assert_eq!(words[..4], [name, "answered", "11", "7"], "{table}");
        assert_eq!(words.last(), Some(&"unknown"), "{table}");
    }
    assert!(row("vllm:gamma").contains("provider_error"), "{table}");

    let message = home.refusal(&["ask", &names[2], "Why?"], 3);
    assert!(message.contains("gave no answer: ") && message.contains("no such model here"), "{message}");
}

/// Where one model cannot be asked, no other is paid for nothing, and where one fails, the answers of others stand.
#[test]
fn one_model_costs_the_others_nothing() {
    let server = Server::echo();
    let home = Home::fresh().variable("OPENAI_API_KEY", "sk-1");
    let (good, strict) = (server.model("vllm:alpha"), server.model("openai:gpt-5"));
    let message = home.refusal(&["ask", &good, &strict, "Why?", "--temperature", "0"], 3);
    assert!(message.contains("gpt-5") && message.contains("takes no temperature"), "{message}");
    assert!(server.taken().is_empty(), "asked although the other could not be");

    let run = home.run(&["ask", &good, "absent.gguf", "Why?"]);
    assert_eq!((run.code, run.err.as_str()), (Some(3), "note: 1 of 2 models gave no answer\n"));
    assert!(run.out.contains("You said: Why?") && run.out.contains("cannot load 'absent.gguf'"), "{}", run.out);
}

#[test]
fn json_has_all_that_is_known_of_each_model() {
    let server = Server::echo();
    let home = Home::fresh();
    let local = home.file("m.gguf", Speaker { says: b'x', ..Speaker::default() }.bytes());
    let name = server.model("vllm:alpha");
    let list = home.json(&["ask", &name, &local, "Why?", "--max-tokens", "3"]);
    let [hosted, here] = &list.as_array().expect("a list")[..] else { panic!("{list}") };
    assert_eq!((&hosted["model"], &hosted["text"]), (&name.as_str().into(), &"You said: Why?".into()));
    assert_eq!((&hosted["state"], &hosted["finish"]), (&"answered".into(), &"end_of_text".into()));
    assert_eq!((&hosted["prompt_tokens"], &hosted["tokens"], &hosted["usd"]), (&11.into(), &7.into(), &Value::Null));
    assert!(hosted["first_token_seconds"].as_f64() <= hosted["seconds"].as_f64(), "{hosted}");
    let record = &hosted["record"];
    assert_eq!((&record["text"], &record["served_by"]["provider"]), (&"You said: Why?".into(), &"vllm".into()));
    assert_eq!(record["attempts"].as_array().map(Vec::len), Some(1), "{record}");
    assert_eq!((&here["model"], &here["text"], &here["state"]), (&local.into(), &"xxx".into(), &"truncated".into()));
    assert_eq!(here.get("record"), None);

    let dead = Server::start(|_| Reply::error(400, "broken"));
    let run = home.run(&["ask", &dead.model("vllm:m"), "Why?", "--format", "json"]);
    assert_eq!((run.code, run.err.as_str()), (Some(3), ""));
    let list: Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!((&list[0]["text"], &list[0]["state"]), (&Value::Null, &"provider_error".into()));
    assert!(list[0]["why"].as_str().is_some_and(|why| why.contains("broken")), "{list}");
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is_sent() {
    let server = Server::echo();
    let home = Home::fresh();
    let key = home.file("key", "sk-1\n");
    let url = &server.base_url;
    let free = server.model("vllm:m");
    home.refusals(&[
        ("ask openai:gpt-5 question", 3, &["openai", "OPENAI_API_KEY"]),
        ("ask anthropic:claude-x question", 3, &["ANTHROPIC_API_KEY"]),
        ("ask google:gemini-x question", 3, &["GEMINI_API_KEY"]),
        ("ask chatgpt question", 3, &["no key for openai; set OPENAI_API_KEY"]),
        (
            &format!("ask openrouter:a/b question --base-url {url} --key-file {key}"),
            3,
            &["pin both, as in 'openrouter:a/b,host=HOST,quantization=fp8'"],
        ),
        (&format!("ask openrouter:a/b,host=h question --base-url {url} --key-file {key}"), 3, &["only one of host"]),
        (&format!("ask {free} {} question --key-file {key}", server.model("sglang:m")), 3, &["sglang and vllm"]),
        (&format!("ask vllm:m sglang:m question --base-url {url}"), 3, &["--base-url would stand for sglang and vllm"]),
        ("ask nobody:m question", 3, &["no provider 'nobody'", "anthropic, ", "openai, ", "vllm"]),
        ("ask openai-compatible:m question", 3, &["--base-url"]),
        (&format!("ask {free} question --max-cost 1"), 3, &["price"]),
        (&format!("ask {free} question --key-file absent"), 3, &["absent"]),
        (&format!("ask {free} question --dialect latin"), 2, &["openai_chat"]),
        ("ask vllm:m,speed=1 question", 3, &["'speed'", "expected PROVIDER:MODEL"]),
    ]);
    let home = home.variable("OPENAI_API_KEY", "sk-1");
    let fixed = server.model("openai:gpt-5");
    let message = home.refusal(&["ask", &fixed, "question", "--temperature", "0"], 3);
    assert!(message.contains("gpt-5") && message.contains("temperature"), "{message}");
    // One that cannot be asked stops the others too: the command is wrong as it stands.
    home.refusal(&["ask", &free, "nobody:m", "question"], 3);
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

/// Every file below a folder that holds the text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is read") {
            let path = entry.expect("the folder is read").path();
            if path.is_dir() {
                folders.push(path);
            } else if String::from_utf8_lossy(&fs::read(&path).expect("the file is read")).contains(text) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn a_key_that_the_server_says_again_is_seen_nowhere() {
    const PLANTED: &str = "sk-planted-123";
    let home = Home::fresh().variable("OPENAI_COMPATIBLE_API_KEY", PLANTED);
    let requests = home.file("requests.jsonl", "{\"prompt\": \"one\"}\n{\"prompt\": \"two\"}\n");
    for status in [200, 400] {
        let server = Server::start(move |asked| {
            assert!(asked.head.contains(PLANTED), "{}", asked.head);
            let said = format!("your key is {PLANTED}");
            let reply = if status == 200 { Reply::text(asked, &said) } else { Reply::error(status, &said) };
            let body = reply.body.replace("c-1", PLANTED);
            Reply { head: format!("x-request-id: {PLANTED}\r\nset-cookie: {PLANTED}\r\n"), body, ..reply }
        });
        let name = server.model("openai-compatible:m");
        let output = format!("out-{status}.jsonl");
        for line in [
            &["ask", &name, "Why?"][..],
            &["ask", &name, &name, "Why?"],
            &["ask", &name, "Why?", "--format", "json"],
            &["generate", &name, &requests],
            &["generate", &name, &requests, "-o", &output],
            &["canary", &name],
            &["canary", &name, "--format", "json"],
            &["providers"],
            &["providers", "openai-compatible"],
            &["providers", "openai-compatible", "--format", "json"],
        ] {
            let run = home.run(line);
            assert!(!run.out.contains(PLANTED), "{line:?}: {}", run.out);
            assert!(!run.err.contains(PLANTED), "{line:?}: {}", run.err);
        }
        assert!(!server.asked().is_empty());
        assert_eq!(holding(&home.path(""), PLANTED), Vec::<String>::new(), "HTTP {status}");
    }
    assert!(home.path("out-200.jsonl").exists() && home.path(".cache/weighbridge").exists());
}

/// What is said to people is plain, whatever a host says.
#[test]
fn hostile_text_does_not_reach_the_terminal() {
    const HOSTILE: &str = "a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}b\u{2066}c\u{200f}d\re";
    let home = Home::fresh();
    let plain = |text: &str, what: &str| {
        let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let bad: Vec<char> = text.chars().filter(|c| (c.is_control() && *c != '\n') || turns(*c)).collect();
        assert!(bad.is_empty(), "{what}: {bad:?} in {text:?}");
    };
    let good = Server::saying(HOSTILE);
    let dead = Server::start(|_| Reply::error(400, HOSTILE));
    let names = [good.model("vllm:m"), dead.model("sglang:m")];
    let run = home.run(&["ask", &names[0], &names[1], "Why?"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(run.out.contains("a]0;x2Jbcde"), "{:?}", run.out);
    plain(&run.out, "side by side");
    plain(&run.err, "the note");
    let message = home.refusal(&["ask", &names[1], "Why?"], 3);
    plain(&message, "the error");
    let run = home.run(&["canary", &names[0]]);
    plain(&run.out, "the canary");
    plain(&home.run(&["canary", &names[1]]).out, "the failed canary");
    plain(&home.run(&["providers"]).out, "the providers");
    plain(&home.run(&["providers", "sglang"]).out, "the provider");
}

//! `weighbridge run`: one task, open and closed models side by side, a log that survives being killed, and what it comes to.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::home::Home;
use crate::server::{Reply, Server};
use crate::weights::Speaker;

/// Questions, of which those with an even number are right for a model that says the question again.
fn questions(home: &Home, count: usize) -> String {
    let row =
        |n: usize| format!("Q{n}?,{}\n", if n.is_multiple_of(2) { format!("Q{n}") } else { "nothing".to_owned() });
    home.file("questions.csv", format!("input,target\n{}", (0..count).map(row).collect::<String>()))
}

fn speaker(home: &Home) -> String {
    home.file("speaker.gguf", Speaker { says: b'n', ..Speaker::default() }.bytes())
}

/// States and scores of a log by model, sample and epoch: what must not depend on breaks.
fn scores(home: &Home, log: &str) -> BTreeMap<String, String> {
    home.run(&["export", log, "--to", "csv", "-o", "scores.csv"]);
    let mut table = csv::Reader::from_path(home.path("scores.csv")).expect("the export");
    let head = table.headers().expect("a header").clone();
    let at = |name: &str| head.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name} in {head:?}"));
    let (model, sample, epoch, state, value) = (at("model"), at("sample"), at("epoch"), at("score_state"), at("value"));
    let mut found = BTreeMap::new();
    for row in table.records() {
        let cells = row.expect("a row");
        let key = format!("{} {} {}", &cells[model], &cells[sample], &cells[epoch]);
        let old = found.insert(key.clone(), format!("{} {}", &cells[state], &cells[value]));
        assert_eq!(old, None, "{key} twice in {log}");
    }
    found
}

#[test]
fn open_and_closed_models_answer_side_by_side() {
    let server = Server::echo();
    let home = Home::fresh();
    let (task, hosted, local) = (questions(&home, 20), server.model("vllm:m"), speaker(&home));
    let args =
        ["run", &task, "-m", &local, "-m", &hosted, "--scorer", "includes", "--max-tokens", "4", "-o", "log.zst"];
    let run = home.run(&[&args[..], &["--format", "json"]].concat());
    let lines: Value =
        serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {} {}", run.out, run.err));
    let lines = lines.as_array().expect("a list");
    let of =
        |model: &str| lines.iter().find(|line| line["model"] == model).unwrap_or_else(|| panic!("{model}: {lines:?}"));
    let (open, closed) = (of("speaker"), of("vllm:m"));
    assert_eq!((&closed["estimate"]["value"], &closed["states"]["scored"]), (&0.5.into(), &20.into()));
    // Its answers are cut off: those in which nothing can be found are no wrong answers, but none.
    assert_eq!((&open["estimate"], &open["states"]["truncated"]), (&Value::Null, &20.into()));
    assert_eq!(server.taken().len(), 20);
    // The same again asks nothing.
    home.run(&args);
    assert!(server.taken().is_empty());
    // It is in the lake, once.
    assert_eq!(home.count("samples"), 40);
    let again = home.run(&["score", "log.zst", "--scorer", "exact", "--format", "csv"]);
    assert!(again.err.contains("40 samples scored, 40 other than in the log"), "{}", again.err);
    assert!(again.out.contains("questions,vllm:m,exact,0.0000"), "{}", again.out);
}

#[test]
fn a_model_that_fails_stops_no_other() {
    let good = Server::echo();
    let bad = Server::start(|_| Reply::error(401, "no such key"));
    let home = Home::fresh();
    let task = questions(&home, 6);
    let (good, bad) = (good.model("vllm:good"), bad.model("vllm:bad"));
    let run =
        home.run(&["run", &task, "-m", &bad, "-m", &good, "--scorer", "includes", "-o", "log.zst", "--format", "csv"]);
    let line = |model: &str| {
        run.out.lines().find(|line| line.contains(model)).unwrap_or_else(|| panic!("{}", run.out)).to_owned()
    };
    assert!(line("vllm:good").contains("0.5000"), "{}", run.out);
    assert!(line("vllm:bad").contains("6 provider_error"), "{}", run.out);
}

#[test]
fn kills_at_any_moment_lose_and_double_nothing() {
    let server = Server::start(|asked| {
        std::thread::sleep(Duration::from_millis(3));
        Reply::text(asked, &format!("You said: {}", asked.question()))
    });
    let home = Home::fresh();
    let (task, hosted, local) = (questions(&home, 150), server.model("vllm:m"), speaker(&home));
    let args = |log: &'static str| {
        let words =
            ["run", &task, "-m", &local, "-m", &hosted, "--scorer", "includes", "--max-tokens", "6", "--epochs", "2"];
        let rest = ["--concurrency", "2", "--no-cache", "--no-lake", "-o", log];
        words.into_iter().chain(rest).map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = args("whole.zst");
    home.run(&whole.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = scores(&home, "whole.zst");
    assert_eq!(expected.len(), 600);

    let cut = args("cut.zst");
    let cut: Vec<&str> = cut.iter().map(String::as_str).collect();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut kills = 0;
    for _ in 0..100 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = home.command(&cut).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
        std::thread::sleep(Duration::from_millis(20 + (random >> 33) % 60));
        kills += u32::from(child.try_wait().expect("its state").is_none());
        child.kill().expect("a kill");
        child.wait().expect("its end");
    }
    assert!(kills > 50, "only {kills} of 100 runs were still going on");
    home.run(&cut);
    assert_eq!(scores(&home, "cut.zst"), expected);
}

#[test]
fn a_comparison_stops_when_it_is_settled() {
    let right = Server::echo();
    let wrong = Server::saying("no idea");
    let home = Home::fresh();
    let row = |n: usize| format!("Q{n}?,Q{n}\n");
    let task = home.file("all.csv", format!("input,target\n{}", (0..400).map(row).collect::<String>()));
    let (right, wrong) = (right.model("vllm:right"), wrong.model("vllm:wrong"));
    let args =
        ["run", &task, "-m", &wrong, "-m", &right, "--scorer", "includes", "--until", "decided", "-o", "log.zst"];
    let run = home.run(&args);
    assert!(
        run.err.contains("settled after") && run.err.contains("valid although the run stopped on it"),
        "{}",
        run.err
    );
    let asked = scores(&home, "log.zst").len();
    assert!(asked < 400, "{asked} samples for a difference of one");
}

#[test]
fn a_comparison_that_was_broken_off_is_settled_by_what_came_before() {
    let slow = |text: &'static str| {
        Server::start(move |asked| {
            std::thread::sleep(Duration::from_millis(5));
            Reply::text(asked, text)
        })
    };
    let (right, wrong) = (slow("yes"), slow("no"));
    let home = Home::fresh();
    let row = |n: usize| format!("Q{n}?,yes\n");
    let task = home.file("all.csv", format!("input,target\n{}", (0..400).map(row).collect::<String>()));
    let (right, wrong) = (right.model("vllm:right"), wrong.model("vllm:wrong"));
    let args =
        ["run", &task, "-m", &wrong, "-m", &right, "--scorer", "match", "--until", "decided", "--concurrency", "1"];
    let args = [&args[..], &["--no-cache", "--no-lake", "-o", "log.zst"]].concat();
    let mut child = home.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
    std::thread::sleep(Duration::from_millis(80));
    child.kill().expect("a kill");
    child.wait().expect("its end");
    let run = home.run(&args);
    assert!(run.err.contains("settled after"), "{}", run.err);
    assert!(scores(&home, "log.zst").len() < 400);
}

#[test]
fn wrong_uses_are_told_before_anything_is_asked() {
    let server = Server::echo();
    let home = Home::fresh();
    let (task, model) = (questions(&home, 4), server.model("vllm:m"));
    home.file("other.jsonl", "{\"text\": \"x\"}\n");
    home.file(
        "twice.jsonl",
        "{\"id\": 1, \"input\": \"x\", \"target\": \"y\"}\n{\"id\": 1, \"input\": \"x\", \"target\": \"y\"}\n",
    );
    let table: &[(&[&str], &[&str])] = &[
        (&["run", "absent.csv", "-m", &model], &["absent.csv", "cannot read"]),
        (&["run", "other.jsonl", "-m", &model], &["row 1", "input, question, prompt", "it has text"]),
        (&["run", "twice.jsonl", "-m", &model], &["row 2", "the id '1' stands in row 1 already"]),
        (&["run", &task, "-m", "nobody"], &["'nobody' is no file or folder"]),
        (&["run", &task, "-m", &model, "--until", "decided"], &["name at least two"]),
        (&["run", &task, "-m", &model, "--protocol", "loglikelihood"], &["a row has none"]),
        (&["score", "other.jsonl"], &["other.jsonl", "no known kind of log"]),
    ];
    for (args, says) in table {
        let message = home.refusal(args, 3);
        for words in *says {
            assert!(message.contains(words), "{args:?}: {message}");
        }
    }
    assert!(server.taken().is_empty());
}

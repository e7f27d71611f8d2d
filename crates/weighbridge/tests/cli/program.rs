//! What holds for every command: help, completions, the manual page, the width of the screen, and pipes.

use std::io::Read;

use crate::home::{Home, complaints};

const COMMANDS: [&str; 16] = [
    "gap",
    "models",
    "compare",
    "rank",
    "import",
    "lake",
    "catalog",
    "inspect",
    "ask",
    "generate",
    "providers",
    "canary",
    "loglikelihood",
    "logits",
    "completions",
    "man",
];

#[test]
fn help_of_every_command_names_its_options() {
    let home = Home::fresh();
    for (line, names) in [
        ("", &["Usage:", "--lake", "WEIGHBRIDGE_LAKE", "Exit codes", "NO_COLOR"][..]),
        (
            "gap",
            &[
                "--as-of",
                "--window",
                "--lag-rule",
                "--benchmark",
                "--draws",
                "--seed",
                "--from",
                "--no-cache",
                "--format",
            ],
        ),
        ("models", &["[MODEL]", "--access", "--lab", "--license", "--format"]),
        ("compare", &["<A>", "<B>", "--benchmark", "--format"]),
        ("rank", &["<VOTES>", "--level", "--format"]),
        ("import", &["<FILES>", "--format"]),
        ("lake", &["info", "schema", "sql"]),
        ("lake sql", &["<QUERY>", "--format"]),
        ("lake info", &["--format"]),
        ("catalog", &["check"]),
        ("catalog check", &["[FOLDER]", "--format"]),
        ("inspect", &["<PATH>", "--context", "--batch", "--hash", "--template", "--format"]),
        ("ask", &["<MODEL>...", "<PROMPT>", "--system", "--temperature", "--base-url", "--key-file", "--max-cost"]),
        ("generate", &["<MODEL>", "<REQUESTS>", "--output", "--batch", "--stream", "--no-cache", "--no-canary"]),
        ("providers", &["[PROVIDER]", "--format"]),
        ("canary", &["<MODEL>", "--base-url", "--format"]),
        ("loglikelihood", &["<MODEL>", "<REQUESTS>", "--per-token", "--base-url", "--key-file"]),
        ("logits", &["<MODEL>", "--ids"]),
        ("completions", &["bash", "zsh", "fish", "powershell"]),
        ("man", &["roff"]),
    ] {
        let mut args: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        args.push("--help");
        let help = home.answer(&args);
        for name in names.iter().chain(&["--lake", "--help"]) {
            assert!(help.contains(name), "'{line} --help' does not name {name}");
        }
    }
    let help = home.answer(&["--help"]);
    assert!(COMMANDS.iter().all(|command| help.contains(&format!("\n  {command} "))), "{help}");
    assert!(home.answer(&["--version"]).starts_with("weighbridge "));
}

#[test]
fn completions_and_the_manual_page_know_every_command() {
    let home = Home::fresh();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = home.answer(&["completions", shell]);
        for word in COMMANDS.iter().chain(&["lag-rule", "benchmark"]) {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let page = home.answer(&["man"]);
    assert!(page.contains(".TH weighbridge 1"), "{page}");
    let options = ["\\-\\-lag\\-rule", "\\-\\-benchmark", "\\-\\-license", "\\-\\-level"];
    for name in COMMANDS.iter().chain(&options) {
        assert!(page.contains(name), "the manual has no {name}");
    }
    for command in COMMANDS {
        assert!(page.contains(&format!("weighbridge\\-{command}(1)")), "the manual does not list {command}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_two() {
    let home = Home::fresh();
    home.refusals(&[
        ("weigh", 2, &["unrecognized subcommand 'weigh'", "--help"]),
        ("modles", 2, &["'modles'", "'models'"]),
        ("lake drop", 2, &["'drop'"]),
        ("completions cmd", 2, &["'cmd'", "bash"]),
    ]);
    assert_eq!(home.run(&[]).code, Some(2), "no command at all");
    assert_eq!(home.run(&["catalog"]).code, Some(2), "no command of the catalog");
}

#[test]
fn text_fits_the_screen() {
    let home = Home::with_lake();
    let votes = "model_a,model_b,wins_a,wins_b,ties\na-model-with-a-long-name,b,30,20,10\nb,c,5,5,5\n";
    home.file("votes.csv", votes);
    home.answer(&["import", "votes.csv"]);
    for columns in [40, 60, 80, 120] {
        let width = columns.to_string();
        let screen = |args: &[&str]| {
            let lake = home.lake();
            let home = Home::fresh().variable("COLUMNS", &width);
            let lake = lake.to_str().expect("a path that is text");
            home.answer(&[args, &["--lake", lake]].concat())
        };
        let mut wide = Vec::new();
        for args in [
            &["gap", "--draws", "40"][..],
            &["gap", "--draws", "40", "--benchmark", "gpqa-diamond"],
            &["compare", "kimi-k2.6", "gpt-5.5"],
            &["compare", "glm-5", "kimi-k2.5", "--benchmark", "epoch_swebench_verified"],
            &["models", "--lab", "openai"],
            &["models", "kimi-k3"],
            &["rank", "votes"],
            &["lake", "sql", "select model_a, model_b, wins_a, wins_b, ties, both_bad from votes"],
        ] {
            let text = screen(args);
            assert!(!text.contains('\u{1b}'), "{args:?}: an escape in a pipe");
            // Only one word that is longer than the screen itself may stick out, as an address does.
            let too_wide = |line: &&str| line.chars().count() > columns && line.split_whitespace().count() > 1;
            wide.extend(text.lines().filter(too_wide).map(|line| format!("{args:?}: {line}")));
        }
        assert!(wide.is_empty(), "wider than {columns}:\n{}", wide.join("\n"));
    }
}

#[test]
fn a_wider_screen_shows_more_on_a_line() {
    let lines = |columns: &str| {
        let text = Home::fresh().variable("COLUMNS", columns).answer(&["gap", "--draws", "40"]);
        text.lines().count()
    };
    assert!(lines("40") > lines("80") && lines("80") > lines("160"));
}

#[test]
fn colours_are_left_out_of_pipes() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "xterm-256color")] {
        let text = Home::fresh().variable(name, value).answer(&["gap", "--draws", "40"]);
        assert!(!text.contains('\u{1b}') && !text.is_empty(), "{name}={value}");
    }
}

/// `| head -1`: the reader goes away before the answer is written, or after a part of it.
#[test]
fn a_closed_pipe_is_no_error() {
    let home = Home::fresh();
    for (args, read) in [
        (&["models", "--format", "json"][..], 0),
        (&["models", "--format", "json"], 1),
        (&["gap", "--draws", "40"], 0),
        (&["--help"], 0),
    ] {
        let mut child = home.command(args).spawn().expect("the program starts");
        let mut out = child.stdout.take().expect("a pipe");
        let mut part = vec![0; read];
        out.read_exact(&mut part).expect("the first bytes");
        drop(out);
        let end = child.wait_with_output().expect("the program ends");
        let err = complaints(&String::from_utf8_lossy(&end.stderr));
        assert_eq!((end.status.code(), err.as_str()), (Some(0), ""), "{args:?} after {read} bytes");
    }
}

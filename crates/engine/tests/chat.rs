//! Chat templates against jinja2 with the settings of `transformers` (goldens beside this file), and hostile ones.

#![expect(clippy::unwrap_used, reason = "a test stops where its input cannot be read")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use weighbridge_engine::chat::{ChatError, ChatTemplate, Date, GenerationPrompt, Message};
use weighbridge_engine::files::gguf::Header;

fn goldens() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/chat/chat.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn template(source: &str) -> Result<ChatTemplate, ChatError> {
    ChatTemplate::new(source.to_owned(), "a test", "<s>".to_owned(), "</s>".to_owned())
}

fn check(name: &str, template: &ChatTemplate, cases: &Value) {
    for case in cases.as_array().unwrap() {
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| Message::new(one["role"].as_str().unwrap(), one["content"].as_str().unwrap()))
            .collect();
        let prompt = if case["prompt"] == true { GenerationPrompt::Open } else { GenerationPrompt::Closed };
        let found = template.render(&messages, prompt);
        match (case["text"].as_str(), case["error"].as_str()) {
            (Some(text), _) => assert_eq!(found.unwrap(), text, "{name}: {messages:?}"),
            // The template's own words are passed on; errors of the interpreter differ in theirs.
            (_, Some(error)) if error.starts_with("Conversation") => {
                let found = found.unwrap_err();
                assert!(matches!(&found, ChatError::Refused { reason } if reason == error), "{name}: {found}");
            }
            _ => assert!(found.is_err(), "{name}: {messages:?} gives {found:?}"),
        }
    }
}

#[test]
fn texts_are_those_of_jinja2() {
    for one in goldens()["templates"].as_array().unwrap() {
        let name = one["name"].as_str().unwrap();
        check(name, &template(one["template"].as_str().unwrap()).unwrap(), &one["cases"]);
    }
}

#[test]
fn texts_of_real_models_are_those_of_jinja2() {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
    let models = std::env::var_os("WEIGHBRIDGE_MODELS").map(PathBuf::from);
    let Some(models) = models.or_else(|| Some(cache?.join("weighbridge/models"))) else { return };
    for one in goldens()["models"].as_array().unwrap() {
        let path = models.join(one["file"].as_str().unwrap());
        let Ok(bytes) = std::fs::read(&path) else {
            eprintln!("SKIPPED: {} is absent; benches/fetch_models.py fetches it", path.display());
            continue;
        };
        let header = Header::parse(&bytes).unwrap();
        let source = header.string("tokenizer.chat_template").unwrap().to_owned();
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        let template = ChatTemplate::new(source, "the model", text("bos"), text("eos")).unwrap();
        check(&text("file"), &template, &one["cases"]);
    }
}

#[test]
fn a_date_is_only_written_if_one_is_given() {
    let source = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}none{% endif %}";
    let plain = template(source).unwrap();
    assert_eq!(plain.render(&[], GenerationPrompt::Closed).unwrap(), "none");
    let date = Date { year: 2025, month: 3, day: 1, hour: 0, minute: 0, second: 0 };
    assert_eq!(plain.at(date).render(&[], GenerationPrompt::Closed).unwrap(), "01 Mar 2025");
}

/// A template, and a part of the error that it must end with, in bounded time.
const HOSTILE: [(&str, &str); 21] = [
    ("{{ 'x' * 1000000000 }}", ""),
    ("{% set x = 'x' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}", "was stopped"),
    ("{% for i in range(1000000000) %}x{% endfor %}", ""),
    (
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "was stopped",
    ),
    (
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "was stopped",
    ),
    ("{{ [1] * 1000000000 }}", ""),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ""),
    ("{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}", ""),
    ("{{ 'a'.__class__.__mro__ }}", "uses '__class__'"),
    ("{{ ''['__class__'] }}", "uses '__class__'"),
    ("{{ ''|attr('__class__') }}", "uses '__class__'"),
    ("{% include '/etc/passwd' %}", "cannot be read"),
    ("{% import 'os' as os %}", "cannot be read"),
    ("{% extends 'x' %}", "cannot be read"),
    ("{{ open('/etc/passwd') }}", "fails"),
    ("{% if %}", "cannot be read"),
    ("{{ messages[0", "cannot be read"),
    ("{{ '%1000000000d' | format(1) }}", ""),
    ("{{ 'x' | indent(1000000000) }}", ""),
    ("{{ 'x'.replace('', 'y' * 100000) | replace('y', 'z' * 100000) }}", "was stopped"),
    ("{{ 2 ** 100000000 }}", ""),
];

#[test]
fn hostile_templates_end_in_errors_in_bounded_time() {
    for (source, expected) in HOSTILE {
        let start = Instant::now();
        let error = match template(source) {
            Ok(template) => {
                template.render(&[Message::new("user", "x")], GenerationPrompt::Open).map(|text| text.len())
            }
            Err(error) => Err(error),
        };
        let error = error.expect_err(source).to_string();
        assert!(error.contains(expected), "{source}: {error}");
        assert!(error.len() < 1000, "{source}: a message of {} bytes", error.len());
        assert!(start.elapsed() < Duration::from_secs(10), "{source} took {:?}", start.elapsed());
    }
}

#[test]
fn long_and_deep_sources_are_refused() {
    let error = template(&"x".repeat((1 << 18) + 1)).unwrap_err().to_string();
    assert!(error.contains("has 262145 bytes"), "{error}");
    let deep = [
        format!("{{{{ {}1{} }}}}", "(".repeat(90_000), ")".repeat(90_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(90_000), "]".repeat(90_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(60_000)),
        "{% if 1 %}".repeat(20_000),
        format!("{{{{ {} }}}}", "1 ~ ".repeat(60_000) + "1"),
        format!("{{{{ x{} }}}}", ".a".repeat(120_000)),
        format!("{{{{ x{} }}}}", "|upper".repeat(40_000)),
    ];
    for source in deep {
        let found = template(&source).and_then(|made| made.render(&[], GenerationPrompt::Open));
        // Some of them are read without recursion and then mean something.
        assert!(found.is_err() || found.is_ok_and(|text| text.len() < 10), "{}", &source[..20]);
    }
}

#[test]
fn deeply_nested_values_are_dropped_and_printed_without_harm() {
    for (list, close) in [("[", "]"), ("{'a': ", "}"), ("(", ",)")] {
        for end in ["", "{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x == ns.x }}", "{{ ns.x | string }}"] {
            let source = format!(
                "{{% set ns = namespace(x=[]) %}}{{% for i in range(99999) %}}{{% set ns.x = {list}ns.x{close} %}}{{% endfor %}}{end}"
            );
            let found = template(&source).unwrap().render(&[], GenerationPrompt::Open);
            drop(found);
        }
    }
}

#[test]
fn a_list_that_holds_itself_many_times_over_is_given_up() {
    let source = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}";
    let template = template(source).unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let error = template.render(&[], GenerationPrompt::Open).unwrap_err().to_string();
        assert!(error.contains("was stopped: more than 5 seconds"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    }
}

//! Programs against the tests of HumanEval, and programs that try to do harm. Where the machine has nothing to shut
//! programs in with, that is said and nothing is run.

use std::io::Read;
use std::time::Instant;

use serde_json::{Value, json};
use weighbridge_core::{SampleState, Score};
use weighbridge_run::scorer::{Prepared, ScorerSpec};

use super::record;

fn scored(answer: &str, doc: Value, timeout: f64) -> Score {
    let mut record = record(Some(answer), &[]);
    record.doc = Some(doc);
    Prepared::new(&ScorerSpec::Code { timeout }).expect("scorer").score(&record)
}

fn mbpp(tests: &[&str]) -> Value {
    json!({"test_list": tests, "test_setup_code": ""})
}

/// Whether programs can be run here. Where not, every score says why.
fn can_run() -> bool {
    let score = scored("```python\nx = 1\n```", mbpp(&["assert x == 1"]), 30.0);
    if score.state == SampleState::HarnessError {
        let why = score.explanation.expect("a reason");
        assert!(why.contains("bwrap"), "{why}");
        assert_eq!(score.value, None);
        return false;
    }
    assert_eq!((score.state, score.value), (SampleState::Scored, Some(1.0)), "{:?}", score.explanation);
    true
}

#[test]
fn solutions_of_humaneval_pass_and_broken_ones_fail() {
    if !can_run() {
        return;
    }
    let Some(path) = weighbridge_reference::path("data/tasks/humaneval/HumanEval.jsonl.gz") else { return };
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("HumanEval");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("HumanEval");
    for (i, line) in text.lines().enumerate() {
        let doc: Value = serde_json::from_str(line).expect("row");
        let solution = doc["canonical_solution"].as_str().expect("solution").to_owned();
        let score = scored(&solution, doc.clone(), 30.0);
        assert_eq!((score.state, score.value), (SampleState::Scored, Some(1.0)), "{i} {:?}", score.explanation);
        if i % 16 == 0 {
            let whole = format!("Here:\n```python\n{}{solution}```\n", doc["prompt"].as_str().expect("prompt"));
            assert_eq!(scored(&whole, doc.clone(), 30.0).value, Some(1.0), "{i}, in a fence");
            let broken = scored("    return None\n", doc, 30.0);
            assert_eq!((broken.state, broken.value), (SampleState::Scored, Some(0.0)), "{i}, broken");
        }
    }
}

#[test]
fn harm_is_contained() {
    if !can_run() {
        return;
    }
    let check = |what: &str, code: &str, expect: &str| {
        let begun = Instant::now();
        let score = scored(&format!("```python\n{code}\n```"), mbpp(&["assert True"]), 5.0);
        assert_eq!((score.state, score.value), (SampleState::Scored, Some(0.0)), "{what}");
        let why = score.explanation.unwrap_or_default();
        assert!(why.contains(expect), "{what}: {why}");
        assert!(begun.elapsed().as_secs() < 30, "{what}");
    };
    check("loop", "while True: pass", "longer than");
    check("memory", "x = bytearray(4 << 30)", "MemoryError");
    check("network", "import socket\nsocket.create_connection(('192.0.2.1', 80), 2)", "OSError");
    check("own network", "import socket\nsocket.create_connection(('127.0.0.1', 9), 2)", "Error");
    check(
        "forks",
        "import os, time\npids = []\nfor _ in range(10000):\n    pid = os.fork()\n    if pid == 0:\n        time.sleep(60)",
        "BlockingIOError",
    );
    check("bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "longer than");
    check("write", "open('/usr/x', 'w')", "Error");
    check("root", "open('/x', 'w')", "Error");
    check("home", "import os\nassert os.listdir(os.path.expanduser('~root'))", "Error");
    check("disk", "open('big', 'wb').write(b'x' * (200 << 20))", "Error");
    check("early end", "import os\nos._exit(0)", "ended early");
    check("exit", "import sys\nsys.exit(0)", "ended early");
    check("input", "input()", "Error");
    check("syntax", "def f(:", "SyntaxError");
    let flood = scored("```python\nwhile True: print('x' * 10000)\n```", mbpp(&["assert True"]), 5.0);
    assert_eq!((flood.state, flood.value), (SampleState::Scored, Some(0.0)), "{:?}", flood.explanation);
}

#[test]
fn what_is_no_program_is_not_read() {
    if !can_run() {
        return;
    }
    let prose = scored("I cannot help with that.", mbpp(&["assert f(1) == 1"]), 10.0);
    assert_eq!((prose.state, prose.value), (SampleState::WrongFormat, None));
    let bare = scored("def f(x):\n    return x\n", mbpp(&["assert f(1) == 1"]), 10.0);
    assert_eq!(bare.value, Some(1.0));
    let wrong = scored("def f(x):\n    return x\n", mbpp(&["assert f(1) == 2"]), 10.0);
    assert_eq!(wrong.value, Some(0.0));
    assert_eq!(wrong.explanation.as_deref(), Some("AssertionError"));
    assert_eq!(scored("x", json!({}), 10.0).state, SampleState::HarnessError);
}

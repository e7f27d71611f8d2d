//! Python that an answer holds, run against the tests of its sample.
//!
//! Rows of HumanEval have `prompt`, `test` and `entry_point`; rows of MBPP have `test_list` and `test_setup_code`. Code
//! in a fence that does not run is wrong; an answer without a fence that is no Python at all is not read.

mod sandbox;

use std::time::Duration;

use serde_json::Value;
use weighbridge_core::SampleRecord;

use self::sandbox::Outcome;
use super::{Verdict, text};

pub(super) fn score(seconds: f64, answer: &str, record: &SampleRecord) -> Verdict {
    let truncated = record.answers.first().is_some_and(|answer| super::cut_off(answer.finish));
    let Some(doc) = &record.doc else { return Verdict::Failed("the sample has no tests".into()) };
    let program = match Program::new(answer, doc) {
        Ok(program) => program,
        Err(why) => return Verdict::Failed(why),
    };
    let failed = |why: String| Verdict::Scored {
        value: 0.0,
        answer: program.code.clone(),
        explanation: Some(text::short(&why)),
        parts: None,
    };
    match sandbox::run(&program.code, &program.tests, Duration::from_secs_f64(seconds)) {
        Err(why) => Verdict::Failed(why),
        Ok(Outcome::Passed) => Verdict::scored(1.0, &program.code),
        Ok(Outcome::NoPython(why)) if truncated || !program.fenced => {
            Verdict::Unread(format!("the answer is no Python: {why}"))
        }
        Ok(Outcome::NoPython(why) | Outcome::Failed(why)) => failed(why),
        Ok(Outcome::TimedOut) => failed(format!("ran longer than {seconds} s")),
    }
}

/// What is run: the code of the answer, and the tests after it.
#[derive(Debug)]
struct Program {
    code: String,
    tests: String,
    fenced: bool,
}

impl Program {
    fn new(answer: &str, doc: &Value) -> Result<Self, String> {
        let field = |name: &str| doc.get(name).and_then(Value::as_str);
        if let (Some(prompt), Some(test), Some(entry)) = (field("prompt"), field("test"), field("entry_point")) {
            let defines = |code: &str| code.lines().any(|line| defines(line, entry));
            let blocks = fences(answer);
            let block = blocks.iter().find(|code| defines(code)).or_else(|| blocks.last());
            let body = block.map_or(answer, String::as_str);
            let code = match (defines(body), block) {
                // The prompt has imports and helpers; the function of the answer takes the place of its own.
                (true, _) => format!("{prompt}\n    pass\n\n{body}"),
                (false, Some(_)) => format!("{prompt}{}", indented(body)),
                (false, None) => format!("{prompt}{}", completion(body)),
            };
            let tests = format!("{test}\n\ncheck({entry})\n");
            return Ok(Self { code, tests, fenced: block.is_some() });
        }
        let Some(list) = doc.get("test_list").and_then(Value::as_array) else {
            return Err("the row has neither 'prompt', 'test' and 'entry_point' nor 'test_list'".into());
        };
        let tests: Vec<&str> =
            field("test_setup_code").into_iter().chain(list.iter().filter_map(Value::as_str)).collect();
        let blocks = fences(answer);
        let called = list.first().and_then(Value::as_str).and_then(called);
        let block = blocks
            .iter()
            .find(|code| called.is_some_and(|name| code.lines().any(|line| defines(line, name))))
            .or_else(|| blocks.last());
        let marked = answer.split_once("[BEGIN]").map_or(answer, |(_, after)| after);
        let marked = marked.split("[DONE]").next().unwrap_or(marked);
        let code = block.cloned().unwrap_or_else(|| marked.trim_matches(['\n', '\r']).to_owned());
        Ok(Self { code, tests: tests.join("\n"), fenced: block.is_some() })
    }
}

/// Whether a line begins the definition of a function or class of that name.
fn defines(line: &str, name: &str) -> bool {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line.strip_prefix("def ").or_else(|| line.strip_prefix("class ")).map(str::trim_start);
    rest.and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The function that a test like `assert f(1) == 2` calls.
fn called(test: &str) -> Option<&str> {
    let inner = test.trim().strip_prefix("assert")?.trim_start_matches([' ', '(']);
    let name = &inner[..inner.find('(')?];
    (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

/// The blocks of an answer that stand in fences, the last one also where its fence is not closed.
fn fences(answer: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in answer.lines() {
        let bare = line.trim_start();
        let fence = ["```", "~~~"].into_iter().find(|fence| bare.starts_with(fence));
        match (&mut open, fence) {
            (Some((mark, lines)), Some(fence)) if *mark == fence && bare.trim_end() == fence => {
                blocks.push(lines.join("\n"));
                open = None;
            }
            (Some((_, lines)), _) => lines.push(line),
            (None, Some(fence)) => open = Some((fence, Vec::new())),
            (None, None) => {}
        }
    }
    blocks.extend(open.map(|(_, lines)| lines.join("\n")));
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// A body of a function in a fence, whose lines may begin at the margin.
fn indented(body: &str) -> String {
    let at_margin = body.lines().any(|line| !line.trim().is_empty() && !line.starts_with([' ', '\t']));
    if !at_margin {
        return body.to_owned();
    }
    body.lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("    {line}") })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A completion whose first line may have lost its white space on the way.
fn completion(body: &str) -> String {
    let first = body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let lost = !first.starts_with([' ', '\t']) && !first.starts_with("def ") && !first.starts_with('#');
    if lost && !body.starts_with('\n') { format!("    {body}") } else { body.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn programs_of_answers() {
        let doc = json!({"prompt": "import math\n\ndef f(x):\n    \"\"\"Doc.\"\"\"\n", "test": "def check(f):\n    assert f(1)", "entry_point": "f"});
        let head = "import math\n\ndef f(x):\n    \"\"\"Doc.\"\"\"\n";
        let check = |answer: &str, code: &str, fenced: bool| {
            let program = Program::new(answer, &doc).expect("program");
            assert_eq!((program.code.as_str(), program.fenced), (format!("{head}{code}").as_str(), fenced), "{answer}");
        };
        check("    return x\n", "    return x\n", false);
        check("return x\n", "    return x\n", false);
        check("So:\n```python\ndef f(x):\n    return x\n```\nDone.", "\n    pass\n\ndef f(x):\n    return x", true);
        check("```\nreturn x\n```", "    return x", true);
        check("```py\n    return x\n```", "    return x", true);
        check("```py\ndef f(x):\n    return x", "\n    pass\n\ndef f(x):\n    return x", true);
        check("```\nf(2)\n```\n```\ndef f(x):\n    return 2\n```", "\n    pass\n\ndef f(x):\n    return 2", true);
        let mbpp = json!({"test_list": ["assert g(1) == 1", "assert g(2) == 2"], "test_setup_code": "k = 1"});
        let program = Program::new("[BEGIN]\ndef g(x):\n    return x\n[DONE]", &mbpp).expect("program");
        assert_eq!(program.code, "def g(x):\n    return x");
        assert_eq!(program.tests, "k = 1\nassert g(1) == 1\nassert g(2) == 2");
        assert!(Program::new("x", &json!({})).is_err());
    }
}

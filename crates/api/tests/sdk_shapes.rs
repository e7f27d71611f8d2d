//! The official Python SDKs judge: answers in every shape that their classes allow are read here as they read them, and
//! the requests that are written here are requests of theirs. `tests/sdk` has the Python side; nothing is recorded.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where its material is wrong")]

mod scripted;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use scripted::{Reply, Server};
use serde_json::{Value, json};
use weighbridge_api::batch::{BatchJob, BatchOptions};
use weighbridge_api::dialect::{WireError, WireReply, wire};
use weighbridge_api::{Delivery, Endpoint, EndpointOptions, Hosted, NumberedRequest, Session, SessionOptions, check};
use weighbridge_core::{
    CallState, Dialect, Effort, EndpointFacts, Finish, GenerationRequest, Message, Parameter, Prompt, Quirk, Reasoning,
    Sampling,
};

/// Answers of each dialect and each delivery.
const CASES: usize = 400;
/// Requests of each dialect.
const REQUESTS: usize = 300;
const DIALECTS: [Dialect; 5] =
    [Dialect::OpenaiChat, Dialect::OpenaiCompletions, Dialect::OpenaiResponses, Dialect::Anthropic, Dialect::Gemini];

/// What `generate.py` made.
static GENERATED: LazyLock<Option<String>> = LazyLock::new(|| {
    let script = servers::folder("sdk").join("generate.py");
    let made =
        Command::new(servers::python("sdk")?).arg(script).args(["--cases", &CASES.to_string()]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(String::from_utf8(made.stdout).unwrap())
});

#[test]
fn answers_are_read_as_the_sdks_read_them() {
    let Some(lines) = &*GENERATED else { return };
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case["kind"] == "batch" {
            continue;
        }
        let name = format!("{} {}", case["dialect"].as_str().unwrap(), case["kind"].as_str().unwrap());
        if let Some(difference) = difference(&case) {
            wrong.push(format!("{name}: {difference}\n  {line}"));
        }
        *seen.entry(name).or_default() += 1;
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
    assert!(seen.values().all(|&count| count == CASES), "{seen:?}");
    let shown = wrong.iter().take(5).map(|text| text.chars().take(3000).collect()).collect::<Vec<String>>();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.lines().count(), shown.join("\n"));
}

/// What we read otherwise than the SDK; `None` where nothing is.
fn difference(case: &Value) -> Option<String> {
    let expect = &case["expect"];
    let reply = match (read(case), expect["error"] == true) {
        (Err(_), true) => return None,
        (Ok(reply), true) => return Some(format!("there is no answer, but this was read: {reply:?}")),
        (Err(error), false) => return Some(format!("not read: {error:?}")),
        (Ok(reply), false) => reply,
    };
    let text = |key: &str| expect[key].as_str().map(str::to_owned);
    // An empty refusal in a chat is none; a part that is a refusal is one.
    let refusal = text("refusal").filter(|said| !said.is_empty() || case["dialect"] == "openai_responses");
    let said = match &refusal {
        Some(refusal) => text("text").filter(|said| !said.is_empty()).or_else(|| Some(refusal.clone())),
        None => text("text"),
    };
    let usage = &reply.usage;
    let ours = json!({
        "text": reply.text,
        "finish_stated": reply.finish_stated,
        "refused": refusal.is_some() && reply.finish == Some(Finish::Refused),
        "model": reply.model,
        "logprobs": reply.logprobs.len(),
        "usage": {
            "input": usage.input,
            "cache_read": usage.cache_read,
            "cache_write": usage.cache_write,
            "output": usage.output,
            "reasoning": usage.reasoning,
        },
    });
    let theirs = json!({
        "text": said,
        "finish_stated": expect["finish_stated"],
        "refused": refusal.is_some(),
        "model": expect["model"],
        "logprobs": expect["logprobs"],
        "usage": expect["usage"],
    });
    (ours != theirs).then(|| format!("\n  ours   {ours}\n  theirs {theirs}"))
}

fn read(case: &Value) -> Result<WireReply, WireError> {
    let wire = wire(Dialect::from_name(case["dialect"].as_str().unwrap()).unwrap());
    let request = GenerationRequest::new(Prompt::Text(String::new()), 16);
    let Some(events) = case["events"].as_array() else {
        return wire.read(case["json"].to_string().as_bytes(), &request);
    };
    let mut reader = wire.stream(&request);
    let mut watched = String::new();
    for event in events {
        if reader.is_done() {
            break;
        }
        let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
        watched.push_str(&reader.piece(&data)?);
    }
    let reply = reader.end()?;
    // Those who watch see the text that is kept, unless the model declined.
    let refused = reply.finish == Some(Finish::Refused);
    assert!(refused || reply.text.as_deref().unwrap_or_default() == watched, "watched {watched:?}, kept {reply:?}");
    Ok(reply)
}

#[test]
fn batches_are_read_as_the_sdks_read_them() {
    let Some(lines) = &*GENERATED else { return };
    // The batch at the host, what came in it, and the line of results.
    let now = Arc::new(Mutex::new(Value::Null));
    let current = Arc::clone(&now);
    let server = Server::start(move |asked| {
        let case = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if asked.path.ends_with("/results") {
            return Reply { status: 200, kind: "application/x-jsonl", body: format!("{}\n", case["result"]) };
        }
        if let Some(name) = asked.body.pointer("/requests/0/custom_id") {
            current.lock().unwrap_or_else(PoisonError::into_inner)["result"]["custom_id"] = name.clone();
        }
        if asked.path.ends_with("/files") { Reply::json(&json!({"id": "file-1"})) } else { Reply::json(&case["json"]) }
    });
    let mut count = 0;
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case["kind"] != "batch" {
            continue;
        }
        *now.lock().unwrap_or_else(PoisonError::into_inner) = case.clone();
        let dialect = Dialect::from_name(case["dialect"].as_str().unwrap()).unwrap();
        batch_is_as_expected(dialect, &server.base_url, &case["expect"]);
        count += 1;
    }
    assert_eq!(count, CASES / 2);
}

/// Submits a batch of one request, looks at it, and reads its results where it has ended.
fn batch_is_as_expected(dialect: Dialect, base_url: &str, expect: &Value) {
    let mut endpoint = endpoint(dialect, BTreeSet::new());
    endpoint.base_url = base_url.into();
    endpoint.provider.batch = true;
    let hosted = Hosted::new(endpoint, &Session::new(SessionOptions::default()).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut job = BatchJob::open(&hosted, &folder.path().join("job.json"), BatchOptions::default()).unwrap();
    let request = GenerationRequest::new(Prompt::Messages(vec![Message::user("And now?")]), 16);
    job.submit(&mut std::iter::once(NumberedRequest { index: 0, id: None, request })).unwrap();
    let status = job.poll().unwrap();
    let words: Vec<&str> = status.batches.keys().map(String::as_str).collect();
    let ours = json!({"words": words, "ended": status.ended, "answered": status.answered, "failed": status.failed});
    let theirs = json!({
        "words": [expect["word"]],
        "ended": expect["ended"],
        "answered": expect["answered"],
        "failed": expect["failed"],
    });
    assert_eq!(ours, theirs, "{expect}");
    if dialect != Dialect::Anthropic || expect["ended"] == false {
        return;
    }
    let mut records = Vec::new();
    let mut each = |record| {
        records.push(record);
        ControlFlow::Continue(())
    };
    let flow = job.results(&mut each).unwrap();
    assert_eq!(flow, ControlFlow::Continue(()));
    let [record] = records.as_slice() else { panic!("{} records for one request: {expect}", records.len()) };
    assert_eq!(record.state != CallState::ProviderError, expect["succeeded"] == true, "{expect} {record:?}");
    if expect["succeeded"] == true {
        // An answer without text is an empty one.
        let said = expect["text"].as_str().unwrap_or_default();
        assert_eq!(record.text.as_deref().unwrap_or_default(), said, "{record:?}");
        assert_eq!(record.usage.input, expect["input"].as_u64(), "{record:?}");
    }
}

#[test]
fn requests_are_those_that_the_sdks_would_send() {
    let Some(python) = servers::python("sdk") else { return };
    let mut lines = Vec::new();
    let mut runner = TestRunner::deterministic();
    for dialect in DIALECTS {
        let mut count = 0;
        // Most random requests ask for something that a dialect does not take, and are turned down before they are sent.
        for _ in 0..200 * REQUESTS {
            if count == REQUESTS {
                break;
            }
            let request = requests().new_tree(&mut runner).unwrap().current();
            let quirks = if count % 2 == 0 { BTreeSet::new() } else { BTreeSet::from([Quirk::MaxCompletionTokens]) };
            let endpoint = endpoint(dialect, quirks);
            if check(&endpoint, &request).is_err() {
                continue;
            }
            let delivery = if count % 3 == 0 { Delivery::Streamed } else { Delivery::Whole };
            let Ok(body) = wire(dialect).body(&endpoint, &request, delivery) else { continue };
            let body: Value = serde_json::from_slice(&body).unwrap();
            lines.push(json!({"dialect": dialect.as_str(), "body": body}).to_string());
            count += 1;
        }
        assert_eq!(count, REQUESTS, "{dialect:?}");
    }
    // What the judge is there for: he must turn these down.
    let wrong = [
        json!({"dialect": "openai_chat", "body": {"model": "m", "messages": [], "max_token": 1}}),
        json!({"dialect": "openai_responses", "body": {"model": "m", "input": "x", "stop": ["a"]}}),
        json!({"dialect": "anthropic", "body": {"model": "m", "messages": []}}),
        json!({"dialect": "gemini", "body": {"contents": [], "generationConfig": {}}}),
    ];
    lines.extend(wrong.iter().map(Value::to_string));
    let verdicts = verdicts(&python, &(lines.join("\n") + "\n"));
    assert_eq!(verdicts.len(), lines.len());
    let (sound, wrong) = verdicts.split_at(lines.len() - wrong.len());
    for (line, verdict) in lines.iter().zip(sound) {
        assert_eq!(verdict, "ok", "{line}");
    }
    assert!(wrong.iter().all(|verdict| verdict != "ok"), "{wrong:?}");
}

fn verdicts(python: &std::path::Path, lines: &str) -> Vec<String> {
    let mut judge = Command::new(python)
        .arg(servers::folder("sdk").join("validate.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (judge.stdin.take().unwrap(), judge.stdout.take().unwrap());
    let said = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(lines.as_bytes()).unwrap());
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        said
    });
    assert!(judge.wait().unwrap().success());
    said.lines().map(str::to_owned).collect()
}

/// An endpoint that takes what the dialect's inventor takes. `top_k` and `min_p` are extensions of other hosts, and the
/// models that Anthropic's SDK of today knows take no settings of sampling, as the catalog says too.
fn endpoint(dialect: Dialect, quirks: BTreeSet<Quirk>) -> Endpoint {
    use Parameter::{MinP, Temperature, TopK, TopP};
    let refuses = match dialect {
        Dialect::Anthropic => BTreeSet::from([Temperature, TopP, TopK]),
        Dialect::Gemini => BTreeSet::new(),
        _ => BTreeSet::from([TopK, MinP]),
    };
    Endpoint::new(EndpointOptions {
        provider: servers::provider("sdk", &[dialect], quirks),
        model: "claude-opus-5-5".into(),
        base_url: Some("http://127.0.0.1:1/v1".into()),
        dialect: Some(dialect),
        key: None,
        pin: None,
        facts: EndpointFacts { refuses, ..EndpointFacts::default() },
        prices: Vec::new(),
    })
    .unwrap()
}

/// Any request, with few settings at a time.
fn requests() -> impl Strategy<Value = GenerationRequest> {
    let words = "[ -~äß日🙂\n\"\\\\]{0,40}";
    let role = prop::sample::select(vec!["system", "user", "assistant"]);
    let turns = prop::collection::vec((role, words), 0..4).prop_map(|turns| {
        let turns = turns.into_iter().map(|(role, text)| Message::new(role, text));
        Prompt::Messages(turns.chain([Message::user("And now?")]).collect())
    });
    let prompt = prop_oneof![2 => turns, 1 => words.prop_map(Prompt::Text)];
    let rarely = |p: f64| prop::bool::weighted(p);
    let sampling = (0.0..2.0f64, 1..50_usize, 0.01..1.0f64, 0.0..1.0f64, any::<u64>(), 0..64_u8).prop_map(
        |(temperature, top_k, top_p, min_p, seed, used)| {
            // Each bit is a setting; the rarer ones need two.
            let bit = |mask: u8| used & mask == mask;
            Sampling {
                temperature: bit(1).then_some(temperature),
                top_k: bit(2 | 4).then_some(top_k),
                top_p: bit(8).then_some(top_p),
                min_p: bit(16 | 32).then_some(min_p),
                seed: bit(4 | 32).then_some(seed >> 33),
            }
        },
    );
    let reasoning = prop_oneof![
        4 => Just(Reasoning::Unset),
        1 => Just(Reasoning::Off),
        2 => prop::sample::select(Effort::ALL.to_vec()).prop_map(Reasoning::Effort),
        1 => (1024..4000_u32).prop_map(Reasoning::Budget),
    ];
    let stop = (rarely(0.4), prop::collection::vec("[a-z\n]{1,5}", 1..4));
    let logprobs = (rarely(0.3), 0..=20_u8);
    (prompt, stop, 1..100_000_usize, sampling, reasoning, logprobs).prop_map(
        |(prompt, (stops, stop), max_tokens, sampling, reasoning, (scored, top))| {
            let mut request = GenerationRequest::new(prompt, max_tokens);
            request.stop = if stops { stop } else { Vec::new() };
            request.sampling = sampling;
            request.reasoning = reasoning;
            request.top_logprobs = scored.then_some(top);
            request
        },
    )
}

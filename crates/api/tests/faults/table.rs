//! Runs every case and compares what came of it with `docs/faults.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use weighbridge_api::{Cache, Delivery, Session};
use weighbridge_core::{CallRecord, CallState};

use crate::cases::{Case, all};
use crate::client::{KEY, hosted, numbered, options, policy};
use crate::server::{Server, answer};
use crate::watchdog::ends;

/// Asked after each fault at the same session: no place may be lost, no gate shut.
const AFTER: &str = "and now?";

/// What came of a case.
#[derive(Clone, Debug)]
struct Outcome {
    group: &'static str,
    fault: String,
    done: &'static str,
    attempts: String,
    state: &'static str,
    counted: String,
}

#[test]
fn the_table_of_faults_says_what_happens() {
    let cases: Vec<Arc<Case>> = all().into_iter().map(Arc::new).collect();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let at = cases.iter().position(|other| Arc::ptr_eq(case, other)).unwrap();
                    let own = Arc::clone(case);
                    let outcome = ends(&case.fault, move || observe(&own));
                    outcomes.lock().unwrap().insert(at, outcome);
                }
            });
        }
    });
    let outcomes: Vec<Outcome> = outcomes.into_inner().unwrap().into_values().collect();
    assert_eq!(outcomes.len(), cases.len());
    compare(&page(&outcomes));
}

fn observe(case: &Arc<Case>) -> Outcome {
    let script = Arc::clone(case);
    let server =
        Server::start(move |seen| if seen.prompt() == AFTER { answer("after") } else { (script.script)(seen) });
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.concurrency = 1;
    options.cache = Some(Cache::open(folder.path()).unwrap());
    (case.options)(&mut options);
    let session = Session::new(options).unwrap();
    let model = hosted(&session, &server.url());
    let delivery = if case.streamed { Delivery::Streamed } else { Delivery::Whole };
    let mut shown = String::new();
    let record = model.ask(numbered(5, "fault"), delivery, &mut |piece| shown.push_str(piece));
    let spent = session.spend().spent();
    check_record(case, &record, &shown, server.ledger.requests());

    let after = model.ask(numbered(6, AFTER), Delivery::Whole, &mut |_| {});
    assert_eq!(after.text.as_deref(), Some("after"), "{}: {:?}", case.fault, after.attempts);
    let again = model.ask(numbered(7, "fault"), delivery, &mut |_| {});
    assert_eq!(again.cached, record.text.is_some(), "{}: only answers are kept", case.fault);

    let debugged = format!("{session:?} {model:?} {:?} {record:?} {shown}", model.endpoint());
    let written = format!("{} {debugged}", serde_json::to_string(&record).unwrap());
    assert!(!written.contains(KEY), "{}: the key is shown: {written}", case.fault);
    for file in files(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = memchr::memmem::find(&bytes, KEY.as_bytes());
        assert!(found.is_none(), "{}: the key is in the cache", case.fault);
    }
    let counted = match (record.usage.input, record.usage.output) {
        (Some(input), Some(output)) => format!("{input} + {output} tokens, ${:.5}", record.cost.usd.unwrap().0),
        _ => "nothing".to_owned(),
    };
    let maybe = match spent.broken {
        0 => String::new(),
        broken => format!("; {broken} perhaps billed"),
    };
    Outcome {
        group: case.group,
        fault: case.fault.clone(),
        done: case.done,
        attempts: attempts(&record),
        state: record.state.as_str(),
        counted: counted + &maybe,
    }
}

/// What holds for every record.
fn check_record(case: &Case, record: &CallRecord, shown: &str, requests: usize) {
    let fault = &case.fault;
    assert_eq!(record.index, 5, "{fault}");
    assert_eq!(record.attempts.len(), requests, "{fault}: every attempt is in the record: {:?}", record.attempts);
    let (last, before) = record.attempts.split_last().unwrap();
    assert_eq!(record.timing.latency, last.seconds, "{fault}");
    assert_eq!(last.waited, None, "{fault}");
    let working: f64 = before.iter().map(|attempt| attempt.seconds).sum();
    let waited: f64 = before.iter().map(|attempt| attempt.waited.unwrap()).sum();
    assert!(record.timing.queue >= waited - 1e-6, "{fault}: {:?}", record.timing);
    assert!(record.timing.queue + working + last.seconds < 120.0, "{fault}");
    for attempt in before {
        let (least, most) = case.waits;
        let waited = attempt.waited.unwrap();
        assert!((least..=most).contains(&waited), "{fault}: waited {waited} s, not {least} to {most}");
        assert!(attempt.error.is_some(), "{fault}");
    }
    for message in record.attempts.iter().filter_map(|attempt| attempt.message.as_ref()) {
        assert!(message.chars().count() <= 600 && !message.contains(char::is_control), "{fault}: {message:?}");
    }
    let answered = record.state == CallState::Answered;
    assert_eq!(record.text.is_some(), answered, "{fault}: {:?}", record.attempts);
    assert_eq!(record.cost.usd.is_some(), answered, "{fault}");
    assert_eq!(last.error.is_none(), answered, "{fault}");
    if answered && !case.text.is_empty() {
        assert_eq!(record.text.as_deref(), Some(case.text), "{fault}");
        assert!(
            !case.streamed || shown.ends_with(case.text) || case.text != "ok" || shown.is_empty(),
            "{fault}: {shown:?}"
        );
    }
    if record.text.as_ref().is_some_and(|text| text.len() > 1 << 20) {
        assert_eq!(record.text.as_ref().map(String::len), Some((10 << 20) + 3), "{fault}");
    }
}

/// `3: rate_limit twice, answer`.
fn attempts(record: &CallRecord) -> String {
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for attempt in &record.attempts {
        let word = attempt.error.map_or("answer", |class| class.as_str());
        match runs.last_mut().filter(|(last, _)| *last == word) {
            Some((_, times)) => *times += 1,
            None => runs.push((word, 1)),
        }
    }
    let word = |(word, times): &(&str, usize)| match times {
        1 => format!("`{word}`"),
        _ => format!("`{word}` x {times}"),
    };
    format!("{}: {}", record.attempts.len(), runs.iter().map(word).collect::<Vec<_>>().join(", "))
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn page(outcomes: &[Outcome]) -> String {
    let policy = policy();
    let mut page = format!(
        "# Faults of hosts and what becomes of them\n\n\
         <!-- Made by crates/api/tests/faults; UPDATE_DOCS=1 cargo test -p weighbridge-api --test faults writes it. -->\n\n\
         Each row was observed: a server of the tests did what the first column says, and one request for a chat was asked\n\
         of it. Attempts are those in the record of the call, with what went wrong in each. Counted is what the record and\n\
         the limit of dollars count; *perhaps billed* are attempts that broke off after they were sent: under a limit of\n\
         dollars each counts with the most that it can have cost. After each fault the same session answered the next\n\
         request, an answer came from the cache when it was asked again and a failure did not, and the key was nowhere in\n\
         what was written.\n\n\
         Where no host says how long to wait, attempts are spaced by exponential back-off with jitter, at first up to half a\n\
         second and at last up to a minute (in the tests milliseconds). {} of the same failure end a request, so do {}\n\
         answers that cannot be read and {} failures in all; limits of rate end it only when it has waited for an hour.\n",
        policy.same, policy.unreadable, policy.failures,
    );
    let mut group = "";
    for outcome in outcomes {
        if outcome.group != group {
            group = outcome.group;
            let _ = write!(
                page,
                "\n## {group}\n\n| fault | what is done | attempts | state | counted |\n|---|---|---|---|---|\n"
            );
        }
        let Outcome { fault, done, attempts, state, counted, .. } = outcome;
        let _ = writeln!(page, "| {fault} | {done} | {attempts} | `{state}` | {counted} |");
    }
    page
}

fn compare(page: &str) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/faults.md"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    let differs = |(a, b): &(&str, &str)| a != b;
    let difference = kept.lines().zip(page.lines()).find(differs);
    assert!(
        kept == page,
        "docs/faults.md is not what happens: {difference:?}; run again with UPDATE_DOCS=1 and review the difference"
    );
}

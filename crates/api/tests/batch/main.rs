//! Batches against servers of ours that speak as the three providers do: whole runs, odd results, and a process that is
//! killed at every step.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops where the test would")]

mod odd;
mod resumed;
mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use weighbridge_api::batch::{BatchJob, BatchLimits, BatchOptions, BatchStatus};
use weighbridge_api::{ApiError, Hosted, Session, SessionOptions};
use weighbridge_core::{CallRecord, CallState, Dialect, ErrorClass, Usd};

use support::{ANTHROPIC, GEMINI, KEY, KINDS, Kind, OPENAI, Server, cached, options, requests, session};

/// Runs a job to its end; each record by its position, of which there must be one only.
fn run(
    hosted: &Hosted,
    state: &Path,
    texts: &[&str],
    options: BatchOptions,
) -> Result<(BTreeMap<u64, CallRecord>, BatchStatus), ApiError> {
    let mut records = BTreeMap::new();
    let mut job = BatchJob::open(hosted, state, options)?;
    let mut each = |record: CallRecord| {
        assert_eq!(records.insert(record.index, record), None);
        ControlFlow::Continue(())
    };
    let flow = job.run(&mut requests(texts).into_iter(), &mut each, &mut |_| ControlFlow::Continue(()))?;
    assert_eq!(flow, ControlFlow::Continue(()));
    let status = job.status();
    assert!(status.done && status.ended, "{status:?}");
    Ok((records, status))
}

/// State, class of the error and its words, or the text.
fn outcome(record: &CallRecord) -> (CallState, Option<ErrorClass>, String) {
    let attempt = record.attempts.last();
    let said = attempt.and_then(|a| a.message.clone()).or_else(|| record.text.clone());
    (record.state, attempt.and_then(|a| a.error), said.unwrap_or_default())
}

fn count_submitted(server: &Server) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in server.world().fake.submitted().into_iter().flatten() {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// All that stands in the files of a folder.
fn written(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&written(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
    all
}

#[test]
fn each_request_has_one_record_at_the_price_of_a_batch() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        server.world().fake.oddities().looks = 2;
        let hosted = kind.hosted(&server, session(3));
        let (records, status) =
            run(&hosted, &folder.path().join("s.json"), &["plain a", "plain b", "plain c"], options(100)).unwrap();
        assert_eq!(records.len(), 3, "{}", kind.name);
        for (record, letter) in records.values().zip(["a", "b", "c"]) {
            let text = format!("answer to plain {letter}");
            assert_eq!(outcome(record), (CallState::Answered, None, text), "{}", kind.name);
            assert_eq!(record.id.as_deref(), Some(format!("../plain {letter}\u{1b}[31m\"").as_str()));
            assert_eq!((record.usage.input, record.usage.output), (Some(10), Some(5)), "{}", kind.name);
            // 10 tokens at 1 dollar a million and 5 at 5 dollars: half of the plain price.
            let usd = record.cost.usd.unwrap().0;
            assert!((usd - 35e-6).abs() < 1e-12, "{}: {usd}", kind.name);
            assert_eq!(record.served_by.model_answered.as_deref(), Some("model-1-0613"));
            assert!(record.served_by.batch.is_some() && !record.cached);
        }
        assert_eq!(status.batches, BTreeMap::from([(kind.end.to_owned(), 1)]), "{}", kind.name);
        assert_eq!((status.requests, status.taken, status.answered), (3, 3, 3), "{}", kind.name);
        assert_eq!(count_submitted(&server).into_values().collect::<Vec<_>>(), [1, 1, 1]);
    }
}

#[test]
fn answers_are_kept_in_the_cache_and_known_ones_are_not_submitted() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let hosted = kind.hosted(&server, cached(&folder.path().join("cache")));
        let texts = ["plain a", "error", "plain b"];
        let (first, _) = run(&hosted, &folder.path().join("1.json"), &texts, options(100)).unwrap();
        let (second, status) = run(&hosted, &folder.path().join("2.json"), &texts, options(100)).unwrap();
        // Failures are not kept: the second batch holds that request alone.
        let sizes: Vec<usize> = server.world().fake.submitted().iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 1], "{}", kind.name);
        assert_eq!(status.apart, 2);
        assert_eq!(second.values().map(|record| record.cached).collect::<Vec<_>>(), [true, false, true]);
        for index in [0, 2] {
            let kept = CallRecord { cached: true, ..first[&index].clone() };
            assert_eq!(second[&index], kept, "{}", kind.name);
        }
    }
}

#[test]
fn batches_are_split_at_the_limits() {
    let wide = 1 << 20;
    for kind in KINDS {
        for (most, bytes, expect) in
            [(2, wide, vec![2, 2, 1]), (5, wide, vec![5]), (1, wide, vec![1; 5]), (9, 1, vec![])]
        {
            let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
            let hosted = kind.hosted(&server, session(3));
            let limits = BatchLimits { requests: most, bytes, inline_bytes: 0 };
            let options = BatchOptions { limits: Some(limits), ..options(0) };
            let texts = ["a", "b", "c", "d", "e"];
            let (records, status) = run(&hosted, &folder.path().join("s.json"), &texts, options).unwrap();
            let sizes: Vec<usize> = server.world().fake.submitted().iter().map(Vec::len).collect();
            assert_eq!((sizes, records.len()), (expect.clone(), 5), "{}", kind.name);
            let state = if expect.is_empty() { CallState::NotSent } else { CallState::Answered };
            assert!(records.values().all(|record| record.state == state), "{}", kind.name);
            assert_eq!(status.apart, if expect.is_empty() { 5 } else { 0 });
        }
        // By bytes: each batch holds what fits, and no batch is longer than allowed.
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let hosted = kind.hosted(&server, session(3));
        let long = "x".repeat(1000);
        let limits = BatchLimits { requests: 100, bytes: 4000, inline_bytes: 0 };
        let options = BatchOptions { limits: Some(limits), ..options(0) };
        run(&hosted, &folder.path().join("s.json"), &[long.as_str(); 7], options).unwrap();
        let sizes: Vec<usize> = server.world().fake.submitted().iter().map(Vec::len).collect();
        assert!(sizes.len() > 2 && sizes.iter().all(|size| (1..=3).contains(size)), "{}: {sizes:?}", kind.name);
        assert_eq!(sizes.iter().sum::<usize>(), 7);
    }
}

#[test]
fn what_cannot_be_batched_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("s.json");
    let open = |kind: Kind, change: &dyn Fn(&mut weighbridge_api::Endpoint)| {
        let server = kind.server();
        let mut endpoint = kind.endpoint(&server);
        change(&mut endpoint);
        let hosted = Hosted::new(endpoint, &Session::new(session(1)).unwrap()).unwrap();
        let error = BatchJob::open(&hosted, &state, options(10)).unwrap_err().to_string();
        assert_eq!(server.world().exchanges, 0);
        error
    };
    let error = open(OPENAI, &|endpoint| endpoint.provider.batch = false);
    assert_eq!(error, "openai takes no batches; ask it without");
    let error = open(OPENAI, &|endpoint| endpoint.dialect = Dialect::Ollama);
    assert_eq!(error, "batches of openai carry no requests in the dialect ollama");
}

#[test]
fn requests_that_the_endpoint_does_not_take_are_not_sent() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let hosted = kind.hosted(&server, session(3));
        let mut job = BatchJob::open(&hosted, &folder.path().join("s.json"), options(10)).unwrap();
        let mut all = requests(&["a", "b"]);
        all[0].request.max_tokens = 0;
        let mut states = BTreeMap::new();
        let mut each = |record: CallRecord| {
            states.insert(record.index, outcome(&record).1);
            ControlFlow::Continue(())
        };
        let _ = job.run(&mut all.into_iter(), &mut each, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(states, BTreeMap::from([(0, Some(ErrorClass::Unsupported)), (1, None)]), "{}", kind.name);
        assert_eq!(count_submitted(&server).len(), 1);
    }
}

#[test]
fn a_limit_of_dollars_closes_batches_too() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let options_of = SessionOptions { max_cost: Some(Usd(0.0)), ..session(3) };
        let hosted = kind.hosted(&server, options_of);
        let (records, _) = run(&hosted, &folder.path().join("s.json"), &["a", "b", "c"], options(2)).unwrap();
        let classes: Vec<_> = records.values().map(|record| (record.state, outcome(record).1)).collect();
        assert_eq!(classes, [(CallState::NotSent, Some(ErrorClass::SpendLimit)); 3], "{}", kind.name);
        assert_eq!(server.world().exchanges, 0);
    }
}

#[test]
fn responses_and_completions_have_their_own_endpoints() {
    for (dialect, path) in
        [(Dialect::OpenaiResponses, "/v1/responses"), (Dialect::OpenaiCompletions, "/v1/completions")]
    {
        let (server, folder) = (OPENAI.server(), tempfile::tempdir().unwrap());
        let hosted = Kind { dialect, ..OPENAI }.hosted(&server, session(3));
        let mut job = BatchJob::open(&hosted, &folder.path().join("s.json"), options(10)).unwrap();
        let mut all = requests(&["a"]);
        if dialect == Dialect::OpenaiCompletions {
            all[0].request.prompt = weighbridge_core::Prompt::Text("a".into());
        }
        job.submit(&mut all.into_iter()).unwrap();
        let view = server.world().fake.endpoints();
        assert_eq!(view, [path]);
    }
}

#[test]
fn a_canceled_batch_gives_what_it_has() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        server.world().fake.oddities().looks = 1000;
        let hosted = kind.hosted(&server, session(3));
        let mut job = BatchJob::open(&hosted, &folder.path().join("s.json"), options(10)).unwrap();
        job.submit(&mut requests(&["missing", "a"]).into_iter()).unwrap();
        assert!(!job.poll().unwrap().ended);
        job.cancel().unwrap();
        // Those that list no results at first are looked at again.
        let mut records = BTreeMap::new();
        for _ in 0..30 {
            job.poll().unwrap();
            let _ = job
                .results(&mut |record| {
                    assert_eq!(records.insert(record.index, outcome(&record)), None);
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        assert!(job.status().done, "{}: {:?}", kind.name, job.status());
        assert_eq!(records[&0].0, CallState::ProviderError, "{}: {records:?}", kind.name);
        assert!(records[&0].2.starts_with("no result for this request"), "{}: {records:?}", kind.name);
        job.cancel().unwrap();
    }
}

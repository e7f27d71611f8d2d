//! Results that are not as they should be.

use super::*;
use support::Fault;

#[test]
fn whatever_the_results_look_like_each_request_has_one_record() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        server.world().fake.oddities().extra_lines = vec![
            r#"{"custom_id": "../../etc", "key": "../../etc", "response": {}, "result": {"type": "succeeded"}}"#.into(),
            "not json".into(),
            String::new(),
            "{}".into(),
            format!("{{\"note\": \"{KEY}\"}}"),
        ];
        let hosted = kind.hosted(&server, cached(&folder.path().join("cache")));
        let texts =
            ["plain", "error", "expire", "missing", "twice", "garbage", "key", "empty", "plain \u{1b}[2J \" \\ \u{e9}"];
        let (records, status) = run(&hosted, &folder.path().join("s.json"), &texts, options(100)).unwrap();
        let outcomes: Vec<_> = records.values().map(outcome).collect();
        let failed = |class, said: &str| (CallState::ProviderError, Some(class), said.to_owned());
        let answered = |text: &str| (CallState::Answered, None, text.to_owned());
        assert_eq!(outcomes[0], answered("answer to plain"), "{}", kind.name);
        assert_eq!(outcomes[1].0, CallState::ProviderError, "{}", kind.name);
        assert_eq!(outcomes[1].1, Some(ErrorClass::BadRequest), "{}: {outcomes:?}", kind.name);
        assert!(outcomes[1].2.contains("this is not taken"), "{}: {outcomes:?}", kind.name);
        assert_eq!(outcomes[2].1, Some(ErrorClass::Timeout), "{}: {outcomes:?}", kind.name);
        let missing = format!("no result for this request (batch {})", kind.end);
        assert_eq!(outcomes[3], failed(ErrorClass::Server, &missing), "{}", kind.name);
        // The first of two counts.
        assert_eq!(outcomes[4], answered("answer to twice"), "{}", kind.name);
        assert_eq!(outcomes[5], failed(ErrorClass::Server, &missing), "{}", kind.name);
        assert_eq!(outcomes[6], answered("your key is ***"), "{}", kind.name);
        assert_eq!(outcomes[7].0, CallState::ProviderError, "{}: {outcomes:?}", kind.name);
        assert_eq!(outcomes[8], answered("answer to plain \u{1b}[2J \" \\ \u{e9}"), "{}", kind.name);

        let found = &status.findings;
        assert_eq!((found.duplicates, found.unknown, found.missing), (1, 1, 2), "{}: {found:?}", kind.name);
        assert_eq!(found.unreadable, 4, "{}: {found:?}", kind.name);
        let shown = serde_json::to_string(&records.values().collect::<Vec<_>>()).unwrap();
        assert!(!shown.contains(KEY) && !written(folder.path()).contains(KEY), "{}", kind.name);
    }
}

/// State and message of a batch that came to a bad end as a whole, for a request that has no result.
fn bad_end(kind: Kind, end: &'static str, text: &str) -> (CallState, Option<ErrorClass>, String) {
    let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
    server.world().fake.oddities().end = Some(end);
    let hosted = kind.hosted(&server, session(3));
    let (records, _) = run(&hosted, &folder.path().join("s.json"), &[text, text], options(100)).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(outcome(&records[&0]), outcome(&records[&1]));
    outcome(&records[&0])
}

#[test]
fn the_bad_end_of_a_batch_is_that_of_each_request_without_a_result() {
    let table = [
        (OPENAI, "failed", "a", ErrorClass::Server, "invalid_json_line: This line is not parseable. (line 2)"),
        (OPENAI, "expired", "missing", ErrorClass::Timeout, "the batch is expired"),
        (OPENAI, "cancelled", "missing", ErrorClass::Server, "the batch is cancelled"),
        (ANTHROPIC, "expired", "a", ErrorClass::Timeout, "expired before it was answered"),
        (ANTHROPIC, "cancelled", "a", ErrorClass::Server, "canceled before it was answered"),
        (GEMINI, "failed", "a", ErrorClass::Server, "the input file cannot be read"),
        (GEMINI, "expired", "missing", ErrorClass::Timeout, "the batch ended as BATCH_STATE_EXPIRED"),
        (GEMINI, "cancelled", "missing", ErrorClass::Server, "the batch ended as BATCH_STATE_CANCELLED"),
    ];
    for (kind, end, text, class, said) in table {
        let (state, found, message) = bad_end(kind, end, text);
        assert_eq!((state, found), (CallState::ProviderError, Some(class)), "{} {end}: {message}", kind.name);
        assert!(message.contains(said), "{} {end}: {message}", kind.name);
    }
    // What was answered before the end counts.
    for (kind, end) in [(OPENAI, "expired"), (OPENAI, "cancelled"), (ANTHROPIC, "expired"), (GEMINI, "expired")] {
        assert_eq!(bad_end(kind, end, "answered").0, CallState::Answered, "{} {end}", kind.name);
    }
}

#[test]
fn a_batch_that_is_not_taken_is_an_error_of_each_of_its_requests() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        server.world().fake.oddities().refuse = Some(400);
        let hosted = kind.hosted(&server, session(3));
        let (records, _) = run(&hosted, &folder.path().join("s.json"), &["a", "b", "c"], options(2)).unwrap();
        assert_eq!(records.len(), 3);
        for record in records.values() {
            let (state, class, message) = outcome(record);
            assert_eq!((state, class), (CallState::ProviderError, Some(ErrorClass::BadRequest)), "{}", kind.name);
            assert!(message.contains("no such batch is taken"), "{}: {message}", kind.name);
        }
    }
}

#[test]
fn a_wrong_key_loses_nothing_and_is_told() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let state = folder.path().join("s.json");
        server.world().fake.oddities().refuse = Some(401);
        let hosted = kind.hosted(&server, session(3));
        let error = run(&hosted, &state, &["a", "b", "c"], options(2)).unwrap_err().to_string();
        assert_eq!(
            error, "cannot submit a batch: invalid_request_error: no such batch is taken (authentication)",
            "{}",
            kind.name
        );
        server.world().fake.oddities().refuse = None;
        let (records, _) = run(&hosted, &state, &["a", "b", "c"], options(2)).unwrap();
        assert_eq!(records.len(), 3);
        assert!(count_submitted(&server).into_values().all(|times| times == 1), "{}", kind.name);
    }
}

#[test]
fn failures_of_the_network_are_borne_at_every_step() {
    for kind in KINDS {
        let patient = Session::new(session(5)).unwrap();
        for number in 0..8 {
            for fault in [Fault::Lost, Fault::Unanswered, Fault::Status(503), Fault::Status(429), Fault::Half] {
                let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
                server.world().faults.extend([(number, fault), (number + 1, Fault::Status(500))]);
                let hosted = kind.hosted_in(&server, &patient);
                let (records, _) = run(&hosted, &folder.path().join("s.json"), &["a", "b", "c"], options(2))
                    .unwrap_or_else(|error| panic!("{} {number} {fault:?}: {error}", kind.name));
                assert!(records.values().all(|r| r.state == CallState::Answered), "{} {number} {fault:?}", kind.name);
                let times: Vec<usize> = count_submitted(&server).into_values().collect();
                assert_eq!(times, [1, 1, 1], "{} {number} {fault:?}", kind.name);
            }
        }
    }
}

#[test]
fn results_that_come_late_are_waited_for() {
    for kind in KINDS {
        for (late, expect) in [(4, CallState::Answered), (1000, CallState::ProviderError)] {
            let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
            server.world().fake.oddities().late_results = late;
            let hosted = kind.hosted(&server, session(3));
            let (records, _) = run(&hosted, &folder.path().join("s.json"), &["a"], options(2)).unwrap();
            assert_eq!(records[&0].state, expect, "{} {late}", kind.name);
        }
    }
}

#[test]
fn geminis_requests_may_go_in_the_message_but_answers_without_names_count_for_none() {
    let limits = BatchLimits { requests: 10, bytes: 1 << 20, inline_bytes: 1 << 20 };
    let options = BatchOptions { limits: Some(limits), ..options(0) };
    for (nameless, state) in [(false, CallState::Answered), (true, CallState::ProviderError)] {
        let (server, folder) = (GEMINI.server(), tempfile::tempdir().unwrap());
        server.world().fake.oddities().nameless = nameless;
        let hosted = GEMINI.hosted(&server, session(3));
        let (records, status) = run(&hosted, &folder.path().join("s.json"), &["a", "b"], options).unwrap();
        assert!(records.values().all(|record| record.state == state));
        assert_eq!(status.findings.unreadable, if nameless { 2 } else { 0 });
        assert!(server.world().log.iter().all(|line| !line.contains("upload") && !line.contains("download")));
    }
}

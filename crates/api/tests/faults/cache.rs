//! What the cache may answer: the same request to the same model at the same place, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weighbridge_api::{Cache, Delivery, Endpoint, EndpointOptions, Hosted, NumberedRequest, Pin, Session};
use weighbridge_core::{CallRecord, Effort, GenerationRequest, Message, Prompt, Quirk, Reasoning};

use crate::client::{endpoint_options, numbered, options, request};
use crate::server::{Act, Server, answer, chat, error, json_response};

fn session(folder: &Path) -> Arc<Session> {
    Session::new(weighbridge_api::SessionOptions { cache: Some(Cache::open(folder).unwrap()), ..options() }).unwrap()
}

fn ask(model: &Hosted, request: GenerationRequest) -> CallRecord {
    model.ask(NumberedRequest { index: 0, id: None, request }, Delivery::Whole, &mut |_| {})
}

fn model(session: &Arc<Session>, options: EndpointOptions) -> Hosted {
    Hosted::new(Endpoint::new(options).unwrap(), session).unwrap()
}

fn the_only_file(folder: &Path) -> PathBuf {
    let folder = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn a_changed_parameter_is_never_a_hit() {
    let server = Server::start(|seen| answer(&format!("answer {}", seen.number)));
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let model = model(&session, endpoint_options(&server.url()));
    let change = |change: &dyn Fn(&mut GenerationRequest)| {
        let mut request = request("one");
        change(&mut request);
        request
    };
    let system = vec![Message { role: "system".into(), content: "be brief".into() }, Message::user("one".to_owned())];
    let turns = vec![Message::user("one".to_owned()), Message { role: "assistant".into(), content: "two".into() }];
    let requests = [
        change(&|_| {}),
        change(&|r| r.prompt = Prompt::Messages(vec![Message::user("one ".to_owned())])),
        change(&|r| r.prompt = Prompt::Messages(system.clone())),
        change(&|r| r.prompt = Prompt::Messages(turns.clone())),
        change(&|r| r.max_tokens = 17),
        change(&|r| r.stop = vec!["a".into()]),
        change(&|r| r.stop = vec!["b".into()]),
        change(&|r| r.stop = vec!["a".into(), "b".into()]),
        change(&|r| r.stop = vec!["b".into(), "a".into()]),
        change(&|r| r.sampling.temperature = Some(0.0)),
        change(&|r| r.sampling.temperature = Some(1.0)),
        change(&|r| r.sampling.top_p = Some(0.5)),
        change(&|r| r.sampling.top_k = Some(5)),
        change(&|r| r.sampling.min_p = Some(0.5)),
        change(&|r| r.sampling.seed = Some(0)),
        change(&|r| r.sampling.seed = Some(1)),
        change(&|r| r.reasoning = Reasoning::Off),
        change(&|r| r.reasoning = Reasoning::Effort(Effort::Low)),
        change(&|r| r.reasoning = Reasoning::Effort(Effort::High)),
        change(&|r| r.top_logprobs = Some(0)),
        change(&|r| r.top_logprobs = Some(5)),
        change(&|r| r.repeat = 1),
        change(&|r| r.repeat = 2),
    ];
    let mut answers = BTreeSet::new();
    for request in &requests {
        let record = ask(&model, request.clone());
        assert!(!record.cached && record.text.is_some(), "{request:?}: {:?}", record.attempts);
        assert!(answers.insert(record.text), "{request:?}");
    }
    for request in &requests {
        let record = ask(&model, request.clone());
        assert!(record.cached, "{request:?}");
        assert!(!answers.insert(record.text));
    }
    assert_eq!(server.ledger.requests(), requests.len());
}

#[test]
fn two_models_never_share() {
    let server = Server::start(|seen| answer(&format!("answer {}", seen.number)));
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let base = || endpoint_options(&server.url());
    let router = |host: &str, quantization: &str| {
        let mut options = base();
        options.provider.router = true;
        options.provider.quirks.insert(Quirk::ProviderObject);
        options.pin = Some(Pin { host: host.into(), quantization: quantization.into() });
        options
    };
    let mut other_provider = base();
    other_provider.provider.id = "other".into();
    let endpoints = [
        base(),
        EndpointOptions { model: "m2".into(), ..base() },
        other_provider,
        EndpointOptions { base_url: Some(format!("http://{}/v2", server.address)), ..base() },
        EndpointOptions { base_url: Some(format!("http://localhost:{}/v1", server.address.port())), ..base() },
        router("a", "fp8"),
        router("a", "bf16"),
        router("b", "fp8"),
        router("a", "unknown"),
    ];
    for round in 0..2 {
        for options in &endpoints {
            let record = ask(&model(&session, options.clone()), request("one"));
            assert_eq!(record.cached, round == 1, "{options:?}: {:?}", record.attempts);
        }
    }
    assert_eq!(server.ledger.requests(), endpoints.len());
}

#[test]
fn a_hit_is_the_first_call_and_says_so() {
    let server = Server::start(|_| vec![Act::Wait(std::time::Duration::from_millis(30)), answer("ok").remove(0)]);
    let folder = tempfile::tempdir().unwrap();
    let first = session(folder.path());
    let kept = ask(&model(&first, endpoint_options(&server.url())), request("one"));
    let spent = first.spend().spent();
    // Another process, later.
    let second = session(folder.path());
    let model = model(&second, endpoint_options(&server.url()));
    let mut shown = String::new();
    let asked = NumberedRequest { index: 9, id: Some("nine".into()), request: request("one") };
    let hit = model.ask(asked, Delivery::Streamed, &mut |piece| shown.push_str(piece));
    assert_eq!(hit, CallRecord { cached: true, index: 9, id: Some("nine".into()), ..kept.clone() });
    assert!(hit.timing.latency >= 0.03, "the latency is that of the call that was made");
    assert_eq!(shown, "ok");
    assert!(spent.usd > 0.0);
    assert_eq!(second.spend().spent().usd, 0.0, "nothing is spent on a hit");
    assert_eq!(server.ledger.requests(), 1);
}

#[test]
fn damaged_cut_and_foreign_files_are_misses_and_are_mended() {
    let server = Server::start(|_| answer("ok"));
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let model = model(&session, endpoint_options(&server.url()));
    ask(&model, request("one"));
    let file = the_only_file(folder.path());
    let good = std::fs::read(&file).unwrap();
    let sealed = |content: &str| format!("{}\n{content}", blake3::hash(content.as_bytes()).to_hex()).into_bytes();
    let content = String::from_utf8(good[65..].to_vec()).unwrap();
    let mut flipped = good.clone();
    flipped[200] ^= 1;
    let damaged = [
        Vec::new(),
        b"x".to_vec(),
        good[..good.len() - 1].to_vec(),
        good[..65].to_vec(),
        flipped,
        [&good[..], b"more"].concat(),
        vec![0; 5000],
        sealed("{}"),
        sealed("not json"),
        sealed(&content.replace("\"version\":1", "\"version\":999")),
        // An answer to another request, under this name.
        sealed(&content.replacen("\"hash\":\"", "\"hash\":\"0", 1)),
        // A failure that a later version might have kept.
        sealed(&content.replace("\"answered\"", "\"provider_error\"")),
    ];
    for (i, bytes) in damaged.iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        let record = ask(&model, request("one"));
        assert!(!record.cached && record.text.as_deref() == Some("ok"), "damage {i}");
        assert_eq!(server.ledger.requests(), i + 2, "damage {i}");
        assert!(ask(&model, request("one")).cached, "damage {i} is mended");
        assert_eq!(the_only_file(folder.path()), file, "nothing is left beside");
    }
}

#[test]
fn a_cache_that_cannot_be_written_loses_no_answer() {
    let server = Server::start(|_| answer("ok"));
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let model = model(&session, endpoint_options(&server.url()));
    ask(&model, request("one"));
    let file = the_only_file(folder.path());
    // A folder in the place of the file: neither read nor replaced.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    std::fs::write(file.join("in the way"), "x").unwrap();
    for _ in 0..2 {
        let record = ask(&model, request("one"));
        assert_eq!((record.cached, record.text.as_deref()), (false, Some("ok")));
    }
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no part is left beside");
}

#[test]
fn failures_are_asked_again_and_answers_of_every_kind_are_kept() {
    let server = Server::start(|seen| {
        let finish = |reason: &str| {
            let mut body = chat("text");
            body["choices"][0]["finish_reason"] = reason.into();
            vec![Act::Send(json_response(200, &[], &body))]
        };
        match seen.prompt().as_str() {
            "failure" => error(400, &[], "", "no"),
            "truncated" => finish("length"),
            _ => finish("content_filter"),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path());
    let model = model(&session, endpoint_options(&server.url()));
    for (prompt, kept) in [("failure", false), ("truncated", true), ("refused", true)] {
        assert!(!ask(&model, request(prompt)).cached);
        assert_eq!(ask(&model, request(prompt)).cached, kept, "{prompt}");
    }
}

#[test]
fn many_writers_of_one_answer_do_not_disturb_each_other() {
    let server = Server::start(|_| answer(&"long ".repeat(10_000)));
    let folder = tempfile::tempdir().unwrap();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (folder, url) = (folder.path().to_owned(), server.url());
            std::thread::spawn(move || {
                let session = session(&folder);
                let model = model(&session, endpoint_options(&url));
                let mut requests = (0..50).map(|i| numbered(i, "the same"));
                let mut records = 0;
                let counted = model.run(&mut requests, Delivery::Whole, &mut |record| {
                    assert_eq!(record.text.map(|text| text.len()), Some(50_000));
                    records += 1;
                    Ok::<(), ()>(())
                });
                assert_eq!((counted, records), (Ok(()), 50));
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    assert!(ask(&model(&session(folder.path()), endpoint_options(&server.url())), request("the same")).cached);
    the_only_file(folder.path());
}

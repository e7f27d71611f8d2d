//! A process that is killed at any point, and started again with the same requests and the same state file.

use std::path::PathBuf;

use super::*;
use support::Fault;

const TEXTS: [&str; 5] = ["a", "error", "missing", "twice", "e"];

/// What a process does before it is killed: as `run`, but each failure is the end. Records go to `log`.
fn process(hosted: &Hosted, state: &Path, log: &mut Vec<CallRecord>) -> Result<bool, ApiError> {
    let mut job = BatchJob::open(hosted, state, options(2))?;
    for record in log.iter() {
        job.taken(record.index)?;
    }
    job.submit(&mut requests(&TEXTS).into_iter())?;
    let mut each = |record| {
        log.push(record);
        ControlFlow::Continue(())
    };
    for _ in 0..20 {
        job.poll()?;
        let _ = job.results(&mut each)?;
        if job.status().done {
            return Ok(true);
        }
    }
    Ok(false)
}

fn checked(log: &[CallRecord], server: &Server, what: &str) {
    let mut indices: Vec<u64> = log.iter().map(|record| record.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2, 3, 4], "{what}: {:?}", server.world().log);
    assert_eq!(count_submitted(server).into_values().collect::<Vec<_>>(), [1; 5], "{what}: {:?}", server.world().log);
}

#[test]
fn killed_at_every_exchange_nothing_is_lost_or_done_twice() {
    for kind in KINDS {
        let (hasty, patient) = (Session::new(session(1)).unwrap(), Session::new(session(3)).unwrap());
        let mut killed = 0;
        for number in 0.. {
            let mut ended = false;
            for fault in [Fault::Lost, Fault::Unanswered, Fault::Half] {
                let what = format!("{} killed at exchange {number} ({fault:?})", kind.name);
                let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
                server.world().fake.oddities().looks = 1;
                let state = folder.path().join("s.json");
                let mut log = Vec::new();
                {
                    let mut world = server.world();
                    world.faults.insert(number, fault);
                    world.down_from = Some(number + 1);
                }
                // One failure ends all, and the job is dropped where it stands.
                let first = process(&kind.hosted_in(&server, &hasty), &state, &mut log);
                server.world().down_from = None;
                if first.is_ok() {
                    ended = true;
                } else {
                    killed += 1;
                    let again = process(&kind.hosted_in(&server, &patient), &state, &mut log);
                    assert!(
                        again.unwrap_or_else(|error| panic!("{what}: {error}")),
                        "{what}: {:?}",
                        server.world().log
                    );
                }
                checked(&log, &server, &what);
            }
            if ended {
                break;
            }
        }
        assert!(killed > 3 * 8, "{}: {killed}", kind.name);
    }
}

#[test]
fn killed_at_every_exchange_again_and_again() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let (state, mut log) = (folder.path().join("s.json"), Vec::new());
        server.world().fake.oddities().looks = 1;
        // Each process gets through one more exchange than what it repeats of the one before.
        let mut lives = 0;
        let hosted = kind.hosted(&server, session(1));
        for allowed in 1.. {
            let until = server.world().exchanges + allowed;
            server.world().down_from = Some(until);
            lives += 1;
            if process(&hosted, &state, &mut log).is_ok_and(|done| done) {
                break;
            }
        }
        assert!(lives > 3, "{}", kind.name);
        checked(&log, &server, kind.name);
    }
}

/// The files of a folder.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn killed_between_results() {
    for kind in KINDS {
        for after in 1..=5 {
            let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
            let (state, mut log) = (folder.path().join("s.json"), Vec::new());
            let hosted = kind.hosted(&server, session(3));
            let mut within = Vec::new();
            {
                let mut job = BatchJob::open(&hosted, &state, options(2)).unwrap();
                let mut each = |record: CallRecord| {
                    log.push(record);
                    within = snapshot(folder.path());
                    if log.len() == after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let end = job.run(&mut requests(&TEXTS).into_iter(), &mut each, &mut |_| ControlFlow::Continue(()));
                assert_eq!(end.unwrap(), ControlFlow::Break(()));
            }
            let what = format!("{} after {after} results", kind.name);
            let (kept, log_then) = (snapshot(folder.path()), log.clone());
            assert!(process(&hosted, &state, &mut log).unwrap(), "{what}");
            checked(&log, &server, &what);

            // Left by a break, it knows by itself what was taken.
            let restore = |files: &[(PathBuf, Vec<u8>)]| {
                for (path, _) in snapshot(folder.path()) {
                    std::fs::remove_file(path).unwrap();
                }
                for (path, bytes) in files {
                    std::fs::write(path, bytes).unwrap();
                }
            };
            restore(&kept);
            let (rest, _) = run(&hosted, &state, &TEXTS, options(2)).unwrap();
            assert_eq!(rest.len() + after, 5, "{what}");

            // Killed before the mark of the last one, the log tells.
            restore(&within);
            let mut log = log_then;
            assert!(process(&hosted, &state, &mut log).unwrap(), "{what}");
            checked(&log, &server, &what);

            // Half a mark is none.
            restore(&kept);
            let list = state.with_extension("json.taken");
            let marks = std::fs::read(&list).unwrap();
            std::fs::write(&list, &marks[..marks.len() - 1]).unwrap();
            let (rest, _) = run(&hosted, &state, &TEXTS, options(2)).unwrap();
            assert_eq!(rest.len() + after - 1, 5, "{what}");
            assert_eq!(server.world().fake.submitted().len(), 3, "{what}");
        }
    }
}

#[test]
fn other_requests_are_told_from_those_of_the_state_file() {
    type Change = fn(&mut Vec<weighbridge_api::NumberedRequest>);
    let table: [(&str, Change); 6] = [
        ("request 1 has changed", |all| all[1].request.max_tokens = 7),
        ("request 4 has changed", |all| all[4].request.repeat = 1),
        ("request 2 is missing", |all| drop(all.remove(2))),
        ("request 9 is new", |all| all[4].index = 9),
        ("two requests have the position 3", |all| all[4].index = 3),
        ("request 0 has changed", |all| all[0].request.max_tokens = 1),
    ];
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let state = folder.path().join("s.json");
        let hosted = kind.hosted(&server, session(3));
        let mut first = requests(&TEXTS);
        // The first one is not sent, and is known all the same.
        first[0].request.max_tokens = 0;
        let submit = |all: Vec<_>| {
            let mut job = BatchJob::open(&hosted, &state, options(2)).unwrap();
            job.submit(&mut all.into_iter()).map(drop).map_err(|error| error.to_string())
        };
        submit(first.clone()).unwrap();
        let exchanges = server.world().exchanges;
        for (expect, change) in table {
            let mut all = first.clone();
            change(&mut all);
            let error = submit(all).unwrap_err();
            assert!(error.starts_with(expect), "{}: {error}", kind.name);
            assert_eq!(server.world().exchanges, exchanges, "{}: {expect}", kind.name);
        }
        submit(first).unwrap();
        assert_eq!(server.world().exchanges, exchanges, "{}", kind.name);
    }
}

#[test]
fn a_state_file_that_cannot_be_used_is_told() {
    let (server, folder) = (OPENAI.server(), tempfile::tempdir().unwrap());
    let state = folder.path().join("s.json");
    let hosted = OPENAI.hosted(&server, session(3));
    let open = |hosted: &Hosted| BatchJob::open(hosted, &state, options(2)).map(drop).map_err(|e| e.to_string());
    let job = BatchJob::open(&hosted, &state, options(2)).unwrap();
    assert!(open(&hosted).unwrap_err().starts_with("another process works on the batch of "));
    drop(job);
    open(&hosted).unwrap();

    let mut endpoint = OPENAI.endpoint(&server);
    endpoint.model = "model-2".into();
    let other = Hosted::new(endpoint, &Session::new(session(3)).unwrap()).unwrap();
    let error = open(&other).unwrap_err();
    assert!(error.contains("is of a batch with openai:model-1") && error.contains("not openai:model-2"), "{error}");

    for (content, expect) in [
        ("", "is no state file of a batch (EOF"),
        ("{\"version\": 7}", "(version 7, expected 1)"),
        ("{\"version\": 1}", "(missing field"),
        ("[1, 2]", "is no state file"),
    ] {
        std::fs::write(&state, content).unwrap();
        let error = open(&hosted).unwrap_err();
        assert!(error.contains(expect), "{content:?}: {error}");
        // It is left as it was.
        assert_eq!(std::fs::read_to_string(&state).unwrap(), content);
    }
    let mut job = BatchJob::open(&hosted, &folder.path().join("new/deep.json"), options(2)).unwrap();
    let error = job.results(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.starts_with("results of a batch are made with its requests"), "{error}");
}

#[test]
fn a_lost_submission_is_found_among_batches_of_others() {
    for kind in KINDS {
        let (server, folder) = (kind.server(), tempfile::tempdir().unwrap());
        let (state, mut log) = (folder.path().join("s.json"), Vec::new());
        server.world().fake.oddities().looks = 3;
        // The first submission is done, and its answer is lost; the process is killed at once.
        let create = match kind.name {
            "openai" => 1,
            "anthropic" => 0,
            _ => 2,
        };
        server.world().faults.insert(create, Fault::Unanswered);
        server.world().down_from = Some(create + 1);
        assert!(process(&kind.hosted(&server, session(1)), &state, &mut log).is_err());
        for requests in [2, 1, 2, 2, 7] {
            server.world().fake.add_foreign(requests);
        }
        server.world().down_from = None;
        assert!(process(&kind.hosted(&server, session(3)), &state, &mut log).unwrap());
        checked(&log, &server, kind.name);
    }
}

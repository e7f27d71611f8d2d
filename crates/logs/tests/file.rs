//! The log file: what is left of it after a cut at any byte, and who may write it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;
use weighbridge_core::{
    CANARY_VERSION, CanaryReport, ContinuationScore, LogLine, ModelAnswer, ModelFacts, RUN_LOG_VERSION, RunHeader,
    SampleKey, SampleRecord, SampleState, Score, ServedBy, TaskFacts,
};
use weighbridge_logs::{Entry, LogError, LogReader, LogWriter};

fn header() -> RunHeader {
    RunHeader {
        weighbridge_run: RUN_LOG_VERSION,
        id: "run-1".into(),
        program: "weighbridge 0.1.0".into(),
        started: Some(1_760_000_000.25),
        tasks: vec![TaskFacts { name: "arc".into(), ..TaskFacts::default() }],
        models: vec![ModelFacts { name: "local/pythia".into(), ..ModelFacts::default() }],
        settings: BTreeMap::from([("seed".to_owned(), json!(7))]),
    }
}

fn sample(i: usize) -> LogLine {
    // Texts of many lengths, some of which hardly compress.
    let noise: String = blake3::hash(&i.to_le_bytes()).to_hex().as_str().repeat(i % 5);
    LogLine::Sample(Box::new(SampleRecord {
        index: Some(i as u64),
        state: SampleState::Scored,
        scores: vec![Score {
            value: Some(f64::from(u32::from(i.is_multiple_of(3)))),
            ..Score::new("acc".into(), SampleState::Scored)
        }],
        choices: vec![],
        target: vec!["größer\n→ 🐘".into()],
        answers: vec![ModelAnswer { text: Some(noise), ..ModelAnswer::default() }],
        loglikelihoods: vec![],
        ..SampleRecord::new(SampleKey {
            task: "arc".into(),
            model: "local/pythia".into(),
            sample: format!("s{i}"),
            epoch: 1,
        })
    }))
}

fn lines(count: usize) -> Vec<LogLine> {
    std::iter::once(LogLine::Run(Box::new(header()))).chain((1..count).map(sample)).collect()
}

/// Writes `lines` and gives the length of the file after each.
fn write(path: &Path, lines: &[LogLine], finish: bool) -> Vec<u64> {
    let length = || fs::metadata(path).unwrap().len();
    let mut writer = LogWriter::create(path, &header()).unwrap();
    let mut ends = vec![length()];
    for line in &lines[1..] {
        writer.write(line).unwrap();
        ends.push(length());
    }
    if finish {
        writer.finish().unwrap();
    }
    ends
}

fn read(path: &Path) -> (Vec<LogLine>, bool) {
    let mut reader = LogReader::open(path).unwrap();
    let mut lines = Vec::new();
    loop {
        match reader.next_entry().unwrap() {
            Entry::Line(line) => lines.push(*line),
            Entry::End => return (lines, true),
            Entry::CutOff => {
                assert!(matches!(reader.next_entry().unwrap(), Entry::CutOff), "it stays cut off");
                return (lines, false);
            }
        }
    }
}

/// Opens, takes what is there, and appends what is missing of `lines`; gives how many there were.
fn go_on(path: &Path, lines: &[LogLine]) -> usize {
    let mut there = Vec::new();
    let mut take = |line| {
        there.push(line);
        Ok(())
    };
    let mut writer = LogWriter::open(path, &header(), &mut take).unwrap();
    assert_eq!(there, lines[..there.len()]);
    for line in &lines[there.len().max(1)..] {
        writer.write(line).unwrap();
    }
    writer.finish().unwrap();
    there.len()
}

/// Cuts a copy at `cut` and checks what is left and that it can be gone on with.
fn cut_and_go_on(bytes: &[u8], cut: usize, ends: &[u64], lines: &[LogLine], path: &Path) {
    fs::write(path, &bytes[..cut]).unwrap();
    let whole = ends.iter().filter(|end| **end <= cut as u64).count();
    let (left, _) = read(path);
    // The end of a frame follows its last line: a cut within it loses no line.
    let within_end = (whole + 1).is_multiple_of(512) && left.len() == whole + 1;
    assert!(left.len() == whole || within_end, "cut at {cut}: {} lines, {whole} were written", left.len());
    assert_eq!(left, lines[..left.len()], "cut at {cut}");
    assert_eq!(go_on(path, lines), left.len(), "cut at {cut}");
    assert_eq!(read(path), (lines.to_vec(), true), "cut at {cut}");
}

#[test]
fn a_small_log_goes_on_after_a_cut_at_every_byte() {
    let folder = TempDir::new().unwrap();
    let lines = lines(12);
    let path = folder.path().join("run.jsonl.zst");
    let ends = write(&path, &lines, true);
    let bytes = fs::read(&path).unwrap();
    for cut in 0..=bytes.len() {
        cut_and_go_on(&bytes, cut, &ends, &lines, &folder.path().join("cut"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside the logs");
}

#[test]
fn a_long_log_goes_on_after_cuts_anywhere() {
    let folder = TempDir::new().unwrap();
    let lines = lines(2000);
    let path = folder.path().join("run");
    let ends = write(&path, &lines, true);
    let bytes = fs::read(&path).unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bytes.len() as u64) as usize
    });
    // And all around the ends of frames.
    let around = [511, 1023, 1535].map(|line: usize| ends[line] as usize).into_iter().flat_map(|end| end - 8..end + 16);
    for cut in random.take(300).chain(around) {
        cut_and_go_on(&bytes, cut, &ends, &lines, &folder.path().join("cut"));
    }
}

#[test]
fn a_log_goes_on_again_and_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let lines = lines(40);
    // Killed after each line: the writer is dropped without an end.
    for (i, line) in lines.iter().enumerate().skip(1) {
        let mut there = 0;
        let mut take = |_| {
            there += 1;
            Ok(())
        };
        let mut writer = LogWriter::open(&path, &header(), &mut take).unwrap();
        assert_eq!(there, if i == 1 { 0 } else { i });
        writer.write(line).unwrap();
    }
    assert_eq!(read(&path), (lines, false));
}

#[test]
fn frames_end_where_lines_do() {
    for count in [511, 512, 513, 1024, 1025] {
        let folder = TempDir::new().unwrap();
        let all = lines(count + 3);
        for finish in [true, false] {
            let path = folder.path().join(format!("{finish}"));
            write(&path, &all[..count], finish);
            let (there, _) = read(&path);
            assert_eq!(there, all[..count]);
            assert_eq!(go_on(&path, &all), count);
            assert_eq!(read(&path), (all.clone(), true));
        }
    }
}

#[test]
fn it_is_read_while_it_is_written() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let lines = lines(600);
    let mut writer = LogWriter::create(&path, &header()).unwrap();
    assert_eq!(read(&path), (lines[..1].to_vec(), false));
    for (i, line) in lines.iter().enumerate().skip(1) {
        writer.write(line).unwrap();
        if i % 37 == 0 || (505..520).contains(&i) {
            let (there, _) = read(&path);
            assert_eq!(there, lines[..=i]);
        }
    }
    writer.finish().unwrap();
    assert_eq!(read(&path), (lines, true));
}

fn message<T>(result: Result<T, LogError>) -> String {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

fn open(path: &Path, header: &RunHeader) -> Result<LogWriter, LogError> {
    LogWriter::open(path, header, &mut |_| Ok(()))
}

#[test]
fn two_writers_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let lines = lines(3);
    let mut first = LogWriter::create(&path, &header()).unwrap();
    assert!(message(open(&path, &header())).contains("another run writes this file"));
    assert!(message(LogWriter::resume(&path, &mut |_| Ok(()))).contains("another run writes this file"));
    first.write(&lines[1]).unwrap();
    drop(first);
    // Of a file that was replaced on going on, too.
    let mut second = open(&path, &header()).unwrap();
    assert!(message(open(&path, &header())).contains("another run writes this file"));
    second.write(&lines[2]).unwrap();
    second.finish().unwrap();
    assert_eq!(read(&path), (lines, true));
    assert!(message(LogWriter::create(&path, &header())).contains("cannot create"));
}

#[test]
fn what_is_no_log_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let other = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("text", b"hello".to_vec()),
        ("lines", b"a\nb\n".to_vec()),
        ("one line", b"\n".to_vec()),
        ("json", b"{\"run\": 3}\n".to_vec()),
        ("open json", b"{\"results\":{".to_vec()),
        ("zip", b"PK\x03\x04\x00\x00".to_vec()),
        ("short", b"ab".to_vec()),
        ("zstd", other(b"hello\n")),
        ("zstd without a line", other(b"hello")),
        ("bad line", b"{\"run\":{\"weighbridge_run\":1,\"id\":3}}\n".to_vec()),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        for text in [message(open(&path, &header())), message(LogWriter::resume(&path, &mut |_| Ok(())))] {
            assert!(text.contains("run log") && text.contains(name), "{name}: {text}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_damaged_log_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    write(&path, &lines(5), true);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0; 64]);
    fs::write(&path, &bytes).unwrap();
    assert!(message(open(&path, &header())).contains("cannot read"));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_log_that_is_not_compressed_goes_on_compressed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.jsonl");
    let lines = lines(6);
    let text = |line: &LogLine| serde_json::to_string(line).unwrap() + "\n";
    let plain: String = lines[..4].iter().map(text).collect();
    for cut in ["", "{\"sam"] {
        fs::write(&path, format!("{plain}{cut}")).unwrap();
        assert_eq!(go_on(&path, &lines), 4);
        assert_eq!(read(&path), (lines.clone(), true));
    }
}

type Change<'a> = (&'a dyn Fn(&mut RunHeader), &'a str);

#[test]
fn a_log_of_another_run_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    write(&path, &lines(5), false);
    let before = fs::read(&path).unwrap();
    let change = |change: &dyn Fn(&mut RunHeader)| {
        let mut header = header();
        change(&mut header);
        header
    };
    let changes: [Change; 6] = [
        (&|h| h.tasks[0].name = "gsm8k".into(), "it does not have the task `gsm8k`"),
        (&|h| h.tasks.clear(), "it has the task `arc` besides"),
        (&|h| h.tasks[0].few_shot = Some(5), "`few_shot` of the task `arc` is nothing there and 5 here"),
        (&|h| h.models[0].revision = Some("x".into()), "`revision` of the model `local/pythia` is nothing there"),
        (&|h| drop(h.settings.insert("seed".into(), json!(8))), "`seed` is 7 there and 8 here"),
        (&|h| drop(h.settings.insert("limit".into(), json!(8))), "`limit` is nothing there and 8 here"),
    ];
    for (f, expected) in changes {
        let text = message(open(&path, &change(f)));
        assert!(text.contains(expected) && text.contains("another run"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    // What differs from one start to the next does not matter.
    let again = change(&|h| {
        h.id = "run-2".into();
        h.started = Some(1.0);
        h.program = "weighbridge 0.2.0".into();
        h.models[0].canary = Some(CanaryReport {
            version: CANARY_VERSION,
            served_by: ServedBy::default(),
            ended: 1.5,
            findings: vec![],
            cost: None,
            error: None,
        });
    });
    open(&path, &again).unwrap().finish().unwrap();
    assert_eq!(read(&path).0, lines(5));
    // A file of a later form.
    let later = path.with_extension("later");
    let header = change(&|h| h.weighbridge_run = RUN_LOG_VERSION + 1);
    LogWriter::create(&later, &header).unwrap().finish().unwrap();
    assert!(message(LogWriter::resume(&later, &mut |_| Ok(()))).contains("is of version 2"));
}

#[test]
fn a_log_cut_within_its_header_has_nothing_to_resume() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    fs::write(&path, [0x28, 0xb5]).unwrap();
    assert!(message(LogWriter::resume(&path, &mut |_| Ok(()))).contains("before its first line was whole"));
    assert_eq!(fs::read(&path).unwrap(), [0x28, 0xb5]);
}

#[test]
fn numbers_that_json_does_not_know_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let lines = lines(2);
    let mut writer = LogWriter::create(&path, &header()).unwrap();
    let LogLine::Sample(record) = &lines[1] else { unreachable!() };
    let mut bad = record.clone();
    bad.loglikelihoods =
        vec![ContinuationScore { continuation: " a".into(), logprob: f64::NEG_INFINITY, greedy: None, tokens: None }];
    assert!(message(writer.write(&LogLine::Sample(bad))).contains("log-probability of ` a`"));
    let mut bad = record.clone();
    bad.scores[0].value = Some(f64::NAN);
    assert!(message(writer.write(&LogLine::Sample(bad))).contains("the score `acc`"));
    writer.write(&lines[1]).unwrap();
    writer.finish().unwrap();
    assert_eq!(read(&path), (lines, true));
}

#[cfg(unix)]
#[test]
fn going_on_keeps_links_and_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run");
    let link = folder.path().join("latest");
    let lines = lines(4);
    write(&path, &lines[..2], false);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&path, &link).unwrap();
    go_on(&link, &lines);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(read(&path), (lines, true));
}

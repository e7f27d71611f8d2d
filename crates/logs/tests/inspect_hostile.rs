//! Logs of Inspect that are cut off, damaged, huge or of another form than Inspect writes today.

mod common;

use std::io::Write;

use common::{Member, archive, file, read_all, try_read};
use weighbridge_core::{LogLine, RunHeader, SampleState};
use weighbridge_logs::{LogError, Sink, Source, read};

const EVAL: &str = r#""version":2,"eval":{"run_id":"r","eval_id":"e","task":"t","model":"openai/m","dataset":{"name":"d","samples":3,"sample_ids":["a","b","c"]},"config":{"epochs":1},"scorers":[{"name":"match"}],"packages":{"inspect_ai":"0.3.206"}}"#;

fn header() -> String {
    format!(
        r#"{{"status":"success",{EVAL},"plan":{{}},"results":{{"total_samples":3,"scores":[{{"name":"match","scorer":"match","metrics":{{"accuracy":{{"name":"accuracy","value":NaN}}}}}}]}},"stats":{{}}}}"#
    )
}

fn sample(id: &str, more: &str) -> String {
    format!(
        r#"{{"id":"{id}","epoch":1,"input":"q","target":"a","output":{{"model":"m","choices":[{{"message":{{"role":"assistant","content":"a"}},"stop_reason":"stop"}}]}}{more}}}"#
    )
}

const RIGHT: &str = r#","scores":{"match":{"value":"C"}}"#;

#[test]
fn frames_duplicates_and_unknown_members() {
    let wrong = sample("a", r#","scores":{"match":{"value":"I"}}"#);
    let unknown = sample("b", r#","scores":{"match":{"value":NaN,"odd":1}},"future":{"x":1},"nothing":null"#);
    let bytes = archive(&[
        Member::zstd("_journal/start.json", &format!("{{{EVAL}}}")),
        Member::zstd("samples/a_epoch_1.json", &wrong),
        Member::zstd("samples/a_epoch_1.json", &sample("a", RIGHT)),
        Member::stored("samples/b_epoch_1.json", &unknown),
        Member::deflated("samples/c_epoch_1.json", sample("c", RIGHT).as_bytes()),
        Member::stored("samples/c_epoch_1/chunk_0.json", "[]"),
        Member::zstd("header.json", &header()),
    ]);
    let (_folder, path) = file("log.eval", bytes);
    let (runs, report) = read_all(&path);
    let mut found: Vec<_> =
        runs[0].samples.iter().map(|s| (s.key.sample.as_str(), s.state, s.scores[0].value, s.index)).collect();
    found.sort_by_key(|sample| sample.0);
    // Of the two members with one name the last counts; NaN is no score.
    let expect = [
        ("a", SampleState::Scored, Some(1.0), Some(0)),
        ("b", SampleState::Missing, None, Some(1)),
        ("c", SampleState::Scored, Some(1.0), Some(2)),
    ];
    assert_eq!(found, expect);
    let unknown: Vec<_> = report.unknown_fields.iter().map(|(path, n)| (path.as_str(), *n)).collect();
    assert_eq!(unknown, [("samples.*.*", 1), ("samples.*.future", 1), ("samples.*.scores.*.odd", 1)]);
    assert!(report.notes.iter().any(|note| note.contains("2 values NaN")), "{report:?}");
}

#[test]
fn a_run_that_did_not_end() {
    let start = Member::zstd("_journal/start.json", &format!("{{{EVAL},\"plan\":{{}}}}"));
    let bytes = archive(&[start.clone(), Member::zstd("samples/a_epoch_1.json", &sample("a", RIGHT))]);
    let (_folder, path) = file("log.eval", bytes);
    let (runs, report) = read_all(&path);
    assert_eq!(runs[0].samples.len(), 1);
    assert!(report.notes.iter().any(|note| note.contains("did not end")), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("2 of 3 samples are not in the log")), "{report:?}");
    // Summaries stand in where there are no samples.
    let summary = r#"[{"id":"a","epoch":1,"input":"q","target":"a","scores":{"match":{"value":"C"}}}]"#;
    let bytes = archive(&[start, Member::zstd("_journal/summaries/1.json", summary)]);
    let (_folder, path) = file("log.eval", bytes);
    let (runs, _) = read_all(&path);
    assert_eq!(runs[0].samples[0].scores[0].value, Some(1.0));
}

#[test]
fn samples_that_failed_say_why() {
    use SampleState::{HarnessError, ProviderError, Refused, Scored, Truncated};
    let samples = [
        sample("a", r#","error":{"message":"RateLimitError: 429","traceback":"File \"/x/model.py\""}"#),
        sample("b", r#","error":{"message":"sandbox is gone","traceback":""},"scores":{"match":{"value":"C"}}"#),
        sample(
            "c",
            r#","scores":{"match":{"value":{"x":"C","y":"odd"},"explanation":"see attachment://0f"}},"attachments":{"0f":"here"}"#,
        ),
        sample("d", "").replace("\"stop\"", "\"content_filter\""),
        sample("e", "").replace("\"stop\"", "\"max_tokens\""),
    ];
    let log = header();
    let text = format!("{},\"samples\":[{}]}}", &log[..log.len() - 1], samples.join(","));
    let (_folder, path) = file("log.json", text);
    let (runs, _) = read_all(&path);
    let states: Vec<SampleState> = runs[0].samples.iter().map(|sample| sample.state).collect();
    assert_eq!(states, [ProviderError, HarnessError, Scored, Refused, Truncated]);
    // A score beside an error does not count, but is kept.
    let beside = &runs[0].samples[1].scores[0];
    assert_eq!((beside.value, beside.parts.as_ref().unwrap().to_string()), (None, r#"{"value":"C"}"#.to_owned()));
    let parts = &runs[0].samples[2].scores;
    assert_eq!((parts[0].name.as_str(), parts[1].name.as_str()), ("match/x", "match/y"));
    assert_eq!(parts[1].explanation.as_deref(), Some("the value 'odd' is no number; see here"));
}

#[test]
fn scorers_that_give_objects() {
    let metrics = r#""metrics":{"mean":{"name":"mean","value":0.5},"stderr":{"name":"stderr","value":0.1}}"#;
    let of = |key: &str| format!(r#"{{"name":"{key}","scorer":"match",{metrics}}}"#);
    let log = format!(
        r#"{{"status":"success",{EVAL},"plan":{{}},"results":{{"scores":[{},{}]}},"stats":{{}},"samples":[{},{}]}}"#,
        of("x"),
        of("y"),
        sample("a", r#","scores":{"match":{"value":{"x":1,"y":0}}}"#),
        sample("b", ""),
    );
    let (_folder, path) = file("log.json", log);
    let (runs, _) = read_all(&path);
    let names =
        |sample: usize| -> Vec<&str> { runs[0].samples[sample].scores.iter().map(|s| s.name.as_str()).collect() };
    assert_eq!((names(0), names(1)), (vec!["match/x", "match/y"], vec!["match/x", "match/y"]));
    assert_eq!(runs[0].header.tasks[0].main_score.as_deref(), Some("match/x"));
    let results: Vec<_> = runs[0].results.iter().map(|r| (r.score.as_str(), r.value, r.standard_error)).collect();
    assert_eq!(results, [("match/x", 0.5, Some(0.1)), ("match/y", 0.5, Some(0.1))]);
}

#[test]
fn samples_before_the_facts_take_a_second_pass() {
    let log = header();
    let text = format!("{{\"samples\":[{}],{}", sample("a", RIGHT), &log[1..]);
    let (_folder, path) = file("log.json", text);
    let (runs, report) = read_all(&path);
    assert_eq!(report.format, "inspect");
    assert_eq!((runs.len(), runs[0].samples.len()), (1, 1));
    assert_eq!(runs[0].samples[0].key.model, "openai/m");
}

#[test]
fn damaged_archives_say_what_is_wrong() {
    let good = archive(&[
        Member::zstd("_journal/start.json", &format!("{{{EVAL}}}")),
        Member::zstd("samples/a_epoch_1.json", &sample("a", RIGHT)),
        Member::zstd("header.json", &header()),
    ]);
    for cut in [good.len() / 2, good.len() - 10, 80] {
        let (_folder, path) = file("log.eval", &good[..cut]);
        let error = try_read(&path).unwrap_err().to_string();
        assert!(error.contains("log.eval") && error.contains("cut off"), "{error}");
    }
    let mut member = Member::zstd("samples/a_epoch_1.json", &sample("a", RIGHT));
    member.crc ^= 1;
    let (_folder, path) = file("log.eval", archive(&[Member::stored("header.json", &header()), member.clone()]));
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains("samples/a_epoch_1.json") && error.contains("check sum"), "{error}");
    member.method = 12;
    let (_folder, path) = file("log.eval", archive(&[Member::stored("header.json", &header()), member]));
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains("samples/a_epoch_1.json") && error.contains("compressed"), "{error}");
    let (_folder, path) = file("log.json", &header()[..header().len() - 3]);
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains("log.json") && error.contains("ends too early"), "{error}");
}

#[test]
fn what_would_fill_the_memory_is_refused_or_passed_over() {
    let log =
        |name: &str, text: &[u8]| archive(&[Member::stored("header.json", &header()), Member::deflated(name, text)]);
    let name = "samples/a_epoch_1.json";
    // 160 MiB in an input are refused; in events they are passed over.
    let filler = "x".repeat(160 << 20);
    let bomb = sample("a", RIGHT).replace("\"q\"", &format!("\"{filler}\""));
    let (_folder, path) = file("log.eval", log(name, bomb.as_bytes()));
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("more than 128 MiB"), "{error}");
    let long = sample("a", &format!("{RIGHT},\"events\":[\"{filler}\"]"));
    drop((filler, bomb));
    let (_folder, path) = file("log.eval", log(name, long.as_bytes()));
    assert_eq!(read_all(&path).0[0].samples.len(), 1);
    // Deep nesting.
    for place in ["input", "metadata", "odd"] {
        let deep = sample("a", &format!("{RIGHT},\"{place}\":{}{}", "[".repeat(200_000), "]".repeat(200_000)));
        let (_folder, path) = file("log.eval", log(name, deep.as_bytes()));
        match try_read(&path) {
            Ok((runs, _)) => assert_eq!(runs[0].samples.len(), 1),
            Err(error) => assert!(error.to_string().contains("recursion limit"), "{error}"),
        }
    }
    // Sizes that are not so.
    let mut claims = Member::deflated(name, sample("a", RIGHT).as_bytes());
    claims.size = 1 << 30;
    let (_folder, path) = file("log.eval", archive(&[Member::stored("header.json", &header()), claims]));
    assert!(try_read(&path).map_or(true, |(runs, _)| runs[0].samples.len() == 1));
}

/// Notes how far the file was read when the first sample came.
struct First {
    path: std::path::PathBuf,
    at: Option<u64>,
    samples: usize,
}

impl First {
    /// Where the open file stands, as Linux tells it.
    fn position(&self) -> Option<u64> {
        for entry in std::fs::read_dir("/proc/self/fd").ok()? {
            let entry = entry.ok()?;
            if std::fs::read_link(entry.path()).is_ok_and(|to| to == self.path) {
                let info =
                    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", entry.file_name().display())).ok()?;
                return info.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
            }
        }
        None
    }
}

impl Sink for First {
    fn begin(&mut self, _: RunHeader) -> Result<(), LogError> {
        Ok(())
    }

    fn line(&mut self, line: LogLine) -> Result<(), LogError> {
        if matches!(line, LogLine::Sample(_)) {
            self.samples += 1;
            if self.at.is_none() {
                self.at = self.position();
            }
        }
        Ok(())
    }
}

#[test]
fn samples_come_before_the_file_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("log.json");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let log = header();
    write!(out, "{},\"samples\":[", &log[..log.len() - 1]).unwrap();
    let store = "y".repeat(20_000);
    for i in 0..2000 {
        let comma = if i == 0 { "" } else { "," };
        write!(out, "{comma}{}", sample(&i.to_string(), &format!("{RIGHT},\"store\":{{\"k\":\"{store}\"}}"))).unwrap();
    }
    // The end is missing, and yet every sample was handed on.
    out.flush().unwrap();
    drop(out);
    let mut sink = First { path: path.clone(), at: None, samples: 0 };
    let error = read(&Source::open(&path).unwrap(), &mut sink).unwrap_err().to_string();
    assert!(error.contains("ends too early"), "{error}");
    assert_eq!(sink.samples, 2000);
    if cfg!(target_os = "linux") {
        let size = std::fs::metadata(&path).unwrap().len();
        assert!(size > 40_000_000 && sink.at.unwrap() < 1_000_000, "{size} {:?}", sink.at);
    }
}

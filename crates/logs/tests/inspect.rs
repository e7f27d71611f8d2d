//! Real logs of Inspect against counts made independently.
//!
//! The expected numbers of `real_logs` come from `python3` with `F={'C':1,'P':.5,'I':0,'N':0}`, over
//! `json.loads(zipfile.ZipFile(f).read(n))` of each `samples/…` member, or `json.load(open(f))['samples']`:
//! `len(s), sum(len(q['scores'] or {}) for q in s), sum(F[x['value']] for q in s for x in q['scores'].values()),
//! sum(q['output']['usage']['input_tokens'] for q in s), sum(q['output']['usage']['output_tokens'] for q in s)`.

mod common;

use common::{FORMATS, Run, read_all, try_read};
use weighbridge_core::{EventKind, LogLine, Prompt, SampleState};
use weighbridge_reference::path;

/// File, samples, scores, sum of scores, tokens in, tokens out.
type Expected = (&'static str, usize, usize, f64, u64, u64);

const LOGS: &[Expected] = &[
    ("analysis/test_logs/2025-05-12T20-28-13-04-00_no-samples.json", 0, 0, 0.0, 0, 0),
    ("analysis/test_logs/2025-05-12T20-28-13-04-00_popularity.json", 3, 3, 2.0, 192, 6),
    ("analysis/test_logs_choices/mmlu-summary-choices.eval", 1, 1, 0.0, 153, 3),
    ("inspect/data_arc_qwen.json", 3, 3, 1.0, 359, 526),
    ("inspect/data_arc_sonnet.json", 5, 5, 5.0, 529, 851),
    ("inspect/data_with_llm_scoring.json", 0, 0, 0.0, 0, 0),
    ("log/test_eval_log/log_formats.eval", 1, 1, 0.0, 66, 2),
    ("log/test_eval_log/log_formats.json", 1, 1, 0.0, 66, 2),
    ("log/test_eval_log/log_streaming.eval", 4, 4, 3.0, 252, 6),
    ("log/test_eval_log/log_version_3.txt", 0, 0, 0.0, 0, 0),
    ("log/test_eval_log/log_with_nan.txt", 0, 0, 0.0, 0, 0),
    ("scorer/logs/2025-02-11T15-17-00-05-00_popularity_dPiJifoWeEQBrfWsAopzWr.eval", 10, 0, 0.0, 620, 20),
];

fn tally(run: &Run) -> (usize, usize, f64, u64, u64) {
    let scored = || run.samples.iter().flat_map(|sample| &sample.scores).filter_map(|score| score.value);
    let answers = || run.samples.iter().flat_map(|sample| &sample.answers);
    (
        run.samples.len(),
        scored().count(),
        scored().sum(),
        answers().filter_map(|answer| answer.usage.input).sum(),
        answers().filter_map(|answer| answer.usage.output).sum(),
    )
}

#[test]
fn real_logs() {
    let Some(root) = path(&format!("{FORMATS}/inspect_ai")) else { return };
    for &(file, samples, scores, sum, input, output) in LOGS {
        let (runs, report) = read_all(&root.join(file));
        assert_eq!(report.format, "inspect", "{file}");
        assert_eq!(runs.len(), 1, "{file}");
        assert_eq!(tally(&runs[0]), (samples, scores, sum, input, output), "{file}");
        assert!(runs[0].header.program.starts_with("inspect_ai"), "{file}");
        for sample in &runs[0].samples {
            assert_eq!(sample.answers.len(), 1, "{file}");
            assert!(sample.answers[0].text.as_ref().is_some_and(|text| !text.is_empty()), "{file}");
            // The message that the model was given was resolved from the attachments.
            let Some(Prompt::Messages(messages)) = &sample.input else { panic!("{file}: {:?}", sample.input) };
            assert!(messages.iter().all(|message| !message.content.contains("attachment://")), "{file}");
        }
    }
    // Every real file is in the table, or in the test that follows.
    let mut found = 0;
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found += 1;
            }
        }
    }
    assert_eq!(found, LOGS.len() + 1);
}

#[test]
fn logs_that_are_odd() {
    let Some(root) = path(&format!("{FORMATS}/inspect_ai/log/test_eval_log")) else { return };
    let error = try_read(&root.join("log_invalid.txt")).unwrap_err().to_string();
    assert!(error.contains("log_invalid.txt") && error.contains("no known kind of log"), "{error}");
    let (runs, report) = read_all(&root.join("log_version_3.txt"));
    assert!(report.notes[0].contains("version 4"), "{report:?}");
    assert_eq!((runs[0].results[0].value, runs[0].results[0].standard_error), (1.0, Some(0.0)));
    let (runs, report) = read_all(&root.join("log_with_nan.txt"));
    assert!(runs[0].results.is_empty());
    assert!(report.notes.iter().any(|note| note.contains("1 values NaN")), "{report:?}");
}

#[test]
fn aggregates_and_facts_of_a_log() {
    let Some(root) = path(&format!("{FORMATS}/inspect_ai")) else { return };
    let (runs, report) = read_all(&root.join("analysis/test_logs/2025-05-12T20-28-13-04-00_popularity.json"));
    let run = &runs[0];
    // python3 -c "import json; d=json.load(open(f)); print(d['results']['scores'][0]['metrics'], d['eval']['run_id'])"
    assert_eq!(run.results.len(), 1);
    assert_eq!(
        (run.results[0].value, run.results[0].standard_error),
        (0.666_666_666_666_666_6, Some(0.333_333_333_333_333_37))
    );
    assert_eq!(run.results[0].samples, Some(3));
    assert!(run.header.id.starts_with("7KyCuAQSqp76qKQZEKmG6M/"));
    assert_eq!(run.header.started, Some(1_747_096_093.0));
    assert!(
        run.others.iter().any(|line| matches!(line, LogLine::Event(event) if event.kind == EventKind::Interrupted))
    );
    let task = &run.header.tasks[0];
    assert_eq!((task.samples, task.epochs), (Some(3), Some(1)));
    assert_eq!(task.dataset.as_ref().unwrap().size, Some(100));
    assert_eq!(report.unknown_fields.get("samples.*.events"), Some(&3));
    let (runs, _) = read_all(&root.join("inspect/data_with_llm_scoring.json"));
    assert_eq!(runs[0].header.tasks[0].scores[0].grader.as_deref(), Some("google/gemini-2.0-flash-001"));
}

#[test]
fn a_folder_is_several_runs() {
    let Some(root) = path(&format!("{FORMATS}/inspect_ai/log/test_eval_log")) else { return };
    let (runs, report) = read_all(&root);
    assert_eq!(runs.len(), 5);
    assert!(report.notes.iter().any(|note| note.contains("1 files are no logs")), "{report:?}");
}

#[test]
fn parts_of_published_logs() {
    let Some(root) = path(&format!("{FORMATS}/epoch_inspect_log_parts/log_viewer_json")) else { return };
    let (runs, report) = read_all(&root);
    assert_eq!(runs.len(), 3);
    assert_eq!(report.notes.len(), 3);
    // python3 -c "import json; m=json.load(open('header.json'))['eval']['model']; s=json.load(open('summaries.json'));
    //  F={'C':1,'P':.5,'I':0,'N':0}; v=[F[x['value']] for q in s for x in q['scores'].values()]; t=lambda k:
    //  sum(q['model_usage'].get(m,{}).get(k,0) for q in s); print(len(s), len(v), sum(v), t('input_tokens'),
    //  t('output_tokens'), sum(1 for q in s if q.get('error')))"
    let expected = [
        ("bCy8WkKexRgzZoX2oJbQNM", (100, 100, 54.0, 13_820, 4_843_248), 0),
        ("f7vGNi73Cs5wSUsBMSzgFu", (100, 100, 12.0, 15_800, 1_530_902), 0),
        ("nHBdHcWorKfZCMYcGUC2Kz", (1000, 995, 371.0, 27_652, 4_735_547), 5),
    ];
    for (run, (id, counts, errors)) in runs.iter().zip(expected) {
        assert!(run.header.id.starts_with(id));
        assert_eq!(tally(run), counts, "{id}");
        let failed = run.samples.iter().filter(|sample| sample.state == SampleState::ProviderError);
        assert_eq!(failed.count(), errors, "{id}");
        // The mean that the log states is the mean of what was read.
        let mean = counts.2 / counts.1 as f64;
        assert!((run.results[0].value - mean).abs() < 1e-12, "{id}");
        let text = serde_json::to_string(&run.header).unwrap();
        assert!(!text.contains("github_pat"), "{id}: a token of the source is in the header");
    }
    let grader = runs[2].samples[0].scores[0].grader.as_deref();
    assert_eq!(grader, Some("openai/gpt-5-mini-2025-08-07"));
    let (one, _) = read_all(&root.join("nHBdHcWorKfZCMYcGUC2Kz"));
    assert_eq!(one.len(), 1);
}

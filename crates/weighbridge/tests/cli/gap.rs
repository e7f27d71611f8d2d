//! `weighbridge gap`: the contract of its JSON, its numbers, its dates, and how it looks on a screen.

use serde_json::Value;

use crate::estimates::check_estimates;
use crate::home::{Home, assert_numbers, caveat, caveats, number};

/// Days that the reference numbers were computed for.
const WINDOW: [&str; 3] = ["gap", "--window", "2026-01-01..2026-08-11"];

#[test]
fn json_keeps_the_contract() {
    let report = Home::fresh().json(&WINDOW);
    for (place, keys) in [
        ("", "as_of sentence gap lag frontiers price_ratio caveats sources"),
        ("/lag", "rule months censored"),
        ("/frontiers", "open closed"),
        ("/frontiers/open/leader", "id name lab country released access license score"),
        ("/frontiers/closed/leader", "id name lab country released access license score"),
        ("/caveats/0", "code message advice"),
        ("/sources/0", "id title url license retrieved used"),
    ] {
        let object = report.pointer(place).and_then(Value::as_object).unwrap_or_else(|| panic!("no object at {place}"));
        for key in keys.split(' ') {
            assert!(object.contains_key(key), "no {key} at '{place}'");
        }
    }
    for pointer in ["/gap", "/lag/months", "/price_ratio", "/frontiers/open/leader/score"] {
        assert!(report.pointer(pointer).is_some_and(|e| e.get("method").is_some()), "{pointer} is no estimate");
    }
    assert!(report["lag"]["censored"].is_boolean());
    assert!(check_estimates(&report) > 50);
    assert!(report["sentence"].as_str().is_some_and(|s| s.starts_with("Open weights trail")), "{}", report["sentence"]);
}

/// Reference: `lag_2026-08-11.txt` and the published index of 2026-08-11 (a bootstrap with another generator).
#[test]
fn numbers_agree_with_the_reference_of_2026_08_11() {
    let report = Home::fresh().json(&WINDOW);
    assert_eq!(report["as_of"], "2026-08-11");
    assert_eq!(report["lag"]["rule"], "propagated");
    assert_eq!(report["lag"]["censored"], false);
    assert_numbers(
        &report,
        &[
            ("/lag/months/value", 7.74, 0.5),
            ("/lag/months/lower", 6.49, 1.0),
            ("/lag/months/upper", 10.82, 1.0),
            ("/lag/months/level", 0.9, 0.0),
            ("/gap/value", 4.64, 0.02),
            ("/gap_over_window/value", 9.21, 0.5),
            ("/gap_over_window/lower", 7.46, 0.5),
            ("/gap_over_window/upper", 11.20, 0.5),
            ("/frontiers/closed/leader/score/value", 161.65, 0.01),
            ("/frontiers/open/leader/score/value", 157.01, 0.01),
        ],
    );
    let lag = |rule: &str| {
        let lags = report["lags"].as_array().expect("a list");
        lags.iter().find(|lag| lag["rule"] == rule).map(|lag| number(lag, "/months/value")).expect(rule)
    };
    // `horizontal` and `thresholds` count censored levels too, which their references leave out.
    assert!((lag("since") - 6.30).abs() < 0.5, "since {}", lag("since"));
    for (side, name, lab, released) in
        [("closed", "GPT-5.6 Sol", "OpenAI", "2026-07-09"), ("open", "Kimi K3", "Moonshot AI", "2026-07-16")]
    {
        let leader = &report["frontiers"][side]["leader"];
        assert_eq!([&leader["name"], &leader["lab"], &leader["released"]], [name, lab, released], "{side}");
    }
    assert_eq!(caveats(&report)[0], "best-of-many");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let args = ["gap", "--draws", "60", "--format", "json"];
    let one = Home::fresh().variable("RAYON_NUM_THREADS", "1").answer(&args);
    let two = Home::fresh().variable("RAYON_NUM_THREADS", "2").answer(&args);
    assert!(one == two, "one thread and two give different reports");
    assert!(one == Home::fresh().answer(&args), "two runs give different reports");
    let other = Home::fresh().answer(&[&args[..], &["--seed", "1"]].concat());
    assert!(one != other, "--seed changes nothing");
    let lag = |text: &str| number(&serde_json::from_str(text).expect("JSON"), "/lag/months/upper");
    assert!(lag(&one) != lag(&other), "--seed does not reach the draws");
}

/// Leaders of the past from `lag_2026-08-11.txt`.
#[test]
fn a_day_in_the_past_has_the_leaders_of_that_day_and_says_that_it_is_hindsight() {
    let home = Home::fresh();
    for (day, open, closed) in [
        ("2023-12-31", "Mixtral 8x7B", "GPT-4 Turbo (Nov 2023)"),
        ("2024-08-01", "Llama 3.1-405B", "Gemini 1.5 Flash (Sep 2024)"),
        ("2025-03-01", "DeepSeek-R1", "o3"),
        ("2025-12-31", "DeepSeek-V3.2", "GPT-5.2 Pro"),
    ] {
        let report = home.json(&["gap", "--draws", "40", "--as-of", day]);
        assert_eq!(report["as_of"], day);
        assert_eq!(report["frontiers"]["open"]["leader"]["name"], open, "{day}");
        assert_eq!(report["frontiers"]["closed"]["leader"]["name"], closed, "{day}");
        assert!(caveat(&report, "hindsight").contains(day));
        assert!(!caveats(&report).contains(&"beyond-facts"));
        check_estimates(&report);
        let records = report["frontiers"]["closed"]["records"].as_array().expect("a list");
        assert!(records.iter().all(|record| record["date"].as_str() <= Some(day)), "{day}: a record from after it");
    }
}

#[test]
fn a_day_after_the_facts_is_called_out() {
    let report = Home::fresh().json(&["gap", "--draws", "40", "--as-of", "2026-12-24"]);
    let message = caveat(&report, "beyond-facts");
    assert!(message.contains("2026-08-11") && message.contains("2026-12-24"), "{message}");
    assert!(!caveats(&report).contains(&"hindsight"));
    let today = Home::fresh().json(&["gap", "--draws", "40"]);
    assert!(!caveats(&today).iter().any(|code| ["hindsight", "beyond-facts"].contains(code)));
    assert!(caveats(&today).contains(&"few-draws"));
}

#[test]
fn lag_rules_come_in_the_order_asked_for() {
    let home = Home::fresh();
    for rules in [
        &["propagated"][..],
        &["since"],
        &["horizontal"],
        &["thresholds"],
        &["thresholds", "since"],
        &["horizontal", "propagated", "since"],
    ] {
        let report = home.json(&["gap", "--draws", "40", "--lag-rule", &rules.join(",")]);
        let found: Vec<_> = report["lags"].as_array().expect("a list").iter().map(|lag| lag["rule"].clone()).collect();
        assert_eq!(found, rules);
        assert_eq!(report["lag"], report["lags"][0], "the first is the headline");
        let sentence = report["sentence"].as_str().expect("a sentence");
        assert!(sentence.contains(&format!("'{}'", rules[0])), "{sentence}");
    }
}

#[test]
fn one_benchmark_stands_in_for_the_index() {
    let home = Home::fresh();
    let report = home.json(&["gap", "--draws", "100", "--benchmark", "gpqa-diamond"]);
    assert_eq!(report["unit"], "percentage points");
    assert!(check_estimates(&report) > 20);
    let score = number(&report, "/frontiers/open/leader/score/value");
    assert!((50.0..=100.0).contains(&score), "{score}");
    let gap = number(&report, "/frontiers/closed/leader/score/value") - score;
    assert!((number(&report, "/gap/value") - gap).abs() < 1e-9);
    let err = home.refusal(&["gap", "--benchmark", "gpqa-dimond"], 3);
    for part in ["'gpqa-dimond'", "known are", "gpqa-diamond", "swe-bench-verified"] {
        assert!(err.contains(part), "{part} in {err}");
    }
}

#[test]
fn csv_and_markdown_carry_the_numbers_of_the_json() {
    let home = Home::fresh();
    let args = ["gap", "--draws", "40"];
    let report = home.json(&args);
    let csv = home.answer(&[&args[..], &["--format", "csv"]].concat());
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header: Vec<String> = reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("column {name}"));
    let (measure, name, value, lower) = (at("measure"), at("name"), at("value"), at("lower"));
    let rows: Vec<_> = reader.records().map(|row| row.expect("rows of one length")).collect();
    let of = |what: &str, whose: &str| {
        let row = rows.iter().find(|row| &row[measure] == what && (whose.is_empty() || &row[name] == whose));
        row.unwrap_or_else(|| panic!("no row {what} {whose}"))
    };
    for (what, whose, pointer) in
        [("gap", "", "/gap"), ("lag_months", "propagated", "/lag/months"), ("price_ratio", "", "/price_ratio")]
    {
        let row = of(what, whose);
        assert_eq!(row[value].parse::<f64>(), Ok(number(&report, &format!("{pointer}/value"))), "{what}");
        assert_eq!(row[lower].parse::<f64>(), Ok(number(&report, &format!("{pointer}/lower"))), "{what}");
    }
    assert!(rows.iter().all(|row| row[value].parse::<f64>().is_ok_and(f64::is_finite)));

    let markdown = home.answer(&[&args[..], &["--format", "markdown"]].concat());
    assert!(markdown.contains(report["sentence"].as_str().expect("a sentence")));
    for code in caveats(&report) {
        assert!(markdown.contains(&format!("- **{code}**: ")), "{code}");
    }
    let cells = |line: &str| line.matches('|').count();
    for table in markdown.split("\n\n").filter(|block| block.starts_with('|')) {
        let columns: Vec<_> = table.lines().map(cells).collect();
        assert!(columns.len() >= 3 && columns.iter().all(|n| *n == columns[0]), "{table}");
    }
}

#[test]
fn what_cannot_be_read_is_explained() {
    Home::fresh().refusals(&[
        ("gap --window soon", 2, &["'soon' for '--window", "2026-01-01..2026-08-11", "180d"]),
        ("gap --window 2026-05-28..2026-01-01", 2, &["ends before it begins"]),
        ("gap --window 2026-01-01..2026-12-31", 3, &["2026-12-31, after the day of the question, 2026-08-11"]),
        ("gap --window 2026-01-01..May", 2, &["'May' is not a day"]),
        ("gap --window 2019-01-01..2019-06-01", 3, &["2019-01-01 to 2019-06-01", "no day on which both sides"]),
        ("gap --as-of yesterday", 2, &["'yesterday'", "--as-of", "2026-08-11"]),
        ("gap --as-of 2026-02-30", 2, &["'2026-02-30'", "--as-of"]),
        ("gap --as-of 2020-01-01", 3, &["no open-weights model with a release date by 2020-01-01"]),
        ("gap --draws 5", 2, &["--draws", "20..=100000"]),
        ("gap --draws many", 2, &["'many'", "--draws"]),
        ("gap --seed=-1", 2, &["'-1'", "--seed"]),
        ("gap --lag-rule latest", 2, &["'latest'", "propagated, since, horizontal or thresholds"]),
        ("gap --format yaml", 2, &["'yaml'", "text, json, csv, markdown"]),
        ("gap --from lake", 3, &["the lake holds no index", "import"]),
        ("gap --widow 1y", 2, &["--widow", "--window"]),
    ]);
}

#[test]
fn a_window_may_be_a_length() {
    let report = Home::fresh().json(&["gap", "--draws", "40", "--window", "180d", "--as-of", "2026-06-30"]);
    assert_eq!(report["window"], serde_json::json!(["2026-01-01", "2026-06-30"]));
}

#[test]
fn an_imported_index_gives_the_answer_of_the_snapshot() {
    let Some(folder) = weighbridge_reference::path("data/reference/eci_2026-08-11") else { return };
    let home = Home::with_lake();
    home.answer(&["import", folder.to_str().expect("a path that is text")]);
    assert_eq!((home.count("results"), home.count("models")), (2249, 222));
    let args = ["gap", "--draws", "40", "--from"];
    let (lake, snapshot) =
        (home.json(&[&args[..], &["lake"]].concat()), home.json(&[&args[..], &["snapshot"]].concat()));
    for pointer in ["/frontiers/open/leader/name", "/frontiers/closed/leader/name", "/as_of"] {
        assert_eq!(lake.pointer(pointer), snapshot.pointer(pointer), "{pointer}");
    }
    assert!((number(&lake, "/gap/value") - number(&snapshot, "/gap/value")).abs() < 0.01);
}

#[test]
fn every_benchmark_has_an_answer_or_a_reason() {
    let home = Home::fresh();
    let known = home.refusal(&["gap", "--benchmark", "none"], 3);
    let (_, names) = known.trim_end().split_once("known are ").expect("a list of names");
    let names: Vec<&str> = names.split(", ").collect();
    assert!(names.len() > 50, "{} benchmarks", names.len());
    let mut answered = 0;
    for name in names {
        let args = ["gap", "--draws", "20", "--lag-rule", "propagated", "--format", "json", "--benchmark", name];
        let run = home.run(&args);
        if run.code == Some(0) {
            let report: Value = serde_json::from_str(&run.out).expect("JSON");
            check_estimates(&report);
            answered += 1;
        } else {
            let one_sided = ["no open-weights model", "no closed model"].iter().any(|says| run.err.contains(says));
            assert!(run.code == Some(3) && one_sided && run.out.is_empty(), "{name}: {}", run.err);
        }
    }
    assert!(answered > 50, "{answered} answers");
}

/// A benchmark of which no score states its number of samples.
#[test]
fn without_sample_counts_nothing_that_rests_on_draws_is_claimed() {
    let home = Home::fresh();
    let args = ["gap", "--draws", "40", "--benchmark", "hle"];
    let report = home.json(&args);
    assert!(caveat(&report, "unknown-precision").contains("no interval can be given"));
    check_estimates(&report);
    assert_eq!(report["open_leads"], Value::Null);
    for side in ["open", "closed"] {
        assert_eq!(report["frontiers"][side]["leader"]["stands"], Value::Null, "{side}");
        for of in ["score", "labs/herfindahl", "countries/herfindahl", "countries/shares/0/share"] {
            let frontier = format!("/frontiers/{side}/{}{of}", if of == "score" { "leader/" } else { "" });
            assert!(number(&report, &format!("{frontier}/value")).is_finite());
            assert_eq!(report.pointer(&format!("{frontier}/lower")), Some(&Value::Null), "{frontier}");
        }
    }
    let text = home.answer(&args);
    assert!(text.lines().any(|line| line.split_whitespace().eq(["open", "level", "or", "ahead", "unknown"])), "{text}");
    assert!(!home.answer(&[&args[..], &["--format", "csv"]].concat()).contains("open_leads"));
    let known = home.json(&["gap", "--draws", "40"]);
    for pointer in ["/open_leads/value", "/frontiers/open/leader/stands/value"] {
        assert!((0.0..=1.0).contains(&number(&known, pointer)), "{pointer}");
    }
}

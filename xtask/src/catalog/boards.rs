//! Public boards whose license lets their scores be taken: aider, the Berkeley function calling board, tau2, Vectara.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use weighbridge_catalog::split_configuration;
use weighbridge_core::parse_date;

use super::build::Builder;
use super::input;

/// A score of a board before its model is known.
struct BoardScore<'a> {
    label: &'a str,
    configuration: &'a str,
    benchmark: &'a str,
    /// In percent.
    percent: f64,
    n: Option<u32>,
    date: &'a str,
    harness: &'a str,
}

pub(crate) fn add(data: &Path, build: &mut Builder) -> Result<()> {
    let boards = data.join("facts/leaderboards");
    for (file, benchmark) in [
        ("edit_leaderboard.yml", "aider-edit"),
        ("polyglot_leaderboard.yml", "aider-polyglot-board"),
        ("refactor_leaderboard.yml", "aider-refactor"),
    ] {
        add_aider(&boards.join("aider").join(file), benchmark, build)?;
    }
    add_bfcl(&boards.join("bfcl/data_overall.csv"), build)?;
    add_tau2(&boards.join("tau2/tau2_submissions.csv"), build)?;
    add_vectara(&boards.join("vectara_hallucination_2026-03.csv"), build)
}

#[derive(Deserialize)]
struct AiderRun {
    model: String,
    test_cases: u32,
    pass_rate_1: f64,
    pass_rate_2: Option<f64>,
    edit_format: Option<String>,
    date: Option<String>,
    versions: Option<String>,
    /// Read as text only because a hash such as `415e898` looks like a number too large to be one.
    #[serde(rename = "commit_hash")]
    _commit: Option<String>,
}

fn add_aider(path: &Path, benchmark: &str, build: &mut Builder) -> Result<()> {
    let text = input::text(path)?;
    let runs: Vec<AiderRun> =
        serde_saphyr::from_str(&text).with_context(|| format!("{} has another shape", path.display()))?;
    for run in runs {
        let configuration = split_configuration(&run.model).1.or(run.edit_format.as_deref()).unwrap_or_default();
        let score = BoardScore {
            label: &run.model,
            configuration,
            benchmark,
            // The second attempt, after the test output was shown, is the figure that the board ranks by.
            percent: run.pass_rate_2.unwrap_or(run.pass_rate_1),
            n: Some(run.test_cases),
            date: run.date.as_deref().unwrap_or_default(),
            harness: &run.versions.map(|v| format!("aider {v}")).unwrap_or_default(),
        };
        push(build, "scores_aider.csv", "aider", &score)?;
    }
    Ok(())
}

fn add_bfcl(path: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(path)? {
        for (column, benchmark) in [
            ("Overall Acc", "bfcl-overall"),
            ("Live Acc", "bfcl-live"),
            ("Non-Live AST Acc", "bfcl-non-live"),
            ("Multi Turn Acc", "bfcl-multi-turn"),
        ] {
            let Ok(percent) = row.get(column)?.trim_end_matches('%').parse() else { continue };
            let label = row.get("Model")?;
            let configuration = split_configuration(label).1.unwrap_or_default();
            let score = BoardScore { label, configuration, benchmark, percent, n: None, date: "", harness: "bfcl" };
            push(build, "scores_boards.csv", "bfcl", &score)?;
        }
    }
    Ok(())
}

fn add_tau2(path: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(path)? {
        let label = row.get("model")?;
        if row.get("modality")? == "voice" || row.get("type")? == "custom" {
            build.leave_out("tau2", label, "voice or a scaffold of its own");
            continue;
        }
        let Some(percent) = row.number("pass_1")? else { continue };
        let benchmark = format!("tau2-{}", row.get("domain")?.replace('_', "-"));
        let (configuration, date) = (row.get("effort")?, row.get("date")?);
        let score = BoardScore { label, configuration, benchmark: &benchmark, percent, n: None, date, harness: "tau2" };
        push(build, "scores_boards.csv", "tau2", &score)?;
    }
    Ok(())
}

fn add_vectara(path: &Path, build: &mut Builder) -> Result<()> {
    for row in input::csv(path)? {
        let Some(percent) = row.number("factual_pct")? else { continue };
        let benchmark = "vectara-hallucination";
        let label = row.get("model")?;
        let score = BoardScore { label, configuration: "", benchmark, percent, n: None, date: "", harness: "" };
        push(build, "scores_boards.csv", "vectara", &score)?;
    }
    Ok(())
}

fn push(build: &mut Builder, file: &'static str, source: &'static str, score: &BoardScore<'_>) -> Result<()> {
    let day = (!score.date.is_empty()).then(|| parse_date(score.date)).transpose()?;
    let Some(model) = build.find(source, split_configuration(score.label).0, day) else { return Ok(()) };
    // Percentages of the boards carry at most a few decimals; the fraction is rounded so that none are invented.
    let value = (score.percent * 1e6).round() / 1e8;
    let row = [
        model,
        score.configuration.to_owned(),
        score.label.to_owned(),
        score.benchmark.to_owned(),
        value.to_string(),
        score.n.map(|n| n.to_string()).unwrap_or_default(),
        source.to_owned(),
        score.date.to_owned(),
        score.harness.to_owned(),
        source.to_owned(),
    ];
    build.score(file, row);
    Ok(())
}

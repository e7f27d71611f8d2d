//! `weighbridge rank`: Bradley-Terry ratings from pairwise votes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use weighbridge_lake::Lake;
use weighbridge_lake::schema::{Table, VoteRow};
use weighbridge_stats::bradley_terry::{BradleyTerry, BradleyTerryError, Pairing};

use crate::Answer;
use crate::cli::{Format, RankArgs};
use crate::facts;
use crate::render::progress::Spinner;
use crate::render::table::Rows;
use crate::render::{Screen, json};

/// A rated model.
#[derive(Debug, Serialize)]
struct Rated {
    model: String,
    /// 1000 is the mean; 400 points are odds of 10 to 1.
    rating: f64,
    /// Standard error (sandwich).
    se: f64,
    lower: f64,
    upper: f64,
    level: f64,
    votes: u64,
}

/// Runs the command.
///
/// # Errors
/// The votes cannot be read, or do not tie all models together.
pub fn run(args: &RankArgs, lake: Option<&Path>, screen: Screen) -> anyhow::Result<Answer> {
    if !(args.level > 0.0 && args.level < 100.0) {
        bail!("--level {} is not a coverage in percent, expected a number such as 95", args.level);
    }
    let spinner = Spinner::new("rating models".into(), screen);
    let votes = votes(&args.votes, lake)?;
    let rated = rate(&votes, args.level / 100.0).with_context(|| format!("votes of {}", args.votes.display()))?;
    drop(spinner);
    if args.format == Format::Json {
        return Ok(Answer::plain(json(&rated)?));
    }
    let interval = format!("{} % interval", args.level);
    let mut rows = Rows::new(&["rank", "model", "rating", "se", &interval, "votes"], &[0, 2, 3, 5]);
    for (i, r) in rated.iter().enumerate() {
        rows.cells.push(vec![
            (i + 1).to_string(),
            r.model.clone(),
            format!("{:.1}", r.rating),
            format!("{:.1}", r.se),
            format!("[{:.1}, {:.1}]", r.lower, r.upper),
            r.votes.to_string(),
        ]);
    }
    Ok(Answer::plain(rows.render(args.format, &screen)?))
}

/// Votes of a file, or of a dataset that the lake has. A file is read through a lake of its own that is gone afterwards,
/// so that ranking leaves nothing behind.
fn votes(source: &Path, lake: Option<&Path>) -> anyhow::Result<Vec<VoteRow>> {
    if !source.exists() {
        let name = source.to_string_lossy();
        let Some(lake) = facts::existing_lake(lake)? else {
            bail!("'{name}' is neither a file nor, without a lake, a votes dataset; import votes first or give a file");
        };
        return Ok(lake.votes(&name)?);
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut lake = Lake::open_or_create(&folder.path().join("lake"))?;
    let report = lake.import(source)?;
    if report.record.rows(Table::Votes) == 0 {
        bail!("{} holds no votes: it was read as {}", source.display(), report.record.format);
    }
    Ok(lake.votes(&report.record.dataset)?)
}

fn rate(votes: &[VoteRow], level: f64) -> anyhow::Result<Vec<Rated>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for name in votes.iter().flat_map(|v| [v.model_a.as_str(), v.model_b.as_str()]) {
        let next = places.len();
        places.entry(name).or_insert(next);
    }
    let mut names = vec![""; places.len()];
    for (name, &place) in &places {
        names[place] = name;
    }
    let pairings: Vec<Pairing> = votes
        .iter()
        .map(|v| Pairing {
            a: places[v.model_a.as_str()],
            b: places[v.model_b.as_str()],
            wins_a: v.wins_a as f64,
            wins_b: v.wins_b as f64,
            ties: v.ties as f64,
        })
        .collect();
    let mut counts = vec![0; names.len()];
    for v in votes {
        for name in [&v.model_a, &v.model_b] {
            counts[places[name.as_str()]] += v.wins_a + v.wins_b + v.ties;
        }
    }
    let fit = BradleyTerry::fit(names.len(), &pairings).map_err(|error| explain(&error, &names))?;
    let mut rated = names
        .iter()
        .zip(fit.ratings())
        .zip(counts)
        .map(|((model, rating), votes)| {
            let interval = rating.interval(level)?;
            let model = (*model).to_owned();
            Ok(Rated {
                model,
                rating: rating.rating,
                se: rating.se,
                lower: interval.lower,
                upper: interval.upper,
                level,
                votes,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    rated.sort_by(|a, b| b.rating.total_cmp(&a.rating).then_with(|| a.model.cmp(&b.model)));
    Ok(rated)
}

/// Names the models where the ratings have no answer.
fn explain(error: &BradleyTerryError, names: &[&str]) -> anyhow::Error {
    const SHOWN: usize = 5;
    let groups = match error {
        BradleyTerryError::Disconnected { groups } | BradleyTerryError::Separated { groups } => groups.clone(),
        _ => Vec::new(),
    };
    let group = |members: &Vec<usize>| {
        let shown: Vec<_> = members.iter().take(SHOWN).map(|&m| names[m]).collect();
        let more = members.len().saturating_sub(SHOWN);
        if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
    };
    let listed: Vec<_> = groups.iter().take(SHOWN).map(|g| format!("({})", group(g))).collect();
    let hint = if listed.is_empty() {
        String::new()
    } else {
        format!(": {}; add votes between the groups, or rate each alone", listed.join(" "))
    };
    anyhow::Error::msg(format!("{error}{hint}"))
}

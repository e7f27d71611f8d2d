//! Where the numbers come from: the embedded catalog, the lake, and boards made of either.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use time::Date;
use weighbridge_catalog::{Catalog, Resolution};
use weighbridge_core::{Access, BenchmarkId, DatePrecision, ModelId, ReleaseDate, parse_date};
use weighbridge_gap::board::{Board, CATALOG_ANCHORS, Contestant, DrawSource, ScoreRow};
use weighbridge_lake::schema::{ModelRow, PriceRow, ResultRow, Table};
use weighbridge_lake::{Facts, Lake};

use crate::cli::From;

/// Dataset of the embedded facts in a lake. `gap` takes these from the program itself.
pub const SNAPSHOT: &str = "snapshot";

/// The embedded facts as rows of the lake.
pub fn as_rows(catalog: &Catalog) -> Facts {
    let dataset = || SNAPSHOT.to_owned();
    let results = catalog.all_scores().iter().zip(0..).map(|(s, row)| ResultRow {
        dataset: dataset(),
        row,
        model: s.model.to_string(),
        model_version: Some(s.label.clone()).filter(|label| !label.is_empty()),
        configuration: s.configuration.clone(),
        benchmark: s.benchmark.to_string(),
        value: s.value,
        n: s.n.map(u64::from),
        date: s.date,
        source: Some(s.source.clone()),
        harness: s.harness.clone(),
        optimized: None,
        model_release_date: catalog.model(&s.model).and_then(|m| m.released.as_ref()).map(|r| r.value.date),
        benchmark_release_date: catalog.benchmark(&s.benchmark).and_then(|b| b.released.as_ref()).map(|r| r.value.date),
    });
    let models = catalog.models().map(|m| ModelRow {
        dataset: dataset(),
        name: m.id.to_string(),
        lab: catalog.lab_of(m).map(|lab| lab.name.clone()),
        country: catalog.lab_of(m).map(|lab| lab.country.clone()),
        access: Some(m.access.to_string()),
        accessibility: m.terms.map(|terms| terms.to_string()),
        release_date: m.released.as_ref().map(|r| r.value.date),
    });
    let prices = catalog.models().flat_map(|m| catalog.prices_of(&m.id)).map(|p| PriceRow {
        dataset: dataset(),
        model: p.model.to_string(),
        provider: p.provider.clone(),
        input: Some(p.input.0),
        cached_input: p.cached_input.map(|usd| usd.0),
        output: Some(p.output.0),
        batch_input: p.batch_input.map(|usd| usd.0),
        batch_output: p.batch_output.map(|usd| usd.0),
        date: p.starts,
        source: Some(p.source.clone()),
    });
    Facts { results: results.collect(), models: models.collect(), prices: prices.collect() }
}

/// The folder of the lake: as asked for, or in the user's data directory.
///
/// # Errors
/// The system names no data directory.
pub fn lake_folder(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = asked {
        return Ok(folder.to_owned());
    }
    let dirs = directories::ProjectDirs::from("", "", "weighbridge")
        .ok_or_else(|| anyhow!("no home directory is known; name a folder with --lake"))?;
    Ok(dirs.data_dir().join("lake"))
}

/// The lake, where there is one. A folder that exists and was asked for by name must be a lake.
///
/// # Errors
/// The folder holds something else or cannot be read.
pub fn existing_lake(asked: Option<&Path>) -> anyhow::Result<Option<Lake>> {
    let folder = lake_folder(asked)?;
    if !folder.exists() || (asked.is_none() && !folder.join("lake.json").exists()) {
        return Ok(None);
    }
    Ok(Some(Lake::open(&folder)?))
}

/// One id for a name, or an error that lists what it could have meant.
///
/// # Errors
/// No model has the name, or several do.
pub fn resolve(catalog: &Catalog, name: &str) -> anyhow::Result<ModelId> {
    match catalog.resolve(name) {
        Resolution::Exact(id) | Resolution::Alias(id) | Resolution::Normalised(id) => Ok(id),
        Resolution::Ambiguous(ids) => bail!("'{name}' could mean {}; give the full id", list(&ids)),
        Resolution::Moving(pointings) => {
            let ids: Vec<_> = pointings.into_iter().filter_map(|p| p.model).collect();
            let hint = if ids.is_empty() { String::new() } else { format!(" ({})", list(&ids)) };
            bail!("'{name}' points to different releases over time{hint}; name the release")
        }
        Resolution::Unmatched { nearest } => Err(unknown_model(name, &nearest)),
    }
}

/// The error for a name that nothing has.
pub fn unknown_model(name: &str, nearest: &[String]) -> anyhow::Error {
    let hint = if nearest.is_empty() {
        "list them with 'weighbridge models'".to_owned()
    } else {
        format!("the nearest are {}", nearest.join(", "))
    };
    anyhow!("no model is named '{name}'; {hint}")
}

fn list(ids: &[ModelId]) -> String {
    ids.iter().map(ModelId::to_string).collect::<Vec<_>>().join(", ")
}

/// A board and the day on which its facts end.
pub struct Dated {
    /// The board.
    pub board: Board,
    /// The day.
    pub facts_end: Date,
}

/// The index from the snapshot or the newest index folder in the lake, with so many draws under a seed from `source`.
///
/// # Errors
/// The lake is asked for and has no index, or the scores make none.
pub fn index_board(
    catalog: &Catalog,
    lake: Option<&Lake>,
    from: From,
    draws: (usize, u64),
    source: &DrawSource<'_>,
) -> anyhow::Result<Dated> {
    let newest = lake.and_then(newest_index);
    let from_lake = match (from, &newest) {
        (From::Snapshot, _) | (From::Newest, None) => None,
        (From::Newest, Some((_, date))) => newest.as_ref().filter(|_| *date > catalog.index_snapshot_date()),
        (From::Lake, Some(_)) => newest.as_ref(),
        (From::Lake, None) => bail!("the lake holds no index; import an Epoch AI index folder first"),
    };
    if let (Some((dataset, date)), Some(lake)) = (from_lake, lake) {
        let rows = lake.results(dataset)?;
        let models = lake.models(dataset)?;
        let board = lake_index(catalog, &rows, &models, dataset, draws, source)
            .with_context(|| format!("index '{dataset}' of the lake"))?;
        return Ok(Dated { board, facts_end: *date });
    }
    let dataset = catalog.index_dataset();
    let rows: Vec<_> = catalog.scores(&dataset).map(score_row).collect();
    let board = Board::of_index(&rows, &CATALOG_ANCHORS, &|id| catalog_contestant(catalog, id), draws, source)?;
    Ok(Dated { board, facts_end: catalog.index_snapshot_date() })
}

/// One benchmark, from the snapshot and the lake together.
///
/// # Errors
/// No benchmark has the name, or none of its scores is known.
pub fn benchmark_board(
    catalog: &Catalog,
    lake: Option<&Lake>,
    name: &str,
    from: From,
    (draws, seed): (usize, u64),
) -> anyhow::Result<Dated> {
    let id = catalog.benchmark_named(name).map(|b| b.id.clone());
    let sets = catalog.sample_sets()?;
    let mut rows: Vec<ScoreRow<'_>> = Vec::new();
    if let (Some(id), true) = (&id, from != From::Lake) {
        rows.extend(catalog.scores_of(id).map(score_row));
        // A run with per-sample results tells how many samples stand behind the published score.
        for row in rows.iter_mut().filter(|row| row.n.is_none()) {
            let run = sets.iter().find(|s| {
                s.benchmark_id.as_ref() == Some(id) && s.model.as_ref().is_some_and(|m| m.as_str() == row.model)
            });
            row.n = run.and_then(|run| run.dataset_size);
        }
    }
    let mut facts_end = catalog.index_snapshot_date();
    let imported = match lake {
        Some(lake) if from != From::Snapshot => lake_results(lake)?,
        _ => Vec::new(),
    };
    let names: Vec<String> = imported.iter().map(|(row, _)| model_key(catalog, &row.model)).collect();
    for ((row, dataset), model) in imported.iter().zip(&names) {
        let same = id.as_ref().is_some_and(|id| benchmark_key(catalog, &row.benchmark) == id.as_str());
        if same || row.benchmark.eq_ignore_ascii_case(name) {
            let n = row.n.and_then(|n| u32::try_from(n).ok());
            rows.push(ScoreRow { model, benchmark: &row.benchmark, value: row.value, n, source: dataset });
            facts_end = facts_end.max(row.date.unwrap_or(facts_end));
        }
    }
    if rows.is_empty() {
        return Err(unknown_benchmark(catalog, name, id.is_some()));
    }
    let title = id.as_ref().and_then(|id| catalog.benchmark(id)).map_or(name, |b| b.name.as_str());
    let board = Board::of_benchmark(title, &rows, &|id| catalog_contestant(catalog, id), draws, seed)?;
    Ok(Dated { board, facts_end })
}

/// The error for a benchmark without scores.
pub fn unknown_benchmark(catalog: &Catalog, name: &str, known: bool) -> anyhow::Error {
    if known {
        return anyhow!("no score on benchmark '{name}' is known");
    }
    let scored = |id: &BenchmarkId| catalog.scores_of(id).next().is_some();
    let names: Vec<_> = catalog.benchmarks().filter(|b| scored(&b.id)).map(|b| b.id.to_string()).collect();
    anyhow!("no benchmark is named '{name}'; known are {}", names.join(", "))
}

fn score_row(score: &weighbridge_catalog::Score) -> ScoreRow<'_> {
    ScoreRow {
        model: score.model.as_str(),
        benchmark: score.benchmark.as_str(),
        value: score.value,
        n: score.n,
        source: &score.source,
    }
}

fn catalog_contestant(catalog: &Catalog, id: &str) -> Contestant {
    let model = catalog.model(&ModelId::new(id));
    model.map_or_else(|| Contestant::unknown(id), |model| Contestant::of(catalog, model))
}

/// The newest index in the lake with the date in its name.
fn newest_index(lake: &Lake) -> Option<(String, Date)> {
    let records = lake.imports().iter().filter(|r| r.rows(Table::Results) > 0 && r.rows(Table::Models) > 0);
    let dated = records.filter_map(|r| {
        let tail = r.dataset.get(r.dataset.len().checked_sub(10)?..)?;
        Some((r.dataset.clone(), parse_date(tail).ok()?))
    });
    dated.max_by_key(|(_, date)| *date)
}

fn lake_results(lake: &Lake) -> anyhow::Result<Vec<(ResultRow, String)>> {
    let mut all = Vec::new();
    for record in lake.imports().iter().filter(|r| r.rows(Table::Results) > 0 && r.dataset != SNAPSHOT) {
        all.extend(lake.results(&record.dataset)?.into_iter().map(|row| (row, record.dataset.clone())));
    }
    Ok(all)
}

/// Catalog id of a model name, or the name where the catalog has none.
fn model_key(catalog: &Catalog, name: &str) -> String {
    catalog.resolve(name).model().map_or_else(|| name.to_owned(), ModelId::to_string)
}

fn benchmark_key(catalog: &Catalog, name: &str) -> String {
    catalog.benchmark_named(name).map_or_else(|| name.to_owned(), |b| b.id.to_string())
}

fn lake_index(
    catalog: &Catalog,
    rows: &[ResultRow],
    models: &[ModelRow],
    dataset: &str,
    draws: (usize, u64),
    source: &DrawSource<'_>,
) -> anyhow::Result<Board> {
    let keys: Vec<(String, String)> =
        rows.iter().map(|r| (model_key(catalog, &r.model), benchmark_key(catalog, &r.benchmark))).collect();
    let scores: Vec<ScoreRow<'_>> = rows
        .iter()
        .zip(&keys)
        .map(|(row, (model, benchmark))| ScoreRow {
            model,
            benchmark,
            value: row.value,
            n: row.n.and_then(|n| u32::try_from(n).ok()),
            source: row.source.as_deref().unwrap_or(dataset),
        })
        .collect();
    let described: BTreeMap<String, &ModelRow> = models.iter().map(|m| (model_key(catalog, &m.name), m)).collect();
    let roster = |key: &str| match catalog.model(&ModelId::new(key)) {
        Some(model) => Contestant::of(catalog, model),
        None => described.get(key).map_or_else(|| Contestant::unknown(key), |row| imported_contestant(key, row)),
    };
    Ok(Board::of_index(&scores, &CATALOG_ANCHORS, &roster, draws, source)?)
}

/// A model that only the import describes.
fn imported_contestant(key: &str, row: &ModelRow) -> Contestant {
    let access = match row.access.as_deref() {
        Some("Open weights") => Access::OpenWeights,
        Some("Closed weights") => Access::Closed,
        _ => Access::Unknown,
    };
    Contestant {
        name: row.name.clone(),
        lab: row.lab.clone().unwrap_or_else(|| "unknown".into()),
        country: row.country.clone().unwrap_or_else(|| "unknown".into()),
        access,
        released: row.release_date.map(|date| ReleaseDate { date, precision: DatePrecision::Day }),
        ..Contestant::unknown(key)
    }
}

//! `weighbridge compare A B`: two models on the same samples.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use anyhow::bail;
use weighbridge_catalog::{Catalog, Resolution, split_configuration};
use weighbridge_core::{ModelId, SampleStream, StateCounts, format_date};
use weighbridge_gap::caveat::Caveat;
use weighbridge_gap::contrast::{Contrast, RunFacts, contrast};
use weighbridge_gap::price::price_on;
use weighbridge_lake::Lake;

use crate::Answer;
use crate::cli::{CompareArgs, Format};
use crate::facts;
use crate::render::progress::Spinner;
use crate::render::table::Rows;
use crate::render::{Screen, interval, json, p_value};

/// A run with samples, from the snapshot or the lake.
struct Candidate {
    /// Benchmark as its source names it.
    benchmark: String,
    /// Catalog id of the benchmark, where known: the same benchmark under two names.
    benchmark_id: Option<String>,
    scored: u64,
    facts: RunFacts,
    in_lake: bool,
}

/// Runs the command.
///
/// # Errors
/// A model is unknown or has no samples, or the two share no benchmark or sample.
pub fn run(args: &CompareArgs, lake: Option<&Path>, screen: Screen) -> anyhow::Result<Answer> {
    let catalog = Catalog::embedded()?;
    let lake = facts::existing_lake(lake)?;
    let all = candidates(&catalog, lake.as_ref())?;
    let a = runs_of(&catalog, &all, &args.a)?;
    let b = runs_of(&catalog, &all, &args.b)?;
    let spinner = Spinner::new(format!("comparing {} with {}", args.a, args.b), screen);
    let contrasts = match &args.benchmark {
        Some(name) => vec![one(&catalog, lake.as_ref(), (&args.a, &a), (&args.b, &b), name)?],
        None => every(&catalog, lake.as_ref(), (&args.a, &a), (&args.b, &b))?,
    };
    drop(spinner);
    let text = match args.format {
        // One benchmark asked for gives one object; otherwise a list.
        Format::Json if args.benchmark.is_some() => json(&contrasts[0])?,
        Format::Json => json(&contrasts)?,
        Format::Text => contrasts.iter().map(|c| text(c, &screen)).collect::<anyhow::Result<Vec<_>>>()?.join("\n"),
        format => summary(&contrasts).render(format, &screen)?,
    };
    Ok(Answer::plain(text))
}

/// Every run with samples.
fn candidates(catalog: &Catalog, lake: Option<&Lake>) -> anyhow::Result<Vec<Candidate>> {
    let mut all = Vec::new();
    for set in catalog.sample_sets()? {
        let (cost_usd, cost_unknown) = run_cost(catalog, &set);
        all.push(Candidate {
            benchmark_id: set.benchmark_id.as_ref().map(ToString::to_string),
            scored: set.scored,
            facts: RunFacts {
                configuration: split_configuration(&set.label).1.map(str::to_owned),
                model: set.label,
                id: set.model.as_ref().map(ModelId::to_string),
                run: Some(set.run),
                date: set.date.map(format_date),
                graders: set.grader.into_iter().collect(),
                dataset_size: set.dataset_size,
                origin: "snapshot".into(),
                cost_usd,
                cost_unknown,
            },
            benchmark: set.benchmark,
            in_lake: false,
        });
    }
    let known: BTreeSet<(String, String)> =
        all.iter().filter_map(|c| Some((c.benchmark.clone(), c.facts.run.clone()?))).collect();
    for set in lake.map(Lake::sample_sets).unwrap_or_default() {
        // A run that the snapshot has is the same run.
        if set.run.as_ref().is_some_and(|run| known.contains(&(set.benchmark.clone(), run.clone()))) {
            continue;
        }
        let sizes = &set.dataset_sizes;
        all.push(Candidate {
            benchmark_id: catalog.benchmark_named(&set.benchmark).map(|b| b.id.to_string()),
            scored: set.scored(),
            facts: RunFacts {
                id: label_id(catalog, &set.model).map(|id| id.to_string()),
                configuration: split_configuration(&set.model).1.map(str::to_owned),
                model: set.model,
                run: set.run,
                date: set.last_date.map(format_date),
                graders: set.graders.into_iter().collect(),
                dataset_size: sizes.last().copied().filter(|_| sizes.len() == 1),
                origin: "lake".into(),
                cost_usd: None,
                cost_unknown: Some("its samples state none".into()),
            },
            benchmark: set.benchmark,
            in_lake: true,
        });
    }
    Ok(all)
}

/// What a run of the snapshot cost: its tokens at the price of its day.
fn run_cost(catalog: &Catalog, set: &weighbridge_catalog::SampleSet) -> (Option<f64>, Option<String>) {
    let unknown = |why: &str| (None, Some(why.to_owned()));
    let Some(model) = &set.model else { return unknown("its label names no model of the catalog") };
    let (Some(input), Some(output), Some(date)) = (set.input_tokens, set.output_tokens, set.date) else {
        return unknown("the record has no token counts");
    };
    let Some((price, _)) = price_on(catalog, model, date) else { return unknown("no price is known for that day") };
    (Some((input as f64 * price.input.0 + output as f64 * price.output.0) / 1e6), None)
}

/// Catalog id of a run label, with or without its configuration.
fn label_id(catalog: &Catalog, label: &str) -> Option<ModelId> {
    let whole = catalog.resolve(label);
    whole.model().cloned().or_else(|| catalog.resolve(split_configuration(label).0).model().cloned())
}

/// The runs that a name on the command line means: a run id, a run label, or all runs of a model.
fn runs_of<'a>(catalog: &Catalog, all: &'a [Candidate], name: &str) -> anyhow::Result<Vec<&'a Candidate>> {
    let by = |same: &dyn Fn(&Candidate) -> bool| all.iter().filter(|c| same(c)).collect::<Vec<_>>();
    let exact = by(&|c| c.facts.run.as_deref() == Some(name));
    if !exact.is_empty() {
        return Ok(exact);
    }
    // A label is often also the name of a model that has runs under other labels; those come after it.
    let labelled = by(&|c| c.facts.model == name);
    let id = catalog.resolve(name).model().map(ModelId::to_string);
    if !labelled.is_empty() {
        let others = by(&|c| c.facts.model != name && id.is_some() && c.facts.id == id);
        return Ok(labelled.into_iter().chain(others).collect());
    }
    let id = match catalog.resolve(name) {
        Resolution::Unmatched { nearest } => {
            let nearest: Vec<String> = nearest.into_iter().chain(near_labels(all, name)).take(2 * NEAREST).collect();
            return Err(facts::unknown_model(name, &nearest));
        }
        _ => facts::resolve(catalog, name)?,
    };
    let found = by(&|c| c.facts.id.as_deref() == Some(id.as_str()));
    if found.is_empty() {
        let near = near_labels(all, name);
        let hint =
            if near.is_empty() { String::new() } else { format!("; models that have some: {}", near.join(", ")) };
        bail!("no per-sample results of '{id}' are known; import them with 'weighbridge import'{hint}");
    }
    Ok(found)
}

/// Run labels that share words with a name, for an error message: most shared words first.
fn near_labels(all: &[Candidate], name: &str) -> Vec<String> {
    let words = |text: &str| -> BTreeSet<String> {
        let split = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
        split.map(str::to_lowercase).collect()
    };
    let wanted = words(name);
    let labels: BTreeSet<&str> = all.iter().map(|c| c.facts.model.as_str()).collect();
    let mut near: Vec<(usize, &str)> =
        labels.into_iter().map(|l| (words(l).intersection(&wanted).count(), l)).filter(|(n, _)| *n > 0).collect();
    near.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(NEAREST).map(|(_, label)| label.to_owned()).collect()
}

/// Names listed in an error message.
const NEAREST: usize = 5;

type Side<'a> = (&'a str, &'a [&'a Candidate]);

/// The contrast on one benchmark.
fn one(
    catalog: &Catalog,
    lake: Option<&Lake>,
    (name_a, runs_a): (&str, &[&Candidate]),
    (name_b, runs_b): (&str, &[&Candidate]),
    benchmark: &str,
) -> anyhow::Result<Contrast> {
    let id = catalog.benchmark_named(benchmark).map(|b| b.id.to_string());
    let on = |runs: &[&Candidate]| -> Vec<usize> {
        let same =
            |c: &Candidate| c.benchmark.eq_ignore_ascii_case(benchmark) || (id.is_some() && c.benchmark_id == id);
        (0..runs.len()).filter(|&i| same(runs[i])).collect()
    };
    let (on_a, on_b) = (on(runs_a), on(runs_b));
    for (name, runs, found) in [(name_a, runs_a, &on_a), (name_b, runs_b, &on_b)] {
        if found.is_empty() {
            let has: BTreeSet<&str> = runs.iter().map(|c| c.benchmark.as_str()).collect();
            bail!("'{name}' has no samples on '{benchmark}'; it has them on {}", join(&has));
        }
    }
    let pick = |name: &str, runs: &[&Candidate], found: &[usize], other: &[&Candidate], among: &[usize]| -> usize {
        // Runs of the same named set first: the same benchmark under two names may differ in version.
        let shared = |i: &usize| among.iter().any(|&j| other[j].benchmark == runs[*i].benchmark);
        let rank = |i: &usize| (shared(i), runs[*i].facts.model == name, runs[*i].scored, runs[*i].facts.date.clone());
        found.iter().copied().max_by_key(rank).unwrap_or(found[0])
    };
    let (i, j) = (pick(name_a, runs_a, &on_a, runs_b, &on_b), pick(name_b, runs_b, &on_b, runs_a, &on_a));
    let (a, b) = (runs_a[i], runs_b[j]);
    if std::ptr::eq(a, b) {
        bail!("'{name_a}' and '{name_b}' are the same run on '{benchmark}', so there is nothing to compare");
    }
    let mut stream_a = open(catalog, lake, a)?;
    let mut stream_b = open(catalog, lake, b)?;
    let mut result = contrast(&a.benchmark, (a.facts.clone(), &mut *stream_a), (b.facts.clone(), &mut *stream_b))?;
    for (name, chosen, runs) in [(name_a, a, on_a.len()), (name_b, b, on_b.len())] {
        if runs > 1 {
            let run = chosen.facts.run.as_deref().unwrap_or("without id");
            let chosen = format!("{}, run {run}", chosen.facts.model);
            result.caveats.push(Caveat::ChosenRun { model: name.to_owned(), chosen, runs });
        }
    }
    Ok(result)
}

/// The contrasts on every benchmark that both sides have.
fn every(catalog: &Catalog, lake: Option<&Lake>, a: Side<'_>, b: Side<'_>) -> anyhow::Result<Vec<Contrast>> {
    let names = |runs: &[&Candidate]| runs.iter().map(|c| c.benchmark.clone()).collect::<BTreeSet<_>>();
    let (of_a, of_b) = (names(a.1), names(b.1));
    let common: Vec<_> = of_a.intersection(&of_b).collect();
    if common.is_empty() {
        bail!(
            "'{}' and '{}' have samples on no common benchmark: {} against {}",
            a.0,
            b.0,
            join(&of_a.iter().map(String::as_str).collect()),
            join(&of_b.iter().map(String::as_str).collect())
        );
    }
    common.into_iter().map(|name| one(catalog, lake, a, b, name)).collect()
}

fn open(catalog: &Catalog, lake: Option<&Lake>, c: &Candidate) -> anyhow::Result<Box<dyn SampleStream>> {
    let run = c.facts.run.as_deref();
    match lake.filter(|_| c.in_lake) {
        Some(lake) => Ok(Box::new(lake.open_samples(&c.benchmark, &c.facts.model, run)?)),
        None => Ok(Box::new(catalog.open_samples(&c.benchmark, run.unwrap_or_default())?)),
    }
}

fn join(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

fn summary(contrasts: &[Contrast]) -> Rows {
    let header = [
        "benchmark",
        "a",
        "b",
        "n",
        "mean_a",
        "mean_b",
        "difference",
        "lower",
        "upper",
        "paired_se",
        "only_a",
        "only_b",
        "mcnemar_exact_p",
    ];
    let mut rows = Rows::new(&header, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    for c in contrasts {
        let optional = |v: Option<String>| v.unwrap_or_default();
        rows.cells.push(vec![
            c.benchmark.clone(),
            c.a.model.clone(),
            c.b.model.clone(),
            c.n.to_string(),
            c.mean_a.value.to_string(),
            c.mean_b.value.to_string(),
            c.difference.value.to_string(),
            optional(c.difference.lower.map(|v| v.to_string())),
            optional(c.difference.upper.map(|v| v.to_string())),
            c.paired_se.to_string(),
            optional(c.discordant.as_ref().map(|d| d.only_a.to_string())),
            optional(c.discordant.as_ref().map(|d| d.only_b.to_string())),
            optional(c.mcnemar.as_ref().map(|m| m.exact_p.to_string())),
        ]);
    }
    rows
}

fn text(c: &Contrast, screen: &Screen) -> anyhow::Result<String> {
    let mut out = screen.bold(&screen.wrap(&verdict(c), 0));
    let mut rows = Rows::new(&["", "mean", "95 % interval", "run", "day", "cost"], &[1, 5]);
    for (name, facts, mean) in [("a", &c.a, &c.mean_a), ("b", &c.b, &c.mean_b)] {
        rows.cells.push(vec![
            format!("{name}  {}", facts.model),
            format!("{:.4}", mean.value),
            interval(mean, 4),
            facts.run.clone().unwrap_or_default(),
            facts.date.clone().unwrap_or_default(),
            facts.cost_usd.map_or_else(|| "unknown".into(), |usd| format!("${usd:.2}")),
        ]);
    }
    let _ = write!(out, "\n{}", rows.render(Format::Text, screen)?);
    let mut rows = Rows::new(&["a - b", "", "95 % interval", "standard error"], &[1, 3]);
    let mut push = |what: String, e: &weighbridge_core::Estimate, se: f64| {
        rows.cells.push(vec![what, format!("{:+.4}", e.value), interval(e, 4), format!("{se:.6}")]);
    };
    push(format!("paired, {} samples", c.n), &c.difference, c.paired_se);
    if let (Some(e), Some(se)) = (&c.difference_clustered, &c.cluster_se) {
        push(format!("clustered, {} clusters (CR1)", se.clusters), e, se.cr1);
    }
    let _ = write!(out, "\n{}", rows.render(Format::Text, screen)?);
    if let Some(d) = &c.discordant {
        let right = format!("right: both {}, only a {}, only b {}, neither {}", d.both, d.only_a, d.only_b, d.neither);
        let _ = write!(out, "\n{}", screen.wrap(&right, 0));
        if let Some(m) = &c.mcnemar {
            let (p, chi2, corrected) = (p_value(m.exact_p), m.chi2, m.chi2_corrected);
            let test = format!("McNemar: exact p {p}, chi-square {chi2:.4} ({corrected:.4} corrected)");
            out.push_str(&screen.wrap(&test, 0));
        }
    }
    let by_state = format!("sample records by state: a {}; b {}", states(&c.states.a), states(&c.states.b));
    let _ = write!(out, "\n{}", screen.wrap(&by_state, 0));
    if !c.caveats.is_empty() {
        out.push_str("\nCaveats\n");
        for caveat in &c.caveats {
            out.push_str(&screen.wrap(&format!("- {}. {}", caveat.message(), caveat.advice()), 0));
        }
    }
    Ok(out)
}

fn states(counts: &StateCounts) -> String {
    let shown = weighbridge_core::SampleState::ALL.into_iter().filter(|s| counts.get(*s) > 0);
    shown.map(|s| format!("{} {s}", counts.get(s))).collect::<Vec<_>>().join(", ")
}

fn verdict(c: &Contrast) -> String {
    let points = 100.0 * c.difference.value.abs();
    let (a, b) = (&c.a.model, &c.b.model);
    let who = if c.difference.value >= 0.0 { format!("{a} is ahead of {b}") } else { format!("{a} is behind {b}") };
    let sure = match c.difference.contains(0.0) {
        Some(false) => "more than chance explains",
        _ => "which chance can explain",
    };
    format!("{}: {who} by {points:.1} points on {} common samples, {sure}.", c.benchmark, c.n)
}

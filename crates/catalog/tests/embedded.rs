//! The embedded catalog: it parses, contradicts itself nowhere, and holds what the main job needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use weighbridge_catalog::{Catalog, Level, check};
use weighbridge_core::{Access, ModelId, WeightsTerms, format_date, parse_date};
use weighbridge_reference as reference;

#[test]
fn the_check_finds_no_error() {
    let errors: Vec<_> = check(&Catalog::embedded().unwrap())
        .into_iter()
        .filter(|f| f.level == Level::Error)
        .map(|f| f.to_string())
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn the_folder_holds_the_embedded_files_and_no_others() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog");
    let read = Catalog::from_dir(&folder).unwrap();
    assert_eq!(read.models().collect::<Vec<_>>(), Catalog::embedded().unwrap().models().collect::<Vec<_>>());
    let mut on_disk = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).unwrap().chain(std::fs::read_dir(folder.join("samples")).unwrap()) {
        let path = entry.unwrap().path();
        // Two files are inputs of the step that makes the others, one is for review.
        let for_people =
            ["UNMATCHED.csv", "aliases_curated.csv", "overrides.csv"].iter().any(|name| path.ends_with(name));
        if path.extension().is_some_and(|e| e == "csv") && !for_people {
            assert!(path.metadata().unwrap().len() < 1_000_000, "{} is too large to review", path.display());
            on_disk.insert(path.strip_prefix(&folder).unwrap().to_string_lossy().replace('\\', "/"));
        }
    }
    let embedded: BTreeSet<String> = Catalog::file_names().map(str::to_owned).collect();
    assert_eq!(on_disk, embedded);
}

#[test]
fn an_absent_folder_is_named() {
    let message = Catalog::from_dir(Path::new("no-such-folder")).unwrap_err().to_string();
    assert!(message.contains("no-such-folder"), "{message}");
}

#[test]
fn the_index_has_its_inputs() {
    let catalog = Catalog::embedded().unwrap();
    assert_eq!(format_date(catalog.index_snapshot_date()), "2026-08-11");
    let dataset = catalog.index_dataset();
    let scores: Vec<_> = catalog.scores(&dataset).collect();
    assert_eq!(scores.len(), 2249);
    let models: BTreeSet<_> = scores.iter().map(|s| &s.model).collect();
    let benchmarks: BTreeSet<_> = scores.iter().map(|s| &s.benchmark).collect();
    assert_eq!((models.len(), benchmarks.len()), (222, 57));
    assert_eq!(catalog.benchmarks().filter(|b| b.in_index).count(), 57);
    for id in models {
        let model = catalog.model(id).unwrap();
        assert!(model.released.is_some(), "{id}");
        assert_ne!(model.access, Access::Unknown, "{id}: settled by a ruling or left out by name");
    }
}

/// The index inputs are those of the source, row by row and to the last digit.
#[test]
fn the_index_scores_equal_eci_benchmarks_csv() {
    let Some(path) = reference::path("data/reference/eci_2026-08-11/eci_benchmarks.csv") else { return };
    let catalog = Catalog::embedded().unwrap();
    let dataset = catalog.index_dataset();
    let rows = reference::read_csv(&path);
    assert_eq!(rows.len(), catalog.scores(&dataset).count());
    let mut ids = BTreeMap::new();
    for (row, score) in rows.iter().zip(catalog.scores(&dataset)) {
        let field = |column| reference::field(row, column);
        assert_eq!(field("performance").parse::<f64>().unwrap().to_bits(), score.value.to_bits(), "{score:?}");
        assert_eq!(catalog.model(&score.model).unwrap().name, field("model"));
        assert_eq!(catalog.benchmark_named(field("benchmark")).unwrap().id, score.benchmark);
        assert_eq!(ids.entry(field("model_id").to_owned()).or_insert_with(|| score.model.clone()), &score.model);
        let source = catalog.source(&score.source).unwrap();
        let (named, title) = (field("source").to_lowercase(), source.title.to_lowercase());
        assert!(named.is_empty() || named == "epoch evaluations" || named.starts_with(&title), "{named}: {title}");
    }
    for row in reference::read_csv(&path.with_file_name("eci_scores.csv")) {
        let found = catalog.resolve(reference::field(&row, "Model"));
        let model = catalog.model(found.model().unwrap()).unwrap();
        assert_eq!(model.released.as_ref().unwrap().value.to_string(), reference::field(&row, "date"));
        let expected = match reference::field(&row, "Accessibility group") {
            "Open weights" => Access::OpenWeights,
            "Closed weights" => Access::Closed,
            _ => continue,
        };
        assert_eq!(model.access, expected, "{}", model.id);
    }
}

#[test]
fn each_model_of_unknown_access_is_settled_with_a_reason() {
    let Some(path) = reference::path("data/reference/eci_2026-08-11/eci_scores.csv") else { return };
    let catalog = Catalog::embedded().unwrap();
    let mut settled = 0;
    for row in reference::read_csv(&path) {
        if reference::field(&row, "Model accessibility") == "Unknown" {
            let found = catalog.resolve(reference::field(&row, "Model"));
            let model = catalog.model(found.model().unwrap()).unwrap();
            assert_ne!(model.access, Access::Unknown, "{}", model.id);
            assert_ne!(model.access_source, "epoch-eci", "{}", model.id);
            assert!(!model.access_reason.starts_with("accessibility recorded"), "{}", model.id);
            settled += 1;
        }
    }
    assert_eq!(settled, 24);
}

#[test]
fn the_frontier_is_known_in_full() {
    let catalog = Catalog::embedded().unwrap();
    let check = |id: &str, lab: &str, country: &str, access: Access, terms: Option<WeightsTerms>| {
        let model = catalog.model(&ModelId::new(id)).unwrap_or_else(|| panic!("no model '{id}'"));
        let found = catalog.lab_of(model).unwrap();
        assert_eq!((found.name.as_str(), found.country.as_str()), (lab, country), "{id}");
        assert_eq!((model.access, model.terms), (access, terms), "{id}");
        assert!(model.released.is_some(), "{id}");
        let own = |provider: &str| provider == model.lab;
        assert!(catalog.prices_of(&model.id).iter().any(|p| own(&p.provider)), "{id}: no price of its lab");
    };
    let us = "United States of America";
    for id in
        ["openai/gpt-5.6-sol", "openai/gpt-5.6-terra", "openai/gpt-5.6-luna", "openai/gpt-5.5", "openai/gpt-5.5-pro"]
    {
        check(id, "OpenAI", us, Access::Closed, None);
    }
    for id in ["anthropic/claude-fable-5", "anthropic/claude-opus-5"] {
        check(id, "Anthropic", us, Access::Closed, None);
    }
    let open = |id, lab, terms| check(id, lab, "China", Access::OpenWeights, Some(terms));
    open("moonshot/kimi-k3", "Moonshot AI", WeightsTerms::NonCommercial);
    open("moonshot/kimi-k2.6", "Moonshot AI", WeightsTerms::Unrestricted);
    open("zai/glm-5.2", "Z.ai (Zhipu AI)", WeightsTerms::Unrestricted);
    open("deepseek/deepseek-v4-pro", "DeepSeek", WeightsTerms::Unrestricted);
}

#[test]
fn a_price_is_that_of_the_plain_model() {
    let catalog = Catalog::embedded().unwrap();
    let first = |id: &str, provider: &str| {
        let prices = catalog.prices_of(&ModelId::new(id));
        let price = prices.iter().find(|p| p.provider == provider).unwrap_or_else(|| panic!("no price of {id}"));
        (price.input.0, price.output.0)
    };
    // The -fast, -us and -spot offerings of Fireworks cost 4.5, 3.3 and 2.1.
    assert_eq!(first("moonshot/kimi-k3", "fireworks"), (3.0, 15.0));
    // A batch of Bedrock regions charges a tenth more.
    assert_eq!(first("anthropic/claude-opus-5", "amazon-bedrock"), (5.0, 25.0));
    assert_eq!(first("openai/gpt-5.6-sol", "openai"), (5.0, 30.0));
    // The highspeed offering costs twice as much.
    assert_eq!(first("moonshot/kimi-k2.7-code", "moonshot"), (0.95, 4.0));
    let on = |id: &str, provider: &str, day: &str| {
        let (id, day) = (ModelId::new(id), parse_date(day).unwrap());
        let price = catalog.prices_at(&id, day).find(|p| p.provider == provider);
        price.map(|p| (p.input.0, p.output.0))
    };
    assert_eq!(on("openai/gpt-5.6-luna", "openai", "2026-07-29"), Some((1.0, 6.0)));
    assert_eq!(on("openai/gpt-5.6-luna", "openai", "2026-07-30"), Some((0.2, 1.2)));
    assert_eq!(on("alibaba/qwen-3.8-max", "alibaba", "2026-08-11"), None, "known from November on only");
    for model in catalog.models() {
        for price in catalog.prices_of(&model.id) {
            assert!(price.input.0 > 0.0 || price.output.0 > 0.0, "{}: a free tier is not a price", model.id);
        }
    }
}

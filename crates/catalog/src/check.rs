//! Looks for rows of the catalog that cannot be right, for `weighbridge catalog check` and for review.

use std::collections::BTreeMap;
use std::fmt;

use time::Date;
use time::macros::date;
use weighbridge_core::{Access, ModelId, Usd, months_between};

use crate::catalog::Catalog;
use crate::check_hosted;
use crate::rows::{Model, Price};
use crate::table::Place;

/// No model of the catalog is older.
const EARLIEST: Date = date!(2018 - 01 - 01);
/// Sources that differ by more than this many months about a release are reported.
const DATE_CONFLICT_MONTHS: f64 = 2.0;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The catalog contradicts itself; it must not be released so.
    Error,
    /// Unlikely; a person should look.
    Warning,
}

/// A row that cannot be right, or is unlikely to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The row.
    pub place: Place,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Finding {
    pub(crate) const fn error(place: Place, message: String) -> Self {
        Self { level: Level::Error, place, message }
    }

    const fn warning(place: Place, message: String) -> Self {
        Self { level: Level::Warning, place, message }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{level}: {}, line {}: {}", self.place.file, self.place.line, self.message)
    }
}

/// Every row that cannot be right, or is unlikely to be, by file and line.
#[must_use]
pub fn check(catalog: &Catalog) -> Vec<Finding> {
    let mut found = catalog.duplicates.clone();
    check_references(catalog, &mut found);
    check_aliases(catalog, &mut found);
    for model in catalog.models() {
        check_model(catalog, model, &mut found);
    }
    for price in catalog.prices.values().flatten() {
        check_price(price, &mut found);
    }
    for score in catalog.all_scores() {
        if !(0.0..=1.0).contains(&score.value) {
            found.push(Finding::error(score.place, format!("value {} is not a fraction between 0 and 1", score.value)));
        }
    }
    check_runs(catalog, &mut found);
    check_hosted::check(catalog, &mut found);
    found.sort_by(|a, b| (a.level, a.place, &a.message).cmp(&(b.level, b.place, &b.message)));
    found
}

/// Ids that no row has.
fn check_references(catalog: &Catalog, found: &mut Vec<Finding>) {
    let mut source = |place: Place, id: &str| {
        if !id.is_empty() && catalog.source(id).is_none() {
            found.push(Finding::error(place, format!("source '{id}' is not in sources.csv")));
        }
    };
    for m in catalog.models() {
        let facts = [
            m.license.as_ref().map(|f| &f.source),
            m.released.as_ref().map(|f| &f.source),
            m.parameters_total.as_ref().map(|f| &f.source),
            m.context.as_ref().map(|f| &f.source),
            m.weights.as_ref().map(|f| &f.source),
            m.modalities_source.as_ref(),
            Some(&m.access_source),
        ];
        facts.into_iter().flatten().for_each(|id| source(m.place, id));
    }
    for b in catalog.benchmarks() {
        source(b.place, &b.source);
        b.released.iter().for_each(|fact| source(b.place, &fact.source));
    }
    catalog.all_scores().iter().for_each(|row| source(row.place, &row.source));
    catalog.prices.values().flatten().for_each(|row| source(row.place, &row.source));
    catalog.hardware().iter().for_each(|row| source(row.place, &row.source));
    catalog.aliases.iter().for_each(|row| source(row.place, &row.source));
    catalog.moving.iter().for_each(|row| source(row.place, &row.source));
    catalog.dates.iter().for_each(|row| source(row.place, &row.released.source));

    let mut model = |place: Place, id: &ModelId| {
        if catalog.model(id).is_none() {
            found.push(Finding::error(place, format!("model '{id}' is not in models.csv")));
        }
    };
    catalog.all_scores().iter().for_each(|row| model(row.place, &row.model));
    catalog.prices.values().flatten().for_each(|row| model(row.place, &row.model));
    catalog.aliases.iter().for_each(|row| model(row.place, &row.model));
    catalog.moving.iter().for_each(|row| row.model.iter().for_each(|id| model(row.place, id)));
    catalog.dates.iter().for_each(|row| model(row.place, &row.model));
    for score in catalog.all_scores() {
        if catalog.benchmark(&score.benchmark).is_none() {
            let message = format!("benchmark '{}' is not in benchmarks.csv", score.benchmark);
            found.push(Finding::error(score.place, message));
        }
    }
}

/// Names that would mean two things.
fn check_aliases(catalog: &Catalog, found: &mut Vec<Finding>) {
    let mut first: BTreeMap<&str, &ModelId> = BTreeMap::new();
    for row in &catalog.aliases {
        let taken = first.entry(&row.alias).or_insert(&row.model);
        if **taken != row.model {
            let message =
                format!("alias '{}' points to '{}' and to '{taken}', expected one model", row.alias, row.model);
            found.push(Finding::error(row.place, message));
        }
        if catalog.models.get(row.alias.as_str()).is_some_and(|m| m.id != row.model) {
            found.push(Finding::error(row.place, format!("alias '{}' is the id of another model", row.alias)));
        }
        if catalog.moving.iter().any(|moving| moving.alias == row.alias) {
            found.push(Finding::error(row.place, format!("alias '{}' is listed as moving too", row.alias)));
        }
    }
    for (form, ids) in catalog.names().shared() {
        let models: Vec<_> = ids.iter().filter_map(|id| catalog.model(id)).collect();
        if let Some(first) = models.first() {
            let ids = ids.iter().map(ModelId::as_str).collect::<Vec<_>>().join("', '");
            found.push(Finding::warning(
                first.place,
                format!("'{ids}' share the name form '{form}', so it means neither"),
            ));
        }
    }
}

fn check_model(catalog: &Catalog, model: &Model, found: &mut Vec<Finding>) {
    let mut error = |message: String| found.push(Finding::error(model.place, message));
    if catalog.lab(&model.lab).is_none() {
        error(format!("lab '{}' is not in labs.csv", model.lab));
    }
    if model.id.as_str().split_once('/').is_none_or(|(lab, tail)| lab != model.lab || tail.is_empty()) {
        error(format!("id '{}' is not 'lab/model' with the lab '{}'", model.id, model.lab));
    }
    if model.access_reason.is_empty() || model.access_source.is_empty() {
        error(format!("access of '{}' has no reason or no source", model.id));
    }
    if model.access != Access::OpenWeights && (model.terms.is_some() || model.weights.is_some()) {
        error(format!("'{}' is {} but has license terms or weights", model.id, model.access));
    }
    if let (Some(active), Some(total)) = (&model.parameters_active, &model.parameters_total)
        && active.value > total.value
    {
        error(format!("{} active parameters of {}, expected at most all", active.value, total.value));
    }
    let Some(released) = &model.released else {
        found.push(Finding::warning(model.place, format!("'{}' has no release date", model.id)));
        return;
    };
    let latest = catalog.sources().filter_map(|source| source.retrieved).max();
    let day = released.value.date;
    if day < EARLIEST || latest.is_some_and(|latest| day > latest) {
        error(format!("released {day}, expected {EARLIEST} to the day of the newest source"));
    }
    for other in catalog.other_release_dates(&model.id) {
        let apart = months_between(day, other.value.date).abs();
        if apart > DATE_CONFLICT_MONTHS {
            let message = format!(
                "'{}' released {} by {} and {} by {}, {apart:.1} months apart",
                model.id, released.value, released.source, other.value, other.source
            );
            found.push(Finding::warning(model.place, message));
        }
    }
}

/// Runs whose provider served another release on that day than the label says.
fn check_runs(catalog: &Catalog, found: &mut Vec<Finding>) {
    // A file of runs that does not parse is reported where it is read; there is no place to point at here.
    for set in catalog.sample_sets().unwrap_or_default() {
        let (Some(route), Some(day), Some(model)) = (&set.route, set.date, &set.model) else { continue };
        let id = route.rsplit('/').next().unwrap_or_default();
        let served = catalog.resolve_at(id, day);
        if let Some(served) = served.model().filter(|served| *served != model) {
            let message = format!(
                "run '{}' of {day} is labelled '{}' but its route '{route}' meant '{served}'",
                set.run, set.label
            );
            found.push(Finding::warning(set.place, message));
        }
    }
}

fn check_price(price: &Price, found: &mut Vec<Finding>) {
    let all = [
        Some(price.input),
        Some(price.output),
        price.cached_input,
        price.cache_write,
        price.batch_input,
        price.batch_output,
    ];
    if all.into_iter().flatten().any(|Usd(usd)| usd < 0.0) {
        found.push(Finding::error(price.place, "a price is negative, expected dollars per million tokens".to_owned()));
    }
    if price.input.0 == 0.0 && price.output.0 == 0.0 {
        found.push(Finding::error(price.place, "input and output cost 0: a free tier is not a price".to_owned()));
    }
    let over = |a: Usd, b: Usd| a.0 > b.0 * 20.0;
    if over(price.input, price.output) || over(price.output, price.input) && price.input.0 > 0.0 {
        let message = format!("input {} and output {} differ by more than 20 times", price.input, price.output);
        found.push(Finding::warning(price.place, message));
    }
    if price.cached_input.is_some_and(|cached| cached.0 > price.input.0) {
        found.push(Finding::warning(price.place, "cached input costs more than input".to_owned()));
    }
}

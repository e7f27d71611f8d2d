//! Looks for rows about hosted models that cannot be right.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_core::{Effort, Parameter, Usd};

use crate::catalog::Catalog;
use crate::check::Finding;
use crate::glob;
use crate::offerings::OfferingRow;
use crate::table::Place;

/// Adds what is wrong with providers, endpoints and short names.
pub(crate) fn check(catalog: &Catalog, found: &mut Vec<Finding>) {
    check_references(catalog, found);
    check_providers(catalog, found);
    check_endpoints(catalog, found);
    check_short_names(catalog, found);
    check_offerings(catalog, found);
}

/// Ids that no row has.
fn check_references(catalog: &Catalog, found: &mut Vec<Finding>) {
    let mut source = |place: Place, id: &str| {
        if catalog.source(id).is_none() {
            found.push(Finding::error(place, format!("source '{id}' is not in sources.csv")));
        }
    };
    catalog.providers.values().for_each(|row| source(row.place, &row.provider.source));
    catalog.endpoints.iter().for_each(|row| row.facts.source.iter().for_each(|id| source(row.place, id)));
    catalog.hosted.iter().for_each(|row| source(row.place, &row.source));
    catalog.offerings.iter().for_each(|row| source(row.place, &row.prices.source));

    let mut provider = |place: Place, id: &str| {
        if !catalog.providers.contains_key(id) {
            found.push(Finding::error(place, format!("provider '{id}' is not in providers.csv")));
        }
    };
    catalog.endpoints.iter().for_each(|row| provider(row.place, &row.provider));
    catalog.hosted.iter().for_each(|row| provider(row.place, &row.provider));
    catalog.offerings.iter().for_each(|row| provider(row.place, &row.provider));
}

fn check_providers(catalog: &Catalog, found: &mut Vec<Finding>) {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for row in catalog.providers.values() {
        let p = &row.provider;
        let mut error = |message: String| found.push(Finding::error(row.place, message));
        if let Some(url) = &p.base_url
            && (!(url.starts_with("https://") || url.starts_with("http://localhost:")) || url.ends_with('/'))
        {
            error(format!("base URL '{url}' is not https, or local, without a slash at its end"));
        }
        for name in &p.key_variables {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
                error(format!("'{name}' is not the name of an environment variable"));
            }
        }
        if p.key_required && p.key_variables.is_empty() {
            error(format!("'{}' asks for a key and names no variable that may hold it", p.id));
        }
        if p.dialects.iter().collect::<BTreeSet<_>>().len() != p.dialects.len() {
            error("a dialect stands twice".to_owned());
        }
        if row.batch_share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
            error("the share of a batch is not above 0 and at most 1".to_owned());
        }
        if row.batch_share.is_some() && !p.batch {
            error("states the price of a batch but takes none".to_owned());
        }
        for name in row.aliases.iter().chain([&p.id]) {
            if let Some(other) = names.insert(name.to_lowercase(), &p.id).filter(|other| *other != p.id) {
                error(format!("'{name}' names '{other}' too, expected one provider"));
            }
        }
    }
}

fn check_endpoints(catalog: &Catalog, found: &mut Vec<Finding>) {
    for (at, row) in catalog.endpoints.iter().enumerate() {
        let mut error = |message: String| found.push(Finding::error(row.place, message));
        if let Some(problem) = glob::problem(&row.models) {
            error(format!("pattern '{}' {problem}", row.models));
        }
        // The first match counts, so a row below one that matches all that it matches is never reached.
        let hidden = catalog.endpoints[..at]
            .iter()
            .find(|above| above.provider == row.provider && glob::matches(&above.models, &row.models));
        if let Some(above) = hidden {
            error(format!("'{}' is never reached: line {} matches all of it", row.models, above.place.line));
        }
        if at > 0 && catalog.endpoints[at - 1].provider != row.provider {
            let apart = catalog.endpoints[..at - 1].iter().any(|above| above.provider == row.provider);
            if apart {
                error(format!("the rows of '{}' do not stand together", row.provider));
            }
        }
        let facts = &row.facts;
        if let Some(reasoning) = &facts.reasoning {
            let order = |level: &Effort| Effort::ALL.iter().position(|l| l == level);
            if !reasoning.efforts.windows(2).all(|pair| order(&pair[0]) < order(&pair[1])) {
                error("levels of reasoning are not ascending".to_owned());
            }
            if facts.refuses.contains(&Parameter::Reasoning) {
                error("refuses reasoning and states how it is set".to_owned());
            }
        }
        if facts.max_output == Some(0) || facts.context == Some(0) {
            error("a limit is 0, expected an empty cell where it is unknown".to_owned());
        }
        if facts.max_output.zip(facts.context).is_some_and(|(output, context)| output > context) {
            error("an answer may be longer than the context".to_owned());
        }
    }
}

fn check_short_names(catalog: &Catalog, found: &mut Vec<Finding>) {
    for pair in catalog.hosted.windows(2) {
        let [above, row] = pair else { continue };
        if (&above.alias, above.starts) >= (&row.alias, row.starts) {
            let message = format!("'{}' from {} is not in order of alias and day", row.alias, row.starts);
            found.push(Finding::error(row.place, message));
        }
    }
    for row in &catalog.hosted {
        if row.alias.chars().any(|c| c.is_uppercase() || c.is_whitespace() || c == ':' || c == '/') {
            let message = format!("'{}' is not a short name in lower case, without ':' and '/'", row.alias);
            found.push(Finding::error(row.place, message));
        }
    }
}

fn check_offerings(catalog: &Catalog, found: &mut Vec<Finding>) {
    let mut above: Option<&OfferingRow> = None;
    for row in catalog.offerings.iter() {
        let mut error = |message: String| found.push(Finding::error(row.place, message));
        if let Some(model) = row.model.as_ref().filter(|model| catalog.model(model).is_none()) {
            error(format!("model '{model}' is not in models.csv"));
        }
        if row.all().any(|Usd(usd)| usd < 0.0) {
            error("a price is negative, expected dollars per million tokens".to_owned());
        }
        // Rows of a name come source by source, in the order of days.
        let key = |row: &OfferingRow| (row.prices.source.clone(), row.provider.clone(), row.model_id.clone());
        if let Some(above) = above.filter(|above| key(above) == key(row))
            && above.prices.starts >= row.prices.starts
        {
            error(format!("the price of '{}' is not in order of its day", row.model_id));
        }
        above = Some(row);
    }
}

//! `weighbridge models`: the list with its filters, one model with its sources, and names that say too little.

use crate::home::Home;

#[test]
fn filters_keep_what_they_name() {
    let home = Home::fresh();
    let list = |args: &[&str]| home.json(&[&["models"], args].concat()).as_array().expect("a list").clone();
    let all = list(&[]);
    assert!(all.len() >= 200, "{} models", all.len());
    let open = list(&["--access", "open-weights"]);
    let closed = list(&["--access", "closed"]);
    assert!(open.iter().all(|m| m["access"] == "open-weights") && closed.iter().all(|m| m["access"] == "closed"));
    assert!(open.len() > 50 && closed.len() > 50 && open.len() + closed.len() <= all.len());
    let lab = list(&["--lab", "anthropic"]);
    assert!(lab.len() > 10 && lab.iter().all(|m| m["lab"] == "anthropic"));
    let apache = list(&["--license", "apache"]);
    assert!(!apache.is_empty() && apache.iter().all(|m| m["license"].as_str().is_some_and(|l| l.contains("apache"))));
    let both = list(&["--lab", "openai", "--access", "open-weights"]);
    assert!(both.iter().any(|m| m["id"] == "openai/gpt-oss-120b") && both.iter().all(|m| m["lab"] == "openai"));
    let text = home.answer(&["models", "--lab", "anthropic"]);
    assert!(text.ends_with(&format!("{} models\n", lab.len())), "{text}");
    let csv = home.answer(&["models", "--format", "csv"]);
    assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().flatten().count(), all.len());
    assert!(home.answer(&["models", "--license", "falcon-180b"]).ends_with("\n1 model\n"));
}

/// A license is a text, the terms are a class: Kimi K3 has only terms in the catalog, GLM-5 has both.
#[test]
fn terms_are_told_from_licenses() {
    let home = Home::fresh();
    let csv = home.answer(&["models", "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let at = |name: &str| header.iter().position(|column| column == name).expect(name);
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    let of = |id: &str| {
        let row = rows.iter().find(|row| &row[at("id")] == id).expect(id);
        [row[at("license")].to_owned(), row[at("terms")].to_owned()]
    };
    assert_eq!(of("moonshot/kimi-k3"), ["unknown", "non-commercial"]);
    assert_eq!(of("zai/glm-5"), ["mit", "unrestricted"]);
    assert_eq!(of("openai/gpt-5"), ["", ""]);
    let classes = ["unrestricted", "restricted", "non-commercial"];
    assert!(rows.iter().all(|row| !classes.contains(&&row[at("license")])), "terms among the licenses");
    let markdown = home.answer(&["models", "--lab", "moonshot", "--format", "markdown"]);
    assert!(markdown.contains("| terms: non-commercial |"), "{markdown}");
}

#[test]
fn one_model_is_shown_with_a_source_behind_every_fact() {
    let home = Home::fresh();
    for name in ["Kimi K3", "kimi-k3", "moonshot/kimi-k3", "KIMI_K3"] {
        let shown = home.json(&["models", name]);
        assert_eq!(shown["id"], "moonshot/kimi-k3", "{name}");
        let facts = shown["facts"].as_array().expect("a list");
        assert!(facts.len() > 10);
        let value = |what: &str| facts.iter().find(|f| f["what"] == what).map(|f| f["value"].clone()).expect(what);
        assert_eq!(value("released"), "2026-07-16");
        assert_eq!(value("access"), "open-weights");
        for fact in facts {
            for key in ["what", "value", "source", "source_title"] {
                assert!(fact[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {fact}");
            }
        }
        let dated = facts.iter().filter(|f| f["source_date"].is_string()).count();
        assert!(dated * 2 > facts.len(), "{dated} of {} facts have a date", facts.len());
    }
    let text = home.answer(&["models", "kimi-k3"]);
    assert!(text.starts_with("Kimi K3 (moonshot/kimi-k3)\n") && text.contains("Epoch"), "{text}");
}

#[test]
fn names_are_matched_by_identity_and_not_by_likeness() {
    let home = Home::fresh();
    for (name, id) in [("GLM-5", "zai/glm-5"), ("GLM-5-Turbo", "zai/glm-5-turbo")] {
        assert_eq!(home.json(&["models", name])["id"], id);
    }
    home.refusals(&[
        ("models opt-13b-x", 3, &["no model is named 'opt-13b-x'"]),
        ("models gpt-99", 3, &["no model is named 'gpt-99'", "the nearest are", "openai/gpt-5"]),
        ("models zzzzzzzzzz", 3, &["no model is named", "weighbridge models"]),
        ("models palm2-bison", 3, &["could mean google/text-bison-001, google/text-bison-002", "full id"]),
        ("models deepseek-chat", 3, &["different releases over time", "deepseek/deepseek-v3", "name the release"]),
        ("models chatgpt-4o-latest", 3, &["different releases over time"]),
        ("models --lab nobody", 3, &["no model passes these filters"]),
        ("models --access free", 2, &["'free'", "open-weights, closed or unknown"]),
    ]);
}

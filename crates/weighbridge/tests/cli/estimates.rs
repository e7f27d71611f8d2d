//! The form of an estimate in JSON, wherever in an answer it stands.

use serde_json::Value;

const KEYS: [&str; 6] = ["value", "lower", "upper", "level", "method", "n"];

/// Checks every estimate under `value` and gives their number.
pub fn check_estimates(value: &Value) -> usize {
    walk(value, "")
}

fn walk(value: &Value, path: &str) -> usize {
    match value {
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| walk(item, &format!("{path}/{i}"))).sum(),
        Value::Object(fields) => {
            let is_estimate = ["level", "method"].iter().any(|key| fields.contains_key(*key));
            if is_estimate {
                let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
                assert_eq!(keys, KEYS, "{path}");
                check(value, path);
            }
            let below: usize = fields.iter().map(|(key, field)| walk(field, &format!("{path}/{key}"))).sum();
            below + usize::from(is_estimate)
        }
        _ => 0,
    }
}

fn check(estimate: &Value, path: &str) {
    let value = estimate["value"].as_f64().unwrap_or_else(|| panic!("{path}: value is no number: {estimate}"));
    assert!(value.is_finite(), "{path}: {value}");
    let side = |key: &str| match &estimate[key] {
        Value::Null => None,
        other => Some(other.as_f64().unwrap_or_else(|| panic!("{path}: {key} is {other}"))),
    };
    let (lower, upper) = (side("lower"), side("upper"));
    assert!(lower.is_none_or(|lower| lower <= value), "{path}: {estimate}");
    assert!(upper.is_none_or(|upper| value <= upper), "{path}: {estimate}");
    assert!(estimate["level"].as_f64().is_some_and(|level| 0.0 < level && level < 1.0), "{path}: {estimate}");
    assert!(estimate["method"].as_str().is_some_and(|method| !method.is_empty()), "{path}: {estimate}");
    assert!(estimate["n"].as_u64().is_some_and(|n| n > 0), "{path}: {estimate}");
}

#[test]
fn an_estimate_of_another_form_is_seen() {
    let good =
        serde_json::json!({"a": [{"value": 1.0, "lower": null, "upper": 2.0, "level": 0.9, "method": "m", "n": 1}]});
    assert_eq!(check_estimates(&good), 1);
    for (key, wrong) in [
        ("value", serde_json::json!(3.0)),
        ("value", Value::Null),
        ("lower", serde_json::json!(1.5)),
        ("level", serde_json::json!(90)),
        ("n", serde_json::json!(0)),
        ("extra", serde_json::json!(0)),
    ] {
        let mut bad = good.clone();
        bad["a"][0][key] = wrong.clone();
        assert!(std::panic::catch_unwind(|| check_estimates(&bad)).is_err(), "{key} = {wrong} passes");
    }
}

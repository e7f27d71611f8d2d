//! A checker of the part of JSON Schema that the schemas of Every Eval Ever use.

use serde_json::Value;

/// A schema of the reference data.
pub fn read(name: &str) -> Option<Value> {
    let folder = "data/formats/every_eval_ever/every_eval_ever/schemas";
    let path = weighbridge_reference::path(&format!("{folder}/{name}.schema.json"))?;
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// The part of JSON Schema draft-07 that the two schemas use.
pub fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
    if let Some(target) = schema["$ref"].as_str() {
        return check(root, root.pointer(&target[1..]).unwrap(), value, at);
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    let types = &schema["type"];
    let fits = types.as_array().is_none_or(|types| types.iter().any(|name| is(name.as_str().unwrap())));
    if !fits || types.as_str().is_some_and(|name| !is(name)) {
        return fail("type");
    }
    if schema["enum"].as_array().is_some_and(|list| !list.contains(value)) {
        return fail("enum");
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return fail("const");
    }
    if schema["minimum"].as_f64().zip(value.as_f64()).is_some_and(|(least, value)| value < least) {
        return fail("minimum");
    }
    if let Some(object) = value.as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        if let Some(name) = required.iter().find(|name| !object.contains_key(name.as_str().unwrap())) {
            return fail(&format!("no {name}"));
        }
        for (name, value) in object {
            let at = format!("{at}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(schema), _) => check(root, schema, value, &at)?,
                (None, Some(Value::Bool(false))) => return fail(&format!("{name} is not known")),
                (None, Some(rest)) => check(root, rest, value, &at)?,
                (None, None) => {}
            }
        }
    }
    if let (Some(items), Some(item)) = (value.as_array(), schema.get("items")) {
        if (items.len() as u64) < schema["minItems"].as_u64().unwrap_or(0) {
            return fail("too short");
        }
        items.iter().enumerate().try_for_each(|(i, value)| check(root, item, value, &format!("{at}[{i}]")))?;
    }
    if let Some(one_of) = schema["oneOf"].as_array()
        && one_of.iter().filter(|schema| check(root, schema, value, at).is_ok()).count() != 1
    {
        return fail("oneOf");
    }
    if schema.get("not").is_some_and(|not| check(root, not, value, at).is_ok()) {
        return fail("not");
    }
    for schema in schema["allOf"].as_array().into_iter().flatten().chain([schema]) {
        if let Some(condition) = schema.get("if") {
            let branch = if check(root, condition, value, at).is_ok() { "then" } else { "else" };
            schema.get(branch).map_or(Ok(()), |schema| check(root, schema, value, at))?;
        }
    }
    Ok(())
}

#[test]
fn the_checker_finds_what_is_wrong() {
    use serde_json::json;
    let Some(schema) = read("eval") else { return };
    let fine = json!({
        "schema_version": "0.3.0", "evaluation_id": "a", "retrieved_timestamp": "1",
        "source_metadata": {
            "source_type": "evaluation_run", "source_organization_name": "x", "evaluator_relationship": "other",
        },
        "model_info": {
            "name": "m", "id": "d/m",
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "eval_library": {"name": "w", "version": "1"},
        "evaluation_results": [{
            "evaluation_name": "e", "source_data": {"dataset_name": "d", "source_type": "other"},
            "metric_config": {"lower_is_better": false, "score_type": "continuous", "min_score": 0, "max_score": null},
            "score_details": {"score": 1},
        }],
    });
    assert_eq!(check(&schema, &schema, &fine, ""), Ok(()));
    for (path, bad) in [
        ("/schema_version", json!(3)),
        ("/source_metadata/source_type", json!("guess")),
        ("/model_info/additional_details", json!({"deployment_type": "unknown"})),
        ("/model_info/additional_details/deployment_type", json!("x")),
        ("/evaluation_results/0/source_data", json!({"dataset_name": "d", "source_type": "url"})),
        ("/evaluation_results/0/metric_config", json!({"lower_is_better": false, "score_type": "continuous"})),
        ("/evaluation_results/0/metric_config", json!({"lower_is_better": false, "score_type": "levels"})),
        ("/evaluation_results/0/score_details/score", json!("1")),
    ] {
        let mut value = fine.clone();
        *value.pointer_mut(path).unwrap() = bad;
        assert!(check(&schema, &schema, &value, "").is_err(), "{path}");
    }
}

//! The templates of task files: Jinja with the methods of Python's values, as lm-evaluation-harness renders it.
//!
//! What a template prints looks as Python prints it. A name that the row does not have is an error.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value as Jinja};
use serde_json::{Map, Value};

use super::python;

/// Steps that one rendering may take: far more than a prompt needs, and an end for a loop that has none.
const FUEL: u64 = 5_000_000;
/// Deepest value that is printed.
const DEPTH: usize = 128;

/// Renders the templates of one task.
pub struct Templates<'a> {
    environment: Environment<'a>,
}

impl<'a> Templates<'a> {
    /// Takes the sources that will be rendered; those that are no templates show it when they are.
    pub fn new(sources: impl IntoIterator<Item = &'a str>) -> Self {
        let mut environment = environment();
        for source in sources {
            // An error of syntax comes up again, with its place, where the template is used.
            let _ = environment.add_template(source, source);
        }
        Self { environment }
    }

    /// The text that a template gives for a row.
    ///
    /// # Errors
    /// What is wrong with the template, in words.
    pub fn render(&self, source: &str, row: &Value) -> Result<String, String> {
        let row = given(row);
        let rendered = match self.environment.get_template(source) {
            Ok(template) => template.render(row),
            Err(_) => self.environment.render_str(source, row),
        };
        rendered.map_err(|error| {
            let line = error.line().map(|line| format!(" in line {line} of the template")).unwrap_or_default();
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("{}{detail}{line}", error.kind())
        })
    }
}

fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        out.write_str(&text(value)).map_err(Error::from)
    });
    environment.set_unknown_method_callback(|state, value, method, args| {
        own_method(value, method, args)
            .unwrap_or_else(|| minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args))
    });
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("string", |value: Jinja| text(&value));
    environment.add_filter("int", |value: Jinja, default: Option<i64>| as_int(&value).unwrap_or(default.unwrap_or(0)));
    environment.add_filter("float", |value: Jinja, default: Option<f64>| {
        let text = text(&value);
        text.trim().parse::<f64>().unwrap_or(default.unwrap_or(0.0))
    });
    environment.add_filter("join", |value: Jinja, separator: Option<String>| -> Result<String, Error> {
        Ok(value.try_iter()?.map(|item| text(&item)).collect::<Vec<_>>().join(separator.as_deref().unwrap_or("")))
    });
    environment
}

/// A value as Python's `str` shows it.
fn text(value: &Jinja) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => python::str(&taken(value, 0)),
    }
}

/// A value of a row, for templates.
fn given(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(truth) => Jinja::from(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Jinja::from(whole),
            (None, Some(whole)) => Jinja::from(whole),
            (None, None) => Jinja::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Jinja::from(text.as_str()),
        Value::Array(items) => Jinja::from(items.iter().map(given).collect::<Vec<_>>()),
        Value::Object(entries) => Jinja::from_pairs(entries.iter().map(|(key, value)| (key.as_str(), given(value)))),
    }
}

/// A value of a template, for what prints it.
fn taken(value: &Jinja, depth: usize) -> Value {
    match value.kind() {
        _ if depth > DEPTH => Value::String(value.to_string()),
        ValueKind::None | ValueKind::Undefined => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match value.as_i64().filter(|_| value.is_integer()) {
            Some(whole) => whole.into(),
            None => f64::try_from(value.clone()).map_or(Value::Null, Value::from),
        },
        ValueKind::Seq | ValueKind::Iterable => match value.try_iter() {
            Ok(items) => items.map(|item| taken(&item, depth + 1)).collect(),
            Err(_) => Value::String(value.to_string()),
        },
        ValueKind::Map => match value.try_iter() {
            Ok(keys) => {
                let entry = |key: Jinja| {
                    (text(&key), value.get_item(&key).map_or(Value::Null, |value| taken(&value, depth + 1)))
                };
                Value::Object(keys.map(entry).collect::<Map<_, _>>())
            }
            Err(_) => Value::String(value.to_string()),
        },
        _ => Value::String(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    }
}

fn as_int(value: &Jinja) -> Option<i64> {
    if let Some(text) = value.as_str() {
        let text = text.trim();
        return text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|float| float.trunc() as i64));
    }
    match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        _ => i64::try_from(value.clone()).ok().or_else(|| f64::try_from(value.clone()).ok().map(|float| float as i64)),
    }
}

fn wrong(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

/// Methods of Python's values that pycompat lacks.
fn own_method(value: &Jinja, method: &str, args: &[Jinja]) -> Option<Result<Jinja, Error>> {
    let argument = |at: usize| args.get(at).and_then(Jinja::as_str);
    match (value.kind(), method) {
        (ValueKind::Seq | ValueKind::Iterable, "index") => {
            let wanted = args.first()?;
            let found = value.try_iter().ok()?.position(|item| item == *wanted);
            Some(found.map(Jinja::from).ok_or_else(|| wrong(format!("{} is not in the list", text(wanted)))))
        }
        (ValueKind::String, "index") => {
            let (text, wanted) = (value.as_str()?, argument(0)?);
            let found = text.find(wanted).map(|at| Jinja::from(text[..at].chars().count()));
            Some(found.ok_or_else(|| wrong(format!("'{wanted}' is not in the text"))))
        }
        (ValueKind::String, "removeprefix") => {
            let text = value.as_str()?;
            Some(Ok(Jinja::from(text.strip_prefix(argument(0)?).unwrap_or(text))))
        }
        (ValueKind::String, "removesuffix") => {
            let text = value.as_str()?;
            Some(Ok(Jinja::from(text.strip_suffix(argument(0)?).unwrap_or(text))))
        }
        (ValueKind::String, "swapcase") => {
            let swapped = value.as_str()?.chars().flat_map(|c| {
                if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() }
            });
            Some(Ok(Jinja::from(swapped.collect::<String>())))
        }
        (ValueKind::String, "strip" | "lstrip" | "rstrip") if args.is_empty() => {
            let text = value.as_str()?;
            Some(Ok(Jinja::from(match method {
                "strip" => text.trim_matches(python::is_space),
                "lstrip" => text.trim_start_matches(python::is_space),
                _ => text.trim_end_matches(python::is_space),
            })))
        }
        _ => None,
    }
}

/// Python's `re.sub`, with `\1` and `\g<name>` in the replacement.
#[expect(clippy::needless_pass_by_value, reason = "a filter takes its arguments by value")]
fn regex_replace(
    text: &str,
    pattern: &str,
    replacement: &str,
    count: Option<usize>,
    options: Kwargs,
) -> Result<String, Error> {
    let count = count.or(options.get::<Option<usize>>("count")?).unwrap_or(0);
    options.assert_all_used()?;
    let regex = fancy_regex::Regex::new(pattern).map_err(|error| wrong(format!("regex_replace: {error}")))?;
    let expander = fancy_regex::Expander::python();
    expander.check(replacement, &regex).map_err(|error| wrong(format!("regex_replace: {error}")))?;
    let replaced = regex.try_replacen(text, count, |captures: &fancy_regex::Captures<'_>| {
        let mut expanded = String::new();
        expander.append_expansion(&mut expanded, replacement, captures);
        expanded
    });
    Ok(replaced.map_err(|error| wrong(format!("regex_replace: {error}")))?.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_print_as_jinja_in_python() {
        let row = json!({
            "q": " What? ", "choices": ["it's", "b"], "label": 1, "nested": {"text": ["x", "y"], "label": ["A", "B"]},
            "key": "B", "none": null, "yes": true, "answer": "a #### 12 ", "number": 3.0,
        });
        for (source, expected) in [
            ("{{q.strip()}}\n", "What?\n"),
            ("{{choices}}", "[\"it's\", 'b']"),
            ("{{nested.label.index(key)}}", "1"),
            ("{{[q, none, yes, number]}}", "[' What? ', None, True, 3.0]"),
            ("{{answer.split('####')[-1].strip() if answer is defined else target}}", "12"),
            ("{{'ABCD'[label]}}{{ 'ABCD'['2'|int - 1] if label|string in '1234' else key }}", "BB"),
            ("{% if missing is defined and missing %}x{% endif %}y", "y"),
            ("{% if none is not none %}a{% else %}{{answer[4:]}}{% endif %}", "## 12 "),
            ("{{choices|join(', ')}}|{{nested.text|length}}", "it's, b|2"),
            ("{{key.lower()}}{{'abc'.capitalize()}}{{q.replace(' ', '_')}}", "bAbc_What?_"),
            ("{% set p = 'x\n' %}{{p + q}}", "x\n What? "),
            ("{{'a1b22'|regex_replace('([0-9])', '<\\\\1>')}}", "a<1>b<2><2>"),
            ("{% for c in choices %}{{loop.index0}}{{c}}{{'' if loop.last else ', '}}{% endfor %}", "0it's, 1b"),
            ("{{'ab' ~ label}}", "ab1"),
        ] {
            let templates = Templates::new([source]);
            assert_eq!(templates.render(source, &row).as_deref(), Ok(expected), "{source}");
        }
        for source in ["{{missing}}", "{{ q", "{{nested.other}}"] {
            assert!(Templates::new([]).render(source, &row).is_err(), "{source}");
        }
    }
}

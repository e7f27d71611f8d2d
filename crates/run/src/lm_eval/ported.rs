//! Counterparts of functions in Python that popular tasks name with `!function`.
//!
//! A function is known by the family that its file belongs to (name of the folder or of the task) and, where the Python
//! file lies beside the task, by its text: a changed function is refused, not replaced. So is every other function.

use std::path::Path;

use fancy_regex::Regex;
use serde_json::{Value, json};

use super::config::{Function, TaskConfig, refusal};
use super::python;
use crate::TaskError;

/// Gives a value for a row.
pub type RowFunction = fn(&Value) -> Result<Value, String>;

/// What a function of Python is replaced with.
#[derive(Clone, Copy, Debug)]
pub enum Native {
    /// Computes something from a row: the row itself anew, or a field.
    Row(RowFunction),
    /// Scores: the name of the counterpart among those of [`super::Scoring`].
    Results(&'static str),
}

struct Port {
    family: &'static str,
    name: &'static str,
    /// Functions of the module whose text matters.
    parts: &'static [&'static str],
    /// BLAKE3 over their text without white space.
    text: &'static str,
    native: Native,
}

const PORTS: &[Port] = &[
    Port {
        family: "hellaswag",
        name: "utils.process_docs",
        parts: &["preprocess", "process_docs"],
        text: "70ddc0c63e5a0d29766717bb1df1ab1690f775b1e019f9708e8b927b1101e70d",
        native: Native::Row(hellaswag),
    },
    Port {
        family: "winogrande",
        name: "preprocess_winogrande.doc_to_text",
        parts: &["doc_to_text"],
        text: "07efabedc376b79e4d9c1c94b3085ebd11854cf674965ad9b81bb8646d733915",
        native: Native::Row(winogrande_text),
    },
    Port {
        family: "winogrande",
        name: "preprocess_winogrande.doc_to_target",
        parts: &["doc_to_target"],
        text: "935786af5f28a15f17d8ad04dcbdee260e228fac3518e6e173f685e2b8b4047d",
        native: Native::Row(winogrande_target),
    },
    Port {
        family: "winogrande",
        name: "preprocess_winogrande.doc_to_choice",
        parts: &["doc_to_choice"],
        text: "679ffc8f495082ea60db5665ea273beca4f7468edb11f0ab01a38284abbc7606",
        native: Native::Row(winogrande_choice),
    },
    Port {
        family: "truthfulqa",
        name: "utils.process_results_mc2",
        parts: &["process_results_mc2"],
        text: "9242b2ad0662b9df649d5d8f25b33565d76c326ce04e71b5a7e0a1ab8b749d3f",
        native: Native::Results("truthfulqa_mc2"),
    },
    Port {
        family: "wikitext",
        name: "preprocess_wikitext.wikitext_detokenizer",
        parts: &["wikitext_detokenizer"],
        text: "bdf401a2aee6e3603c661b3c7a9095ace42f4567f5736e8c9d7e616afaa607a7",
        native: Native::Row(wikitext),
    },
    Port {
        family: "wikitext",
        name: "preprocess_wikitext.process_results",
        parts: &["process_results"],
        text: "fbbee9b79a9224d0005410fd55b5cf1048f8fefafcc8adcf3405e75472954b8f",
        native: Native::Results("wikitext"),
    },
];

/// The counterpart of a function that a task names under `key`.
///
/// # Errors
/// There is none, or the function beside the task is another than the one that is known.
pub fn find(config: &TaskConfig, function: &Function, key: &str) -> Result<Native, TaskError> {
    let folder = function.file.parent().unwrap_or(Path::new(""));
    let family = |family: &str| {
        folder.file_name().is_some_and(|name| name == family)
            || config.task == family
            || config.task.strip_prefix(family).is_some_and(|rest| rest.starts_with("_mc"))
    };
    let Some(port) = PORTS.iter().find(|port| port.name == function.name && family(port.family)) else {
        return Err(TaskError::unsupported(&config.path, refusal(function, key)));
    };
    let module = port.name.split('.').next().unwrap_or_default();
    let module = folder.join(format!("{module}.py"));
    if module.is_file() {
        let text = fs_err::read_to_string(&module).map_err(TaskError::io(&module))?;
        if text_hash(&text, port.parts) != port.text {
            let what = format!(
                "{}; the function of that name in {} is not the one of lm-evaluation-harness 0.4.13",
                refusal(function, key),
                module.display(),
            );
            return Err(TaskError::unsupported(&config.path, what));
        }
    }
    Ok(port.native)
}

/// The counterpart of a function of rows.
///
/// # Errors
/// As [`find`].
pub fn row(config: &TaskConfig, function: &Function, key: &str) -> Result<RowFunction, TaskError> {
    match find(config, function, key)? {
        Native::Row(native) => Ok(native),
        Native::Results(_) => Err(TaskError::unsupported(&config.path, refusal(function, key))),
    }
}

/// BLAKE3 over functions of a module, without white space: how the text is laid out does not matter.
fn text_hash(module: &str, functions: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for function in functions {
        let begin = format!("def {function}(");
        let lines = module.lines().skip_while(|line| !line.starts_with(&begin));
        let body = lines
            .enumerate()
            .take_while(|(at, line)| *at == 0 || line.is_empty() || line.starts_with([' ', '\t', ')', '#']));
        for (_, line) in body {
            hasher.update(line.split_whitespace().collect::<String>().as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn text<'a>(row: &'a Value, key: &str) -> Result<&'a str, String> {
    row.get(key).and_then(Value::as_str).ok_or_else(|| format!("the column {key} holds no text"))
}

fn replace(pattern: &str, text: &str, by: &str) -> Result<String, String> {
    let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
    let replaced = regex.try_replacen(text, 0, by).map_err(|error| error.to_string())?;
    Ok(replaced.into_owned())
}

fn hellaswag(row: &Value) -> Result<Value, String> {
    let clean = |text: &str| -> Result<String, String> {
        let text = text.trim_matches(python::is_space).replace(" [title]", ". ");
        Ok(replace(r"\[.*?\]", &text, "")?.replace("  ", " "))
    };
    let context = format!("{} {}", text(row, "ctx_a")?, python::capitalize(text(row, "ctx_b")?));
    let query = clean(&format!("{}: {context}", text(row, "activity_label")?))?;
    let endings = row.get("endings").and_then(Value::as_array).ok_or("the column endings holds no list")?;
    let choices = endings
        .iter()
        .map(|ending| clean(ending.as_str().ok_or("the column endings holds something that is no text")?))
        .collect::<Result<Vec<_>, String>>()?;
    let label = row.get("label").map(python::str).unwrap_or_default();
    let gold: i64 =
        label.trim().parse().map_err(|_| format!("the column label holds {label:?}, which is no number"))?;
    with(row, [("query", json!(query)), ("choices", json!(choices)), ("gold", json!(gold))])
}

fn with<const N: usize>(row: &Value, columns: [(&str, Value); N]) -> Result<Value, String> {
    let mut row = row.as_object().cloned().ok_or("no row")?;
    row.extend(columns.map(|(column, value)| (column.to_owned(), value)));
    Ok(row.into())
}

fn winogrande_text(row: &Value) -> Result<Value, String> {
    match row.get("answer").map(python::str).as_deref() {
        Some("1") => Ok(json!(0)),
        Some("2") => Ok(json!(1)),
        other => Err(format!("the column answer holds {}, not 1 or 2", other.unwrap_or("nothing"))),
    }
}

fn around_the_gap(row: &Value) -> Result<(&str, &str), String> {
    text(row, "sentence")?.split_once('_').ok_or_else(|| "the column sentence has no _".to_owned())
}

fn winogrande_target(row: &Value) -> Result<Value, String> {
    Ok(json!(around_the_gap(row)?.1.trim_matches(python::is_space)))
}

fn winogrande_choice(row: &Value) -> Result<Value, String> {
    let (before, _) = around_the_gap(row)?;
    Ok(json!([format!("{before}{}", text(row, "option1")?), format!("{before}{}", text(row, "option2")?)]))
}

fn wikitext(row: &Value) -> Result<Value, String> {
    let mut page = text(row, "page")?.replace("s '", "s'");
    page = replace("/' [0-9]/", &page, "/'[0-9]/")?;
    for (from, to) in [
        (" @-@ ", "-"),
        (" @,@ ", ","),
        (" @.@ ", "."),
        (" : ", ": "),
        (" ; ", "; "),
        (" . ", ". "),
        (" ! ", "! "),
        (" ? ", "? "),
        (" , ", ", "),
    ] {
        page = page.replace(from, to);
    }
    for (pattern, by) in [
        (r"\(\s*([^\)]*?)\s*\)", "($1)"),
        (r"\[\s*([^\]]*?)\s*\]", "[$1]"),
        (r"\{\s*([^}]*?)\s*\}", "{$1}"),
        ("\"\\s*([^\"]*?)\\s*\"", "\"$1\""),
        (r"'\s*([^']*?)\s*'", "'$1'"),
    ] {
        page = replace(pattern, &page, by)?;
    }
    for (from, to) in [
        ("= = = =", "===="),
        ("= = =", "==="),
        ("= =", "=="),
        (" \u{b0} ", "\u{b0}"),
        (" \n", "\n"),
        ("\n ", "\n"),
        (" N ", " 1 "),
        (" 's", "'s"),
    ] {
        page = page.replace(from, to);
    }
    Ok(page.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_function_ends_where_the_next_begins() {
        let module = "import re\n\ndef a(\n    x,\n) -> int:\n    return 1\n\n\ndef b(x):\n    return 2\n";
        let same = "def a(x, ) -> int:\n  return  1\nX = 1\n";
        assert_eq!(text_hash(module, &["a"]), text_hash(same, &["a"]));
        assert_ne!(text_hash(module, &["a"]), text_hash(module, &["b"]));
    }

    #[test]
    fn a_page_of_wikitext_is_joined() {
        let row = json!({"page": " = Title = \n It 's ( a ) 3 @.@ 5 \" b \" , x = = Sub = = \n"});
        assert_eq!(wikitext(&row).unwrap(), " = Title =\nIt's (a) 3.5 \"b\", x == Sub ==\n");
    }
}

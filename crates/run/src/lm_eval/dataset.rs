//! The rows of a task: local files (JSON, JSON lines, CSV, each also `.gz`), or a copy of a dataset of the hub.
//!
//! Rows look as the `datasets` library gives them: every row has every column, null where a file has nothing, and the
//! columns of CSV files are numbers where all their values are. Nothing is fetched.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::config::TaskConfig;
use crate::TaskError;

/// Texts of CSV files that stand for nothing, as in pandas.
const NOTHING: &[&str] = &[
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// The splits of a dataset, read where they are first asked for.
pub struct Dataset<'a> {
    config: &'a TaskConfig,
    files: BTreeMap<String, Vec<PathBuf>>,
    format: Format,
    field: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Json,
    Csv(u8),
}

impl<'a> Dataset<'a> {
    /// Finds the files of a task: beside the current folder, beside the task file, or in the folder of copies of hub datasets.
    ///
    /// # Errors
    /// They are not there; the message says where they should be.
    pub fn find(config: &'a TaskConfig, copies: Option<&Path>) -> Result<Self, TaskError> {
        let path = &config.path;
        let Some(name) = config.dataset_path.as_deref() else {
            return Err(TaskError::malformed(
                path,
                "dataset_path".to_owned(),
                "the dataset was expected: json, csv or an id",
            ));
        };
        let kwargs = &config.dataset_kwargs;
        let format = match name {
            "json" => Format::Json,
            "csv" => {
                let separator = ["sep", "delimiter"].iter().find_map(|key| kwargs.get(*key)?.as_str());
                let [separator] = separator.unwrap_or(",").as_bytes() else {
                    let problem = "one character was expected as separator";
                    return Err(TaskError::malformed(path, "dataset_kwargs.sep".to_owned(), problem));
                };
                Format::Csv(*separator)
            }
            "parquet" | "text" | "arrow" | "xml" | "webdataset" | "imagefolder" | "audiofolder" => {
                let what = format!("dataset_path: {name}: such files are not read here; write the rows as JSON lines");
                return Err(TaskError::unsupported(path, what));
            }
            _ => return Self::copy(config, name, copies),
        };
        let known = ["data_files", "field", "sep", "delimiter", "trust_remote_code"];
        if let Some(key) = kwargs.iter().find(|(key, value)| !known.contains(&key.as_str()) && !value.is_null()) {
            let what = format!("dataset_kwargs.{}: not done here; take it out or prepare the files beforehand", key.0);
            return Err(TaskError::unsupported(path, what));
        }
        let wrong = || {
            let problem = "a file, a list of files, or a mapping of splits to files was expected";
            TaskError::malformed(path, "dataset_kwargs.data_files".to_owned(), problem)
        };
        let mut files = BTreeMap::new();
        let list = |value: &Value| -> Result<Vec<PathBuf>, TaskError> {
            let names: Vec<&str> = match value {
                Value::String(name) => vec![name],
                Value::Array(names) => {
                    names.iter().map(|name| name.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?
                }
                _ => return Err(wrong()),
            };
            names.into_iter().map(|name| resolve(path, name)).collect()
        };
        match kwargs.get("data_files") {
            Some(Value::Object(splits)) => {
                for (split, value) in splits {
                    files.insert(split.clone(), list(value)?);
                }
            }
            // Files without a split are the training split.
            Some(value) => {
                files.insert("train".into(), list(value)?);
            }
            None => return Err(wrong()),
        }
        let field = kwargs.get("field").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { config, files, format, field })
    }

    fn copy(config: &'a TaskConfig, name: &str, copies: Option<&Path>) -> Result<Self, TaskError> {
        let configuration = config.dataset_name.as_deref().unwrap_or("default");
        let splits = [&config.test_split, &config.validation_split, &config.training_split, &config.fewshot.split];
        let wanted: Vec<&String> = splits.into_iter().flatten().collect();
        let below = |split: &str| format!("{}/{configuration}/{split}.jsonl", name.replace('/', "__"));
        let mut files = BTreeMap::new();
        for split in &wanted {
            let plain = copies.map(|folder| folder.join(below(split)));
            let found = plain.into_iter().flat_map(|plain| {
                let packed = PathBuf::from(format!("{}.gz", plain.display()));
                [plain, packed]
            });
            if let Some(file) = found.into_iter().find(|file| file.is_file()) {
                files.insert((*split).clone(), vec![file]);
            }
        }
        if files.is_empty() {
            let place =
                copies.map_or_else(|| "the folder of datasets".to_owned(), |folder| folder.display().to_string());
            let split = wanted.first().map_or("test", |split| split.as_str());
            return Err(TaskError::unsupported(
                &config.path,
                format!(
                    "the rows of {name} are not here: datasets of the hub are not downloaded; put each split as JSON lines \
                     into {place} as {}, or name local files with dataset_path: json and dataset_kwargs.data_files",
                    below(split),
                ),
            ));
        }
        Ok(Self { config, files, format: Format::Json, field: None })
    }

    /// What the rows come from, for the log.
    pub fn source(&self, split: &str) -> String {
        match (self.config.dataset_path.as_deref(), self.files.get(split)) {
            (None | Some("json" | "csv"), Some(files)) => {
                files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
            }
            (name, _) => name.unwrap_or_default().to_owned(),
        }
    }

    /// The rows of a split.
    ///
    /// # Errors
    /// There is no such split, or a file of it cannot be read.
    pub fn rows(&self, split: &str) -> Result<Vec<Value>, TaskError> {
        let Some(files) = self.files.get(split) else {
            let has = self.files.keys().cloned().collect::<Vec<_>>().join(", ");
            let problem =
                format!("there are no rows for this split; there are {has}. Add its file or name another split");
            return Err(TaskError::malformed(&self.config.path, format!("split {split}"), problem));
        };
        let mut rows = Vec::new();
        for file in files {
            let bytes = read(file)?;
            match self.format {
                Format::Json => rows.extend(json(file, &bytes, self.field.as_deref())?),
                Format::Csv(separator) => rows.extend(csv(file, &bytes, separator)?),
            }
        }
        fill(&mut rows);
        Ok(rows)
    }
}

/// BLAKE3 over rows, hexadecimal.
pub fn hash(rows: &[Value]) -> String {
    let mut hasher = blake3::Hasher::new();
    for row in rows {
        hasher.update(row.to_string().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}

fn resolve(task: &Path, name: &str) -> Result<PathBuf, TaskError> {
    let at = || "dataset_kwargs.data_files".to_owned();
    if name.contains("://") || name.starts_with("hf:") {
        let what = format!("dataset_kwargs.data_files: {name} is not fetched; download it and name the local file");
        return Err(TaskError::unsupported(task, what));
    }
    if name.contains(['*', '?']) && !Path::new(name).is_file() {
        let what = format!("dataset_kwargs.data_files: {name}: patterns are not done here; list the files");
        return Err(TaskError::unsupported(task, what));
    }
    let beside = task.parent().unwrap_or(Path::new(".")).join(name);
    [PathBuf::from(name), beside.clone()].into_iter().find(|file| file.is_file()).ok_or_else(|| {
        let problem =
            format!("{name} is neither below the current folder nor at {}; correct the name", beside.display());
        TaskError::malformed(task, at(), problem)
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TaskError> {
    let bytes = fs_err::read(path).map_err(TaskError::io(path))?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(&*bytes).read_to_end(&mut unpacked).map_err(TaskError::io(path))?;
    Ok(unpacked)
}

fn json(path: &Path, bytes: &[u8], field: Option<&str>) -> Result<Vec<Value>, TaskError> {
    let no_row = |at: String| TaskError::malformed(path, at, "an object with one value for each column was expected");
    let whole = |value: Value| -> Result<Vec<Value>, TaskError> {
        let rows = match value {
            Value::Array(rows) => rows,
            other => vec![other],
        };
        match rows.iter().position(|row| !row.is_object()) {
            Some(place) => Err(no_row(format!("row {}", place + 1))),
            None => Ok(rows),
        }
    };
    if let Some(field) = field {
        let mut value: Value = serde_json::from_slice(bytes).map_err(|error| {
            TaskError::malformed(path, format!("line {}", error.line()), format!("no JSON: {error}"))
        })?;
        let Some(rows) = value.get_mut(field) else {
            return Err(TaskError::malformed(
                path,
                None,
                format!("there is no field {field}; correct dataset_kwargs.field"),
            ));
        };
        return whole(rows.take());
    }
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let value = serde_json::from_slice(bytes).map_err(|error| {
            TaskError::malformed(path, format!("line {}", error.line()), format!("no JSON: {error}"))
        })?;
        return whole(value);
    }
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        let value = value.map_err(|error| {
            TaskError::malformed(path, format!("line {}", error.line()), format!("no JSON: {error}"))
        })?;
        if !value.is_object() {
            return Err(no_row(format!("row {}", rows.len() + 1)));
        }
        rows.push(value);
    }
    Ok(rows)
}

fn csv(path: &Path, bytes: &[u8], separator: u8) -> Result<Vec<Value>, TaskError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(bytes);
    let broken = |error: csv::Error| {
        let at = error.position().map(|position| format!("line {}", position.line()));
        TaskError::malformed(path, at, format!("no CSV with a header: {error}"))
    };
    let header = reader.headers().map_err(broken)?.clone();
    let records = reader.records().collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let mut rows = vec![Map::new(); records.len()];
    for (at, column) in header.iter().enumerate() {
        let texts: Vec<Option<&str>> =
            records.iter().map(|record| record.get(at).filter(|text| !NOTHING.contains(text))).collect();
        for (row, value) in rows.iter_mut().zip(column_values(&texts)) {
            row.insert(column.to_owned(), value);
        }
    }
    Ok(rows.into_iter().map(Value::Object).collect())
}

/// The values of a column: of the narrowest kind that all of its texts have.
fn column_values(texts: &[Option<&str>]) -> Vec<Value> {
    fn of<T: Into<Value>>(texts: &[Option<&str>], read: impl Fn(&str) -> Option<T>) -> Option<Vec<Value>> {
        texts.iter().map(|text| text.map_or(Some(Value::Null), |text| read(text).map(Into::into))).collect()
    }
    let whole = |text: &str| text.trim().parse::<i64>().ok();
    let float = |text: &str| text.trim().parse::<f64>().ok().filter(|_| text.contains(|c: char| c.is_ascii_digit()));
    let truth = |text: &str| match text {
        "True" | "TRUE" | "true" => Some(true),
        "False" | "FALSE" | "false" => Some(false),
        _ => None,
    };
    // Whole numbers with gaps are floats in pandas.
    let gaps = texts.iter().any(Option::is_none);
    let numbers = if gaps { None } else { of(texts, whole) };
    numbers
        .or_else(|| of(texts, float))
        .or_else(|| of(texts, truth))
        .unwrap_or_else(|| texts.iter().map(|text| text.map_or(Value::Null, Value::from)).collect())
}

/// Gives every row every column, in the order in which columns first appear, also within nested objects.
fn fill(rows: &mut [Value]) {
    let mut shape = Map::new();
    for row in rows.iter() {
        learn(row, &mut shape);
    }
    for row in rows {
        complete(row, &shape);
    }
}

fn learn(row: &Value, shape: &mut Map<String, Value>) {
    let Value::Object(row) = row else { return };
    for (key, value) in row {
        let below = shape.entry(key.clone()).or_insert(Value::Null);
        let inner: &mut dyn Iterator<Item = &Value> = match value {
            Value::Object(_) => &mut std::iter::once(value),
            Value::Array(items) => &mut items.iter().filter(|item| item.is_object()),
            _ => continue,
        };
        for value in inner {
            if below.is_null() {
                *below = Map::new().into();
            }
            if let Value::Object(below) = below {
                learn(value, below);
            }
        }
    }
}

fn complete(row: &mut Value, shape: &Map<String, Value>) {
    let Value::Object(row) = row else { return };
    if row.len() == shape.len() && row.keys().eq(shape.keys()) && shape.values().all(Value::is_null) {
        return;
    }
    let mut old = std::mem::take(row);
    for (key, below) in shape {
        let mut value = old.remove(key).unwrap_or(Value::Null);
        if let Value::Object(below) = below {
            match &mut value {
                Value::Array(items) => items.iter_mut().for_each(|item| complete(item, below)),
                value => complete(value, below),
            }
        }
        row.insert(key.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_have_the_kind_that_pandas_gives_them() {
        let text = b"n,f,gap,truth,text,part\n1,1.5,2,True,NA,a\n-2,3,,False,x,\n";
        let rows = csv(Path::new("t.csv"), text, b',').unwrap();
        assert_eq!(rows[0], json!({"n": 1, "f": 1.5, "gap": 2.0, "truth": true, "text": null, "part": "a"}));
        assert_eq!(rows[1], json!({"n": -2, "f": 3.0, "gap": null, "truth": false, "text": "x", "part": null}));
    }

    #[test]
    fn every_row_has_every_column() {
        let path = Path::new("t.jsonl");
        let mut rows = json(path, b"{\"a\":1,\"o\":{\"x\":1}}\n{\"b\":2,\"o\":{\"y\":2}}\n", None).unwrap();
        fill(&mut rows);
        assert_eq!(rows[0], json!({"a": 1, "o": {"x": 1, "y": null}, "b": null}));
        assert_eq!(rows[1], json!({"a": null, "o": {"x": null, "y": 2}, "b": 2}));
        assert_eq!(json(path, b"{\"e\":[{\"a\":1}]}", Some("e")).unwrap(), [json!({"a": 1})]);
        assert!(json(path, b"{\"a\":1}\n{", None).unwrap_err().to_string().contains("line 2"));
        assert!(json(path, b"[1]", None).is_err());
    }
}

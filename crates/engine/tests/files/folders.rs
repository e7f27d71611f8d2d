//! Checkpoints as they lie on disk: files, folders, shards, and everything that is no checkpoint.

use std::path::Path;

use tempfile::TempDir;
use weighbridge_engine::files::{Checkpoint, FileError, Layout};

use crate::build::{small_gguf, small_safetensors};

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

/// A folder with these files.
fn folder(files: Files<'_>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("a file is written");
    }
    folder
}

fn error(path: &Path) -> (FileError, String) {
    let error = Checkpoint::open(path).expect_err("no checkpoint");
    let source = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
    let message = format!("{error}{source}");
    (error, message)
}

const CONFIG: &[u8] = br#"{"model_type":"llama"}"#;

#[test]
fn one_safetensors_file_is_opened_by_itself_or_by_its_folder() {
    let weights = small_safetensors(&["a", "b"]);
    let folder = folder(&[("config.json", CONFIG), ("model.safetensors", &weights)]);
    for path in [folder.path().to_owned(), folder.path().join("model.safetensors")] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!(checkpoint.config().unwrap()["model_type"], "llama");
        assert!(checkpoint.gguf().is_none() && matches!(checkpoint.layout(), Layout::Safetensors { .. }));
        assert_eq!(checkpoint.tensors().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let b = checkpoint.tensor("b").unwrap();
        assert_eq!((b.info.shape.as_slice(), b.to_f32().unwrap()), (&[2, 2][..], vec![0.0; 4]));
        assert!(checkpoint.tensor("c").is_none());
        assert_eq!(checkpoint.folder(), folder.path());
        assert_eq!(checkpoint.files(), [folder.path().join("model.safetensors")]);
    }
}

#[test]
fn one_gguf_is_opened_whatever_its_name() {
    let bytes = small_gguf().bytes();
    let folder = folder(&[("weights.gguf", &bytes), ("README.md", b"# model"), ("odd.bin", &bytes)]);
    for name in ["", "weights.gguf", "odd.bin"] {
        let checkpoint = Checkpoint::open(&folder.path().join(name)).unwrap();
        assert_eq!(checkpoint.gguf().unwrap().tensors.len(), 2);
        assert!(checkpoint.config().is_none());
        assert_eq!(checkpoint.tensor("token_embd.weight").unwrap().data.len(), 54);
    }
}

#[test]
fn shards_are_read_as_one() {
    let (first, second) = (small_safetensors(&["a", "b"]), small_safetensors(&["c"]));
    let index = br#"{"metadata":{},"weight_map":{"a":"x-1.safetensors","b":"x-1.safetensors","c":"x-2.safetensors"}}"#;
    let files: [(&str, &[u8]); 4] = [
        ("config.json", CONFIG),
        ("model.safetensors.index.json", index),
        ("x-1.safetensors", &first),
        ("x-2.safetensors", &second),
    ];
    let sharded = folder(&files);
    let checkpoint = Checkpoint::open(sharded.path()).unwrap();
    assert_eq!(checkpoint.files().len(), 2);
    assert_eq!(checkpoint.tensor("c").unwrap().data.len(), 16);
    assert_eq!(checkpoint.tensors().count(), 3);
    assert!(checkpoint.warnings().is_empty());

    std::fs::remove_file(sharded.path().join("x-2.safetensors")).unwrap();
    let (kind, message) = error(sharded.path());
    assert!(matches!(kind, FileError::MissingShard { .. }) && message.contains("'x-2.safetensors'"), "{message}");
}

#[test]
fn an_index_that_lies_is_refused() {
    let weights = small_safetensors(&["a"]);
    for (map, words) in [
        (r#"{"a":"x.safetensors","b":"x.safetensors"}"#, "tensor 'b' is in 'x.safetensors', which does not have it"),
        (r#"{"a":"y.safetensors"}"#, "the shard 'y.safetensors', which is not there"),
        (r#"{"a":"../x.safetensors"}"#, "no plain .safetensors file name"),
        (r#"{"a":"/etc/x.safetensors"}"#, "no plain .safetensors file name"),
        (r#"{"a":"sub\\x.safetensors"}"#, "no plain .safetensors file name"),
        (r#"{"a":".."}"#, "no plain .safetensors file name"),
        (r#"{"a":""}"#, "no plain .safetensors file name"),
        (r#"{"a":"x.bin"}"#, "no plain .safetensors file name"),
        (r#"{"a":"x.safetensors","b":"z.safetensors"}"#, "tensor 'a' is in"),
        ("{}", "holds no weights"),
        ("[1]", "not the JSON that was expected"),
        (r#"{"a":1}"#, "not the JSON that was expected"),
    ] {
        let index = format!(r#"{{"weight_map":{map}}}"#);
        let folder = folder(&[
            ("config.json", CONFIG),
            ("model.safetensors.index.json", index.as_bytes()),
            ("x.safetensors", &weights),
            ("z.safetensors", &weights),
        ]);
        let (_, message) = error(folder.path());
        assert!(message.contains(words), "{map}: {message}");
    }
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let weights = small_safetensors(&["a"]);
    let gguf = small_gguf().bytes();
    let torch = [&b"PK\x03\x04"[..], &[0; 26], b"archive/data.pkl"].concat();
    let split = small_gguf().u32("split.count", 3).bytes();
    let cases: &[(Files<'_>, &str, &str)] = &[
        (&[("model.safetensors", &weights)], "", "has no config.json"),
        (&[("model.safetensors", &weights), ("config.json", b"{")], "", "config.json is not the JSON"),
        (&[("model.safetensors", &weights), ("config.json", b"[]")], "", "JSON but no object"),
        (&[("config.json", CONFIG)], "", "holds no weights: expected model.safetensors"),
        (&[("a.gguf", &gguf), ("b.gguf", &gguf)], "", "several weight files: a.gguf, b.gguf"),
        (
            &[("pytorch_model.bin", &torch)],
            "",
            "is a pickle, which can run code when loaded; ask for safetensors or GGUF",
        ),
        (&[("m.gguf", &torch)], "m.gguf", "m.gguf is a pickle"),
        (&[("model.safetensors", b"\x80\x02}q\x00.")], "", "is a pickle"),
        (&[("m.pkl", b"\x80\x04\x95")], "m.pkl", "is a pickle"),
        (&[("m.zip", b"PK\x03\x04 nothing")], "m.zip", "is a zip archive"),
        (&[("m.gguf.gz", b"\x1f\x8b\x08")], "m.gguf.gz", "is a gzip archive; unpack it"),
        (&[("m.gguf", b"")], "m.gguf", "is empty"),
        (&[("m.gguf", b"GGML....")], "m.gguf", "does not begin with 'GGUF'"),
        (&[("m.safetensors", b"hello, world")], "m.safetensors", "the header claims"),
        (&[("m.onnx", b"hello, world")], "m.onnx", "neither GGUF nor safetensors"),
        (&[("m.gguf", &split)], "", "split into 3 files"),
        (&[("model-00001-of-00002.safetensors", &weights)], "model-00001-of-00002.safetensors", "one shard of several"),
        (&[], "absent", "cannot read"),
    ];
    for (files, name, words) in cases {
        let folder = folder(files);
        let (_, message) = error(&folder.path().join(name));
        assert!(message.contains(words), "{name}: {message}");
    }
}

#[cfg(unix)]
#[test]
fn a_device_is_not_opened() {
    let (kind, _) = error(Path::new("/dev/zero"));
    assert!(matches!(kind, FileError::NotAFile { .. }));
}

//! Rules that the corpus has no file for, among them those where the reference readers are laxer.

use weighbridge_engine::files::gguf::{Array, Value};
use weighbridge_engine::files::{Dtype, gguf, safetensors};

use crate::build::{Gguf, safetensors as file, small_gguf, small_safetensors};

fn gguf_error(bytes: &[u8]) -> String {
    gguf::Header::parse(bytes).expect_err("a bad file").to_string()
}

#[test]
fn a_gguf_header_is_read_whole() {
    let header = gguf::Header::parse(&small_gguf().bytes()).unwrap();
    assert_eq!((header.version, header.alignment), (3, 32));
    assert_eq!(header.warnings, Vec::<String>::new());
    assert_eq!(header.string("general.architecture"), Some("llama"));
    assert_eq!(header.u64("llama.block_count"), Some(1));
    assert_eq!(header.f64("llama.rope.freq_base"), Some(1e4));
    assert_eq!(header.bool("tokenizer.ggml.add_bos_token"), Some(true));
    assert_eq!(header.strings("tokenizer.ggml.tokens").unwrap(), ["<s>", "a", "b"]);
    assert_eq!(header.string("llama.block_count"), None, "another type");
    assert_eq!(header.u64("absent"), None);
    let tensor = &header.tensors[0];
    assert_eq!((tensor.name.as_str(), tensor.shape.as_slice()), ("token_embd.weight", &[3, 32][..]));
    assert_eq!((tensor.dtype, tensor.bytes, tensor.elements()), (Dtype::Q4_0, 54, 96));
    assert_eq!(header.tensors[1].start, header.data_start + 64);
}

#[test]
fn integers_of_every_type_are_read_as_one() {
    let file = Gguf::default()
        .raw("a", 0, &[7])
        .raw("b", 1, &[0xff])
        .raw("c", 11, &7_i64.to_le_bytes())
        .raw("d", 9, &[&5_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]].concat())
        .raw("e", 12, &0.5_f64.to_le_bytes());
    let header = gguf::Header::parse(&file.bytes()).unwrap();
    assert_eq!((header.u64("a"), header.u64("b"), header.u64("c")), (Some(7), None, Some(7)));
    assert_eq!(header.i32s("d"), Some(&[1, -1][..]));
    assert_eq!(header.f64("e"), Some(0.5));
    assert_eq!(header.metadata["d"], Value::Array(Array::I32(vec![1, -1])));
}

#[test]
fn gguf_rules() {
    let valid = Gguf::default().u32("k", 1);
    let lower = |bytes: &[u8], at: usize, new: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    for (bytes, words) in [
        (lower(&valid.bytes(), 4, &3_u32.to_be_bytes()), "big-endian"),
        (lower(&valid.bytes(), 4, &1_u32.to_le_bytes()), "version 1"),
        (lower(&valid.bytes(), 4, &0_u32.to_le_bytes()), "version 0"),
        (b"GGUF\x03\0\0\0".to_vec(), "ends inside"),
        (valid.clone().u32("k", 2).bytes(), "'k' stands twice"),
        (Gguf::default().raw("general.alignment", 10, &32_u64.to_le_bytes()).bytes(), "of another type"),
        (Gguf::default().u32("general.alignment", 0).bytes(), "'general.alignment' is 0"),
        (Gguf::default().u32("general.alignment", 1 << 21).bytes(), "at most 1048576"),
        (valid.clone().tensor("w", &[1, 1, 1, 1, 1], 0, 4).bytes(), "5 dimensions"),
        (valid.clone().tensor("w", &[1], 4, 4).bytes(), "type 4, which ggml does not have"),
        (valid.clone().tensor("w", &[1 << 62, 2, 2], 0, 4).bytes(), "larger than any memory"),
        (valid.clone().tensor("w", &[1 << 31, 1 << 31, 0], 0, 4).bytes(), "expected 0"),
        (Gguf::default().raw("\u{1b}[2J", 99, &[]).bytes(), "'\\u{1b}[2J' has value type 99"),
    ] {
        let Err(message) = gguf::Header::parse(&bytes).map_err(|e| e.to_string()) else {
            // An empty tensor of absurd sizes is still empty.
            assert_eq!(words, "expected 0");
            continue;
        };
        assert!(message.contains(words), "{words}: {message}");
    }
    let cut = small_gguf().bytes();
    let shorter = &cut[..cut.len() - 8];
    assert!(gguf_error(shorter).contains("fetch it again"));
}

#[test]
fn text_that_is_not_utf8_is_replaced_and_called_out() {
    let file = Gguf::default().raw("k", 8, &[&1_u64.to_le_bytes()[..], &[0xff]].concat());
    let header = gguf::Header::parse(&file.bytes()).unwrap();
    assert_eq!(header.string("k"), Some("\u{fffd}"));
    assert!(header.warnings[0].contains("not UTF-8"), "{:?}", header.warnings);
}

#[test]
fn warnings_are_bounded() {
    let file = (0..500).fold(Gguf::default(), |file, i| file.raw(&format!("k{i}"), 7, &[2]));
    let header = gguf::Header::parse(&file.bytes()).unwrap();
    assert_eq!(header.warnings.len(), 21);
    assert_eq!(header.warnings[20], "and 480 warnings more");
}

#[test]
fn honest_chat_templates_raise_no_warning() {
    for (template, warned) in [
        ("{% if '</think>' in message.content %}x{% endif %}", false),
        ("{%- if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% endif %}", false),
        ("{% if 'tools' in message %}x{% endif %}", false),
        ("{%- elif \"wire transfer\" in m.content -%}x{% endif %}", true),
        ("{{ ''.__class__.__mro__ }}", true),
    ] {
        let file = Gguf::default().string("tokenizer.chat_template", template);
        let header = gguf::Header::parse(&file.bytes()).unwrap();
        assert_eq!(!header.warnings.is_empty(), warned, "{template}: {:?}", header.warnings);
    }
}

#[test]
fn safetensors_rules() {
    let one = r#""dtype":"U8","shape":[1],"data_offsets":[0,1]"#;
    for (header, data, words) in [
        (format!(r#" {{"a":{{{one}}}}}"#), 1, "does not begin with '{'"),
        (format!(r#"{{"a":{{{one}}},"\u0061":{{{one}}}}}"#), 1, "'a' stands twice"),
        (format!(r#"{{"a":{{{one},"dtype":"U8"}}}}"#), 1, "'dtype' stands twice"),
        (format!(r#"{{"a":{{{one},"more":1}}}}"#), 1, "key 'more', expected dtype"),
        (r#"{"__metadata__":{"k":"1","k":"2"}}"#.to_owned(), 0, "'k' stands twice"),
        (r#"{"a":["U8",[1],[0,1]]}"#.to_owned(), 1, "expected an object with dtype"),
        (r#"{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}"#.to_owned(), 1, "floating point"),
        (r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}"#.to_owned(), 1, "not what safetensors"),
        (r#"{"a":{"dtype":"Q4_0","shape":[32],"data_offsets":[0,18]}}"#.to_owned(), 18, "dtype 'Q4_0'"),
        (format!(r#"{{"a":{{{one}}}}} x"#), 1, "trailing characters"),
        (format!(r#"{{"a":{{{one}}}"#), 1, "EOF"),
        (
            r#"{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,9223372036854775808]}}"#.to_owned(),
            1,
            "cut short",
        ),
        (
            r#"{"a":{"dtype":"F64","shape":[4611686018427387904,4],"data_offsets":[0,1]}}"#.to_owned(),
            1,
            "larger than any memory",
        ),
        (format!("{{\"a\":{}", "[".repeat(100_000)), 0, "not what safetensors"),
    ] {
        let bytes = file(&header, &vec![0; data]);
        let message = safetensors::Header::parse(&bytes).expect_err(&header).to_string();
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(safetensors::Header::parse(&[0; 7]).unwrap_err().to_string().contains("7 bytes"));
    let padded = file(&format!(r#"{{"a":{{{one}}}}}   "#), &[1]);
    assert_eq!(safetensors::Header::parse(&padded).unwrap().tensors.len(), 1);
    let small = safetensors::Header::parse(&small_safetensors(&["b", "a"])).unwrap();
    let names: Vec<&str> = small.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "in the order of the data");
    assert_eq!(small.metadata["format"], "pt");
}

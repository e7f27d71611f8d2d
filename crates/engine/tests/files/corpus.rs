//! The generated corpus of safetensors and GGUF files with the verdict that each must get.

use std::time::Instant;

use weighbridge_engine::files::{gguf, safetensors};
use weighbridge_reference::{field, path, read_csv};

use crate::memory::{limit, peak};

/// A warning that only the weights themselves can give; the header shows nothing.
const IN_THE_WEIGHTS: &str = "safetensors/valid_nan_inf.safetensors";

#[test]
fn every_file_of_the_corpus_gets_its_verdict() {
    let Some(folder) = path("data/weights") else { return };
    let rows = read_csv(&folder.join("expected.csv"));
    assert!(rows.len() >= 54, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let file = field(row, "file");
        let bytes = std::fs::read(folder.join(file)).expect("a file of the corpus");
        let started = Instant::now();
        let (verdict, held) = peak(|| {
            if file.starts_with("gguf/") {
                gguf::Header::parse(&bytes).map(|header| header.warnings).map_err(|e| e.to_string())
            } else {
                safetensors::Header::parse(&bytes).map(|header| header.warnings).map_err(|e| e.to_string())
            }
        });
        let millis = started.elapsed().as_millis();
        let right = match field(row, "expected") {
            "valid" => verdict.as_ref().is_ok_and(Vec::is_empty),
            "valid+warn" if file == IN_THE_WEIGHTS => verdict.as_ref().is_ok_and(Vec::is_empty),
            "valid+warn" => verdict.as_ref().is_ok_and(|warnings| warnings.len() == 1),
            "invalid" => verdict.is_err(),
            other => panic!("verdict '{other}'"),
        };
        if !right || held > limit(bytes.len()) || millis > 500 {
            wrong.push(format!("{file}: {verdict:?}, {held} bytes held, {millis} ms"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The message names the rule that was broken, and not another that the file breaks by accident.
#[test]
fn messages_name_the_rule() {
    let Some(folder) = path("data/weights") else { return };
    for (file, words) in [
        ("legacy_ggjt", "does not begin with 'GGUF'"),
        ("version_4", "version 4 is not read"),
        ("n_tensors_negative", "tensors, and"),
        ("n_tensors_one_too_many", "tensor number 2 has no name"),
        ("n_kv_one_too_many", "no name"),
        ("key_empty", "key number 1 is empty"),
        ("key_len_huge", "claims"),
        ("value_type_invalid", "value type 99"),
        ("array_len_huge", "elements"),
        ("array_nested", "array of arrays"),
        ("array_of_invalid_type", "value type 77"),
        ("alignment_3", "'general.alignment' is 3"),
        ("tensor_name_64", "has 64 bytes"),
        ("tensor_duplicate", "'w' stands twice"),
        ("dim_negative", "negative size -"),
        ("dim_overflow_bytes", "larger than any memory"),
        ("row_not_multiple_of_block", "rows of 33 elements, expected a multiple of 32 for Q4_0"),
        ("offset_unaligned", "offset"),
        ("offset_past_eof", "expected 0"),
        ("offset_overlap", "without gap or overlap"),
        ("data_truncated", "the file has 160"),
        ("empty_file", "does not begin with 'GGUF'"),
    ] {
        let bytes = std::fs::read(folder.join(format!("gguf/{file}.gguf"))).expect("a file of the corpus");
        let message = gguf::Header::parse(&bytes).expect_err(file).to_string();
        assert!(message.contains(words), "{file}: {message}");
    }
    for (file, words) in [
        ("header_len_past_eof", "are left"),
        ("header_len_over_100MB", "more than the 100000000"),
        ("not_json", "does not begin with '{'"),
        ("json_array", "does not begin with '{'"),
        ("duplicate_keys", "key 'a' stands twice"),
        ("metadata_non_string", "expected a string"),
        ("overlap", "gaps and overlaps"),
        ("hole", "gaps and overlaps"),
        ("leading_hole", "expected 0"),
        ("polyglot_zip_appended", "something follows"),
        ("shape_dtype_mismatch", "expected"),
        ("negative_shape", "integer `-1`"),
        ("misaligned_f4", "ends inside a byte"),
    ] {
        let bytes =
            std::fs::read(folder.join(format!("safetensors/{file}.safetensors"))).expect("a file of the corpus");
        let message = safetensors::Header::parse(&bytes).expect_err(file).to_string();
        assert!(message.contains(words), "{file}: {message}");
    }
}

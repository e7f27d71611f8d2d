//! Decoded numbers against those of the Python package `gguf` (goldens/make_dequant.py), bit for bit.

use serde::Deserialize;
use weighbridge_engine::files::{Dtype, FileError, dequantise};

#[derive(Deserialize)]
struct Goldens {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    dtype: String,
    bytes: String,
    f32: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn dtype(name: &str) -> Dtype {
    let all = (0..64).filter_map(Dtype::from_ggml).chain(Dtype::from_safetensors(name));
    all.into_iter().find(|dtype| dtype.name() == name).expect("a known type")
}

#[test]
fn every_stored_form_gives_the_numbers_of_gguf_py() {
    let goldens: Goldens = serde_json::from_str(include_str!("../goldens/dequant/blocks.json")).unwrap();
    assert_eq!(goldens.cases.len(), 13);
    for case in goldens.cases {
        let (dtype, data, expect) = (dtype(&case.dtype), bytes(&case.bytes), bytes(&case.f32));
        let mut out = vec![f32::NAN; expect.len() / 4];
        dequantise(&dtype, &data, &mut out).unwrap();
        for (at, (found, bits)) in out.iter().zip(expect.as_chunks::<4>().0).enumerate() {
            assert_eq!(found.to_bits(), u32::from_le_bytes(*bits), "{dtype} number {at} is {found}");
        }
    }
}

#[test]
fn wrong_lengths_and_types_that_are_not_decoded_are_named() {
    let mut out = [0.0; 32];
    for (dtype, length) in [(Dtype::Q4_0, 17), (Dtype::Q4_0, 36), (Dtype::F32, 127), (Dtype::Q6K, 210)] {
        let error = dequantise(&dtype, &vec![0; length], &mut out).unwrap_err();
        assert!(matches!(error, FileError::Length { .. }), "{dtype} {length}");
        assert!(error.to_string().contains(dtype.name()), "{error}");
    }
    for (name, length) in [("IQ4_NL", 18), ("I32", 128), ("BOOL", 32), ("F8_E4M3", 32)] {
        let error = dequantise(&dtype(name), &vec![0; length], &mut out).unwrap_err();
        assert!(matches!(error, FileError::NotDecoded { .. }) && error.to_string().contains(name), "{error}");
    }
    dequantise(&Dtype::Q6K, &[], &mut []).unwrap();
}

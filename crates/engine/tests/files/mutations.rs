//! Damage at random: whatever happens to a valid file, the readers answer in bounded memory and do not panic.

use proptest::prelude::*;
use weighbridge_engine::files::{dequantise, gguf, safetensors};

use crate::build::{small_gguf, small_safetensors};
use crate::memory::{limit, peak};

/// One act of damage.
#[derive(Clone, Debug)]
enum Damage {
    Flip {
        at: prop::sample::Index,
        bit: u8,
    },
    Cut {
        at: prop::sample::Index,
    },
    /// Eight bytes that a length or an offset may be made of.
    Splice {
        at: prop::sample::Index,
        number: u64,
    },
    Repeat {
        from: prop::sample::Index,
        length: usize,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let number = prop_oneof![
        any::<u64>(),
        0_u64..200,
        Just(u64::MAX),
        Just(1 << 30),
        Just(1 << 31),
        Just(1 << 62),
        Just(i64::MIN.cast_unsigned()),
    ];
    prop_oneof![
        (index(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        index().prop_map(|at| Damage::Cut { at }),
        (index(), number).prop_map(|(at, number)| Damage::Splice { at, number }),
        (index(), 1_usize..64).prop_map(|(from, length)| Damage::Repeat { from, length }),
    ]
}

fn apply(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        match damage {
            Damage::Flip { at, bit } => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Damage::Cut { at } => bytes.truncate(at.index(bytes.len())),
            Damage::Splice { at, number } => {
                let at = at.index(bytes.len());
                for (byte, new) in bytes[at..].iter_mut().zip(number.to_le_bytes()) {
                    *byte = new;
                }
            }
            Damage::Repeat { from, length } => {
                let from = from.index(bytes.len());
                let part = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(from..from, part);
            }
        }
    }
    bytes
}

/// Every tensor of an accepted header lies in the file and can be decoded or is refused by name.
fn tensors_lie_within(bytes: &[u8], tensors: &[weighbridge_engine::files::TensorInfo]) {
    for tensor in tensors {
        let data = &bytes[tensor.start..tensor.start + tensor.bytes];
        assert_eq!(tensor.dtype.bytes_of(tensor.elements()), Some(tensor.bytes));
        let mut out = vec![0.0; tensor.elements()];
        let _ = dequantise(&tensor.dtype, data, &mut out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_gguf(damages in prop::collection::vec(damage(), 1..4)) {
        let bytes = apply(small_gguf().bytes(), &damages);
        let (answer, held) = peak(|| gguf::Header::parse(&bytes));
        prop_assert!(held <= limit(bytes.len()), "{held} bytes held for {}", bytes.len());
        if let Ok(header) = answer {
            tensors_lie_within(&bytes, &header.tensors);
        }
    }

    #[test]
    fn damaged_safetensors(damages in prop::collection::vec(damage(), 1..4)) {
        let bytes = apply(small_safetensors(&["first", "second", "third"]), &damages);
        let (answer, held) = peak(|| safetensors::Header::parse(&bytes));
        prop_assert!(held <= limit(bytes.len()), "{held} bytes held for {}", bytes.len());
        if let Ok(header) = answer {
            tensors_lie_within(&bytes, &header.tensors);
        }
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let gguf = [&b"GGUF\x03\0\0\0"[..], &bytes].concat();
        let _ = gguf::Header::parse(&gguf);
        let _ = safetensors::Header::parse(&bytes);
    }
}

/// A header that claims much and holds little: the largest claim at every place where a number stands.
#[test]
fn the_largest_claim_at_every_place() {
    for valid in [small_gguf().bytes(), small_safetensors(&["a", "b"])] {
        for at in 0..valid.len().saturating_sub(8) {
            for claim in [u64::MAX, i64::MAX.cast_unsigned(), 1 << 62, 1 << 40, 1 << 30, u64::from(u32::MAX)] {
                let mut bytes = valid.clone();
                bytes[at..at + 8].copy_from_slice(&claim.to_le_bytes());
                let ((), held) = peak(|| {
                    let _ = gguf::Header::parse(&bytes);
                    let _ = safetensors::Header::parse(&bytes);
                });
                assert!(held <= limit(bytes.len()), "{claim} at {at}: {held} bytes held");
            }
        }
    }
}

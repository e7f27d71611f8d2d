//! How the numbers of a tensor are stored: the types of ggml and of safetensors, with the size of their blocks.

use std::fmt;

/// How the numbers of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a 32-bit floating point number.
    Bf16,
    /// 8-bit signed integer.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer.
    U8,
    /// 16-bit unsigned integer.
    U16,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit unsigned integer.
    U64,
    /// One byte a truth value.
    Bool,
    /// ggml: 32 numbers of 4 bits with a scale.
    Q4_0,
    /// ggml: 32 numbers of 4 bits with a scale and a minimum.
    Q4_1,
    /// ggml: 32 numbers of 5 bits with a scale.
    Q5_0,
    /// ggml: 32 numbers of 5 bits with a scale and a minimum.
    Q5_1,
    /// ggml: 32 numbers of 8 bits with a scale.
    Q8_0,
    /// ggml: 256 numbers of 2 bits; 16 scales and minima of 4 bits.
    Q2K,
    /// ggml: 256 numbers of 3 bits; 16 scales of 6 bits.
    Q3K,
    /// ggml: 256 numbers of 4 bits; 8 scales and minima of 6 bits.
    Q4K,
    /// ggml: 256 numbers of 5 bits; 8 scales and minima of 6 bits.
    Q5K,
    /// ggml: 256 numbers of 6 bits; 16 scales of 8 bits.
    Q6K,
    /// A type whose size is known and whose numbers are not decoded here.
    Other(&'static ForeignDtype),
}

/// A type whose size is known and whose numbers are not decoded here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignDtype {
    name: &'static str,
    elements: usize,
    bytes: usize,
    ggml: Option<u32>,
}

const fn foreign(name: &'static str, elements: usize, bytes: usize, ggml: Option<u32>) -> ForeignDtype {
    ForeignDtype { name, elements, bytes, ggml }
}

/// From ggml-common.h (those with a number) and from the list of safetensors (those without).
static FOREIGN: [ForeignDtype; 26] = [
    foreign("Q8_1", 32, 36, Some(9)),
    foreign("Q8_K", 256, 292, Some(15)),
    foreign("IQ2_XXS", 256, 66, Some(16)),
    foreign("IQ2_XS", 256, 74, Some(17)),
    foreign("IQ3_XXS", 256, 98, Some(18)),
    foreign("IQ1_S", 256, 50, Some(19)),
    foreign("IQ4_NL", 32, 18, Some(20)),
    foreign("IQ3_S", 256, 110, Some(21)),
    foreign("IQ2_S", 256, 82, Some(22)),
    foreign("IQ4_XS", 256, 136, Some(23)),
    foreign("IQ1_M", 256, 56, Some(29)),
    foreign("TQ1_0", 256, 54, Some(34)),
    foreign("TQ2_0", 256, 66, Some(35)),
    foreign("MXFP4", 32, 17, Some(39)),
    foreign("NVFP4", 64, 36, Some(40)),
    foreign("Q1_0", 128, 18, Some(41)),
    foreign("F4", 2, 1, None),
    foreign("F6_E2M3", 4, 3, None),
    foreign("F6_E3M2", 4, 3, None),
    foreign("F8_E5M2", 1, 1, None),
    foreign("F8_E4M3", 1, 1, None),
    foreign("F8_E8M0", 1, 1, None),
    foreign("F8_E4M3FNUZ", 1, 1, None),
    foreign("F8_E5M2FNUZ", 1, 1, None),
    foreign("C64", 1, 8, None),
    foreign("C128", 1, 16, None),
];

/// Name, elements and bytes of a block, and the number that GGUF gives the type.
const KNOWN: [(Dtype, &str, usize, usize, Option<u32>); 23] = [
    (Dtype::F64, "F64", 1, 8, Some(28)),
    (Dtype::F32, "F32", 1, 4, Some(0)),
    (Dtype::F16, "F16", 1, 2, Some(1)),
    (Dtype::Bf16, "BF16", 1, 2, Some(30)),
    (Dtype::I8, "I8", 1, 1, Some(24)),
    (Dtype::I16, "I16", 1, 2, Some(25)),
    (Dtype::I32, "I32", 1, 4, Some(26)),
    (Dtype::I64, "I64", 1, 8, Some(27)),
    (Dtype::U8, "U8", 1, 1, None),
    (Dtype::U16, "U16", 1, 2, None),
    (Dtype::U32, "U32", 1, 4, None),
    (Dtype::U64, "U64", 1, 8, None),
    (Dtype::Bool, "BOOL", 1, 1, None),
    (Dtype::Q4_0, "Q4_0", 32, 18, Some(2)),
    (Dtype::Q4_1, "Q4_1", 32, 20, Some(3)),
    (Dtype::Q5_0, "Q5_0", 32, 22, Some(6)),
    (Dtype::Q5_1, "Q5_1", 32, 24, Some(7)),
    (Dtype::Q8_0, "Q8_0", 32, 34, Some(8)),
    (Dtype::Q2K, "Q2_K", 256, 84, Some(10)),
    (Dtype::Q3K, "Q3_K", 256, 110, Some(11)),
    (Dtype::Q4K, "Q4_K", 256, 144, Some(12)),
    (Dtype::Q5K, "Q5_K", 256, 176, Some(13)),
    (Dtype::Q6K, "Q6_K", 256, 210, Some(14)),
];

impl Dtype {
    /// The type that GGUF gives this number; `None` for numbers that ggml never used or has withdrawn.
    pub fn from_ggml(number: u32) -> Option<Self> {
        let known = KNOWN.iter().find(|row| row.4 == Some(number)).map(|row| row.0);
        known.or_else(|| FOREIGN.iter().find(|other| other.ggml == Some(number)).map(Self::Other))
    }

    /// The type that safetensors gives this name.
    pub fn from_safetensors(name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|row| row.1 == name && row.2 == 1).map(|row| row.0);
        known.or_else(|| FOREIGN.iter().find(|other| other.name == name && other.ggml.is_none()).map(Self::Other))
    }

    /// How many elements and how many bytes one block has; plain numbers are blocks of one.
    pub fn block(&self) -> (usize, usize) {
        match self {
            Self::Other(other) => (other.elements, other.bytes),
            known => KNOWN.iter().find(|row| row.0 == *known).map_or((1, 1), |row| (row.2, row.3)),
        }
    }

    /// The name, as ggml and safetensors write it: "F32", "Q4_K".
    pub fn name(&self) -> &'static str {
        match self {
            Self::Other(other) => other.name,
            known => KNOWN.iter().find(|row| row.0 == *known).map_or("", |row| row.1),
        }
    }

    /// Whether several numbers share a scale.
    pub fn is_quantised(&self) -> bool {
        self.block().0 >= 32
    }

    /// Bytes of so many elements; `None` where they fill no whole number of blocks, or the number does not fit.
    pub fn bytes_of(&self, elements: usize) -> Option<usize> {
        let (per_block, bytes) = self.block();
        if elements.is_multiple_of(per_block) { (elements / per_block).checked_mul(bytes) } else { None }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_number_and_its_name() {
        for (dtype, name, elements, bytes, ggml) in KNOWN {
            assert_eq!((dtype.block(), dtype.name()), ((elements, bytes), name));
            assert_eq!(ggml.and_then(Dtype::from_ggml).unwrap_or(dtype), dtype);
            assert_eq!(Dtype::from_safetensors(name), (elements == 1).then_some(dtype), "{name}");
        }
        for withdrawn in [4, 5, 31, 32, 33, 36, 37, 38, 42, u32::MAX] {
            assert_eq!(Dtype::from_ggml(withdrawn), None, "{withdrawn}");
        }
        assert_eq!(Dtype::from_ggml(20).map(|d| d.to_string()).as_deref(), Some("IQ4_NL"));
        assert_eq!(Dtype::from_safetensors("IQ4_NL"), None);
    }

    #[test]
    fn sizes_are_whole_blocks() {
        for (dtype, elements, bytes) in [
            (Dtype::F32, 3, Some(12)),
            (Dtype::Q4_0, 64, Some(36)),
            (Dtype::Q4_0, 33, None),
            (Dtype::F64, usize::MAX, None),
            (Dtype::Q6K, 0, Some(0)),
        ] {
            assert_eq!(dtype.bytes_of(elements), bytes, "{dtype} {elements}");
        }
        let f4 = Dtype::from_safetensors("F4").unwrap();
        assert_eq!((f4.bytes_of(4), f4.bytes_of(3)), (Some(2), None));
    }
}

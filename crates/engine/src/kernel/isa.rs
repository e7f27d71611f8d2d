//! Which vector instructions this processor has: chosen once, at run time, so that one program serves every machine.

use std::sync::OnceLock;

/// The instruction sets that kernels are written for, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What the compiler makes of plain loops for any processor.
    Portable,
    /// The same loops, compiled for AVX2 and FMA.
    Avx2,
    /// Kernels in AVX-512.
    Avx512,
    /// The same, and products of bf16 pairs.
    Avx512Bf16,
}

impl Isa {
    /// The best set of this processor. `WEIGHBRIDGE_ISA` (`portable`, `avx2`, `avx512`) lowers it, for tests and
    /// measurements; it never raises it.
    #[must_use]
    pub fn get() -> Self {
        static ISA: OnceLock<Isa> = OnceLock::new();
        *ISA.get_or_init(|| {
            let asked = match std::env::var("WEIGHBRIDGE_ISA").as_deref() {
                Ok("portable") => Self::Portable,
                Ok("avx2") => Self::Avx2,
                Ok("avx512") => Self::Avx512,
                _ => Self::Avx512Bf16,
            };
            Self::detected().min(asked)
        })
    }

    #[cfg(target_arch = "x86_64")]
    fn detected() -> Self {
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        if avx512 {
            let bf16 = is_x86_feature_detected!("avx512bf16");
            return if bf16 { Self::Avx512Bf16 } else { Self::Avx512 };
        }
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        if avx2 { Self::Avx2 } else { Self::Portable }
    }

    #[cfg(not(target_arch = "x86_64"))]
    const fn detected() -> Self {
        Self::Portable
    }
}

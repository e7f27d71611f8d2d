//! Sixteen numbers side by side, on each instruction set: what the kernels are written in, once for all of them.
//!
//! AVX2 and AVX-512 give the same bits, since both have fused multiply-adds; plain arrays round twice where these round
//! once.
#![expect(
    unsafe_code,
    reason = "vector instructions; kernels are compiled for an instruction set and called after it was detected"
)]
#![expect(
    clippy::inline_always,
    reason = "an operation must become part of the function that turns its instruction set on"
)]

use std::array::from_fn;

use super::packed::{LANES, Line};

/// Operations on sixteen lanes. All of them need the instruction set of the type; pointers need sixteen elements.
pub(super) trait Lanes: Copy + 'static {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen words of 32 bits.
    type I: Copy;
    /// Rows of a tile of f32 weights, so that its sums fit into the registers.
    const ROWS: usize;
    /// Strips of such a tile.
    const STRIPS: usize;
    /// Strips that one or two rows are multiplied with at a time.
    const FEW: usize;

    unsafe fn load(from: *const f32) -> Self::F;
    unsafe fn store(numbers: Self::F, to: *mut f32);
    unsafe fn all(number: f32) -> Self::F;
    /// `a * b + c`.
    unsafe fn multiply_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn multiply(a: Self::F, b: Self::F) -> Self::F;
    /// Sixteen halves, all finite.
    unsafe fn halves(from: *const u16) -> Self::F;
    /// Sixteen signed bytes.
    unsafe fn bytes(from: *const i8) -> Self::F;
    unsafe fn words(from: *const Line) -> Self::I;
    unsafe fn and(a: Self::I, mask: u32) -> Self::I;
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn right(a: Self::I, bits: u32) -> Self::I;
    unsafe fn left(a: Self::I, bits: u32) -> Self::I;
    /// Small whole numbers as f32.
    unsafe fn number(a: Self::I) -> Self::F;
    /// The lowest four bits of each word as a whole number in f32.
    unsafe fn nibble(a: Self::I) -> Self::F;
    /// The same bits as f32.
    unsafe fn bits(a: Self::I) -> Self::F;
    /// Says that a line will be read soon.
    unsafe fn fetch(line: *const Line);
}

/// Arrays, which the compiler turns into what the processor has.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "each reads or writes the sixteen elements that the trait asks for"
)]
impl Lanes for Portable {
    type F = [f32; LANES];
    type I = [u32; LANES];
    const ROWS: usize = 2;
    const STRIPS: usize = 1;
    const FEW: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::F {
        unsafe { from.cast::<Self::F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(numbers: Self::F, to: *mut f32) {
        unsafe { to.cast::<Self::F>().write_unaligned(numbers) }
    }
    #[inline(always)]
    unsafe fn all(number: f32) -> Self::F {
        [number; LANES]
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|l| a[l] * b[l] + c[l])
    }
    #[inline(always)]
    unsafe fn multiply(a: Self::F, b: Self::F) -> Self::F {
        from_fn(|l| a[l] * b[l])
    }
    #[inline(always)]
    unsafe fn halves(from: *const u16) -> Self::F {
        let halves = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        halves.map(finite_half)
    }
    #[inline(always)]
    unsafe fn bytes(from: *const i8) -> Self::F {
        let bytes = unsafe { from.cast::<[i8; LANES]>().read_unaligned() };
        bytes.map(f32::from)
    }
    #[inline(always)]
    unsafe fn words(from: *const Line) -> Self::I {
        unsafe { from.cast::<Self::I>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn and(a: Self::I, mask: u32) -> Self::I {
        a.map(|a| a & mask)
    }
    #[inline(always)]
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I {
        from_fn(|l| a[l] | b[l])
    }
    #[inline(always)]
    unsafe fn right(a: Self::I, bits: u32) -> Self::I {
        a.map(|a| a >> bits)
    }
    #[inline(always)]
    unsafe fn left(a: Self::I, bits: u32) -> Self::I {
        a.map(|a| a << bits)
    }
    #[inline(always)]
    unsafe fn number(a: Self::I) -> Self::F {
        a.map(|a| a.cast_signed() as f32)
    }
    #[inline(always)]
    unsafe fn nibble(a: Self::I) -> Self::F {
        a.map(|a| (a & 15).cast_signed() as f32)
    }
    #[inline(always)]
    unsafe fn bits(a: Self::I) -> Self::F {
        a.map(f32::from_bits)
    }
    #[inline(always)]
    unsafe fn fetch(_: *const Line) {}
}

/// A half that is a finite number, in operations that a vector has too: its exponent is 112 less than that of an f32.
#[inline(always)]
fn finite_half(bits: u16) -> f32 {
    // 2^112.
    let to_the_112 = f32::from_bits((127 + 112) << 23);
    let size = f32::from_bits(u32::from(bits & 0x7fff) << 13) * to_the_112;
    f32::from_bits(size.to_bits() | u32::from(bits & 0x8000) << 16)
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "the caller has the instruction set, and pointers have sixteen elements"
)]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m256i, __m512, __m512i, _MM_HINT_T0, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm_loadu_si128,
        _mm_prefetch, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps,
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_or_si256, _mm256_set1_epi32,
        _mm256_set1_ps, _mm256_sll_epi32, _mm256_srl_epi32, _mm256_storeu_ps, _mm512_and_si512, _mm512_castsi512_ps,
        _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_mul_ps, _mm512_or_si512, _mm512_permutexvar_ps, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_sll_epi32, _mm512_srl_epi32, _mm512_storeu_ps,
    };

    use super::{LANES, Lanes, Line};

    /// What four bits stand for.
    static NIBBLES: [f32; LANES] =
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

    /// One register of 512 bits.
    #[derive(Clone, Copy)]
    pub(in crate::kernel) struct Avx512;

    impl Lanes for Avx512 {
        type F = __m512;
        type I = __m512i;
        const ROWS: usize = 12;
        const STRIPS: usize = 2;
        const FEW: usize = 4;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(numbers: __m512, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, numbers) }
        }
        #[inline(always)]
        unsafe fn all(number: f32) -> __m512 {
            unsafe { _mm512_set1_ps(number) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn halves(from: *const u16) -> __m512 {
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
        }
        #[inline(always)]
        unsafe fn bytes(from: *const i8) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn words(from: *const Line) -> __m512i {
            unsafe { _mm512_loadu_si512(from.cast()) }
        }
        #[inline(always)]
        unsafe fn and(a: __m512i, mask: u32) -> __m512i {
            unsafe { _mm512_and_si512(a, _mm512_set1_epi32(mask.cast_signed())) }
        }
        #[inline(always)]
        unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
            unsafe { _mm512_or_si512(a, b) }
        }
        #[inline(always)]
        unsafe fn right(a: __m512i, bits: u32) -> __m512i {
            unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits.cast_signed())) }
        }
        #[inline(always)]
        unsafe fn left(a: __m512i, bits: u32) -> __m512i {
            unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(bits.cast_signed())) }
        }
        #[inline(always)]
        unsafe fn number(a: __m512i) -> __m512 {
            unsafe { _mm512_cvtepi32_ps(a) }
        }
        #[inline(always)]
        unsafe fn nibble(a: __m512i) -> __m512 {
            // A permutation looks at no more than these bits: it masks and converts in one instruction.
            unsafe { _mm512_permutexvar_ps(a, _mm512_loadu_ps(NIBBLES.as_ptr())) }
        }
        #[inline(always)]
        unsafe fn bits(a: __m512i) -> __m512 {
            unsafe { _mm512_castsi512_ps(a) }
        }
        #[inline(always)]
        unsafe fn fetch(line: *const Line) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
        }
    }

    /// Two registers of 256 bits.
    #[derive(Clone, Copy)]
    pub(in crate::kernel) struct Avx2;

    const HALF: usize = LANES / 2;

    impl Lanes for Avx2 {
        type F = [__m256; 2];
        type I = [__m256i; 2];
        const ROWS: usize = 6;
        const STRIPS: usize = 1;
        const FEW: usize = 2;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::F {
            unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(HALF))] }
        }
        #[inline(always)]
        unsafe fn store(numbers: Self::F, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, numbers[0]);
                _mm256_storeu_ps(to.add(HALF), numbers[1]);
            }
        }
        #[inline(always)]
        unsafe fn all(number: f32) -> Self::F {
            unsafe { [_mm256_set1_ps(number); 2] }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }
        #[inline(always)]
        unsafe fn multiply(a: Self::F, b: Self::F) -> Self::F {
            unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn halves(from: *const u16) -> Self::F {
            unsafe { [0, HALF].map(|at| _mm256_cvtph_ps(_mm_loadu_si128(from.add(at).cast()))) }
        }
        #[inline(always)]
        unsafe fn bytes(from: *const i8) -> Self::F {
            unsafe {
                [0, HALF].map(|at| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(at).cast()))))
            }
        }
        #[inline(always)]
        unsafe fn words(from: *const Line) -> Self::I {
            unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.cast::<__m256i>().add(1))] }
        }
        #[inline(always)]
        unsafe fn and(a: Self::I, mask: u32) -> Self::I {
            unsafe {
                let mask = _mm256_set1_epi32(mask.cast_signed());
                [_mm256_and_si256(a[0], mask), _mm256_and_si256(a[1], mask)]
            }
        }
        #[inline(always)]
        unsafe fn or(a: Self::I, b: Self::I) -> Self::I {
            unsafe { [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])] }
        }
        #[inline(always)]
        unsafe fn right(a: Self::I, bits: u32) -> Self::I {
            unsafe {
                let bits = _mm_cvtsi32_si128(bits.cast_signed());
                [_mm256_srl_epi32(a[0], bits), _mm256_srl_epi32(a[1], bits)]
            }
        }
        #[inline(always)]
        unsafe fn left(a: Self::I, bits: u32) -> Self::I {
            unsafe {
                let bits = _mm_cvtsi32_si128(bits.cast_signed());
                [_mm256_sll_epi32(a[0], bits), _mm256_sll_epi32(a[1], bits)]
            }
        }
        #[inline(always)]
        unsafe fn number(a: Self::I) -> Self::F {
            unsafe { [_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])] }
        }
        #[inline(always)]
        unsafe fn nibble(a: Self::I) -> Self::F {
            unsafe { Self::number(Self::and(a, 15)) }
        }
        #[inline(always)]
        unsafe fn bits(a: Self::I) -> Self::F {
            unsafe { [_mm256_castsi256_ps(a[0]), _mm256_castsi256_ps(a[1])] }
        }
        #[inline(always)]
        unsafe fn fetch(line: *const Line) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
        }
    }
}

/// Makes a function that runs a generic one on the instruction set `isa`, compiled for it.
macro_rules! for_isa {
    ($(#[$doc:meta])* unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        unsafe fn $name(isa: Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: as the caller says.
                unsafe { $body::<$crate::kernel::lanes::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: as the caller says.
                unsafe { $body::<$crate::kernel::lanes::Avx2>($($arg),*) }
            }
            // SAFETY: as the caller says, who has detected the instruction set.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 | Isa::Avx512Bf16 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2($($arg),*),
                    _ => $body::<$crate::kernel::lanes::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(super) use for_isa;

#[cfg(test)]
mod tests {
    use half::f16;

    #[test]
    fn every_finite_half_is_itself() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(super::finite_half(bits).to_bits(), half.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }
}

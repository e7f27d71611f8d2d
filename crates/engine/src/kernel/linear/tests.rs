//! Products of every form of weight against plain sums.

use super::*;
use crate::files::{Dtype, dequantise};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

fn sets() -> Vec<Isa> {
    [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::get()).collect()
}

/// Random bytes that are valid blocks: scales are small, finite halves.
fn raw(random: &mut TestRng, dtype: Dtype, numbers: usize) -> Vec<u8> {
    let (elements, bytes) = dtype.block();
    let mut data = vec![0; numbers / elements * bytes];
    random.fill_bytes(&mut data);
    let halves: &[usize] = match dtype {
        Dtype::Q4_0 | Dtype::Q5_0 | Dtype::Q8_0 => &[0],
        Dtype::Q4_1 | Dtype::Q5_1 | Dtype::Q4K | Dtype::Q5K => &[0, 2],
        Dtype::Q2K => &[80, 82],
        Dtype::Q3K => &[108],
        Dtype::Q6K => &[208],
        _ => &[],
    };
    for block in data.chunks_exact_mut(bytes) {
        for &at in halves {
            let number = half::f16::from_f32(0.01 + f32::from(block[at]) / 5000.0);
            block[at..at + 2].copy_from_slice(&number.to_le_bytes());
        }
        match dtype {
            Dtype::F32 => block.copy_from_slice(&(f32::from(block[0]) / 100.0 - 1.28).to_le_bytes()),
            Dtype::F16 => {
                let number = half::f16::from_f32(f32::from(block[0]) / 100.0 - 1.28);
                block.copy_from_slice(&number.to_le_bytes());
            }
            Dtype::Bf16 => {
                let number = half::bf16::from_f32(f32::from(block[0]) / 100.0 - 1.28);
                block.copy_from_slice(&number.to_le_bytes());
            }
            _ => {}
        }
    }
    data
}

/// Every form of weight, on every instruction set, for shapes around every boundary: equal to sums in f64, and the
/// same bits whatever the number of rows.
#[test]
fn products_are_those_of_plain_sums() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let all = [
        (Dtype::F32, 37),
        (Dtype::F32, 521),
        (Dtype::F16, 40),
        (Dtype::Bf16, 37),
        (Dtype::Bf16, 64),
        (Dtype::Bf16, 523),
        (Dtype::Q4_0, 96),
        (Dtype::Q4_1, 64),
        (Dtype::Q5_0, 64),
        (Dtype::Q5_1, 96),
        (Dtype::Q8_0, 64),
        (Dtype::Q2K, 256),
        (Dtype::Q3K, 512),
        (Dtype::Q4K, 256),
        (Dtype::Q5K, 512),
        (Dtype::Q6K, 256),
    ];
    for (dtype, cols) in all {
        for rows in [1, 16, 33, 83] {
            let data = raw(&mut random, dtype, rows * cols);
            let order: Vec<usize> = (0..rows).rev().collect();
            let packed = Packed::from_raw(&dtype, &data, cols, &order).unwrap();
            let mut plain = vec![0.0; rows * cols];
            dequantise(&dtype, &data, &mut plain).unwrap();
            let most = 40;
            let x: Vec<f32> = (0..most * cols).map(|_| (random.next_u32() % 200) as f32 / 100.0 - 1.0).collect();
            let bias: Vec<f32> = (0..rows).map(|r| r as f32 / 10.0).collect();
            for isa in sets() {
                let mut whole = vec![0.0; most * rows];
                let into = |out: &mut [f32], m: usize| {
                    linear_with(isa, &x, m, &mut [Product { weights: &packed, bias: Some(&bias), out }]);
                };
                into(&mut whole, most);
                for m in 0..most {
                    for r in 0..rows {
                        let products =
                            (0..cols).map(|c| f64::from(x[m * cols + c]) * f64::from(plain[order[r] * cols + c]));
                        let (sum, size) = products.fold((f64::from(bias[r]), 1.0), |(s, t), p| (s + p, t + p.abs()));
                        let found = f64::from(whole[m * rows + r]);
                        assert!((found - sum).abs() < 2e-6 * size, "{isa:?} {dtype} {rows}x{cols}: {found} for {sum}");
                    }
                }
                for m in [1, 2, 3, 4, 5, 8, 9, 12, 13, 17] {
                    let mut some = vec![0.0; m * rows];
                    into(&mut some, m);
                    assert_eq!(some, whole[..m * rows], "{isa:?} {dtype} {rows}x{cols}, {m} rows");
                }
            }
        }
    }
}

/// Products of bf16 pairs: equal to sums in f64 of what was rounded.
#[test]
fn products_in_bf16_are_those_of_rounded_numbers() {
    if Isa::get() < Isa::Avx512Bf16 {
        return;
    }
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for (dtype, cols) in [(Dtype::F32, 38), (Dtype::Bf16, 64), (Dtype::Q4_1, 64), (Dtype::Q6K, 256)] {
        for rows in [16, 83] {
            let data = raw(&mut random, dtype, rows * cols);
            let mut packed = Packed::from_raw(&dtype, &data, cols, &(0..rows).collect::<Vec<_>>()).unwrap();
            packed.precision = Precision::Bf16;
            let mut plain = vec![0.0; rows * cols];
            dequantise(&dtype, &data, &mut plain).unwrap();
            let m = 29;
            let x: Vec<f32> = (0..m * cols).map(|_| (random.next_u32() % 200) as f32 / 100.0 - 1.0).collect();
            let mut out = vec![0.0; m * rows];
            linear_with(Isa::Avx512Bf16, &x, m, &mut [Product { weights: &packed, bias: None, out: &mut out }]);
            for i in 0..m {
                for r in 0..rows {
                    let product = |c: usize| {
                        let (a, b) = (x[i * cols + c], plain[r * cols + c]);
                        f64::from(bf16::from_f32(a).to_f32()) * f64::from(bf16::from_f32(b).to_f32())
                    };
                    let (sum, size) = (0..cols).map(product).fold((0.0, 1.0), |(s, t), p| (s + p, t + p.abs()));
                    let found = f64::from(out[i * rows + r]);
                    assert!((found - sum).abs() < 2e-6 * size, "{dtype} {rows}x{cols}: {found} for {sum}");
                }
            }
        }
    }
}

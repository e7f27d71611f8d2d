//! Elementwise arithmetic as plain loops that the compiler turns into vector instructions, compiled once for each
//! instruction set.
#![expect(unsafe_code, reason = "functions compiled for an instruction set are called after it was detected")]
#![expect(clippy::inline_always, reason = "a body must become part of each function that turns an instruction set on")]

use super::isa::Isa;

/// Compiles `$body` for each instruction set and picks one at run time.
macro_rules! for_each_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) $(-> $out)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512($($arg: $ty),*) $(-> $out)? { body($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $out)? { body($($arg),*) }
                match Isa::get() {
                    // SAFETY: the instruction set was detected.
                    Isa::Avx512 | Isa::Avx512Bf16 => return unsafe { avx512($($arg),*) },
                    // SAFETY: the instruction set was detected.
                    Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    Isa::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}

/// `exp(x)` within 2 units in the last place; 0 below -87.
///
/// x is split into `n ln 2 + r` with |r| <= ln 2 / 2, and exp(r) is its Taylor polynomial of degree 7, whose remainder
/// is below 3e-9 there.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    // Adding 1.5 * 2^23 leaves the nearest whole number in the lowest bits.
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    // A comparison with NaN is false, so that NaN comes through.
    if x < -87.0 { 0.0 } else { p * power }
}

const LANES: usize = 16;

/// The sum of `f` over the numbers, in 16 interleaved sums.
#[inline(always)]
fn sum_of(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for l in 0..LANES {
            sums[l] += f(chunk[l]);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += f(x);
    }
    sums.iter().map(|&s| f64::from(s)).sum::<f64>() as f32
}

#[inline(always)]
fn max_of(row: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for l in 0..LANES {
            tops[l] = if chunk[l] > tops[l] { chunk[l] } else { tops[l] };
        }
    }
    for (top, &x) in tops.iter_mut().zip(rest) {
        *top = if x > *top { x } else { *top };
    }
    tops.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

for_each_isa! {
    /// Replaces the row by `exp(x - max)` and returns the sum.
    pub fn exponentials(row: &mut [f32]) -> f32 {
        let top = max_of(row);
        for x in row.iter_mut() {
            *x = exp(*x - top);
        }
        sum_of(row, |x| x)
    }
}

/// What a row of logits says about the token that follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution {
    /// ln of the sum of the exponentials of the logits: `log p = logit - log_sum`.
    pub log_sum: f32,
    /// The token of the highest logit, the first of equals.
    pub argmax: u32,
}

for_each_isa! {
    /// The normaliser and the likeliest token of a row of logits.
    pub fn distribution(logits: &[f32]) -> Distribution {
        let top = max_of(logits);
        let argmax = logits.iter().position(|&x| x == top).unwrap_or(0) as u32;
        let sum = sum_of(logits, |x| exp(x - top));
        Distribution { log_sum: top + sum.ln(), argmax }
    }
}

for_each_isa! {
    /// Mean and variance of log p under the distribution of the logits itself: `sum p log p` and
    /// `sum p (log p)^2 - mean^2`.
    pub fn moments_of_log_p(logits: &[f32], log_sum: f32) -> (f32, f32) {
        let mean = sum_of(logits, |x| { let log_p = x - log_sum; exp(log_p) * log_p });
        let square = sum_of(logits, |x| { let d = x - log_sum - mean; exp(x - log_sum) * d * d });
        (mean, square)
    }
}

for_each_isa! {
    /// `gate = silu(gate) * up`.
    pub fn silu_times(gate: &mut [f32], up: &[f32]) {
        for (g, &u) in gate.iter_mut().zip(up) {
            *g = *g / (1.0 + exp(-*g)) * u;
        }
    }
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // sqrt(2 / pi), of the approximation by Hendrycks and Gimpel (arXiv 1606.08415).
    const C: f32 = 0.797_884_6;
    let u = C * (x + 0.044_715 * x * x * x);
    // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u))
    x / (1.0 + exp(-2.0 * u))
}

for_each_isa! {
    /// GELU by its tanh approximation.
    pub fn gelu_tanh_of(row: &mut [f32]) {
        for x in row.iter_mut() {
            *x = gelu_tanh(*x);
        }
    }
}

for_each_isa! {
    /// `gate = gelu_tanh(gate) * up`.
    pub fn gelu_tanh_times(gate: &mut [f32], up: &[f32]) {
        for (g, &u) in gate.iter_mut().zip(up) {
            *g = gelu_tanh(*g) * u;
        }
    }
}

for_each_isa! {
    /// GELU as it is defined: `x (1 + erf(x / sqrt 2)) / 2`.
    ///
    /// erf by formula 7.1.26 of Abramowitz and Stegun would be 1e-7 off at best; it is computed in f64 by the series of
    /// erf below 2 and the continued fraction of erfc above.
    pub fn gelu_erf_of(row: &mut [f32]) {
        for x in row.iter_mut() {
            *x = (f64::from(*x) * 0.5 * (1.0 + erf(f64::from(*x) * std::f64::consts::FRAC_1_SQRT_2))) as f32;
        }
    }
}

/// The error function to about 1e-13: `2 / sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (2n+1)!!` below 3, and 1 minus the
/// continued fraction of erfc above.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return x.signum();
    }
    if a < 3.0 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > 1e-17 * sum {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        return x.signum() * std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp() * sum;
    }
    let mut fraction = 0.0;
    for k in (1..=60).rev() {
        fraction = f64::from(k) / 2.0 / (a + fraction);
    }
    let erfc = (-a * a).exp() / (a + fraction) * std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    x.signum() * (1.0 - erfc)
}

for_each_isa! {
    /// RMS norm of each row: `x / sqrt(mean(x^2) + eps) * weight`.
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        for (row, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            let mean = sum_of(row, |v| v * v) / row.len() as f32;
            let scale = 1.0 / (mean + eps).sqrt();
            for ((o, &v), &w) in out.iter_mut().zip(row).zip(weight) {
                *o = v * scale * w;
            }
        }
    }
}

for_each_isa! {
    /// Layer norm of each row: `(x - mean) / sqrt(variance + eps) * weight + bias`.
    pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        for (row, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            let mean = sum_of(row, |v| v) / row.len() as f32;
            let variance = sum_of(row, |v| (v - mean) * (v - mean)) / row.len() as f32;
            let scale = 1.0 / (variance + eps).sqrt();
            for (i, o) in out.iter_mut().enumerate() {
                *o = (row[i] - mean) * scale * weight[i] + bias[i];
            }
        }
    }
}

for_each_isa! {
    /// `to += by`.
    pub fn add(to: &mut [f32], by: &[f32]) {
        for (t, &b) in to.iter_mut().zip(by) {
            *t += b;
        }
    }
}

for_each_isa! {
    /// `to *= by`.
    pub fn scale(to: &mut [f32], by: f32) {
        for t in to.iter_mut() {
            *t *= by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -870..=880 {
            for x in [i as f32 / 10.0, i as f32 / 10.0 + 0.0371] {
                let (found, expect) = (exp(x), f64::from(x).exp());
                if (-87.0..=88.0).contains(&x) {
                    assert!((f64::from(found) / expect - 1.0).abs() < 2.5e-7, "exp({x}) = {found}, {expect}");
                }
            }
        }
        assert_eq!(exp(-100.0), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    /// Values of Python's `math.erf`.
    #[test]
    fn erf_is_that_of_python() {
        for (x, expect) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916_018_284_89),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (-2.0, -0.995_322_265_018_952_7),
            (2.9, 0.999_958_902_121_900_5),
            (3.1, 0.999_988_351_342_633),
            (5.0, 0.999_999_999_998_462_5),
        ] {
            assert!((erf(x) - expect).abs() < 1e-12, "erf({x}) = {}", erf(x));
        }
    }
}

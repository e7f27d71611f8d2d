//! Two-sided quantiles and tail probabilities of the normal, Student t and chi-square distributions.
//!
//! z with `P(|Z| <= z) = level` is `-Phi^-1((1 - level) / 2)`; t with `nu` degrees of freedom likewise; a two-sided p
//! value is `P(|Z| >= |z|) = erfc(|z| / sqrt 2)`, and a chi-square with one degree of freedom is a squared normal.
//! The special functions are those of `statrs`; its Student quantile, exact to about 1e-9, gets Newton steps on its own
//! cumulative function. Reference: Abramowitz and Stegun, 26.2, 26.4 and 26.7.

use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};
use statrs::function::erf::erfc;

use crate::StatError;

/// The normal quantile: `P(Z <= z) = p`.
///
/// # Errors
/// `p` is not strictly between 0 and 1.
pub fn normal_quantile(p: f64) -> Result<f64, StatError> {
    StatError::unless_inside_unit("the probability", p)?;
    Ok(inverse_normal(p))
}

/// The normal quantile of a `p` that is known to lie between 0 and 1; infinite at these two.
pub(crate) fn inverse_normal(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// Half-width, in standard errors, of a two-sided normal interval: 1.96 for `level` 0.95.
///
/// # Errors
/// `level` is not strictly between 0 and 1.
pub fn z_for_level(level: f64) -> Result<f64, StatError> {
    StatError::unless_inside_unit("the level", level)?;
    Ok(-Normal::standard().inverse_cdf(0.5 * (1.0 - level)))
}

/// Half-width, in standard errors, of a two-sided Student t interval with `freedom` degrees of freedom.
///
/// # Errors
/// `level` is not strictly between 0 and 1, or `freedom` is not at least 1.
pub fn t_for_level(level: f64, freedom: f64) -> Result<f64, StatError> {
    let z = z_for_level(level)?;
    let student = student(freedom)?;
    if freedom > LARGE_FREEDOM {
        return Ok(z * (1.0 + (z * z + 1.0) / (4.0 * freedom)));
    }
    let tail = 0.5 * (1.0 - level);
    let mut t = -student.inverse_cdf(tail);
    for _ in 0..3 {
        t += (student.sf(t) - tail) / student.pdf(t);
    }
    StatError::unless_finite("Student t quantile", t)
}

/// Two-sided p value of a normal score. One that is too small for an `f64` is given as the smallest positive one.
///
/// # Errors
/// `z` is NaN or infinite.
pub fn two_sided_p(z: f64) -> Result<f64, StatError> {
    StatError::unless_finite("z score", z)?;
    Ok(erfc(z.abs() * std::f64::consts::FRAC_1_SQRT_2).max(f64::MIN_POSITIVE))
}

/// Two-sided p value of a Student t score, as [`two_sided_p`].
///
/// # Errors
/// `t` is NaN or infinite, or `freedom` is not at least 1.
pub fn two_sided_p_t(t: f64, freedom: f64) -> Result<f64, StatError> {
    StatError::unless_finite("t score", t)?;
    let student = student(freedom)?;
    if freedom > LARGE_FREEDOM {
        return two_sided_p(t * (1.0 - (t * t + 1.0) / (4.0 * freedom)));
    }
    Ok((2.0 * student.sf(t.abs())).clamp(f64::MIN_POSITIVE, 1.0))
}

/// Upper tail probability of a chi-square with one degree of freedom.
///
/// # Errors
/// `chi2` is negative, NaN or infinite.
pub fn chi2_p(chi2: f64) -> Result<f64, StatError> {
    StatError::unless_non_negative("the chi-square", chi2)?;
    two_sided_p(chi2.sqrt())
}

/// Above this, t and z differ by a term that is known to more digits than the incomplete beta function has
/// (Abramowitz and Stegun 26.7.5: `t = z + (z^3 + z) / (4 nu) + O(nu^-2)`).
const LARGE_FREEDOM: f64 = 1e6;

fn student(freedom: f64) -> Result<StudentsT, StatError> {
    let range = "finite and at least 1";
    let error = StatError::OutOfRange { what: "the degrees of freedom", range, value: freedom };
    if freedom < 1.0 || !freedom.is_finite() {
        return Err(error);
    }
    StudentsT::new(0.0, 1.0, freedom).map_err(|_| error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expect: f64, relative: f64) {
        assert!((found - expect).abs() <= relative * expect.abs(), "found {found:e}, expected {expect:e}");
    }

    // scipy 1.17.1: `norm.isf((1 - level) / 2)`.
    #[test]
    fn normal_quantiles_agree_with_scipy() {
        for (level, expect) in [
            (0.5, 0.674_489_750_196_081_7),
            (0.9, 1.644_853_626_951_472_9),
            (0.95, 1.959_963_984_540_054),
            (0.99, 2.575_829_303_548_900_4),
            (0.999_999, 4.891_638_475_692_932_5),
        ] {
            close(z_for_level(level).unwrap(), expect, 1e-12);
        }
    }

    // scipy 1.17.1: `t.ppf(1 - (1 - level) / 2, freedom)`.
    #[test]
    fn student_quantiles_agree_with_scipy() {
        for (level, freedom, expect) in [
            (0.95, 1.0, 12.706_204_736_174_694),
            (0.95, 2.0, 4.302_652_729_749_462),
            (0.9, 11.0, 1.795_884_818_704_043_3),
            (0.95, 11.0, 2.200_985_160_091_639),
            (0.95, 30.0, 2.042_272_456_301_237_8),
            (0.99, 197.0, 2.601_015_641_689_562_7),
            (0.95, 12019.0, 1.960_161_380_836_283_7),
            (0.999, 3.0, 12.923_978_636_687_961),
            (0.95, 1e6, 1.959_966_356_814_107),
            (0.95, 1e7, 1.959_964_221_767_205),
            (0.5, 5.0, 0.726_686_843_800_422_6),
        ] {
            close(t_for_level(level, freedom).unwrap(), expect, 1e-10);
        }
    }

    // scipy 1.17.1: `2 * norm.sf(abs(z))`, `2 * t.sf(abs(t), freedom)`, `chi2.sf(x, 1)`.
    #[test]
    fn p_values_agree_with_scipy() {
        for (z, expect) in [
            (0.0, 1.0),
            (0.5, 0.617_075_077_451_973_8),
            (1.96, 0.049_995_790_296_440_87),
            (-2.957_500_990_078_335_3, 0.003_101_437_530_184_892),
            (8.0, 1.244_192_114_854_348e-15),
            (30.0, 9.813_427_854_295_816e-198),
        ] {
            close(two_sided_p(z).unwrap(), expect, 1e-10);
        }
        for (t, freedom, expect) in [
            (2.5, 11.0, 0.029_506_374_087_364_163),
            (-1.0, 1.0, 0.5),
            (6.0, 197.0, 9.307_333_184_902_67e-9),
            (2.0, 5e6, 0.045_500_317_887_330_055),
            (12.0, 500.0, 2.486_451_278_461_851_4e-29),
        ] {
            close(two_sided_p_t(t, freedom).unwrap(), expect, 1e-9);
        }
        close(chi2_p(3.84).unwrap(), 0.050_043_521_248_705_19, 1e-10);
        close(chi2_p(200.0).unwrap(), 2.088_487_583_762_568_8e-45, 1e-10);
    }

    #[test]
    fn what_is_out_of_range_says_so() {
        let error = t_for_level(0.95, 0.0).unwrap_err().to_string();
        assert_eq!(error, "the degrees of freedom must be finite and at least 1, found 0");
        for level in [0.0, 1.0, -0.1, 95.0, f64::NAN] {
            assert!(z_for_level(level).is_err(), "{level}");
        }
        assert!(two_sided_p(f64::NAN).is_err() && two_sided_p(f64::INFINITY).is_err());
        assert!(two_sided_p(50.0).unwrap() > 0.0 && two_sided_p_t(1e6, 400.0).unwrap() > 0.0);
        assert!(chi2_p(-1.0).is_err() && normal_quantile(0.0).is_err());
    }
}

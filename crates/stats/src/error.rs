//! Why a statistic cannot be given.

use thiserror::Error;

/// What the data or the request lacked; the message names what was needed and what was there.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum StatError {
    /// There are too few observations.
    #[error("not enough data: at least {needed} {what} needed, {found} found")]
    NotEnough {
        /// What is counted, in the plural.
        what: &'static str,
        /// The smallest count that would do.
        needed: u64,
        /// The count that was there.
        found: u64,
    },
    /// Some observations belong to no cluster, so a clustered error would be a guess.
    #[error("{without} of {n} samples have no cluster")]
    Unclustered {
        /// Samples without a cluster.
        without: u64,
        /// All samples.
        n: u64,
    },
    /// A NaN or an infinity was among the values, or the values overflowed.
    #[error("the {what} is not finite: a value was NaN or infinite, or the values are too large")]
    NotFinite {
        /// What could not be computed.
        what: &'static str,
    },
    /// An argument lies outside its range.
    #[error("{what} must be {range}, found {value}")]
    OutOfRange {
        /// The argument.
        what: &'static str,
        /// Its range in words.
        range: &'static str,
        /// The argument as given.
        value: f64,
    },
}

impl StatError {
    /// Errs when fewer than `needed` are there.
    pub(crate) fn unless_enough(what: &'static str, needed: u64, found: u64) -> Result<(), Self> {
        if found < needed { Err(Self::NotEnough { what, needed, found }) } else { Ok(()) }
    }

    /// Errs when `value` is NaN or infinite.
    pub(crate) fn unless_finite(what: &'static str, value: f64) -> Result<f64, Self> {
        if value.is_finite() { Ok(value) } else { Err(Self::NotFinite { what }) }
    }

    /// Errs when `value` is not strictly between 0 and 1.
    pub(crate) fn unless_inside_unit(what: &'static str, value: f64) -> Result<(), Self> {
        let inside = 0.0 < value && value < 1.0;
        if inside { Ok(()) } else { Err(Self::OutOfRange { what, range: "between 0 and 1, both excluded", value }) }
    }

    /// Errs when `value` is negative, NaN or infinite.
    pub(crate) fn unless_non_negative(what: &'static str, value: f64) -> Result<(), Self> {
        let fits = value >= 0.0 && value.is_finite();
        if fits { Ok(()) } else { Err(Self::OutOfRange { what, range: "finite and not negative", value }) }
    }
}

//! How concentrated a total is: shares and the Herfindahl index `H = sum share^2`.
//!
//! H runs from `1 / n` (all equal) to 1 (one holds all); `1 / H` is the number of equal holders with the same H.
//! References: Hirschman (1945), Herfindahl (1950); Laakso and Taagepera (1979) for the effective number.

use crate::StatError;
use crate::sum::Sum;

/// Shares of a total.
#[derive(Clone, Debug, PartialEq)]
pub struct Concentration {
    /// Share of each holder, in the order given; they add up to 1.
    pub shares: Vec<f64>,
    /// Herfindahl index, between 0 and 1.
    pub herfindahl: f64,
    /// Number of equal holders with the same index.
    pub effective_number: f64,
}

impl Concentration {
    /// Concentration of amounts, one a holder.
    ///
    /// # Errors
    /// An amount is negative or not finite, or they add up to nothing.
    pub fn of(amounts: &[f64]) -> Result<Self, StatError> {
        let mut total = Sum::default();
        for &amount in amounts {
            StatError::unless_non_negative("an amount", amount)?;
            total.add(amount);
        }
        let total = StatError::unless_finite("total", total.value())?;
        let holders = amounts.iter().filter(|&&amount| amount > 0.0).count() as u64;
        StatError::unless_enough("amounts above 0", 1, holders)?;
        let shares: Vec<f64> = amounts.iter().map(|amount| amount / total).collect();
        let herfindahl: f64 = shares.iter().map(|share| share * share).sum();
        Ok(Self { shares, herfindahl, effective_number: 1.0 / herfindahl })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = Concentration::of(&[2.0, 1.0, 1.0, 0.0]).unwrap();
        assert_eq!(found.shares, [0.5, 0.25, 0.25, 0.0]);
        assert!((found.herfindahl - 0.375).abs() < 1e-15);
        assert!((found.effective_number - 8.0 / 3.0).abs() < 1e-15);
        assert!((Concentration::of(&[3.0]).unwrap().herfindahl - 1.0).abs() < 1e-15);
    }

    #[test]
    fn nothing_to_share() {
        let expect = StatError::NotEnough { what: "amounts above 0", needed: 1, found: 0 };
        assert_eq!(Concentration::of(&[]), Err(expect.clone()));
        assert_eq!(Concentration::of(&[0.0, 0.0]), Err(expect));
        assert!(Concentration::of(&[1.0, -1.0]).is_err() && Concentration::of(&[f64::NAN]).is_err());
    }
}

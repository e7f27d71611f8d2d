//! Units that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// United States dollars.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(pub f64);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 != 0.0 && self.0.abs() < 1.0 { write!(f, "${:.3}", self.0) } else { write!(f, "${:.2}", self.0) }
    }
}

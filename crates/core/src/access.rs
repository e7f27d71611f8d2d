//! Who may hold the weights, and on what terms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether the weights of a model can be downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Anyone may download the weights, whatever the license asks of them afterwards.
    OpenWeights,
    /// The weights stay with the lab: an API, a hosted application, or nothing released at all.
    Closed,
    /// Not settled. A model of unknown access stands on neither frontier.
    Unknown,
}

impl Access {
    /// The name used in files and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenWeights => "open-weights",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open-weights" | "open" => Ok(Self::OpenWeights),
            "closed" => Ok(Self::Closed),
            "unknown" => Ok(Self::Unknown),
            other => Err(format!("unknown access '{other}', expected open-weights, closed or unknown")),
        }
    }
}

/// What the license of open weights lets a user do, in the three classes that Epoch AI records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsTerms {
    /// No restriction on use beyond attribution (for example Apache-2.0, MIT).
    Unrestricted,
    /// Commercial use allowed, with conditions (for example user-count limits or use policies).
    Restricted,
    /// Research or other non-commercial use only.
    NonCommercial,
}

impl WeightsTerms {
    /// The name used in files and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unrestricted => "unrestricted",
            Self::Restricted => "restricted",
            Self::NonCommercial => "non-commercial",
        }
    }
}

impl fmt::Display for WeightsTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

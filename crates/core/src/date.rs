//! Calendar dates with the precision that their source gives, and the length of a month.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::Date;
use time::macros::format_description;

/// Mean length of a Gregorian month in days (365.25 / 12), the unit of every lag.
pub const DAYS_PER_MONTH: f64 = 30.4375;

/// Why a text is not a date.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is not a date, expected YYYY-MM-DD, YYYY-MM or YYYY")]
pub struct DateError(pub String);

/// How exactly a source states a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatePrecision {
    /// The day is stated.
    Day,
    /// Only month and year are stated; the date stands for the first of the month.
    Month,
    /// Only the year is stated; the date stands for 1 January.
    Year,
}

impl DatePrecision {
    /// The name used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// A release date and how exactly it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseDate {
    /// The earliest day that the source allows.
    pub date: Date,
    /// How exactly the source states it.
    pub precision: DatePrecision,
}

impl ReleaseDate {
    /// Reads `YYYY-MM-DD`, `YYYY-MM` or `YYYY`; the precision follows from the form.
    ///
    /// # Errors
    /// The text is in none of the three forms or names a day that does not exist.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let (full, precision) = match text.len() {
            10 => (text.to_owned(), DatePrecision::Day),
            7 => (format!("{text}-01"), DatePrecision::Month),
            4 => (format!("{text}-01-01"), DatePrecision::Year),
            _ => return Err(DateError(text.to_owned())),
        };
        let date = parse_date(&full).map_err(|_| DateError(text.to_owned()))?;
        Ok(Self { date, precision })
    }
}

impl fmt::Display for ReleaseDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = format_date(self.date);
        let text = match self.precision {
            DatePrecision::Day => full.as_str(),
            DatePrecision::Month => &full[..7],
            DatePrecision::Year => &full[..4],
        };
        f.pad(text)
    }
}

/// Reads a full `YYYY-MM-DD` date.
///
/// # Errors
/// The text has another form or names a day that does not exist.
pub fn parse_date(text: &str) -> Result<Date, DateError> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).map_err(|_| DateError(text.to_owned()))
}

/// Writes a date as `YYYY-MM-DD`.
#[must_use]
pub fn format_date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Days from `from` to `to`, negative when `to` is earlier.
#[must_use]
pub fn days_between(from: Date, to: Date) -> i32 {
    to.to_julian_day() - from.to_julian_day()
}

/// Months of [`DAYS_PER_MONTH`] days from `from` to `to`, negative when `to` is earlier.
#[must_use]
pub fn months_between(from: Date, to: Date) -> f64 {
    f64::from(days_between(from, to)) / DAYS_PER_MONTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_keeps_its_precision() {
        for (text, precision) in
            [("2026-08-11", DatePrecision::Day), ("2026-08", DatePrecision::Month), ("2026", DatePrecision::Year)]
        {
            let read = ReleaseDate::parse(text).unwrap();
            assert_eq!(read.precision, precision);
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_date_is_named() {
        for text in ["", "2026-13-01", "2026-02-30", "yesterday", "2026-8-1", "2026/08/11"] {
            assert_eq!(ReleaseDate::parse(text), Err(DateError(text.to_owned())));
        }
    }

    #[test]
    fn a_month_is_the_mean_gregorian_month() {
        let from = parse_date("2025-01-01").unwrap();
        let to = parse_date("2029-01-01").unwrap();
        assert_eq!(days_between(from, to), 1461);
        assert!((months_between(from, to) - 48.0).abs() < 1e-12);
        assert!(months_between(to, from) < 0.0);
    }
}

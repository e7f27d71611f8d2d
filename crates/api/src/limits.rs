//! What a provider's headers say about requests and tokens that are left, and when they are filled up again.

use std::time::{Duration, Instant, SystemTime};

use reqwest::header::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::transport::header;

/// Something that is left until a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) remaining: u64,
    pub(crate) resets: Instant,
}

/// Requests and tokens that are left; `None` where the provider does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) requests: Option<Budget>,
    pub(crate) tokens: Option<Budget>,
}

impl Left {
    /// Takes over what an answer says. Answers overtake each other: within one span the smaller number is the later.
    pub(crate) fn learn(&mut self, said: Self) {
        for (known, said) in [(&mut self.requests, said.requests), (&mut self.tokens, said.tokens)] {
            *known = match (*known, said) {
                (Some(old), Some(new)) if new.resets <= old.resets + Duration::from_millis(500) => {
                    Some(Budget { remaining: old.remaining.min(new.remaining), resets: old.resets })
                }
                (old, None) => old,
                (_, new) => new,
            };
        }
    }

    /// When there is enough for a request again; `None` where there is now.
    pub(crate) fn wait_until(&mut self, now: Instant, tokens: u64) -> Option<Instant> {
        for (known, needed) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if known.is_some_and(|budget| budget.resets <= now) {
                *known = None;
            }
            if let Some(budget) = known.filter(|budget| budget.remaining < needed) {
                return Some(budget.resets);
            }
        }
        None
    }

    /// A request with so many tokens goes out.
    pub(crate) fn take(&mut self, tokens: u64) {
        for (known, needed) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if let Some(budget) = known {
                budget.remaining = budget.remaining.saturating_sub(needed);
            }
        }
    }
}

/// Reads the headers of OpenAI (`x-ratelimit-remaining-requests`, reset like `6m0s`) and of Anthropic
/// (`anthropic-ratelimit-requests-remaining`, reset as a date).
pub(crate) fn left_in(headers: &HeaderMap, now: Instant) -> Left {
    let budget = |remaining, reset| {
        let remaining = header(headers, remaining)?.parse().ok()?;
        let wait = wait_of(header(headers, reset)?, SystemTime::now())?;
        Some(Budget { remaining, resets: now.checked_add(wait)? })
    };
    Left {
        requests: budget("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")
            .or_else(|| budget("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset")),
        tokens: budget("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens")
            .or_else(|| budget("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset")),
    }
}

/// A span like `1s`, `6m0s`, `120ms`, plain seconds, or a date to come.
fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(date) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(SystemTime::from(date).duration_since(now).unwrap_or_default());
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_read_in_every_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (text, expect) in [
            ("1s", Some(1000)),
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1h2m3.5s", Some(3_723_500)),
            ("1d", Some(86_400_000)),
            ("12.5", Some(12_500)),
            ("2023-11-14T22:13:30Z", Some(10_000)),
            ("2020-01-01T00:00:00Z", Some(0)),
            ("", None),
            ("soon", None),
            ("5x", None),
            ("5", Some(5000)),
            ("-1", None),
        ] {
            assert_eq!(wait_of(text, now).map(|d| d.as_millis()), expect, "{text:?}");
        }
    }
}

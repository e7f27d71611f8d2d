//! Which failures pass by themselves, and how long to wait for it.
//!
//! The order of what is honoured: `x-should-retry`, `retry-after-ms`, `retry-after` (seconds or an HTTP date), the
//! provider's own reset, and otherwise exponential back-off with full jitter (Brooker, "Exponential Backoff and Jitter",
//! AWS Architecture Blog, 2015).

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use weighbridge_core::ErrorClass;

use crate::dialect::HostError;
use crate::transport::{Failure, header};

/// When to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Longest first wait without a word of the host.
    pub first: Duration,
    /// Longest wait without a word of the host.
    pub longest: Duration,
    /// The same failure so many times ends a request; limits of rate do not count.
    pub same: usize,
    /// So many failures of any kind but limits of rate end a request.
    pub failures: usize,
    /// A host that asks for a longer wait is not waited for.
    pub longest_stated: Duration,
    /// A request that has waited for longer between attempts is given up.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_mins(1),
            same: 5,
            failures: 10,
            longest_stated: Duration::from_mins(10),
            patience: Duration::from_hours(1),
        }
    }
}

/// What has failed so far for one request.
#[derive(Debug, Default)]
pub(crate) struct History {
    failures: Vec<Failure>,
    waited: Duration,
}

impl History {
    /// How long to wait before the next attempt; `None` where there shall be none.
    pub(crate) fn next(
        &mut self,
        policy: &RetryPolicy,
        failure: &Failure,
        headers: &HeaderMap,
        random: f64,
    ) -> Option<Duration> {
        let told = should_retry(headers);
        if told == Some(false) || (told.is_none() && !failure.class.may_pass()) {
            return None;
        }
        if told == Some(true) && matches!(failure.class, ErrorClass::Quota | ErrorClass::Authentication) {
            return None;
        }
        let before = self.failures.len();
        self.failures.push(failure.clone());
        let counted = || self.failures.iter().filter(|f| f.class != ErrorClass::RateLimit);
        if counted().count() >= policy.failures
            || counted().filter(|f| f.class == failure.class && f.message == failure.message).count() >= policy.same
        {
            return None;
        }
        let wait = match stated_wait(headers, SystemTime::now()) {
            Some(stated) if stated > policy.longest_stated => return None,
            Some(stated) => stated,
            None => backoff(policy, before, random),
        };
        self.waited += wait;
        (self.waited <= policy.patience).then_some(wait)
    }
}

/// Full jitter: a random share of a span that doubles with every failure.
fn backoff(policy: &RetryPolicy, failures: usize, random: f64) -> Duration {
    let doublings = u32::try_from(failures.min(20)).unwrap_or(20);
    policy.first.saturating_mul(1 << doublings).min(policy.longest).mul_f64(random.clamp(0.05, 1.0))
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match header(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The wait that a host asks for.
pub(crate) fn stated_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Some(wait) = header(headers, "retry-after-ms").and_then(|text| seconds(text, 0.001)) {
        return Some(wait);
    }
    let text = header(headers, "retry-after")?;
    seconds(text, 1.0).or_else(|| {
        let until = httpdate::parse_http_date(text).ok()?;
        // A date that has passed asks for no wait.
        Some(until.duration_since(now).unwrap_or_default())
    })
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number >= 0.0).then(|| Duration::try_from_secs_f64(number * unit).ok())?
}

/// What a status and the body of an error mean.
pub(crate) fn class_of(status: u16, error: &HostError) -> ErrorClass {
    let code = error.code.as_deref().unwrap_or_default();
    let status = error.status.filter(|_| status == 200).unwrap_or(status);
    match status {
        429 if is_quota(code, &error.message) => ErrorClass::Quota,
        429 => ErrorClass::RateLimit,
        402 => ErrorClass::Quota,
        401 | 403 => ErrorClass::Authentication,
        404 => ErrorClass::NotFound,
        408 | 504 => ErrorClass::Timeout,
        409 => ErrorClass::Conflict,
        503 | 529 => ErrorClass::Overloaded,
        500..600 => ErrorClass::Server,
        _ => ErrorClass::BadRequest,
    }
}

/// True where nothing is left on the account, which no wait mends.
fn is_quota(code: &str, message: &str) -> bool {
    const CODES: [&str; 6] = [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_balance",
        "exceeded_current_quota_error",
        "credit_limit_exceeded",
    ];
    CODES.contains(&code) || message.contains("exceeded your current quota, please check your plan and billing")
}

//! Which failures pass by themselves, and how long to wait for it.
//!
//! The order of what is honoured: `x-should-retry`, `retry-after-ms`, `retry-after` (seconds or an HTTP date), a wait in
//! the body, the provider's own reset, and otherwise exponential back-off with full jitter (Brooker, "Exponential Backoff
//! and Jitter", AWS Architecture Blog, 2015). A stated wait is never shortened, and lengthened to the back-off where that
//! is longer: a host that keeps saying "now" is not hammered.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use weighbridge_core::ErrorClass;

use crate::dialect::HostError;
use crate::limits::{Need, reset_wait, wait_of};
use crate::transport::{Failure, header, values};

/// Most of a stated wait that is added to it, so that not all requests come back at once.
const SPREAD: f64 = 0.1;

/// When to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Longest first wait without a word of the host.
    pub first: Duration,
    /// Longest wait without a word of the host.
    pub longest: Duration,
    /// The same failure so many times ends a request; limits of rate, overload and lost connections do not count, which
    /// say nothing about the request.
    pub same: usize,
    /// So many answers that cannot be read end a request: each may have been billed.
    pub unreadable: usize,
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
            unreadable: 3,
            failures: 10,
            longest_stated: Duration::from_mins(10),
            patience: Duration::from_hours(1),
        }
    }
}

/// What has failed so far for one request.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// How often each failure came that says something about the request.
    same: BTreeMap<(ErrorClass, String), usize>,
    unreadable: usize,
    /// Failures but for limits of rate.
    counted: usize,
    all: usize,
    waited: Duration,
}

impl History {
    /// How long to wait before the next attempt; `None` where there shall be none. `random` is from 0 to 1.
    pub(crate) fn next(
        &mut self,
        policy: &RetryPolicy,
        failure: &Failure,
        headers: &HeaderMap,
        stated: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if !passes(failure, headers) || self.too_many(policy, failure) {
            return None;
        }
        if stated.is_some_and(|stated| stated > policy.longest_stated) {
            return None;
        }
        let spread = stated.unwrap_or_default().mul_f64(1.0 + SPREAD * random);
        let wait = spread.max(backoff(policy, self.all - 1, random));
        self.waited += wait;
        (self.waited <= policy.patience).then_some(wait)
    }

    /// Counts a failure; true where there have been too many.
    fn too_many(&mut self, policy: &RetryPolicy, failure: &Failure) -> bool {
        self.all += 1;
        if failure.class == ErrorClass::RateLimit {
            return false;
        }
        self.counted += 1;
        self.unreadable += usize::from(failure.class == ErrorClass::Malformed);
        let same = match failure.class {
            ErrorClass::Overloaded | ErrorClass::Connection => 0,
            class => {
                let times = self.same.entry((class, alike(&failure.message))).or_default();
                *times += 1;
                *times
            }
        };
        self.counted >= policy.failures || same >= policy.same || self.unreadable >= policy.unreadable
    }
}

/// True where another attempt may succeed, by the host's word if it gives one.
fn passes(failure: &Failure, headers: &HeaderMap) -> bool {
    match should_retry(headers) {
        Some(false) => false,
        // An empty account and a wrong key stay so whatever the host says.
        Some(true) => !failure.stops && !matches!(failure.class, ErrorClass::Quota | ErrorClass::Authentication),
        None => !failure.stops && failure.class.may_pass(),
    }
}

/// A message without the words that hold digits: hosts put ids of requests and times into messages of one failure.
fn alike(message: &str) -> String {
    let plain = |word: &&str| !word.bytes().any(|byte| byte.is_ascii_digit());
    message.split_whitespace().filter(plain).collect::<Vec<_>>().join(" ")
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

/// The wait that a host asks for after a failure.
pub(crate) fn stated_wait(failure: &Failure, headers: &HeaderMap, need: Need, now: SystemTime) -> Option<Duration> {
    // Of a header that came twice the longer wait counts.
    let longest = |name, read: &dyn Fn(&str) -> Option<Duration>| values(headers, name).filter_map(read).max();
    let reset = || (failure.class == ErrorClass::RateLimit).then(|| reset_wait(headers, need, now)).flatten();
    longest("retry-after-ms", &milliseconds)
        .or_else(|| longest("retry-after", &|text| wait_of(text, now)))
        .or(failure.retry_after)
        .or_else(reset)
}

fn milliseconds(text: &str) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(number / 1000.0).ok()
}

/// What a status and the body of an error mean.
pub(crate) fn class_of(status: u16, error: &HostError) -> ErrorClass {
    let code = error.code.as_deref().unwrap_or_default();
    // Routers say 200 and put the error of the host inside, with a status or only a name.
    let status = if status == 200 { error.status.or_else(|| status_of(code)).unwrap_or(500) } else { status };
    let message = error.message.to_ascii_lowercase();
    match status {
        400 | 429 if is_quota(code, &message, error.retry_after) => ErrorClass::Quota,
        // Larger than what the account may ever send in a minute: no wait makes room for it.
        429 if message.contains("request too large") => ErrorClass::BadRequest,
        429 => ErrorClass::RateLimit,
        402 => ErrorClass::Quota,
        401 | 403 => ErrorClass::Authentication,
        404 => ErrorClass::NotFound,
        408 | 504 => ErrorClass::Timeout,
        409 => ErrorClass::Conflict,
        503 | 529 => ErrorClass::Overloaded,
        500..600 if QUOTA_CODES.contains(&code) => ErrorClass::Quota,
        500..600 => ErrorClass::Server,
        _ => ErrorClass::BadRequest,
    }
}

/// The status that an error would have had, by the name that OpenAI, Anthropic and Google give it.
fn status_of(code: &str) -> Option<u16> {
    Some(match code {
        "invalid_request_error" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "context_length_exceeded" => 400,
        "authentication_error" | "invalid_api_key" | "UNAUTHENTICATED" => 401,
        "billing_error" => 402,
        "permission_error" | "PERMISSION_DENIED" => 403,
        "not_found_error" | "model_not_found" | "NOT_FOUND" => 404,
        "timeout_error" | "DEADLINE_EXCEEDED" => 504,
        "request_too_large" => 413,
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => 429,
        code if QUOTA_CODES.contains(&code) => 402,
        "overloaded_error" | "UNAVAILABLE" => 503,
        _ => return None,
    })
}

/// Names of errors that say that nothing is left on the account.
const QUOTA_CODES: [&str; 6] = [
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "exceeded_current_quota_error",
    "credit_limit_exceeded",
];

/// True where nothing is left on the account, which no wait mends. Google words its limits of rate as OpenAI words an
/// empty account, but names them `RESOURCE_EXHAUSTED` and says when to come back.
fn is_quota(code: &str, message: &str, retry_after: Option<Duration>) -> bool {
    const WORDS: [&str; 4] = [
        "exceeded your current quota, please check your plan and billing",
        "insufficient balance",
        "credit balance is too low",
        "insufficient credits",
    ];
    let worded = || WORDS.iter().any(|words| message.contains(words));
    QUOTA_CODES.contains(&code) || (code != "RESOURCE_EXHAUSTED" && retry_after.is_none() && worded())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    /// The waits until a request is given up, each with the jitter at its longest.
    fn waits(policy: &RetryPolicy, failure: &Failure, lines: &[(&str, &str)]) -> Vec<Duration> {
        let (mut history, headers) = (History::default(), headers(lines));
        let stated = stated_wait(failure, &headers, Need::default(), SystemTime::now());
        let mut next = || history.next(policy, failure, &headers, stated, 1.0);
        std::iter::from_fn(&mut next).take(100_000).collect()
    }

    #[test]
    fn each_class_of_failure_is_tried_as_often_as_it_deserves() {
        let policy = RetryPolicy::default();
        for (class, lines, expect) in [
            (ErrorClass::Server, &[][..], 4),
            (ErrorClass::Timeout, &[], 4),
            (ErrorClass::Conflict, &[], 4),
            (ErrorClass::Malformed, &[], 2),
            (ErrorClass::Overloaded, &[], 9),
            (ErrorClass::Connection, &[], 9),
            (ErrorClass::Quota, &[], 0),
            (ErrorClass::Authentication, &[], 0),
            (ErrorClass::NotFound, &[], 0),
            (ErrorClass::BadRequest, &[], 0),
            (ErrorClass::Server, &[("x-should-retry", "false")], 0),
            (ErrorClass::RateLimit, &[("x-should-retry", "false")], 0),
            (ErrorClass::BadRequest, &[("x-should-retry", "true")], 4),
            (ErrorClass::BadRequest, &[("x-should-retry", "perhaps")], 0),
            (ErrorClass::Quota, &[("x-should-retry", "true")], 0),
            (ErrorClass::Authentication, &[("x-should-retry", "true")], 0),
            (ErrorClass::RateLimit, &[("retry-after", "601")], 0),
            // An hour of patience: six minutes and a tenth each, or the back-off alone.
            (ErrorClass::RateLimit, &[("retry-after", "360")], 9),
            (ErrorClass::RateLimit, &[], 65),
            // A host that says "now" or "in a moment" for ever.
            (ErrorClass::RateLimit, &[("retry-after", "0")], 65),
            (ErrorClass::RateLimit, &[("retry-after-ms", "1")], 65),
        ] {
            let waits = waits(&policy, &Failure::new(class, "said"), lines);
            assert_eq!(waits.len(), expect, "{class:?} {lines:?}: {waits:?}");
        }
        let certificate = Failure { stops: true, ..Failure::new(ErrorClass::Connection, "unknown") };
        assert!(waits(&policy, &certificate, &[]).is_empty());
    }

    #[test]
    fn ids_and_times_in_messages_do_not_make_failures_differ() {
        let policy = RetryPolicy::default();
        let mut history = History::default();
        let mut attempts = 1;
        let failure = |n| Failure::new(ErrorClass::Server, format!("The server had an error (request id req_{n}af)"));
        while history.next(&policy, &failure(attempts), &HeaderMap::new(), None, 0.0).is_some() {
            attempts += 1;
        }
        assert_eq!(attempts, policy.same);
        let mut history = History::default();
        let mut attempts = 1;
        let other = |n: usize| Failure::new(ErrorClass::Server, "different ".repeat(n));
        while history.next(&policy, &other(attempts), &HeaderMap::new(), None, 0.0).is_some() {
            attempts += 1;
        }
        assert_eq!(attempts, policy.failures);
    }

    #[test]
    fn back_off_doubles_and_is_spread() {
        let policy = RetryPolicy::default();
        let longest = waits(&policy, &Failure::new(ErrorClass::Overloaded, ""), &[]);
        let seconds: Vec<f64> = longest.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(backoff(&policy, 0, 0.0), Duration::from_millis(25));
        assert_eq!(backoff(&policy, usize::MAX, 0.5), Duration::from_secs(30));
    }

    #[test]
    fn the_wait_that_a_host_states_is_read_in_its_order() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let body = Some(Duration::from_secs(37));
        for (class, in_body, lines, expect) in [
            (ErrorClass::RateLimit, body, &[("retry-after-ms", "1500"), ("retry-after", "9")][..], Some(1500)),
            (ErrorClass::RateLimit, body, &[("retry-after-ms", "soon"), ("retry-after", "9")], Some(9000)),
            (ErrorClass::Server, None, &[("retry-after", "1.5")], Some(1500)),
            (ErrorClass::Server, None, &[("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT")], Some(10_000)),
            (ErrorClass::Server, None, &[("retry-after", "Tue, 14 Nov 2000 22:13:30 GMT")], Some(0)),
            (ErrorClass::Server, None, &[("retry-after", "-3")], None),
            (ErrorClass::Server, None, &[("retry-after", "nan")], None),
            (ErrorClass::Server, None, &[("retry-after", "2"), ("retry-after", "5"), ("retry-after", "x")], Some(5000)),
            (ErrorClass::RateLimit, body, &[], Some(37_000)),
            (ErrorClass::RateLimit, None, &[("x-ratelimit-reset", "4")], Some(4000)),
            (ErrorClass::Server, None, &[("x-ratelimit-reset", "4")], None),
            (ErrorClass::RateLimit, None, &[("retry-after", "1e300")], None),
        ] {
            let failure = Failure { retry_after: in_body, ..Failure::new(class, "") };
            let wait = stated_wait(&failure, &headers(lines), Need::default(), now);
            assert_eq!(wait.map(|wait| wait.as_millis()), expect, "{lines:?}");
        }
    }

    #[test]
    fn errors_are_classed_by_status_name_and_words() {
        let openai = "You exceeded your current quota, please check your plan and billing details.";
        let large = "Request too large for gpt-4 on tokens per min (TPM): Limit 30000, Requested 40000.";
        for (status, code, message, inside, retry_after, expect) in [
            (429, "rate_limit_exceeded", "Rate limit reached", None, None, ErrorClass::RateLimit),
            (429, "rate_limit_exceeded", large, None, None, ErrorClass::BadRequest),
            (429, "insufficient_quota", openai, None, None, ErrorClass::Quota),
            (429, "", openai, None, None, ErrorClass::Quota),
            (429, "", openai, None, Some(37), ErrorClass::RateLimit),
            (429, "RESOURCE_EXHAUSTED", openai, None, None, ErrorClass::RateLimit),
            (400, "invalid_request_error", "Your credit balance is too low", None, None, ErrorClass::Quota),
            (400, "invalid_request_error", "max_tokens is too large", None, None, ErrorClass::BadRequest),
            (402, "", "Insufficient Balance", None, None, ErrorClass::Quota),
            (401, "", "", None, None, ErrorClass::Authentication),
            (403, "", "", None, None, ErrorClass::Authentication),
            (404, "", "", None, None, ErrorClass::NotFound),
            (408, "", "", None, None, ErrorClass::Timeout),
            (409, "", "", None, None, ErrorClass::Conflict),
            (413, "", "", None, None, ErrorClass::BadRequest),
            (422, "", "", None, None, ErrorClass::BadRequest),
            (500, "", "", None, None, ErrorClass::Server),
            (502, "", "", None, None, ErrorClass::Server),
            (503, "", "", None, None, ErrorClass::Overloaded),
            (504, "", "", None, None, ErrorClass::Timeout),
            (529, "overloaded_error", "", None, None, ErrorClass::Overloaded),
            (200, "", "", Some(429), None, ErrorClass::RateLimit),
            (200, "overloaded_error", "Overloaded", None, None, ErrorClass::Overloaded),
            (200, "insufficient_quota", openai, None, None, ErrorClass::Quota),
            (200, "rate_limit_exceeded", "", None, None, ErrorClass::RateLimit),
            (200, "something", "", None, None, ErrorClass::Server),
            (500, "", "", Some(400), None, ErrorClass::Server),
        ] {
            let error = HostError {
                status: inside,
                code: (!code.is_empty()).then(|| code.to_owned()),
                message: message.to_owned(),
                retry_after: retry_after.map(Duration::from_secs),
            };
            assert_eq!(class_of(status, &error), expect, "{status} {code} {message}");
        }
    }
}

//! Storms of 429 with every header that says how long to wait, and with none.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Case, always, case, times};
use crate::server::{Act, answer, error};

const MESSAGE: &str = "Rate limit reached for requests";

fn limited(headers: &[(&str, &str)]) -> Vec<Act> {
    error(429, headers, "rate_limit_exceeded", MESSAGE)
}

/// A header whose value is a point in time so many milliseconds from the request on.
fn ahead(name: &'static str, milliseconds: u64, write: fn(SystemTime) -> String) -> Vec<Act> {
    let value = write(SystemTime::now() + Duration::from_millis(milliseconds));
    limited(&[(name, &value), (&name.replace("reset", "remaining"), "0")])
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn rfc3339(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap()
}

pub fn cases() -> Vec<Case> {
    const AS_STATED: &str = "waits as long as it says and up to a tenth more";
    const BACK_OFF: &str = "backs off";
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    let large = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000.";
    vec![
        times(2, "429 twice, `retry-after-ms: 30`", AS_STATED, || limited(&[("retry-after-ms", "30")]))
            .waits(0.03, 0.033),
        times(1, "429, `retry-after: 1`", AS_STATED, || limited(&[("retry-after", "1")])).waits(1.0, 1.1),
        times(1, "429, `retry-after` is a date in 2 s", "waits until then", || {
            ahead("retry-after", 2000, httpdate::fmt_http_date)
        })
        .waits(0.0, 2.2),
        times(1, "429, `retry-after` is a date that has passed", BACK_OFF, || {
            limited(&[("retry-after", "Tue, 14 Nov 2000 22:13:30 GMT")])
        }),
        times(5, "429 five times, `retry-after: 0`", "backs off: `0` is no invitation to hammer", || {
            limited(&[("retry-after", "0")])
        }),
        times(1, "429, `retry-after: soon`", BACK_OFF, || limited(&[("retry-after", "soon")])),
        times(1, "429, `retry-after: -5`", BACK_OFF, || limited(&[("retry-after", "-5")])),
        times(1, "429, `retry-after` twice, 0.01 and 0.04", "waits for the longer", || {
            limited(&[("retry-after", "0.01"), ("retry-after", "0.04")])
        })
        .waits(0.04, 0.044),
        times(1, "429, `retry-after-ms: 20` and `retry-after: 60`", "the finer one counts", || {
            limited(&[("retry-after-ms", "20"), ("retry-after", "60")])
        })
        .waits(0.02, 0.022),
        always("429, `retry-after: 86400`", "not waited for: longer than 10 minutes", || {
            limited(&[("retry-after", "86400")])
        }),
        times(1, "429, `x-ratelimit-reset-requests: 40ms`, none left", "waits for the reset", || {
            limited(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "40ms")])
        })
        .waits(0.04, 0.044),
        times(
            1,
            "429, resets of requests (9 s, 5 left) and of tokens (40 ms, 1 left)",
            "waits for what is short",
            || {
                limited(&[
                    ("x-ratelimit-remaining-requests", "5"),
                    ("x-ratelimit-reset-requests", "9s"),
                    ("x-ratelimit-remaining-tokens", "1"),
                    ("x-ratelimit-reset-tokens", "40ms"),
                ])
            },
        )
        .waits(0.04, 0.044),
        times(1, "429, `anthropic-ratelimit-input-tokens-reset` is a date in 300 ms", "waits until then", || {
            ahead("anthropic-ratelimit-input-tokens-reset", 300, rfc3339)
        })
        .waits(0.0, 0.33),
        times(1, "429, `x-ratelimit-reset` in milliseconds since 1970, in 300 ms", "waits until then", || {
            ahead("x-ratelimit-reset", 300, |time| since_1970(time).as_millis().to_string())
        })
        .waits(0.0, 0.33),
        times(3, "429 three times without a header", BACK_OFF, || limited(&[])),
        always("429 that never passes, `retry-after-ms: 30`", "until patience ends: here 100 ms of waiting", || {
            limited(&[("retry-after-ms", "30")])
        })
        .options(|options| options.retry.patience = Duration::from_millis(100))
        .waits(0.03, 0.033),
        always("429, `x-should-retry: false`", "stops at once", || {
            limited(&[("x-should-retry", "false"), ("retry-after", "1")])
        }),
        always("429, the account is empty (`insufficient_quota`)", "stops at once", move || {
            error(429, &[], "insufficient_quota", quota)
        }),
        always("429, the request is larger than the limit of a minute", "stops at once: no wait helps", move || {
            error(429, &[], "rate_limit_exceeded", large)
        }),
        case("an answer that says that nothing is left for 9 hours", "the next request is sent all the same", |seen| {
            let limit = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "9h")];
            if seen.number == 0 { error(500, &limit, "", "") } else { answer("ok") }
        }),
    ]
}

//! Statuses that pass, that never pass, and that no other attempt mends.

use super::{Case, always, case, times};
use crate::server::{Act, answer, error, response};

const HTML: &[u8] = b"<html><body><h1>502 Bad Gateway</h1></body></html>";

fn server_error(status: u16, message: &str) -> Vec<Act> {
    error(status, &[], "server_error", message)
}

pub fn cases() -> Vec<Case> {
    const STOPS: &str = "stops at once";
    let mut cases = vec![
        times(2, "500 twice", "backs off", || server_error(500, "The server had an error")),
        case("500 that never passes, with another request id each time", "ends at the fifth of the same", |seen| {
            server_error(500, &format!("The server had an error (request id req_{}f)", seen.number))
        }),
        case("500 that never passes, with another message each time", "ends at the tenth", |seen| {
            server_error(500, &"x".repeat(seen.number + 1))
        }),
        times(1, "502 with HTML of a proxy", "backs off", || {
            vec![Act::Send(response(502, &[("content-type", "text/html")], HTML))]
        }),
        times(6, "503 six times", "backs off", || server_error(503, "overloaded")),
        always("529 that never passes", "ends at the tenth", || error(529, &[], "overloaded_error", "Overloaded")),
        always("504 that never passes", "ends at the fifth of the same", || server_error(504, "upstream")),
        case("408, then 409", "backs off", |seen| match seen.number {
            0 => server_error(408, "timeout"),
            1 => server_error(409, "conflict"),
            _ => answer("ok"),
        }),
        times(1, "503, `retry-after: 0.03`", "waits as long as it says", || {
            error(503, &[("retry-after", "0.03")], "", "")
        })
        .waits(0.03, 0.033),
        times(1, "400, `x-should-retry: true`", "tries again, as told", || {
            error(400, &[("x-should-retry", "true")], "", "odd")
        }),
        always("401, `x-should-retry: true`", "stops at once: a wrong key stays wrong", || {
            error(401, &[("x-should-retry", "true")], "invalid_api_key", "Incorrect API key")
        }),
    ];
    for (status, code, message) in [
        (400, "invalid_request_error", "max_tokens is too large"),
        (401, "invalid_api_key", "Incorrect API key provided"),
        (402, "", "Insufficient Balance"),
        (403, "permission_error", "not for you"),
        (404, "model_not_found", "no such model"),
        (413, "request_too_large", "too large"),
        (422, "", "unprocessable"),
    ] {
        cases.push(always(status.to_string(), STOPS, move || error(status, &[], code, message)));
    }
    cases
}

//! Answers that hold the key of the request. Each case is searched for it in all that is written, as are the others.

use serde_json::json;

use super::{Case, always, case, times};
use crate::client::KEY;
use crate::server::{Act, STREAM, chat, delta, error, finish, json_response, response, usage};

/// The key with every character as an escape of JSON.
fn escaped() -> String {
    let escapes: Vec<String> = KEY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    escapes.concat()
}

pub fn cases() -> Vec<Case> {
    const MASKED: &str = "`***` in its place";
    vec![
        case("in the text", MASKED, |_| {
            vec![Act::Send(json_response(200, &[], &chat(&format!("key {KEY}.")))), Act::Billed(7, 3)]
        })
        .text("key ***."),
        case("in the text, every character as an escape of JSON", MASKED, |_| {
            let body = chat("TEXT").to_string().replace("TEXT", &escaped());
            vec![Act::Send(response(200, &[], body.as_bytes())), Act::Billed(7, 3)]
        })
        .text("***"),
        case("in the text of a stream, piece by piece", MASKED, |_| {
            let pieces: String = KEY.as_bytes().chunks(3).map(|c| delta(str::from_utf8(c).unwrap())).collect();
            let body = format!("{STREAM}{}{pieces}{}{}", delta("key "), finish(), usage());
            vec![Act::Send(body.into()), Act::Billed(7, 3), Act::Close]
        })
        .streamed()
        .text("key ***"),
        case("in log-probabilities, token by token", MASKED, |_| {
            let token = |c: &[u8]| json!({"token": str::from_utf8(c).unwrap(), "logprob": -0.5, "top_logprobs": []});
            let mut body = chat("ok");
            let tokens: Vec<_> = KEY.as_bytes().chunks(4).map(token).collect();
            body["choices"][0]["logprobs"] = json!({"content": tokens});
            vec![Act::Send(json_response(200, &[], &body)), Act::Billed(7, 3)]
        }),
        case("in every other field of the answer", MASKED, |_| {
            let mut body = chat("ok");
            for field in ["id", "model", "system_fingerprint", "provider"] {
                body[field] = json!(format!("x{KEY}"));
            }
            body["usage"][KEY] = json!(KEY);
            body["choices"][0]["message"]["reasoning_content"] = json!(KEY);
            vec![Act::Send(json_response(200, &[("x-request-id", KEY)], &body)), Act::Billed(7, 3)]
        }),
        always("in the message of a 401", MASKED, || error(401, &[], "invalid_api_key", &format!("Bad key {KEY}"))),
        always("in the code of a 400", MASKED, || error(400, &[], KEY, "bad")),
        always("in the HTML of a 403, across the end of what is kept", MASKED, || {
            let page = format!("{}{KEY}{KEY}", "x".repeat(490));
            vec![Act::Send(response(403, &[], page.as_bytes()))]
        }),
        times(1, "in an answer that is no JSON", MASKED, || {
            vec![Act::Send(response(200, &[], format!("{{{KEY}").as_bytes()))]
        }),
        always("in the place that a redirect names", "not followed; `***` in its place", || {
            vec![Act::Send(response(302, &[("location", &format!("http://elsewhere.invalid/?key={KEY}"))], b""))]
        }),
    ]
}

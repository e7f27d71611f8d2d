//! What a provider's headers say about requests and tokens that are left, and when they are filled up again.
//!
//! Any header with `ratelimit` and `remaining` in its name counts if its sister with `reset` says when: OpenAI's
//! `x-ratelimit-remaining-tokens`, Anthropic's `anthropic-ratelimit-input-tokens-remaining`, the bare
//! `x-ratelimit-remaining` of routers. Answers overtake each other, so what an answer says is dated by the request that it
//! answers, and what was sent after that request is taken off.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

/// More budgets than any provider states; what a hostile one adds is not kept.
const MOST_BUDGETS: usize = 16;
/// Weight of the newest answer in the mean of output tokens.
const NEWEST: f64 = 0.1;

/// Tokens that a request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Estimated tokens of the prompt.
    pub(crate) input: u64,
    /// Most tokens of the answer.
    pub(crate) output: u64,
}

/// What has been sent since the start, a request included: its place in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    requests: u64,
    input: u64,
    /// Tokens of answers as hosts count them that charge for the most that an answer may have.
    most_output: u64,
    /// Tokens of answers as they are expected from those that came.
    output: u64,
}

impl Sent {
    fn of(self, kind: Kind) -> u64 {
        match kind {
            Kind::Requests => self.requests,
            Kind::Tokens => self.input.saturating_add(self.most_output),
            Kind::Input => self.input,
            Kind::Output => self.output,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Requests,
    Tokens,
    Input,
    Output,
}

/// Something that is left until a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Budget {
    name: HeaderName,
    kind: Kind,
    /// What there is after a reset, where stated.
    limit: Option<u64>,
    remaining: u64,
    resets: Instant,
    /// The number of the request whose answer said so.
    said_to: u64,
}

/// What is left of one model at one provider.
#[derive(Debug)]
pub(crate) struct Budgets {
    known: Vec<Budget>,
    sent: Sent,
    mean_output: Option<f64>,
    longest: Duration,
}

impl Budgets {
    /// A reset that is further away than `longest` is not waited for: the host's own refusal tells what is wrong.
    pub(crate) fn new(longest: Duration) -> Self {
        Self { known: Vec::new(), sent: Sent::default(), mean_output: None, longest }
    }

    /// When there is enough for a request again; `None` where there is now. What exceeds a whole budget waits for a full
    /// one and is then the host's to refuse.
    pub(crate) fn wait_until(&mut self, now: Instant, need: Need) -> Option<Instant> {
        self.known.retain(|budget| budget.resets > now);
        let one = self.one(need);
        let short =
            |budget: &&Budget| budget.remaining < one.of(budget.kind).min(budget.limit.unwrap_or(u64::MAX)).max(1);
        self.known.iter().filter(short).map(|budget| budget.resets).max()
    }

    /// A request goes out; returns its place in time.
    pub(crate) fn send(&mut self, need: Need) -> Sent {
        let one = self.one(need);
        for budget in &mut self.known {
            budget.remaining = budget.remaining.saturating_sub(one.of(budget.kind));
        }
        let sent = &mut self.sent;
        sent.requests += 1;
        sent.input = sent.input.saturating_add(one.input);
        sent.most_output = sent.most_output.saturating_add(one.most_output);
        sent.output = sent.output.saturating_add(one.output);
        *sent
    }

    /// Takes over what the answer to a request says.
    pub(crate) fn learn(&mut self, headers: &HeaderMap, asked: Sent, now: Instant) {
        for stated in stated(headers, SystemTime::now()) {
            let at = self.known.iter().position(|budget| budget.name == *stated.name);
            if at.is_some_and(|at| self.known[at].said_to > asked.requests) {
                continue;
            }
            let Some(resets) = now.checked_add(stated.wait).filter(|_| stated.wait <= self.longest) else {
                at.map(|at| self.known.swap_remove(at));
                continue;
            };
            let later = self.sent.of(stated.kind).saturating_sub(asked.of(stated.kind));
            let Some(remaining) = stated.remaining.map(|left| left.saturating_sub(later)) else { continue };
            let (kind, limit, said_to) = (stated.kind, stated.limit, asked.requests);
            let budget = Budget { name: stated.name.clone(), kind, limit, remaining, resets, said_to };
            match at {
                Some(at) => self.known[at] = budget,
                None if self.known.len() < MOST_BUDGETS => self.known.push(budget),
                None => {}
            }
        }
    }

    /// An answer had so many tokens.
    pub(crate) fn answered(&mut self, output: u64) {
        let output = output as f64;
        self.mean_output = Some(self.mean_output.map_or(output, |mean| mean + NEWEST * (output - mean)));
    }

    fn one(&self, need: Need) -> Sent {
        let output = self.mean_output.map_or(need.output, |mean| need.output.min(mean.ceil() as u64));
        Sent { requests: 1, input: need.input, most_output: need.output, output }
    }
}

/// How long the headers say that it takes until there is enough for a request; for a refusal that states no wait.
pub(crate) fn reset_wait(headers: &HeaderMap, need: Need, now: SystemTime) -> Option<Duration> {
    let one = Sent { requests: 1, input: need.input, most_output: need.output, output: 1 };
    stated(headers, now)
        .filter(|stated| stated.remaining.is_none_or(|left| left < one.of(stated.kind)))
        .map(|stated| stated.wait)
        .max()
}

/// One budget as headers state it.
struct Stated<'a> {
    /// The header of the reset.
    name: &'a HeaderName,
    kind: Kind,
    limit: Option<u64>,
    remaining: Option<u64>,
    wait: Duration,
}

fn stated(headers: &HeaderMap, now: SystemTime) -> impl Iterator<Item = Stated<'_>> {
    headers.keys().filter_map(move |name| {
        let text = name.as_str();
        if !((text.contains("ratelimit") || text.contains("rate-limit")) && text.contains("reset")) {
            return None;
        }
        let kind = kind_of(text)?;
        let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let wait = wait_of(value(text)?, now)?;
        let limit = value(&text.replace("reset", "limit")).and_then(count);
        let remaining = value(&text.replace("reset", "remaining")).and_then(count);
        Some(Stated { name, kind, limit: limit.filter(|&limit| limit > 0), remaining, wait })
    })
}

/// What a header counts, by its name; `None` for images and other things that no request here takes.
fn kind_of(name: &str) -> Option<Kind> {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if name.contains("token") {
        return Some(match (has(&["input", "prompt"]), has(&["output", "generated", "completion"])) {
            (true, _) => Kind::Input,
            (_, true) => Kind::Output,
            _ => Kind::Tokens,
        });
    }
    (name.contains("request") || name.ends_with("reset")).then_some(Kind::Requests)
}

/// A count that some hosts write with a fraction, or below zero.
fn count(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    (!number.is_nan()).then_some(number.max(0.0) as u64)
}

/// A span like `1s`, `6m0s`, `120ms`, plain seconds, seconds or milliseconds since 1970, or a date to come.
pub(crate) fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    // Shorter than 30 years, which is longer than any wait, is a span.
    const EPOCH_SECONDS: f64 = 1e9;
    const EPOCH_MILLISECONDS: f64 = 1e12;
    if let Ok(date) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(SystemTime::from(date).duration_since(now).unwrap_or_default());
    }
    if let Ok(number) = text.parse::<f64>() {
        let since = match number {
            _ if number < EPOCH_SECONDS => return Duration::try_from_secs_f64(number).ok(),
            _ if number < EPOCH_MILLISECONDS => number,
            _ => number / 1000.0,
        };
        let until = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(since).ok()?)?;
        return Some(until.duration_since(now).unwrap_or_default());
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        // A date that has passed asks for no wait.
        return Some(date.duration_since(now).unwrap_or_default());
    }
    span(text)
}

fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest[..letters].trim() {
            "ns" => 1e-9,
            "us" | "\u{b5}s" => 1e-6,
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
    use reqwest::header::HeaderValue;

    use super::*;

    const LONGEST: Duration = Duration::from_mins(10);

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        lines.iter().map(line).collect()
    }

    #[test]
    fn resets_are_read_in_every_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (text, expect) in [
            ("1s", Some(1000)),
            ("6m0s", Some(360_000)),
            ("120ms", Some(120)),
            ("1h2m3.5s", Some(3_723_500)),
            ("1m 30s", Some(90_000)),
            ("1d", Some(86_400_000)),
            ("2500us", Some(2)),
            ("12.5", Some(12_500)),
            ("1700000010", Some(10_000)),
            ("1700000010500", Some(10_500)),
            ("1600000000", Some(0)),
            ("2023-11-14T22:13:30Z", Some(10_000)),
            ("Tue, 14 Nov 2023 22:13:30 GMT", Some(10_000)),
            ("2020-01-01T00:00:00Z", Some(0)),
            ("", None),
            ("soon", None),
            ("5x", None),
            ("5", Some(5000)),
            ("-1", None),
            ("inf", None),
            ("nan", None),
            ("1e300", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(wait_of(text, now).map(|d| d.as_millis()), expect, "{text:?}");
        }
    }

    /// What a request of 100 + 50 tokens waits after an answer with these headers, in seconds.
    fn waits(lines: &[(&str, &str)]) -> Option<u64> {
        let (mut budgets, now) = (Budgets::new(LONGEST), Instant::now());
        let asked = budgets.send(Need { input: 1, output: 1 });
        budgets.learn(&headers(lines), asked, now);
        budgets.wait_until(now, Need { input: 100, output: 50 }).map(|until| (until - now).as_secs())
    }

    #[test]
    fn what_is_left_is_read_from_every_provider() {
        for (lines, expect) in [
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")][..], Some(360)),
            (&[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "6m0s")], None),
            (&[("x-ratelimit-remaining-tokens", "149"), ("x-ratelimit-reset-tokens", "2s")], Some(2)),
            (&[("x-ratelimit-remaining-tokens", "150"), ("x-ratelimit-reset-tokens", "2s")], None),
            (&[("x-ratelimit-remaining-tokens", "-3.5"), ("x-ratelimit-reset-tokens", "2")], Some(2)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")], Some(7)),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "7")], Some(7)),
            (&[("x-ratelimit-remaining-tokens-minute", "5"), ("x-ratelimit-reset-tokens-minute", "9.5")], Some(9)),
            // The longest counts where several are short.
            (
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "3s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "5s"),
                ],
                Some(5),
            ),
            // Answers of one token so far: an answer is expected to have one.
            (
                &[
                    ("anthropic-ratelimit-output-tokens-remaining", "40"),
                    ("anthropic-ratelimit-output-tokens-reset", "5s"),
                ],
                Some(5),
            ),
            (
                &[
                    ("anthropic-ratelimit-input-tokens-remaining", "99"),
                    ("anthropic-ratelimit-input-tokens-reset", "5s"),
                ],
                Some(5),
            ),
            (
                &[
                    ("anthropic-ratelimit-input-tokens-remaining", "100"),
                    ("anthropic-ratelimit-input-tokens-reset", "5s"),
                ],
                None,
            ),
            // Not waited for: no reset, images, nonsense, a reset out of sight.
            (&[("x-ratelimit-remaining-requests", "0")], None),
            (&[("x-ratelimit-remaining-images", "0"), ("x-ratelimit-reset-images", "5s")], None),
            (&[("x-ratelimit-remaining-requests", "none"), ("x-ratelimit-reset-requests", "5s")], None),
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "whenever")], None),
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "9h")], None),
        ] {
            assert_eq!(waits(lines), expect, "{lines:?}");
        }
    }

    fn tokens(remaining: &str, limit: &str) -> HeaderMap {
        headers(&[
            ("x-ratelimit-limit-tokens", limit),
            ("x-ratelimit-remaining-tokens", remaining),
            ("x-ratelimit-reset-tokens", "60s"),
        ])
    }

    #[test]
    fn a_request_larger_than_the_whole_budget_waits_for_a_full_one_and_goes() {
        let (mut budgets, now) = (Budgets::new(LONGEST), Instant::now());
        let need = Need { input: 5000, output: 0 };
        let asked = budgets.send(Need::default());
        budgets.learn(&tokens("900", "1000"), asked, now);
        assert_eq!(budgets.wait_until(now, need), Some(now + Duration::from_mins(1)));
        assert_eq!(budgets.wait_until(now + Duration::from_mins(1), need), None);
        budgets.learn(&tokens("1000", "1000"), asked, now);
        assert_eq!(budgets.wait_until(now, need), None);
    }

    #[test]
    fn answers_that_overtake_each_other_are_put_in_order() {
        let (mut budgets, now) = (Budgets::new(LONGEST), Instant::now());
        let need = Need { input: 100, output: 0 };
        let first = budgets.send(need);
        let second = budgets.send(need);
        let third = budgets.send(need);
        // The host has seen two of three requests: the third is still to come off.
        budgets.learn(&tokens("250", "1000"), second, now);
        assert_eq!(budgets.known[0].remaining, 150);
        // News of the first are older.
        budgets.learn(&tokens("900", "1000"), first, now);
        assert_eq!(budgets.known[0].remaining, 150);
        // A bucket that fills all the time has more in it later on.
        budgets.learn(&tokens("700", "1000"), third, now);
        assert_eq!(budgets.known[0].remaining, 700);
        budgets.send(need);
        assert_eq!(budgets.known[0].remaining, 600);
    }

    #[test]
    fn output_is_expected_to_be_as_long_as_it_was() {
        let (mut budgets, now) = (Budgets::new(LONGEST), Instant::now());
        let lines = headers(&[
            ("anthropic-ratelimit-output-tokens-remaining", "500"),
            ("anthropic-ratelimit-output-tokens-reset", "5s"),
        ]);
        let need = Need { input: 1, output: 4000 };
        let asked = budgets.send(need);
        budgets.learn(&lines, asked, now);
        assert!(budgets.wait_until(now, need).is_some());
        budgets.answered(80);
        assert_eq!(budgets.wait_until(now, need), None);
    }

    #[test]
    fn a_hostile_host_cannot_fill_the_memory_with_budgets() {
        let (mut budgets, now) = (Budgets::new(LONGEST), Instant::now());
        let mut lines = HeaderMap::new();
        for i in 0..100 {
            for (word, value) in [("remaining", "5"), ("reset", "5s")] {
                let name = format!("x-ratelimit-{word}-requests-{i}").parse::<HeaderName>().unwrap();
                lines.insert(name, HeaderValue::from_static(value));
            }
        }
        let asked = budgets.send(Need::default());
        budgets.learn(&lines, asked, now);
        assert_eq!(budgets.known.len(), MOST_BUDGETS);
    }

    #[test]
    fn a_refusal_without_a_stated_wait_waits_for_the_reset_that_is_short() {
        let now = SystemTime::now();
        let need = Need { input: 100, output: 50 };
        let both = |requests, left| {
            reset_wait(
                &headers(&[
                    ("x-ratelimit-remaining-requests", requests),
                    ("x-ratelimit-reset-requests", "20s"),
                    ("x-ratelimit-remaining-tokens", left),
                    ("x-ratelimit-reset-tokens", "3s"),
                ]),
                need,
                now,
            )
            .map(|wait| wait.as_secs())
        };
        assert_eq!(both("5", "10"), Some(3));
        assert_eq!(both("0", "10"), Some(20));
        assert_eq!(both("0", "1000"), Some(20));
        assert_eq!(both("5", "1000"), None);
        assert_eq!(reset_wait(&headers(&[("x-ratelimit-reset", "4")]), need, now), Some(Duration::from_secs(4)));
    }
}

//! Scores of an Inspect sample and what became of it under each.

use serde_json::Value;
use weighbridge_core::{SampleState, Score};

use super::super::json::{Fields, Unknown, as_text};
use super::header::{Context, grader};

/// Words in the error of a sample that say that the model's host failed. The name of an exception of a client of a
/// provider, or what hosts and their clients say when they do not answer.
const OF_PROVIDERS: [&str; 26] = [
    "apistatuserror",
    "apiconnectionerror",
    "apitimeouterror",
    "apierror",
    "api error",
    "ratelimiterror",
    "rate limit",
    "internalservererror",
    "internal server error",
    "badrequesterror",
    "authenticationerror",
    "permissiondeniederror",
    "notfounderror",
    "servererror",
    "clienterror",
    "request timed out",
    "readtimeout",
    "connecttimeout",
    "connection error",
    "service unavailable",
    "serviceunavailable",
    "throttling",
    "overloaded",
    "error code: 4",
    "error code: 5",
    "attempttimeouterror",
];

/// What is known of a sample beside its scores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome<'a> {
    /// Its error: message and traceback.
    pub(super) error: Option<(&'a str, &'a str)>,
    /// The error that its last answer states.
    pub(super) output_error: Option<&'a str>,
    /// Why its last answer ended.
    pub(super) stop_reason: Option<&'a str>,
    /// The limit that it ran into.
    pub(super) limit: Option<&'a str>,
}

impl Outcome<'_> {
    /// What became of a sample without a score.
    ///
    /// An error of the sample is one of the provider where the message or the last line of the traceback names a
    /// failure of a host ([`OF_PROVIDERS`]) and no frame of the traceback lies in a scorer; else it is one of the
    /// harness.
    pub(super) fn state(&self) -> SampleState {
        if let Some((message, traceback)) = self.error {
            let last = traceback.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let said = format!("{message}\n{last}").to_ascii_lowercase();
            let scoring = traceback.contains("/scorer/") || traceback.contains("\\scorer\\");
            return if !scoring && OF_PROVIDERS.iter().any(|word| said.contains(word)) {
                SampleState::ProviderError
            } else {
                SampleState::HarnessError
            };
        }
        match (self.stop_reason, self.output_error, self.limit) {
            (Some("content_filter"), ..) => SampleState::Refused,
            (_, Some(_), _) => SampleState::ProviderError,
            (Some("max_tokens" | "model_length"), ..)
            | (_, _, Some("context" | "token" | "message" | "time" | "working" | "cost" | "turn")) => {
                SampleState::Truncated
            }
            _ => SampleState::Missing,
        }
    }
}

/// A value as a number, by the rules of Inspect (`value_to_float`).
enum Read {
    Number(f64),
    Absent,
    Unreadable,
}

fn number(value: &Value) -> Read {
    match value {
        Value::Null => Read::Absent,
        Value::Bool(yes) => Read::Number(f64::from(u8::from(*yes))),
        Value::Number(number) => number.as_f64().map_or(Read::Unreadable, Read::Number),
        Value::String(text) => match text.as_str() {
            "C" => Read::Number(1.0),
            "P" => Read::Number(0.5),
            "I" | "N" => Read::Number(0.0),
            other => match other.to_ascii_lowercase().as_str() {
                "yes" | "true" => Read::Number(1.0),
                "no" | "false" => Read::Number(0.0),
                "nan" | "" => Read::Absent,
                other => match other.trim().parse::<f64>() {
                    Ok(number) if number.is_finite() => Read::Number(number),
                    _ => Read::Unreadable,
                },
            },
        },
        Value::Array(_) | Value::Object(_) => Read::Unreadable,
    }
}

/// The scores of a sample: those that it bears, and the scorers of the log that gave it none. Metadata and history of
/// scores are handed back by name.
pub(super) fn scores(
    stated: Option<Value>,
    outcome: Outcome<'_>,
    context: &Context,
    unknown: &mut Unknown,
) -> (Vec<Score>, Vec<(String, Value)>) {
    let mut scores = Vec::new();
    let mut beside = Vec::new();
    let stated = match stated {
        Some(Value::Object(stated)) => stated,
        _ => serde_json::Map::new(),
    };
    let without = outcome.state();
    // With an error a score counts only where the run was told so.
    let counts = outcome.error.is_none() || context.score_on_error;
    let blank = |name: &str, grader: Option<String>| Score { grader, ..Score::new(name.to_owned(), without) };
    let grader_of = |name: &str| {
        let found = context.scorers.iter().find(|scorer| scorer.name == name);
        let found = found.or_else(|| {
            // A second use of a scorer bears a number: `match1`.
            let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
            context.scorers.iter().find(|scorer| scorer.name == bare)
        });
        found.and_then(|scorer| scorer.grader.clone())
    };
    for scorer in &context.scorers {
        if !stated.contains_key(&scorer.name) {
            scores.extend(scorer.scores().iter().map(|name| blank(name, scorer.grader.clone())));
        }
    }
    for (name, score) in stated {
        if !score.is_object() {
            // A bare value, as the oldest logs have it.
            push(&mut scores, &blank(&name, grader_of(&name)), score, counts);
            continue;
        }
        let mut fields = Fields::of(Some(score), "samples.*.scores.*", unknown);
        let value = fields.take_any("value").unwrap_or(Value::Null);
        let metadata = fields.take("metadata");
        let mut score = blank(&name, grader(metadata.as_ref()).or_else(|| grader_of(&name)));
        score.answer = fields.take("answer").map(|answer| as_text(&answer));
        score.explanation = fields.take("explanation").map(|explanation| as_text(&explanation));
        if let Some(metadata) = metadata {
            beside.push((name.clone(), metadata));
        }
        if let Some(history) = fields.take("history") {
            beside.push((format!("{name}.history"), history));
        }
        fields.take("reducer");
        fields.take("sample_id");
        fields.finish(unknown);
        push(&mut scores, &score, value, counts);
    }
    // In the order of the scorers, so that the first is the main one.
    let place = |score: &Score| {
        let base = score.name.split_once('/').map_or(score.name.as_str(), |(base, _)| base);
        context.scorers.iter().position(|scorer| scorer.name == score.name || scorer.name == base).unwrap_or(usize::MAX)
    };
    scores.sort_by_key(place);
    (scores, beside)
}

/// Adds a score, of an object or a list one for each of its values.
fn push(scores: &mut Vec<Score>, blank: &Score, value: Value, counts: bool) {
    let named = |key: &str| format!("{}/{key}", blank.name);
    match value {
        Value::Object(values) if !values.is_empty() => {
            for (key, value) in values {
                scores.push(of_value(blank, named(&key), &value, counts));
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                scores.push(of_value(blank, named(&index.to_string()), value, counts));
            }
        }
        Value::Object(_) | Value::Array(_) => scores.push(blank.clone()),
        value => scores.push(of_value(blank, blank.name.clone(), &value, counts)),
    }
}

fn of_value(blank: &Score, name: String, value: &Value, counts: bool) -> Score {
    let mut score = Score { name, ..blank.clone() };
    match number(value) {
        Read::Absent => {}
        Read::Number(number) if counts => {
            score.state = SampleState::Scored;
            score.value = Some(number);
        }
        // The run did not count it; the value stays readable.
        Read::Number(_) => score.parts = Some(serde_json::json!({ "value": value })),
        Read::Unreadable => {
            if counts {
                score.state = SampleState::WrongFormat;
            }
            let raw = format!("the value '{}' is no number", as_text(value));
            score.explanation = Some(match score.explanation.take() {
                Some(words) => format!("{raw}; {words}"),
                None => raw,
            });
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::read::inspect::header::Scorer;

    fn of(stated: Value, outcome: Outcome<'_>) -> Vec<(String, SampleState, Option<f64>)> {
        let context = Context {
            scorers: ["a", "b"].map(|name| Scorer { name: name.into(), ..Scorer::default() }).into(),
            ..Context::default()
        };
        let (scores, _) = scores(Some(stated), outcome, &context, &mut Unknown::new());
        scores.into_iter().map(|score| (score.name, score.state, score.value)).collect()
    }

    fn one(value: &Value) -> (SampleState, Option<f64>) {
        let found = of(json!({"a": {"value": value}, "b": {"value": 0}}), Outcome::default());
        (found[0].1, found[0].2)
    }

    #[test]
    fn values_by_the_rules_of_inspect() {
        use SampleState::{Missing, Scored, WrongFormat};
        for (value, number) in [
            (json!("C"), 1.0),
            (json!("P"), 0.5),
            (json!("I"), 0.0),
            (json!("N"), 0.0),
            (json!("Yes"), 1.0),
            (json!("FALSE"), 0.0),
            (json!(true), 1.0),
            (json!(7.25), 7.25),
            (json!("0.5"), 0.5),
        ] {
            assert_eq!(one(&value), (Scored, Some(number)), "{value}");
        }
        assert_eq!(one(&json!(null)), (Missing, None));
        assert_eq!(one(&json!("NaN")), (Missing, None));
        assert_eq!(one(&json!("perhaps")), (WrongFormat, None));
    }

    #[test]
    fn objects_and_lists_become_several_scores() {
        use SampleState::{Missing, Scored};
        let found = of(json!({"b": {"value": {"x": "C", "y": null}}, "a": {"value": [1, 0]}}), Outcome::default());
        let expect = [
            ("a/0".to_owned(), Scored, Some(1.0)),
            ("a/1".to_owned(), Scored, Some(0.0)),
            ("b/x".to_owned(), Scored, Some(1.0)),
            ("b/y".to_owned(), Missing, None),
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn samples_without_a_score_say_why() {
        use SampleState::{HarnessError, Missing, ProviderError, Refused, Truncated};
        let state = |outcome: Outcome<'_>| {
            let found = of(json!({}), outcome);
            assert_eq!(found.len(), 2);
            found[1].1
        };
        let error = |message, traceback| Outcome { error: Some((message, traceback)), ..Outcome::default() };
        assert_eq!(state(error("Request timed out.", "")), ProviderError);
        assert_eq!(state(error("", "Traceback\nopenai.RateLimitError: 429\n")), ProviderError);
        let scorer = "File \"/inspect_ai/scorer/_model.py\"\nopenai.RateLimitError: 429";
        assert_eq!(state(error("RateLimitError", scorer)), HarnessError);
        assert_eq!(state(error("docker: no such container", "")), HarnessError);
        let stop = |reason| Outcome { stop_reason: Some(reason), ..Outcome::default() };
        assert_eq!(state(stop("max_tokens")), Truncated);
        assert_eq!(state(stop("model_length")), Truncated);
        assert_eq!(state(stop("content_filter")), Refused);
        assert_eq!(state(stop("stop")), Missing);
        assert_eq!(state(Outcome { limit: Some("token"), ..Outcome::default() }), Truncated);
        assert_eq!(state(Outcome { limit: Some("operator"), ..Outcome::default() }), Missing);
    }
}

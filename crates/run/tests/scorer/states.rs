//! The state of a sample under each kind of answer, and scorers as the command line names them.

use weighbridge_core::{Finish, SampleState};
use weighbridge_run::scorer::{Prepared, SCORERS, ScorerSpec, score};

use super::record;

#[test]
fn the_command_line_names_scorers() {
    let check = |text: &str, expect: Option<ScorerSpec>| assert_eq!(ScorerSpec::parse(text).ok(), expect, "{text}");
    check("exact", Some(ScorerSpec::Exact));
    check("match", Some(ScorerSpec::Match));
    check("includes", Some(ScorerSpec::Includes));
    check("numeric", Some(ScorerSpec::Numeric { tolerance: 0.0 }));
    check("numeric:tolerance=0.5", Some(ScorerSpec::Numeric { tolerance: 0.5 }));
    check("numeric:0.5", None);
    check("numeric:tolerance=-1", None);
    check("choice", Some(ScorerSpec::Choice));
    check("regex:a:(b)", Some(ScorerSpec::Regex { pattern: "a:(b)".into() }));
    check("regex:(", None);
    check("regex", None);
    check("exact:1", None);
    check("code", Some(ScorerSpec::Code { timeout: 10.0 }));
    check("code:timeout=3", Some(ScorerSpec::Code { timeout: 3.0 }));
    check("nothing", None);
    for scorer in SCORERS {
        let named = ScorerSpec::parse(scorer.name).map_or(scorer.name, |spec| spec.name());
        assert_eq!(named, scorer.name);
    }
    let error = ScorerSpec::parse("nothing").expect_err("no such scorer");
    assert!(error.contains("numeric"), "{error}");
}

#[test]
fn specs_are_kept_as_json() {
    let check = |json: &str, spec: &ScorerSpec| {
        assert_eq!(&serde_json::from_str::<ScorerSpec>(json).expect("spec"), spec, "{json}");
        let again = serde_json::to_string(spec).expect("json");
        assert_eq!(&serde_json::from_str::<ScorerSpec>(&again).expect("spec"), spec);
    };
    check("\"exact\"", &ScorerSpec::Exact);
    check("{\"numeric\":{}}", &ScorerSpec::Numeric { tolerance: 0.0 });
    check("{\"regex\":{\"pattern\":\"x\"}}", &ScorerSpec::Regex { pattern: "x".into() });
    check("{\"code\":{\"timeout\":2.0}}", &ScorerSpec::Code { timeout: 2.0 });
}

#[test]
fn values() {
    let check = |spec: &str, answer: &str, target: &str, expect: f64| {
        let spec = ScorerSpec::parse(spec).expect("spec");
        let score = score(&spec, &record(Some(answer), &[target]));
        assert_eq!((score.state, score.name.as_str()), (SampleState::Scored, spec.name()), "{answer}");
        assert!((score.value.expect("value") - expect).abs() < 1e-12, "{answer}: {:?}", score.value);
        assert!(score.answer.is_some());
    };
    check("exact", "Paris", "Paris", 1.0);
    check("exact", "Paris ", "Paris", 0.0);
    check("match", "the paris.", "Paris", 1.0);
    check("match", "London", "Paris", 0.0);
    check("includes", "It is PARIS, I think", "Paris", 1.0);
    check("includes", "It is London", "Paris", 0.0);
    check("numeric", "So 1,000 eggs", "1000", 1.0);
    check("numeric:tolerance=0.01", "3.141", "3.14", 1.0);
    check("regex:([0-9]+) eggs", "So 12 eggs", "12", 1.0);
    check("regex:[0-9]+ eggs", "So 12 eggs", "12 eggs", 1.0);
    check("regex:[0-9]+", "So 12 eggs", "13", 0.0);
    check("f1", "the red cat", "cat", 2.0 / 3.0);
    check("f1", "x x y y", "y z", 1.0 / 3.0);
    check("f1", "dog", "cat", 0.0);
}

#[test]
fn an_answer_that_is_not_read_is_not_wrong() {
    use SampleState::{HarnessError, Missing, ProviderError, Refused, Scored, Truncated, WrongFormat};
    let check = |spec: &str, text: Option<&str>, stated: SampleState, finish: Option<Finish>, expect: SampleState| {
        let mut record = record(text, &["1"]);
        record.state = stated;
        record.answers[0].finish = finish;
        let scorer = Prepared::new(&ScorerSpec::parse(spec).expect("spec")).expect("scorer");
        let score = scorer.score(&record);
        assert_eq!(score.state, expect, "{spec} {text:?} {finish:?}");
        assert_eq!(score.value.is_some(), expect == SampleState::Scored);
    };
    check("numeric", None, ProviderError, None, ProviderError);
    check("numeric", None, Refused, None, Refused);
    check("numeric", None, Truncated, None, Truncated);
    check("numeric", None, Scored, None, Missing);
    check("numeric", None, HarnessError, None, Missing);
    check("numeric", Some("well"), Missing, None, WrongFormat);
    check("numeric", Some("well"), Missing, Some(Finish::EndOfText), WrongFormat);
    check("numeric", Some("well"), Missing, Some(Finish::MaxTokens), Truncated);
    check("numeric", Some("well"), Missing, Some(Finish::ContextFull), Truncated);
    check("numeric", Some("I will not"), Missing, Some(Finish::Filtered), Refused);
    check("numeric", Some("it is 1"), Missing, Some(Finish::MaxTokens), Scored);
    check("exact", Some(" "), Missing, None, WrongFormat);
    check("exact", Some(""), Truncated, None, Truncated);
    check("exact", Some("2"), Missing, None, Scored);
    check("choice", Some("A"), Missing, None, HarnessError);
    check("regex:x+", Some("y"), Missing, None, WrongFormat);
    let mut nothing = record(None, &[]);
    nothing.answers.clear();
    assert_eq!(score(&ScorerSpec::Exact, &nothing).state, Missing);
    assert_eq!(score(&ScorerSpec::Exact, &record(Some("x"), &[])).state, HarnessError);
    assert_eq!(score(&ScorerSpec::Regex { pattern: "(".into() }, &record(Some("x"), &["x"])).state, HarnessError);
}

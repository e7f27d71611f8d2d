//! One conformance test for every dialect: requests to exact bodies, answers and streams to the same words, errors, and
//! nothing that a host can send makes it panic.
//!
//! Each file holds the cases of one dialect; the shapes follow the references that the dialects name.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a helper of a test stops where the test would, and cases are written as values"
)]

mod anthropic;
mod cuts;
mod gemini;
mod ollama;
mod openai_chat;
mod openai_completions;
mod openai_responses;
#[path = "../scripted/mod.rs"]
mod scripted;
mod suite;

use suite::Suite;

/// Every dialect, in the order of `Dialect::ALL`.
fn suites() -> Vec<Suite> {
    vec![
        openai_chat::suite(),
        openai_responses::suite(),
        openai_completions::suite(),
        anthropic::suite(),
        gemini::suite(),
        ollama::suite(),
    ]
}

#[test]
fn every_dialect_is_here() {
    let here: Vec<_> = suites().iter().map(|suite| suite.dialect).collect();
    assert_eq!(here, weighbridge_core::Dialect::ALL);
}

#[test]
fn every_dialect_keeps_the_rules() {
    for suite in suites() {
        suite::check_dialect(&suite);
    }
}

#[test]
fn a_stream_is_the_same_answer_wherever_the_network_cuts_it() {
    for suite in suites() {
        cuts::check_cuts(&suite);
    }
}

#[test]
fn nothing_that_a_host_sends_makes_a_dialect_panic() {
    for suite in suites() {
        suite::check_hostile(&suite);
    }
}

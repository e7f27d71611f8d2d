//! The scorers as they are called: what they read out of answers, their states, and programs shut in.

#![expect(clippy::expect_used, reason = "a test stops where its input is not as it should be")]

#[path = "scorer/code.rs"]
mod code;
#[path = "scorer/gsm8k.rs"]
mod gsm8k;
#[path = "scorer/ifeval.rs"]
mod ifeval;
#[path = "scorer/states.rs"]
mod states;

use weighbridge_core::{ModelAnswer, SampleKey, SampleRecord};

/// A record with one answer, as the runner makes it.
fn record(answer: Option<&str>, target: &[&str]) -> SampleRecord {
    let key = SampleKey { task: "t".into(), model: "m".into(), sample: "1".into(), epoch: 1 };
    SampleRecord {
        target: target.iter().map(ToString::to_string).collect(),
        answers: vec![ModelAnswer { text: answer.map(str::to_owned), ..ModelAnswer::default() }],
        ..SampleRecord::new(key)
    }
}

//! Every fault: what the server does, and what must come of it. What came of it is observed and written to the table.

use std::time::Duration;

use weighbridge_api::SessionOptions;

use crate::server::{Act, Script, Seen, answer};

mod broken;
mod content;
mod keys;
mod limits;
mod statuses;
mod streams;

/// One fault.
pub struct Case {
    /// Heading under which it stands.
    pub group: &'static str,
    /// What the server does.
    pub fault: String,
    /// What is done about it, for readers of the table.
    pub done: &'static str,
    pub streamed: bool,
    pub script: Box<Script>,
    pub options: fn(&mut SessionOptions),
    /// Seconds that each wait between attempts has at least and at most.
    pub waits: (f64, f64),
    /// Text of the answer, where one is expected.
    pub text: &'static str,
}

impl Case {
    fn streamed(self) -> Self {
        Self { streamed: true, ..self }
    }

    fn options(self, options: fn(&mut SessionOptions)) -> Self {
        Self { options, ..self }
    }

    fn waits(self, least: f64, most: f64) -> Self {
        Self { waits: (least, most), ..self }
    }

    fn text(self, text: &'static str) -> Self {
        Self { text, ..self }
    }
}

/// A fault whose script sees the request and its number among the attempts.
fn case(
    fault: impl Into<String>,
    done: &'static str,
    script: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
) -> Case {
    Case {
        group: "",
        fault: fault.into(),
        done,
        streamed: false,
        script: Box::new(script),
        options: |_| {},
        // The back-off of the tests.
        waits: (0.0, 0.004),
        text: "ok",
    }
}

/// A fault that hits so many attempts; the next is answered.
fn times(
    times: usize,
    fault: impl Into<String>,
    done: &'static str,
    acts: impl Fn() -> Vec<Act> + Send + Sync + 'static,
) -> Case {
    case(fault, done, move |seen| if seen.number < times { acts() } else { answer("ok") })
}

/// A fault that hits every attempt.
fn always(fault: impl Into<String>, done: &'static str, acts: impl Fn() -> Vec<Act> + Send + Sync + 'static) -> Case {
    case(fault, done, move |_| acts())
}

/// Attempts that last for so long at most.
fn impatient(options: &mut SessionOptions) {
    options.timeout = Duration::from_millis(400);
}

/// Every case, in the order of the table.
pub fn all() -> Vec<Case> {
    let groups: [(&'static str, Vec<Case>); 6] = [
        ("Limits of rate", limits::cases()),
        ("Other errors", statuses::cases()),
        ("Connections that break", broken::cases()),
        ("Answers that are none", content::cases()),
        ("Streams", streams::cases()),
        ("Keys that come back", keys::cases()),
    ];
    let named = |(group, cases): (&'static str, Vec<Case>)| cases.into_iter().map(move |case| Case { group, ..case });
    groups.into_iter().flat_map(named).collect()
}

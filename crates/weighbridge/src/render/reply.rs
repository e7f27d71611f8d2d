//! Answers of models: as text, as a table side by side, as JSON.

use serde_json::{Value, json};
use weighbridge_core::{CallRecord, CallState, Finish, Usd};

use super::Screen;
use super::table::Rows;
use crate::cli::Format;

/// One model's answer, wherever it runs.
#[derive(Debug)]
pub struct Reply {
    /// The model, as the user named it.
    pub model: String,
    /// What became of the question.
    pub state: CallState,
    /// The text; `None` where there is no answer.
    pub text: Option<String>,
    /// Why there is none.
    pub why: Option<String>,
    /// Why the text ended.
    pub finish: Option<Finish>,
    /// Tokens of the prompt; `None` is unknown.
    pub input: Option<u64>,
    /// Tokens of the answer; `None` is unknown.
    pub output: Option<u64>,
    /// Log-probabilities of the answer's tokens.
    pub logprobs: Vec<Option<f64>>,
    /// Seconds to the first piece of text.
    pub first_token: Option<f64>,
    /// Seconds to the end.
    pub seconds: f64,
    /// What a host said; `None` for open weights in this process.
    pub record: Option<CallRecord>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            model: String::new(),
            state: CallState::NotSent,
            text: None,
            why: None,
            finish: None,
            input: None,
            output: None,
            logprobs: Vec::new(),
            first_token: None,
            seconds: 0.0,
            record: None,
        }
    }
}

impl Reply {
    /// The answer of a host.
    pub fn of_record(name: &str, record: CallRecord) -> Self {
        let why = record.attempts.last().and_then(|last| {
            let class = last.error?.as_str();
            let status = last.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
            Some(format!("{class}{status}: {}", last.message.as_deref().unwrap_or("no message")))
        });
        Self {
            model: name.to_owned(),
            state: record.state,
            text: record.text.clone(),
            why,
            finish: record.finish,
            input: record.usage.input,
            output: record.usage.output,
            logprobs: record.logprobs.iter().map(|token| token.logprob).collect(),
            first_token: record.timing.first_token,
            seconds: record.timing.latency,
            record: Some(record),
        }
    }

    /// The name as the user gave it, and what it stands for where it is a short one.
    pub fn shown(&self) -> String {
        match &self.record {
            Some(record) if !self.model.contains(':') => {
                safe(&format!("{} ({}:{})", self.model, record.served_by.provider, record.served_by.model))
            }
            _ => safe(&self.model),
        }
    }

    /// Tokens of the answer over all its seconds, the wait for the first one included.
    fn tokens_per_second(&self) -> Option<f64> {
        let tokens = self.output.filter(|_| self.text.is_some())?;
        (self.seconds > 0.0).then(|| tokens as f64 / self.seconds)
    }

    fn usd(&self) -> Option<Usd> {
        self.record.as_ref().and_then(|record| record.cost.usd)
    }

    fn price(&self) -> String {
        match (&self.record, self.usd()) {
            // Open weights here cost no call; what the machine costs is another question.
            (None, _) => "own machine".into(),
            (Some(_), Some(usd)) => dollars(usd),
            (Some(_), None) if self.text.is_none() => "-".into(),
            (Some(_), None) => "unknown".into(),
        }
    }

    /// Tokens, times and dollars in one line.
    pub fn facts(&self) -> String {
        let mut facts = Vec::new();
        if let Some((input, output)) = self.input.zip(self.output) {
            facts.push(format!("{input} tokens in, {output} out"));
        }
        facts.extend(self.first_token.map(|s| format!("first after {s:.2} s")));
        facts.extend(self.tokens_per_second().map(|rate| format!("{rate:.1} tokens/s")));
        if self.record.is_some() {
            facts.push(match self.usd() {
                Some(usd) => dollars(usd),
                None => "price unknown".into(),
            });
        }
        facts.join(", ")
    }
}

/// Dollars with two significant digits where they are few.
pub fn dollars(usd: Usd) -> String {
    if usd.0 > 0.0 && usd.0 < 0.1 {
        let digits = (1.0 - usd.0.log10().floor()) as usize;
        return format!("${:.*}", digits.min(9), usd.0);
    }
    format!("${:.2}", usd.0)
}

/// What a model says, without the characters that steer a terminal or turn its text around.
pub fn safe(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || turns(*c))).collect()
}

/// True for the characters that set the direction of the text after them.
pub const fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// One row a model.
///
/// # Errors
/// Never for text.
pub fn as_table(replies: &[Reply], screen: Screen) -> anyhow::Result<String> {
    let mut rows =
        Rows::new(&["model", "state", "tokens in", "out", "first token", "tokens/s", "dollars"], &[2, 3, 4, 5, 6]);
    let unknown = || "?".to_owned();
    for reply in replies {
        // Where it runs stands above its answer; here the name is enough, unless two would look the same.
        let short = |model: &str| model.split(',').next().unwrap_or_default().to_owned();
        let alone = replies.iter().filter(|other| short(&other.model) == short(&reply.model)).count() == 1;
        rows.cells.push(vec![
            safe(&if alone { short(&reply.model) } else { reply.model.clone() }),
            reply.state.as_str().into(),
            reply.input.map_or_else(unknown, |n| n.to_string()),
            reply.output.map_or_else(unknown, |n| n.to_string()),
            reply.first_token.map_or_else(unknown, |s| format!("{s:.2} s")),
            reply.tokens_per_second().map_or_else(unknown, |rate| format!("{rate:.1}")),
            reply.price(),
        ]);
    }
    rows.render(Format::Text, &screen)
}

/// All that is known of an answer.
pub fn as_json(reply: &Reply) -> Value {
    let mut object = json!({
        "model": reply.model,
        "state": reply.state,
        "text": reply.text,
        "finish": reply.finish,
        "prompt_tokens": reply.input,
        "tokens": reply.output,
        "logprobs": reply.logprobs,
        "first_token_seconds": reply.first_token,
        "seconds": reply.seconds,
        "usd": reply.usd(),
    });
    if let Some(why) = reply.why.as_ref().filter(|_| reply.text.is_none()) {
        object["why"] = json!(why);
    }
    if let Some(record) = &reply.record {
        object["record"] = json!(record);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_dollars_keep_two_digits() {
        for (usd, expect) in [
            (0.0, "$0.00"),
            (0.000_312, "$0.00031"),
            (0.05, "$0.050"),
            (0.1, "$0.10"),
            (12.345, "$12.35"),
            (1e-12, "$0.000000000"),
        ] {
            assert_eq!(dollars(Usd(usd)), expect);
        }
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(safe("a\u{1b}[2Jb\u{202e}c\r\nd\te"), "a[2Jbc\nd\te");
    }
}

//! Options of the commands that run tasks and handle their logs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use weighbridge_run::scorer::ScorerSpec;

use super::{Format, HostedArgs, RunningArgs, SamplingArgs, number};

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Tasks: a .jsonl, .json or .csv with `input` and `target` (and `choices`), or a task of lm-evaluation-harness (.yaml).
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<PathBuf>,
    /// A model, as for `ask`; give it once for each model.
    #[arg(long, short, required = true, value_name = "MODEL")]
    pub model: Vec<String>,
    /// The log; one that is there is gone on with [default: a new file in the folder runs].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// At most so many samples of each task, the first ones.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Ask each sample so often.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// How models are asked: `generate` takes every model, `loglikelihood` open weights, `both` shows how much that
    /// alone moves the score of open weights [default: what the task says; generate for a plain table].
    #[arg(long, value_enum)]
    pub protocol: Option<ProtocolArg>,
    /// How answers to a plain table are scored, the main score first [default: by its columns].
    #[arg(long, value_name = "SCORER", value_parser = ScorerSpec::parse)]
    pub scorer: Vec<ScorerSpec>,
    /// Worked examples before each question [default: what the task says].
    #[arg(long, value_name = "N")]
    pub few_shot: Option<u32>,
    /// What models are told before the question.
    #[arg(long)]
    pub system: Option<String>,
    /// Form of prompts [default: chat where the model has it].
    #[arg(long, value_enum)]
    pub style: Option<StyleArg>,
    /// Show rendered prompts, tokens, and what the run would cost; ask nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Stop when the comparison with the first model is settled: `decided`, or `ci=0.02` for a difference known to 0.02
    /// either way.
    #[arg(long, value_name = "RULE", value_parser = parse_until)]
    pub until: Option<Until>,
    /// Do not put the results into the lake.
    #[arg(long)]
    pub no_lake: bool,
    /// Neither look for answers among those kept from earlier runs nor keep these.
    #[arg(long)]
    pub no_cache: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub hosted: HostedArgs,
    #[command(flatten)]
    pub running: RunningArgs,
    /// Form of the results.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How models are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolArg {
    /// They write, and the text is scored.
    Generate,
    /// Choices are compared by their likelihood.
    Loglikelihood,
    /// One after the other.
    Both,
}

/// Form of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StyleArg {
    /// Plain text.
    Text,
    /// One turn of the user.
    Chat,
    /// Worked examples as turns.
    Multiturn,
}

/// When a comparison is settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// Zero is outside of the interval of the difference.
    Decided,
    /// The interval reaches so far either way at most.
    HalfWidth(f64),
}

fn parse_until(text: &str) -> Result<Until, String> {
    let expected = "expected `decided`, or `ci=` and a number between 0 and 1, such as ci=0.02";
    match text.strip_prefix("ci=") {
        None if text == "decided" => Ok(Until::Decided),
        None => Err(expected.to_owned()),
        Some(width) => number(width, |x| x > 0.0 && x < 1.0, expected).map(Until::HalfWidth),
    }
}

/// Options of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// A log of `run`.
    pub log: PathBuf,
    /// Score with this in place of what the log says; may be given several times, the main score first.
    #[arg(long, value_name = "SCORER", value_parser = ScorerSpec::parse)]
    pub scorer: Vec<ScorerSpec>,
    /// Add the new scores to the log; the old ones stay in it, the newest count.
    #[arg(long)]
    pub write: bool,
    /// Form of the results.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A log: of `run`, or of another program.
    pub log: PathBuf,
    /// The form to write.
    #[arg(long, value_name = "FORM")]
    pub to: String,
    /// The file or folder to write.
    #[arg(long, short, value_name = "PATH")]
    pub output: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_stopping_are_read() {
        assert_eq!(parse_until("decided"), Ok(Until::Decided));
        assert_eq!(parse_until("ci=0.02"), Ok(Until::HalfWidth(0.02)));
        for wrong in ["ci=0", "ci=2", "ci=", "soon", "0.02"] {
            assert!(parse_until(wrong).is_err_and(|e| e.contains("ci=0.02")), "{wrong}");
        }
    }
}

//! The command line: what can be asked, and how `--help` explains it.

mod asking;
mod tasks;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weighbridge_engine::{Device, Options, Precision};
use weighbridge_gap::lag::LagRule;

pub use asking::{
    AskArgs, AskFormat, CanaryArgs, GenerateArgs, HostedArgs, ProvidersArgs, SamplingArgs, parse_dialect,
};
pub use tasks::{ExportArgs, ProtocolArg, RunArgs, ScoreArgs, StyleArg, Until};

/// How far are open-weights language models behind closed ones?
///
/// Weighbridge measures the gap in points, in months and in dollars, with error bars, from an embedded snapshot of public
/// facts and from results that you import.
#[derive(Debug, Parser)]
#[command(name = "weighbridge", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 the answer is no, 2 the command line is wrong, 3 the input is wrong.\n\
                        Colours are left out when output is not a terminal or NO_COLOR is set.")]
pub struct Cli {
    /// Folder of the lake, where imports go [default: the user's data directory].
    #[arg(long, global = true, value_name = "FOLDER", env = "WEIGHBRIDGE_LAKE", hide_env_values = true)]
    pub lake: Option<OsString>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The gap today: both frontiers, points, months, prices, who leads.
    Gap(GapArgs),
    /// List models, or show all that is known about one, each fact with its source.
    Models(ModelsArgs),
    /// Compare two models on the same samples: difference, intervals, who is right where.
    Compare(CompareArgs),
    /// Rate models from pairwise votes (Bradley-Terry) with intervals.
    Rank(RankArgs),
    /// Put tasks to models, open and closed, score every answer and keep a log that is gone on with after a break.
    Run(RunArgs),
    /// Score the answers of a log again, without asking a model.
    Score(ScoreArgs),
    /// Write a log in the form of another program.
    Export(ExportArgs),
    /// Import results, samples or votes into the lake; the format is found from the content.
    Import(ImportArgs),
    /// What the lake holds, or a query over its tables.
    Lake(LakeArgs),
    /// Check the embedded facts, or a folder of facts.
    Catalog(CatalogArgs),
    /// Show what a weight file or a model's folder is, from its headers alone: shape, parameters, license, memory.
    Inspect(InspectArgs),
    /// Put a question to one or more models, open and closed, side by side.
    Ask(AskArgs),
    /// Put a file of questions to a model; every answer is a record of its own.
    Generate(GenerateArgs),
    /// List who serves models, how they are spoken to, and whether there is a key.
    Providers(ProvidersArgs),
    /// Find out what a hosted model really does: log-probabilities, stops, seeds, context, who answers.
    Canary(CanaryArgs),
    /// Score continuations after their contexts, by the rules of lm-evaluation-harness.
    Loglikelihood(LoglikelihoodArgs),
    /// The logits of the token after some token ids, for checks from outside.
    Logits(LogitsArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// One row a number, for spreadsheets.
    Csv,
    /// For documents.
    Markdown,
}

/// Where the scores come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// The newest of the snapshot and the lake.
    Newest,
    /// The facts inside the program.
    Snapshot,
    /// The newest index folder that was imported.
    Lake,
}

/// Options of `gap`.
#[derive(Debug, Args)]
pub struct GapArgs {
    /// Day of the question, YYYY-MM-DD [default: the day on which the facts end].
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub as_of: Option<time::Date>,
    /// Days that lag and mean gap are averaged over: FROM..TO, or a length such as 180d, 6m or 1y before --as-of
    /// [default: from 1 January of the year, at least 180 days].
    #[arg(long, value_name = "WINDOW", value_parser = parse_window)]
    pub window: Option<Window>,
    /// How the lag is defined; give several to compare them, the first is the headline [default: all].
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = parse_rule)]
    pub lag_rule: Vec<LagRule>,
    /// One benchmark in place of the index.
    #[arg(long, value_name = "NAME")]
    pub benchmark: Option<String>,
    /// Bootstrap draws behind the intervals.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub draws: u32,
    /// Seed of the draws: the same seed gives the same report.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the scores come from.
    #[arg(long, value_enum, default_value_t = From::Newest)]
    pub from: From,
    /// Make the draws of the index afresh and keep none; otherwise they are kept in the user's cache directory.
    #[arg(long)]
    pub no_cache: bool,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// The model to show; without it, models are listed.
    pub model: Option<String>,
    /// Only models of this access: open-weights, closed or unknown.
    #[arg(long, value_name = "ACCESS")]
    pub access: Option<weighbridge_core::Access>,
    /// Only models of this lab.
    #[arg(long)]
    pub lab: Option<String>,
    /// Only models whose license or terms contain this text.
    #[arg(long)]
    pub license: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// First model: an id, a name, an alias, or a run label.
    pub a: String,
    /// Second model.
    pub b: String,
    /// Only this benchmark [default: every benchmark on which both have samples].
    #[arg(long, value_name = "NAME")]
    pub benchmark: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `rank`.
#[derive(Debug, Args)]
pub struct RankArgs {
    /// A file of aggregated votes, or the name of a votes dataset in the lake.
    pub votes: PathBuf,
    /// Coverage of the intervals, in percent.
    #[arg(long, default_value_t = 95.0)]
    pub level: f64,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of how open weights run.
#[derive(Clone, Copy, Debug, Args)]
pub struct RunningArgs {
    /// Threads [default: one a core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Where the model runs: cpu, cuda, cuda:N or metal; all but cpu need a build with that feature.
    #[arg(long, default_value_t = Device::Cpu)]
    pub device: Device,
    /// How prompts are computed on the CPU; answers are made token by token in f32 either way.
    #[arg(long, value_enum, default_value_t = PrecisionArg::F32)]
    pub precision: PrecisionArg,
}

/// How products of many rows are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// With the weights exactly as stored.
    F32,
    /// Rounded to bf16, where the processor has instructions for it.
    Bf16,
}

impl std::convert::From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Self::F32,
            PrecisionArg::Bf16 => Self::Bf16,
        }
    }
}

impl RunningArgs {
    /// The same, as the engine takes it.
    pub fn options(self) -> Options {
        Options { threads: self.threads.map(usize::from), device: self.device, precision: self.precision.into() }
    }
}

/// Options of `loglikelihood`.
#[derive(Debug, Args)]
pub struct LoglikelihoodArgs {
    /// The model, as for `ask`; a hosted one must give log-probabilities of its prompt (dialect openai_completions).
    pub model: String,
    /// A file of lines {"context": TEXT, "continuation": TEXT}; '-' reads standard input.
    pub requests: PathBuf,
    /// Add to each line what the model says about each token: its log-probability, the likeliest token, and mean and
    /// variance of log p over the whole vocabulary.
    #[arg(long)]
    pub per_token: bool,
    /// Also tell how many tokens ran through the model, on standard error.
    #[arg(long)]
    pub verbose: bool,
    #[command(flatten)]
    pub hosted: HostedArgs,
    #[command(flatten)]
    pub running: RunningArgs,
}

/// Options of `logits`.
#[derive(Debug, Args)]
pub struct LogitsArgs {
    /// A .gguf file, a folder with safetensors, or hf:OWNER/NAME@REVISION.
    pub model: String,
    /// Token ids, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    pub ids: Vec<u32>,
    #[command(flatten)]
    pub running: RunningArgs,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files or folders.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `lake`.
#[derive(Debug, Args)]
pub struct LakeArgs {
    /// What to do; without it, `info`.
    #[command(subcommand)]
    pub command: Option<LakeCommand>,
}

/// What can be done with the lake.
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// Tables, rows and imports.
    Info {
        /// Form of the output.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// The columns of every table.
    Schema,
    /// Write the embedded facts (models, prices, results) into the lake, to be queried with SQL.
    Snapshot,
    /// Run a query over the tables results, samples, votes, models and prices.
    Sql {
        /// The query.
        query: String,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A .gguf or .safetensors file, or a folder with config.json and weights.
    pub path: PathBuf,
    /// Tokens of each text, for the memory needed [default: the model's context].
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    pub context: Option<u64>,
    /// Texts at once, for the memory needed.
    #[arg(long, value_name = "TEXTS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// Read every byte for a hash of the content.
    #[arg(long)]
    pub hash: bool,
    /// Print only the chat template, as it stands in the file.
    #[arg(long)]
    pub template: bool,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `catalog`.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CatalogCommand,
}

/// What can be done with the catalog.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Look for rows that cannot be right; exit code 1 when there are errors.
    Check {
        /// A catalog folder in place of the embedded one.
        folder: Option<PathBuf>,
        /// Form of the output.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// A window as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// First and last day.
    Days(time::Date, time::Date),
    /// So many days up to the day of the question.
    Before(u32),
}

fn parse_window(text: &str) -> Result<Window, String> {
    let expected = "expected FROM..TO such as 2026-01-01..2026-08-11, or a length such as 180d, 6m or 1y";
    if let Some((from, to)) = text.split_once("..") {
        let day = |t: &str| weighbridge_core::parse_date(t).map_err(|_| format!("'{t}' is not a day; {expected}"));
        let (from, to) = (day(from)?, day(to)?);
        return if from <= to { Ok(Window::Days(from, to)) } else { Err("it ends before it begins".into()) };
    }
    let unit = text.chars().last();
    let count = unit.and_then(|c| text.strip_suffix(c)).and_then(|n| n.parse::<u16>().ok());
    let days = match (count, unit) {
        (Some(n), Some('d')) => f64::from(n),
        (Some(n), Some('m')) => f64::from(n) * weighbridge_core::DAYS_PER_MONTH,
        (Some(n), Some('y')) => f64::from(n) * 12.0 * weighbridge_core::DAYS_PER_MONTH,
        _ => return Err(expected.into()),
    };
    Ok(Window::Before(days.round() as u32))
}

fn parse_date(text: &str) -> Result<time::Date, String> {
    weighbridge_core::parse_date(text).map_err(|_| "expected a day such as 2026-08-11".to_owned())
}

fn parse_rule(text: &str) -> Result<LagRule, String> {
    text.parse()
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number from 1".to_owned())
}

fn number(text: &str, good: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x| good(*x)).ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read() {
        let day = |text| weighbridge_core::parse_date(text).unwrap();
        for (text, expect) in [
            ("2026-01-01..2026-05-28", Window::Days(day("2026-01-01"), day("2026-05-28"))),
            ("10d", Window::Before(10)),
            ("6m", Window::Before(183)),
            ("1y", Window::Before(365)),
        ] {
            assert_eq!(parse_window(text), Ok(expect), "{text}");
        }
        for text in ["", "6", "m", "six", "2026..2027", "2026-05-28..2026-01-01", "-5d", "é"] {
            assert!(parse_window(text).is_err(), "{text}");
        }
    }
}

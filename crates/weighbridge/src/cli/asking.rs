//! Options of the commands that put questions to models, open and closed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use weighbridge_core::{Dialect, Effort, Reasoning, Sampling, Usd};

use super::{Format, RunningArgs, number, parse_count};

/// What every model is told that is to answer with a text.
#[derive(Clone, Debug, Args)]
pub struct SamplingArgs {
    /// Longest answer, in tokens, reasoning included [default: 4096; 256 where `ask` runs open weights here].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: Option<u32>,
    /// End before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// What logits are divided by; 0 takes the likeliest token [default: 0 for open weights here, a host's own elsewhere].
    #[arg(long, value_parser = parse_temperature, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Draw from the K likeliest tokens only.
    #[arg(long, value_name = "K", value_parser = parse_count)]
    pub top_k: Option<usize>,
    /// Draw from the likeliest tokens that together reach this probability.
    #[arg(long, value_parser = parse_top_p, allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Draw from tokens at least this many times as likely as the likeliest.
    #[arg(long, value_parser = parse_min_p, allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Seed of the draws.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How much a hosted model thinks first: off, minimal, low, medium, high, xhigh, max, or a number of tokens.
    #[arg(long, value_name = "LEVEL", value_parser = parse_reasoning)]
    pub reasoning: Option<Reasoning>,
    /// Log-probabilities of the answer's tokens, each with so many alternatives.
    #[arg(long, value_name = "N")]
    pub logprobs: Option<u8>,
}

impl SamplingArgs {
    /// For a host: what is not set is left to it.
    pub const fn hosted(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            seed: self.seed,
        }
    }

    /// For open weights in this process: the likeliest token where no temperature is set.
    pub fn local(&self) -> Sampling {
        Sampling { temperature: Some(self.temperature.unwrap_or(0.0)), ..self.hosted() }
    }
}

/// How hosted models are reached.
#[derive(Clone, Debug, Args)]
pub struct HostedArgs {
    /// Address of a server, up to and with its version part, such as http://localhost:8000/v1.
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// File with the key [default: the provider's variable, see `weighbridge providers`].
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Form in which the server is spoken to [default: the provider's first].
    #[arg(long, value_parser = parse_dialect)]
    pub dialect: Option<Dialect>,
    /// Most requests in flight at one provider; fewer go out where it has limits.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub concurrency: u32,
    /// Seconds after which an attempt is given up.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = parse_seconds)]
    pub timeout: Duration,
    /// Dollars after which nothing more is sent.
    #[arg(long, value_name = "USD", value_parser = parse_usd)]
    pub max_cost: Option<Usd>,
}

/// Options of `ask`.
#[derive(Debug, Args)]
#[command(override_usage = "weighbridge ask [OPTIONS] <MODEL>... <PROMPT>")]
pub struct AskArgs {
    /// One or more models, then the question; '-' reads it from standard input. A model is a .gguf file, a folder with
    /// safetensors, hf:OWNER/NAME@REVISION, a short name such as chatgpt, or
    /// PROVIDER:MODEL[,host=HOST,quantization=Q][,base-url=URL][,dialect=DIALECT].
    // One list, because options may stand anywhere between the models and the question.
    #[arg(required = true, num_args = 1.., value_name = "MODEL>... <PROMPT")]
    pub words: Vec<String>,
    /// What the model is told before the question.
    #[arg(long)]
    pub system: Option<String>,
    /// Continue the text as it stands, without the chat template of the model.
    #[arg(long, conflicts_with = "system")]
    pub raw: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub hosted: HostedArgs,
    #[command(flatten)]
    pub running: RunningArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = AskFormat::Text)]
    pub format: AskFormat,
}

/// Form of an answer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AskFormat {
    /// The text as it comes.
    Text,
    /// A list with one object a model: text, reason to end, tokens, times, dollars, attempts.
    Json,
}

/// Options of `generate`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The model, as for `ask`.
    pub model: String,
    /// A file of lines {"prompt": TEXT}, {"text": TEXT} to go on from, or {"messages": [...]}, each with "id", "system" and
    /// the options below where they differ.
    pub requests: PathBuf,
    /// Where the answers go, one record a line as each ends; a file that is there is continued [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Take the answers as streams, for the time to the first token.
    #[arg(long)]
    pub stream: bool,
    /// Send them as a batch, at the provider's price for that; started again, the command goes on with the batch.
    #[arg(long, requires = "output", conflicts_with = "stream")]
    pub batch: bool,
    /// Skip the requests that find out beforehand what a host really does.
    #[arg(long)]
    pub no_canary: bool,
    /// Neither look for answers among those kept from earlier runs nor keep these.
    #[arg(long)]
    pub no_cache: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub hosted: HostedArgs,
    #[command(flatten)]
    pub running: RunningArgs,
}

/// Options of `providers`.
#[derive(Debug, Args)]
pub struct ProvidersArgs {
    /// Only this provider, with all that is known of it.
    pub provider: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Options of `canary`.
#[derive(Debug, Args)]
pub struct CanaryArgs {
    /// The hosted model, as for `ask`.
    pub model: String,
    #[command(flatten)]
    pub hosted: HostedArgs,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = AskFormat::Text)]
    pub format: AskFormat,
}

fn parse_temperature(text: &str) -> Result<f64, String> {
    number(text, |x| x >= 0.0 && x.is_finite(), "expected a number from 0")
}

fn parse_top_p(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0 && x <= 1.0, "expected a number above 0 and at most 1")
}

fn parse_min_p(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..=1.0).contains(&x), "expected a number from 0 to 1")
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let expected = "expected seconds above 0";
    number(text, |x| x > 0.0, expected).and_then(|s| Duration::try_from_secs_f64(s).map_err(|_| expected.into()))
}

fn parse_usd(text: &str) -> Result<Usd, String> {
    number(text.trim_start_matches('$'), |x| x >= 0.0 && x.is_finite(), "expected dollars, such as 2.50").map(Usd)
}

/// The dialect of that name.
pub fn parse_dialect(text: &str) -> Result<Dialect, String> {
    Dialect::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Dialect::ALL.iter().map(|d| d.as_str()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn parse_reasoning(text: &str) -> Result<Reasoning, String> {
    if text == "off" {
        return Ok(Reasoning::Off);
    }
    if let Ok(tokens) = text.parse() {
        return Ok(Reasoning::Budget(tokens));
    }
    Effort::from_name(text).map(Reasoning::Effort).ok_or_else(|| {
        let names: Vec<&str> = Effort::ALL.iter().map(|level| level.as_str()).collect();
        format!("expected off, {} or a number of tokens", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_and_money_are_read() {
        assert_eq!(parse_reasoning("off"), Ok(Reasoning::Off));
        assert_eq!(parse_reasoning("xhigh"), Ok(Reasoning::Effort(Effort::ExtraHigh)));
        assert_eq!(parse_reasoning("2048"), Ok(Reasoning::Budget(2048)));
        assert!(parse_reasoning("much").is_err_and(|e| e.contains("minimal, low, medium, high, xhigh, max")));
        assert_eq!(parse_usd("$2.50"), Ok(Usd(2.5)));
        assert!(parse_usd("-1").is_err() && parse_usd("free").is_err());
        assert!(parse_seconds("0").is_err() && parse_seconds("1e30").is_err());
        assert_eq!(parse_dialect("gemini"), Ok(Dialect::Gemini));
    }
}

//! One command a file; each takes its arguments and gives its answer as text.

mod ask;
mod canary;
mod catalog;
mod compare;
mod export;
mod gap;
mod generate;
mod import;
mod inspect;
mod lake;
mod logits;
mod loglikelihood;
mod models;
mod open_weights;
mod providers;
mod rank;
mod run;
mod score;

use std::path::Path;

use clap::CommandFactory;

use crate::Answer;
use crate::cli::{Cli, Command};
use crate::render::Screen;

/// Runs the command that was asked for.
///
/// # Errors
/// The input, the lake or the facts are wrong: the message says which and what to do.
pub fn run(cli: Cli, screen: Screen) -> anyhow::Result<Answer> {
    // An empty variable is as good as none.
    let lake = cli.lake.as_deref().filter(|folder| !folder.is_empty()).map(Path::new);
    match cli.command {
        Command::Gap(args) => gap::run(&args, lake, screen),
        Command::Models(args) => models::run(&args, screen),
        Command::Compare(args) => compare::run(&args, lake, screen),
        Command::Rank(args) => rank::run(&args, lake, screen),
        Command::Run(args) => run::run(&args, lake, screen),
        Command::Score(args) => score::run(&args, screen),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args, lake, screen),
        Command::Lake(args) => lake::run(args.command, lake, screen),
        Command::Catalog(args) => catalog::run(&args.command, screen),
        Command::Inspect(args) => inspect::run(&args, screen),
        Command::Ask(args) => ask::run(&args, screen),
        Command::Generate(args) => generate::run(&args, screen),
        Command::Providers(args) => providers::run(&args, screen),
        Command::Canary(args) => canary::run(&args, screen),
        Command::Loglikelihood(args) => loglikelihood::run(&args, screen),
        Command::Logits(args) => logits::run(&args),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "weighbridge", &mut out);
            Ok(Answer::plain(String::from_utf8(out)?))
        }
        Command::Man => Ok(Answer::plain(manual()?)),
    }
}

/// The manual: the program and then each command with its options, one after another.
fn manual() -> anyhow::Result<String> {
    let mut program = Cli::command();
    program.build();
    let mut out = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut out)?;
    for command in program.get_subcommands().filter(|c| c.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut out)?;
    }
    Ok(String::from_utf8(out)?)
}

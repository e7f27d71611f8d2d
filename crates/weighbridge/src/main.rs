//! The program: reads the command line, runs one command, prints its answer and sets the exit code.

mod call_log;
mod canaries;
mod chart;
mod cli;
mod commands;
mod draws_cache;
mod facts;
mod render;
mod requests;
mod run_summary;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use render::Screen;

/// What a command answers.
pub struct Answer {
    /// What goes to standard output.
    pub text: String,
    /// False where the answer is "no" (exit code 1).
    pub yes: bool,
    /// True where something that was asked for could not be had, and the text says what (exit code 3).
    pub failed: bool,
    /// A word to the person at the terminal, on standard error: not part of the answer.
    pub note: Option<String>,
}

impl Answer {
    /// An answer that is no question of yes or no.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), yes: true, failed: false, note: None }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli, Screen::of_terminal()) {
        Ok(answer) => {
            if let Some(note) = &answer.note {
                // An answer without its note is still the answer.
                let _ = writeln!(io::stderr(), "note: {note}");
            }
            match print(&answer.text) {
                Ok(()) if answer.failed => ExitCode::from(3),
                Ok(()) if answer.yes => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(1),
                Err(error) => fail(&anyhow::Error::new(error).context("cannot write to standard output")),
            }
        }
        Err(error) => fail(&error),
    }
}

/// Writes to standard output; a reader that has gone away (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // A message may quote a hostile file, and must not steer the terminal. Nothing is left to do where even standard
    // error is closed.
    let _ = writeln!(io::stderr(), "error: {}", render::inspect::harmless(&format!("{error:#}")));
    ExitCode::from(3)
}

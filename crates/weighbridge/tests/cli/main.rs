//! The program as its users run it: arguments in; exit code, standard output and standard error out.
//!
//! One module a command, and one test binary for all of them, because linking takes long. Every run has a home, a lake and
//! an environment of its own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the lints leave tests alone, but not the functions that tests share; a test ends where one of these fails"
)]

mod ask;
mod catalog;
mod compare;
mod draws_cache;
mod estimates;
mod gap;
mod generate;
mod home;
mod hosted;
mod hub;
mod import;
mod inspect;
mod lake;
mod lm_eval;
mod logits;
mod loglikelihood;
mod models;
mod program;
mod providers;
mod rank;
mod run;
mod server;
mod together;
mod weights;

//! The program as its users run it: arguments in; exit code, standard output and standard error out.
//!
//! One module a command, one test binary for all: each links the whole program's tests once. Every run has a home, a lake
//! and an environment of its own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the lints leave tests alone, but not the functions that tests share; a test ends where one of these fails"
)]

mod catalog;
mod compare;
mod estimates;
mod gap;
mod home;
mod import;
mod lake;
mod models;
mod program;
mod rank;
mod together;

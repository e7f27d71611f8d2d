//! Hosted models against servers that fail in every way: nothing is lost, nothing is counted twice, nothing hangs, and no
//! key is written anywhere.
//!
//! The table of faults and outcomes, `docs/faults.md`, is made here from what was observed. Set `UPDATE_DOCS` to write it;
//! otherwise a difference fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod cache;
mod cases;
mod client;
mod limits;
mod outside;
mod server;
mod storm;
mod table;
mod watchdog;

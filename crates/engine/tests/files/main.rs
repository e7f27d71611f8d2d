//! Reading checkpoints: the corpus of good and bad files, folders, mutations, and the numbers of every stored form.

#![expect(
    clippy::expect_used,
    reason = "the lints leave tests alone, but not the functions that tests share; a test ends where one of these fails, and says what it skips"
)]

mod build;
mod corpus;
mod dequant;
mod folders;
mod inspect;
mod memory;
mod mutations;
mod rules;

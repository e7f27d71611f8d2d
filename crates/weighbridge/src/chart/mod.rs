//! Charts for the terminal. Each shows numbers that the text or JSON report also gives.

pub mod frontier;

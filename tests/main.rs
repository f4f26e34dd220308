//! End to end: the real `eud` and `eud-keeper` with real processes that are really killed.
//!
//! Purpose: what is promised of the whole. Each file is a theme, each test named after what it
//! proves.
//! Invariants: daemons that matter are diarists (see `diarist/main.rs`), and their diaries are
//! believed, not the programs under test; waiting is for conditions, with a limit; each test has a
//! folder of its own and leaves no process behind; no fixed ports.
//! Deliberately absent: any use of the product's crates by the checkers. They talk to the programs
//! as a user does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod adoption;
mod bad_input;
mod chaos;
mod checkers;
mod events;
mod gauges;
mod guards;
mod interactive;
mod jobs;
mod kill_nine;
mod many;
mod seed_defects;
mod support;
mod tree_kill;
mod watches;

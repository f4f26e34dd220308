//! The keeper with real processes.
//!
//! Everything is awaited by an event, a file or the death of a process, never by sleeping for a
//! while. Tests that need root or a control group say so when they cannot run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod control;
mod ends;
mod harness;
mod logs;
mod lost;
mod notify;
mod spares;
mod stops;
mod tasks;

//! Pure decisions of eudaemon.
//!
//! Purpose: decide what happens to each daemon, given what is told and the time that is told with
//! it.
//! Invariants: no clock, no randomness, no file, no process, no async; the same inputs give the
//! same effects.
//! Deliberately absent: any knowledge of how an effect is carried out.

mod engine;
pub mod event;
pub mod expr;
pub mod fleet;
pub mod happened;
pub mod io;
pub mod message;
pub mod planted;
pub mod record;
mod rng;
pub mod schedule;
pub mod select;
pub mod template;
pub mod view;
pub mod words;

pub use engine::{
    Core, LAUNCH_LIMIT_MS, PROBE_SLACK_MS, READY_POLL_FIRST_MS, READY_POLL_MAX_MS, STOP_SLACK_MS,
    WANTS_WAIT_MS, coming,
};

//! Pure decisions of eudaemon.
//!
//! Purpose: decide what happens to each daemon, given what is told and the time that is told with it.
//! Invariants: no clock, no randomness, no file, no process, no async; the same inputs give the same effects.
//! Deliberately absent: any knowledge of how an effect is carried out.

pub mod fleet;
pub mod io;
pub mod record;
pub mod select;
pub mod view;

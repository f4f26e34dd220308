//! A fake world for the core: processes, keepers, clocks, a journal, and everything that goes wrong
//! with them.
//!
//! Purpose: show that the invariants hold for histories nobody thought of. One seed gives one
//! history: a fleet, an operator, crashing commands, killed and frozen keepers, a manager that dies
//! between any two effects, power cuts, late and doubled messages, clocks that jump. Checkers look
//! at the world, not at the core's word.
//! Invariants of the simulator itself: no clock, no randomness but the seed; the same seed gives
//! the same trace; every planted defect is found.
//! Deliberately absent: the real shell. `shell` is its model; the real one has end-to-end tests.

mod channels;
mod check;
mod deliver;
mod dice;
mod events;
mod fleet;
mod gauges;
mod jobs;
mod mischief;
mod publish;
mod reference;
mod rules;
mod run;
mod shell;
mod tasks;
mod weather;
mod world;

pub use run::{Outcome, Planting, simulate};
pub use shell::Defect;

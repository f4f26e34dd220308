//! The power is cut: after every write, with whatever part of the unsynced ones.
//!
//! Purpose: what was acknowledged as durable is there, and nothing is there by halves.
//! Invariants: the programs are the real ones; what they did to their files is watched, and every
//! state that a power cut could have left of them (see [`eud_sys::fault::Disk`]) is opened again.
//! Each check is checked: with the waits for the disk left out it must fail. `EUD_FAULTS=all` tries
//! every point in time with many seeds; without it, of long rows of writes some are tried.
//! Deliberately absent: a way to skip it. Where a program cannot be watched, the tests fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(dead_code, reason = "the diarist is another test's")]
#[path = "../support/binaries.rs"]
mod binaries;
mod cuts;
mod files;
mod keeper;
mod store;

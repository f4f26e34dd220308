//! Every system call fails once: the keeper and the store with the nth call failing, for each n.
//!
//! Purpose: no call may be trusted to go well. Whichever fails, nothing hangs or panics, what is
//! said is true, and what was acknowledged is there.
//! Invariants: the programs are the real ones; which calls there are is counted first, in a run
//! where nothing fails. `EUD_FAULTS=all` tries every call with every error it may give; without it
//! each call gets one, and of long rows of the same call only the ends are tried.
//! Deliberately absent: a way to skip it. Where a program cannot be watched, the tests fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(dead_code, reason = "the diarist is another test's")]
#[path = "../support/binaries.rs"]
mod binaries;
mod cases;
mod keeper;
mod store;

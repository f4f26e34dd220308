//! Defects of other supervisors, each of which somebody had to find out the hard way. None of them
//! is ours.
//!
//! Purpose: one test for each defect, with the defect in a sentence before it.
//! Deliberately absent: defects of what does not exist here yet (cron, watches, tasks, events).

mod ends;
mod identity;
mod output;
mod policy;
mod truth;

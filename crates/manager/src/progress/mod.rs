//! How far a task has come, as its output says.
//!
//! Purpose: from the log of a run to a [`TaskProgress`]: steps, what it is doing, tokens, cost,
//! result.
//! Invariants: what is told is the whole of it, never a difference, so that nothing counts twice
//! however often it is read; the last line a run wrote is in what is told of its end.
//! Deliberately absent: waiting, and any judgement of a task: the core makes that.

mod agent;
mod tally;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::ControlFlow;

use eud_core::fleet::ProgressFrom;
use eud_core::record::{ExitRecord, TaskProgress, WallMs};

use crate::exit_file::{self, RunKey};
use crate::layout::Layout;
use crate::log_follow::{LogFollow, Looked, Mark};
pub(crate) use tally::Tally;

/// Longest line that is read as JSON, in bytes. The end of a longer one is left out, and it counts
/// as a step.
pub const PROGRESS_LINE_BYTES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Progress {
    from: ProgressFrom,
    follow: LogFollow,
    tally: Tally,
    /// What was told last.
    told: TaskProgress,
}

impl Progress {
    /// Of the run of `unit` that began at `mark`, or, without one, at `since_ms`.
    pub(crate) fn new(
        layout: &Layout,
        unit: &str,
        from: ProgressFrom,
        mark: Option<Mark>,
        since_ms: i64,
    ) -> Self {
        Self {
            from,
            follow: LogFollow::new(layout, unit, mark, since_ms, PROGRESS_LINE_BYTES_MAX),
            tally: Tally::default(),
            told: TaskProgress::default(),
        }
    }

    /// Reads some of what is new.
    ///
    /// # Errors
    /// When the log cannot be read; it may be tried again.
    pub(crate) fn look(&mut self) -> io::Result<Looked> {
        let Self {
            from,
            follow,
            tally,
            ..
        } = self;
        follow.look(&mut |line| {
            tally.line(*from, line);
            ControlFlow::Continue(())
        })
    }

    /// All there is by now, if that is news.
    pub(crate) fn news(&mut self) -> Option<TaskProgress> {
        let now = self.tally.progress();
        if *now == self.told {
            return None;
        }
        self.told = now.clone();
        Some(self.told.clone())
    }

    /// Reads the rest, now that the run has ended. Gives all there is to know.
    ///
    /// # Errors
    /// When the log cannot be read to its end; then the progress is what could be read.
    pub(crate) fn end(mut self, layout: &Layout, key: &RunKey) -> (TaskProgress, io::Result<()>) {
        let read = loop {
            match self.look() {
                Ok(Looked::More) => {}
                Ok(Looked::AllSeen | Looked::Enough) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        let Self {
            from,
            follow,
            tally,
            ..
        } = &mut self;
        follow.finish(&mut |line| tally.line(*from, line));
        let mut progress = self.tally.progress().clone();
        progress.leftovers = exit_file::leftovers(layout, key);
        (progress, read)
    }
}

/// The progress of a run that ended while no manager looked.
pub(crate) fn of_ended(
    layout: &Layout,
    key: &RunKey,
    from: ProgressFrom,
    record: &ExitRecord,
) -> TaskProgress {
    let since_ms = begun_ms(&key.run, record.started_at_ms);
    let progress = Progress::new(layout, &key.unit, from, None, since_ms);
    progress.end(layout, key).0
}

/// When a run began: when its command was started or, where nobody knows that, when it was given
/// its name, which is a UUIDv7.
pub(crate) fn begun_ms(run: &str, started_at_ms: WallMs) -> WallMs {
    if started_at_ms > 0 {
        return started_at_ms;
    }
    let digits: String = run.chars().filter(|c| *c != '-').take(12).collect();
    WallMs::from_str_radix(&digits, 16).unwrap_or(0)
}

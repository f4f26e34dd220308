//! From views to text.
//!
//! Purpose: everything that decides what a screen looks like, as functions from data to strings.
//! Invariants: no function here reads a file, the clock or the terminal; the same data give the
//! same text; without colour nothing is lost, because every colour goes with a glyph or a word.
//! Deliberately absent: asking the manager.

pub(crate) mod causes;
pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod gauges;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_jobs;
#[cfg(test)]
mod golden_tasks;
pub(crate) mod graph;
pub(crate) mod ink;
pub(crate) mod jobs;
pub(crate) mod layout;
pub(crate) mod next;
pub(crate) mod reply;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod task_page;
pub(crate) mod tasks;
pub(crate) mod time;
pub(crate) mod tree;
pub(crate) mod why;

use time::Clock;

/// What a view needs to know about where it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    /// Whether to colour.
    pub(crate) color: bool,
    /// Columns.
    pub(crate) width: usize,
    /// Rows; `None` when it is not a terminal and so has no end.
    pub(crate) height: Option<usize>,
    /// Absolute times beside relative ones.
    pub(crate) verbose: bool,
    /// Now and here.
    pub(crate) clock: Clock,
}

#[cfg(test)]
impl Screen {
    /// A screen of 80 columns without colour, at 2026-11-23 14:02:14 UTC.
    pub(crate) fn fixed(width: usize) -> Self {
        Self {
            color: false,
            width,
            height: None,
            verbose: false,
            clock: Clock {
                now: "2026-11-23T14:02:14Z".parse().unwrap(),
                zone: jiff::tz::TimeZone::UTC,
            },
        }
    }
}

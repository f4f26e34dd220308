//! Reading logs from their files.
//!
//! Purpose: lines of many units, merged by time, from rotated, compressed and growing files.
//! Invariants: every line once and, within a unit, in order; nothing here needs a manager or
//! disturbs a keeper; memory is bounded by lines, not by files.
//! Deliberately absent: how a line looks; see `commands::logs`.

pub(crate) mod cri;
mod files;
pub(crate) mod merge;
mod reader;
mod tail;

pub(crate) use files::units_with_logs;
pub(crate) use merge::Merge;
pub(crate) use reader::{Start, UnitReader};

use cri::Stream;

/// One whole line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When its first part was written, in nanoseconds since the Unix epoch.
    pub(crate) at_ns: i64,
    /// Where it was written.
    pub(crate) stream: Stream,
    /// What was written, without the newline. Any bytes.
    pub(crate) text: Vec<u8>,
}

/// The last `count` lines of a unit, oldest first. Empty when there is no log or it cannot be read.
pub(crate) fn last_lines(folder: &std::path::Path, count: usize) -> Vec<Line> {
    let Ok(mut reader) = UnitReader::open(folder, Start::Last(count)) else {
        return Vec::new();
    };
    let mut lines = std::collections::VecDeque::new();
    while let Ok(Some(line)) = reader.next_line() {
        lines.push_back(line);
        if lines.len() > count {
            lines.pop_front();
        }
    }
    lines.extend(reader.finish());
    lines.into()
}

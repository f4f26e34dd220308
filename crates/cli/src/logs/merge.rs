//! Many units, one stream.
//!
//! Purpose: merge the lines of several readers by time.
//! Invariants: within a unit the order of its log is kept, even when its clock was set back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::{Line, UnitReader};

/// Several readers.
#[derive(Default)]
pub(crate) struct Merge {
    readers: Vec<UnitReader>,
    heads: Vec<Option<Line>>,
    order: BinaryHeap<Reverse<(i64, usize)>>,
}

impl Merge {
    /// Adds a reader; its lines come with the number returned.
    pub(crate) fn add(&mut self, reader: UnitReader) -> usize {
        self.readers.push(reader);
        self.heads.push(None);
        self.readers.len() - 1
    }

    /// Looks for lines in all readers that have none waiting. Call it before [`Merge::next_line`]
    /// whenever that has given `None`.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(crate) fn refill(&mut self) -> io::Result<()> {
        (0..self.readers.len()).try_for_each(|unit| self.pull(unit))
    }

    /// The oldest line waiting, with the number of its unit. `None`: nothing for now.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<(usize, Line)>> {
        let Some(Reverse((_, unit))) = self.order.pop() else {
            return Ok(None);
        };
        let line = self.heads[unit].take();
        self.pull(unit)?;
        Ok(line.map(|line| (unit, line)))
    }

    /// What is left of lines whose ends were never written, in no particular order of units.
    pub(crate) fn finish(&mut self) -> Vec<(usize, Line)> {
        let each = self.readers.iter_mut().enumerate();
        each.flat_map(|(unit, r)| r.finish().into_iter().map(move |l| (unit, l)))
            .collect()
    }

    fn pull(&mut self, unit: usize) -> io::Result<()> {
        if self.heads[unit].is_none()
            && let Some(line) = self.readers[unit].next_line()?
        {
            self.order.push(Reverse((line.at_ns, unit)));
            self.heads[unit] = Some(line);
        }
        Ok(())
    }
}

//! When something is to happen: cron expressions and calendar expressions in a time zone.
//!
//! Purpose: the next time after a given one, and nothing else.
//! Invariants: a time given for `after` is later than `after`; an expression that never comes true
//! is refused when it is parsed. On the days when clocks are changed: a time that the clock skips
//! comes once, when it jumps; a time that comes twice counts once, unless the expression holds in
//! every hour: then it goes by the hours that pass.
//! Deliberately absent: what missed times lead to, and any clock.

mod calendar;
mod cron;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use calendar::Calendar;
pub use cron::Cron;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, in words that end in what to write instead where that is known.
    pub why: String,
    /// The part of the expression that is meant, as a range of bytes; all of it if none is.
    pub part: std::ops::Range<usize>,
}

impl Refused {
    fn at(text: &str, part: &str, why: impl Into<String>) -> Self {
        // Parts are slices of the text; anything else would be a place nobody can find.
        let begin = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        let end = begin.saturating_add(part.len());
        let part = if end <= text.len() {
            begin..end
        } else {
            0..text.len()
        };
        let why = why.into();
        Self { why, part }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

/// An expression and its zone.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// Five or six fields, or a nickname such as `@daily`: crontab(5).
    Cron(Cron, TimeZone),
    /// As in `OnCalendar=`: systemd.time(7).
    Calendar(Calendar, TimeZone),
}

impl Schedule {
    /// Reads a cron expression.
    ///
    /// # Errors
    /// When it cannot be understood, or never comes true.
    pub fn cron(text: &str, zone: TimeZone) -> Result<Self, Refused> {
        let parsed = Self::Cron(Cron::parse(text)?, zone);
        parsed.comes_true(text)
    }

    /// Reads a calendar expression. A zone at its end goes before `zone`.
    ///
    /// # Errors
    /// When it cannot be understood, or never comes true.
    pub fn calendar(text: &str, zone: TimeZone) -> Result<Self, Refused> {
        let (calendar, own) = Calendar::parse(text)?;
        let parsed = Self::Calendar(calendar, own.unwrap_or(zone));
        parsed.comes_true(text)
    }

    fn comes_true(self, text: &str) -> Result<Self, Refused> {
        // Long ago, so that what was true for the last time is not refused.
        let long_ago = Timestamp::UNIX_EPOCH;
        if self.after(long_ago).is_some() {
            return Ok(self);
        }
        let why = "it never comes true: no day is like that";
        Err(Refused::at(text, text, why))
    }

    /// The first time later than `after`; whole seconds. `None` when there is no more.
    pub fn after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron, zone) => cron.after(after, zone),
            Self::Calendar(calendar, zone) => calendar.after(after, zone),
        }
    }

    /// The zone in which its times are meant.
    pub fn zone(&self) -> &TimeZone {
        match self {
            Self::Cron(_, zone) | Self::Calendar(_, zone) => zone,
        }
    }
}

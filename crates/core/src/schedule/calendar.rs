//! Calendar expressions: systemd.time(7), "Calendar Events".
//!
//! ```text
//! Mon..Fri *-*-* 09:00            *-*-01 02:30:00 Europe/Oslo        *:0/15        weekly
//! ```
//!
//! Deliberately absent: fractions of seconds, and times since the epoch (`@…`).

mod parse;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

use super::Refused;

/// Nothing is looked for in later years.
const YEAR_MAX: i16 = 2_200;

/// A parsed expression: for each part of a time the values it may have, as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Bit 0 is Monday.
    weekdays: u8,
    /// First, last and step, in any order. Empty: any.
    years: Vec<(i16, i16, i16)>,
    months: u16,
    days: u32,
    /// Days are counted from the end of the month: bit 1 is the last one.
    from_end: bool,
    hours: u32,
    minutes: u64,
    seconds: u64,
}

/// A stretch of time in which the clock is not changed.
struct Stretch {
    offset: Offset,
    begin: Timestamp,
    end: Timestamp,
    /// What the clock showed when the stretch before ended.
    before: Option<DateTime>,
}

impl Stretch {
    fn of(at: Timestamp, zone: &TimeZone) -> Self {
        let begin = zone.preceding(at + Span::new().nanoseconds(1)).next();
        let end = zone.following(at).next();
        let before = begin.as_ref().map(|change| {
            let earlier = change.timestamp() - Span::new().nanoseconds(1);
            zone.to_offset(earlier).to_datetime(change.timestamp())
        });
        Self {
            offset: zone.to_offset(at),
            begin: begin.map_or(Timestamp::MIN, |change| change.timestamp()),
            end: end.map_or(Timestamp::MAX, |change| change.timestamp()),
            before,
        }
    }

    fn shown(&self, at: Timestamp) -> DateTime {
        self.offset.to_datetime(at)
    }
}

impl Calendar {
    /// Reads an expression, and the zone at its end if there is one.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn parse(text: &str) -> Result<(Self, Option<TimeZone>), Refused> {
        parse::whole(text)
    }

    pub(super) fn after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut from = Timestamp::from_second(after.as_second().checked_add(1)?).ok()?;
        loop {
            let stretch = Stretch::of(from, zone);
            let begin = stretch.shown(from);
            if begin.year() > YEAR_MAX {
                return None;
            }
            if let Some(found) = self.within(from, begin, &stretch) {
                return Some(found);
            }
            if stretch.end == Timestamp::MAX {
                return None;
            }
            from = stretch.end;
        }
    }

    fn within(&self, from: Timestamp, begin: DateTime, stretch: &Stretch) -> Option<Timestamp> {
        let mut begin = begin;
        if let Some(before) = stretch.before.filter(|_| !self.is_every_hour()) {
            // Skipped: what would have been then is now.
            if from == stretch.begin && before < begin && self.next(before, begin).is_some() {
                return Some(from);
            }
            // Repeated: it has been.
            begin = begin.max(before);
        }
        let end = stretch.shown(stretch.end.min(Timestamp::MAX));
        let found = self.next(begin, end)?;
        stretch.offset.to_timestamp(found).ok()
    }

    fn is_every_hour(&self) -> bool {
        self.hours == parse::bits(0, 23) as u32
    }

    /// First moment shown by a clock from `begin` on and before `end`.
    fn next(&self, begin: DateTime, end: DateTime) -> Option<DateTime> {
        let mut date = begin.date();
        let mut time = Some(begin.time());
        while date.year() <= YEAR_MAX && date <= end.date() {
            let skipped = self.skip(date);
            if let Some(later) = skipped {
                (date, time) = (later, None);
                continue;
            }
            if self.is_day(date)
                && let Some(found) = self.next_time(time.unwrap_or(Time::midnight()))
            {
                let found = date.to_datetime(found);
                return (found < end).then_some(found);
            }
            (date, time) = (date.tomorrow().ok()?, None);
        }
        None
    }

    /// The first day of the next month or year, if nothing of this one can be meant.
    fn skip(&self, date: Date) -> Option<Date> {
        let is_year = |(first, last, step): &(i16, i16, i16)| {
            let year = date.year();
            (*first..=*last).contains(&year) && (year - first) % (*step).max(1) == 0
        };
        if !self.years.is_empty() && !self.years.iter().any(is_year) {
            return Date::new(date.year() + 1, 1, 1).ok();
        }
        if self.months >> date.month() & 1 == 0 {
            return date.last_of_month().tomorrow().ok();
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let weekday = date.weekday().to_monday_zero_offset();
        let day = if self.from_end {
            date.days_in_month() - date.day() + 1
        } else {
            date.day()
        };
        self.weekdays >> weekday & 1 == 1 && self.days >> day & 1 == 1
    }

    /// First time of a day, not before `from`.
    fn next_time(&self, from: Time) -> Option<Time> {
        let (hour, minute) = (from.hour() as u32, from.minute() as u32);
        let second = from.second() as u32 + u32::from(from.subsec_nanosecond() > 0);
        let first = |bits: u64, from: u32| -> Option<u32> {
            let left = bits.checked_shr(from)?;
            (left != 0).then(|| from + left.trailing_zeros())
        };
        let hours = u64::from(self.hours);
        let make = |h: u32, m: u32, s: u32| Time::new(h as i8, m as i8, s as i8, 0).ok();
        let (m0, s0) = (first(self.minutes, 0)?, first(self.seconds, 0)?);
        if first(hours, hour) == Some(hour) {
            if self.minutes >> minute & 1 == 1
                && let Some(s) = first(self.seconds, second)
            {
                return make(hour, minute, s);
            }
            if let Some(m) = first(self.minutes, minute + 1) {
                return make(hour, m, s0);
            }
        }
        make(first(hours, hour + 1)?, m0, s0)
    }
}

#[cfg(test)]
mod tests;

//! Quiet hours.
//!
//! Invariants: they begin and end once for each day of their zone, whatever its clocks do: a time
//! that a change of clocks leaves out is as much later as was left out, and one that comes twice is
//! the first one.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::fleet::Quiet;
use crate::record::WallMs;

/// A time in which it is quiet, or not, all the while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from_ms: WallMs,
    /// The first moment after it.
    pub(crate) upto_ms: WallMs,
    pub(crate) is_quiet: bool,
}

impl Stretch {
    /// Never quiet.
    pub(crate) const ALWAYS: Self = Self {
        from_ms: WallMs::MIN,
        upto_ms: WallMs::MAX,
        is_quiet: false,
    };

    /// The stretch that holds this moment.
    pub(crate) fn at(quiet: &Quiet, wall_ms: WallMs) -> Self {
        let zone = quiet.zone.as_deref();
        // A name that is not known was refused when the fleet file was read.
        let zone = zone.map(|name| TimeZone::get(name).unwrap_or(TimeZone::UTC));
        Self::within(quiet, wall_ms, &zone.unwrap_or(TimeZone::UTC)).unwrap_or(Self::ALWAYS)
    }

    /// `None`: before or after all times that a calendar has.
    fn within(quiet: &Quiet, wall_ms: WallMs, zone: &TimeZone) -> Option<Self> {
        let now = Timestamp::from_millisecond(wall_ms).ok()?;
        let today = now.to_zoned(zone.clone()).date();
        let mut day = today.yesterday().ok()?.yesterday().ok()?;
        let mut before = WallMs::MIN;
        for _ in 0..5 {
            let (from_ms, upto_ms) = hours_of(quiet, day, zone)?;
            if wall_ms < from_ms {
                return Some(Self {
                    from_ms: before,
                    upto_ms: from_ms,
                    is_quiet: false,
                });
            }
            if wall_ms < upto_ms {
                return Some(Self {
                    from_ms,
                    upto_ms,
                    is_quiet: true,
                });
            }
            before = upto_ms;
            day = day.tomorrow().ok()?;
        }
        None
    }
}

/// When the quiet hours that begin on this day begin and end.
fn hours_of(quiet: &Quiet, day: Date, zone: &TimeZone) -> Option<(WallMs, WallMs)> {
    let end = match quiet.to_min < quiet.from_min {
        true => day.tomorrow().ok()?,
        false => day,
    };
    let from = moment(day, quiet.from_min, zone)?;
    let upto = moment(end, quiet.to_min, zone)?;
    Some((from, upto))
}

fn moment(day: Date, minutes: u32, zone: &TimeZone) -> Option<WallMs> {
    let hour = i8::try_from(minutes / 60 % 24).ok()?;
    let minute = i8::try_from(minutes % 60).ok()?;
    let at: Zoned = day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?;
    Some(at.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> WallMs {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn quiet(from: u32, to: u32, zone: &str) -> Quiet {
        Quiet {
            from_min: from / 100 * 60 + from % 100,
            to_min: to / 100 * 60 + to % 100,
            zone: Some(zone.to_owned()),
        }
    }

    #[track_caller]
    fn check(quiet: &Quiet, at: &str, is_quiet: bool, upto: &str) {
        let stretch = Stretch::at(quiet, ms(at));
        assert_eq!((stretch.is_quiet, stretch.upto_ms), (is_quiet, ms(upto)));
        assert!(stretch.from_ms <= ms(at));
    }

    #[test]
    fn hours_may_pass_midnight_or_not() {
        let night = quiet(2200, 700, "Europe/Oslo");
        check(
            &night,
            "2026-01-10T20:59:59Z",
            false,
            "2026-01-10T21:00:00Z",
        );
        check(&night, "2026-01-10T21:00:00Z", true, "2026-01-11T06:00:00Z");
        check(&night, "2026-01-11T05:59:59Z", true, "2026-01-11T06:00:00Z");
        check(
            &night,
            "2026-01-11T06:00:00Z",
            false,
            "2026-01-11T21:00:00Z",
        );
        let noon = quiet(1200, 1330, "UTC");
        check(&noon, "2026-01-10T12:30:00Z", true, "2026-01-10T13:30:00Z");
        check(&noon, "2026-01-10T13:30:00Z", false, "2026-01-11T12:00:00Z");
    }

    #[test]
    fn equal_times_are_never_quiet() {
        let none = quiet(800, 800, "UTC");
        check(&none, "2026-01-10T08:00:00Z", false, "2026-01-11T08:00:00Z");
    }

    #[test]
    fn clocks_that_change_neither_lose_nor_double_the_end() {
        // 2026-03-29: 02:00 is 03:00. 2026-10-25: 03:00 is 02:00 again.
        let early = quiet(2200, 230, "Europe/Oslo");
        check(&early, "2026-03-28T23:00:00Z", true, "2026-03-29T01:30:00Z");
        check(
            &early,
            "2026-03-29T01:30:00Z",
            false,
            "2026-03-29T20:00:00Z",
        );
        check(&early, "2026-10-24T23:00:00Z", true, "2026-10-25T00:30:00Z");
        check(
            &early,
            "2026-10-25T01:15:00Z",
            false,
            "2026-10-25T21:00:00Z",
        );
        let seven = quiet(2200, 700, "Europe/Oslo");
        check(&seven, "2026-03-28T23:00:00Z", true, "2026-03-29T05:00:00Z");
        check(&seven, "2026-10-24T23:00:00Z", true, "2026-10-25T06:00:00Z");
    }
}

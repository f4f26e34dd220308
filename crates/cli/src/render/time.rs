//! Times for people.
//!
//! Purpose: ages (`41m`), moments (`03:30`, `Fri 23:00`) and durations (`1.2 s`).
//! Invariants: relative to the given clock, in the given zone; a moment of the future is never an
//! age.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The zone of this machine, for clocks on a screen: its name is not needed, and looking for that
/// reads every folder of the time zone database, a millisecond for each command.
fn local_zone() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    let rules = std::fs::read("/etc/localtime").ok();
    rules
        .and_then(|rules| TimeZone::tzif("local", &rules).ok())
        .unwrap_or_else(TimeZone::system)
}

/// Now and here.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// Now.
    pub(crate) now: Timestamp,
    /// Zone in which moments are shown.
    pub(crate) zone: TimeZone,
}

impl Clock {
    /// The system's.
    pub(crate) fn system() -> Self {
        Self {
            now: Timestamp::now(),
            zone: local_zone(),
        }
    }

    /// Seconds from `at` until now; negative in the future.
    pub(crate) fn seconds_since(&self, at: Timestamp) -> f64 {
        (self.now.as_millisecond() - at.as_millisecond()) as f64 / 1000.0
    }

    /// Age in at most four columns: `3s`, `41m`, `6h`, `2d`.
    pub(crate) fn age(&self, at: Timestamp) -> String {
        age(self.seconds_since(at))
    }

    /// A moment: `3s ago`, `41m ago`, `03:30`, `Fri 23:00`, `Nov 12`, `2025-11-12`.
    pub(crate) fn moment(&self, at: Timestamp) -> String {
        let seconds = self.seconds_since(at);
        if (0.0..3600.0).contains(&seconds) {
            return format!("{} ago", age(seconds));
        }
        let (then, now) = (
            at.to_zoned(self.zone.clone()),
            self.now.to_zoned(self.zone.clone()),
        );
        let format = if then.date() == now.date() {
            "%H:%M"
        } else if (0.0..6.5 * 86_400.0).contains(&seconds) {
            "%a %H:%M"
        } else if then.year() == now.year() {
            "%b %-d"
        } else {
            "%Y-%m-%d"
        };
        then.strftime(format).to_string()
    }

    /// Date and time to the second, in the clock's zone: `2026-11-23 14:02:11`.
    pub(crate) fn absolute(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    /// Time of day to the second; with the date when that is not today.
    pub(crate) fn time_of_day(&self, at: Timestamp) -> String {
        let (then, now) = (
            at.to_zoned(self.zone.clone()),
            self.now.to_zoned(self.zone.clone()),
        );
        let format = if then.date() == now.date() {
            "%H:%M:%S"
        } else {
            "%m-%d %H:%M:%S"
        };
        then.strftime(format).to_string()
    }
}

/// An instant as the views have it. What cannot be read is unknown.
pub(crate) fn parse(rfc3339: &str) -> Option<Timestamp> {
    rfc3339.parse().ok()
}

/// Age in at most four columns.
pub(crate) fn age(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0) as u64
    } else {
        0
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Two units: `6d 04h`, `4h 07m`, `7m 05s`, `12s`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0) as u64
    } else {
        0
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How long something took: `8 ms`, `1.2 s`, `7m 05s`.
pub(crate) fn took(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "0 ms".into();
    }
    match seconds {
        s if s < 0.9995 => format!("{} ms", (s * 1000.0).round()),
        s if s < 60.0 => format!("{s:.1} s"),
        s => span(s),
    }
}

/// Reads `250ms`, `30s`, `5m`, `2h`, `7d`, `1h30m`; a bare number is refused, for its unit is
/// unknown.
///
/// # Errors
/// In words, for the command line.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as `250ms`, `30s`, `5m` or `1h30m`");
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let amount: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        total_ms = amount
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(wrong)?;
        rest = &rest[letters..];
    }
    Ok(std::time::Duration::from_millis(total_ms))
}

/// Reads a moment: a duration before now, `HH:MM[:SS]` of the last 24 hours, a local date or date
/// and time, or RFC 3339.
///
/// # Errors
/// In words, for the command line.
pub(crate) fn parse_moment(text: &str, clock: &Clock) -> Result<Timestamp, String> {
    if let Ok(before) = parse_duration(text) {
        return clock.now.checked_sub(before).map_err(|e| e.to_string());
    }
    if let Some(at) = parse(text) {
        return Ok(at);
    }
    let local = |at: jiff::civil::DateTime| {
        at.to_zoned(clock.zone.clone())
            .map(|z| z.timestamp())
            .map_err(|e| e.to_string())
    };
    if let Ok(time) = text.parse::<jiff::civil::Time>() {
        let today = clock.now.to_zoned(clock.zone.clone()).date();
        let at = local(today.to_datetime(time))?;
        let yesterday = today.yesterday().map_err(|e| e.to_string())?;
        return if at <= clock.now {
            Ok(at)
        } else {
            local(yesterday.to_datetime(time))
        };
    }
    if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        return local(at);
    }
    Err(format!(
        "`{text}` is not a moment such as `10m`, `13:20`, `2026-11-23` or RFC 3339"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Screen;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn moments_are_as_exact_as_they_are_near() {
        let clock = Screen::fixed(80).clock;
        let cases = [
            ("2026-11-23T14:02:11Z", "3s ago"),
            ("2026-11-23T13:21:00Z", "41m ago"),
            ("2026-11-23T03:30:00Z", "03:30"),
            ("2026-11-20T23:00:00Z", "Fri 23:00"),
            ("2026-10-12T23:00:00Z", "Oct 12"),
            ("2025-10-12T23:00:00Z", "2025-10-12"),
            ("2026-11-23T14:30:00Z", "14:30"),
        ];
        for (moment, shown) in cases {
            assert_eq!(clock.moment(at(moment)), shown, "{moment}");
        }
    }

    #[test]
    fn spans_and_durations() {
        assert_eq!(span(6.0 * 86_400.0 + 4.0 * 3_600.0 + 59.0), "6d 04h");
        assert_eq!(took(0.0084), "8 ms");
        assert_eq!(took(1.24), "1.2 s");
        assert_eq!(took(0.9999), "1.0 s");
        assert_eq!(took(f64::NAN), "0 ms");
        assert_eq!(age(-5.0), "0s");
    }

    #[test]
    fn durations_need_a_unit_and_never_overflow() {
        assert_eq!(parse_duration("1h30m").unwrap().as_secs(), 5_400);
        assert_eq!(parse_duration("250ms").unwrap().as_millis(), 250);
        for wrong in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn moments_of_the_command_line() {
        let clock = Screen::fixed(80).clock;
        let parsed = |text| parse_moment(text, &clock).unwrap().to_string();
        assert_eq!(parsed("10m"), "2026-11-23T13:52:14Z");
        assert_eq!(parsed("13:20"), "2026-11-23T13:20:00Z");
        assert_eq!(parsed("15:20"), "2026-11-22T15:20:00Z");
        assert_eq!(parsed("2026-11-20"), "2026-11-20T00:00:00Z");
        assert_eq!(parsed("2026-11-20T10:00:00+02:00"), "2026-11-20T08:00:00Z");
        assert!(parse_moment("soon", &clock).is_err());
    }
}

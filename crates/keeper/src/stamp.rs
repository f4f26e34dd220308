//! Wall-clock times as text, for log lines and names of log files.
//!
//! Invariants: UTC, fixed width, so that text order is time order. A second is formatted once.

/// Length of a stamp: `2026-11-23T12:34:56.123456789Z`.
pub(crate) const LEN: usize = 30;

/// Remembers the last second it formatted.
#[derive(Debug)]
pub(crate) struct Stamper {
    second: i64,
    text: [u8; LEN],
}

impl Stamper {
    pub(crate) fn new() -> Self {
        let mut stamper = Self {
            second: 0,
            text: *b"0000-00-00T00:00:00.000000000Z",
        };
        stamper.format_second(0);
        stamper
    }

    /// The stamp of a time in nanoseconds since the Unix epoch.
    pub(crate) fn stamp(&mut self, wall_ns: i64) -> &[u8; LEN] {
        let second = wall_ns.div_euclid(1_000_000_000);
        if second != self.second {
            self.format_second(second);
        }
        put_digits(&mut self.text[20..29], wall_ns.rem_euclid(1_000_000_000));
        &self.text
    }

    fn format_second(&mut self, second: i64) {
        self.second = second;
        let (year, month, day) = civil(second.div_euclid(86_400));
        let of_day = second.rem_euclid(86_400);
        put_digits(&mut self.text[0..4], year);
        put_digits(&mut self.text[5..7], month);
        put_digits(&mut self.text[8..10], day);
        put_digits(&mut self.text[11..13], of_day / 3_600);
        put_digits(&mut self.text[14..16], of_day / 60 % 60);
        put_digits(&mut self.text[17..19], of_day % 60);
    }
}

/// Name of a rotated log file: `20261123T123456.123456789Z.log`.
pub(crate) fn file_name(wall_ns: i64) -> String {
    let mut stamper = Stamper::new();
    let stamp = stamper.stamp(wall_ns);
    let kept = stamp
        .iter()
        .filter(|b| !matches!(b, b'-' | b':'))
        .map(|b| char::from(*b));
    kept.chain(".log".chars()).collect()
}

/// Whether `name` is one that [`file_name`] makes, compressed or not.
pub(crate) fn is_file_name(name: &[u8]) -> bool {
    const FORM: &[u8] = b"dddddddd-dddddd.ddddddddd-.log";
    let name = name.strip_suffix(b".zst").unwrap_or(name);
    let matches = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'-' => matches!(byte, b'T' | b'Z'),
        other => byte == other,
    };
    name.len() == FORM.len() && name.iter().zip(FORM).all(matches)
}

/// Writes `value` right-aligned with leading zeroes.
fn put_digits(place: &mut [u8], mut value: i64) {
    for digit in place.iter_mut().rev() {
        // A remainder by 10 of a value that is never negative here.
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// Year, month and day of a count of days since the epoch (proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day last; 400 of them have 146,097 days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let mut stamper = Stamper::new();
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (1_795_437_296, "2026-11-23T12:34:56"),
            (4_102_444_799, "2099-12-31T23:59:59"),
        ] {
            let stamp = stamper.stamp(seconds * 1_000_000_000 + 123_456_789);
            assert_eq!(
                std::str::from_utf8(stamp).unwrap(),
                format!("{text}.123456789Z")
            );
        }
    }

    #[test]
    fn names_of_files_are_recognised_and_nothing_else() {
        let name = file_name(1_795_437_296_123_456_789);
        assert_eq!(name, "20261123T123456.123456789Z.log");
        assert!(is_file_name(name.as_bytes()));
        assert!(is_file_name(format!("{name}.zst").as_bytes()));
        for other in [
            "current",
            "x.log",
            "20261123T123456.12345678Z.log",
            "notes.txt",
        ] {
            assert!(!is_file_name(other.as_bytes()), "{other}");
        }
    }
}

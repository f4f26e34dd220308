//! The CRI log format: `<RFC3339 nano> stdout|stderr F|P <text>`.
//!
//! Purpose: parse a record, and join the parts of a long line.
//! Invariants: no input panics or is dropped; what is no record (a line torn by a crash) is shown
//! as it is.
//! Deliberately absent: any file.

use super::Line;

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As in the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One record, borrowed from its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(crate) at_ns: i64,
    /// Where it was written.
    pub(crate) stream: Stream,
    /// More of the same line follows.
    pub(crate) partial: bool,
    /// The text.
    pub(crate) text: &'a [u8],
}

/// Parses a line without its newline. `None`: it is no record.
pub(crate) fn parse(line: &[u8]) -> Option<Record<'_>> {
    let (at, rest) = split(line)?;
    let at_ns = parse_time(at)?;
    let (stream, rest) = split(rest)?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // The text of an empty line may come with or without the blank before it.
    let (tag, text) = split(rest).unwrap_or((rest, b""));
    let partial = match tag {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(Record {
        at_ns,
        stream,
        partial,
        text,
    })
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|b| *b == b' ')?;
    Some((&line[..at], &line[at + 1..]))
}

/// Time of a line, when it begins with one.
pub(crate) fn time_of(line: &[u8]) -> Option<i64> {
    parse_time(split(line)?.0)
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time.
fn parse_time(text: &[u8]) -> Option<i64> {
    let utc = parse_utc(text);
    if utc.is_some() {
        return utc;
    }
    let at: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok()
}

/// The form a keeper writes, `2026-11-23T14:02:11.123456789Z`, without the cost of a general
/// parser.
fn parse_utc(text: &[u8]) -> Option<i64> {
    if text.len() < 20 || text.last() != Some(&b'Z') {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let year = number(&text[0..4])?;
    let (month, day) = (number(&text[5..7])?, number(&text[8..10])?);
    let (hour, minute) = (number(&text[11..13])?, number(&text[14..16])?);
    let second = number(&text[17..19])?;
    let in_range = (1970..2262).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let fraction = match &text[19..text.len() - 1] {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)? * 10_i64.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + fraction)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, in the proleptic Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A joined line is given out in pieces of at most this many bytes.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// Joins the parts of long lines of one unit.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    pending: [Option<Line>; 2],
    last_ns: i64,
}

impl Joiner {
    /// Takes a line without its newline; gives a whole one when there is one.
    pub(crate) fn feed(&mut self, raw: &[u8]) -> Option<Line> {
        let Some(record) = parse(raw) else {
            let text = raw.to_vec();
            return Some(Line {
                at_ns: self.last_ns,
                stream: Stream::Stdout,
                text,
            });
        };
        self.last_ns = record.at_ns;
        let slot = &mut self.pending[record.stream as usize];
        let line = slot.get_or_insert_with(|| Line {
            at_ns: record.at_ns,
            stream: record.stream,
            text: Vec::new(),
        });
        line.text.extend_from_slice(record.text);
        if record.partial && line.text.len() < LINE_BYTES_MAX {
            None
        } else {
            slot.take()
        }
    }

    /// What is left of lines that never ended.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        self.pending.iter_mut().filter_map(Option::take).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(text: &str) -> Option<Line> {
        Joiner::default().feed(text.as_bytes())
    }

    #[test]
    fn a_record_is_taken_apart() {
        let record = parse(b"2026-11-23T14:02:11.000000001Z stderr F no  route ").unwrap();
        assert_eq!(record.at_ns, 1_795_442_531_000_000_001);
        assert_eq!(record.stream, Stream::Stderr);
        assert!(!record.partial);
        assert_eq!(record.text, b"no  route ");
    }

    #[test]
    fn empty_lines_and_offsets_are_records_too() {
        for text in [
            "2026-11-23T14:02:11Z stdout F ",
            "2026-11-23T14:02:11Z stdout F",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().text, b"");
        }
        let offset = parse(b"2026-11-23T16:02:11+02:00 stdout F x").unwrap();
        assert_eq!(offset.at_ns, 1_795_442_531_000_000_000);
    }

    #[test]
    fn the_quick_parser_agrees_with_the_general_one() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59.5Z",
            "2261-12-31T01:02:03.123456Z",
        ] {
            let general: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(
                i128::from(parse_utc(text.as_bytes()).unwrap()),
                general.as_nanosecond()
            );
        }
    }

    #[test]
    fn days_that_do_not_exist_are_no_times() {
        for text in ["2023-02-29", "2100-02-29", "2024-02-30", "2026-11-31"] {
            assert_eq!(parse_time(format!("{text}T00:00:00Z").as_bytes()), None);
        }
        assert!(parse_utc(b"2024-02-29T00:00:00Z").is_some());
    }

    #[test]
    fn parts_are_joined_per_stream() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.feed(b"2026-11-23T14:02:11Z stdout P one "), None);
        let other = joiner.feed(b"2026-11-23T14:02:12Z stderr F other").unwrap();
        assert_eq!(other.text, b"other");
        let whole = joiner.feed(b"2026-11-23T14:02:13Z stdout F two").unwrap();
        assert_eq!(
            (whole.text.as_slice(), whole.at_ns),
            (&b"one two"[..], 1_795_442_531_000_000_000)
        );
        assert!(joiner.finish().is_empty());
    }

    #[test]
    fn a_torn_line_is_shown_at_the_time_of_the_one_before() {
        let mut joiner = Joiner::default();
        joiner.feed(b"2026-11-23T14:02:11Z stdout F x");
        let torn = joiner.feed(b"2026-11-23T14:02:1").unwrap();
        assert_eq!(torn.text, b"2026-11-23T14:02:1");
        assert_eq!(torn.at_ns, 1_795_442_531_000_000_000);
        assert_eq!(line("rubbish").unwrap().text, b"rubbish");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_vanish(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut joiner = Joiner::default();
            let fed = joiner.feed(&raw);
            prop_assert!(fed.is_some() || !joiner.finish().is_empty());
        }

        #[test]
        fn near_records_neither(
            at in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,20}Z?",
            tag in "(stdout|stderr|std) ?[FPX]? ?",
            text in ".{0,30}",
        ) {
            let raw = format!("{at} {tag}{text}");
            let mut joiner = Joiner::default();
            let fed = joiner.feed(raw.as_bytes());
            prop_assert!(fed.is_some() || !joiner.finish().is_empty());
        }
    }
}

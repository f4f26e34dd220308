//! Cron and calendar expressions that users write.
//!
//! What is promised: any text is a schedule or is refused, naming a part of the text; times come in
//! order, whole seconds, none skipped between two questions, and each is what the expression says
//! of the zone's clock, as far as it names an hour.

use eud_core::schedule::{Refused, Schedule};
use jiff::Timestamp;
use jiff::tz::TimeZone;

const ZONES: [&str; 4] = [
    "UTC",
    "Europe/Oslo",
    "America/New_York",
    "Australia/Lord_Howe",
];
const TIMES: usize = 5;

/// First byte: the zone. Four bytes: the time to begin with. The rest: the expression.
pub(crate) fn run(bytes: &[u8]) {
    let Some((head, text)) = bytes.split_at_checked(5) else {
        return;
    };
    let zone = ZONES[usize::from(head[0]) % ZONES.len()];
    let zone = TimeZone::get(zone).expect("it is in the database");
    let seconds = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let begin = Timestamp::from_second(i64::from(seconds)).expect("it is in range");
    let text = String::from_utf8_lossy(text);
    for schedule in [
        Schedule::cron(&text, zone.clone()),
        Schedule::calendar(&text, zone.clone()),
    ] {
        match schedule {
            Ok(schedule) => comes_in_order(&schedule, begin),
            Err(Refused { why, part }) => {
                assert!(!why.is_empty());
                assert!(text.get(part.clone()).is_some(), "{part:?} of {text:?}");
            }
        }
    }
}

fn comes_in_order(schedule: &Schedule, begin: Timestamp) {
    let mut at = begin;
    for _ in 0..TIMES {
        let Some(next) = schedule.after(at) else {
            return;
        };
        assert!(next > at, "{next} after {at}");
        assert_eq!(next.subsec_nanosecond(), 0);
        // Who asks a moment before gets the same answer: nothing lies between.
        let before = Timestamp::from_second(next.as_second() - 1).expect("it is in range");
        if before > at {
            assert_eq!(schedule.after(before), Some(next), "from {before}");
        }
        at = next;
    }
}

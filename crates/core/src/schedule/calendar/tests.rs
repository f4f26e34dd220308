//! Times, days of change, refusals.

use super::*;
use crate::schedule::Schedule;

fn fires(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    let schedule = Schedule::calendar(text, zone).unwrap();
    let mut at: Timestamp = after.parse().unwrap();
    let mut found = Vec::new();
    while found.len() < count
        && let Some(next) = schedule.after(at)
    {
        assert!(next > at);
        found.push(next.to_string());
        at = next;
    }
    found
}

#[test]
fn times_are_those_of_the_manual() {
    // Examples of systemd.time(7), and what each part can be.
    for (text, after, expected) in [
        (
            "Mon..Fri *-*-* 09:00",
            "2026-11-20T09:00:00Z",
            "2026-11-23T09:00:00Z",
        ),
        (
            "Sat,Thu 2026-*-* 01:02:03",
            "2026-11-24T00:00:00Z",
            "2026-11-26T01:02:03Z",
        ),
        ("*-02-29", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        (
            "*-*~01 23:59:59",
            "2027-02-01T00:00:00Z",
            "2027-02-28T23:59:59Z",
        ),
        (
            "Mon *-05~07/1",
            "2026-01-01T00:00:00Z",
            "2026-05-25T00:00:00Z",
        ),
        ("*:0/15", "2026-11-24T10:15:00Z", "2026-11-24T10:30:00Z"),
        ("*:*:0/10", "2026-11-24T23:59:55.5Z", "2026-11-25T00:00:00Z"),
        ("08..10:30", "2026-11-24T10:30:00Z", "2026-11-25T08:30:00Z"),
        (
            "12-24 18:00",
            "2026-12-24T18:00:00Z",
            "2027-12-24T18:00:00Z",
        ),
        (
            "2027/2-01-01",
            "2027-06-01T00:00:00Z",
            "2029-01-01T00:00:00Z",
        ),
        ("weekly", "2026-11-24T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("daily UTC", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
        (
            "*-*-* 00:00 Asia/Tokyo",
            "2026-11-24T00:00:00Z",
            "2026-11-24T15:00:00Z",
        ),
    ] {
        assert_eq!(fires(text, "UTC", after, 1), [expected], "{text}");
    }
    let over = fires("2026-01-01", "UTC", "2025-01-01T00:00:00Z", 3);
    assert_eq!(over, ["2026-01-01T00:00:00Z"]);
}

#[test]
fn what_the_clock_skips_comes_once_when_it_jumps() {
    let zone = "America/New_York";
    // 2026-03-08: 02:00 is 03:00, which is 07:00 UTC.
    let skipped = fires("*-*-* 02:00/20", zone, "2026-03-08T05:00:00Z", 3);
    assert_eq!(
        skipped,
        [
            "2026-03-08T07:00:00Z",
            "2026-03-09T06:00:00Z",
            "2026-03-09T06:20:00Z"
        ]
    );
    let both = fires("*-*-* 02,03:00", zone, "2026-03-08T05:00:00Z", 2);
    assert_eq!(both, ["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]);
    let steady = fires("*:0/30", zone, "2026-03-08T06:20:00Z", 3);
    assert_eq!(
        steady,
        [
            "2026-03-08T06:30:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-08T07:30:00Z"
        ]
    );
}

#[test]
fn what_the_clock_repeats_comes_once_but_hours_go_on() {
    let zone = "America/New_York";
    // 2026-11-01: 01:00 to 02:00 comes twice, from 05:00 and from 06:00 UTC.
    let once = fires("*-*-* 01:30", zone, "2026-11-01T00:00:00Z", 2);
    assert_eq!(once, ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]);
    let later = fires("*-*-* 01:30", zone, "2026-11-01T05:45:00Z", 1);
    assert_eq!(later, ["2026-11-02T06:30:00Z"]);
    let steady = fires("*:0/30", zone, "2026-11-01T05:20:00Z", 3);
    assert_eq!(
        steady,
        [
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T06:30:00Z"
        ]
    );
    // Half an hour back, at 02:00 of Lord Howe: not all zones change by hours.
    let half = fires(
        "*-*-* 01:45",
        "Australia/Lord_Howe",
        "2026-04-04T00:00:00Z",
        2,
    );
    assert_eq!(half, ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]);
}

#[test]
fn refusals_name_the_part() {
    for (text, part, why) in [
        ("", "", "says nothing"),
        ("Mon..Fri *-13-* 09:00", "13", "not from 1 to 12"),
        ("*-*-* 25:00", "25", "not from 0 to 23"),
        ("Fri..Mon 09:00", "Fri..Mon", "before it begins"),
        ("Funday 09:00", "Funday", "no day of the week"),
        ("*:*/5", "*", "stands alone"),
        ("*-*-* 10:00:00.5", "00.5", "no whole number"),
        ("*-*-* 9:00 Mars/Base", "Mars/Base", "no time zone"),
        ("*-*-* 9:00 10:00", "10:00", "too much"),
        ("09:0/0", "0", "no step"),
        ("*-02-30", "*-02-30", "never comes true"),
        ("2026", "2026", "no date"),
    ] {
        let refused = Schedule::calendar(text, TimeZone::UTC).unwrap_err();
        assert!(refused.why.contains(why), "{text}: {refused}");
        assert_eq!(&text[refused.part.clone()], part, "{text}: {refused}");
    }
}

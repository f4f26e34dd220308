//! What others say of the same expressions: `oracles/generate.py` has asked them.
//!
//! On the days when clocks are changed the answers differ by design, and only there:
//!
//! - systemd leaves out what the clock skips, so that a nightly job does not run that night. Here
//!   it runs once, when the clock jumps.
//! - systemd leaves out the repeated hour also where an expression holds in every hour, so that
//!   what runs every ten minutes rests for seventy. Here it goes on.
//! - croniter moves what the clock skips by the length of the jump.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use eud_core::schedule::Schedule;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// One line of an oracle's file.
struct Said {
    zone: TimeZone,
    text: String,
    after: Timestamp,
    times: Vec<Timestamp>,
}

fn read(file: &str) -> Vec<Said> {
    let second = |text: &str| Timestamp::from_second(text.parse().unwrap()).unwrap();
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            Said {
                zone: TimeZone::get(parts[0]).unwrap(),
                text: parts[1].to_owned(),
                after: second(parts[2]),
                times: parts[3].split_whitespace().map(second).collect(),
            }
        })
        .collect()
}

/// Whether the clock is changed within a day of it.
fn is_near_change(at: Timestamp, zone: &TimeZone) -> bool {
    let change = zone.following(at - 24.hours()).next();
    change.is_some_and(|change| change.timestamp() <= at + 24.hours())
}

/// Compares all lines. Gives how many lines differ on days of change, and what is wrong.
fn compare(said: &[Said], read: impl Fn(&Said) -> Schedule) -> (usize, Vec<String>) {
    let (mut argued, mut wrong) = (0, Vec::new());
    for one in said {
        let schedule = read(one);
        // As far as the oracle looked.
        let last = one.times.last().copied().unwrap_or(one.after);
        let mut ours = Vec::new();
        let mut at = one.after;
        while let Some(next) = schedule.after(at).filter(|next| *next <= last) {
            ours.push(next);
            at = next;
        }
        let plain = |times: &[Timestamp]| -> Vec<Timestamp> {
            let far = times.iter().filter(|at| !is_near_change(**at, &one.zone));
            far.copied().collect()
        };
        let is_same = plain(&ours) == plain(&one.times);
        if !is_same {
            let (text, after) = (&one.text, one.after);
            wrong.push(format!(
                "{text} after {after}: {ours:?} not {:?}",
                one.times
            ));
        }
        argued += usize::from(is_same && ours != one.times);
    }
    (argued, wrong)
}

#[test]
fn calendars_agree_with_systemd() {
    let said = read(include_str!("oracles/systemd.tsv"));
    assert!(said.len() >= 1_000);
    let (argued, wrong) = compare(&said, |one| {
        Schedule::calendar(&one.text, one.zone.clone()).unwrap()
    });
    assert_eq!(wrong, Vec::<String>::new());
    eprintln!(
        "{} agree, {argued} differ on a day of change",
        said.len() - argued
    );
}

#[test]
fn crons_agree_with_croniter() {
    let said = read(include_str!("oracles/croniter.tsv"));
    assert!(said.len() >= 1_000);
    let (argued, wrong) = compare(&said, |one| {
        Schedule::cron(&one.text, one.zone.clone()).unwrap()
    });
    assert_eq!(wrong, Vec::<String>::new());
    eprintln!(
        "{} agree, {argued} differ on a day of change",
        said.len() - argued
    );
}

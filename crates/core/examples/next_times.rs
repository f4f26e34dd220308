//! Looks up the next time of 10,000 schedules once, and prints how many microseconds that took.
//!
//! For `cargo xtask bench --only jobs`. What a manager does for each job when it loads a fleet.
#![expect(clippy::print_stdout, reason = "a command's output")]

use std::time::Instant;

use eud_core::schedule::{Refused, Schedule};
use jiff::Timestamp;
use jiff::tz::TimeZone;

const COUNT: usize = 10_000;
const ZONES: [&str; 3] = ["UTC", "Europe/Oslo", "America/New_York"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schedules = (0..COUNT).map(schedule).collect::<Result<Vec<_>, _>>()?;
    let now: Timestamp = "2026-11-25T12:34:56Z".parse()?;
    #[expect(clippy::disallowed_methods, reason = "a stop-watch around the core")]
    let begun = Instant::now();
    let found = schedules.iter().filter_map(|s| s.after(now)).count();
    let spent = begun.elapsed();
    if found != COUNT {
        return Err(format!("{found} of {COUNT} have a next time").into());
    }
    println!("{}", spent.as_micros());
    Ok(())
}

/// Every few minutes, nightly, on working days, monthly; half of them as cron has it.
fn schedule(n: usize) -> Result<Schedule, Refused> {
    let zone = TimeZone::get(ZONES[n % ZONES.len()]).unwrap_or(TimeZone::UTC);
    let (minute, hour, day) = (n % 60, n % 24, n % 28 + 1);
    match n % 8 {
        0 => Schedule::cron(&format!("*/{} * * * *", n % 29 + 1), zone),
        1 => Schedule::cron(&format!("{minute} {hour} * * *"), zone),
        2 => Schedule::cron(&format!("{minute} {hour} * * 1-5"), zone),
        3 => Schedule::cron(&format!("{minute} {hour} {day} * *"), zone),
        4 => Schedule::calendar(&format!("*:0/{}", n % 29 + 1), zone),
        5 => Schedule::calendar(&format!("{hour}:{minute:02}"), zone),
        6 => Schedule::calendar(&format!("Mon..Fri {hour}:{minute:02}"), zone),
        _ => Schedule::calendar(&format!("*-*-{day:02} {hour}:{minute:02}"), zone),
    }
}

//! Jobs: how late a fire by the clock is, and what ten thousand of them cost.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Setting;
use super::eud::Eud;
use super::report::{Figure, median, percentile};
use super::rig::{Rig, ms};
use crate::{Failure, cmd, processes};

/// Jobs that are due at once.
const AT_ONCE: usize = 5;
const LATE_MS_MAX: f64 = 20.0;
const MANY: usize = 10_000;
/// To look up one time for each of [`MANY`].
const NEXT_MS_MAX: f64 = 50.0;
const WAKEUPS_PER_S_MAX: f64 = 1.0;

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let (middle, tail) = lateness(setting, 1)?;
    let (middle_of_many, tail_of_many) = lateness(setting, AT_ONCE)?;
    let note = "due each second, as it saw it itself";
    let mut figures = vec![
        Figure::plain("a job begins after its time", middle, "ms").note(note),
        Figure::promised("  99th percentile", tail, "ms", LATE_MS_MAX),
        Figure::plain(format!("{AT_ONCE} jobs, due at once"), middle_of_many, "ms"),
        Figure::plain("  99th percentile", tail_of_many, "ms"),
    ];
    figures.extend(many(setting)?);
    Ok(figures)
}

/// Each second, so many jobs; each says when it began. The median and the 99th percentile.
fn lateness(setting: &Setting, at_once: usize) -> Result<(f64, f64), Failure> {
    let seconds = if setting.quick { 5 } else { 100 / at_once };
    let rig = Rig::new("jobs", at_once)?;
    let mut text = String::from("[fleet]\nname = \"bench\"\n");
    for name in rig.names() {
        let command = rig.command(&["once", name]);
        let _ = write!(
            text,
            "[daemons.{name}]\ncommand = {command:?}\nschedule = \"* * * * * *\"\n"
        );
    }
    let eud = Eud::with_file(setting, &rig, &text)?;
    eud.up()?;
    let stamps = rig.wait_for(at_once * seconds)?;
    let ahead_ns = wall_ns().saturating_sub(i128::from(processes::monotonic_ns()));
    eud.down()?;
    let late = |at_ns: u64| {
        let past = (i128::from(at_ns) + ahead_ns).rem_euclid(1_000_000_000);
        ms(u64::try_from(past).unwrap_or(0))
    };
    // The first second is that of the start.
    let times: Vec<f64> = stamps.iter().skip(at_once).map(|s| late(s.at_ns)).collect();
    Ok((median(times.clone()), percentile(times, 99)))
}

fn many(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let rig = Rig::new("many-jobs", 0)?;
    let mut text = String::from("[fleet]\nname = \"bench\"\n");
    for n in 0..MANY {
        let (minute, hour) = (n % 60, n % 20);
        let schedule = format!("{minute} {hour} 1 1 *");
        let _ = write!(
            text,
            "[daemons.j{n:05}]\ncommand = [\"true\"]\nschedule = {schedule:?}\n"
        );
    }
    let eud = Eud::with_file(setting, &rig, &text)?;
    let begun = Instant::now();
    cmd::output(&mut eud.fleet.eud(&["check"]))?;
    let check_ms = begun.elapsed().as_secs_f64() * 1_000.0;
    eud.up()?;
    eud.settle();
    let (manager, _) = eud.processes()?;
    let watched = Duration::from_secs(if setting.quick { 5 } else { 30 });
    let before = processes::voluntary_switches(manager).unwrap_or(0);
    std::thread::sleep(watched);
    let after = processes::voluntary_switches(manager).unwrap_or(0);
    let memory = processes::pss_kb(manager).unwrap_or(0);
    eud.down()?;
    let per_s =
        |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / watched.as_secs_f64();
    let memory_mb = f64::from(u32::try_from(memory).unwrap_or(u32::MAX)) / 1_000.0;
    Ok(vec![
        Figure::promised(
            format!("next times of {MANY} jobs"),
            next_times_ms()?,
            "ms",
            NEXT_MS_MAX,
        )
        .note(format!(
            "`eud check` of a file of {MANY} jobs takes {check_ms:.0} ms"
        )),
        Figure::promised(
            format!("manager of {MANY} jobs, wakeups"),
            per_s(after.saturating_sub(before)),
            "/s",
            WAKEUPS_PER_S_MAX,
        )
        .note("none is due meanwhile"),
        Figure::plain(format!("manager of {MANY} jobs, PSS"), memory_mb, "MB"),
    ])
}

/// Within one process, so that it is the looking up that is measured; the median of some.
fn next_times_ms() -> Result<f64, Failure> {
    let args = [
        "run",
        "--release",
        "--quiet",
        "-p",
        "eud-core",
        "--example",
        "next_times",
    ];
    let mut times = Vec::new();
    for _ in 0..5 {
        let printed = cmd::output(&mut cmd::cargo(&args))?;
        let micros: f64 = printed
            .trim()
            .parse()
            .map_err(|_| format!("next_times printed `{printed}`"))?;
        times.push(micros / 1_000.0);
    }
    Ok(median(times))
}

fn wall_ns() -> i128 {
    let now = clock_gettime(ClockId::Realtime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

//! What makes a daemon run and what it may use, in words.
//!
//! Invariants: every trigger, policy and guard of the model has its words here.

use eud_core::fleet::{
    Anchor, Condition, Daemon, Guard, GuardAction, Guarded, Job, Missed, Overlap, Watch,
    WatchAction, When,
};
use eud_core::schedule::Schedule;
use eud_core::words::{bytes, duration};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Paths that are named one by one.
const PATHS_SHOWN: usize = 3;

/// The zone in which a job's times are meant, if it names one.
pub(crate) fn zone_of(daemon: &Daemon) -> Option<TimeZone> {
    let job = daemon.job.as_ref()?;
    let named = |zone: &Option<String>| TimeZone::get(zone.as_deref()?).ok();
    job.schedules.iter().find_map(|when| match when {
        When::Cron { zone, .. } => named(zone),
        // It may have one at its end.
        When::Calendar { expr, zone } => {
            let parsed = Schedule::calendar(expr, named(zone)?).ok()?;
            Some(parsed.zone().clone())
        }
        _ => None,
    })
}

/// As short as it is exact: `3s`, `5m`, `2h`.
pub(crate) fn exact(ms: u64) -> String {
    match ms {
        ms if ms >= 3_600_000 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms >= 60_000 && ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms >= 1_000 && ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => duration(ms),
    }
}

/// Everything that fires a job.
pub(crate) fn fired_by(daemon: &Daemon) -> Vec<String> {
    let Some(job) = &daemon.job else {
        return Vec::new();
    };
    let mut words: Vec<String> = job.schedules.iter().map(when).collect();
    words.extend(daemon.watch.as_ref().map(watched));
    for trigger in &job.gauges {
        let again = trigger.again_ms.map(exact);
        let again = again.map_or(String::new(), |ms| format!(", again every {ms}"));
        words.push(format!(
            "when `{}` is {}{again}",
            trigger.gauge, trigger.level
        ));
    }
    if words.is_empty() {
        words.push(format!("by hand: eud trigger {}", daemon.name));
    }
    words
}

fn when(when: &When) -> String {
    let in_zone = |zone: &Option<String>| zone.clone().unwrap_or_else(|| "UTC".to_owned());
    match when {
        When::Cron { expr, zone } => format!("cron {expr} ({})", in_zone(zone)),
        When::Calendar { expr, zone } => {
            let own = Schedule::calendar(expr, TimeZone::UTC);
            let own = own.is_ok_and(|own| *own.zone() != TimeZone::UTC);
            match own {
                true => format!("calendar {expr}"),
                false => format!("calendar {expr} ({})", in_zone(zone)),
            }
        }
        When::Every { every_ms, from } => {
            let from = match from {
                Anchor::Clock => "by the clock",
                Anchor::Start => "since it was brought up",
                Anchor::End => "after the end of the run before",
            };
            format!("every {}, {from}", exact(*every_ms))
        }
        When::At { at_ms } => {
            let at = Timestamp::from_millisecond(*at_ms).unwrap_or_default();
            format!("at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        }
        When::AfterBoot { delay_ms: 0 } => "once in each boot of the machine".to_owned(),
        When::AfterBoot { delay_ms } => format!("{} after each boot", exact(*delay_ms)),
        When::AfterUp { delay_ms: 0 } => "once each time it is brought up".to_owned(),
        When::AfterUp { delay_ms } => {
            format!("{} after each time it is brought up", exact(*delay_ms))
        }
    }
}

fn watched(watch: &Watch) -> String {
    let shown: Vec<&str> = watch
        .paths
        .iter()
        .take(PATHS_SHOWN)
        .map(String::as_str)
        .collect();
    let more = match watch.paths.len().saturating_sub(PATHS_SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("when {}{more} changes", shown.join(" or "))
}

/// Labelled facts about what makes it run and what happens then.
pub(crate) fn facts(daemon: &Daemon) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(job) = &daemon.job {
        facts.extend(fired_by(daemon).into_iter().map(|words| ("runs", words)));
        policies(daemon, job, &mut facts);
    }
    if let Some(watch) = &daemon.watch {
        watch_facts(watch, &mut facts);
    }
    facts
}

fn policies(daemon: &Daemon, job: &Job, facts: &mut Vec<(&'static str, String)>) {
    if !job.schedules.is_empty() {
        facts.push(("missed", missed(job.missed)));
    }
    if job.jitter_ms > 0 {
        facts.push(("jitter", format!("up to {} later", exact(job.jitter_ms))));
    }
    let only_watched = daemon.watch.is_some() && job.schedules.is_empty();
    facts.push(match (only_watched, job.overlap) {
        (true, Overlap::Skip) => (
            "overlap",
            "changes that come while it runs wait for the next run".to_owned(),
        ),
        _ => ("overlap", overlap(job.overlap, daemon.replicas)),
    });
    if job.retry.limit > 0 {
        let retry = &job.retry;
        facts.push((
            "retries",
            format!(
                "{} after {} up to {}",
                retry.limit,
                exact(retry.backoff_initial_ms),
                exact(retry.backoff_max_ms)
            ),
        ));
    }
    let overdue = job
        .overdue_ms
        .map(|ms| format!("{} after its time", exact(ms)));
    facts.extend(overdue.map(|words| ("overdue", words)));
    let within = job
        .start_within_ms
        .map(|ms| format!("within {}, or not at all", exact(ms)));
    facts.extend(within.map(|words| ("begins", words)));
    facts.extend(job.only_when.iter().map(|c| ("only when", condition(c))));
}

fn missed(missed: Missed) -> String {
    match missed {
        Missed::RunOnce => "times are made up for by one run".to_owned(),
        Missed::RunAll { max } => format!("times are made up for by as many runs, at most {max}"),
        Missed::Skip => "times are not made up for".to_owned(),
    }
}

fn overlap(overlap: Overlap, lanes: u32) -> String {
    match overlap {
        Overlap::Skip => "a time that comes while it runs is skipped".to_owned(),
        Overlap::QueueOne => "one time waits while it runs".to_owned(),
        Overlap::KillOld => "the old run is stopped for a new one".to_owned(),
        Overlap::Allow => format!("up to {lanes} runs at once"),
    }
}

fn condition(condition: &Condition) -> String {
    let below = condition.below.map(|value| format!("below {value}"));
    let above = condition.above.map(|value| format!("above {value}"));
    let bounds: Vec<String> = [below, above].into_iter().flatten().collect();
    format!("`{}` is {}", condition.gauge, bounds.join(" and "))
}

fn watch_facts(watch: &Watch, facts: &mut Vec<(&'static str, String)>) {
    if watch.action == WatchAction::Restart {
        facts.push(("restarts", watched(watch)));
    }
    if !watch.ignore.is_empty() {
        facts.push(("ignores", watch.ignore.join(", ")));
    }
    if !watch.extensions.is_empty() {
        let extensions: Vec<&str> = watch.extensions.iter().map(String::as_str).collect();
        facts.push(("only", format!("files *.{}", extensions.join(", *."))));
    }
    let settle = match watch.settle_ms {
        0 => String::new(),
        ms => format!(", of files not written for {}", exact(ms)),
    };
    facts.push((
        "changes",
        format!(
            "put together until there are none for {}, at most {}{settle}",
            exact(watch.debounce_ms),
            exact(watch.debounce_max_ms)
        ),
    ));
}

/// `at most 2 GB, for 10s, else it is restarted`
pub(crate) fn guard(guard: &Guard) -> String {
    let limit = match &guard.what {
        Guarded::Memory { max_bytes } => format!("at most {}", bytes(*max_bytes)),
        Guarded::Cpu { max_percent } => format!("at most {max_percent} % of a core"),
        Guarded::Silence { max_ms } => format!("output at least every {}", exact(*max_ms)),
        Guarded::Heartbeat { path, max_age_ms } => {
            format!("{path} written at least every {}", exact(*max_age_ms))
        }
        Guarded::LogRate { max_bytes_per_s } => {
            format!("at most {} a second", bytes(*max_bytes_per_s))
        }
    };
    let lasting = match guard.for_ms {
        0 => String::new(),
        ms => format!(", for {}", exact(ms)),
    };
    let action = match guard.action {
        GuardAction::Event => "else it is degraded",
        GuardAction::Restart => "else it is restarted",
        GuardAction::Hold => "else it is held",
    };
    format!("{limit}{lasting}, {action}")
}

//! From a checked table to what makes a daemon run: schedules, watched paths, retries.
//!
//! Invariants: as in [`crate::model`].

use std::collections::BTreeSet;

use eud_core::fleet::{
    Anchor, Condition, GaugeTrigger, Job, Kind, Level, Missed, Overlap, Retry, Value, Watch,
    WatchAction, WatchEvent, When,
};
use jiff::tz::TimeZone;

use crate::check_times::instant_ms;
use crate::checked::{Checked, Item, Val, texts};
use crate::zone::MachineZone;

/// A job. A table that is absent or wrong gives a job without times.
pub(crate) fn job(table: &Checked, machine: &MachineZone<'_>) -> Job {
    let none = Checked::default();
    let schedule = table.table("schedule").unwrap_or(&none);
    let default = Job::default();
    Job {
        schedules: schedules(table, schedule, machine),
        jitter_ms: schedule.amount("jitter").unwrap_or(default.jitter_ms),
        missed: missed(schedule),
        overlap: overlap(table, schedule).0,
        overdue_ms: schedule.amount("overdue"),
        start_within_ms: schedule.amount("start_within"),
        retry: retry(table),
        gauges: tables(table, "on_gauge")
            .filter_map(gauge_trigger)
            .collect(),
        only_when: tables(table, "only_when").filter_map(condition).collect(),
    }
}

/// How many runs of a job may overlap.
pub(crate) fn replicas(table: &Checked) -> u32 {
    let none = Checked::default();
    overlap(table, table.table("schedule").unwrap_or(&none)).1
}

fn schedules(table: &Checked, schedule: &Checked, machine: &MachineZone<'_>) -> Vec<When> {
    if let Some(text) = table.text("schedule") {
        return vec![match text {
            "once" => When::AfterUp { delay_ms: 0 },
            "@reboot" => cron(text, None),
            expr => cron(expr, machine.name()),
        }];
    }
    let given = schedule.text("tz").map(str::to_owned);
    let zoned = ["cron", "calendar", "launchd"].into_iter();
    let zone = match zoned.filter(|key| schedule.get(key).is_some()).count() {
        0 => None,
        _ => given.clone().or_else(|| machine.name()),
    };
    let mut whens: Vec<When> = Vec::new();
    for (expr, _) in schedule.texts("cron") {
        whens.push(cron(&expr, zone.clone()));
    }
    for (expr, _) in schedule.texts("calendar") {
        let zone = zone.clone();
        whens.push(When::Calendar { expr, zone });
    }
    for dictionary in tables(schedule, "launchd") {
        whens.push(cron(&launchd(dictionary), zone.clone()));
    }
    if let Some(every_ms) = schedule.amount("every") {
        let from = match schedule.text("from") {
            Some("clock") => Anchor::Clock,
            Some("end") => Anchor::End,
            _ => Anchor::Start,
        };
        whens.push(When::Every { every_ms, from });
    }
    let times = schedule.texts("at");
    if !times.is_empty() {
        let meant = given.and_then(|name| TimeZone::get(&name).ok());
        let meant = meant.unwrap_or_else(|| machine.zone());
        let times = times
            .iter()
            .filter_map(|(text, _)| instant_ms(text, &meant));
        let times: BTreeSet<i64> = times.collect();
        whens.extend(times.into_iter().map(|at_ms| When::At { at_ms }));
    }
    if let Some(delay_ms) = schedule.amount("after_boot") {
        whens.push(When::AfterBoot { delay_ms });
    }
    if let Some(delay_ms) = schedule.amount("after_up") {
        whens.push(When::AfterUp { delay_ms });
    }
    whens
}

fn cron(expr: &str, zone: Option<String>) -> When {
    match expr {
        "@reboot" => When::AfterBoot { delay_ms: 0 },
        expr => When::Cron {
            expr: expr.to_owned(),
            zone,
        },
    }
}

/// A dictionary of `StartCalendarInterval` as a cron expression: launchd.plist(5).
pub(crate) fn launchd(dictionary: &Checked) -> String {
    let value = |upper: &str, lower: &str| {
        let given = dictionary.int(upper).or_else(|| dictionary.int(lower));
        given.map_or_else(|| "*".to_owned(), |value| value.to_string())
    };
    [
        value("Minute", "minute"),
        value("Hour", "hour"),
        value("Day", "day"),
        value("Month", "month"),
        value("Weekday", "weekday"),
    ]
    .join(" ")
}

fn missed(schedule: &Checked) -> Missed {
    if let Some(max) = schedule.table("missed").and_then(|t| t.count("run_all")) {
        return Missed::RunAll { max };
    }
    match schedule.text("missed") {
        Some("skip") => Missed::Skip,
        _ => Missed::RunOnce,
    }
}

/// The policy, and how many runs may overlap.
fn overlap(table: &Checked, schedule: &Checked) -> (Overlap, u32) {
    let item = table.get("overlap").or_else(|| schedule.get("overlap"));
    match item.map(|item| &item.val) {
        Some(Val::Table(allow)) => (Overlap::Allow, allow.count("allow").unwrap_or(1)),
        Some(Val::Text(word)) => match word.as_str() {
            "queue-one" => (Overlap::QueueOne, 1),
            "kill-old" => (Overlap::KillOld, 1),
            _ => (Overlap::Skip, 1),
        },
        _ => (Overlap::Skip, 1),
    }
}

fn retry(table: &Checked) -> Retry {
    let default = Retry::default();
    let none = Checked::default();
    let Some(retry) = table.table("retry") else {
        let limit = table.count("retry").unwrap_or(default.limit);
        return Retry { limit, ..default };
    };
    let backoff = retry.table("backoff").unwrap_or(&none);
    Retry {
        limit: retry.count("limit").unwrap_or(default.limit),
        backoff_initial_ms: backoff
            .amount("initial")
            .unwrap_or(default.backoff_initial_ms),
        backoff_factor_percent: backoff
            .percent("factor")
            .unwrap_or(default.backoff_factor_percent),
        backoff_max_ms: backoff.amount("max").unwrap_or(default.backoff_max_ms),
    }
}

/// Tables of a list.
pub(crate) fn tables<'t>(table: &'t Checked, key: &str) -> impl Iterator<Item = &'t Checked> {
    let items = table.list(key).unwrap_or_default();
    items.iter().filter_map(|item| match &item.val {
        Val::Table(table) => Some(table),
        _ => None,
    })
}

fn gauge_trigger(table: &Checked) -> Option<GaugeTrigger> {
    Some(GaugeTrigger {
        gauge: table.text("gauge")?.to_owned(),
        level: table.text("level").map_or(Level::Over, level),
        again_ms: table.amount("again"),
    })
}

/// A level by its name; the table of keys allows no other words.
pub(crate) fn level(word: &str) -> Level {
    let found = Level::ALL.into_iter().find(|level| level.as_str() == word);
    found.unwrap_or(Level::Over)
}

fn condition(table: &Checked) -> Option<Condition> {
    Some(Condition {
        gauge: table.text("gauge")?.to_owned(),
        below: table.number("below").map(Value),
        above: table.number("above").map(Value),
    })
}

/// What is watched for a daemon.
pub(crate) fn watch(kind: Kind, item: &Item) -> Option<Watch> {
    let default = Watch::default();
    let action = match kind {
        Kind::Job => WatchAction::Trigger,
        Kind::Service | Kind::Task => WatchAction::Restart,
    };
    let table = match &item.val {
        Val::Table(table) => table,
        Val::List(items) => {
            let paths = texts(items).into_iter().map(|(path, _)| path).collect();
            return Some(Watch {
                paths,
                action,
                ..default
            });
        }
        _ => return None,
    };
    let list = |key| table.texts(key).into_iter().map(|(text, _)| text);
    let debounce_ms = table.amount("debounce").unwrap_or(default.debounce_ms);
    let longest = table.amount("debounce_max");
    Some(Watch {
        paths: list("paths").collect(),
        events: match table.list("events") {
            Some(_) => list("events").map(|word| event(&word)).collect(),
            None => default.events,
        },
        ignore: list("ignore").collect(),
        gitignore: table.bool("gitignore").unwrap_or(default.gitignore),
        extensions: list("extensions").collect(),
        debounce_ms,
        debounce_max_ms: longest.unwrap_or(default.debounce_max_ms.max(debounce_ms)),
        settle_ms: table.amount("settle").unwrap_or(default.settle_ms),
        poll_ms: table.amount("poll").unwrap_or(default.poll_ms),
        action,
        loop_limit: table.count("loop_limit").unwrap_or(default.loop_limit),
    })
}

fn event(word: &str) -> WatchEvent {
    match word {
        "create" => WatchEvent::Create,
        "delete" => WatchEvent::Delete,
        "rename" => WatchEvent::Rename,
        _ => WatchEvent::Modify,
    }
}

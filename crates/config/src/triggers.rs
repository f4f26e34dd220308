//! Statements about what makes one daemon run that cannot all hold.
//!
//! Invariants: looks at one daemon by itself; what it says about gauges is looked up by
//! [`crate::gauges`].

use std::path::Path;

use eud_core::fleet::{Daemon, Kind, Watch, When};
use eud_core::schedule::Schedule;
use jiff::tz::TimeZone;

use crate::checked::{Checked, Item, Val};
use crate::diagnostic::Code;
use crate::model_job::{launchd, tables};
use crate::relations::Declarations;
use crate::source::{At, Draft, Report};
use crate::zone::MachineZone;

/// Reports what contradicts itself. `state` is where the manager keeps its files, if that is known.
pub(crate) fn contradictions(
    daemon: &Daemon,
    table: &Checked,
    state: Option<&str>,
    report: &mut Report,
) {
    if daemon.kind == Kind::Job {
        if let Some(schedule) = table.table("schedule") {
            times(schedule, report);
            twice(table, schedule, report);
        }
        retry(table, report);
        for condition in tables(table, "only_when") {
            bounds(condition, report);
        }
    }
    if let (Some(watch), Some(item)) = (&daemon.watch, table.get("watch")) {
        roots(item, state, report);
        debounce(watch, item, report);
    }
}

/// Warns once of times that are meant in a zone without a name, and so are taken in UTC.
pub(crate) fn zone(all: &Declarations, machine: &MachineZone<'_>, report: &mut Report) {
    let unnamed = |when: &When| {
        matches!(
            when,
            When::Cron { zone: None, .. } | When::Calendar { zone: None, .. }
        )
    };
    let in_utc = all.values().find(|declared| {
        let job = declared.daemon.job.iter();
        job.flat_map(|job| &job.schedules).any(unnamed)
    });
    let at = in_utc.and_then(|declared| declared.table.at("schedule"));
    if let (Some(at), None) = (at, machine.name()) {
        let message = "these times are in UTC: this machine's time zone has no name";
        let draft = Draft::warning(Code::UnknownZone, at, message);
        report.push(draft.help("name the zone that is meant: `tz = \"Europe/Oslo\"`"));
    }
}

fn misplaced(at: At, message: impl Into<String>, label: &str, report: &mut Report) {
    report.push(Draft::error(Code::Misplaced, at, message).label(label));
}

/// Keys of a schedule that mean something only together with others.
fn times(schedule: &Checked, report: &mut Report) {
    let has = |key: &str| schedule.get(key).is_some();
    if let (Some(at), false) = (schedule.at("from"), has("every")) {
        let message = "`from` says what `every` is counted from, and there is no `every`";
        misplaced(at, message, "leave it out", report);
    }
    let zoned = ["cron", "calendar", "launchd", "at"].into_iter().any(has);
    let unzoned = ["every", "after_boot", "after_up"]
        .into_iter()
        .find(|key| has(key));
    if let (Some(at), false, Some(key)) = (schedule.at("tz"), zoned, unzoned) {
        let message = format!("`tz` means nothing with `{key}`, which is the same in every zone");
        misplaced(at, message, "leave it out", report);
    }
    let (jitter, every) = (schedule.amount("jitter"), schedule.amount("every"));
    if let (Some(jitter), Some(every), Some(at)) = (jitter, every, schedule.at("jitter"))
        && jitter >= every
    {
        let message = "`jitter` is not shorter than the time from one run to the next";
        let draft = Draft::error(Code::Contradiction, at, message);
        let draft = draft.label("a smaller part of it, please");
        report.push(match schedule.at("every") {
            Some(at) => draft.also(at, "the time between runs"),
            None => draft,
        });
    }
    dictionaries(schedule, report);
}

/// Dictionaries in which a part is given in both spellings, or that never come true.
fn dictionaries(schedule: &Checked, report: &mut Report) {
    const PARTS: [(&str, &str); 5] = [
        ("Minute", "minute"),
        ("Hour", "hour"),
        ("Day", "day"),
        ("Weekday", "weekday"),
        ("Month", "month"),
    ];
    for item in schedule.list("launchd").unwrap_or_default() {
        let Val::Table(dictionary) = &item.val else {
            continue;
        };
        for (upper, lower) in PARTS {
            if let (Some(first), Some(second)) = (dictionary.at(upper), dictionary.at(lower)) {
                let message = format!("`{upper}` and `{lower}` are the same");
                let draft = Draft::error(Code::Exclusive, second, message).label("this");
                report.push(draft.also(first, "and this"));
            }
        }
        if let Err(refused) = Schedule::cron(&launchd(dictionary), TimeZone::UTC) {
            let message = "`launchd` is not a time";
            let draft = Draft::error(Code::BadSchedule, item.at, message);
            report.push(draft.label(refused.why));
        }
    }
}

fn twice(table: &Checked, schedule: &Checked, report: &mut Report) {
    if let (Some(own), Some(inner)) = (table.at("overlap"), schedule.at("overlap")) {
        let draft = Draft::error(Code::Exclusive, own, "`overlap` is given twice");
        report.push(draft.label("here").also(inner, "and in `schedule`"));
    }
}

fn retry(table: &Checked, report: &mut Report) {
    const INITIAL_MS: u64 = 10_000;
    const MAX_MS: u64 = 300_000;
    let Some(backoff) = table
        .table("retry")
        .and_then(|retry| retry.table("backoff"))
    else {
        return;
    };
    let initial = backoff.amount("initial").unwrap_or(INITIAL_MS);
    let max = backoff.amount("max").unwrap_or(MAX_MS);
    let at = backoff.at("initial").or_else(|| backoff.at("max"));
    if let (Some(at), true) = (at, initial > max) {
        let message = format!("the first delay ({initial} ms) is above the longest ({max} ms)");
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("`initial` must not exceed `max`"));
    }
}

/// A condition without a bound, or with bounds between which there is nothing.
fn bounds(condition: &Checked, report: &mut Report) {
    let Some(gauge) = condition.get("gauge") else {
        return;
    };
    let keys = ["below", "above"].map(|key| condition.get(key).is_some());
    if keys == [false, false] {
        let message = "the condition has neither `below` nor `above`";
        let draft = Draft::error(Code::Missing, gauge.at, message);
        report.push(draft.label("give `below`, `above` or both"));
    }
    let (below, above) = (condition.number("below"), condition.number("above"));
    if let (Some(below), Some(above), Some(at)) = (below, above, condition.at("above"))
        && above >= below
    {
        let message = "no value is below the one and above the other: the job would never begin";
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("`above` must be less than `below`"));
    }
}

/// Roots that cannot be watched.
fn roots(item: &Item, state: Option<&str>, report: &mut Report) {
    let paths = match &item.val {
        // An absent key has been reported.
        Val::Table(table) if table.get("paths").is_none() => return,
        Val::Table(table) => table.texts("paths"),
        Val::List(items) => crate::checked::texts(items),
        _ => return,
    };
    if paths.is_empty() {
        let draft = Draft::error(Code::Missing, item.at, "no path is watched");
        report.push(draft.label("name one"));
    }
    for (path, at) in paths {
        if Path::new(&path).parent().is_none() {
            let message = "the whole file system cannot be watched";
            let draft = Draft::error(Code::BadPath, at, message);
            report.push(draft.label("name the folder that matters"));
        } else if state.is_some_and(|state| Path::new(&path).starts_with(state)) {
            let message = "the manager itself writes there: the state folder is never watched";
            let draft = Draft::error(Code::BadPath, at, message);
            report.push(draft.label("leave it out"));
        }
    }
}

fn debounce(watch: &Watch, item: &Item, report: &mut Report) {
    let Val::Table(table) = &item.val else { return };
    if let (Some(at), true) = (
        table.at("debounce_max"),
        watch.debounce_ms > watch.debounce_max_ms,
    ) {
        let message = "changes are put together for longer than at most";
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("`debounce` must not exceed `debounce_max`"));
    }
    if let (Some(Item { at, .. }), true) = (table.get("events"), watch.events.is_empty()) {
        let draft = Draft::error(Code::Missing, *at, "no change counts");
        report.push(draft.label("name one of create, modify, delete and rename"));
    }
}

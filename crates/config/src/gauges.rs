//! What gauges, gates and the triggers of daemons say about each other.
//!
//! Purpose: gauges that do not exist, thresholds out of order, levels that are never reached, gates
//! without members.
//! Invariants: names are only looked up when all files could be read; what a member's term means is
//! decided by [`eud_core::select`] alone.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{Fleet, Gate, Gauge, Level, Limit, Machine, Source};
use eud_core::select;

use crate::checked::Checked;
use crate::diagnostic::Code;
use crate::model_job::{level, tables};
use crate::relations::Declarations;
use crate::source::{At, Draft, Report, printable, quoted};

/// Most gauges.
const GAUGES_MAX: usize = 1_000;
/// Most gates.
const GATES_MAX: usize = 1_000;

/// A gauge as declared.
pub(crate) struct DeclaredGauge {
    pub(crate) at: At,
    pub(crate) table: Checked,
    /// `None` when it was wrong.
    pub(crate) gauge: Option<Gauge>,
}

/// A gate as declared.
pub(crate) struct DeclaredGate {
    pub(crate) at: At,
    pub(crate) table: Checked,
    pub(crate) gate: Gate,
}

pub(crate) type Gauges = BTreeMap<String, DeclaredGauge>;
pub(crate) type Gates = BTreeMap<String, DeclaredGate>;

/// Checks that need no other file. Answers whether there are few enough to look further.
pub(crate) fn check_alone(gauges: &Gauges, gates: &Gates, report: &mut Report) -> bool {
    for declared in gauges.values() {
        surroundings(declared, report);
        if let Some(gauge) = &declared.gauge {
            thresholds(gauge, &declared.table, report);
            attainable(gauge, &declared.table, report);
        }
    }
    let mut bounded = true;
    let mut too_many = |count: usize, max: usize, what: &str, at: Option<At>| {
        if let (Some(at), true) = (at, count > max) {
            let message = format!("there are more than {max} {what}");
            report.push(Draft::error(Code::TooMany, at, message));
            bounded = false;
        }
    };
    let last = gauges.values().map(|declared| declared.at).max();
    too_many(gauges.len(), GAUGES_MAX, "gauges", last);
    let last = gates.values().map(|declared| declared.at).max();
    too_many(gates.len(), GATES_MAX, "gates", last);
    bounded
}

/// `cwd` and `env` are a command's.
fn surroundings(declared: &DeclaredGauge, report: &mut Report) {
    if declared.table.get("command").is_some() || declared.gauge.is_none() {
        return;
    }
    for key in ["cwd", "env"] {
        if let Some(at) = declared.table.at(key) {
            let message = format!("`{key}` is for a gauge with a `command`");
            report.push(Draft::error(Code::Misplaced, at, message).label("leave it out"));
        }
    }
}

fn thresholds(gauge: &Gauge, table: &Checked, report: &mut Report) {
    let limits = [("warn", &gauge.warn), ("over", &gauge.over)];
    let mut push = |key: &str, message: String, label: String| {
        if let Some(at) = table.at(key) {
            report.push(Draft::error(Code::Contradiction, at, message).label(label));
        }
    };
    let at = |limit: &Option<Limit>| limit.map(|limit| limit.at.0);
    for (key, limit) in limits {
        if let Some(limit) = limit.filter(|limit| limit.clear.0 > limit.at.0) {
            let message = format!("`{key}` would end above where it begins");
            let label = format!("`clear` must not exceed {}", limit.at);
            push(key, message, label);
        }
    }
    if let Some(limit) = gauge.under.filter(|limit| limit.clear.0 < limit.at.0) {
        let message = "`under` would end below where it begins".to_owned();
        let label = format!("`clear` must be at least {}", limit.at);
        push("under", message, label);
    }
    let (warn, over, under) = (at(&gauge.warn), at(&gauge.over), at(&gauge.under));
    if let (Some(warn), Some(over)) = (warn, over)
        && warn >= over
    {
        let message = "`warn` is not below `over`: it would never be said".to_owned();
        push("warn", message, format!("less than {over}"));
    }
    for (key, other) in [("warn", warn), ("over", over)] {
        if let (Some(under), Some(other)) = (under, other)
            && under >= other
        {
            let message = format!("`under` is not below `{key}`: no value would be right");
            push("under", message, format!("less than {other}"));
            return;
        }
    }
}

/// A percentage above 100 is a mistake, often a size where percent are meant.
fn attainable(gauge: &Gauge, table: &Checked, report: &mut Report) {
    let Source::Machine(machine) = &gauge.source else {
        return;
    };
    if *machine == Machine::Load {
        return;
    }
    for (key, limit) in [
        ("warn", &gauge.warn),
        ("over", &gauge.over),
        ("under", &gauge.under),
    ] {
        let beyond = limit.is_some_and(|limit| !(0.0..=100.0).contains(&limit.at.0));
        if let (true, Some(at)) = (beyond, table.at(key)) {
            let message = format!("`{key}` is never reached: this gauge is in percent");
            let draft = Draft::error(Code::Contradiction, at, message);
            report.push(draft.label("write a number from 0 to 100"));
        }
    }
}

/// Checks all references to gauges.
pub(crate) fn references(
    daemons: &Declarations,
    gauges: &Gauges,
    gates: &Gates,
    report: &mut Report,
) {
    for declared in daemons.values() {
        for trigger in tables(&declared.table, "on_gauge") {
            let wanted = wanted(trigger);
            let at = trigger.at("level").or_else(|| trigger.at("gauge"));
            if let (Some(gauge), Some(at)) = (known(gauges, trigger, report), at) {
                reaches(gauge, wanted, at, "the job would never run by it", report);
                if wanted == Level::Warn && jumps(gauge, &declared.table) {
                    let message = "a value that jumps past `warn` comes to `over` at once, and \
                                   then the job does not run";
                    let draft = Draft::warning(Code::Contradiction, at, message);
                    report.push(draft.label("add the same with level = \"over\""));
                }
            }
        }
        for condition in tables(&declared.table, "only_when") {
            known(gauges, condition, report);
        }
    }
    for declared in gates.values() {
        if let Some(gauge) = known(gauges, &declared.table, report) {
            closing(gauge, declared, report);
        }
    }
}

fn wanted(trigger: &Checked) -> Level {
    trigger.text("level").map_or(Level::Over, level)
}

/// Whether there is a level above `warn`, and the daemon has no trigger for it.
fn jumps(gauge: &DeclaredGauge, daemon: &Checked) -> bool {
    let Some(gauge) = gauge.gauge.as_ref().filter(|gauge| gauge.over.is_some()) else {
        return false;
    };
    let is_over = |trigger: &Checked| {
        trigger.text("gauge") == Some(&gauge.name) && wanted(trigger) == Level::Over
    };
    !tables(daemon, "on_gauge").any(is_over)
}

/// The gauge that a table names.
fn known<'g>(
    gauges: &'g Gauges,
    table: &Checked,
    report: &mut Report,
) -> Option<&'g DeclaredGauge> {
    let (name, at) = (table.text("gauge")?, table.at("gauge")?);
    if let Some(found) = gauges.get(name) {
        return Some(found);
    }
    let near = report.nearest(name, gauges.keys().map(String::as_str));
    let message = format!("gauge {} is not defined", quoted(name));
    let draft = Draft::error(Code::UnknownGauge, at, message);
    let some: Vec<&str> = gauges.keys().map(String::as_str).take(8).collect();
    report.push(match (&near, some.is_empty()) {
        (Some(_), _) => draft.suggest(near),
        (None, true) => draft.label("declare it as `[gauges.<name>]`"),
        (None, false) => draft.label(format!("known: {}", some.join(", "))),
    });
    None
}

/// Reports a level that a gauge never comes to.
fn reaches(declared: &DeclaredGauge, wanted: Level, at: At, so: &str, report: &mut Report) {
    let Some(gauge) = &declared.gauge else { return };
    let possible = match wanted {
        Level::Over => gauge.over.is_some(),
        Level::Warn => gauge.warn.is_some(),
        Level::Under => gauge.under.is_some(),
        Level::Frozen => gauge.frozen_ms.is_some(),
        Level::Ok | Level::Unknown => true,
    };
    if possible {
        return;
    }
    let name = &gauge.name;
    let message = format!("gauge `{name}` is never `{wanted}`: {so}");
    let draft = Draft::error(Code::Contradiction, at, message);
    let draft = draft.label("named here");
    report.push(draft.also(declared.at, format!("give it `{wanted}`")));
}

fn closing(gauge: &DeclaredGauge, declared: &DeclaredGate, report: &mut Report) {
    let table = &declared.table;
    let listed = table.texts("closes_at");
    if listed.is_empty() {
        if table.get("closes_at").is_some() {
            let at = table.at("closes_at").unwrap_or(declared.at);
            let draft = Draft::error(Code::Missing, at, "the gate never closes");
            report.push(draft.label("name a level"));
        } else if let Some(at) = table.at("gauge") {
            reaches(gauge, Level::Over, at, "the gate would never close", report);
        }
        return;
    }
    for (word, at) in &listed {
        reaches(
            gauge,
            level(word),
            *at,
            "the gate would not close by it",
            report,
        );
    }
    let at_levels = &declared.gate.closes_at;
    let has_over = gauge
        .gauge
        .as_ref()
        .is_some_and(|gauge| gauge.over.is_some());
    if let (Some((_, at)), true) = (listed.first(), has_over)
        && at_levels.contains(&Level::Warn)
        && !at_levels.contains(&Level::Over)
    {
        let message = "the gate closes at `warn` and opens again when it gets worse, at `over`";
        let draft = Draft::warning(Code::Contradiction, *at, message);
        report.push(draft.label("add \"over\""));
    }
}

/// Looks up the members of all gates and puts them into the fleet.
pub(crate) fn members(gates: &Gates, fleet: &mut Fleet, report: &mut Report) {
    let mut found: Vec<(String, BTreeSet<String>)> = Vec::new();
    for (name, declared) in gates {
        let listed = declared.table.texts("members");
        let mut good = true;
        for (term, at) in &listed {
            if let Err(error) = select::expand(fleet, std::slice::from_ref(term)) {
                good = false;
                let message: String = error.message.chars().map(printable).take(300).collect();
                let plain = !term.contains([':', '*', '?', '[', '{', '@', '!']);
                let code = match plain {
                    true => Code::UnknownDaemon,
                    false => Code::BadSelector,
                };
                report.push(Draft::error(code, *at, message).suggest(error.suggestion));
            }
        }
        let terms: Vec<String> = listed.into_iter().map(|(term, _)| term).collect();
        let (Ok(chosen), true) = (select::expand(fleet, &terms), good) else {
            continue;
        };
        if let (Some(at), true) = (declared.table.at("members"), chosen.is_empty()) {
            let message = format!("gate `{name}` has no members");
            let draft = Draft::error(Code::Missing, at, message);
            report.push(draft.label("name the daemons that it pauses"));
        }
        found.push((name.clone(), chosen));
    }
    for (name, chosen) in found {
        if let Some(gate) = fleet.gates.get_mut(&name) {
            gate.members = chosen;
        }
    }
}

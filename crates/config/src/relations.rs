//! What daemons say about each other.
//!
//! Purpose: names that do not exist, daemons that wait for themselves, ports taken twice,
//! statements that cannot both hold.
//! Invariants: names are only looked up when all files could be read, so that one broken file does
//! not make every reference to its daemons an error.

use std::collections::BTreeMap;

use eud_core::fleet::Daemon;

use crate::checked::{Checked, ints};
use crate::cycles::{Graph, cycles};
use crate::diagnostic::Code;
use crate::source::{At, Draft, Report, quoted};

/// Most daemons and most replicas of all daemons together.
pub(crate) const DAEMONS_MAX: usize = 10_000;

/// A daemon, its table and the place of its name.
pub(crate) struct Declared {
    pub(crate) at: At,
    pub(crate) table: Checked,
    pub(crate) daemon: Daemon,
}

/// Daemons by name.
pub(crate) type Declarations = BTreeMap<String, Declared>;

/// Checks all that daemons say about each other.
pub(crate) fn check(all: &Declarations, report: &mut Report) {
    for (name, declared) in all {
        for key in ["needs", "wants", "after", "conflicts"] {
            for (other, at) in declared.table.texts(key) {
                reference(all, (name, key), &other, at, report);
            }
        }
        contradictions(all, declared, report);
        replacement(all, declared, report);
    }
    waiting_cycles(all, report);
}

/// Checks that need no other file: repeated entries, ports, names, numbers. Answers whether there
/// are few enough daemons to look at what they say about each other.
pub(crate) fn check_alone(all: &Declarations, report: &mut Report) -> bool {
    for declared in all.values() {
        repeated(declared, report);
    }
    ports(all, report);
    similar_names(all, report);
    let units: usize = all.values().map(|d| d.daemon.replicas as usize).sum();
    if let Some(declared) = all.values().next().filter(|_| units > DAEMONS_MAX) {
        let message = format!("{units} daemons and replicas are more than {DAEMONS_MAX}");
        report.push(Draft::error(Code::TooMany, declared.at, message));
        return false;
    }
    true
}

fn reference(
    all: &Declarations,
    (name, key): (&str, &str),
    other: &str,
    at: At,
    report: &mut Report,
) {
    if other == name {
        let message = format!("daemon `{name}` names itself in `{key}`");
        report.push(Draft::error(Code::Cycle, at, message).label("another daemon, please"));
        return;
    }
    if all.contains_key(other) {
        return;
    }
    let message = format!("daemon {} is not defined", quoted(other));
    if let Some((daemon, _)) = other
        .split_once('@')
        .filter(|(daemon, _)| all.contains_key(*daemon))
    {
        let message = format!("`{key}` names a replica of daemon `{daemon}`");
        let label = format!("name the daemon: \"{daemon}\"");
        report.push(Draft::error(Code::UnknownDaemon, at, message).label(label));
        return;
    }
    let near = report.nearest(
        other,
        all.keys()
            .map(String::as_str)
            .filter(|known| *known != name),
    );
    let draft = Draft::error(Code::UnknownDaemon, at, message);
    let mixed = other.contains([':', '*', '!']);
    report.push(match near {
        Some(_) => draft.suggest(near),
        None if mixed => draft.label(format!("`{key}` takes names, not selectors")),
        None => draft.label(format!(
            "declare it as `[daemons.{}]`",
            quoted(other).replace('`', "")
        )),
    });
}

fn contradictions(all: &Declarations, declared: &Declared, report: &mut Report) {
    let daemon = &declared.daemon;
    for (needed, at) in declared.table.texts("needs") {
        let Some(other) = all.get(&needed) else {
            continue;
        };
        if daemon.enabled && !other.daemon.enabled {
            let message = format!(
                "daemon `{}` needs `{needed}`, which is disabled",
                daemon.name
            );
            let draft = Draft::error(Code::Contradiction, at, message);
            let draft = match other.table.at("enabled") {
                Some(at) => draft.label("needed here").also(at, "disabled here"),
                None => draft.label("enable it, or disable both"),
            };
            report.push(draft);
        }
        if daemon.deprecated.is_none() && other.daemon.deprecated.is_some() {
            report.push(deprecated_use(
                &other.daemon,
                at,
                &format!("needed by `{}`", daemon.name),
            ));
        }
    }
    for (other, at) in declared.table.texts("conflicts") {
        for key in ["needs", "wants"] {
            let twice = declared
                .table
                .texts(key)
                .into_iter()
                .find(|(name, _)| *name == other);
            let Some((_, wanted_at)) = twice else {
                continue;
            };
            let message = format!(
                "daemon `{}` {key} `{other}` and conflicts with it",
                daemon.name
            );
            let draft = Draft::error(Code::Contradiction, at, message);
            report.push(draft.label("this").also(wanted_at, "and this"));
        }
    }
}

/// Warning about a deprecated daemon that is used.
pub(crate) fn deprecated_use(daemon: &Daemon, at: At, why: &str) -> Draft {
    let message = format!("daemon `{}` is deprecated, but {why}", daemon.name);
    let draft = Draft::warning(Code::DeprecatedUse, at, message);
    match daemon
        .deprecated
        .as_ref()
        .and_then(|d| d.use_instead.as_ref())
    {
        Some(instead) => draft.label(format!("use {}", quoted(instead))),
        None => draft,
    }
}

/// A replacement that looks like a name should be one.
fn replacement(all: &Declarations, declared: &Declared, report: &mut Report) {
    let table = declared.table.table("deprecated");
    let (Some(instead), Some(at)) = (
        table.and_then(|t| t.text("use")),
        table.and_then(|t| t.at("use")),
    ) else {
        return;
    };
    if all.contains_key(instead) || crate::values::name(instead).is_err() {
        return;
    }
    let near = report.nearest(instead, all.keys().map(String::as_str));
    let message = format!("daemon {} is not defined", quoted(instead));
    report.push(Draft::warning(Code::UnknownDaemon, at, message).suggest(near));
}

fn waiting_cycles(all: &Declarations, report: &mut Report) {
    let mut graph = Graph::new();
    for (name, declared) in all {
        let daemon = &declared.daemon;
        let targets = daemon
            .needs
            .iter()
            .chain(&daemon.wants)
            .chain(&daemon.after);
        // A daemon that names itself has been reported.
        graph.insert(
            name,
            targets
                .map(String::as_str)
                .filter(|target| target != name)
                .collect(),
        );
    }
    for cycle in cycles(&graph) {
        let round: Vec<&str> = cycle.iter().chain(cycle.first()).copied().collect();
        let message = format!("daemons wait for each other: {}", round.join(" → "));
        let edges: Vec<(At, String)> = round
            .windows(2)
            .filter_map(|pair| edge(all, pair))
            .collect();
        let Some(((at, label), rest)) = edges.split_first() else {
            continue;
        };
        let mut draft = Draft::error(Code::Cycle, *at, message).label(label.clone());
        for (at, label) in rest.iter().take(9) {
            draft = draft.also(*at, label.clone());
        }
        report.push(draft);
    }
}

/// Where one daemon says that it waits for another, and how.
fn edge(all: &Declarations, pair: &[&str]) -> Option<(At, String)> {
    let [from, to] = pair else { return None };
    let table = &all.get(*from)?.table;
    ["needs", "wants", "after"].into_iter().find_map(|key| {
        let (_, at) = table.texts(key).into_iter().find(|(name, _)| name == to)?;
        let verb = if key == "after" { "starts after" } else { key };
        Some((at, format!("`{from}` {verb} `{to}`")))
    })
}

fn ports(all: &Declarations, report: &mut Report) {
    let mut owners: BTreeMap<i64, Vec<(&Declared, At)>> = BTreeMap::new();
    for declared in all.values().filter(|declared| declared.daemon.enabled) {
        let mut seen = Vec::new();
        for (port, at) in ints(declared.table.list("ports").unwrap_or_default()) {
            if !seen.contains(&port) {
                seen.push(port);
                owners.entry(port).or_default().push((declared, at));
            }
        }
    }
    for (port, mut owners) in owners {
        owners.sort_by_key(|(_, at)| *at);
        for (i, (second, at)) in owners.iter().enumerate() {
            let earlier = owners
                .iter()
                .take(i)
                .find(|(first, _)| !exclude(first, second));
            let Some((first, first_at)) = earlier else {
                continue;
            };
            let message = format!(
                "port {port} is used by `{}` and `{}`",
                first.daemon.name, second.daemon.name
            );
            let draft = Draft::error(Code::PortConflict, *at, message).label("here too");
            let draft = draft.also(*first_at, "first used here");
            report.push(draft.help("daemons that never run together say so with `conflicts`"));
        }
    }
}

/// Whether two daemons are declared never to run together.
fn exclude(a: &Declared, b: &Declared) -> bool {
    a.daemon.conflicts.contains(&b.daemon.name) || b.daemon.conflicts.contains(&a.daemon.name)
}

fn repeated(declared: &Declared, report: &mut Report) {
    for key in [
        "needs",
        "wants",
        "after",
        "conflicts",
        "tags",
        "reads",
        "writes",
    ] {
        let mut seen: BTreeMap<String, At> = BTreeMap::new();
        for (text, at) in declared.table.texts(key) {
            if let Some(first) = seen.get(&text) {
                let message = format!("{} is twice in `{key}`", quoted(&text));
                let draft = Draft::warning(Code::Repeated, at, message).label("again");
                report.push(draft.also(*first, "first"));
            } else {
                seen.insert(text, at);
            }
        }
    }
    let mut seen = BTreeMap::new();
    for (port, at) in ints(declared.table.list("ports").unwrap_or_default()) {
        if let Some(first) = seen.insert(port, at) {
            let message = format!("port {port} is twice in `ports`");
            let draft = Draft::warning(Code::Repeated, at, message).label("again");
            report.push(draft.also(first, "first"));
        }
    }
}

/// Names become folders, and some file systems do not tell upper from lower case.
fn similar_names(all: &Declarations, report: &mut Report) {
    let mut seen: BTreeMap<String, &Declared> = BTreeMap::new();
    for (name, declared) in all {
        if let Some(first) = seen.insert(name.to_ascii_lowercase(), declared) {
            let message = format!(
                "`{}` and `{name}` differ in upper and lower case only",
                first.daemon.name
            );
            let draft = Draft::warning(Code::SimilarNames, declared.at, message);
            report.push(draft.label("this").also(first.at, "and this"));
        }
    }
}

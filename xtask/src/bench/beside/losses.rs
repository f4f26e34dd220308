//! Where eud is behind, and why.
//!
//! Invariant: a losing cell is always listed; one that nobody has explained says so.

use super::table::{Cells, Metric, TABLES};
use crate::bench::report::short;

/// Behind by less than this is no difference that the machine can show.
const NOISE: f64 = 1.05;

/// Why, and what would change it.
const REASONS: &[(Metric, &str)] = &[
    (
        Metric::Start100,
        "each run gets a process of its own that outlives the manager, a folder, a control socket \
         and a durable intent; fewer files a run would help most",
    ),
    (
        Metric::Restart,
        "the end and the new start are recorded in files and a database first, and the run gets a \
         folder and a keeper of its own; those ahead record nothing and keep their process",
    ),
    (
        Metric::Storm,
        "every one of the fifty gets a folder, two records and a keeper, and two keepers wait for \
         a run, so the others are executed first; those ahead have a process for each service \
         that forks and records nothing. More waiting keepers would help, at 60 kB each",
    ),
    (
        Metric::StormCpu,
        "the journal, and executing a keeper for each new run; fewer pages written for a run \
         would help most",
    ),
    (
        Metric::Status,
        "a program of 10 MB that is linked at each start asks a manager for everything and why, \
         against a small one that reads a state from a file; a smaller client would help",
    ),
    (
        Metric::LogCpu,
        "whoever is ahead hands a file to the service: no timestamps, no rotation",
    ),
    (
        Metric::Stop,
        "every end is recorded in a file of its own and in the database, and what is left of each \
         tree is looked for; those ahead send a signal",
    ),
    (
        Metric::Pss,
        "a keeper for each run and a manager with a database, against one process for all; the \
         price of surviving its death",
    ),
    (
        Metric::Processes,
        "a keeper for each run, so that nothing is lost with the manager",
    ),
    (
        Metric::Wakeups,
        "the manager's heartbeat, once in ten seconds; the keepers never wake",
    ),
    (
        Metric::LogWriter,
        "a keeper reads, stamps and counts each line; those ahead hand a file to the service or \
         write without stamps",
    ),
];

/// One line for each cell where somebody is ahead.
pub(super) fn list(cells: &Cells) -> Vec<String> {
    let metrics = TABLES.iter().flat_map(|(_, metrics)| metrics.iter());
    metrics.filter_map(|metric| line(cells, *metric)).collect()
}

fn line(cells: &Cells, metric: Metric) -> Option<String> {
    let (ours, ..) = cells.middle("eud", metric)?;
    let ahead: Vec<String> = cells
        .who
        .iter()
        .filter(|who| who.name != "eud")
        .filter_map(|who| Some((who.name, cells.middle(who.name, metric)?.0)))
        .filter(|(_, theirs)| theirs * NOISE < ours)
        .map(|(name, theirs)| format!("{name} {}", short(theirs)))
        .collect();
    if ahead.is_empty() {
        return None;
    }
    let why = REASONS.iter().find(|(m, _)| *m == metric);
    let why = why.map_or("not explained yet", |(_, why)| why);
    Some(format!(
        "**{}**: eud {}; ahead: {}: {why}.",
        metric.heading(),
        short(ours),
        ahead.join(", "),
    ))
}

//! From many that are not well to the few that explain them.
//!
//! Purpose: follow `blocked_on` to its roots, so that a screen can name the cause before the
//! symptoms.
//! Invariants: a cycle or a name nobody knows ends the walk; a unit that is on its way is no cause.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::view::{DaemonView, State};

/// One root and what it holds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The unit to look at.
    pub(crate) root: String,
    /// What waits for it, then what waits for those, and so on.
    pub(crate) levels: Vec<Vec<String>>,
}

impl Cause {
    /// The root and everything it holds up.
    pub(crate) fn units(&self) -> impl Iterator<Item = &str> {
        let rest = self.levels.iter().flatten().map(String::as_str);
        std::iter::once(self.root.as_str()).chain(rest)
    }
}

/// Whether a unit is in trouble by itself or because of a cause.
pub(crate) fn is_unwell(daemon: &DaemonView, causes: &[Cause]) -> bool {
    daemon.state.is_trouble() || causes.iter().any(|c| c.units().any(|u| u == daemon.name))
}

/// A state that nothing but a change from outside, or luck, leads out of.
fn holds_up(state: State) -> bool {
    state.is_trouble()
        || matches!(
            state,
            State::Held | State::Paused | State::Stopped | State::Done
        )
}

/// Roots that hold up at least one other unit, those of most first.
pub(crate) fn find(daemons: &[&DaemonView]) -> Vec<Cause> {
    let known: BTreeMap<&str, &DaemonView> =
        daemons.iter().map(|d| (d.name.as_str(), *d)).collect();
    let mut holds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let blocked = |d: &DaemonView| d.state == State::Waiting || d.state.is_trouble();
    for daemon in daemons.iter().filter(|d| blocked(d)) {
        for on in daemon
            .blocked_on
            .iter()
            .filter(|on| known.contains_key(on.as_str()))
        {
            holds.entry(on).or_default().push(&daemon.name);
        }
    }
    let is_root = |name: &&str| {
        known.get(*name).is_some_and(|d| {
            holds_up(d.state)
                && !d
                    .blocked_on
                    .iter()
                    .any(|on| known.contains_key(on.as_str()))
        })
    };
    let mut causes: Vec<Cause> = holds
        .keys()
        .filter(|name| is_root(name))
        .map(|root| Cause {
            root: (*root).to_owned(),
            levels: levels(root, &holds),
        })
        .collect();
    causes.sort_by_key(|c| (std::cmp::Reverse(c.units().count()), c.root.clone()));
    causes
}

fn levels(root: &str, holds: &BTreeMap<&str, Vec<&str>>) -> Vec<Vec<String>> {
    let mut seen: BTreeSet<&str> = BTreeSet::from([root]);
    let mut level = vec![root];
    let mut levels = Vec::new();
    loop {
        let next: Vec<&str> = level
            .iter()
            .flat_map(|name| holds.get(name).into_iter().flatten().copied())
            .filter(|name| seen.insert(name))
            .collect();
        if next.is_empty() {
            return levels;
        }
        levels.push(next.iter().map(|n| (*n).to_owned()).collect());
        level = next;
    }
}

//! Selectors: from the words a person writes to the units they mean.
//!
//! Purpose: one meaning of `name`, `name@2`, `rag-*`, `category:x`, `tag:x`, `profile:x`, `*` and
//! `!term`, for profiles and for every command.
//! Invariants: terms apply from left to right; a list that begins with `!` begins from `*`; a term
//! that selects nothing it could ever select is an error, never silence; profiles that contain
//! themselves are refused. Deprecated and disabled daemons are selected by name only.

use std::collections::BTreeSet;

use globset::GlobBuilder;

use crate::fleet::{Fleet, Unit, daemon_of};

/// A term that means nothing in this fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectError {
    /// The term as written, without `!`.
    pub term: String,
    /// What is wrong with it.
    pub message: String,
    /// The nearest thing that exists.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for SelectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SelectError {}

/// Daemons the terms select, by name.
///
/// # Errors
/// The first term that names an unknown daemon, profile, category or tag, or is not a valid glob.
pub fn expand(fleet: &Fleet, terms: &[String]) -> Result<BTreeSet<String>, SelectError> {
    Ok(units(fleet, terms)?
        .iter()
        .map(|unit| daemon_of(unit).to_owned())
        .collect())
}

/// Units (replicas) the terms select, in order of name.
///
/// # Errors
/// As [`expand`].
pub fn units(fleet: &Fleet, terms: &[String]) -> Result<Vec<Unit>, SelectError> {
    let mut path = Vec::new();
    Ok(select(fleet, terms, &mut path)?.into_iter().collect())
}

/// Units of a profile with all they need and want, in order of name; `None` is every daemon that is
/// neither deprecated nor disabled.
///
/// # Errors
/// As [`expand`]; an unknown profile is one too.
pub fn profile_units(fleet: &Fleet, profile: Option<&str>) -> Result<Vec<Unit>, SelectError> {
    let chosen = match profile {
        Some(name) => expand(fleet, &[format!("profile:{name}")])?,
        None => expand(fleet, &["*".to_owned()])?,
    };
    Ok(closure(fleet, chosen)
        .iter()
        .filter_map(|name| fleet.daemons.get(name))
        .filter(|daemon| daemon.enabled)
        .flat_map(|daemon| daemon.units())
        .collect())
}

/// The daemons and all they need and want, directly or not.
pub fn closure(fleet: &Fleet, names: BTreeSet<String>) -> BTreeSet<String> {
    let mut todo: Vec<String> = names.iter().cloned().collect();
    let mut all = names;
    while let Some(name) = todo.pop() {
        let Some(daemon) = fleet.daemons.get(&name) else {
            continue;
        };
        for other in daemon.needs.iter().chain(&daemon.wants) {
            if all.insert(other.clone()) {
                todo.push(other.clone());
            }
        }
    }
    all
}

fn select(
    fleet: &Fleet,
    terms: &[String],
    path: &mut Vec<String>,
) -> Result<BTreeSet<Unit>, SelectError> {
    let mut chosen = BTreeSet::new();
    if terms.first().is_some_and(|term| term.starts_with('!')) {
        chosen = everything(fleet);
    }
    for term in terms {
        match term.strip_prefix('!') {
            Some(excluded) => {
                for unit in matching(fleet, excluded, path, true)? {
                    chosen.remove(&unit);
                }
            }
            None => chosen.extend(matching(fleet, term, path, false)?),
        }
    }
    Ok(chosen)
}

fn everything(fleet: &Fleet) -> BTreeSet<Unit> {
    filter(fleet, false, |_| true)
}

/// Units of the daemons that `keep` accepts; the deprecated and disabled only when `hidden_too`.
fn filter(
    fleet: &Fleet,
    hidden_too: bool,
    keep: impl Fn(&crate::fleet::Daemon) -> bool,
) -> BTreeSet<Unit> {
    fleet
        .daemons
        .values()
        .filter(|daemon| hidden_too || (daemon.enabled && daemon.deprecated.is_none()))
        .filter(|daemon| keep(daemon))
        .flat_map(crate::fleet::Daemon::units)
        .collect()
}

fn matching(
    fleet: &Fleet,
    term: &str,
    path: &mut Vec<String>,
    excluding: bool,
) -> Result<BTreeSet<Unit>, SelectError> {
    if term == "*" || term == "all" {
        return Ok(filter(fleet, excluding, |_| true));
    }
    if excluding && term == "deprecated" && !fleet.daemons.contains_key(term) {
        return Ok(filter(fleet, true, |daemon| daemon.deprecated.is_some()));
    }
    if let Some(category) = term.strip_prefix("category:") {
        let known = fleet.daemons.values().filter_map(|d| d.category.as_deref());
        check_known("category", category, term, known)?;
        return Ok(filter(fleet, excluding, |d| {
            d.category.as_deref() == Some(category)
        }));
    }
    if let Some(tag) = term.strip_prefix("tag:") {
        let known = fleet
            .daemons
            .values()
            .flat_map(|d| d.tags.iter().map(String::as_str));
        check_known("tag", tag, term, known)?;
        return Ok(filter(fleet, excluding, |d| d.tags.contains(tag)));
    }
    if let Some(profile) = term.strip_prefix("profile:") {
        return select_profile(fleet, profile, term, path);
    }
    if term.contains(['*', '?', '[', '{']) {
        return select_glob(fleet, term, excluding);
    }
    select_name(fleet, term)
}

fn select_profile(
    fleet: &Fleet,
    profile: &str,
    term: &str,
    path: &mut Vec<String>,
) -> Result<BTreeSet<Unit>, SelectError> {
    check_known(
        "profile",
        profile,
        term,
        fleet.profiles.keys().map(String::as_str),
    )?;
    if path.iter().any(|seen| seen == profile) {
        let round = format!("{} → {profile}", path.join(" → "));
        return Err(SelectError {
            term: term.to_owned(),
            message: format!("profile `{profile}` contains itself: {round}"),
            suggestion: None,
        });
    }
    path.push(profile.to_owned());
    let chosen = match fleet.profiles.get(profile) {
        Some(terms) => select(fleet, terms, path),
        None => Ok(BTreeSet::new()),
    };
    path.pop();
    chosen
}

fn select_glob(fleet: &Fleet, term: &str, excluding: bool) -> Result<BTreeSet<Unit>, SelectError> {
    let error = |message: String| SelectError {
        term: term.to_owned(),
        message,
        suggestion: None,
    };
    let glob = GlobBuilder::new(term)
        .build()
        .map_err(|e| error(format!("`{term}` is not a valid glob: {}", e.kind())))?
        .compile_matcher();
    let chosen: BTreeSet<Unit> = filter(fleet, excluding, |_| true)
        .into_iter()
        .filter(|unit| glob.is_match(unit) || glob.is_match(daemon_of(unit)))
        .collect();
    if chosen.is_empty() && !excluding {
        return Err(error(format!("no daemon's name matches `{term}`")));
    }
    Ok(chosen)
}

fn select_name(fleet: &Fleet, term: &str) -> Result<BTreeSet<Unit>, SelectError> {
    let daemon = fleet.daemons.get(daemon_of(term));
    if let Some(daemon) = daemon {
        if daemon.name == term {
            return Ok(daemon.units().into_iter().collect());
        }
        if daemon.units().iter().any(|unit| unit == term) {
            return Ok(BTreeSet::from([term.to_owned()]));
        }
        return Err(SelectError {
            term: term.to_owned(),
            message: format!("daemon `{}` has no replica `{term}`", daemon.name),
            suggestion: daemon.units().into_iter().next_back(),
        });
    }
    Err(SelectError {
        term: term.to_owned(),
        message: format!("daemon `{term}` is not defined"),
        suggestion: nearest(term, fleet.daemons.keys().map(String::as_str)),
    })
}

fn check_known<'a>(
    what: &str,
    wanted: &str,
    term: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), SelectError> {
    if known.clone().any(|name| name == wanted) {
        return Ok(());
    }
    Err(SelectError {
        term: term.to_owned(),
        message: format!("no daemon has {what} `{wanted}`")
            .replace("no daemon has profile", "the fleet has no profile"),
        suggestion: nearest(wanted, known).map(|name| format!("{what}:{name}")),
    })
}

/// The known name nearest to `wanted`, if it is near enough to be what was meant.
pub fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, name)| *distance <= 1 + wanted.len().max(name.len()) / 4)
        .min()
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Daemon, Deprecated};

    fn fleet() -> Fleet {
        let mut fleet = Fleet {
            name: "test".into(),
            ..Fleet::default()
        };
        for (name, category, replicas) in [
            ("rag-a", "rag", 1),
            ("rag-b", "rag", 2),
            ("vault", "core", 1),
            ("old", "rag", 1),
        ] {
            let daemon = Daemon {
                name: name.into(),
                category: Some(category.into()),
                replicas,
                enabled: true,
                deprecated: (name == "old").then(Deprecated::default),
                ..Daemon::default()
            };
            fleet.daemons.insert(name.into(), daemon);
        }
        if let Some(a) = fleet.daemons.get_mut("rag-a") {
            a.needs = vec!["vault".into()];
        }
        for (name, terms) in [
            ("rag", vec!["category:rag"]),
            ("loop", vec!["profile:loop"]),
            ("a", vec!["rag-a"]),
        ] {
            fleet
                .profiles
                .insert(name.into(), terms.into_iter().map(str::to_owned).collect());
        }
        fleet
    }

    fn pick(terms: &[&str]) -> String {
        let terms: Vec<String> = terms.iter().map(|t| (*t).to_owned()).collect();
        match units(&fleet(), &terms) {
            Ok(units) => units.join(" "),
            Err(e) => format!("{e}; {}", e.suggestion.clone().unwrap_or_default()),
        }
    }

    #[test]
    fn terms_select_what_they_say() {
        for (terms, expected) in [
            (&["*"][..], "rag-a rag-b@1 rag-b@2 vault"),
            (&["rag-*"], "rag-a rag-b@1 rag-b@2"),
            (&["rag-b@2"], "rag-b@2"),
            (&["category:rag", "!rag-a"], "rag-b@1 rag-b@2"),
            (&["!category:rag"], "vault"),
            (&["*", "!deprecated"], "rag-a rag-b@1 rag-b@2 vault"),
            (&["old"], "old"),
            (&["profile:rag", "old"], "old rag-a rag-b@1 rag-b@2"),
            (&["valt"], "daemon `valt` is not defined; vault"),
            (
                &["rag-b@3"],
                "daemon `rag-b` has no replica `rag-b@3`; rag-b@2",
            ),
            (
                &["category:rga"],
                "no daemon has category `rga`; category:rag",
            ),
            (&["profile:x"], "the fleet has no profile `x`; profile:a"),
            (&["nothing-*"], "no daemon's name matches `nothing-*`; "),
            (
                &["profile:loop"],
                "profile `loop` contains itself: loop → loop; ",
            ),
        ] {
            assert_eq!(pick(terms), expected, "{terms:?}");
        }
    }

    #[test]
    fn a_profile_brings_what_its_members_need() {
        let fleet = fleet();
        assert_eq!(
            profile_units(&fleet, Some("a")).unwrap(),
            ["rag-a", "vault"]
        );
    }
}

//! From selectors to units, without a manager.
//!
//! Purpose: names, globs, `category:`, `tag:`, `profile:` and `!not` for commands that read files.
//! Invariants: a plain name that is there needs no fleet file; units that are no longer declared
//! can be named.

use std::collections::BTreeSet;

use eud_core::fleet::{Daemon, Fleet, daemon_of};
use eud_core::select;
use eud_core::view::DaemonView;
use eud_manager::Layout;

use crate::context::Context;
use crate::error::Error;

/// Units among `known` and the declared ones that `names` select.
///
/// # Errors
/// [`Error::Unknown`] when a name selects nothing.
pub(crate) fn units(
    context: &Context,
    layout: &Layout,
    names: &[String],
    known: &[String],
) -> Result<Vec<String>, Error> {
    if names.iter().all(|name| known.contains(name)) {
        return Ok(distinct(names));
    }
    let mut fleet = declared(context, layout);
    for unit in known {
        let name = daemon_of(unit);
        if !fleet.daemons.contains_key(name) {
            fleet
                .daemons
                .insert(name.to_owned(), stand_in(name, None, known));
        }
    }
    select::units(&fleet, names).map_err(unknown)
}

/// Units of a status that `names` select. Tags and profiles are looked up in the fleet file.
///
/// # Errors
/// [`Error::Unknown`] when a name selects nothing.
pub(crate) fn views<'a>(
    context: &Context,
    names: &[String],
    all: &'a [DaemonView],
) -> Result<Vec<&'a DaemonView>, Error> {
    let known: Vec<String> = all.iter().map(|d| d.name.clone()).collect();
    let needs_file = |name: &String| {
        let name = name.trim_start_matches('!');
        name.starts_with("tag:") || name.starts_with("profile:")
    };
    let chosen = if names.iter().any(needs_file) {
        select::units(&declared(context, &context.layout()?), names).map_err(unknown)?
    } else {
        let mut fleet = Fleet::default();
        for daemon in all {
            let name = daemon_of(&daemon.name);
            let category = daemon.category.clone();
            fleet
                .daemons
                .insert(name.to_owned(), stand_in(name, category, &known));
        }
        select::units(&fleet, names).map_err(unknown)?
    };
    Ok(all.iter().filter(|d| chosen.contains(&d.name)).collect())
}

/// What the fleet file says now, else what it last said, else nothing.
pub(crate) fn declared(context: &Context, layout: &Layout) -> Fleet {
    let from_file = context
        .fleet_file()
        .ok()
        .and_then(|path| eud_config::load(&path, &|name| std::env::var(name).ok()).ok());
    match from_file {
        Some(loaded) => loaded.fleet,
        None => in_force(layout),
    }
}

/// The fleet that a manager took over last, as it was then; an empty one if there never was any.
pub(crate) fn in_force(layout: &Layout) -> Fleet {
    let store = eud_store::Store::open_read_only(&layout.database()).ok();
    let fleet = store.and_then(|store| store.last_fleet().ok().flatten());
    fleet.unwrap_or_default()
}

/// A daemon of which no more is known than its units.
fn stand_in(name: &str, category: Option<String>, known: &[String]) -> Daemon {
    let own = known.iter().filter(|unit| daemon_of(unit) == name);
    let numbers = own.filter_map(|unit| unit.split_once('@')?.1.parse::<u32>().ok());
    Daemon {
        name: name.to_owned(),
        category,
        enabled: true,
        replicas: numbers.max().unwrap_or(1),
        ..Daemon::default()
    }
}

/// A selection error as an error of a command.
pub(crate) fn unknown(error: select::SelectError) -> Error {
    Error::Unknown {
        name: error.term,
        suggestion: error.suggestion,
    }
}

fn distinct(names: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names
        .iter()
        .filter(|name| seen.insert(name.as_str()))
        .cloned()
        .collect()
}

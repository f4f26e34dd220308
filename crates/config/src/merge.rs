//! Defaults: one table laid over another.
//!
//! Purpose: `[defaults]` of the main file, then of the daemon's own file, then the daemon itself.
//! Invariants: tables with known keys are merged key by key, tables with free keys (`env`,
//! `rlimits`) entry by entry, everything else is replaced whole; every part keeps its own place and
//! thereby its own folder.

use crate::diagnostic::Code;
use crate::document::{Entry, Node, Table, Value};
use crate::keys::{TableSpec, Type};
use crate::source::{Draft, Report};
use crate::tables::RESTART;

/// Brings a daemon's table into the one shape that can be merged: a restart mode becomes a table,
/// and `success_exits` and `alarm_exits` move into it.
pub(crate) fn normalise(table: &mut Table, report: &mut Report) {
    let modes = RESTART.key("mode").map(|key| &key.ty);
    for entry in table
        .entries
        .iter_mut()
        .filter(|entry| entry.key == "restart")
    {
        let valid = match (&entry.node.value, modes) {
            (Value::Text(mode), Some(Type::Choice(words))) => words.contains(&mode.as_str()),
            _ => false,
        };
        if valid {
            let mode = Entry {
                key: "mode".into(),
                key_at: entry.key_at,
                node: entry.node.clone(),
            };
            entry.node.value = Value::Table(Table {
                entries: vec![mode],
            });
        }
    }
    for key in ["success_exits", "alarm_exits"] {
        move_into_restart(table, key, report);
    }
}

fn move_into_restart(table: &mut Table, key: &str, report: &mut Report) {
    let restart = table
        .get("restart")
        .map(|entry| matches!(entry.node.value, Value::Table(_)));
    if restart == Some(false) {
        return;
    }
    let Some(moved) = table.take(key) else { return };
    if restart.is_none() {
        let node = Node {
            at: moved.node.at,
            value: Value::Table(Table::default()),
        };
        table.entries.push(Entry {
            key: "restart".into(),
            key_at: moved.key_at,
            node,
        });
    }
    let restart = table
        .entries
        .iter_mut()
        .find(|entry| entry.key == "restart");
    let Some(Value::Table(inner)) = restart.map(|entry| &mut entry.node.value) else {
        return;
    };
    match inner.get(key) {
        Some(twice) => report.push(
            Draft::error(
                Code::Exclusive,
                moved.key_at,
                format!("`{key}` is given twice"),
            )
            .label("here")
            .also(twice.key_at, "and in `restart`"),
        ),
        None => inner.entries.push(moved),
    }
}

/// `over` laid over `base`.
pub(crate) fn merge(base: &Table, over: &Table, spec: &TableSpec) -> Table {
    let mut merged = over.clone();
    let chosen = over
        .entries
        .iter()
        .any(|entry| spec.one_of.contains(&entry.key.as_str()));
    for inherited in &base.entries {
        // One probe replaces another: a daemon that gives `tcp` does not inherit `http`.
        if chosen && spec.one_of.contains(&inherited.key.as_str()) {
            continue;
        }
        let ty = spec.key(&inherited.key).map(|key| &key.ty);
        match merged
            .entries
            .iter_mut()
            .find(|entry| entry.key == inherited.key)
        {
            Some(own) => merge_values(&inherited.node, &mut own.node, ty),
            None if ty.is_some_and(|ty| lacks_choice(ty, &inherited.node)) => {}
            None => merged.entries.push(inherited.clone()),
        }
    }
    merged
}

fn merge_values(base: &Node, over: &mut Node, ty: Option<&Type>) {
    let (Value::Table(base), Value::Table(own)) = (&base.value, &mut over.value) else {
        return;
    };
    match ty.map(table_type) {
        Some(Some(Type::Table(spec))) => *own = merge(base, own, spec),
        Some(Some(Type::Map(_))) => {
            let missing = base
                .entries
                .iter()
                .filter(|entry| own.get(&entry.key).is_none());
            let missing: Vec<Entry> = missing.cloned().collect();
            own.entries.extend(missing);
        }
        _ => {}
    }
}

/// The form of a type that a table can have.
fn table_type(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Table(_) | Type::Map(_) => Some(ty),
        Type::Either(options) => options.iter().find_map(table_type),
        _ => None,
    }
}

/// Whether an inherited table says how, but not what: `ready = { every = "5s" }` gives nobody a
/// probe.
fn lacks_choice(ty: &Type, node: &Node) -> bool {
    let (Some(Type::Table(spec)), Value::Table(table)) = (table_type(ty), &node.value) else {
        return false;
    };
    let given = |entry: &Entry| spec.one_of.contains(&entry.key.as_str());
    !spec.one_of.is_empty() && !table.entries.iter().any(given)
}

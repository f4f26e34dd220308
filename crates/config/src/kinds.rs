//! Service or job: which one a table is about, and what only the other one can have.
//!
//! Invariants: decided from the daemon's own table, never from `[defaults]`; what a job cannot use
//! is not inherited by it, and refused where it is the daemon's own.

use eud_core::fleet::Kind;

use crate::diagnostic::Code;
use crate::document::{Entry, Table, Value};
use crate::expand::{self, Env};
use crate::source::{Draft, Report};

/// What the daemon is.
pub(crate) fn kind_of(own: &Table, env: Env<'_>) -> Kind {
    match text(own, "kind", env).as_deref() {
        Some("job") => return Kind::Job,
        Some("service") => return Kind::Service,
        _ => {}
    }
    if own.get("schedule").is_some() || own.get("on_gauge").is_some() {
        return Kind::Job;
    }
    match own.get("watch").map(|entry| &entry.node.value) {
        None => Kind::Service,
        Some(Value::Table(watch)) if text(watch, "action", env).as_deref() == Some("restart") => {
            Kind::Service
        }
        Some(_) => Kind::Job,
    }
}

fn text(table: &Table, key: &str, env: Env<'_>) -> Option<String> {
    match &table.get(key)?.node.value {
        Value::Text(text) => Some(expand::expand(text, env).text),
        _ => None,
    }
}

/// Keys of jobs.
const JOBS_OWN: [&str; 5] = ["schedule", "on_gauge", "only_when", "overlap", "retry"];

/// Keys of services, and what to write for a job instead.
const SERVICES_OWN: [(&str, &str); 4] = [
    ("restart", "write `retry` for tries after a failure"),
    ("live", "a job ends by itself; write `timeout`, or `guards`"),
    (
        "ready",
        "a job is ready for those who need it when it has succeeded",
    ),
    (
        "replicas",
        "write `overlap = { allow = … }` to let its runs overlap",
    ),
];

/// Reports what a daemon of this kind cannot have. `own` is its table as it was written.
pub(crate) fn refuse_foreign(name: &str, kind: Kind, own: &Table, env: Env<'_>, out: &mut Report) {
    let mut refuse = |entry: &Entry, whose: &str, what: &str, label: &str| {
        let message = format!("`{}` is for {whose}, and `{name}` is a {what}", entry.key);
        out.push(Draft::error(Code::Misplaced, entry.key_at, message).label(label));
    };
    match kind {
        Kind::Job => {
            for (key, label) in SERVICES_OWN {
                let entry = own.get(key).filter(|entry| !is_false(entry));
                if let Some(entry) = entry {
                    refuse(entry, "services", "job", label);
                }
            }
        }
        Kind::Service | Kind::Task => {
            for key in JOBS_OWN {
                if let Some(entry) = own.get(key) {
                    let label = "write `kind = \"job\"` if it is to run to completion";
                    refuse(entry, "jobs", "service", label);
                }
            }
        }
    }
    let Some(Value::Table(watch)) = own.get("watch").map(|entry| &entry.node.value) else {
        return;
    };
    let (wrong, what, label) = match kind {
        Kind::Job => ("restart", "job", "write \"trigger\", or leave it out"),
        Kind::Service | Kind::Task => ("trigger", "service", "write \"restart\", or leave it out"),
    };
    if let Some(entry) = watch.get("action")
        && text(watch, "action", env).as_deref() == Some(wrong)
    {
        let message = format!("a watch cannot {wrong} `{name}`, which is a {what}");
        out.push(Draft::error(Code::Contradiction, entry.node.at, message).label(label));
    }
}

/// `live = false` drops what is inherited, which a job does not anyway.
fn is_false(entry: &Entry) -> bool {
    matches!(entry.node.value, Value::Bool(false))
}

/// What a daemon of this kind inherits of these defaults.
pub(crate) fn inherited(kind: Kind, defaults: &Table) -> Table {
    let mut table = defaults.clone();
    if kind == Kind::Service {
        return table;
    }
    table
        .entries
        .retain(|entry| !matches!(entry.key.as_str(), "live" | "ready"));
    for entry in &mut table.entries {
        if let ("restart", Value::Table(restart)) = (entry.key.as_str(), &mut entry.node.value) {
            restart
                .entries
                .retain(|entry| matches!(entry.key.as_str(), "success_exits" | "alarm_exits"));
        }
    }
    table
}

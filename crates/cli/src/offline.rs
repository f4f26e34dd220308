//! What can be known without a manager.
//!
//! Purpose: which units still have a live keeper, and how each one's last run ended.
//! Invariants: nothing is written; a lock that is tried is given back at once.

use std::path::Path;

use eud_core::record::{Desired, Intent, RunRow};
use eud_core::view::{DaemonView, LastExit, State, Status, Summary};
use eud_manager::Layout;
use jiff::Timestamp;

use crate::launch::is_locked;

/// Units whose keepers are alive, by name.
pub(crate) fn alive(layout: &Layout) -> Vec<String> {
    units(layout)
        .into_iter()
        .filter(|unit| is_locked(&layout.unit_lock(unit)))
        .collect()
}

/// Units that have a folder, by name.
pub(crate) fn units(layout: &Layout) -> Vec<String> {
    let entries = std::fs::read_dir(layout.daemons())
        .into_iter()
        .flatten()
        .flatten();
    let mut units: Vec<String> = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    units.sort();
    units
}

/// The status as far as files tell it. What has a live keeper is `unknown`, for nobody asks whether
/// it works.
pub(crate) fn status(layout: &Layout, fleet_file: Option<&Path>) -> Status {
    let journal = eud_store::Store::open_read_only(&layout.database()).ok();
    let recovery = journal.as_ref().and_then(|j| j.recovery().ok());
    let remembered = journal.as_ref().and_then(|j| j.last_fleet().ok().flatten());
    let (intents, last_runs) = recovery
        .map(|r| (r.intents, r.last_runs))
        .unwrap_or_default();
    let mut names = units(layout);
    names.extend(intents.iter().map(|i| i.unit.clone()));
    names.sort();
    names.dedup();
    let daemons: Vec<DaemonView> = names
        .iter()
        .map(|unit| {
            let intent = intents.iter().find(|i| i.unit == *unit);
            let run = last_runs.iter().find(|r| r.unit == *unit);
            view(unit, intent, run, is_locked(&layout.unit_lock(unit)))
        })
        .collect();
    let folder = fleet_file.and_then(Path::parent).and_then(Path::file_name);
    let named = folder.map(|n| n.to_string_lossy().into_owned());
    Status {
        fleet: remembered
            .map(|f| f.name)
            .or(named)
            .unwrap_or_else(|| "fleet".into()),
        profile: None,
        generated_at: Timestamp::now().to_string(),
        manager: None,
        summary: summary(&daemons),
        daemons,
        gauges: Vec::new(),
        gates: Vec::new(),
        problems: vec!["no manager is running: nothing is supervised".into()],
    }
}

fn summary(daemons: &[DaemonView]) -> Summary {
    let count = |state: State| daemons.iter().filter(|d| d.state == state).count();
    let counts = State::ALL
        .into_iter()
        .map(|s| (s.as_str().to_owned(), count(s)))
        .collect();
    Summary {
        total: daemons.len(),
        counts,
    }
}

fn view(unit: &str, intent: Option<&Intent>, run: Option<&RunRow>, alive: bool) -> DaemonView {
    let (state, reason) = match intent.and_then(|i| i.hold.clone()) {
        _ if alive => (State::Unknown, Some("alive, not supervised".into())),
        Some(hold) => (State::Held, Some(hold)),
        None => (State::Stopped, None),
    };
    DaemonView {
        name: unit.to_owned(),
        state,
        reason,
        desired: intent.map_or(Desired::Down, |i| i.desired),
        last_exit: run.and_then(last_exit),
        ..blank()
    }
}

fn blank() -> DaemonView {
    DaemonView {
        name: String::new(),
        kind: eud_core::fleet::Kind::default(),
        category: None,
        desired: Desired::Down,
        state: State::Unknown,
        reason: None,
        pid: None,
        run: None,
        started_at: None,
        uptime_s: None,
        since: None,
        restarts: 0,
        last_exit: None,
        ready: None,
        next_try_at: None,
        status_text: None,
        blocked_on: Vec::new(),
        job: None,
        guards: Vec::new(),
        guarded_by: None,
        watch_problem: None,
    }
}

fn last_exit(run: &RunRow) -> Option<LastExit> {
    let exit = run.exit.as_ref()?;
    Some(LastExit {
        run: run.run.clone(),
        code: exit.code,
        signal: exit.signal,
        at: eud_core::words::rfc3339(exit.ended_at_ms),
        class: run.class?,
        reason: exit.reason,
        message: exit.message.clone(),
    })
}

//! What is: commands, keepers, locks, exit files, the journal. It outlives managers.
//!
//! Each rule here is a property of the operating system or of the keeper, and has a real-process
//! test of its own.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::Unit;
use eud_core::io::Persist;
use eud_core::record::{EndReason, ExitRecord, Generation, Intent, Ledger, RunId, RunRow, WallMs};

/// A keeper's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Forked; has not taken the lock.
    Spawned,
    /// Holds the lock.
    Locked,
    /// Exited or killed.
    Gone,
}

/// One run as it really is.
#[derive(Debug, Clone)]
pub(crate) struct SimRun {
    pub(crate) unit: Unit,
    pub(crate) generation: Generation,
    pub(crate) keeper: Keeper,
    /// Stopped by SIGSTOP: holds everything, does nothing.
    pub(crate) frozen: bool,
    /// The command is executing.
    pub(crate) alive: bool,
    /// Descendants outlive a killed keeper until somebody sweeps.
    pub(crate) tree_left: bool,
    pub(crate) started_ms: Option<WallMs>,
    /// A stop was asked for, and when the keeper will kill.
    pub(crate) kill_at: Option<u64>,
    /// `exit.json`.
    pub(crate) exit: Option<ExitRecord>,
    /// What the command really ended with, if a keeper saw it.
    pub(crate) truth: Option<i32>,
    /// From when on probes pass.
    pub(crate) ready_from: u64,
    /// How it reacts to a stop signal: exits after so many milliseconds, or never.
    pub(crate) obeys_after: Option<u64>,
}

/// Everything that survives the manager, and what survives a power cut.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) runs: BTreeMap<RunId, SimRun>,
    /// Runs of which something may be alive.
    pub(crate) active: BTreeSet<RunId>,
    pub(crate) locks: BTreeMap<Unit, RunId>,
    pub(crate) journal: Journal,
}

/// `state.db`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    pub(crate) intents: BTreeMap<Unit, Intent>,
    pub(crate) ledgers: BTreeMap<Unit, Ledger>,
    pub(crate) runs: BTreeMap<RunId, RunRow>,
    pub(crate) profile: Option<String>,
    pub(crate) next_generation: Generation,
}

impl Journal {
    pub(crate) fn apply(&mut self, item: &Persist) {
        match item {
            Persist::Intent(intent) => {
                self.intents.insert(intent.unit.clone(), intent.clone());
            }
            Persist::Forget(unit) => {
                self.intents.remove(unit);
                self.ledgers.remove(unit);
            }
            Persist::Ledger(ledger) => {
                self.ledgers.insert(ledger.unit.clone(), ledger.clone());
            }
            Persist::RunIntent(row) => {
                self.next_generation = self.next_generation.max(row.generation + 1);
                self.runs.insert(row.run.clone(), row.clone());
            }
            Persist::RunStarted { run, pid } => {
                if let Some(row) = self.runs.get_mut(run) {
                    row.pid = Some(*pid);
                }
            }
            Persist::RunEnded { record, class } => {
                if let Some(row) = self.runs.get_mut(&record.run) {
                    row.exit = Some(record.clone());
                    row.class = *class;
                }
            }
            Persist::Profile(profile) => self.profile = profile.clone(),
        }
    }
}

impl World {
    /// Units with something of theirs alive, once for each such run.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (&RunId, &SimRun)> {
        let active = self
            .active
            .iter()
            .filter_map(|id| self.runs.get_key_value(id));
        active.filter(|(_, run)| run.alive || run.tree_left)
    }

    /// Writes `exit.json` if there is none, as the keeper does.
    pub(crate) fn write_exit(
        &mut self,
        id: &RunId,
        reason: EndReason,
        code: Option<i32>,
        wall_ms: WallMs,
    ) -> Option<ExitRecord> {
        let run = self.runs.get_mut(id)?;
        if run.exit.is_none() {
            run.exit = Some(ExitRecord {
                run: id.clone(),
                unit: run.unit.clone(),
                generation: run.generation,
                reason,
                code,
                signal: (code.is_none() && reason == EndReason::StopKilled).then_some(9),
                core: false,
                message: None,
                pid: u32::try_from(run.generation).unwrap_or(1),
                started_at_ms: run.started_ms.unwrap_or(0),
                ended_at_ms: wall_ms,
                max_rss_kb: 0,
                cpu_user_us: 0,
                cpu_system_us: 0,
            });
        }
        run.exit.clone()
    }

    /// The keeper is gone: the kernel drops its lock and kills the command.
    pub(crate) fn end_keeper(&mut self, id: &RunId, killed: bool) {
        let Some(run) = self.runs.get_mut(id) else {
            return;
        };
        run.keeper = Keeper::Gone;
        run.frozen = false;
        run.tree_left = killed && run.alive;
        run.alive = false;
        if !run.tree_left {
            self.active.remove(id);
        }
        if self.locks.get(&run.unit) == Some(id) {
            self.locks.remove(&run.unit);
        }
    }

    /// Power is cut: nothing runs any more; files stay.
    pub(crate) fn power_cut(&mut self) {
        let ids: Vec<RunId> = self.active.iter().cloned().collect();
        for id in ids {
            self.end_keeper(&id, false);
        }
    }
}

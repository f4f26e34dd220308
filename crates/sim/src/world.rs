//! What is: commands, keepers, locks, exit files, the journal. It outlives managers.
//!
//! Each rule here is a property of the operating system or of the keeper, and has a real-process
//! test of its own.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::Unit;
use eud_core::io::Persist;
use eud_core::record::{
    Book, EndReason, ExitRecord, Fire, GateRow, Generation, Intent, Ledger, RunId, RunRow, WallMs,
};

use crate::channels::{ChannelJournal, ChannelUndo};
use crate::events::{BusJournal, BusUndo};
use crate::rules::{RuleJournal, RuleUndo};
use crate::tasks::{TaskJournal, TaskUndo};

/// What nobody waits for is on the disk after this time, in milliseconds.
const SYNC_AFTER_MS: u64 = 20;

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
    /// The fire it belongs to, if it is a job's.
    pub(crate) fire: Option<Fire>,
    /// The manager asked it to stop.
    pub(crate) stop_asked: bool,
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
    unsynced: Unsynced,
}

/// `state.db`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    pub(crate) intents: BTreeMap<Unit, Intent>,
    pub(crate) ledgers: BTreeMap<Unit, Ledger>,
    pub(crate) runs: BTreeMap<RunId, RunRow>,
    pub(crate) profile: Option<String>,
    pub(crate) books: BTreeMap<String, Book>,
    pub(crate) gates: BTreeMap<String, GateRow>,
    pub(crate) bus: BusJournal,
    pub(crate) channels: ChannelJournal,
    pub(crate) tasks: TaskJournal,
    pub(crate) rules: RuleJournal,
    pub(crate) next_generation: Generation,
}

/// How one item is taken back.
#[derive(Debug, Clone)]
enum Undo {
    Intent(Unit, Option<Intent>),
    Ledger(Unit, Option<Ledger>),
    Run(RunId, Option<RunRow>, Generation),
    Profile(Option<String>),
    Book(String, Option<Book>),
    Gate(String, Option<GateRow>),
    Bus(BusUndo),
    Channel(ChannelUndo),
    Task(TaskUndo),
    Rule(RuleUndo),
}

impl Journal {
    /// Records one item; gives what takes it back.
    fn apply(&mut self, item: &Persist) -> Vec<Undo> {
        match item {
            Persist::Intent(intent) => {
                let unit = intent.unit.clone();
                let old = self.intents.insert(unit.clone(), intent.clone());
                vec![Undo::Intent(unit, old)]
            }
            Persist::Forget(unit) => vec![
                Undo::Intent(unit.clone(), self.intents.remove(unit)),
                Undo::Ledger(unit.clone(), self.ledgers.remove(unit)),
            ],
            Persist::Ledger(ledger) => {
                let unit = ledger.unit.clone();
                let old = self.ledgers.insert(unit.clone(), ledger.clone());
                vec![Undo::Ledger(unit, old)]
            }
            Persist::RunIntent(row) => {
                let next = self.next_generation;
                self.next_generation = next.max(row.generation + 1);
                let old = self.runs.insert(row.run.clone(), row.clone());
                vec![Undo::Run(row.run.clone(), old, next)]
            }
            Persist::RunStarted { run, pid } => {
                let undo = self.undo_run(run);
                if let Some(row) = self.runs.get_mut(run) {
                    row.pid = Some(*pid);
                }
                vec![undo]
            }
            Persist::RunEnded { record, class } => {
                let undo = self.undo_run(&record.run);
                // A run known only by its folder gets its row now.
                let found = || row_of(&record.run, &record.unit, record.generation);
                let row = self.runs.entry(record.run.clone()).or_insert_with(found);
                row.exit = Some(record.clone());
                row.class = *class;
                self.next_generation = self.next_generation.max(record.generation + 1);
                vec![undo]
            }
            Persist::Profile(profile) => {
                vec![Undo::Profile(std::mem::replace(
                    &mut self.profile,
                    profile.clone(),
                ))]
            }
            Persist::Book(book) => {
                let old = self.books.insert(book.job.clone(), book.clone());
                vec![Undo::Book(book.job.clone(), old)]
            }
            Persist::ForgetBook(job) => vec![Undo::Book(job.clone(), self.books.remove(job))],
            Persist::Gate(row) => {
                let old = self.gates.insert(row.gate.clone(), row.clone());
                vec![Undo::Gate(row.gate.clone(), old)]
            }
            Persist::ForgetGate(gate) => vec![Undo::Gate(gate.clone(), self.gates.remove(gate))],
            Persist::Rule(item) => vec![Undo::Rule(self.rules.apply(item))],
            Persist::Bus(item) => {
                let undo = self.bus.apply(item, &self.rules);
                undo.into_iter().map(Undo::Bus).collect()
            }
            Persist::Channel(item) => {
                let undo = self.channels.apply(item);
                undo.into_iter().map(Undo::Channel).collect()
            }
            Persist::Task(item) => vec![Undo::Task(self.tasks.apply(item))],
        }
    }

    /// The newest run of each unit that has ended.
    pub(crate) fn last_runs(&self) -> Vec<RunRow> {
        let mut last: BTreeMap<&Unit, &RunRow> = BTreeMap::new();
        for row in self.runs.values().filter(|row| row.exit.is_some()) {
            let newest = last.entry(&row.unit).or_insert(row);
            if newest.generation < row.generation {
                *newest = row;
            }
        }
        last.into_values().cloned().collect()
    }

    fn undo_run(&self, run: &RunId) -> Undo {
        Undo::Run(
            run.clone(),
            self.runs.get(run).cloned(),
            self.next_generation,
        )
    }

    fn take_back(&mut self, undo: Undo) {
        fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, old: Option<V>) {
            match old {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        match undo {
            Undo::Intent(unit, old) => put(&mut self.intents, unit, old),
            Undo::Ledger(unit, old) => put(&mut self.ledgers, unit, old),
            Undo::Run(run, old, next) => {
                put(&mut self.runs, run, old);
                self.next_generation = next;
            }
            Undo::Book(job, old) => put(&mut self.books, job, old),
            Undo::Gate(gate, old) => put(&mut self.gates, gate, old),
            Undo::Bus(undo) => self.bus.take_back(undo),
            Undo::Channel(undo) => self.channels.take_back(undo),
            Undo::Task(undo) => self.tasks.take_back(undo),
            Undo::Rule(undo) => self.rules.take_back(undo),
            Undo::Profile(old) => self.profile = old,
        }
    }
}

/// Batches that the disk does not have yet, oldest first.
#[derive(Debug, Clone, Default)]
struct Unsynced {
    since_ms: u64,
    batches: Vec<Vec<Undo>>,
}

/// What a folder tells of a run.
fn row_of(run: &RunId, unit: &Unit, generation: Generation) -> RunRow {
    RunRow {
        run: run.clone(),
        unit: unit.clone(),
        generation,
        intent_at_ms: 0,
        pid: None,
        cause: "found at recovery".into(),
        exit: None,
        class: None,
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

    /// Begins a batch of the journal. One that is waited for brings to the disk what came before,
    /// and so does time.
    pub(crate) fn begin_batch(&mut self, is_awaited: bool, mono_ms: u64) {
        let unsynced = &mut self.unsynced;
        if is_awaited || mono_ms.saturating_sub(unsynced.since_ms) >= SYNC_AFTER_MS {
            unsynced.batches.clear();
        }
        if is_awaited {
            return;
        }
        if unsynced.batches.is_empty() {
            unsynced.since_ms = mono_ms;
        }
        unsynced.batches.push(Vec::new());
    }

    /// Records an item of the present batch.
    pub(crate) fn record(&mut self, item: &Persist) {
        let undo = self.journal.apply(item);
        if let Some(batch) = self.unsynced.batches.last_mut() {
            batch.extend(undo);
        }
    }

    /// Runs that have a folder and no row: a power cut took the batch that they were begun with.
    pub(crate) fn unknown_runs(&self) -> Vec<RunRow> {
        let unknown = |(id, _): &(&RunId, &SimRun)| !self.journal.runs.contains_key(*id);
        let runs = self.runs.iter().filter(unknown);
        runs.map(|(id, run)| row_of(id, &run.unit, run.generation))
            .collect()
    }

    /// Power is cut: nothing runs any more; files stay, but for the last batches of the journal
    /// that the disk does not have: of these it keeps at most `kept`. True when it lost any.
    pub(crate) fn power_cut(&mut self, kept: usize, mono_ms: u64) -> bool {
        let mut unsynced = std::mem::take(&mut self.unsynced);
        let is_late = mono_ms.saturating_sub(unsynced.since_ms) >= SYNC_AFTER_MS;
        let kept = if is_late { usize::MAX } else { kept };
        let lost = unsynced.batches.split_off(kept.min(unsynced.batches.len()));
        let any_lost = !lost.is_empty();
        for undo in lost.into_iter().rev().flat_map(|b| b.into_iter().rev()) {
            self.journal.take_back(undo);
        }
        let ids: Vec<RunId> = self.active.iter().cloned().collect();
        for id in ids {
            self.end_keeper(&id, false);
        }
        any_lost
    }
}

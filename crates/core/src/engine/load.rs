//! Loading a fleet, and recovering what an earlier manager left.
//!
//! Invariants: a reload touches only what changed; recovery never starts what has a live run, never
//! forgets a hold or a manual stop, and never uses a generation twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::slot::{Run, Slot};
use crate::engine::{Core, LAUNCH_LIMIT_MS};
use crate::fleet::{Daemon, Fleet, Kind, Unit, daemon_of, task_of};
use crate::io::{Accepted, Effect, Fate, Now, Persist, RecoveredRun, Recovery, Reply, Ticket};
use crate::planted::Planted;
use crate::record::{Desired, Generation, Ledger, Settled};
use crate::select;

impl Core {
    pub(crate) fn on_load(
        &mut self,
        fleet: Fleet,
        ticket: Option<Ticket>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let mut accepted = Accepted::default();
        self.fleet = fleet;
        let mut declared: BTreeMap<Unit, (Arc<Daemon>, u32)> = BTreeMap::new();
        for daemon in self.fleet.daemons.values() {
            let shared = Arc::new(daemon.clone());
            for (unit, number) in daemon.units().into_iter().zip(1..) {
                let replica = if daemon.replicas > 1 { number } else { 0 };
                declared.insert(unit, (Arc::clone(&shared), replica));
            }
        }
        for (unit, slot) in self.slots.iter_mut().filter(|(_, slot)| !slot.is_task()) {
            if !declared.contains_key(unit) && !slot.removed {
                slot.removed = true;
                accepted.removed.push(unit.clone());
            }
        }
        for (unit, (daemon, replica)) in declared {
            match self.slots.get_mut(&unit) {
                Some(_) => self.redefine(&unit, &daemon, replica, now, &mut accepted, out),
                None => {
                    self.slots
                        .insert(unit.clone(), Slot::new(&unit, daemon, replica));
                    accepted.added.push(unit);
                }
            }
        }
        self.reindex();
        self.load_gauges(now, out);
        self.load_jobs(now, out);
        self.load_tasks(now, out);
        self.load_bus(now, out);
        self.load_channels(now, out);
        self.load_rules(now, out);
        if self.up_called {
            self.apply_profile(now, &mut accepted, out);
        }
        self.dirty.extend(self.slots.keys().cloned());
        if let Some(ticket) = ticket {
            let restarted = accepted.restarted.iter().map(|(unit, _)| unit);
            let data = serde_json::json!({
                "added": accepted.added,
                "removed": accepted.removed,
                "restarted": restarted.collect::<Vec<_>>(),
            });
            self.announce("manager.reloaded", None, data, now, out);
            out.push(Effect::Reply {
                ticket,
                reply: Reply::Accepted(accepted),
            });
        }
    }

    fn redefine(
        &mut self,
        unit: &str,
        daemon: &Arc<Daemon>,
        replica: u32,
        now: Now,
        accepted: &mut Accepted,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        slot.removed = false;
        slot.replica = replica;
        let old = std::mem::replace(&mut slot.daemon, Arc::clone(daemon));
        let changed = old.changes_needing_restart(daemon);
        if !changed.is_empty() {
            if slot.run.is_some() {
                let fields = changed.join(", ");
                slot.bounce
                    .get_or_insert_with(|| format!("its definition changed: {fields}"));
                accepted.restarted.push((
                    unit.to_owned(),
                    changed.iter().map(|f| (*f).to_owned()).collect(),
                ));
            }
            // What failed under the old definition deserves a try under the new one.
            let failed = slot.ledger.settled == Some(Settled::Failed);
            if failed || slot.next_try_mono.is_some() {
                slot.ledger.settled = None;
                slot.ledger.attempt = 0;
                slot.ledger.next_try_ms = None;
                slot.ledger.cooling = false;
                slot.next_try_mono = None;
                out.push(Effect::Persist(Persist::Ledger(slot.ledger.clone())));
            }
            return;
        }
        let probes_changed = old.ready != daemon.ready || old.live != daemon.live;
        if probes_changed && slot.run.as_ref().is_some_and(|run| run.pid.is_some()) {
            self.begin_probes(unit, false, now, out);
        }
    }

    pub(crate) fn on_recover(&mut self, recovery: Recovery, now: Now, out: &mut Vec<Effect>) {
        let highest = recovery
            .runs
            .iter()
            .map(|run| run.generation)
            .max()
            .unwrap_or(0);
        if !self.has(Planted::GenerationReused) {
            let next = recovery.next_generation.max(highest.saturating_add(1));
            self.next_generation = self.next_generation.max(next);
        }
        self.up_called = !recovery.intents.is_empty();
        self.profile = recovery.profile;
        let unknown: BTreeSet<Unit> = recovery
            .intents
            .iter()
            .map(|intent| &intent.unit)
            .filter(|unit| !self.slots.contains_key(*unit))
            .cloned()
            .collect();
        out.extend(
            unknown
                .into_iter()
                .map(|unit| Effect::Persist(Persist::Forget(unit))),
        );
        for mut intent in recovery.intents {
            if self.has(Planted::ForgetManualStop) && intent.manual {
                intent.desired = Desired::Up;
            }
            if let Some(slot) = self.slots.get_mut(&intent.unit) {
                slot.since_ms = Some(intent.at_ms);
                slot.intent = intent;
            }
        }
        for row in recovery.last_runs {
            if let Some(slot) = self.slots.get_mut(&row.unit) {
                slot.since_ms = row
                    .exit
                    .as_ref()
                    .map(|exit| exit.ended_at_ms)
                    .or(slot.since_ms);
                slot.last = Some(row);
            }
        }
        self.recover_gauges(recovery.gates, now, out);
        self.recover_tasks(recovery.tasks, &recovery.runs, now, out);
        let channels = recovery.channels;
        self.recover_bus(recovery.bus, now, out);
        self.recover_channels(channels, now, out);
        self.recover_rules(recovery.rules, now, out);
        self.recover_jobs(recovery.books, recovery.boot_id, now, out);
        self.recover_ledgers(recovery.ledgers, now);
        self.recover_runs(recovery.runs, now, out);
        for slot in self.slots.values_mut() {
            slot.shown = crate::view::State::Stopped;
        }
        self.dirty.extend(self.slots.keys().cloned());
    }

    fn recover_ledgers(&mut self, ledgers: Vec<Ledger>, now: Now) {
        let stuck = self.has(Planted::BackoffStuck);
        for ledger in ledgers {
            let Some(slot) = self.slots.get_mut(&ledger.unit) else {
                continue;
            };
            let policy = &slot.daemon.restart;
            // A clock that was set back must not turn seconds into years.
            let longest = if ledger.cooling {
                policy.cool_down_ms
            } else {
                policy.backoff_max_ms * 2
            };
            slot.next_try_mono = ledger.next_try_ms.map(|at| {
                let wait = u64::try_from(at.saturating_sub(now.wall_ms)).unwrap_or(0);
                now.mono_ms.saturating_add(if stuck {
                    u64::MAX / 2
                } else {
                    wait.min(longest)
                })
            });
            slot.is_restart = ledger.next_try_ms.is_some();
            slot.ledger = ledger;
        }
    }

    fn recover_runs(&mut self, mut runs: Vec<RecoveredRun>, now: Now, out: &mut Vec<Effect>) {
        runs.sort_by_key(|run| run.generation);
        let mut newest: BTreeMap<Unit, Generation> = BTreeMap::new();
        for run in &runs {
            newest.insert(run.unit.clone(), run.generation);
        }
        for found in runs {
            let last = newest.get(&found.unit) == Some(&found.generation);
            if !self.slots.contains_key(&found.unit) {
                self.adopt_undeclared(&found.unit);
            }
            let recorded = self
                .slots
                .get(&found.unit)
                .and_then(|slot| slot.last.as_ref());
            if recorded
                .is_some_and(|row| row.generation >= found.generation && row.run == found.run)
            {
                continue;
            }
            match found.fate {
                Fate::Ended(record) if !last => {
                    out.push(Effect::Persist(Persist::RunEnded {
                        record,
                        class: None,
                    }));
                }
                // The lock allows one keeper for each unit; if there are two, the older is not ours
                // to keep.
                Fate::Live { .. } | Fate::Unreachable(_) if !last => {
                    let (unit, generation) = (found.unit, found.generation);
                    out.push(Effect::KillKeeper { unit, generation });
                }
                fate => self.recover_last(&found.unit, found.run, found.generation, fate, now, out),
            }
        }
        self.reindex();
    }

    fn recover_last(
        &mut self,
        unit: &str,
        run_id: String,
        generation: Generation,
        fate: Fate,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let mut run = Run::new(run_id, generation, now);
        run.cause = "recovered".to_owned();
        match fate {
            Fate::Ended(record) => {
                slot.run = Some(run);
                self.on_ended(unit, record, now, out);
            }
            Fate::Unreachable(why) => {
                run.unreachable = Some(why);
                slot.run = Some(run);
            }
            Fate::Live {
                pid,
                started_at_ms,
                ready_seen,
                changed,
            } => {
                run.pid = pid;
                if pid.is_some() {
                    let age = u64::try_from(now.wall_ms.saturating_sub(started_at_ms)).unwrap_or(0);
                    run.started_ms = Some(started_at_ms);
                    run.started_mono = Some(now.mono_ms.saturating_sub(age));
                } else {
                    run.launch_due = Some(now.mono_ms.saturating_add(LAUNCH_LIMIT_MS));
                }
                // The running try of a task goes on by what it was started with.
                if !changed.is_empty() && !slot.is_task() {
                    let fields = changed.join(", ");
                    slot.bounce = Some(format!("its definition changed: {fields}"));
                }
                slot.next_try_mono = None;
                slot.run = Some(run);
                if pid.is_some() {
                    self.begin_probes(unit, ready_seen, now, out);
                    self.task_executes(unit, now, out);
                }
            }
        }
    }

    /// A run of a unit that the fleet file no longer has: it is stopped in good order.
    fn adopt_undeclared(&mut self, unit: &str) {
        let daemon = Daemon {
            name: daemon_of(unit).to_owned(),
            kind: task_of(unit).map_or(Kind::Service, |_| Kind::Task),
            enabled: true,
            replicas: 1,
            ..Daemon::default()
        };
        let mut slot = Slot::new(unit, Arc::new(daemon), 0);
        slot.removed = true;
        self.slots.insert(unit.to_owned(), slot);
    }

    /// Makes desired states what the profile in force says, but for what was set by hand.
    pub(crate) fn apply_profile(
        &mut self,
        now: Now,
        accepted: &mut Accepted,
        out: &mut Vec<Effect>,
    ) {
        let wanted = self.profile.as_deref().or(self.fleet.profile.as_deref());
        let members = match select::profile_units(&self.fleet, wanted) {
            Ok(members) => BTreeSet::from_iter(members),
            Err(error) => {
                accepted
                    .warnings
                    .push(format!("the profile is left as it was: {error}"));
                return;
            }
        };
        for (unit, slot) in self.slots.iter_mut().filter(|(_, slot)| !slot.is_task()) {
            let member = members.contains(unit);
            let by_hand = slot.intent.manual;
            if member && by_hand && slot.intent.desired == Desired::Down {
                accepted
                    .unchanged
                    .push((unit.clone(), "stopped by hand".to_owned()));
                continue;
            }
            if member && let Some(hold) = &slot.intent.hold {
                accepted
                    .unchanged
                    .push((unit.clone(), format!("held: {hold}")));
            }
            let desired = match (member, by_hand) {
                (true, _) => Desired::Up,
                (false, true) => continue,
                (false, false) => Desired::Down,
            };
            if slot.intent.desired != desired {
                slot.intent.desired = desired;
                slot.intent.at_ms = now.wall_ms;
                out.push(Effect::Persist(Persist::Intent(slot.intent.clone())));
                accepted.affected.push(unit.clone());
            }
            self.dirty.insert(unit.clone());
        }
    }
}

//! Evaluation: one step for each unit whose surroundings changed.
//!
//! Invariants: a unit with a run is never launched; a launch's intent precedes it; a stop is asked
//! of a keeper once; evaluation ends, because each step either changes a unit's phase or marks
//! nothing.

use crate::engine::slot::{Run, Slot, Stopping};
use crate::engine::{Core, LAUNCH_LIMIT_MS, STOP_SLACK_MS};
use crate::fleet::{Kind, Unit};
use crate::io::{Effect, Now, Persist};
use crate::planted::Planted;
use crate::record::{Desired, RunRow, Settled};

/// Something that must happen before a unit can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocker {
    pub(crate) on: Unit,
    pub(crate) how: Hold,
}

/// The relation that makes it wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Needs,
    Wants,
    Conflicts,
}

impl Core {
    /// Brings every dirty unit forward until nothing changes.
    pub(crate) fn settle(&mut self, now: Now, out: &mut Vec<Effect>) {
        // Each unit changes phase at most a few times per input; far more means a defect of ours.
        let steps_max = 64 * (self.slots.len() + 16);
        let mut touched = std::collections::BTreeSet::new();
        let mut steps = 0;
        while let Some(unit) = self.dirty.pop_first() {
            steps += 1;
            assert!(steps <= steps_max, "evaluation of `{unit}` does not settle");
            if self.evaluate(&unit, now, out) {
                self.mark_around(&unit);
            }
            touched.insert(unit);
        }
        for unit in touched {
            self.drop_if_removed(&unit, out);
            self.arm_timer(&unit);
            self.tell(&unit, now, out);
        }
        if self.shutting_down && !self.exited && self.slots.values().all(|slot| slot.run.is_none())
        {
            self.exited = true;
            out.push(Effect::Exit);
        }
    }

    /// One step. Says whether others should look again.
    fn evaluate(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) -> bool {
        let Some(slot) = self.slots.get(unit) else {
            return false;
        };
        let is_job = slot.daemon.kind == Kind::Job;
        let name = slot.daemon.name.clone();
        if is_job {
            self.tend_job(&name, now, out);
        } else if !slot.is_task() {
            self.tend_watch(&name, out);
        }
        let Some(slot) = self.slots.get(unit) else {
            return false;
        };
        if slot.run.is_some() {
            return self.evaluate_running(unit, now, out);
        }
        // The run of a task is begun by its pool alone.
        if slot.is_task() || is_job && (slot.fire.is_none() || self.closed_gate(&name).is_some()) {
            return false;
        }
        if slot.removed || slot.ledger.settled.is_some() || !self.may_run(unit) {
            if let Some(slot) = self.slots.get_mut(unit) {
                slot.waiting_since = None;
                slot.impatient = false;
            }
            return false;
        }
        if slot.next_try_mono.is_some_and(|due| due > now.mono_ms) {
            return false;
        }
        if self.blockers(unit).is_empty() {
            self.launch(unit, now, out);
            return true;
        }
        if let Some(slot) = self.slots.get_mut(unit)
            && slot.waiting_since.is_none()
        {
            slot.waiting_since = Some(now.mono_ms);
        }
        false
    }

    fn evaluate_running(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) -> bool {
        let mut changed = false;
        let why = self.reason_to_stop(unit);
        let Some(run) = self.slots.get_mut(unit).and_then(|slot| slot.run.as_mut()) else {
            return false;
        };
        if run.stopping.is_none()
            && let Some(why) = why
        {
            run.stopping = Some(Stopping {
                why,
                failed: false,
                sent: false,
                escalate_at: None,
            });
            changed = true;
        }
        let pending = run.stopping.as_ref().is_some_and(|stopping| !stopping.sent);
        if pending && (self.has(Planted::StopOrderIgnored) || self.stops_after(unit).is_empty()) {
            self.send_stop(unit, now, out);
            changed = true;
        }
        changed
    }

    fn send_stop(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let stop = &slot.daemon.stop;
        // A stop command may take the grace once before the signal takes it a second time.
        let phases = if stop.command.is_some() { 2 } else { 1 };
        let patience = stop
            .grace_ms
            .saturating_mul(phases)
            .saturating_add(STOP_SLACK_MS);
        let Some(run) = slot.run.as_mut() else { return };
        let Some(stopping) = run.stopping.as_mut() else {
            return;
        };
        stopping.sent = true;
        stopping.escalate_at = Some(now.mono_ms.saturating_add(patience));
        run.ready.due = None;
        run.live.due = None;
        run.watchdog_due = None;
        out.push(Effect::Stop {
            unit: unit.to_owned(),
            generation: run.generation,
        });
    }

    pub(crate) fn launch(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        let generation = self.fresh_generation();
        let run_id = self.rng.run_id(now.wall_ms);
        let forgotten = self.has(Planted::IntentForgotten);
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        assert!(
            slot.run.is_none(),
            "`{unit}` is launched while it has a run"
        );
        let mut run = Run::new(run_id.clone(), generation, now);
        run.cause = std::mem::replace(&mut slot.cause, "start".to_owned());
        run.launch_due = Some(now.mono_ms.saturating_add(LAUNCH_LIMIT_MS));
        let row = RunRow {
            run: run_id.clone(),
            unit: unit.to_owned(),
            generation,
            intent_at_ms: now.wall_ms,
            pid: None,
            cause: run.cause.clone(),
            exit: None,
            class: None,
        };
        slot.run = Some(run);
        slot.waiting_since = None;
        slot.impatient = false;
        slot.next_try_mono = None;
        let restarts = std::mem::take(&mut slot.is_restart);
        let total = slot.ledger.restarts_total;
        slot.ledger.restarts_total = total.saturating_add(u64::from(restarts));
        if slot.ledger.next_try_ms.take().is_some() || slot.ledger.cooling || restarts {
            slot.ledger.cooling = false;
            out.push(Effect::Persist(Persist::Ledger(slot.ledger.clone())));
        }
        let replica = slot.replica;
        let start = Effect::Launch {
            unit: unit.to_owned(),
            generation,
            run: run_id,
            replica,
            fire: slot.fire.clone(),
        };
        let intent = Effect::Persist(Persist::RunIntent(row));
        if !forgotten {
            out.push(intent);
        }
        out.push(start);
    }

    /// Whether it is wanted for its own sake.
    pub(crate) fn is_wanted(&self, slot: &Slot) -> bool {
        self.outlives_shutdown(slot) && !self.shutting_down
    }

    /// Whether it is wanted for its own sake, now or by the next manager.
    pub(crate) fn outlives_shutdown(&self, slot: &Slot) -> bool {
        let is_job = slot.daemon.kind == Kind::Job;
        let by_hand = is_job && Self::is_by_hand(slot);
        (slot.intent.desired == Desired::Up || by_hand)
            && (is_job || self.closed_gate(&slot.daemon.name).is_none())
            && slot.intent.hold.is_none()
            && slot.daemon.enabled
            && !slot.removed
    }

    /// Whether it and everything it needs is wanted.
    pub(crate) fn may_run(&self, unit: &str) -> bool {
        self.slots
            .get(unit)
            .is_some_and(|slot| self.is_wanted(slot))
            && self.unwanted_need(unit).is_none()
    }

    /// A unit, needed directly or not, that is not wanted. The nearest, in order of declaration.
    pub(crate) fn unwanted_need(&self, unit: &str) -> Option<Unit> {
        let mut todo = vec![unit.to_owned()];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(current) = todo.pop() {
            let slot = self.slots.get(&current)?;
            for need in &slot.daemon.needs {
                for other in self.replicas(need) {
                    if !seen.insert(other.clone()) {
                        continue;
                    }
                    let wanted = self.slots.get(other).is_some_and(|slot| {
                        self.is_wanted(slot) || slot.ledger.settled == Some(Settled::Done)
                    });
                    if !wanted {
                        return Some(other.clone());
                    }
                    todo.push(other.clone());
                }
            }
        }
        None
    }

    /// Why a running unit has to go down, if it has to.
    pub(crate) fn reason_to_stop(&self, unit: &str) -> Option<String> {
        let slot = self.slots.get(unit)?;
        if self.shutting_down {
            return Some("the manager is shutting down".to_owned());
        }
        if let Some(hold) = &slot.intent.hold {
            return Some(format!("held: {hold}"));
        }
        if slot.removed {
            return Some("it is no longer in the fleet file".to_owned());
        }
        if !slot.daemon.enabled {
            return Some("it is disabled".to_owned());
        }
        if slot.superseded {
            return Some("a newer fire takes its place".to_owned());
        }
        let is_job = slot.daemon.kind == Kind::Job;
        if slot.intent.desired == Desired::Down && !(is_job && Self::is_by_hand(slot)) {
            let by_hand = slot.intent.manual;
            return Some(
                if by_hand {
                    "stopped by hand"
                } else {
                    "not in the profile"
                }
                .to_owned(),
            );
        }
        if !is_job && let Some(closed) = self.closed_gate(&slot.daemon.name) {
            return Some(closed);
        }
        if let Some(need) = self.unwanted_need(unit) {
            return Some(format!("`{need}`, which it needs, is not wanted"));
        }
        slot.bounce.clone()
    }

    /// Running units that name this one and are going down too, so that they go first.
    pub(crate) fn stops_after(&self, unit: &str) -> Vec<Unit> {
        let name = crate::fleet::daemon_of(unit);
        let Some(watchers) = self.watchers.get(name) else {
            return Vec::new();
        };
        watchers
            .iter()
            .filter(|other| other.as_str() != unit)
            .filter(|other| {
                let Some(slot) = self.slots.get(*other) else {
                    return false;
                };
                let daemon = &slot.daemon;
                let follows = [&daemon.needs, &daemon.wants, &daemon.after]
                    .into_iter()
                    .any(|names| names.iter().any(|n| n == name));
                // One that cannot be reached could make this one wait for ever.
                let alive = slot
                    .run
                    .as_ref()
                    .is_some_and(|run| run.unreachable.is_none());
                let going = slot.run.as_ref().is_some_and(|run| run.stopping.is_some())
                    || self.reason_to_stop(other).is_some();
                follows && alive && going
            })
            .cloned()
            .collect()
    }

    /// What keeps a wanted unit from starting now.
    pub(crate) fn blockers(&self, unit: &str) -> Vec<Blocker> {
        let Some(slot) = self.slots.get(unit) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut block = |on: &Unit, how| {
            found.push(Blocker {
                on: on.clone(),
                how,
            })
        };
        for other in slot
            .daemon
            .needs
            .iter()
            .flat_map(|name| self.replicas(name))
        {
            if !self.serves(other) {
                block(other, Hold::Needs);
            }
        }
        if !slot.impatient {
            let soft = slot.daemon.wants.iter().chain(&slot.daemon.after);
            for other in soft.flat_map(|name| self.replicas(name)) {
                if !self.serves(other) && self.is_on_its_way(other) {
                    block(other, Hold::Wants);
                }
            }
        }
        let own = &slot.daemon.name;
        let named = slot.daemon.conflicts.iter();
        let naming = self.watchers.get(own).into_iter().flatten();
        let naming = naming
            .filter_map(|other| self.slots.get(other))
            .filter(|other| other.daemon.conflicts.contains(own))
            .map(|other| &other.daemon.name);
        for other in named.chain(naming).flat_map(|name| self.replicas(name)) {
            if self
                .slots
                .get(other)
                .is_some_and(|other| other.run.is_some())
            {
                block(other, Hold::Conflicts);
            }
        }
        found
    }

    /// Whether others may rely on it now.
    pub(crate) fn serves(&self, unit: &str) -> bool {
        let Some(slot) = self.slots.get(unit) else {
            return false;
        };
        if slot.daemon.kind == Kind::Job {
            return self.job_serves(&slot.daemon.name);
        }
        match &slot.run {
            Some(run) if self.has(Planted::NeedOnlyUp) => run.pid.is_some(),
            Some(run) => run.serves(),
            None => slot.ledger.settled == Some(Settled::Done),
        }
    }

    /// Whether it will serve soon, as far as anyone knows.
    fn is_on_its_way(&self, unit: &str) -> bool {
        let Some(slot) = self.slots.get(unit) else {
            return false;
        };
        match &slot.run {
            Some(run) => run.stopping.is_none() && run.unreachable.is_none(),
            None => {
                self.may_run(unit) && slot.ledger.settled.is_none() && slot.next_try_mono.is_none()
            }
        }
    }

    fn drop_if_removed(&mut self, unit: &str, out: &mut Vec<Effect>) {
        let gone = self
            .slots
            .get(unit)
            .is_some_and(|slot| slot.removed && slot.run.is_none());
        if !gone {
            return;
        }
        if let Some(slot) = self.slots.remove(unit)
            && let Some(due) = slot.timer
        {
            self.timers.remove(&(due, unit.to_owned()));
        }
        out.push(Effect::Persist(Persist::Forget(unit.to_owned())));
        self.reindex();
    }
}

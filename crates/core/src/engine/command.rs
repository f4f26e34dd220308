//! Commands: what a person or a program wants.
//!
//! Invariants: a command is refused as a whole or accepted as a whole; its intents are persisted
//! before its reply.

use std::collections::BTreeSet;

use crate::engine::Core;
use crate::fleet::{Kind, Unit, daemon_of};
use crate::io::{Accepted, Command, Effect, Now, Persist, Refusal, Reply, Ticket};
use crate::planted::Planted;
use crate::record::{Desired, Settled};

impl Core {
    pub(crate) fn on_command(
        &mut self,
        ticket: Ticket,
        command: Command,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let done = match command {
            Command::Shutdown { keep_daemons } => Ok(self.shut_down(keep_daemons, now, out)),
            // A daemon that ends may have something to say.
            Command::Emit(events) => self.emit(events, now, out).map(|done| (done, false)),
            _ if self.shutting_down => Err(Refusal::ShuttingDown),
            Command::Up { profile } => self.up(profile, now, out),
            Command::Start(units) => self.start(&units, now, out),
            Command::Stop(units) => self.stop(&units, now, out),
            Command::Restart(units) => self.restart(&units, now, out),
            Command::Signal(units, signal) => self.signal(&units, &signal, out),
            Command::Hold(units, reason) => self.hold(&units, &reason, now, out),
            Command::Release(units) => self.release(&units, now, out),
            Command::Trigger(units) => self.trigger(&units, now, out),
            Command::Bus(command) => self
                .on_bus_command(command, now, out)
                .map(|done| (done, false)),
            Command::Rule(command) => self
                .on_rule_command(command, now, out)
                .map(|done| (done, false)),
            Command::Channel(command) => self
                .on_channel_command(command, now, out)
                .map(|done| (done, false)),
            Command::Task(command) => self
                .on_task_command(command, now, out)
                .map(|done| (done, false)),
        };
        let leaving = matches!(&done, Ok((_, true)));
        let reply = match done {
            Ok((accepted, _)) => Reply::Accepted(accepted),
            Err(refusal) => Reply::Refused(refusal),
        };
        out.push(Effect::Reply { ticket, reply });
        if leaving && !self.exited {
            self.exited = true;
            out.push(Effect::Exit);
        }
    }

    /// The second value says that the manager leaves at once.
    fn shut_down(
        &mut self,
        keep_daemons: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> (Accepted, bool) {
        let data = serde_json::json!({ "keep_daemons": keep_daemons });
        self.announce("manager.stopping", None, data, now, out);
        let mut accepted = Accepted::default();
        let running = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.run.is_some() && !slot.is_task());
        accepted.affected = running.map(|(unit, _)| unit.clone()).collect();
        if keep_daemons {
            return (accepted, true);
        }
        self.shutting_down = true;
        self.jobs_go_down(now, out);
        for (unit, slot) in &mut self.slots {
            // The next `up` is a fresh start: what was done or had failed runs again.
            if slot.ledger.settled.take().is_some() {
                out.push(Effect::Persist(Persist::Ledger(slot.ledger.clone())));
            }
            self.dirty.insert(unit.clone());
        }
        (accepted, false)
    }

    fn up(
        &mut self,
        profile: Option<String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        if let Some(profile) = &profile
            && !self.fleet.profiles.contains_key(profile)
        {
            return Err(Refusal::UnknownProfile {
                profile: profile.clone(),
            });
        }
        if profile.is_some() || self.profile.is_none() {
            self.profile = profile.or_else(|| self.fleet.profile.clone());
        }
        self.up_called = true;
        out.push(Effect::Persist(Persist::Profile(self.profile.clone())));
        let mut accepted = Accepted::default();
        self.apply_profile(now, &mut accepted, out);
        Ok((accepted, false))
    }

    fn check(&self, units: &[Unit], starting: bool) -> Result<(), Refusal> {
        for unit in units {
            let known = self.slots.get(unit);
            let Some(slot) = known.filter(|slot| !slot.removed && !slot.is_task()) else {
                return Err(Refusal::UnknownUnit { unit: unit.clone() });
            };
            if !starting {
                continue;
            }
            if !slot.daemon.enabled {
                return Err(Refusal::Disabled { unit: unit.clone() });
            }
            if let Some(reason) = slot.intent.hold.clone() {
                return Err(Refusal::Held {
                    unit: unit.clone(),
                    reason,
                });
            }
            if let Some(with) = self.conflict_of(unit) {
                return Err(Refusal::Conflict {
                    unit: unit.clone(),
                    with,
                });
            }
        }
        Ok(())
    }

    /// A unit that runs or is wanted, and may not at the same time as this one.
    fn conflict_of(&self, unit: &str) -> Option<Unit> {
        let slot = self.slots.get(unit)?;
        let own = &slot.daemon.name;
        self.slots
            .iter()
            .find(|(other, other_slot)| {
                let excludes = slot.daemon.conflicts.contains(&other_slot.daemon.name)
                    || other_slot.daemon.conflicts.contains(own);
                let present = other_slot.run.is_some() || self.may_run(other);
                other.as_str() != unit && excludes && present
            })
            .map(|(other, _)| other.clone())
    }

    pub(crate) fn start(
        &mut self,
        units: &[Unit],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        let all = self.with_needs(units);
        self.check(&all, true)?;
        let mut accepted = Accepted::default();
        for unit in &all {
            let named = units.contains(unit);
            self.deprecation(unit, named, &mut accepted);
            let state = self.state(unit);
            let Some(slot) = self.slots.get_mut(unit) else {
                continue;
            };
            let running = slot.run.as_ref().is_some_and(|run| run.stopping.is_none());
            let done = slot.ledger.settled == Some(Settled::Done) && !named;
            let up = slot.intent.desired == Desired::Up;
            if running || (done && up) {
                let state = state.map_or("running", |state| state.as_str());
                accepted
                    .unchanged
                    .push((unit.clone(), format!("already {state}")));
            } else {
                accepted.affected.push(unit.clone());
            }
            self.set_desired(unit, Desired::Up, named, now, out);
            if !running && !done {
                self.forget_failures(unit, out);
            }
            self.mark_around(unit);
        }
        Ok((accepted, false))
    }

    /// The units and all they need, and what they want unless it was stopped by hand; needs first.
    fn with_needs(&self, units: &[Unit]) -> Vec<Unit> {
        let mut all: BTreeSet<Unit> = BTreeSet::new();
        let mut todo: Vec<Unit> = units.to_vec();
        while let Some(unit) = todo.pop() {
            if !all.insert(unit.clone()) {
                continue;
            }
            let Some(slot) = self.slots.get(&unit) else {
                continue;
            };
            todo.extend(
                slot.daemon
                    .needs
                    .iter()
                    .flat_map(|name| self.replicas(name))
                    .cloned(),
            );
            let wants = slot
                .daemon
                .wants
                .iter()
                .flat_map(|name| self.replicas(name));
            todo.extend(wants.filter(|want| self.may_be_pulled(want)).cloned());
        }
        all.into_iter().collect()
    }

    fn may_be_pulled(&self, unit: &str) -> bool {
        self.slots.get(unit).is_some_and(|slot| {
            let by_hand = slot.intent.manual && slot.intent.desired == Desired::Down;
            slot.daemon.enabled && slot.intent.hold.is_none() && !by_hand
        })
    }

    fn deprecation(&self, unit: &str, named: bool, accepted: &mut Accepted) {
        let Some(slot) = self.slots.get(unit).filter(|_| named) else {
            return;
        };
        if let Some(deprecated) = &slot.daemon.deprecated {
            let instead = deprecated.use_instead.as_ref();
            let hint = instead.map_or(String::new(), |other| format!("; use `{other}` instead"));
            accepted
                .warnings
                .push(format!("`{unit}` is deprecated{hint}"));
        }
    }

    fn set_desired(
        &mut self,
        unit: &str,
        desired: Desired,
        manual: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        let manual = manual || (slot.intent.manual && slot.intent.desired == desired);
        if slot.intent.desired == desired && slot.intent.manual == manual {
            return;
        }
        slot.intent.desired = desired;
        slot.intent.manual = manual;
        slot.intent.at_ms = now.wall_ms;
        self.up_called = true;
        out.push(Effect::Persist(Persist::Intent(slot.intent.clone())));
    }

    /// A person steps in: waits end, and counting begins anew.
    pub(crate) fn forget_failures(&mut self, unit: &str, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(unit) else {
            return;
        };
        slot.next_try_mono = None;
        slot.cause = "start".to_owned();
        slot.is_restart = false;
        let ledger = &mut slot.ledger;
        let before = ledger.clone();
        ledger.attempt = 0;
        ledger.recent_ms.clear();
        ledger.next_try_ms = None;
        ledger.cooling = false;
        ledger.settled = None;
        if *ledger != before {
            out.push(Effect::Persist(Persist::Ledger(ledger.clone())));
        }
    }

    pub(crate) fn stop(
        &mut self,
        units: &[Unit],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        self.check(units, false)?;
        let mut accepted = Accepted::default();
        for unit in units {
            // A job that waits for its time is stopped too: the time will not come.
            let is_up = self.slots.get(unit).is_some_and(|slot| {
                let is_armed = slot.daemon.kind == Kind::Job && slot.intent.desired == Desired::Up;
                slot.run.is_some() || is_armed
            });
            if is_up {
                accepted.affected.push(unit.clone());
            } else {
                accepted
                    .unchanged
                    .push((unit.clone(), "already down".to_owned()));
            }
            self.set_desired(unit, Desired::Down, true, now, out);
            self.revoke_fires(unit, now, out);
            if !self.has(Planted::TimerIgnoresDesired) {
                self.forget_failures(unit, out);
            }
            self.mark_around(unit);
        }
        for dependent in self.running_dependents(units) {
            self.dirty.insert(dependent.clone());
            if !accepted.affected.contains(&dependent) {
                accepted.affected.push(dependent);
            }
        }
        Ok((accepted, false))
    }

    /// Units with a run that need one of these, directly or not; these excluded.
    fn running_dependents(&self, units: &[Unit]) -> Vec<Unit> {
        let mut found: BTreeSet<Unit> = BTreeSet::new();
        let mut todo: Vec<Unit> = units.to_vec();
        while let Some(unit) = todo.pop() {
            let name = daemon_of(&unit);
            for other in self.watchers.get(name).into_iter().flatten() {
                let needs = self
                    .slots
                    .get(other)
                    .is_some_and(|slot| slot.daemon.needs.iter().any(|need| need == name));
                if needs && !units.contains(other) && found.insert(other.clone()) {
                    todo.push(other.clone());
                }
            }
        }
        found.retain(|unit| self.slots.get(unit).is_some_and(|slot| slot.run.is_some()));
        found.into_iter().collect()
    }

    pub(crate) fn restart(
        &mut self,
        units: &[Unit],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        let overlaps = self.has(Planted::RestartOverlaps);
        let mut accepted = self.start(units, now, out)?.0;
        for unit in units {
            let Some(slot) = self.slots.get_mut(unit) else {
                continue;
            };
            if slot.run.is_none() {
                continue;
            }
            if overlaps {
                slot.run = None;
            }
            slot.bounce = Some("asked by hand".to_owned());
            accepted.unchanged.retain(|(other, _)| other != unit);
            if !accepted.affected.contains(unit) {
                accepted.affected.push(unit.clone());
            }
            self.mark_around(unit);
        }
        for dependent in self.running_dependents(units) {
            let Some(slot) = self.slots.get_mut(&dependent) else {
                continue;
            };
            slot.bounce
                .get_or_insert_with(|| "one it needs restarts".to_owned());
            self.dirty.insert(dependent.clone());
            accepted.unchanged.retain(|(other, _)| *other != dependent);
            if !accepted.affected.contains(&dependent) {
                accepted.affected.push(dependent);
            }
        }
        Ok((accepted, false))
    }

    fn signal(
        &mut self,
        units: &[Unit],
        signal: &str,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        self.check(units, false)?;
        let mut accepted = Accepted::default();
        let mut effects = Vec::new();
        for unit in units {
            let Some(slot) = self.slots.get(unit) else {
                continue;
            };
            let Some(run) = slot.run.as_ref().filter(|run| run.pid.is_some()) else {
                let state = self.state_of(unit, slot);
                return Err(Refusal::NotRunning {
                    unit: unit.clone(),
                    state,
                });
            };
            effects.push(Effect::Signal {
                unit: unit.clone(),
                generation: run.generation,
                signal: signal.to_owned(),
            });
            accepted.affected.push(unit.clone());
        }
        out.append(&mut effects);
        Ok((accepted, false))
    }

    pub(crate) fn hold(
        &mut self,
        units: &[Unit],
        reason: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        self.check(units, false)?;
        let mut accepted = Accepted::default();
        for unit in units {
            let Some(slot) = self.slots.get_mut(unit) else {
                continue;
            };
            slot.intent.hold = Some(reason.to_owned());
            slot.intent.at_ms = now.wall_ms;
            out.push(Effect::Persist(Persist::Intent(slot.intent.clone())));
            accepted.affected.push(unit.clone());
            self.up_called = true;
            self.revoke_fires(unit, now, out);
            self.mark_around(unit);
        }
        accepted.affected.extend(self.running_dependents(units));
        Ok((accepted, false))
    }

    pub(crate) fn release(
        &mut self,
        units: &[Unit],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        self.check(units, false)?;
        let mut accepted = Accepted::default();
        for unit in units {
            let Some(slot) = self.slots.get_mut(unit) else {
                continue;
            };
            if slot.intent.hold.take().is_none() {
                if self.unpause(unit, out) {
                    accepted.affected.push(unit.clone());
                    continue;
                }
                accepted
                    .unchanged
                    .push((unit.clone(), "not held".to_owned()));
                continue;
            }
            slot.intent.at_ms = now.wall_ms;
            out.push(Effect::Persist(Persist::Intent(slot.intent.clone())));
            accepted.affected.push(unit.clone());
            self.unpause(unit, out);
            self.forget_failures(unit, out);
            self.mark_around(unit);
        }
        Ok((accepted, false))
    }
}

//! Checkers: each looks at the world and the journal, and says what is wrong in words.
//!
//! One checker for each invariant of the design that the core has a part in.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::Core;
use eud_core::fleet::{Fleet, Kind, Overlap, Unit, daemon_of, task_of};
use eud_core::io::{Effect, Now, Persist};
use eud_core::record::{Desired, EndReason, Generation, RunId, Settled, Trigger};
use eud_core::view::State;

use crate::world::{Keeper, SimRun, World};

/// No job is overdue earlier than this after its last success.
const OVERDUE_MS_MIN: i64 = 60_000;

/// How long news of an end may be on its way when the weather is good, in milliseconds.
const NEWS_MS: i64 = 1_000;

/// What the present manager has been told of each unit's present run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) generation: Generation,
    pub(crate) started: bool,
    pub(crate) passed: bool,
    pub(crate) ended: bool,
    pub(crate) unreachable: bool,
}

/// Memory of the checkers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checker {
    pub(crate) told: BTreeMap<Unit, Told>,
    /// Units of which a rule changed what is wanted, in the present batch.
    pub(crate) stepped_in: BTreeSet<Unit>,
    generations: BTreeMap<Generation, RunId>,
    /// Times of restarts nobody asked for, since a person last stepped in.
    restarts: BTreeMap<Unit, Vec<(u64, RunId)>>,
}

/// Whether a job did not succeed for longer than the shortest grace there is.
fn is_late(world: &World, unit: &str, now: Now) -> bool {
    let book = world.journal.books.get(daemon_of(unit));
    let since = book.and_then(|book| book.last_success_ms.max(book.armed_ms));
    since.is_some_and(|since| now.wall_ms - since > OVERDUE_MS_MIN)
}

impl Checker {
    /// Invariant 1: at most one live run of a unit.
    pub(crate) fn one_live_run(world: &World) -> Result<(), String> {
        let mut seen: BTreeMap<&Unit, &RunId> = BTreeMap::new();
        for (id, run) in world.alive() {
            if let Some(other) = seen.insert(&run.unit, id) {
                return Err(format!("`{}` runs twice: {other} and {id}", run.unit));
            }
        }
        Ok(())
    }

    /// Invariant 3: one exit record a run, and the truth in it.
    pub(crate) fn record_is_true(world: &World, id: &RunId) -> Result<(), String> {
        let Some(exit) = world.journal.runs.get(id).and_then(|row| row.exit.as_ref()) else {
            return Ok(());
        };
        let Some(run) = world.runs.get(id) else {
            if exit.reason == EndReason::NeverStarted {
                return Ok(());
            }
            return Err(format!("{id} has an exit in the journal but never existed"));
        };
        if run.alive {
            return Err(format!(
                "{id} of `{}` is recorded as ended and lives",
                run.unit
            ));
        }
        if exit.code != run.truth {
            let (said, truth) = (exit.code, run.truth);
            return Err(format!("{id}: code recorded as {said:?}, really {truth:?}"));
        }
        Ok(())
    }

    /// Invariants 4, 5, 10 and the order of starts and stops, at the moment an effect is carried
    /// out.
    pub(crate) fn effect(
        &mut self,
        world: &World,
        core: &Core,
        effect: &Effect,
        fleet: &Fleet,
    ) -> Result<(), String> {
        match effect {
            Effect::Launch {
                unit,
                generation,
                run,
                fire,
                ..
            } => {
                let by_hand = fire.as_ref().is_some_and(|f| f.trigger == Trigger::Hand);
                let intent = world.journal.intents.get(unit);
                let wanted = match intent {
                    Some(i) => (i.desired == Desired::Up || by_hand) && i.hold.is_none(),
                    None => by_hand,
                };
                // What a rule stops in the batch that launches it is stopped after that.
                let wanted = wanted || self.stepped_in.contains(unit);
                if !wanted && task_of(unit).is_none() {
                    return Err(format!("`{unit}` is launched and nobody wants it"));
                }
                if world
                    .journal
                    .runs
                    .get(run)
                    .is_none_or(|row| row.generation != *generation)
                {
                    return Err(format!(
                        "{run} of `{unit}` is launched without a durable intent"
                    ));
                }
                if let Some(other) = self.generations.insert(*generation, run.clone()) {
                    return Err(format!("generation {generation} names {other} and {run}"));
                }
                self.needs_serve(world, fleet, unit)?;
                self.told.insert(
                    unit.clone(),
                    Told {
                        generation: *generation,
                        ..Told::default()
                    },
                );
            }
            Effect::Stop { unit, generation }
            | Effect::KillKeeper { unit, generation }
            | Effect::Signal {
                unit, generation, ..
            }
            | Effect::Probe {
                unit, generation, ..
            } => {
                let told = self.told.get(unit);
                if told.is_none_or(|told| told.generation != *generation || told.ended) {
                    return Err(format!(
                        "an effect on generation {generation} of `{unit}`, over"
                    ));
                }
                // What a rule leads to later in the batch is no reason to wait.
                let is_stop = matches!(effect, Effect::Stop { .. });
                if is_stop && self.stepped_in.is_empty() {
                    self.stops_in_order(core, fleet, unit)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn needs_serve(&self, world: &World, fleet: &Fleet, unit: &Unit) -> Result<(), String> {
        let Some(daemon) = fleet.daemons.get(daemon_of(unit)) else {
            return Ok(());
        };
        for need in daemon
            .needs
            .iter()
            .filter_map(|name| fleet.daemons.get(name))
        {
            if need.kind == Kind::Job {
                let book = world.journal.books.get(&need.name);
                if book.is_none_or(|book| book.last_success_ms.is_none()) {
                    let name = &need.name;
                    return Err(format!("`{unit}` is launched before `{name}` did well"));
                }
                continue;
            }
            for other in need.units() {
                let told = self.told.get(&other);
                let serves = told.is_some_and(|told| {
                    told.started && !told.ended && (told.passed || need.ready.is_none())
                });
                let ledger = world.journal.ledgers.get(&other);
                let done = ledger.is_some_and(|l| l.settled == Some(Settled::Done));
                // A rule restarts it in the same batch; then what needs it is stopped again.
                let was_done = self.stepped_in.contains(&other);
                if !serves && !done && !was_done {
                    return Err(format!(
                        "`{unit}` is launched before `{other}`, which it needs"
                    ));
                }
            }
        }
        Ok(())
    }

    fn stops_in_order(&self, core: &Core, fleet: &Fleet, unit: &Unit) -> Result<(), String> {
        let name = daemon_of(unit);
        for daemon in fleet
            .daemons
            .values()
            .filter(|d| d.needs.iter().any(|n| n == name))
            // What a job did well stays so when it is stopped.
            .filter(|_| fleet.daemons.get(name).is_none_or(|d| d.kind != Kind::Job))
            // A newer fire may end a run in the very moment in which what it needs ends for a
            // reason of its own.
            .filter(|d| {
                let overlap = d.job.as_ref().map(|job| job.overlap);
                overlap != Some(Overlap::KillOld)
            })
        {
            for other in daemon.units() {
                let Some(told) = self.told.get(&other).filter(|told| !told.ended) else {
                    continue;
                };
                let going = core.state(&other) == Some(State::Stopping);
                if going && !told.unreachable {
                    return Err(format!(
                        "`{unit}` is stopped before `{other}`, which needs it"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Restarts nobody asked for stay within the policy's limit for the length of a cool-down.
    pub(crate) fn persisted(
        &mut self,
        fleet: &Fleet,
        item: &Persist,
        mono_ms: u64,
    ) -> Result<(), String> {
        let row = match item {
            Persist::RunIntent(row) => row,
            Persist::RunEnded { record, .. } if record.reason == EndReason::NeverStarted => {
                // What was never started is started again, and that is the same restart.
                if let Some(restarts) = self.restarts.get_mut(&record.unit) {
                    restarts.retain(|(_, run)| *run != record.run);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(daemon) = fleet.daemons.get(daemon_of(&row.unit)) else {
            return Ok(());
        };
        let by_itself = row.cause.starts_with("restart: exited")
            || row.cause.starts_with("restart: was killed");
        if !by_itself || daemon.restart.limit == 0 {
            return Ok(());
        }
        let window = daemon.restart.cool_down_ms;
        let times = self.restarts.entry(row.unit.clone()).or_default();
        times.retain(|(at, _)| at + window > mono_ms);
        times.push((mono_ms, row.run.clone()));
        // One more is the first try after a cool-down that ended within the window.
        if times.len() > daemon.restart.limit as usize + 1 {
            let (unit, limit) = (&row.unit, daemon.restart.limit);
            return Err(format!(
                "`{unit}` restarted {} times, limit {limit}",
                times.len()
            ));
        }
        Ok(())
    }

    /// A person stepped in for this unit: counting begins anew.
    pub(crate) fn forgive(&mut self, unit: &str) {
        self.restarts.remove(unit);
    }

    /// The clock was set, or definitions changed: counting begins anew for all.
    pub(crate) fn forgive_all(&mut self) {
        self.restarts.clear();
    }

    /// Invariant 9, and states that claim no more than was told.
    pub(crate) fn status(&self, core: &Core, now: Now) -> Result<(), String> {
        let status = core.status(now);
        let sum: usize = status.summary.counts.values().sum();
        if sum != status.summary.total || status.summary.total != status.daemons.len() {
            return Err(format!(
                "the summary's parts sum to {sum} of {}",
                status.summary.total
            ));
        }
        for daemon in &status.daemons {
            let told = self.told.get(&daemon.name).cloned().unwrap_or_default();
            if daemon.state == State::Ready && !(told.started && told.passed && !told.ended) {
                return Err(format!("`{}` is shown as ready without proof", daemon.name));
            }
            if daemon.pid.is_some() && told.ended {
                return Err(format!(
                    "`{}` is shown with the pid of an ended run",
                    daemon.name
                ));
            }
        }
        Ok(())
    }

    /// Once faults have ended: what is wanted runs, what is not wanted does not, and all ends are
    /// known.
    pub(crate) fn converged(world: &World, core: &Core, now: Now) -> Result<(), String> {
        let frozen = |unit: &Unit| {
            world
                .alive()
                .any(|(_, run)| run.unit == *unit && run.frozen)
        };
        for (id, run) in &world.runs {
            let over = run.keeper == Keeper::Gone && !run.alive && !run.tree_left;
            let row = world.journal.runs.get(id);
            // News takes a moment.
            let just_now = run
                .exit
                .as_ref()
                .is_some_and(|exit| now.wall_ms - exit.ended_at_ms < NEWS_MS);
            if over && !just_now && row.is_none_or(|row| row.exit.is_none()) {
                return Err(format!("the end of {id} of `{}` went unnoticed", run.unit));
            }
        }
        for daemon in core.status(now).daemons {
            let just_over = |run: &SimRun| {
                let over = run.exit.as_ref();
                over.is_some_and(|exit| now.wall_ms - exit.ended_at_ms < NEWS_MS)
            };
            let lives = world.alive().any(|(_, run)| run.unit == daemon.name)
                || world
                    .runs
                    .values()
                    .any(|run| run.unit == daemon.name && just_over(run) && daemon.pid.is_some());
            let ok = match daemon.state {
                State::Ready | State::Up => lives,
                State::Degraded => lives && !daemon.blocked_on.is_empty(),
                // `gauges` checks that a gate is closed.
                State::Paused => !lives,
                State::Unknown => {
                    // A job that was triggered by hand need not be up.
                    let wanted = daemon.desired == Desired::Up || daemon.kind == Kind::Job;
                    frozen(&daemon.name) && wanted
                }
                State::Stopped | State::Held | State::Done | State::Failed => !lives,
                State::Waiting => !lives && !daemon.blocked_on.is_empty(),
                State::Running => lives,
                State::Scheduled => !lives,
                State::Overdue => !lives && is_late(world, &daemon.name, now),
                // A job may be due at this very moment.
                State::Starting | State::Stopping | State::Backoff => daemon.kind == Kind::Job,
                _ => false,
            };
            if !ok {
                let (name, state) = (&daemon.name, daemon.state);
                let reason = daemon.reason.unwrap_or_default();
                return Err(format!(
                    "`{name}` ends up {state} ({reason}), alive: {lives}"
                ));
            }
        }
        Ok(())
    }
}

//! Checkers of jobs: no fire is lost, none is doubled, and in good weather each time has its run.
//!
//! What is counted is what really executed in the world, beside what the core says it decided.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{Anchor, Daemon, Fleet, Kind, Overlap, When, daemon_of};
use eud_core::happened::What;
use eud_core::record::{Desired, EndReason, ExitRecord, RunId, Trigger, WallMs};

use crate::world::{SimRun, World};

/// In good weather, times this long before its end must have had their run.
const JUDGED_MS: i64 = 60_000;
/// What is due this shortly before the end may not have begun.
const LAST_MS: i64 = 8_000;

/// Memory of the checkers.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobChecker {
    /// Fires that were told and have neither run nor been skipped.
    open: BTreeSet<(String, WallMs)>,
    /// Commands that executed, by job, time and try; with the clock alone as their cause.
    executed: BTreeMap<(String, WallMs, u32), u32>,
    /// Fires from before the clock was set: its intervals may meet their times once more.
    met_again: BTreeSet<(String, WallMs)>,
    /// Every time at which a job was due and executed.
    times: BTreeSet<(String, WallMs)>,
}

impl JobChecker {
    /// Something was told.
    pub(crate) fn happened(&mut self, what: &What) {
        match what {
            What::JobFired { job, due_ms, .. } => {
                self.open.insert((job.clone(), *due_ms));
            }
            What::JobSkipped { job, due_ms, .. } | What::JobEnded { job, due_ms, .. } => {
                self.open.remove(&(job.clone(), *due_ms));
            }
            _ => {}
        }
    }

    /// A command executes.
    pub(crate) fn executes(&mut self, run: &SimRun) -> Result<(), String> {
        let (unit, Some(fire)) = (&run.unit, &run.fire) else {
            return Ok(());
        };
        let job = daemon_of(unit).to_owned();
        self.open.remove(&(job.clone(), fire.due_ms));
        self.times.insert((job.clone(), fire.due_ms));
        if run.stop_asked || !matches!(fire.trigger, Trigger::Schedule | Trigger::Missed) {
            return Ok(());
        }
        if self.met_again.contains(&(job.clone(), fire.due_ms)) {
            return Ok(());
        }
        let key = (job.clone(), fire.due_ms, fire.attempt);
        let count = self.executed.entry(key).or_default();
        *count += 1;
        if *count > 1 {
            let (due, attempt) = (fire.due_ms, fire.attempt);
            return Err(format!("`{job}` ran twice for {due}, try {attempt}"));
        }
        Ok(())
    }

    /// The end of a run reaches the journal.
    pub(crate) fn ended(fleet: &Fleet, world: &World, record: &ExitRecord) -> Result<(), String> {
        let name = daemon_of(&record.unit);
        let job = fleet.daemons.get(name).and_then(|d| d.job.as_ref());
        let book = world.journal.books.get(name);
        let (Some(job), Some(book)) = (job, book) else {
            return Ok(());
        };
        let wanted = world
            .journal
            .intents
            .get(&record.unit)
            .is_some_and(|i| i.desired == Desired::Up && i.hold.is_none());
        // The next `up` brings it about again.
        let fire = world
            .runs
            .get(&record.run)
            .and_then(|run| run.fire.as_ref());
        let comes_anyway = fire.is_some_and(|fire| fire.trigger == Trigger::Start)
            && !book.up_fired
            && job
                .schedules
                .iter()
                .any(|when| matches!(when, When::AfterUp { .. }));
        let gone = record.reason == EndReason::NeverStarted
            && wanted
            && !comes_anyway
            && job.overlap != Overlap::KillOld
            && job.start_within_ms.is_none()
            && !book.active.contains_key(&record.unit);
        if gone {
            return Err(format!(
                "the fire of `{}` never ran and is over",
                record.unit
            ));
        }
        Ok(())
    }

    /// Somebody stepped in: what ran may run again.
    pub(crate) fn forgive_all(&mut self) {
        self.executed.clear();
    }

    /// The clock was set: intervals may meet again the times of all fires that there are or were.
    pub(crate) fn clock_was_set(&mut self, world: &World) {
        let ran = std::mem::take(&mut self.executed).into_keys();
        self.met_again.extend(ran.map(|(job, due, _)| (job, due)));
        self.met_again.extend(self.open.iter().cloned());
        for (job, book) in &world.journal.books {
            let fires = book.pending.iter().chain(book.active.values());
            let keys = fires.map(|fire| (job.clone(), fire.due_ms));
            self.met_again.extend(keys);
        }
    }

    /// A run is asked to end: a restart, perhaps. Its fire may run again.
    pub(crate) fn is_stopped(&mut self, run: &SimRun) {
        if let Some(fire) = &run.fire {
            let job = daemon_of(&run.unit).to_owned();
            self.executed.remove(&(job, fire.due_ms, fire.attempt));
        }
    }

    /// Somebody asked for this one to run again.
    pub(crate) fn forgive(&mut self, unit: &str) {
        let job = daemon_of(unit);
        self.executed.retain(|(name, _, _), _| name != job);
    }

    /// Fires that were told and have not run are in the journal.
    pub(crate) fn none_lost(&mut self, fleet: &Fleet, world: &World) -> Result<(), String> {
        let books = &world.journal.books;
        for (job, due) in std::mem::take(&mut self.open) {
            let overlap = fleet
                .daemons
                .get(&job)
                .and_then(|d| Some(d.job.as_ref()?.overlap));
            // A newer fire may take its place before it ran.
            if overlap.is_none_or(|overlap| overlap == Overlap::KillOld) {
                continue;
            }
            let Some(book) = books.get(&job) else {
                return Err(format!("the book of `{job}` is lost"));
            };
            let waits = book.pending.iter().chain(book.active.values());
            let kept = waits.clone().any(|fire| fire.due_ms == due);
            if !kept && book.armed_ms.is_some_and(|armed| armed <= due) {
                return Err(format!("the fire of `{job}` for {due} is lost"));
            }
            if kept {
                self.open.insert((job, due));
            }
        }
        Ok(())
    }

    /// In good weather each multiple of an interval has its run.
    pub(crate) fn judge(&self, fleet: &Fleet, world: &World, now: WallMs) -> Result<(), String> {
        for daemon in fleet.daemons.values() {
            let Some(every) = clock_interval(daemon) else {
                continue;
            };
            let Some(book) = world.journal.books.get(&daemon.name) else {
                continue;
            };
            // Nothing is started in the place of a run whose keeper does not answer.
            let hangs =
                |(_, run): (&RunId, &SimRun)| run.frozen && daemon_of(&run.unit) == daemon.name;
            if world.alive().any(hangs) {
                continue;
            }
            let from = book.armed_ms.map(|armed| armed.max(now - JUDGED_MS));
            let Some(from) = from.filter(|_| book.paused.is_none()) else {
                continue;
            };
            let mut due = (from.div_euclid(every) + 1) * every;
            while due < now - LAST_MS {
                if !self.times.contains(&(daemon.name.clone(), due)) {
                    return Err(format!("`{}` did not run for {due}", daemon.name));
                }
                due += every;
            }
        }
        Ok(())
    }
}

/// The interval of a job that has nothing but it, and depends on nobody.
fn clock_interval(daemon: &Daemon) -> Option<i64> {
    let job = daemon.job.as_ref()?;
    let alone = daemon.kind == Kind::Job && daemon.needs.is_empty() && daemon.wants.is_empty();
    let plain = daemon.after.is_empty() && daemon.enabled && job.jitter_ms == 0;
    match job.schedules.as_slice() {
        [
            When::Every {
                every_ms,
                from: Anchor::Clock,
            },
        ] if alone && plain => i64::try_from(*every_ms).ok(),
        _ => None,
    }
}

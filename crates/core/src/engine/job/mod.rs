//! Jobs, told first in prose.
//!
//! A job is *armed* while it is desired up, enabled and not held. Times that pass while it is not
//! armed count for nothing. While it is armed, an occasion to run is a **fire**: the clock, a
//! watched path, a gauge, or a hand brings it about. A fire is in exactly one place: *pending* (it
//! could not begin yet), *active* on a lane (its run goes on, or waits for what it needs, or is to
//! be tried again), or over. A lane is a unit of the job; there is one, or as many as its runs may
//! overlap.
//!
//! **Times.** The book of a job has a cursor: times up to it were decided upon. A look at the clock
//! moves the cursor and brings about fires, in one batch with the book, so that a crash neither
//! loses nor doubles them. Times missed (nobody looked for a minute) are made up for as the job
//! says.
//!
//! **Beginning.** A new fire waits in `pending`, and begins when a lane is free, no gate is closed,
//! the conditions hold and the job is not paused. If all lanes are busy, or another fire waits, the
//! overlap policy decides. Changes of watched paths are never skipped: they become part of the fire
//! that waits. A fire on a lane is launched like a service: after what it needs.
//!
//! **End.** A success, or a failure without tries left, ends the fire. A run that was stopped ends
//! it too, unless a restart was asked for, or something it needs went away: then it begins anew. A
//! run that never started leaves it where it is. Of fires that did not run, a shutdown gives up
//! those that the next `up` brings about again, and no other.
//!
//! **Loop guard.** A fire brought about by changes that began during the job's own run counts.
//! After so many in a row the job rests for a moment: if changes go on meanwhile, somebody else
//! makes them; if not, it triggers itself, and is paused until it is released.
//!
//! Deliberately absent: restarts. The end of a job's run is never one.

mod clock;
mod end;
mod lane;
mod show;
mod watch;

pub(crate) use end::JobEnd;
pub use show::coming;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::Core;
use crate::engine::slot::Slot;
use crate::fleet::{Daemon, Job, Kind, Missed, Unit, Watch};
use crate::happened::{Happened, What};
use crate::io::{Accepted, Effect, Now, Persist, Refusal};
use crate::planted::Planted;
use crate::record::{Book, Desired, Fire, Trigger, WallMs};
use clock::{Begun, Clocks};

/// Shortest and longest grace before a job is overdue, when it gives none.
const OVERDUE_DEFAULT_MS: std::ops::RangeInclusive<i64> = 60_000..=86_400_000;

/// A wall clock that moves this much against the other one was set.
const STEP_MS: i64 = 500;

/// What the core remembers of jobs and watches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs {
    jobs: BTreeMap<String, JobSlot>,
    /// Watches that the shell was asked for, by daemon.
    watches: BTreeMap<String, Watching>,
    /// Times of the wall clock at which a job is to be looked at.
    wakes: BTreeSet<(WallMs, String)>,
    /// The time that was told last.
    seen: Now,
    /// When this manager took over.
    begun_ms: WallMs,
    boot_id: String,
}

/// A watch that was asked for.
#[derive(Debug, Clone)]
struct Watching {
    watch: Watch,
    problem: Option<String>,
}

/// One job.
#[derive(Debug, Clone)]
struct JobSlot {
    job: Arc<Job>,
    clocks: Clocks,
    book: Book,
    wake: Option<WallMs>,
    /// When it is, or will be, overdue.
    overdue_ms: Option<WallMs>,
    suspect: Option<Suspect>,
}

/// It seems to trigger itself, and rests until it is clear.
#[derive(Debug, Clone)]
struct Suspect {
    until_ms: WallMs,
    rest_ms: i64,
    why: String,
}

impl Jobs {
    /// Monotonic time at which a job is to be looked at, as far as the wall clock goes on as it
    /// did.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        let (wake, _) = self.wakes.first()?;
        let wait = u64::try_from(wake.saturating_sub(self.seen.wall_ms)).unwrap_or(0);
        Some(self.seen.mono_ms.saturating_add(wait))
    }

    fn begun(&self) -> Begun<'_> {
        Begun {
            manager_ms: self.begun_ms,
            boot_id: &self.boot_id,
        }
    }
}

impl Core {
    pub(crate) fn load_jobs(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.jobs.begun_ms == 0 {
            self.jobs.begun_ms = now.wall_ms;
        }
        let declared = |name: &String| {
            let daemon = self.fleet.daemons.get(name)?;
            daemon.job.as_ref().filter(|_| daemon.kind == Kind::Job)
        };
        let gone: Vec<String> = self
            .jobs
            .jobs
            .keys()
            .filter(|name| declared(name).is_none())
            .cloned()
            .collect();
        for name in gone {
            self.forget_job(&name, out);
        }
        for daemon in self.fleet.daemons.values() {
            let Some(job) = daemon.job.as_ref().filter(|_| daemon.kind == Kind::Job) else {
                continue;
            };
            let name = &daemon.name;
            let known = self.jobs.jobs.get(name);
            if known.is_some_and(|known| *known.job == *job) {
                continue;
            }
            let book = known.map_or_else(
                || Book {
                    job: name.clone(),
                    ..Book::default()
                },
                |known| known.book.clone(),
            );
            let slot = JobSlot {
                job: Arc::new(job.clone()),
                clocks: Clocks::new(name, job),
                book,
                wake: known.and_then(|known| known.wake),
                overdue_ms: None,
                suspect: known.and_then(|known| known.suspect.clone()),
            };
            self.jobs.jobs.insert(name.clone(), slot);
        }
        self.drop_foreign_lanes(now, out);
        self.tend_watches(out);
    }

    fn forget_job(&mut self, name: &str, out: &mut Vec<Effect>) {
        let Some(slot) = self.jobs.jobs.remove(name) else {
            return;
        };
        if let Some(wake) = slot.wake {
            self.jobs.wakes.remove(&(wake, name.to_owned()));
        }
        for lane in slot.book.active.keys() {
            if let Some(lane) = self.slots.get_mut(lane) {
                lane.fire = None;
            }
        }
        out.push(Effect::Persist(Persist::ForgetBook(name.to_owned())));
    }

    /// Fires on lanes that are no longer declared end with their runs, and count no more.
    fn drop_foreign_lanes(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut jobs = std::mem::take(&mut self.jobs.jobs);
        for (name, slot) in &mut jobs {
            let lanes: BTreeSet<Unit> = self
                .fleet
                .daemons
                .get(name)
                .map(Daemon::units)
                .unwrap_or_default()
                .into_iter()
                .collect();
            let count = slot.book.active.len();
            let mut over = Vec::new();
            slot.book.active.retain(|lane, fire| {
                let stays = lanes.contains(lane);
                if !stays {
                    over.push((lane.clone(), std::mem::take(fire)));
                }
                stays
            });
            for (lane, fire) in over {
                if let Some(lane) = self.slots.get_mut(&lane) {
                    lane.fire = None;
                }
                slot.skip(fire, "its lane is no longer declared", now, out);
            }
            if slot.book.active.len() != count {
                out.push(Effect::Persist(Persist::Book(slot.book.clone())));
            }
        }
        self.jobs.jobs = jobs;
    }

    pub(crate) fn recover_jobs(
        &mut self,
        books: Vec<Book>,
        boot_id: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.jobs.boot_id = boot_id;
        self.jobs.begun_ms = now.wall_ms;
        for book in books {
            let Some(slot) = self.jobs.jobs.get_mut(&book.job) else {
                out.push(Effect::Persist(Persist::ForgetBook(book.job)));
                continue;
            };
            slot.book = book;
            let retry = slot.job.retry;
            for (lane, fire) in &slot.book.active {
                if let Some(lane) = self.slots.get_mut(lane) {
                    lane.fire = Some(fire.clone());
                    lane.next_try_mono = fire.retry_at_ms.map(|at| {
                        let wait = u64::try_from(at.saturating_sub(now.wall_ms)).unwrap_or(0);
                        // A clock that was set back must not turn seconds into minutes.
                        let longest = end::delay_ms(&retry, fire.attempt.saturating_sub(1));
                        now.mono_ms.saturating_add(wait.min(longest))
                    });
                }
            }
        }
        self.drop_foreign_lanes(now, out);
        self.tend_watches(out);
    }

    /// Handles what is due.
    pub(crate) fn tend_jobs(&mut self, now: Now, _out: &mut [Effect]) {
        let seen = std::mem::replace(&mut self.jobs.seen, now);
        let passed = i64::try_from(now.mono_ms.saturating_sub(seen.mono_ms)).unwrap_or(0);
        let stepped = now
            .wall_ms
            .saturating_sub(seen.wall_ms)
            .saturating_sub(passed);
        if stepped.abs() > STEP_MS && seen.wall_ms != 0 {
            let names: Vec<String> = self.jobs.jobs.keys().cloned().collect();
            for name in names {
                self.dirty.extend(self.replicas(&name).to_vec());
            }
        }
        self.jobs.begun_ms = self.jobs.begun_ms.min(now.wall_ms);
        // Registered again when they are looked at.
        while let Some((wake, name)) = self.jobs.wakes.first().cloned() {
            if wake > now.wall_ms {
                break;
            }
            self.jobs.wakes.pop_first();
            if let Some(slot) = self.jobs.jobs.get_mut(&name) {
                slot.wake = None;
            }
            self.dirty.extend(self.replicas(&name).to_vec());
        }
    }

    /// Whether times and changes count.
    pub(crate) fn is_armed(&self, daemon: &str) -> bool {
        let wanted = |slot: &Slot| {
            slot.intent.desired == Desired::Up
                && slot.intent.hold.is_none()
                && slot.daemon.enabled
                && !slot.removed
        };
        let mut lanes = self.replicas(daemon).iter();
        lanes.any(|lane| self.slots.get(lane).is_some_and(wanted))
    }

    /// Decides about one job: its times, its fires, what is overdue.
    pub(crate) fn tend_job(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        if self.shutting_down {
            return;
        }
        let Some(mut slot) = self.jobs.jobs.remove(name) else {
            return;
        };
        let before = slot.book.clone();
        let is_armed = self.is_armed(name);
        match (is_armed, slot.book.armed_ms) {
            (true, None) => slot.arm(now),
            (false, Some(_)) => self.disarm(&mut slot, now, out),
            _ => {}
        }
        if is_armed {
            self.look_at_clock(&mut slot, now, out);
        }
        slot.convict(now, out);
        self.give_up(&mut slot, now, out);
        self.begin_pending(&mut slot, now, out);
        slot.tend_overdue(now, out);
        if slot.book != before {
            let mut book = slot.book.clone();
            if self.has(Planted::PendingForgotten) {
                book.pending.clear();
            }
            if self.has(Planted::CursorForgotten) {
                book.cursor_ms = before.cursor_ms;
            }
            out.push(Effect::Persist(Persist::Book(book)));
        }
        self.set_wake(name, &mut slot, now);
        self.jobs.jobs.insert(name.to_owned(), slot);
        self.tend_watch(name, out);
    }

    fn look_at_clock(&mut self, slot: &mut JobSlot, now: Now, out: &mut Vec<Effect>) {
        let due = slot.clocks.due(&mut slot.book, self.jobs.begun(), now);
        let made_up = due.fires.iter().filter(|(_, t)| *t == Trigger::Missed);
        if let Some((count, last_ms)) = due.missed {
            let fires = match slot.job.missed {
                // What comes in time makes up for what did not.
                Missed::RunOnce => due.fires.len().min(1),
                Missed::RunAll { .. } | Missed::Skip => made_up.count(),
            };
            let fires = u32::try_from(fires).unwrap_or(u32::MAX);
            slot.tell(
                What::JobMissed {
                    job: slot.book.job.clone(),
                    count,
                    last_ms,
                    fires,
                },
                now,
                out,
            );
        }
        for (due_ms, trigger) in due.fires {
            let fire = Fire {
                due_ms,
                trigger,
                ..Fire::default()
            };
            self.admit(slot, fire, now, out);
        }
    }

    fn set_wake(&mut self, name: &str, slot: &mut JobSlot, now: Now) {
        let wake = self.wake_of(slot, now);
        if wake == slot.wake {
            return;
        }
        if let Some(old) = slot.wake.take() {
            self.jobs.wakes.remove(&(old, name.to_owned()));
        }
        if let Some(wake) = wake {
            self.jobs.wakes.insert((wake, name.to_owned()));
        }
        slot.wake = wake;
    }

    fn wake_of(&self, slot: &JobSlot, now: Now) -> Option<WallMs> {
        let armed = slot.book.armed_ms.is_some();
        let next = slot.clocks.next(&slot.book, self.jobs.begun(), now);
        let next = next
            .filter(|_| armed)
            .map(|at| at.saturating_add(slot.clocks.jitter(at)));
        let overdue = slot.overdue_ms.filter(|_| armed && !slot.book.overdue_told);
        let within = slot.job.start_within_ms;
        let give_up = within.and_then(|within| {
            let not_begun = |(lane, _): &(&Unit, &Fire)| {
                let lane = self.slots.get(*lane);
                lane.is_some_and(|lane| lane.run.is_none())
            };
            // One that was tried already has begun.
            let untried = |(_, fire): &(&Unit, &Fire)| fire.attempt == 0;
            let active = slot.book.active.iter().filter(not_begun).filter(untried);
            let fires = slot.book.pending.iter().chain(active.map(|(_, fire)| fire));
            fires.map(|fire| over_at(fire, within)).min()
        });
        let suspect = slot.suspect.as_ref().map(|suspect| suspect.until_ms);
        let earliest = [next, overdue, give_up, suspect]
            .into_iter()
            .flatten()
            .min()?;
        // One that is due already is looked at with the next tick, never in the same one.
        Some(earliest.max(now.wall_ms.saturating_add(1)))
    }
}

/// From when on a fire that has not begun is given up.
fn over_at(fire: &Fire, within_ms: u64) -> WallMs {
    let within = i64::try_from(within_ms).unwrap_or(i64::MAX);
    fire.due_ms.saturating_add(within).saturating_add(1)
}

impl JobSlot {
    /// The next `up` brings this fire about again, whatever becomes of it. Changes are told only
    /// once.
    fn comes_with_up(&self, fire: &Fire) -> bool {
        let is_due = self.clocks.runs_at_up() && !self.book.up_fired;
        fire.trigger == Trigger::Start && fire.is_about_nothing() && is_due
    }

    fn arm(&mut self, now: Now) {
        self.book.armed_ms = Some(now.wall_ms);
        self.book.cursor_ms = Some(now.wall_ms);
        self.book.up_fired = false;
        self.book.up_done = false;
        self.book.overdue_told = false;
    }

    fn tell(&self, what: What, now: Now, out: &mut Vec<Effect>) {
        out.push(Effect::Happened(Happened {
            at_ms: now.wall_ms,
            what,
        }));
    }

    /// A fire comes to its end without having begun.
    fn skip(&mut self, fire: Fire, why: &str, now: Now, out: &mut Vec<Effect>) {
        self.book.skipped_total = self.book.skipped_total.saturating_add(1);
        if self.clocks.counts_from_end() {
            // Or it would be due again at once.
            self.book.last_end_ms = Some(now.wall_ms);
        }
        let what = What::JobSkipped {
            job: self.book.job.clone(),
            due_ms: fire.due_ms,
            why: why.to_owned(),
        };
        self.tell(what, now, out);
        self.drop_batches(fire.batches, out);
    }

    fn tend_overdue(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(armed) = self.book.armed_ms else {
            self.overdue_ms = None;
            return;
        };
        let base = self.book.last_success_ms.unwrap_or(armed).max(armed);
        let given = self
            .job
            .overdue_ms
            .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        self.overdue_ms = match (self.clocks.expected(base, &self.book), given) {
            (Some((at, _)), Some(grace)) => Some(at.saturating_add(grace)),
            // A single time has no cadence to wait for once more.
            (Some((_, 0)), None) | (None, None) => None,
            (Some((at, cadence)), None) => {
                let (least, most) = (OVERDUE_DEFAULT_MS.start(), OVERDUE_DEFAULT_MS.end());
                Some(at.saturating_add(cadence.clamp(*least, *most)))
            }
            (None, Some(grace)) => Some(base.saturating_add(grace)),
        };
        let is_over = self.overdue_ms.is_some_and(|at| at <= now.wall_ms);
        if is_over && !self.book.overdue_told {
            self.book.overdue_told = true;
            let what = What::JobOverdue {
                job: self.book.job.clone(),
                last_success_ms: self.book.last_success_ms,
            };
            self.tell(what, now, out);
        }
    }

    fn is_overdue(&self, now: Now) -> bool {
        self.overdue_ms.is_some_and(|at| at <= now.wall_ms)
    }
}

impl Core {
    /// An occasion that is not the clock's. Only an armed job heeds a gauge.
    pub(crate) fn fire_job(
        &mut self,
        name: &str,
        trigger: Trigger,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.is_armed(name) || self.shutting_down {
            return;
        }
        let fire = Fire {
            due_ms: now.wall_ms,
            trigger,
            ..Fire::default()
        };
        self.bring_about(name, fire, now, out);
    }

    /// How many events wait for the next run of a job.
    pub(crate) fn events_waiting(&self, name: &str) -> usize {
        let slot = self.jobs.jobs.get(name);
        let pending = slot.into_iter().flat_map(|slot| &slot.book.pending);
        pending.map(|fire| fire.events.len()).sum()
    }

    /// A fire that somebody else has brought about; false when it is skipped.
    pub(crate) fn bring_about(
        &mut self,
        name: &str,
        fire: Fire,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(mut slot) = self.jobs.jobs.remove(name) else {
            return false;
        };
        let is_taken = self.admit(&mut slot, fire, now, out);
        out.push(Effect::Persist(Persist::Book(slot.book.clone())));
        self.jobs.jobs.insert(name.to_owned(), slot);
        self.dirty.extend(self.replicas(name).to_vec());
        is_taken
    }

    /// `eud trigger`.
    pub(crate) fn trigger(
        &mut self,
        units: &[Unit],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(Accepted, bool), Refusal> {
        let mut names: Vec<String> = Vec::new();
        for unit in units {
            let Some(slot) = self.slots.get(unit).filter(|slot| !slot.removed) else {
                return Err(Refusal::UnknownUnit { unit: unit.clone() });
            };
            let name = slot.daemon.name.clone();
            if slot.daemon.kind != Kind::Job {
                return Err(Refusal::NotAJob { unit: unit.clone() });
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
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut accepted = Accepted::default();
        for name in names {
            let fire = Fire {
                due_ms: now.wall_ms,
                trigger: Trigger::Hand,
                ..Fire::default()
            };
            if self.bring_about(&name, fire, now, out) {
                accepted.affected.push(name);
            } else {
                accepted.unchanged.push((name, "it still runs".to_owned()));
            }
        }
        Ok((accepted, false))
    }

    /// A person steps in: a pause ends.
    pub(crate) fn unpause(&mut self, unit: &str, out: &mut Vec<Effect>) -> bool {
        let name = crate::fleet::daemon_of(unit);
        let Some(slot) = self.jobs.jobs.get_mut(name) else {
            return false;
        };
        if slot.book.paused.take().is_none() {
            return false;
        }
        slot.book.loops = 0;
        slot.suspect = None;
        out.push(Effect::Persist(Persist::Book(slot.book.clone())));
        self.dirty.extend(self.replicas(name).to_vec());
        true
    }

    /// The next `up` is a fresh start: what runs once for each time it is brought up runs again.
    pub(crate) fn jobs_go_down(&mut self, now: Now, out: &mut Vec<Effect>) {
        for slot in self.jobs.jobs.values_mut() {
            if !slot.clocks.runs_at_up() {
                continue;
            }
            let before = slot.book.clone();
            slot.book.up_fired = false;
            slot.book.up_done = false;
            let pending = std::mem::take(&mut slot.book.pending);
            let (mut over, left): (Vec<Fire>, Vec<Fire>) = pending
                .into_iter()
                .partition(|fire| slot.comes_with_up(fire));
            slot.book.pending = left;
            for (unit, fire) in &before.active {
                let lane = self.slots.get_mut(unit).filter(|lane| lane.run.is_none());
                if let Some(lane) = lane.filter(|_| slot.comes_with_up(fire)) {
                    lane.fire = None;
                    lane.next_try_mono = None;
                    slot.book.active.remove(unit);
                    over.push(fire.clone());
                }
            }
            for fire in over {
                slot.skip(fire, "the next `up` brings it about again", now, out);
            }
            if slot.book != before {
                out.push(Effect::Persist(Persist::Book(slot.book.clone())));
            }
        }
    }

    /// Whether others may rely on what a job does: it did well last, or since it was brought up.
    pub(crate) fn job_serves(&self, name: &str) -> bool {
        self.jobs.jobs.get(name).is_some_and(|slot| {
            if slot.clocks.runs_at_up() {
                slot.book.up_done
            } else {
                slot.book.failures == 0 && slot.book.last_success_ms.is_some()
            }
        })
    }
}

//! The end of a job's run.
//!
//! Invariants: every end is counted once; a run that never started leaves its fire where it was;
//! the tries of one fire are bounded.

use super::JobSlot;
use super::lane::cause;
use crate::engine::{Core, policy};
use crate::fleet::Retry;
use crate::happened::What;
use crate::io::{Effect, Now, Persist};
use crate::planted::Planted;
use crate::record::{EndReason, ExitClass, ExitRecord, Fire, WallMs};
use crate::words;

/// How a run ended, as far as its fire is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobEnd {
    /// What the exit means.
    pub(crate) class: ExitClass,
    /// It was stopped, and not for a failure.
    pub(crate) is_stopped: bool,
    /// It is to begin anew.
    pub(crate) is_bounced: bool,
    /// The job is still wanted, or would be but for the manager's shutdown.
    pub(crate) lasts: bool,
}

impl Core {
    pub(crate) fn job_ended(
        &mut self,
        unit: &str,
        record: &ExitRecord,
        end: JobEnd,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let name = crate::fleet::daemon_of(unit).to_owned();
        let loses = self.has(Planted::FireLostWithKeeper);
        let Some(mut slot) = self.jobs.jobs.remove(&name) else {
            return;
        };
        let never = record.reason == EndReason::NeverStarted;
        let superseded = self
            .slots
            .get_mut(unit)
            .is_some_and(|lane| std::mem::take(&mut lane.superseded));
        let mut fire = slot.book.active.get(unit).cloned().unwrap_or_default();
        // It was stopped and is wanted: something that it needs went away, and may come back.
        let again = (never && !loses) || end.is_bounced || (end.is_stopped && !never);
        let is_wanted = end.lasts && !self.shutting_down;
        // A shutdown does not cost a fire that did not run, as a crash does not.
        let kept = never && end.lasts && !slot.comes_with_up(&fire);
        let stays = !superseded && (is_wanted || kept) && again;
        if stays {
            self.put_fire(unit, &mut slot, Some(fire));
        } else if superseded || end.is_stopped || never || !is_wanted && is_failure(end.class) {
            self.put_fire(unit, &mut slot, None);
            slot.over(fire, record, false, now, out);
        } else if is_failure(end.class) {
            slot.book.last_end_ms = Some(record.ended_at_ms.min(now.wall_ms));
            if fire.attempt < slot.job.retry.limit {
                let delay = delay_ms(&slot.job.retry, fire.attempt);
                fire.attempt += 1;
                let wait = i64::try_from(delay).unwrap_or(i64::MAX);
                fire.retry_at_ms = Some(now.wall_ms.saturating_add(wait));
                self.put_fire(unit, &mut slot, Some(fire));
                if let Some(lane) = self.slots.get_mut(unit) {
                    lane.next_try_mono = Some(now.mono_ms.saturating_add(delay));
                }
            } else {
                slot.book.failures = slot.book.failures.saturating_add(1);
                self.put_fire(unit, &mut slot, None);
                slot.over(fire, record, false, now, out);
            }
        } else {
            let at: WallMs = record.ended_at_ms.min(now.wall_ms);
            slot.book.failures = 0;
            slot.book.last_success_ms = Some(at);
            slot.book.overdue_told = false;
            slot.book.up_done = true;
            self.put_fire(unit, &mut slot, None);
            slot.over(fire, record, true, now, out);
        }
        out.push(Effect::Persist(Persist::Book(slot.book.clone())));
        self.jobs.jobs.insert(name.clone(), slot);
        self.dirty.extend(self.replicas(&name).to_vec());
    }

    fn put_fire(&mut self, unit: &str, slot: &mut JobSlot, fire: Option<Fire>) {
        match &fire {
            Some(fire) => slot.book.active.insert(unit.to_owned(), fire.clone()),
            None => slot.book.active.remove(unit),
        };
        if let Some(lane) = self.slots.get_mut(unit) {
            lane.next_try_mono = None;
            if let Some(fire) = &fire {
                lane.cause = cause(fire);
            }
            lane.fire = fire;
        }
    }
}

impl JobSlot {
    /// A fire that had begun is over.
    fn over(
        &mut self,
        fire: Fire,
        record: &ExitRecord,
        succeeded: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.book.last_end_ms = Some(record.ended_at_ms.min(now.wall_ms));
        let what = What::JobEnded {
            job: self.book.job.clone(),
            due_ms: fire.due_ms,
            succeeded,
            tries: fire.attempt.saturating_add(1),
            how: words::ending(record),
            depth: fire.depth,
        };
        self.tell(what, now, out);
        self.drop_batches(fire.batches, out);
    }
}

fn is_failure(class: ExitClass) -> bool {
    matches!(class, ExitClass::Failure | ExitClass::Stopped)
}

/// Delay before the try after this many.
pub(super) fn delay_ms(retry: &Retry, tried: u32) -> u64 {
    policy::grown(
        retry.backoff_initial_ms,
        retry.backoff_factor_percent,
        retry.backoff_max_ms,
        tried,
    )
}

//! What is shown of jobs.
//!
//! Invariant: a lane without a run is in exactly one state.

use super::JobSlot;
use super::clock::{Begun, Clocks};
use crate::engine::Core;
use crate::engine::slot::Slot;
use crate::fleet::{Job, daemon_of};
use crate::io::Now;
use crate::record::{Book, Trigger, WallMs};
use crate::view::{JobView, State};
use crate::words;

/// Times at which a job would run next, as far as clock and book tell; for whoever has no core that
/// runs. Without a book it is as if the job was brought up now.
pub fn coming(
    name: &str,
    job: &Job,
    book: Option<&Book>,
    boot_id: &str,
    now: Now,
    count: usize,
) -> Vec<WallMs> {
    let fresh = Book {
        armed_ms: Some(now.wall_ms),
        ..Book::default()
    };
    let begun = Begun {
        manager_ms: 0,
        boot_id,
    };
    Clocks::new(name, job).coming(book.unwrap_or(&fresh), begun, now, count)
}

impl Core {
    /// State of a lane without a run, of a job that is wanted and not held.
    pub(crate) fn idle_state(&self, unit: &str, lane: &Slot) -> State {
        let Some(slot) = self.jobs.jobs.get(daemon_of(unit)) else {
            return State::Waiting;
        };
        let is_closed = self.closed_gate(&slot.book.job).is_some();
        if lane.fire.is_some() {
            return match lane.next_try_mono {
                Some(_) => State::Backoff,
                None if is_closed => State::Paused,
                None => State::Waiting,
            };
        }
        // What concerns the job as a whole is shown once.
        if self.replicas(&slot.book.job).first().map(String::as_str) != Some(unit) {
            return State::Scheduled;
        }
        let now = self.jobs.seen;
        if slot.book.paused.is_some() || is_closed {
            State::Paused
        } else if !slot.book.pending.is_empty() {
            State::Waiting
        } else if slot.book.failures > 0 {
            State::Failed
        } else if slot.is_overdue(now) {
            State::Overdue
        } else if slot.book.up_done && self.is_through(slot, now) {
            State::Done
        } else {
            State::Scheduled
        }
    }

    /// Nothing will fire it but a hand.
    fn is_through(&self, slot: &JobSlot, now: Now) -> bool {
        let daemon = self.fleet.daemons.get(&slot.book.job);
        let is_watched = daemon.is_some_and(|daemon| daemon.watch.is_some());
        let had_a_clock = !slot.job.schedules.is_empty();
        let next = slot.clocks.next(&slot.book, self.jobs.begun(), now);
        had_a_clock && next.is_none() && !is_watched && slot.job.gauges.is_empty()
    }

    /// Why a lane without a run is what it is.
    pub(crate) fn job_reason(&self, unit: &str, now: Now) -> Option<String> {
        let slot = self.jobs.jobs.get(daemon_of(unit))?;
        let lane = self.slots.get(unit)?;
        let ending = || {
            let row = lane.last.as_ref()?;
            row.exit.as_ref().map(words::ending)
        };
        match self.state_of(unit, lane) {
            State::Paused => slot
                .book
                .paused
                .clone()
                .or_else(|| self.closed_gate(&slot.book.job)),
            State::Waiting => {
                let first = slot.book.pending.first()?;
                let why = self.keeps_waiting(slot, first);
                Some(why.unwrap_or_else(|| "about to start".to_owned()))
            }
            State::Failed => {
                let ending = ending().unwrap_or_else(|| "failed".to_owned());
                Some(format!("{ending}; {}", self.next_in_words(slot, now)))
            }
            State::Overdue => {
                let last = slot.book.last_success_ms.map_or_else(
                    || "it never succeeded".to_owned(),
                    |at| format!("last success {} ago", ago(at, now)),
                );
                Some(format!("{last}; {}", self.next_in_words(slot, now)))
            }
            State::Scheduled => Some(self.next_in_words(slot, now)),
            _ => None,
        }
    }

    fn next_in_words(&self, slot: &JobSlot, now: Now) -> String {
        if let Some(at) = slot.clocks.next(&slot.book, self.jobs.begun(), now) {
            let wait = u64::try_from(at.saturating_sub(now.wall_ms)).unwrap_or(0);
            return format!("next in {}", words::duration(wait));
        }
        let daemon = self.fleet.daemons.get(&slot.book.job);
        if daemon.is_some_and(|daemon| daemon.watch.is_some()) {
            return "runs when its paths change".to_owned();
        }
        if let Some(gauge) = slot.job.gauges.first() {
            return format!("runs when `{}` is {}", gauge.gauge, gauge.level);
        }
        "runs when it is triggered by hand".to_owned()
    }

    /// What only jobs have.
    pub(crate) fn job_view(&self, unit: &str, now: Now) -> Option<JobView> {
        let slot = self.jobs.jobs.get(daemon_of(unit))?;
        let lane = self.slots.get(unit)?;
        let book = &slot.book;
        let next = slot.clocks.next(book, self.jobs.begun(), now);
        Some(JobView {
            next_fire_at: next.map(words::rfc3339),
            last_success_at: book.last_success_ms.map(words::rfc3339),
            overdue_at: slot.overdue_ms.map(words::rfc3339),
            trigger: lane
                .fire
                .as_ref()
                .map(|fire| fire.trigger.as_str().to_owned()),
            attempt: lane.fire.as_ref().map_or(0, |fire| fire.attempt),
            pending: book.pending.len(),
            failures: book.failures,
            fires: book.fires_total,
            skipped: book.skipped_total,
        })
    }

    /// Whether a lane's fire was brought about by a hand, and nobody stopped it since.
    pub(crate) fn is_by_hand(lane: &Slot) -> bool {
        lane.fire
            .as_ref()
            .is_some_and(|fire| fire.trigger == Trigger::Hand && !fire.revoked)
    }
}

fn ago(at: WallMs, now: Now) -> String {
    words::duration(u64::try_from(now.wall_ms.saturating_sub(at)).unwrap_or(0))
}

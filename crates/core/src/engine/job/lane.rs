//! Fires: how they are let in, wait, and come to a lane.
//!
//! Invariants: a lane has at most one fire, and a fire is on at most one lane; what is let in is in
//! the book; `pending` is bounded: one fire, but for missed ones, which are as many as the job
//! makes up for.

use super::{JobSlot, over_at};
use crate::engine::Core;
use crate::engine::slot::Slot;
use crate::fleet::{Missed, Overlap, Unit};
use crate::happened::What;
use crate::io::{Effect, Now};
use crate::record::{Desired, Fire, Trigger};

impl Core {
    /// Lets a fire in, or makes it part of one that waits, or skips it. False when it is skipped.
    pub(super) fn admit(
        &mut self,
        slot: &mut JobSlot,
        fire: Fire,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        // The clock was set back, and its times come again.
        let by_clock = |fire: &Fire| matches!(fire.trigger, Trigger::Schedule | Trigger::Missed);
        let mut present = slot.book.pending.iter().chain(slot.book.active.values());
        if by_clock(&fire) && present.any(|other| by_clock(other) && other.due_ms == fire.due_ms) {
            return true;
        }
        let is_free = self.free_lane(slot, &fire).is_some();
        let room = match (fire.trigger, slot.job.missed) {
            (Trigger::Missed, Missed::RunAll { max }) => max as usize,
            _ => 0,
        };
        let overlap = slot.job.overlap;
        let keeps = !fire.batches.is_empty() || !fire.events.is_empty();
        match overlap {
            _ if slot.book.pending.is_empty() && is_free => {}
            _ if slot.book.pending.len() < room => {}
            _ if !slot.book.pending.is_empty() => {
                slot.join_pending(fire, now, out);
                return true;
            }
            Overlap::QueueOne => {}
            // Changes are never skipped: nobody would tell of them again.
            Overlap::Skip | Overlap::Allow if keeps => {}
            Overlap::KillOld => self.supersede(slot, now, out),
            Overlap::Skip | Overlap::Allow => {
                slot.skip(fire, "it still runs", now, out);
                return false;
            }
        }
        slot.book.fires_total = slot.book.fires_total.saturating_add(1);
        let what = What::JobFired {
            job: slot.book.job.clone(),
            trigger: fire.trigger,
            due_ms: fire.due_ms,
            depth: fire.depth,
        };
        slot.tell(what, now, out);
        slot.book.pending.push(fire);
        true
    }

    /// A lane without a fire on which this one may begin: a lane may be stopped alone.
    fn free_lane(&self, slot: &JobSlot, fire: &Fire) -> Option<Unit> {
        let by_hand = fire.trigger == Trigger::Hand && !fire.revoked;
        let lanes = self.replicas(&slot.book.job).iter();
        let is_free = |lane: &&Unit| {
            let taken = slot.book.active.contains_key(*lane);
            let known = self.slots.get(*lane);
            let may = |lane: &Slot| {
                let wanted = lane.intent.desired == Desired::Up || by_hand;
                wanted && lane.intent.hold.is_none() && lane.run.is_none() && !lane.removed
            };
            !taken && known.is_some_and(may)
        };
        lanes.into_iter().find(is_free).cloned()
    }

    /// Stops the oldest run, for a newer fire.
    fn supersede(&mut self, slot: &mut JobSlot, now: Now, out: &mut Vec<Effect>) {
        let oldest = slot.book.active.iter().min_by_key(|(_, fire)| fire.due_ms);
        let Some(lane) = oldest.map(|(lane, _)| lane.clone()) else {
            return;
        };
        let runs = self.slots.get_mut(&lane).is_some_and(|lane| {
            if lane.run.is_some() {
                lane.superseded = true;
            } else {
                lane.fire = None;
                lane.next_try_mono = None;
            }
            lane.run.is_some()
        });
        self.dirty.insert(lane.clone());
        if !runs && let Some(fire) = slot.book.active.remove(&lane) {
            slot.skip(fire, "a newer fire takes its place", now, out);
        }
    }

    /// Gives up what could not begin in time.
    pub(super) fn give_up(&mut self, slot: &mut JobSlot, now: Now, out: &mut Vec<Effect>) {
        let Some(within) = slot.job.start_within_ms else {
            return;
        };
        let is_over = |fire: &Fire| over_at(fire, within) <= now.wall_ms;
        let why = "it could not begin in time";
        let (over, left) = std::mem::take(&mut slot.book.pending)
            .into_iter()
            .partition(is_over);
        slot.book.pending = left;
        let over: Vec<Fire> = over;
        for fire in over {
            slot.skip(fire, why, now, out);
        }
        for lane in self.replicas(&slot.book.job).to_vec() {
            let Some(waiting) = self.slots.get_mut(&lane).filter(|l| l.run.is_none()) else {
                continue;
            };
            // One that was tried already has begun.
            let late = waiting
                .fire
                .as_ref()
                .is_some_and(|fire| fire.attempt == 0 && is_over(fire));
            if late && let Some(fire) = slot.book.active.remove(&lane) {
                waiting.fire = None;
                waiting.next_try_mono = None;
                slot.skip(fire, why, now, out);
            }
        }
    }

    /// Brings what waits to free lanes, as far as nothing forbids it.
    pub(super) fn begin_pending(&mut self, slot: &mut JobSlot, now: Now, _out: &mut [Effect]) {
        while let Some(first) = slot.book.pending.first() {
            if self.keeps_waiting(slot, first).is_some() {
                return;
            }
            let Some(lane) = self.free_lane(slot, first) else {
                return;
            };
            let fire = slot.book.pending.remove(0);
            slot.book.active.insert(lane.clone(), fire.clone());
            if let Some(taken) = self.slots.get_mut(&lane) {
                taken.cause = cause(&fire);
                taken.fire = Some(fire);
                taken.next_try_mono = None;
                taken.waiting_since = Some(now.mono_ms);
                taken.impatient = false;
            }
            self.dirty.insert(lane);
        }
    }

    /// Why a fire does not begin although a lane may be free; `None`: nothing forbids it.
    pub(super) fn keeps_waiting(&self, slot: &JobSlot, fire: &Fire) -> Option<String> {
        let name = &slot.book.job;
        let is_by_hand = fire.trigger == Trigger::Hand && !fire.revoked;
        if !is_by_hand && let Some(paused) = &slot.book.paused {
            return Some(paused.clone());
        }
        if !is_by_hand && slot.suspect.is_some() {
            return Some("it rests, to see whether its paths change all the same".to_owned());
        }
        self.closed_gate(name)
            .or_else(|| self.unmet(&slot.job.only_when))
    }

    /// The job is not wanted any more: what has not begun is over. Runs are stopped as any unit's.
    pub(super) fn disarm(&mut self, slot: &mut JobSlot, now: Now, out: &mut Vec<Effect>) {
        slot.book.armed_ms = None;
        slot.book.cursor_ms = None;
        slot.book.overdue_told = false;
        let by_hand = |fire: &Fire| fire.trigger == Trigger::Hand && !fire.revoked;
        let why = "the job was stopped";
        let (stay, over): (Vec<Fire>, Vec<Fire>) = std::mem::take(&mut slot.book.pending)
            .into_iter()
            .partition(by_hand);
        slot.book.pending = stay;
        for fire in over {
            slot.skip(fire, why, now, out);
        }
        for lane in self.replicas(&slot.book.job).to_vec() {
            let Some(waiting) = self.slots.get_mut(&lane).filter(|l| l.run.is_none()) else {
                continue;
            };
            let stays = waiting.fire.as_ref().is_none_or(by_hand);
            if !stays && let Some(fire) = slot.book.active.remove(&lane) {
                waiting.fire = None;
                waiting.next_try_mono = None;
                slot.skip(fire, why, now, out);
            }
        }
    }

    /// One lane is stopped, and others are not: what has not begun on it begins elsewhere, what a
    /// hand began on it does not go on.
    fn clear_lane(&mut self, unit: &str, slot: &mut JobSlot) {
        let Some(lane) = self.slots.get_mut(unit) else {
            return;
        };
        if lane.run.is_none() {
            lane.fire = None;
            lane.next_try_mono = None;
            if let Some(fire) = slot.book.active.remove(unit) {
                slot.book.pending.insert(0, fire);
            }
        } else if let Some(fire) = slot.book.active.get_mut(unit) {
            fire.revoked = true;
            lane.fire = Some(fire.clone());
        }
    }

    /// A person stopped or held it: what a hand brought about does not go on either.
    pub(crate) fn revoke_fires(&mut self, unit: &str, now: Now, out: &mut Vec<Effect>) {
        let name = crate::fleet::daemon_of(unit).to_owned();
        let Some(mut slot) = self.jobs.jobs.remove(&name) else {
            return;
        };
        let before = slot.book.clone();
        if self.is_armed(&name) {
            self.clear_lane(unit, &mut slot);
        } else {
            for fire in slot.book.pending.iter_mut() {
                fire.revoked = true;
            }
            for (lane, fire) in &mut slot.book.active {
                fire.revoked = true;
                if let Some(lane) = self.slots.get_mut(lane) {
                    lane.fire = Some(fire.clone());
                }
            }
            self.disarm(&mut slot, now, out);
        }
        if slot.book != before {
            let book = slot.book.clone();
            out.push(Effect::Persist(crate::io::Persist::Book(book)));
        }
        self.jobs.jobs.insert(name, slot);
    }
}

impl JobSlot {
    /// Makes a fire part of the last one that waits.
    fn join_pending(&mut self, fire: Fire, now: Now, out: &mut Vec<Effect>) {
        let hand = fire.trigger == Trigger::Hand;
        let Some(last) = self.book.pending.last_mut() else {
            return;
        };
        let due_ms = fire.due_ms;
        last.batches.extend(fire.batches);
        last.events.extend(fire.events);
        last.depth = last.depth.max(fire.depth);
        if hand {
            last.trigger = Trigger::Hand;
        }
        self.book.skipped_total = self.book.skipped_total.saturating_add(1);
        let what = What::JobSkipped {
            job: self.book.job.clone(),
            due_ms,
            why: "it became part of the fire that waits".to_owned(),
        };
        self.tell(what, now, out);
    }
}

/// Why the run of a fire begins, in words.
pub(super) fn cause(fire: &Fire) -> String {
    let trigger = fire.trigger.as_str();
    match fire.attempt {
        0 => trigger.to_owned(),
        n => format!("{trigger}, try {}", n + 1),
    }
}

//! Dead letters: deliveries that were given up, with their whole story.
//!
//! Invariants: one is made in the batch in which its delivery ends; it keeps its event; by itself
//! it is tried again at most as often as its subscription says, and not once it is abandoned.

use super::deliver::{forget, remember};
use super::subscription::{Delivery, OUTLET, Place};
use crate::engine::Core;
use crate::io::{Accepted, BusPersist, Effect, Now, Numbers, Persist, Refusal};
use crate::record::DeadLetterRow;

impl Core {
    /// Gives a delivery up.
    pub(crate) fn bury(
        &mut self,
        name: &str,
        place: Place,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.bus.subs.get_mut(name) else {
            return;
        };
        let Some(Delivery {
            mut row, is_saved, ..
        }) = slot.remove(place)
        else {
            return;
        };
        slot.row.dead_total += 1;
        slot.is_changed = true;
        if is_saved {
            forget(&row, out);
        }
        remember(&mut row, why.clone(), now);
        (row.next_ms, row.task) = (None, None);
        let definition = &slot.definition;
        let again = row.revived < definition.dead_retries;
        let wait = i64::try_from(definition.dead_retry_ms).unwrap_or(i64::MAX);
        self.bus.last_dead += 1;
        let dead = DeadLetterRow {
            id: self.bus.last_dead,
            retries: row.revived,
            at_ms: now.wall_ms,
            retry_ms: again.then(|| now.wall_ms.saturating_add(wait)),
            abandoned: false,
            delivery: row,
        };
        let hushed = dead.delivery.hushed;
        let data = serde_json::json!({
            "subscription": name,
            "event": dead.delivery.seq,
            "dead_letter": dead.id,
            "attempts": dead.delivery.attempts,
            "why": why,
        });
        self.keep(dead, out);
        // Of what is about subscriptions itself nothing is told, or two of them could go on for
        // ever.
        if !hushed {
            let subject = Some(name.to_owned());
            self.announce("subscription.dead", subject, data, now, out);
        }
    }

    fn keep(&mut self, dead: DeadLetterRow, out: &mut Vec<Effect>) {
        let item = BusPersist::DeadLetter(Box::new(dead.clone()));
        out.push(Effect::Persist(Persist::Bus(item)));
        if let Some(at_ms) = dead.retry_ms {
            self.bus.dead_later.insert((at_ms, dead.id));
        }
        self.bus.dead.insert(dead.id, dead);
    }

    fn unkeep(&mut self, id: u64) -> Option<DeadLetterRow> {
        let dead = self.bus.dead.remove(&id)?;
        if let Some(at_ms) = dead.retry_ms {
            self.bus.dead_later.remove(&(at_ms, id));
        }
        Some(dead)
    }

    /// Dead letters of an earlier manager.
    pub(crate) fn recover_dead(&mut self, rows: Vec<DeadLetterRow>, last: u64) {
        self.bus.last_dead = last;
        for dead in rows {
            if let Some(at_ms) = dead.retry_ms {
                self.bus.dead_later.insert((at_ms, dead.id));
            }
            self.bus.dead.insert(dead.id, dead);
        }
    }

    /// Tries again those that are due.
    pub(crate) fn revive(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.bus.dead_due = None;
        if self.shutting_down {
            return;
        }
        while let Some((at_ms, id)) = self.bus.dead_later.first().copied() {
            if at_ms > now.wall_ms {
                break;
            }
            self.bus.dead_later.pop_first();
            if let Some(dead) = self.bus.dead.get(&id).cloned()
                && self.raise(dead, true, now, out).is_err()
            {
                // Its subscription is gone: nobody would take it.
                self.settle_dead(id, |dead| dead.retry_ms = None, out);
            }
        }
        let next = self.bus.dead_later.first().map(|(at_ms, _)| *at_ms);
        self.bus.dead_due = next.map(|at_ms| {
            let wait = u64::try_from(at_ms.saturating_sub(now.wall_ms)).unwrap_or(0);
            now.mono_ms.saturating_add(wait)
        });
    }

    /// Abandons what is old, and forgets what was abandoned as long again.
    pub(crate) fn age_dead(&mut self, now: Now, out: &mut Vec<Effect>) {
        let ids: Vec<u64> = self.bus.dead.keys().copied().collect();
        for id in ids {
            let Some(dead) = self.bus.dead.get(&id) else {
                continue;
            };
            let outlet = &dead.delivery.outlet;
            let name = outlet.strip_prefix(OUTLET).unwrap_or(outlet);
            let slot = self.bus.subs.get(name);
            let default = crate::fleet::Subscription::default().abandon_ms;
            let limit = slot.map_or(default, |slot| slot.definition.abandon_ms);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let age = now.wall_ms.saturating_sub(dead.at_ms);
            if age > limit.saturating_mul(2) {
                self.unkeep(id);
                out.push(Effect::Persist(Persist::Bus(BusPersist::ForgetDeadLetter(
                    id,
                ))));
            } else if age > limit && !dead.abandoned {
                let abandon = |dead: &mut DeadLetterRow| {
                    dead.abandoned = true;
                    dead.retry_ms = None;
                };
                self.settle_dead(id, abandon, out);
            }
        }
    }

    fn settle_dead(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut DeadLetterRow),
        out: &mut Vec<Effect>,
    ) {
        if let Some(mut dead) = self.unkeep(id) {
            change(&mut dead);
            self.keep(dead, out);
        }
    }

    fn raise(
        &mut self,
        dead: DeadLetterRow,
        by_itself: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.has_taker(dead.id)?;
        let outlet = &dead.delivery.outlet;
        let name = outlet.strip_prefix(OUTLET).unwrap_or(outlet).to_owned();
        let Some(slot) = self.bus.subs.get_mut(&name) else {
            return Ok(());
        };
        let mut row = dead.delivery;
        row.attempts = 0;
        row.taken_ms = now.wall_ms;
        row.revived += u32::from(by_itself);
        let place = (row.seq, row.number);
        if !slot.deliveries.contains_key(&place) {
            let delivery = Delivery {
                row,
                event: None,
                is_saved: false,
            };
            slot.changed.insert(place);
            slot.queue(delivery, now);
        }
        self.unkeep(dead.id);
        out.push(Effect::Persist(Persist::Bus(BusPersist::ForgetDeadLetter(
            dead.id,
        ))));
        Ok(())
    }

    fn has_taker(&self, id: u64) -> Result<(), Refusal> {
        let Some(dead) = self.bus.dead.get(&id) else {
            return Ok(());
        };
        let outlet = &dead.delivery.outlet;
        let name = outlet.strip_prefix(OUTLET).unwrap_or(outlet);
        if self.bus.subs.contains_key(name) {
            return Ok(());
        }
        let why = format!(
            "dead letter {id}: there is no subscription `{name}` any more; drop it, or declare \
             the subscription again"
        );
        Err(Refusal::Invalid { why })
    }

    /// `eud dlq retry`
    pub(crate) fn retry_dead(
        &mut self,
        which: &Numbers,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let mut accepted = Accepted::default();
        let ids = self.dead_ids(which)?;
        // All that were named, or none.
        if let Numbers::These(_) = which {
            ids.iter().try_for_each(|id| self.has_taker(*id))?;
        }
        for id in ids {
            let Some(dead) = self.bus.dead.get(&id).cloned() else {
                continue;
            };
            match (self.raise(dead, false, now, out), which) {
                (Ok(()), _) => accepted.count += 1,
                (Err(Refusal::Invalid { why }), Numbers::All) => accepted.warnings.push(why),
                (Err(refusal), _) => return Err(refusal),
            }
        }
        Ok(accepted)
    }

    /// `eud dlq drop`
    pub(crate) fn drop_dead(
        &mut self,
        which: &Numbers,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let mut accepted = Accepted::default();
        for id in self.dead_ids(which)? {
            self.unkeep(id);
            let item = BusPersist::ForgetDeadLetter(id);
            out.push(Effect::Persist(Persist::Bus(item)));
            accepted.count += 1;
        }
        Ok(accepted)
    }

    fn dead_ids(&self, which: &Numbers) -> Result<Vec<u64>, Refusal> {
        match which {
            Numbers::All => Ok(self.bus.dead.keys().copied().collect()),
            Numbers::These(ids) => {
                let unknown = ids.iter().find(|id| !self.bus.dead.contains_key(id));
                match unknown {
                    Some(id) => Err(Refusal::Unknown {
                        what: "dead letter".to_owned(),
                        name: id.to_string(),
                    }),
                    None => Ok(ids.clone()),
                }
            }
        }
    }
}

//! Where rules come from, and what an earlier manager left of them.
//!
//! Invariants: a rule that is no longer declared is forgotten, and its open requests are over; what
//! waits is due after its time at the latest, whatever the clock did.

use std::collections::BTreeMap;

use super::durable;
use super::slot::Slot;
use crate::engine::Core;
use crate::fleet::Rule;
use crate::io::{Effect, Now, RulePersist, RuleRecovery};
use crate::planted::Planted;
use crate::record::{ApprovalRow, RuleRow, WallMs};

/// Time until then, at most `longest_ms`.
fn wait(until: WallMs, longest_ms: u64, now: Now) -> u64 {
    let wait = u64::try_from(until.saturating_sub(now.wall_ms)).unwrap_or(0);
    wait.min(longest_ms)
}

/// Whether counts, sequences and waits of the one mean the same to the other.
fn counts_alike(one: &Rule, other: &Rule) -> bool {
    (&one.on, &one.sequence, &one.when, &one.key)
        == (&other.on, &other.sequence, &other.when, &other.key)
        && (one.count, one.within_ms, one.for_ms) == (other.count, other.within_ms, other.for_ms)
}

impl Slot {
    /// Takes over what a slot with an older definition remembers.
    fn inherit(&mut self, old: Self) {
        self.row = old.row;
        self.is_changed = old.is_changed;
        self.changed_keys = old.changed_keys;
        self.later = old.later;
        self.open = old.open;
        if !counts_alike(&self.definition, &old.definition) {
            self.call_off_all();
            for (key, memory) in &mut self.row.keys {
                memory.hits_ms.clear();
                (memory.step, memory.step_ms) = (0, None);
                self.changed_keys.insert(key.clone());
            }
        }
        if self.definition.ladder != old.definition.ladder {
            for (key, memory) in &mut self.row.keys {
                if memory.rung.take().is_some() {
                    self.changed_keys.insert(key.clone());
                }
            }
        }
    }

    /// Takes over what an earlier manager left.
    fn recover(&mut self, row: RuleRow, now: Now) {
        self.row = row;
        let for_ms = self.definition.for_ms.unwrap_or(0);
        for (key, memory) in &self.row.keys {
            if let Some((at_ms, _)) = memory.waits {
                let due = now.mono_ms.saturating_add(wait(at_ms, for_ms, now));
                self.later.insert((due, key.clone()));
            }
        }
    }
}

impl Core {
    /// Takes over what the fleet file says of rules.
    pub(crate) fn load_rules(&mut self, now: Now, out: &mut Vec<Effect>) {
        let slots = std::mem::take(&mut self.rules.slots);
        let named = slots
            .into_iter()
            .map(|slot| (slot.definition.name.clone(), slot));
        let mut before: BTreeMap<String, Slot> = named.collect();
        self.rules.by_name.clear();
        self.rules.of_type.clear();
        for rule in self.fleet.rules.clone() {
            let name = rule.name.clone();
            let row = RuleRow {
                name: name.clone(),
                ..RuleRow::default()
            };
            // What the fleet file says was checked when it was read.
            let Ok(mut slot) = Slot::new(rule, row) else {
                continue;
            };
            if let Some(old) = before.remove(&name) {
                slot.inherit(old);
            }
            self.rules.by_name.insert(name, self.rules.slots.len());
            self.rules.slots.push(slot);
        }
        if !self.rules.recovered {
            return;
        }
        for (name, slot) in before {
            out.push(durable(RulePersist::Forget(name)));
            for id in slot.open.into_values() {
                self.expire(id, now, out);
            }
        }
        self.save_rules(out);
    }

    pub(crate) fn recover_rules(&mut self, found: RuleRecovery, now: Now, out: &mut Vec<Effect>) {
        self.rules.recovered = true;
        for mut row in found.rules {
            if self.has(Planted::CooldownForgotten) {
                row.keys
                    .values_mut()
                    .for_each(|memory| memory.fired_ms = None);
            }
            match self.rules.slot(&row.name) {
                Some(slot) => slot.recover(row, now),
                None => out.push(durable(RulePersist::Forget(row.name))),
            }
        }
        self.rules.last_approval = found.last_approval;
        for row in found.approvals {
            self.recover_approval(row, now, out);
        }
    }

    fn recover_approval(&mut self, row: ApprovalRow, now: Now, out: &mut Vec<Effect>) {
        let (id, key) = (row.id, row.key.clone());
        let (expires_ms, is_open) = (row.expires_ms, row.outcome.is_none());
        let slot = self.rules.slot(&row.rule);
        let longest_ms = match slot {
            Some(slot) if is_open => {
                slot.open.insert(key, id);
                Some(slot.definition.approve_within_ms)
            }
            _ => None,
        };
        self.rules.approvals.insert(id, row);
        if let Some(longest_ms) = longest_ms {
            let due = now
                .mono_ms
                .saturating_add(wait(expires_ms, longest_ms, now));
            self.rules.expires.insert((due, id));
        } else if is_open {
            self.expire(id, now, out);
        }
    }
}

//! Rules, told first in prose.
//!
//! A rule looks at every event once, in order, in the batch that stores it, before any subscription
//! does. An event is *meant* when its type fits `on` (or a step of `sequence`), `when` holds, and
//! it is not one that the rule told of itself. An error of an expression is never true: it is
//! counted and shown. What is meant is kept apart by *key*.
//!
//! **Turn.** A meant event lets the rule act at once, or when it is the last of `count` within
//! `within_ms`, or the last of a sequence, or when `for_ms` have passed. One of `unless` calls off
//! what waits for the same key, and begins counts and sequences anew. Of a
//! sequence one beginning is remembered for each key, and given up when its time is over. Nothing
//! is counted while the key cools down, after `once_per_key`, or while a person is asked about it:
//! such events are let pass, and counted as that.
//!
//! **Acting.** Actions are done in order; one that fails is told and does not stop the next. With a
//! ladder it is the turn of its present rung; see `ladder`. With `approve` the rule asks instead;
//! see `approve`. To ask counts as acting for cooldowns, `once_per_key` and the limit: who was
//! denied once does not ask again at once.
//!
//! **Loops.** What an action brings about is one deeper than its event; from
//! [`DEPTH_MAX`] on events are let pass. What carries no depth (a daemon that is restarted tells of
//! that like any other) is stopped by `limit`: one action more disables the rule, durably, until a
//! person enables it.
//!
//! **Memory.** All of it is durable in the batch that changes it, key by key, at most [`KEYS_MAX`]
//! of them: beyond, the one that was touched first is forgotten, and with it that the rule acted
//! for it. Times are of the wall clock; one that lies in the future, since the clock was set back,
//! counts as now, so that a jump makes nobody wait longer than its own time.
//!
//! Invariants: a rule acts only in a batch that says so (`rule.fired`) and that has its memory;
//! nothing is seen while the manager shuts down, so that no rule works against it.
//! Deliberately absent: events of the time before a rule was declared.

mod act;
mod approve;
mod command;
mod fill;
mod ladder;
mod load;
mod see;
mod show;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::Core;
use crate::engine::bus::take::Variables;
use crate::event::Event;
use crate::expr::Scope;
use crate::fleet::Rate;
use crate::io::{Effect, Now, Persist, RulePersist};
use crate::record::ApprovalRow;
use see::Trail;
use slot::Slot;

pub(crate) use crate::engine::bus::take::DEPTH_MAX;

/// Keys that a rule remembers.
pub(crate) const KEYS_MAX: usize = 1_000;
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 512;
/// Payloads of the events for which one rule waits, together, in bytes.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Types of events for which it is known who looks at them.
const TYPES_MAX: usize = 1_000;

/// What the core remembers of rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// In the order of the fleet file.
    slots: Vec<Slot>,
    by_name: BTreeMap<String, usize>,
    /// Who looks at events of a type.
    of_type: BTreeMap<String, Arc<[usize]>>,
    /// Requests for approval that are kept.
    approvals: BTreeMap<u64, ApprovalRow>,
    last_approval: u64,
    /// Monotonic time at which an open one is over.
    expires: BTreeSet<(u64, u64)>,
    /// What an earlier manager left is known.
    recovered: bool,
    /// Since it was asked last.
    acted: bool,
}

impl Rules {
    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        let waits = self.slots.iter().filter_map(|slot| slot.later.first());
        let waits = waits.map(|(due, _)| *due).min();
        let expires = self.expires.first().map(|(due, _)| *due);
        [waits, expires].into_iter().flatten().min()
    }

    /// Whether any acted since this was asked last.
    pub(crate) fn have_acted(&mut self) -> bool {
        std::mem::take(&mut self.acted)
    }

    /// Rules that look at events of a type.
    fn looking_at(&mut self, kind: &str) -> Arc<[usize]> {
        if let Some(known) = self.of_type.get(kind) {
            return Arc::clone(known);
        }
        // Publishers may make up as many types as they like.
        if self.of_type.len() >= TYPES_MAX {
            self.of_type.clear();
        }
        let slots = self.slots.iter().enumerate();
        let looking = slots.filter(|(_, slot)| slot.looks_at(kind));
        let looking: Arc<[usize]> = looking.map(|(at, _)| at).collect();
        self.of_type.insert(kind.to_owned(), Arc::clone(&looking));
        looking
    }

    fn slot(&mut self, name: &str) -> Option<&mut Slot> {
        let at = *self.by_name.get(name)?;
        self.slots.get_mut(at)
    }
}

impl Core {
    /// Looks at events that were just stored, in order.
    pub(crate) fn rules_see(&mut self, fresh: &[Arc<Event>], now: Now, out: &mut Vec<Effect>) {
        if self.rules.slots.is_empty() || self.shutting_down {
            return;
        }
        for event in fresh {
            let looking = self.rules.looking_at(&event.kind);
            if looking.is_empty() {
                continue;
            }
            let variables = Variables::of(event);
            let scope = Scope::new(&variables.0);
            let mut turns = Vec::new();
            let uncut = self.has(crate::planted::Planted::DepthNotCut);
            for at in looking.iter() {
                let slot = &mut self.rules.slots[*at];
                if let Some(key) = slot.look(event, &scope, uncut, now, &mut Trail::Off) {
                    turns.push((slot.definition.name.clone(), key));
                }
            }
            for (name, key) in turns {
                self.turn(&name, &key, event, now, out);
            }
        }
        self.save_rules(out);
    }

    /// Acts where the time for it has come.
    pub(crate) fn tend_rules(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.shutting_down {
            // What waits is durable, and goes on with the next manager.
            self.rules.expires.clear();
            self.rules
                .slots
                .iter_mut()
                .for_each(|slot| slot.later.clear());
            return;
        }
        self.expire_approvals(now, out);
        let mut ripe = Vec::new();
        for slot in &mut self.rules.slots {
            while let Some((due, key)) = slot.later.first().cloned() {
                if due > now.mono_ms {
                    break;
                }
                slot.later.pop_first();
                if let Some(event) = slot.ripe(&key, now) {
                    ripe.push((slot.definition.name.clone(), key, event));
                }
            }
        }
        for (name, key, event) in ripe {
            self.turn(&name, &key, &event, now, out);
        }
        self.save_rules(out);
    }

    fn save_rules(&mut self, out: &mut Vec<Effect>) {
        for slot in &mut self.rules.slots {
            slot.save(out);
        }
    }
}

/// How an effect makes something of rules durable.
fn durable(item: RulePersist) -> Effect {
    Effect::Persist(Persist::Rule(item))
}

/// `60 in 1m`
fn rate(rate: &Rate) -> String {
    format!("{} in {}", rate.count, crate::words::duration(rate.per_ms))
}

//! What the core remembers of one rule.
//!
//! Invariant: whatever changes `row` or one of its keys marks it, so that it is durable with the
//! batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fill::Texts;
use super::{KEYS_MAX, durable};
use crate::engine::Core;
use crate::event::{Event, matches};
use crate::expr::Program;
use crate::fleet::{Action, Rule};
use crate::io::{Effect, Now, RulePersist};
use crate::record::{RuleKey, RuleRow};

/// A rule.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(super) definition: Arc<Rule>,
    pub(super) when: Option<Program>,
    pub(super) key: Option<Program>,
    pub(super) texts: Arc<Texts>,
    pub(super) row: RuleRow,
    /// The row differs from the one that is durable.
    pub(super) is_changed: bool,
    /// Keys that do.
    pub(super) changed_keys: BTreeSet<String>,
    /// Keys for which it waits, by monotonic time.
    pub(super) later: BTreeSet<(u64, String)>,
    /// Its requests for approval that nobody decided about, by key.
    pub(super) open: BTreeMap<String, u64>,
}

impl Slot {
    /// `Err` says why it cannot be used; `eud-config` refuses it before.
    pub(super) fn new(definition: Rule, row: RuleRow) -> Result<Self, String> {
        let program = |source: &Option<String>| {
            let compiled = source
                .as_deref()
                .map(|text| Program::compile(text, &["event"]));
            compiled.transpose().map_err(|fault| fault.why)
        };
        Ok(Self {
            when: program(&definition.when)?,
            key: program(&definition.key)?,
            texts: Arc::new(Texts::of(&definition)?),
            definition: Arc::new(definition),
            row,
            is_changed: false,
            changed_keys: BTreeSet::new(),
            later: BTreeSet::new(),
            open: BTreeMap::new(),
        })
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.row.enabled.unwrap_or(self.definition.enabled)
    }

    /// Whether events of a type may concern it.
    pub(super) fn looks_at(&self, kind: &str) -> bool {
        let rule = &self.definition;
        let healthy = rule.ladder.as_ref().map(|ladder| &ladder.healthy);
        let globs = rule.on.iter().chain(&rule.sequence).chain(&rule.unless);
        globs
            .chain(healthy.into_iter().flatten())
            .any(|glob| matches(glob, kind))
    }

    /// Whether anything must be remembered of a key.
    pub(super) fn remembers(&self) -> bool {
        let rule = &self.definition;
        rule.count > 1
            || !rule.sequence.is_empty()
            || rule.for_ms.is_some()
            || rule.ladder.is_some()
            || rule.cooldown_ms > 0
            || rule.once_per_key
    }

    /// What it does at a rung, or without one.
    pub(super) fn actions(&self, rung: Option<u32>) -> &[Action] {
        match (&self.definition.ladder, rung) {
            (Some(ladder), Some(rung)) => {
                let rung = ladder.rungs.get(rung as usize);
                rung.map_or(&[], |rung| &rung.then)
            }
            _ => &self.definition.then,
        }
    }

    /// Memory of a key, to be changed.
    pub(super) fn memory(&mut self, key: &str, now: Now) -> &mut RuleKey {
        if !self.row.keys.contains_key(key) && self.row.keys.len() >= KEYS_MAX {
            // One that waits is the last to go.
            let oldest = self.row.keys.iter().min_by_key(|(_, memory)| {
                let waits = memory.waits.is_some();
                (waits, memory.touched_ms)
            });
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.forget(&oldest);
            }
        }
        self.changed_keys.insert(key.to_owned());
        let memory = self.row.keys.entry(key.to_owned()).or_default();
        clamp(memory, now);
        memory
    }

    /// Corrects times that lie in the future.
    pub(super) fn look_at_clock(&mut self, key: &str, now: Now) {
        let is_ahead = |memory: &RuleKey| {
            let rung = memory.rung.map(|(_, _, at)| at);
            let times = memory.hits_ms.iter().copied();
            let times = times.chain(memory.step_ms).chain(memory.fired_ms);
            let mut times = times.chain(rung).chain([memory.touched_ms]);
            times.any(|at| at > now.wall_ms)
        };
        if self.row.keys.get(key).is_some_and(is_ahead) {
            self.memory(key, now);
        }
    }

    pub(super) fn forget(&mut self, key: &str) {
        if let Some(memory) = self.row.keys.remove(key) {
            self.changed_keys.insert(key.to_owned());
            if memory.waits.is_some() {
                self.later.retain(|(_, waiting)| waiting != key);
            }
        }
    }

    /// Forgets all keys: counts, waits, cooldowns, ladders.
    pub(super) fn forget_all(&mut self) {
        let keys = std::mem::take(&mut self.row.keys);
        self.changed_keys.extend(keys.into_keys());
        self.later.clear();
        self.row.recent_ms.clear();
        self.is_changed = true;
    }

    /// Nothing waits any more.
    pub(super) fn call_off_all(&mut self) {
        self.later.clear();
        for (key, memory) in &mut self.row.keys {
            if memory.waits.take().is_some() {
                memory.event = None;
                self.changed_keys.insert(key.clone());
            }
        }
    }

    /// The event for which it waited, when its time has come.
    pub(super) fn ripe(&mut self, key: &str, now: Now) -> Option<Arc<Event>> {
        let memory = self.memory(key, now);
        memory.waits.take()?;
        memory.event.take().map(|event| Arc::new(*event))
    }

    pub(super) fn count_error(&mut self, why: String) {
        self.row.errors_total += 1;
        self.row.last_error = Some(why);
        self.is_changed = true;
    }

    pub(super) fn count_passed(&mut self) {
        self.row.passed_total += 1;
        self.is_changed = true;
    }

    /// Makes durable what changed.
    pub(super) fn save(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.is_changed) {
            let row = RuleRow {
                keys: BTreeMap::new(),
                ..self.row_without_keys()
            };
            out.push(durable(RulePersist::Put(Box::new(row))));
        }
        for key in std::mem::take(&mut self.changed_keys) {
            let memory = self.row.keys.get(&key).cloned().map(Box::new);
            let rule = self.definition.name.clone();
            out.push(durable(RulePersist::Key { rule, key, memory }));
        }
    }

    fn row_without_keys(&mut self) -> RuleRow {
        let keys = std::mem::take(&mut self.row.keys);
        let row = self.row.clone();
        self.row.keys = keys;
        row
    }
}

fn clamp(memory: &mut RuleKey, now: Now) {
    let latest = now.wall_ms;
    for at in &mut memory.hits_ms {
        *at = latest.min(*at);
    }
    memory.step_ms = memory.step_ms.map(|at| at.min(latest));
    memory.fired_ms = memory.fired_ms.map(|at| at.min(latest));
    memory.rung = memory
        .rung
        .map(|(rung, used, at)| (rung, used, at.min(latest)));
    memory.touched_ms = memory.touched_ms.min(latest);
}

impl Core {
    /// Disables a rule, and says so.
    pub(super) fn disable_rule(
        &mut self,
        name: &str,
        why: String,
        depth: u32,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.rules.slot(name) else {
            return;
        };
        slot.row.enabled = Some(false);
        slot.row.why_disabled = Some(why.clone());
        slot.is_changed = true;
        slot.call_off_all();
        let data = serde_json::json!({ "rule": name, "why": why });
        self.rule_says("rule.disabled", name, data, depth, now, out);
    }

    /// Tells something of a rule.
    pub(super) fn rule_says(
        &mut self,
        kind: &'static str,
        name: &str,
        data: serde_json::Value,
        depth: u32,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.announce_from(depth, kind, Some(name.to_owned()), data, now, out);
    }
}

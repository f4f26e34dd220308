//! Looking at an event.
//!
//! Invariants: the steps are those of the prose, in that order; a dry run takes the same ones.

use std::sync::Arc;

use super::slot::Slot;
use super::{DEPTH_MAX, KEY_BYTES_MAX, WAITING_BYTES_MAX};
use crate::engine::bus::take::depth_of;
use crate::event::{Event, matches};
use crate::expr::Scope;
use crate::io::Now;
use crate::record::WallMs;
use crate::words;

/// Notes what was looked at, for a dry run.
pub(super) enum Trail {
    Off,
    On(Vec<String>),
}

impl Trail {
    pub(super) fn note(&mut self, step: impl FnOnce() -> String) {
        if let Self::On(steps) = self {
            steps.push(step());
        }
    }

    pub(super) fn steps(self) -> Vec<String> {
        match self {
            Self::Off => Vec::new(),
            Self::On(steps) => steps,
        }
    }
}

fn is_any(globs: &[String], kind: &str) -> bool {
    globs.iter().any(|glob| matches(glob, kind))
}

/// Time since then; 0 when the clock was set back.
pub(super) fn since(then: WallMs, now: Now) -> u64 {
    u64::try_from(now.wall_ms.saturating_sub(then)).unwrap_or(0)
}

/// What a rule told of itself.
fn is_own(event: &Event, name: &str) -> bool {
    let told = event.kind.starts_with("rule.") || event.kind.starts_with("approval.");
    told && event.subject.as_deref() == Some(name)
}

impl Slot {
    /// Takes note of an event; gives the key if it is the rule's turn.
    pub(super) fn look(
        &mut self,
        event: &Arc<Event>,
        scope: &Scope<'_>,
        uncut: bool,
        now: Now,
        trail: &mut Trail,
    ) -> Option<String> {
        let rule = Arc::clone(&self.definition);
        if !self.is_enabled() {
            let why = self.row.why_disabled.clone();
            trail.note(|| {
                format!(
                    "it is disabled: {}",
                    why.as_deref().unwrap_or("declared so")
                )
            });
            return None;
        }
        if is_own(event, &rule.name) {
            trail.note(|| "the event was told by the rule itself".to_owned());
            return None;
        }
        if self.calms(event, scope, now, trail) {
            return None;
        }
        let (what, globs) = match rule.sequence.is_empty() {
            true => ("on", &rule.on),
            false => ("sequence", &rule.sequence),
        };
        if !is_any(globs, &event.kind) {
            trail.note(|| {
                format!(
                    "{what}: {} matches none of {}",
                    event.kind,
                    globs.join(", ")
                )
            });
            return None;
        }
        trail.note(|| format!("{what}: {} matches {}", event.kind, globs.join(", ")));
        if !self.holds(event, scope, trail) {
            return None;
        }
        let depth = depth_of(event);
        if depth >= DEPTH_MAX && !uncut {
            trail.note(|| format!("depth: {depth} actions led to it, and no more may follow"));
            self.count_passed();
            return None;
        }
        let key = self.key_of(event, scope, trail)?;
        self.comes(&key, event, now, trail).then_some(key)
    }

    /// One of `unless`, or one that says that the target is well.
    fn calms(
        &mut self,
        event: &Arc<Event>,
        scope: &Scope<'_>,
        now: Now,
        trail: &mut Trail,
    ) -> bool {
        let rule = Arc::clone(&self.definition);
        let calls_off = is_any(&rule.unless, &event.kind);
        let ladder = rule.ladder.as_ref();
        let heals = ladder.is_some_and(|ladder| is_any(&ladder.healthy, &event.kind));
        if !calls_off && !heals {
            return false;
        }
        let what = if calls_off { "unless" } else { "healthy" };
        trail.note(|| format!("{what}: {} begins its key anew", event.kind));
        let Some(key) = self.key_of(event, scope, trail) else {
            return true;
        };
        if !self.row.keys.contains_key(&key) {
            return true;
        }
        if calls_off {
            self.later.retain(|(_, waiting)| *waiting != key);
        }
        let memory = self.memory(&key, now);
        if calls_off {
            (memory.waits, memory.event) = (None, None);
            (memory.step, memory.step_ms) = (0, None);
            memory.hits_ms.clear();
        }
        if heals {
            memory.rung = None;
        }
        true
    }

    fn holds(&mut self, event: &Event, scope: &Scope<'_>, trail: &mut Trail) -> bool {
        match self.when.as_ref().map(|when| when.holds(scope)) {
            None => true,
            Some(Ok(holds)) => {
                trail.note(|| format!("when: {holds}"));
                holds
            }
            Some(Err(why)) => {
                trail.note(|| format!("when: no value, which is not true: {why}"));
                self.count_error(format!("event {}: when: {why}", event.seq));
                false
            }
        }
    }

    fn key_of(&mut self, event: &Event, scope: &Scope<'_>, trail: &mut Trail) -> Option<String> {
        let found = match &self.key {
            Some(key) => key.text(scope).map(Option::unwrap_or_default),
            None => Ok(event.subject.clone().unwrap_or_default()),
        };
        let found = found.and_then(|key| match key.len() {
            0..=KEY_BYTES_MAX => Ok(key),
            bytes => Err(format!("it has {bytes} bytes, at most {KEY_BYTES_MAX}")),
        });
        match found {
            Ok(key) => {
                trail.note(|| format!("key: `{key}`"));
                Some(key)
            }
            Err(why) => {
                trail.note(|| format!("key: none: {why}"));
                self.count_error(format!("event {}: key: {why}", event.seq));
                None
            }
        }
    }

    /// A meant event of a key; true: it is the rule's turn.
    fn comes(&mut self, key: &str, event: &Arc<Event>, now: Now, trail: &mut Trail) -> bool {
        self.look_at_clock(key, now);
        let quiet = self.is_quiet(key, now);
        if self.definition.ladder.is_some() {
            self.note_ladder(key, now);
        }
        if let Some(why) = quiet {
            trail.note(|| why);
            self.count_passed();
            return false;
        }
        if !self.remembers() {
            return true;
        }
        self.memory(key, now).touched_ms = now.wall_ms;
        self.steps_on(key, event, now, trail)
            && self.counts_up(key, now, trail)
            && !self.waits_now(key, event, now, trail)
    }

    /// Why nothing is done for a key now.
    fn is_quiet(&self, key: &str, now: Now) -> Option<String> {
        if let Some(id) = self.open.get(key) {
            return Some(format!("approval: number {id} waits for a decision"));
        }
        let memory = self.row.keys.get(key)?;
        if memory.waits.is_some() {
            return Some("for: it waits already".to_owned());
        }
        let fired_ms = memory.fired_ms?;
        if self.definition.once_per_key {
            let at = words::rfc3339(fired_ms);
            return Some(format!("once per key: it acted at {at}"));
        }
        let left = self
            .definition
            .cooldown_ms
            .saturating_sub(since(fired_ms, now));
        (left > 0).then(|| format!("cooldown: {} to go", words::duration(left)))
    }

    /// The next step of the sequence; true: it was the last, or there is none.
    fn steps_on(&mut self, key: &str, event: &Event, now: Now, trail: &mut Trail) -> bool {
        let rule = Arc::clone(&self.definition);
        if rule.sequence.is_empty() {
            return true;
        }
        let fits = |step: u32| {
            let glob = rule.sequence.get(step as usize);
            glob.is_some_and(|glob| matches(glob, &event.kind))
        };
        let memory = self.memory(key, now);
        let began = memory.step_ms.unwrap_or(now.wall_ms);
        if rule
            .within_ms
            .is_some_and(|within| since(began, now) > within)
        {
            (memory.step, memory.step_ms) = (0, None);
        }
        if fits(memory.step) {
            memory.step_ms = memory.step_ms.or(Some(now.wall_ms));
            memory.step += 1;
        } else if memory.step == 1 && fits(0) {
            // The later one leaves more time for the rest.
            memory.step_ms = Some(now.wall_ms);
        }
        let (step, all) = (memory.step, rule.sequence.len());
        trail.note(|| format!("sequence: {step} of {all}"));
        if (step as usize) < all {
            return false;
        }
        (memory.step, memory.step_ms) = (0, None);
        true
    }

    /// One more within the window; true: these are enough.
    fn counts_up(&mut self, key: &str, now: Now, trail: &mut Trail) -> bool {
        let rule = Arc::clone(&self.definition);
        if rule.count <= 1 {
            return true;
        }
        let memory = self.memory(key, now);
        memory.hits_ms.push(now.wall_ms);
        if let Some(within) = rule.within_ms {
            memory.hits_ms.retain(|at| since(*at, now) <= within);
        }
        let hits = memory.hits_ms.len();
        trail.note(|| format!("count: {hits} of {}", rule.count));
        if hits < rule.count as usize {
            return false;
        }
        memory.hits_ms.clear();
        true
    }

    /// Begins to wait, if it is to wait at all.
    fn waits_now(&mut self, key: &str, event: &Arc<Event>, now: Now, trail: &mut Trail) -> bool {
        let Some(for_ms) = self.definition.for_ms else {
            return false;
        };
        let waiting = self
            .later
            .iter()
            .filter_map(|(_, key)| self.row.keys.get(key));
        let events = waiting.filter_map(|memory| memory.event.as_deref());
        let bytes: usize = events.map(|event| event.data.to_string().len()).sum();
        let bytes = bytes + event.data.to_string().len();
        if bytes > WAITING_BYTES_MAX {
            self.count_error(format!(
                "event {}: for: the events that wait have {bytes} bytes, at most \
                 {WAITING_BYTES_MAX}",
                event.seq
            ));
            return true;
        }
        trail.note(|| format!("for: it would act in {}", words::duration(for_ms)));
        let wait = i64::try_from(for_ms).unwrap_or(i64::MAX);
        let memory = self.memory(key, now);
        memory.waits = Some((now.wall_ms.saturating_add(wait), event.seq));
        memory.event = Some(Box::new(Event::clone(event)));
        let due = now.mono_ms.saturating_add(for_ms);
        self.later.insert((due, key.to_owned()));
        true
    }
}

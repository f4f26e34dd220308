//! Events, told first in prose.
//!
//! Whatever the core tells (starts and ends of runs, changes of state, fires, gauges, gates,
//! guards) becomes an event, in the batch that tells it. Others publish events of their own types;
//! these are answered when they are on the disk, all that were published together or none.
//!
//! **Order.** An event gets the next number when it is taken in. Numbers have no gaps, and no event
//! gets the number of another, through any crash: what a crash takes was not answered.
//!
//! **Duplicates.** An event whose source and id are known is answered with the number of the first
//! one, so that whoever got no answer may ask again. So is one that says the same as another of the
//! same source within a time, if the fleet file asks for that. The last
//! [`crate::event::KNOWN_MAX`] events of others are known.
//!
//! **Retention.** Old events go by age and by count, when new ones come. The newest always stays.
//!
//! Deliberately absent: the payloads. The journal has them.

mod command;
mod dead;
mod deliver;
mod own;
mod subscription;
mod take;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

use crate::engine::Core;
use crate::event::{BATCH_MAX, Digest, Event, KNOWN_MAX, NewEvent, Receipt, Seq, identity};
use crate::io::{Accepted, BusPersist, BusRecovery, Effect, Known, Now, Persist, Refusal};
use crate::planted::Planted;
use crate::record::{DeadLetterRow, WallMs};
use subscription::Slot;

/// Old events are looked for with a new one, after so many,
const PRUNE_EVERY: u64 = 1_000;
/// or after this time.
const PRUNE_EVERY_MS: u64 = 3_600_000;

/// What the core remembers of events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bus {
    last_seq: Seq,
    /// Of others' events, oldest first.
    known: VecDeque<Known>,
    by_identity: BTreeMap<Digest, Seq>,
    by_content: BTreeMap<Digest, (Seq, WallMs)>,
    /// By type.
    schemas: BTreeMap<String, Arc<Validator>>,
    /// Since old ones were looked for.
    stored: u64,
    /// What earlier events there are is known.
    recovered: bool,
    /// Told before that.
    early: Vec<Said>,
    /// Stored, and not offered to subscriptions yet.
    fresh: Vec<Arc<Event>>,
    subs: BTreeMap<String, Slot>,
    /// Dead letters by number, and those that are tried again by themselves by wall-clock time.
    dead: BTreeMap<u64, DeadLetterRow>,
    dead_later: BTreeSet<(WallMs, u64)>,
    last_dead: u64,
    /// Monotonic time of the first of those.
    dead_due: Option<u64>,
    /// Monotonic time at which they were.
    pruned_mono: u64,
}

/// What an event says, before it is one.
#[derive(Debug, Clone)]
struct Said {
    kind: &'static str,
    /// How many handlers led to it, one after the other.
    depth: u32,
    subject: Option<String>,
    time_ms: WallMs,
    data: Value,
}

impl Bus {
    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        let later = self.subs.values().filter_map(|slot| slot.later.first());
        let later = later.map(|(due, _)| *due).min();
        // What could not be offered at once is offered with the next input.
        let fresh = (!self.fresh.is_empty()).then_some(0);
        [fresh, later, self.dead_due].into_iter().flatten().min()
    }

    fn remember(&mut self, known: Known) {
        self.by_identity.insert(known.identity, known.seq);
        if let Some(content) = known.content {
            self.by_content
                .insert(content, (known.seq, known.stored_ms));
        }
        self.known.push_back(known);
        if self.known.len() > KNOWN_MAX
            && let Some(old) = self.known.pop_front()
        {
            self.forget(&old);
        }
    }

    /// Newer events may have the same content: theirs stays.
    fn forget(&mut self, old: &Known) {
        if self.by_identity.get(&old.identity) == Some(&old.seq) {
            self.by_identity.remove(&old.identity);
        }
        if let Some(content) = old.content
            && self
                .by_content
                .get(&content)
                .is_some_and(|(seq, _)| *seq == old.seq)
        {
            self.by_content.remove(&content);
        }
    }
}

impl Core {
    pub(crate) fn load_bus(&mut self, now: Now, out: &mut Vec<Effect>) {
        let compiled = self.fleet.events.types.iter().filter_map(|(name, kind)| {
            // Checked when the fleet file was.
            let validator = jsonschema::validator_for(kind.schema.as_ref()?).ok()?;
            Some((name.clone(), Arc::new(validator)))
        });
        self.bus.schemas = compiled.collect();
        self.load_subscriptions(now, out);
    }

    pub(crate) fn recover_bus(&mut self, found: BusRecovery, now: Now, out: &mut Vec<Effect>) {
        if !self.has(Planted::SeqReused) {
            self.bus.last_seq = found.last_seq;
        }
        if !self.has(Planted::KnownForgotten) {
            for known in found.known {
                self.bus.remember(known);
            }
        }
        self.bus.recovered = true;
        self.recover_dead(found.dead_letters, found.last_dead);
        // Before anything is stored: what they have not seen must not be deleted.
        self.recover_subscriptions(found.subscriptions, found.deliveries, now, out);
        self.prune(now, out);
        self.announce("manager.started", None, Value::Null, now, out);
        for said in std::mem::take(&mut self.bus.early) {
            self.store_own(said, now, out);
        }
    }

    /// Publishes all of these, or none.
    pub(crate) fn emit(
        &mut self,
        events: Vec<NewEvent>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        self.check_behind()?;
        if events.len() > BATCH_MAX {
            let why = format!("there are {} events, at most {BATCH_MAX}", events.len());
            let index = BATCH_MAX;
            return Err(Refusal::BadEvent { index, why });
        }
        for (index, event) in events.iter().enumerate() {
            let checked = event.check(now.wall_ms);
            let checked = checked.and_then(|()| self.check_payload(event));
            checked.map_err(|why| Refusal::BadEvent { index, why })?;
        }
        let mut accepted = Accepted::default();
        for event in events {
            accepted.events.push(self.store_others(event, now, out));
        }
        Ok(accepted)
    }

    fn check_payload(&self, event: &NewEvent) -> Result<(), String> {
        let Some(schema) = self.bus.schemas.get(&event.kind) else {
            return Ok(());
        };
        schema.validate(&event.data).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() {
                "data".to_owned()
            } else {
                format!("data{place}")
            };
            format!("{place} breaks the schema of `{}`: {error}", event.kind)
        })
    }

    /// A duplicate is not stored again.
    fn store_others(&mut self, event: NewEvent, now: Now, out: &mut Vec<Effect>) -> Receipt {
        let seq = self.bus.last_seq + 1;
        let id = event.id.unwrap_or_else(|| fresh_id(now, seq));
        let event = Event {
            seq,
            id,
            source: event.source,
            kind: event.kind,
            subject: event.subject,
            time_ms: event.time_ms.unwrap_or(now.wall_ms),
            stored_ms: now.wall_ms,
            data: event.data,
            dataschema: event.dataschema,
            extensions: event.extensions,
        };
        let identity = identity(&event.source, &event.id);
        let content = self.fleet.events.same_content_ms.map(|_| event.content());
        if let Some(first) = self.bus.by_identity.get(&identity) {
            return Receipt {
                seq: *first,
                id: Some(event.id),
                duplicate: true,
            };
        }
        if let Some(first) = content.and_then(|content| self.same_content(content, now)) {
            return Receipt {
                seq: first,
                id: None,
                duplicate: true,
            };
        }
        self.bus.remember(Known {
            seq,
            identity,
            content,
            stored_ms: now.wall_ms,
        });
        let receipt = Receipt {
            seq,
            id: Some(event.id.clone()),
            duplicate: false,
        };
        self.store(event, content, now, out);
        receipt
    }

    /// The event that said the same, if that was not too long ago.
    fn same_content(&self, content: Digest, now: Now) -> Option<Seq> {
        let within = self.fleet.events.same_content_ms?;
        let (seq, stored_ms) = self.bus.by_content.get(&content)?;
        let age = u64::try_from(now.wall_ms.saturating_sub(*stored_ms)).ok()?;
        (age <= within).then_some(*seq)
    }

    /// Says something of the manager itself.
    pub(crate) fn announce(
        &mut self,
        kind: &'static str,
        subject: Option<String>,
        data: Value,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let said = Said {
            depth: 0,
            kind,
            subject,
            time_ms: now.wall_ms,
            data,
        };
        self.store_own(said, now, out);
    }

    fn store_own(&mut self, said: Said, now: Now, out: &mut Vec<Effect>) {
        let seq = self.bus.last_seq + 1;
        let depth = (said.depth > 0).then(|| (take::DEPTH.to_owned(), said.depth.to_string()));
        let extensions = depth.into_iter().collect();
        let event = Event {
            seq,
            id: fresh_id(now, seq),
            source: format!("{}{}", crate::event::OWN_SOURCE, self.fleet.name),
            kind: said.kind.to_owned(),
            subject: said.subject,
            time_ms: said.time_ms,
            stored_ms: now.wall_ms,
            data: said.data,
            extensions,
            ..Event::default()
        };
        self.store(event, None, now, out);
    }

    fn store(&mut self, event: Event, content: Option<Digest>, now: Now, out: &mut Vec<Effect>) {
        self.bus.last_seq = event.seq;
        self.bus.stored += 1;
        let event = Arc::new(event);
        if !self.has(Planted::EventNotStored) || !event.seq.is_multiple_of(7) {
            let event = Arc::clone(&event);
            let item = BusPersist::Event { event, content };
            out.push(Effect::Persist(Persist::Bus(item)));
        }
        if !self.bus.subs.is_empty() {
            self.bus.fresh.push(Arc::clone(&event));
        }
        out.push(Effect::Stored(event));
        let since = now.mono_ms.saturating_sub(self.bus.pruned_mono);
        if self.bus.stored >= PRUNE_EVERY || since >= PRUNE_EVERY_MS {
            self.prune(now, out);
        }
    }

    /// Makes events of what was told since this place in the effects.
    pub(crate) fn hear(&mut self, from: usize, now: Now, out: &mut Vec<Effect>) {
        let said: Vec<Said> = out[from..]
            .iter()
            .filter_map(|told| own::of(told, now))
            .collect();
        if !self.bus.recovered {
            self.bus.early.extend(said);
            return;
        }
        for said in said {
            self.store_own(said, now, out);
        }
    }

    fn prune(&mut self, now: Now, out: &mut Vec<Effect>) {
        let events = &self.fleet.events;
        let keep = i64::try_from(events.keep_ms).unwrap_or(i64::MAX);
        out.push(Effect::Persist(Persist::Bus(BusPersist::Prune {
            before_ms: now.wall_ms.saturating_sub(keep),
            keep_max: events.keep_max,
            // The newest one stays: its number must not be used again.
            upto: self.seen_by_all().min(self.bus.last_seq.saturating_sub(1)),
        })));
        self.bus.stored = 0;
        self.age_dead(now, out);
        self.bus.pruned_mono = now.mono_ms;
    }
}

/// Unlike any other, even of a state directory that was deleted.
fn fresh_id(now: Now, seq: Seq) -> String {
    format!("{:x}-{seq}", now.wall_ms)
}

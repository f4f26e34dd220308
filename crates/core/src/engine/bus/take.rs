//! Who wants an event.
//!
//! Invariants: each subscription looks at each event once, in order, unless it is told to begin
//! anew; what it takes on is durable in the batch in which its cursor passes the event.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::subscription::{Delivery, Slot};
use crate::engine::Core;
use crate::event::{Event, Seq, matches};
use crate::expr::Scope;
use crate::fleet::Handler;
use crate::io::{BusEffect, Effect, Now};
use crate::record::DeliveryRow;

/// Events read at once for a subscription that is behind.
const FETCH_MAX: u32 = 100;
/// A cursor is made durable at the latest after so many events that nobody wanted. Looked at again
/// after a crash, nobody wants them either.
const UNSAVED_MAX: u64 = 1_000;
/// So many handlers may lead to one another; then somebody turns in circles.
pub(crate) const DEPTH_MAX: u32 = 8;
/// The extension attribute that counts them.
pub(crate) const DEPTH: &str = "euddepth";

/// How many handlers led to an event.
pub(crate) fn depth_of(event: &Event) -> u32 {
    let depth = event.extensions.get(DEPTH);
    depth.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Core {
    /// Offers events that were just stored to those who are not behind.
    pub(crate) fn offer_fresh(&mut self, now: Now) {
        let fresh = std::mem::take(&mut self.bus.fresh);
        for event in &fresh {
            self.offer(event, now, |slot| {
                let is_next = slot.row.cursor + 1 == event.seq;
                is_next && slot.fetching.is_none()
            });
        }
    }

    /// Lets these subscriptions look at an event, as far as they have room.
    fn offer(&mut self, event: &Arc<Event>, now: Now, to: impl Fn(&Slot) -> bool) {
        // What expressions see of it is made once, and only if somebody may want it.
        let is_meant = self.bus.subs.values().any(|slot| slot.means(event));
        let variables = is_meant.then(|| Variables::of(event));
        let scope = variables.as_ref().map(|variables| Scope::new(&variables.0));
        for slot in self.bus.subs.values_mut() {
            if slot.has_room() && to(slot) {
                take(slot, event, scope.as_ref(), now);
            }
        }
    }

    /// Asks for events for those who are behind and have room.
    pub(crate) fn fetch(&mut self, out: &mut Vec<Effect>) {
        if self.shutting_down {
            return;
        }
        let mut asked = Vec::new();
        for slot in self.bus.subs.values_mut() {
            let after = slot.row.cursor;
            if after < self.bus.last_seq && slot.fetching.is_none() && slot.has_room() {
                slot.fetching = Some(after);
                if !asked.contains(&after) {
                    asked.push(after);
                }
            }
        }
        for after in asked {
            let max = FETCH_MAX;
            out.push(Effect::Bus(BusEffect::Fetch { after, max }));
        }
    }

    /// Events that were asked for.
    pub(crate) fn on_fetched(&mut self, after: Seq, events: &[Arc<Event>], upto: Seq, now: Now) {
        // One that was told to begin anew meanwhile waits for another answer.
        let asked = |slot: &Slot| slot.fetching == Some(after);
        let mut last = after;
        for event in events {
            self.offer(event, now, |slot| asked(slot) && slot.row.cursor == last);
            last = event.seq;
        }
        for slot in self.bus.subs.values_mut() {
            if !asked(slot) {
                continue;
            }
            slot.fetching = None;
            if slot.row.cursor == last {
                slot.row.cursor = last.max(upto);
                slot.unsaved += 1;
            }
        }
    }
}

/// The variables of expressions and templates: `event`.
pub(crate) struct Variables(pub(crate) Map<String, Value>);

impl Variables {
    pub(crate) fn of(event: &Event) -> Self {
        let mut variables = Map::new();
        variables.insert("event".to_owned(), event.to_cloudevent());
        Self(variables)
    }
}

impl Slot {
    /// Whether an event is of a type that it wants, and not about itself.
    fn means(&self, event: &Event) -> bool {
        let is_own = event.kind.starts_with("subscription.")
            && event.subject.as_deref() == Some(&self.definition.name);
        !is_own
            && self
                .definition
                .on
                .iter()
                .any(|glob| matches(glob, &event.kind))
    }
}

/// A subscription looks at the next event. The scope is absent when nobody wants it.
fn take(slot: &mut Slot, event: &Arc<Event>, scope: Option<&Scope<'_>>, now: Now) {
    slot.row.cursor = event.seq;
    slot.unsaved += 1;
    let Some(scope) = scope.filter(|_| slot.means(event)) else {
        slot.is_changed |= slot.unsaved >= UNSAVED_MAX;
        return;
    };
    let definition = Arc::clone(&slot.definition);
    match slot.filter.as_ref().map(|filter| filter.holds(scope)) {
        None | Some(Ok(true)) => {}
        Some(Ok(false)) => {
            slot.is_changed |= slot.unsaved >= UNSAVED_MAX;
            return;
        }
        Some(Err(why)) => {
            slot.row.filter_errors += 1;
            slot.row.filter_error = Some(format!("event {}: {why}", event.seq));
            slot.is_changed = true;
            return;
        }
    }
    slot.is_changed = true;
    let leads_on = matches!(definition.handler, Handler::Job { .. } | Handler::Task(_));
    if leads_on && depth_of(event) >= DEPTH_MAX {
        slot.row.cut_total += 1;
        return;
    }
    // One whose key cannot be told keeps the order of all such.
    let key = slot.order.as_ref().map(|order| {
        let text = order.text(scope);
        text.ok().flatten().unwrap_or_default()
    });
    let row = DeliveryRow {
        outlet: Slot::outlet(&definition.name),
        seq: event.seq,
        number: slot.row.replays,
        key,
        hushed: event.kind.starts_with("subscription."),
        taken_ms: now.wall_ms,
        ..DeliveryRow::default()
    };
    let delivery = Delivery {
        row,
        event: Some(Arc::clone(event)),
        is_saved: false,
    };
    slot.changed.insert((event.seq, slot.row.replays));
    slot.queue(delivery, now);
}

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
    pub(crate) fn offer_fresh(&mut self, fresh: &[Arc<Event>], now: Now) {
        for event in fresh {
            let variables = Variables::of(event);
            for slot in self.bus.subs.values_mut().filter(|slot| !slot.is_outlet()) {
                let is_next = slot.row.cursor + 1 == event.seq;
                if is_next && slot.fetching.is_none() && slot.has_room() {
                    take(slot, event, &variables, now);
                }
            }
        }
    }

    /// Asks for events for those who are behind and have room.
    pub(crate) fn fetch(&mut self, out: &mut Vec<Effect>) {
        if self.shutting_down {
            return;
        }
        let mut asked = Vec::new();
        for slot in self.bus.subs.values_mut().filter(|slot| !slot.is_outlet()) {
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
        let variables: Vec<Variables> = events.iter().map(|event| Variables::of(event)).collect();
        for slot in self.bus.subs.values_mut() {
            if slot.fetching != Some(after) {
                continue;
            }
            slot.fetching = None;
            // It was told to begin anew meanwhile.
            if slot.row.cursor != after {
                continue;
            }
            let mut took_all = true;
            for (event, variables) in events.iter().zip(&variables) {
                took_all = slot.has_room();
                if !took_all {
                    break;
                }
                take(slot, event, variables, now);
            }
            if took_all {
                slot.row.cursor = slot.row.cursor.max(upto);
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

/// A subscription looks at the next event.
fn take(slot: &mut Slot, event: &Arc<Event>, variables: &Variables, now: Now) {
    slot.row.cursor = event.seq;
    slot.unsaved += 1;
    let definition = Arc::clone(&slot.definition);
    let is_own = event.subject.as_deref() == Some(&definition.name)
        && event.kind.starts_with("subscription.");
    let is_meant = definition.on.iter().any(|glob| matches(glob, &event.kind));
    if !is_meant || is_own {
        slot.is_changed |= slot.unsaved >= UNSAVED_MAX;
        return;
    }
    let scope = Scope::new(&variables.0);
    match slot.filter.as_ref().map(|filter| filter.holds(&scope)) {
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
        let text = order.text(&scope);
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
        is_changed: true,
    };
    slot.queue(delivery, now);
}

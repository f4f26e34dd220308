//! Events in the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use eud_core::event::{Event, Seq};
use eud_core::io::{BusRecovery, Known};

/// What a new core is told of them.
pub(crate) fn recovered(events: &BTreeMap<Seq, Arc<Event>>) -> BusRecovery {
    let others = events
        .values()
        .filter(|event| !event.source.starts_with(eud_core::event::OWN_SOURCE));
    let known = |event: &Arc<Event>| Known {
        seq: event.seq,
        source: event.source.clone(),
        id: event.id.clone(),
        content: Some(event.content()),
        stored_ms: event.stored_ms,
    };
    BusRecovery {
        last_seq: events.keys().next_back().copied().unwrap_or(0),
        known: others.map(known).collect(),
    }
}

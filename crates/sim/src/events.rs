//! The part of the journal that is about events and deliveries.
//!
//! Purpose: what `state.db` keeps of them, with a way to take each item back, for a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eud_core::event::{Event, OWN_SOURCE, Seq, identity};
use eud_core::io::{BusPersist, BusRecovery, Known};
use eud_core::record::{DeadLetterRow, DeliveryRow, SubscriptionRow, WallMs};

use crate::rules::RuleJournal;

/// Names a delivery.
pub(crate) type DeliveryKey = (String, Seq, u64);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct BusJournal {
    pub(crate) events: BTreeMap<Seq, Arc<Event>>,
    pub(crate) subscriptions: BTreeMap<String, SubscriptionRow>,
    pub(crate) deliveries: BTreeMap<DeliveryKey, DeliveryRow>,
    pub(crate) dead_letters: BTreeMap<u64, DeadLetterRow>,
    pub(crate) last_dead: u64,
}

/// How one item is taken back.
#[derive(Debug, Clone)]
pub(crate) enum BusUndo {
    Event(Seq, Option<Arc<Event>>),
    Subscription(String, Option<SubscriptionRow>),
    Delivery(DeliveryKey, Option<DeliveryRow>),
    DeadLetter(u64, Option<DeadLetterRow>, u64),
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, old: Option<V>) {
    match old {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

impl BusJournal {
    /// Records one item; gives what takes it back.
    pub(crate) fn apply(&mut self, item: &BusPersist, rules: &RuleJournal) -> Vec<BusUndo> {
        let undo = match item {
            BusPersist::Event { event, .. } => {
                let old = self.events.insert(event.seq, Arc::clone(event));
                BusUndo::Event(event.seq, old)
            }
            BusPersist::Prune {
                before_ms,
                keep_max,
                upto,
            } => return self.prune(*before_ms, *keep_max, *upto, rules),
            BusPersist::Subscription(row) => {
                let old = self.subscriptions.insert(row.name.clone(), (**row).clone());
                BusUndo::Subscription(row.name.clone(), old)
            }
            BusPersist::ForgetSubscription(name) => {
                BusUndo::Subscription(name.clone(), self.subscriptions.remove(name))
            }
            BusPersist::Delivery(row) => {
                let key = (row.outlet.clone(), row.seq, row.number);
                let old = self.deliveries.insert(key.clone(), (**row).clone());
                BusUndo::Delivery(key, old)
            }
            BusPersist::DeliveryOver {
                outlet,
                seq,
                number,
            } => {
                let key = (outlet.clone(), *seq, *number);
                let old = self.deliveries.remove(&key);
                BusUndo::Delivery(key, old)
            }
            BusPersist::DeadLetter(row) => {
                let last = self.last_dead;
                self.last_dead = last.max(row.id);
                let old = self.dead_letters.insert(row.id, (**row).clone());
                BusUndo::DeadLetter(row.id, old, last)
            }
            BusPersist::ForgetDeadLetter(id) => {
                BusUndo::DeadLetter(*id, self.dead_letters.remove(id), self.last_dead)
            }
        };
        vec![undo]
    }

    fn prune(
        &mut self,
        before_ms: WallMs,
        keep_max: u64,
        upto: Seq,
        rules: &RuleJournal,
    ) -> Vec<BusUndo> {
        let last = self.events.keys().next_back().copied().unwrap_or(0);
        let floor = last.saturating_sub(keep_max);
        let waiting = self.deliveries.values().map(|delivery| delivery.seq);
        let dead = self.dead_letters.values().map(|dead| dead.delivery.seq);
        let pinned: BTreeSet<Seq> = waiting.chain(dead).chain(rules.pinned()).collect();
        let goes = |event: &&Arc<Event>| {
            let is_old = event.stored_ms < before_ms || event.seq <= floor;
            is_old && event.seq <= upto && !pinned.contains(&event.seq)
        };
        let gone: Vec<Arc<Event>> = self.events.values().filter(goes).cloned().collect();
        let remove = |event: Arc<Event>| BusUndo::Event(event.seq, self.events.remove(&event.seq));
        gone.into_iter().map(remove).collect()
    }

    pub(crate) fn take_back(&mut self, undo: BusUndo) {
        match undo {
            BusUndo::Event(seq, old) => put(&mut self.events, seq, old),
            BusUndo::Subscription(name, old) => put(&mut self.subscriptions, name, old),
            BusUndo::Delivery(key, old) => put(&mut self.deliveries, key, old),
            BusUndo::DeadLetter(id, old, last) => {
                put(&mut self.dead_letters, id, old);
                self.last_dead = last;
            }
        }
    }

    /// What a new core is told of them.
    pub(crate) fn recovered(&self) -> BusRecovery {
        let others = self
            .events
            .values()
            .filter(|event| !event.source.starts_with(OWN_SOURCE));
        let known = |event: &Arc<Event>| Known {
            seq: event.seq,
            identity: identity(&event.source, &event.id),
            content: Some(event.content()),
            stored_ms: event.stored_ms,
        };
        BusRecovery {
            last_seq: self.events.keys().next_back().copied().unwrap_or(0),
            known: others.map(known).collect(),
            subscriptions: self.subscriptions.values().cloned().collect(),
            deliveries: self.deliveries.values().cloned().collect(),
            dead_letters: self.dead_letters.values().cloned().collect(),
            last_dead: self.last_dead,
        }
    }
}

//! Loading channels, and recovering what an earlier manager left of messages.
//!
//! Invariants: what was being sent is sent again, unless its task is still there; messages of a
//! channel that is no longer declared are given up, not forgotten; a reload ends no delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Slot;
use crate::engine::Core;
use crate::io::{ChannelPersist, ChannelRecovery, Effect, Now, Persist};
use crate::planted::Planted;
use crate::record::{ChannelRow, MessageRow};

const UNDECLARED: &str = "its channel is no longer declared";

impl Core {
    /// Takes over what the fleet file says of channels.
    pub(crate) fn load_channels(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.channels.recovered {
            // What waits for them is not known yet.
            return;
        }
        let declared = &self.fleet.channels;
        let names = self.channels.slots.keys();
        let gone: Vec<String> = names
            .filter(|name| !declared.contains_key(*name))
            .cloned()
            .collect();
        for (name, definition) in declared {
            match self.channels.slots.get_mut(name) {
                Some(slot) => {
                    slot.definition = Arc::new(definition.clone());
                    slot.stretch = None;
                }
                None => {
                    let row = ChannelRow {
                        name: name.clone(),
                        ..ChannelRow::default()
                    };
                    let slot = Slot::new(definition.clone(), row);
                    self.channels.slots.insert(name.clone(), slot);
                }
            }
        }
        for name in gone {
            if let Some(slot) = self.channels.slots.remove(&name) {
                out.push(forget_channel(name));
                self.bury_messages(slot.rows.into_values().collect(), UNDECLARED, now, out);
            }
        }
    }

    /// What was remembered: counts, keys, and messages that are not sent.
    pub(crate) fn recover_channels(
        &mut self,
        found: ChannelRecovery,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.channels.recovered = true;
        for mut row in found.channels {
            let last = self.channels.last_message.max(row.last_message);
            self.channels.last_message = last;
            if self.has(Planted::SeenForgotten) {
                row.seen.clear();
            }
            match self.fleet.channels.get(&row.name) {
                Some(definition) => {
                    let slot = Slot::new(definition.clone(), row);
                    self.channels.slots.insert(slot.row.name.clone(), slot);
                }
                None => out.push(forget_channel(row.name)),
            }
        }
        self.load_channels(now, out);
        let mut orphans: BTreeMap<String, Vec<MessageRow>> = BTreeMap::new();
        for row in found.messages {
            self.channels.last_message = self.channels.last_message.max(row.id);
            if row.failed_ms.is_some() {
                self.channels.failed.insert(row.id, row);
            } else if let Some(slot) = self.channels.slots.get_mut(&row.channel) {
                slot.recover(row, now);
            } else {
                orphans.entry(row.channel.clone()).or_default().push(row);
            }
        }
        for rows in orphans.into_values() {
            self.bury_messages(rows, UNDECLARED, now, out);
        }
        let tasks = &self.tasks;
        for slot in self.channels.slots.values_mut() {
            slot.go_on(|id| tasks.is_open(id), now);
        }
    }
}

impl Slot {
    fn recover(&mut self, row: MessageRow, now: Now) {
        let Some(number) = row.delivery else {
            self.queue(row, now);
            return;
        };
        let delivery = self.deliveries.entry(number).or_default();
        delivery.ids.push(row.id);
        delivery.attempts = row.attempts;
        delivery.is_urgent = row.urgent;
        self.row.next_number = self.row.next_number.max(number + 1);
        self.rows.insert(row.id, row);
    }

    /// Deliveries that had begun.
    fn go_on(&mut self, is_open: impl Fn(u64) -> bool, now: Now) {
        for (number, delivery) in &self.deliveries {
            let row = delivery.ids.first().and_then(|id| self.rows.get(id));
            let task = row.and_then(|row| row.task);
            if self.running.is_none() && task.is_some_and(&is_open) {
                self.running = Some(*number);
                continue;
            }
            let next_ms = row.and_then(|row| row.next_ms).unwrap_or(now.wall_ms);
            let wait = u64::try_from(next_ms.saturating_sub(now.wall_ms)).unwrap_or(0);
            // A clock that was set back does not stretch it.
            let wait = wait.min(self.definition.retry.backoff_max_ms.saturating_mul(2));
            self.later
                .insert((now.mono_ms.saturating_add(wait), *number));
        }
    }
}

fn forget_channel(name: String) -> Effect {
    Effect::Persist(Persist::Channel(ChannelPersist::ForgetChannel(name)))
}

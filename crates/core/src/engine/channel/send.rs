//! Sending: when, what goes together, and what becomes of it.
//!
//! Invariants: a channel has one delivery at a time; none but urgent ones begin in quiet hours;
//! messages leave the journal in the batch that says they were sent, or stay as given up.

use super::{Delivery, OUTLET, Slot, WAITING_MAX, forget, put};
use crate::engine::bus::deliver::why;
use crate::engine::{Core, policy};
use crate::fleet::{Channel, Via};
use crate::io::{ChannelEffect, ChannelNews, ChannelPersist, Effect, Now, Persist, SendRef};
use crate::message;
use crate::planted::Planted;
use crate::record::{
    AttemptError, Message, MessageRow, NewTask, TaskOrigin, TaskRow, TaskSpec, TaskState,
};

/// Most messages that are sent as one.
const GROUP_MAX: usize = 100;
/// What went wrong is remembered of so many tries, the last ones.
const ERRORS_MAX: usize = 10;
/// Messages that were given up; the oldest are forgotten.
const FAILED_MAX: usize = 1_000;

impl Slot {
    fn is_idle(&self) -> bool {
        self.running.is_some()
            || (self.urgent.is_empty() && self.calm.is_empty() && self.later.is_empty())
    }

    /// The delivery whose turn it is.
    fn next_delivery(&mut self, now: Now, out: &mut Vec<Effect>) -> Option<u64> {
        let is_quiet = self.stretch(now.wall_ms).is_quiet;
        if let Some(id) = self.urgent.pop_first() {
            return Some(self.form(vec![id], true, out));
        }
        let is_due = self.later.iter().take_while(|(due, _)| *due <= now.mono_ms);
        let mut may_go = is_due.filter(|(_, number)| {
            let delivery = self.deliveries.get(number);
            !is_quiet || delivery.is_some_and(|delivery| delivery.is_urgent)
        });
        if let Some(found) = may_go.next().copied() {
            self.later.remove(&found);
            return Some(found.1);
        }
        if is_quiet || self.collect_due.is_none_or(|due| due > now.mono_ms) {
            return None;
        }
        let together = match self.definition.group_ms {
            0 => 1,
            _ => GROUP_MAX,
        };
        let ids: Vec<_> = self.calm.iter().copied().take(together).collect();
        ids.iter().for_each(|id| {
            self.calm.remove(id);
        });
        if self.calm.is_empty() {
            self.collect_due = None;
        }
        Some(self.form(ids, false, out))
    }

    fn form(&mut self, ids: Vec<u64>, is_urgent: bool, out: &mut Vec<Effect>) -> u64 {
        let number = self.row.next_number;
        self.row.next_number += 1;
        self.is_changed = true;
        let delivery = Delivery {
            ids,
            is_urgent,
            attempts: 0,
        };
        self.deliveries.insert(number, delivery);
        self.change(number, |row| row.delivery = Some(number), out);
        number
    }

    /// Changes the rows of a delivery.
    pub(super) fn change(
        &mut self,
        number: u64,
        change: impl Fn(&mut MessageRow),
        out: &mut Vec<Effect>,
    ) {
        let ids = self.deliveries.get(&number).map(|found| &found.ids);
        for id in ids.into_iter().flatten() {
            if let Some(row) = self.rows.get_mut(id) {
                change(row);
                out.push(put(row));
            }
        }
    }

    fn messages(&self, number: u64) -> Vec<Message> {
        let ids = self.deliveries.get(&number).map(|found| &found.ids);
        let rows = ids.into_iter().flatten().filter_map(|id| self.rows.get(id));
        rows.map(|row| row.message.clone()).collect()
    }

    /// Monotonic time at which it is to be looked at again.
    fn due(&mut self, now: Now) -> Option<u64> {
        if self.is_idle() {
            return None;
        }
        if !self.urgent.is_empty() {
            return Some(now.mono_ms);
        }
        let stretch = self.stretch(now.wall_ms);
        let wait = u64::try_from(stretch.upto_ms.saturating_sub(now.wall_ms)).unwrap_or(0);
        let loud = match stretch.is_quiet {
            true => now.mono_ms.saturating_add(wait),
            false => 0,
        };
        let later = self.later.iter().map(|(due, number)| {
            let delivery = self.deliveries.get(number);
            let is_urgent = delivery.is_some_and(|delivery| delivery.is_urgent);
            if is_urgent { *due } else { loud.max(*due) }
        });
        let calm = self.collect_due.map(|due| loud.max(due));
        later.chain(calm).min()
    }

    /// That too many wait is told again only after half of them are gone.
    fn has_room_again(&mut self) {
        if self.rows.len() <= WAITING_MAX / 2 {
            self.row.full = false;
        }
    }

    fn save(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.is_changed) {
            let item = ChannelPersist::Channel(Box::new(self.row.clone()));
            out.push(Effect::Persist(Persist::Channel(item)));
        }
    }
}

impl Core {
    /// Begins what may begin, and makes durable what changed.
    pub(crate) fn tend_channels(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.channels.recovered {
            return;
        }
        if !self.shutting_down {
            let busy = self
                .channels
                .slots
                .iter()
                .filter(|(_, slot)| !slot.is_idle());
            let names: Vec<String> = busy.map(|(name, _)| name.clone()).collect();
            for name in names {
                self.begin_sending(&name, now, out);
            }
        }
        let mut due = None;
        for slot in self.channels.slots.values_mut() {
            slot.save(out);
            due = [due, slot.due(now)].into_iter().flatten().min();
        }
        self.channels.due = due.filter(|_| !self.shutting_down);
    }

    fn begin_sending(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        while let Some(slot) = self.channels.slots.get_mut(name) {
            if slot.running.is_some() {
                return;
            }
            let Some(number) = slot.next_delivery(now, out) else {
                return;
            };
            slot.running = Some(number);
            let messages = slot.messages(number);
            let definition = std::sync::Arc::clone(&slot.definition);
            if let Via::Exec { pool } = &definition.via {
                let begun = self.submit_message(&definition, pool, number, &messages, now, out);
                if let Err(why) = begun {
                    self.send_is_over(name, number, Err(why), now, out);
                }
                continue;
            }
            let attempt = slot
                .deliveries
                .get(&number)
                .map_or(0, |found| found.attempts)
                + 1;
            out.push(Effect::Channel(ChannelEffect::Send {
                send: SendRef {
                    channel: name.to_owned(),
                    number,
                    attempt,
                },
                via: Box::new(definition.via.clone()),
                messages,
                timeout_ms: definition.timeout_ms,
            }));
        }
    }

    fn submit_message(
        &mut self,
        channel: &Channel,
        pool: &str,
        number: u64,
        messages: &[Message],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let task = NewTask {
            pool: pool.to_owned(),
            timeout_ms: Some(channel.timeout_ms),
            origin: TaskOrigin::Delivery {
                outlet: format!("{OUTLET}{}", channel.name),
                seq: 0,
                number,
            },
            spec: TaskSpec {
                stdin: Some(message::payload(&channel.name, messages).to_string()),
                ..TaskSpec::default()
            },
            ..NewTask::default()
        };
        let ids = self.submit_tasks(vec![task], now, out);
        let ids = ids.map_err(|refusal| why(&refusal))?;
        if let Some(slot) = self.channels.slots.get_mut(&channel.name) {
            slot.change(number, |row| row.task = ids.first().copied(), out);
        }
        Ok(())
    }

    /// The task that was sending is over.
    pub(crate) fn channel_task_is_over(
        &mut self,
        outlet: &str,
        number: u64,
        task: &TaskRow,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let name = outlet.strip_prefix(OUTLET).unwrap_or(outlet);
        let Some(slot) = self.channels.slots.get(name) else {
            return;
        };
        let first = slot
            .deliveries
            .get(&number)
            .and_then(|found| found.ids.first());
        let row = first.and_then(|id| slot.rows.get(id));
        if slot.running != Some(number) || row.is_none_or(|row| row.task != Some(task.id)) {
            return;
        }
        let outcome = match task.state {
            TaskState::Succeeded => Ok(()),
            state => Err(task.reason.clone().unwrap_or_else(|| state.as_str().into())),
        };
        self.send_is_over(name, number, outcome, now, out);
    }

    pub(crate) fn on_channel_news(&mut self, news: ChannelNews, now: Now, out: &mut Vec<Effect>) {
        let ChannelNews::Sent { send, outcome } = news;
        let Some(slot) = self.channels.slots.get(&send.channel) else {
            return;
        };
        let attempts = slot
            .deliveries
            .get(&send.number)
            .map(|found| found.attempts);
        let is_asked = attempts == Some(send.attempt.saturating_sub(1));
        if slot.running == Some(send.number) && is_asked {
            self.send_is_over(&send.channel, send.number, outcome, now, out);
        }
    }

    fn send_is_over(
        &mut self,
        name: &str,
        number: u64,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let jitter = self.rng.below(201);
        let Some(slot) = self.channels.slots.get_mut(name) else {
            return;
        };
        slot.running = None;
        let Err(why) = outcome else {
            slot.last_error = None;
            slot.is_changed = true;
            for id in slot.deliveries.remove(&number).unwrap_or_default().ids {
                slot.rows.remove(&id);
                slot.row.sent_total += 1;
                out.push(forget(id));
            }
            slot.has_room_again();
            return;
        };
        slot.last_error = Some(why.clone());
        let retry = slot.definition.retry;
        let Some(delivery) = slot.deliveries.get_mut(&number) else {
            return;
        };
        delivery.attempts += 1;
        let attempts = delivery.attempts;
        if attempts > retry.limit {
            self.give_up_on(name, number, &why, now, out);
            return;
        }
        let delay = policy::grown(
            retry.backoff_initial_ms,
            retry.backoff_factor_percent,
            retry.backoff_max_ms,
            attempts - 1,
        );
        // A fifth more or less, so that many who failed together do not come back together.
        let delay = delay.saturating_mul(900 + jitter) / 1_000;
        let wall = i64::try_from(delay).unwrap_or(i64::MAX);
        let next_ms = now.wall_ms.saturating_add(wall);
        let note = |row: &mut MessageRow| {
            (row.attempts, row.next_ms, row.task) = (attempts, Some(next_ms), None);
            remember(row, &why, now);
        };
        slot.change(number, note, out);
        slot.later
            .insert((now.mono_ms.saturating_add(delay), number));
    }

    /// The messages of a delivery are not tried any more by themselves.
    fn give_up_on(&mut self, name: &str, number: u64, why: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.channels.slots.get_mut(name) else {
            return;
        };
        let delivery = slot.deliveries.remove(&number).unwrap_or_default();
        let rows = delivery.ids.iter().filter_map(|id| slot.rows.remove(id));
        let mut rows: Vec<MessageRow> = rows.collect();
        rows.iter_mut()
            .for_each(|row| row.attempts = delivery.attempts);
        slot.row.failed_total += rows.len() as u64;
        slot.has_room_again();
        slot.is_changed = true;
        self.bury_messages(rows, why, now, out);
    }

    /// Keeps messages for a person, and tells of it. All are of one channel.
    pub(super) fn bury_messages(
        &mut self,
        rows: Vec<MessageRow>,
        why: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(first) = rows.first() else {
            return;
        };
        let data = serde_json::json!({
            "channel": first.channel,
            "messages": rows.len(),
            "first": first.id,
            "title": first.message.title,
            "attempts": first.attempts,
            "why": why,
        });
        let subject = Some(first.channel.clone());
        let depth = rows.iter().map(|row| row.depth).max().unwrap_or(0);
        for mut row in rows {
            remember(&mut row, why, now);
            (row.delivery, row.task, row.next_ms) = (None, None, None);
            row.failed_ms = Some(now.wall_ms);
            out.push(put(&row));
            self.channels.failed.insert(row.id, row);
        }
        while self.channels.failed.len() > FAILED_MAX {
            if let Some((id, row)) = self.channels.failed.pop_first() {
                out.push(forget(id));
                if let Some(slot) = self.channels.slots.get_mut(&row.channel) {
                    slot.drop_one();
                }
            }
        }
        if !self.has(Planted::GivenUpUntold) {
            self.announce_from(depth, "channel.failed", subject, data, now, out);
        }
    }
}

/// Notes what went wrong.
fn remember(row: &mut MessageRow, why: &str, now: Now) {
    let (at_ms, why) = (now.wall_ms, why.to_owned());
    row.errors.push(AttemptError { at_ms, why });
    if row.errors.len() > ERRORS_MAX {
        row.errors.remove(0);
    }
}

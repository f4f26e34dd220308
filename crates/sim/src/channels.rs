//! Channels: random ones, receivers that answer or do not, and what is checked of messages.
//!
//! Invariants checked: a message that was taken on is sent, dropped with a count, dropped by a
//! person, or given up and told; none is sent in quiet hours but urgent ones; none repeats another
//! within the channel's time, through any crash; none waits for ever.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::event::Event as BusEvent;
use eud_core::fleet::{
    Channel, Fleet, From, Handler, Notice, Origin, Quiet, Retry, Severity, Subscription, Via,
};
use eud_core::io::{
    BusPersist, ChannelCommand, ChannelEffect, ChannelNews, ChannelPersist, ChannelRecovery,
    Command, Effect, Input, Numbers, Persist, SendRef,
};
use eud_core::record::{ChannelRow, MessageId, MessageRow, WallMs};

use crate::dice::Dice;
use crate::run::{Event, History};
use crate::world::World;

/// What came this shortly before the end may be on its way, in milliseconds.
const LAST_MS: i64 = 10_000;
/// The key that no receiver ever takes.
const POISON: &str = "2";

/// Chooses channels, and subscriptions that use them.
pub(crate) fn declare(dice: &mut Dice, fleet: &mut Fleet) {
    for number in 0..dice.range(0, 2) {
        let name = format!("c{number}");
        let channel = Channel {
            name: name.clone(),
            via: Via::Desktop,
            min_severity: *dice.pick(&[Severity::Info, Severity::Warning]),
            group_ms: *dice.pick(&[0, 0, 2_000]),
            dedup_ms: *dice.pick(&[0, 4_000, 3_600_000]),
            quiet: dice.chance(40).then(|| quiet(dice)),
            timeout_ms: 1_000,
            retry: Retry {
                limit: u32::try_from(dice.range(0, 2)).unwrap_or(1),
                backoff_initial_ms: 300,
                backoff_max_ms: 1_000,
                ..Retry::default()
            },
            origin: Origin::default(),
        };
        let severities = [Severity::Info, Severity::Error, Severity::Critical];
        let on = *dice.pick(&["count.*", "count.*", "daemon.*", "*"]);
        let is_count = on == "count.*";
        let notice = Notice {
            channel: name.clone(),
            title: is_count.then(|| "{{ event.data.n }} of {{ event.source }}".into()),
            body: None,
            severity: *dice.pick(&severities),
            key: is_count.then(|| "{{ event.data.n }}".into()),
        };
        let subscription = Subscription {
            name: format!("n{number}"),
            on: vec![on.to_owned()],
            handler: Handler::Notify(notice),
            from: From::Start,
            ..Subscription::default()
        };
        let key = subscription.name.clone();
        fleet.subscriptions.insert(key, subscription);
        fleet.channels.insert(name, channel);
    }
}

fn quiet(dice: &mut Dice) -> Quiet {
    let minute = |dice: &mut Dice| u32::try_from(dice.range(0, 1_439)).unwrap_or(0);
    Quiet {
        from_min: minute(dice),
        to_min: minute(dice),
        zone: None,
    }
}

/// By the clock on the wall, in UTC.
fn is_quiet(channel: &Channel, wall_ms: WallMs) -> bool {
    let Some(quiet) = &channel.quiet else {
        return false;
    };
    let minute = wall_ms.div_euclid(60_000).rem_euclid(1_440);
    let (from, to) = (i64::from(quiet.from_min), i64::from(quiet.to_min));
    match from <= to {
        true => (from..to).contains(&minute),
        false => minute >= from || minute < to,
    }
}

/// The part of the journal that is about channels.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelJournal {
    pub(crate) channels: BTreeMap<String, ChannelRow>,
    pub(crate) messages: BTreeMap<MessageId, MessageRow>,
    /// For the checks: when a message of a channel and key was taken on last.
    taken: BTreeMap<(String, String), WallMs>,
}

/// How one item is taken back.
#[derive(Debug, Clone)]
pub(crate) enum ChannelUndo {
    Channel(String, Option<ChannelRow>),
    Message(MessageId, Option<MessageRow>),
    Taken((String, String), Option<WallMs>),
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, old: Option<V>) {
    match old {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

impl ChannelJournal {
    pub(crate) fn apply(&mut self, item: &ChannelPersist) -> Vec<ChannelUndo> {
        match item {
            ChannelPersist::Channel(row) => {
                let old = self.channels.insert(row.name.clone(), (**row).clone());
                vec![ChannelUndo::Channel(row.name.clone(), old)]
            }
            ChannelPersist::ForgetChannel(name) => {
                let old = self.channels.remove(name);
                vec![ChannelUndo::Channel(name.clone(), old)]
            }
            ChannelPersist::Message(row) => {
                let old = self.messages.insert(row.id, (**row).clone());
                let is_new = old.is_none() && row.message.event > 0;
                let mut undo = vec![ChannelUndo::Message(row.id, old)];
                if is_new {
                    let key = (row.channel.clone(), row.message.key.clone());
                    let old = self.taken.insert(key.clone(), row.message.at_ms);
                    undo.push(ChannelUndo::Taken(key, old));
                }
                undo
            }
            ChannelPersist::ForgetMessage(id) => {
                vec![ChannelUndo::Message(*id, self.messages.remove(id))]
            }
        }
    }

    pub(crate) fn take_back(&mut self, undo: ChannelUndo) {
        match undo {
            ChannelUndo::Channel(name, old) => put(&mut self.channels, name, old),
            ChannelUndo::Message(id, old) => put(&mut self.messages, id, old),
            ChannelUndo::Taken(key, old) => put(&mut self.taken, key, old),
        }
    }

    /// What a new core is told of them.
    pub(crate) fn recovered(&self) -> ChannelRecovery {
        ChannelRecovery {
            channels: self.channels.values().cloned().collect(),
            messages: self.messages.values().cloned().collect(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ChannelChecker {
    /// Receivers have these: channel and number of the message.
    received: BTreeSet<(String, MessageId)>,
}

impl ChannelChecker {
    /// A batch is about to be recorded.
    pub(crate) fn recorded(
        &self,
        fleet: &Fleet,
        world: &World,
        persists: &[Effect],
    ) -> Result<(), String> {
        let is_about = |e: &Effect| matches!(e, Effect::Persist(Persist::Channel(_)));
        if !persists.iter().any(is_about) {
            return Ok(());
        }
        let told: BTreeSet<&str> = persists.iter().filter_map(given_up).collect();
        // Of several in one batch the last one counts.
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for effect in persists {
            if let Effect::Persist(Persist::Channel(ChannelPersist::Channel(row))) = effect {
                counts.insert(&row.name, row.dropped_total);
            }
        }
        let mut journal = world.journal.channels.clone();
        for effect in persists {
            let Effect::Persist(Persist::Channel(item)) = effect else {
                continue;
            };
            match item {
                ChannelPersist::Message(row) => {
                    Self::taken_on(fleet, &journal, row)?;
                    let name = row.channel.as_str();
                    let old = journal.messages.get(&row.id);
                    let is_new = old.is_none_or(|old| old.failed_ms.is_none());
                    if row.failed_ms.is_some() && is_new && !told.contains(name) {
                        return Err(format!("message {} is given up and not told", row.id));
                    }
                }
                ChannelPersist::ForgetMessage(id) => {
                    self.may_go(world, &journal, *id, &counts)?;
                }
                ChannelPersist::Channel(_) | ChannelPersist::ForgetChannel(_) => {}
            }
            journal.apply(item);
        }
        Ok(())
    }

    /// A message that is new repeats no other.
    fn taken_on(fleet: &Fleet, journal: &ChannelJournal, row: &MessageRow) -> Result<(), String> {
        let within = fleet.channels.get(&row.channel).map_or(0, |c| c.dedup_ms);
        if journal.messages.contains_key(&row.id) || row.message.event == 0 {
            return Ok(());
        }
        let key = (row.channel.clone(), row.message.key.clone());
        match journal.taken.get(&key) {
            Some(last) if row.message.at_ms.abs_diff(*last) < within => Err(format!(
                "message {} repeats `{}` on `{}` within {within} ms",
                row.id, key.1, key.0
            )),
            _ => Ok(()),
        }
    }

    /// A message goes because somebody has it, or it is counted as dropped, or it was given up.
    fn may_go(
        &self,
        world: &World,
        journal: &ChannelJournal,
        id: MessageId,
        counts: &BTreeMap<&str, u64>,
    ) -> Result<(), String> {
        let Some(row) = journal.messages.get(&id) else {
            return Err(format!("message {id} goes, and was not there"));
        };
        let name = row.channel.as_str();
        let before = world.journal.channels.channels.get(name);
        let before = before.map_or(0, |row| row.dropped_total);
        let is_counted = counts.get(name).is_some_and(|count| *count > before);
        let is_received = self.received.contains(&(name.to_owned(), id));
        if is_received || is_counted || row.failed_ms.is_some() {
            return Ok(());
        }
        Err(format!("message {id} to `{name}` is lost"))
    }

    /// What must be so once the world has calmed down.
    pub(crate) fn judge(fleet: &Fleet, world: &World, now: WallMs) -> Result<(), String> {
        for row in world.journal.channels.messages.values() {
            let is_late = now - row.message.at_ms > LAST_MS && row.failed_ms.is_none();
            let Some(channel) = fleet.channels.get(&row.channel) else {
                continue;
            };
            let quiet = is_quiet(channel, now) || is_quiet(channel, now - LAST_MS);
            if is_late && (row.urgent || !quiet) {
                return Err(format!("message {} to `{}` waits", row.id, row.channel));
            }
        }
        Ok(())
    }
}

/// The channel that an event says could not send.
fn given_up(effect: &Effect) -> Option<&str> {
    let Effect::Persist(Persist::Bus(BusPersist::Event { event, .. })) = effect else {
        return None;
    };
    let event: &BusEvent = event;
    let is_meant = event.kind == "channel.failed";
    event.subject.as_deref().filter(|_| is_meant)
}

impl History {
    /// Carries out what channels want.
    pub(crate) fn channel_effect(&mut self, effect: ChannelEffect) -> Result<(), String> {
        let ChannelEffect::Send { send, messages, .. } = effect;
        let Some(channel) = self.fleet.channels.get(&send.channel) else {
            return Err(format!("`{}` is not declared, and sends", send.channel));
        };
        let rows = rows_of(&self.world, &send);
        if rows.len() != messages.len() || rows.is_empty() {
            return Err(format!("{send:?} sends what is not in the journal"));
        }
        let is_urgent = rows.iter().all(|row| row.urgent);
        if is_quiet(channel, self.wall_ms()) && !is_urgent {
            return Err(format!("{send:?} is sent in quiet hours"));
        }
        let is_poison = messages.iter().any(|message| message.key == POISON);
        let flaky = self.faults && self.dice.chance(30);
        let answer = Event::SendAnswers {
            epoch: self.epoch,
            send,
            passes: !is_poison && !flaky,
        };
        let delay = self.latency(1_500);
        self.after(delay, answer);
        Ok(())
    }

    /// A receiver answers.
    pub(crate) fn send_answers(&mut self, send: SendRef, passes: bool) -> Result<(), String> {
        if passes {
            for row in rows_of(&self.world, &send) {
                self.channels.received.insert((row.channel, row.id));
            }
        }
        let outcome = match passes {
            true => Ok(()),
            false => Err("no route".to_owned()),
        };
        self.deliver(Input::Channel(ChannelNews::Sent { send, outcome }))
    }

    /// Somebody tests a channel, or looks after messages that were given up.
    pub(crate) fn channel_mischief(&mut self) -> Option<Command> {
        let names: Vec<String> = self.fleet.channels.keys().cloned().collect();
        if names.is_empty() {
            return None;
        }
        Some(Command::Channel(match self.dice.range(0, 2) {
            0 => ChannelCommand::Test(self.dice.pick(&names).clone()),
            1 => ChannelCommand::Retry(Numbers::All),
            _ => ChannelCommand::Drop(Numbers::All),
        }))
    }
}

fn rows_of(world: &World, send: &SendRef) -> Vec<MessageRow> {
    let rows = world.journal.channels.messages.values();
    let its = |row: &&MessageRow| {
        row.channel == send.channel && row.delivery == Some(send.number) && row.failed_ms.is_none()
    };
    rows.filter(its).cloned().collect()
}

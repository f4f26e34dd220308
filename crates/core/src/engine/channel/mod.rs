//! Messages for people, told first in prose.
//!
//! A subscription or a rule that notifies hands a message to a channel. From then on it is the
//! channel's: durable, until it is sent or given up.
//!
//! **Dropped.** A message is dropped, and counted, if it is milder than the channel wants, if one
//! of its key was taken on within the channel's time, if it is about the channel itself (its
//! failure cannot be told on it), if too many handlers led to it, or if [`WAITING_MAX`] wait
//! already; the last is told once, until there is room again.
//!
//! **Waiting.** Messages wait for the end of quiet hours, and as long as they are collected; then
//! they are sent in order, one delivery at a time. Urgent ones (critical ones, tests, and what a
//! person asked for) wait for neither, and are sent alone.
//!
//! **Sending.** A delivery that failed is tried again after a while, and lets others pass. After
//! the last try its messages are given up, which is the event `channel.failed`; they stay until a
//! person retries or drops them. What was being sent when the manager died is sent again.
//!
//! Deliberately absent: an event for a message that was sent. It would lead to messages.

mod command;
mod keep;
mod quiet;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::engine::Core;
use crate::engine::bus::take::{DEPTH_MAX, Variables};
use crate::event::{Digest, Event, identity};
use crate::fleet::{Channel, Notice, Severity};
use crate::io::{ChannelPersist, Effect, Now, Persist};
use crate::record::{ChannelRow, Message, MessageId, MessageRow, WallMs};
use crate::template::Template;
use quiet::Stretch;

/// How outlets and pools of channels begin.
pub(crate) const OUTLET: &str = "channel.";
/// Most messages that wait for one channel.
const WAITING_MAX: usize = 1_000;
/// Keys that a channel remembers; the oldest are forgotten.
const SEEN_MAX: usize = 256;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 200;
/// Longest body, in characters.
const BODY_CHARS_MAX: usize = 10_000;
/// A longer key is remembered by its digest. In bytes.
const KEY_BYTES_MAX: usize = 200;

/// What the core remembers of channels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channels {
    slots: BTreeMap<String, Slot>,
    /// Messages that were given up.
    failed: BTreeMap<MessageId, MessageRow>,
    last_message: MessageId,
    /// What an earlier manager left is known.
    recovered: bool,
    /// Monotonic time at which something is due.
    due: Option<u64>,
}

impl Channels {
    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.due
    }
}

/// A channel.
#[derive(Debug, Clone)]
struct Slot {
    definition: Arc<Channel>,
    row: ChannelRow,
    /// The row differs from the one that is durable.
    is_changed: bool,
    /// Messages that are neither sent nor given up.
    rows: BTreeMap<MessageId, MessageRow>,
    /// Those that wait for their turn alone.
    urgent: BTreeSet<MessageId>,
    /// Those that wait for the end of quiet hours and of collecting.
    calm: BTreeSet<MessageId>,
    /// Monotonic time of the latter; `None` when there are none.
    collect_due: Option<u64>,
    /// By number.
    deliveries: BTreeMap<u64, Delivery>,
    /// Those that wait for their next try, by monotonic time.
    later: BTreeSet<(u64, u64)>,
    /// The one that goes on now.
    running: Option<u64>,
    /// The time around now, as to quiet hours.
    stretch: Option<Stretch>,
    last_error: Option<String>,
}

/// Messages that are sent together.
#[derive(Debug, Clone, Default)]
struct Delivery {
    ids: Vec<MessageId>,
    is_urgent: bool,
    /// Tries that failed.
    attempts: u32,
}

impl Slot {
    fn new(definition: Channel, row: ChannelRow) -> Self {
        Self {
            definition: Arc::new(definition),
            row,
            is_changed: false,
            rows: BTreeMap::new(),
            urgent: BTreeSet::new(),
            calm: BTreeSet::new(),
            collect_due: None,
            deliveries: BTreeMap::new(),
            later: BTreeSet::new(),
            running: None,
            stretch: None,
            last_error: None,
        }
    }

    fn drop_one(&mut self) {
        self.row.dropped_total += 1;
        self.is_changed = true;
    }

    /// Whether a message of this key was taken on within the channel's time.
    fn repeats(&self, key: &str, now: Now) -> bool {
        let within = self.definition.dedup_ms;
        // A clock that was set back is no reason to say it again, nor to keep silent for years.
        let seen = self.row.seen.get(key);
        seen.is_some_and(|at_ms| now.wall_ms.abs_diff(*at_ms) < within)
    }

    fn note(&mut self, key: &str, now: Now) {
        let within = self.definition.dedup_ms;
        let seen = &mut self.row.seen;
        if within == 0 {
            seen.clear();
            return;
        }
        seen.insert(key.to_owned(), now.wall_ms);
        if seen.len() > SEEN_MAX {
            seen.retain(|_, at_ms| now.wall_ms.abs_diff(*at_ms) < within);
        }
        if seen.len() > SEEN_MAX {
            let oldest = seen.iter().min_by_key(|(_, at_ms)| **at_ms);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                seen.remove(&key);
            }
        }
    }

    /// Lets a message wait for its turn.
    fn queue(&mut self, row: MessageRow, now: Now) {
        let id = row.id;
        if row.urgent {
            self.urgent.insert(id);
        } else {
            self.calm.insert(id);
            let age = now.wall_ms.abs_diff(row.message.at_ms);
            let wait = self.definition.group_ms.saturating_sub(age);
            self.collect_due
                .get_or_insert(now.mono_ms.saturating_add(wait));
        }
        self.rows.insert(id, row);
    }

    /// The time around now, as to quiet hours.
    fn stretch(&mut self, wall_ms: WallMs) -> Stretch {
        let Some(quiet) = &self.definition.quiet else {
            return Stretch::ALWAYS;
        };
        match self.stretch {
            Some(known) if known.from_ms <= wall_ms && wall_ms < known.upto_ms => known,
            _ => *self.stretch.insert(Stretch::at(quiet, wall_ms)),
        }
    }
}

impl Core {
    /// Hands a message to its channel: durable in this batch, unless it is dropped and counted.
    /// `depth`: so many handlers led to it, this one included.
    ///
    /// # Errors
    /// In words: there is no such channel, or a template cannot be filled in. Trying again would
    /// not help.
    pub(crate) fn notify(
        &mut self,
        notice: &Notice,
        event: &Event,
        depth: u32,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let name = &notice.channel;
        let message = write(notice, event, now)?;
        let Some(slot) = self.channels.slots.get_mut(name) else {
            return Err(format!("there is no channel `{name}`"));
        };
        let is_own = event.kind.starts_with(OUTLET) && event.subject.as_ref() == Some(name);
        let is_mild = message.severity < slot.definition.min_severity;
        if is_own || is_mild || depth > DEPTH_MAX || slot.repeats(&message.key, now) {
            slot.drop_one();
            return Ok(());
        }
        if slot.rows.len() >= WAITING_MAX {
            slot.drop_one();
            let is_told = std::mem::replace(&mut slot.row.full, true);
            if !is_told {
                let data = serde_json::json!({ "channel": name, "waiting": WAITING_MAX });
                self.announce_from(depth, "channel.full", Some(name.clone()), data, now, out);
            }
            return Ok(());
        }
        slot.note(&message.key, now);
        let urgent = message.severity == Severity::Critical;
        self.take_on(name, message, urgent, depth, now, out);
        Ok(())
    }

    /// From now on it is the channel's.
    fn take_on(
        &mut self,
        name: &str,
        message: Message,
        urgent: bool,
        depth: u32,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.channels.slots.get_mut(name) else {
            return;
        };
        self.channels.last_message += 1;
        let row = MessageRow {
            id: self.channels.last_message,
            channel: name.to_owned(),
            message,
            urgent,
            depth,
            ..MessageRow::default()
        };
        slot.row.last_message = row.id;
        slot.is_changed = true;
        out.push(put(&row));
        slot.queue(row, now);
    }
}

/// The row, for the journal.
fn put(row: &MessageRow) -> Effect {
    let item = ChannelPersist::Message(Box::new(row.clone()));
    Effect::Persist(Persist::Channel(item))
}

/// The message is over.
fn forget(id: MessageId) -> Effect {
    Effect::Persist(Persist::Channel(ChannelPersist::ForgetMessage(id)))
}

/// Fills the templates of a notice in.
fn write(notice: &Notice, event: &Event, now: Now) -> Result<Message, String> {
    let variables = Value::Object(Variables::of(event).0);
    let fill = |what: &str, source: &Option<String>| {
        let Some(source) = source else {
            return Ok(None);
        };
        let template = Template::parse(source).map_err(|fault| fault.why);
        let text = template.and_then(|template| template.fill(&variables));
        text.map(Some).map_err(|why| format!("its {what}: {why}"))
    };
    let title = fill("title", &notice.title)?.unwrap_or_else(|| match &event.subject {
        Some(subject) => format!("{} {subject}", event.kind),
        None => event.kind.clone(),
    });
    let body = fill("body", &notice.body)?.unwrap_or_else(|| match &event.data {
        Value::Null => String::new(),
        data => serde_json::to_string_pretty(data).unwrap_or_default(),
    });
    let title = cut(&one_line(&title), TITLE_CHARS_MAX);
    let key = fill("key", &notice.key)?.unwrap_or_else(|| title.clone());
    Ok(Message {
        key: short(key),
        body: cut(body.trim_end(), BODY_CHARS_MAX),
        title,
        severity: notice.severity,
        at_ms: now.wall_ms,
        event: event.seq,
    })
}

fn one_line(text: &str) -> String {
    let plain = text.trim().chars();
    plain
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => {
            let begin: String = text.chars().take(chars_max - 1).collect();
            format!("{begin}…")
        }
    }
}

fn short(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let digest: Digest = identity("", &key);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

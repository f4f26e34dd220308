//! Commands about channels and messages, and what is shown of them.

use super::quiet::Stretch;
use super::{Slot, WAITING_MAX, forget, put};
use crate::engine::Core;
use crate::fleet::{Severity, Via};
use crate::io::{Accepted, ChannelCommand, Effect, Now, Numbers, Refusal};
use crate::record::{Message, MessageId, MessageRow};
use crate::view::{ChannelView, MessageState, MessageView};

impl Core {
    pub(crate) fn on_channel_command(
        &mut self,
        command: ChannelCommand,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        match command {
            ChannelCommand::Test(name) => self.test_channel(&name, now, out),
            ChannelCommand::Retry(which) => self.retry_messages(&which, now, out),
            ChannelCommand::Drop(which) => self.drop_messages(&which, out),
        }
    }

    fn test_channel(
        &mut self,
        name: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        if !self.channels.slots.contains_key(name) {
            let (what, name) = ("channel".to_owned(), name.to_owned());
            return Err(Refusal::Unknown { what, name });
        }
        self.has_room(name)?;
        let title = format!("Test of channel {name}");
        let message = Message {
            body: format!(
                "Fleet {} sends this because somebody asked.",
                self.fleet.name
            ),
            severity: Severity::Info,
            key: title.clone(),
            at_ms: now.wall_ms,
            event: 0,
            title,
        };
        self.take_on(name, message, true, 0, now, out);
        Ok(counted(1))
    }

    fn has_room(&self, name: &str) -> Result<(), Refusal> {
        let Some(slot) = self.channels.slots.get(name) else {
            let why = format!(
                "there is no channel `{name}` any more; drop its messages, or declare it again"
            );
            return Err(Refusal::Invalid { why });
        };
        if slot.rows.len() < WAITING_MAX {
            return Ok(());
        }
        let why = format!(
            "{WAITING_MAX} messages wait for channel `{name}`, which takes no more; see why with \
             `eud channel list`"
        );
        Err(Refusal::Full { why })
    }

    fn retry_messages(
        &mut self,
        which: &Numbers,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let ids = match which {
            Numbers::All => self.channels.failed.keys().copied().collect(),
            Numbers::These(ids) => {
                let failed = &self.channels.failed;
                let unknown = ids.iter().find(|id| !failed.contains_key(id));
                unknown.map_or(Ok(()), |id| Err(unknown_message(*id)))?;
                ids.clone()
            }
        };
        let mut accepted = Accepted::default();
        for id in ids {
            let Some(row) = self.channels.failed.get(&id) else {
                continue;
            };
            match self.has_room(&row.channel) {
                Ok(()) => self.raise_message(id, now, out),
                Err(Refusal::Invalid { why } | Refusal::Full { why }) => {
                    accepted.warnings.push(format!("message {id}: {why}"));
                    continue;
                }
                Err(refusal) => return Err(refusal),
            }
            accepted.count += 1;
        }
        Ok(accepted)
    }

    fn raise_message(&mut self, id: MessageId, now: Now, out: &mut Vec<Effect>) {
        let Some(row) = self.channels.failed.remove(&id) else {
            return;
        };
        let row = MessageRow {
            urgent: true,
            attempts: 0,
            failed_ms: None,
            ..row
        };
        out.push(put(&row));
        if let Some(slot) = self.channels.slots.get_mut(&row.channel) {
            slot.queue(row, now);
        }
    }

    fn drop_messages(
        &mut self,
        which: &Numbers,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let ids = match which {
            Numbers::All => self.channels.failed.keys().copied().collect(),
            Numbers::These(ids) => {
                ids.iter().try_for_each(|id| self.may_be_dropped(*id))?;
                ids.clone()
            }
        };
        for id in &ids {
            self.channels.failed.remove(id);
            for slot in self.channels.slots.values_mut() {
                if slot.rows.remove(id).is_some() {
                    slot.leave(*id);
                }
            }
            out.push(forget(*id));
        }
        Ok(counted(ids.len() as u64))
    }

    fn may_be_dropped(&self, id: MessageId) -> Result<(), Refusal> {
        if self.channels.failed.contains_key(&id) {
            return Ok(());
        }
        let mut slots = self.channels.slots.values();
        let slot = slots.find(|slot| slot.rows.contains_key(&id));
        let slot = slot.ok_or_else(|| unknown_message(id))?;
        if slot.is_sending(id) {
            let why = format!("message {id} is just being sent; try again when that is over");
            return Err(Refusal::Invalid { why });
        }
        Ok(())
    }

    /// Channels by name.
    pub fn channels(&self, now: Now) -> Vec<ChannelView> {
        let slots = self.channels.slots.values();
        slots.map(|slot| self.channel_view(slot, now)).collect()
    }

    fn channel_view(&self, slot: &Slot, now: Now) -> ChannelView {
        let name = &slot.definition.name;
        let failed = self.channels.failed.values();
        let quiet = slot.definition.quiet.as_ref();
        let stretch = quiet.map_or(Stretch::ALWAYS, |quiet| Stretch::at(quiet, now.wall_ms));
        ChannelView {
            name: name.clone(),
            via: via(&slot.definition.via),
            waiting: slot.rows.len() as u64,
            last_error: slot.last_error.clone(),
            quiet_until_ms: stretch.is_quiet.then_some(stretch.upto_ms),
            sent_total: slot.row.sent_total,
            dropped_total: slot.row.dropped_total,
            failed: failed.filter(|row| row.channel == *name).count() as u64,
        }
    }

    /// Messages that are not sent, by number.
    pub fn messages(&self) -> Vec<MessageView> {
        let failed = self.channels.failed.values().map(|row| MessageView {
            state: MessageState::Failed,
            row: row.clone(),
        });
        let slots = self.channels.slots.values();
        let open = slots.flat_map(|slot| {
            slot.rows.values().map(|row| MessageView {
                state: match slot.is_sending(row.id) {
                    true => MessageState::Sending,
                    false => MessageState::Waiting,
                },
                row: row.clone(),
            })
        });
        let mut all: Vec<MessageView> = failed.chain(open).collect();
        all.sort_by_key(|view| view.row.id);
        all
    }
}

impl Slot {
    fn is_sending(&self, id: MessageId) -> bool {
        let delivery = self.running.and_then(|number| self.deliveries.get(&number));
        delivery.is_some_and(|delivery| delivery.ids.contains(&id))
    }

    /// A message is dropped.
    fn leave(&mut self, id: MessageId) {
        self.drop_one();
        self.urgent.remove(&id);
        self.calm.remove(&id);
        if self.calm.is_empty() {
            self.collect_due = None;
        }
        self.deliveries
            .values_mut()
            .for_each(|found| found.ids.retain(|other| *other != id));
        self.deliveries.retain(|_, found| !found.ids.is_empty());
        let deliveries = &self.deliveries;
        self.later
            .retain(|(_, number)| deliveries.contains_key(number));
    }
}

fn unknown_message(id: MessageId) -> Refusal {
    Refusal::Unknown {
        what: "message".to_owned(),
        name: id.to_string(),
    }
}

fn counted(count: u64) -> Accepted {
    Accepted {
        count,
        ..Accepted::default()
    }
}

/// How a channel sends, in words. No secrets: a URL may be one.
fn via(via: &Via) -> String {
    match via {
        Via::Desktop => "desktop".to_owned(),
        Via::Exec { .. } => "exec".to_owned(),
        Via::Webhook(webhook) => format!("webhook {}", host_of(&webhook.url)),
        Via::Email(email) => format!("email to {}", email.to.join(", ")),
    }
}

/// Scheme, host and port: the rest of such addresses often holds a key.
fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

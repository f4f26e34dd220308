//! Commands about subscriptions, and what is shown of them.

use crate::engine::Core;
use crate::event::{Seq, parse_glob};
use crate::fleet::{Handler, Kind, Subscription};
use crate::io::{Accepted, BusCommand, BusNews, Effect, Now, Refusal};
use crate::view::{BusView, SubscriptionView};

use super::subscription::Slot;

impl Core {
    pub(crate) fn on_bus_command(
        &mut self,
        command: BusCommand,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        match command {
            BusCommand::Subscribe(definition) => self.subscribe(*definition, now, out),
            BusCommand::Unsubscribe(name) => self.unsubscribe(&name, out),
            BusCommand::Pause { name, pause } => {
                let slot = self.subscription(&name)?;
                slot.row.paused = pause;
                slot.is_changed = true;
                Ok(one())
            }
            BusCommand::Replay { name, after } => {
                let slot = self.subscription(&name)?;
                let cursor = slot.row.cursor;
                if after > cursor {
                    let why = format!(
                        "`{name}` has looked at events up to {cursor}; to begin after {after} \
                         would leave some out"
                    );
                    return Err(Refusal::Invalid { why });
                }
                slot.row.cursor = after;
                slot.row.replays += 1;
                slot.fetching = None;
                slot.is_changed = true;
                Ok(one())
            }
            BusCommand::RetryDead(which) => self.retry_dead(&which, now, out),
            BusCommand::DropDead(which) => self.drop_dead(&which, out),
        }
    }

    pub(crate) fn on_bus_news(&mut self, news: BusNews, now: Now, out: &mut Vec<Effect>) {
        match news {
            BusNews::Fetched {
                after,
                events,
                upto,
            } => {
                self.on_fetched(after, &events, upto, now);
                self.supply(after, &events, now, out);
            }
            BusNews::Unread { after } => self.on_unread(after),
            BusNews::Delivered { delivery, outcome } => {
                self.on_delivered(&delivery, outcome, now, out);
            }
        }
    }

    fn subscription(&mut self, name: &str) -> Result<&mut Slot, Refusal> {
        let unknown = Refusal::Unknown {
            what: "subscription".to_owned(),
            name: name.to_owned(),
        };
        self.bus.subs.get_mut(name).ok_or(unknown)
    }

    fn subscribe(
        &mut self,
        mut definition: Subscription,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Accepted, Refusal> {
        let invalid = |why: String| Refusal::Invalid { why };
        let name = definition.name.clone();
        self.check_subscription(&definition).map_err(invalid)?;
        definition.at_run_time = true;
        let row = crate::record::SubscriptionRow::default();
        Slot::new(definition.clone(), row).map_err(invalid)?;
        let kept = Some(Box::new(definition.clone()));
        self.define(name, definition, kept, now, out);
        Ok(one())
    }

    /// What `eud-config` checks of those in the fleet file.
    fn check_subscription(&self, definition: &Subscription) -> Result<(), String> {
        let name = &definition.name;
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err(format!(
                "name `{name}`: it has 1 to 64 letters, digits, `.`, `_` and `-`"
            ));
        }
        if self.fleet.subscriptions.contains_key(name) {
            return Err(format!(
                "`{name}` is declared in the fleet file; change it there"
            ));
        }
        if definition.on.is_empty() {
            return Err("`on` names no type; `*` means all".to_owned());
        }
        for glob in &definition.on {
            parse_glob(glob)?;
        }
        match &definition.handler {
            Handler::Job { job } => match self.fleet.daemons.get(job) {
                Some(daemon) if daemon.kind == Kind::Job => Ok(()),
                Some(_) => Err(format!("`{job}` is a service, no job")),
                None => Err(format!("there is no job `{job}`")),
            },
            Handler::Task(task) if !self.fleet.pools.contains_key(&task.pool) => {
                Err(format!("there is no pool `{}`", task.pool))
            }
            Handler::Exec { .. } => Err(
                "a command can only be given in the fleet file: `[subscriptions.<name>] exec`"
                    .to_owned(),
            ),
            Handler::Task(_) | Handler::Webhook(_) => Ok(()),
        }
    }

    fn unsubscribe(&mut self, name: &str, out: &mut Vec<Effect>) -> Result<Accepted, Refusal> {
        let slot = self.subscription(name)?;
        if slot.row.definition.is_none() {
            let why = format!("`{name}` is declared in the fleet file; remove it there");
            return Err(Refusal::Invalid { why });
        }
        self.end_subscription(name, out);
        Ok(one())
    }

    /// The smallest event that every subscription has looked at.
    pub(crate) fn seen_by_all(&self) -> Seq {
        let cursors = self.bus.subs.values().map(|slot| slot.row.cursor);
        cursors.min().unwrap_or(self.bus.last_seq)
    }

    /// Publishing is refused while somebody is too far behind.
    pub(crate) fn check_behind(&self) -> Result<(), Refusal> {
        let most = self.fleet.events.behind_max;
        for (name, slot) in &self.bus.subs {
            let behind = self.bus.last_seq.saturating_sub(slot.row.cursor);
            if behind > most {
                let why = format!(
                    "subscription `{name}` is {behind} events behind, at most {most}: see \
                     `eud subscriptions`, resume it, or raise `events.behind_max`"
                );
                return Err(Refusal::Full { why });
            }
        }
        Ok(())
    }

    /// The bus as a whole.
    pub fn bus(&self) -> BusView {
        BusView {
            last_seq: self.bus.last_seq,
            dead_letters: self.bus.dead.len() as u64,
            subscriptions: self
                .bus
                .subs
                .values()
                .map(|slot| self.shown(slot))
                .collect(),
        }
    }

    fn shown(&self, slot: &Slot) -> SubscriptionView {
        let (definition, row) = (&slot.definition, &slot.row);
        let running = slot.running.len() as u64;
        let errors = slot.deliveries.values().filter_map(|d| d.row.errors.last());
        SubscriptionView {
            name: definition.name.clone(),
            description: definition.description.clone(),
            on: definition.on.clone(),
            filter: definition.filter.clone(),
            handler: match &definition.handler {
                Handler::Job { job } => format!("job {job}"),
                Handler::Task(task) => format!("task in {}", task.pool),
                Handler::Exec { .. } => "exec".to_owned(),
                Handler::Webhook(webhook) => format!("webhook {}", webhook.url),
            },
            cursor: row.cursor,
            behind: self.bus.last_seq.saturating_sub(row.cursor),
            delivering: running,
            waiting: slot.deliveries.len() as u64 - running,
            last_error: errors.map(|error| error.why.clone()).next(),
            delivered_total: row.delivered_total,
            dead_total: row.dead_total,
            filter_errors: row.filter_errors,
            filter_error: row.filter_error.clone(),
            cut_total: row.cut_total,
            paused: row.paused,
            at_run_time: row.definition.is_some(),
        }
    }
}

fn one() -> Accepted {
    Accepted {
        count: 1,
        ..Accepted::default()
    }
}

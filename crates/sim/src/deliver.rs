//! Subscriptions: random ones, handlers that answer or do not, and what is checked of deliveries.
//!
//! Invariants checked: each event that a subscription wants is handled at least once, or is a dead
//! letter; events of one key are handled in order; nothing waits for ever; nobody stays behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eud_core::Core;
use eud_core::event::{Event as BusEvent, Seq, matches};
use eud_core::fleet::{Fleet, From, Handler, Retry, Subscription, TaskTemplate, Webhook};
use eud_core::io::{
    BusCommand, BusEffect, BusNews, BusPersist, Command, DeliveryRef, Effect, Input, Numbers,
    Persist, TaskPersist,
};
use eud_core::record::{TaskOrigin, WallMs};

use crate::dice::Dice;
use crate::run::{Event, History};
use crate::world::World;

/// How outlets of subscriptions begin.
const OUTLET: &str = "subscription.";
/// What came this shortly before the end may be on its way, in milliseconds.
const LAST_MS: i64 = 5_000;
/// The payload that no handler ever takes.
const POISON: u64 = 3;

/// Chooses subscriptions.
pub(crate) fn declare(dice: &mut Dice, fleet: &mut Fleet) {
    let pools: Vec<String> = fleet.pools.keys().cloned().collect();
    for number in 0..dice.range(0, 2) {
        let name = format!("s{number}");
        let to_task = !pools.is_empty() && dice.chance(30);
        let handler = match to_task {
            true => Handler::Task(TaskTemplate {
                pool: dice.pick(&pools).clone(),
                args: vec!["{{ event.data.n }}".into()],
                ..TaskTemplate::default()
            }),
            false => Handler::Webhook(Webhook {
                url: "http://localhost".into(),
                headers: BTreeMap::new(),
                secret: None,
            }),
        };
        // What leads to tasks must not be about tasks.
        let on = match to_task {
            true => "count.*",
            false => *dice.pick(&["count.*", "*", "daemon.*"]),
        };
        let subscription = Subscription {
            name: name.clone(),
            on: vec![on.to_owned()],
            filter: (on == "count.*" && dice.chance(30)).then(|| "event.data.n != 1".into()),
            handler,
            ordered_by: dice.chance(50).then(|| "event.source".into()),
            concurrency: u32::try_from(dice.range(1, 3)).unwrap_or(1),
            retry: Retry {
                limit: u32::try_from(dice.range(0, 2)).unwrap_or(1),
                backoff_initial_ms: 300,
                backoff_max_ms: 1_000,
                ..Retry::default()
            },
            dead_retries: u32::try_from(dice.range(0, 1)).unwrap_or(0),
            dead_retry_ms: 5_000,
            from: From::Start,
            ..Subscription::default()
        };
        fleet.subscriptions.insert(name, subscription);
    }
}

fn n_of(event: &BusEvent) -> Option<u64> {
    event.data.get("n")?.as_u64()
}

/// Whether a subscription is to get an event.
fn wants(subscription: &Subscription, event: &BusEvent) -> bool {
    let by_type = subscription.on.iter().any(|on| matches(on, &event.kind));
    let own = event.kind == "subscription.dead"
        && event.subject.as_deref() == Some(subscription.name.as_str());
    let filtered = subscription.filter.is_some() && n_of(event) == Some(1);
    by_type && !own && !filtered
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct DeliveryChecker {
    /// The last event, when it was looked at last.
    newest: Seq,
    /// Handled at least once: subscription and event.
    handled: BTreeSet<(String, Seq)>,
    /// Was a dead letter.
    dead: BTreeSet<(String, Seq)>,
    /// The last event of a key that was handled for the first time, by subscription and replay.
    last: BTreeMap<(String, u64, String), Seq>,
}

impl DeliveryChecker {
    /// A batch is about to be recorded.
    pub(crate) fn recorded(&mut self, world: &World, persists: &[Effect]) {
        // Numbers that a power cut took back are used for other events.
        let last = world.journal.bus.events.keys().next_back().copied();
        let last = last.unwrap_or(0);
        if last < self.newest {
            self.handled.retain(|(_, seq)| *seq <= last);
            self.dead.retain(|(_, seq)| *seq <= last);
            self.last.retain(|_, seq| *seq <= last);
        }
        self.newest = last;
        for effect in persists {
            match effect {
                Effect::Persist(Persist::Bus(BusPersist::DeadLetter(row))) => {
                    let name = row.delivery.outlet.trim_start_matches(OUTLET);
                    self.dead.insert((name.to_owned(), row.delivery.seq));
                }
                Effect::Persist(Persist::Task(TaskPersist::Put { row, .. })) => {
                    if let TaskOrigin::Subscription { name, seq, .. } = &row.origin {
                        self.handled.insert((name.clone(), *seq));
                    }
                }
                _ => {}
            }
        }
    }

    /// Events are not kept any more: nobody may have been waiting for them.
    pub(crate) fn gone(
        &self,
        fleet: &Fleet,
        events: impl Iterator<Item = Arc<BusEvent>>,
    ) -> Result<(), String> {
        for event in events {
            for (name, subscription) in &fleet.subscriptions {
                if wants(subscription, &event) && !self.is_settled(name, event.seq) {
                    let seq = event.seq;
                    return Err(format!("event {seq} is gone before `{name}` got it"));
                }
            }
        }
        Ok(())
    }

    fn is_settled(&self, name: &str, seq: Seq) -> bool {
        let place = (name.to_owned(), seq);
        self.handled.contains(&place) || self.dead.contains(&place)
    }

    /// A handler took an event.
    fn took(&mut self, fleet: &Fleet, world: &World, told: &DeliveryRef) -> Result<(), String> {
        let name = told.outlet.trim_start_matches(OUTLET).to_owned();
        let is_new = self.handled.insert((name.clone(), told.seq));
        let Some(event) = world.journal.bus.events.get(&told.seq) else {
            return Err(format!(
                "`{name}` gets event {}, which is not there",
                told.seq
            ));
        };
        let is_ordered = fleet
            .subscriptions
            .get(&name)
            .is_some_and(|subscription| subscription.ordered_by.is_some());
        let was_dead = self.dead.contains(&(name.clone(), told.seq));
        if !is_ordered || !is_new || was_dead {
            return Ok(());
        }
        let key = (name.clone(), told.number, event.source.clone());
        match self.last.insert(key, told.seq) {
            Some(last) if last > told.seq => Err(format!(
                "`{name}` gets event {} of {} after {last}",
                told.seq, event.source
            )),
            _ => Ok(()),
        }
    }

    /// What must be so once the world has calmed down.
    pub(crate) fn judge(
        &self,
        fleet: &Fleet,
        world: &World,
        core: &Core,
        now: WallMs,
    ) -> Result<(), String> {
        // What came just now may be on its way.
        let is_late = |at_ms: WallMs| now - at_ms > LAST_MS;
        let journal = &world.journal.bus;
        let stuck = journal.deliveries.values().find(|row| {
            let name = row.outlet.trim_start_matches(OUTLET);
            let paused = journal
                .subscriptions
                .get(name)
                .is_some_and(|row| row.paused);
            is_late(row.taken_ms) && !paused
        });
        if let Some(row) = stuck {
            return Err(format!(
                "the delivery of {} to {} waits",
                row.seq, row.outlet
            ));
        }
        let mut paused = BTreeSet::new();
        for view in core.bus().subscriptions {
            if view.paused {
                paused.insert(view.name);
                continue;
            }
            if view.behind > 0 {
                return Err(format!("`{}` is {} behind", view.name, view.behind));
            }
        }
        let listening = fleet.subscriptions.iter();
        for (name, subscription) in listening.filter(|(name, _)| !paused.contains(*name)) {
            for event in world.journal.bus.events.values() {
                let is_owed = wants(subscription, event) && is_late(event.stored_ms);
                if is_owed && !self.is_settled(name, event.seq) {
                    return Err(format!("`{name}` never got event {}", event.seq));
                }
            }
        }
        Ok(())
    }
}

impl History {
    /// Carries out what the bus wants.
    pub(crate) fn bus_effect(&mut self, effect: BusEffect) {
        let epoch = self.epoch;
        match effect {
            BusEffect::Fetch { after, max } => {
                let delay = self.latency(500);
                self.after(delay, Event::EventsRead { epoch, after, max });
            }
            BusEffect::Deliver { delivery, .. } => {
                let flaky = self.faults && self.dice.chance(25);
                let event = self.world.journal.bus.events.get(&delivery.seq);
                let passes = !flaky && event.is_some_and(|e| n_of(e) != Some(POISON));
                let delay = self.latency(2_000);
                let answer = Event::DeliveryAnswers {
                    epoch,
                    delivery,
                    passes,
                };
                self.after(delay, answer);
            }
        }
    }

    /// An answer to the bus.
    pub(crate) fn bus_answers(&mut self, event: Event) -> Result<(), String> {
        let news = match event {
            // A database that cannot be read for a moment.
            Event::EventsRead { after, .. } if self.faults && self.dice.chance(10) => {
                BusNews::Unread { after }
            }
            Event::EventsRead { after, max, .. } => {
                let all = &self.world.journal.bus.events;
                let page = all.range(after + 1..).take(max as usize);
                let events: Vec<_> = page.map(|(_, event)| event.clone()).collect();
                let is_whole = events.len() < max as usize;
                let upto = match events.last() {
                    Some(last) if !is_whole => last.seq,
                    _ => all.keys().next_back().copied().unwrap_or(0).max(after),
                };
                BusNews::Fetched {
                    after,
                    events,
                    upto,
                }
            }
            Event::DeliveryAnswers {
                delivery, passes, ..
            } => {
                if passes {
                    self.deliveries.took(&self.fleet, &self.world, &delivery)?;
                }
                let outcome = match passes {
                    true => Ok(()),
                    false => Err("HTTP 500".to_owned()),
                };
                BusNews::Delivered { delivery, outcome }
            }
            _ => return Ok(()),
        };
        self.deliver(Input::Bus(news))
    }

    /// Somebody looks after dead letters, or lets a subscription begin anew.
    pub(crate) fn bus_mischief(&mut self) -> Option<Command> {
        let names: Vec<String> = self.fleet.subscriptions.keys().cloned().collect();
        if names.is_empty() {
            return None;
        }
        let name = self.dice.pick(&names).clone();
        let last = self.world.journal.bus.events.keys().next_back();
        let last = last.copied().unwrap_or(0);
        Some(Command::Bus(match self.dice.range(0, 5) {
            0 | 1 => BusCommand::RetryDead(Numbers::All),
            2 => BusCommand::DropDead(Numbers::All),
            3 => BusCommand::Replay {
                name,
                after: self.dice.range(0, last),
            },
            _ => BusCommand::Pause {
                name,
                pause: self.dice.chance(40),
            },
        }))
    }

    /// In good weather everybody listens.
    pub(crate) fn calm_bus(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.fleet.subscriptions.keys().cloned().collect();
        for name in names {
            let pause = false;
            self.command(Command::Bus(BusCommand::Pause { name, pause }))?;
        }
        Ok(())
    }
}

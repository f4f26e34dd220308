//! What the core remembers of a subscription, and where it comes from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::engine::Core;
use crate::event::{Event, Seq};
use crate::expr::Program;
use crate::fleet::{From, Handler, Subscription, TaskTemplate};
use crate::io::{BusPersist, Effect, Now, Persist};
use crate::planted::Planted;
use crate::record::{DeliveryRow, SubscriptionRow};
use crate::template::Template;

/// Deliveries of one subscription that are taken on; events beyond wait in the journal.
pub(crate) const DELIVERIES_MAX: usize = 1_000;

/// An event and the number of its delivery.
pub(crate) type Place = (Seq, u64);

/// A subscription.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) definition: Arc<Subscription>,
    pub(crate) filter: Option<Program>,
    pub(crate) order: Option<Program>,
    pub(crate) task: Option<Arc<Templates>>,
    pub(crate) row: SubscriptionRow,
    /// The row differs from the one that is durable.
    pub(crate) is_changed: bool,
    /// Events that were looked at since it was made durable.
    pub(crate) unsaved: u64,
    /// Those that are not over.
    pub(crate) deliveries: BTreeMap<Place, Delivery>,
    /// Those that differ from what is in the journal.
    pub(crate) changed: BTreeSet<Place>,
    /// Those that may begin, in order.
    pub(crate) ready: BTreeSet<Place>,
    /// Those that wait for their next try, by monotonic time.
    pub(crate) later: BTreeSet<(u64, Place)>,
    /// Those of each key, in order: the first one is the one that goes on.
    pub(crate) keys: BTreeMap<String, VecDeque<Place>>,
    /// Those that go on now.
    pub(crate) running: BTreeSet<Place>,
    /// Events after this one are being read.
    pub(crate) fetching: Option<Seq>,
}

/// A task to be submitted, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Templates {
    pub(crate) plain: TaskTemplate,
    pub(crate) args: Vec<Template>,
    pub(crate) prompt: Option<Template>,
    pub(crate) key: Option<Template>,
}

/// A delivery that is not over.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) row: DeliveryRow,
    /// The event, as long as it may be needed and is at hand.
    pub(crate) event: Option<Arc<Event>>,
    /// There is a row in the journal.
    pub(crate) is_saved: bool,
}

impl Slot {
    /// `Err` says why it cannot be used; `eud-config` refuses it before.
    pub(crate) fn new(definition: Subscription, row: SubscriptionRow) -> Result<Self, String> {
        let program = |source: &Option<String>| {
            let compiled = source
                .as_deref()
                .map(|text| Program::compile(text, &["event"]));
            compiled.transpose().map_err(|fault| fault.why)
        };
        let task = match &definition.handler {
            Handler::Task(template) => Some(Arc::new(Templates::parse(template)?)),
            _ => None,
        };
        Ok(Self {
            filter: program(&definition.filter)?,
            order: program(&definition.ordered_by)?,
            task,
            definition: Arc::new(definition),
            row,
            is_changed: false,
            unsaved: 0,
            deliveries: BTreeMap::new(),
            changed: BTreeSet::new(),
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            keys: BTreeMap::new(),
            running: BTreeSet::new(),
            fetching: None,
        })
    }

    /// Takes a delivery on; it begins when its turn comes.
    pub(crate) fn queue(&mut self, delivery: Delivery, now: Now) {
        let place = (delivery.row.seq, delivery.row.number);
        let due = delivery.row.next_ms;
        let is_first = match &delivery.row.key {
            Some(key) => {
                let line = self.keys.entry(key.clone()).or_default();
                line.push_back(place);
                line.front() == Some(&place)
            }
            None => true,
        };
        self.deliveries.insert(place, delivery);
        match due {
            _ if !is_first => {}
            Some(due) if due > now.wall_ms => {
                let wait = u64::try_from(due - now.wall_ms).unwrap_or(0);
                // A clock that was set back does not stretch it.
                let wait = wait.min(self.definition.retry.backoff_max_ms.saturating_mul(2));
                self.later.insert((now.mono_ms.saturating_add(wait), place));
            }
            _ => {
                self.ready.insert(place);
            }
        }
    }

    /// Removes a delivery that is over, and lets the next one of its key go on.
    pub(crate) fn remove(&mut self, place: Place) -> Option<Delivery> {
        let delivery = self.deliveries.remove(&place)?;
        self.changed.remove(&place);
        self.ready.remove(&place);
        self.running.remove(&place);
        if delivery.row.next_ms.is_some() {
            self.later.retain(|(_, later)| *later != place);
        }
        if let Some(key) = &delivery.row.key
            && let Some(line) = self.keys.get_mut(key)
        {
            line.retain(|other| *other != place);
            match line.front().copied() {
                None => {
                    self.keys.remove(key);
                }
                Some(next) => {
                    let waits = self.running.contains(&next)
                        || self.later.iter().any(|(_, later)| *later == next);
                    if !waits {
                        self.ready.insert(next);
                    }
                }
            }
        }
        Some(delivery)
    }

    /// The row, for the journal.
    pub(crate) fn persist(&self) -> Effect {
        let row = Box::new(self.row.clone());
        Effect::Persist(Persist::Bus(BusPersist::Subscription(row)))
    }

    /// Whether a delivery may begin now.
    pub(crate) fn may_begin(&self, now: Now) -> bool {
        let is_due = self
            .later
            .first()
            .is_some_and(|(due, _)| *due <= now.mono_ms);
        !self.ready.is_empty() || is_due
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.row.paused && self.deliveries.len() < DELIVERIES_MAX
    }

    /// Name of where its deliveries go.
    pub(crate) fn outlet(name: &str) -> String {
        format!("{OUTLET}{name}")
    }
}

/// How outlets of subscriptions begin.
pub(crate) const OUTLET: &str = "subscription.";

impl Templates {
    fn parse(template: &TaskTemplate) -> Result<Self, String> {
        let parse = |text: &String| Template::parse(text).map_err(|fault| fault.why);
        Ok(Self {
            args: template.args.iter().map(parse).collect::<Result<_, _>>()?,
            prompt: template.prompt.as_ref().map(parse).transpose()?,
            key: template.key.as_ref().map(parse).transpose()?,
            plain: template.clone(),
        })
    }
}

impl Core {
    /// Takes over what the fleet file says of subscriptions.
    pub(crate) fn load_subscriptions(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !self.bus.recovered {
            // Where they were is not known yet.
            return;
        }
        let declared = self.fleet.subscriptions.clone();
        let gone = self.bus.subs.iter().filter(|(name, slot)| {
            let is_declared = declared.contains_key(*name);
            !is_declared && slot.row.definition.is_none()
        });
        let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.end_subscription(&name, out);
        }
        for (name, definition) in declared {
            self.define(name, definition, None, now, out);
        }
    }

    /// Makes or changes a subscription.
    pub(crate) fn define(
        &mut self,
        name: String,
        definition: Subscription,
        at_run_time: Option<Box<Subscription>>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let old = self.bus.subs.remove(&name);
        let mut row = match &old {
            Some(old) => old.row.clone(),
            None => SubscriptionRow {
                name: name.clone(),
                cursor: match definition.from {
                    From::Now => self.bus.last_seq,
                    From::Start => 0,
                },
                ..SubscriptionRow::default()
            },
        };
        let is_new = old.is_none() || row.definition != at_run_time;
        row.definition = at_run_time;
        // What the fleet file says was checked when it was read.
        let Ok(mut slot) = Slot::new(definition, row) else {
            return;
        };
        if self.has(Planted::OrderIgnored) {
            slot.order = None;
        }
        if let Some(old) = old {
            slot.fetching = old.fetching;
            slot.running = old.running;
            for (place, delivery) in old.deliveries {
                if slot.running.contains(&place) {
                    if let Some(key) = &delivery.row.key {
                        slot.keys.entry(key.clone()).or_default().push_back(place);
                    }
                    slot.deliveries.insert(place, delivery);
                } else {
                    slot.queue(delivery, now);
                }
            }
        }
        if is_new {
            out.push(slot.persist());
        }
        self.bus.subs.insert(name, slot);
    }

    /// Forgets a subscription and what it has not delivered. Its dead letters stay.
    pub(crate) fn end_subscription(&mut self, name: &str, out: &mut Vec<Effect>) {
        let Some(slot) = self.bus.subs.remove(name) else {
            return;
        };
        for delivery in slot.deliveries.into_values().filter(|d| d.is_saved) {
            super::deliver::forget(&delivery.row, out);
        }
        out.push(Effect::Persist(Persist::Bus(
            BusPersist::ForgetSubscription(name.to_owned()),
        )));
    }

    /// What was remembered: cursors, and deliveries that are not over.
    pub(crate) fn recover_subscriptions(
        &mut self,
        rows: Vec<SubscriptionRow>,
        mut deliveries: Vec<DeliveryRow>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        for mut row in rows {
            if self.has(Planted::CursorSkips) {
                row.cursor = self.bus.last_seq;
            }
            let declared = self.fleet.subscriptions.get(&row.name).cloned();
            let definition = declared.or_else(|| row.definition.as_deref().cloned());
            let name = row.name.clone();
            let slot = definition.map(|definition| Slot::new(definition, row));
            match slot {
                Some(Ok(slot)) => {
                    self.bus.subs.insert(name, slot);
                }
                _ => out.push(Effect::Persist(Persist::Bus(
                    BusPersist::ForgetSubscription(name),
                ))),
            }
        }
        deliveries.sort_by_key(|row| (row.seq, row.number));
        for row in deliveries {
            let name = row.outlet.strip_prefix(OUTLET).unwrap_or(&row.outlet);
            let Some(slot) = self.bus.subs.get_mut(name) else {
                super::deliver::forget(&row, out);
                continue;
            };
            let place = (row.seq, row.number);
            let is_task = row.task.is_some_and(|id| self.tasks.is_open(id));
            let delivery = Delivery {
                row,
                event: None,
                is_saved: true,
            };
            slot.queue(delivery, now);
            if is_task {
                slot.ready.remove(&place);
                slot.running.insert(place);
            }
        }
        self.load_subscriptions(now, out);
    }
}

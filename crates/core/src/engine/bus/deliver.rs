//! Bringing events to handlers.
//!
//! Invariants: a delivery is over when the handler has it, or when it is a dead letter, in the
//! batch that says so; one that waits for its next try lets others pass, but for those of its key;
//! what was being delivered when the manager died is delivered again.

use std::sync::Arc;

use serde_json::Value;

use super::subscription::{OUTLET, Place, Slot};
use super::take::{Variables, depth_of};
use crate::engine::{Core, policy};
use crate::event::{Event, Seq};
use crate::fleet::Handler;
use crate::io::{BusEffect, BusPersist, DeliveryRef, Effect, Now, Persist, Refusal};
use crate::planted::Planted;
use crate::record::{
    AttemptError, DeliveryRow, Fire, NewTask, TaskOrigin, TaskRow, TaskSpec, TaskState, Trigger,
};

/// What went wrong is remembered of so many tries, the last ones.
const ERRORS_MAX: usize = 10;
/// Events that wait for one run of a job.
const FIRE_EVENTS_MAX: usize = 1_000;

/// What became of the beginning of a delivery.
enum Begun {
    Over,
    Running,
    Failed(String),
    /// It can never be delivered.
    Poisoned(String),
    /// The event must be read first.
    Unread,
}

/// The delivery is over.
pub(crate) fn forget(row: &DeliveryRow, out: &mut Vec<Effect>) {
    out.push(Effect::Persist(Persist::Bus(BusPersist::DeliveryOver {
        outlet: row.outlet.clone(),
        seq: row.seq,
        number: row.number,
    })));
}

impl Core {
    /// Begins what may begin, and makes durable what changed.
    pub(crate) fn tend_bus(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.offer_fresh(now);
        self.revive(now, out);
        let busy = self.bus.subs.iter().filter(|(_, slot)| slot.may_begin(now));
        let names: Vec<String> = busy.map(|(name, _)| name.clone()).collect();
        for name in &names {
            self.begin_deliveries(name, now, out);
        }
        self.fetch(out);
        for slot in self.bus.subs.values_mut() {
            save(slot, out);
        }
    }

    fn begin_deliveries(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(slot) = self.bus.subs.get_mut(name) else {
            return;
        };
        while let Some((due, place)) = slot.later.first().copied() {
            if due > now.mono_ms {
                break;
            }
            slot.later.pop_first();
            slot.ready.insert(place);
        }
        loop {
            let Some(slot) = self.bus.subs.get_mut(name) else {
                return;
            };
            let is_free = slot.running.len() < slot.definition.concurrency as usize;
            if self.shutting_down || slot.row.paused || !is_free {
                return;
            }
            let Some(place) = slot.ready.pop_first() else {
                return;
            };
            slot.running.insert(place);
            match self.begin_delivery(name, place, now, out) {
                Begun::Running => {}
                Begun::Over => self.delivered(name, place, Ok(()), now, out),
                Begun::Failed(why) => self.delivered(name, place, Err(why), now, out),
                Begun::Poisoned(why) => self.bury(name, place, why, now, out),
                Begun::Unread => {
                    let (after, max) = (place.0.saturating_sub(1), 1);
                    out.push(Effect::Bus(BusEffect::Fetch { after, max }));
                }
            }
        }
    }

    fn begin_delivery(
        &mut self,
        name: &str,
        place: Place,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Begun {
        let Some(slot) = self.bus.subs.get(name) else {
            return Begun::Over;
        };
        let definition = Arc::clone(&slot.definition);
        match &definition.handler {
            Handler::Job { job } => match self.event_of(name, place) {
                Some(event) => self.fire_for(job, place.0, depth_of(&event) + 1, now, out),
                None => Begun::Unread,
            },
            Handler::Task(_) => match self.event_of(name, place) {
                Some(event) => self.submit_for(name, place, &event, now, out),
                None => Begun::Unread,
            },
            Handler::Exec { pool } => self.exec_for(name, place, pool, now, out),
            Handler::Webhook(webhook) => {
                let attempt = slot.deliveries.get(&place).map_or(0, |d| d.row.attempts) + 1;
                out.push(Effect::Bus(BusEffect::Deliver {
                    delivery: DeliveryRef {
                        outlet: Slot::outlet(name),
                        seq: place.0,
                        number: place.1,
                        attempt,
                    },
                    webhook: Box::new(webhook.clone()),
                    timeout_ms: definition.timeout_ms,
                }));
                Begun::Running
            }
        }
    }

    fn event_of(&self, name: &str, place: Place) -> Option<Arc<Event>> {
        let delivery = self.bus.subs.get(name)?.deliveries.get(&place)?;
        delivery.event.clone()
    }

    fn fire_for(
        &mut self,
        job: &str,
        seq: u64,
        depth: u32,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Begun {
        if !self.is_armed(job) {
            return Begun::Failed(format!("job `{job}` is not up: start or release it"));
        }
        if self.events_waiting(job) >= FIRE_EVENTS_MAX {
            return Begun::Failed(format!(
                "{FIRE_EVENTS_MAX} events wait for the next run of `{job}`"
            ));
        }
        let fire = Fire {
            due_ms: now.wall_ms,
            trigger: Trigger::Event,
            events: vec![seq],
            depth,
            ..Fire::default()
        };
        self.bring_about(job, fire, now, out);
        Begun::Over
    }

    fn submit_for(
        &mut self,
        name: &str,
        place: Place,
        event: &Event,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Begun {
        let templates = self.bus.subs.get(name).and_then(|slot| slot.task.clone());
        let Some(templates) = templates else {
            return Begun::Over;
        };
        let variables = Value::Object(Variables::of(event).0);
        let fill = || {
            let args = templates.args.iter().map(|arg| arg.fill(&variables));
            let prompt = templates.prompt.as_ref();
            let key = templates.key.as_ref();
            Ok((
                args.collect::<Result<Vec<String>, String>>()?,
                prompt.map(|prompt| prompt.fill(&variables)).transpose()?,
                key.map(|key| key.fill(&variables)).transpose()?,
            ))
        };
        let filled: Result<_, String> = fill();
        let (args, prompt, key) = match filled {
            Ok(filled) => filled,
            Err(why) => return Begun::Poisoned(format!("its template: {why}")),
        };
        let task = NewTask {
            pool: templates.plain.pool.clone(),
            priority: templates.plain.priority,
            key,
            once: templates.plain.once,
            origin: TaskOrigin::Subscription {
                name: name.to_owned(),
                seq: place.0,
                depth: depth_of(event) + 1,
            },
            spec: TaskSpec {
                args,
                prompt,
                ..TaskSpec::default()
            },
            ..NewTask::default()
        };
        match self.submit_tasks(vec![task], now, out) {
            Ok(_) => Begun::Over,
            Err(refusal) => Begun::Failed(why(&refusal)),
        }
    }

    fn exec_for(
        &mut self,
        name: &str,
        place: Place,
        pool: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Begun {
        let task = NewTask {
            pool: pool.to_owned(),
            origin: TaskOrigin::Delivery {
                outlet: Slot::outlet(name),
                seq: place.0,
                number: place.1,
            },
            spec: TaskSpec {
                event: Some(place.0),
                ..TaskSpec::default()
            },
            ..NewTask::default()
        };
        match self.submit_tasks(vec![task], now, out) {
            Ok(ids) => {
                if let Some(slot) = self.bus.subs.get_mut(name)
                    && let Some(delivery) = slot.deliveries.get_mut(&place)
                {
                    delivery.row.task = ids.first().copied();
                    slot.changed.insert(place);
                }
                Begun::Running
            }
            Err(refusal) => Begun::Failed(why(&refusal)),
        }
    }

    /// The task of a handler is over.
    pub(crate) fn handler_is_over(&mut self, row: &TaskRow, now: Now, out: &mut Vec<Effect>) {
        let TaskOrigin::Delivery {
            outlet,
            seq,
            number,
        } = &row.origin
        else {
            return;
        };
        let name = outlet.strip_prefix(OUTLET).unwrap_or(outlet).to_owned();
        let place = (*seq, *number);
        let delivery = self.bus.subs.get(&name);
        let delivery = delivery.and_then(|slot| slot.deliveries.get(&place));
        if delivery.is_none_or(|delivery| delivery.row.task != Some(row.id)) {
            return;
        }
        let outcome = match row.state {
            TaskState::Succeeded => Ok(()),
            state => Err(row.reason.clone().unwrap_or_else(|| state.as_str().into())),
        };
        self.delivered(&name, place, outcome, now, out);
    }

    /// What became of a try.
    pub(crate) fn on_delivered(
        &mut self,
        told: &DeliveryRef,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let name = told.outlet.strip_prefix(OUTLET).unwrap_or(&told.outlet);
        let place = (told.seq, told.number);
        let Some(slot) = self.bus.subs.get(name) else {
            return;
        };
        let attempts = slot.deliveries.get(&place).map(|d| d.row.attempts);
        if slot.running.contains(&place) && attempts == Some(told.attempt.saturating_sub(1)) {
            self.delivered(name, place, outcome, now, out);
        }
    }

    fn delivered(
        &mut self,
        name: &str,
        place: Place,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let jitter = self.rng.below(401);
        let never_dead = self.has(Planted::PoisonNeverDead);
        let Some(slot) = self.bus.subs.get_mut(name) else {
            return;
        };
        let Err(why) = outcome else {
            slot.row.delivered_total += 1;
            slot.is_changed = true;
            if let Some(delivery) = slot.remove(place)
                && delivery.is_saved
            {
                forget(&delivery.row, out);
            }
            return;
        };
        let retry = slot.definition.retry;
        let Some(delivery) = slot.deliveries.get_mut(&place) else {
            return;
        };
        delivery.row.attempts += 1;
        delivery.row.task = None;
        slot.changed.insert(place);
        if delivery.row.attempts > retry.limit && !never_dead {
            self.bury(name, place, why, now, out);
            return;
        }
        remember(&mut delivery.row, why, now);
        let delay = policy::grown(
            retry.backoff_initial_ms,
            retry.backoff_factor_percent,
            retry.backoff_max_ms,
            delivery.row.attempts - 1,
        );
        // Up to a fifth more or less, so that many who failed together do not come back together.
        let delay = delay.saturating_mul(800 + jitter) / 1_000;
        let wall = i64::try_from(delay).unwrap_or(i64::MAX);
        delivery.row.next_ms = Some(now.wall_ms.saturating_add(wall));
        slot.running.remove(&place);
        slot.later
            .insert((now.mono_ms.saturating_add(delay), place));
    }

    /// Events were read after this one: some deliveries wait for the next.
    pub(crate) fn supply(
        &mut self,
        after: Seq,
        events: &[Arc<Event>],
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let event = events.first().filter(|event| event.seq == after + 1);
        for (name, place) in self.unread(after) {
            let Some(event) = event else {
                let why = "its event is not kept any more".to_owned();
                self.bury(&name, place, why, now, out);
                continue;
            };
            let Some(slot) = self.bus.subs.get_mut(&name) else {
                continue;
            };
            if let Some(delivery) = slot.deliveries.get_mut(&place) {
                delivery.event = Some(Arc::clone(event));
                slot.running.remove(&place);
                slot.ready.insert(place);
            }
        }
    }

    /// Nothing could be read: whoever asked asks again.
    pub(crate) fn on_unread(&mut self, after: Seq) {
        let waiting = self.unread(after);
        for slot in self.bus.subs.values_mut() {
            if slot.fetching == Some(after) {
                slot.fetching = None;
            }
        }
        for (name, place) in waiting {
            if let Some(slot) = self.bus.subs.get_mut(&name) {
                slot.running.remove(&place);
                slot.ready.insert(place);
            }
        }
    }

    /// Deliveries that wait until the event after this one is read.
    fn unread(&self, after: Seq) -> Vec<(String, Place)> {
        let seq = after + 1;
        let mut found = Vec::new();
        for (name, slot) in &self.bus.subs {
            // The others need no event in here.
            if !matches!(
                slot.definition.handler,
                Handler::Job { .. } | Handler::Task(_)
            ) {
                continue;
            }
            for (place, delivery) in slot.deliveries.range((seq, 0)..=(seq, u64::MAX)) {
                if delivery.event.is_none() && slot.running.contains(place) {
                    found.push((name.clone(), *place));
                }
            }
        }
        found
    }
}

fn why(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Invalid { why } | Refusal::Full { why } => why.clone(),
        Refusal::Unknown { what, name } => format!("there is no {what} `{name}`"),
        other => format!("{other:?}"),
    }
}

/// Notes what went wrong.
pub(crate) fn remember(row: &mut DeliveryRow, why: String, now: Now) {
    let at_ms = now.wall_ms;
    row.errors.push(AttemptError { at_ms, why });
    if row.errors.len() > ERRORS_MAX {
        row.errors.remove(0);
    }
}

fn save(slot: &mut Slot, out: &mut Vec<Effect>) {
    for place in std::mem::take(&mut slot.changed) {
        let Some(delivery) = slot.deliveries.get_mut(&place) else {
            continue;
        };
        delivery.is_saved = true;
        out.push(Effect::Persist(Persist::Bus(BusPersist::Delivery(
            Box::new(delivery.row.clone()),
        ))));
    }
    if slot.is_changed {
        slot.is_changed = false;
        slot.unsaved = 0;
        out.push(slot.persist());
    }
}

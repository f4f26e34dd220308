//! Publishers, and what is checked of events.
//!
//! Invariants checked: numbers have no gaps and none is used twice; what was acknowledged is kept
//! until it may be pruned; a source and id are kept once; every end and every intent of a run is
//! told in its own batch; the manager's own events are as the catalogue says.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::event::{NewEvent, OWN_SOURCE, Receipt, Seq, catalogue};
use eud_core::fleet::{Events, Fleet, task_of};
use eud_core::io::{BusPersist, Reply};
use eud_core::io::{Command, Effect, Persist};
use serde_json::json;

use crate::dice::Dice;
use crate::run::History;
use crate::world::World;

/// Publishers choose among this many ids, so that repetitions come about.
const IDS: u64 = 30;

/// Chooses how events are kept.
pub(crate) fn declare(dice: &mut Dice, fleet: &mut Fleet) {
    fleet.events = Events {
        keep_max: *dice.pick(&[20, 500, 100_000]),
        keep_ms: *dice.pick(&[20_000, 7 * 86_400_000]),
        same_content_ms: dice.chance(30).then_some(5_000),
        ..Events::default()
    };
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct EventChecker {
    /// What was acknowledged: source and id by number.
    acknowledged: BTreeMap<Seq, (String, String)>,
}

impl EventChecker {
    /// A batch is about to be recorded.
    pub(crate) fn recorded(world: &World, persists: &[Effect]) -> Result<(), String> {
        let mut last = world.journal.bus.events.keys().next_back().copied();
        let (mut told, mut owed) = (BTreeSet::new(), BTreeSet::new());
        for effect in persists {
            match effect {
                Effect::Persist(Persist::Bus(BusPersist::Event { event, .. })) => {
                    let next = last.unwrap_or(0) + 1;
                    if event.seq != next {
                        return Err(format!("event {} follows {next}'s place", event.seq));
                    }
                    last = Some(event.seq);
                    if event.source.starts_with(OWN_SOURCE) {
                        let found = catalogue::find(&event.kind)
                            .ok_or_else(|| format!("`{}` is not in the catalogue", event.kind))?;
                        found.check(&event.data)?;
                    }
                    if let Some(run) = event.data.get("run").and_then(|run| run.as_str()) {
                        told.insert((event.kind.clone(), run.to_owned()));
                    }
                }
                // Tasks tell of their runs themselves.
                Effect::Persist(Persist::RunEnded { record, .. })
                    if task_of(&record.unit).is_none() =>
                {
                    owed.insert(("daemon.exited".to_owned(), record.run.clone()));
                }
                Effect::Persist(Persist::RunIntent(row)) if task_of(&row.unit).is_none() => {
                    owed.insert(("daemon.starting".to_owned(), row.run.clone()));
                }
                _ => {}
            }
        }
        match owed.difference(&told).next() {
            Some((kind, run)) => Err(format!("{kind} of {run} is not told")),
            None => Ok(()),
        }
    }

    fn acknowledge(&mut self, published: &[NewEvent], receipts: &[Receipt]) {
        for (event, receipt) in published.iter().zip(receipts) {
            if let Some(id) = receipt.id.clone().filter(|_| !receipt.duplicate) {
                self.acknowledged
                    .insert(receipt.seq, (event.source.clone(), id));
            }
        }
    }

    /// What is in the journal, at any time between two batches.
    pub(crate) fn none_lost(&self, fleet: &Fleet, world: &World) -> Result<(), String> {
        let events = &world.journal.bus.events;
        let last = events.keys().next_back().copied().unwrap_or(0);
        let mut seen = BTreeSet::new();
        for event in events.values() {
            if !seen.insert((&event.source, &event.id)) {
                return Err(format!("{} of {} is kept twice", event.id, event.source));
            }
        }
        let must_be_kept = last.saturating_sub(fleet.events.keep_max);
        let by_age = fleet.events.keep_ms < 1_000_000;
        for (seq, (source, id)) in self.acknowledged.range(must_be_kept + 1..) {
            match events.get(seq) {
                Some(event) if event.source == *source && event.id == *id => {}
                Some(event) => {
                    return Err(format!("event {seq} was {id} of {source}, is {}", event.id));
                }
                None if by_age => {}
                None => return Err(format!("event {seq}, {id} of {source}, is lost")),
            }
        }
        Ok(())
    }
}

impl History {
    /// Somebody publishes, now and then what was published before, or what is refused.
    pub(crate) fn publish(&mut self) -> Result<(), String> {
        let count = self.dice.range(1, 3);
        let bad = self.dice.chance(10);
        let mut events = Vec::new();
        for _ in 0..count {
            let source = format!("p{}", self.dice.range(0, 1));
            let id = self.dice.range(0, IDS);
            events.push(NewEvent {
                id: (id > 0).then(|| id.to_string()),
                data: json!({ "n": self.dice.range(0, 3) }),
                kind: "count.up".into(),
                source,
                ..NewEvent::default()
            });
        }
        if bad && let Some(last) = events.last_mut() {
            last.kind = "daemon.ready".into();
        }
        self.command(Command::Emit(events))
    }

    /// What a publisher is answered.
    pub(crate) fn published(&mut self, events: &[NewEvent], reply: &Reply) -> Result<(), String> {
        let is_bad = events.iter().any(|event| event.kind != "count.up");
        match reply {
            Reply::Accepted(accepted) if !is_bad && accepted.events.len() == events.len() => {
                self.events.acknowledge(events, &accepted.events);
                Ok(())
            }
            Reply::Refused(_) if is_bad => Ok(()),
            other => Err(format!("publishing {events:?} is answered {other:?}")),
        }
    }
}

//! The part of the journal that is about events, deliveries, rules and tasks.
//!
//! Purpose: what `state.db` keeps of them, with a way to take each item back, for a power cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use eud_core::event::{Event, Seq};
use eud_core::io::{BusRecovery, Persist, TaskOver, TaskRecovery};
use eud_core::record::{
    ApprovalRow, ChannelRow, DeadLetterRow, DeliveryRow, PoolRow, RuleRow, SubscriptionRow, TaskId,
    TaskRow, TaskSpec,
};

/// Events that a new core gets at once.
const LATEST: usize = 16;

/// Names a delivery.
pub(crate) type DeliveryKey = (String, Seq, u64);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct BusJournal {
    pub(crate) events: BTreeMap<Seq, Arc<Event>>,
    pub(crate) last_seq: Seq,
    pub(crate) subscriptions: BTreeMap<String, SubscriptionRow>,
    pub(crate) deliveries: BTreeMap<DeliveryKey, DeliveryRow>,
    pub(crate) dead_letters: BTreeMap<u64, DeadLetterRow>,
    pub(crate) last_dead: u64,
    pub(crate) channels: BTreeMap<String, ChannelRow>,
    pub(crate) rules: BTreeMap<String, RuleRow>,
    pub(crate) approvals: BTreeMap<u64, ApprovalRow>,
    pub(crate) tasks: BTreeMap<TaskId, TaskRow>,
    pub(crate) specs: BTreeMap<TaskId, TaskSpec>,
    pub(crate) last_task: TaskId,
    pub(crate) pools: BTreeMap<String, PoolRow>,
}

/// How one item is taken back.
#[derive(Debug, Clone)]
pub(crate) enum BusUndo {
    Event(Seq, Option<Arc<Event>>, Seq),
    Subscription(String, Option<SubscriptionRow>),
    Delivery(DeliveryKey, Option<DeliveryRow>),
    DeadLetter(u64, Option<DeadLetterRow>, u64),
    Channel(String, Option<ChannelRow>),
    Rule(String, Option<RuleRow>),
    Approval(u64, Option<ApprovalRow>),
    Task(TaskId, Option<TaskRow>, TaskId),
    Spec(TaskId, Option<TaskSpec>),
    Pool(String, Option<PoolRow>),
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, old: Option<V>) {
    match old {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

impl BusJournal {
    /// Records one item; gives what takes it back. `None` when it is about something else.
    pub(crate) fn apply(&mut self, item: &Persist) -> Option<Vec<BusUndo>> {
        let undo = match item {
            Persist::Event(event) => {
                let last = self.last_seq;
                self.last_seq = last.max(event.seq);
                let old = self.events.insert(event.seq, Arc::clone(event));
                vec![BusUndo::Event(event.seq, old, last)]
            }
            Persist::PruneEvents {
                before_ms,
                keep_max,
                upto,
            } => self.prune(*before_ms, *keep_max, *upto),
            Persist::Subscription(row) => {
                let old = self.subscriptions.insert(row.name.clone(), row.clone());
                vec![BusUndo::Subscription(row.name.clone(), old)]
            }
            Persist::ForgetSubscription(name) => {
                let old = self.subscriptions.remove(name);
                vec![BusUndo::Subscription(name.clone(), old)]
            }
            Persist::Delivery(row) => {
                let key = (row.outlet.clone(), row.seq, row.number);
                let old = self.deliveries.insert(key.clone(), row.clone());
                vec![BusUndo::Delivery(key, old)]
            }
            Persist::DeliveryOver {
                outlet,
                seq,
                number,
            } => {
                let key = (outlet.clone(), *seq, *number);
                let old = self.deliveries.remove(&key);
                vec![BusUndo::Delivery(key, old)]
            }
            Persist::DeadLetter(row) => {
                let last = self.last_dead;
                self.last_dead = last.max(row.id);
                let old = self.dead_letters.insert(row.id, (**row).clone());
                vec![BusUndo::DeadLetter(row.id, old, last)]
            }
            Persist::ForgetDeadLetter(id) => {
                let old = self.dead_letters.remove(id);
                vec![BusUndo::DeadLetter(*id, old, self.last_dead)]
            }
            Persist::Channel(row) => {
                let old = self.channels.insert(row.name.clone(), row.clone());
                vec![BusUndo::Channel(row.name.clone(), old)]
            }
            Persist::ForgetChannel(name) => {
                vec![BusUndo::Channel(name.clone(), self.channels.remove(name))]
            }
            Persist::Rule(row) => {
                let old = self.rules.insert(row.name.clone(), row.clone());
                vec![BusUndo::Rule(row.name.clone(), old)]
            }
            Persist::ForgetRule(name) => {
                vec![BusUndo::Rule(name.clone(), self.rules.remove(name))]
            }
            Persist::Approval(row) => {
                let old = self.approvals.insert(row.id, row.clone());
                vec![BusUndo::Approval(row.id, old)]
            }
            Persist::Task { row, spec } => self.put_task(row, spec.as_deref()),
            Persist::ForgetTask(id) => vec![
                BusUndo::Task(*id, self.tasks.remove(id), self.last_task),
                BusUndo::Spec(*id, self.specs.remove(id)),
            ],
            Persist::Pool(row) => {
                let old = self.pools.insert(row.name.clone(), row.clone());
                vec![BusUndo::Pool(row.name.clone(), old)]
            }
            Persist::ForgetPool(name) => {
                vec![BusUndo::Pool(name.clone(), self.pools.remove(name))]
            }
            _ => return None,
        };
        Some(undo)
    }

    fn put_task(&mut self, row: &TaskRow, spec: Option<&TaskSpec>) -> Vec<BusUndo> {
        let last = self.last_task;
        self.last_task = last.max(row.id);
        let old = self.tasks.insert(row.id, row.clone());
        let mut undo = vec![BusUndo::Task(row.id, old, last)];
        if let Some(spec) = spec {
            let old = self.specs.insert(row.id, spec.clone());
            undo.push(BusUndo::Spec(row.id, old));
        }
        undo
    }

    fn prune(&mut self, before_ms: i64, keep_max: u64, upto: Seq) -> Vec<BusUndo> {
        let (last, floor) = (self.last_seq, self.last_seq.saturating_sub(keep_max));
        let waiting = self.deliveries.values().map(|delivery| delivery.seq);
        let dead = self.dead_letters.values().map(|dead| dead.delivery.seq);
        let asked = self.approvals.values().filter(|a| a.outcome.is_none());
        let pinned: std::collections::BTreeSet<Seq> =
            waiting.chain(dead).chain(asked.map(|a| a.seq)).collect();
        let goes = |event: &&Arc<Event>| {
            let old = event.stored_ms < before_ms || event.seq <= floor;
            old && event.seq <= upto && !pinned.contains(&event.seq)
        };
        let gone: Vec<Arc<Event>> = self.events.values().filter(goes).cloned().collect();
        let mut undo = Vec::new();
        for event in gone {
            self.events.remove(&event.seq);
            undo.push(BusUndo::Event(event.seq, Some(event), last));
        }
        undo
    }

    pub(crate) fn take_back(&mut self, undo: BusUndo) {
        match undo {
            BusUndo::Event(seq, old, last) => {
                put(&mut self.events, seq, old);
                self.last_seq = last;
            }
            BusUndo::Subscription(name, old) => put(&mut self.subscriptions, name, old),
            BusUndo::Delivery(key, old) => put(&mut self.deliveries, key, old),
            BusUndo::DeadLetter(id, old, last) => {
                put(&mut self.dead_letters, id, old);
                self.last_dead = last;
            }
            BusUndo::Channel(name, old) => put(&mut self.channels, name, old),
            BusUndo::Rule(name, old) => put(&mut self.rules, name, old),
            BusUndo::Approval(id, old) => put(&mut self.approvals, id, old),
            BusUndo::Task(id, old, last) => {
                put(&mut self.tasks, id, old);
                self.last_task = last;
            }
            BusUndo::Spec(id, old) => put(&mut self.specs, id, old),
            BusUndo::Pool(name, old) => put(&mut self.pools, name, old),
        }
    }

    /// The first events after this one, and up to where nothing else is kept.
    pub(crate) fn read(&self, after: Seq, max: u32) -> (Vec<Arc<Event>>, Seq) {
        let page = self.events.range(after + 1..).take(max as usize);
        let events: Vec<Arc<Event>> = page.map(|(_, event)| Arc::clone(event)).collect();
        let is_all = events.len() < max as usize;
        let upto = match events.last() {
            Some(last) if !is_all => last.seq,
            _ => self.last_seq.max(after),
        };
        (events, upto)
    }

    /// What a new core is told of the bus.
    pub(crate) fn bus(&self) -> BusRecovery {
        let known = |event: &Arc<Event>| (event.seq, event.source.clone(), event.id.clone());
        let latest = self.events.values().rev().take(LATEST);
        let mut latest: Vec<Arc<Event>> = latest.cloned().collect();
        latest.reverse();
        let waits = |approval: &&ApprovalRow| approval.outcome.is_none();
        BusRecovery {
            first_seq: self.events.keys().next().copied().unwrap_or(0),
            last_seq: self.last_seq,
            latest,
            known: self.events.values().map(known).collect(),
            subscriptions: self.subscriptions.values().cloned().collect(),
            deliveries: self.deliveries.values().cloned().collect(),
            dead_letters: self.dead_letters.values().cloned().collect(),
            last_dead: self.last_dead,
            channels: self.channels.values().cloned().collect(),
            rules: self.rules.values().cloned().collect(),
            approvals: self.approvals.values().filter(waits).cloned().collect(),
            last_approval: self.approvals.keys().next_back().copied().unwrap_or(0),
        }
    }

    /// What a new core is told of tasks.
    pub(crate) fn tasks(&self) -> TaskRecovery {
        let over = |task: &TaskRow| TaskOver {
            id: task.id,
            pool: task.pool.clone(),
            state: task.state,
            token: task.token.clone(),
            ended_ms: task.ended_ms.unwrap_or(0),
        };
        let (done, open): (Vec<&TaskRow>, Vec<&TaskRow>) =
            self.tasks.values().partition(|task| task.state.is_over());
        TaskRecovery {
            tasks: open.into_iter().cloned().collect(),
            over: done.into_iter().map(over).collect(),
            last_task: self.last_task,
            pools: self.pools.values().cloned().collect(),
        }
    }
}

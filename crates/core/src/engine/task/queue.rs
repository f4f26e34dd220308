//! The queue of one pool: who is next.
//!
//! Invariants: of each key at most one task stands in `ready`, the first of those that wait, and
//! none while one of the key runs; every step takes time that grows with the logarithm of the
//! number of tasks, whatever their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::fleet::Pool;
use crate::record::{PoolRow, TaskId, TaskRow, TaskState, WallMs};

/// A place in the queue; the smallest is the first.
pub(super) type Order = (i64, i64, TaskId);

/// One pool.
#[derive(Debug, Clone)]
pub(super) struct PoolSlot {
    /// As the fleet file has it now; `None`: it has not.
    pub(super) pool: Option<Arc<Pool>>,
    /// As the fleet file had it last.
    last: Option<Arc<Pool>>,
    pub(super) row: PoolRow,
    /// What may begin.
    ready: BTreeSet<Order>,
    keys: BTreeMap<String, Key>,
    pub(super) running: BTreeSet<TaskId>,
    /// Tasks that are kept, by state.
    pub(super) counts: BTreeMap<TaskState, u64>,
    /// Tasks that are over, in the order in which they ended.
    pub(super) over: BTreeSet<(WallMs, TaskId)>,
    /// Tasks that are queued, by age.
    pub(super) ages: BTreeSet<(WallMs, TaskId)>,
}

/// Tasks of one key.
#[derive(Debug, Clone, Default)]
struct Key {
    running: BTreeSet<TaskId>,
    /// The one that stands in the queue.
    ready: Option<Order>,
    parked: BTreeSet<Order>,
    /// All that have not begun, queued or not.
    waiting: BTreeSet<TaskId>,
}

impl Key {
    fn is_empty(&self) -> bool {
        self.running.is_empty()
            && self.ready.is_none()
            && self.parked.is_empty()
            && self.waiting.is_empty()
    }
}

/// The place of a task in the queue of its pool.
pub(super) fn order(row: &TaskRow, slot: Option<&PoolSlot>) -> Order {
    let ageing = slot.map_or_else(Arc::default, PoolSlot::rules).ageing_ms;
    if ageing == 0 {
        return (-i64::from(row.priority), row.submitted_ms, row.id);
    }
    let lead = i64::from(row.priority).saturating_mul(super::signed(ageing));
    (row.submitted_ms.saturating_sub(lead), 0, row.id)
}

impl PoolSlot {
    pub(super) fn new(name: &str) -> Self {
        Self {
            pool: None,
            last: None,
            row: PoolRow {
                name: name.to_owned(),
                ..PoolRow::default()
            },
            ready: BTreeSet::new(),
            keys: BTreeMap::new(),
            running: BTreeSet::new(),
            counts: BTreeMap::new(),
            over: BTreeSet::new(),
            ages: BTreeSet::new(),
        }
    }

    /// The fleet file declares it so, or not any more.
    pub(super) fn declare(&mut self, pool: Option<Arc<Pool>>) {
        if pool.is_some() {
            self.last.clone_from(&pool);
        }
        self.pool = pool;
    }

    /// By which rules its tasks end: those of the fleet file, or the last that it had.
    pub(super) fn rules(&self) -> Arc<Pool> {
        self.last.clone().unwrap_or_default()
    }

    /// Tasks that are neither running nor over.
    pub(super) fn waiting(&self) -> u64 {
        let waits = [TaskState::Queued, TaskState::Delayed, TaskState::Blocked];
        let count = |state: &TaskState| self.counts.get(state).copied().unwrap_or(0);
        waits.iter().map(count).sum()
    }

    /// All tasks that are kept.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(super) fn recount(&mut self, old: Option<TaskState>, new: Option<TaskState>) {
        if let Some(count) = old.and_then(|old| self.counts.get_mut(&old)) {
            *count = count.saturating_sub(1);
        }
        if let Some(new) = new {
            *self.counts.entry(new).or_default() += 1;
        }
    }

    /// A task of this key was accepted, or waits again.
    pub(super) fn expect(&mut self, key: Option<&str>, id: TaskId) {
        if let Some(key) = key {
            let key = self.keys.entry(key.to_owned()).or_default();
            key.waiting.insert(id);
        }
    }

    /// The first task of this key that has not begun.
    pub(super) fn first_of(&self, key: &str) -> Option<TaskId> {
        self.keys.get(key)?.waiting.first().copied()
    }

    /// A task is queued.
    pub(super) fn enter(&mut self, order: Order, key: Option<&str>, submitted_ms: WallMs) {
        self.ages.insert((submitted_ms, order.2));
        self.expect(key, order.2);
        let Some(key) = key else {
            self.ready.insert(order);
            return;
        };
        if let Some(known) = self.keys.get_mut(key) {
            known.parked.insert(order);
        }
        self.advance(key);
    }

    /// The first task of a key that waits stands in the queue, unless one of the key runs.
    fn advance(&mut self, name: &str) {
        let Some(key) = self.keys.get_mut(name) else {
            return;
        };
        let first = key.parked.first().copied();
        if key.running.is_empty()
            && let Some(first) = first
            && key.ready.is_none_or(|ready| first < ready)
        {
            key.parked.remove(&first);
            self.ready.insert(first);
            if let Some(later) = key.ready.replace(first) {
                self.ready.remove(&later);
                key.parked.insert(later);
            }
        }
        if key.is_empty() {
            self.keys.remove(name);
        }
    }

    /// The one whose turn it is.
    pub(super) fn first(&self) -> Option<TaskId> {
        self.ready.first().map(|order| order.2)
    }

    /// Whether it waits behind one of its key.
    pub(super) fn is_parked(&self, order: &Order, key: &str) -> bool {
        self.keys
            .get(key)
            .is_some_and(|key| key.parked.contains(order))
    }

    /// A task does not wait any more: it begins, or is called off.
    pub(super) fn leave(&mut self, order: Order, key: Option<&str>, submitted_ms: WallMs) {
        self.ages.remove(&(submitted_ms, order.2));
        self.ready.remove(&order);
        let Some(name) = key else { return };
        if let Some(key) = self.keys.get_mut(name) {
            key.waiting.remove(&order.2);
            key.parked.remove(&order);
            if key.ready == Some(order) {
                key.ready = None;
            }
        }
        self.advance(name);
    }

    /// A task runs from now on. `heeds`: so none of its key begins.
    pub(super) fn run(&mut self, id: TaskId, key: Option<&str>, heeds: bool) {
        self.running.insert(id);
        let Some(name) = key.filter(|_| heeds) else {
            return;
        };
        let key = self.keys.entry(name.to_owned()).or_default();
        key.running.insert(id);
        if let Some(ready) = key.ready.take() {
            self.ready.remove(&ready);
            key.parked.insert(ready);
        }
    }

    /// A task does not run any more.
    pub(super) fn stop(&mut self, id: TaskId, key: Option<&str>) {
        self.running.remove(&id);
        let Some(name) = key else { return };
        if let Some(key) = self.keys.get_mut(name) {
            key.running.remove(&id);
        }
        self.advance(name);
    }

    /// Forgets the order of the queue; all that is queued lines up anew.
    pub(super) fn disband(&mut self) {
        self.ready.clear();
        self.ages.clear();
        for key in self.keys.values_mut() {
            key.ready = None;
            key.parked.clear();
        }
    }
}

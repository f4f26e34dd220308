//! Tasks, told first in prose.
//!
//! A task is a unit of work that waits in the queue of a pool for its turn. It is in exactly one
//! place: *delayed* (its time has not come), *blocked* (others must succeed first), *queued*,
//! *running*, or over. What is accepted is on the disk before it is answered, and stays there until
//! it is over and old.
//!
//! **Turns.** The queue is in the order of priority; waiting counts, so that none starves. Tasks of
//! the same key follow one another: the first of them stands in the queue, the others are *parked*
//! behind it. To submit and to begin takes the same few steps however many tasks wait.
//!
//! **Beginning.** The first in the queue begins while its pool is declared, is not paused, does not
//! rest, has its gates open, a place free, and its rate not used up. It gets a unit of its own
//! (`pool#7`) and a run like any other's: *the row with the run's identity*, then the intent to
//! run, then the launch, all in one batch. So there is no row that is running and has no run, and a
//! new manager finds for each such row what became of its run, or that there never was one.
//!
//! **End.** The end of the run decides, in the batch that records it: the task is over, or queued
//! again, or waits for its next try. A run that never started leaves the task as it was. One that
//! was stopped with the manager begins anew (at least once) or is lost (at most once); so with an
//! end that nobody saw, or a stop that nobody here asked for, but these count as failures, so that
//! there is an end of tries. The unit is gone with the run.
//!
//! **Cancelling.** A task that does not run is over at once. Of one that runs the wish is made
//! durable, the run is stopped like any, and when it is gone the task is cancelled, whatever its
//! command said last.
//!
//! **Stalling.** A run without progress is told of at half of the pool's limit, and at the whole of
//! it stopped, as a failure. Time is counted by the monotonic clock, anew with each manager.
//!
//! **Rest.** After failures in a row a pool rests, then tries one task; a success ends it.
//!
//! Invariants: a key has at most one task that runs; a pool has at most `concurrency` of them, but
//! for those that ran before it was changed; a cancelled task never succeeds; a task that another
//! waits for is not forgotten; what follows from the end of a task is worked off in a loop, never
//! by recursion, however long the chain.
//! Deliberately absent: what a task is to do. The journal has it, and the shell reads it at launch.

mod begin;
mod command;
mod end;
mod load;
mod progress;
mod queue;
mod submit;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::engine::Core;
use crate::fleet::{Pool, task_unit};
use crate::happened::{Happened, TaskStep, What};
use crate::io::{Effect, Now, Persist, TaskOver, TaskPersist};
use crate::planted::Planted;
use crate::record::{TaskId, TaskOrigin, TaskRow, TaskState, WallMs};
use progress::Watched;
use queue::{Order, PoolSlot};

/// What the core remembers of tasks and pools.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    /// Those that are not over.
    tasks: BTreeMap<TaskId, Task>,
    over: BTreeMap<TaskId, TaskOver>,
    tokens: BTreeMap<String, TaskId>,
    last_task: TaskId,
    /// Declared, or with tasks.
    pools: BTreeMap<String, PoolSlot>,
    /// Who is blocked by a task.
    waiters: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// By the wall clock: times that were asked for.
    delayed: BTreeSet<(WallMs, TaskId)>,
    /// By the monotonic clock: next tries.
    retries: BTreeSet<(u64, TaskId)>,
    /// By the monotonic clock: when to look at the progress of a run.
    stalls: BTreeSet<(u64, TaskId)>,
    /// By the monotonic clock: when to look at a pool.
    wakes: BTreeSet<(u64, String)>,
    /// Over; those that wait for them have not been looked at.
    ended: VecDeque<TaskId>,
    /// Pools of which a task may begin.
    dirty: BTreeSet<String>,
    /// The time that was told last.
    seen: Now,
}

/// A task that is not over.
#[derive(Debug, Clone)]
struct Task {
    row: TaskRow,
    /// Its place in the queue.
    order: Order,
    /// Monotonic time of its next try.
    retry_mono: Option<u64>,
    /// The progress of its run, once its command executes.
    watched: Option<Watched>,
}

impl Tasks {
    /// Whether a task is not over.
    pub(crate) fn is_open(&self, id: TaskId) -> bool {
        self.tasks.contains_key(&id)
    }

    /// Monotonic time at which something of it is due.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        let in_time = self.delayed.first().map(|(at, _)| {
            let wait = u64::try_from(at.saturating_sub(self.seen.wall_ms)).unwrap_or(0);
            self.seen.mono_ms.saturating_add(wait)
        });
        // What others bring about after the pools were looked at is looked at with the next input.
        let at_once = !self.dirty.is_empty() || !self.ended.is_empty();
        [
            in_time,
            self.retries.first().map(|(due, _)| *due),
            self.stalls.first().map(|(due, _)| *due),
            self.wakes.first().map(|(due, _)| *due),
            at_once.then_some(self.seen.mono_ms),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The memory of a pool, made when there is none.
    fn pool(&mut self, name: &str) -> &mut PoolSlot {
        self.pools
            .entry(name.to_owned())
            .or_insert_with(|| PoolSlot::new(name))
    }

    fn declared(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.get(name)?.pool.as_ref()
    }

    /// A gate was opened: tasks may begin.
    pub(crate) fn gate_opened(&mut self, gate: &str) {
        let waits = |slot: &&PoolSlot| {
            let pool = slot.pool.as_ref();
            pool.is_some_and(|pool| pool.gates.contains(gate))
        };
        let names = self.pools.values().filter(waits);
        self.dirty.extend(names.map(|slot| slot.row.name.clone()));
    }

    /// Whether there are tasks whose pool looks at gates.
    pub(crate) fn look_at_gates(&self) -> bool {
        self.pools.values().any(|slot| {
            let gated = slot
                .pool
                .as_ref()
                .is_some_and(|pool| !pool.gates.is_empty());
            gated && (slot.waiting() > 0 || !slot.running.is_empty())
        })
    }
}

impl Core {
    /// Works off what is due, and begins what may begin.
    pub(crate) fn tend_tasks(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.tasks.seen = now;
        self.tend_stalls(now, out);
        self.tell_waiters(now, out);
        if self.shutting_down || self.exited {
            self.tasks.dirty.clear();
            self.tasks.wakes.clear();
            self.tasks.retries.clear();
            self.tasks.delayed.clear();
            return;
        }
        self.times_come(now, out);
        while let Some((due, pool)) = self.tasks.wakes.first().cloned() {
            if due > now.mono_ms {
                break;
            }
            self.tasks.wakes.pop_first();
            self.tasks.dirty.insert(pool);
        }
        while let Some(pool) = self.tasks.dirty.pop_first() {
            self.begin_tasks(&pool, now, out);
        }
    }

    /// Tasks whose time has come, or whose next try is due, are queued.
    fn times_come(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some((due, id)) = self.tasks.delayed.first().copied() {
            if due > now.wall_ms {
                break;
            }
            self.tasks.delayed.pop_first();
            self.enqueue(id, out);
        }
        while let Some((due, id)) = self.tasks.retries.first().copied() {
            if due > now.mono_ms {
                break;
            }
            self.tasks.retries.pop_first();
            self.enqueue(id, out);
        }
    }

    /// Puts a task that may begin into the queue of its pool, durably.
    fn enqueue(&mut self, id: TaskId, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        task.retry_mono = None;
        task.row.not_before_ms = None;
        if task.row.state != TaskState::Queued {
            task.row.reason = None;
        }
        self.set_state(id, TaskState::Queued);
        self.line_up(id);
        self.put_task(id, out);
    }

    /// Puts a task that is queued into the queue of its pool.
    fn line_up(&mut self, id: TaskId) {
        let by_age = self.has(Planted::PriorityIgnored);
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        let (pool, key) = (task.row.pool.clone(), task.row.key.clone());
        let mut order = queue::order(&task.row, self.tasks.pools.get(&pool));
        if by_age {
            order = (0, 0, id);
        }
        task.order = order;
        let submitted_ms = task.row.submitted_ms;
        let slot = self.tasks.pool(&pool);
        slot.enter(order, key.as_deref(), submitted_ms);
        self.tasks.dirty.insert(pool);
    }

    /// Changes the state of a task that is not over, and the counts with it.
    fn set_state(&mut self, id: TaskId, state: TaskState) {
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut task.row.state, state);
        let pool = task.row.pool.clone();
        self.tasks.pool(&pool).recount(Some(old), Some(state));
    }

    /// Makes what is remembered of a task durable.
    fn put_task(&self, id: TaskId, out: &mut Vec<Effect>) {
        if let Some(task) = self.tasks.tasks.get(&id) {
            out.push(put(&task.row));
        }
    }

    fn put_pool(&self, name: &str, out: &mut Vec<Effect>) {
        if let Some(slot) = self.tasks.pools.get(name) {
            let row = slot.row.clone();
            out.push(Effect::Persist(Persist::Task(TaskPersist::Pool(row))));
        }
    }
}

fn put(row: &TaskRow) -> Effect {
    let row = Box::new(row.clone());
    Effect::Persist(Persist::Task(TaskPersist::Put { row, spec: None }))
}

/// Tells what became of a task.
fn tell(row: &TaskRow, step: TaskStep, reason: Option<String>, now: Now) -> Effect {
    Effect::Happened(Happened {
        at_ms: now.wall_ms,
        what: What::Task {
            step,
            unit: task_unit(&row.pool, row.id),
            pool: row.pool.clone(),
            task: row.id,
            key: row.key.clone(),
            attempt: row.attempts,
            reason,
            code: row.code,
            depth: match row.origin {
                TaskOrigin::Subscription { depth, .. } => depth,
                TaskOrigin::Hand | TaskOrigin::Delivery { .. } => 0,
            },
        },
    })
}

/// As a signed number of milliseconds.
fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

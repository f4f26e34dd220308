//! Beginning: the first in the queue gets a run, while nothing forbids it.
//!
//! Invariants: the row, the intent and the launch are one batch, in this order; the rate's memory
//! is bounded by its count.

use std::sync::Arc;

use crate::engine::Core;
use crate::engine::slot::Slot;
use crate::fleet::{Daemon, Kind, Pool, task_unit};
use crate::happened::TaskStep;
use crate::io::{Effect, Now};
use crate::planted::Planted;
use crate::record::{Desired, TaskId, TaskRow, TaskState};
use crate::words;

/// Why no task of a pool begins.
pub(super) struct Obstacle {
    /// In words.
    pub(super) why: String,
    /// Monotonic time at which to look again, if time alone ends it.
    pub(super) until: Option<u64>,
}

impl Obstacle {
    fn lasting(why: String) -> Self {
        Self { why, until: None }
    }
}

impl Core {
    /// Begins tasks of a pool until something forbids it.
    pub(super) fn begin_tasks(&mut self, name: &str, now: Now, out: &mut Vec<Effect>) {
        self.mind_steps(name, now);
        loop {
            let Some(slot) = self.tasks.pools.get(name) else {
                return;
            };
            let Some(id) = slot.first() else { return };
            if let Some(obstacle) = self.obstacle(name, now) {
                if let Some(until) = obstacle.until {
                    // Never in this very moment again: it was looked at.
                    let until = until.max(now.mono_ms.saturating_add(1));
                    self.tasks.wakes.insert((until, name.to_owned()));
                }
                return;
            }
            let Some(pool) = self.tasks.declared(name).map(Arc::clone) else {
                return;
            };
            self.begin_task(id, &pool, now, out);
        }
    }

    /// What forbids that a task of a pool begins; `None`: nothing does.
    pub(super) fn obstacle(&self, name: &str, now: Now) -> Option<Obstacle> {
        let slot = self.tasks.pools.get(name)?;
        let Some(pool) = &slot.pool else {
            let why = format!("pool `{name}` is not declared");
            return Some(Obstacle::lasting(why));
        };
        if self.shutting_down || self.exited {
            return Some(Obstacle::lasting("the manager is shutting down".to_owned()));
        }
        if let Some(why) = &slot.row.paused {
            return Some(Obstacle::lasting(format!("paused: {why}")));
        }
        if let Some(obstacle) = resting(pool, slot, now) {
            return Some(obstacle);
        }
        if let Some(why) = pool.gates.iter().find_map(|gate| self.closed(gate)) {
            return Some(Obstacle::lasting(why));
        }
        let (running, most) = (slot.running.len(), pool.concurrency.max(1));
        if running >= most as usize && !self.has(Planted::ConcurrencyIgnored) {
            return Some(Obstacle::lasting(format!("{running} of {most} run")));
        }
        rated(pool, slot, now)
    }

    fn begin_task(&mut self, id: TaskId, pool: &Pool, now: Now, out: &mut Vec<Effect>) {
        let heeds = !self.has(Planted::KeyIgnored);
        let Some(task) = self.tasks.tasks.get_mut(&id) else {
            return;
        };
        let unit = task_unit(&pool.name, id);
        let key = task.row.key.clone();
        let (order, submitted_ms) = (task.order, task.row.submitted_ms);
        task.row.attempts = task.row.attempts.saturating_add(1);
        task.row.started_ms = Some(now.wall_ms);
        task.row.reason = None;
        task.row.code = None;
        task.row.delivery = pool.delivery;
        task.watched = None;
        let slot = task_slot(&task.row, pool);
        let queue = self.tasks.pool(&pool.name);
        // First it runs, so that none of its key stands in its place.
        queue.run(id, key.as_deref(), heeds);
        queue.leave(order, key.as_deref(), submitted_ms);
        self.set_state(id, TaskState::Running);
        self.count_begin(pool, now, out);
        self.slots.insert(unit.clone(), slot);
        let row_goes = out.len();
        self.launch(&unit, now, out);
        let run = self.slots.get(&unit).and_then(|slot| slot.run.as_ref());
        let run = run.map(|run| run.run.clone());
        if let Some(task) = self.tasks.tasks.get_mut(&id) {
            task.row.run = run;
            out.insert(row_goes, super::put(&task.row));
            out.push(super::tell(&task.row, TaskStep::Started, None, now));
        }
        self.dirty.insert(unit);
    }

    /// A clock that was set back must not turn minutes into years. How long ago it was that a task
    /// began is not known then; as of now, it counts.
    fn mind_steps(&mut self, name: &str, now: Now) {
        let slot = self.tasks.pool(name);
        let breaker = slot.pool.as_ref().and_then(|pool| pool.breaker);
        for at in &mut slot.row.recent_ms {
            *at = (*at).min(now.wall_ms);
        }
        if let (Some(breaker), Some(until)) = (breaker, &mut slot.row.rests_until_ms) {
            let longest = now.wall_ms.saturating_add(super::signed(breaker.rest_ms));
            *until = (*until).min(longest);
        }
    }

    /// Takes note of a beginning, where a rate asks for it.
    fn count_begin(&mut self, pool: &Pool, now: Now, out: &mut Vec<Effect>) {
        let Some(rate) = pool.rate else { return };
        let row = &mut self.tasks.pool(&pool.name).row;
        let within = super::signed(rate.per_ms);
        row.recent_ms
            .retain(|at| now.wall_ms.saturating_sub(*at) < within);
        row.recent_ms.push(now.wall_ms);
        let surplus = row
            .recent_ms
            .len()
            .saturating_sub(rate.count.max(1) as usize);
        row.recent_ms.drain(..surplus);
        self.put_pool(&pool.name, out);
    }
}

/// The unit of a task: what it is started with, whatever the fleet file says later.
pub(super) fn task_slot(row: &TaskRow, pool: &Pool) -> Slot {
    let unit = task_unit(&row.pool, row.id);
    let template = &pool.template;
    let daemon = Daemon {
        name: unit.clone(),
        kind: Kind::Task,
        enabled: true,
        replicas: 1,
        timeout_ms: row.timeout_ms.or(template.timeout_ms),
        // A task is nobody's neighbour: gates and keys say when it begins.
        needs: Vec::new(),
        wants: Vec::new(),
        after: Vec::new(),
        conflicts: Vec::new(),
        ready: None,
        live: None,
        job: None,
        watch: None,
        ..template.clone()
    };
    let mut slot = Slot::new(&unit, Arc::new(daemon), 0);
    slot.intent.desired = Desired::Up;
    slot.cause = format!("task {}, try {}", row.id, row.attempts);
    slot
}

/// The rest after failures in a row, and the one task that is tried after it.
fn resting(pool: &Pool, slot: &super::PoolSlot, now: Now) -> Option<Obstacle> {
    pool.breaker?;
    let until = slot.row.rests_until_ms?;
    let wait = u64::try_from(until.saturating_sub(now.wall_ms)).unwrap_or(0);
    let failures = slot.row.failures;
    if wait > 0 {
        let left = words::duration(wait);
        return Some(Obstacle {
            why: format!("{failures} failures in a row; rests for {left}"),
            until: Some(now.mono_ms.saturating_add(wait)),
        });
    }
    let why = format!("{failures} failures in a row; one task is tried first");
    (!slot.running.is_empty()).then(|| Obstacle::lasting(why))
}

fn rated(pool: &Pool, slot: &super::PoolSlot, now: Now) -> Option<Obstacle> {
    let rate = pool.rate?;
    let within = super::signed(rate.per_ms);
    let ages = slot.row.recent_ms.iter();
    let ages = ages.map(|at| now.wall_ms.saturating_sub(*at).max(0));
    let recent: Vec<i64> = ages.filter(|age| *age < within).collect();
    if recent.len() < rate.count.max(1) as usize {
        return None;
    }
    let oldest = recent.into_iter().max().unwrap_or(0);
    let wait = u64::try_from(within - oldest).unwrap_or(0);
    let (count, per) = (rate.count.max(1), words::duration(rate.per_ms));
    Some(Obstacle {
        why: format!("{count} began within {per}"),
        until: Some(now.mono_ms.saturating_add(wait)),
    })
}

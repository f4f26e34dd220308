//! Loading pools, and recovering what an earlier manager left of tasks.
//!
//! Invariants: a run that was found belongs to its task, whatever the row says: a power cut may
//! have taken the row's last change, but not the folder; a row that is running and whose run is
//! nowhere is queued again; a reload ends no task.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Core;
use crate::fleet::{task_of, task_unit};
use crate::io::{Effect, Now, Persist, RecoveredRun, TaskPersist, TaskRecovery};
use crate::planted::Planted;
use crate::record::{Generation, PoolRow, RunId, TaskId, TaskRow, TaskState};

use super::Task;
use super::end::{cancelled, longest_delay};

impl Core {
    pub(crate) fn load_tasks(&mut self, _now: Now, out: &mut Vec<Effect>) {
        let gone: Vec<String> = self
            .tasks
            .pools
            .iter()
            .filter(|(name, slot)| slot.pool.is_some() && !self.fleet.pools.contains_key(*name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.tasks.pool(&name).declare(None);
            self.drop_pool_if_idle(&name, out);
        }
        let pools: Vec<_> = self.fleet.pools.values().cloned().map(Arc::new).collect();
        for pool in pools {
            let name = pool.name.clone();
            let slot = self.tasks.pool(&name);
            let ageing = slot.rules().ageing_ms;
            let reorders = ageing != pool.ageing_ms && slot.waiting() > 0;
            slot.declare(Some(pool));
            if reorders {
                self.line_up_anew(&name);
            }
            self.tasks.dirty.insert(name);
        }
    }

    /// A pool that is not declared is remembered while it has tasks.
    fn drop_pool_if_idle(&mut self, name: &str, out: &mut Vec<Effect>) {
        let Some(slot) = self.tasks.pools.get_mut(name) else {
            return;
        };
        if slot.pool.is_some() || slot.waiting() > 0 || !slot.running.is_empty() {
            return;
        }
        let name = name.to_owned();
        // Declared again, it is a new one.
        slot.row = PoolRow {
            name: name.clone(),
            ..PoolRow::default()
        };
        if slot.total() == 0 {
            self.tasks.pools.remove(&name);
        }
        let item = TaskPersist::ForgetPool(name);
        out.push(Effect::Persist(Persist::Task(item)));
    }

    /// The order of a queue is another one now.
    fn line_up_anew(&mut self, name: &str) {
        self.tasks.pool(name).disband();
        let its = |task: &&Task| task.row.pool == name && task.row.state == TaskState::Queued;
        let tasks = self.tasks.tasks.values().filter(its);
        let queued: Vec<TaskId> = tasks.map(|task| task.row.id).collect();
        for id in queued {
            self.line_up(id);
        }
    }

    /// Before the runs themselves: their units are made here.
    pub(crate) fn recover_tasks(
        &mut self,
        found: TaskRecovery,
        runs: &[RecoveredRun],
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let mut newest: BTreeMap<TaskId, (Generation, RunId)> = BTreeMap::new();
        self.tasks.last_task = found.last_task;
        for run in runs {
            let Some((_, id)) = task_of(&run.unit) else {
                continue;
            };
            // A power cut may have taken a task that nobody was told of. Its folder is there.
            self.tasks.last_task = self.tasks.last_task.max(id);
            let known = newest.entry(id).or_default();
            if known.0 <= run.generation {
                *known = (run.generation, run.run.clone());
            }
        }
        for row in found.pools {
            let name = row.name.clone();
            self.tasks.pool(&name).row = row;
        }
        for over in found.over {
            let slot = self.tasks.pool(&over.pool);
            slot.recount(None, Some(over.state));
            slot.over.insert((over.ended_ms, over.id));
            self.tasks.last_task = self.tasks.last_task.max(over.id);
            if let Some(token) = &over.token {
                self.tasks.tokens.insert(token.clone(), over.id);
            }
            self.tasks.over.insert(over.id, over);
        }
        // Those that are blocked look at the others.
        let (blocked, others): (Vec<TaskRow>, Vec<TaskRow>) = found
            .tasks
            .into_iter()
            .partition(|row| row.state == TaskState::Blocked);
        for row in others.into_iter().chain(blocked) {
            if self.has(Planted::TaskLostAtRecovery) && row.attempts > 0 {
                continue;
            }
            self.tasks.last_task = self.tasks.last_task.max(row.id);
            if let Some(token) = &row.token {
                self.tasks.tokens.insert(token.clone(), row.id);
            }
            self.tasks.pool(&row.pool).recount(None, Some(row.state));
            match newest.remove(&row.id) {
                Some((_, run)) => self.attach_task(row, run, out),
                None => self.recover_task(row, now, out),
            }
        }
        let names: Vec<String> = self.tasks.pools.keys().cloned().collect();
        for name in names {
            self.drop_pool_if_idle(&name, out);
        }
    }

    /// A task with a run that was found: what became of it is told next.
    fn attach_task(&mut self, mut row: TaskRow, run: RunId, out: &mut Vec<Effect>) {
        let (id, known) = (row.id, row.state == TaskState::Running);
        if !known || row.run.as_ref() != Some(&run) {
            row.attempts = row.attempts.saturating_add(1);
            row.run = Some(run);
            if let Some(pool) = self.tasks.declared(&row.pool) {
                row.delivery = pool.delivery;
            }
        }
        let (name, key) = (row.pool.clone(), row.key.clone());
        let slot = self.tasks.pool(&name);
        slot.recount(Some(row.state), Some(TaskState::Running));
        row.state = TaskState::Running;
        slot.run(id, key.as_deref(), true);
        let rules = slot.rules();
        let unit = task_unit(&name, id);
        self.slots
            .insert(unit, super::begin::task_slot(&row, &rules));
        let order = super::queue::order(&row, self.tasks.pools.get(&name));
        let task = Task {
            row,
            order,
            retry_mono: None,
            watched: None,
        };
        self.tasks.tasks.insert(id, task);
        if !known {
            self.put_task(id, out);
        }
        self.stop_cancelled(id);
    }

    /// A task without a run.
    fn recover_task(&mut self, mut row: TaskRow, now: Now, out: &mut Vec<Effect>) {
        let id = row.id;
        if row.state == TaskState::Running {
            let slot = self.tasks.pool(&row.pool);
            slot.recount(Some(row.state), Some(TaskState::Queued));
            row.state = TaskState::Queued;
            row.reason = Some("its run never started".to_owned());
            out.push(super::put(&row));
        }
        if let Some(by) = row.cancel.clone() {
            self.place(row, now, out);
            return self.task_over(id, TaskState::Cancelled, cancelled(&by), now, out);
        }
        let is_retry = row.state == TaskState::Delayed && row.attempts > 0;
        if !is_retry {
            return self.place(row, now, out);
        }
        // A clock that was set back must not turn seconds into minutes.
        let slot = self.tasks.pool(&row.pool);
        let longest = longest_delay(&slot.rules(), row.failures).saturating_mul(2);
        slot.expect(row.key.as_deref(), id);
        let until = row.not_before_ms.unwrap_or(now.wall_ms);
        let wait = u64::try_from(until.saturating_sub(now.wall_ms)).unwrap_or(0);
        let due = now.mono_ms.saturating_add(wait.min(longest));
        self.tasks.retries.insert((due, id));
        let order = super::queue::order(&row, self.tasks.pools.get(&row.pool));
        let task = Task {
            row,
            order,
            retry_mono: Some(due),
            watched: None,
        };
        self.tasks.tasks.insert(id, task);
    }
}

//! What is shown of pools, and why a task waits.

use crate::engine::Core;
use crate::io::Now;
use crate::record::{TaskId, TaskState};
use crate::view::PoolView;
use crate::words;

use super::queue::PoolSlot;

impl Core {
    /// Pools, by name; those made for handlers last. One that is not declared is among them while
    /// it has tasks.
    pub fn pools(&self, now: Now) -> Vec<PoolView> {
        let mut views: Vec<PoolView> = self
            .tasks
            .pools
            .values()
            .filter(|slot| slot.pool.is_some() || slot.total() > 0)
            .map(|slot| self.pool_view(slot, now))
            .collect();
        views.sort_by_key(|view| view.implicit);
        views
    }

    fn pool_view(&self, slot: &PoolSlot, now: Now) -> PoolView {
        let rules = slot.rules();
        let mut tasks = slot.counts.clone();
        tasks.retain(|_, count| *count > 0);
        let name = slot.row.name.clone();
        let obstacle = self.obstacle(&name, now).map(|obstacle| obstacle.why);
        let keyed = "those that are queued wait for others of their keys";
        let is_queued = tasks.contains_key(&TaskState::Queued);
        let parked = is_queued && slot.first().is_none();
        PoolView {
            description: rules.description.clone(),
            concurrency: rules.concurrency,
            total: slot.total(),
            oldest_ms: slot.ages.first().map(|(at, _)| *at),
            waits: obstacle.or_else(|| parked.then(|| keyed.to_owned())),
            paused: slot.row.paused.is_some(),
            rests_until_ms: slot.row.rests_until_ms,
            implicit: rules.implicit,
            name,
            tasks,
        }
    }

    /// Why a task does not run, in words; `None`: it runs, is over, is about to begin, or there is
    /// no such task.
    pub fn task_waits(&self, id: TaskId, now: Now) -> Option<String> {
        let task = self.tasks.tasks.get(&id)?;
        let row = &task.row;
        match row.state {
            TaskState::Queued => {}
            TaskState::Delayed => {
                let at = row.not_before_ms.map(words::rfc3339);
                let at = at.unwrap_or_else(|| "unknown".to_owned());
                return row.reason.clone().or(Some(format!("not before {at}")));
            }
            TaskState::Blocked => return row.reason.clone(),
            _ => return None,
        }
        if let Some(obstacle) = self.obstacle(&row.pool, now) {
            return Some(obstacle.why);
        }
        let key = row.key.as_deref()?;
        let slot = self.tasks.pools.get(&row.pool)?;
        let parked = slot.is_parked(&task.order, key);
        parked.then(|| format!("another task of key `{key}` goes first"))
    }
}
